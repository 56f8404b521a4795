//! One search over one snapshot: filter, both legs, fusion or sorting, groups, the whole result, documents.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use super::answer::{AsOf, FailedLeg, Group, Hit, HitOrigin, Leg, SearchAnswer, VectorState};
use super::diverse::diversify;
use super::explain::{Explanation, RerankExplained, explain};
use super::fuse::{Fused, Scored, Shares, best_first, fuse, keyword_alone, vector_alone};
use super::group::{GroupOf, Grouped, Grouping, distinct, groups};
use super::highlight::Highlighter;
use super::plan::{Nearest, Search};
use super::request::VectorsWanted;
use super::rerank::{HitRerank, Reranked};
use super::sort::{Scores, SortKey, sorted};
use super::whole::{Total, Whole, states, with_words};
use super::{Asked, QueryError, SearchedField, asked, facets, value};
use crate::change::{Datum, Span};
use crate::definition::{Expression, Metric};
use crate::index::keyword::{self, KeywordHit, KeywordQuery, Scope};
use crate::index::{Deadline, LegState, Slot, Snapshot};

/// A leg's hits, best first, or why it cannot answer.
type LegAnswer<'a> = Result<Vec<Scored<'a>>, String>;

pub(super) fn run(snapshot: &Snapshot, search: &Search) -> Result<SearchAnswer, QueryError> {
    let slots = |condition: &Option<Expression>| match condition {
        Some(condition) => guarded(snapshot, condition).map(Some).map_err(filter_failed),
        None => Ok(None),
    };
    let (population, filtered) = (slots(&search.population)?, slots(&search.filter)?);
    let mut allowed = intersection(population.clone(), filtered);
    if let Some(Nearest::Like { shard, slot, .. }) = &search.nearest {
        let all = snapshot
            .shards
            .iter()
            .map(|shard| (0..shard.documents.slots() as u32).collect());
        let allowed = allowed.get_or_insert_with(|| all.collect());
        if let Some(slots) = allowed.get_mut(*shard) {
            slots.remove(slot.0);
        }
    }
    let allowed = match &search.required {
        Some(required) => {
            let states = states(snapshot);
            let document = |shard, slot| snapshot.document_at(shard, slot);
            let scope = Scope {
                filters: allowed.as_deref(),
                population: population.as_deref(),
                deadline: &search.deadline,
                ..Scope::new(&states, &document)
            };
            // For either leg.
            Some(with_words(&scope, required).map_err(filter_failed)?)
        }
        None => allowed,
    };
    let run = Run {
        snapshot,
        search,
        allowed: allowed.as_deref(),
        population: population.as_deref(),
        vector: OnceLock::new(),
    };
    let mut depth = Depth::first(search);
    let mut waited = Duration::ZERO;
    let (found, page) = loop {
        let mut found = run.find(depth)?;
        run.rerank(&mut found, &mut waited);
        let page = run.page(&found.list);
        match run.deeper(depth, &found, &page) {
            Some(deeper) => depth = deeper,
            None => break (found, page),
        }
    };

    let results = &search.results;
    let is_partial = !found.failed.is_empty();
    let total = match &found.whole {
        Some(_) if search.counts_by_score() => {
            let is_partial = is_partial || found.is_listed_cut;
            Total::new(found.list.len() as u64, results.total, is_partial)
        }
        Some(whole) => Total::new(whole.size(snapshot), results.total, is_partial),
        None => None,
    };
    let facets = match &found.whole {
        Some(whole) if !results.facets.is_empty() => {
            let selections = whole.selections(snapshot);
            let selections: Vec<_> = selections.into_iter().map(|(_, selection)| selection).collect();
            facets::tally(&selections, &results.facets)?
        }
        _ => Default::default(),
    };
    let (hits, groups) = run.hydrate(&found, page);
    Ok(SearchAnswer {
        hits,
        groups,
        total,
        facets,
        as_of: AsOf::new(snapshot),
        took_ms: None,
        cursor: None,
        timed_out: search.deadline.was_met(),
        reranked: found.reranked,
        failed: found.failed,
    })
}

/// A search at work.
struct Run<'s, 'r> {
    snapshot: &'s Snapshot,
    search: &'r Search<'r>,
    /// By shard.
    allowed: Option<&'r [RoaringBitmap]>,
    /// By shard: what there is for who asks.
    population: Option<&'r [RoaringBitmap]>,
    /// The vector of the query's text, embedded once. `None`: near to nothing.
    vector: OnceLock<Result<Option<Arc<[f32]>>, String>>,
}

/// How many hits are ranked.
#[derive(Clone, Copy)]
struct Depth {
    /// By words, or in the order of fields.
    listed: usize,
    /// By the vector leg.
    nearest: usize,
}

impl Depth {
    fn first(search: &Search) -> Depth {
        Depth {
            listed: search.depth(),
            nearest: search.depth_nearest(),
        }
    }
}

/// What a search has found to some depth.
struct Found<'s> {
    list: Vec<Listed<'s>>,
    /// Where it is needed.
    whole: Option<Whole>,
    /// Where both legs answered.
    shares: Option<Shares>,
    /// Where it was asked for.
    reranked: Option<Reranked>,
    failed: Vec<FailedLeg>,
    /// Whether more could be found by words or in the order of fields, and whether by the vector leg.
    is_listed_cut: bool,
    is_nearest_cut: bool,
}

/// A hit in its place.
struct Listed<'s> {
    hit: Fused<'s>,
    /// What it is sorted by.
    values: Vec<Option<Datum>>,
    /// Where it was re-ranked: its rank before, and the score as the model gives it.
    reranked: Option<(usize, f32)>,
}

/// The part of a list that is shown, as places in it.
enum Page {
    Hits { places: Vec<usize>, is_complete: bool },
    Groups(Grouped),
}

impl<'s> Run<'s, '_> {
    fn find(&self, depth: Depth) -> Result<Found<'s>, QueryError> {
        let (snapshot, results) = (self.snapshot, &self.search.results);
        let (words, nearest) = (self.search.words.as_ref(), self.search.nearest.as_ref());
        let is_filter_only = words.is_none() && nearest.is_none();
        let is_sorted = results.sort.is_some() || is_filter_only;
        let is_counted_only = self.search.limit == 0 && results.need_whole();
        let ranked_to = match (is_sorted, results.need_scores()) {
            (false, _) => Some(depth.listed).filter(|_| !is_counted_only),
            (true, true) => Some(snapshot.documents()),
            (true, false) => None,
        };
        let (keyword, vector) = self.ask(ranked_to, depth.nearest);
        let mut failed = Vec::new();
        let mut answered = |leg, answer: Option<LegAnswer<'s>>| match answer? {
            Ok(hits) => Some(hits),
            Err(reason) => {
                failed.push(FailedLeg { leg, reason });
                None
            }
        };
        let (keyword, vector) = (answered(Leg::Keyword, keyword), answered(Leg::Vector, vector));

        let near = vector.as_deref().unwrap_or_default();
        let mut whole = None;
        if is_filter_only {
            whole = Some(Whole::of_filter(self.allowed));
        } else if results.need_whole() {
            let with_words = match words {
                Some(words) => self.in_scope(|scope| with_words(scope, words)),
                None => Ok(Vec::new()),
            };
            let with_words = match with_words {
                Ok(slots) => slots,
                Err(reason) => {
                    if failed.iter().all(|failed| failed.leg != Leg::Keyword) {
                        let leg = Leg::Keyword;
                        failed.push(FailedLeg { leg, reason });
                    }
                    Vec::new()
                }
            };
            whole = Some(Whole::of_legs(snapshot, with_words, near));
        }
        if failed.len() == usize::from(words.is_some()) + usize::from(nearest.is_some()) && !failed.is_empty()
        {
            return Err(unavailable(&failed));
        }

        let is_cut = |hits: Option<&[Scored<'_>]>, depth| hits.is_some_and(|hits| hits.len() >= depth);
        let is_nearest_cut = is_cut(vector.as_deref(), depth.nearest);
        let mut is_listed_cut = is_cut(keyword.as_deref(), depth.listed);
        let mut shares = None;
        let mut ranked = match (&keyword, &vector) {
            (Some(keyword), Some(vector)) => {
                let (fused, of_legs) = fuse(&self.search.fusion, keyword, vector);
                shares = Some(of_legs);
                fused
            }
            (Some(keyword), None) => keyword_alone(keyword),
            (None, Some(vector)) => vector_alone(vector),
            (None, None) => Vec::new(),
        };
        if let Some(min_score) = self.search.min_score {
            ranked.retain(|hit| hit.score >= min_score);
        }
        if let Some(mmr) = self.search.mmr {
            diversify(&mut ranked, mmr, snapshot, self.search.leg);
        }
        let list: Vec<Listed<'s>> = match &whole {
            Some(whole) if is_sorted => {
                let ranked = if results.need_scores() { ranked } else { Vec::new() };
                let keys = results.sort.as_deref().unwrap_or_default();
                let list = in_order(snapshot, whole, (keys, self.search.asked), &ranked, depth.listed)?;
                is_listed_cut = list.len() >= depth.listed;
                list
            }
            _ => ranked
                .into_iter()
                .map(|hit| Listed {
                    hit,
                    values: Vec::new(),
                    reranked: None,
                })
                .collect(),
        };
        Ok(Found {
            list,
            whole,
            shares,
            reranked: None,
            failed,
            is_listed_cut,
            is_nearest_cut,
        })
    }

    /// Puts the best hits into the order of the re-ranker, where that is asked for. `waited` is for how long this
    /// search has waited for it, and grows.
    fn rerank(&self, found: &mut Found<'_>, waited: &mut Duration) {
        let search = self.search;
        let Some(rerank) = &search.rerank else { return };
        let window = rerank.window.min(found.list.len());
        let (offset, limit) = (search.offset, search.limit);
        if window == 0 || !rerank.is_seen(offset, limit, search.results.grouping) {
            found.reranked = Some(Reranked::default());
            return;
        }
        let began = Instant::now();
        let best = found.list.iter().take(window);
        let rows = best.map(|listed| &listed.hit.document.row);
        let order = rerank.order(rows, *waited, &search.deadline);
        *waited += began.elapsed();
        let reranked = match order {
            Err(reason) => Reranked::skipped(reason),
            Ok(order) => {
                let mut before: Vec<Option<Listed<'_>>> = found.list.drain(..window).map(Some).collect();
                let best = order.iter().filter_map(|&(place, score)| {
                    let listed = before.get_mut(place)?.take()?;
                    let reranked = score.map(|score| (place + 1, score));
                    Some(Listed { reranked, ..listed })
                });
                found.list.splice(..0, best);
                Reranked {
                    hits: order.iter().filter(|(_, score)| score.is_some()).count(),
                    ..Reranked::default()
                }
            }
        };
        found.reranked = Some(Reranked {
            took: *waited,
            ..reranked
        });
    }

    fn page(&self, list: &[Listed<'_>]) -> Page {
        let (offset, limit) = (self.search.offset, self.search.limit);
        let rows = list.iter().map(|listed| &listed.hit.document.row);
        // Without a shard there is no row either.
        let schema = self.snapshot.shards.first().map(|shard| shard.keyword.schema());
        match (self.search.results.grouping, schema) {
            (Grouping::Groups { field, size }, Some(schema)) => {
                let mut grouped = groups(schema, rows, (field, size), offset + limit);
                grouped.groups.drain(..offset.min(grouped.groups.len()));
                Page::Groups(grouped)
            }
            (Grouping::Groups { .. }, None) => Page::Groups(Grouped {
                groups: Vec::new(),
                is_complete: true,
            }),
            (Grouping::Distinct { field }, Some(schema)) => {
                let mut places = distinct(schema, rows, field, offset + limit);
                let is_complete = places.len() == offset + limit;
                places.drain(..offset.min(places.len()));
                Page::Hits { places, is_complete }
            }
            _ => Page::Hits {
                places: (offset.min(list.len())..(offset + limit).min(list.len())).collect(),
                is_complete: true,
            },
        }
    }

    /// How deep to look next, where groups are not full and there is more.
    ///
    /// By words and by fields all is found at once; near vectors are asked for only until there are enough groups.
    fn deeper(&self, depth: Depth, found: &Found<'_>, page: &Page) -> Option<Depth> {
        let (is_complete, lacks_groups) = match page {
            Page::Hits { is_complete, .. } => (*is_complete, true),
            Page::Groups(grouped) => (grouped.is_complete, grouped.groups.len() < self.search.limit),
        };
        let all = self.snapshot.documents();
        let more_listed = found.is_listed_cut && depth.listed < all;
        let has_more_nearest = self.search.asked_nearest().is_none() && found.is_nearest_cut;
        let more_nearest = has_more_nearest && depth.nearest < all && lacks_groups;
        (!is_complete && (more_listed || more_nearest)).then(|| Depth {
            listed: if more_listed { all } else { depth.listed },
            nearest: match more_nearest {
                true => depth.nearest.saturating_mul(4),
                false => depth.nearest,
            },
        })
    }

    fn hydrate(&self, found: &Found<'_>, page: Page) -> (Vec<Hit>, Option<Vec<Group>>) {
        let results = &self.search.results;
        let mut highlighter = Highlighter::new(
            self.snapshot,
            results.highlight.as_ref(),
            self.search.highlighted.as_deref(),
        );
        let mut hit = |place: &usize| {
            let listed = found.list.get(*place)?;
            let mut hit = self.hit(listed, found.shares.as_ref());
            let values = listed.values.iter();
            let json = |value: &Option<Datum>| value.as_ref().map_or(serde_json::Value::Null, value::json);
            hit.sort = values.map(json).collect();
            if let Some(highlighter) = &mut highlighter {
                hit.highlight = highlighter.of(&listed.hit.document.row);
            }
            Some(hit)
        };
        match page {
            Page::Hits { places, .. } => (places.iter().filter_map(hit).collect(), None),
            Page::Groups(grouped) => {
                let groups = grouped.groups.iter().map(|GroupOf { value, hits }| Group {
                    value: value.as_ref().map_or(serde_json::Value::Null, value::json),
                    hits: hits.iter().filter_map(&mut hit).collect(),
                });
                (Vec::new(), Some(groups.collect()))
            }
        }
    }

    fn hit(&self, listed: &Listed<'_>, shares: Option<&Shares>) -> Hit {
        let hit = &listed.hit;
        let vector_state = VectorState::of(self.snapshot, self.search.leg, &hit.document.key.text());
        let is_of_another_text = vector_state == Some(VectorState::Stale);
        let field = self.search.field.as_deref().filter(|_| !is_of_another_text);
        let reranked = self.search.rerank.as_ref().zip(listed.reranked);
        let explanation = || {
            let mut explanation = self.explain(hit, shares);
            explanation.rerank = reranked.map(|(rerank, (_, score))| {
                let (model, text) = rerank.explain(&hit.document.row);
                RerankExplained {
                    model,
                    text: text.unwrap_or_default(),
                    score,
                }
            });
            explanation
        };
        Hit {
            rerank: reranked.map(|(rerank, (rank_before, score))| HitRerank {
                score: rerank.shown(score),
                rank_before,
            }),
            piece: field.and_then(|field| field.piece(hit)),
            explain: self.search.explain.then(explanation),
            origin: self.search.origin.as_deref().and_then(|sources| {
                let searched = hit.vector.and(self.search.field.as_deref());
                let model = searched.and_then(|field| field.model.as_deref());
                HitOrigin::new(hit.document, sources, model)
            }),
            ..Hit::new(hit, vector_state, &self.search.columns)
        }
    }

    fn explain(&self, hit: &Fused<'_>, shares: Option<&Shares>) -> Explanation {
        let place = || {
            let leg = hit.keyword?;
            let (shard, slot, _) = self.snapshot.find(&hit.document.key.text())?;
            let score = leg.score;
            Some(KeywordHit { shard, slot, score })
        };
        // A part of an explanation that cannot be read is left out.
        let keyword = self.search.words.as_ref().zip(place()).and_then(|(words, hit)| {
            let explained = || {
                self.in_scope(|scope| keyword::explain(scope, words, &hit))
                    .ok()
                    .flatten()
            };
            guard(|| Ok(explained())).ok().flatten()
        });
        explain(hit, shares, keyword, self.search.field.as_deref())
    }

    /// Asks the legs that the search needs; where it needs both, in parallel. `None`: not asked.
    ///
    /// A thread costs about 60 us: on 2 cores, two legs of 300 us take 400 us together, against 600 in turn.
    fn ask(&self, ranked: Option<usize>, nearest: usize) -> (Option<LegAnswer<'s>>, Option<LegAnswer<'s>>) {
        let by_words = |(words, depth)| guard(|| self.keyword_leg(words, depth));
        let by_vector = |query| guard(|| self.vector_leg(query, nearest));
        match (
            self.search.words.as_ref().zip(ranked),
            self.search.nearest.as_ref(),
        ) {
            (Some(words), Some(query)) => thread::scope(|scope| {
                let thread = thread::Builder::new().name("vector-leg".to_owned());
                let vector = thread.spawn_scoped(scope, || by_vector(query));
                let keyword = by_words(words);
                let vector = match vector {
                    Ok(leg) => leg.join().unwrap_or_else(|_| Err(PANICKED.to_owned())),
                    Err(error) => Err(format!("no thread to run on: {error}")),
                };
                (Some(keyword), Some(vector))
            }),
            (words, query) => (words.map(by_words), query.map(by_vector)),
        }
    }

    /// Asks the keyword leg something, of the documents that are allowed.
    fn in_scope<T>(&self, ask: impl FnOnce(&Scope<'_, 's>) -> T) -> T {
        let states = states(self.snapshot);
        let document = |shard, slot| self.snapshot.document_at(shard, slot);
        let page = self.search.offset + self.search.limit;
        ask(&Scope {
            // Pages of one ranking are of all that can be found.
            enough: Some(page).filter(|_| !self.search.by_pages),
            filters: self.allowed,
            population: self.population,
            deadline: &self.search.deadline,
            ..Scope::new(&states, &document)
        })
    }

    fn keyword_leg(&self, words: &KeywordQuery, depth: usize) -> LegAnswer<'s> {
        let hits = self.in_scope(|scope| keyword::search(scope, words, depth));
        let hits = hits.map_err(|error| error.to_string())?;
        let hits = hits
            .iter()
            .filter_map(|hit| scored(self.snapshot, hit.shard, hit.slot, hit.score, Span::WHOLE));
        Ok(hits.collect())
    }

    fn vector_leg(&self, nearest: &Nearest, depth: usize) -> LegAnswer<'s> {
        let (snapshot, search) = (self.snapshot, self.search);
        let field = search.field.as_deref().ok_or("the index has no vectors")?;
        let query = match nearest {
            Nearest::Vector(vector) => *vector,
            Nearest::Like { vector, .. } => vector,
            Nearest::Text(text) => match self.vector.get_or_init(|| meaning(field, text, &search.deadline)) {
                Ok(Some(vector)) => vector,
                Ok(None) => return Ok(Vec::new()),
                Err(reason) => return Err(reason.clone()),
            },
        };
        let asked = search.asked_nearest();
        let among = match asked.and_then(|near| near.among.as_ref()) {
            Some(among) => Some(self.in_scope(|scope| with_words(scope, among))?),
            None => None,
        };
        let allowed_by_shard = among.as_deref().or(self.allowed);
        let mut hits = Vec::new();
        for (number, shard) in snapshot.shards.iter().enumerate() {
            let Some(leg) = shard.legs.get(search.leg) else {
                continue;
            };
            let allowed = allowed_by_shard.map(|allowed| &allowed[number]);
            let current;
            let allowed = match search.vectors {
                VectorsWanted::Current if !leg.stale.is_empty() => {
                    current = without_stale(leg, allowed, shard.documents.slots());
                    Some(&current)
                }
                VectorsWanted::Current | VectorsWanted::Any => allowed,
            };
            let found = leg.search(query, depth, search.effort, allowed, &search.deadline);
            for hit in found {
                let score = match asked {
                    Some(_) => asked::similarity(field.metric, hit.score),
                    None => hit.score,
                };
                hits.extend(scored(snapshot, number, hit.slot, score, hit.span));
            }
        }
        hits.sort_unstable_by(|a, b| best_first((a.score, a.document), (b.score, b.document)));
        hits.truncate(depth);
        Ok(hits)
    }
}

/// The first `limit` documents of a result by their fields. Those that were ranked keep what the legs say of them.
fn in_order<'s>(
    snapshot: &'s Snapshot,
    whole: &Whole,
    (keys, asked): (&[SortKey], Option<&Asked>),
    ranked: &[Fused<'s>],
    limit: usize,
) -> Result<Vec<Listed<'s>>, QueryError> {
    let scores = Scores::of(ranked);
    let sorted = match asked.and_then(|asked| Some((asked.after.as_deref()?, asked.after_key.as_deref()))) {
        None => sorted(snapshot, whole, keys, &scores, limit)?,
        Some((after, after_key)) => {
            let mut all = sorted(snapshot, whole, keys, &scores, usize::MAX)?;
            all.retain(|document| document.is_behind(keys, after, after_key));
            all.truncate(limit);
            all
        }
    };
    let listed = sorted.into_iter().map(|sorted| Listed {
        hit: match scores.place(sorted.document).and_then(|place| ranked.get(place)) {
            Some(hit) => *hit,
            None => Fused {
                document: sorted.document,
                score: 0.0,
                keyword: None,
                vector: None,
                span: Span::WHOLE,
            },
        },
        values: sorted.values,
        reranked: None,
    });
    Ok(listed.collect())
}

/// The slots that are in both, by shard; `None`: all.
pub(super) fn intersection(
    one: Option<Vec<RoaringBitmap>>,
    other: Option<Vec<RoaringBitmap>>,
) -> Option<Vec<RoaringBitmap>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(
            one.into_iter()
                .zip(other)
                .map(|(one, other)| one & other)
                .collect(),
        ),
        (one, other) => one.or(other),
    }
}

/// The slots of each shard that the filter lets through; a panic is an error.
pub(super) fn guarded(snapshot: &Snapshot, filter: &Expression) -> Result<Vec<RoaringBitmap>, String> {
    guard(|| allowed(snapshot, filter))
}

fn allowed(snapshot: &Snapshot, filter: &Expression) -> Result<Vec<RoaringBitmap>, String> {
    let bitmaps = snapshot.shards.iter().map(|shard| {
        let document = |slot| shard.documents.get(slot).cloned();
        shard.keyword.filter(filter, &document)
    });
    bitmaps
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// The slots that are allowed, less those whose vector is that of a text before.
fn without_stale(leg: &LegState, allowed: Option<&RoaringBitmap>, slots: usize) -> RoaringBitmap {
    let all = || (0..slots as u32).collect();
    let mut current = allowed.cloned().unwrap_or_else(all);
    for slot in &leg.stale {
        current.remove(slot.0);
    }
    current
}

/// The vector of a query's text, or `None` where it is near to nothing.
fn meaning(field: &SearchedField, text: &str, deadline: &Deadline) -> Result<Option<Arc<[f32]>>, String> {
    // As for documents, a text without words is not embedded.
    if text.trim().is_empty() {
        return Ok(None);
    }
    let vector = embed(field, text, deadline)?;
    // The model may know none of the words.
    let has_no_direction = field.metric == Metric::Cosine && vector.iter().all(|&number| number == 0.0);
    Ok(Some(vector).filter(|_| !has_no_direction))
}

/// The vector of a query's text.
pub(super) fn embed(field: &SearchedField, text: &str, deadline: &Deadline) -> Result<Arc<[f32]>, String> {
    let Some(queries) = &field.queries else {
        return Err(
            "the index has ready-made vectors, and no model that embeds `query`: give `vector`".to_owned(),
        );
    };
    queries.embed(text, deadline)
}

/// A leg's hit with its document. The snapshot holds one for every slot that its legs know.
fn scored(snapshot: &Snapshot, shard: usize, slot: Slot, score: f32, span: Span) -> Option<Scored<'_>> {
    let document = snapshot.document_at(shard, slot).map(Arc::as_ref);
    debug_assert!(
        document.is_some(),
        "{slot:?} of shard {shard} was found and has no document"
    );
    document.map(|document| Scored {
        document,
        score,
        span,
    })
}

pub(super) const PANICKED: &str = "it panicked; the log says where";

/// Runs `part` so that its panic is its failure, not the node's. It only reads, so nothing is left half done.
pub(super) fn guard<T>(part: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|_| Err(PANICKED.to_owned()))
}

pub(super) fn filter_failed(reason: String) -> QueryError {
    QueryError::unavailable("filter_failed", format!("the filter could not be run: {reason}"))
}

fn unavailable(failed: &[FailedLeg]) -> QueryError {
    let legs: Vec<String> = failed
        .iter()
        .map(|failed| format!("{} leg: {}", failed.leg.name(), failed.reason))
        .collect();
    QueryError::unavailable("unavailable", format!("no leg could answer: {}", legs.join("; ")))
}

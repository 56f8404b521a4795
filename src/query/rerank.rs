//! The best hits of a search in the order of a re-ranker, in bounded time.
//!
//! Re-ranking comes behind fusion and before groups. It is an improvement that a search can do without: where it takes
//! too long or fails, hits stay as they are, and the answer says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use xxhash_rust::xxh3::Xxh3;

use super::calls::{CALLS_MAX, Calls, NoAnswer, Numbers};
use super::group::Grouping;
use super::{QueryError, SearchRequest, Searcher, ServiceHealth};
use crate::change::Row;
use crate::definition::RerankerSettings;
use crate::index::Deadline;
use crate::rerank::Reranker;

/// Of a query or a document's text: more than any model reads, and a bound to what a request holds.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// For scores of recent searches, some ten thousand of 50 hits: further pages and the same search again need no model.
const RECENT_BYTES_MAX: usize = 4 << 20;

/// Whether, and how, the best hits are re-ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = r#"`rerank` is true, false or {"window": a number of hits, "timeout_ms": a time}"#
)]
pub enum RerankRequest {
    /// `true`: as the dataflow file says.
    Wanted(bool),
    With(RerankOptions),
}

/// What of the dataflow file's `[reranker]` is otherwise for this search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RerankOptions {
    /// How many of the best hits are compared with the query, 1 to 200; the others stay behind them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// How many milliseconds the search waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What came of re-ranking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reranked {
    /// How many of the best hits are in their order by it. None where a page is behind all that are compared.
    pub hits: usize,
    /// Why hits are as they were before; absent where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// How long the search has waited for it.
    #[serde(skip)]
    pub took: Duration,
}

impl Reranked {
    pub(super) fn skipped(reason: impl Into<String>) -> Reranked {
        Reranked {
            skipped: Some(reason.into()),
            ..Reranked::default()
        }
    }
}

/// How the re-ranker saw a hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HitRerank {
    /// How well the document answers the query; for local models, and most services, from 0 to 1.
    pub score: f32,
    /// The place of the hit without it: 1 is the best.
    pub rank_before: usize,
}

/// The re-ranker of an index. Clones share its calls.
#[derive(Clone)]
pub(super) struct IndexReranker(Arc<Shared>);

struct Shared {
    reranker: Arc<dyn Reranker>,
    settings: RerankerSettings,
    /// A replay waits for as long as it takes.
    is_patient: bool,
    calls: Calls,
}

impl IndexReranker {
    pub fn new(reranker: Arc<dyn Reranker>, settings: RerankerSettings) -> IndexReranker {
        IndexReranker::with(reranker, settings, false)
    }

    /// The same, but never out of time.
    pub fn patient(&self) -> IndexReranker {
        IndexReranker::with(self.0.reranker.clone(), self.0.settings.clone(), true)
    }

    /// How the service behind it is doing; `None` where there is none.
    pub fn health(&self) -> Option<ServiceHealth> {
        self.0.reranker.health().map(ServiceHealth::from)
    }

    fn with(reranker: Arc<dyn Reranker>, settings: RerankerSettings, is_patient: bool) -> IndexReranker {
        IndexReranker(Arc::new(Shared {
            reranker,
            settings,
            is_patient,
            calls: Calls::new("rerank", RECENT_BYTES_MAX),
        }))
    }
}

/// A search's wish to have its best hits re-ranked.
pub(super) struct Rerank {
    by: IndexReranker,
    query: String,
    pub window: usize,
    timeout: Duration,
}

/// # Errors
///
/// | code            | what is wrong                                                                        |
/// |-----------------|--------------------------------------------------------------------------------------|
/// | `no_reranker`   | nothing re-ranks here                                                                |
/// | `missing_query` | there are no words to compare documents with                                         |
/// | `bad_rerank`    | a number is out of range, or `sort` or `mmr` says the order of hits                  |
pub(super) fn plan(
    searcher: &Searcher,
    request: &SearchRequest,
    query: Option<&str>,
) -> Result<Option<Rerank>, QueryError> {
    let options = match request.rerank {
        None | Some(RerankRequest::Wanted(false)) => return Ok(None),
        Some(RerankRequest::Wanted(true)) => RerankOptions::default(),
        Some(RerankRequest::With(options)) => options,
    };
    let bad = |message: String, hint: String| Err(QueryError::new("bad_rerank", message, hint));
    let Some(by) = &searcher.reranker else {
        return Err(QueryError::new(
            "no_reranker",
            "`rerank` is given, and the index has no re-ranker",
            "name one in the dataflow file: `[reranker]` with `model` and `text`; a replay has none",
        ));
    };
    let Some(query) = query.filter(|query| !query.trim().is_empty()) else {
        return Err(QueryError::new(
            "missing_query",
            "`rerank` compares documents with `query`, and there is none",
            "give `query`, beside `vector` or `like` too, or leave `rerank` out",
        ));
    };
    for (name, is_given) in [("sort", request.sort.is_some()), ("mmr", request.mmr.is_some())] {
        if is_given {
            return bad(
                format!("`rerank` and `{name}` both say the order of hits"),
                "give one of them".to_owned(),
            );
        }
    }
    let settings = &by.0.settings;
    let window = options.window.unwrap_or(settings.window);
    if !(1..=RerankerSettings::WINDOW_MAX).contains(&window) {
        return bad(
            format!("`rerank.window` is {window}"),
            format!("give 1 to {}, or leave it out", RerankerSettings::WINDOW_MAX),
        );
    }
    let longest = searcher.limits.timeout_max;
    let timeout = options.timeout_ms.map(Duration::from_millis);
    if let Some(timeout) = timeout.filter(|timeout| timeout.is_zero() || *timeout > longest) {
        return bad(
            format!("`rerank.timeout_ms` is {}", timeout.as_millis()),
            format!("give 1 to {}, or leave it out", longest.as_millis()),
        );
    }
    Ok(Some(Rerank {
        by: by.clone(),
        query: cut(query).to_owned(),
        window,
        timeout: timeout.unwrap_or(settings.timeout),
    }))
}

/// A hit's place in the list before, from 0, and its score. `None`: its document has no text to compare.
pub(super) type Placed = (usize, Option<f32>);

impl Rerank {
    /// Whether the page shows any hit that is compared.
    pub fn is_seen(&self, offset: usize, limit: usize, grouping: Grouping) -> bool {
        limit > 0 && (offset < self.window || grouping != Grouping::None)
    }

    /// The best hits in their new order: by score, ties as before, those without a text behind. The search has
    /// waited so long already.
    ///
    /// # Errors
    /// Why they stay as they are.
    pub fn order<'r>(
        &self,
        rows: impl Iterator<Item = &'r Row>,
        waited: Duration,
        deadline: &Deadline,
    ) -> Result<Vec<Placed>, String> {
        let Shared {
            reranker,
            settings,
            is_patient,
            calls,
        } = &*self.by.0;
        let rows: Vec<Option<String>> = rows.map(|row| settings.text.render(row)).collect();
        let texts: Vec<String> = rows.iter().flatten().map(|text| cut(text).to_owned()).collect();
        let mut timeout = self.timeout.saturating_sub(waited);
        if let Some(left) = deadline.left() {
            timeout = timeout.min(left);
        }
        if !is_patient && timeout.is_zero() {
            deadline.is_over();
            return Err(late(self.timeout));
        }
        if texts.is_empty() {
            return Ok((0..rows.len()).map(|place| (place, None)).collect());
        }
        // A call goes on for as long again: what comes a little late is there for the next search. And who asks for less time
        // than usual does not make the service fail for others.
        let until = (!is_patient).then(|| Instant::now() + 2 * self.timeout.max(settings.timeout));
        let wait = (!is_patient).then_some(timeout);
        let scores = calls.get(hash(&self.query, &texts), wait, deadline, || {
            let (reranker, query) = (reranker.clone(), self.query.clone());
            Box::new(move || scores(&*reranker, &query, &texts, until))
        });
        let scores = scores.map_err(|why| match why {
            NoAnswer::Late(time) => late(waited + time),
            NoAnswer::TooMany => format!(
                "model {} has not answered the last {CALLS_MAX} searches yet",
                reranker.model()
            ),
            NoAnswer::Failed(reason) => reason,
        })?;
        let mut scores = scores.iter().copied();
        let places = rows.iter().enumerate();
        let mut placed: Vec<Placed> = places
            .map(|(place, text)| (place, text.as_ref().and_then(|_| scores.next())))
            .collect();
        // Stable, and no score is below all others. There are no NaNs.
        placed.sort_by(|(_, one), (_, other)| {
            let key = |score: &Option<f32>| score.unwrap_or(f32::NEG_INFINITY);
            key(other).total_cmp(&key(one))
        });
        Ok(placed)
    }

    /// A score as it is shown.
    pub fn shown(&self, score: f32) -> f32 {
        self.by.0.reranker.shown(score)
    }

    /// What made the scores, and what of a row it has read.
    pub fn explain(&self, row: &Row) -> (String, Option<String>) {
        let Shared {
            reranker, settings, ..
        } = &*self.by.0;
        let text = settings.text.render(row).map(|text| cut(&text).to_owned());
        (reranker.model().to_owned(), text)
    }
}

fn late(time: Duration) -> String {
    format!("not within {} ms", time.as_millis())
}

/// The re-ranker may be a user's own, and its mistake must not reach the order of hits.
fn scores(
    reranker: &dyn Reranker,
    query: &str,
    texts: &[String],
    until: Option<Instant>,
) -> Result<Numbers, String> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let scores = reranker.scores(query, &texts, until);
    let scores = scores.map_err(|error| error.to_string())?;
    match scores.len() == texts.len() && scores.iter().all(|score| score.is_finite()) {
        true => Ok(scores.into()),
        false => Err(format!(
            "model {} did not give one finite score for each text",
            reranker.model()
        )),
    }
}

/// Of what is compared. Lengths keep texts apart.
fn hash(query: &str, texts: &[String]) -> u128 {
    let mut hash = Xxh3::new();
    for text in [query].into_iter().chain(texts.iter().map(String::as_str)) {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.digest128()
}

/// As much of a text as is compared.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX))
        .unwrap_or(text)
}

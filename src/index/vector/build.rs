//! Builds a graph: inserts rows into layers of links, a batch at a time.
//!
//! HNSW (Malkov and Yashunin, 2016) with the batches of ParlayANN (Manohar et al., 2024): every row of a batch looks for
//! its neighbours in the graph as it was before, then all links are made, each list by one thread. So threads share
//! nothing that changes, and the graph is the same however many they are.

use std::sync::atomic::{AtomicBool, Ordering};

use super::beam::Beam;
use super::codes::{Rows, Scores};
use super::links::Open;
use super::nearest::Scored;
use super::threads;

/// What a graph is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphSettings {
    /// Links that a row chooses when it is inserted. It has at most as many in the sparse layers, and twice as many in
    /// the lowest. HNSW's M.
    pub links: usize,
    /// Candidates among which they are chosen. HNSW's efConstruction.
    pub width: usize,
}

impl Default for GraphSettings {
    fn default() -> Self {
        GraphSettings {
            links: 16,
            width: 128,
        }
    }
}

impl GraphSettings {
    /// The most links that a row has in a layer.
    pub fn links_max(&self, layer: usize) -> usize {
        if layer == 0 { 2 * self.links } else { self.links }
    }
}

/// A batch has at most this share of the rows inserted before: its rows do not see each other.
const BATCH_SHARE: usize = 50;

/// And at most this share of the fresh rows inserted before: if those are alike, a new topic, each must see others of it.
const BATCH_SHARE_FRESH: usize = 8;

/// Links to rows of the very same code. More would leave no room for ways out of a crowd of them.
const TWINS_MAX: usize = 4;

/// The layers of a graph while rows are inserted. Layer 0 has all rows, and each above has the first so many of the
/// rows below.
pub struct Layers {
    pub(super) layers: Vec<Open>,
    settings: GraphSettings,
}

impl Layers {
    /// Layers, from the lowest up, with these numbers of rows, and without links.
    pub fn new(rows: &[usize], settings: GraphSettings) -> Layers {
        let layers = rows.iter().enumerate().map(|(layer, &rows)| {
            let most = settings.links_max(layer);
            // Room for half as many more: the best are chosen once for several that come.
            Open::new(rows, most + most / 2)
        });
        Layers {
            layers: layers.collect(),
            settings,
        }
    }

    /// The highest layer that has the row.
    fn level(&self, row: u32) -> usize {
        let above = self.layers.iter().skip(1);
        above.take_while(|layer| (row as usize) < layer.rows()).count()
    }

    /// Links rows, ascending, that have no links yet; all others have been linked before.
    ///
    /// Whether it came to the end, rather than being told to stop.
    pub fn insert(&mut self, rows: &Rows, mut fresh: &[u32], threads: usize, stop: &AtomicBool) -> bool {
        let before: Vec<Vec<u8>> = self.layers.iter().map(|layer| layer.lens().to_vec()).collect();
        let (mut inserted, mut done) = (rows.len() - fresh.len(), 0);
        let gap = (0..).zip(fresh).find(|(row, fresh)| row != *fresh);
        let mut entry = match gap {
            Some((row, _)) => Some(row),
            None => (inserted > 0).then_some(fresh.len() as u32),
        };
        while !fresh.is_empty() {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let batch;
            let seen = (inserted / BATCH_SHARE).min(done / BATCH_SHARE_FRESH);
            (batch, fresh) = fresh.split_at(seen.clamp(1, fresh.len()));
            if let Some(entry) = entry {
                let mut plans: Vec<Plan> = Vec::new();
                plans.resize_with(batch.len(), Plan::new);
                let places = batch.iter().zip(&mut plans).collect();
                threads::for_each(places, threads, Memory::default, |memory, (&row, plan)| {
                    *plan = self.plan(rows, row, entry, memory);
                });
                for layer in 0..self.layers.len() {
                    self.link(rows, layer, batch, &plans, threads);
                }
            }
            // Rows are in the order of their levels, so the first one is on top of all.
            entry = entry.into_iter().chain(batch.first().copied()).min();
            inserted += batch.len();
            done += batch.len();
        }
        self.shorten(rows, &before, threads);
        true
    }

    /// The neighbours that a row chooses, in each of its layers, from the lowest up.
    fn plan(&self, rows: &Rows, row: u32, entry: u32, memory: &mut Memory) -> Plan {
        let query = rows.as_query(row as usize);
        let (level, top) = (self.level(row), self.level(entry));
        let mut here = rows.score(&query, entry);
        for layer in (level + 1..=top).rev() {
            here = memory.beam.descend(rows, &self.layers[layer], &query, here);
        }
        let mut plan = vec![Vec::new(); level.min(top) + 1];
        let mut start = vec![here.id];
        for (layer, chosen) in plan.iter_mut().enumerate().rev() {
            let links = &self.layers[layer];
            memory.candidates = memory
                .beam
                .search(rows, links, &query, &start, self.settings.width.into());
            start.clear();
            start.extend(memory.candidates.iter().take(4).map(|found| found.id));
            memory.choose(rows, row, self.settings.links, chosen);
        }
        plan
    }

    /// Gives the rows of a batch the links that they have chosen, and those they have chosen a link back.
    fn link(&mut self, rows: &Rows, layer: usize, batch: &[u32], plans: &[Plan], threads: usize) {
        let most = self.settings.links_max(layer);
        let mut back = Vec::new();
        for (&row, plan) in batch.iter().zip(plans) {
            let Some(chosen) = plan.get(layer) else { continue };
            back.extend(chosen.iter().map(|&target| (target, row)));
            self.layers[layer].list_mut(row).set(chosen.iter().copied());
        }
        back.sort_unstable();
        let mut groups = back.chunk_by(|a, b| a.0 == b.0).peekable();
        let mut work = Vec::new();
        for (row, list) in (0..).zip(self.layers[layer].lists_mut()) {
            if let Some(group) = groups.next_if(|group| group[0].0 == row) {
                work.push((row, list, group));
            }
        }
        threads::for_each(
            work,
            threads,
            Memory::default,
            |memory, (row, mut list, group)| {
                let mut sources = group.iter().map(|&(_, source)| source);
                while let Some(source) = sources.next() {
                    if !list.push(source) {
                        let all = list.rows().iter().copied().chain([source]).chain(sources);
                        list.set(memory.best(rows, row, all.collect(), most));
                        return;
                    }
                }
            },
        );
    }

    /// Cuts lists that have come to more links than a search should follow. One as long as before is the same: what it
    /// has too many leads to islands.
    fn shorten(&mut self, rows: &Rows, before: &[Vec<u8>], threads: usize) {
        for (layer, (links, before)) in self.layers.iter_mut().zip(before).enumerate() {
            let most = self.settings.links_max(layer);
            let lists = (0..).zip(links.lists_mut()).zip(before);
            let long = lists.filter_map(|((row, list), &before)| {
                let len = list.rows().len();
                (len > most && len != usize::from(before)).then_some((row, list))
            });
            let long = long.collect();
            threads::for_each(long, threads, Memory::default, |memory, (row, mut list)| {
                let all = list.rows().to_vec();
                list.set(memory.best(rows, row, all, most));
            });
        }
    }
}

/// Chosen neighbours by layer, from the lowest up.
type Plan = Vec<Vec<u32>>;

/// What a thread works with.
#[derive(Default)]
struct Memory {
    beam: Beam,
    scores: Scores,
    /// Best first.
    candidates: Vec<Scored>,
}

impl Memory {
    /// The best `most` neighbours of a row among these.
    fn best(&mut self, rows: &Rows, row: u32, all: Vec<u32>, most: usize) -> Vec<u32> {
        rows.scores_at(&rows.as_query(row as usize), &all, &mut self.scores);
        self.candidates.clear();
        let scored = all.iter().zip(&self.scores.values);
        self.candidates
            .extend(scored.map(|(&id, &score)| Scored { score, id }));
        self.candidates.sort_unstable_by(|a, b| b.cmp(a));
        let mut chosen = Vec::with_capacity(most);
        self.choose(rows, row, most, &mut chosen);
        chosen
    }

    /// Chooses among the candidates those to which no chosen one is nearer than the row is: so links lead into
    /// all directions. HNSW's `SELECT-NEIGHBORS-HEURISTIC`.
    fn choose(&mut self, rows: &Rows, row: u32, most: usize, chosen: &mut Vec<u32>) {
        let candidates = &mut self.candidates;
        let (mut first, mut twins) = (0, 0);
        let mut ids = Vec::with_capacity(candidates.len());
        while let Some(next) = candidates.get(first)
            && chosen.len() < most
        {
            first += 1;
            let next = next.id;
            if rows.are_twins(next, row) {
                twins += 1;
                if twins > TWINS_MAX {
                    continue;
                }
            }
            chosen.push(next);
            ids.clear();
            ids.extend(candidates[first..].iter().map(|candidate| candidate.id));
            rows.scores_at(&rows.as_query(next as usize), &ids, &mut self.scores);
            let mut kept = first;
            for (place, &score) in (first..).zip(&self.scores.values) {
                let candidate = candidates[place];
                if score <= candidate.score {
                    candidates[kept] = candidate;
                    kept += 1;
                }
            }
            candidates.truncate(kept);
        }
    }
}

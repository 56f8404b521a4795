//! Applies each tick's documents to this worker's shard and hands its state to the publisher.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, Probe};

use super::collapse::key_hash;
use super::embed::{Embedded, Embedding, OfField};
use super::publish::Publisher;
use crate::change::{Key, Span, Tick};
use crate::index::shard::Update;
use crate::index::{Document, DocumentVector, DocumentVectors, Shard};

type DocumentUpdate = ((Arc<Document>, OfField), isize);

/// Keeps the shard of this worker up to date with the documents whose keys it owns.
///
/// When the probe has passed a tick on all workers, every shard's state of that tick is registered.
pub fn maintain<'scope>(
    documents: Embedded<'scope>,
    shard: Rc<RefCell<Shard>>,
    publisher: Arc<Publisher>,
    probe: &ProbeHandle<Tick>,
) {
    let worker = documents.inner.scope().index();
    let by_owner =
        Exchange::new(|update: &((Arc<Document>, OfField), Tick, isize)| key_hash(&update.0.0.key));
    documents
        .inner
        .unary_frontier::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
            by_owner,
            "Maintain",
            move |_capability, _info| {
                let mut waiting: BTreeMap<Tick, (Capability<Tick>, Vec<DocumentUpdate>)> = BTreeMap::new();
                move |(input, frontier), _output| {
                    input.for_each(|capability, data| {
                        for (document, tick, diff) in data.drain(..) {
                            waiting
                                .entry(tick)
                                .or_insert_with(|| (capability.delayed(&tick, 0), Vec::new()))
                                .1
                                .push((document, diff));
                        }
                    });
                    while let Some(entry) = waiting.first_entry() {
                        if frontier.less_equal(entry.key()) {
                            break;
                        }
                        let (tick, (_capability, updates)) = entry.remove_entry();
                        let mut shard = shard.borrow_mut();
                        let corrections = shard.corrections();
                        if let Err(error) = shard.apply(tick, by_key(updates)) {
                            // Without its keyword leg a worker cannot keep the promise of one cut.
                            panic!("tick {tick}: {error}");
                        }
                        publisher.corrected(shard.corrections() - corrections);
                        publisher.register(tick, worker, shard.state());
                    }
                }
            },
        )
        .probe_with(probe);
}

/// Consolidates a tick's differences: for each key, in key order, the document that there is now with what has changed
/// of its vectors, or none.
///
/// Keys of two types can have one text, `1` and `"1"`: that is one document, and what is there counts.
fn by_key(mut updates: Vec<DocumentUpdate>) -> Vec<Update> {
    differential_dataflow::consolidation::consolidate(&mut updates);
    let mut by_key: Vec<Update> = Vec::with_capacity(updates.len());
    let mut gone: Vec<Vec<(u16, Span)>> = Vec::with_capacity(updates.len());
    let mut places: FxHashMap<String, usize> = FxHashMap::default();
    let mut last: Option<(Key, usize)> = None;
    for ((document, (field, span, embedding)), diff) in updates {
        let key = &document.key;
        // Consolidated updates are sorted by key, so those of one key are neighbours.
        let place = match &last {
            Some((same, place)) if same == key => *place,
            _ => *places.entry(key.text().into_owned()).or_insert_with(|| {
                by_key.push(Update::Remove(key.clone()));
                gone.push(Vec::new());
                by_key.len() - 1
            }),
        };
        last = Some((key.clone(), place));
        if diff > 0 {
            let known = (field, span, embedding.into());
            match &mut by_key[place] {
                Update::Put(same, vectors) if same.key == document.key => vectors.known.push(known),
                other => *other = Update::Put(document, DocumentVectors::from(vec![known])),
            }
        } else if span != Span::WHOLE {
            gone[place].push((field, span));
        }
    }
    for (update, gone) in by_key.iter_mut().zip(gone) {
        if let Update::Put(_, vectors) = update {
            vectors.gone = gone;
        }
    }
    by_key
}

impl From<Embedding> for DocumentVector {
    fn from(embedding: Embedding) -> DocumentVector {
        match embedding {
            Embedding::Absent => DocumentVector::Absent,
            Embedding::Pending => DocumentVector::Pending,
            Embedding::Failed => DocumentVector::Failed,
            Embedding::Known(vector) => DocumentVector::Known(vector),
        }
    }
}

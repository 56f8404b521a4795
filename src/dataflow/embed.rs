//! Joins documents with the vectors of their texts.
//!
//! Vectors are a collection keyed by the hash of (model, text). What documents need and vectors lack is asked of
//! the embedder by the [`Lane`](super::lane::Lane), the only producer of that collection; documents left-join it. So duplicate texts
//! are embedded once, an unchanged text is not embedded again, and a text that nobody needs any more is withdrawn.
//! Vectors travel as `Arc`s: arrangements copy a pointer, never the numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Filter;

use super::collapse::Rows;
use super::lane::{Answer, Arrivals, SharedLane};
use super::latest::SharedLatest;
use super::publish::{LaneState, Publisher};
use crate::change::{DatumRef, Span, TextHash, Tick, Vector};
use crate::definition::ReadyMade;
use crate::index::Document;
use crate::index::snapshot::TextCounters;

/// What is known of a document's vector at a tick.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Embedding {
    /// There is nothing to embed.
    Absent,
    Pending,
    Failed,
    Known(Vector),
}

/// What is searchable: the rows of the view, each with its key.
pub type Documents<'scope> = VecCollection<'scope, Tick, Arc<Document>, isize>;

/// What is known of one vector of a document: the number of the vector field, the part of its text, and what there is.
pub type OfField = (u16, Span, Embedding);

/// Documents, each once with each of their vectors. The index shares them with the arrangements here.
pub type Embedded<'scope> = VecCollection<'scope, Tick, (Arc<Document>, OfField), isize>;

/// The rows of the view as documents, each made once for all who hold it. `latest` is what the worker keeps of the view's
/// table.
pub fn documents(rows: Rows<'_>, latest: SharedLatest) -> Documents<'_> {
    rows.map(move |(key, row)| {
        let origin = latest.borrow().version(&key);
        Arc::new(Document { key, row, origin })
    })
}

/// Documents of an index that has no vector fields.
pub fn without_vectors<'scope>(documents: Documents<'scope>) -> Embedded<'scope> {
    documents.map(|document| (document, (0, Span::WHOLE, Embedding::Absent)))
}

/// Documents with the vectors that they have ready-made in a column.
///
/// A vector of another model than the one that is searched says that one of this is to come: until then the vector leg
/// keeps the former. One of this model that has another length will never do.
pub fn ready_made<'scope>(documents: Documents<'scope>, field: u16, source: ReadyMade) -> Embedded<'scope> {
    documents.map(move |document| {
        let is_wanted = |row| source.model.as_ref().is_none_or(|model| model.made(row));
        let embedding = match document.row.value(source.column) {
            Some(DatumRef::Vector(_)) if !is_wanted(&document.row) => Embedding::Pending,
            Some(DatumRef::Vector(vector)) if vector.len() != source.dimensions => Embedding::Failed,
            Some(DatumRef::Vector(vector)) => Embedding::Known(vector.clone()),
            _ => Embedding::Absent,
        };
        (document, (field, Span::WHOLE, embedding))
    })
}

/// Documents joined with the vectors of their texts.
///
/// `answers` are what the embedders' threads have computed for all lanes; they may come to any worker.
pub fn embed<'scope>(
    documents: Documents<'scope>,
    field: u16,
    answers: Stream<'scope, Tick, Vec<Answer>>,
    lane: SharedLane,
    publisher: Arc<Publisher>,
) -> Embedded<'scope> {
    let hashing = lane.borrow().texts().clone();
    let parts = documents.flat_map(move |document| {
        let parts = hashing.parts(&document.row);
        let nothing = parts
            .is_empty()
            .then_some((None, (document.clone(), Span::WHOLE)));
        let parts = parts
            .into_iter()
            .map(move |(span, hash)| (Some(hash), (document.clone(), span)));
        parts.chain(nothing)
    });
    let nothing_to_embed = parts
        .clone()
        .filter(|(hash, _)| hash.is_none())
        .map(|(_, part)| (part, Embedding::Absent));
    let parts = parts.flat_map(|(hash, part)| Some((hash?, part)));

    let vectors = vectors(parts.clone(), field, answers, lane, publisher).arrange_by_key();
    let known = parts
        .clone()
        .arrange_by_key()
        .join_core(vectors, |_, part, embedding| {
            Some((part.clone(), embedding.clone()))
        });
    // A text has one vector at most, so what the join leaves over is the parts less those it found.
    let pending = |(part, _)| (part, Embedding::Pending);
    let all = parts.map(|(_, part)| (part, Embedding::Pending));
    let left_over = all.concat(known.clone().map(pending).negate());
    let embedded = nothing_to_embed.concat(known).concat(left_over);
    embedded.map(move |((document, span), embedding)| (document, (field, span, embedding)))
}

/// A document, and a part of its text.
type Part = (Arc<Document>, Span);

/// The collection of vectors: of each text that a document needs and the lane has.
fn vectors<'scope>(
    parts: VecCollection<'scope, Tick, (TextHash, Part), isize>,
    field: u16,
    answers: Stream<'scope, Tick, Vec<Answer>>,
    lane: SharedLane,
    publisher: Arc<Publisher>,
) -> VecCollection<'scope, Tick, (TextHash, Embedding), isize> {
    let worker = parts.inner.scope().index();
    let mine = lane.borrow().texts().lane();
    let answers = answers.filter(move |answer| answer.hash.lane() == mine);
    let by_text = Exchange::new(|((hash, _), _, _): &((TextHash, Part), Tick, isize)| hash.0 as u64);
    let by_answered = Exchange::new(|answer: &Answer| answer.hash.0 as u64);
    parts
        .inner
        .binary_frontier::<_, CapacityContainerBuilder<Vec<((TextHash, Embedding), Tick, isize)>>, _, _, _, _>(
            answers,
            by_text,
            by_answered,
            "Vectors",
            move |_capability, _info| {
                let mut waiting: BTreeMap<Tick, (Capability<Tick>, Arrivals)> = BTreeMap::new();
                let mut total = TextCounters::default();
                move |(parts, parts_frontier), (answers, answers_frontier), output| {
                    parts.for_each(|capability, data| {
                        for ((hash, (document, span)), tick, diff) in data.drain(..) {
                            waiting
                                .entry(tick)
                                .or_insert_with(|| (capability.delayed(&tick, 0), Arrivals::default()))
                                .1
                                .document(hash, &document, span, diff);
                        }
                    });
                    answers.for_each(|capability, data| {
                        waiting
                            .entry(*capability.time())
                            .or_insert_with(|| (capability.retain(0), Arrivals::default()))
                            .1
                            .answers(data.drain(..));
                    });
                    let mut lane = lane.borrow_mut();
                    while let Some(entry) = waiting.first_entry() {
                        if parts_frontier.less_equal(entry.key()) || answers_frontier.less_equal(entry.key()) {
                            break;
                        }
                        let (tick, (capability, arrivals)) = entry.remove_entry();
                        let mut session = output.session(&capability);
                        let counted = lane.settle(arrivals, &mut |hash, embedding, diff| {
                            session.give(((hash, embedding), tick, diff));
                        });
                        publisher.count(tick, |counts| counts.texts += counted);
                        total += counted;
                    }
                    let state = LaneState {
                        waiting: lane.backlog(),
                        known: lane.known(),
                        embedded: total.embedded,
                        tokens: total.tokens,
                    };
                    publisher.note_lane((worker, field), state);
                }
            },
        )
        .as_collection()
}

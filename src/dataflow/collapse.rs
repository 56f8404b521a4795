//! Keeps, for each key, the row with the greatest version.
//!
//! Changes arrive in any order, any number of times; within a tick they fold into at most one retraction and one
//! insertion per key. The fold itself is [`Latest`](super::latest::Latest); here is the operator around it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, Concat, ConnectLoop, Enter, LoopVariable, OkErr};
use timely::order::Product;
use timely::progress::Timestamp;

use super::latest::{Arrived, Effect, SharedLatest};
use super::publish::Publisher;
use crate::change::{Change, Key, Operation, Row, Tick};

/// A collection of rows by key: what a table shows.
pub type Rows<'scope> = VecCollection<'scope, Tick, (Key, Row), isize>;

/// The latest row of each key, which `latest` keeps: this worker's share of it.
///
/// Changes may come to any worker; those of one key meet at its owner. Where rows can have unavailable values,
/// one that moved its key goes to the owner of the old key first, which completes it, and then, within the
/// same tick, to the owner of the new one.
pub fn collapse<'scope>(
    changes: Stream<'scope, Tick, Vec<Change>>,
    latest: SharedLatest,
    publisher: Arc<Publisher>,
) -> Rows<'scope> {
    let keep = latest.borrow().keep();
    let scope = changes.scope();
    let workers = scope.peers() as u64;
    let routed = changes.flat_map(move |change| route(change, workers));
    if !keep.unavailable_values {
        return fold(routed, latest, publisher).0;
    }
    scope.iterative::<u32, _, _>(|rounds| {
        let (again, forwarded) = rounds.loop_variable(1);
        let (rows, forward) = fold(routed.enter(rounds).concat(forwarded), latest, publisher);
        forward.connect_loop(again);
        rows.leave(scope)
    })
}

/// A change on its way to the worker that owns its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Routed {
    route: u64,
    change: Change,
}

/// A change goes to one worker; a truncate to all.
fn route(change: Change, workers: u64) -> impl Iterator<Item = Routed> {
    let (first, copies) = match change.operation {
        Operation::Truncate => (0, workers as usize),
        _ => (owner(&change), 1),
    };
    std::iter::repeat_n(change, copies)
        .zip(first..=u64::MAX)
        .map(|(change, route)| Routed { route, change })
}

fn owner(change: &Change) -> u64 {
    key_hash(change.moved_from.as_ref().unwrap_or(&change.key))
}

/// Where a key lives: the same on every worker and in every run.
///
/// Keys of one text share a worker whatever their types, so a text names one document.
pub(super) fn key_hash(key: &Key) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    key.text().hash(&mut hasher);
    hasher.finish()
}

/// A timestamp inside a tick.
trait WithinTick: Timestamp {
    fn tick(&self) -> Tick;
    fn round(&self) -> u32;
}

impl WithinTick for Tick {
    fn tick(&self) -> Tick {
        *self
    }

    fn round(&self) -> u32 {
        0
    }
}

impl WithinTick for Product<Tick, u32> {
    fn tick(&self) -> Tick {
        self.outer
    }

    fn round(&self) -> u32 {
        self.inner
    }
}

type RowUpdate<T> = ((Key, Row), T, isize);

/// The operator: rows that change, and changes to be given to another key's owner.
fn fold<'scope, T: WithinTick + differential_dataflow::lattice::Lattice>(
    changes: Stream<'scope, T, Vec<Routed>>,
    latest: SharedLatest,
    publisher: Arc<Publisher>,
) -> (
    VecCollection<'scope, T, (Key, Row), isize>,
    Stream<'scope, T, Vec<Routed>>,
) {
    let by_owner = Exchange::new(|routed: &Routed| routed.route);
    let effects = changes
        .unary_frontier::<CapacityContainerBuilder<Vec<Result<RowUpdate<T>, Box<Routed>>>>, _, _, _>(
            by_owner,
            "Collapse",
            move |_capability, _info| {
                let keep = latest.borrow().keep();
                let mut waiting: BTreeMap<T, (Capability<T>, Arrived)> = BTreeMap::new();
                move |(input, frontier), output| {
                    input.for_each(|capability, data| {
                        let (_, arrived) = waiting
                            .entry(capability.time().clone())
                            .or_insert_with(|| (capability.retain(0), Arrived::default()));
                        for routed in data.drain(..) {
                            arrived.add(routed.change, &keep);
                        }
                    });
                    while let Some(entry) = waiting.first_entry() {
                        // A tick's last round comes before the next tick's first.
                        let earlier_tick = |time: &T| time.tick() < entry.key().tick();
                        if frontier.less_equal(entry.key()) || frontier.frontier().iter().any(earlier_tick) {
                            break;
                        }
                        let (time, (capability, arrived)) = entry.remove_entry();
                        let mut session = output.session(&capability);
                        let mut latest = latest.borrow_mut();
                        let writes =
                            latest.settle(time.tick(), time.round(), arrived, &mut |effect| match effect {
                                Effect::Retract(key, row) => session.give(Ok(((key, row), time.clone(), -1))),
                                Effect::Insert(key, row) => session.give(Ok(((key, row), time.clone(), 1))),
                                Effect::Forward(change) => session.give(Err(Box::new(Routed {
                                    route: owner(&change),
                                    change,
                                }))),
                            });
                        publisher.count(time.tick(), |counts| counts.writes += writes);
                    }
                }
            },
        );
    let (rows, forward) = effects.ok_err(|effect| effect);
    (rows.as_collection(), forward.map(|routed| *routed))
}

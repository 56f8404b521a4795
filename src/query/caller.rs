//! Who asks, as far as an answer depends on it.
//!
//! A [`Searcher`] answers for one caller, so that no way to ask can forget whom it is for. Without one it is for nobody
//! in particular: of an index that has tenants it shows nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use super::{ErrorKind, QueryError, Searcher, filter};
use crate::change::{Datum, Row};
use crate::definition::expression::Comparison;
use crate::definition::{Expression, Filters, Index};
use crate::index::Snapshot;

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Who it is, where callers share what there is little of.
    pub sharer: Arc<str>,
    pub tenants: Tenants,
    /// Documents for which it is not true are not there for this caller.
    pub filter: Option<Arc<Expression>>,
    /// What its searches have cost so far, for who limits that.
    pub spent: Spent,
}

/// Whose documents somebody sees, where documents belong to tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    #[default]
    None,
    One(Arc<str>),
    All,
}

/// Time that searches and looks at documents have taken.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<AtomicU64>);

impl Spent {
    /// Does the work, and adds the time that it takes.
    pub fn on<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.add(started.elapsed());
        done
    }

    pub(super) fn add(&self, time: Duration) {
        // A document is found in less than a microsecond. 64 bits of nanoseconds are 584 years.
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What has been added since the last time.
    pub fn take(&self) -> Duration {
        Duration::from_nanos(self.0.swap(0, Ordering::Relaxed))
    }
}

/// What of an index is there for a caller.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    All,
    Nothing,
    /// The documents for which it is true. It names fields of the index only.
    Only(Arc<Expression>),
}

impl Sight {
    /// # Errors
    /// The caller's filter names what is no field of the index.
    pub fn of(caller: &Caller, index: &Index) -> Result<Sight, QueryError> {
        let bound = |condition: Expression| {
            let filters = Filters {
                fields: &index.fields,
                now: None,
            };
            filters.filter(condition).map_err(filter::fault)
        };
        let own = match (&index.tenant, &caller.tenants) {
            (None, Tenants::None | Tenants::All) | (Some(_), Tenants::All) => None,
            (Some(field), Tenants::One(tenant)) => Some(Expression::Compare {
                op: Comparison::Equal,
                left: Box::new(Expression::Column(field.clone())),
                right: Box::new(Expression::Literal(Datum::text(tenant))),
            }),
            // A tenant of an index without tenants: which documents are theirs is not known.
            (Some(_), Tenants::None) | (None, Tenants::One(_)) => return Ok(Sight::Nothing),
        };
        let both = match (own, caller.filter.as_deref().cloned()) {
            (Some(own), Some(filter)) => Some(Expression::And(Box::new(own), Box::new(filter))),
            (own, filter) => own.or(filter),
        };
        Ok(match both {
            None => Sight::All,
            Some(condition) => Sight::Only(Arc::new(bound(condition)?)),
        })
    }

    /// Whether a document with this row is there.
    pub fn admits(&self, row: &Row) -> bool {
        match self {
            Sight::All => true,
            Sight::Nothing => false,
            Sight::Only(condition) => condition.is_true(row),
        }
    }

    /// The condition that all hits of a search satisfy, if there is one.
    pub fn population(&self) -> Result<Option<Expression>, QueryError> {
        match self {
            Sight::All => Ok(None),
            Sight::Only(condition) => Ok(Some(Expression::clone(condition))),
            Sight::Nothing => Err(QueryError {
                kind: ErrorKind::Forbidden,
                ..QueryError::new(
                    "no_tenant",
                    "the documents of this index belong to tenants, and the request is of none",
                    "ask with a key or token that has a tenant",
                )
            }),
        }
    }

    /// The slots that are there, by shard; `None`: all.
    ///
    /// What cannot be read is not there.
    pub fn slots(&self, snapshot: &Snapshot) -> Option<Vec<RoaringBitmap>> {
        match self {
            Sight::All => None,
            Sight::Nothing => Some(vec![RoaringBitmap::new(); snapshot.shards.len()]),
            Sight::Only(condition) => {
                Some(super::run::guarded(snapshot, condition).unwrap_or_else(|reason| {
                    tracing::error!(%reason, "what a caller may see could not be found out");
                    vec![RoaringBitmap::new(); snapshot.shards.len()]
                }))
            }
        }
    }
}

impl Searcher {
    /// The same index as a caller sees it: documents that are not the caller's are not there.
    ///
    /// # Errors
    /// The caller's filter names what is no field of the index.
    pub fn seen_by(&self, caller: &Caller) -> Result<Searcher, QueryError> {
        Ok(Searcher {
            sharer: caller.sharer.clone(),
            sight: Sight::of(caller, &self.index)?,
            spent: caller.spent.clone(),
            ..self.clone()
        })
    }

    /// The same index as who runs the node sees it: all documents of all tenants.
    pub fn seen_by_operator(&self) -> Searcher {
        Searcher {
            sight: Sight::All,
            ..self.clone()
        }
    }
}

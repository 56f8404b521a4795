//! What a search answers, as JSON: hits with their documents, and the cut of the stream they belong to.

mod hit;
mod as_of;
mod document;
mod stats;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facets::FacetAnswer;
use super::rerank::Reranked;
use super::whole::Total;
pub use as_of::{AsOf, OldestHeld};
pub use document::DocumentAnswer;
pub use hit::{Hit, HitOrigin, LegHit, Piece, VectorState};
pub use stats::{OwnStats, ServiceHealth, Stats};

/// The hits of a search, best first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SearchAnswer {
    /// Empty where there are `groups`.
    pub hits: Vec<Hit>,
    /// Where `group_by` was given: those of the best hits first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// Where `total` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Total>,
    /// Where `facets` were given, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, FacetAnswer>,
    pub as_of: AsOf,
    /// Milliseconds that the search took; absent in a replay, whose output must not depend on time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Asks for the next page, where there is one and the search goes by pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether time was over before everything was looked at: there may be better hits. Absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// Where `rerank` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Reranked>,
    /// The legs that were asked and could not answer; absent where none failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedLeg>,
}

/// The hits that have one value of the field that they are grouped by.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Null for hits without a value.
    pub value: serde_json::Value,
    pub hits: Vec<Hit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    Keyword,
    Vector,
}

impl Leg {
    pub(super) fn name(self) -> &'static str {
        match self {
            Leg::Keyword => "keyword",
            Leg::Vector => "vector",
        }
    }
}

/// A leg that was asked and could not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedLeg {
    pub leg: Leg,
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::document::write_columns;
    use super::*;
    use crate::change::{Columns, Datum, Key, Row, Span, Tick, Vector};
    use crate::index::Document;
    use crate::query::fuse::Fused;

    fn document() -> Document {
        let row = Row::new(
            Columns::new(["name", "id", "price", "embedding"]),
            vec![
                Datum::text("red \"shoe\""),
                Datum::Int(28),
                Datum::Decimal("19.90".into()),
                Datum::Vector(Vector::from([0.5, -1.0])),
            ],
        );
        Document::new(Key::new([Datum::Int(28)]), row)
    }

    fn as_of() -> AsOf {
        let positions = BTreeMap::from([("products/1".to_owned(), 7), ("products/0".to_owned(), 120)]);
        AsOf {
            tick: Tick(9),
            positions: positions.into(),
            staleness_ms: None,
            held_back: None,
        }
    }

    fn check(answer: &SearchAnswer, expected: Expect) {
        let json = serde_json::to_string(answer).unwrap();
        expected.assert_eq(&json);
        let read: SearchAnswer = serde_json::from_str(&json).unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            json,
            "a client reads back what was written"
        );
    }

    #[test]
    fn a_hit_names_its_legs_and_the_columns_asked_for() {
        let document = document();
        let leg = |rank, score| Some(LegHit { rank, score });
        let fused = Fused {
            document: &document,
            score: 0.92,
            keyword: leg(1, 7.5),
            vector: leg(12, 0.31),
            span: Span::WHOLE,
        };
        let keyword_only = Fused {
            document: &document,
            score: 7.5,
            keyword: leg(1, 7.5),
            vector: None,
            span: Span::WHOLE,
        };
        let answer = SearchAnswer {
            hits: vec![
                Hit::new(&fused, None, &[0, 1, 2]),
                Hit::new(&keyword_only, Some(VectorState::Failed), &[]),
            ],
            groups: None,
            total: None,
            facets: BTreeMap::new(),
            as_of: as_of(),
            took_ms: Some(0.412),
            cursor: None,
            timed_out: false,
            reranked: None,
            failed: vec![],
        };
        check(
            &answer,
            expect![[
                r#"{"hits":[{"key":"28","score":0.92,"keyword":{"rank":1,"score":7.5},"vector":{"rank":12,"score":0.31},"document":{"name":"red \"shoe\"","id":28,"price":"19.90"}},{"key":"28","score":7.5,"keyword":{"rank":1,"score":7.5},"vector_state":"failed","document":{}}],"as_of":{"tick":9,"positions":{"products/0":120,"products/1":7}},"took_ms":0.412}"#
            ]],
        );
    }

    #[test]
    fn an_answer_names_the_leg_that_failed_and_may_leave_out_its_time() {
        let failed = vec![FailedLeg {
            leg: Leg::Vector,
            reason: "embed with model m: refused".to_owned(),
        }];
        let answer = SearchAnswer {
            hits: vec![],
            groups: None,
            total: None,
            facets: BTreeMap::new(),
            as_of: as_of(),
            took_ms: None,
            cursor: None,
            timed_out: false,
            reranked: None,
            failed,
        };
        check(
            &answer,
            expect![[
                r#"{"hits":[],"as_of":{"tick":9,"positions":{"products/0":120,"products/1":7}},"failed":[{"leg":"vector","reason":"embed with model m: refused"}]}"#
            ]],
        );
    }

    #[test]
    fn all_columns_of_a_row_are_written_in_their_order() {
        let expected = r#"{"name":"red \"shoe\"","id":28,"price":"19.90","embedding":[0.5,-1.0]}"#;
        assert_eq!(write_columns(&document().row, &[0, 1, 2, 3]).get(), expected);
    }
}

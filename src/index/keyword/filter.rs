//! A filter -> the slots of the documents for which it is true.
//!
//! Conditions on one column are answered by the columns, others by the rows, and only for documents on
//! which they still matter. `AND`, `OR` and `NOT` combine answers in SQL's three values.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::docs::Docs;
use super::leaf::leaf;
use super::segment::Segment;
use super::verdict::Verdict;
use super::{KeywordError, KeywordSchema, KeywordState};
use crate::definition::Expression;
use crate::index::{Document, Slot};

impl KeywordState {
    /// The slots of the live documents for which `filter` is true. Its columns are fields of the index: checked before.
    ///
    /// `document` gives the row, for parts of a filter that no field column can answer alone.
    ///
    /// # Errors
    ///
    /// When a segment cannot be read; no filter is wrong.
    pub fn filter(
        &self,
        filter: &Expression,
        document: &dyn Fn(Slot) -> Option<Arc<Document>>,
    ) -> Result<RoaringBitmap, KeywordError> {
        // Slots come in no order: single bits are set faster than a compressed bitmap grows.
        let mut bits: Vec<u8> = Vec::new();
        for part in &self.parts {
            let evaluation = Evaluation {
                schema: &self.schema,
                segment: &part.segment,
                document,
            };
            let verdict = evaluation.evaluate(filter, &part.alive)?;
            for doc in verdict.yes.and(&part.alive).iter() {
                let slot = part.segment.slot(doc).0;
                let byte = slot as usize / 8;
                if byte >= bits.len() {
                    bits.resize(byte + 1, 0);
                }
                bits[byte] |= 1 << (slot % 8);
            }
        }
        Ok(RoaringBitmap::from_lsb0_bytes(0, &bits))
    }
}

/// The documents `within` of one segment for which a condition is true.
pub(super) fn matching(
    schema: &KeywordSchema,
    segment: &Segment,
    condition: &Expression,
    within: &Docs,
    document: &dyn Fn(Slot) -> Option<Arc<Document>>,
) -> Result<Docs, KeywordError> {
    let evaluation = Evaluation {
        schema,
        segment,
        document,
    };
    Ok(evaluation.evaluate(condition, within)?.yes.and(within))
}

/// A filter at work on one segment.
struct Evaluation<'a> {
    schema: &'a KeywordSchema,
    segment: &'a Segment,
    document: &'a dyn Fn(Slot) -> Option<Arc<Document>>,
}

impl Evaluation<'_> {
    /// The answer, which is right for the documents `within`.
    fn evaluate(&self, condition: &Expression, within: &Docs) -> Result<Verdict, KeywordError> {
        match condition {
            Expression::And(left, right) => {
                let (first, second) = self.cheaper_first(left, right);
                let first = self.evaluate(first, within)?;
                let second = self.evaluate(second, &within.clone().without(&first.no))?;
                Ok(Verdict {
                    yes: first.yes.and(&second.yes),
                    no: first.no.or(&second.no),
                })
            }
            Expression::Or(left, right) => {
                let (first, second) = self.cheaper_first(left, right);
                let first = self.evaluate(first, within)?;
                let second = self.evaluate(second, &within.clone().without(&first.yes))?;
                Ok(Verdict {
                    yes: first.yes.or(&second.yes),
                    no: first.no.and(&second.no),
                })
            }
            Expression::Not(inner) => Ok(self.evaluate(inner, within)?.not()),
            _ => match leaf(self.schema, condition) {
                Some(leaf) => {
                    let size = self.segment.size();
                    let verdict = self.segment.verdicts.get(condition, size, || {
                        let name = &self.schema.columns()[leaf.column].field.name;
                        self.segment.columns[leaf.column].answer(&leaf, name, size)
                    })?;
                    Ok(Arc::unwrap_or_clone(verdict))
                }
                None => Ok(self.ask_rows(condition, within)),
            },
        }
    }

    fn ask_rows(&self, condition: &Expression, within: &Docs) -> Verdict {
        let opposite = Expression::Not(Box::new(condition.clone()));
        let none = Docs::none(self.segment.size());
        let mut verdict = Verdict {
            yes: none.clone(),
            no: none,
        };
        for doc in within.iter() {
            let Some(document) = (self.document)(self.segment.slot(doc)) else {
                continue;
            };
            if condition.is_true(&document.row) {
                verdict.yes.insert(doc);
            } else if opposite.is_true(&document.row) {
                verdict.no.insert(doc);
            }
        }
        verdict
    }

    /// The side that reads rows comes second, when fewer documents matter.
    fn cheaper_first<'e>(
        &self,
        left: &'e Expression,
        right: &'e Expression,
    ) -> (&'e Expression, &'e Expression) {
        if self.reads_rows(left) && !self.reads_rows(right) {
            (right, left)
        } else {
            (left, right)
        }
    }

    fn reads_rows(&self, condition: &Expression) -> bool {
        match condition {
            Expression::And(left, right) | Expression::Or(left, right) => {
                self.reads_rows(left) || self.reads_rows(right)
            }
            Expression::Not(inner) => self.reads_rows(inner),
            _ => leaf(self.schema, condition).is_none(),
        }
    }
}

//! A segment's filter columns, and what they answer.

use std::ops::{Bound, RangeInclusive};

use tantivy::columnar::{Column, StrColumn};
use tantivy::fastfield::FastFieldReaders;

use super::KeywordError;
use super::docs::Docs;
use super::leaf::{Leaf, Test};
use super::ranges::{add_range, add_ranges};
use super::schema::FilterColumn;
use super::verdict::Verdict;
use crate::change::{Columns, Datum, Row};
use crate::definition::FieldKind;

/// A filter column of one segment.
pub(super) enum ColumnReader {
    /// No document has a value.
    Empty,
    Text(StrColumn),
    Int(Column<i64>),
    Float(Column<f64>),
    Bool(Column<bool>),
    /// Latitudes and longitudes.
    Places(Column<f64>, Column<f64>),
}

impl ColumnReader {
    pub fn open(readers: &FastFieldReaders, column: &FilterColumn) -> Result<ColumnReader, KeywordError> {
        let name = &column.tantivy_name;
        let reader = match column.field.kind {
            FieldKind::Keyword => readers.str(name)?.map(ColumnReader::Text),
            FieldKind::I64 | FieldKind::Date => readers.column_opt(name)?.map(ColumnReader::Int),
            FieldKind::F64 => readers.column_opt(name)?.map(ColumnReader::Float),
            FieldKind::Bool => readers.column_opt(name)?.map(ColumnReader::Bool),
            FieldKind::Geo { .. } => {
                let longitudes = readers.column_opt(&column.longitudes_name)?;
                readers
                    .column_opt(name)?
                    .zip(longitudes)
                    .map(|(latitudes, longitudes)| ColumnReader::Places(latitudes, longitudes))
            }
        };
        Ok(reader.unwrap_or(ColumnReader::Empty))
    }

    /// The answer for all documents of the segment, of which there are `size`. `name` is the column's in filters.
    pub fn answer(&self, leaf: &Leaf, name: &str, size: u32) -> Result<Verdict, KeywordError> {
        let present = self.present(size);
        Ok(match &leaf.test {
            Test::IsNull => Verdict {
                yes: Docs::all(size).without(&present),
                no: present,
            },
            test => {
                let yes = self.passing(test, name, size)?;
                let no = if leaf.else_null {
                    Docs::none(size)
                } else {
                    present.without(&yes)
                };
                Verdict { yes, no }
            }
        })
    }

    /// The documents with a value.
    fn present(&self, size: u32) -> Docs {
        let index = match self {
            ColumnReader::Empty => return Docs::none(size),
            ColumnReader::Text(column) => &column.ords().index,
            ColumnReader::Int(column) => &column.index,
            ColumnReader::Float(column) => &column.index,
            ColumnReader::Bool(column) => &column.index,
            ColumnReader::Places(latitudes, _) => &latitudes.index,
        };
        if index.get_cardinality().is_full() {
            return Docs::all(size);
        }
        let mut present = Docs::none(size);
        (0..size)
            .filter(|doc| index.has_value(*doc))
            .for_each(|doc| present.insert(doc));
        present
    }

    fn passing(&self, test: &Test, name: &str, size: u32) -> Result<Docs, KeywordError> {
        let mut passing = Docs::none(size);
        match (self, test) {
            (ColumnReader::Int(column), Test::Int(ranges)) => {
                add_ranges(column, ranges.clone(), &mut passing);
            }
            (ColumnReader::Float(column), Test::Float(ranges)) => {
                add_ranges(column, ranges.clone(), &mut passing);
            }
            (ColumnReader::Bool(column), Test::IsTrue) => add_range(column, true..=true, &mut passing),
            (ColumnReader::Bool(column), Test::IsFalse) => add_range(column, false..=false, &mut passing),
            (ColumnReader::Places(latitudes, longitudes), Test::Place(places)) => {
                places.add(latitudes, longitudes, &mut passing);
            }
            (ColumnReader::Text(column), Test::Text(ranges)) => {
                let ranges = ranges.iter().map(|range| ordinals(column, *range));
                let ranges: Result<Vec<_>, _> = ranges.filter_map(Result::transpose).collect();
                add_ranges(column.ords(), ranges?, &mut passing);
            }
            (ColumnReader::Text(column), Test::Matching(condition)) => {
                let columns = Columns::new([name]);
                let mut matching = Vec::with_capacity(column.num_terms());
                let mut text = column.dictionary().stream()?;
                while text.advance() {
                    let text = Datum::text(&String::from_utf8_lossy(text.key()));
                    matching.push(condition.is_true(&Row::new(columns.clone(), [text])));
                }
                let matches = |ordinal: u64| {
                    let ordinal = usize::try_from(ordinal).ok();
                    ordinal
                        .and_then(|ordinal| matching.get(ordinal))
                        .is_some_and(|matching| *matching)
                };
                (0..size)
                    .filter(|doc| column.ords().values_for_doc(*doc).any(matches))
                    .for_each(|doc| passing.insert(doc));
            }
            // The column is empty, or the test is one that nothing passes.
            _ => {}
        }
        Ok(passing)
    }
}

/// The places of a range of texts in the column's dictionary.
fn ordinals(
    column: &StrColumn,
    (low, high): (Bound<&str>, Bound<&str>),
) -> Result<Option<RangeInclusive<u64>>, KeywordError> {
    // A range of one text is the common case, and the only one that needs a single look-up.
    if let (Bound::Included(low), Bound::Included(high)) = (low, high)
        && low == high
    {
        return Ok(column
            .dictionary()
            .term_ord(low)?
            .map(|ordinal| ordinal..=ordinal));
    }
    let (low, high) = column.dictionary().term_bounds_to_ord(low, high)?;
    let low = match low {
        Bound::Unbounded => 0,
        Bound::Included(ordinal) => ordinal,
        Bound::Excluded(ordinal) => ordinal + 1,
    };
    let high = match high {
        Bound::Unbounded => Some(u64::MAX),
        Bound::Included(ordinal) => Some(ordinal),
        Bound::Excluded(ordinal) => ordinal.checked_sub(1),
    };
    Ok(high.filter(|high| low <= *high).map(|high| low..=high))
}

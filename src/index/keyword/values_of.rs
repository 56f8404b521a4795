//! The values of field columns for the documents of a result, segment by segment: what facets and sorting read.
//!
//! A text is its *ordinal* here, its place among the segment's sorted texts: counting and comparing need no more, and
//! only what is shown is looked up.

use std::borrow::Cow;
use std::ops::Bound;

use roaring::RoaringBitmap;
use tantivy::columnar::{Column, StrColumn};

use super::columns::ColumnReader;
use super::segment::Segment;
use super::slot_bits::SlotBits;
use super::{KeywordError, KeywordSchema, KeywordState, values};
use crate::change::{Datum, Row};
use crate::definition::FieldKind;
use crate::definition::point::Point;
use crate::index::Slot;

/// Values read at once.
const BATCH: usize = 1_024;

/// The documents of a result that lie in one segment; each has a *place* here.
pub struct Selection<'a> {
    schema: &'a KeywordSchema,
    segment: &'a Segment,
    docs: Vec<u32>,
}

/// A field's values for a selection.
pub enum Values<'a> {
    /// No document has any.
    None,
    Text(TextValues<'a>),
    Int(FieldValues<'a, i64>),
    /// Microseconds since 1970.
    Moment(FieldValues<'a, i64>),
    Float(FieldValues<'a, f64>),
    Bool(FieldValues<'a, bool>),
    Place(PlaceValues<'a>),
}

pub struct FieldValues<'a, T> {
    column: &'a Column<T>,
    docs: &'a [u32],
}

pub struct TextValues<'a> {
    column: &'a StrColumn,
    docs: &'a [u32],
}

pub struct PlaceValues<'a> {
    latitudes: &'a Column<f64>,
    longitudes: &'a Column<f64>,
    docs: &'a [u32],
}

impl KeywordState {
    /// The living documents in these slots, or all, by segment. Segments without any are left out.
    pub fn select(&self, slots: Option<&RoaringBitmap>) -> Vec<Selection<'_>> {
        let wanted = slots.map(SlotBits::from);
        let selections = self.parts.iter().map(|part| {
            let living = part.alive.iter();
            Selection {
                schema: &self.schema,
                docs: match &wanted {
                    None => living.collect(),
                    Some(wanted) => living
                        .filter(|doc| wanted.contains(part.segment.slot(*doc).0))
                        .collect(),
                },
                segment: &part.segment,
            }
        });
        selections
            .filter(|selection| !selection.docs.is_empty())
            .collect()
    }

    pub fn schema(&self) -> &KeywordSchema {
        &self.schema
    }
}

impl<'a> Selection<'a> {
    /// Documents; more than none.
    pub fn size(&self) -> usize {
        self.docs.len()
    }

    /// Where the document in a place is found.
    pub fn slot(&self, place: usize) -> Option<Slot> {
        self.docs.get(place).map(|doc| self.segment.slot(*doc))
    }

    /// The values of a field, by its place in the index's fields.
    pub fn values(&self, field: usize) -> Values<'_> {
        let docs = &self.docs[..];
        match self.segment.columns.get(field) {
            None | Some(ColumnReader::Empty) => Values::None,
            Some(ColumnReader::Text(column)) => Values::Text(TextValues { column, docs }),
            Some(ColumnReader::Int(column)) => {
                let values = FieldValues { column, docs };
                match self.schema.columns().get(field).map(|column| column.field.kind) {
                    Some(FieldKind::Date) => Values::Moment(values),
                    _ => Values::Int(values),
                }
            }
            Some(ColumnReader::Float(column)) => Values::Float(FieldValues { column, docs }),
            Some(ColumnReader::Bool(column)) => Values::Bool(FieldValues { column, docs }),
            Some(ColumnReader::Places(latitudes, longitudes)) => Values::Place(PlaceValues {
                latitudes,
                longitudes,
                docs,
            }),
        }
    }
}

impl<T> FieldValues<'_, T>
where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    /// Calls `each` once for every document with a value, with its place and its different values, ascending.
    pub fn each(&self, each: impl FnMut(usize, &[T])) {
        each_of(self.column, self.docs, each);
    }
}

impl PlaceValues<'_> {
    /// Calls `each` with every place of every document, with the document's place in the selection.
    pub(crate) fn each(&self, mut each: impl FnMut(usize, Point)) {
        for (place, doc) in self.docs.iter().enumerate() {
            // A document's n-th latitude belongs to its n-th longitude.
            let latitudes = self.latitudes.values_for_doc(*doc);
            let points = latitudes.zip(self.longitudes.values_for_doc(*doc));
            points.for_each(|(lat, lon)| each(place, Point { lat, lon }));
        }
    }
}

impl TextValues<'_> {
    /// How many texts the segment has, dead documents' too: ordinals are less.
    pub fn texts(&self) -> usize {
        self.column.num_terms()
    }

    /// Calls `each` once for every document with a value, with its place and its different ordinals, ascending.
    pub fn each(&self, each: impl FnMut(usize, &[u64])) {
        each_of(self.column.ords(), self.docs, each);
    }

    /// The ordinal of a text, or that of the first text behind it; and whether it is the text itself.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn ordinal_at_least(&self, text: &str) -> Result<(u64, bool), KeywordError> {
        let dictionary = self.column.dictionary();
        if let Some(ordinal) = dictionary.term_ord(text)? {
            return Ok((ordinal, true));
        }
        let from = Bound::Included(text);
        let (first, _) = dictionary.term_bounds_to_ord(from, Bound::Unbounded)?;
        let ordinal = match first {
            Bound::Included(ordinal) => ordinal,
            Bound::Excluded(ordinal) => ordinal + 1,
            Bound::Unbounded => 0,
        };
        Ok((ordinal, false))
    }

    /// Calls `each` with the text of every ordinal of an ascending list, in its order.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn look_up(&self, ordinals: &[u64], mut each: impl FnMut(&str)) -> Result<(), KeywordError> {
        let dictionary = self.column.dictionary();
        let found =
            dictionary.sorted_ords_to_term_cb(ordinals, |text| each(&String::from_utf8_lossy(text)))?;
        match found {
            true => Ok(()),
            false => Err(KeywordError("a text's ordinal is not in its dictionary".into())),
        }
    }
}

fn each_of<T>(column: &Column<T>, docs: &[u32], mut each: impl FnMut(usize, &[T]))
where
    T: PartialOrd + Copy + Default + std::fmt::Debug + Send + Sync + 'static,
{
    if column.get_cardinality().is_full() {
        let mut batch = [T::default(); BATCH];
        for (number, docs) in docs.chunks(BATCH).enumerate() {
            let values = &mut batch[..docs.len()];
            column.values.get_vals(docs, values);
            for (place, value) in (number * BATCH..).zip(values.iter()) {
                each(place, std::slice::from_ref(value));
            }
        }
        return;
    }
    let mut values: Vec<T> = Vec::new();
    for (place, doc) in docs.iter().enumerate() {
        values.clear();
        values.extend(column.values_for_doc(*doc));
        if values.len() > 1 {
            values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            values.dedup();
        }
        if !values.is_empty() {
            each(place, &values);
        }
    }
}

impl KeywordSchema {
    /// The text of a row that is searched by words, by its place in the index's `text`.
    pub fn text_of_row<'r>(&self, text: usize, row: &'r Row) -> Option<Cow<'r, str>> {
        values::text(row.value(self.texts().get(text)?.column)?)
    }

    /// What a field's column holds for a row: none, one or several different values, ascending.
    pub fn values_of_row(&self, field: usize, row: &Row) -> Vec<Datum> {
        let Some(column) = self.columns().get(field) else {
            return Vec::new();
        };
        let mut values = Vec::with_capacity(1);
        column
            .field
            .each(row, &mut |value| values.push(value.into_datum()));
        values.sort_unstable();
        values.dedup();
        values
    }
}

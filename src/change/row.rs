//! A row: column names that many rows share, and its values packed into one allocation.
//!
//! The rows of a view that takes columns as they are share the bytes of the table's row, so a text is held once by
//! collapse, arrangements and documents.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::{Datum, DatumRef, Vector, packed, write_json_object};

/// The column names of a row, shared by all rows of the same shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Columns {
    names: Box<[Arc<str>]>,
    /// Where the values of a projected row stand; `None`: as they come.
    #[serde(skip)]
    places: Option<Box<[Place]>>,
}

/// Where a value of a projected row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    /// In the row that was projected.
    Source(u32),
    /// Among the values computed for it.
    Computed(u32),
}

impl Columns {
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Arc<Columns> {
        Arc::new(Columns {
            names: names.into_iter().map(|name| Arc::from(name.as_ref())).collect(),
            places: None,
        })
    }

    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| &**column == name)
    }
}

/// One row: as many values as columns. Immutable; a clone shares everything.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Unpacked")]
pub struct Row {
    columns: Arc<Columns>,
    /// The values, or those of the row that this one is a projection of.
    packed: Arc<[u8]>,
    /// `None` in most rows.
    beside: Option<Arc<Beside>>,
}

/// What a row has besides its packed values.
#[derive(Debug, Default, PartialEq, Eq)]
struct Beside {
    /// Packed values name them by number.
    vectors: Box<[Vector]>,
    /// What was computed for a projection, packed.
    computed: Box<[u8]>,
}

impl Row {
    /// # Panics
    /// There are not as many values as columns.
    pub fn new<V: AsRef<[Datum]>>(columns: Arc<Columns>, values: V) -> Row {
        let values = values.as_ref();
        assert_eq!(
            columns.names.len(),
            values.len(),
            "a row has one value per column"
        );
        debug_assert!(columns.places.is_none(), "a projection makes its own rows");
        let mut vectors = Vec::new();
        let packed = pack(values, &mut vectors);
        let beside = (!vectors.is_empty()).then(|| Beside {
            vectors: vectors.into(),
            computed: Box::default(),
        });
        Row {
            columns,
            packed: packed.into(),
            beside: beside.map(Arc::new),
        }
    }

    pub fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// The value of a column, or `None` where the row has no such column.
    pub fn get(&self, name: &str) -> Option<DatumRef<'_>> {
        self.value(self.columns.position(name)?)
    }

    /// The value in a place, or `None` behind the last.
    pub fn value(&self, place: usize) -> Option<DatumRef<'_>> {
        let run = match &self.columns.places {
            None => packed::runs(&self.packed).nth(place)?,
            Some(places) => match *places.get(place)? {
                Place::Source(place) => packed::runs(&self.packed).nth(place as usize)?,
                Place::Computed(place) => packed::runs(self.computed()).nth(place as usize)?,
            },
        };
        packed::read(run, self.vectors())
    }

    /// The values, in the order of the columns.
    pub fn values(&self) -> impl Iterator<Item = DatumRef<'_>> {
        let read = |run| packed::read(run, self.vectors()).unwrap_or(DatumRef::Null);
        let (plain, projected) = match &self.columns.places {
            None => (Some(packed::runs(&self.packed)), None),
            Some(places) => (None, Some(self.projected(places))),
        };
        let plain = plain.into_iter().flatten();
        plain.chain(projected.into_iter().flatten()).map(read)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, DatumRef<'_>)> {
        self.columns.names.iter().map(|name| &**name).zip(self.values())
    }

    /// Whether the source did not send all values.
    pub fn has_unavailable(&self) -> bool {
        match &self.columns.places {
            None => packed::runs(&self.packed).any(packed::is_unavailable),
            Some(_) => self.values().any(|value| value == DatumRef::Unavailable),
        }
    }

    /// The row with other values for its columns.
    pub fn map(&self, value: impl FnMut((&str, DatumRef<'_>)) -> Datum) -> Row {
        let values: Vec<Datum> = self.iter().map(value).collect();
        let columns = match self.columns.places {
            None => self.columns.clone(),
            Some(_) => Columns::new(&self.columns.names),
        };
        Row::new(columns, values)
    }

    /// Appends the row as a JSON object, columns in their order.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_json_object(self.iter(), out);
    }

    fn projected(&self, places: &[Place]) -> impl Iterator<Item = &[u8]> {
        let source: Vec<&[u8]> = packed::runs(&self.packed).collect();
        let computed: Vec<&[u8]> = packed::runs(self.computed()).collect();
        let run = move |place: &Place| match *place {
            Place::Source(place) => source.get(place as usize).copied(),
            Place::Computed(place) => computed.get(place as usize).copied(),
        };
        let runs: Vec<&[u8]> = places.iter().filter_map(run).collect();
        runs.into_iter()
    }

    fn vectors(&self) -> &[Vector] {
        self.beside.as_ref().map_or(&[], |beside| &beside.vectors)
    }

    fn computed(&self) -> &[u8] {
        self.beside.as_ref().map_or(&[], |beside| &beside.computed)
    }
}

fn pack(values: &[Datum], vectors: &mut Vec<Vector>) -> Vec<u8> {
    let size = values.iter().map(|value| packed::size_hint(value.into())).sum();
    let mut bytes = Vec::with_capacity(size);
    for value in values {
        packed::push(&mut bytes, vectors, value.into());
    }
    bytes
}

/// How rows of one shape become rows of a view.
#[derive(Debug)]
pub struct Projection {
    source: Arc<Columns>,
    columns: Arc<Columns>,
}

impl Projection {
    /// A projection of rows like this one: each column has a name, and takes the value of the column named beside it,
    /// or, with none, one that is computed.
    pub fn new<'a>(row: &Row, columns: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Projection {
        let mut computed = 0..;
        let (names, places): (Vec<Arc<str>>, Vec<Place>) = columns
            .map(|(name, source)| {
                // The values of a projection stand in several places: its columns are computed again.
                let place = source
                    .filter(|_| row.columns.places.is_none())
                    .and_then(|source| row.columns.position(source));
                let place = match place {
                    Some(place) => Place::Source(place as u32),
                    None => Place::Computed(computed.next().unwrap_or_default()),
                };
                (Arc::from(name), place)
            })
            .unzip();
        Projection {
            source: row.columns.clone(),
            columns: Arc::new(Columns {
                names: names.into(),
                places: Some(places.into()),
            }),
        }
    }

    /// Whether a row has the shape that this is a projection of.
    pub fn fits(&self, row: &Row) -> bool {
        self.source == row.columns
    }

    /// The projected row. `compute` gives the values of the columns, by their place, that are not the row's.
    pub fn apply(&self, row: &Row, compute: impl Fn(usize) -> Datum) -> Row {
        debug_assert!(self.fits(row), "a projection is for rows of one shape");
        let places = self.columns.places.iter().flatten().enumerate();
        let computed: Vec<Datum> = places
            .filter(|(_, place)| matches!(place, Place::Computed(_)))
            .map(|(column, _)| compute(column))
            .collect();
        let beside = if computed.is_empty() {
            row.beside.clone()
        } else {
            let mut vectors = row.vectors().to_vec();
            let computed = pack(&computed, &mut vectors);
            Some(Arc::new(Beside {
                vectors: vectors.into(),
                computed: computed.into(),
            }))
        };
        Row {
            columns: self.columns.clone(),
            packed: row.packed.clone(),
            beside,
        }
    }
}

/// Two rows are equal if their names and values are, wherever those stand.
impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        if self.columns == other.columns {
            let same = self.packed == other.packed && self.beside == other.beside;
            if same || self.columns.places.is_none() {
                return same;
            }
        }
        self.cmp_values(other).is_eq()
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> Ordering {
        let same = Arc::ptr_eq(&self.packed, &other.packed)
            && Arc::ptr_eq(&self.columns, &other.columns)
            && self.beside.is_none()
            && other.beside.is_none();
        if same {
            return Ordering::Equal;
        }
        self.cmp_values(other)
    }
}

impl Row {
    fn cmp_values(&self, other: &Row) -> Ordering {
        let names = if Arc::ptr_eq(&self.columns, &other.columns) {
            Ordering::Equal
        } else {
            self.columns.names.cmp(&other.columns.names)
        };
        names.then_with(|| self.values().cmp(other.values()))
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.columns.names.hash(state);
        self.values().for_each(|value| value.hash(state));
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Values<'a>(&'a Row);
        impl Serialize for Values<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let values: Vec<DatumRef<'_>> = self.0.values().collect();
                values.serialize(serializer)
            }
        }
        let mut row = serializer.serialize_struct("Row", 2)?;
        row.serialize_field("columns", &self.columns)?;
        row.serialize_field("values", &Values(self))?;
        row.end()
    }
}

/// A row as it is serialised.
#[derive(Deserialize)]
#[serde(rename = "Row")]
struct Unpacked {
    columns: Arc<Columns>,
    values: Vec<Datum>,
}

impl TryFrom<Unpacked> for Row {
    type Error = String;

    fn try_from(Unpacked { columns, values }: Unpacked) -> Result<Row, String> {
        if columns.names.len() == values.len() {
            return Ok(Row::new(columns, values));
        }
        Err(format!(
            "{} columns have {} values",
            columns.names.len(),
            values.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::Float;

    fn datum() -> impl Strategy<Value = Datum> {
        prop_oneof![
            Just(Datum::Null),
            Just(Datum::Unavailable),
            any::<bool>().prop_map(Datum::Bool),
            prop_oneof![any::<i64>(), -200i64..200, Just(i64::MIN), Just(i64::MAX)].prop_map(Datum::Int),
            any::<f64>().prop_map(|value| Datum::Float(Float(value))),
            any::<u64>().prop_map(|bits| Datum::Float(Float(f64::from_bits(bits)))),
            "[0-9]{1,30}".prop_map(|text| Datum::Decimal(text.into())),
            ".{0,200}".prop_map(|text| Datum::text(&text)),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Datum::Bytes(bytes.into())),
            proptest::collection::vec(-1f32..1.0, 0..4).prop_map(|floats| Datum::Vector(floats.into())),
            "[a-z]{0,9}".prop_map(|text| Datum::Json(text.into())),
        ]
    }

    fn datums() -> impl Strategy<Value = Vec<Datum>> {
        proptest::collection::vec(datum(), 0..8)
    }

    fn columns(count: usize) -> Arc<Columns> {
        Columns::new((0..count).map(|column| format!("c{column}")))
    }

    fn plain(values: &[Datum]) -> Row {
        Row::new(columns(values.len()), values)
    }

    fn owned(row: &Row) -> Vec<Datum> {
        row.values().map(DatumRef::to_datum).collect()
    }

    /// The row's columns from the last to the first, every other one computed, and the same as a row of its own.
    fn reversed(row: &Row, values: &[Datum]) -> (Row, Row) {
        let names: Vec<String> = (0..values.len())
            .rev()
            .map(|column| format!("c{column}"))
            .collect();
        let sources = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), (n % 2 == 0).then_some(name.as_str())));
        let projection = Projection::new(row, sources);
        assert!(projection.fits(row));
        let projected = projection.apply(row, |place| values[values.len() - 1 - place].clone());
        let own: Vec<Datum> = values.iter().rev().cloned().collect();
        (projected, Row::new(Columns::new(&names), own))
    }

    proptest! {
        #[test]
        fn values_come_out_as_they_went_in(values in datums()) {
            let row = plain(&values);
            prop_assert_eq!(&owned(&row), &values);
            prop_assert_eq!(row.value(values.len()), None);
            for (place, value) in values.iter().enumerate() {
                prop_assert_eq!(row.value(place), Some(value.into()));
                prop_assert_eq!(row.get(&format!("c{place}")), Some(value.into()));
            }
            prop_assert_eq!(row.has_unavailable(), values.contains(&Datum::Unavailable));
        }

        #[test]
        fn rows_compare_as_their_values_do(left in datums(), right in datums()) {
            let model = columns(left.len()).cmp(&columns(right.len())).then_with(|| left.cmp(&right));
            prop_assert_eq!(plain(&left).cmp(&plain(&right)), model);
            prop_assert_eq!(plain(&left) == plain(&right), model.is_eq());
            prop_assert_eq!(plain(&left), plain(&left));
        }

        #[test]
        fn a_projection_is_equal_to_a_row_of_its_own(values in datums(), other in datums()) {
            let row = plain(&values);
            let (projected, own) = reversed(&row, &values);
            prop_assert_eq!(owned(&projected), owned(&own));
            prop_assert_eq!(&projected, &own);
            prop_assert_eq!(projected.cmp(&own), Ordering::Equal);
            for place in 0..values.len() {
                prop_assert_eq!(projected.value(place), own.value(place));
            }
            let (again, _) = reversed(&projected, owned(&own).as_slice());
            prop_assert_eq!(owned(&again), values.clone().into_iter().collect::<Vec<_>>());
            let (projected_other, own_other) = reversed(&plain(&other), &other);
            prop_assert_eq!(projected.cmp(&projected_other), own.cmp(&own_other));
            prop_assert_eq!(projected == projected_other, own == own_other);
        }

        #[test]
        fn rows_are_serialised_as_names_and_values(values in datums()) {
            let row = plain(&values);
            let names: Vec<String> = (0..values.len()).map(|column| format!("c{column}")).collect();
            let bytes = postcard::to_stdvec(&row).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&(&names, &values)).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Row>(&bytes).unwrap(), row.clone());
            let (projected, own) = reversed(&row, &values);
            prop_assert_eq!(postcard::to_stdvec(&projected).unwrap(), postcard::to_stdvec(&own).unwrap());
        }
    }

    #[test]
    fn a_stored_row_with_too_few_values_is_refused() {
        let bytes = postcard::to_stdvec(&(vec!["a", "b"], vec![Datum::Null])).unwrap();
        let error = Row::try_from(postcard::from_bytes::<Unpacked>(&bytes).unwrap()).unwrap_err();
        assert_eq!(error, "2 columns have 1 values");
        assert!(postcard::from_bytes::<Row>(&bytes).is_err());
    }

    #[test]
    fn columns_taken_as_they_are_share_the_bytes_of_their_row() {
        let row = plain(&[Datum::Int(1), Datum::text("tea"), Datum::text("cup")]);
        let projection = Projection::new(&row, [("what", Some("c1"))].into_iter());
        let projected = projection.apply(&row, |_| unreachable!("nothing is computed"));
        assert!(Arc::ptr_eq(&projected.packed, &row.packed));
        assert_eq!(
            projected.iter().collect::<Vec<_>>(),
            [("what", DatumRef::Text("tea"))]
        );
    }
}

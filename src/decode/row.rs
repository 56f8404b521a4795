//! The fields of an object -> row and key, by a shape that is worked out once for all rows that share it.

use std::collections::HashSet;
use std::sync::Arc;

use super::json::Fields;
use super::needed::Places;
use super::outcome::Refused;
use super::target::Target;
use super::value::{Kind, Wire};
use crate::change::{Columns, Key, Row};

/// Shapes kept by a decoder. A stream has one, or two while a table changes; deletes may have a shorter one.
const SHAPES_MAX: usize = 4;

/// The columns of rows, and all that follows from their names and types.
pub(super) struct Shape {
    columns: Arc<Columns>,
    kinds: Box<[Kind]>,
    /// Where each key column stands.
    key: Box<[Option<usize>]>,
    /// Where the columns stand that the index needs.
    needed: Places,
    wire: Wire,
}

impl Shape {
    /// # Errors
    /// A column stands twice, so nobody could say which value counts.
    pub fn new(
        target: &Target,
        fields: &Fields<'_>,
        wire: Wire,
        kind: impl Fn(&str) -> Kind,
    ) -> Result<Shape, String> {
        let mut seen = HashSet::new();
        if let Some((name, _)) = fields.0.iter().find(|(name, _)| !seen.insert(name)) {
            return Err(format!("column `{name}` stands twice in the row"));
        }
        let columns = Columns::new(fields.0.iter().map(|(name, _)| name));
        let kinds = fields.0.iter().map(|(name, _)| kind(name)).collect();
        let key = target.key.iter().map(|name| columns.position(name)).collect();
        let needed = target.needed.places(&columns);
        Ok(Shape {
            columns,
            kinds,
            key,
            needed,
            wire,
        })
    }

    /// Whether these fields have this shape's columns, in its order.
    pub fn fits(&self, fields: &Fields<'_>) -> bool {
        let names = self.columns.names();
        names.len() == fields.0.len()
            && names
                .iter()
                .zip(&fields.0)
                .all(|(name, (field, _))| **name == **field)
    }

    /// # Errors
    /// Names the field, and what would be right.
    pub fn row(&self, target: &Target, fields: &Fields<'_>) -> Result<(Key, Row), Refused> {
        let mut values = Vec::with_capacity(self.kinds.len());
        for ((name, json), kind) in fields.0.iter().zip(&self.kinds) {
            values.push(target.read(name, json, kind, self.wire)?);
        }
        let key = target.key(|place, _| Ok(self.key[place].map(|column| values[column].clone())))?;
        target.needed.check(&self.needed, &values)?;
        Ok((key, Row::new(self.columns.clone(), values)))
    }

    /// The key alone: from `first` where that has the column, else from `second`.
    pub fn key(&self, target: &Target, first: &Fields<'_>, second: &Fields<'_>) -> Result<Key, String> {
        target.key(|place, name| {
            let kind = self.key[place].map_or(&Kind::Untyped, |column| &self.kinds[column]);
            let json = first.get(name).or_else(|| second.get(name));
            json.map(|json| target.read(name, json, kind, self.wire))
                .transpose()
        })
    }
}

/// The shapes seen last, each with what it depends on besides the names of the columns.
pub(super) struct Shapes<Basis>(Vec<(Basis, Shape)>);

impl<Basis> Shapes<Basis> {
    pub fn new() -> Shapes<Basis> {
        Shapes(Vec::new())
    }

    /// The shape of the fields on this basis, made if it is new.
    pub fn of(
        &mut self,
        fields: &Fields<'_>,
        same_basis: impl Fn(&Basis) -> bool,
        make: impl FnOnce() -> Result<(Basis, Shape), String>,
    ) -> Result<&Shape, String> {
        let known = self
            .0
            .iter()
            .position(|(basis, shape)| same_basis(basis) && shape.fits(fields));
        let place = match known {
            Some(place) => place,
            None => {
                self.0.truncate(SHAPES_MAX - 1);
                self.0.insert(0, make()?);
                0
            }
        };
        Ok(&self.0[place].1)
    }
}

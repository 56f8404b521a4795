//! What an index needs of the rows of its table.

use super::plan::Node;
use super::{Expression, FieldKind, Index, worth};
use crate::change::Datum;

/// A column of a table that the index is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub column: String,
    /// The filter fields that hold the column as it is.
    pub fields: Vec<FieldKind>,
}

impl Need {
    /// The kind of a field that cannot hold the value, if there is one.
    pub fn unfit(&self, value: &Datum) -> Option<FieldKind> {
        self.fields.iter().copied().find(|kind| !kind.holds(value))
    }
}

impl FieldKind {
    /// The name in a dataflow file.
    pub fn name(self) -> &'static str {
        match self {
            FieldKind::Keyword => "keyword",
            FieldKind::I64 => "i64",
            FieldKind::F64 => "f64",
            FieldKind::Bool => "bool",
        }
    }

    /// Whether a field of this kind can show the value. Absent values need no room; what only collapse knows may fit.
    fn holds(self, value: &Datum) -> bool {
        match (self, value) {
            (_, Datum::Null | Datum::Unavailable) => true,
            (FieldKind::Keyword, value) => !matches!(value, Datum::Vector(_)),
            (FieldKind::I64, value) => worth::int(value).is_some(),
            // A float that is not finite has the right type; it has no place in a range.
            (FieldKind::F64, value) => matches!(value, Datum::Float(_)) || worth::float(value).is_some(),
            (FieldKind::Bool, value) => worth::boolean(value).is_some(),
        }
    }
}

impl Index {
    /// The columns of its table that it is made of, each once.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        read_columns(&self.plan.root, &mut |column| {
            if !needs.iter().any(|need| need.column == column) {
                needs.push(Need {
                    column: column.to_owned(),
                    fields: Vec::new(),
                });
            }
        });
        let Node::Project { input, columns } = &self.plan.root else {
            return needs;
        };
        if projects(input) {
            return needs;
        }
        for field in &self.fields {
            if let Some(Expression::Column(name)) = columns.get(field.column)
                && let Some(need) = needs.iter_mut().find(|need| need.column == *name)
            {
                need.fields.push(field.kind);
            }
        }
        needs
    }
}

/// Visits the table's columns that a plan reads.
fn read_columns(node: &Node, visit: &mut dyn FnMut(&str)) {
    match node {
        Node::Table(_) => {}
        Node::Filter { input, condition } => {
            read_columns(input, visit);
            if !projects(input) {
                condition.visit_columns(&mut |name| visit(name));
            }
        }
        Node::Project { input, columns } => {
            read_columns(input, visit);
            if !projects(input) {
                columns
                    .iter()
                    .for_each(|column| column.visit_columns(&mut |name| visit(name)));
            }
        }
    }
}

/// Whether the columns above a node are no longer the table's.
fn projects(node: &Node) -> bool {
    match node {
        Node::Table(_) => false,
        Node::Filter { input, .. } => projects(input),
        Node::Project { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::change::{Float, Vector};

    #[test]
    fn an_index_needs_what_its_query_reads_and_knows_the_kinds_of_its_fields() {
        let toml = r#"
name = "shop"
[tables.products]
source = { kind = "http" }
format = "maxwell-json"
key = ["id"]
[index]
query = "SELECT id, name, price, price * 2 AS twice, LOWER(brand) AS brand FROM products WHERE status = 'published' AND price > 0"
key = "id"
text = { name = {} }
fields = { price = "f64", twice = "f64", brand = "keyword" }
"#;
        let definition = crate::definition::parse(toml, "shop", Path::new(".")).unwrap();
        let needs: Vec<(&str, &[FieldKind])> = definition.tables[0]
            .needs
            .iter()
            .map(|need| (need.column.as_str(), need.fields.as_slice()))
            .collect();
        let expected: [(&str, &[FieldKind]); 5] = [
            ("status", &[]),
            ("price", &[FieldKind::F64]),
            ("id", &[]),
            ("name", &[]),
            ("brand", &[]),
        ];
        assert_eq!(needs, expected);
    }

    #[test]
    fn a_field_holds_what_the_index_can_make_a_value_of() {
        let decimal = |text: &str| Datum::Decimal(text.into());
        let check = |kind: FieldKind, fits: &[Datum], not: &[Datum]| {
            for value in fits {
                assert!(kind.holds(value), "{} holds {value:?}", kind.name());
            }
            for value in not {
                assert!(!kind.holds(value), "{} holds {value:?}", kind.name());
            }
        };
        let json = Datum::Json("[1]".into());
        let vector = Datum::Vector(Vector::from(vec![1.0]));
        check(
            FieldKind::I64,
            &[
                Datum::Null,
                Datum::Unavailable,
                Datum::Int(1),
                decimal("2.00"),
                Datum::text("7"),
            ],
            &[Datum::text("seven"), decimal("1.5"), json.clone()],
        );
        check(
            FieldKind::F64,
            &[Datum::Float(Float(f64::NAN)), decimal("1.5"), Datum::Bool(true)],
            &[Datum::text("cheap"), json.clone(), vector.clone()],
        );
        check(
            FieldKind::Bool,
            &[Datum::Int(1), Datum::text("t")],
            &[Datum::Int(2), Datum::text("maybe")],
        );
        check(
            FieldKind::Keyword,
            &[json, Datum::text(""), Datum::Int(3)],
            &[vector],
        );
    }
}

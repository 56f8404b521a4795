//! What an index needs of the rows of its table.

use super::plan::Node;
use super::{Expression, FieldKind, Index};
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
        for (column, kind) in self.fields.iter().flat_map(|field| field.columns()) {
            if let Some(Expression::Column(name)) = columns.get(column)
                && let Some(need) = needs.iter_mut().find(|need| need.column == *name)
            {
                need.fields.push(kind);
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
}

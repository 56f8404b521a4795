//! Renders the definition's plan over the tables: each node becomes one step on a collection.

use std::sync::Arc;

use differential_dataflow::VecCollection;

use super::collapse::Rows;
use crate::change::{Columns, Row, TableId};
use crate::definition::plan::{Node, Plan};

/// The documents that the plan selects, by the key of its table.
///
/// `tables` holds the rows of each table, in the order of the definition.
pub fn view<'scope>(tables: &[Rows<'scope>], plan: &Plan) -> Rows<'scope> {
    render(tables, &plan.root, &Columns::new(&plan.columns))
}

fn render<'scope>(tables: &[Rows<'scope>], node: &Node, output: &Arc<Columns>) -> Rows<'scope> {
    match node {
        Node::Table(TableId(table)) => tables[usize::from(*table)].clone(),
        Node::Filter { input, condition } => {
            let condition = condition.clone();
            let input: VecCollection<'scope, _, _, _> = render(tables, input, output);
            input.filter(move |(_, row)| condition.is_true(row))
        }
        Node::Project { input, columns } => {
            let (columns, names) = (columns.clone(), output.clone());
            render(tables, input, output).map(move |(key, row)| {
                let values: Box<[_]> = columns.iter().map(|column| column.evaluate(&row)).collect();
                (key, Arc::new(Row::new(names.clone(), values)))
            })
        }
    }
}

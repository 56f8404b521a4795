//! What the definition's SQL selects, as a tree of nodes that the dataflow renders one by one.

use super::Expression;
use crate::change::TableId;

/// A view over the tables.
#[derive(Clone, Debug)]
pub struct Plan {
    pub root: Node,
    /// Names of the output columns, in the order of `SELECT`.
    pub columns: Vec<String>,
}

impl Plan {
    /// The table whose rows the view is of.
    pub fn table(&self) -> TableId {
        let mut node = &self.root;
        loop {
            node = match node {
                Node::Table(table) => return *table,
                Node::Filter { input, .. } | Node::Project { input, .. } => input,
            };
        }
    }
}

/// One step of a view. Each node's rows are what the expressions above it see.
#[derive(Clone, Debug)]
pub enum Node {
    /// The rows of a table, all columns.
    Table(TableId),
    /// Rows for which the condition is true; neither false nor null.
    Filter { input: Box<Node>, condition: Expression },
    /// One value per output column.
    Project {
        input: Box<Node>,
        columns: Vec<Expression>,
    },
}

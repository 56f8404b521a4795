//! Renders the definition's plan over the tables: each node becomes one step on a collection.

use differential_dataflow::VecCollection;

use super::collapse::Rows;
use crate::change::{Projection, Row, TableId};
use crate::definition::Expression;
use crate::definition::plan::{Node, Plan};

/// The documents that the plan selects, by the key of its table.
///
/// `tables` holds the rows of each table, in the order of the definition.
pub fn view<'scope>(tables: &[Rows<'scope>], plan: &Plan) -> Rows<'scope> {
    render(tables, &plan.root, &plan.columns)
}

fn render<'scope>(tables: &[Rows<'scope>], node: &Node, output: &[String]) -> Rows<'scope> {
    match node {
        Node::Table(TableId(table)) => tables[usize::from(*table)].clone(),
        Node::Filter { input, condition } => {
            let condition = condition.clone();
            let input: VecCollection<'scope, _, _, _> = render(tables, input, output);
            input.filter(move |(_, row)| condition.is_true(row))
        }
        Node::Project { input, columns } => {
            let mut projector = Projector {
                columns: columns.clone(),
                names: output.to_vec(),
                projections: Vec::new(),
            };
            render(tables, input, output).map(move |(key, row)| (key, projector.project(&row)))
        }
    }
}

/// Rows of a table -> rows of the view. Columns taken as they are stay where they are.
struct Projector {
    columns: Vec<Expression>,
    names: Vec<String>,
    /// Of the shapes seen last.
    projections: Vec<Projection>,
}

/// Shapes whose projection is kept. A table has one, or two while it changes.
const SHAPES_MAX: usize = 4;

impl Projector {
    fn project(&mut self, row: &Row) -> Row {
        let known = self.projections.iter().position(|known| known.fits(row));
        let place = known.unwrap_or_else(|| {
            let sources = self.columns.iter().map(|column| match column {
                Expression::Column(name) => Some(name.as_str()),
                _ => None,
            });
            let columns = self.names.iter().map(String::as_str).zip(sources);
            self.projections.truncate(SHAPES_MAX - 1);
            self.projections.insert(0, Projection::new(row, columns));
            0
        });
        self.projections[place].apply(row, |column| self.columns[column].evaluate(row))
    }
}

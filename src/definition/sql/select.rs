//! `SELECT items FROM table WHERE condition` -> [`Query`]; what else a `SELECT` can have is refused by its name.

use std::collections::HashSet;

use sqlparser::ast;

use super::convert::{Converter, Names, line_of};
use super::{ONE_SELECT, fault};
use crate::change::TableId;
use crate::definition::fault::{quoted, suggestion};
use crate::definition::plan::Node;
use crate::definition::{Expression, Fault, Plan};

/// A query over the tables of a file.
pub(in crate::definition) struct Query {
    pub columns: Vec<OutputColumn>,
    /// The table behind it, if the file has it.
    pub table: Option<TableId>,
    /// Absent where some expression is at fault.
    pub plan: Option<Plan>,
}

pub(in crate::definition) struct OutputColumn {
    pub name: String,
    /// The column of the table that it passes on unchanged.
    pub origin: Option<String>,
}

/// A fault for each clause around the `SELECT` that is not supported.
pub(super) fn refusals(query: &ast::Query) -> Vec<Fault> {
    let mut present = vec![
        (query.with.is_some(), "WITH"),
        (query.order_by.is_some(), "ORDER BY"),
        (query.limit_clause.is_some(), "LIMIT"),
        (query.fetch.is_some(), "FETCH"),
        (!query.locks.is_empty(), "FOR UPDATE"),
        (query.for_clause.is_some(), "FOR"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "|>"),
    ];
    match &*query.body {
        ast::SetExpr::Select(select) => {
            let grouped =
                !matches!(&select.group_by, ast::GroupByExpr::Expressions(list, _) if list.is_empty());
            present.extend([
                (select.distinct.is_some(), "DISTINCT"),
                (select.top.is_some(), "TOP"),
                (select.exclude.is_some(), "EXCLUDE"),
                (select.into.is_some(), "INTO"),
                (!select.lateral_views.is_empty(), "LATERAL VIEW"),
                (select.prewhere.is_some(), "PREWHERE"),
                (!select.connect_by.is_empty(), "CONNECT BY"),
                (grouped, "GROUP BY"),
                (!select.cluster_by.is_empty(), "CLUSTER BY"),
                (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
                (!select.sort_by.is_empty(), "SORT BY"),
                (select.having.is_some(), "HAVING"),
                (!select.named_window.is_empty(), "WINDOW"),
                (select.qualify.is_some(), "QUALIFY"),
                (select.value_table_mode.is_some(), "AS STRUCT"),
                (select.select_modifiers.is_some(), "a modifier of SELECT"),
                (select.flavor != ast::SelectFlavor::Standard, "FROM before SELECT"),
            ]);
        }
        ast::SetExpr::SetOperation { op, .. } => present.push((true, set_operation(op))),
        ast::SetExpr::Query(_) => present.push((true, "a query in parentheses")),
        ast::SetExpr::Values(_) => present.push((true, "VALUES")),
        _ => present.push((true, "anything but `SELECT`")),
    }
    present
        .into_iter()
        .filter(|(present, _)| *present)
        .map(|(_, name)| fault(None, format!("{name} is not supported"), ONE_SELECT))
        .collect()
}

fn set_operation(op: &ast::SetOperator) -> &'static str {
    match op {
        ast::SetOperator::Union => "UNION",
        ast::SetOperator::Except => "EXCEPT",
        ast::SetOperator::Intersect => "INTERSECT",
        ast::SetOperator::Minus => "MINUS",
    }
}

pub(super) fn convert(select: &ast::Select, tables: &[&str], faults: &mut Vec<Fault>) -> Option<Query> {
    let from = from(select, tables, faults);
    let mut converter = Converter::new(match &from {
        Some(from) => Names::Of {
            table: from.name.clone(),
        },
        None => Names::Any,
    });
    let condition = select
        .selection
        .as_ref()
        .map(|condition| converter.convert(condition));
    let items: Vec<Option<(String, Option<Expression>)>> = select
        .projection
        .iter()
        .map(|item| convert_item(item, &mut converter))
        .collect();
    faults.append(&mut converter.faults);
    let items = items.into_iter().collect::<Option<Vec<_>>>()?;

    let mut seen = HashSet::new();
    let twice: Vec<&str> = items
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !seen.insert(*name))
        .collect();
    for name in &twice {
        let message = format!("the query has two columns {}", quoted(name));
        faults.push(fault(None, message, "`AS` gives one of them another name"));
    }
    let columns = items
        .iter()
        .map(|(name, expression)| {
            let origin = match expression {
                Some(Expression::Column(origin)) => Some(origin.clone()),
                _ => None,
            };
            OutputColumn {
                name: name.clone(),
                origin,
            }
        })
        .collect();
    let table = from.and_then(|from| from.table);
    let plan = if twice.is_empty() {
        plan(table, condition, items)
    } else {
        None
    };
    Some(Query { columns, table, plan })
}

fn plan(
    table: Option<TableId>,
    condition: Option<Option<Expression>>,
    items: Vec<(String, Option<Expression>)>,
) -> Option<Plan> {
    let mut input = Node::Table(table?);
    if let Some(condition) = condition {
        input = Node::Filter {
            input: Box::new(input),
            condition: condition?,
        };
    }
    let (names, columns): (Vec<String>, Vec<Option<Expression>>) = items.into_iter().unzip();
    let columns = columns.into_iter().collect::<Option<Vec<Expression>>>()?;
    Some(Plan {
        root: Node::Project {
            input: Box::new(input),
            columns,
        },
        columns: names,
    })
}

/// The table of `FROM`, and the name that its columns may be qualified with.
struct From {
    table: Option<TableId>,
    name: String,
}

fn from(select: &ast::Select, tables: &[&str], faults: &mut Vec<Fault>) -> Option<From> {
    let mut refuse = |what: &str, hint: &str| {
        faults.push(fault(None, what, hint));
        None
    };
    let [ast::TableWithJoins { relation, joins }] = &*select.from else {
        return match &*select.from {
            [] => refuse("the query has no FROM", ONE_SELECT),
            _ => refuse("several tables in FROM are not supported", ONE_SELECT),
        };
    };
    if !joins.is_empty() {
        return refuse("JOIN is not supported", ONE_SELECT);
    }
    let ast::TableFactor::Table {
        name,
        alias,
        args: None,
        version: None,
        sample: None,
        ..
    } = relation
    else {
        return match relation {
            ast::TableFactor::Derived { .. } => refuse("a subquery in FROM is not supported", ONE_SELECT),
            _ => refuse("only a table can stand in FROM", ONE_SELECT),
        };
    };
    let [ast::ObjectNamePart::Identifier(ident)] = &*name.0 else {
        let written = quoted(&name.to_string());
        return refuse(
            &format!("the table {written} has a qualified name"),
            "FROM takes the NAME of `[tables.NAME]`; `select` there takes `database.table`",
        );
    };
    if alias
        .as_ref()
        .is_some_and(|alias| !alias.columns.is_empty() || alias.at.is_some())
    {
        return refuse(
            "names for columns in FROM are not supported",
            "`AS` in SELECT renames columns",
        );
    }
    let place = tables.iter().position(|table| *table == ident.value);
    if place.is_none() {
        let line = usize::try_from(ident.span.start.line).ok();
        let message = format!("the table {} is not in this file", quoted(&ident.value));
        faults.push(fault(
            line,
            message,
            suggestion(&ident.value, tables).unwrap_or_default(),
        ));
    }
    Some(From {
        table: place.and_then(|place| u16::try_from(place).ok()).map(TableId),
        name: alias
            .as_ref()
            .map_or(&ident.value, |alias| &alias.name.value)
            .clone(),
    })
}

/// The name of a column of the query, and its expression if that is right; nothing where it has no name.
fn convert_item(item: &ast::SelectItem, converter: &mut Converter) -> Option<(String, Option<Expression>)> {
    match item {
        ast::SelectItem::UnnamedExpr(expression) => {
            let line = line_of(expression);
            match converter.convert(expression)? {
                Expression::Column(name) => Some((name.clone(), Some(Expression::Column(name)))),
                _ => {
                    let written = quoted(&expression.to_string());
                    converter.faults.push(fault(
                        line,
                        format!("the expression {written} has no name"),
                        "`AS` gives it one: `LOWER(name) AS name`",
                    ));
                    None
                }
            }
        }
        ast::SelectItem::ExprWithAlias { expr, alias } => {
            Some((alias.value.clone(), converter.convert(expr)))
        }
        ast::SelectItem::ExprWithAliases { .. } => {
            converter.faults.push(fault(
                None,
                "several names for one column are not supported",
                ONE_SELECT,
            ));
            None
        }
        ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..) => {
            converter.faults.push(fault(
                None,
                "`*` is not supported",
                "SELECT names the columns: the stream may bring new ones at any time",
            ));
            None
        }
    }
}

//! SQL text -> [`Plan`] and [`Expression`], by the `sqlparser` crate.
//!
//! Queries are one `SELECT items FROM table WHERE condition`. What else a SQL parser knows is refused by its
//! name. Everything is bounded before it is parsed, for filters come from anyone who can reach the query port.

mod convert;

use std::collections::HashSet;

use sqlparser::ast;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer};

use self::convert::{Converter, Names};
use super::fault::{quoted, suggestion};
use super::plan::Node;
use super::{Expression, Fault, Plan};
use crate::change::TableId;

/// A filter with thousands of ids fits.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Operators and keywords. Chains of them nest to the left, and dropping the parsed tree recurses as deeply.
const OPERATORS_MAX: usize = 2_000;

/// Parentheses, calls and other things inside each other.
const NESTING_MAX: usize = 200;

/// A query over the tables of a file.
pub(super) struct Query {
    pub columns: Vec<OutputColumn>,
    /// The table behind it, if the file has it.
    pub table: Option<TableId>,
    /// Absent where some expression is at fault.
    pub plan: Option<Plan>,
}

pub(super) struct OutputColumn {
    pub name: String,
    /// The column of the table that it passes on unchanged.
    pub origin: Option<String>,
}

/// Parses the query port's `filter`: a boolean expression over columns.
///
/// # Errors
/// The first fault, without a line.
pub fn parse_filter(text: &str) -> Result<Expression, Fault> {
    let parse = || {
        let mut parser = parser(text)?;
        let parsed = parser.parse_expr().map_err(parser_fault)?;
        expect_end(&mut parser)?;
        let mut converter = Converter::new(Names::Plain);
        let expression = converter.convert(&parsed);
        match converter.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(expression.expect("an expression is absent for a reason")),
        }
    };
    parse().map_err(|fault| Fault { line: None, ..fault })
}

/// Parses an index's query over the tables of these names. Lines of faults count from the text's first.
///
/// Without a query not even the names of its columns are known.
pub(super) fn parse_query(text: &str, tables: &[&str]) -> (Option<Query>, Vec<Fault>) {
    let parse = || {
        let mut parser = parser(text)?;
        let parsed = parser.parse_query().map_err(parser_fault)?;
        while parser.consume_token(&Token::SemiColon) {}
        expect_end(&mut parser)?;
        Ok(parsed)
    };
    match parse() {
        Ok(parsed) => {
            let mut faults = refusals(&parsed);
            let query = match &*parsed.body {
                ast::SetExpr::Select(select) => convert_select(select, tables, &mut faults),
                _ => None,
            };
            (query, faults)
        }
        Err(fault) => (None, vec![fault]),
    }
}

/// Identifiers are case-sensitive, as streams name their columns; `"` and `` ` `` quote them.
#[derive(Debug)]
struct Sql;

impl Dialect for Sql {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        matches!(ch, '"' | '`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || matches!(ch, '_' | '$')
    }
}

fn fault(line: Option<usize>, message: impl Into<String>, hint: impl Into<String>) -> Fault {
    let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
    Fault {
        line,
        message: message.into(),
        hint,
    }
}

fn parser(text: &str) -> Result<Parser<'static>, Fault> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the SQL has {} bytes", text.len());
        return Err(fault(None, message, format!("at most {TEXT_BYTES_MAX}")));
    }
    let tokens = Tokenizer::new(&Sql, text)
        .tokenize_with_location()
        .map_err(|error| {
            let line = usize::try_from(error.location.line).ok();
            fault(line, format!("SQL: {}", error.message), "")
        })?;
    let nests = |token: &Token| match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::LParen | Token::RParen => false,
        _ => true,
    };
    if tokens.iter().filter(|token| nests(&token.token)).count() > OPERATORS_MAX {
        return Err(fault(
            None,
            format!("the SQL has more than {OPERATORS_MAX} operators and keywords"),
            "many alternatives of one column are a list: `id IN (1, 2, 3)`",
        ));
    }
    Ok(Parser::new(&Sql)
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(tokens))
}

fn expect_end(parser: &mut Parser<'_>) -> Result<(), Fault> {
    match &parser.peek_token_ref().token {
        Token::EOF => Ok(()),
        _ => {
            let token = parser.peek_token();
            let line = usize::try_from(token.span.start.line).ok();
            let found = quoted(&token.token.to_string());
            Err(fault(line, format!("SQL: {found} is not expected here"), ""))
        }
    }
}

/// The parser's words, with the line taken out of them.
fn parser_fault(error: ParserError) -> Fault {
    match error {
        ParserError::RecursionLimitExceeded => too_deep(None),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
            let (message, place) = text.rsplit_once(" at Line: ").unwrap_or((&text, ""));
            let line = place.split(',').next().and_then(|line| line.trim().parse().ok());
            let message: String = message
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(300)
                .collect();
            fault(
                line,
                format!("SQL: {}", message.replacen("Expected:", "expected", 1)),
                "",
            )
        }
    }
}

fn too_deep(line: Option<usize>) -> Fault {
    fault(
        line,
        "the SQL nests too deeply",
        format!("at most {NESTING_MAX} levels"),
    )
}

const ONE_SELECT: &str = "a query is one `SELECT ... FROM table WHERE ...`";

/// A fault for each clause around the `SELECT` that is not supported.
fn refusals(query: &ast::Query) -> Vec<Fault> {
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

fn convert_select(select: &ast::Select, tables: &[&str], faults: &mut Vec<Fault>) -> Option<Query> {
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
            let line = convert::line_of(expression);
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

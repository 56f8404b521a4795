//! SQL text -> [`Plan`](super::Plan) and [`Expression`], by the `sqlparser` crate.
//!
//! Queries are one `SELECT items FROM table WHERE condition`. What else a SQL parser knows is refused by its
//! name. Everything is bounded before it is parsed, for filters come from anyone who can reach the query port.

mod convert;
mod function;
mod select;

use sqlparser::ast;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer};

use self::convert::{Converter, Names};
pub(super) use self::select::Query;
use super::fault::{one_line, quoted};
use super::{Expression, Fault};

/// A filter with thousands of ids fits.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Operators and keywords. Chains of them nest to the left, and dropping the parsed tree recurses as deeply.
const OPERATORS_MAX: usize = 2_000;

/// Parentheses, calls and other things inside each other.
const NESTING_MAX: usize = 200;

const ONE_SELECT: &str = "a query is one `SELECT ... FROM table WHERE ...`";
const ONE_CONDITION: &str = "a filter is a condition such as `category = 'shoes' AND price < 100`";

/// Parses a boolean expression over columns, as they are. [`Filters`](super::Filters) makes a filter of one.
///
/// # Errors
/// The first fault, without a line.
pub fn parse_filter(text: &str) -> Result<Expression, Fault> {
    parse_filter_at(text, None)
}

/// The same, where `now()` is this point in time, in microseconds since 1970.
pub(super) fn parse_filter_at(text: &str, now: Option<i64>) -> Result<Expression, Fault> {
    let expression = parse(text, ONE_CONDITION, |parser| parser.parse_expr()).and_then(|parsed| {
        let mut converter = Converter::new(Names::Plain { now });
        let expression = converter.convert(&parsed);
        match converter.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(expression.expect("an expression is absent for a reason")),
        }
    });
    expression.map_err(|fault| Fault { line: None, ..fault })
}

/// Parses an index's query over the tables of these names. Lines of faults count from the text's first.
///
/// Without a query not even the names of its columns are known.
pub(super) fn parse_query(text: &str, tables: &[&str]) -> (Option<Query>, Vec<Fault>) {
    let grammar = |parser: &mut Parser<'_>| {
        let query = parser.parse_query()?;
        let _optional = parser.consume_token(&Token::SemiColon);
        Ok(query)
    };
    match parse(text, ONE_SELECT, grammar) {
        Ok(parsed) => {
            let mut faults = select::refusals(&parsed);
            let query = match &*parsed.body {
                ast::SetExpr::Select(select) => select::convert(select, tables, &mut faults),
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

/// Parses all of the text; `hint` says what it should look like.
fn parse<T>(
    text: &str,
    hint: &str,
    grammar: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Fault> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the SQL has {} bytes", text.len());
        return Err(fault(None, message, format!("at most {TEXT_BYTES_MAX}")));
    }
    let tokens = Tokenizer::new(&Sql, text)
        .tokenize_with_location()
        .map_err(|error| {
            let message = format!("SQL: {}", one_line(&error.message));
            fault(usize::try_from(error.location.line).ok(), message, hint)
        })?;
    if tokens.iter().filter(|token| nests(&token.token)).count() > OPERATORS_MAX {
        return Err(fault(
            None,
            format!("the SQL has more than {OPERATORS_MAX} operators and keywords"),
            "many alternatives of one column are a list: `id IN (1, 2, 3)`",
        ));
    }
    let mut parser = Parser::new(&Sql)
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(tokens);
    let parsed = grammar(&mut parser).map_err(|error| parser_fault(error, hint))?;
    let next = parser.next_token();
    match next.token {
        Token::EOF => Ok(parsed),
        token => {
            let message = format!("SQL: {} is not expected here", quoted(&token.to_string()));
            Err(fault(usize::try_from(next.span.start.line).ok(), message, hint))
        }
    }
}

/// Whether the token can make the tree one deeper, apart from parentheses, which the parser counts.
fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::LParen | Token::RParen => false,
        _ => true,
    }
}

/// The parser's words, with the line taken out of them.
fn parser_fault(error: ParserError, hint: &str) -> Fault {
    match error {
        ParserError::RecursionLimitExceeded => too_deep(None),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
            let (message, place) = text.rsplit_once(" at Line: ").unwrap_or((&text, ""));
            let line = place.split(',').next().and_then(|line| line.trim().parse().ok());
            let message = message.replacen("Expected:", "expected", 1);
            fault(line, format!("SQL: {}", one_line(&message)), hint)
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

//! Reads runbooks of the big-ann benchmarks' streaming track: what is inserted, deleted and replaced, and when to search.
//!
//! ```yaml
//! glove-100K:                    # a data set, with its steps numbered from 1
//!   max_pts: 50000               # vectors that are there at once, at most
//!   1:
//!     operation: insert          # these vectors; a vector's slot is its own number
//!     start: 0
//!     end: 1000                  # the end is not part of a range
//!   2:
//!     operation: replace
//!     tags_start: 0              # slots that get other vectors
//!     tags_end: 100
//!     ids_start: 1000
//!     ids_end: 1100
//!   3:
//!     operation: search
//! ```
//!
//! Those files are nested blocks of `key: value`, and of YAML no more is understood.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The steps for one data set.
#[derive(Debug, PartialEq)]
pub struct Runbook {
    pub set: String,
    /// Vectors that are there at once, at most, if the file says so.
    pub points_max: Option<u32>,
    pub steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
pub enum Step {
    /// These vectors, each in the slot of its own number.
    Insert(Range<u32>),
    /// The vectors in these slots.
    Delete(Range<u32>),
    /// These slots get these vectors, in order.
    Replace { slots: Range<u32>, rows: Range<u32> },
    /// All queries.
    Search,
}

/// Why a file is not a runbook.
#[derive(Debug, PartialEq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

/// Reads the runbooks of a file, one for each data set it names.
///
/// # Errors
///
/// The first line that says something else than the format knows, or leaves something out.
pub fn read(text: &str) -> Result<Vec<Runbook>, Fault> {
    let lines = lines(text)?;
    let sets = blocks(&lines).map(|(head, body)| {
        if !head.value.is_empty() {
            return Err(head.fault("expected a data set and below it its steps"));
        }
        runbook(head, body)
    });
    sets.collect()
}

/// A line `key: value`.
struct Line<'a> {
    number: usize,
    indent: usize,
    key: &'a str,
    value: &'a str,
}

impl Line<'_> {
    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            line: self.number,
            reason: reason.into(),
        }
    }
}

fn lines(text: &str) -> Result<Vec<Line<'_>>, Fault> {
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let code = match text.find(" #") {
            _ if text.trim_start().starts_with('#') => "",
            Some(comment) => &text[..comment],
            None => text,
        };
        if code.trim().is_empty() || code.trim() == "---" {
            continue;
        }
        let key_and_value = code.trim().strip_suffix(':').map(|key| (key, ""));
        let Some((key, value)) = key_and_value.or_else(|| code.trim().split_once(": ")) else {
            let reason = format!("expected `key: value`, found `{}`", code.trim());
            return Err(Fault { line: number, reason });
        };
        lines.push(Line {
            number,
            indent: code.len() - code.trim_start().len(),
            key: unquoted(key),
            value: unquoted(value),
        });
    }
    Ok(lines)
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(text)
}

/// Lines of the least indent, each with those below it that are indented more.
fn blocks<'l, 'a>(lines: &'l [Line<'a>]) -> impl Iterator<Item = (&'l Line<'a>, &'l [Line<'a>])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let (head, below) = rest.split_first()?;
        let end = below
            .iter()
            .position(|line| line.indent <= head.indent)
            .unwrap_or(below.len());
        let (body, next) = below.split_at(end);
        rest = next;
        Some((head, body))
    })
}

fn runbook(head: &Line<'_>, body: &[Line<'_>]) -> Result<Runbook, Fault> {
    let mut points_max = None;
    let mut steps = BTreeMap::new();
    for (line, fields) in blocks(body) {
        match line.key.parse::<u32>() {
            Ok(number) => {
                if steps.insert(number, (line, step(line, fields)?)).is_some() {
                    return Err(line.fault(format!("step {number} occurs twice")));
                }
            }
            Err(_) if line.key == "max_pts" => points_max = Some(count(line)?),
            // Where the right answers can be downloaded.
            Err(_) if line.key == "gt_url" => {}
            Err(_) => {
                return Err(line.fault(format!(
                    "expected a step's number, max_pts or gt_url, found `{}`",
                    line.key
                )));
            }
        }
    }
    // The order is that of the numbers: files may be sorted by their text.
    for (expected, (number, (line, _))) in (1..).zip(&steps) {
        if *number != expected {
            return Err(line.fault(format!("step {expected} is missing")));
        }
    }
    Ok(Runbook {
        set: head.key.to_owned(),
        points_max,
        steps: steps.into_values().map(|(_, step)| step).collect(),
    })
}

fn step(head: &Line<'_>, fields: &[Line<'_>]) -> Result<Step, Fault> {
    let field = |key: &str| {
        let found = fields.iter().find(|line| line.key == key);
        found.ok_or_else(|| head.fault(format!("step {} has no `{key}`", head.key)))
    };
    let range = |from: &str, to: &str| {
        let (from, to) = (field(from)?, field(to)?);
        let range = count(from)?..count(to)?;
        if range.start > range.end {
            return Err(to.fault(format!("{} is below {}", to.key, from.key)));
        }
        Ok(range)
    };
    let operation = field("operation")?;
    match operation.value {
        "insert" => Ok(Step::Insert(range("start", "end")?)),
        "delete" => Ok(Step::Delete(range("start", "end")?)),
        "replace" => {
            let slots = range("tags_start", "tags_end")?;
            let rows = range("ids_start", "ids_end")?;
            if slots.len() != rows.len() {
                return Err(head.fault(format!("{} tags and {} ids", slots.len(), rows.len())));
            }
            Ok(Step::Replace { slots, rows })
        }
        "search" => Ok(Step::Search),
        other => Err(operation.fault(format!("unknown operation `{other}`"))),
    }
}

fn count(line: &Line<'_>) -> Result<u32, Fault> {
    line.value
        .parse()
        .map_err(|_| line.fault(format!("{} is not a count: `{}`", line.key, line.value)))
}

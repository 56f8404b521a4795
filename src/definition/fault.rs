//! What is wrong in a dataflow file: where, what, and what would be right.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// 1-based line, where one can be named.
    pub line: Option<usize>,
    /// What is wrong: "unknown format `canal`".
    pub message: String,
    /// What would be right: "did you mean `canal-json`?".
    pub hint: Option<String>,
}

/// All faults of one file, at least one.
#[derive(Debug, thiserror::Error)]
pub struct Faults {
    /// The path, as the user gave it.
    pub origin: String,
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            f.write_str(&self.origin)?;
            if let Some(line) = fault.line {
                write!(f, ":{line}")?;
            }
            writeln!(f, ": {}", fault.message)?;
            if let Some(hint) = &fault.hint {
                writeln!(f, "    {hint}")?;
            }
        }
        match self.faults.len() {
            1 => f.write_str("1 fault"),
            count => write!(f, "{count} faults"),
        }
    }
}

/// What a user wrote, as a fault quotes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", one_line(text))
}

/// What a user wrote, on one line, shortened where it is long.
pub(super) fn one_line(text: &str) -> String {
    /// A line of a terminal holds this and the rest of the message.
    const CHARS_MAX: usize = 100;
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == CHARS_MAX => {
                out.push_str("...");
                break;
            }
            c if c.is_whitespace() => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// "did you mean `canal-json`?" where one name comes close, else all of them.
pub(crate) fn suggestion(written: &str, names: &[&str]) -> Option<String> {
    match closest(written, names) {
        Some(name) => Some(format!("did you mean {}?", quoted(name))),
        None => one_of(names),
    }
}

/// "one of `a`, `b`", or nothing where there is none.
pub(super) fn one_of(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [name] => Some(format!("there is only {}", quoted(name))),
        names => Some(format!("one of {}", listed(names))),
    }
}

/// "`a`, `b`, `c`", cut where a table has very many columns.
pub(crate) fn listed(names: &[&str]) -> String {
    const NAMES_MAX: usize = 30;
    let mut out = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > NAMES_MAX {
        out.push_str(", ...");
    }
    out
}

/// The name that was probably meant.
pub(super) fn closest<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    /// Jaro-Winkler similarity, which favours a common start: `canal` is close to `canal-json`.
    const CLOSE: f64 = 0.8;
    /// No name is longer, and the comparison takes quadratic time.
    const BYTES_MAX: usize = 200;
    if written.len() > BYTES_MAX {
        return None;
    }
    let written = written.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(&written, &name.to_lowercase()), *name))
        .filter(|(similarity, _)| *similarity >= CLOSE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_place_and_remedy_and_the_count_comes_last() {
        let fault = |line, message: &str, hint: Option<&str>| Fault {
            line,
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let mut faults = Faults {
            origin: "x.toml".to_owned(),
            faults: vec![fault(
                Some(12),
                "unknown format `canal`",
                Some("did you mean `canal-json`?"),
            )],
        };
        assert_eq!(
            faults.to_string(),
            "x.toml:12: unknown format `canal`\n    did you mean `canal-json`?\n1 fault"
        );
        faults.faults.push(fault(None, "cannot be read", None));
        assert!(faults.to_string().ends_with("\nx.toml: cannot be read\n2 faults"));
    }

    #[test]
    fn a_name_is_suggested_only_where_it_comes_close() {
        let names = ["canal-json", "debezium-json", "maxwell-json"];
        assert_eq!(closest("canal", &names), Some("canal-json"));
        assert_eq!(closest("Debezium_JSON", &names), Some("debezium-json"));
        assert_eq!(closest("avro", &names), None);
        assert_eq!(
            suggestion("avro", &names).as_deref(),
            Some("one of `canal-json`, `debezium-json`, `maxwell-json`")
        );
    }

    #[test]
    fn what_is_quoted_stays_on_one_line() {
        assert_eq!(quoted("a\nb\u{7}"), "`a b\\u{7}`");
        assert_eq!(quoted(&"x".repeat(200)), format!("`{}...`", "x".repeat(100)));
    }
}

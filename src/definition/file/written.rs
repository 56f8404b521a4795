//! TOML values that know their place: read key by key, with what is wrong noted while reading goes on.
//!
//! A [`Section`] remembers which keys it was asked for, so that whatever else stands in it is unknown, and the
//! names to suggest instead are at hand. Nothing here prints a value: it may be a secret.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::definition::Fault;
use crate::definition::fault::{one_line, one_of, quoted, suggestion};

/// The text of a file, and what has been found wrong in it so far.
pub(super) struct Report<'a> {
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Report<'a> {
    pub fn new(text: &'a str) -> Report<'a> {
        Report {
            text,
            faults: RefCell::default(),
        }
    }

    pub fn add(&self, line: Option<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
        self.faults.borrow_mut().push(Fault {
            line,
            message: message.into(),
            hint,
        });
    }

    /// The 1-based line of a byte.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// In the order of the file.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        faults
    }
}

/// One value, with the way to it.
pub(super) struct Entry<'a> {
    pub report: &'a Report<'a>,
    /// The key with its sections: `tables.products.format`.
    pub path: String,
    /// The key alone.
    pub name: &'a str,
    pub line: usize,
    value: &'a DeValue<'a>,
    span: Range<usize>,
}

impl<'a> Entry<'a> {
    /// Notes what is wrong with the value.
    pub fn wrong(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.report.add(Some(self.line), message, hint);
    }

    fn mistyped<T>(&self, expected: &str) -> Option<T> {
        let article = if matches!(self.value, DeValue::Integer(_) | DeValue::Array(_)) {
            "an"
        } else {
            "a"
        };
        let found = match self.value {
            DeValue::Datetime(_) => "date",
            value => value.type_str(),
        };
        self.wrong(
            format!("`{}` is {article} {found}", self.path),
            format!("it must be {expected}"),
        );
        None
    }

    pub fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub fn is_integer(&self) -> bool {
        self.value.is_integer()
    }

    pub fn is_section(&self) -> bool {
        self.value.is_table()
    }

    /// A string that is not blank. `expected` completes "it must be ...", as everywhere below.
    pub fn text(&self, expected: &str) -> Option<&'a str> {
        match self.value.as_str() {
            Some(text) if text.trim().is_empty() => {
                self.wrong(
                    format!("`{}` is empty", self.path),
                    format!("it must be {expected}"),
                );
                None
            }
            Some(text) => Some(text),
            None => self.mistyped(expected),
        }
    }

    /// The line in the file of a 1-based line of the text, where the text is written over several lines.
    pub fn line_within(&self, line: usize) -> usize {
        let raw = self.report.text.get(self.span.clone()).unwrap_or_default();
        if !raw.contains('\n') {
            return self.line;
        }
        // A line break right after the opening quotes is not part of the text.
        let opening = raw.get(3..).unwrap_or_default();
        let first = usize::from(opening.starts_with('\n') || opening.starts_with("\r\n"));
        self.report.line(self.span.start) + first + line.saturating_sub(1)
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.mistyped("`true` or `false`"),
        }
    }

    /// An integer in the range, which `expected` describes.
    pub fn integer(&self, range: Range<u64>, expected: &str) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.mistyped(expected);
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Some(value),
            _ => {
                self.wrong(
                    format!("`{}` is out of range", self.path),
                    format!("it must be {expected}"),
                );
                None
            }
        }
    }

    /// An integer or a float that is accepted by `accepts`, which `expected` describes.
    pub fn number(&self, accepts: impl Fn(f64) -> bool, expected: &str) -> Option<f64> {
        let value: Option<f64> = match self.value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|value| value as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => return self.mistyped(expected),
        };
        let accepted = value.filter(|value| value.is_finite() && accepts(*value));
        if accepted.is_none() {
            self.wrong(
                format!("`{}` is out of range", self.path),
                format!("it must be {expected}"),
            );
        }
        accepted
    }

    /// A string, number or boolean as text.
    pub fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(integer) => Some(integer.to_string()),
            DeValue::Float(float) => Some(float.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            _ => self.mistyped("a string, a number or a boolean"),
        }
    }

    /// One of the names, for what the name stands for.
    pub fn choice<T: Clone>(&self, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let text = self.text(&one_of(&names).unwrap_or_default())?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let hint = suggestion(text, &names).unwrap_or_default();
            self.wrong(format!("unknown {what} {}", quoted(text)), hint);
        }
        found.map(|(_, choice)| choice.clone())
    }

    /// A string or a list of different strings, at least one; each with its own line.
    pub fn texts(&self, expected: &str) -> Option<Vec<(Entry<'a>, &'a str)>> {
        let entries: Vec<Entry<'a>> = match self.value {
            DeValue::Array(values) => values.iter().map(|value| self.item(value)).collect(),
            _ => vec![self.item_of(self.value, self.span.clone(), self.line)],
        };
        if entries.is_empty() {
            self.wrong(
                format!("`{}` is empty", self.path),
                format!("it must be {expected}"),
            );
            return None;
        }
        let mut texts: Vec<(Entry<'a>, &'a str)> = Vec::with_capacity(entries.len());
        let mut complete = true;
        for entry in entries {
            match entry.text(expected) {
                None => complete = false,
                Some(text) if texts.iter().any(|(_, other)| *other == text) => {
                    entry.wrong(
                        format!("`{}` names {} twice", self.path, quoted(text)),
                        "once is enough",
                    );
                    complete = false;
                }
                Some(text) => texts.push((entry, text)),
            }
        }
        complete.then_some(texts)
    }

    /// The values of a list, which may be empty.
    pub fn items(&self, expected: &str) -> Option<Vec<Entry<'a>>> {
        match self.value {
            DeValue::Array(values) => Some(values.iter().map(|value| self.item(value)).collect()),
            _ => self.mistyped(expected),
        }
    }

    fn item(&self, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
        self.item_of(
            value.get_ref(),
            value.span(),
            self.report.line(value.span().start),
        )
    }

    fn item_of(&self, value: &'a DeValue<'a>, span: Range<usize>, line: usize) -> Entry<'a> {
        Entry {
            report: self.report,
            path: self.path.clone(),
            name: self.name,
            line,
            value,
            span,
        }
    }

    pub fn section(&self, expected: &str) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section {
                report: self.report,
                path: self.path.clone(),
                line: self.line,
                table,
                asked: Vec::new(),
            }),
            _ => self.mistyped(expected),
        }
    }
}

/// A table of the file, read key by key.
pub(super) struct Section<'a> {
    pub report: &'a Report<'a>,
    /// Empty for the whole file.
    pub path: String,
    pub line: usize,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn whole_file(report: &'a Report<'a>, table: &'a DeTable<'a>) -> Section<'a> {
        Section {
            report,
            path: String::new(),
            line: 1,
            table,
            asked: Vec::new(),
        }
    }

    pub fn optional(&mut self, name: &'static str) -> Option<Entry<'a>> {
        self.asked.push(name);
        let (key, value) = self.table.get_key_value(name)?;
        Some(self.entry(key, value))
    }

    /// Notes a fault where the key is missing; `expected` completes "it must be ...".
    pub fn required(&mut self, name: &'static str, expected: &str) -> Option<Entry<'a>> {
        let entry = self.optional(name);
        if entry.is_none() {
            let message = match &*self.path {
                "" => format!("the file lacks `{name}`"),
                path => format!("`{path}` lacks `{name}`"),
            };
            self.report
                .add(Some(self.line), message, format!("it must be {expected}"));
        }
        entry
    }

    /// All entries, in the order of the file: for sections whose keys are the user's own names.
    pub fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<(usize, Entry<'a>)> = self
            .table
            .iter()
            .map(|(key, value)| (key.span().start, self.entry(key, value)))
            .collect();
        entries.sort_by_key(|(start, _)| *start);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    fn entry(
        &self,
        key: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Entry<'a> {
        let name: &'a str = key.get_ref();
        Entry {
            report: self.report,
            path: match &*self.path {
                "" => one_line(name),
                path => format!("{path}.{}", one_line(name)),
            },
            name,
            line: self.report.line(key.span().start),
            value: value.get_ref(),
            span: value.span(),
        }
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        self.finish_with("");
    }

    /// The same, with a remedy after the names that would be right.
    pub fn finish_with(self, remedy: &str) {
        for entry in self.entries() {
            if !self.asked.contains(&entry.name) {
                let message = match &*self.path {
                    "" => format!("unknown key {}", quoted(entry.name)),
                    path => format!("unknown key {} in `{path}`", quoted(entry.name)),
                };
                let hint = suggestion(entry.name, &self.asked).unwrap_or_default();
                entry.wrong(message, format!("{hint}{remedy}"));
            }
        }
    }
}

//! What of a dataflow file is kept with the data that it has made: tables and index, and nothing of the world.

use std::borrow::Cow;
use std::path::Path;

use toml::Spanned;
use toml::Value;
use toml::de::{DeTable, DeValue};

use crate::definition::KeptFile;

/// The same dataflow file, in the same order, with tables that take pushes instead of reading their sources. It lies
/// nowhere, so the relative path of a model, which `base` is the start of, becomes a whole one.
pub(super) fn without_sources(file: &DeTable<'_>, base: &Path) -> KeptFile {
    let lines = in_order(file).filter_map(|(name, value)| {
        let value = match (name, value) {
            ("dead_letters" | "server", _) => return None,
            ("tables", DeValue::Table(tables)) => inline(in_order(tables).map(|(name, table)| {
                let table = match table {
                    DeValue::Table(table) => inline(in_order(table).filter_map(setting)),
                    other => text(other),
                };
                (name, table)
            })),
            (_, other) => rooted(other, base),
        };
        Some(format!("{} = {value}\n", quoted(name)))
    });
    KeptFile(lines.collect())
}

fn setting<'a>((name, value): (&'a str, &DeValue<'_>)) -> Option<(&'a str, String)> {
    match name {
        "source" => Some((name, r#"{ kind = "http" }"#.to_owned())),
        "claim_check" => None,
        _ => Some((name, text(value))),
    }
}

/// A section, with every `model = { path = ... }` below it by a whole path.
fn rooted(value: &DeValue<'_>, base: &Path) -> String {
    let DeValue::Table(table) = value else {
        return text(value);
    };
    inline(in_order(table).map(|(name, value)| {
        let value = match (name, value) {
            ("model", DeValue::Table(model)) => inline(in_order(model).map(|entry| of_model(entry, base))),
            (_, other) => rooted(other, base),
        };
        (name, value)
    }))
}

fn of_model<'a>((name, value): (&'a str, &DeValue<'_>), base: &Path) -> (&'a str, String) {
    match (name, value) {
        ("path", DeValue::String(path)) => {
            let path = base.join(&**path);
            let whole = std::path::absolute(&path).unwrap_or(path);
            (name, quoted(&whole.to_string_lossy()))
        }
        (_, value) => (name, text(value)),
    }
}

/// The entries as they follow each other in the file; the order of fields is the order of what is stored of them.
fn in_order<'a>(table: &'a DeTable<'_>) -> impl Iterator<Item = (&'a str, &'a DeValue<'a>)> {
    let mut entries: Vec<(&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
        .into_iter()
        .map(|(name, value)| (&**name.get_ref(), value.get_ref()))
}

fn text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(string) => quoted(string),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| text(value.get_ref())).collect();
            format!("[{}]", values.join(", "))
        }
        DeValue::Table(table) => inline(in_order(table).map(|(name, value)| (name, text(value)))),
    }
}

fn inline<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let entries: Vec<String> = entries
        .map(|(name, value)| format!("{} = {value}", quoted(name)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// Also for keys, whatever they hold.
fn quoted(string: &str) -> String {
    Value::from(string).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::definition::{SourceSettings, parse};

    #[test]
    fn a_kept_file_says_the_same_of_tables_and_index_and_nothing_of_sources() {
        let file = r#"
            name = "shop"
            dead_letters = { kafka = { brokers = "b", topic = "t", options = { "sasl.password" = "secret" } } }
            [tables."web.orders"]
            format = "canal-json"
            key = ["id", 'a "b"']
            columns = { price = "decimal(10,2)" }
            claim_check = "secret"
            [tables."web.orders".source]
            kind = "kafka"
            brokers = "b"
            topic = "t"
            group = "g"
            options = { "sasl.password" = "secret" }
            [tables.others]
            source = { kind = "file", path = "secret" }
            format = "upsert-json"
            key = ["id"]
            [index]
            query = '''
            SELECT id, "a ""b""" AS b, title, body FROM "web.orders"
            WHERE title <> 'x' '''
            key = ["id", "b"]
            fields.b = "keyword"
            text = { title = { boost = 2.5 }, body = {} }
            embed = "{title}\n{body}"
            tenant = "b"
            [server.keys.shop]
            hash = "sha256:5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7abcd"
            scopes = ["admin"]
            [embedder]
            model = "hash"
            dimensions = 0x40
        "#;
        let definition = parse(file, "shop.toml", Path::new("")).unwrap();
        assert_eq!(definition.server.keys.len(), 1);
        for gone in ["secret", "server"] {
            assert!(!definition.kept.0.contains(gone), "{}", definition.kept.0);
        }
        let again = definition.kept.parse().unwrap();
        assert_eq!(
            format!("{:?}", again.index),
            format!("{:?}", definition.index),
            "fields keep their order, which is no alphabetical one"
        );
        assert_eq!(again.kept, definition.kept);
        for (table, before) in again.tables.iter().zip(&definition.tables) {
            assert!(matches!(table.source, SourceSettings::Http), "{table:?}");
            assert_eq!(
                (&table.name, &table.key, table.format, &table.columns),
                (&before.name, &before.key, before.format, &before.columns)
            );
        }
    }
}

//! Row changes as TiCDC writes them: canal-json with the TiDB extension.

use crate::clock::Moment;
use crate::json;

pub struct Table {
    pub database: &'static str,
    pub name: &'static str,
    pub key: &'static [&'static str],
    /// Name, `mysqlType`, `sqlType` (a number of `java.sql.Types`).
    pub columns: &'static [(&'static str, &'static str, i32)],
    pub create: &'static str,
}

/// One value per column, as text, whatever its SQL type; null is `None`.
pub type Row = Vec<Option<String>>;

impl Table {
    pub fn insert(&self, rows: &[Row], commit: Moment) -> String {
        self.rows("INSERT", rows, None, commit)
    }

    /// Pairs of a row before and after. TiCDC sends all columns of both, the official Canal only what changed.
    pub fn update(&self, rows: &[(Row, Row)], commit: Moment) -> String {
        let (old, data): (Vec<Row>, Vec<Row>) = rows.iter().cloned().unzip();
        self.rows("UPDATE", &data, Some(&old), commit)
    }

    pub fn delete(&self, rows: &[Row], commit: Moment) -> String {
        self.rows("DELETE", rows, None, commit)
    }

    pub fn created(&self, commit: Moment) -> String {
        message(
            (self.database, self.name),
            "CREATE",
            commit,
            [("isDdl", "true".into()), ("sql", json::text(Some(self.create)))],
            ("commitTs", commit.tso()),
        )
    }

    fn rows(&self, kind: &str, data: &[Row], old: Option<&[Row]>, commit: Moment) -> String {
        let list = |rows: &[Row]| json::array(rows.iter().map(|row| self.object(row)));
        let null = || "null".to_string();
        message(
            (self.database, self.name),
            kind,
            commit,
            [
                (
                    "pkNames",
                    json::array(self.key.iter().map(|name| json::text(Some(name)))),
                ),
                ("isDdl", "false".into()),
                ("sql", json::text(Some(""))),
                (
                    "sqlType",
                    json::object(
                        self.columns
                            .iter()
                            .map(|(name, _, code)| (*name, code.to_string())),
                    ),
                ),
                (
                    "mysqlType",
                    json::object(
                        self.columns
                            .iter()
                            .map(|(name, sql, _)| (*name, json::text(Some(sql)))),
                    ),
                ),
                ("old", old.map_or_else(null, list)),
                ("data", list(data)),
            ],
            ("commitTs", commit.tso()),
        )
    }

    fn object(&self, row: &Row) -> String {
        let values = row.iter().map(|value| json::text(value.as_deref()));
        json::object(self.columns.iter().map(|(name, ..)| *name).zip(values))
    }
}

/// Everything up to `moment` has been sent to this partition.
pub fn watermark(moment: Moment) -> String {
    message(
        ("", ""),
        "TIDB_WATERMARK",
        moment,
        [("isDdl", "false".into())],
        ("watermarkTs", moment.tso()),
    )
}

fn message<const N: usize>(
    (database, table): (&str, &str),
    kind: &str,
    at: Moment,
    members: [(&str, String); N],
    tidb: (&str, u64),
) -> String {
    let head = [
        ("id", "0".into()),
        ("database", json::text(Some(database))),
        ("table", json::text(Some(table))),
        ("type", json::text(Some(kind))),
        ("es", at.0.to_string()),
        // The changefeed is some 40 ms behind the commit.
        ("ts", at.later(40).0.to_string()),
    ];
    let tail = [("_tidb", json::object([(tidb.0, tidb.1.to_string())]))];
    json::object(head.into_iter().chain(members).chain(tail))
}

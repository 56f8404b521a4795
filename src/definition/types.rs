//! Column types as a dataflow file or a message names them.

/// The type of a column whose messages do not say it, written as in SQL: `decimal(10,2)`, `date`, `enum('a','b')`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Bool,
    /// All integer types.
    Int {
        unsigned: bool,
    },
    /// `float`, `double`, `real`.
    Float,
    Decimal {
        scale: Option<u32>,
    },
    Text,
    /// `binary`, `varbinary`, `blob`, `bytea`.
    Bytes,
    Bit,
    Date,
    Time,
    /// `datetime`, `timestamp`; the digits of the fraction where the type says them: Debezium's unit depends on it.
    DateTime {
        precision: Option<u32>,
    },
    /// `timestamptz`, `timestamp with time zone`.
    DateTimeZoned,
    /// JSON, and arrays of anything.
    Json,
    /// Empty where the labels are not known.
    Enum(Vec<String>),
    /// Empty where the labels are not known.
    Set(Vec<String>),
}

impl ColumnType {
    /// Parses SQL type text, ignoring case: MySQL, MariaDB, TiDB and PostgreSQL names. `None` if unknown.
    pub fn parse(text: &str) -> Option<ColumnType> {
        let parts = Parts::of(text)?;
        let words = parts.words.as_str();
        if words.ends_with("[]") || words.ends_with(" array") {
            return Some(ColumnType::Json);
        }
        let mut each = words.split_ascii_whitespace();
        Some(match each.next()? {
            "bool" | "boolean" => ColumnType::Bool,
            "tinyint" | "smallint" | "mediumint" | "middleint" | "int" | "integer" | "bigint" | "int1"
            | "int2" | "int3" | "int4" | "int8" | "smallserial" | "serial" | "bigserial" | "serial2"
            | "serial4" | "serial8" | "oid" | "year" => ColumnType::Int {
                unsigned: each.any(|word| matches!(word, "unsigned" | "zerofill")),
            },
            "float" | "float4" | "float8" | "double" | "real" => ColumnType::Float,
            "decimal" | "dec" | "numeric" | "fixed" | "number" | "money" => ColumnType::Decimal {
                scale: match parts.arguments {
                    None => None,
                    Some(arguments) => match arguments.split_once(',') {
                        Some((_, scale)) => Some(scale.trim().parse().ok()?),
                        None => Some(0),
                    },
                },
            },
            "char" | "character" | "varchar" | "varchar2" | "nchar" | "nvarchar" | "nvarchar2"
            | "national" | "bpchar" | "text" | "tinytext" | "mediumtext" | "longtext" | "long" | "clob"
            | "string" | "name" | "citext" | "uuid" | "inet" | "inet4" | "inet6" | "cidr" | "macaddr"
            | "macaddr8" | "xml" | "interval" | "ltree" | "tsvector" | "vector" | "vector<float>"
            | "halfvec" | "sparsevec" => ColumnType::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "bytea" => {
                ColumnType::Bytes
            }
            "bit" | "varbit" => ColumnType::Bit,
            "date" => ColumnType::Date,
            "time" | "timetz" => ColumnType::Time,
            "timestamptz" => ColumnType::DateTimeZoned,
            "datetime" | "timestamp" if words.contains(" with ") => ColumnType::DateTimeZoned,
            "datetime" | "timestamp" => ColumnType::DateTime {
                precision: parts.arguments.and_then(|digits| digits.trim().parse().ok()),
            },
            "json" | "jsonb" | "hstore" => ColumnType::Json,
            "enum" => ColumnType::Enum(labels(parts.arguments)?),
            "set" => ColumnType::Set(labels(parts.arguments)?),
            _ => return None,
        })
    }
}

/// `timestamp(3) with time zone` -> words `timestamp with time zone` in lower case, arguments `3`.
struct Parts<'a> {
    words: String,
    arguments: Option<&'a str>,
}

impl Parts<'_> {
    fn of(text: &str) -> Option<Parts<'_>> {
        let Some((head, rest)) = text.split_once('(') else {
            return Some(Parts {
                words: text.trim().to_ascii_lowercase(),
                arguments: None,
            });
        };
        // Labels may hold parentheses; nothing with a parenthesis follows the arguments.
        let (arguments, tail) = rest.rsplit_once(')')?;
        let words = format!("{} {}", head.trim(), tail.trim())
            .trim()
            .to_ascii_lowercase();
        Some(Parts {
            words: words.replace(" []", "[]"),
            arguments: Some(arguments),
        })
    }
}

/// `'a','it''s'` -> the labels. `None` unless each is quoted.
fn labels(arguments: Option<&str>) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let Some(arguments) = arguments else {
        return Some(labels);
    };
    let mut rest = arguments.trim();
    loop {
        let (label, after) = label(rest.strip_prefix('\'')?)?;
        labels.push(label);
        match after.trim_start() {
            "" => return Some(labels),
            more => rest = more.strip_prefix(',')?.trim_start(),
        }
    }
}

/// The label up to its closing quote, and what follows. Quotes are doubled or escaped by a backslash.
fn label(text: &str) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\'' if text[at + 1..].starts_with('\'') => {
                chars.next();
                label.push('\'');
            }
            '\'' => return Some((label, &text[at + 1..])),
            '\\' => label.push(chars.next()?.1),
            _ => label.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::ColumnType::{self, *};

    fn check(expected: ColumnType, texts: &[&str]) {
        for text in texts {
            assert_eq!(ColumnType::parse(text).as_ref(), Some(&expected), "{text}");
        }
    }

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| label.to_string()).collect()
    }

    #[test]
    fn names_of_mysql_tidb_mariadb_and_postgresql_are_known() {
        check(Bool, &["bool", "BOOLEAN"]);
        check(
            Int { unsigned: false },
            &[
                "int",
                "INTEGER",
                "int(11)",
                "tinyint(1)",
                "bigint",
                "int8",
                "serial",
                "year(4)",
            ],
        );
        check(
            Int { unsigned: true },
            &[
                "bigint unsigned",
                "INT(10) UNSIGNED",
                "int(5) unsigned zerofill",
                "int zerofill",
            ],
        );
        check(
            Float,
            &[
                "float",
                "double",
                "double precision",
                "REAL",
                "float(7,2) unsigned",
                "float8",
            ],
        );
        check(
            Decimal { scale: Some(3) },
            &["DECIMAL(8,3) unsigned", "numeric(12, 3)"],
        );
        check(Decimal { scale: Some(0) }, &["decimal(20)"]);
        check(
            Decimal { scale: None },
            &["decimal", "numeric", "decimal unsigned"],
        );
        check(
            Text,
            &[
                "varchar(255)",
                "character varying(255)",
                "text",
                "longtext",
                "uuid",
                "char(10) binary",
                "inet",
            ],
        );
        check(
            Text,
            &[
                "vector",
                "vector(3)",
                "varchar(10) character set utf8mb4",
                "interval",
                "national varchar(5)",
            ],
        );
        check(
            Bytes,
            &["blob", "VARBINARY(20)", "binary(16)", "bytea", "longblob"],
        );
        check(Bit, &["bit", "bit(64)", "bit varying(5)"]);
        check(Date, &["date", " DATE "]);
        check(Time, &["time", "time(6)", "time without time zone"]);
        check(
            DateTime { precision: None },
            &["datetime", "timestamp", "timestamp without time zone"],
        );
        check(
            DateTime { precision: Some(6) },
            &["datetime(6)", "timestamp(6)", "timestamp(6) without time zone"],
        );
        check(
            DateTimeZoned,
            &[
                "timestamptz",
                "timestamptz(3)",
                "timestamp with time zone",
                "TIMESTAMP(6) WITH TIME ZONE",
            ],
        );
        check(
            Json,
            &[
                "json",
                "jsonb",
                "text[]",
                "int[]",
                "numeric(10,2)[]",
                "character varying(5)[]",
                "integer array",
            ],
        );
    }

    #[test]
    fn labels_keep_their_case_commas_quotes_and_parentheses() {
        check(Enum(labels(&["a", "b"])), &["ENUM('a','b')", "enum( 'a' , 'b' )"]);
        check(
            Enum(labels(&["it's", "a,b", "f(x)", "Ü"])),
            &["enum('it''s','a,b','f(x)','Ü')"],
        );
        check(Enum(labels(&["it's", "\\"])), &[r"enum('it\'s','\\')"]);
        check(Set(labels(&["", "X"])), &["SET('','X')"]);
        check(Enum(vec![]), &["enum"]);
        check(Set(vec![]), &["set"]);
    }

    #[test]
    fn what_is_not_a_type_is_none() {
        for text in [
            "",
            " ",
            "(",
            ")",
            "varchr(5)",
            "decimal(10,two)",
            "enum(",
            "enum()",
            "enum(a,b)",
            "enum('a'",
            "enum('a' 'b')",
            "int(",
            "geometry",
        ] {
            assert_eq!(ColumnType::parse(text), None, "{text}");
        }
    }
}

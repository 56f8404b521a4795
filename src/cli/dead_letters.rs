//! `millpond dead-letters`: lists, shows, replays and drops what a running node could not decode or embed.

use std::io::{self, Write};
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::Failure;
use super::access::Access;
use super::client::{Node, percent_encode};
use super::search::{plain, shortened, width};
use crate::intake::Letter;
use crate::server::{Done, LetterHead, LetterList};

/// See to what a running node could not decode or embed.
///
/// A dead letter is kept with its reason, its position and its raw bytes. Correct what its reason names (the dataflow
/// file, the table, the producer) and replay it, or drop it. Replayed letters go when a checkpoint covers what came of them.
#[derive(Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
    /// Where the node listens
    #[arg(long, global = true, default_value = "http://127.0.0.1:7700")]
    url: String,
    /// Print the node's answers as they are
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

#[derive(Subcommand)]
enum Action {
    /// List dead letters, oldest first
    List {
        /// Only those of this table; texts that could not be embedded have the name of the index
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
        /// How many to list
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Go on after this letter
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show one letter with its raw bytes
    Show {
        /// As the list names it: table/partition/offset
        id: String,
    },
    /// Decode letters again, at their old positions
    Replay(Which),
    /// Drop letters for good
    Drop(Which),
}

/// Some letters, or all.
#[derive(Args)]
struct Which {
    /// Letters, as the list names them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All letters
    #[arg(long)]
    all: bool,
    /// With --all: only those of this table
    #[arg(long, value_name = "NAME", requires = "all")]
    table: Option<String>,
}

/// What is sent to replay or to drop.
#[derive(Serialize)]
struct Selection<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ids: &'a [String],
    all: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// Letters of one request.
const AT_ONCE: usize = 1_000;

/// Exit code 3 says that some letters failed again, or are not there.
pub fn run(args: &DeadLettersArgs) -> Result<ExitCode, Failure> {
    let node = Node::new(&args.url, &args.access)?;
    let mut out = io::stdout().lock();
    let outcome = match &args.action {
        Action::List { table, limit, after } => list(
            &node,
            table.as_deref(),
            *limit,
            after.as_deref(),
            args.json,
            &mut out,
        ),
        Action::Show { id } => show(&node, id, args.json, &mut out),
        Action::Replay(which) => see_to(&node, "replay", "replayed", which, args.json, &mut out),
        Action::Drop(which) => see_to(&node, "drop", "dropped", which, args.json, &mut out),
    };
    // A reader of the output may go away at any time.
    match outcome {
        Err(failure) if is_broken_pipe(&*failure) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let error = failure.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn list(
    node: &Node,
    table: Option<&str>,
    limit: u64,
    after: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let mut left = limit;
    let mut after = after.map(str::to_owned);
    let mut listed = 0;
    loop {
        let mut path = format!("/v1/dead-letters?limit={}", left.min(AT_ONCE as u64));
        for (name, value) in [("table", table), ("after", after.as_deref())] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", percent_encode(value)));
            }
        }
        let answer = node.get(&path)?;
        let page: LetterList = node.read(&answer)?;
        if json {
            out.write_all(&answer)?;
            writeln!(out)?;
        } else {
            print_heads(out, &page.letters, width())?;
        }
        listed += page.letters.len();
        left = left.saturating_sub(page.letters.len() as u64);
        after = page.next;
        if after.is_none() || left == 0 {
            if !json {
                print_total(out, listed, page.total, page.waiting)?;
            }
            out.flush()?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A line with id, time and document, and one with the reason.
fn print_heads(out: &mut impl Write, letters: &[LetterHead], width: usize) -> io::Result<()> {
    let ids = letters.iter().map(|letter| letter.id.chars().count()).max();
    for letter in letters {
        let state = if letter.replayed {
            "  replayed, waits for a checkpoint"
        } else {
            ""
        };
        let document = letter.document.as_ref();
        let document = document.map_or(String::new(), |key| format!("  document {}", plain(key)));
        let ids = ids.unwrap_or_default();
        writeln!(
            out,
            "{:ids$}  {}{document}{state}",
            plain(&letter.id),
            time(letter.at)
        )?;
        writeln!(
            out,
            "{}",
            shortened(&format!("    {}", plain(&letter.reason)), width)
        )?;
    }
    Ok(())
}

fn print_total(out: &mut impl Write, listed: usize, total: usize, waiting: usize) -> io::Result<()> {
    let letters = match total {
        0 => "No dead letters".to_owned(),
        1 => "1 dead letter".to_owned(),
        total => format!("{total} dead letters"),
    };
    let some = if listed < total {
        format!(", {listed} listed")
    } else {
        String::new()
    };
    let waiting = match waiting {
        0 => String::new(),
        waiting => format!(", and {waiting} that the node's disk refuses"),
    };
    writeln!(out, "{letters}{some}{waiting}")
}

fn show(node: &Node, id: &str, json: bool, out: &mut impl Write) -> Result<ExitCode, Failure> {
    let answer = node.get(&format!("/v1/dead-letters/{}", percent_encode(id)))?;
    if json {
        out.write_all(&answer)?;
        writeln!(out)?;
    } else {
        print_letter(out, &node.read(&answer)?)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print_letter(out: &mut impl Write, letter: &Letter) -> io::Result<()> {
    let mut line = |name: &str, value: &str| match value {
        "" => Ok(()),
        value => writeln!(out, "{name:<10}{}", plain(value)),
    };
    line("id", &letter.id)?;
    line("kept", &time(letter.at))?;
    line("reason", &letter.reason)?;
    line("table", &letter.table)?;
    line("topic", &letter.topic)?;
    if let Some(offset) = letter.offset {
        line("position", &format!("{} @ {offset}", letter.partition))?;
    }
    if letter.row > 0 {
        line("row", &format!("{} of the message, counted from 0", letter.row))?;
    }
    if let Some(document) = &letter.document {
        line("document", &document.key)?;
        line("columns", document.columns.get())?;
    }
    for (name, value) in &letter.headers {
        line("header", &format!("{name}: {}", text(value)))?;
    }
    line("key", &letter.key.as_deref().map_or("none".to_owned(), text))?;
    line("value", &letter.value.as_deref().map_or("none".to_owned(), text))
}

/// Bytes in base64 as text, where they are that.
fn text(base64: &str) -> String {
    let text = STANDARD
        .decode(base64)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| format!("base64 {base64}"))
}

fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}

/// Replays or drops letters, a thousand at once.
fn see_to(
    node: &Node,
    action: &str,
    done: &str,
    which: &Which,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/dead-letters/{action}");
    let mut requests = which.ids.chunks(AT_ONCE);
    let (mut count, mut stay) = (0, 0);
    let mut after = None;
    loop {
        let ids = requests.next();
        if ids.is_none() && !which.all {
            break;
        }
        let selection = Selection {
            ids: ids.unwrap_or_default(),
            all: which.all,
            table: which.table.as_deref(),
            after,
        };
        let answer = node.post(&path, &selection)?;
        let told: Done = node.read(&answer)?;
        if json {
            out.write_all(&answer)?;
            writeln!(out)?;
        } else {
            for letter in &told.failed {
                writeln!(out, "{}\n    {}", plain(&letter.id), plain(&letter.reason))?;
            }
            for id in &told.unknown {
                writeln!(out, "{}\n    there is no such dead letter", plain(id))?;
            }
        }
        count += told.done;
        stay += told.failed.len() + told.unknown.len();
        after = told.next;
        if which.all && after.is_none() {
            break;
        }
    }
    if !json {
        let failed = if stay > 0 {
            format!(", {stay} not")
        } else {
            String::new()
        };
        writeln!(out, "{count} {done}{failed}")?;
    }
    out.flush()?;
    Ok(if stay == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_list_shows_where_each_letter_stood_and_why_it_is_dead() {
        let page: LetterList = serde_json::from_str(
            r#"{"letters":[
                {"id":"notes/0/7","at":1700000000123,"reason":"value: not\u001b[2J JSON","table":"notes","partition":"0","offset":7,
                 "row":0,"document":null,"replayed":false},
                {"id":"notes/topic:1/120/2","at":1700000001000,"reason":"key column `id` is missing","table":"notes",
                 "partition":"topic:1","offset":120,"row":2,"document":null,"replayed":true}],
               "total":5,"waiting":1,"next":"notes/topic:1/120/2"}"#,
        )
        .unwrap();
        let mut out = Vec::new();
        print_heads(&mut out, &page.letters, 40).unwrap();
        print_total(&mut out, 2, page.total, page.waiting).unwrap();
        expect![[r#"
            notes/0/7            2023-11-14T22:13:20Z
                value: not [2J JSON
            notes/topic:1/120/2  2023-11-14T22:13:21Z  replayed, waits for a checkpoint
                key column `id` is missing
            5 dead letters, 2 listed, and 1 that the node's disk refuses
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_letter_is_shown_as_text_where_it_is_text() {
        let letter: Letter = serde_json::from_str(
            r#"{"id":"notes/0/7","at":1700000000123,"reason":"value: not JSON","table":"notes","partition":"0","offset":7,
                "topic":"t","key":null,"value":"YnJva2Vu","headers":[["h","/w=="]]}"#,
        )
        .unwrap();
        let mut out = Vec::new();
        print_letter(&mut out, &letter).unwrap();
        expect![[r#"
            id        notes/0/7
            kept      2023-11-14T22:13:20Z
            reason    value: not JSON
            table     notes
            topic     t
            position  0 @ 7
            header    h: base64 /w==
            key       none
            value     broken
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}

//! `millpond model`: another embedding model for an index of a running node, without a pause.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Failure;
use super::access::Access;
use super::client::{Node, NodeError, percent_encode};
use crate::query::Comparison;
use crate::server::{SecondStatus, UpgradePhase, UpgradeStatus};

/// Longer than a node takes to make a change durable.
const CHANGE_MAX: Duration = Duration::from_secs(90);

/// How often progress is asked for.
const FOLLOW: Duration = Duration::from_secs(1);

/// How often in a row a node that is followed may not answer: it may be restarting.
const MISSED_MAX: u32 = 60;

/// Change the embedding model of an index of a running node, without a pause.
///
/// An upgrade makes a second set of vectors of the stored rows in the background; changes go on to both sets, and the first
/// one answers. When the second is complete, compare and switch. The former set stays, kept up to date, for a rollback
/// until it is dropped.
#[derive(Args)]
pub struct ModelArgs {
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
    /// Make a second set of vectors by another model, and follow it until it is complete
    Upgrade(UpgradeArgs),
    /// Say which models answer, and how far an upgrade is
    Status(Of),
    /// Compare both sets by recent queries, or by given ones: overlap of the ten nearest, and Kendall's tau of their order
    Compare {
        #[command(flatten)]
        of: Of,
        /// A file with a query a line
        #[arg(long, value_name = "FILE")]
        queries: Option<PathBuf>,
    },
    /// Have the second set answer, at one tick
    Switch {
        #[command(flatten)]
        of: Of,
        /// Also where its model has refused documents that the other set has
        #[arg(long)]
        force: bool,
    },
    /// Have the set before the switch answer again, at one tick
    Rollback(Of),
    /// Drop the set that does not answer: an upgrade before its switch, or the former set after it
    Drop(Of),
}

#[derive(Args)]
struct Of {
    /// The name of the index, which is that of its dataflow
    index: String,
}

#[derive(Args)]
struct UpgradeArgs {
    #[command(flatten)]
    of: Of,
    /// A model by its name, such as `default`
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "embedder",
        conflicts_with = "embedder"
    )]
    model: Option<String>,
    /// What `[embedder]` would say in a dataflow file: 'model = { path = "models/minilm" }'
    #[arg(long, value_name = "TOML")]
    embedder: Option<String>,
    /// Which vectors, by their name in [index.vectors] [default: the first]
    #[arg(long, value_name = "NAME")]
    using: Option<String>,
    /// When it is complete, have it answer
    #[arg(long, conflicts_with = "detach")]
    switch: bool,
    /// Do not follow it
    #[arg(long)]
    detach: bool,
}

pub fn run(args: &ModelArgs) -> Result<ExitCode, Failure> {
    let asked = Asked {
        node: Node::patient(&args.url, &args.access, CHANGE_MAX)?,
        json: args.json,
    };
    match &args.action {
        Action::Upgrade(upgrade) => asked.upgrade(upgrade)?,
        Action::Status(of) => asked.show(&asked.node.get(&of.route(""))?)?,
        Action::Compare { of, queries } => {
            let queries = match queries {
                Some(file) => lines(&std::fs::read_to_string(file)?),
                None => Vec::new(),
            };
            asked.compare(of, &queries)?;
        }
        Action::Switch { of, force } => {
            let body = json!({ "force": force });
            asked.show(&asked.node.post(&of.route("/switch"), &body)?)?;
        }
        Action::Rollback(of) => asked.show(&asked.node.post(&of.route("/rollback"), &json!({}))?)?,
        Action::Drop(of) => asked.show(&asked.node.delete(&of.route(""))?)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Of {
    fn route(&self, rest: &str) -> String {
        format!("/v1/indexes/{}/upgrade{rest}", percent_encode(&self.index))
    }
}

/// A node, and how its answers are printed.
struct Asked {
    node: Node,
    json: bool,
}

impl Asked {
    fn upgrade(&self, args: &UpgradeArgs) -> Result<(), Failure> {
        let given = [
            ("model", &args.model),
            ("embedder", &args.embedder),
            ("using", &args.using),
        ];
        let body: serde_json::Map<String, Value> = given
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?))))
            .collect();
        let begun = self.node.post(&args.of.route(""), &Value::Object(body))?;
        if args.detach {
            return self.show(&begun);
        }
        let status = self.follow(&args.of)?;
        if status.phase == UpgradePhase::Complete {
            match self.compare(&args.of, &[]) {
                // Nobody has searched yet.
                Err(failure) if is_refusal(&*failure, "no_queries") => {}
                compared => compared?,
            }
        }
        if args.switch && matches!(status.phase, UpgradePhase::Complete | UpgradePhase::Refused) {
            // Where documents were refused the node says so, and what can be done.
            return self.show(&self.node.post(&args.of.route("/switch"), &json!({}))?);
        }
        self.show(&self.node.get(&args.of.route(""))?)
    }

    /// Says how far the upgrade is until nothing of it is awaited any more.
    fn follow(&self, of: &Of) -> Result<UpgradeStatus, Failure> {
        let mut missed = 0;
        let rewrites = io::stderr().is_terminal();
        loop {
            match self.node.get(&of.route("")) {
                Ok(body) => {
                    missed = 0;
                    let status: UpgradeStatus = self.node.read(&body)?;
                    if let Some(second) = &status.second {
                        match rewrites {
                            true => eprint!("\r\x1b[K{}", progress(second)),
                            false => eprintln!("{}", progress(second)),
                        }
                    }
                    if status.phase != UpgradePhase::Building {
                        if rewrites {
                            eprintln!();
                        }
                        return Ok(status);
                    }
                }
                Err(NodeError::Refused(error)) if error.code != "recovering" => {
                    return Err(NodeError::Refused(error).into());
                }
                Err(error) => {
                    missed += 1;
                    if missed > MISSED_MAX {
                        return Err(error.into());
                    }
                }
            }
            std::thread::sleep(FOLLOW);
        }
    }

    fn compare(&self, of: &Of, queries: &[String]) -> Result<(), Failure> {
        let body = self
            .node
            .post(&of.route("/compare"), &json!({ "queries": queries }))?;
        let mut out = io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", String::from_utf8_lossy(&body))?);
        }
        let compared: Comparison = self.node.read(&body)?;
        writeln!(out, "overlap@10  tau-b   query")?;
        for query in &compared.queries {
            let (overlap, tau) = (figure(query.overlap_at_10), figure(query.kendall_tau));
            let failed = query.failed.as_ref().map(|reason| format!("  ({reason})"));
            let text = query.query.escape_debug();
            writeln!(
                out,
                "{overlap:>10}  {tau:>5}   {text}{}",
                failed.unwrap_or_default()
            )?;
        }
        let (overlap, tau) = (figure(compared.overlap_at_10), figure(compared.kendall_tau));
        writeln!(
            out,
            "{overlap:>10}  {tau:>5}   mean: {} against {}, {} queries",
            compared.second,
            compared.answering,
            compared.queries.len()
        )?;
        Ok(())
    }

    fn show(&self, body: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", String::from_utf8_lossy(body))?);
        }
        let status: UpgradeStatus = self.node.read(body)?;
        for (field, model) in &status.answering {
            writeln!(out, "{field}: {model} answers")?;
        }
        if let Some(second) = &status.second {
            let (field, model) = (&second.using, &second.model);
            match status.phase {
                UpgradePhase::Refused => writeln!(
                    out,
                    "{field}: {model} has refused {} documents: dead letters say why; `switch --force` has it answer nevertheless, `drop` lets go of it",
                    second.documents_failed
                )?,
                UpgradePhase::Building | UpgradePhase::None => {
                    writeln!(out, "{field}: {model} is being built: {}", progress(second))?;
                }
                UpgradePhase::Complete => writeln!(
                    out,
                    "{field}: {model} is complete: `switch` has it answer, `drop` lets go of it"
                )?,
                UpgradePhase::Switched => writeln!(
                    out,
                    "{field}: {model} was before: `rollback` goes back to it, `drop` lets go of it"
                )?,
            }
        }
        Ok(())
    }
}

/// A line on how far a second set is.
fn progress(second: &SecondStatus) -> String {
    let SecondStatus {
        texts_done,
        texts_needed,
        texts_per_second,
        seconds_left,
        cost,
        cost_left,
        ..
    } = second;
    let mut line = format!("{texts_done} of {texts_needed} texts, {texts_per_second:.0}/s");
    if let Some(seconds) = seconds_left {
        line += &format!(", {seconds:.0} s left");
    }
    if let Some(cost) = cost {
        line += &format!(", cost {cost:.4}");
        if let Some(left) = cost_left {
            line += &format!(" of about {:.4}", cost + left);
        }
    }
    line
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn is_refusal(failure: &(dyn std::error::Error + 'static), code: &str) -> bool {
    matches!(failure.downcast_ref(), Some(NodeError::Refused(error)) if error.code == code)
}

//! `millpond key new`: a key for a holder, and its hash for the dataflow file.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use crate::server::new_key;

#[derive(Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key. It is shown once; the dataflow file has only its hash.
    New(NewArgs),
}

#[derive(Args)]
struct NewArgs {
    /// Whose key it is: letters, digits, `-` and `_`
    #[arg(value_parser = name)]
    name: String,
    /// What its holder may do
    #[arg(long, value_delimiter = ',', value_parser = ["search", "write", "admin"], default_value = "search")]
    scopes: Vec<String>,
    /// The tenant whose documents its holder sees
    #[arg(long)]
    tenant: Option<String>,
    /// A condition in SQL: its holder sees documents only for which it is true
    #[arg(long, value_name = "SQL")]
    filter: Option<String>,
}

/// Names stand in the dataflow file as they are.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, `-` and `_`".to_owned()),
    }
}

/// Only the key goes to standard output, so that it can be piped to where it is kept.
pub fn run(arguments: &KeyArgs) -> Result<ExitCode, Failure> {
    let KeyCommand::New(arguments) = &arguments.command;
    let made = new_key()?;
    eprintln!("The key, for its holder. It is not shown again:\n");
    println!("{}", made.key);
    eprintln!("\nFor the dataflow file:\n\n{}", section(arguments, &made.hash));
    Ok(ExitCode::SUCCESS)
}

fn section(arguments: &NewArgs, hash: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let scopes: Vec<String> = arguments.scopes.iter().map(|scope| quoted(scope)).collect();
    let mut section = format!(
        "[server.keys.{}]\nhash = {}\nscopes = [{}]\n",
        arguments.name,
        quoted(hash),
        scopes.join(", ")
    );
    for (name, value) in [("tenant", &arguments.tenant), ("filter", &arguments.filter)] {
        if let Some(value) = value {
            // What JSON escapes in a string, TOML does too.
            section.push_str(&format!("{name} = {}\n", quoted(value)));
        }
    }
    section
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::definition::parse;

    #[test]
    fn the_section_is_one_that_a_dataflow_file_takes() {
        let arguments = NewArgs {
            name: "shop-1".to_owned(),
            scopes: vec!["search".to_owned()],
            tenant: Some("Müller \"& Söhne\"\n".to_owned()),
            filter: Some("price < 5".to_owned()),
        };
        let made = new_key().unwrap();
        assert_ne!(made.key, new_key().unwrap().key);
        let file = format!(
            r#"
            name = "shop"
            [tables.t]
            source = {{ kind = "http" }}
            format = "upsert-json"
            key = ["id"]
            [index]
            query = "SELECT id, name, price, owner FROM t"
            key = "id"
            text = {{ name = {{}} }}
            fields = {{ price = "f64", owner = "keyword" }}
            tenant = "owner"
            {}"#,
            section(&arguments, &made.hash)
        );
        let definition = parse(&file, "shop.toml", Path::new("")).unwrap();
        let key = &definition.server.keys[0];
        assert_eq!(key.name, "shop-1");
        assert_eq!(key.tenant, arguments.tenant);
        assert!(!file.contains(&made.key), "the file has the hash alone");
    }
}

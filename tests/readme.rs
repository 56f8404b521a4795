//! The README tells the truth: its commands are run, and what it prints below them is what they print.

use std::path::Path;

use serde_json::Value;

use crate::binary::{Ended, Served, millpond, repository};

/// A command of a `console` block, and the lines below it; `...` stands for any number of them.
struct Command<'a> {
    words: Vec<String>,
    output: Vec<&'a str>,
}

fn readme() -> Option<String> {
    let text = std::fs::read_to_string(repository("README.md"));
    text.inspect_err(|_| println!("skipped: README.md is absent"))
        .ok()
}

/// The fenced blocks of a kind.
fn blocks<'a>(text: &'a str, kind: &str) -> Vec<Vec<&'a str>> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, Vec<&str>)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some((kind, Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    let of_kind = blocks.into_iter().filter(|(found, _)| *found == kind);
    of_kind.map(|(_, lines)| lines).collect()
}

fn commands(text: &str) -> Vec<Command<'_>> {
    let mut commands: Vec<Command<'_>> = Vec::new();
    for line in blocks(text, "console").concat() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push(Command {
                words: words(command),
                output: Vec::new(),
            }),
            (None, Some(command)) => command.output.push(line),
            (None, None) => panic!("a console block begins with a command: {line}"),
        }
    }
    commands
}

/// Words as a shell splits them, as far as quotes go.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_with(String::new);
            }
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words
}

/// Without what differs between two runs: ticks and times.
fn steady(line: &str) -> String {
    let number = |text: &str| text.parse::<f64>().is_ok();
    let mut before = "";
    let mut out = Vec::new();
    for word in line.split(' ') {
        let varies = matches!(before, "tick" | "in" | "seconds") && number(word.trim_end_matches(','));
        out.push(if varies { "_" } else { word });
        before = word;
    }
    out.join(" ")
}

#[track_caller]
fn assert_shows(command: &Command<'_>, printed: &str) {
    let mut lines = printed.lines().map(steady);
    let mut is_gap = false;
    for expected in &command.output {
        if *expected == "..." {
            is_gap = true;
            continue;
        }
        let expected = steady(expected);
        let found = if is_gap {
            lines.find(|line| *line == expected)
        } else {
            lines.next()
        };
        assert_eq!(found, Some(expected), "{:?} prints\n{printed}", command.words);
        is_gap = false;
    }
    assert_eq!(
        lines.next().filter(|_| !is_gap),
        None,
        "{:?} prints\n{printed}",
        command.words
    );
}

#[test]
fn searches_of_the_quick_start_find_what_the_readme_says() {
    let Some(readme) = readme() else { return };
    let node = Served::start(&repository("dataflows/quickstart.toml"));
    node.caught_up("quickstart");
    let mut searches = 0;
    for command in commands(&readme) {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["millpond" | "target/release/millpond", "search", rest @ ..] => {
                let arguments = [&["search", "--url", node.url()], rest].concat();
                assert_shows(&command, &millpond(&arguments).success());
            }
            ["curl", "-s", url, "-d", body] => {
                let path = url.strip_prefix("localhost:7700").expect("the default address");
                let (status, answer) = node.post(path, *body);
                assert_eq!(status, 200, "{answer}");
                let expected: Value = serde_json::from_str(&command.output.concat()).unwrap();
                assert_eq!(
                    answer["hits"].as_array().map(Vec::len),
                    expected["hits"].as_array().map(Vec::len)
                );
                assert_similar(&answer["hits"], &expected["hits"]);
                assert_eq!(answer["as_of"]["positions"], expected["as_of"]["positions"]);
                assert!(
                    answer
                        .as_object()
                        .unwrap()
                        .keys()
                        .eq(expected.as_object().unwrap().keys())
                );
            }
            _ => continue,
        }
        searches += 1;
    }
    assert!(searches >= 2, "the README shows searches");
}

/// Equal but for the last digits of scores, which depend on the processor.
#[track_caller]
fn assert_similar(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            assert!(
                (x.as_f64().unwrap() - y.as_f64().unwrap()).abs() < 1e-3,
                "{a} {b}"
            );
        }
        (Value::Array(x), Value::Array(y)) => x.iter().zip(y).for_each(|(a, b)| assert_similar(a, b)),
        (Value::Object(x), Value::Object(y)) => {
            assert!(x.keys().eq(y.keys()), "{a} {b}");
            x.values().zip(y.values()).for_each(|(a, b)| assert_similar(a, b));
        }
        _ => assert_eq!(a, b),
    }
}

#[test]
fn the_catalogue_of_the_readme_is_searched_as_it_says() {
    let Some(readme) = readme() else { return };
    let Some(corpus) = crate::shared::public_data("search/chorus-icecat/corpus.jsonl") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dataflow = folder.path().join("icecat.toml");
    let own = blocks(&readme, "toml")
        .into_iter()
        .find(|block| block.contains(&"name = \"icecat\""));
    std::fs::write(&dataflow, own.expect("the README shows icecat.toml").join("\n")).unwrap();
    std::os::unix::fs::symlink(corpus.canonicalize().unwrap(), folder.path().join("corpus.jsonl")).unwrap();
    let commands = commands(&readme);
    let replays = commands
        .iter()
        .filter(|command| command.words.get(2).is_some_and(|word| word == "icecat.toml"));
    let mut count = 0;
    for command in replays {
        let ended = run(&dataflow, command);
        assert_shows(command, &(ended.stdout + &ended.stderr));
        count += 1;
    }
    assert!(count > 0, "the README searches icecat.toml");
}

fn run(dataflow: &Path, command: &Command<'_>) -> Ended {
    let mut arguments = vec![command.words[1].as_str(), dataflow.to_str().unwrap()];
    arguments.extend(command.words[3..].iter().map(String::as_str));
    millpond(&arguments)
}

#[test]
fn commands_within_the_text_work() {
    let Some(readme) = readme() else { return };
    let root = repository("");
    let absolute = |word: &str| match word.split_once('=') {
        Some((table, file)) if file.starts_with("data/") => format!("{table}={}", root.join(file).display()),
        _ if word.starts_with("dataflows/") => root.join(word).display().to_string(),
        _ => word.to_owned(),
    };
    let mut replays = 0;
    for quoted in readme.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
        if let Some(arguments) = quoted.strip_prefix("millpond replay ") {
            let mut all = vec!["replay".to_owned()];
            all.extend(words(arguments).iter().map(|word| absolute(word)));
            let ended = millpond(&all);
            assert!(ended.code == 0 || ended.code == 3, "{quoted}: {ended:?}");
            assert!(!ended.stdout.is_empty(), "{quoted} prints something");
            replays += 1;
        }
    }
    assert!(replays > 0, "the README shows a replay");
    // What `sh` blocks run is the first thing that a person types.
    for line in blocks(&readme, "sh").concat() {
        if let Some((_, dataflow)) = line.split_once("-- serve ") {
            millpond(&["check", &absolute(dataflow)]).success();
        }
    }
}

#[test]
fn commands_are_split_as_a_shell_does() {
    assert_eq!(
        words(r#"a  "b c" -d '{"x": 1}' e"#),
        ["a", "b c", "-d", r#"{"x": 1}"#, "e"]
    );
    assert_eq!(
        steady("2 hits as of tick 17, in 0.8 ms"),
        "2 hits as of tick _ in _ ms"
    );
    assert_eq!(
        steady("dead letters 0  seconds 0.812"),
        "dead letters 0  seconds _"
    );
    let text = "```sh\n$ no\n```\n```console\n$ a b\nx\n...\n\ny\n```\n";
    let commands = commands(text);
    assert_eq!(commands.len(), 1);
    assert_eq!(
        (commands[0].words.len(), &commands[0].output[..]),
        (2, &["x", "...", "", "y"][..])
    );
    assert_shows(&commands[0], "x\n1\n2\n\ny\n");
}

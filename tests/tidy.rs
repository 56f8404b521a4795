//! The layout: who may use whom, which dependency stands behind which door, and whether the documents tell the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::binary::repository;

/// Who may use whom: a module and the modules that it may name, in the order of `src/lib.rs`, in which data moves.
///
/// Arrows point at the vocabulary and at earlier stages. A new arrow is a decision: it enters here with its reason.
const MAY_USE: [(&str, &[&str]); 19] = [
    // Where vectors lie.
    ("floats", &[]),
    // The vocabulary.
    ("change", &["floats"]),
    ("definition", &["change"]),
    ("metrics", &[]),
    ("priority", &[]),
    ("storage", &[]),
    // A source hands over a `decode::Message`, the form in which decoders take it: the one arrow that points forward.
    ("source", &["change", "definition", "storage", "decode"]),
    ("decode", &["change", "definition"]),
    // A local model runs behind everything else.
    ("embed", &["change", "definition", "priority"]),
    // Models and services are run and asked as for embedding.
    ("rerank", &["definition", "embed"]),
    (
        "index",
        &["floats", "change", "definition", "priority", "storage"],
    ),
    (
        "checkpoint",
        &["change", "definition", "metrics", "priority", "storage", "index"],
    ),
    // Decodes on the sources' threads.
    ("intake", &["change", "definition", "metrics", "source", "decode"]),
    (
        "dataflow",
        &[
            "change",
            "definition",
            "metrics",
            "storage",
            "embed",
            "index",
            "checkpoint",
            "intake",
        ],
    ),
    // Reads snapshots, and never goes through the dataflow.
    ("query", &["change", "definition", "embed", "rerank", "index"]),
    ("replay", EVERYONE),
    // Shows how sources are doing, takes pushes to them, and lets dead letters in again until a checkpoint has them. Says of each
    // line of a bulk whether it can be decoded.
    (
        "server",
        &[
            "change",
            "definition",
            "metrics",
            "source",
            "decode",
            "index",
            "checkpoint",
            "intake",
            "query",
        ],
    ),
    ("node", EVERYONE),
    ("cli", EVERYONE),
];

const EVERYONE: &[&str] = &["*"];

/// A large dependency, and the files or folders of `src/` that may name it.
const DOORS: [(&str, &[&str]); 18] = [
    ("timely", &["dataflow/", "replay.rs"]),
    ("differential_dataflow", &["dataflow/"]),
    ("rdkafka", &["source/kafka/"]),
    ("tantivy", &["index/keyword/"]),
    ("hnsw_rs", &["index/vector/reference.rs"]),
    ("axum", &["server/"]),
    ("sqlparser", &["definition/sql.rs", "definition/sql/"]),
    ("toml", &["definition/file.rs", "definition/file/"]),
    ("model2vec_rs", &["embed/static_vectors.rs"]),
    ("rten", &["embed/local/runtime.rs"]),
    ("rten_tensor", &["embed/local/runtime.rs"]),
    ("rten_onnx", &["embed/local/graph.rs"]),
    ("safetensors", &["embed/local/weights.rs"]),
    ("tokenizers", &["embed/local/tokens.rs"]),
    ("prometheus_client", &["metrics.rs"]),
    ("clap", &["cli/"]),
    ("memmap2", &["storage/disk.rs"]),
    // A host is allowed as the client will read it.
    (
        "ureq",
        &["cli/client.rs", "embed/service/client.rs", "node/model_hosts.rs"],
    ),
];

/// A file of `src/`, without comments and tests.
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    code: String,
}

impl Source {
    /// The folder or file right below `src/`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` lead out of the file's module to the root.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("mod.rs") {
            folders
        } else {
            folders + 1
        }
    }

    /// The top-level modules that it names by `crate::` or by going up with `super::`.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (start, _) in self.code.match_indices("crate::") {
            if !is_inside_word(&self.code, start) {
                names.extend(heads(&self.code[start + "crate::".len()..]));
            }
        }
        let up = "super::".repeat(self.depth());
        for (start, _) in self.code.match_indices(&up) {
            if !self.code[..start].ends_with("super::") && !is_inside_word(&self.code, start) {
                names.extend(heads(&self.code[start + up.len()..]));
            }
        }
        names.remove("super");
        names
    }

    fn uses_crate(&self, name: &str) -> bool {
        let path = format!("{name}::");
        let is_it = |start: usize| {
            // `query::toml::x` would be a module of ours.
            !is_inside_word(&self.code, start) && !self.code[..start].ends_with("::")
        };
        self.code.match_indices(&path).any(|(start, _)| is_it(start))
            || self.code.contains(&format!("use {name};"))
    }
}

fn is_inside_word(code: &str, start: usize) -> bool {
    code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
}

/// The first names of a path or of a group of paths: `a::b` -> a; `{a, b::{c, d}, self}` -> a, b.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (place, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(word(&group[start..place]));
                start = place + 1;
            }
            _ => {}
        }
        if c == '}' && start == place + 1 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty() && head != "self");
    heads
}

/// All of `src/`, in the order of the paths.
fn sources() -> Vec<Source> {
    let root = repository("src");
    let mut files = Vec::new();
    collect(&root, "rs", &mut files);
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (path, text)
    };
    let files: Vec<(String, String)> = files.iter().map(read).collect();
    let tests: BTreeSet<String> = files
        .iter()
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    assert!(files.len() > 50 && tests.len() < 10, "{tests:?}");
    let sources = files.into_iter().filter(|(path, _)| !tests.contains(path));
    sources
        .map(|(path, text)| Source {
            code: code(&text),
            path,
        })
        .collect()
}

fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

/// The files that a file names as its test modules: `#[cfg(test)] #[path = "x.rs"] mod tests;`.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let parts = text.split("#[cfg(test)]").skip(1);
    let named = parts.filter_map(|part| {
        let part = part.trim_start().strip_prefix("#[path = \"")?;
        Some(format!("{folder}/{}", part.split_once('"')?.0))
    });
    named.collect()
}

/// Without line comments and without what stands under `#[cfg(test)]`, which formatted code closes at its own indent.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = &line[..line.len() - line.trim_start().len()];
            let is_end = |line: &str| {
                line == format!("{indent}}}")
                    || line.starts_with(indent)
                        && line.ends_with(';')
                        && !line[indent.len()..].starts_with(' ')
            };
            for line in lines.by_ref() {
                if is_end(line) {
                    break;
                }
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

#[test]
fn modules_use_the_vocabulary_and_earlier_stages_alone() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.into();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(may_use) = table.get(module) else {
            faults.push(format!("{module} is not in the table"));
            continue;
        };
        for name in source.names() {
            if name == module {
                continue;
            }
            if !may_use.contains(&name.as_str()) && *may_use != EVERYONE {
                faults.push(format!(
                    "src/{} names crate::{name}, which {module} may not",
                    source.path
                ));
            }
            assert!(
                table.contains_key(name.as_str()),
                "{name} in {} is a module",
                source.path
            );
            used.insert((module.to_owned(), name));
        }
    }
    for (module, may_use) in MAY_USE.iter().filter(|(_, may_use)| *may_use != EVERYONE) {
        for name in may_use
            .iter()
            .filter(|name| !used.contains(&(module.to_string(), name.to_string())))
        {
            faults.push(format!(
                "{module} may use {name} and does not: take it out of the table"
            ));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_stands_in_the_order_in_which_data_moves() {
    let text = std::fs::read_to_string(repository("src/lib.rs")).unwrap();
    let modules = text.lines().filter_map(|line| {
        line.strip_prefix("pub ")
            .unwrap_or(line)
            .strip_prefix("mod ")?
            .strip_suffix(';')
    });
    let table: Vec<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    assert_eq!(modules.collect::<Vec<_>>(), table, "src/lib.rs");
    let place = |name: &str| table.iter().position(|module| *module == name).unwrap();
    let forward = MAY_USE.iter().flat_map(|(module, may_use)| {
        let later = may_use
            .iter()
            .filter(|name| **name != "*" && place(name) > place(module));
        later.map(move |name| (*module, *name))
    });
    assert_eq!(
        forward.collect::<Vec<_>>(),
        [("source", "decode")],
        "arrows that point forward"
    );
}

#[test]
fn each_large_dependency_is_named_behind_its_door_alone() {
    let sources = sources();
    for (dependency, doors) in DOORS {
        let users = sources.iter().filter(|source| source.uses_crate(dependency));
        let users: Vec<&str> = users.map(|source| source.path.as_str()).collect();
        for door in doors {
            assert!(
                users.iter().any(|user| user.starts_with(door)),
                "{door} does not name {dependency}"
            );
        }
        let others: Vec<_> = users
            .iter()
            .filter(|user| !doors.iter().any(|door| user.starts_with(door)))
            .collect();
        assert!(
            others.is_empty(),
            "{others:?} name {dependency}, which stands behind {doors:?}"
        );
    }
}

/// Folders and files at the top of the repository that paths in documents begin with.
const TOP: [&str; 7] = [
    ".ci/",
    "benches/",
    "data/",
    "dataflows/",
    "examples/",
    "src/",
    "tests/",
];

/// Documents and the folder that paths in them may be relative to, besides the top and `src/`.
const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", ""),
    ("ARCHITECTURE.md", ""),
    ("data/README.md", "data"),
    ("benches/README.md", "benches"),
];

/// What stands in backticks outside of fenced blocks and looks like a path of the repository.
fn paths_in(text: &str) -> Vec<&str> {
    let mut is_fenced = false;
    let mut paths = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            let quoted = line.split('`').skip(1).step_by(2);
            paths.extend(quoted.filter(|text| is_path(text)));
        }
    }
    paths
}

fn is_path(text: &str) -> bool {
    let is_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let ends = [".rs", ".md", ".toml", ".txt", ".zst", ".html"];
    let is_ours = TOP.iter().any(|top| text.starts_with(top)) || ends.iter().any(|end| text.ends_with(end));
    // `replays/NAME.ndjson` stands for several, and `../x` is not of the repository.
    is_plain && is_ours && !text.contains("NAME") && !text.starts_with("../")
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for (document, folder) in DOCUMENTS {
        let Ok(text) = std::fs::read_to_string(repository(document)) else {
            println!("skipped: {document} is absent");
            continue;
        };
        let exists = |path: &str| {
            let places = [path.to_owned(), format!("src/{path}"), format!("{folder}/{path}")];
            places.iter().any(|place| repository(place).exists())
        };
        let paths = paths_in(&text).into_iter().filter(|path| !exists(path));
        missing.extend(paths.map(|path| format!("{document}: {path}")));
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn the_readme_mentions_every_dataflow_file() {
    let Ok(readme) = std::fs::read_to_string(repository("README.md")) else {
        println!("skipped: README.md is absent");
        return;
    };
    for entry in std::fs::read_dir(repository("dataflows")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            readme.contains(&name),
            "README.md does not mention dataflows/{name}"
        );
    }
}

#[test]
fn the_scanner_sees_what_it_should() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        code: code(text),
    };
    let names = |path: &str, text: &str| {
        source(path, text)
            .names()
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names("a.rs", "use crate::b::C;\nfn f() -> crate::c::D {}"), "b c");
    assert_eq!(
        names(
            "a.rs",
            "use crate::{b::{self, X}, c, d::{e::{F}}};\nuse crate::g;"
        ),
        "b c d g"
    );
    assert_eq!(names("a/b.rs", "use super::super::c::D;\nuse super::e::F;"), "c");
    assert_eq!(names("a/mod.rs", "use super::c::D;"), "c");
    assert_eq!(names("a.rs", "// crate::b\n/// [`crate::c`]\nmycrate::d();"), "");
    let tested = "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\nuse crate::c;\n#[cfg(test)]\nuse crate::d;\nuse crate::e;\n";
    assert_eq!(names("x.rs", tested), "a c e");
    assert!(source("a.rs", "use tantivy::X;").uses_crate("tantivy"));
    assert!(source("a.rs", "let a: tantivy::X;").uses_crate("tantivy"));
    assert!(!source("a.rs", "use crate::tantivy::X; my_tantivy::y(); // tantivy::z").uses_crate("antivy"));
    let text = "see `src/a.rs`, `index/b.rs`, `x`, `a/b`, `data/NAME.txt`, `.ci/run`\n```text\n`src/no.rs`\n```\n`src/`";
    assert_eq!(paths_in(text), ["src/a.rs", "index/b.rs", ".ci/run", "src/"]);
}

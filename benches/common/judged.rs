//! The public sets of documents with queries whose answers were judged by people.

use std::collections::HashMap;
use std::path::Path;

/// In `../shared/data/search`.
pub const SETS: [&str; 2] = ["chorus-icecat", "scifact"];

pub struct Item {
    pub id: String,
    pub title: String,
    pub text: String,
}

/// Grades of documents by query and document.
pub type Judgements = HashMap<String, HashMap<String, f64>>;

/// nDCG at 10 of what was found, best first, by a query's grades; `None` where nothing is right.
pub fn ndcg<'a>(grades: &HashMap<String, f64>, found: impl Iterator<Item = &'a str>) -> Option<f64> {
    let gain = |(place, grade): (usize, f64)| grade / ((place + 2) as f64).log2();
    let mut ideal: Vec<f64> = grades.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = ideal.into_iter().take(10).enumerate().map(gain).sum();
    let grade = |id: &str| grades.get(id).copied().unwrap_or(0.0);
    let reached: f64 = found.take(10).map(grade).enumerate().map(gain).sum();
    (best > 0.0).then(|| reached / best)
}

pub fn corpus(folder: &Path) -> Vec<Item> {
    lines(&folder.join("corpus.jsonl"))
        .map(|line| Item {
            id: text(&line, "_id"),
            title: text(&line, "title"),
            text: text(&line, "text"),
        })
        .collect()
}

/// The sets whose documents are searched together.
pub const TOGETHER: [&str; 3] = ["chorus-icecat", "scifact", "vespa-toys"];

/// An index of them.
pub const DATAFLOW: &str = r#"
name = "bench"
[tables.documents]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, title, text, collection, number FROM documents"
key = "id"
text = { title = {}, text = {} }
fields = { collection = "keyword", number = "i64" }
embed = "{title}. {text}"
"#;

/// The queries of all judged sets.
pub fn all_queries(root: &Path) -> Vec<String> {
    let of_set = |set: &&str| queries(&root.join(set)).into_iter().map(|(_, text)| text);
    SETS.iter().flat_map(of_set).collect()
}

pub fn queries(folder: &Path) -> Vec<(String, String)> {
    lines(&folder.join("queries.jsonl"))
        .map(|line| (text(&line, "_id"), text(&line, "text")))
        .collect()
}

pub fn judgements(folder: &Path) -> Judgements {
    let mut judgements = Judgements::new();
    for line in std::fs::read_to_string(folder.join("qrels.tsv"))
        .expect("judgements")
        .lines()
    {
        let columns: Vec<&str> = line.split('\t').collect();
        if let [query, document, grade] = columns[..]
            && let Ok(grade) = grade.parse()
        {
            judgements
                .entry(query.to_owned())
                .or_default()
                .insert(document.to_owned(), grade);
        }
    }
    judgements
}

fn lines(path: &Path) -> impl Iterator<Item = serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("a file of the data set");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    lines.into_iter()
}

fn text(line: &serde_json::Value, field: &str) -> String {
    line[field].as_str().unwrap_or_default().to_owned()
}

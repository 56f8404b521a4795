//! A definition as a picture in text, for `millpond check`: the way of the data, from the sources to the answers.
//!
//! Of Kafka's options it shows the names alone: their values may be secrets.

use super::plan::Node;
use super::{
    Builder, Chunk, DeadLetterTopic, Definition, Effort, Framing, Freshness, Fusion, Index, KafkaSettings,
    KafkaStart, LegAmounts, Metric, Model, OnGap, Originals, Quantization, ReadyMade, Reduce, SourceSettings,
    Table, Tuning, VectorField, VectorSource,
};
use crate::change::TableId;

impl Definition {
    /// The plan as a picture in text, without secrets. Ends with a line break.
    pub fn picture(&self) -> String {
        let mut picture = Picture {
            out: format!("dataflow {}\n", self.name),
        };
        let read = self.index.as_ref().map(|index| table_of(&index.plan.root));
        for (i, table) in self.tables.iter().enumerate() {
            picture.table(table);
            match &self.index {
                Some(index) if read.map(|id| usize::from(id.0)) == Some(i) => {
                    picture.index(&self.name, index);
                }
                _ => picture.step("keep", "the rows; no index reads them"),
            }
        }
        picture
            .out
            .push_str(&format!("\ncheckpoint every {:?}\n", self.checkpoint.interval));
        if let Some(DeadLetterTopic { brokers, topic, .. }) = &self.dead_letters {
            let line = format!("\ndead letters also to kafka {topic} at {brokers}\n");
            picture.out.push_str(&line);
        }
        picture.out
    }
}

/// Steps, each joined to the one before by a line.
struct Picture {
    out: String,
}

impl Picture {
    fn begin(&mut self, name: &str, text: &str) {
        self.out.push_str(&format!("\n{name:<10}{text}\n"));
    }

    fn step(&mut self, name: &str, text: &str) {
        self.out.push_str("   |\n");
        self.line(name, text);
    }

    fn line(&mut self, name: &str, text: &str) {
        self.out.push_str(&format!("{name:<10}{text}"));
        self.out.truncate(self.out.trim_end().len());
        self.out.push('\n');
    }

    fn leg(&mut self, name: &str, text: &str) {
        self.line("   |", "");
        self.line("   +-----", &format!("{name:<9}{text}"));
    }

    fn table(&mut self, table: &Table) {
        match &table.source {
            SourceSettings::File(file) => {
                let framing = match file.framing {
                    Framing::Values => "a message a line",
                    Framing::Records => "a record a line",
                };
                let follow = if file.follow { ", followed as it grows" } else { "" };
                let rate = file
                    .rate
                    .map(|rate| format!(", {rate} messages a second"))
                    .unwrap_or_default();
                self.begin(
                    "source",
                    &format!("file {}, {framing}{follow}{rate}", file.path.display()),
                );
            }
            SourceSettings::Kafka(kafka) => self.kafka(kafka),
            SourceSettings::Http => {
                self.begin("source", &format!("http POST /v1/tables/{}/changes", table.name));
            }
        }
        let mut decode = table.format.name().to_owned();
        if !table.select.is_empty() {
            decode.push_str(&format!(", only {}", table.select.join(", ")));
        }
        if !table.columns.is_empty() {
            let columns: Vec<&str> = table.columns.keys().map(String::as_str).collect();
            decode.push_str(&format!(", types given for {}", columns.join(", ")));
        }
        if let Some(directory) = &table.claim_check {
            decode.push_str(&format!(", claim checks in {}", directory.display()));
        }
        self.step("decode", &decode);
        self.step(
            "collapse",
            &format!(
                "table {}: the latest row of each ({})",
                table.name,
                table.key.join(", ")
            ),
        );
    }

    fn kafka(&mut self, kafka: &KafkaSettings) {
        let start = match &kafka.start {
            KafkaStart::Earliest => "the earliest".to_owned(),
            KafkaStart::Latest => "the latest".to_owned(),
            KafkaStart::Offset(offset) => format!("offset {offset}"),
            KafkaStart::Offsets(offsets) => {
                let offsets: Vec<String> = offsets.iter().map(|(part, at)| format!("{part}@{at}")).collect();
                format!("offsets {}", offsets.join(", "))
            }
        };
        let topics = kafka.topics.join(", ");
        let KafkaSettings { brokers, group, .. } = kafka;
        let on_gap = match kafka.on_gap {
            OnGap::Stop => "",
            OnGap::Continue => ", going on after a gap",
        };
        self.begin(
            "source",
            &format!("kafka {topics} at {brokers}, group {group}, from {start}{on_gap}"),
        );
        if !kafka.options.is_empty() {
            let names: Vec<&str> = kafka.options.keys().map(String::as_str).collect();
            self.line("   |", &format!("with {}", names.join(", ")));
        }
    }

    fn index(&mut self, name: &str, index: &Index) {
        self.node(&index.plan.root, &index.plan.columns);
        for field in &index.vectors {
            if let VectorSource::Embed {
                template,
                embedder,
                chunk,
            } = &field.source
            {
                let model = match &embedder.model {
                    Model::Default => "the model in the binary".to_owned(),
                    Model::Hash { dimensions } => format!("hash, {dimensions} dimensions"),
                    Model::Local(model) => format!("the model in {}", model.path.display()),
                    Model::Service(service) => format!(
                        "{} of {}, {} dimensions, in batches of {}, {} at once",
                        service.name, service.url, service.dimensions, embedder.batch, embedder.parallel
                    ),
                };
                let text = template.to_text(&index.plan.columns);
                let pieces = match chunk {
                    None => String::new(),
                    Some(Chunk { tokens, overlap: 0 }) => format!(", in pieces of {tokens} tokens"),
                    Some(Chunk { tokens, overlap }) => {
                        format!(", in pieces of {tokens} tokens that share {overlap}")
                    }
                };
                self.step("embed", &format!("{text:?} by {model}{pieces}{}", named(field)));
            }
        }
        if !index.text.is_empty() {
            let fields = index
                .text
                .iter()
                .map(|field| format!("{} ({}, boost {})", field.name, field.analyzer, field.boost));
            self.leg("keyword", &fields.collect::<Vec<_>>().join(", "));
        }
        for field in &index.vectors {
            self.vector_field(field, &index.plan.columns);
        }
        if !index.fields.is_empty() {
            let fields = index
                .fields
                .iter()
                .map(|field| format!("{} ({})", field.name, field.kind.name()));
            self.leg("filters", &fields.collect::<Vec<_>>().join(", "));
        }
        let key: Vec<&str> = index
            .key
            .iter()
            .filter_map(|place| index.plan.columns.get(*place))
            .map(String::as_str)
            .collect();
        self.step(
            "answer",
            &format!(
                "index {name}, key ({}){}{}",
                key.join(", "),
                fusion(index),
                freshness(index)
            ),
        );
    }

    fn vector_field(&mut self, field: &VectorField, columns: &[String]) {
        let metric = match field.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot product",
            Metric::L2 => "squared L2 distance",
        };
        let source = match &field.source {
            VectorSource::Embed { .. } => String::new(),
            VectorSource::Column(ReadyMade {
                column,
                dimensions,
                model,
            }) => {
                let name = |column: usize| columns.get(column).map(String::as_str).unwrap_or_default();
                let model = model.as_ref();
                let model = model.map_or_else(String::new, |model| {
                    format!(" where {} is {}", name(model.column), model.name)
                });
                format!(
                    ", {dimensions} dimensions, ready-made in {}{model}",
                    name(*column)
                )
            }
        };
        let tuning = tuning(&field.tuning);
        self.leg("vector", &format!("{metric}{source}{tuning}{}", named(field)));
    }

    fn node(&mut self, node: &Node, names: &[String]) {
        match node {
            Node::Table(_) => {}
            Node::Filter { input, condition } => {
                self.node(input, names);
                self.step("filter", &condition.to_string());
            }
            Node::Project { input, columns } => {
                self.node(input, names);
                let columns = columns.iter().zip(names).map(|(expression, name)| {
                    let (text, plain) = (expression.to_string(), super::Expression::Column(name.clone()));
                    if *expression == plain {
                        text
                    } else {
                        format!("{text} AS {plain}")
                    }
                });
                self.step("project", &columns.collect::<Vec<_>>().join(", "));
            }
        }
    }
}

/// The name of a vector field that has one.
fn named(field: &VectorField) -> String {
    match &*field.name {
        VectorField::DEFAULT => String::new(),
        name => format!(", named {name}"),
    }
}

/// What is not as usual.
fn tuning(tuning: &Tuning) -> String {
    let (usual, mut said) = (Tuning::default(), Vec::new());
    if tuning.links != usual.links {
        said.push(format!("m {}", tuning.links));
    }
    if tuning.build_width != usual.build_width {
        said.push(format!("ef_construction {}", tuning.build_width));
    }
    match tuning.effort {
        Effort::Usual => {}
        Effort::Width(width) => said.push(format!("ef {width}")),
        Effort::Accuracy(share) => said.push(format!("accuracy {share}")),
        Effort::Exact => said.push("exact".to_owned()),
    }
    match tuning.quantization {
        Quantization::Int8 if tuning.reduce.is_none() => said.push("rows of int8".to_owned()),
        Quantization::Int16 | Quantization::Int8 => {}
        Quantization::F16 => said.push("rows of f16".to_owned()),
    }
    match tuning.originals {
        None => {}
        Some(Originals::Memory) => said.push("vectors in memory".to_owned()),
        Some(Originals::Disk) => said.push("vectors on disk".to_owned()),
    }
    match tuning.reduce {
        None => {}
        Some(Reduce::Pca(dimensions)) => said.push(format!("reduced to {dimensions} by pca")),
        Some(Reduce::Truncate(dimensions)) => said.push(format!("cut to {dimensions}")),
    }
    match tuning.builder {
        Builder::Millpond => {}
        Builder::HnswRs => said.push("built by hnsw_rs".to_owned()),
    }
    said.iter().map(|said| format!(", {said}")).collect()
}

fn freshness(index: &Index) -> &'static str {
    match index.freshness {
        Freshness::Split => "",
        Freshness::Together => ", rows together with their vectors",
    }
}

/// Both legs are needed for it.
fn fusion(index: &Index) -> String {
    match index.fusion {
        _ if index.text.is_empty() || index.vectors.is_empty() => String::new(),
        Fusion::Relative { weight } => format!(", legs fused by score, vector {weight}"),
        Fusion::Distribution { weight } => {
            format!(", legs fused by the distribution of scores, vector {weight}")
        }
        Fusion::Mean(LegAmounts { keyword, vector }) => {
            format!(", legs fused by the mean of scores, keyword {keyword} to vector {vector}")
        }
        Fusion::Linear(LegAmounts { keyword, vector }) => {
            format!(", legs fused by keyword score times {keyword} and vector score times {vector}")
        }
        Fusion::Rrf {
            k,
            weights: LegAmounts { keyword, vector },
            window,
        } => {
            let window = window.map_or_else(String::new, |window| format!(", the best {window} of each"));
            format!(", legs fused by rank, k {k}, keyword {keyword}, vector {vector}{window}")
        }
    }
}

fn table_of(node: &Node) -> TableId {
    match node {
        Node::Table(table) => *table,
        Node::Filter { input, .. } | Node::Project { input, .. } => table_of(input),
    }
}

//! What the stored data depends on in a dataflow file, and what follows when that has changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::plan::Node;
use crate::definition::{
    Definition, FieldKind, Index, Metric, ReadyMade, TextField, VectorField, VectorSource,
};
use crate::index::Sets;

/// What of a definition the stored data depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// In the order of the definition.
    pub tables: Vec<TableShape>,
    pub index: Option<IndexShape>,
    pub shards: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableShape {
    pub name: String,
    pub key: Vec<String>,
    pub format: String,
}

/// Everything as text, for comparison and for reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexShape {
    pub query: String,
    pub key: Vec<String>,
    /// Boost and analyzer by field.
    pub text: BTreeMap<String, String>,
    /// Kinds by field.
    pub fields: BTreeMap<String, String>,
    /// In the order of the definition.
    pub vectors: Vec<VectorShape>,
    /// Text and filter fields as they follow each other, which is how segments know them; empty where an older version
    /// has not noted it.
    #[serde(default)]
    pub order: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorShape {
    pub name: String,
    pub metric: String,
    pub source: VectorSourceShape,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VectorSourceShape {
    Embedded {
        model: String,
        dimensions: usize,
        template: String,
        /// Tokens and overlap of pieces.
        chunk: Option<(usize, usize)>,
    },
    Column {
        name: String,
        dimensions: usize,
        /// The column that names each vector's model, and the model that is searched.
        #[serde(default)]
        model: Option<(String, String)>,
    },
}

/// An embedder's name and dimensions.
pub type Model<'a> = (&'a str, usize);

/// What must be done with stored data for the definition as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Same,
    /// Rows and the vectors of texts stay; the index is built from them again.
    Reindex {
        reason: String,
    },
    /// Rows stay, and all else is made again.
    Rebuild {
        reason: String,
    },
}

impl Shape {
    /// The shape of a definition, whose vector fields are embedded by these models.
    pub fn of(definition: &Definition, models: &[Option<Model<'_>>], shards: usize) -> Shape {
        let tables = definition.tables.iter().map(|table| TableShape {
            name: table.name.clone(),
            key: table.key.clone(),
            format: table.format.name().to_owned(),
        });
        let index = definition.index.as_ref();
        Shape {
            tables: tables.collect(),
            index: index.map(|index| IndexShape::of(definition, index, models)),
            shards,
        }
    }

    /// The same, with the vectors that answer now.
    pub(super) fn answered_by(&self, sets: &Sets) -> Shape {
        let mut shape = self.clone();
        let fields = shape.index.iter_mut().flat_map(|index| &mut index.vectors);
        for (field, set) in fields.zip(&sets.answering) {
            if let VectorSourceShape::Embedded {
                model, dimensions, ..
            } = &mut field.source
            {
                *model = set.model.to_string();
                *dimensions = set.dimensions;
            }
        }
        shape
    }

    /// What must be done with data of this shape for it to have the shape `now`.
    pub fn compare(&self, now: &Shape) -> Change {
        let mut reasons = Reasons::default();
        for table in &self.tables {
            let name = &table.name;
            match now.tables.iter().find(|other| other.name == *name) {
                None => reasons.rebuild.push(format!("table {name} is gone")),
                Some(other) => {
                    let (before, after) = (table.key.join(", "), other.key.join(", "));
                    reasons.rebuild(&format!("the key of table {name}"), &before, &after);
                    reasons.rebuild(
                        &format!("the format of table {name}"),
                        &table.format,
                        &other.format,
                    );
                }
            }
        }
        match (&self.index, &now.index) {
            (Some(before), Some(now)) => before.compare(now, &mut reasons),
            (None, None) => {}
            (None, Some(_)) => reasons.reindex.push("there is an index now".into()),
            (Some(_), None) => reasons.reindex.push("there is no index any more".into()),
        }
        reasons.reindex(
            "the number of shards",
            &self.shards.to_string(),
            &now.shards.to_string(),
        );
        reasons.into_change()
    }
}

impl IndexShape {
    fn of(definition: &Definition, index: &Index, models: &[Option<Model<'_>>]) -> IndexShape {
        let column = |place: usize| index.plan.columns.get(place).cloned().unwrap_or_default();
        // Synonyms are a query's affair: nothing stored depends on them.
        let stop_words = match &index.vocabulary.stop_words {
            None => String::new(),
            Some(words) => format!(", stop words {words:?}"),
        };
        let text = index.text.iter().map(|field| {
            let TextField {
                name,
                analyzer,
                boost,
                ..
            } = field;
            let column = column(field.column);
            (
                name.clone(),
                format!("{column} {analyzer}, boost {boost}{stop_words}"),
            )
        });
        let fields = index.fields.iter().map(|field| {
            let kind = match field.kind {
                FieldKind::Geo { lon: Some(lon) } => format!("geo with {}", column(lon)),
                kind => kind.name().to_owned(),
            };
            (field.name.clone(), format!("{} {kind}", column(field.column)))
        });
        let vectors = index.vectors.iter().enumerate();
        let vectors = vectors.map(|(number, field)| {
            let model = models.get(number).copied().flatten();
            VectorShape::of(field, model, &index.plan.columns)
        });
        let text_names = index.text.iter().map(|field| &field.name);
        let field_names = index.fields.iter().map(|field| &field.name);
        IndexShape {
            query: query(definition, &index.plan.root, &index.plan.columns),
            key: index.key.iter().map(|place| column(*place)).collect(),
            text: text.collect(),
            fields: fields.collect(),
            vectors: vectors.collect(),
            order: text_names.chain(field_names).cloned().collect(),
        }
    }

    fn compare(&self, now: &IndexShape, reasons: &mut Reasons) {
        reasons.reindex("the query", &self.query, &now.query);
        reasons.reindex("the index's key", &self.key.join(", "), &now.key.join(", "));
        reasons.each("text field", &self.text, &now.text);
        reasons.each("filter field", &self.fields, &now.fields);
        if !self.order.is_empty()
            && self.text.len() == now.text.len()
            && self.fields.len() == now.fields.len()
        {
            let (before, after) = (self.order.join(", "), now.order.join(", "));
            reasons.reindex("the order of fields", &before, &after);
        }
        for field in &now.vectors {
            match self.vectors.iter().find(|before| before.name == field.name) {
                None => reasons
                    .reindex
                    .push(format!("the vectors {} are new", field.name)),
                Some(before) => before.compare(field, reasons),
            }
        }
        let of = |fields: &[VectorShape]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
        let (before, after) = (of(&self.vectors), of(&now.vectors));
        for gone in before.iter().filter(|name| !after.contains(name)) {
            reasons.reindex.push(format!("the vectors {gone} are gone"));
        }
        if before.len() == after.len() {
            reasons.reindex("the order of vectors", &before.join(", "), &after.join(", "));
        }
    }
}

impl VectorShape {
    fn of(field: &VectorField, model: Option<Model<'_>>, columns: &[String]) -> VectorShape {
        let source = match &field.source {
            VectorSource::Embed { template, chunk, .. } => VectorSourceShape::Embedded {
                chunk: chunk.map(|chunk| (chunk.tokens, chunk.overlap)),
                model: model.map_or_else(String::new, |(name, _)| name.to_owned()),
                dimensions: model.map_or(0, |(_, dimensions)| dimensions),
                template: template.to_text(columns),
            },
            VectorSource::Column(ReadyMade {
                column,
                dimensions,
                model,
            }) => {
                let name = |column: usize| columns.get(column).cloned().unwrap_or_default();
                VectorSourceShape::Column {
                    name: name(*column),
                    dimensions: *dimensions,
                    model: model
                        .as_ref()
                        .map(|model| (name(model.column), model.name.clone())),
                }
            }
        };
        let metric = match field.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot product",
            Metric::L2 => "squared L2 distance",
        };
        VectorShape {
            name: field.name.clone(),
            metric: metric.to_owned(),
            source,
        }
    }

    fn compare(&self, now: &VectorShape, reasons: &mut Reasons) {
        let of = match &*self.name {
            VectorField::DEFAULT => String::new(),
            name => format!(" of {name}"),
        };
        reasons.reindex(&format!("the metric{of}"), &self.metric, &now.metric);
        let (before, after) = (self.source.to_text(), now.source.to_text());
        reasons.rebuild(&format!("where vectors{of} come from"), &before, &after);
    }
}

impl VectorSourceShape {
    fn to_text(&self) -> String {
        match self {
            VectorSourceShape::Embedded {
                model,
                dimensions,
                template,
                chunk,
            } => {
                let pieces = match chunk {
                    None => String::new(),
                    Some((tokens, overlap)) => format!(" in pieces of {tokens} tokens, {overlap} shared"),
                };
                format!("{template:?}{pieces} by model {model}, {dimensions} dimensions")
            }
            VectorSourceShape::Column {
                name,
                dimensions,
                model,
            } => {
                let model = model.as_ref();
                let model = model.map_or_else(String::new, |(column, name)| {
                    format!(", where {column} is {name}")
                });
                format!("column {name}, {dimensions} dimensions{model}")
            }
        }
    }
}

/// The query as SQL, near enough to see what has changed.
fn query(definition: &Definition, node: &Node, names: &[String]) -> String {
    match node {
        Node::Table(id) => {
            let table = definition.tables.get(usize::from(id.0));
            table.map_or_else(String::new, |table| format!("FROM {}", table.name))
        }
        Node::Filter { input, condition } => {
            format!("{} WHERE {condition}", query(definition, input, names))
        }
        Node::Project { input, columns } => {
            let columns = columns.iter().zip(names);
            let columns: Vec<String> = columns
                .map(|(expression, name)| format!("{expression} AS {name}"))
                .collect();
            format!(
                "SELECT {} {}",
                columns.join(", "),
                query(definition, input, names)
            )
        }
    }
}

/// What has changed, by what follows from it.
#[derive(Default)]
struct Reasons {
    reindex: Vec<String>,
    rebuild: Vec<String>,
}

impl Reasons {
    fn reindex(&mut self, what: &str, before: &str, now: &str) {
        if before != now {
            self.reindex.push(format!("{what} was {before} and is {now}"));
        }
    }

    fn rebuild(&mut self, what: &str, before: &str, now: &str) {
        if before != now {
            self.rebuild.push(format!("{what} was {before} and is {now}"));
        }
    }

    fn each(&mut self, what: &str, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
        for (name, text) in now {
            match before.get(name) {
                None => self.reindex.push(format!("{what} {name} is new")),
                Some(before) => self.reindex(&format!("{what} {name}"), before, text),
            }
        }
        let gone = before.keys().filter(|name| !now.contains_key(*name));
        self.reindex
            .extend(gone.map(|name| format!("{what} {name} is gone")));
    }

    fn into_change(self) -> Change {
        let Reasons { reindex, rebuild } = self;
        if !rebuild.is_empty() {
            return Change::Rebuild {
                reason: rebuild.join("; "),
            };
        }
        if !reindex.is_empty() {
            return Change::Reindex {
                reason: reindex.join("; "),
            };
        }
        Change::Same
    }
}

//! Which fields an index has for tantivy, and how a document's row fills them.
//!
//! Text columns are indexed with frequencies, everything for filters is a column only, and nothing is
//! stored: documents come from the rows. Each document carries its slot.

use std::borrow::Cow;
use std::sync::Arc;

use tantivy::index::{IndexBuilder, IndexSettings};
use tantivy::schema::{
    Field as TantivyField, IndexRecordOption, NumericOptions, Schema, TantivyDocument, TextFieldIndexing,
    TextOptions,
};
use tantivy::store::Compressor;
use tantivy::tokenizer::TokenizerManager;

use super::analysis::Analysis;
use super::synonyms::SynonymRules;
use super::values;
use crate::change::Row;
use crate::definition::{FieldKind, Index};
use crate::index::Slot;

/// The column with each document's slot.
pub(super) const SLOT: &str = "slot";

/// Which fields and analysers an index has. Cheap to clone.
#[derive(Clone)]
pub struct KeywordSchema(Arc<Parts>);

struct Parts {
    schema: Schema,
    tokenizers: TokenizerManager,
    slot: TantivyField,
    texts: Vec<Text>,
    columns: Vec<FilterColumn>,
}

/// A column searched by words.
pub(super) struct Text {
    /// As queries name it.
    pub name: String,
    pub field: TantivyField,
    pub boost: f32,
    pub analysis: Analysis,
    pub synonyms: SynonymRules,
    column: usize,
}

/// A column for filters.
pub(super) struct FilterColumn {
    /// As filters name it.
    pub name: String,
    /// As tantivy names it: of our choosing, since it gives a dot in a name a meaning.
    pub tantivy_name: String,
    pub kind: FieldKind,
    field: TantivyField,
    column: usize,
}

impl KeywordSchema {
    pub fn new(index: &Index) -> KeywordSchema {
        let mut schema = Schema::builder();
        let tokenizers = TokenizerManager::default();
        let fast = NumericOptions::default().set_fast();
        let slot = schema.add_u64_field(SLOT, fast.clone());
        let texts = index.text.iter().enumerate().map(|(i, text)| {
            let analysis = Analysis::new(text.analyzer, index.vocabulary.stop_words.as_deref());
            let name = format!("text{i}");
            tokenizers.register(&name, analysis.of_documents());
            let indexing = TextFieldIndexing::default()
                .set_tokenizer(&name)
                .set_index_option(IndexRecordOption::WithFreqs);
            let field = schema.add_text_field(&name, TextOptions::default().set_indexing_options(indexing));
            Text {
                name: text.name.clone(),
                field,
                boost: text.boost,
                synonyms: SynonymRules::new(&index.vocabulary.synonyms, &analysis),
                analysis,
                column: text.column,
            }
        });
        let texts = texts.collect();
        let columns = index.fields.iter().enumerate().map(|(i, field)| {
            let name = format!("field{i}");
            let added = match field.kind {
                FieldKind::Keyword => schema.add_text_field(&name, TextOptions::default().set_fast("raw")),
                FieldKind::I64 => schema.add_i64_field(&name, fast.clone()),
                FieldKind::F64 => schema.add_f64_field(&name, fast.clone()),
                FieldKind::Bool => schema.add_bool_field(&name, fast.clone()),
            };
            FilterColumn {
                name: field.name.clone(),
                tantivy_name: name,
                kind: field.kind,
                field: added,
                column: field.column,
            }
        });
        let columns = columns.collect();
        KeywordSchema(Arc::new(Parts {
            schema: schema.build(),
            tokenizers,
            slot,
            texts,
            columns,
        }))
    }

    /// In the order of the definition.
    pub(super) fn texts(&self) -> &[Text] {
        &self.0.texts
    }

    /// In the order of the definition.
    pub(super) fn columns(&self) -> &[FilterColumn] {
        &self.0.columns
    }

    pub(super) fn builder(&self) -> IndexBuilder {
        IndexBuilder::new()
            .schema(self.0.schema.clone())
            .tokenizers(self.0.tokenizers.clone())
            .settings(KeywordSchema::settings())
    }

    /// Whether an index has these fields.
    pub(super) fn is_of(&self, index: &tantivy::Index) -> bool {
        index.schema() == self.0.schema
    }

    pub(super) fn settings() -> IndexSettings {
        IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        }
    }

    /// The row as tantivy takes it.
    pub(super) fn document(&self, slot: Slot, row: &Row) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.0.slot, u64::from(slot.0));
        for text in &self.0.texts {
            if let Some(value) = text.value(row) {
                document.add_text(text.field, value);
            }
        }
        for column in &self.0.columns {
            let Some(datum) = row.value(column.column) else {
                continue;
            };
            match column.kind {
                FieldKind::Keyword => {
                    values::text(datum)
                        .into_iter()
                        .for_each(|value| document.add_text(column.field, value));
                }
                FieldKind::I64 => values::int(datum)
                    .into_iter()
                    .for_each(|v| document.add_i64(column.field, v)),
                FieldKind::F64 => values::float(datum)
                    .into_iter()
                    .for_each(|v| document.add_f64(column.field, v)),
                FieldKind::Bool => values::boolean(datum)
                    .into_iter()
                    .for_each(|v| document.add_bool(column.field, v)),
            }
        }
        document
    }

    /// Whether two rows look the same to this leg, whatever their other columns hold.
    pub(super) fn same(&self, left: &Row, right: &Row) -> bool {
        let texts = self.0.texts.iter().map(|text| text.column);
        let mut columns = texts.chain(self.0.columns.iter().map(|column| column.column));
        columns.all(|column| left.value(column) == right.value(column))
    }

    /// The size of the row's searched texts, in bytes.
    pub(super) fn text_bytes(&self, row: &Row) -> usize {
        let texts = self.0.texts.iter().filter_map(|text| text.value(row));
        texts.map(|text| text.len()).sum()
    }

    /// Calls `each` with every token of the row's texts, and the place of the text: what tantivy has indexed.
    pub(super) fn tokens(&self, row: &Row, each: &mut dyn FnMut(usize, &str)) {
        for (i, text) in self.0.texts.iter().enumerate() {
            if let Some(value) = text.value(row) {
                text.analysis.tokens(&value, &mut |_, token| each(i, token));
            }
        }
    }
}

impl Text {
    /// The document's text in this column.
    pub fn value<'a>(&self, row: &'a Row) -> Option<Cow<'a, str>> {
        row.value(self.column).and_then(values::text)
    }
}

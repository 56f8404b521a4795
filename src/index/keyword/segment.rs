//! One tantivy segment in memory: built from rows, merged from others, or read back; then immutable.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use tantivy::directory::{OwnedBytes, RamDirectory};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::{InvertedIndexReader, SegmentReader};
use tantivy::indexer::merge_filtered_segments;
use tantivy::{BitSet, SingleSegmentIndexWriter};

use super::columns::ColumnReader;
use super::docs::Docs;
use super::postings::Occurrences;
use super::schema::SLOT;
use super::verdict::VerdictCache;
use super::{KeywordError, KeywordSchema, files};
use crate::index::{Document, Slot};

/// What tantivy sizes its hash table by, in bytes. Smaller is refused, and larger makes no larger table.
const BUDGET_BYTES: std::ops::RangeInclusive<usize> = 100_000..=15_000_000;

pub(super) struct Segment {
    segment: tantivy::Segment,
    files: RamDirectory,
    /// Each document's slot.
    slots: Vec<u32>,
    /// Each document's number of tokens in all texts, each text's rounded by tantivy and times its boost.
    pub lengths: Vec<f32>,
    /// Each text's inverted lists, opened once; in the order of the definition, like the columns.
    pub texts: Vec<Arc<InvertedIndexReader>>,
    pub columns: Vec<ColumnReader>,
    pub verdicts: VerdictCache,
    /// Each text's lengths of documents, rounded.
    norms: Vec<FieldNormReader>,
    /// Each text's exact lengths of documents, where they have been asked for.
    tokens: OnceLock<Vec<Vec<u32>>>,
}

impl Segment {
    pub fn build(schema: &KeywordSchema, rows: &[(Slot, Arc<Document>)]) -> Result<Segment, KeywordError> {
        let bytes: usize = rows
            .iter()
            .map(|(_, document)| schema.text_bytes(&document.row))
            .sum();
        let budget = bytes
            .saturating_mul(4)
            .clamp(*BUDGET_BYTES.start(), *BUDGET_BYTES.end());
        let files = RamDirectory::create();
        let mut writer: SingleSegmentIndexWriter = schema
            .builder()
            .single_segment_index_writer(files.clone(), budget)?;
        for (slot, document) in rows {
            writer.add_document(schema.document(*slot, &document.row))?;
        }
        Segment::open(schema, &writer.finalize()?, files)
    }

    /// The living documents of the sources, in their order. At least one lives.
    pub fn merge(
        schema: &KeywordSchema,
        sources: &[(Arc<Segment>, Arc<Docs>)],
    ) -> Result<Segment, KeywordError> {
        let segments: Vec<_> = sources.iter().map(|(source, _)| source.segment.clone()).collect();
        let alive = sources
            .iter()
            .map(|(_, alive)| Ok(Some(alive_bitset(alive)?)))
            .collect::<Result<_, KeywordError>>()?;
        let files = RamDirectory::create();
        let index = merge_filtered_segments(&segments, KeywordSchema::settings(), alive, files.clone())?;
        Segment::open(schema, &index, files)
    }

    /// What [`Segment::write`] has written.
    pub fn read(schema: &KeywordSchema, bytes: &[u8]) -> Result<Segment, KeywordError> {
        // tantivy takes files to be its own, and panics on some that are not.
        let work = AssertUnwindSafe(|| {
            let files = files::read(bytes)?;
            let index = tantivy::Index::open(files.clone())?;
            if !schema.is_of(&index) {
                return Err(KeywordError("a segment has other fields than the index".into()));
            }
            Segment::open(schema, &index, files)
        });
        catch_unwind(work).unwrap_or_else(|_| Err(KeywordError("a segment cannot be read".into())))
    }

    /// Writes all that the segment consists of.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        files::write(&self.segment, &self.files, out)
    }

    /// Unique among all segments there ever were.
    pub fn name(&self) -> String {
        self.segment.id().uuid_string()
    }

    fn open(
        schema: &KeywordSchema,
        index: &tantivy::Index,
        files: RamDirectory,
    ) -> Result<Segment, KeywordError> {
        let segment = index.searchable_segments()?.pop();
        let segment = segment.ok_or_else(|| KeywordError("a segment was built, but is not there".into()))?;
        let reader = SegmentReader::open(&segment)?;
        let slot = reader.fast_fields().u64(SLOT)?;
        let slots =
            (0..reader.max_doc()).map(|doc| slot.first(doc).and_then(|slot| u32::try_from(slot).ok()));
        let slots: Vec<u32> = slots
            .collect::<Option<_>>()
            .ok_or_else(|| KeywordError("a document has no slot".into()))?;
        let mut lengths = vec![0.0; slots.len()];
        let (mut texts, mut norms) = (Vec::new(), Vec::new());
        for text in schema.texts() {
            let rounded = reader.get_fieldnorms_reader(text.field)?;
            for (doc, length) in (0..).zip(&mut lengths) {
                *length += text.boost * rounded.fieldnorm(doc) as f32;
            }
            texts.push(reader.inverted_index(text.field)?);
            norms.push(rounded);
        }
        let columns = schema
            .columns()
            .iter()
            .map(|column| ColumnReader::open(reader.fast_fields(), column));
        let columns = columns.collect::<Result<_, KeywordError>>()?;
        Ok(Segment {
            segment,
            files,
            slots,
            lengths,
            texts,
            columns,
            verdicts: VerdictCache::default(),
            norms,
            tokens: OnceLock::new(),
        })
    }

    /// Each document's number of tokens in some texts, as `lengths`.
    pub fn lengths_of(&self, fields: &[(usize, f32)]) -> Vec<f32> {
        let mut lengths = vec![0.0; self.slots.len()];
        for (text, boost) in fields {
            if let Some(rounded) = self.norms.get(*text) {
                for (doc, length) in (0..).zip(&mut lengths) {
                    *length += boost * rounded.fieldnorm(doc) as f32;
                }
            }
        }
        lengths
    }

    /// By text, each document's number of tokens: counted once, by a walk over all inverted lists.
    pub fn tokens(&self) -> Result<&[Vec<u32>], KeywordError> {
        if let Some(known) = self.tokens.get() {
            return Ok(known);
        }
        let mut tokens = vec![vec![0u32; self.slots.len()]; self.texts.len()];
        for (lists, tokens) in self.texts.iter().zip(&mut tokens) {
            let mut terms = lists.terms().stream()?;
            while let Some((_, info)) = terms.next() {
                Occurrences::open(lists, info)?.each(|doc, frequency| {
                    if let Some(count) = tokens.get_mut(doc as usize) {
                        *count += frequency;
                    }
                });
            }
        }
        Ok(self.tokens.get_or_init(|| tokens))
    }

    /// Documents, dead ones too.
    pub fn size(&self) -> u32 {
        self.slots.len() as u32
    }

    pub fn slot(&self, doc: u32) -> Slot {
        Slot(self.slots[doc as usize])
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter().map(|slot| Slot(*slot))
    }
}

fn alive_bitset(alive: &Docs) -> Result<AliveBitSet, KeywordError> {
    let mut bits = BitSet::with_max_value(alive.size());
    for doc in alive.iter() {
        bits.insert(doc);
    }
    let mut bytes = Vec::new();
    write_alive_bitset(&bits, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}

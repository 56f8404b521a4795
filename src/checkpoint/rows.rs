//! The rows of one table on disk: sorted by key in each part, so that parts are merged as they are read.

use std::io;

use super::TableCut;
use super::block::{BlockReader, BlockWriter, Entry};
use super::layers::{Layer, Layers};
use crate::change::Key;
use crate::storage::{Damaged, Part, PartReader, PartWriter};

/// Adds what has changed, sorted by key, to the stored rows.
pub(super) fn write(
    layers: &Layers,
    changed: &[Entry],
    reader: &PartReader<'_>,
    writer: &PartWriter<'_>,
) -> io::Result<Layers> {
    if changed.is_empty() {
        return Ok(layers.clone());
    }
    let keep = layers.keep(changed.len() as u64);
    let merged = Layers(layers.0[keep..].to_vec());
    let mut merge = Merge::open(&merged, reader).map_err(io::Error::other)?;
    merge
        .add(Source::Changed(changed.iter()))
        .map_err(io::Error::other)?;
    let mut entries = 0;
    let part = writer.write("rows", |out| {
        let mut blocks = BlockWriter::new(out)?;
        while let Some((key, state)) = merge.next().map_err(io::Error::other)? {
            // Below a base is nothing that an entry for nothing would have to hide.
            if state.is_some() || keep > 0 {
                blocks.push(&key, state.as_ref())?;
            }
        }
        entries = blocks.finish()?;
        Ok(())
    })?;
    Ok(layers.with(keep, Layer { part, entries }))
}

/// Everything known, sorted by key.
pub(super) fn read(layers: &Layers, reader: &PartReader<'_>) -> Result<TableCut, Damaged> {
    let mut merge = Merge::open(layers, reader)?;
    // What a foreign manifest counts is not believed beyond what the part can hold.
    let of_base = |base: &Layer| base.entries.min(base.part.bytes) as usize;
    let mut keys = Vec::with_capacity(layers.0.first().map_or(0, of_base));
    while let Some((key, state)) = merge.next()? {
        if state.is_some() {
            keys.push((key, state));
        }
    }
    Ok(TableCut {
        truncated: None,
        keys,
    })
}

/// Where sorted entries come from.
enum Source<'a> {
    Stored { part: Part, blocks: BlockReader },
    Changed(std::slice::Iter<'a, Entry>),
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Damaged> {
        match self {
            Source::Stored { part, blocks } => blocks.read().map_err(|reason| part.damaged(reason)),
            Source::Changed(entries) => Ok(entries.next().cloned()),
        }
    }

    /// The entry that follows the one of `key`.
    fn next_behind(&mut self, key: &Key) -> Result<Option<Entry>, Damaged> {
        let next = self.next()?;
        match (self, &next) {
            (Source::Stored { part, .. }, Some((next, _))) if next <= key => {
                Err(part.damaged("its keys are in no order"))
            }
            _ => Ok(next),
        }
    }
}

/// Several sources as one, sorted by key; of equal keys the entry of the newest source counts.
struct Merge<'a> {
    /// The oldest first, each with its next entry.
    sources: Vec<(Option<Entry>, Source<'a>)>,
}

impl<'a> Merge<'a> {
    fn open(layers: &Layers, reader: &PartReader<'_>) -> Result<Merge<'a>, Damaged> {
        let mut merge = Merge { sources: Vec::new() };
        for part in layers.parts() {
            let blocks = BlockReader::new(reader.read(part)?);
            merge.add(Source::Stored {
                part: part.clone(),
                blocks,
            })?;
        }
        Ok(merge)
    }

    /// Adds a source that is newer than all before it.
    fn add(&mut self, mut source: Source<'a>) -> Result<(), Damaged> {
        self.sources.push((source.next()?, source));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Entry>, Damaged> {
        let heads = self.sources.iter().filter_map(|(head, _)| head.as_ref());
        let Some(least) = heads.map(|(key, _)| key).min().cloned() else {
            return Ok(None);
        };
        let mut newest = None;
        for (head, source) in &mut self.sources {
            if head.as_ref().is_some_and(|(key, _)| *key == least) {
                newest = std::mem::replace(head, source.next_behind(&least)?);
            }
        }
        Ok(newest)
    }
}

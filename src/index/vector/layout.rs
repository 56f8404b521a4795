//! A graph as bytes: counts, then each array as it is in memory, little-endian, at a multiple of 64.

use std::io::{self, Write};

use super::Slot;
use super::codes::{Rows, Term};
use super::graph::{Graph, Layer, Links};

/// Where an array may begin: a cache line, so that a mapped file can be scanned as it lies.
const ALIGNMENT: usize = 64;

/// Values turned into bytes at once.
const CHUNK: usize = 4_096;

/// Each sparse layer has a sixteenth of the rows below: more would be no graph of ours.
const LAYERS_MAX: usize = 64;

pub fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let rows = graph.rows();
    let mut layers = Vec::new();
    for layer in &graph.upper {
        layers.extend([layer.rows.len() as u64, layer.links.neighbours.len() as u64]);
    }
    let counts = [
        rows.dimensions() as u64,
        rows.len() as u64,
        u64::from(graph.entry),
        graph.links.neighbours.len() as u64,
        graph.upper.len() as u64,
    ];
    let mut out = Arrays { out, written: 0 };
    out.write(&counts, u64::to_le_bytes)?;
    out.write(&layers, u64::to_le_bytes)?;
    out.write(rows.codes(), i8::to_le_bytes)?;
    out.write(rows.terms(), |term| {
        let (factor, bias) = (term.factor.to_bits(), term.bias.to_bits());
        (u64::from(factor) | u64::from(bias) << 32).to_le_bytes()
    })?;
    out.write(rows.slots(), |slot| slot.0.to_le_bytes())?;
    out.write(rows.stamps(), u64::to_le_bytes)?;
    out.write_links(&graph.links)?;
    for layer in &graph.upper {
        out.write(&layer.rows, u32::to_le_bytes)?;
        out.write_links(&layer.links)?;
    }
    Ok(())
}

/// The graph that was written; `None` if these bytes are none that a search could trust.
pub fn read(bytes: &[u8]) -> Option<Graph> {
    let mut from = Bytes { bytes, read: 0 };
    let counts = from.read(5, u64::from_le_bytes)?;
    let counts: Vec<usize> = counts
        .into_iter()
        .map(|count| usize::try_from(count).ok())
        .collect::<Option<_>>()?;
    let [dimensions, rows, entry, neighbours, layers] = counts[..] else {
        return None;
    };
    if layers > LAYERS_MAX {
        return None;
    }
    let layers = from.read(2 * layers, u64::from_le_bytes)?;
    let codes = from.read(rows.checked_mul(dimensions)?, i8::from_le_bytes)?;
    let terms = from.read(rows, |bytes| {
        let both = u64::from_le_bytes(bytes);
        Term {
            factor: f32::from_bits(both as u32),
            bias: f32::from_bits((both >> 32) as u32),
        }
    })?;
    let slots = from.read(rows, |bytes| Slot(u32::from_le_bytes(bytes)))?;
    let stamps = from.read(rows, u64::from_le_bytes)?;
    let links = from.read_links(rows, neighbours)?;
    let upper = layers.as_chunks().0.iter().map(|&[rows, neighbours]| {
        let (rows, neighbours) = (usize::try_from(rows).ok()?, usize::try_from(neighbours).ok()?);
        Some(Layer {
            rows: from.read(rows, u32::from_le_bytes)?,
            links: from.read_links(rows, neighbours)?,
        })
    });
    let upper = upper.collect::<Option<_>>()?;
    if from.read != bytes.len() {
        return None;
    }
    let rows = Rows::from_columns(dimensions, codes, terms, slots, stamps)?;
    Graph::from_parts(rows, u32::try_from(entry).ok()?, links, upper)
}

struct Arrays<'a> {
    out: &'a mut dyn Write,
    written: usize,
}

impl Arrays<'_> {
    fn write<T: Copy, const N: usize>(
        &mut self,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> io::Result<()> {
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.out.write_all(&[0; ALIGNMENT][..padding])?;
        let mut buffer = Vec::with_capacity(CHUNK * N);
        for chunk in values.chunks(CHUNK) {
            buffer.clear();
            chunk
                .iter()
                .for_each(|value| buffer.extend_from_slice(&bytes(*value)));
            self.out.write_all(&buffer)?;
        }
        self.written += padding + values.len() * N;
        Ok(())
    }

    fn write_links(&mut self, links: &Links) -> io::Result<()> {
        self.write(&links.ends, u32::to_le_bytes)?;
        self.write(&links.neighbours, u32::to_le_bytes)
    }
}

struct Bytes<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl Bytes<'_> {
    fn read<T, const N: usize>(&mut self, values: usize, value: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        let start = self.read.next_multiple_of(ALIGNMENT);
        let end = start.checked_add(values.checked_mul(N)?)?;
        let (chunks, _) = self.bytes.get(start..end)?.as_chunks::<N>();
        self.read = end;
        Some(chunks.iter().map(|chunk| value(*chunk)).collect())
    }

    fn read_links(&mut self, nodes: usize, neighbours: usize) -> Option<Links> {
        Some(Links {
            ends: self.read(nodes, u32::from_le_bytes)?,
            neighbours: self.read(neighbours, u32::from_le_bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::super::codes::QueryCode;
    use super::super::graph::Lists;
    use super::*;

    fn graph() -> Graph {
        let mut rows = Rows::with_capacity(3, 20);
        for row in 0..20 {
            rows.push(
                &[row as f32, 1.0, -2.0],
                Metric::L2,
                Slot(row),
                u64::from(row) + 7,
            );
        }
        let lists = Lists {
            entry: 0,
            base: (0..20_u32)
                .map(|row| vec![row.saturating_sub(1), (row + 1).min(19)])
                .collect(),
            upper: vec![
                vec![(0, vec![9]), (9, vec![0, 15]), (15, vec![9])],
                vec![(0, vec![9]), (9, vec![0])],
            ],
        };
        Graph::freeze(rows, lists)
    }

    fn bytes(graph: &Graph) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(graph, &mut bytes).unwrap();
        bytes
    }

    fn search(graph: &Graph, width: usize) -> Vec<(u32, f32)> {
        let query = QueryCode::new(&vec![12.0; graph.rows().dimensions()]);
        let found = graph.search(&query, width, 100, |_| true).unwrap_or_default();
        found.iter().map(|found| (found.id, found.score)).collect()
    }

    #[test]
    fn a_graph_that_was_read_back_answers_as_before() {
        let graph = graph();
        let again = read(&bytes(&graph)).unwrap();
        assert_eq!(search(&again, 5).len(), 5);
        assert_eq!(search(&again, 5), search(&graph, 5));
        assert_eq!(bytes(&again), bytes(&graph));
        assert_eq!(again.name(), graph.name());
    }

    #[test]
    fn no_bit_that_is_wrong_leads_a_search_astray() {
        let whole = bytes(&graph());
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match read(&bytes) {
                Some(graph) => drop(search(&graph, 20)),
                None => refused += 1,
            }
        }
        assert!(refused > 2_000, "{refused} refused");
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none(), "cut to {length} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(read(&longer).is_none());
    }
}

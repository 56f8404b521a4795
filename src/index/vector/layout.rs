//! A graph as bytes: counts, then each array as it is in memory, little-endian, at a multiple of 64.
//!
//! So a mapped file is searched as it lies.

use std::io::{self, Write};
use std::sync::Arc;

use bytemuck::Pod;
use bytes::Bytes;

use super::Quantization;
use super::calibrate::Calibration;
use super::codes::Rows;
use super::column::Column;
use super::graph::Graph;
use super::links::Frozen;
use super::reduce::Reduction;

const _: () = assert!(
    cfg!(target_endian = "little"),
    "graphs are written as they are in memory"
);

/// Where an array begins: a cache line.
const ALIGNMENT: usize = 64;

/// Bytes of the first counts.
const HEADER: usize = 8 * 8;

/// In the count of dimensions: from this bit on, what rows keep of a component.
const QUANTIZATION_BIT: u32 = 32;

/// Each layer has a sixteenth of the rows below: more would be no graph of ours.
const LAYERS_MAX: u64 = 64;

pub fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let rows = graph.rows();
    let calibration = graph.calibration();
    let reduction = graph.reduction();
    let quantization: u64 = match rows.quantization() {
        Quantization::Int8 => 0,
        Quantization::F16 => 1,
        Quantization::Int16 => 2,
    };
    let mut counts = vec![
        rows.dimensions() as u64 | quantization << QUANTIZATION_BIT,
        rows.len() as u64,
        calibration.rows as u64,
        calibration.points.len() as u64,
        graph.layers().len() as u64,
        // Of no reduction these are zero.
        reduction.map_or(0, |reduction| reduction.whole) as u64,
        reduction.map_or(0, |reduction| reduction.learned) as u64,
        reduction.map_or(0, |reduction| reduction.axes.len()) as u64,
    ];
    for layer in graph.layers() {
        counts.extend([layer.rows() as u64, layer.neighbours.len() as u64]);
    }
    let mut out = Arrays { out, written: 0 };
    out.write(&counts)?;
    out.write(&calibration.points)?;
    if let Some(reduction) = reduction {
        out.write(&reduction.axes)?;
    }
    out.write(&rows.codes)?;
    out.write(&rows.rest)?;
    out.write(&rows.terms)?;
    out.write(&rows.slots)?;
    out.write(&rows.stamps)?;
    for layer in graph.layers() {
        out.write(&layer.ends)?;
        out.write(&layer.neighbours)?;
    }
    Ok(())
}

/// The graph that was written, of an index with so many slots; `None` if these bytes are none that a search could
/// trust.
pub fn read(bytes: &Bytes, slots: usize) -> Option<Graph> {
    let header: Column<u64> = Column::stored(bytes.get(..HEADER).map(|_| bytes.slice(..HEADER))?)?;
    let [dimensions, rows, calibrated, points, layers, whole, learned, axes] = header[..] else {
        return None;
    };
    if layers > LAYERS_MAX {
        return None;
    }
    let (quantization, dimensions) = match dimensions >> QUANTIZATION_BIT {
        0 => (Quantization::Int8, dimensions),
        1 => (Quantization::F16, dimensions & u64::from(u32::MAX)),
        2 => (Quantization::Int16, dimensions & u64::from(u32::MAX)),
        _ => return None,
    };
    let mut from = Reader { bytes, read: HEADER };
    let counts: Column<u64> = from.next_values(2 * layers)?;
    let calibration = Calibration {
        rows: usize::try_from(calibrated).ok()?,
        points: from.array(points)?.to_vec(),
    };
    let dimensions_kept = usize::try_from(dimensions).ok()?;
    let reduction = match (whole, learned, axes) {
        (0, 0, 0) => None,
        _ => {
            let (whole, learned) = (whole.try_into().ok()?, learned.try_into().ok()?);
            let axes = from.array(axes)?;
            Some(Reduction::from_parts(dimensions_kept, whole, learned, axes)?)
        }
    };
    let rows = Rows {
        dimensions: dimensions_kept,
        quantization,
        codes: from.array(
            rows.checked_mul(dimensions)?
                .checked_mul(quantization.bytes() as u64)?,
        )?,
        rest: match quantization {
            Quantization::Int16 => from.array(rows.checked_mul(dimensions)?)?,
            _ => Column::default(),
        },
        terms: from.array(rows)?,
        slots: from.array(rows)?,
        stamps: from.array(rows)?,
    };
    let layers = counts.as_chunks().0.iter().map(|&[rows, neighbours]| {
        Some(Frozen {
            ends: from.array(rows)?,
            neighbours: from.array(neighbours)?,
        })
    });
    let layers = layers.collect::<Option<Vec<_>>>()?;
    if from.read != bytes.len() {
        return None;
    }
    let graph = Graph::from_parts(rows, layers, calibration, slots)?;
    Some(graph.with_reduction(reduction.map(Arc::new)))
}

struct Arrays<'a> {
    out: &'a mut dyn Write,
    written: usize,
}

impl Arrays<'_> {
    fn write<T: Pod>(&mut self, values: &[T]) -> io::Result<()> {
        let padding = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.out.write_all(&[0; ALIGNMENT][..padding])?;
        self.out.write_all(bytemuck::cast_slice(values))?;
        self.written += padding + size_of_val(values);
        Ok(())
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    read: usize,
}

impl Reader<'_> {
    /// The next array.
    fn array<T: Pod>(&mut self, values: u64) -> Option<Column<T>> {
        self.read = self.read.next_multiple_of(ALIGNMENT);
        self.next_values(values)
    }

    fn next_values<T: Pod>(&mut self, values: u64) -> Option<Column<T>> {
        let len = usize::try_from(values).ok()?.checked_mul(size_of::<T>())?;
        let end = self.read.checked_add(len)?;
        self.bytes.get(self.read..end)?;
        let column = Column::stored(self.bytes.slice(self.read..end));
        self.read = end;
        column
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::beam::Beam;
    use super::super::codes::QueryCode;
    use super::super::links::Open;
    use super::super::{Metric, Slot};
    use super::*;

    const ROWS: u32 = 20;

    /// Points on a line, in steps of 13, each linked with its neighbours.
    fn graph(quantization: Quantization) -> Graph {
        let at = |row: u32| row * 13 % ROWS;
        let mut rows = Rows::with_capacity(3, quantization, ROWS as usize);
        for row in 0..ROWS {
            let vector = [at(row) as f32, 1.0, -2.0];
            rows.push(&vector, Metric::L2, Slot(row), u64::from(row) + 7);
        }
        let layers = [ROWS, 6, 1].map(|layer| {
            let mut open = Open::new(layer as usize, 5);
            for (row, mut list) in (0..layer).zip(open.lists_mut()) {
                let reach = ROWS / layer;
                let is_near = |other: &u32| *other != row && at(*other).abs_diff(at(row)) <= 2 * reach;
                list.set((0..layer).filter(is_near));
            }
            open
        });
        Graph::freeze(rows, &layers, None, &AtomicBool::new(false)).unwrap()
    }

    /// The same with rows that were made of vectors of five numbers.
    fn reduced() -> Graph {
        let axes: Vec<f32> = (0..15).map(|n| (n * n % 11) as f32 / 7.0).collect();
        let reduction = Reduction::from_parts(3, 5, 9, axes.into()).unwrap();
        graph(Quantization::Int8).with_reduction(Some(Arc::new(reduction)))
    }

    fn graphs() -> [Graph; 4] {
        [
            graph(Quantization::Int16),
            graph(Quantization::Int8),
            graph(Quantization::F16),
            reduced(),
        ]
    }

    fn bytes(graph: &Graph) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(graph, &mut bytes).unwrap();
        bytes
    }

    fn read_slice(bytes: &[u8]) -> Option<Graph> {
        read(&Bytes::copy_from_slice(bytes), ROWS as usize)
    }

    fn search(graph: &Graph, width: usize) -> Vec<(u32, f32)> {
        let quantization = graph.rows().quantization();
        let query = match graph.reduction() {
            Some(reduction) => QueryCode::new(&[12.0, 0.0, -1.0, 3.0, 1.0], quantization).reduced(reduction),
            None => QueryCode::new(&vec![12.0; graph.rows().dimensions()], quantization),
        };
        let found = graph.search(&query, width.into(), &mut Beam::default());
        found.iter().map(|found| (found.id, found.score)).collect()
    }

    #[test]
    fn a_graph_that_was_read_back_answers_as_before() {
        for graph in graphs() {
            let again = read_slice(&bytes(&graph)).unwrap();
            assert_eq!(search(&again, 5).len(), 5);
            assert_eq!(search(&again, 5), search(&graph, 5));
            assert_eq!(bytes(&again), bytes(&graph));
            assert_eq!(again.name(), graph.name());
            assert_eq!(again.rows().quantization(), graph.rows().quantization());
            assert_eq!(again.reduction().is_some(), graph.reduction().is_some());
        }
    }

    #[test]
    fn no_bit_that_is_wrong_leads_a_search_astray() {
        for graph in graphs() {
            check_every_bit(&bytes(&graph));
        }
    }

    fn check_every_bit(whole: &[u8]) {
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match read_slice(&bytes) {
                Some(graph) => drop(search(&graph, 20)),
                None => refused += 1,
            }
        }
        assert!(refused > 2_000, "{refused} refused");
        for length in 0..whole.len() {
            assert!(read_slice(&whole[..length]).is_none(), "cut to {length} bytes");
        }
        let longer = [whole, &[0]].concat();
        assert!(read_slice(&longer).is_none());
    }
}

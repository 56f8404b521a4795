//! Vectors as codes: of bytes, a quarter of the memory and a scan four times as fast, or of f16, half of it and next to
//! exact.
//!
//! Codes choose the candidates. The score of a hit is computed from its vector, or from what a code of bytes and the rest
//! beside it restore of that.

use super::column::Column;
use super::encode::Code;
use super::kernel::{self, Factors, half};
use super::nearest::Scored;
use super::reduce::Reduction;
use super::{Metric, Quantization, Slot};

/// Rows of codes, each with the slot and the stamp of the vector that it stands for.
#[derive(Clone, Default)]
pub struct Rows {
    pub(super) dimensions: usize,
    pub(super) quantization: Quantization,
    pub(super) codes: Column<u8>,
    /// Of int16: what the codes leave of each component.
    pub(super) rest: Column<u8>,
    /// Factor and bias of each row, as in [`Term`].
    pub(super) terms: Column<[f32; 2]>,
    pub(super) slots: Column<u32>,
    pub(super) stamps: Column<u64>,
}

/// What turns the product of two codes into a score: `factor * query's factor * product + bias`.
#[derive(Clone, Copy)]
struct Term {
    factor: f32,
    bias: f32,
}

/// What rows are scored against: a query as a code, or a row.
pub struct QueryCode {
    operand: Operand,
    factor: f32,
}

/// What codes are multiplied with, of their own quantisation.
enum Operand {
    Int8(Factors),
    F16(Vec<f32>),
}

impl Rows {
    pub fn with_capacity(dimensions: usize, quantization: Quantization, rows: usize) -> Rows {
        Rows {
            dimensions,
            quantization,
            codes: Column::with_capacity(rows * dimensions * quantization.bytes()),
            rest: match quantization {
                Quantization::Int16 => Column::with_capacity(rows * dimensions),
                _ => Column::default(),
            },
            terms: Vec::with_capacity(rows).into(),
            slots: Vec::with_capacity(rows).into(),
            stamps: Vec::with_capacity(rows).into(),
        }
    }

    /// Whether these are columns of one length.
    pub(super) fn are_sound(&self) -> bool {
        let rows = self.len();
        self.terms.len() == rows
            && self.stamps.len() == rows
            && self.dimensions > 0
            && Some(self.codes.len())
                == rows
                    .checked_mul(self.dimensions)
                    .and_then(|values| values.checked_mul(self.quantization.bytes()))
            && self.rest.len()
                == match self.quantization {
                    Quantization::Int16 => self.codes.len(),
                    _ => 0,
                }
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub fn quantization(&self) -> Quantization {
        self.quantization
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn slot(&self, row: usize) -> Slot {
        Slot(self.slots[row])
    }

    pub fn stamp(&self, row: usize) -> u64 {
        self.stamps[row]
    }

    pub fn code(&self, row: usize) -> &[u8] {
        let bytes = self.dimensions * self.quantization.bytes();
        &self.codes[row * bytes..][..bytes]
    }

    /// The row's vector as its code and the rest say; under cosine, of about length 1. Of int16 only.
    pub fn restore<'a>(&self, row: usize, room: &'a mut Vec<f32>) -> &'a [f32] {
        room.resize(self.dimensions, 0.0);
        kernel::restore(self.code(row), self.rest(row), self.term(row).factor, room);
        room
    }

    /// The same as the code alone says, of any rows of bytes, in the first components of `into`.
    pub fn decode(&self, row: usize, into: &mut [f32]) {
        kernel::decode(self.code(row), self.term(row).factor, into);
    }

    fn rest(&self, row: usize) -> &[u8] {
        &self.rest[row * self.dimensions..][..self.dimensions]
    }

    /// Asks the memory for what [`Rows::restore`] reads.
    pub fn prefetch(&self, row: usize) {
        kernel::prefetch(self.rest(row));
        kernel::prefetch(self.code(row));
    }

    /// Whether two rows have one code, and the same length where that counts.
    pub fn are_twins(&self, a: u32, b: u32) -> bool {
        let (a, b) = (a as usize, b as usize);
        self.terms[a] == self.terms[b] && self.code(a) == self.code(b)
    }

    /// About the row's vector; under cosine, of length 1.
    pub fn vector(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        let Term { factor, .. } = self.term(row);
        self.values(row).into_iter().map(move |value| factor * value)
    }

    /// The components of the row's code, in units of its own.
    pub fn values(&self, row: usize) -> Vec<f32> {
        self.quantization.values(self.code(row))
    }

    fn term(&self, row: usize) -> Term {
        let [factor, bias] = self.terms[row];
        Term { factor, bias }
    }

    pub fn bias(&self, row: usize) -> f32 {
        self.term(row).bias
    }

    /// Appends a vector as a code.
    pub fn push(&mut self, vector: &[f32], metric: Metric, slot: Slot, stamp: u64) {
        let code = Code::new(vector, self.quantization);
        self.push_code(&code, metric, slot, stamp);
    }

    /// Appends what a reduction makes of a row of another block.
    pub fn push_reduced(&mut self, from: &Rows, row: usize, reduction: &Reduction, metric: Metric) {
        let mut code = Code::new(&reduction.apply(&from.values(row)), self.quantization);
        // Under cosine the factor is no scale, and none is asked for.
        code.scale *= from.term(row).factor;
        self.push_code(&code, metric, from.slot(row), from.stamp(row));
    }

    fn push_code(&mut self, code: &Code, metric: Metric, slot: Slot, stamp: u64) {
        debug_assert_eq!(code.bytes.len(), self.dimensions * self.quantization.bytes());
        let term = Term::new(code, metric);
        self.codes.to_mut().extend_from_slice(&code.bytes);
        self.rest.to_mut().extend_from_slice(&code.rest);
        self.terms.to_mut().push([term.factor, term.bias]);
        self.slots.to_mut().push(slot.0);
        self.stamps.to_mut().push(stamp);
    }

    /// Appends a row of another block.
    pub fn push_row(&mut self, from: &Rows, row: usize) {
        self.codes.to_mut().extend_from_slice(from.code(row));
        if self.quantization == Quantization::Int16 {
            self.rest.to_mut().extend_from_slice(from.rest(row));
        }
        self.terms.to_mut().push(from.terms[row]);
        self.slots.to_mut().push(from.slots[row]);
        self.stamps.to_mut().push(from.stamps[row]);
    }

    /// Scores of all rows, greater is nearer, in `scores`.
    pub fn scores(&self, query: &QueryCode, scores: &mut Scores) {
        match &query.operand {
            Operand::Int8(factors) => {
                scores.products.resize(self.len(), 0);
                kernel::products(factors, &self.codes, &mut scores.products);
                scores.take_products();
            }
            Operand::F16(factors) => {
                scores.values.resize(self.len(), 0.0);
                half::products(factors, &self.codes, &mut scores.values);
            }
        }
        scores.finish(query, (0..self.len()).map(|row| self.term(row)));
    }

    /// Scores of some rows.
    pub fn scores_at(&self, query: &QueryCode, rows: &[u32], scores: &mut Scores) {
        for &row in rows {
            kernel::prefetch(&self.terms[row as usize..][..1]);
        }
        match &query.operand {
            Operand::Int8(factors) => {
                scores.products.resize(rows.len(), 0);
                kernel::products_at(factors, &self.codes, rows, &mut scores.products);
                scores.take_products();
            }
            Operand::F16(factors) => {
                scores.values.resize(rows.len(), 0.0);
                half::products_at(factors, &self.codes, rows, &mut scores.values);
            }
        }
        scores.finish(query, rows.iter().map(|&row| self.term(row as usize)));
    }

    pub fn score(&self, query: &QueryCode, row: u32) -> Scored {
        let product = match &query.operand {
            Operand::Int8(factors) => {
                let mut product = [0];
                kernel::products_at(factors, &self.codes, &[row], &mut product);
                product[0] as f32
            }
            Operand::F16(factors) => {
                let mut product = [0.0];
                half::products_at(factors, &self.codes, &[row], &mut product);
                product[0]
            }
        };
        let score = self.term(row as usize).score(query, product);
        Scored { score, id: row }
    }

    /// What other rows are scored against to be compared with this one.
    pub fn as_query(&self, row: usize) -> QueryCode {
        QueryCode {
            operand: Operand::of_row(self.code(row), self.quantization),
            factor: self.term(row).factor,
        }
    }
}

/// Scores of several rows, in memory that is used again.
#[derive(Default)]
pub struct Scores {
    products: Vec<i32>,
    pub values: Vec<f32>,
}

impl Scores {
    fn take_products(&mut self) {
        self.values.clear();
        self.values
            .extend(self.products.iter().map(|&product| product as f32));
    }

    /// Makes scores of products.
    fn finish(&mut self, query: &QueryCode, terms: impl Iterator<Item = Term>) {
        for (value, term) in self.values.iter_mut().zip(terms) {
            *value = term.score(query, *value);
        }
    }
}

impl Term {
    /// Under cosine the scale of a code plays no part. Under L2 the score is half of `|query|² - distance²`,
    /// with `|query|²` left out.
    fn new(code: &Code, metric: Metric) -> Term {
        let &Code { scale, square, .. } = code;
        match metric {
            Metric::Cosine if square == 0.0 => Term {
                factor: 0.0,
                bias: 0.0,
            },
            Metric::Cosine => Term {
                factor: square.sqrt().recip(),
                bias: 0.0,
            },
            Metric::Dot => Term {
                factor: scale,
                bias: 0.0,
            },
            Metric::L2 => Term {
                factor: scale,
                bias: -0.5 * scale * scale * square,
            },
        }
    }

    fn score(self, query: &QueryCode, product: f32) -> f32 {
        self.factor * query.factor * product + self.bias
    }
}

impl QueryCode {
    pub fn new(query: &[f32], quantization: Quantization) -> QueryCode {
        // Rows' rests are no part of a product.
        let code = match quantization {
            Quantization::Int16 => Code::new(query, Quantization::Int8),
            other => Code::new(query, other),
        };
        QueryCode {
            operand: Operand::of_row(&code.bytes, quantization),
            factor: code.scale,
        }
    }

    /// The same query for rows that are reduced.
    pub fn reduced(&self, reduction: &Reduction) -> QueryCode {
        let quantization = self.operand.quantization();
        let whole = quantization.values(&self.row());
        let mut query = QueryCode::new(&reduction.apply(&whole), quantization);
        query.factor *= self.factor;
        query
    }

    /// About the query itself.
    pub fn values(&self) -> Vec<f32> {
        let values = self.operand.quantization().values(&self.row());
        values.into_iter().map(|value| self.factor * value).collect()
    }

    /// The code that a row of this vector has.
    pub fn row(&self) -> Vec<u8> {
        match &self.operand {
            Operand::Int8(factors) => factors.row().collect(),
            Operand::F16(values) => {
                let halves = values.iter().map(|value| half::narrow(*value));
                halves.flat_map(u16::to_le_bytes).collect()
            }
        }
    }
}

impl Operand {
    fn of_row(row: &[u8], quantization: Quantization) -> Operand {
        match quantization {
            Quantization::Int16 | Quantization::Int8 => Operand::Int8(Factors::of_row(row)),
            Quantization::F16 => Operand::F16(half::values(row).collect()),
        }
    }

    fn quantization(&self) -> Quantization {
        match self {
            Operand::Int8(_) => Quantization::Int8,
            Operand::F16(_) => Quantization::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: Metric, query: &[f32], vectors: &[&[f32]], nearest_first: &[usize]) {
        for quantization in [Quantization::Int16, Quantization::Int8, Quantization::F16] {
            let mut rows = Rows::with_capacity(query.len(), quantization, vectors.len());
            for (slot, vector) in vectors.iter().enumerate() {
                rows.push(vector, metric, Slot(slot as u32), 0);
            }
            let query = QueryCode::new(query, quantization);
            let mut scores = Scores::default();
            rows.scores(&query, &mut scores);
            let mut order: Vec<usize> = (0..vectors.len()).collect();
            order.sort_by(|&a, &b| scores.values[b].total_cmp(&scores.values[a]));
            assert_eq!(order, nearest_first, "{metric:?}: {:?}", scores.values);
            let all = std::mem::take(&mut scores.values);
            let (last, first) = (vectors.len() as u32 - 1, 0);
            rows.scores_at(&query, &[last, first], &mut scores);
            assert_eq!(scores.values, [all[last as usize], all[0]]);
            assert_eq!(rows.score(&query, last).score, all[last as usize]);
        }
    }

    #[test]
    fn codes_order_rows_as_the_metric_does() {
        let vectors: &[&[f32]] = &[&[10.0, 1.0], &[1.0, 0.9], &[-1.0, 0.0], &[1.0, 2.0]];
        check(Metric::Cosine, &[1.0, 0.0], vectors, &[0, 1, 3, 2]);
        check(Metric::Dot, &[1.0, 1.0], vectors, &[0, 3, 1, 2]);
        check(Metric::L2, &[1.0, 1.0], vectors, &[1, 3, 2, 0]);
    }

    #[test]
    fn int16_restores_a_component_to_a_65_000th_of_the_largest() {
        for (dimensions, scale) in [(1, 1.0), (31, 1e-30), (384, 1.0), (4_096, 1e30), (2, f32::MAX)] {
            let number = |n: usize| (n as f32 * 0.7).cos() * scale;
            let vectors = [0, 5_000].map(|start| (start..start + dimensions).map(number).collect::<Vec<_>>());
            let mut rows = Rows::with_capacity(dimensions, Quantization::Int16, vectors.len());
            let mut copy = rows.clone();
            for (slot, vector) in vectors.iter().enumerate() {
                rows.push(vector, Metric::Dot, Slot(slot as u32), 0);
            }
            copy.push_row(&rows, 1);
            let mut room = Vec::new();
            for (rows, row, vector) in [(&rows, 0, &vectors[0]), (&copy, 0, &vectors[1])] {
                let largest = vector.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                for (found, value) in rows.restore(row, &mut room).iter().zip(vector) {
                    let error = (f64::from(*found) - f64::from(*value)).abs();
                    assert!(
                        error <= f64::from(largest) / 64_000.0,
                        "{found} instead of {value}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_query_has_the_code_of_the_row_of_its_vector() {
        let vector: Vec<f32> = (0..100).map(|n| (n as f32).cos() * 3e-4).collect();
        for quantization in [Quantization::Int8, Quantization::F16] {
            let mut rows = Rows::with_capacity(100, quantization, 1);
            rows.push(&vector, Metric::Dot, Slot(0), 0);
            assert_eq!(QueryCode::new(&vector, quantization).row(), rows.code(0));
            assert_eq!(rows.as_query(0).row(), rows.code(0));
        }
    }
}

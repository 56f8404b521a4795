//! A bit of each component of a row: an eighth of its code, and enough to see which rows cannot be near.
//!
//! A sketch says on which side of the mean each component lies (RaBitQ: Gao and Long, 2024; in the place of its rotation,
//! bits weigh as much as their components are spread). Together with how far the row lies from the mean it gives the
//! row's score, but for an error whose size is known. So it bounds the score: few rows are nearer than their bounds.

use std::sync::Arc;

use super::Quantization;
use super::codes::{QueryCode, Rows};
use super::column::Column;
use super::kernel::bits::{self, LARGEST, Numbers, WORD_BITS};

/// The sketches of rows, in their order. They follow from the codes, and are not stored.
#[derive(Clone)]
pub struct Sketches {
    frame: Arc<Frame>,
    /// Of each row its bits, and what makes its score of the product with them.
    words: Column<u64>,
}

/// What sketches are drawn by: how the components of some rows are spread. Others may be spread about alike.
pub struct Frame {
    /// Of each component, and zeroes up to a whole number of words.
    mean: Vec<f32>,
    /// How far each component is from its mean, on average; likewise.
    spread: Vec<f32>,
    /// The same in a unit in which squares of what is very small or large are numbers, too.
    in_units: Vec<f32>,
    unit: f32,
    /// Words of a row.
    stride: usize,
}

/// A query to sketches.
pub struct SketchQuery(Numbers);

/// With fewer dimensions errors are larger and codes shorter: a scan of these is as quick.
const DIMENSIONS_MIN: usize = 128;

/// Rows that mean and spread are taken from.
const SAMPLE_ROWS: usize = 4_096;

/// By how much a weighted bit is off the component that it stands for, as a share of the weight: the standard deviation
/// if components are spread like a normal distribution. Measured on vectors of texts it is that to a hundredth.
const ERROR: f32 = 0.603;

/// Standard deviations between a sketch's score and its bound: one row in a hundred and sixty is nearer than that.
pub const LUCK: f32 = 2.5;

/// The same for the young, of which hardly any is near: one in seven hundred and fifty.
pub const LUCK_YOUNG: f32 = 3.0;

impl Sketches {
    /// Of no rows as yet.
    pub fn new(frame: Arc<Frame>, capacity: usize) -> Sketches {
        let words = Column::with_capacity(capacity * frame.stride);
        Sketches { frame, words }
    }

    /// Of all rows. By the frame `known`, or else by one of their own; `None` where a scan of codes is as quick.
    pub fn of(rows: &Rows, known: Option<Arc<Frame>>) -> Option<Sketches> {
        let frame = known.or_else(|| Frame::of(rows).map(Arc::new))?;
        let mut sketches = Sketches::new(frame, rows.len());
        let mut room = Vec::new();
        (0..rows.len()).for_each(|row| sketches.push(rows, row, &mut room));
        Some(sketches)
    }

    pub fn frame(&self) -> &Arc<Frame> {
        &self.frame
    }

    /// Adds the sketch of a row.
    pub fn push(&mut self, rows: &Rows, row: usize, room: &mut Vec<f32>) {
        let Frame {
            mean,
            in_units,
            unit,
            stride,
            ..
        } = &*self.frame;
        room.resize(mean.len(), 0.0);
        rows.decode(row, room);
        let words = self.words.to_mut();
        let start = words.len();
        words.resize(start + stride, 0);
        let sketch = &mut words[start..];
        let [square, product] = bits::sketch(room, mean, in_units, *unit, sketch);
        // Such that what the bits stand for is nearest to the row. One that is the mean itself needs none.
        let factor = if product > 0.0 { square / product } else { 0.0 };
        sketch[mean.len() / WORD_BITS] = bits::to_word([factor, rows.bias(row)]);
    }

    /// What the score of each of these rows hardly exceeds, in units of the codes' scores.
    pub fn bounds(&self, query: &SketchQuery, rows: &[u32], bounds: &mut [f32]) {
        bits::values_at(&query.0, &self.words, self.frame.stride, rows, bounds);
    }
}

impl Frame {
    /// `None` where a scan of codes is as quick, and for rows of other kinds than int16: int8 is for who counts bytes.
    fn of(rows: &Rows) -> Option<Frame> {
        let dimensions = rows.dimensions();
        if dimensions < DIMENSIONS_MIN || rows.quantization() != Quantization::Int16 {
            return None;
        }
        let mean = average(rows, |_, value| value);
        let spread = average(rows, |n, value| (value - mean[n]).abs());
        let largest = spread.iter().fold(0.0_f32, |most, &spread| most.max(spread));
        let unit = Some(largest.recip())
            .filter(|unit| unit.is_finite())
            .unwrap_or(1.0);
        Some(Frame {
            in_units: spread.iter().map(|spread| spread * unit).collect(),
            unit,
            stride: bits::stride(dimensions),
            mean,
            spread,
        })
    }

    /// A query to rows of this frame, whose bounds are so many standard deviations above the scores of sketches.
    pub fn query(&self, code: &QueryCode, luck: f32) -> SketchQuery {
        let values = code.values();
        let start = values.iter().zip(&self.mean).map(|(a, b)| a * b).sum();
        let weighted: Vec<f32> = values.iter().zip(&self.spread).map(|(a, b)| a * b).collect();
        let largest = weighted.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        // The squares of small and large numbers are none.
        let unit = if largest > 0.0 { largest } else { 1.0 };
        let squares = weighted.iter().map(|value| (value / unit) * (value / unit));
        let length = unit * squares.sum::<f32>().sqrt();
        let step = largest / f32::from(LARGEST);
        let numbers = bits::to_numbers(&weighted, step);
        let sum: i32 = numbers.iter().map(|&number| i32::from(number)).sum();
        let mut numbers = Numbers::new(&numbers);
        // A bit counts plus or minus one: twice those that are set, less all.
        numbers.slope = 2.0 * step;
        numbers.shift = luck * ERROR * length - step * sum as f32;
        numbers.start = start;
        SketchQuery(numbers)
    }
}

/// Room for a row's vector, and zeroes up to a whole number of words.
fn room(rows: &Rows) -> Vec<f32> {
    vec![0.0; rows.dimensions().next_multiple_of(WORD_BITS)]
}

/// For each component the average of what it gives, over rows from all over the graph.
fn average(rows: &Rows, of: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    let mut vector = room(rows);
    let mut sums = vec![0.0_f64; vector.len()];
    let sample = (0..rows.len()).step_by(rows.len().div_ceil(SAMPLE_ROWS).max(1));
    let count = sample.len().max(1) as f64;
    for row in sample {
        rows.decode(row, &mut vector);
        for (n, (sum, &value)) in sums.iter_mut().zip(&vector).enumerate() {
            *sum += f64::from(of(n, value));
        }
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::{Metric, Slot};
    use super::*;

    const ROWS: usize = 2_000;

    /// Numbers that are spread about like a normal distribution, from a seed.
    pub fn numbers(seed: u64) -> impl Iterator<Item = f32> {
        let mut state = seed;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        std::iter::repeat_with(move || (0..12).map(|_| uniform()).sum::<f32>() - 6.0)
    }

    /// How many rows are nearer than their bounds, and how many bounds are above the median of the scores by more than
    /// half of what the best is: a bound that said nothing would never be exceeded.
    fn check(metric: Metric, stretch: impl Fn(usize) -> f32) {
        const DIMENSIONS: usize = 200;
        let mut numbers = numbers(7);
        let mut vector = |mean: f32| -> Vec<f32> {
            let numbers = numbers.by_ref().take(DIMENSIONS);
            numbers
                .enumerate()
                .map(|(n, value)| (mean + value) * stretch(n))
                .collect()
        };
        let mut rows = Rows::with_capacity(DIMENSIONS, Quantization::Int16, ROWS);
        for slot in 0..ROWS as u32 {
            rows.push(&vector(0.7), metric, Slot(slot), 0);
        }
        let sketches = Sketches::of(&rows, None).unwrap();
        let (mut exceeded, mut kept) = (0, 0);
        const QUERIES: usize = 20;
        for _ in 0..QUERIES {
            let code = QueryCode::new(&vector(0.2), Quantization::Int16);
            let all: Vec<u32> = (0..ROWS as u32).collect();
            let mut bounds = vec![0.0; ROWS];
            sketches.bounds(&sketches.frame().query(&code, LUCK), &all, &mut bounds);
            let scores: Vec<f32> = all.iter().map(|&row| rows.score(&code, row).score).collect();
            let best = scores.iter().copied().fold(f32::MIN, f32::max);
            exceeded += scores
                .iter()
                .zip(&bounds)
                .filter(|(score, bound)| score > bound)
                .count();
            kept += bounds.iter().filter(|&&bound| bound >= best).count();
        }
        let context = format!("{metric:?}: {exceeded} exceeded, {kept} kept");
        let all = QUERIES * ROWS;
        assert!(exceeded * 80 < all, "{context}");
        assert!(
            exceeded * 2_000 > all,
            "the error is not what it is said to be: {context}"
        );
        assert!(kept * 3 < all, "{context}");
    }

    #[test]
    fn few_rows_are_nearer_than_their_bounds() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            for unit in [1.0, 1e-15, 1e15] {
                check(metric, |_| unit);
                check(metric, |n| unit * if n % 40 == 0 { 12.0 } else { 0.5 });
            }
        }
    }

    #[test]
    fn rows_that_are_all_the_same_are_no_nearer_than_they_are() {
        let mut rows = Rows::with_capacity(128, Quantization::Int16, 3);
        for slot in 0..3 {
            rows.push(&[0.5; 128], Metric::Dot, Slot(slot), 0);
        }
        let sketches = Sketches::of(&rows, None).unwrap();
        for query in [[0.0; 128], [2.0; 128]] {
            let code = QueryCode::new(&query, Quantization::Int16);
            let mut bounds = [0.0; 3];
            sketches.bounds(&sketches.frame().query(&code, LUCK), &[2, 0, 1], &mut bounds);
            let score = rows.score(&code, 0).score;
            assert!(
                bounds.iter().all(|bound| (bound - score).abs() <= 1e-4),
                "{score}: {bounds:?}"
            );
        }
    }

    #[test]
    fn vectors_of_few_dimensions_and_rows_of_int8_have_none() {
        for (dimensions, quantization, has) in [
            (127, Quantization::Int16, false),
            (128, Quantization::Int16, true),
            (128, Quantization::Int8, false),
        ] {
            let mut rows = Rows::with_capacity(dimensions, quantization, 1);
            rows.push(&vec![1.0; dimensions], Metric::Dot, Slot(0), 0);
            assert_eq!(
                Sketches::of(&rows, None).is_some(),
                has,
                "{dimensions} {quantization:?}"
            );
        }
    }
}

//! Rows of bits multiplied with numbers of four bits.
//!
//! A number is four bits of a *plane* each, and so a product is four counts of common bits: all of integers, and the same on
//! every machine.

use multiversion::multiversion;

use super::prefetch;

/// Bits of a factor: the last one counts minus eight.
const PLANES: usize = 4;

/// The largest number.
pub const LARGEST: i8 = 7;

/// Bits of a word.
pub const WORD_BITS: usize = 64;

/// The planes of two words, the first one of both first.
type Planes = [[u64; 2]; PLANES];

/// Values that are compared side by side.
const LANES: usize = u32::BITS as usize;

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// How many rows ahead the memory is asked for a row.
const AHEAD: usize = 24;

/// Numbers that rows of bits are multiplied with, and what is made of the sums.
pub struct Numbers {
    /// Words of bits in a row.
    words: usize,
    /// For each two words of a row, of their numbers. What is beside a single last word counts nothing.
    planes: Vec<Planes>,
    pub slope: f32,
    pub shift: f32,
    pub start: f32,
}

impl Numbers {
    /// Numbers between minus eight and [`LARGEST`], of whose sums nothing is made.
    pub fn new(values: &[i8]) -> Numbers {
        let words = values.len().div_ceil(WORD_BITS);
        let mut planes: Vec<Planes> = vec![Planes::default(); words.div_ceil(2)];
        for (word, values) in values.chunks(WORD_BITS).enumerate() {
            let of_word = planes_of(values);
            for (plane, bits) in planes[word / 2].iter_mut().zip(of_word) {
                plane[word % 2] = bits;
            }
        }
        Numbers {
            words,
            planes,
            slope: 1.0,
            shift: 0.0,
            start: 0.0,
        }
    }

    /// What is made of the sum of those numbers whose bits are set in a row. A factor and a bias are behind its bits.
    #[inline(always)]
    fn finish(&self, sum: i32, row: &[u64]) -> f32 {
        let [factor, bias] = of_word(row[self.words]);
        self.start + factor * (self.slope * sum as f32 + self.shift) + bias
    }
}

/// The bits of up to 64 numbers, plane by plane.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn planes_of(values: &[i8]) -> [u64; PLANES] {
    let mut lanes = [0; WORD_BITS];
    lanes[..values.len()].copy_from_slice(values);
    std::array::from_fn(|bit| {
        let bits = lanes.iter().zip(0..);
        bits.fold(0, |plane, (value, lane)| {
            plane | u64::from(value & (1 << bit) != 0) << lane
        })
    })
}

/// The numbers nearest to values, of which none is beyond [`LARGEST`] steps.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn to_numbers(values: &[f32], step: f32) -> Vec<i8> {
    values.iter().map(|value| super::round(value / step)).collect()
}

/// Puts the places of the values that are at least so much, or no numbers, in `places`. Hardly any is.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn reaching(values: &[f32], least: f32, places: &mut Vec<u32>) {
    places.clear();
    for (start, values) in (0..).step_by(LANES).zip(values.chunks(LANES)) {
        // Compared side by side.
        let reaching = values.iter().zip(0..).fold(0_u32, |reaching, (&value, lane)| {
            reaching | u32::from((value >= least) | value.is_nan()) << lane
        });
        let mut left = reaching;
        while left != 0 {
            places.push(start + left.trailing_zeros());
            left &= left - 1;
        }
    }
}

/// Words of a row of so many bits, with a factor and a bias: a whole number of cache lines, where that takes one word
/// more at most.
pub fn stride(bits: usize) -> usize {
    let words = bits.div_ceil(WORD_BITS) + 1;
    match words % LINE_WORDS {
        7 => words + 1,
        _ => words,
    }
}

/// Sets the bits of the components that are above their mean, and returns the sum of the squared distances from it and
/// that of the distances times the component's spread, all in a unit. Inputs are of one length, a whole number of words.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn sketch(vector: &[f32], mean: &[f32], spread: &[f32], unit: f32, words: &mut [u64]) -> [f32; 2] {
    let (mut squares, mut products) = ([0.0; WORD_BITS], [0.0; WORD_BITS]);
    let [vector, mean, spread] = [vector, mean, spread].map(|values| values.as_chunks::<WORD_BITS>().0);
    for (((word, vector), mean), spread) in words.iter_mut().zip(vector).zip(mean).zip(spread) {
        for lane in 0..WORD_BITS {
            let value = (vector[lane] - mean[lane]) * unit;
            squares[lane] += value * value;
            products[lane] += value.abs() * spread[lane];
            *word |= u64::from(value > 0.0) << lane;
        }
    }
    [squares, products].map(|sums| sums.iter().sum())
}

/// Factor and bias as the word behind a row's bits.
pub fn to_word([factor, bias]: [f32; 2]) -> u64 {
    u64::from(factor.to_bits()) << 32 | u64::from(bias.to_bits())
}

#[inline(always)]
fn of_word(word: u64) -> [f32; 2] {
    [word >> 32, word].map(|bits| f32::from_bits(bits as u32))
}

/// For each of the given rows, `start + factor * (slope * sum + shift) + bias`, where the sum is of those numbers whose
/// bits are set. `words` are contiguous rows of `stride` words each.
///
/// # Panics
/// A row is not there.
pub fn values_at(numbers: &Numbers, words: &[u64], stride: usize, rows: &[u32], values: &mut [f32]) {
    for &row in rows.iter().take(AHEAD) {
        prefetch_ends(row_of(words, stride, row));
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(counter) = avx512::Counter::get() {
        return counter.values_at(numbers, words, stride, rows, values);
    }
    values_at_by_loop(numbers, words, stride, rows, values);
}

#[multiversion(targets("x86_64+avx2+popcnt", "aarch64+neon"))]
fn values_at_by_loop(numbers: &Numbers, words: &[u64], stride: usize, rows: &[u32], values: &mut [f32]) {
    for (n, (value, &row)) in values.iter_mut().zip(rows).enumerate() {
        if let Some(&later) = rows.get(n + AHEAD) {
            prefetch_ends(row_of(words, stride, later));
        }
        let row = row_of(words, stride, row);
        let mut counts = [0; PLANES];
        for (planes, words) in numbers.planes.iter().zip(row.as_chunks().0) {
            for (count, plane) in counts.iter_mut().zip(planes) {
                let [a, b]: [u64; 2] = *words;
                *count += (a & plane[0]).count_ones() + (b & plane[1]).count_ones();
            }
        }
        let [ones, twos, fours, eights] = counts.map(u32::cast_signed);
        *value = numbers.finish(ones + 2 * twos + 4 * fours - 8 * eights, row);
    }
}

#[inline(always)]
fn row_of(words: &[u64], stride: usize, row: u32) -> &[u64] {
    &words[row as usize * stride..][..stride]
}

/// Asks for the memory of a row that lies in one cache line or two.
#[inline(always)]
fn prefetch_ends(row: &[u64]) {
    prefetch(row);
    if let Some(last) = row.last_chunk::<1>() {
        prefetch(last);
    }
}

/// Counts of bits with AVX-512: those of all planes of two words in an instruction. Compilers do not come to it by
/// themselves.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512i, _mm_loadu_si128, _mm512_add_epi64, _mm512_and_si512, _mm512_broadcast_i64x2,
        _mm512_loadu_si512, _mm512_madd_epi16, _mm512_popcnt_epi64, _mm512_reduce_add_epi64,
        _mm512_set_epi64, _mm512_setzero_si512,
    };
    use std::sync::LazyLock;

    use super::{AHEAD, Numbers, Planes, prefetch_ends, row_of};

    /// The instructions, which this machine has.
    #[derive(Clone, Copy)]
    pub struct Counter(());

    impl Counter {
        pub fn get() -> Option<Counter> {
            static COUNTER: LazyLock<Option<Counter>> = LazyLock::new(|| {
                let is_there = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vpopcntdq");
                is_there.then_some(Counter(()))
            });
            *COUNTER
        }

        pub fn values_at(
            self,
            numbers: &Numbers,
            words: &[u64],
            stride: usize,
            rows: &[u32],
            values: &mut [f32],
        ) {
            // SAFETY: a `Counter` is made only where the instructions are there.
            unsafe { values_at(numbers, words, stride, rows, values) }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vpopcntdq")]
    fn values_at(numbers: &Numbers, words: &[u64], stride: usize, rows: &[u32], values: &mut [f32]) {
        for (n, (value, &row)) in values.iter_mut().zip(rows).enumerate() {
            if let Some(&later) = rows.get(n + AHEAD) {
                prefetch_ends(row_of(words, stride, later));
            }
            let row = row_of(words, stride, row);
            let mut counts = _mm512_setzero_si512();
            for (planes, words) in numbers.planes.iter().zip(row.as_chunks().0) {
                let common = _mm512_and_si512(load(planes), load_four_times(words));
                counts = _mm512_add_epi64(counts, _mm512_popcnt_epi64(common));
            }
            *value = numbers.finish(sum(counts), row);
        }
    }

    /// What the counts of all planes come to. They are small: a multiplication of their last sixteen bits will do.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn sum(counts: __m512i) -> i32 {
        let weights = _mm512_set_epi64(0xfff8, 0xfff8, 4, 4, 2, 2, 1, 1);
        _mm512_reduce_add_epi64(_mm512_madd_epi16(counts, weights)) as i32
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn load(planes: &Planes) -> __m512i {
        // SAFETY: there are 64 bytes, and they need not be aligned.
        unsafe { _mm512_loadu_si512(planes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn load_four_times(words: &[u64; 2]) -> __m512i {
        // SAFETY: there are 16 bytes, and they need not be aligned.
        _mm512_broadcast_i64x2(unsafe { _mm_loadu_si128(words.as_ptr().cast()) })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn a_sum_is_of_the_numbers_whose_bits_are_set() {
        for dimensions in [1, 2, 63, 64, 65, 128, 384, 391, 4_096] {
            let value = |n: usize| (n * 167 % 251 % 16) as i8 - 8;
            let mut numbers = Numbers::new(&(0..dimensions).map(value).collect::<Vec<_>>());
            numbers.slope = 2.0;
            numbers.start = 3.0;
            let stride = stride(dimensions);
            let word = |n: usize| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let mut words: Vec<u64> = (0..40 * stride).map(word).collect();
            words[..stride].fill(u64::MAX);
            for row in words.chunks_mut(stride) {
                row[dimensions.div_ceil(WORD_BITS)] = to_word([0.5, -7.0]);
            }
            let rows: Vec<u32> = (0..40).rev().chain([3, 3, 0]).collect();
            let (mut values, mut by_loop) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
            values_at(&numbers, &words, stride, &rows, &mut values);
            values_at_by_loop(&numbers, &words, stride, &rows, &mut by_loop);
            assert_eq!(values, by_loop, "{dimensions} dimensions");
            for (&row, found) in rows.iter().zip(values) {
                let row = row_of(&words, stride, row);
                let is_set = |n: &usize| row[n / WORD_BITS] >> (n % WORD_BITS) & 1 == 1;
                let sum: i32 = (0..dimensions).filter(is_set).map(|n| i32::from(value(n))).sum();
                assert_eq!(found, sum as f32 + 3.0 - 7.0, "{dimensions} dimensions");
            }
        }
    }

    #[test]
    fn places_are_those_of_values_that_reach_and_of_no_numbers() {
        for length in [0, 1, 31, 32, 33, 100] {
            let value = |n: usize| {
                if n % 13 == 5 {
                    f32::NAN
                } else {
                    (n * 37 % 50) as f32
                }
            };
            let values: Vec<f32> = (0..length).map(value).collect();
            let mut places = vec![7];
            for least in [f32::NEG_INFINITY, 0.0, 30.0, 49.0, 50.0] {
                reaching(&values, least, &mut places);
                let reaches =
                    |n: &u32| !matches!(values[*n as usize].partial_cmp(&least), Some(Ordering::Less));
                let expected: Vec<u32> = (0..length as u32).filter(reaches).collect();
                assert_eq!(places, expected, "{length} {least}");
            }
        }
    }

    #[test]
    fn rows_of_nearly_whole_cache_lines_are_made_whole() {
        assert_eq!([100, 384, 400, 448, 449, 896].map(stride), [3, 8, 8, 8, 9, 16]);
    }
}

//! Products of rows of bits with numbers of four bits.
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

/// How many rows ahead the memory is asked for a row.
const AHEAD: usize = 16;

/// Numbers that rows of bits are multiplied with: for each word of a row, the planes of its numbers.
pub struct Planes(Vec<[u64; PLANES]>);

impl Planes {
    /// Of numbers between minus eight and [`LARGEST`].
    pub fn new(values: &[i8]) -> Planes {
        let mut planes = vec![[0; PLANES]; values.len().div_ceil(WORD_BITS)];
        for (n, &value) in values.iter().enumerate() {
            for (bit, plane) in planes[n / WORD_BITS].iter_mut().enumerate() {
                *plane |= u64::from(value >> bit & 1 == 1) << (n % WORD_BITS);
            }
        }
        Planes(planes)
    }
}

/// For each of the given rows, the sum of those numbers whose bits are set. `words` are contiguous rows of `stride` words
/// each, which begin with their bits.
///
/// # Panics
/// A row is not there.
pub fn sums_at(planes: &Planes, words: &[u64], stride: usize, rows: &[u32], sums: &mut [i32]) {
    for &row in rows.iter().take(AHEAD) {
        prefetch_ends(row_of(words, stride, row));
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(counter) = avx512::Counter::get() {
        return counter.sums_at(planes, words, stride, rows, sums);
    }
    sums_at_by_loop(planes, words, stride, rows, sums);
}

#[multiversion(targets("x86_64+avx2+popcnt", "aarch64+neon"))]
fn sums_at_by_loop(planes: &Planes, words: &[u64], stride: usize, rows: &[u32], sums: &mut [i32]) {
    for (n, (sum, &row)) in sums.iter_mut().zip(rows).enumerate() {
        if let Some(&later) = rows.get(n + AHEAD) {
            prefetch_ends(row_of(words, stride, later));
        }
        let mut counts = [0; PLANES];
        for (planes, &word) in planes.0.iter().zip(row_of(words, stride, row)) {
            for (count, plane) in counts.iter_mut().zip(planes) {
                *count += u64::from((word & plane).count_ones());
            }
        }
        *sum = weigh(counts);
    }
}

/// The sum, of how many bits are set in each plane.
#[inline(always)]
fn weigh([ones, twos, fours, eights]: [u64; PLANES]) -> i32 {
    (ones + 2 * twos + 4 * fours) as i32 - 8 * eights as i32
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

/// Counts of bits with AVX-512: those of all planes in an instruction. Compilers do not come to it by themselves.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_loadu_si256, _mm256_popcnt_epi64,
        _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_storeu_si256,
    };
    use std::sync::LazyLock;

    use super::{AHEAD, PLANES, Planes, prefetch_ends, row_of, weigh};

    /// The instructions, which this machine has.
    #[derive(Clone, Copy)]
    pub struct Counter(());

    impl Counter {
        pub fn get() -> Option<Counter> {
            static COUNTER: LazyLock<Option<Counter>> = LazyLock::new(|| {
                let is_there =
                    is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vpopcntdq");
                is_there.then_some(Counter(()))
            });
            *COUNTER
        }

        pub fn sums_at(self, planes: &Planes, words: &[u64], stride: usize, rows: &[u32], sums: &mut [i32]) {
            // SAFETY: a `Counter` is made only where the instructions are there.
            unsafe { sums_at(planes, words, stride, rows, sums) }
        }
    }

    #[target_feature(enable = "avx2,avx512vl,avx512vpopcntdq")]
    fn sums_at(planes: &Planes, words: &[u64], stride: usize, rows: &[u32], sums: &mut [i32]) {
        for (n, (sum, &row)) in sums.iter_mut().zip(rows).enumerate() {
            if let Some(&later) = rows.get(n + AHEAD) {
                prefetch_ends(row_of(words, stride, later));
            }
            let mut counts = _mm256_setzero_si256();
            for (planes, &word) in planes.0.iter().zip(row_of(words, stride, row)) {
                let common = _mm256_and_si256(load(planes), _mm256_set1_epi64x(word.cast_signed()));
                counts = _mm256_add_epi64(counts, _mm256_popcnt_epi64(common));
            }
            *sum = weigh(store(counts));
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(planes: &[u64; PLANES]) -> __m256i {
        // SAFETY: there are 32 bytes, and they need not be aligned.
        unsafe { _mm256_loadu_si256(planes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(counts: __m256i) -> [u64; PLANES] {
        let mut stored = [0; PLANES];
        // SAFETY: there is room for 32 bytes, which need not be aligned.
        unsafe { _mm256_storeu_si256(stored.as_mut_ptr().cast(), counts) };
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_the_numbers_whose_bits_are_set() {
        for dimensions in [1, 2, 63, 64, 65, 128, 384, 391, 4_096] {
            let value = |n: usize| (n * 167 % 251 % 16) as i8 - 8;
            let planes = Planes::new(&(0..dimensions).map(value).collect::<Vec<_>>());
            let stride = dimensions.div_ceil(WORD_BITS) + 1;
            let word = |n: usize| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let mut words: Vec<u64> = (0..40 * stride).map(word).collect();
            words[..stride].fill(u64::MAX);
            let rows: Vec<u32> = (0..40).rev().chain([3, 3, 0]).collect();
            let (mut sums, mut by_loop) = (vec![0; rows.len()], vec![0; rows.len()]);
            sums_at(&planes, &words, stride, &rows, &mut sums);
            sums_at_by_loop(&planes, &words, stride, &rows, &mut by_loop);
            assert_eq!(sums, by_loop, "{dimensions} dimensions");
            for (&row, sum) in rows.iter().zip(sums) {
                let row = &words[row as usize * stride..][..stride];
                let is_set = |n: &usize| row[n / WORD_BITS] >> (n % WORD_BITS) & 1 == 1;
                let expected: i32 = (0..dimensions).filter(is_set).map(|n| i32::from(value(n))).sum();
                assert_eq!(sum, expected, "{dimensions} dimensions");
            }
        }
    }
}

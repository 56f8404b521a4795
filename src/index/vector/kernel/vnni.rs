//! Products of bytes with AVX-512 VNNI: 64 multiplications an instruction.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512,
    _mm512_maskz_loadu_epi8, _mm512_reduce_add_epi32, _mm512_setzero_si512,
};
use std::sync::LazyLock;

use super::{Factors, code_of};

/// Bytes of a register, and of a cache line.
const WIDTH: usize = 64;

/// How many rows ahead the memory is asked for a row: it answers in about the time that so many take.
const AHEAD: usize = 16;

/// The instructions, which this machine has.
#[derive(Clone, Copy)]
pub struct Vnni(());

impl Vnni {
    pub fn get() -> Option<Vnni> {
        static VNNI: LazyLock<Option<Vnni>> = LazyLock::new(|| {
            let is_there = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            is_there.then_some(Vnni(()))
        });
        *VNNI
    }

    pub fn products(self, factors: &Factors, codes: &[u8], out: &mut [i32]) {
        // SAFETY: a `Vnni` is made only where the instructions are there.
        unsafe { products(factors, codes, out) }
    }

    pub fn products_at(self, factors: &Factors, codes: &[u8], rows: &[u32], out: &mut [i32]) {
        // SAFETY: a `Vnni` is made only where the instructions are there.
        unsafe { products_at(factors, codes, rows, out) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products(factors: &Factors, codes: &[u8], out: &mut [i32]) {
    for (product, row) in out.iter_mut().zip(codes.chunks_exact(factors.len())) {
        *product = product_of(factors, row);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products_at(factors: &Factors, codes: &[u8], rows: &[u32], out: &mut [i32]) {
    for &row in rows.iter().take(AHEAD) {
        prefetch(code_of(codes, factors.len(), row));
    }
    for (n, (product, &row)) in out.iter_mut().zip(rows).enumerate() {
        if let Some(&later) = rows.get(n + AHEAD) {
            prefetch(code_of(codes, factors.len(), later));
        }
        *product = product_of(factors, code_of(codes, factors.len(), row));
    }
}

#[inline(always)]
pub fn prefetch<T>(values: &[T]) {
    let start = values.as_ptr().cast::<i8>();
    for line in 0..size_of_val(values).div_ceil(WIDTH) {
        // SAFETY: fetching a line into the cache reads nothing, wherever it is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * WIDTH)) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn product_of(factors: &Factors, row: &[u8]) -> i32 {
    // Two sums, since an addition to a sum waits for the one before.
    let mut sums = [_mm512_setzero_si512(); 2];
    let (values, values_rest) = factors.values.as_chunks::<WIDTH>();
    let (row, row_rest) = row.as_chunks::<WIDTH>();
    for (n, (values, row)) in values.iter().zip(row).enumerate() {
        sums[n % 2] = _mm512_dpbusd_epi32(sums[n % 2], load(row), load(values));
    }
    if !row_rest.is_empty() {
        sums[0] = _mm512_dpbusd_epi32(sums[0], load_rest(row_rest), load_rest(values_rest));
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - factors.excess
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load<T>(bytes: &[T; WIDTH]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: there are 64 bytes, and they need not be aligned.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// Fewer than 64 bytes, and zeroes.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_rest<T>(bytes: &[T]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    let mask = (1_u64 << bytes.len()) - 1;
    // SAFETY: the mask has a bit for each byte that is there, and no other byte is read.
    unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) }
}

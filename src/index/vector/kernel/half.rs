//! Products of rows of f16 with a vector of floats.
//!
//! f16 is what is kept, never what is computed with: rows are widened, and the sums have a fixed number of lanes, so a
//! product has the same bits on every machine. A row is bytes, so that it may lie anywhere.

use multiversion::multiversion;
use multiversion::target::match_target;

use super::{LANES, code_of, prefetch};

/// How many rows ahead the memory is asked for a row.
const AHEAD: usize = 6;

/// Bytes of a component.
pub const BYTES: usize = 2;

/// The f16 nearest to a number less than 65,520; ties go to the even one.
pub fn narrow(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, length) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
    let half = if f32::from_bits(length) < SMALLEST_NORMAL {
        // What is less than that is counted in steps of 2^-24, and the floats from 0.5 on lie as far apart.
        (f32::from_bits(length) + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        let is_odd = length >> DROPPED & 1;
        (length + (1 << (DROPPED - 1)) - 1 + is_odd - (EXPONENTS << 23)) >> DROPPED
    };
    (sign | half) as u16
}

/// The same number.
#[inline(always)]
pub fn widen(half: [u8; BYTES]) -> f32 {
    let half = u32::from(u16::from_le_bytes(half));
    let (sign, length) = ((half & 0x8000) << 16, (half & 0x7fff) << DROPPED);
    // Its exponent is counted from another zero; the factor is a power of two, so nothing is rounded.
    const SHIFT: f32 = f32::from_bits((127 + EXPONENTS) << 23);
    f32::from_bits(sign | (f32::from_bits(length) * SHIFT).to_bits())
}

/// Bits of a fraction that an f16 lacks.
const DROPPED: u32 = 13;

/// How much less the exponent of an f16 is counted than that of an f32.
const EXPONENTS: u32 = 112;

const SMALLEST_NORMAL: f32 = f32::from_bits((EXPONENTS + 1) << 23);

/// The components of a row.
pub fn values(row: &[u8]) -> impl Iterator<Item = f32> + '_ {
    row.as_chunks().0.iter().map(|&half| widen(half))
}

/// The products with each row of a block of contiguous codes.
pub fn products(factors: &[f32], codes: &[u8], products: &mut [f32]) {
    let rows = codes.chunks_exact(factors.len() * BYTES);
    for (out, row) in products.iter_mut().zip(rows) {
        *out = product(factors, row);
    }
}

/// The products with the given rows of contiguous codes.
///
/// # Panics
/// A row is not there.
pub fn products_at(factors: &[f32], codes: &[u8], rows: &[u32], products: &mut [f32]) {
    let row_of = |row: u32| code_of(codes, factors.len() * BYTES, row);
    rows.iter().take(AHEAD).for_each(|&row| prefetch(row_of(row)));
    for (n, (out, &row)) in products.iter_mut().zip(rows).enumerate() {
        if let Some(&later) = rows.get(n + AHEAD) {
            prefetch(row_of(later));
        }
        *out = product(factors, row_of(row));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+f16c", "aarch64+neon"))]
fn product(factors: &[f32], row: &[u8]) -> f32 {
    let mut sums = [0.0; LANES];
    let (lanes, rest) = factors.as_chunks::<LANES>();
    let (row, row_rest) = row.as_chunks::<{ LANES * BYTES }>();
    for (factors, row) in lanes.iter().zip(row) {
        // SAFETY: this version runs only where the processor has the instructions of the arm.
        let row = match_target! {
            "x86_64+avx512f+avx512bw+avx512vl" => unsafe { x86::widen_by_16(row) },
            "x86_64+avx2+f16c" => unsafe { x86::widen_by_8(row) },
            _ => widen_by_loop(row),
        };
        for lane in 0..LANES {
            sums[lane] += factors[lane] * row[lane];
        }
    }
    for (lane, (factor, row)) in rest.iter().zip(values(row_rest)).enumerate() {
        sums[lane] += factor * row;
    }
    // In halves: a chain of additions would take as long as all the rest.
    let mut lanes = LANES;
    while lanes > 1 {
        lanes /= 2;
        for lane in 0..lanes {
            sums[lane] += sums[lane + lanes];
        }
    }
    sums[0]
}

#[inline(always)]
fn widen_by_loop(halves: &[u8; LANES * BYTES]) -> [f32; LANES] {
    let (halves, _) = halves.as_chunks();
    std::array::from_fn(|lane| widen(halves[lane]))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_cvtph_ps, _mm256_loadu_si256, _mm256_storeu_ps, _mm512_cvtph_ps,
        _mm512_storeu_ps,
    };

    use super::{BYTES, LANES};

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn widen_by_16(halves: &[u8; LANES * BYTES]) -> [f32; LANES] {
        let mut wide = [0.0; LANES];
        let (from, to) = (halves.as_chunks::<32>().0, wide.as_chunks_mut::<16>().0);
        for (from, to) in from.iter().zip(to) {
            // SAFETY: 32 bytes are read and 16 floats written, which need not be aligned.
            unsafe {
                let halves = _mm256_loadu_si256(from.as_ptr().cast());
                _mm512_storeu_ps(to.as_mut_ptr(), _mm512_cvtph_ps(halves));
            }
        }
        wide
    }

    #[target_feature(enable = "avx2,f16c")]
    #[inline]
    pub fn widen_by_8(halves: &[u8; LANES * BYTES]) -> [f32; LANES] {
        let mut wide = [0.0; LANES];
        let (from, to) = (halves.as_chunks::<16>().0, wide.as_chunks_mut::<8>().0);
        for (from, to) in from.iter().zip(to) {
            // SAFETY: 16 bytes are read and 8 floats written, which need not be aligned.
            unsafe {
                let halves = _mm_loadu_si128(from.as_ptr().cast());
                _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
            }
        }
        wide
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that an f16 stands for, by the definition.
    fn defined(half: u16) -> f64 {
        let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
        match exponent {
            0 => sign * fraction * 2_f64.powi(-24),
            _ => sign * (1024.0 + fraction) * 2_f64.powi(exponent - 25),
        }
    }

    fn finite() -> impl Iterator<Item = u16> {
        (0..=u16::MAX).filter(|half| half >> 10 & 31 != 31)
    }

    #[test]
    fn every_f16_is_the_number_that_it_is_defined_as_and_comes_back() {
        for half in finite() {
            let wide = widen(half.to_le_bytes());
            assert_eq!(f64::from(wide), defined(half), "{half:#x}");
            assert_eq!(narrow(wide), half, "{half:#x}");
        }
    }

    #[test]
    fn numbers_become_the_nearest_f16_and_ties_the_even_one() {
        for half in finite().filter(|half| half & 0x7fff < 0x7bff) {
            let (here, next) = (defined(half), defined(half + 1));
            let middle = ((here + next) / 2.0) as f32;
            assert_eq!(f64::from(middle), (here + next) / 2.0, "{half:#x}");
            assert_eq!(narrow(middle), half + (half & 1), "{half:#x}");
            let (nearer_here, nearer_next) = match middle > 0.0 {
                true => (middle.next_down(), middle.next_up()),
                false => (middle.next_up(), middle.next_down()),
            };
            assert_eq!(
                (narrow(nearer_here), narrow(nearer_next)),
                (half, half + 1),
                "{half:#x}"
            );
        }
    }

    /// The product in the order of additions that is promised, one after another.
    fn by_lanes(factors: &[f32], row: &[u8]) -> f32 {
        let mut sums = [0.0; 32];
        for (n, (factor, value)) in factors.iter().zip(values(row)).enumerate() {
            sums[n % 32] += factor * value;
        }
        for lanes in [16, 8, 4, 2, 1] {
            sums = std::array::from_fn(|lane| sums[lane] + sums[(lane + lanes) % 32]);
        }
        sums[0]
    }

    #[test]
    fn every_instruction_set_gives_the_same_products() {
        for dimensions in [1, 2, 31, 32, 33, 64, 100, 384, 4_096] {
            let number = |n: usize| (n * 167 % 251) as f32 / 125.0 - 1.0;
            let factors: Vec<f32> = (0..dimensions).map(|n| number(n + 7)).collect();
            let codes: Vec<u8> = (0..9 * dimensions)
                .flat_map(|n| narrow(number(n) * 1.1_f32.powi(-(n as i32 % 90))).to_le_bytes())
                .collect();
            let rows = [8, 0, 3, 3, 5, 1, 7];
            let row = |row: u32| code_of(&codes, dimensions * BYTES, row);
            for at in rows {
                let terms = factors.iter().zip(values(row(at)));
                let expected: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
                let error = (f64::from(by_lanes(&factors, row(at))) - expected).abs();
                assert!(error < 1e-6 * dimensions as f64, "off by {error} of {expected}");
            }
            let by_lanes = |at: u32| by_lanes(&factors, row(at)).to_bits();
            let mut found = [0.0; 7];
            products_at(&factors, &codes, &rows, &mut found);
            assert_eq!(
                found.map(f32::to_bits),
                rows.map(by_lanes),
                "{dimensions} dimensions"
            );
            let mut found = [0.0; 9];
            products(&factors, &codes, &mut found);
            let all = std::array::from_fn(|row| by_lanes(row as u32));
            assert_eq!(found.map(f32::to_bits), all, "{dimensions} dimensions");
            #[cfg(target_arch = "x86_64")]
            for row in codes.as_chunks().0 {
                let expected = widen_by_loop(row).map(f32::to_bits);
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                    // SAFETY: the instructions are there.
                    assert_eq!(unsafe { x86::widen_by_8(row) }.map(f32::to_bits), expected);
                }
            }
        }
    }
}

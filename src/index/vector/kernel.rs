//! The innermost loops: products of int8 codes, of f16 codes (`half`), of bits (`bits`) and of floats.
//!
//! A row's code is kept as unsigned bytes, 128 above its value, and what it is multiplied with as signed ones:
//! that is how processors multiply bytes. The best instruction set is chosen at run time. Sums of integers are
//! the same in any order, and the sums of floats have a fixed number of lanes: a score has the same bits on every
//! machine. NEON is compiled from the same loops, and has been run in an emulator only.

#[cfg(target_arch = "x86_64")]
mod vnni;
pub mod bits;
pub mod half;

use multiversion::multiversion;

/// What stands for zero in a row's code.
pub const ZERO: u8 = 128;

/// Partial sums kept by the loops over floats: two registers of AVX-512, four of AVX2.
const LANES: usize = 32;

/// A code that rows' codes are multiplied with.
pub struct Factors {
    values: Vec<i8>,
    /// What the zeroes of a row's code add to a product of bytes.
    excess: i32,
}

impl Factors {
    pub fn new(values: Vec<i8>) -> Factors {
        let sum: i32 = values.iter().map(|&value| i32::from(value)).sum();
        Factors {
            values,
            excess: i32::from(ZERO) * sum,
        }
    }

    pub fn of_row(row: &[u8]) -> Factors {
        Factors::new(values(row).collect())
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The code that a row of the same values has.
    pub fn row(&self) -> impl Iterator<Item = u8> + '_ {
        self.values.iter().map(|value| value.cast_unsigned() ^ ZERO)
    }
}

/// The values of a row's code.
pub fn values(row: &[u8]) -> impl Iterator<Item = i8> + '_ {
    row.iter().map(|byte| (byte ^ ZERO).cast_signed())
}

/// The products with each row of a block of contiguous codes.
pub fn products(factors: &Factors, codes: &[u8], products: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vnni) = vnni::Vnni::get() {
        return vnni.products(factors, codes, products);
    }
    products_by_loop(factors, codes, products);
}

/// The products with the given rows of contiguous codes.
///
/// # Panics
/// A row is not there.
pub fn products_at(factors: &Factors, codes: &[u8], rows: &[u32], products: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vnni) = vnni::Vnni::get() {
        return vnni.products_at(factors, codes, rows, products);
    }
    products_at_by_loop(factors, codes, rows, products);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn products_by_loop(factors: &Factors, codes: &[u8], products: &mut [i32]) {
    for (product, row) in products.iter_mut().zip(codes.chunks_exact(factors.len())) {
        *product = product_by_loop(factors, row);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn products_at_by_loop(factors: &Factors, codes: &[u8], rows: &[u32], products: &mut [i32]) {
    for (product, &row) in products.iter_mut().zip(rows) {
        *product = product_by_loop(factors, code_of(codes, factors.len(), row));
    }
}

/// Asks the memory for values that are going to be read.
#[inline]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    vnni::prefetch(values);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[inline(always)]
fn code_of(codes: &[u8], bytes: usize, row: u32) -> &[u8] {
    &codes[row as usize * bytes..][..bytes]
}

#[inline(always)]
fn product_by_loop(factors: &Factors, row: &[u8]) -> i32 {
    // Written through i16, which compilers know as multiply-and-add of pairs. 4,096 products of at most
    // 128 * 128 fit.
    let values = factors.values.iter().zip(row);
    values
        .map(|(&a, &b)| i32::from(i16::from(a) * i16::from((b ^ ZERO).cast_signed())))
        .sum()
}

/// The largest of finite values without their signs.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn largest(values: &[f32]) -> f32 {
    // As integers, of which many are compared side by side.
    let bits = values.iter().map(|value| value.abs().to_bits());
    f32::from_bits(bits.fold(0, u32::max))
}

/// The code of a row of values, in units of `1 / inverse`, and its squared length. None is beyond 127 units.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn encode(values: &[f32], inverse: f32, out: &mut [u8]) -> i32 {
    let codes = out.iter_mut().zip(values);
    codes
        .map(|(out, value)| {
            let rounded = round(value * inverse);
            *out = rounded.cast_unsigned() ^ ZERO;
            i32::from(rounded) * i32::from(rounded)
        })
        .sum()
}

/// What a code leaves of the values, in steps of a rest.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn encode_rest(values: &[f32], inverse: f32, row: &[u8], out: &mut [u8]) {
    for ((out, value), byte) in out.iter_mut().zip(values).zip(row) {
        let rest = value * inverse - f32::from((byte ^ ZERO).cast_signed());
        *out = round(rest * REST_STEPS).cast_unsigned();
    }
}

/// Rounded by hand: `f32::round` is a call for each value.
#[inline(always)]
fn round(value: f32) -> i8 {
    (value + 0.5_f32.copysign(value)) as i8
}

/// Steps of a rest from one value of a code to the next.
pub const REST_STEPS: f32 = 254.0;

/// The components that a row's code and the rest beside it stand for, times a factor.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn restore(row: &[u8], rest: &[u8], factor: f32, out: &mut [f32]) {
    let of_step = factor / REST_STEPS;
    for ((out, byte), rest) in out.iter_mut().zip(row).zip(rest) {
        let value = i32::from((byte ^ ZERO).cast_signed());
        let steps = value * REST_STEPS as i32 + i32::from(rest.cast_signed());
        *out = (steps as f32 * of_step).clamp(f32::MIN, f32::MAX);
    }
}

/// The components that a row's code stands for, times a factor.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn decode(row: &[u8], factor: f32, out: &mut [f32]) {
    for (out, byte) in out.iter_mut().zip(row) {
        *out = factor * f32::from((byte ^ ZERO).cast_signed());
    }
}

/// The product of two vectors, and the squared length of the second.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn dot_and_square(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (mut products, mut squares) = ([0.0; LANES], [0.0; LANES]);
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            products[lane] += a[lane] * b[lane];
            squares[lane] += b[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        products[lane] += a * b;
        squares[lane] += b * b;
    }
    (products.iter().sum(), squares.iter().sum())
}

/// The squared distance of two vectors.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut squares = [0.0; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            squares[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        squares[lane] += (a - b) * (a - b);
    }
    squares.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product as it is defined.
    fn expected(values: &[i8], row: &[u8]) -> i32 {
        let terms = values.iter().zip(row);
        terms.map(|(&a, &b)| i32::from(a) * (i32::from(b) - 128)).sum()
    }

    #[test]
    fn every_instruction_set_gives_the_same_products() {
        for dimensions in [1, 2, 50, 63, 64, 65, 127, 128, 129, 384, 4_096] {
            let byte = |n: usize| (n * 167 % 251 + n / 251 % 5) as u8;
            let mut codes: Vec<u8> = (0..9 * dimensions).map(byte).collect();
            codes[..dimensions].fill(0);
            let mut values: Vec<i8> = (0..dimensions).map(|n| byte(n + 7).cast_signed()).collect();
            values[0] = -128;
            let factors = Factors::new(values.clone());
            let rows = [8, 0, 3, 3, 5, 1, 7];
            let at = rows.map(|row| expected(&values, code_of(&codes, dimensions, row)));
            let all: Vec<_> = codes
                .chunks(dimensions)
                .map(|row| expected(&values, row))
                .collect();

            let mut found = [0; 7];
            products_at(&factors, &codes, &rows, &mut found);
            assert_eq!(found, at, "{dimensions} dimensions");
            products_at_by_loop(&factors, &codes, &rows, &mut found);
            assert_eq!(found, at, "{dimensions} dimensions");
            let mut found = [0; 9];
            products(&factors, &codes, &mut found);
            assert_eq!(found, *all, "{dimensions} dimensions");
            products_by_loop(&factors, &codes, &mut found);
            assert_eq!(found, *all, "{dimensions} dimensions");
        }
    }

    #[test]
    fn a_row_is_the_factors_that_it_becomes() {
        let row: Vec<u8> = (0..=255).collect();
        assert!(Factors::of_row(&row).row().eq(row.iter().copied()));
    }
}

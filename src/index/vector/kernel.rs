//! The innermost loops: products of int8 codes and of floats.
//!
//! Plain loops, compiled for several instruction sets; the best one is chosen at run time. The sums of
//! floats have a fixed number of lanes, so that a score has the same bits on every machine.

use multiversion::multiversion;

/// Partial sums kept by the loops over floats: two registers of AVX-512, four of AVX2.
const LANES: usize = 32;

/// The product of two codes of the same length.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
pub fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    dot(a, b)
}

/// The products of `query` with each row of a block of contiguous codes.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
pub fn dot_block(query: &[i8], codes: &[i8], products: &mut [i32]) {
    for (product, row) in products.iter_mut().zip(codes.chunks_exact(query.len())) {
        *product = dot(query, row);
    }
}

/// The products of `query` with the given rows of contiguous codes.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
pub fn dot_rows(query: &[i8], codes: &[i8], rows: &[u32], products: &mut [i32]) {
    for (product, &row) in products.iter_mut().zip(rows) {
        let start = row as usize * query.len();
        *product = dot(query, &codes[start..start + query.len()]);
    }
}

/// The product of two vectors, and the squared length of the second.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
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
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
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

#[inline(always)]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    // Written through i16, which compilers know as multiply-and-add of pairs. 4,096 products of at most
    // 127 * 127 fit.
    a.iter()
        .zip(b)
        .map(|(&a, &b)| i32::from(i16::from(a) * i16::from(b)))
        .sum()
}

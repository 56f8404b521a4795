//! The axes that keep most of some vectors: the leading eigenvectors of their second moments.
//!
//! Moments about zero, not about the mean: so the axes keep as much as can be kept of inner products. They are found by
//! subspace iteration: axes are multiplied with the moments and made orthonormal again until they keep no more.

use multiversion::multiversion;

/// Axes are good enough when a round adds less than this share to what they keep.
const PROGRESS_MIN: f64 = 1e-5;

/// Rounds after which axes are good enough in any case: between the last of them and the next best there is no
/// difference to speak of.
const ROUNDS_MAX: usize = 50;

/// Rows of the moments that all axes are multiplied with while they are in the cache.
const ROWS_AT_ONCE: usize = 32;

/// The `count` axes that keep most of vectors of so many `dimensions`, of which there are more: orthonormal, one after
/// another. The lengths of the vectors play no part.
pub fn principal_axes(vectors: impl Iterator<Item = Vec<f64>>, dimensions: usize, count: usize) -> Vec<f64> {
    debug_assert!(count < dimensions);
    let moments = moments(vectors, dimensions);
    let mut noise = Noise(1);
    let mut axes: Vec<f64> = (0..count * dimensions).map(|_| noise.next()).collect();
    orthonormalise(&mut axes, dimensions, &mut noise);
    let mut kept = 0.0;
    for _ in 0..ROUNDS_MAX {
        let mut turned = vec![0.0; axes.len()];
        for (block, rows) in moments.chunks(ROWS_AT_ONCE * dimensions).enumerate() {
            let first = block * ROWS_AT_ONCE;
            let pairs = axes
                .chunks_exact(dimensions)
                .zip(turned.chunks_exact_mut(dimensions));
            for (axis, turned) in pairs {
                let rows = axis[first..].iter().zip(rows.chunks_exact(dimensions));
                rows.for_each(|(&factor, row)| add_scaled(turned, factor, row));
            }
        }
        let keeps = product(&axes, &turned);
        axes = turned;
        orthonormalise(&mut axes, dimensions, &mut noise);
        if keeps - kept <= PROGRESS_MIN * keeps {
            break;
        }
        kept = keeps;
    }
    axes
}

/// The sum of the products of all pairs of components, of vectors made one long: a symmetric matrix, row by row.
fn moments(vectors: impl Iterator<Item = Vec<f64>>, dimensions: usize) -> Vec<f64> {
    let mut moments = vec![0.0; dimensions * dimensions];
    for vector in vectors {
        let square = product(&vector, &vector);
        if square == 0.0 {
            continue;
        }
        // Those above the diagonal; the others are the same.
        let rows = moments.chunks_exact_mut(dimensions).zip(&vector).enumerate();
        rows.for_each(|(n, (row, &value))| add_scaled(&mut row[n..], value / square, &vector[n..]));
    }
    for n in 0..dimensions {
        for m in 0..n {
            moments[n * dimensions + m] = moments[m * dimensions + n];
        }
    }
    moments
}

/// Makes axes orthonormal (Gram and Schmidt). One that those before it make up is replaced by a random one.
fn orthonormalise(axes: &mut [f64], dimensions: usize, noise: &mut Noise) {
    /// What is left of an axis after less of it is rounding.
    const LEFT_MIN: f64 = 1e-9;
    for n in 0..axes.len() / dimensions {
        let (before, rest) = axes.split_at_mut(n * dimensions);
        let axis = &mut rest[..dimensions];
        loop {
            let length = product(axis, axis).sqrt();
            // The second time takes away what rounding left.
            for _ in 0..2 {
                for other in before.chunks_exact(dimensions) {
                    let along = product(axis, other);
                    add_scaled(axis, -along, other);
                }
            }
            let left = product(axis, axis).sqrt();
            if left > LEFT_MIN * length && left > f64::MIN_POSITIVE {
                axis.iter_mut().for_each(|value| *value /= left);
                break;
            }
            axis.fill_with(|| noise.next());
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn add_scaled(to: &mut [f64], factor: f64, values: &[f64]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += factor * value;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2", "aarch64+neon"))]
fn product(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Numbers between -1 and 1, the same each time: splitmix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) as i64) as f64 / (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 24;

    /// All eigenvalues of a symmetric matrix, greatest first, by Jacobi's rotations.
    fn eigenvalues(mut matrix: Vec<f64>) -> Vec<f64> {
        let n = DIMENSIONS;
        for _ in 0..50 {
            for p in 0..n {
                for q in p + 1..n {
                    let angle = 0.5 * (2.0 * matrix[p * n + q]).atan2(matrix[q * n + q] - matrix[p * n + p]);
                    let (sin, cos) = angle.sin_cos();
                    for k in 0..n {
                        let (a, b) = (matrix[k * n + p], matrix[k * n + q]);
                        matrix[k * n + p] = cos * a - sin * b;
                        matrix[k * n + q] = sin * a + cos * b;
                    }
                    for k in 0..n {
                        let (a, b) = (matrix[p * n + k], matrix[q * n + k]);
                        matrix[p * n + k] = cos * a - sin * b;
                        matrix[q * n + k] = sin * a + cos * b;
                    }
                }
            }
        }
        let mut values: Vec<f64> = (0..n).map(|k| matrix[k * n + k]).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        values
    }

    #[track_caller]
    fn check_orthonormal(axes: &[f64]) {
        for (n, a) in axes.chunks_exact(DIMENSIONS).enumerate() {
            for (m, b) in axes.chunks_exact(DIMENSIONS).enumerate() {
                let expected = f64::from(u8::from(n == m));
                assert!((product(a, b) - expected).abs() < 1e-9, "axes {n} and {m}");
            }
        }
    }

    /// Vectors that lie mostly along a few directions, and not about zero.
    fn vectors(count: usize) -> Vec<Vec<f64>> {
        let mut noise = Noise(7);
        let directions: Vec<Vec<f64>> = (0..DIMENSIONS)
            .map(|_| (0..DIMENSIONS).map(|_| noise.next()).collect())
            .collect();
        (0..count)
            .map(|_| {
                let mut vector = directions[0].clone();
                for (n, direction) in directions.iter().enumerate() {
                    add_scaled(
                        &mut vector,
                        2.0 * noise.next() * 0.8_f64.powi(n as i32),
                        direction,
                    );
                }
                vector
            })
            .collect()
    }

    #[test]
    fn axes_keep_nearly_as_much_as_the_best_that_there_are() {
        let vectors = vectors(500);
        let moments = moments(vectors.iter().cloned(), DIMENSIONS);
        let best = eigenvalues(moments.clone());
        let all: f64 = (0..DIMENSIONS).map(|n| moments[n * DIMENSIONS + n]).sum();
        assert!((all - 500.0).abs() < 1e-6, "each vector counts as one: {all}");
        for count in [1, 2, 5, 12, 23] {
            let axes = principal_axes(vectors.iter().cloned(), DIMENSIONS, count);
            check_orthonormal(&axes);
            let keeps: f64 = vectors
                .iter()
                .map(|vector| {
                    let along = axes.chunks_exact(DIMENSIONS).map(|axis| product(axis, vector));
                    along.map(|along| along * along).sum::<f64>() / product(vector, vector)
                })
                .sum();
            let most: f64 = best[..count].iter().sum();
            assert!(
                (0.998 * most..=most * 1.000_001).contains(&keeps),
                "{count}: {keeps} of {most}"
            );
        }
    }

    #[test]
    fn axes_are_orthonormal_even_where_there_is_nothing_to_keep() {
        for vectors in [
            vec![],
            vec![vec![0.0; DIMENSIONS]; 3],
            vec![vec![1e-30; DIMENSIONS]; 3],
        ] {
            check_orthonormal(&principal_axes(vectors.into_iter(), DIMENSIONS, 5));
        }
    }
}

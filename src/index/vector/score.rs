//! The score of a hit: from the vectors themselves, in full precision.

use super::{Metric, kernel};

/// A query that scores vectors.
pub struct Query<'a> {
    vector: &'a [f32],
    metric: Metric,
    /// The length of the query.
    length: f32,
}

impl<'a> Query<'a> {
    pub fn new(vector: &'a [f32], metric: Metric) -> Query<'a> {
        let (_, square) = kernel::dot_and_square(vector, vector);
        Query {
            vector,
            metric,
            length: square.sqrt(),
        }
    }

    /// Cosine, dot product, or minus the squared distance. Under cosine a vector without length scores 0.
    pub fn score(&self, vector: &[f32]) -> f32 {
        match self.metric {
            Metric::Cosine => {
                let (product, square) = kernel::dot_and_square(self.vector, vector);
                let lengths = self.length * square.sqrt();
                if lengths.is_normal() && square.is_normal() && product.is_finite() {
                    return (product / lengths).clamp(-1.0, 1.0);
                }
            }
            Metric::Dot => {
                let (product, _) = kernel::dot_and_square(self.vector, vector);
                if product.is_finite() {
                    return product;
                }
            }
            Metric::L2 => {
                let square = kernel::squared_distance(self.vector, vector);
                if square.is_finite() {
                    return -square;
                }
            }
        }
        self.score_wide(vector)
    }

    /// For numbers whose squares are too large or too small for an `f32`.
    fn score_wide(&self, vector: &[f32]) -> f32 {
        let sum = |term: fn(f64, f64) -> f64| -> f64 {
            self.vector
                .iter()
                .zip(vector)
                .map(|(&a, &b)| term(a.into(), b.into()))
                .sum()
        };
        let score = match self.metric {
            Metric::Cosine => {
                let lengths = sum(|a, _| a * a).sqrt() * sum(|_, b| b * b).sqrt();
                if lengths == 0.0 {
                    0.0
                } else {
                    sum(|a, b| a * b) / lengths
                }
            }
            Metric::Dot => sum(|a, b| a * b),
            Metric::L2 => -sum(|a, b| (a - b) * (a - b)),
        };
        score.clamp(f32::MIN.into(), f32::MAX.into()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(metric: Metric, query: &[f32], vector: &[f32], expected: f32) {
        let score = Query::new(query, metric).score(vector);
        assert!(
            (score - expected).abs() <= expected.abs() * 1e-6,
            "{score} instead of {expected}"
        );
    }

    #[test]
    fn each_metric_scores_as_it_is_defined() {
        check(Metric::Cosine, &[3.0, 4.0], &[8.0, 6.0], 0.96);
        check(Metric::Dot, &[3.0, 4.0], &[8.0, 6.0], 48.0);
        check(Metric::L2, &[3.0, 4.0], &[8.0, 6.0], -29.0);
    }

    #[test]
    fn a_score_is_a_number_whatever_the_lengths() {
        check(Metric::Cosine, &[1.0, 0.0], &[0.0, 0.0], 0.0);
        check(Metric::Cosine, &[3e-30, 4e-30], &[8e-30, 6e-30], 0.96);
        check(Metric::Cosine, &[3e30, 4e30], &[8e30, 6e30], 0.96);
        check(Metric::Cosine, &[3e-30, 4e-30], &[8e30, 6e30], 0.96);
        check(Metric::Dot, &[f32::MAX, f32::MAX], &[f32::MAX, -f32::MAX], 0.0);
        check(Metric::Dot, &[f32::MAX, f32::MAX], &[-2.0, -2.0], f32::MIN);
        check(Metric::L2, &[f32::MAX, 0.0], &[0.0, 0.0], f32::MIN);
    }
}

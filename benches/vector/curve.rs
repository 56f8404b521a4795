//! Recall against queries a second, and the speed at a recall that was not measured itself.

/// One width of the search, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub ef: usize,
    pub recall: f64,
    pub per_second: f64,
}

/// What an engine can do: the points at which no other is both faster and more exact, by recall.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(Vec<Point>);

impl Curve {
    pub fn new(mut points: Vec<Point>) -> Curve {
        points.sort_by(|a, b| {
            b.recall
                .total_cmp(&a.recall)
                .then(b.per_second.total_cmp(&a.per_second))
        });
        let mut best = 0.0;
        points.retain(|point| {
            let is_faster = point.per_second > best;
            best = point.per_second.max(best);
            is_faster
        });
        points.reverse();
        Curve(points)
    }

    pub fn points(&self) -> &[Point] {
        &self.0
    }

    /// Queries a second at a recall; `None` if it is not reached.
    ///
    /// Between two points the logarithm of the speed follows that of the misses. Below the first point it is that
    /// point's speed: nothing is assumed beyond what was measured.
    pub fn speed_at(&self, recall: f64) -> Option<f64> {
        let above = self.0.iter().position(|point| point.recall >= recall)?;
        let right = self.0[above];
        let Some(left) = above.checked_sub(1).map(|place| self.0[place]) else {
            return Some(right.per_second);
        };
        // No run is so long that a recall of 1 is known to more digits.
        let misses = |recall: f64| (1.0 - recall).max(1e-5).ln();
        let share = (misses(recall) - misses(left.recall)) / (misses(right.recall) - misses(left.recall));
        Some((left.per_second.ln() * (1.0 - share) + right.per_second.ln() * share).exp())
    }
}

//! How wide a search must be to find what share of the nearest: measured on the graph's own rows.
//!
//! The neighbours of a row are easier to find than those of a query, which is often no text like those that are
//! indexed. So what is searched for are rows that are bent towards others: on product texts and on vectors from a seed
//! they need about the width that real queries need.

use super::beam::Beam;
use super::codes::{QueryCode, Scores};
use super::graph::Graph;
use super::nearest::{Nearest, Scored};

/// Widths of a graph's search, ascending, each with the share of the ten nearest that it found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Rows of the graph that was measured.
    pub(super) rows: usize,
    /// Of width and share.
    pub(super) points: Vec<[f32; 2]>,
}

/// Queries: they have 640 neighbours, so that a share is right to about half a percent.
const QUERIES: usize = 64;

/// Neighbours of each.
const NEAREST: usize = 10;

const WIDTHS: [usize; 12] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// Wider searches than one that finds this share are not measured.
const ENOUGH: f32 = 0.9995;

/// The share of another row in what is searched for.
const BENT: f32 = 0.3;

/// Real queries differ: so many times fewer may be missed than asked for.
const SAFETY: f32 = 2.5;

impl Calibration {
    pub fn of(graph: &Graph) -> Calibration {
        let rows = graph.rows();
        let mut beam = Beam::default();
        let mut scores = Scores::default();
        let queries: Vec<_> = (0..QUERIES.min(rows.len()))
            .map(|n| {
                let row = n * rows.len() / QUERIES.min(rows.len());
                // Far away in the order of rows, which says nothing of their vectors.
                let other = (row + rows.len() / 2 + n) % rows.len();
                let pair = rows.vector(row).zip(rows.vector(other));
                let query: Vec<f32> = pair.map(|(a, b)| (1.0 - BENT) * a + BENT * b).collect();
                let query = QueryCode::new(&query, rows.quantization());
                rows.scores(&query, &mut scores);
                let mut nearest = Nearest::new(NEAREST);
                let scored = (0..).zip(&scores.values);
                scored.for_each(|(id, &score)| nearest.push(Scored { score, id }));
                (query, nearest.into_sorted())
            })
            .collect();
        let mut points = Vec::new();
        for width in WIDTHS {
            let (mut found, mut of) = (0, 0);
            for (query, nearest) in &queries {
                let mut near = graph.search(query, width.max(nearest.len()).into(), &mut beam);
                near.truncate(nearest.len());
                // Rows of one score are as good as each other.
                let worst = nearest.last().map_or(0.0, |worst| worst.score);
                found += near.iter().filter(|near| near.score >= worst).count();
                of += nearest.len();
            }
            let share = found as f32 / of.max(1) as f32;
            points.push([width as f32, share]);
            if share >= ENOUGH {
                break;
            }
        }
        Calibration {
            rows: rows.len(),
            points,
        }
    }

    /// Whether it still speaks for a graph of so many rows.
    pub fn holds(&self, rows: usize) -> bool {
        (self.rows / 2..=2 * self.rows).contains(&rows)
    }

    /// The width at which about this share of the `limit` nearest is found; `None` if no width measured is enough.
    pub fn width(&self, accuracy: f32, limit: usize) -> Option<usize> {
        let enough = self
            .points
            .iter()
            .find(|[_, share]| is_enough(*share, accuracy))?;
        Some((enough[0] as usize).saturating_mul(limit.div_ceil(NEAREST)))
    }

    /// The width at which about this share of the ten nearest is found, or the widest measured.
    pub fn width_about(&self, accuracy: f32) -> usize {
        let widest = self.points.last().map_or(0, |point| point[0] as usize);
        self.width(accuracy, NEAREST).unwrap_or(widest)
    }
}

fn is_enough(share: f32, accuracy: f32) -> bool {
    1.0 - share <= (1.0 - accuracy) / SAFETY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_accuracy_and_more_hits_need_more_width() {
        let calibration = Calibration {
            rows: 1_000,
            points: vec![[10.0, 0.9], [32.0, 0.98], [64.0, 0.997]],
        };
        assert_eq!(calibration.width(0.95, 10), Some(32));
        assert_eq!(calibration.width(0.95, 25), Some(96));
        assert_eq!(calibration.width(0.5, 1), Some(10));
        assert_eq!(calibration.width(0.99, 10), Some(64));
        assert_eq!(calibration.width(0.999, 10), None);
        assert_eq!(calibration.width_about(0.95), 32);
        assert_eq!(calibration.width_about(0.999), 64, "the widest there is");
        assert!(calibration.holds(2_000) && !calibration.holds(2_001) && !calibration.holds(499));
    }
}

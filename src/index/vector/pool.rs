//! The best rows that a search has met.

use multiversion::multiversion;

use super::beam::Breadth;
use super::nearest::Scored;

/// The best rows so far, best first, and which of them have been looked at.
#[derive(Default)]
pub struct Pool {
    /// Only the neighbours of the best so many are looked at.
    width: usize,
    /// So many are kept.
    kept: usize,
    /// Before those of the rows one that none is better than. Behind them, up to a whole number of strides, scores that
    /// any is better than, or of rows that are no longer kept.
    scores: Vec<f32>,
    /// Of each score; [`DONE`] is added to those that have been looked at, and where there is none.
    rows: Vec<u32>,
    /// All before have been looked at.
    next: usize,
    /// What was looked at last.
    few: Vec<u32>,
}

/// No graph has so many rows: a terabyte would not hold their codes and links.
const DONE: u32 = 1 << 31;

/// Scores that are compared, and moved, side by side. The steps of a binary search wait for each other.
const STRIDE: usize = 32;

impl Pool {
    pub fn reset(&mut self, breadth: Breadth) {
        self.width = breadth.width.max(1);
        self.kept = breadth.kept.max(self.width);
        let room = 1 + self.kept.next_multiple_of(STRIDE);
        self.scores.clear();
        self.scores.push(f32::INFINITY);
        self.scores.resize(room, f32::NEG_INFINITY);
        self.rows.clear();
        self.rows.resize(room, DONE);
        self.next = 1;
    }

    /// What a score must exceed to be taken.
    pub fn worst(&self) -> f32 {
        self.scores[self.kept]
    }

    pub fn insert(&mut self, score: f32, row: u32) {
        let place = insert(&mut self.scores, &mut self.rows, score, row);
        self.next = self.next.min(place);
    }

    /// The best few rows that have not been looked at; they have been now.
    pub fn next_few(&mut self, most: usize) -> &[u32] {
        self.few.clear();
        while self.few.len() < most
            && let Some(left) = self.rows.get_mut(self.next..=self.width)
            && let Some(passed) = left.iter().position(|row| row & DONE == 0)
        {
            self.few.push(left[passed]);
            left[passed] |= DONE;
            self.next += passed + 1;
        }
        &self.few
    }

    /// The rows that have not been looked at, best first.
    pub fn left(&self) -> impl Iterator<Item = u32> {
        let left = self.rows.get(self.next..=self.width).unwrap_or_default();
        left.iter().copied().filter(|row| row & DONE == 0)
    }

    pub fn found(&self) -> Vec<Scored> {
        let rows = self.scores.iter().zip(&self.rows).skip(1).take(self.kept);
        rows.take_while(|(score, _)| **score > f32::NEG_INFINITY)
            .map(|(&score, row)| Scored {
                score,
                id: row & !DONE,
            })
            .collect()
    }
}

/// Puts a score, and its row, behind those that are as good, and returns where; the last is dropped.
///
/// Scores descend. The first is infinite, and whole strides follow.
#[multiversion(targets(
    "x86_64+avx512f+avx512bw+avx512dq+avx512vl+popcnt",
    "x86_64+avx2+popcnt",
    "aarch64+neon"
))]
fn insert(scores: &mut [f32], rows: &mut [u32], score: f32, row: u32) -> usize {
    let mut start = scores.len() - 1;
    loop {
        start -= STRIDE;
        // With the one before the stride. Written without branches, which could not be foreseen.
        let (scores, rows) = (&mut scores[start..][..=STRIDE], &mut rows[start..][..=STRIDE]);
        let (mut new_scores, mut new_rows) = ([0.0; STRIDE], [0; STRIDE]);
        let mut staying = 0;
        for lane in 0..STRIDE {
            let (stays, follows) = (scores[lane + 1] >= score, scores[lane] >= score);
            staying += u32::from(stays);
            (new_scores[lane], new_rows[lane]) = if stays {
                (scores[lane + 1], rows[lane + 1])
            } else if follows {
                (score, row)
            } else {
                (scores[lane], rows[lane])
            };
        }
        scores[1..].copy_from_slice(&new_scores);
        rows[1..].copy_from_slice(&new_rows);
        if scores[0] >= score {
            return start + staying as usize + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of which many are the same, in no order.
    fn score(row: u32) -> f32 {
        (row.wrapping_mul(2_654_435_761) >> 25) as f32 - 64.0
    }

    #[test]
    fn the_best_are_kept_in_order_whatever_their_number() {
        for (width, kept) in [(1, 1), (3, 7), (31, 31), (32, 32), (33, 40), (64, 65), (100, 300)] {
            let mut pool = Pool::default();
            for rows in [0, 1, 20, 500] {
                pool.reset(Breadth { width, kept });
                for row in 0..rows {
                    let (worst, score) = (pool.worst(), score(row));
                    if score > worst {
                        pool.insert(score, row);
                    }
                }
                // Of one score, those that came first come first.
                let mut expected: Vec<(f32, u32)> = (0..rows).map(|row| (score(row), row)).collect();
                expected.sort_by(|a, b| b.0.total_cmp(&a.0));
                expected.truncate(kept);
                let found: Vec<(f32, u32)> = pool.found().iter().map(|row| (row.score, row.id)).collect();
                assert_eq!(found, expected, "{kept} of {rows}");
                let left: Vec<u32> = pool.left().collect();
                let among: Vec<u32> = expected.iter().take(width).map(|row| row.1).collect();
                assert_eq!(left, among);
            }
        }
    }

    #[test]
    fn each_of_the_best_is_looked_at_once() {
        let mut pool = Pool::default();
        pool.reset(Breadth { width: 3, kept: 5 });
        for row in [10, 20, 30, 40] {
            pool.insert(row as f32, row);
        }
        assert_eq!(pool.next_few(2), [40, 30]);
        pool.insert(35.0, 35);
        assert_eq!(pool.left().collect::<Vec<_>>(), [35]);
        pool.insert(50.0, 50);
        pool.insert(45.0, 45);
        assert_eq!(pool.next_few(4), [50, 45], "35 is the fourth now");
        assert!(pool.next_few(4).is_empty());
        let found: Vec<u32> = pool.found().iter().map(|row| row.id).collect();
        assert_eq!(found, [50, 45, 40, 35, 30]);
    }
}

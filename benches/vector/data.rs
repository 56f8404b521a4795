//! The vectors: clustered ones from a seed, and two real sets.
//!
//! All have length one, so that cosine, dot product and L2 rank alike and each engine may use its fastest.

use std::io::Write;
use std::path::Path;

use crate::common::{Random, public_data};

/// Rows of floats of one length.
#[derive(Clone)]
pub struct Vectors {
    pub dimensions: usize,
    pub floats: Vec<f32>,
}

/// What is searched, and what is asked.
pub struct Set {
    pub name: String,
    pub base: Vectors,
    pub queries: Vectors,
}

impl Vectors {
    pub fn len(&self) -> usize {
        self.floats.len() / self.dimensions
    }

    pub fn at(&self, row: usize) -> &[f32] {
        &self.floats[row * self.dimensions..][..self.dimensions]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.floats.chunks_exact(self.dimensions)
    }

    /// The first rows.
    pub fn head(&self, rows: usize) -> Vectors {
        Vectors {
            dimensions: self.dimensions,
            floats: self.floats[..rows * self.dimensions].to_vec(),
        }
    }

    /// Writes the rows as little-endian f32, without a header.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for value in &self.floats {
            file.write_all(&value.to_le_bytes())?;
        }
        file.flush()
    }

    fn normalised(mut self) -> Vectors {
        for row in self.floats.chunks_exact_mut(self.dimensions) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            row.iter_mut().for_each(|value| *value /= length);
        }
        self
    }
}

/// How strongly clusters differ in size: the largest of 500 holds 4 % of the vectors.
const SKEW: i32 = 2;

/// How far a cluster's vectors lie from its centre, against how far centres lie from each other.
const SPREAD: f32 = 0.9;

/// How fast the variance falls from one principal axis to the next: as 1 / axis.
const FALL: f32 = 0.5;

/// Vectors in clusters, from a seed: alike in what makes a graph's work hard or easy to those of real texts.
///
/// | | chorus-icecat, MiniLM | these, 384 dimensions |
/// |---|---|---|
/// | variance in the first 8, 32, 128 principal axes | 32, 58, 88 % | 40, 62, 86 % |
/// | intrinsic dimension around a query (maximum likelihood, 100 neighbours) | 23; around a document 8 | 13 |
/// | hnswlib at recall 0.984, 50,000 vectors | issue's real set: 16,400 /s | 17,000 /s |
pub struct Clustered {
    dimensions: usize,
    centres: Vec<f32>,
    /// An orthogonal matrix, so that no axis is a principal one.
    rotation: Vectors,
    random: Random,
}

impl Clustered {
    pub fn new(dimensions: usize, clusters: usize, seed: u64) -> Clustered {
        let mut random = Random(seed);
        let centres = (0..clusters * dimensions).map(|_| normal(&mut random)).collect();
        Clustered {
            dimensions,
            centres,
            rotation: rotation(dimensions, &mut random),
            random,
        }
    }

    /// More vectors of the same kind, and the cluster of each.
    pub fn draw(&mut self, rows: usize) -> (Vectors, Vec<u32>) {
        let dimensions = self.dimensions;
        let clusters = self.centres.len() / dimensions;
        let mut floats = Vec::with_capacity(rows * dimensions);
        let mut labels = Vec::with_capacity(rows);
        let mut axes = vec![0.0; dimensions];
        for _ in 0..rows {
            let uniform = self.random.below(1 << 24) as f64 / f64::from(1 << 24);
            let cluster = (clusters as f64 * uniform.powi(SKEW)) as usize;
            let centre = &self.centres[cluster * dimensions..][..dimensions];
            for (axis, (value, centre)) in axes.iter_mut().zip(centre).enumerate() {
                *value = (centre + SPREAD * normal(&mut self.random)) * (axis as f32 + 1.0).powf(-FALL);
            }
            floats.extend(self.rotation.iter().map(|row| crate::truth::dot(row, &axes)));
            labels.push(cluster as u32);
        }
        let vectors = Vectors { dimensions, floats };
        (vectors.normalised(), labels)
    }

    pub fn set(&mut self, rows: usize, queries: usize) -> Set {
        let (base, _) = self.draw(rows);
        Set {
            name: format!("clustered {rows} x {}", self.dimensions),
            base,
            queries: self.draw(queries).0,
        }
    }
}

/// 19,406 products and 135 real queries, embedded by MiniLM; without the data, `None` and the reason printed.
pub fn icecat() -> Option<Set> {
    let folder = public_data("search/chorus-icecat")?;
    let read = |file: &str| {
        let bytes = std::fs::read(folder.join(file)).expect("a readable file");
        let halves = bytes.as_chunks().0.iter();
        let floats = halves.map(|bytes| half(u16::from_le_bytes(*bytes))).collect();
        Vectors {
            dimensions: 384,
            floats,
        }
        .normalised()
    };
    Some(Set {
        name: "chorus-icecat 19406 x 384".into(),
        base: read("minilm384_docs.f16"),
        queries: read("minilm384_queries.f16"),
    })
}

/// 100,000 word vectors and 1,000 of rarer words; without the data, `None` and the reason printed.
pub fn glove() -> Option<Set> {
    let folder = public_data("search/glove-50-angular-100k")?;
    let read = |file: &str| {
        let bytes = std::fs::read(folder.join(file)).expect("a readable file");
        let words: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
        // Each row begins with its length.
        let rows = words.chunks_exact(51).flat_map(|row| &row[1..]);
        let floats = rows.map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Vectors {
            dimensions: 50,
            floats,
        }
        .normalised()
    };
    Some(Set {
        name: "glove 100000 x 50".into(),
        base: read("base.fvecs"),
        queries: read("query.fvecs"),
    })
}

/// A normally distributed number (Box and Muller).
fn normal(random: &mut Random) -> f32 {
    let mut uniform = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let (radius, angle) = (1.0 - uniform(), uniform());
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
}

/// An orthogonal matrix: random rows, each freed of its share in those before it (Gram and Schmidt).
fn rotation(dimensions: usize, random: &mut Random) -> Vectors {
    let mut rows = Vectors {
        dimensions,
        floats: Vec::with_capacity(dimensions * dimensions),
    };
    for _ in 0..dimensions {
        let mut row: Vec<f32> = (0..dimensions).map(|_| normal(random)).collect();
        for before in rows.iter() {
            let share = crate::truth::dot(before, &row);
            row.iter_mut()
                .zip(before)
                .for_each(|(value, before)| *value -= share * before);
        }
        let length = crate::truth::dot(&row, &row).sqrt();
        rows.floats.extend(row.iter().map(|value| value / length));
    }
    rows
}

/// An IEEE half as a float.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    sign * match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * (-24_f32).exp2(),
        exponent => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    }
}

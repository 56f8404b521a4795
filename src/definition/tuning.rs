//! How the vector leg weighs recall against time and memory: what `[index.graph]` says.

/// The width of a search that finds what `[index.graph]` or a query asks for, and what its graph is made of.
///
/// None of it says which vectors there are: a node that starts again with another tuning embeds nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Links that a row of the graph chooses, 2 to 64. HNSW's M.
    pub links: usize,
    /// Candidates among which it chooses them, at least as many. HNSW's efConstruction.
    pub build_width: usize,
    /// Of searches that do not say.
    pub effort: Effort,
    pub builder: Builder,
    pub quantization: Quantization,
    /// `None`: on disk where hits are scored without them and the node has a folder, in memory elsewhere.
    pub originals: Option<Originals>,
    /// `None`: rows of the graph have all dimensions of their vectors. Of others nothing is kept to score hits by, and
    /// `Int16` is `Int8`.
    pub reduce: Option<Reduce>,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            links: 16,
            build_width: 128,
            effort: Effort::default(),
            builder: Builder::default(),
            quantization: Quantization::default(),
            originals: None,
            reduce: None,
        }
    }
}

impl Tuning {
    /// Whether hits are scored by rows of the graph, and not by the vectors themselves.
    pub fn scores_rows(&self) -> bool {
        self.quantization == Quantization::Int16 && self.reduce.is_none()
    }
}

/// How hard a search tries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Effort {
    /// As the index's tuning says, or as much as most want.
    #[default]
    Usual,
    /// The width of the graph search. HNSW's ef.
    Width(usize),
    /// The share of the nearest to be found, as measured on the index's own vectors.
    Accuracy(f32),
    /// All are looked at.
    Exact,
}

impl Effort {
    /// The widest graph search. Wider than the deepest page of hits needs, it would be a scan by other means.
    pub const WIDTH_MAX: usize = 10_000;

    /// Whether a share of the nearest can be asked for: all of them are [`Effort::Exact`]'s.
    pub fn is_accuracy(share: f32) -> bool {
        share > 0.0 && share < 1.0
    }
}

/// What builds graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Builder {
    #[default]
    Millpond,
    /// The hnsw_rs crate: several times slower, and builds all anew each time.
    HnswRs,
}

/// What a row of the graph keeps of each component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantization {
    /// Two signed bytes: the first chooses candidates, as [`Quantization::Int8`], and both score them, a few more than
    /// are asked for. A component is off by no more than a 65,000th of the largest one.
    #[default]
    Int16,
    /// A signed byte: candidates are scored by the vectors themselves.
    Int8,
    /// A float of 16 bits, which chooses next to exactly: candidates are scored by the vectors themselves.
    F16,
}

/// Where the vectors themselves are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Originals {
    Memory,
    /// In a file, from which a search reads the few that it needs.
    Disk,
}

/// How rows of the graph have fewer dimensions than their vectors, by which hits are still scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// So many principal components, learned from the vectors.
    Pca(usize),
    /// The first so many components: for models that are trained to be cut (Matryoshka).
    Truncate(usize),
}

impl Reduce {
    /// Dimensions that are left.
    pub fn dimensions(self) -> usize {
        match self {
            Reduce::Pca(dimensions) | Reduce::Truncate(dimensions) => dimensions,
        }
    }
}

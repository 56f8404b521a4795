//! A vector as a code: its components as signed bytes, one or two, or as f16, in units of a scale that comes with it.

use super::Quantization;
use super::kernel::{self, half};

/// A vector's code.
pub struct Code {
    /// As a row keeps it.
    pub bytes: Vec<u8>,
    /// Of int16, what the bytes leave of each component; of others nothing.
    pub rest: Vec<u8>,
    /// What a component of one counts; of vectors of next to no length zero, as all their components are.
    pub scale: f32,
    /// The squared length, in units of the scale.
    pub square: f32,
}

impl Code {
    pub fn new(vector: &[f32], quantization: Quantization) -> Code {
        let largest = kernel::largest(vector);
        let scale = match quantization {
            Quantization::Int16 | Quantization::Int8 => largest / 127.0,
            // The power of two in it: so the largest component is from one to two, and scaling rounds nothing.
            Quantization::F16 => f32::from_bits(largest.to_bits() & f32::INFINITY.to_bits()),
        };
        let inverse = if scale < f32::MIN_POSITIVE {
            0.0
        } else {
            scale.recip()
        };
        match quantization {
            Quantization::Int16 | Quantization::Int8 => {
                let mut bytes = vec![0; vector.len()];
                let square = kernel::encode(vector, inverse, &mut bytes);
                let mut rest = Vec::new();
                if quantization == Quantization::Int16 {
                    rest.resize(vector.len(), 0);
                    kernel::encode_rest(vector, inverse, &bytes, &mut rest);
                }
                Code {
                    bytes,
                    rest,
                    scale,
                    square: square as f32,
                }
            }
            Quantization::F16 => {
                let halves = vector.iter().map(|value| half::narrow(value * inverse));
                let bytes: Vec<u8> = halves.flat_map(u16::to_le_bytes).collect();
                let square = half::values(&bytes).map(|value| value * value).sum();
                Code {
                    bytes,
                    rest: Vec::new(),
                    scale,
                    square,
                }
            }
        }
    }
}

impl Quantization {
    /// Bytes of a component in a code, without the rest.
    pub fn bytes(self) -> usize {
        match self {
            Quantization::Int16 | Quantization::Int8 => 1,
            Quantization::F16 => half::BYTES,
        }
    }

    /// The part of a score by which two codes' is off: three standard deviations of the rounding of components that are
    /// spread like a normal distribution.
    pub fn error(self, dimensions: usize) -> f32 {
        let of_one = match self {
            Quantization::Int16 | Quantization::Int8 => 0.05,
            Quantization::F16 => 0.0015,
        };
        of_one / (dimensions as f32).sqrt()
    }

    /// The components of a code, in units of its scale.
    pub fn values(self, code: &[u8]) -> Vec<f32> {
        match self {
            Quantization::Int16 | Quantization::Int8 => kernel::values(code).map(f32::from).collect(),
            Quantization::F16 => half::values(code).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_and_largest_vectors_have_codes() {
        for length in [0.0, 1e-45, 1e-38, 2e-36, 1e38, f32::MAX] {
            for (quantization, of_largest) in [(Quantization::Int8, 127.0), (Quantization::F16, 1.0)] {
                let code = Code::new(&[length, -length], quantization);
                let values = quantization.values(&code.bytes);
                let context = format!("{length} {quantization:?}: {values:?}");
                if length < 1e-37 {
                    assert!(
                        values.iter().all(|value| *value == 0.0) && code.square == 0.0,
                        "{context}"
                    );
                    continue;
                }
                assert!((of_largest..=2.0 * of_largest).contains(&values[0]), "{context}");
                assert_eq!(values[1], -values[0], "{context}");
                let error = (values[0] * (code.scale / length) - 1.0).abs();
                assert!(error < 1e-3, "{context}");
                assert_eq!(code.square, 2.0 * values[0] * values[0], "{context}");
            }
        }
    }

    #[test]
    fn a_component_is_off_by_no_more_than_half_a_step() {
        let vector: Vec<f32> = (1..2_000).map(|n| (n as f32).sin() / n as f32).collect();
        let largest = vector[0];
        for quantization in [Quantization::Int8, Quantization::F16] {
            let code = Code::new(&vector, quantization);
            for (value, exact) in quantization.values(&code.bytes).into_iter().zip(&vector) {
                let step = match quantization {
                    Quantization::Int8 => largest / 127.0,
                    _ => exact.abs() / 1_024.0 + largest * 2_f32.powi(-24),
                };
                let error = (value * code.scale - exact).abs();
                assert!(
                    error <= step * 0.500_001,
                    "{exact} {quantization:?}: off by {error}"
                );
            }
        }
    }
}

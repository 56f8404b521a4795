//! The tensors of a `model.safetensors`, as f32.

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Tensors by name. Some files put `bert.` or the like before all names but those of what stands on the model, which is
/// looked past.
pub struct Weights<'a> {
    tensors: SafeTensors<'a>,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// # Errors
    /// The bytes are no safetensors file, or it has no table of words.
    pub fn read(bytes: &'a [u8]) -> Result<Weights<'a>, String> {
        const WORDS: &str = "embeddings.word_embeddings.weight";
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| format!("it is no safetensors file: {error:?}"))?;
        let names = tensors.names();
        let prefix = names.iter().find_map(|name| name.strip_suffix(WORDS));
        let Some(prefix) = prefix.map(str::to_owned) else {
            return Err(format!("it has no tensor {WORDS}"));
        };
        Ok(Weights { tensors, prefix })
    }

    pub fn vector(&self, name: &str) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name)?;
        match tensor.shape() {
            [_] => values(name, &tensor),
            shape => Err(format!(
                "tensor {name} has shape {shape:?} instead of one dimension"
            )),
        }
    }

    /// A matrix whose rows have `width` numbers, row by row.
    pub fn rows(&self, name: &str, width: usize) -> Result<Vec<f32>, String> {
        let tensor = self.tensor(name)?;
        match tensor.shape() {
            [_, found] if *found == width => values(name, &tensor),
            shape => Err(format!(
                "tensor {name} has shape {shape:?} instead of rows of {width}"
            )),
        }
    }

    /// A matrix of `height` rows, column by column, and how many columns there are.
    pub fn transposed(&self, name: &str, height: usize) -> Result<(Vec<f32>, usize), String> {
        let tensor = self.tensor(name)?;
        let width = match tensor.shape() {
            [found, width] if *found == height && height > 0 && *width > 0 => *width,
            shape => {
                return Err(format!(
                    "tensor {name} has shape {shape:?} instead of {height} rows"
                ));
            }
        };
        let rows = values(name, &tensor)?;
        let mut columns = Vec::with_capacity(rows.len());
        for column in 0..width {
            columns.extend(rows.iter().skip(column).step_by(width));
        }
        Ok((columns, width))
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>, String> {
        self.tensors
            .tensor(&format!("{}{name}", self.prefix))
            .or_else(|_| self.tensors.tensor(name))
            .map_err(|_| format!("tensor {name} is missing"))
    }
}

fn values(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Ok(data
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()),
        Dtype::F16 => Ok(data
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f16::from_le_bytes(bytes).to_f32())
            .collect()),
        Dtype::BF16 => Ok(data
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| bf16::from_le_bytes(bytes).to_f32())
            .collect()),
        other => Err(format!(
            "tensor {name} has numbers of kind {other:?}; f32, f16 and bf16 can be read"
        )),
    }
}

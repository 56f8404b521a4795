//! The runtime of ONNX graphs, and the threads it runs on.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use super::bert::{IDS, MASK, POSITIONS, Places, TYPES};
use super::tokens::Tokens;
use crate::priority;

/// Outputs by the names that exporters give them, the best first.
const OUTPUTS: [&str; 4] = [
    "sentence_embedding",
    "last_hidden_state",
    "token_embeddings",
    "logits",
];

/// Documents are embedded behind everything else: a search must not wait for a thousand of them.
const NICENESS: i32 = 10;

/// A graph that runs.
pub struct Runtime {
    model: Model,
    inputs: Vec<(NodeId, Input)>,
    output: NodeId,
    documents: Documents,
}

/// What a batch gives.
pub enum Output {
    /// A vector a token, padding included: `[texts, tokens, dimensions]`.
    Tokens { values: Vec<f32>, dimensions: usize },
    /// A vector a text.
    Texts { values: Vec<f32>, dimensions: usize },
}

/// Who runs a batch.
#[derive(Clone, Copy)]
pub enum For {
    Documents,
    /// Somebody waits.
    Query,
}

#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
    Positions,
}

/// Threads at low priority that run a batch each. Two batches side by side are faster than two threads at one.
struct Documents {
    idle: Receiver<Arc<ThreadPool>>,
    back: Sender<Arc<ThreadPool>>,
}

impl Runtime {
    /// A graph in the bytes of an ONNX file.
    pub fn load(bytes: Vec<u8>, threads: usize) -> Result<Runtime, String> {
        Runtime::new(ModelOptions::with_all_ops().load(bytes), threads)
    }

    /// An ONNX file, with its weights in it or beside.
    pub fn open(file: &Path, threads: usize) -> Result<Runtime, String> {
        let model = ModelOptions::with_all_ops().load_file(file);
        Runtime::new(model, threads).map_err(|reason| format!("{}: {reason}", file.display()))
    }

    fn new(model: Result<Model, rten::LoadError>, threads: usize) -> Result<Runtime, String> {
        let model = model.map_err(|error| format!("it cannot be run: {error}"))?;
        let mut inputs = Vec::new();
        for &id in model.input_ids() {
            let name = model
                .node_info(id)
                .and_then(|info| info.name().map(str::to_owned));
            let name = name.unwrap_or_default();
            let input = match name.as_str() {
                IDS => Input::Ids,
                MASK => Input::Mask,
                TYPES => Input::Types,
                POSITIONS => Input::Positions,
                _ => return Err(format!("it has an input `{name}` that no text gives")),
            };
            inputs.push((id, input));
        }
        let named = OUTPUTS.iter().find_map(|name| {
            let id = model.find_node(name)?;
            model.output_ids().contains(&id).then_some(id)
        });
        let Some(output) = named.or_else(|| model.output_ids().first().copied()) else {
            return Err("it has no output".to_owned());
        };
        Ok(Runtime {
            model,
            inputs,
            output,
            documents: Documents::start(threads),
        })
    }

    /// Runs texts of tokens, each padded to so many.
    pub fn run(
        &self,
        texts: &[&Tokens],
        tokens: usize,
        places: &Places,
        whose: For,
    ) -> Result<Output, String> {
        let token = |text: usize, place: usize| texts.get(text).and_then(|text| text.ids.get(place)).copied();
        let kind =
            |text: usize, place: usize| texts.get(text).and_then(|text| text.types.get(place)).copied();
        let shape = [texts.len(), tokens];
        let tensor = |input: &Input| match input {
            Input::Ids => NdTensor::from_fn(shape, |[text, place]| {
                token(text, place).unwrap_or(places.pad()) as i32
            }),
            Input::Mask => NdTensor::from_fn(shape, |[text, place]| i32::from(token(text, place).is_some())),
            Input::Types => NdTensor::from_fn(shape, |[text, place]| kind(text, place).unwrap_or(0) as i32),
            Input::Positions => NdTensor::from_fn([1, tokens], |[_, place]| (places.first() + place) as i32),
        };
        let inputs = self.inputs.iter();
        let inputs: Vec<(NodeId, ValueOrView<'_>)> = inputs
            .map(|(id, input)| (*id, Value::from(tensor(input)).into()))
            .collect();
        let run = |pool: Option<Arc<ThreadPool>>| {
            let options = RunOptions::default().with_thread_pool(pool);
            self.model.run(inputs, &[self.output], Some(options))
        };
        let outputs = match whose {
            For::Documents => self.documents.run(run),
            For::Query => run(None),
        };
        let mut outputs = outputs.map_err(|error| error.to_string())?;
        let output: Tensor<f32> = outputs
            .pop()
            .and_then(|value| value.try_into().ok())
            .ok_or("its output has no numbers of f32")?;
        match *output.shape() {
            [found, length, dimensions] if found == texts.len() && length == tokens => Ok(Output::Tokens {
                values: output.to_vec(),
                dimensions,
            }),
            [found, dimensions] if found == texts.len() => Ok(Output::Texts {
                values: output.to_vec(),
                dimensions,
            }),
            [found] if found == texts.len() => Ok(Output::Texts {
                values: output.to_vec(),
                dimensions: 1,
            }),
            _ => Err(format!("its output has the shape {:?}", output.shape())),
        }
    }
}

impl Documents {
    fn start(threads: usize) -> Documents {
        let (back, idle) = crossbeam_channel::unbounded();
        for _ in 0..threads.max(1) {
            let pool = ThreadPool::with_num_threads(1);
            pool.run(|| priority::lower(NICENESS));
            // The other end is right here.
            let _ = back.send(Arc::new(pool));
        }
        Documents { idle, back }
    }

    /// Waits for a thread, and runs on it.
    fn run<T>(&self, run: impl FnOnce(Option<Arc<ThreadPool>>) -> T) -> T {
        struct Back<'a>(&'a Documents, Option<Arc<ThreadPool>>);
        // Also when the runtime panics.
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                if let Some(pool) = self.1.take() {
                    let _ = self.0.back.send(pool);
                }
            }
        }
        let pool = Back(self, self.idle.recv().ok());
        run(pool.1.clone())
    }
}

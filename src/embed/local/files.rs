//! What a model's own files say of it, in the layouts of sentence-transformers and model2vec.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::Xxh3;

/// Tokens of a text that count where no file says how many. Attention costs the square of it, and most models of
/// sentences have learned from no longer texts.
const TOKENS_MAX: usize = 256;

/// The folder of a model, and its ONNX file if it has one.
pub struct Files {
    folder: PathBuf,
    onnx: Option<PathBuf>,
    /// The path names the ONNX file, so nothing else is run.
    onnx_named: bool,
    /// `modules.json`; empty where absent.
    modules: Vec<Module>,
}

pub enum Kind {
    /// A vector a token.
    Static,
    Transformer(Parts),
}

/// What is done around a transformer.
#[derive(Debug)]
pub struct Parts {
    pub pooling: Pooling,
    pub normalised: bool,
    /// Tokens of a text that count, special ones included.
    pub tokens_max: usize,
}

/// How the vectors of tokens become that of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pooling {
    Mean,
    /// That of the first token.
    First,
}

/// Prefixes that the model has learned with.
#[derive(Default)]
pub struct Prompts {
    pub query: String,
    pub document: String,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Module {
    /// The last part of the name of its class.
    fn class(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }
}

impl Files {
    /// # Errors
    /// There is no model; says what was looked for.
    pub fn find(path: &Path) -> Result<Files, String> {
        let onnx_named = path.is_file();
        let (folder, onnx) = if onnx_named {
            (folder_of(path)?, Some(path.to_owned()))
        } else if path.is_dir() {
            let files = ["model.onnx", "onnx/model.onnx"].map(|name| path.join(name));
            (path.to_owned(), files.into_iter().find(|file| file.is_file()))
        } else {
            return Err("there is no such folder".to_owned());
        };
        let modules = read(&folder.join("modules.json"))?.unwrap_or_default();
        Ok(Files {
            folder,
            onnx,
            onnx_named,
            modules,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// The model is of a kind that cannot be run, or a file is damaged.
    pub fn kind(&self) -> Result<Kind, String> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            model_type: String,
        }
        let config: Option<Config> = self.json("config.json")?;
        let model2vec = config.is_some_and(|config| config.model_type == "model2vec");
        if model2vec
            || self
                .modules
                .iter()
                .any(|module| module.class() == "StaticEmbedding")
        {
            return Ok(Kind::Static);
        }
        for module in &self.modules {
            if !["Transformer", "Pooling", "Normalize"].contains(&module.class()) {
                return Err(format!(
                    "modules.json has a module {}; `Transformer`, `Pooling`, `Normalize` and `StaticEmbedding` can be run",
                    module.class()
                ));
            }
        }
        Ok(Kind::Transformer(Parts {
            pooling: self.pooling()?,
            normalised: self.modules.is_empty() || self.module("Normalize").is_some(),
            tokens_max: self.tokens_max()?,
        }))
    }

    fn module(&self, class: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.class() == class)
    }

    fn pooling(&self) -> Result<Pooling, String> {
        #[derive(Deserialize)]
        struct Config {
            /// As newer files say it.
            pooling_mode: Option<String>,
            #[serde(default)]
            pooling_mode_cls_token: bool,
            #[serde(default)]
            pooling_mode_mean_tokens: bool,
        }
        let folder = self.module("Pooling").map_or("1_Pooling", |module| &module.path);
        let config: Option<Config> = read(&self.folder.join(folder).join("config.json"))?;
        let Some(config) = config else {
            return Ok(Pooling::Mean);
        };
        match (
            config.pooling_mode.as_deref(),
            config.pooling_mode_cls_token,
            config.pooling_mode_mean_tokens,
        ) {
            (Some("mean"), ..) | (None, false, true) => Ok(Pooling::Mean),
            (Some("cls"), ..) | (None, true, false) => Ok(Pooling::First),
            _ => Err(format!(
                "{folder}/config.json asks for another pooling than the mean or the first token"
            )),
        }
    }

    fn tokens_max(&self) -> Result<usize, String> {
        #[derive(Deserialize)]
        struct Sentence {
            max_seq_length: Option<usize>,
        }
        const NAMES: [&str; 3] = ["bert", "roberta", "xlm-roberta"];
        for name in NAMES {
            let config: Option<Sentence> = read(
                &self
                    .folder
                    .join(format!("sentence_{}_config.json", name.replace('-', "_"))),
            )?;
            if let Some(found) = config
                .and_then(|config| config.max_seq_length)
                .filter(|found| *found > 2)
            {
                return Ok(found);
            }
        }
        Ok(TOKENS_MAX)
    }

    /// # Errors
    /// `config_sentence_transformers.json` is damaged.
    pub fn prompts(&self) -> Result<Prompts, String> {
        #[derive(Default, Deserialize)]
        struct Found {
            query: Option<String>,
            document: Option<String>,
            passage: Option<String>,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            prompts: Option<Found>,
        }
        let config: Option<Config> = self.json("config_sentence_transformers.json")?;
        let found = config.and_then(|config| config.prompts).unwrap_or_default();
        Ok(Prompts {
            query: found.query.unwrap_or_default(),
            document: found.document.or(found.passage).unwrap_or_default(),
        })
    }

    /// The ONNX file, if there is one.
    pub fn onnx(&self) -> Option<&Path> {
        self.onnx.as_deref()
    }

    /// `model.safetensors`, unless an ONNX file was named instead.
    pub fn weights(&self) -> Option<PathBuf> {
        let path = self.folder.join("model.safetensors");
        (!self.onnx_named && path.is_file()).then_some(path)
    }

    /// A JSON file of the folder, if there is one.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        read(&self.folder.join(name))
    }

    /// The bytes of a file of the folder.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.folder.join(name);
        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Names the model by what is in its files, wherever they lie.
    pub fn name(&self) -> String {
        let mut hash = Xxh3::new();
        let inside = [
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "0_StaticEmbedding/model.safetensors",
        ];
        let files = inside
            .iter()
            .map(|name| self.folder.join(name))
            .chain(self.onnx.iter().flat_map(|onnx| onnx_files(onnx)));
        for file in files {
            // An absent file is as good as an empty one: another one is then missing, and says so.
            hash.update(&std::fs::read(file).unwrap_or_default());
        }
        format!("local-{:016x}", hash.digest())
    }
}

/// An ONNX file and those with the weights that it leaves out: exporters name them after it, `model.onnx_data` or
/// `model.onnx.data`.
fn onnx_files(onnx: &Path) -> Vec<PathBuf> {
    let name = onnx.file_name().unwrap_or_default().as_encoded_bytes();
    let beside = onnx.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let is_of_it = |path: &PathBuf| {
        let other = path.file_name().unwrap_or_default();
        other.as_encoded_bytes().starts_with(name)
    };
    let mut files: Vec<PathBuf> = beside
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_of_it)
        .collect();
    files.sort();
    files
}

/// The folder of an ONNX file: its own, or the one above `onnx/`.
fn folder_of(file: &Path) -> Result<PathBuf, String> {
    if file.extension().is_none_or(|extension| extension != "onnx") {
        return Err("it is a file, and neither a folder nor an ONNX file".to_owned());
    }
    let folders = file.ancestors().skip(1).take(2);
    let found = folders
        .into_iter()
        .find(|folder| folder.join("tokenizer.json").is_file());
    found
        .map(Path::to_owned)
        .ok_or_else(|| "there is no tokenizer.json beside the ONNX file, nor in the folder above".to_owned())
}

/// A JSON file, or `None` where it is absent.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_all_its_weights_and_by_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &str| std::fs::write(folder.path().join(name), bytes).unwrap();
        let name = || Files::find(folder.path()).unwrap().name();
        write("config.json", "{}");
        write("model.onnx", "graph");
        write("model.onnx_data", "weights");
        let before = name();
        write("README.md", "nothing that is computed with");
        assert_eq!(name(), before);
        write("model.onnx_data", "other weights");
        let after = name();
        assert_ne!(after, before);
        write("model.onnx_data_1", "more weights");
        assert_ne!(name(), after);
    }
}

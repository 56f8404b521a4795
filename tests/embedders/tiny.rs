//! Models so small that a test can make them.

use std::cell::RefCell;
use std::path::Path;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use serde_json::{Value, json};

use crate::shared::Random;

pub const WORDS: [&str; 12] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "shoe", "boot", "warm", "river", "stone", "bread",
];
pub const HIDDEN: usize = 8;
const WIDE: usize = 16;
const PLACES: usize = 20;
const LAYERS: usize = 2;

/// `[CLS] words [SEP]`, cut at so many.
pub fn ids(text: &str, tokens_max: usize) -> Vec<u32> {
    let id = |word: &str| WORDS.iter().position(|known| *known == word).unwrap_or(1) as u32;
    let words = text.split_whitespace().take(tokens_max - 2).map(id);
    [2].into_iter().chain(words).chain([3]).collect()
}

/// `[CLS] query [SEP] text [SEP]` with the type of each token: the text is cut, and the query at half of the room.
pub fn pair(query: &str, text: &str, tokens_max: usize) -> (Vec<u32>, Vec<u32>) {
    let room = tokens_max - 3;
    let words = |text: &str| text.split_whitespace().count();
    let of_query = words(query).min(room / 2);
    let of_text = words(text).min(room - of_query);
    let mut pair = ids(query, of_query + 2);
    let types = [vec![0; pair.len()], vec![1; of_text + 1]].concat();
    pair.extend(&ids(text, of_text + 2)[1..]);
    (pair, types)
}

/// A text of random known words.
pub fn text(random: &mut Random, words: usize) -> String {
    let words: Vec<&str> = (0..words).map(|_| WORDS[4 + random.below(8)]).collect();
    words.join(" ")
}

/// A transformer of the family `kind` with random weights; tensors are named with `prefix` before.
pub fn bert(folder: &Path, kind: &str, prefix: &str) {
    bert_with(folder, kind, prefix, &[]);
}

/// The same with a classifier of so many labels on it, whose tensors have no prefix but BERT's pooler.
pub fn cross_encoder(folder: &Path, kind: &str, labels: usize) {
    let (prefix, dense, out) = match kind {
        "bert" => ("bert.", "bert.pooler.dense", "classifier"),
        _ => ("roberta.", "classifier.dense", "classifier.out_proj"),
    };
    bert_with(
        folder,
        kind,
        prefix,
        &[(dense, [HIDDEN, HIDDEN]), (out, [labels, HIDDEN])],
    );
}

fn bert_with(folder: &Path, kind: &str, prefix: &str, head: &[(&str, [usize; 2])]) {
    let config = json!({
        "model_type": kind, "hidden_size": HIDDEN, "num_attention_heads": 2, "num_hidden_layers": LAYERS,
        "intermediate_size": WIDE, "max_position_embeddings": PLACES, "layer_norm_eps": 1e-5, "hidden_act": "gelu",
        "pad_token_id": 0, "vocab_size": WORDS.len(), "type_vocab_size": 2,
    });
    write(folder, "config.json", &config);
    tokenizer(folder);
    let mut tensors = vec![
        (
            "embeddings.word_embeddings.weight".to_owned(),
            vec![WORDS.len(), HIDDEN],
        ),
        (
            "embeddings.position_embeddings.weight".to_owned(),
            vec![PLACES, HIDDEN],
        ),
        (
            "embeddings.token_type_embeddings.weight".to_owned(),
            vec![2, HIDDEN],
        ),
    ];
    let mut linear = |name: &str, shape: [usize; 2]| {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), vec![shape[0]]));
    };
    for layer in 0..LAYERS {
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            linear(
                &format!("encoder.layer.{layer}.attention.{part}"),
                [HIDDEN, HIDDEN],
            );
        }
        linear(
            &format!("encoder.layer.{layer}.intermediate.dense"),
            [WIDE, HIDDEN],
        );
        linear(&format!("encoder.layer.{layer}.output.dense"), [HIDDEN, WIDE]);
    }
    let layers = (0..LAYERS)
        .flat_map(|layer| ["attention.output", "output"].map(|part| format!("encoder.layer.{layer}.{part}")));
    for name in layers.chain(["embeddings".to_owned()]) {
        for part in ["weight", "bias"] {
            tensors.push((format!("{name}.LayerNorm.{part}"), vec![HIDDEN]));
        }
    }
    let mut tensors: Vec<(String, Vec<usize>)> = tensors
        .into_iter()
        .map(|(name, shape)| (format!("{prefix}{name}"), shape))
        .collect();
    for (name, shape) in head {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), vec![shape[0]]));
    }
    let mut random = Random::new(7);
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let values = (0..shape.iter().product()).map(|_| random.below(2001) as f32 / 1000.0 - 1.0);
        (name, shape, values.collect::<Vec<f32>>())
    });
    safetensors(&folder.join("model.safetensors"), tensors.collect());
}

/// A tokenizer of whole words, that cuts and pads elsewhere than its model wants.
pub fn tokenizer(folder: &Path) {
    let vocabulary: serde_json::Map<String, Value> = WORDS
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).to_owned(), json!(id)))
        .collect();
    let special = |id: usize| json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let template = |id: usize| json!({"id": WORDS[id], "ids": [id], "tokens": [WORDS[id]]});
    let json = json!({
        "version": "1.0",
        "truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
            ],
            "special_tokens": {"[CLS]": template(2), "[SEP]": template(3)},
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    write(folder, "tokenizer.json", &json);
}

/// The files that sentence-transformers puts beside a model.
pub fn sentence_files(folder: &Path, modules: &[&str], pooling: &Value, tokens_max: usize) {
    let modules: Vec<Value> = modules
        .iter()
        .enumerate()
        .map(|(idx, kind)| {
            let path = if *kind == "Transformer" { String::new() } else { format!("{idx}_{kind}") };
            json!({"idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")})
        })
        .collect();
    write(folder, "modules.json", &json!(modules));
    write(folder, "1_Pooling/config.json", pooling);
    write(
        folder,
        "sentence_bert_config.json",
        &json!({"max_seq_length": tokens_max, "do_lower_case": false}),
    );
}

pub fn write(folder: &Path, name: &str, json: &Value) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, json.to_string()).unwrap();
}

/// The format by its description: the length of a JSON header, the header, the numbers.
fn safetensors(path: &Path, tensors: Vec<(String, Vec<usize>, Vec<f32>)>) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(
            name,
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(path, bytes).unwrap();
}

/// An ONNX file that gives each token its row of a table, `[tokens, width]`, as `last_hidden_state`; or the sum of a
/// text's rows as `sentence_embedding`.
pub fn onnx(path: &Path, table: &[f32], width: usize, summed: bool) {
    let value = |name: &str, kind| {
        let mut tensor = TypeProtoTensor::default();
        tensor.elem_type = Some(kind);
        let mut wrapped = TypeProto::default();
        wrapped.tensor_type = Some(tensor);
        let mut value = ValueInfoProto::default();
        value.name = Some(name.to_owned());
        value.r#type = Some(wrapped);
        value
    };
    let node = |operator: &str, inputs: &[&str], output: &str| {
        let mut node = NodeProto::default();
        node.op_type = Some(operator.to_owned());
        node.input = inputs.iter().map(|&input| input.to_owned()).collect();
        node.output = vec![output.to_owned()];
        node
    };
    let tensor = |name: &str, kind, dims: Vec<usize>, bytes: Vec<u8>| {
        let mut tensor = TensorProto::default();
        tensor.name = Some(name.to_owned());
        tensor.data_type = Some(kind);
        tensor.dims = dims.into_iter().map(|length| length as i64).collect();
        tensor.raw_data = Some(RefCell::new(bytes));
        tensor
    };
    let mut graph = GraphProto::default();
    graph.input = ["input_ids", "attention_mask", "token_type_ids"]
        .map(|name| value(name, DataType::INT64))
        .to_vec();
    let bytes = table.iter().flat_map(|value| value.to_le_bytes()).collect();
    graph.initializer = vec![tensor(
        "table",
        DataType::FLOAT,
        vec![table.len() / width, width],
        bytes,
    )];
    graph.node = vec![node("Gather", &["table", "input_ids"], "last_hidden_state")];
    graph.output = vec![value("last_hidden_state", DataType::FLOAT)];
    if summed {
        graph.initializer.push(tensor(
            "axis",
            DataType::INT64,
            vec![1],
            1i64.to_le_bytes().to_vec(),
        ));
        let mut sum = node("ReduceSum", &["last_hidden_state", "axis"], "sentence_embedding");
        let mut keep = AttributeProto::default();
        keep.name = Some("keepdims".to_owned());
        keep.r#type = Some(AttributeType::INT);
        keep.i = Some(0);
        sum.attribute = vec![keep];
        graph.node.push(sum);
        graph.output.push(value("sentence_embedding", DataType::FLOAT));
    }
    let mut operators = OperatorSetIdProto::default();
    operators.version = Some(17);
    let mut model = ModelProto::default();
    model.ir_version = Some(8);
    model.opset_import = vec![operators];
    model.graph = Some(graph);
    std::fs::write(path, model.write_buf().unwrap()).unwrap();
}

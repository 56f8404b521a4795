//! Writes a model as an ONNX graph, in memory: for models that come as weights without one.

use std::cell::RefCell;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// Where operators are defined that are not in ONNX itself: fused attention.
pub const CONTRIB: &str = "com.microsoft";

/// The version of ONNX whose operators are used: the first with `Gelu`.
const OPERATORS_VERSION: i64 = 20;
const FORMAT_VERSION: i64 = 9;

/// A graph that grows by an operator at a time; a value is named by a text.
#[derive(Default)]
pub struct Graph {
    graph: GraphProto,
}

/// What an operator is set to.
pub enum Setting {
    Integer(i64),
    Number(f32),
}

impl Graph {
    /// A tensor of integers that is given at every run.
    pub fn input(&mut self, name: &str) {
        let mut tensor = TypeProtoTensor::default();
        tensor.elem_type = Some(DataType::INT32);
        let mut kind = TypeProto::default();
        kind.tensor_type = Some(tensor);
        let mut input = ValueInfoProto::default();
        input.name = Some(name.to_owned());
        input.r#type = Some(kind);
        self.graph.input.push(input);
    }

    /// A tensor that is part of the model.
    pub fn weights(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let mut tensor = TensorProto::default();
        tensor.name = Some(name.to_owned());
        tensor.dims = shape.iter().map(|&length| length as i64).collect();
        tensor.data_type = Some(DataType::FLOAT);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensor.raw_data = Some(RefCell::new(bytes));
        self.graph.initializer.push(tensor);
        name.to_owned()
    }

    /// A single integer that is part of the model.
    pub fn integer(&mut self, name: &str, value: i64) -> String {
        let mut tensor = TensorProto::default();
        tensor.name = Some(name.to_owned());
        tensor.data_type = Some(DataType::INT64);
        tensor.raw_data = Some(RefCell::new(value.to_le_bytes().to_vec()));
        self.graph.initializer.push(tensor);
        name.to_owned()
    }

    /// Applies an ONNX operator; gives the name of its result.
    pub fn apply(&mut self, operator: &str, inputs: &[&str], settings: &[(&str, Setting)]) -> String {
        self.apply_of("", operator, inputs, settings)
    }

    /// The same, of an operator that another `domain` defines. An empty input is left out.
    pub fn apply_of(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        settings: &[(&str, Setting)],
    ) -> String {
        let result = format!("{operator}_{}", self.graph.node.len());
        let mut node = NodeProto::default();
        node.domain = Some(domain.to_owned());
        node.op_type = Some(operator.to_owned());
        node.name = Some(result.clone());
        node.input = inputs.iter().map(|&input| input.to_owned()).collect();
        node.output = vec![result.clone()];
        node.attribute = settings
            .iter()
            .map(|(name, setting)| attribute(name, setting))
            .collect();
        self.graph.node.push(node);
        result
    }

    /// The graph with one output, as the bytes of an ONNX file; `None` if it is too large for one.
    pub fn finish(mut self, output: &str) -> Option<Vec<u8>> {
        let mut value = ValueInfoProto::default();
        value.name = Some(output.to_owned());
        self.graph.output.push(value);
        let mut model = ModelProto::default();
        model.ir_version = Some(FORMAT_VERSION);
        model.opset_import = vec![version_of("", OPERATORS_VERSION), version_of(CONTRIB, 1)];
        model.graph = Some(self.graph);
        model.write_buf().ok()
    }
}

fn attribute(name: &str, setting: &Setting) -> AttributeProto {
    let mut attribute = AttributeProto::default();
    attribute.name = Some(name.to_owned());
    match setting {
        Setting::Integer(value) => {
            attribute.r#type = Some(AttributeType::INT);
            attribute.i = Some(*value);
        }
        Setting::Number(value) => {
            attribute.r#type = Some(AttributeType::FLOAT);
            attribute.f = Some(*value);
        }
    }
    attribute
}

fn version_of(domain: &str, version: i64) -> OperatorSetIdProto {
    let mut operators = OperatorSetIdProto::default();
    operators.domain = Some(domain.to_owned());
    operators.version = Some(version);
    operators
}

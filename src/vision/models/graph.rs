//! Writes an ONNX graph, node after node.
//!
//! Names are counted, fields are encoded in the order of their tags, and every number is computed
//! in the same order on every machine: so the bytes of a model depend on its sources alone.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

/// The version of the operators' definitions: the oldest in which all that we use is as written.
const OPSET: i64 = 13;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;

/// The input of every model that we write.
pub(super) const INPUT: &str = "input";

/// Numbers with the lengths of their dimensions, outermost first. Whole numbers are kept as floats
/// too: those of the models are small.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The place of a value in the graph: its name.
#[derive(Clone, Debug)]
pub(super) struct Value(String);

/// A dimension of an input or output.
#[derive(Clone, Copy)]
pub(super) enum Dim {
    Is(i64),
    /// Any length; the same name means the same length.
    Named(&'static str),
}

pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Text(&'static str),
}

/// What surrounds the picture that a filter runs over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    None,
    /// So much that stride 1 keeps the size; an odd rest goes right and below.
    Same,
}

/// How a convolution runs.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    pub(super) stride: i64,
    pub(super) padding: Padding,
    /// One filter per channel, none of which sees another channel.
    pub(super) depthwise: bool,
}

#[derive(Default)]
pub(super) struct Graph {
    proto: GraphProto,
    values: usize,
}

impl Graph {
    /// A graph with one input of these dimensions.
    pub(super) fn new(name: &str, input: &[Dim]) -> (Self, Value) {
        let mut graph = Self::default();
        graph.proto.name = name.to_owned();
        graph.proto.input.push(described(INPUT, input));
        (graph, Value(INPUT.to_owned()))
    }

    /// Numbers that the graph carries with it.
    pub(super) fn constant(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(shape, DataType::Float, raw_data)
    }

    /// Whole numbers, as shapes and paddings are given.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(&[values.len()], DataType::Int64, raw_data)
    }

    /// Adds an operation with one output.
    pub(super) fn op(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: Vec<(&str, Attribute)>,
    ) -> Value {
        let output = self.next_name("t");
        self.proto.node.push(NodeProto {
            op_type: kind.to_owned(),
            name: output.0.clone(),
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            output: vec![output.0.clone()],
            attribute: attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
            ..NodeProto::default()
        });
        output
    }

    /// A convolution whose filters lie as TensorFlow keeps them: height, width, in, out; of a
    /// depthwise one: height, width, channel, 1.
    pub(super) fn convolution(
        &mut self,
        input: &Value,
        filters: &Tensor,
        bias: Option<&[f32]>,
        how: Convolution,
    ) -> Value {
        let [height, width, ..] = filters.shape[..] else { unreachable!("filters have 4 dims") };
        let (shape, values) = output_first(filters, how.depthwise);
        let weights = self.constant(&shape, &values);
        let bias = bias.map(|values| self.constant(&[values.len()], values));
        let groups = if how.depthwise { shape[0] } else { 1 };
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![as_dim(height), as_dim(width)])),
            ("strides", Attribute::Ints(vec![how.stride; 2])),
            ("group", Attribute::Int(as_dim(groups))),
            padding(how.padding),
        ];
        let inputs: Vec<&Value> = [input, &weights].into_iter().chain(&bias).collect();
        self.op("Conv", &inputs, attributes)
    }

    pub(super) fn relu(&mut self, input: &Value) -> Value {
        self.op("Relu", &[input], Vec::new())
    }

    /// Names a value as an output of the model.
    pub(super) fn output(&mut self, value: &Value, name: &str, dims: &[Dim]) {
        self.proto.node.push(NodeProto {
            op_type: "Identity".to_owned(),
            name: name.to_owned(),
            input: vec![value.0.clone()],
            output: vec![name.to_owned()],
            ..NodeProto::default()
        });
        self.proto.output.push(described(name, dims));
    }

    /// The file.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "kinora".to_owned(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            graph: Some(self.proto),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    fn initializer(&mut self, shape: &[usize], kind: DataType, raw_data: Vec<u8>) -> Value {
        let value = self.next_name("c");
        self.proto.initializer.push(TensorProto {
            name: value.0.clone(),
            dims: shape.iter().map(|length| as_dim(*length)).collect(),
            data_type: kind as i32,
            raw_data,
            ..TensorProto::default()
        });
        value
    }

    fn next_name(&mut self, kind: &str) -> Value {
        self.values += 1;
        Value(format!("{kind}{}", self.values))
    }
}

/// The attribute that says what surrounds the picture.
pub(super) fn padding(padding: Padding) -> (&'static str, Attribute) {
    match padding {
        Padding::None => ("pads", Attribute::Ints(vec![0; 4])),
        Padding::Same => ("auto_pad", Attribute::Text("SAME_UPPER")),
    }
}

/// The length of a dimension as ONNX writes it.
pub(super) fn as_dim(length: usize) -> i64 {
    i64::try_from(length).expect("a dimension of a model fits in 63 bits")
}

/// Height, width, in, out → out, in, height, width; with depthwise, in and out change roles.
fn output_first(filters: &Tensor, depthwise: bool) -> (Vec<usize>, Vec<f32>) {
    let [height, width, third, fourth] = filters.shape[..] else {
        unreachable!("filters have 4 dims")
    };
    let (outputs, inputs) = if depthwise { (third, fourth) } else { (fourth, third) };
    let mut values = Vec::with_capacity(filters.values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            let (c, d) = if depthwise { (output, input) } else { (input, output) };
            for place in 0..height * width {
                values.push(filters.values[(place * third + c) * fourth + d]);
            }
        }
    }
    (vec![outputs, inputs, height, width], values)
}

fn attribute(name: &str, value: Attribute) -> AttributeProto {
    let mut proto = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    let kind = match value {
        Attribute::Int(value) => {
            proto.i = value;
            AttributeType::Int
        }
        Attribute::Ints(values) => {
            proto.ints = values;
            AttributeType::Ints
        }
        Attribute::Text(text) => {
            proto.s = text.as_bytes().to_vec();
            AttributeType::String
        }
    };
    proto.r#type = kind as i32;
    proto
}

fn described(name: &str, dims: &[Dim]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension};
    let dim = dims.iter().map(|dim| Dimension {
        value: Some(match dim {
            Dim::Is(length) => dimension::Value::DimValue(*length),
            Dim::Named(name) => dimension::Value::DimParam((*name).to_owned()),
        }),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

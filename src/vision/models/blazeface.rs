//! BlazeFace, the variant for faces at a distance ("back"): a TensorFlow.js graph → ONNX.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value as Json;

use super::ConvertError;
use super::graph::{Attribute, Convolution, Dim, Graph, Padding, Tensor, Value, as_dim, padding};
use super::tfjs::{Group, Weights};

/// The graph's outputs, ours names for them, and numbers per anchor: scores and boxes with key
/// points, of the cells of 16 and of 32 pixels.
const OUTPUTS: [(&str, &str, i64); 4] = [
    ("Identity", "scores16", 1),
    ("Identity_1", "scores32", 1),
    ("Identity_2", "boxes16", 16),
    ("Identity_3", "boxes32", 16),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    model_topology: Topology,
    weights_manifest: Vec<Group>,
}

#[derive(Deserialize)]
struct Topology {
    node: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    op: String,
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    attr: HashMap<String, Json>,
}

pub(super) fn convert(description: &[u8], weights: &[u8]) -> Result<Graph, ConvertError> {
    let description: Description = serde_json::from_slice(description)?;
    let weights = Weights::read(&description.weights_manifest, weights)?;
    let input = [Dim::Is(1), Dim::Is(3), Dim::Named("height"), Dim::Named("width")];
    let (graph, input) = Graph::new("blazeface-back", &input);
    let mut conversion = Conversion { graph, input, weights, values: HashMap::new() };
    // The nodes are listed so that inputs come first.
    for node in description.model_topology.node.iter().filter(|node| node.op != "Const") {
        let value = conversion.node(node)?;
        conversion.values.insert(node.name.clone(), value);
    }
    for (theirs, ours, numbers) in OUTPUTS {
        let value = conversion.value(theirs)?;
        let dims = [Dim::Is(1), Dim::Named(ours), Dim::Is(numbers)];
        conversion.graph.output(&value, ours, &dims);
    }
    Ok(conversion.graph)
}

struct Conversion {
    graph: Graph,
    input: Value,
    weights: Weights,
    values: HashMap<String, Value>,
}

impl Conversion {
    fn node(&mut self, node: &Node) -> Result<Value, ConvertError> {
        match node.op.as_str() {
            "Placeholder" => Ok(self.input.clone()),
            "Identity" => self.value(node.input(0)?),
            "_FusedConv2D" => self.convolution(node),
            "DepthwiseConv2dNative" => {
                let input = self.value(node.input(0)?)?;
                let filters = self.weights.get(node.input(1)?)?;
                Ok(self.graph.convolution(&input, filters, None, node.how(true)?))
            }
            "AddV2" => {
                let (a, b) = (self.value(node.input(0)?)?, self.value(node.input(1)?)?);
                Ok(self.graph.op("Add", &[&a, &b], Vec::new()))
            }
            "Relu" => {
                let input = self.value(node.input(0)?)?;
                Ok(self.graph.relu(&input))
            }
            "MaxPool" => self.max_pool(node),
            "Pad" => self.pad(node),
            "Reshape" => self.reshape(node),
            other => Err(ConvertError::Unknown(format!("the operation {other}"))),
        }
    }

    /// A convolution with its bias, and maybe a ReLU, in one.
    fn convolution(&mut self, node: &Node) -> Result<Value, ConvertError> {
        let input = self.value(node.input(0)?)?;
        let filters = self.weights.get(node.input(1)?)?;
        let bias = &self.weights.get(node.input(2)?)?.values;
        let sum = self.graph.convolution(&input, filters, Some(bias), node.how(false)?);
        let fused = node.texts("fused_ops")?;
        match fused.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["BiasAdd"] => Ok(sum),
            ["BiasAdd", "Relu"] => Ok(self.graph.relu(&sum)),
            _ => Err(ConvertError::Unknown(format!("the fusion {}", fused.join(", ")))),
        }
    }

    fn max_pool(&mut self, node: &Node) -> Result<Value, ConvertError> {
        let input = self.value(node.input(0)?)?;
        let window = node.integers("ksize")?;
        let [_, height, width, _] = window[..] else {
            return Err(ConvertError::Unknown(format!("the window {window:?}")));
        };
        let how = node.how(false)?;
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![height, width])),
            ("strides", Attribute::Ints(vec![how.stride; 2])),
            padding(how.padding),
        ];
        Ok(self.graph.op("MaxPool", &[&input], attributes))
    }

    /// Zeros around; the pairs of the four dimensions are in TensorFlow's order.
    fn pad(&mut self, node: &Node) -> Result<Value, ConvertError> {
        let input = self.value(node.input(0)?)?;
        let pads = self.weights.get(node.input(1)?)?;
        let ours = [0, 3, 1, 2];
        let side = |side: usize| ours.map(|dim| pads.values[dim * 2 + side] as i64);
        let pads = self.graph.integers(&[side(0), side(1)].concat());
        Ok(self.graph.op("Pad", &[&input, &pads], Vec::new()))
    }

    /// Cells × anchors × numbers → a row per anchor.
    fn reshape(&mut self, node: &Node) -> Result<Value, ConvertError> {
        let input = self.value(node.input(0)?)?;
        let Tensor { values, .. } = self.weights.get(node.input(1)?)?;
        let numbers = values.last().copied().unwrap_or_default() as usize;
        let channels_last = vec![("perm", Attribute::Ints(vec![0, 2, 3, 1]))];
        let rows = self.graph.op("Transpose", &[&input], channels_last);
        let shape = self.graph.integers(&[1, -1, as_dim(numbers)]);
        Ok(self.graph.op("Reshape", &[&rows, &shape], Vec::new()))
    }

    fn value(&self, name: &str) -> Result<Value, ConvertError> {
        let value = self.values.get(name).cloned();
        value.ok_or_else(|| ConvertError::Missing(format!("the node {name}")))
    }
}

impl Node {
    fn input(&self, index: usize) -> Result<&str, ConvertError> {
        let input = self.input.get(index).map(String::as_str);
        input.ok_or_else(|| ConvertError::Missing(format!("input {index} of {}", self.name)))
    }

    fn how(&self, depthwise: bool) -> Result<Convolution, ConvertError> {
        let strides = self.integers("strides")?;
        let stride = strides.get(1).copied();
        let padding = self.attr.get("padding").ok_or_else(|| self.missing("padding"))?;
        let padding = match self.text(&padding["s"])?.as_str() {
            "SAME" => Padding::Same,
            "VALID" => Padding::None,
            other => return Err(ConvertError::Unknown(format!("the padding {other}"))),
        };
        let stride =
            stride.ok_or_else(|| ConvertError::Missing(format!("the stride of {}", self.name)))?;
        Ok(Convolution { stride, padding, depthwise })
    }

    /// A list of whole numbers, which are written as strings.
    fn integers(&self, attribute: &str) -> Result<Vec<i64>, ConvertError> {
        let parsed = self.list(attribute, "i")?.iter().map(|number| number.as_str()?.parse().ok());
        parsed.collect::<Option<_>>().ok_or_else(|| self.missing(attribute))
    }

    fn texts(&self, attribute: &str) -> Result<Vec<String>, ConvertError> {
        self.list(attribute, "s")?.iter().map(|text| self.text(text)).collect()
    }

    /// A text, which is written in base64.
    fn text(&self, encoded: &Json) -> Result<String, ConvertError> {
        let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
        decoded.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| self.missing("text"))
    }

    fn list(&self, attribute: &str, kind: &str) -> Result<&Vec<Json>, ConvertError> {
        let value = self.attr.get(attribute).and_then(|value| value["list"][kind].as_array());
        value.ok_or_else(|| self.missing(attribute))
    }

    fn missing(&self, attribute: &str) -> ConvertError {
        ConvertError::Missing(format!("the {attribute} of {}", self.name))
    }
}

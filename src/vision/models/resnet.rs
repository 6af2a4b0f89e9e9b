//! dlib's face recognition network, a ResNet with 29 convolutions: TensorFlow.js weights → ONNX.
//!
//! The file has weights only; the network is the one that dlib describes, with its scaling layers
//! folded into the convolutions, and the mean and range of the pixels into the first one.

use super::ConvertError;
use super::graph::{Attribute, Convolution, Dim, Graph, Padding, Tensor, Value, as_dim, padding};
use super::tfjs::{Group, Weights};

/// The edge of its picture in pixels.
const SIDE: usize = 150;
/// The mean of red, green and blue over the pictures that it was trained with.
const MEAN: [f64; 3] = [122.782, 117.001, 104.298];
/// Pixels were divided by this before training.
const RANGE: f64 = 255.0;

/// The stages: their name, whether they begin by halving the picture, and the blocks that keep it.
const STAGES: [(&str, Option<&str>, usize); 5] = [
    ("conv32", None, 3),
    ("conv64", Some("conv64_down"), 3),
    ("conv128", Some("conv128_down"), 2),
    ("conv256", Some("conv256_down"), 2),
    ("conv256", Some("conv256_down_out"), 0),
];

pub(super) fn convert(manifest: &[u8], weights: &[u8]) -> Result<Graph, ConvertError> {
    let manifest: Vec<Group> = serde_json::from_slice(manifest)?;
    let weights = Weights::read(&manifest, weights)?;
    let side = Dim::Is(as_dim(SIDE));
    let (graph, input) = Graph::new("face-recognition", &[Dim::Is(1), Dim::Is(3), side, side]);
    let mut conversion = Conversion { graph, weights };
    let mut place = conversion.stem(&input)?;
    for (stage, down, blocks) in STAGES {
        if let Some(down) = down {
            place = conversion.halve(&place, down)?;
        }
        for block in 1..=blocks {
            place.value = conversion.keep(&place.value, &format!("{stage}_{block}"))?;
        }
    }
    conversion.finish(&place.value)
}

/// A value of the network with the edge and the number of its planes.
struct Planes {
    value: Value,
    side: usize,
    channels: usize,
}

struct Conversion {
    graph: Graph,
    weights: Weights,
}

impl Conversion {
    /// The first convolution, which sees pixels, and the pooling behind it.
    fn stem(&mut self, input: &Value) -> Result<Planes, ConvertError> {
        let mut layer = Layer::read(&self.weights, "conv32_down")?;
        layer.fold_pixels();
        let value = self.convolution(input, &layer, 2, Padding::None);
        let value = self.graph.relu(&value);
        let value = self.pool("MaxPool", &value, 3);
        Ok(Planes { value, side: ((SIDE - 7) / 2 + 1 - 3) / 2 + 1, channels: layer.bias.len() })
    }

    /// Two convolutions whose result is added to what came in.
    fn keep(&mut self, input: &Value, block: &str) -> Result<Value, ConvertError> {
        let (first, second) = self.pair(block)?;
        let value = self.convolution(input, &first, 1, Padding::Same);
        let value = self.graph.relu(&value);
        let value = self.convolution(&value, &second, 1, Padding::Same);
        let sum = self.graph.op("Add", &[&value, input], Vec::new());
        Ok(self.graph.relu(&sum))
    }

    /// The same with half the edge. What is too small or has too few channels for the sum gets
    /// zeros, as dlib adds planes of different sizes.
    fn halve(&mut self, input: &Planes, block: &str) -> Result<Planes, ConvertError> {
        let (first, second) = self.pair(block)?;
        let value = self.convolution(&input.value, &first, 2, Padding::None);
        let value = self.graph.relu(&value);
        let value = self.convolution(&value, &second, 1, Padding::Same);
        let pooled = self.pool("AveragePool", &input.value, 2);
        let (side, channels) = (input.side / 2, second.bias.len());
        let value = self.pad(&value, 0, side - ((input.side - 3) / 2 + 1));
        let pooled = self.pad(&pooled, channels - input.channels, 0);
        let sum = self.graph.op("Add", &[&pooled, &value], Vec::new());
        Ok(Planes { value: self.graph.relu(&sum), side, channels })
    }

    /// The mean of each channel, turned into the descriptor.
    fn finish(mut self, value: &Value) -> Result<Graph, ConvertError> {
        let over = vec![("axes", Attribute::Ints(vec![2, 3])), ("keepdims", Attribute::Int(0))];
        let value = self.graph.op("ReduceMean", &[value], over);
        let Tensor { shape, values } = self.weights.get("fc")?;
        let matrix = self.graph.constant(shape, values);
        let value = self.graph.op("MatMul", &[&value, &matrix], Vec::new());
        self.graph.output(&value, "descriptor", &[Dim::Is(1), Dim::Is(128)]);
        Ok(self.graph)
    }

    fn pair(&self, block: &str) -> Result<(Layer, Layer), ConvertError> {
        let read = |conv: &str| Layer::read(&self.weights, &format!("{block}/{conv}"));
        Ok((read("conv1")?, read("conv2")?))
    }

    fn convolution(&mut self, on: &Value, layer: &Layer, stride: i64, padding: Padding) -> Value {
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        let filters = Tensor { shape: layer.shape.clone(), values: single(&layer.filters) };
        let how = Convolution { stride, padding, depthwise: false };
        self.graph.convolution(on, &filters, Some(&single(&layer.bias)), how)
    }

    fn pool(&mut self, kind: &str, input: &Value, window: i64) -> Value {
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![window; 2])),
            ("strides", Attribute::Ints(vec![2; 2])),
            padding(Padding::None),
        ];
        self.graph.op(kind, &[input], attributes)
    }

    /// Zeros: channels behind, rows below and columns to the right.
    fn pad(&mut self, input: &Value, channels: usize, edge: usize) -> Value {
        if channels == 0 && edge == 0 {
            return input.clone();
        }
        let (channels, edge) = (as_dim(channels), as_dim(edge));
        let pads = self.graph.integers(&[0, 0, 0, 0, 0, channels, edge, edge]);
        self.graph.op("Pad", &[input, &pads], Vec::new())
    }
}

/// A convolution with the scaling behind it folded in. Filters lie as height, width, in, out.
struct Layer {
    shape: Vec<usize>,
    filters: Vec<f64>,
    bias: Vec<f64>,
}

impl Layer {
    fn read(weights: &Weights, name: &str) -> Result<Self, ConvertError> {
        let numbers = |part: &str| -> Result<Vec<f64>, ConvertError> {
            let tensor = weights.get(&format!("{name}/{part}"))?;
            Ok(tensor.values.iter().map(|value| f64::from(*value)).collect())
        };
        let (scale, shift) = (numbers("scale/weights")?, numbers("scale/biases")?);
        let mut filters = numbers("conv/filters")?;
        for of_place in filters.chunks_exact_mut(scale.len()) {
            of_place.iter_mut().zip(&scale).for_each(|(filter, scale)| *filter *= scale);
        }
        let bias = numbers("conv/bias")?;
        let bias = bias.iter().zip(&scale).zip(&shift).map(|((b, scale), shift)| b * scale + shift);
        let shape = weights.get(&format!("{name}/conv/filters"))?.shape.clone();
        Ok(Self { shape, filters, bias: bias.collect() })
    }

    /// Lets the layer take pixels of 0 to 255 as they are. There is no padding, so the mean goes
    /// into the bias exactly.
    fn fold_pixels(&mut self) {
        let outputs = self.bias.len();
        for (place, of_place) in self.filters.chunks_exact_mut(outputs).enumerate() {
            let mean = MEAN[place % MEAN.len()] / RANGE;
            for (filter, bias) in of_place.iter_mut().zip(&mut self.bias) {
                *bias -= *filter * mean;
                *filter /= RANGE;
            }
        }
    }
}

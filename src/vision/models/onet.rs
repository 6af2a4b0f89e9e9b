//! O-Net, the last stage of MTCNN: tensors of a PyTorch file → ONNX.
//!
//! The file is a chain of pickles with the tensors' bytes behind. It is fixed by its checksum, so
//! the places of its tensors are facts, and nothing that could run code is interpreted.

use super::ConvertError;
use super::graph::{Attribute, Dim, Graph, Value, as_dim};

/// The edge of its picture in pixels.
const SIDE: i64 = 48;

/// Where a tensor lies in the file, and its dimensions.
struct Place {
    offset: usize,
    shape: &'static [usize],
}

const fn place(offset: usize, shape: &'static [usize]) -> Place {
    Place { offset, shape }
}

/// A layer's weights, its bias, and the slopes of the activation behind it.
struct Layer {
    weight: Place,
    bias: Place,
    slopes: Place,
    /// The window of the pooling behind it.
    pool: Option<i64>,
}

const CONVOLUTIONS: [Layer; 4] = [
    Layer {
        weight: place(302_149, &[32, 3, 3, 3]),
        bias: place(305_613, &[32]),
        slopes: place(379_485, &[32]),
        pool: Some(3),
    },
    Layer {
        weight: place(305_749, &[64, 32, 3, 3]),
        bias: place(8125, &[64]),
        slopes: place(152_085, &[64]),
        pool: Some(3),
    },
    Layer {
        weight: place(152_349, &[64, 64, 3, 3]),
        bias: place(20_741, &[64]),
        slopes: place(300_853, &[64]),
        pool: Some(2),
    },
    Layer {
        weight: place(21_005, &[128, 64, 2, 2]),
        bias: place(299_813, &[128]),
        slopes: place(300_333, &[128]),
        pool: None,
    },
];

const DENSE: Layer = Layer {
    weight: place(379_621, &[256, 1152]),
    bias: place(301_117, &[256]),
    slopes: place(2973, &[256]),
    pool: None,
};

/// Name, weights and bias of each output, and its numbers per picture.
const HEADS: [(&str, Place, Place, i64); 3] = [
    ("box", place(4005, &[4, 256]), place(2949, &[4]), 4),
    ("points", place(8389, &[10, 256]), place(18_637, &[10]), 10),
    ("face", place(18_685, &[2, 256]), place(8109, &[2]), 2),
];

pub(super) fn convert(file: &[u8]) -> Result<Graph, ConvertError> {
    let dims = [Dim::Named("faces"), Dim::Is(3), Dim::Is(SIDE), Dim::Is(SIDE)];
    let (graph, mut value) = Graph::new("onet", &dims);
    let mut conversion = Conversion { graph, file };
    for layer in &CONVOLUTIONS {
        value = conversion.convolution(&value, layer)?;
    }
    // The dense layer was trained on a transposed picture: width before height.
    let transposed = vec![("perm", Attribute::Ints(vec![0, 3, 2, 1]))];
    let value = conversion.graph.op("Transpose", &[&value], transposed);
    let value = conversion.graph.op("Flatten", &[&value], vec![("axis", Attribute::Int(1))]);
    let value = conversion.dense(&value, &DENSE.weight, &DENSE.bias)?;
    let value = conversion.activation(&value, &DENSE, &[256])?;
    for (name, weight, bias, numbers) in &HEADS {
        let mut output = conversion.dense(&value, weight, bias)?;
        if *name == "face" {
            let over = vec![("axis", Attribute::Int(1))];
            output = conversion.graph.op("Softmax", &[&output], over);
        }
        conversion.graph.output(&output, name, &[Dim::Named("faces"), Dim::Is(*numbers)]);
    }
    Ok(conversion.graph)
}

struct Conversion<'a> {
    graph: Graph,
    file: &'a [u8],
}

impl Conversion<'_> {
    fn convolution(&mut self, input: &Value, layer: &Layer) -> Result<Value, ConvertError> {
        let weight = self.tensor(&layer.weight, layer.weight.shape)?;
        let bias = self.tensor(&layer.bias, layer.bias.shape)?;
        let window = layer.weight.shape[2..].iter().map(|length| as_dim(*length)).collect();
        let window = vec![("kernel_shape", Attribute::Ints(window))];
        let value = self.graph.op("Conv", &[input, &weight, &bias], window);
        let value = self.activation(&value, layer, &[layer.slopes.shape[0], 1, 1])?;
        let Some(window) = layer.pool else { return Ok(value) };
        // A window that hangs over the edge counts.
        let attributes = vec![
            ("kernel_shape", Attribute::Ints(vec![window; 2])),
            ("strides", Attribute::Ints(vec![2; 2])),
            ("ceil_mode", Attribute::Int(1)),
        ];
        Ok(self.graph.op("MaxPool", &[&value], attributes))
    }

    /// What is below zero times a slope of its channel ("PReLU"). No slope of this file is above 1,
    /// so that is the greater one of both, which engines compute in two passes instead of three.
    fn activation(
        &mut self,
        input: &Value,
        layer: &Layer,
        shape: &[usize],
    ) -> Result<Value, ConvertError> {
        let slopes = self.tensor(&layer.slopes, shape)?;
        let sloped = self.graph.op("Mul", &[input, &slopes], Vec::new());
        Ok(self.graph.op("Max", &[input, &sloped], Vec::new()))
    }

    fn dense(
        &mut self,
        input: &Value,
        weight: &Place,
        bias: &Place,
    ) -> Result<Value, ConvertError> {
        let weight = self.tensor(weight, weight.shape)?;
        let bias = self.tensor(bias, bias.shape)?;
        let transposed = vec![("transB", Attribute::Int(1))];
        Ok(self.graph.op("Gemm", &[input, &weight, &bias], transposed))
    }

    /// The floats at a place, as a constant with these dimensions.
    fn tensor(&mut self, place: &Place, shape: &[usize]) -> Result<Value, ConvertError> {
        let expected = place.offset + 4 * place.shape.iter().product::<usize>();
        let raw = self.file.get(place.offset..expected);
        let raw = raw.ok_or(ConvertError::Length { expected, found: self.file.len() })?;
        let stored: Vec<f32> =
            raw.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
        Ok(self.graph.constant(shape, &last_dim_fastest(&stored, place.shape)))
    }
}

/// The file has the first dimension's neighbours side by side; ONNX wants the last one's.
fn last_dim_fastest(stored: &[f32], shape: &[usize]) -> Vec<f32> {
    (0..stored.len())
        .map(|mut place| {
            // Takes the place apart from its last dimension on, which is the slowest in the file.
            let mut from = 0;
            let mut step = stored.len();
            for length in shape.iter().rev() {
                step /= length;
                from += place % length * step;
                place /= length;
            }
            stored[from]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_turned_from_the_first_dimension_to_the_last() {
        let stored = [11.0, 21.0, 12.0, 22.0, 13.0, 23.0];
        assert_eq!(last_dim_fastest(&stored, &[2, 3]), [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
        assert_eq!(last_dim_fastest(&stored, &[6]), stored);
    }
}

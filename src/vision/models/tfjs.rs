//! Weights as TensorFlow.js stores them: a manifest that names tensors, and their bytes in a row.

use std::collections::HashMap;

use serde::Deserialize;

use super::ConvertError;
use super::graph::Tensor;

/// Tensors stored together.
#[derive(Deserialize)]
pub(super) struct Group {
    weights: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

/// A number is stored as a small whole one: `stored * scale + min`.
#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: f32,
    min: f32,
}

/// Tensors by name.
#[derive(Debug)]
pub(super) struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// Cuts `bytes` into the tensors of the manifest; nothing may be left over.
    pub(super) fn read(manifest: &[Group], bytes: &[u8]) -> Result<Self, ConvertError> {
        let mut tensors = HashMap::new();
        let mut at = 0;
        for entry in manifest.iter().flat_map(|group| &group.weights) {
            let width = entry.bytes_per_value()?;
            let expected = at + entry.shape.iter().product::<usize>() * width;
            let stored = bytes.get(at..expected);
            let stored = stored.ok_or(ConvertError::Length { expected, found: bytes.len() })?;
            let values = stored.chunks_exact(width).map(|raw| entry.value(raw)).collect();
            tensors.insert(entry.name.clone(), Tensor { shape: entry.shape.clone(), values });
            at = expected;
        }
        if at != bytes.len() {
            return Err(ConvertError::Length { expected: at, found: bytes.len() });
        }
        Ok(Self(tensors))
    }

    /// The tensor of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Tensor, ConvertError> {
        self.0.get(name).ok_or_else(|| ConvertError::Missing(format!("the tensor {name}")))
    }
}

impl Entry {
    fn bytes_per_value(&self) -> Result<usize, ConvertError> {
        match (&self.quantization, self.dtype.as_str()) {
            (Some(stored), _) if stored.dtype == "uint8" => Ok(1),
            (None, "float32" | "int32") => Ok(4),
            (stored, dtype) => {
                let stored = stored.as_ref().map_or(dtype, |stored| &stored.dtype);
                Err(ConvertError::Unknown(format!("{}'s number type {stored}", self.name)))
            }
        }
    }

    fn value(&self, raw: &[u8]) -> f32 {
        match (&self.quantization, raw) {
            (Some(stored), [byte]) => f32::from(*byte) * stored.scale + stored.min,
            (None, &[a, b, c, d]) if self.dtype == "int32" => {
                i32::from_le_bytes([a, b, c, d]) as f32
            }
            (None, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("cut to bytes_per_value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(json: &str) -> Vec<Group> {
        serde_json::from_str(json).expect("a manifest")
    }

    #[test]
    fn quantised_and_plain_numbers_follow_one_another() {
        let manifest = groups(
            r#"[{"weights": [
                {"name": "a", "shape": [2], "dtype": "float32",
                 "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
                {"name": "b", "shape": [], "dtype": "int32"}]}]"#,
        );
        let weights = Weights::read(&manifest, &[0, 4, 7, 0, 0, 0]).expect("it reads");
        assert_eq!(weights.get("a").expect("it is there").values, [-1.0, 1.0]);
        assert_eq!(weights.get("b").expect("it is there").values, [7.0]);
    }

    #[test]
    fn weights_of_another_length_are_refused() {
        let manifest =
            groups(r#"[{"weights": [{"name": "a", "shape": [2], "dtype": "float32"}]}]"#);
        for length in [0, 7, 9] {
            let outcome = Weights::read(&manifest, &vec![0; length]);
            assert!(matches!(outcome, Err(ConvertError::Length { .. })), "{length} bytes");
        }
    }
}

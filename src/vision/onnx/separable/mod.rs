//! Depthwise separable convolutions, which detectors for small machines consist of, as operations of
//! their own: the engine has an operation for each step of one, and goes through all planes for each.

mod kernel;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec};
use tract_onnx::tract_core::ops::math::{Add, Max};
use tract_onnx::tract_core::ops::nn::DataFormat;

use kernel::{Block, Room, Size, Then};

/// Rooms that are kept between runs, at most: as many threads may run a network and allocate none.
const MAX_ROOMS: usize = 4;

/// Puts rows of blocks in the place of their steps, where the processor has vectors for them.
///
/// An unoptimised build leaves all to the engine, which is optimised in every build.
///
/// # Errors
/// The model contradicts itself.
pub fn join(model: TypedModel) -> TractResult<TypedModel> {
    if cfg!(debug_assertions) || !kernel::is_quick() { Ok(model) } else { joined(model) }
}

fn joined(mut model: TypedModel) -> TractResult<TypedModel> {
    model.prop_consts()?;
    let mut rows = Vec::new();
    let mut taken = HashSet::new();
    for node in 0..model.nodes().len() {
        if !taken.contains(&node)
            && let Some(row) = Row::from(&model, node)?
        {
            taken.extend(row.begins.iter().copied());
            rows.push(row);
        }
    }
    for row in rows {
        let first = model.node(row.begins[0]);
        let name = format!("{}.blocks", first.name);
        let mut patch = TypedModelPatch::default();
        let from = patch.tap_model(&model, first.inputs[0])?;
        let to = patch.wire_node(name, Blocks::new(row.blocks, row.size), &[from])?;
        patch.shunt_outside(&model, row.end, to[0])?;
        patch.apply(&mut model)?;
    }
    model.into_compact()
}

/// Blocks that follow each other.
struct Row {
    blocks: Vec<Block>,
    /// The node that each begins with.
    begins: Vec<usize>,
    size: Size,
    /// What the last one gives.
    end: OutletId,
}

impl Row {
    /// The blocks from a node on; none when it begins none.
    fn from(model: &TypedModel, node: usize) -> TractResult<Option<Self>> {
        let Some((block, size, end)) = block(model, node)? else { return Ok(None) };
        let mut row = Self { blocks: vec![block], begins: vec![node], size, end };
        while let Some((node, block, end)) = row.next(model)? {
            row.blocks.push(block);
            row.begins.push(node);
            row.end = end;
        }
        Ok(Some(row))
    }

    /// The block that alone takes what the row gives.
    fn next(&self, model: &TypedModel) -> TractResult<Option<(usize, Block, OutletId)>> {
        let users = &model.node(self.end.node).outputs[self.end.slot].successors;
        for user in users {
            if let Some((block, _, end)) = block(model, user.node)? {
                let alone = users.len() == 1 + usize::from(block.then.residual);
                let alone = alone && !model.outputs.contains(&self.end);
                return Ok(alone.then_some((user.node, block, end)));
            }
        }
        Ok(None)
    }
}

/// The block that a node begins, its planes, and what it gives.
fn block(model: &TypedModel, first: usize) -> TractResult<Option<(Block, Size, OutletId)>> {
    rule_if_some!(depthwise = convolution(model, first, Kind::Depthwise)?);
    let input = model.node(first).inputs[0];
    rule_if_some!(shape = model.outlet_fact(input)?.shape.as_concrete());
    let &[1, _, height, width] = shape else { return Ok(None) };
    // Planes without a pixel are the engine's business.
    rule_if!(height > 0 && width > 0);
    let mut end = OutletId::new(first, 0);
    let relu_between = follow_relu(model, &mut end)?;
    rule_if_some!(node = only_user(model, end));
    rule_if_some!(pointwise = convolution(model, node, Kind::Pointwise)?);
    end = OutletId::new(node, 0);
    let residual = follow_sum(model, &mut end, input);
    let relu = follow_relu(model, &mut end)?;
    let (weights, bias) = &pointwise;
    let then = Then { relu_between, residual, relu };
    let block = Block::new(depthwise, (weights, bias), then);
    Ok(block.map(|block| (block, Size { height, width }, end)))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// 3×3, each channel by itself.
    Depthwise,
    /// 1×1, each channel of all.
    Pointwise,
}

/// Numbers and biases of a convolution of a kind, which leaves the planes their size.
fn convolution(
    model: &TypedModel,
    node: usize,
    kind: Kind,
) -> TractResult<Option<(Vec<f32>, Vec<f32>)>> {
    let node = model.node(node);
    rule_if_some!(conv = node.op_as::<Conv>());
    let spec = &conv.pool_spec;
    let edge = if kind == Kind::Depthwise { 3 } else { 1 };
    let groups = if kind == Kind::Depthwise { spec.input_channels } else { 1 };
    let ones = |steps: &Option<TVec<usize>>| steps.iter().flatten().all(|step| *step == 1);
    let padding = match &spec.padding {
        PaddingSpec::SameUpper | PaddingSpec::SameLower => true,
        PaddingSpec::Explicit(before, after) | PaddingSpec::ExplicitOnnxPool(before, after, _) => {
            before.iter().chain(after).all(|padding| *padding == edge / 2)
        }
        PaddingSpec::Valid => edge == 1,
    };
    rule_if!(
        padding
            && conv.group == groups
            && (kind == Kind::Pointwise || spec.output_channels == groups)
            && conv.q_params.is_none()
            && conv.kernel_fmt == KernelFormat::OIHW
            && spec.data_format == DataFormat::NCHW
            && spec.kernel_shape[..] == [edge, edge]
            && ones(&spec.strides)
            && ones(&spec.dilations)
    );
    rule_if_some!(numbers = constant(model, node.inputs[1])?);
    rule_if_some!(bias = constant(model, node.inputs[2])?);
    let bias = if bias.len() == 1 { vec![bias[0]; spec.output_channels] } else { bias };
    Ok(Some((numbers, bias)))
}

/// The numbers of a constant.
fn constant(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Vec<f32>>> {
    rule_if_some!(tensor = &model.outlet_fact(outlet)?.konst);
    rule_if!(tensor.datum_type() == f32::datum_type());
    Ok(Some(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()))
}

/// Who takes an outlet, when nobody else does and it is no output.
fn only_user(model: &TypedModel, outlet: OutletId) -> Option<usize> {
    match model.node(outlet.node).outputs[outlet.slot].successors[..] {
        [user] if !model.outputs.contains(&outlet) => Some(user.node),
        _ => None,
    }
}

/// The other input of an operation on two, when the only user of an outlet is one of a kind.
fn other_input<Op: BinMiniOp>(model: &TypedModel, outlet: OutletId) -> Option<(usize, OutletId)> {
    let user = only_user(model, outlet)?;
    let node = model.node(user);
    node.op_as::<TypedBinOp>().filter(|op| op.0.is::<Op>() && op.1.is_none())?;
    let other = node.inputs.iter().find(|input| **input != outlet)?;
    Some((user, *other))
}

/// Passes a ReLU that follows, if one does.
fn follow_relu(model: &TypedModel, end: &mut OutletId) -> TractResult<bool> {
    let Some((node, floor)) = other_input::<Max>(model, *end) else { return Ok(false) };
    let floor = constant(model, floor)?;
    let is_relu = floor.is_some_and(|floor| floor[..] == [0.0]);
    if is_relu {
        *end = OutletId::new(node, 0);
    }
    Ok(is_relu)
}

/// Passes a sum with what a block took, if one follows.
fn follow_sum(model: &TypedModel, end: &mut OutletId, input: OutletId) -> bool {
    let sum = other_input::<Add>(model, *end).filter(|(_, other)| *other == input);
    if let Some((node, _)) = sum {
        *end = OutletId::new(node, 0);
    }
    sum.is_some()
}

/// A row of blocks as the engine's operation.
#[derive(Clone, Debug)]
struct Blocks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blocks: Vec<Block>,
    size: Size,
    outputs: usize,
    rooms: Mutex<Vec<Room>>,
}

impl Blocks {
    fn new(blocks: Vec<Block>, size: Size) -> Self {
        let outputs = blocks.last().map_or(0, Block::outputs);
        Self(Arc::new(Inner { blocks, size, outputs, rooms: Mutex::default() }))
    }
}

impl PartialEq for Blocks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Blocks {}

impl Op for Blocks {
    fn name(&self) -> StaticName {
        "SeparableBlocks".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Blocks {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Inner { blocks, size, outputs, rooms } = &*self.0;
        let mut output = vec![0.0; outputs * size.height * size.width];
        // A thread that panicked took its room with it.
        let room = rooms.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut room = room.unwrap_or_else(|| Room::new(blocks, *size));
        room.run(blocks, *size, inputs[0].try_as_plain_ram()?.as_slice::<f32>()?, &mut output);
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() < MAX_ROOMS {
            rooms.push(room);
        }
        let shape = (1, *outputs, size.height, size.width);
        Ok(tvec!(tract_ndarray::Array4::from_shape_vec(shape, output)?.into_tvalue()))
    }
}

impl TypedOp for Blocks {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Inner { blocks, size, outputs, .. } = &*self.0;
        let taken = [1, blocks[0].inputs(), size.height, size.width];
        ensure!(inputs[0].shape.as_concrete() == Some(&taken[..]), "planes of another shape");
        Ok(tvec!(f32::fact([1, *outputs, size.height, size.width])))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::models::DETECTOR;
    use super::*;

    #[test]
    fn detector_answers_with_joined_blocks_as_without() {
        let (width, height) = (128, 64);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(DETECTOR);
        let mut model = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .with_ignore_value_info(true)
            .model_for_path(path)
            .expect("`make models` made it");
        let fact = f32::fact([1, 3, height, width]).into();
        model.set_input_fact(0, fact).expect("it has an input");
        let plain = model.into_typed().expect("it has types");
        let joined = joined(plain.clone()).expect("it is sound");
        let is_joined = |node: &TypedNode| node.op_is::<Blocks>();
        // One row at each scale, and none of its steps is left.
        assert_eq!(joined.nodes().iter().filter(|node| is_joined(node)).count(), 4);
        let is_left = |conv: &Conv| conv.group > 1 && conv.pool_spec.strides()[..] == [1, 1];
        let mut left = joined.nodes().iter().filter_map(|node| node.op_as::<Conv>());
        assert!(!left.any(is_left));

        let numbers = (0..3 * height * width).map(|at| (at * 31 % 255) as f32 / 127.5 - 1.0);
        let numbers: Vec<f32> = numbers.collect();
        let input = Tensor::from_shape(&[1, 3, height, width], &numbers).expect("as many");
        let answers = [plain, joined].map(|model| {
            let plan = model.into_optimized().and_then(TypedModel::into_runnable);
            plan.and_then(|plan| plan.run(tvec!(input.clone().into()))).expect("it runs")
        });
        for (with, without) in answers[1].iter().zip(&answers[0]) {
            with.close_enough(without, Approximation::Approximate).expect("the same answers");
        }
    }
}

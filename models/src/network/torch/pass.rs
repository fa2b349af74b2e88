//! Rows on their way through a network: outputs, losses, and gradients of all rows together or of each by itself.

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::super::{Activation, Architecture, Examples, Objective, TensorSpec};

/// Rows as libtorch takes them.
pub(super) struct Batch {
    /// `[rows, inputs]`; what lies behind the end of a series is zero.
    x: Tensor,
    /// `[rows, 1]`.
    y: Tensor,
    /// Steps of each row's series, of an LSTM.
    lengths: Vec<i64>,
    rows: i64,
}

impl Batch {
    /// The rows with these numbers, in this order. The examples were checked.
    pub(super) fn of(architecture: &Architecture, examples: &Examples, rows: &[usize]) -> Result<Self, TchError> {
        let Examples { width, mut x, y, lengths } = examples.select(rows);
        if let Architecture::Lstm { steps, channels, .. } = architecture {
            for (row, &length) in x.chunks_mut(width.max(1)).zip(&lengths) {
                // Whatever it is, it must not reach the sums of a gradient: zero times infinity is no number.
                row[length as usize * channels..steps * channels].fill(0.0);
            }
        }
        let rows = y.len() as i64;
        let x = Tensor::f_from_slice(&x)?.f_reshape([rows, width as i64])?;
        let y = Tensor::f_from_slice(&y)?.f_reshape([rows, 1])?;
        Ok(Self { x, y, lengths: lengths.into_iter().map(i64::from).collect(), rows })
    }
}

/// A product of inputs with a weight, of whose results `z` is the sum with biases and perhaps other products. The gradient of a row
/// with respect to the weight is the outer product of its gradient with respect to `z` and its `input`; that of the biases is the
/// former alone.
struct Product {
    /// Number of a tensor.
    weight: usize,
    /// Numbers of tensors, counted from the weight's.
    biases: &'static [usize],
    z: Tensor,
    input: Tensor,
}

/// The way through.
pub(super) struct Pass {
    /// `[rows, outputs]`.
    pub(super) output: Tensor,
    /// All of them if the pass was made for single rows' gradients, else those of the dense layers.
    products: Vec<Product>,
}

/// The parameters as tensors. With `gradients`, what is computed from them can be differentiated.
pub(super) fn leaves(specs: &[TensorSpec], parameters: &[f32], gradients: bool) -> Result<Vec<Tensor>, TchError> {
    let leaf = |spec: &TensorSpec| {
        let shape: Vec<i64> = spec.shape.iter().map(|&size| size as i64).collect();
        Tensor::f_from_slice(&parameters[spec.range()])?.f_reshape(shape)?.f_set_requires_grad(gradients)
    };
    specs.iter().map(leaf).collect()
}

/// Through the whole network. With `each`, a way back for [`row_gradients`] is kept, which costs an LSTM twice the time.
pub(super) fn forward(
    architecture: &Architecture,
    leaves: &[Tensor],
    batch: &Batch,
    each: bool,
) -> Result<Pass, TchError> {
    let mut products = Vec::new();
    let output = match architecture {
        Architecture::Lstm { steps, channels, statics, hidden, .. } => {
            let series = (*steps * *channels) as i64;
            let x = batch.x.f_narrow(1, 0, series)?.f_reshape([batch.rows, *steps as i64, *channels as i64])?;
            let start = Tensor::f_zeros([batch.rows, *hidden as i64], (Kind::Float, Device::Cpu))?;
            let states = if each {
                steps_of_lstm(&leaves[..4], &x, start, &mut products)?
            } else {
                lstm(&leaves[..4], &x, start)?
            };
            let state = last_states(&states, &batch.lengths)?;
            let statics = batch.x.f_narrow(1, series, *statics as i64)?;
            let input = Tensor::f_cat(&[state, statics], 1)?;
            dense(leaves, 4, input, Activation::Relu, &mut products)?
        }
        Architecture::Logistic { .. } => dense(leaves, 0, batch.x.shallow_clone(), Activation::Relu, &mut products)?,
        Architecture::Mlp { activation, .. } | Architecture::Autoencoder { activation, .. } => {
            dense(leaves, 0, batch.x.shallow_clone(), *activation, &mut products)?
        }
    };
    Ok(Pass { output, products })
}

/// The dense layers from tensor number `first` on.
fn dense(
    leaves: &[Tensor],
    first: usize,
    mut input: Tensor,
    activation: Activation,
    products: &mut Vec<Product>,
) -> Result<Tensor, TchError> {
    for weight in (first..leaves.len()).step_by(2) {
        let z = input.f_linear(&leaves[weight], Some(&leaves[weight + 1]))?;
        let next = match activation {
            _ if weight + 2 == leaves.len() => z.shallow_clone(),
            Activation::Relu => z.f_relu()?,
            Activation::Tanh => z.f_tanh()?,
        };
        products.push(Product { weight, biases: &[1], z, input });
        input = next;
    }
    Ok(input)
}

/// `[rows, steps, hidden]`: the states of an LSTM after each step. `x` is `[rows, steps, channels]`.
fn lstm(leaves: &[Tensor], x: &Tensor, start: Tensor) -> Result<Tensor, TchError> {
    let start = start.f_unsqueeze(0)?;
    let weights: Vec<&Tensor> = leaves.iter().collect();
    // With biases, one layer, no dropout, for gradients, in one direction, rows first.
    let (states, ..) = x.f_lstm(&[&start, &start], &weights, true, 1, 0.0, true, false, true)?;
    Ok(states)
}

/// The same step by step (Hochreiter & Schmidhuber 1997, with forget gates; gates in PyTorch's order: input, forget, cell, output).
fn steps_of_lstm(
    leaves: &[Tensor],
    x: &Tensor,
    start: Tensor,
    products: &mut Vec<Product>,
) -> Result<Tensor, TchError> {
    let (mut h, mut c) = (start.shallow_clone(), start);
    let driven = x.f_linear(&leaves[0], Some(&leaves[2]))?.f_unbind(1)?;
    let mut states = Vec::with_capacity(driven.len());
    for (input, driven) in x.f_unbind(1)?.into_iter().zip(driven) {
        let z = driven.f_add(&h.f_linear(&leaves[1], Some(&leaves[3]))?)?;
        let gates = z.f_chunk(4, 1)?;
        let [i, f, g, o] = &gates[..] else { return Err(TchError::Shape("an LSTM has four gates".to_owned())) };
        c = f.f_sigmoid()?.f_mul(&c)?.f_add(&i.f_sigmoid()?.f_mul(&g.f_tanh()?)?)?;
        let next = o.f_sigmoid()?.f_mul(&c.f_tanh()?)?;
        products.push(Product { weight: 0, biases: &[2, 3], z: z.shallow_clone(), input });
        products.push(Product { weight: 1, biases: &[], z, input: h });
        states.push(next.shallow_clone());
        h = next;
    }
    Tensor::f_stack(&states, 1)
}

/// `[rows, hidden]`: the state after each row's last step; zero for a series without steps.
fn last_states(states: &Tensor, lengths: &[i64]) -> Result<Tensor, TchError> {
    let (rows, _, hidden) = states.size3()?;
    let last: Vec<i64> = lengths.iter().map(|&length| (length - 1).max(0)).collect();
    let last = Tensor::f_from_slice(&last)?.f_reshape([rows, 1, 1])?.f_expand([rows, 1, hidden], false)?;
    let there: Vec<f32> = lengths.iter().map(|&length| if length > 0 { 1.0 } else { 0.0 }).collect();
    let there = Tensor::f_from_slice(&there)?.f_reshape([rows, 1])?;
    states.f_gather(1, &last, false)?.f_squeeze_dim(1)?.f_mul(&there)
}

/// `[rows]`: the loss of each row; a bad's counts `bad_weight` times.
pub(super) fn losses(objective: Objective, pass: &Pass, batch: &Batch, bad_weight: f32) -> Result<Tensor, TchError> {
    let each = match objective {
        Objective::Credit => {
            let weight = Tensor::f_from_slice(&[bad_weight])?;
            let none = None::<&Tensor>;
            pass.output.f_binary_cross_entropy_with_logits(&batch.y, none, Some(&weight), Reduction::None)?
        }
        Objective::Reconstruction => pass.output.f_sub(&batch.x)?.f_square()?,
    };
    each.f_mean_dim(1, false, Kind::Float)
}

/// `rows * inputs`: the squared error of each input's reconstruction.
pub(super) fn residuals(pass: &Pass, batch: &Batch) -> Result<Vec<f32>, TchError> {
    values(&pass.output.f_sub(&batch.x)?.f_square()?)
}

/// The gradient of `loss`, a single number, with respect to all parameters, in the order of the flat vector.
pub(super) fn gradient(loss: &Tensor, specs: &[TensorSpec], leaves: &[Tensor]) -> Result<Vec<f32>, TchError> {
    let gradients = Tensor::f_run_backward(&[loss], leaves, false, false)?;
    let mut flat = vec![0.0; specs.last().map_or(0, |spec| spec.range().end)];
    for (spec, gradient) in specs.iter().zip(&gradients) {
        gradient.f_copy_data(&mut flat[spec.range()], spec.len())?;
    }
    Ok(flat)
}

/// `rows * parameters`: the gradient of each row's loss by itself, of a pass that was made for it. One way back through the network gives the gradients with
/// respect to the sums `z` of all rows, each of which depends on its own row only (Goodfellow 2015, "Efficient per-example gradient
/// computations").
pub(super) fn row_gradients(pass: &Pass, losses: &Tensor, specs: &[TensorSpec]) -> Result<Vec<f32>, TchError> {
    let rows = losses.numel() as i64;
    let sums: Vec<&Tensor> = pass.products.iter().map(|product| &product.z).collect();
    let back = Tensor::f_run_backward(&[losses.f_sum(Kind::Float)?], &sums, false, false)?;
    let mut parts: Vec<Option<Tensor>> = specs.iter().map(|_| None).collect();
    let mut add = |part: usize, gradient: Tensor| -> Result<(), TchError> {
        let sum = parts[part].take().map_or_else(|| Ok(gradient.shallow_clone()), |sum| sum.f_add(&gradient))?;
        parts[part] = Some(sum);
        Ok(())
    };
    for (product, back) in pass.products.iter().zip(back) {
        let input = product.input.f_detach()?.f_unsqueeze(1)?;
        add(product.weight, back.f_unsqueeze(2)?.f_bmm(&input)?.f_reshape([rows, -1])?)?;
        for offset in product.biases {
            add(product.weight + offset, back.shallow_clone())?;
        }
    }
    let parts: Vec<Tensor> = parts.into_iter().flatten().collect();
    values(&Tensor::f_cat(&parts, 1)?)
}

/// All values of a tensor, row-major.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let mut values = vec![0.0; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}

//! A chain of dense layers over a block of rows: forward, backward, gradients.

use core::ops::Range;

use super::elementary::tanh;
use super::product::{Sizes, add_forward, add_gradient, backward};
use crate::network::{Activation, Architecture};

struct Layer {
    inputs: usize,
    outputs: usize,
    weight: Range<usize>,
    bias: Range<usize>,
}

/// The layers and what a block of rows leaves in them. Buffers grow to the largest block and stay.
pub(super) struct Chain {
    layers: Vec<Layer>,
    activation: Activation,
    /// The block's inputs, then each layer's outputs; row-major.
    values: Vec<Vec<f32>>,
    /// Of each layer: slope of the loss by the outputs before the activation.
    slopes: Vec<Vec<f32>>,
    /// A layer's slopes and inputs in `f64`.
    wide: (Vec<f64>, Vec<f64>),
}

impl Chain {
    /// The dense layers of a network: all of it, or the head of an LSTM.
    pub(super) fn new(architecture: &Architecture) -> Self {
        let (skipped, activation) = match architecture {
            Architecture::Lstm { .. } => (4, Activation::Relu),
            Architecture::Logistic { .. } => (0, Activation::Relu),
            Architecture::Mlp { activation, .. } | Architecture::Autoencoder { activation, .. } => (0, *activation),
        };
        let tensors = architecture.tensors();
        let layers: Vec<Layer> = tensors[skipped..]
            .chunks_exact(2)
            .map(|pair| Layer {
                inputs: pair[0].shape[1],
                outputs: pair[0].shape[0],
                weight: pair[0].range(),
                bias: pair[1].range(),
            })
            .collect();
        let (values, slopes) = (vec![Vec::new(); layers.len() + 1], vec![Vec::new(); layers.len()]);
        Chain { layers, activation, values, slopes, wide: Default::default() }
    }

    /// Room for the inputs of a block of rows, to be filled.
    pub(super) fn inputs_mut(&mut self, rows: usize) -> &mut [f32] {
        let widths = self.layers.iter().map(|l| l.inputs).chain(self.layers.last().map(|l| l.outputs));
        for (values, width) in self.values.iter_mut().zip(widths) {
            grow(values, rows * width);
        }
        let width = self.layers.first().map_or(0, |l| l.inputs);
        &mut self.values[0][..rows * width]
    }

    /// Applies the layers to the inputs and gives the last one's outputs.
    pub(super) fn forward(&mut self, parameters: &[f32], rows: usize) -> &[f32] {
        let last = self.layers.len() - 1;
        for (number, layer) in self.layers.iter().enumerate() {
            let (before, after) = self.values.split_at_mut(number + 1);
            let out = &mut after[0][..rows * layer.outputs];
            let bias = &parameters[layer.bias.clone()];
            out.chunks_exact_mut(layer.outputs).for_each(|row| row.copy_from_slice(bias));
            add_forward(layer.sizes(rows), &before[number], layer.inputs, &parameters[layer.weight.clone()], out);
            match self.activation {
                _ if number == last => {}
                // Not `max`, which would turn a NaN into 0.
                Activation::Relu => out.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
                Activation::Tanh => out.iter_mut().for_each(|v| *v = tanh(*v)),
            }
        }
        &self.values[last + 1][..rows * self.layers[last].outputs]
    }

    /// Inputs, outputs and room for the slope of the loss by each output, after [`Self::forward`].
    pub(super) fn loss_parts(&mut self, rows: usize) -> (&[f32], &[f32], &mut [f32]) {
        for (slopes, layer) in self.slopes.iter_mut().zip(&self.layers) {
            grow(slopes, rows * layer.outputs);
        }
        let (last, inputs) = (self.layers.len() - 1, rows * self.layers[0].inputs);
        let outputs = rows * self.layers[last].outputs;
        (&self.values[0][..inputs], &self.values[last + 1][..outputs], &mut self.slopes[last][..outputs])
    }

    /// Slopes of all layers from those of the last.
    pub(super) fn backward(&mut self, parameters: &[f32], rows: usize) {
        for number in (1..self.layers.len()).rev() {
            let layer = &self.layers[number];
            let (before, after) = self.slopes.split_at_mut(number);
            let back = &mut before[number - 1][..rows * layer.inputs];
            backward(layer.sizes(rows), &after[0][..rows * layer.outputs], &parameters[layer.weight.clone()], back);
            let values = back.iter_mut().zip(&self.values[number]);
            match self.activation {
                Activation::Relu => values.for_each(|(s, v)| *s = if *v > 0.0 { *s } else { 0.0 }),
                Activation::Tanh => values.for_each(|(s, v)| *s *= 1.0 - v * v),
            }
        }
    }

    /// Adds the gradient, summed over the rows.
    pub(super) fn add_gradient(&self, rows: usize, gradient: &mut [f32]) {
        for ((layer, slopes), x) in self.layers.iter().zip(&self.slopes).zip(&self.values) {
            let (weight, bias) = gradient[layer.weight.start..layer.bias.end].split_at_mut(layer.weight.len());
            add_gradient(layer.sizes(rows), &slopes[..rows * layer.outputs], &x[..rows * layer.inputs], weight, bias);
        }
    }

    /// Adds the gradient, summed over the rows with a factor for each.
    pub(super) fn add_scaled_gradient(&mut self, factors: &[f64], gradient: &mut [f64]) {
        let (scaled, wide) = &mut self.wide;
        for ((layer, slopes), x) in self.layers.iter().zip(&self.slopes).zip(&self.values) {
            scaled.clear();
            for (row, factor) in slopes.chunks_exact(layer.outputs).zip(factors) {
                scaled.extend(row.iter().map(|&s| f64::from(s) * factor));
            }
            wide.clear();
            wide.extend(x[..factors.len() * layer.inputs].iter().map(|&v| f64::from(v)));
            let (weight, bias) = gradient[layer.weight.start..layer.bias.end].split_at_mut(layer.weight.len());
            add_gradient(layer.sizes(factors.len()), scaled, wide, weight, bias);
        }
    }

    /// Squared L2 norm of the gradient summed over these rows of the block, without forming it: for one layer it is
    /// `sum_rs (slopes_r . slopes_s) (x_r . x_s + 1)`, the 1 for the bias.
    pub(super) fn squared_norm(&self, rows: Range<usize>) -> f64 {
        let mut sum = 0.0;
        for ((layer, slopes), x) in self.layers.iter().zip(&self.slopes).zip(&self.values) {
            let slopes = |row: usize| &slopes[row * layer.outputs..(row + 1) * layer.outputs];
            let x = |row: usize| &x[row * layer.inputs..(row + 1) * layer.inputs];
            let pair = |r: usize, s: usize| wide_dot(slopes(r), slopes(s)) * (wide_dot(x(r), x(s)) + 1.0);
            for r in rows.clone() {
                sum += pair(r, r) + 2.0 * (rows.start..r).map(|s| pair(r, s)).sum::<f64>();
            }
        }
        // Rows that cancel may leave a rounding error below zero.
        if sum < 0.0 { 0.0 } else { sum }
    }
}

impl Layer {
    fn sizes(&self, rows: usize) -> Sizes {
        Sizes { rows, inputs: self.inputs, outputs: self.outputs }
    }
}

pub(super) fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

fn wide_dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 4;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0f64; LANES];
    for (a, b) in a.iter().zip(b) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += f64::from(a) * f64::from(b);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    lanes.iter().sum::<f64>() + rest
}

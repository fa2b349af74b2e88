//! The forward pass of one LSTM layer over a block of rows, with PyTorch's equations and gate order (`torch.nn.LSTM`: input,
//! forget, cell, output).

use core::ops::Range;

use super::dense::grow;
use super::elementary::{sigmoid, tanh};
use super::product::{Sizes, add_forward};
use crate::network::Architecture;

/// The layer and the state of a block of rows. Buffers grow to the largest block and stay.
pub(super) struct Recurrence {
    channels: usize,
    statics: usize,
    hidden: usize,
    tensors: [Range<usize>; 4],
    gates: Vec<f32>,
    cell: Vec<f32>,
    state: Vec<f32>,
    bias: Vec<f32>,
}

impl Recurrence {
    /// `None` unless the network is an LSTM.
    pub(super) fn new(architecture: &Architecture) -> Option<Self> {
        let Architecture::Lstm { channels, statics, hidden, .. } = *architecture else { return None };
        let tensors = architecture.tensors();
        Some(Recurrence {
            channels,
            statics,
            hidden,
            tensors: core::array::from_fn(|i| tensors[i].range()),
            gates: Vec::new(),
            cell: Vec::new(),
            state: Vec::new(),
            bias: Vec::new(),
        })
    }

    /// Runs every row's series and puts `state, statics` into `out`, `hidden + statics` numbers per row. `x` holds whole rows of
    /// `width` numbers; `lengths` says how many steps of each row count. A row without steps keeps the zero state.
    pub(super) fn forward(&mut self, parameters: &[f32], x: &[f32], width: usize, lengths: &[u32], out: &mut [f32]) {
        let (rows, hidden) = (lengths.len(), self.hidden);
        for buffer in [&mut self.cell, &mut self.state] {
            grow(buffer, rows * hidden);
            buffer.fill(0.0);
        }
        grow(&mut self.gates, rows * 4 * hidden);
        let [_, _, bias_ih, bias_hh] = self.tensors.clone();
        self.bias.clear();
        self.bias.extend(parameters[bias_ih].iter().zip(&parameters[bias_hh]).map(|(a, b)| a + b));
        for step in 0..lengths.iter().copied().max().unwrap_or(0) {
            self.step(parameters, &x[step as usize * self.channels..], width, lengths, step);
        }
        let sequence = width - self.statics;
        let rows = out.chunks_exact_mut(hidden + self.statics).zip(self.state.chunks_exact(hidden));
        for ((out, state), x) in rows.zip(x.chunks_exact(width)) {
            out[..hidden].copy_from_slice(state);
            out[hidden..].copy_from_slice(&x[sequence..]);
        }
    }

    /// One step of all rows; `x` begins at the first row's numbers of the step.
    fn step(&mut self, parameters: &[f32], x: &[f32], width: usize, lengths: &[u32], step: u32) {
        let (rows, hidden) = (lengths.len(), self.hidden);
        let [weight_ih, weight_hh, ..] = self.tensors.clone();
        let gates = &mut self.gates[..rows * 4 * hidden];
        gates.chunks_exact_mut(4 * hidden).for_each(|row| row.copy_from_slice(&self.bias));
        let sizes = |inputs| Sizes { rows, inputs, outputs: 4 * hidden };
        add_forward(sizes(self.channels), x, width, &parameters[weight_ih], gates);
        add_forward(sizes(hidden), &self.state, hidden, &parameters[weight_hh], gates);
        let states = self.cell.chunks_exact_mut(hidden).zip(self.state.chunks_exact_mut(hidden));
        for ((gates, (cell, state)), &length) in gates.chunks_exact(4 * hidden).zip(states).zip(lengths) {
            // Padding: the state stays what it was after the last step that is there.
            if step >= length {
                continue;
            }
            let (input, rest) = gates.split_at(hidden);
            let (forget, rest) = rest.split_at(hidden);
            let (candidate, output) = rest.split_at(hidden);
            for ((c, i), (f, g)) in cell.iter_mut().zip(input).zip(forget.iter().zip(candidate)) {
                *c = sigmoid(*f) * *c + sigmoid(*i) * tanh(*g);
            }
            for ((h, c), o) in state.iter_mut().zip(cell).zip(output) {
                *h = sigmoid(*o) * tanh(*c);
            }
        }
    }
}

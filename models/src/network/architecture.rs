//! Shapes of networks and the order of their parameters.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::{LearnerError, Objective};

/// Most parameters of a network.
pub const MAX_PARAMETERS: usize = 4_000_000;
/// Most units of a layer, inputs of a network, or steps of a series.
pub const MAX_WIDTH: usize = 16_384;
/// Most hidden layers.
pub const MAX_LAYERS: usize = 16;

/// Activation of hidden layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(0, x)`.
    #[default]
    Relu,
    /// `tanh x`.
    Tanh,
}

/// The shape of a network. All have one row of `inputs` numbers per example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Architecture {
    /// `w x + b`, log-odds of bad.
    Logistic {
        /// Inputs.
        inputs: usize,
    },
    /// Dense layers and one output, log-odds of bad.
    Mlp {
        /// Inputs.
        inputs: usize,
        /// Units of the hidden layers.
        hidden: Vec<usize>,
        /// Of the hidden layers.
        activation: Activation,
    },
    /// Dense layers down to the last of `hidden` and back: `inputs, h1, .., hk, .., h1, inputs`; the output is linear.
    Autoencoder {
        /// Inputs.
        inputs: usize,
        /// Units of the encoder's layers, the code last.
        hidden: Vec<usize>,
        /// Of all layers but the output.
        activation: Activation,
    },
    /// One LSTM layer over `steps` steps of `channels` numbers, its last state and the `statics` into dense layers (ReLU) and one
    /// output, log-odds of bad. A row is `steps * channels` numbers, oldest step first and padding at the end, then the statics.
    Lstm {
        /// Steps of the longest series.
        steps: usize,
        /// Numbers per step.
        channels: usize,
        /// Numbers beside the series.
        statics: usize,
        /// Units of the LSTM.
        hidden: usize,
        /// Units of the dense layers before the output.
        head: Vec<usize>,
    },
}

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// As PyTorch's modules `layers` (a list of linear layers), `lstm` and `head` name it.
    pub name: String,
    /// Sizes; a weight is `[out, in]`, row-major.
    pub shape: Vec<usize>,
    /// Where it begins in the flat vector.
    pub offset: usize,
    /// Inputs of a unit: the initial values are uniform in `+-1/sqrt(fan_in)`.
    pub fan_in: usize,
}

impl TensorSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat vector.
    pub fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

impl Architecture {
    /// Numbers per example.
    pub fn inputs(&self) -> usize {
        match self {
            Architecture::Logistic { inputs }
            | Architecture::Mlp { inputs, .. }
            | Architecture::Autoencoder { inputs, .. } => *inputs,
            Architecture::Lstm { steps, channels, statics, .. } => steps * channels + statics,
        }
    }

    /// What it is for.
    pub fn objective(&self) -> Objective {
        match self {
            Architecture::Autoencoder { .. } => Objective::Reconstruction,
            _ => Objective::Credit,
        }
    }

    /// Widths of the chain of dense layers, inputs first: the whole network, or the head of an LSTM.
    pub fn dense(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        match self {
            Architecture::Logistic { inputs } => widths.extend([*inputs, 1]),
            Architecture::Mlp { inputs, hidden, .. } => {
                widths.push(*inputs);
                widths.extend(hidden);
                widths.push(1);
            }
            Architecture::Autoencoder { inputs, hidden, .. } => {
                widths.push(*inputs);
                widths.extend(hidden);
                widths.extend(hidden.iter().rev().skip(1));
                widths.push(*inputs);
            }
            Architecture::Lstm { statics, hidden, head, .. } => {
                widths.push(hidden + statics);
                widths.extend(head);
                widths.push(1);
            }
        }
        widths
    }

    /// Checks the sizes, before anything is allocated.
    pub fn validate(&self) -> Result<(), LearnerError> {
        let refuse = |what| Err(LearnerError::Architecture { what });
        let sizes: Vec<usize> = match self {
            Architecture::Logistic { inputs } => vec![*inputs],
            Architecture::Mlp { inputs, hidden, .. } | Architecture::Autoencoder { inputs, hidden, .. } => {
                if hidden.is_empty() || hidden.len() > MAX_LAYERS {
                    return refuse("between 1 and 16 hidden layers");
                }
                [&[*inputs][..], hidden].concat()
            }
            Architecture::Lstm { steps, channels, hidden, head, statics } => {
                if head.len() > MAX_LAYERS || *statics > MAX_WIDTH {
                    return refuse("at most 16 layers in the head and 16384 statics");
                }
                [&[*steps, *channels, *hidden][..], head].concat()
            }
        };
        if sizes.iter().any(|s| !(1..=MAX_WIDTH).contains(s)) || self.inputs() > MAX_WIDTH {
            return refuse("every layer, and the inputs of an example, between 1 and 16384 numbers");
        }
        if self.parameters() > MAX_PARAMETERS { refuse("at most 4000000 parameters") } else { Ok(()) }
    }

    /// The tensors, in the order of the flat vector.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors: Vec<TensorSpec> = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, fan_in: usize| {
            let offset = tensors.last().map_or(0, |t| t.range().end);
            tensors.push(TensorSpec { name, shape, offset, fan_in });
        };
        let mut module = "layers";
        if let Architecture::Lstm { channels, hidden, .. } = self {
            module = "head";
            // PyTorch draws all of them from +-1/sqrt(hidden).
            add("lstm.weight_ih_l0".to_owned(), vec![4 * hidden, *channels], *hidden);
            add("lstm.weight_hh_l0".to_owned(), vec![4 * hidden, *hidden], *hidden);
            add("lstm.bias_ih_l0".to_owned(), vec![4 * hidden], *hidden);
            add("lstm.bias_hh_l0".to_owned(), vec![4 * hidden], *hidden);
        }
        for (layer, pair) in self.dense().windows(2).enumerate() {
            add(format!("{module}.{layer}.weight"), vec![pair[1], pair[0]], pair[0]);
            add(format!("{module}.{layer}.bias"), vec![pair[1]], pair[0]);
        }
        tensors
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.tensors().last().map_or(0, |t| t.range().end)
    }

    /// Initial parameters: every value uniform in `+-1/sqrt(fan_in)`, from ChaCha8 with this seed.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = Vec::with_capacity(self.parameters());
        for tensor in self.tensors() {
            let bound = 1.0 / libm::sqrt(tensor.fan_in.max(1) as f64);
            let mut draw = || (rng.next_u32() >> 8) as f64 / f64::from(1u32 << 24);
            parameters.extend((0..tensor.len()).map(|_| ((2.0 * draw() - 1.0) * bound) as f32));
        }
        parameters
    }

    /// The tensors of the last dense layer: the personal head of a party that keeps one.
    pub fn last_layer(&self) -> core::ops::Range<usize> {
        let tensors = self.tensors();
        let start = tensors.len().checked_sub(2).and_then(|i| tensors.get(i)).map_or(0, |t| t.offset);
        start..self.parameters()
    }
}

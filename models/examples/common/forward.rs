//! What the networks compute, written down plainly in 64-bit numbers: slow, and independent of the code it is compared with.

use haihe_models::network::{Activation, Architecture, Examples};

/// Log-odds of bad, or the reconstruction, of one row.
pub fn forward(architecture: &Architecture, parameters: &[f32], row: &[f32], length: usize) -> Vec<f64> {
    let tensors = architecture.tensors();
    let tensor = |name: &str| -> Vec<f64> {
        let spec = tensors.iter().find(|t| t.name == name).expect("the network has it");
        parameters[spec.range()].iter().map(|&p| f64::from(p)).collect()
    };
    let row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
    let (module, activation, mut units) = match architecture {
        Architecture::Logistic { .. } => ("layers", Activation::Relu, row),
        Architecture::Mlp { activation, .. } | Architecture::Autoencoder { activation, .. } => {
            ("layers", *activation, row)
        }
        Architecture::Lstm { steps, channels, hidden, .. } => {
            let mut state = lstm(&tensor, &row, length, *channels, *hidden);
            state.extend(&row[steps * channels..]);
            ("head", Activation::Relu, state)
        }
    };
    let layers = architecture.dense().len() - 1;
    for layer in 0..layers {
        let bias = tensor(&format!("{module}.{layer}.bias"));
        units = plus(&bias, &times(&tensor(&format!("{module}.{layer}.weight")), &units));
        if layer + 1 < layers {
            units.iter_mut().for_each(|u| *u = if activation == Activation::Relu { u.max(0.0) } else { u.tanh() });
        }
    }
    units
}

/// Mean squared error of a reconstruction.
pub fn squared_error(row: &[f32], reconstruction: &[f64]) -> f64 {
    let squares = row.iter().zip(reconstruction).map(|(&x, y)| (f64::from(x) - y).powi(2));
    squares.sum::<f64>() / row.len() as f64
}

/// Parameters and rows that are all different, from a seed.
pub fn case(architecture: &Architecture, rows: usize, seed: u64) -> (Vec<f32>, Examples) {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let width = architecture.inputs();
    let x = (0..rows * width).map(|_| 2.0 * uniform()).collect();
    let lengths = match architecture {
        // The first rows have no step, one, and all.
        Architecture::Lstm { steps, .. } => {
            let any = |row: usize| [0, 1, *steps].get(row).copied().unwrap_or((row * 7) % (steps + 1));
            (0..rows).map(|row| any(row) as u32).collect()
        }
        _ => Vec::new(),
    };
    (architecture.initial(seed), Examples { width, x, y: vec![0.0; rows], lengths })
}

/// The last state of PyTorch's LSTM after `length` steps: gates in the order input, forget, cell, output.
fn lstm(tensor: &dyn Fn(&str) -> Vec<f64>, row: &[f64], length: usize, channels: usize, hidden: usize) -> Vec<f64> {
    let [of_input, of_state, input_bias, state_bias] =
        ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"].map(|name| tensor(&format!("lstm.{name}")));
    let bias = plus(&input_bias, &state_bias);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut state, mut cell) = (vec![0.0; hidden], vec![0.0; hidden]);
    for step in row.chunks(channels).take(length) {
        let gates = plus(&bias, &plus(&times(&of_input, step), &times(&of_state, &state)));
        for unit in 0..hidden {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + unit]);
            cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
            state[unit] = sigmoid(o) * cell[unit].tanh();
        }
    }
    state
}

fn times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.chunks(vector.len()).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

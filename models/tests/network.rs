//! Networks in plain Rust against references in double precision, by hand, and by brute force.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use haihe_models::binning::Matrix;
use haihe_models::glm::{Newton, NewtonOptions, NewtonOutcome, logistic_statistics};
use haihe_models::network::learner::{batches, credit_loss, kept_rows};
use haihe_models::network::{
    Activation, Architecture, Backend, Examples, Learner, LearnerError, LocalTraining, Objective, Optimiser, Plain,
    learner,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Made-up numbers in [-1, 1).
struct Luck(ChaCha8Rng);

impl Luck {
    fn new(seed: u64) -> Self {
        Luck(ChaCha8Rng::seed_from_u64(seed))
    }

    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| size * self.unit()).collect()
    }
}

fn made_up(architecture: &Architecture, rows: usize, seed: u64) -> Examples {
    let mut luck = Luck::new(seed);
    let width = architecture.inputs();
    let x = luck.values(rows * width, 2.0);
    let y = (0..rows).map(|_| f32::from(luck.unit() > 0.3)).collect();
    Examples { width, x, y, lengths: Vec::new() }
}

fn plain(architecture: &Architecture) -> Plain {
    Plain::new(architecture.clone()).unwrap()
}

/// One step of gradient descent over all rows, with rate 1: the gradient is what it moves.
fn one_step() -> LocalTraining {
    LocalTraining { batch_rows: 0, rate: 1.0, ..LocalTraining::default() }
}

fn gradient(architecture: &Architecture, start: &[f32], examples: &Examples, options: &LocalTraining) -> Vec<f64> {
    let trained = plain(architecture).train(start, examples, options, None, 0).unwrap();
    assert_eq!(trained.steps, 1);
    start.iter().zip(trained.parameters).map(|(a, b)| f64::from(*a) - f64::from(b)).collect()
}

fn reference_outputs(architecture: &Architecture, parameters: &[f64], row: &[f64]) -> Vec<f64> {
    reference_chain(architecture, parameters, row).0
}

/// Dense layers in double precision, written from the definition; and how near a ReLU is to its kink.
fn reference_chain(architecture: &Architecture, parameters: &[f64], row: &[f64]) -> (Vec<f64>, f64) {
    let tanh = match architecture {
        Architecture::Mlp { activation, .. } | Architecture::Autoencoder { activation, .. } => {
            *activation == Activation::Tanh
        }
        _ => false,
    };
    let tensors = architecture.tensors();
    let dense: Vec<_> = tensors.iter().filter(|t| !t.name.starts_with("lstm")).collect();
    let (mut values, mut least) = (row.to_vec(), f64::INFINITY);
    for (number, pair) in dense.chunks(2).enumerate() {
        let (weight, bias) = (&parameters[pair[0].range()], &parameters[pair[1].range()]);
        values = weight
            .chunks(values.len())
            .zip(bias)
            .map(|(w, b)| {
                let z = b + w.iter().zip(&values).map(|(w, v)| w * v).sum::<f64>();
                let last = 2 * number + 2 == dense.len();
                if !last && !tanh {
                    least = least.min(z.abs());
                }
                if last {
                    z
                } else if tanh {
                    z.tanh()
                } else {
                    z.max(0.0)
                }
            })
            .collect();
    }
    (values, least)
}

/// Whether rounding, or a finite difference, may put a ReLU on its other side.
fn near_kink(architecture: &Architecture, parameters: &[f32], examples: &Examples) -> bool {
    let parameters = wide(parameters);
    (0..examples.rows()).any(|r| reference_chain(architecture, &parameters, &wide(examples.row(r))).1 < 3e-6)
}

fn reference_row_loss(architecture: &Architecture, parameters: &[f64], row: &[f32], y: f32, bad_weight: f64) -> f64 {
    let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
    let out = reference_outputs(architecture, parameters, &row);
    match architecture.objective() {
        Objective::Reconstruction => {
            out.iter().zip(&row).map(|(o, x)| (o - x) * (o - x)).sum::<f64>() / row.len() as f64
        }
        Objective::Credit if y == 1.0 => bad_weight * (-out[0]).exp().ln_1p(),
        Objective::Credit => out[0].exp().ln_1p(),
    }
}

fn reference_loss(architecture: &Architecture, parameters: &[f64], examples: &Examples, bad_weight: f64) -> f64 {
    let loss = |r: usize| reference_row_loss(architecture, parameters, examples.row(r), examples.y[r], bad_weight);
    (0..examples.rows()).map(loss).sum::<f64>() / examples.rows() as f64
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance * (1.0 + e.abs()), "entry {i}: {f} found, {e} expected");
    }
}

fn dense() -> impl Strategy<Value = Architecture> {
    let activation = prop_oneof![Just(Activation::Relu), Just(Activation::Tanh)];
    let hidden = proptest::collection::vec(1usize..13, 1..4);
    (0..3, 1usize..13, hidden, activation).prop_map(|(kind, inputs, hidden, activation)| match kind {
        0 => Architecture::Logistic { inputs },
        1 => Architecture::Mlp { inputs, hidden, activation },
        _ => Architecture::Autoencoder { inputs, hidden, activation },
    })
}

fn check_gradient(architecture: &Architecture, rows: usize, bad_weight: f32, seed: u64) {
    let (start, examples) = (architecture.initial(seed), made_up(architecture, rows, seed + 1));
    if near_kink(architecture, &start, &examples) {
        return;
    }
    let options = LocalTraining { bad_weight, ..one_step() };
    let found = gradient(architecture, &start, &examples, &options);
    let mut at = wide(&start);
    let expected: Vec<f64> = (0..at.len())
        .map(|i| {
            // Small enough that no ReLU's kink lies in between.
            let (value, h) = (at[i], 1e-7);
            at[i] = value + h;
            let above = reference_loss(architecture, &at, &examples, f64::from(bad_weight));
            at[i] = value - h;
            let below = reference_loss(architecture, &at, &examples, f64::from(bad_weight));
            at[i] = value;
            (above - below) / (2.0 * h)
        })
        .collect();
    assert_close(&found, &expected, 1e-5);
    let trained = plain(architecture).train(&start, &examples, &options, None, 0).unwrap();
    let loss = reference_loss(architecture, &at, &examples, f64::from(bad_weight));
    assert!((trained.loss - loss).abs() <= 1e-5 * (1.0 + loss));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradients_are_the_slopes_of_the_loss(
        architecture in dense(), rows in 1usize..20, bad_weight in 0.2f32..5.0, seed in any::<u32>(),
    ) {
        check_gradient(&architecture, rows, bad_weight, u64::from(seed));
    }

    #[test]
    fn predictions_follow_the_definition(architecture in dense(), rows in 0usize..600, seed in any::<u32>()) {
        let (parameters, examples) = (architecture.initial(seed.into()), made_up(&architecture, rows, 5));
        let found = plain(&architecture).predict(&parameters, &examples).unwrap();
        let expected: Vec<f64> = (0..rows)
            .map(|r| match architecture.objective() {
                Objective::Credit => {
                    reference_outputs(&architecture, &wide(&parameters), &wide(examples.row(r)))[0]
                }
                Objective::Reconstruction => {
                    reference_row_loss(&architecture, &wide(&parameters), examples.row(r), 0.0, 1.0)
                }
            })
            .collect();
        assert_close(&wide(&found), &expected, 1e-5);
    }

    #[test]
    fn clipped_gradients_are_those_of_single_firms(
        architecture in dense(), rows in 0usize..60, firms in 1u32..30, clip in 0.01f64..2.0, seed in any::<u32>(),
    ) {
        check_clipped(&architecture, rows, Some(firms), clip, u64::from(seed));
        check_clipped(&architecture, rows, None, clip, u64::from(seed));
    }

    #[test]
    fn every_row_is_in_one_batch(rows in 0usize..200, batch in 0usize..70, seed in any::<u64>(), epoch in 0u32..5) {
        let mut order: Vec<usize> = (0..rows).map(|r| 3 * r).collect();
        let sizes: Vec<usize> = batches(&mut order, batch, seed, epoch).map(<[usize]>::len).collect();
        prop_assert_eq!(sizes.iter().sum::<usize>(), rows);
        if let Some((last, full)) = sizes.split_last() {
            let size = if batch == 0 { rows } else { batch };
            prop_assert!(*last >= 1 && *last <= size && full.iter().all(|s| *s == size));
        }
        order.sort_unstable();
        prop_assert_eq!(order, (0..rows).map(|r| 3 * r).collect::<Vec<_>>());
    }

    #[test]
    fn lstm_states_follow_the_definition(
        steps in 1usize..7, channels in 1usize..9, statics in 0usize..4, hidden in 1usize..9,
        head in proptest::collection::vec(1usize..8, 0..3), rows in 0usize..20, seed in any::<u32>(),
    ) {
        let architecture = Architecture::Lstm { steps, channels, statics, hidden, head };
        let mut examples = made_up(&architecture, rows, u64::from(seed) + 1);
        examples.lengths = (0..rows).map(|r| ((r + seed as usize) % (steps + 1)) as u32).collect();
        let parameters = architecture.initial(u64::from(seed));
        let found = Plain::forward_only(architecture.clone()).unwrap().predict(&parameters, &examples).unwrap();
        let expected: Vec<f64> = (0..rows)
            .map(|r| reference_lstm(&architecture, &wide(&parameters), &wide(examples.row(r)), examples.lengths[r]))
            .collect();
        assert_close(&wide(&found), &expected, 1e-5);
        // What stands in the padding does not matter.
        for r in 0..rows {
            let from = examples.lengths[r] as usize * channels;
            examples.x[r * examples.width..][from..steps * channels].fill(9.0);
        }
        let again = Plain::forward_only(architecture).unwrap().predict(&parameters, &examples).unwrap();
        prop_assert_eq!(found, again);
    }
}

#[test]
fn gradients_over_several_blocks() {
    let hidden = vec![9, 7];
    let mlp = Architecture::Mlp { inputs: 8, hidden: hidden.clone(), activation: Activation::Tanh };
    check_gradient(&mlp, 700, 3.0, 11);
    check_gradient(&Architecture::Autoencoder { inputs: 8, hidden, activation: Activation::Tanh }, 513, 1.0, 12);
}

/// Each firm's gradient is taken alone, from steps over single rows.
fn check_clipped(architecture: &Architecture, rows: usize, firms: Option<u32>, clip: f64, seed: u64) {
    let (parameters, examples) = (architecture.initial(seed), made_up(architecture, rows, seed + 1));
    if near_kink(architecture, &parameters, &examples) {
        return;
    }
    let mut luck = Luck::new(seed + 2);
    let firm_of: Vec<u32> = match firms {
        Some(firms) => (0..rows).map(|_| luck.0.next_u32() % firms * 1000).collect(),
        None => (0..rows as u32).collect(),
    };
    let mut own: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (row, firm) in firm_of.iter().enumerate() {
        let one = gradient(architecture, &parameters, &examples.select(&[row]), &one_step());
        let sum = own.entry(*firm).or_insert_with(|| vec![0.0; parameters.len()]);
        sum.iter_mut().zip(one).for_each(|(s, g)| *s += g);
    }
    let mut expected = vec![0.0; parameters.len()];
    for g in own.values() {
        let factor = (clip / norm(g)).min(1.0);
        expected.iter_mut().zip(g).for_each(|(s, g)| *s += factor * g);
    }
    let given = firms.map(|_| firm_of.as_slice());
    let (found, count) = plain(architecture).clipped_gradients(&parameters, &examples, given, clip).unwrap();
    assert_eq!(count, own.len() as u64);
    assert_close(&found, &expected, 2e-5);
    for (firm, g) in own.iter().take(5) {
        let rows: Vec<usize> = (0..rows).filter(|r| firm_of[*r] == *firm).collect();
        let one = vec![*firm; rows.len()];
        let (alone, _) =
            plain(architecture).clipped_gradients(&parameters, &examples.select(&rows), Some(&one), clip).unwrap();
        assert!(norm(&alone) <= clip * (1.0 + 1e-9));
        assert!((norm(&alone) - norm(g).min(clip)).abs() <= 1e-4);
    }
}

#[test]
fn firms_with_many_rows_are_clipped_as_one() {
    let mlp = Architecture::Mlp { inputs: 6, hidden: vec![7, 6], activation: Activation::Tanh };
    // Firms of about 33 rows (around the change of method), and of about 300 (more than a block).
    check_clipped(&mlp, 200, Some(6), 0.5, 1);
    check_clipped(&mlp, 600, Some(2), 0.5, 2);
    check_clipped(&mlp, 600, None, 0.5, 3);
}

/// PyTorch's equations, one row, unit by unit.
fn reference_lstm(architecture: &Architecture, parameters: &[f64], row: &[f64], length: u32) -> f64 {
    let Architecture::Lstm { steps, channels, hidden, .. } = *architecture else { unreachable!("an LSTM") };
    let tensors = architecture.tensors();
    let tensor = |i: usize| &parameters[tensors[i].range()];
    let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
    for step in 0..length as usize {
        let x = &row[step * channels..(step + 1) * channels];
        let gate = |unit: usize| {
            let ih: f64 = x.iter().zip(&tensor(0)[unit * channels..]).map(|(x, w)| x * w).sum();
            let hh: f64 = h.iter().zip(&tensor(1)[unit * hidden..]).map(|(h, w)| h * w).sum();
            ih + hh + tensor(2)[unit] + tensor(3)[unit]
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let next: Vec<(f64, f64)> = (0..hidden)
            .map(|u| {
                let (i, f) = (sigmoid(gate(u)), sigmoid(gate(hidden + u)));
                let (g, o) = (gate(2 * hidden + u).tanh(), sigmoid(gate(3 * hidden + u)));
                let cell = f * c[u] + i * g;
                (o * cell.tanh(), cell)
            })
            .collect();
        (h, c) = next.into_iter().unzip();
    }
    h.extend(&row[steps * channels..]);
    reference_outputs(architecture, parameters, &h)[0]
}

#[test]
fn an_lstm_of_one_unit_by_hand() {
    let lstm = Architecture::Lstm { steps: 2, channels: 1, statics: 1, hidden: 1, head: vec![] };
    // w_ih (i, f, g, o), w_hh, b_ih, b_hh, head weight (state, static), head bias.
    let parameters =
        [0.5, -0.5, 1.0, 0.25, 0.1, 0.2, 0.3, 0.4, 0.01, 0.02, 0.03, 0.04, 0.1, 0.1, 0.1, 0.1, 2.0, 3.0, -1.0];
    let examples = Examples { width: 3, x: vec![1.0, -1.0, 0.5], y: vec![0.0], lengths: vec![1] };
    let mut learner = Plain::forward_only(lstm).unwrap();
    // i = s(0.61), g = tanh(1.13), o = s(0.39): c = 0.647941 * 0.811019 = 0.525492, h = 0.596283 * tanh(c) = 0.287365.
    let z = learner.predict(&parameters, &examples).unwrap();
    assert!((z[0] - (2.0 * 0.287_365 + 1.5 - 1.0)).abs() < 2e-5, "{z:?}");
    // Without steps the state is zero.
    let z = learner.predict(&parameters, &Examples { lengths: vec![0], ..examples }).unwrap();
    assert_eq!(z, [0.5]);
}

#[test]
fn steps_by_hand() {
    let logistic = Architecture::Logistic { inputs: 2 };
    let examples = Examples { width: 2, x: vec![1.0, 2.0], y: vec![1.0], lengths: vec![] };
    let start = [0.5, -0.25, 0.1];
    // z = 0.1, P(bad) = 0.524979, slope -0.475021.
    let step = |options: &LocalTraining| {
        wide(&plain(&logistic).train(&start, &examples, options, None, 1).unwrap().parameters)
    };
    let sgd = LocalTraining { batch_rows: 1, rate: 0.1, ..LocalTraining::default() };
    assert_close(&step(&sgd), &[0.547_502_1, -0.154_995_8, 0.147_502_1], 1e-6);
    // 0.99 of the weights stay (0.1 * 0.1).
    let decayed = LocalTraining { weight_decay: 0.1, ..sgd.clone() };
    assert_close(&step(&decayed), &[0.542_502_1, -0.152_495_8, 0.146_502_1], 1e-6);
    // Second step with momentum 0.5: z = 0.385013, slope -0.404918; v = 0.5 * -0.475021 - 0.404918 = -0.642428.
    let momentum = LocalTraining { optimiser: Optimiser::Sgd { momentum: 0.5 }, epochs: 2, ..sgd.clone() };
    assert_close(&step(&momentum), &[0.611_744_9, -0.026_510_2, 0.211_744_9], 2e-6);
    // Adam's first step is the rate, against the sign of the gradient.
    let adam = LocalTraining { optimiser: Optimiser::Adam, ..sgd.clone() };
    assert_close(&step(&adam), &[0.6, -0.15, 0.2], 1e-6);
    // A bad of weight 3.
    let heavy = LocalTraining { bad_weight: 3.0, ..sgd };
    assert_close(&step(&heavy), &[0.642_506_2, 0.035_012_5, 0.242_506_2], 1e-6);
}

#[test]
fn adam_follows_algorithm_1() {
    let logistic = Architecture::Logistic { inputs: 1 };
    let examples = Examples { width: 1, x: vec![1.0, -0.5, 2.0], y: vec![1.0, 1.0, 0.0], lengths: vec![] };
    let options = LocalTraining {
        epochs: 20,
        batch_rows: 0,
        rate: 0.05,
        optimiser: Optimiser::Adam,
        weight_decay: 0.01,
        ..LocalTraining::default()
    };
    let found = plain(&logistic).train(&[0.3, -0.2], &examples, &options, None, 1).unwrap();
    let (mut w, mut m, mut v) = ([0.3f64, -0.2], [0.0f64; 2], [0.0f64; 2]);
    for t in 1..=20 {
        let mut g = [0.0; 2];
        for (x, y) in [(1.0, 1.0), (-0.5, 1.0), (2.0, 0.0)] {
            let slope = 1.0 / (1.0 + f64::exp(-(w[0] * x + w[1]))) - y;
            g[0] += slope * x / 3.0;
            g[1] += slope / 3.0;
        }
        for i in 0..2 {
            m[i] = 0.9 * m[i] + 0.1 * g[i];
            v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
            let (m_hat, v_hat) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
            w[i] = w[i] * (1.0 - 0.05 * 0.01) - 0.05 * m_hat / (v_hat.sqrt() + 1e-8);
        }
    }
    assert_close(&wide(&found.parameters), &w, 1e-5);
    assert_eq!(found.steps, 20);
}

#[test]
fn training_repeats_to_the_bit() {
    let mlp = Architecture::Mlp { inputs: 9, hidden: vec![8, 6], activation: Activation::Tanh };
    let (start, examples) = (mlp.initial(1), made_up(&mlp, 300, 2));
    let options = LocalTraining {
        epochs: 3,
        batch_rows: 32,
        optimiser: Optimiser::Adam,
        trim: 0.1,
        proximal: 0.1,
        ..LocalTraining::default()
    };
    let mut one = plain(&mlp);
    let first = one.train(&start, &examples, &options, None, 7).unwrap();
    // Buffers that other rows left behind change nothing.
    one.predict(&start, &made_up(&mlp, 1000, 3)).unwrap();
    assert!(one.train(&start, &examples, &options, None, 7).unwrap() == first);
    assert!(plain(&mlp).train(&start, &examples, &options, None, 8).unwrap().parameters != first.parameters);
    // 270 rows stay: 9 steps in each epoch.
    assert_eq!(first.steps, 27);
}

#[test]
fn the_order_of_batches_is_as_documented() {
    for epoch in 0..3u32 {
        let mut rng = ChaCha8Rng::seed_from_u64(42);
        rng.set_stream(epoch.into());
        let mut expected: Vec<usize> = (10..30).collect();
        for i in (1..20usize).rev() {
            let j = (f64::from(rng.next_u32()) * (i as f64 + 1.0) / 4_294_967_296.0).floor() as usize;
            expected.swap(i, j);
        }
        let mut rows: Vec<usize> = (10..30).collect();
        let found: Vec<Vec<usize>> = batches(&mut rows, 8, 42, epoch).map(<[usize]>::to_vec).collect();
        assert_eq!(found, expected.chunks(8).map(<[usize]>::to_vec).collect::<Vec<_>>());
    }
}

#[test]
fn no_rows_give_the_start_back() {
    let mlp = Architecture::Mlp { inputs: 3, hidden: vec![2], activation: Activation::Relu };
    let (start, none) = (mlp.initial(1), made_up(&mlp, 0, 1));
    let options = LocalTraining { trim: 0.2, weight_decay: 0.5, epochs: 3, ..LocalTraining::default() };
    let trained = plain(&mlp).train(&start, &none, &options, Some(&vec![1.0; start.len()]), 1).unwrap();
    assert_eq!((trained.parameters, trained.loss, trained.steps), (start.clone(), 0.0, 0));
    assert!(plain(&mlp).predict(&start, &none).unwrap().is_empty());
    let (sum, firms) = plain(&mlp).clipped_gradients(&start, &none, None, 1.0).unwrap();
    assert_eq!((sum, firms), (vec![0.0; start.len()], 0));
}

#[test]
fn trimming_leaves_out_the_rows_with_the_highest_loss() {
    let losses = [0.5, 9.0, 0.1, 9.0, 0.2, 0.3, 9.0, 0.4, 0.1, 0.2];
    let kept = |trim| kept_rows(Objective::Reconstruction, &losses, &[], trim);
    assert_eq!(kept(0.3), [0, 2, 4, 5, 7, 8, 9]);
    assert_eq!(kept(0.1), [0, 1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(kept(0.09).len(), 10);
    assert_eq!(kept_rows(Objective::Credit, &[4.0, -4.0, 4.0, -4.0], &[1.0, 0.0, 0.0, 1.0], 0.5), [0, 1]);

    let autoencoder = Architecture::Autoencoder { inputs: 6, hidden: vec![3], activation: Activation::Tanh };
    let (start, mut examples) = (autoencoder.initial(1), made_up(&autoencoder, 100, 2));
    let odd: Vec<usize> = (0..100).filter(|r| r % 10 == 3).collect();
    for &r in &odd {
        examples.x[6 * r..6 * r + 6].iter_mut().for_each(|v| *v += 30.0);
    }
    let usual: Vec<usize> = (0..100).filter(|r| r % 10 != 3).collect();
    let options = LocalTraining { epochs: 5, batch_rows: 0, rate: 0.1, ..LocalTraining::default() };
    let trimming = LocalTraining { trim: 0.1, ..options.clone() };
    let trimmed = plain(&autoencoder).train(&start, &examples, &trimming, None, 1).unwrap();
    let clean = plain(&autoencoder).train(&start, &examples.select(&usual), &options, None, 1).unwrap();
    assert_close(&wide(&trimmed.parameters), &wide(&clean.parameters), 1e-5);
    let dirty = plain(&autoencoder).train(&start, &examples, &options, None, 1).unwrap();
    let gap = dirty.parameters.iter().zip(&clean.parameters).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(gap > 0.05, "the outliers matter: {gap}");
}

#[test]
fn the_proximal_term_pulls_to_the_start() {
    let mlp = Architecture::Mlp { inputs: 5, hidden: vec![6], activation: Activation::Tanh };
    let (start, examples) = (mlp.initial(3), made_up(&mlp, 64, 4));
    let moved = |proximal, epochs| {
        let options = LocalTraining { proximal, epochs, batch_rows: 0, rate: 0.1, ..LocalTraining::default() };
        let trained = plain(&mlp).train(&start, &examples, &options, None, 1).unwrap();
        trained.parameters.iter().zip(&start).map(|(a, b)| f64::from(a - b)).collect::<Vec<f64>>()
    };
    // At the start it is nothing; a step away it takes rate * mu of the way back.
    assert_eq!(moved(5.0, 1), moved(0.0, 1));
    let (first, second) = (moved(0.0, 1), moved(0.0, 2));
    let expected: Vec<f64> = second.iter().zip(&first).map(|(s, f)| s - 0.1 * 5.0 * f).collect();
    assert_close(&moved(5.0, 2), &expected, 1e-6);
    assert!(norm(&moved(5.0, 50)) < 0.3 * norm(&moved(0.0, 50)));
}

#[test]
fn the_correction_joins_every_gradient() {
    let mlp = Architecture::Mlp { inputs: 4, hidden: vec![6], activation: Activation::Relu };
    let (start, examples) = (mlp.initial(3), made_up(&mlp, 30, 4));
    let correction = Luck::new(5).values(start.len(), 0.1);
    let options = LocalTraining { batch_rows: 0, rate: 0.5, ..LocalTraining::default() };
    let without = plain(&mlp).train(&start, &examples, &options, None, 1).unwrap();
    let with = plain(&mlp).train(&start, &examples, &options, Some(&correction), 1).unwrap();
    let expected: Vec<f64> =
        without.parameters.iter().zip(&correction).map(|(w, c)| f64::from(*w) - 0.5 * f64::from(*c)).collect();
    assert_close(&wide(&with.parameters), &expected, 1e-6);
    assert_eq!(with.loss, without.loss);
}

#[test]
fn residuals_are_what_the_prediction_averages() {
    let autoencoder = Architecture::Autoencoder { inputs: 7, hidden: vec![6, 2], activation: Activation::Relu };
    let (parameters, examples) = (autoencoder.initial(1), made_up(&autoencoder, 300, 2));
    let mut learner = plain(&autoencoder);
    let residuals = learner.residuals(&parameters, &examples).unwrap();
    let means: Vec<f64> = residuals.chunks(7).map(|r| wide(r).iter().sum::<f64>() / 7.0).collect();
    assert_close(&wide(&learner.predict(&parameters, &examples).unwrap()), &means, 1e-6);
}

#[test]
fn losses_of_extreme_log_odds_stay_finite() {
    assert_eq!(credit_loss(200.0, 1.0, 1.0), (0.0, -0.0));
    assert_eq!(credit_loss(200.0, 0.0, 1.0), (200.0, 1.0));
    assert_eq!(credit_loss(-200.0, 1.0, 2.0), (400.0, -2.0));
    let (loss, slope) = credit_loss(-20.0, 0.0, 1.0);
    assert!((loss / 2.061_153_6e-9 - 1.0).abs() < 1e-5 && (slope / 2.061_153_6e-9 - 1.0).abs() < 1e-5);
}

#[test]
fn logistic_regression_finds_what_newton_finds() {
    let logistic = Architecture::Logistic { inputs: 3 };
    let mut luck = Luck::new(9);
    let x = luck.values(3 * 3000, 2.0);
    let bad = |r: &[f32], noise: f32| 1.5 * r[0] - r[1] + 0.3 * r[2] - 0.7 + 2.0 * noise > 0.0;
    let y: Vec<bool> = x.chunks(3).map(|r| bad(r, luck.unit() + luck.unit())).collect();
    let examples = Examples { width: 3, x: x.clone(), y: y.iter().map(|b| f32::from(*b)).collect(), lengths: vec![] };
    let matrix = Matrix::new(3000, 3, wide(&x)).unwrap();
    let options = NewtonOptions { ridge: 0.0, ..NewtonOptions::default() };
    let mut newton = Newton::new(["a", "b", "c"].map(str::to_owned).to_vec(), options).unwrap();
    let fitted = loop {
        match newton.step(&logistic_statistics(&matrix, &y, newton.beta()).unwrap()) {
            NewtonOutcome::Continue(next) | NewtonOutcome::Backtrack(next) => newton = next,
            NewtonOutcome::Converged(_) => break newton.beta().to_vec(),
            NewtonOutcome::Failed(error) => panic!("{error}"),
        }
    };
    let options = LocalTraining { epochs: 60, batch_rows: 300, rate: 0.5, ..LocalTraining::default() };
    let trained = plain(&logistic).train(&[0.0; 4], &examples, &options, None, 1).unwrap().parameters;
    let [a, b, c, intercept] = trained[..] else { panic!("four parameters") };
    assert_close(&wide(&[intercept, a, b, c]), &fitted, 0.08);
}

#[test]
fn a_hidden_layer_learns_what_logistic_regression_cannot() {
    let mlp = Architecture::Mlp { inputs: 2, hidden: vec![16, 8], activation: Activation::Relu };
    let mut examples = made_up(&mlp, 1000, 5);
    examples.y = examples.x.chunks(2).map(|r| f32::from((r[0] > 0.0) != (r[1] > 0.0))).collect();
    let options = LocalTraining { epochs: 40, batch_rows: 64, optimiser: Optimiser::Adam, ..LocalTraining::default() };
    let mut learner = plain(&mlp);
    let trained = learner.train(&mlp.initial(1), &examples, &options, None, 1).unwrap();
    let z = learner.predict(&trained.parameters, &examples).unwrap();
    let right = z.iter().zip(&examples.y).filter(|(z, y)| (**z > 0.0) == (**y == 1.0)).count();
    assert!(right > 930, "{right} of 1000");
}

#[test]
fn refusals_name_what_is_wrong() {
    let mlp = Architecture::Mlp { inputs: 3, hidden: vec![4], activation: Activation::Relu };
    let (start, examples) = (mlp.initial(1), made_up(&mlp, 10, 1));
    let options = LocalTraining::default();
    let mut learner = plain(&mlp);
    let expected = start.len();
    let short = LearnerError::Parameters { expected, found: 2 };
    assert_eq!(learner.train(&[0.0; 2], &examples, &options, None, 1), Err(short.clone()));
    assert_eq!(learner.train(&start, &examples, &options, Some(&[0.0; 2]), 1), Err(short.clone()));
    assert_eq!(learner.predict(&[0.0; 2], &examples), Err(short.clone()));
    assert_eq!(learner.clipped_gradients(&[0.0; 2], &examples, None, 1.0), Err(short));
    let narrow = Examples { width: 2, x: vec![0.0; 20], ..examples.clone() };
    assert_eq!(learner.predict(&start, &narrow), Err(LearnerError::Width { expected: 3, found: 2 }));
    let cut = Examples { x: vec![0.0; 29], ..examples.clone() };
    assert!(matches!(learner.predict(&start, &cut), Err(LearnerError::Width { .. })));
    assert!(matches!(learner.residuals(&start, &examples), Err(LearnerError::Unsuited { .. })));
    for clip in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = learner.clipped_gradients(&start, &examples, None, clip);
        assert!(matches!(refused, Err(LearnerError::Option { option: "clip", .. })));
    }
    let firms = learner.clipped_gradients(&start, &examples, Some(&[1, 2]), 1.0);
    assert!(matches!(firms, Err(LearnerError::Unsuited { .. })));
    let mut strange = examples.clone();
    strange.y[3] = f32::NAN;
    assert!(matches!(learner.train(&start, &strange, &options, None, 1), Err(LearnerError::Option { .. })));
    assert!(learner.predict(&start, &strange).is_ok(), "labels do not matter to a prediction");
    let zero_rate = LocalTraining { rate: 0.0, ..options };
    assert!(matches!(learner.train(&start, &examples, &zero_rate, None, 1), Err(LearnerError::Option { .. })));
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let mlp = Architecture::Mlp { inputs: 3, hidden: vec![4, 4], activation: Activation::Relu };
    let (start, examples) = (mlp.initial(1), made_up(&mlp, 300, 1));
    let mut learner = plain(&mlp);
    let options = LocalTraining::default();
    let broken = |r: Result<(), LearnerError>| assert!(matches!(r, Err(LearnerError::NotFinite { .. })), "{r:?}");
    for bad in [f32::NAN, f32::INFINITY] {
        let mut hit = examples.clone();
        hit.x[899] = bad;
        broken(learner.train(&start, &hit, &options, None, 1).map(drop));
        broken(learner.predict(&start, &hit).map(drop));
        let mut hit = start.clone();
        hit[5] = bad;
        broken(learner.train(&hit, &examples, &options, None, 1).map(drop));
        broken(learner.predict(&hit, &examples).map(drop));
        broken(learner.clipped_gradients(&hit, &examples, None, 1.0).map(drop));
    }
    // Finite at first, but not for long.
    let huge: Vec<f32> = start.iter().map(|w| w * 1e20).collect();
    broken(learner.train(&huge, &examples, &LocalTraining { rate: 10.0, epochs: 5, ..options }, None, 1).map(drop));
    let huge: Vec<f32> = start.iter().map(|w| w * 1e30).collect();
    broken(learner.predict(&huge, &examples).map(drop));
    broken(learner.clipped_gradients(&huge, &examples, None, 1.0).map(drop));
}

#[cfg(not(feature = "torch"))]
#[test]
fn lstms_are_trained_by_libtorch_only() {
    let lstm = Architecture::Lstm { steps: 2, channels: 2, statics: 0, hidden: 3, head: vec![] };
    let missing = |r: Result<(), LearnerError>| assert!(matches!(r, Err(LearnerError::NoTorch { .. })), "{r:?}");
    for backend in [Backend::Any, Backend::Plain, Backend::Torch] {
        missing(learner(backend, lstm.clone()).map(drop));
    }
    missing(learner(Backend::Torch, Architecture::Logistic { inputs: 1 }).map(drop));
    let (start, mut examples) = (lstm.initial(1), made_up(&lstm, 4, 1));
    examples.lengths = vec![2, 1, 0, 2];
    let mut forward = Plain::forward_only(lstm).unwrap();
    missing(forward.train(&start, &examples, &LocalTraining::default(), None, 1).map(drop));
    missing(forward.clipped_gradients(&start, &examples, None, 1.0).map(drop));
    examples.lengths[0] = 3;
    assert_eq!(forward.predict(&start, &examples), Err(LearnerError::Lengths { steps: 2 }));
}

#[test]
fn learners_are_found_by_backend() {
    let logistic = Architecture::Logistic { inputs: 2 };
    let mut found = learner(Backend::Plain, logistic.clone()).unwrap();
    assert_eq!(found.architecture(), &logistic);
    assert_eq!(learner(Backend::Any, logistic.clone()).unwrap().architecture(), &logistic);
    let one = Examples { width: 2, x: vec![1.0, 1.0], y: vec![0.0], lengths: vec![] };
    assert_eq!(found.predict(&[1.0, 2.0, 3.0], &one).unwrap(), [6.0]);
    let wrong = learner(Backend::Plain, Architecture::Logistic { inputs: 0 }).map(drop);
    assert!(matches!(wrong, Err(LearnerError::Architecture { .. })));
}

//! Networks on libtorch: against the plain backend where that trains, against finite differences where it does not.

use haihe_models::network::{
    Activation, Architecture, Backend, Examples, Learner, LearnerError, LocalTraining, Optimiser, Plain, Torch, learner,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

fn logistic() -> Architecture {
    Architecture::Logistic { inputs: 7 }
}

fn mlp(activation: Activation) -> Architecture {
    Architecture::Mlp { inputs: 7, hidden: vec![12, 6], activation }
}

fn autoencoder() -> Architecture {
    Architecture::Autoencoder { inputs: 7, hidden: vec![9, 3], activation: Activation::Tanh }
}

fn lstm() -> Architecture {
    Architecture::Lstm { steps: 5, channels: 3, statics: 2, hidden: 6, head: vec![4] }
}

/// Uniform in `-1..1`.
fn uniform(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0
}

/// Rows whose label depends on their first numbers; every fourth is bad or so.
fn examples(architecture: &Architecture, rows: usize, seed: u64) -> Examples {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut examples = Examples { width: architecture.inputs(), ..Examples::default() };
    for row in 0..rows {
        let x: Vec<f32> = (0..examples.width).map(|_| 2.0 * uniform(&mut rng)).collect();
        examples.y.push(if x[0] - x[1] * x[2] + 0.5 * uniform(&mut rng) > 1.0 { 1.0 } else { 0.0 });
        examples.x.extend(x);
        if let Architecture::Lstm { steps, .. } = architecture {
            examples.lengths.push((row % (steps + 1)) as u32);
        }
    }
    examples
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

fn torch(architecture: &Architecture) -> Torch {
    Torch::new(architecture.clone()).expect("within limits")
}

/// Every kind of visit that both backends can make.
fn visits() -> Vec<LocalTraining> {
    let plain = LocalTraining { epochs: 2, batch_rows: 32, rate: 0.05, ..LocalTraining::default() };
    let adam = LocalTraining { optimiser: Optimiser::Adam, rate: 0.005, ..plain.clone() };
    vec![
        LocalTraining { optimiser: Optimiser::Sgd { momentum: 0.9 }, ..plain.clone() },
        LocalTraining { batch_rows: 0, bad_weight: 4.0, ..plain.clone() },
        LocalTraining { proximal: 0.5, weight_decay: 0.1, ..plain.clone() },
        LocalTraining { trim: 0.1, ..plain.clone() },
        LocalTraining { weight_decay: 0.1, proximal: 0.5, trim: 0.1, bad_weight: 0.5, ..adam.clone() },
        plain,
        adam,
    ]
}

#[test]
fn both_backends_take_the_same_steps() {
    for architecture in [logistic(), mlp(Activation::Relu), mlp(Activation::Tanh), autoencoder()] {
        let examples = examples(&architecture, 333, 5);
        let start = architecture.initial(9);
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let correction: Vec<f32> = start.iter().map(|_| 0.02 * uniform(&mut rng)).collect();
        for (number, options) in visits().into_iter().enumerate() {
            for correction in [None, Some(&correction[..])] {
                let mut plain = Plain::new(architecture.clone()).expect("dense");
                let a = plain.train(&start, &examples, &options, correction, 11).expect("trained");
                let b = torch(&architecture).train(&start, &examples, &options, correction, 11).expect("trained");
                let (apart, moved) = (distance(&a.parameters, &b.parameters), distance(&a.parameters, &start));
                let what = format!("{architecture:?}, visit {number}, correction {}", correction.is_some());
                assert!(moved > 1e-3 && apart <= 1e-4 * moved, "{what}: {apart} apart after {moved}");
                assert!((a.loss - b.loss).abs() <= 1e-4 * a.loss, "{what}: losses {} and {}", a.loss, b.loss);
                assert_eq!(a.steps, b.steps, "{what}");
            }
        }
    }
}

#[test]
fn both_backends_predict_the_same() {
    for architecture in [logistic(), mlp(Activation::Tanh), autoencoder(), lstm()] {
        // More rows than are predicted at once.
        let examples = examples(&architecture, 5000, 1);
        let parameters = architecture.initial(2);
        let mut plain = Plain::forward_only(architecture.clone()).expect("within limits");
        let a = plain.predict(&parameters, &examples).expect("predicted");
        let b = torch(&architecture).predict(&parameters, &examples).expect("predicted");
        assert_eq!(a.len(), 5000);
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5, "{architecture:?}: {worst}");
    }
    let examples = examples(&autoencoder(), 50, 1);
    let parameters = autoencoder().initial(2);
    let a = Plain::new(autoencoder()).expect("dense").residuals(&parameters, &examples).expect("residuals");
    let b = torch(&autoencoder()).residuals(&parameters, &examples).expect("residuals");
    assert!(a.len() == 350 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5));
}

#[test]
fn both_backends_clip_the_same() {
    for architecture in [logistic(), mlp(Activation::Relu), autoencoder()] {
        let examples = examples(&architecture, 700, 3);
        let parameters = architecture.initial(4);
        let firms: Vec<u32> = (0..700).map(|row| row * row % 97).collect();
        for (firms, clip) in [(None, 0.3), (Some(&firms[..]), 1.0), (Some(&firms[..]), 1e6)] {
            let mut plain = Plain::new(architecture.clone()).expect("dense");
            let (a, count) = plain.clipped_gradients(&parameters, &examples, firms, clip).expect("clipped");
            let (b, again) =
                torch(&architecture).clipped_gradients(&parameters, &examples, firms, clip).expect("clipped");
            assert_eq!(count, again);
            let apart = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let size = a.iter().map(|a| a * a).sum::<f64>().sqrt();
            assert!(apart <= 1e-5 * size, "{architecture:?}: {apart} of {size}");
        }
    }
}

/// The gradient of the mean loss, as one step of gradient descent shows it.
fn gradient(architecture: &Architecture, parameters: &[f32], examples: &Examples) -> Vec<f64> {
    let options = LocalTraining { batch_rows: 0, rate: 1.0, ..LocalTraining::default() };
    let trained = torch(architecture).train(parameters, examples, &options, None, 0).expect("trained");
    parameters.iter().zip(trained.parameters).map(|(w, v)| f64::from(*w) - f64::from(v)).collect()
}

/// Mean binary cross-entropy of the LSTM network by the equations of PyTorch's documentation, number by number in 64 bits.
fn loss(parameters: &[f64], examples: &Examples) -> f64 {
    let Architecture::Lstm { channels, hidden, .. } = lstm() else { unreachable!("it is one") };
    let specs = lstm().tensors();
    let tensor = |name: &str| &parameters[specs.iter().find(|s| s.name == name).expect("a tensor").range()];
    let times = |weight: &[f64], x: &[f64], unit: usize| -> f64 {
        weight[unit * x.len()..].iter().zip(x).map(|(w, x)| w * x).sum()
    };
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let mut sum = 0.0;
    for row in 0..examples.rows() {
        let x: Vec<f64> = examples.row(row).iter().map(|&x| f64::from(x)).collect();
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for x in x.chunks(channels).take(examples.lengths[row] as usize) {
            let gate = |number: usize, unit: usize| {
                let at = number * hidden + unit;
                times(tensor("lstm.weight_ih_l0"), x, at)
                    + tensor("lstm.bias_ih_l0")[at]
                    + times(tensor("lstm.weight_hh_l0"), &h, at)
                    + tensor("lstm.bias_hh_l0")[at]
            };
            c = (0..hidden).map(|u| sigmoid(gate(1, u)) * c[u] + sigmoid(gate(0, u)) * gate(2, u).tanh()).collect();
            h = (0..hidden).map(|u| sigmoid(gate(3, u)) * c[u].tanh()).collect();
        }
        h.extend(&x[15..]);
        let layer = |name: &str, x: &[f64]| -> Vec<f64> {
            let (weight, bias) = (tensor(&format!("{name}.weight")), tensor(&format!("{name}.bias")));
            (0..bias.len()).map(|unit| times(weight, x, unit) + bias[unit]).collect()
        };
        let inner: Vec<f64> = layer("head.0", &h).into_iter().map(|z| z.max(0.0)).collect();
        let z = layer("head.1", &inner)[0];
        sum += (-z.abs()).exp().ln_1p() + z.max(0.0) - z * f64::from(examples.y[row]);
    }
    sum / examples.rows() as f64
}

#[test]
fn an_lstms_gradient_is_the_slope_of_its_loss() {
    let architecture = lstm();
    let examples = examples(&architecture, 60, 7);
    // Larger values than at a start, so that gates are not all half open.
    let parameters: Vec<f32> = architecture.initial(8).iter().map(|w| 2.0 * w).collect();
    let gradient = gradient(&architecture, &parameters, &examples);
    let wide: Vec<f64> = parameters.iter().map(|&w| f64::from(w)).collect();
    let options = LocalTraining { batch_rows: 0, rate: 1.0, ..LocalTraining::default() };
    let trained = torch(&architecture).train(&parameters, &examples, &options, None, 0).expect("trained");
    assert!((trained.loss - loss(&wide, &examples)).abs() < 1e-6);
    for tensor in architecture.tensors() {
        let norm = gradient[tensor.range()].iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(norm > 1e-3, "{} has no gradient", tensor.name);
        for at in tensor.range() {
            let moved = |by: f64| {
                let mut parameters = wide.clone();
                parameters[at] += by;
                loss(&parameters, &examples)
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let apart = (slope - gradient[at]).abs();
            assert!(apart < 1e-5 * norm + 2e-7, "{} {at}: slope {slope}, gradient {}", tensor.name, gradient[at]);
        }
    }
}

#[test]
fn an_lstms_clipped_gradients_are_those_of_its_rows() {
    let architecture = lstm();
    let examples = examples(&architecture, 24, 9);
    let parameters = architecture.initial(10);
    let firms: Vec<u32> = (0..24).map(|row| row % 7).collect();
    let own = |firm: u32| -> (Vec<f64>, f64) {
        let rows: Vec<usize> = (0..24).filter(|&row| firms[row] == firm).collect();
        let mean = gradient(&architecture, &parameters, &examples.select(&rows));
        let own: Vec<f64> = mean.iter().map(|g| g * rows.len() as f64).collect();
        let norm = own.iter().map(|g| g * g).sum::<f64>().sqrt();
        (own, norm)
    };
    let own: Vec<(Vec<f64>, f64)> = (0..7).map(own).collect();
    // So that some are clipped, and some are not.
    let mut norms: Vec<f64> = own.iter().map(|(_, norm)| *norm).collect();
    norms.sort_by(f64::total_cmp);
    let clip = norms[3] + 1e-4;
    let (sum, count) =
        torch(&architecture).clipped_gradients(&parameters, &examples, Some(&firms), clip).expect("clipped");
    let mut expected = vec![0.0; parameters.len()];
    for (own, norm) in &own {
        expected.iter_mut().zip(own).for_each(|(e, g)| *e += (clip / norm).min(1.0) * g);
    }
    assert_eq!(count, 7);
    for (number, (sum, expected)) in sum.iter().zip(&expected).enumerate() {
        assert!((sum - expected).abs() < 1e-5, "parameter {number}: {sum}, {expected}");
    }
}

#[test]
fn what_lies_behind_the_end_of_a_series_does_not_matter() {
    let (architecture, examples) = (lstm(), examples(&lstm(), 100, 12));
    let mut other = examples.clone();
    for (row, &length) in other.x.chunks_mut(17).zip(&examples.lengths) {
        row[3 * length as usize..15].fill(3e38);
    }
    assert_ne!(examples, other);
    // Weights above 1, by which the largest numbers become infinities.
    let start: Vec<f32> = architecture.initial(13).iter().map(|w| 8.0 * w).collect();
    let mut torch = torch(&architecture);
    let options = LocalTraining { batch_rows: 16, optimiser: Optimiser::Adam, ..LocalTraining::default() };
    let mut both = |examples: &Examples| {
        let trained = torch.train(&start, examples, &options, None, 1).expect("trained");
        let predicted = torch.predict(&trained.parameters, examples).expect("predicted");
        (trained, predicted, torch.clipped_gradients(&start, examples, None, 0.1).expect("clipped"))
    };
    assert!(both(&examples) == both(&other));
}

#[test]
fn the_same_visit_gives_the_same_bits_on_any_thread() {
    for architecture in [mlp(Activation::Relu), lstm()] {
        let visit = || {
            let examples = examples(&architecture, 700, 14);
            let options = LocalTraining { epochs: 2, optimiser: Optimiser::Adam, ..LocalTraining::default() };
            let trained = torch(&architecture).train(&architecture.initial(15), &examples, &options, None, 16);
            trained.expect("trained").parameters
        };
        let first = visit();
        assert!(first == visit() && first != architecture.initial(15));
        let others = std::thread::scope(|scope| [scope.spawn(visit), scope.spawn(visit)].map(|t| t.join()));
        assert!(others.into_iter().all(|other| other.expect("no panic") == first));
    }
}

#[test]
fn an_lstm_learns_what_only_the_order_of_steps_tells() {
    // Bad: the last value is above the first.
    let architecture = Architecture::Lstm { steps: 4, channels: 1, statics: 0, hidden: 8, head: vec![] };
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let mut examples = Examples { width: 4, ..Examples::default() };
    for _ in 0..600 {
        let x: [f32; 4] = core::array::from_fn(|_| 2.0 * uniform(&mut rng));
        examples.y.push(if x[3] > x[0] { 1.0 } else { 0.0 });
        examples.x.extend(x);
        examples.lengths.push(4);
    }
    let mut torch = torch(&architecture);
    let options = LocalTraining {
        epochs: 25,
        batch_rows: 32,
        rate: 0.02,
        optimiser: Optimiser::Adam,
        ..LocalTraining::default()
    };
    let trained = torch.train(&architecture.initial(18), &examples, &options, None, 19).expect("trained");
    let predicted = torch.predict(&trained.parameters, &examples).expect("predicted");
    let right = predicted.iter().zip(&examples.y).filter(|(z, y)| (**z > 0.0) == (**y > 0.5)).count();
    assert!(right > 560, "{right} of 600 are right");
}

#[test]
fn no_rows_give_the_start_back() {
    for architecture in [autoencoder(), lstm()] {
        let none = examples(&architecture, 0, 1);
        let start = architecture.initial(1);
        let mut torch = torch(&architecture);
        let trained = torch.train(&start, &none, &LocalTraining::default(), None, 1).expect("trained");
        assert!(trained.parameters == start && trained.steps == 0 && trained.loss == 0.0);
        assert_eq!(torch.predict(&start, &none).expect("predicted"), Vec::<f32>::new());
        let (sum, firms) = torch.clipped_gradients(&start, &none, None, 1.0).expect("clipped");
        assert!(firms == 0 && sum.iter().all(|s| *s == 0.0) && sum.len() == start.len());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let architecture = lstm();
    let examples = examples(&architecture, 20, 1);
    let start = architecture.initial(1);
    let mut torch = torch(&architecture);
    let options = LocalTraining::default();
    assert!(matches!(torch.predict(&start[1..], &examples), Err(LearnerError::Parameters { .. })));
    let short = torch.train(&start, &examples, &options, Some(&start[1..]), 1);
    assert!(matches!(short, Err(LearnerError::Parameters { .. })));
    let wide = Examples { width: 16, ..examples.clone() };
    assert!(matches!(torch.predict(&start, &wide), Err(LearnerError::Width { expected: 17, found: 16 })));
    let long = Examples { lengths: vec![6; 20], ..examples.clone() };
    assert!(matches!(torch.predict(&start, &long), Err(LearnerError::Lengths { steps: 5 })));
    assert!(matches!(torch.residuals(&start, &examples), Err(LearnerError::Unsuited { .. })));
    let firms = torch.clipped_gradients(&start, &examples, Some(&[1]), 1.0);
    assert!(matches!(firms, Err(LearnerError::Unsuited { .. })));
    assert!(matches!(torch.clipped_gradients(&start, &examples, None, 0.0), Err(LearnerError::Option { .. })));
    let fast = LocalTraining { rate: 11.0, ..options.clone() };
    assert!(matches!(torch.train(&start, &examples, &fast, None, 1), Err(LearnerError::Option { option: "rate", .. })));
    let mut broken = start.clone();
    broken[3] = f32::NAN;
    assert!(matches!(torch.predict(&broken, &examples), Err(LearnerError::NotFinite { .. })));
    let huge = Architecture::Logistic { inputs: 0 };
    assert!(matches!(Torch::new(huge), Err(LearnerError::Architecture { .. })));
}

#[test]
fn training_that_goes_to_infinity_says_so() {
    let architecture = autoencoder();
    let mut examples = examples(&architecture, 64, 1);
    examples.x.iter_mut().for_each(|x| *x *= 1e18);
    let options = LocalTraining { rate: 10.0, epochs: 5, ..LocalTraining::default() };
    let gone = torch(&architecture).train(&architecture.initial(1), &examples, &options, None, 1);
    assert!(matches!(gone, Err(LearnerError::NotFinite { .. })), "{gone:?}");
}

#[test]
fn lstms_go_to_libtorch() {
    for backend in [Backend::Any, Backend::Torch] {
        let mut learner = learner(backend, lstm()).expect("built with libtorch");
        let trained = learner.train(&lstm().initial(1), &examples(&lstm(), 10, 1), &LocalTraining::default(), None, 1);
        assert_eq!(trained.expect("trained").steps, 1);
    }
    assert!(learner(Backend::Plain, lstm()).is_err());
}

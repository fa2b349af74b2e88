//! Steps of an optimiser over a flat vector of parameters.

use super::{LocalTraining, Optimiser};

/// Decay of Adam's mean (Kingma & Ba 2015, algorithm 1, the suggested settings).
const BETA_1: f64 = 0.9;
/// Decay of Adam's mean square.
const BETA_2: f64 = 0.999;
/// Keeps Adam's quotient finite.
const EPSILON: f32 = 1e-8;

/// The state of an optimiser within one visit.
pub(crate) struct Descent<'a> {
    options: &'a LocalTraining,
    start: &'a [f32],
    correction: Option<&'a [f32]>,
    /// Velocity of gradient descent, or Adam's mean.
    first: Vec<f32>,
    /// Adam's mean square.
    second: Vec<f32>,
    /// `BETA_1^t`, `BETA_2^t`.
    powers: (f64, f64),
}

impl<'a> Descent<'a> {
    /// At the start of a visit. `correction` is as long as `start`.
    pub(crate) fn new(options: &'a LocalTraining, start: &'a [f32], correction: Option<&'a [f32]>) -> Self {
        let (first, second) = match options.optimiser {
            Optimiser::Sgd { momentum: 0.0 } => (0, 0),
            Optimiser::Sgd { .. } => (start.len(), 0),
            Optimiser::Adam => (start.len(), start.len()),
        };
        Descent { options, start, correction, first: vec![0.0; first], second: vec![0.0; second], powers: (1.0, 1.0) }
    }

    /// One step along the gradient of the loss: the proximal term and the correction join it (it is overwritten), weights decay,
    /// then the optimiser moves them. All slices are as long as the start.
    pub(crate) fn step(&mut self, parameters: &mut [f32], gradient: &mut [f32]) {
        let LocalTraining { rate, weight_decay, proximal, .. } = *self.options;
        if proximal > 0.0 {
            for ((g, w), s) in gradient.iter_mut().zip(&*parameters).zip(self.start) {
                *g += proximal * (w - s);
            }
        }
        if let Some(correction) = self.correction {
            gradient.iter_mut().zip(correction).for_each(|(g, c)| *g += c);
        }
        if weight_decay > 0.0 {
            let keep = 1.0 - rate * weight_decay;
            parameters.iter_mut().for_each(|w| *w *= keep);
        }
        match self.options.optimiser {
            Optimiser::Sgd { momentum: 0.0 } => {
                parameters.iter_mut().zip(gradient).for_each(|(w, g)| *w -= rate * *g);
            }
            Optimiser::Sgd { momentum } => {
                for ((w, v), g) in parameters.iter_mut().zip(&mut self.first).zip(gradient) {
                    *v = momentum * *v + *g;
                    *w -= rate * *v;
                }
            }
            Optimiser::Adam => self.adam(parameters, gradient),
        }
    }

    fn adam(&mut self, parameters: &mut [f32], gradient: &[f32]) {
        self.powers = (self.powers.0 * BETA_1, self.powers.1 * BETA_2);
        let rate = (f64::from(self.options.rate) / (1.0 - self.powers.0)) as f32;
        let unbias = (1.0 / (1.0 - self.powers.1)) as f32;
        let (b1, b2) = (BETA_1 as f32, BETA_2 as f32);
        let (c1, c2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        for (((w, g), m), v) in parameters.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second) {
            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * g * g;
            *w -= rate * *m / ((*v * unbias).sqrt() + EPSILON);
        }
    }
}

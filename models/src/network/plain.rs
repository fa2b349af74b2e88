//! Dense networks in plain Rust: training, prediction and clipped gradients; LSTMs can be applied, not trained.
//!
//! Rows go through the layers in blocks of 256, whatever the batch, in buffers that stay from step to step. The same
//! program on the same machine gives the same bits; another processor may round otherwise (its products fuse and its
//! exponentials differ), so nothing that two parties must agree on may come from here.

mod dense;
mod elementary;
mod product;
mod recurrent;

use super::descent::Descent;
use super::learner::{batches, check_finite, credit_loss, kept_rows};
use super::{Architecture, Examples, Learner, LearnerError, LocalTraining, Objective, Trained};
use dense::Chain;
use recurrent::Recurrence;

/// Rows that go through the layers together.
const BLOCK: usize = 256;
/// Up to this many rows of a firm, the norm of its gradient comes from products of pairs of rows; above, the gradient is formed.
const PAIRED: usize = 32;

/// Trains and applies a dense network on one thread.
pub struct Plain {
    architecture: Architecture,
    recurrence: Option<Recurrence>,
    chain: Chain,
    /// A block of an LSTM's rows.
    rows: Vec<f32>,
}

impl core::fmt::Debug for Plain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Plain {{ {:?} }}", self.architecture)
    }
}

impl Plain {
    /// To train and apply a network.
    ///
    /// # Errors
    /// A shape that is refused; an LSTM, which needs libtorch.
    pub fn new(architecture: Architecture) -> Result<Self, LearnerError> {
        let plain = Self::forward_only(architecture)?;
        plain.check_trains()?;
        Ok(plain)
    }

    /// To apply a network, LSTMs included. Training one gives the error that [`Self::new`] gives.
    ///
    /// # Errors
    /// A shape that is refused.
    pub fn forward_only(architecture: Architecture) -> Result<Self, LearnerError> {
        architecture.validate()?;
        let (recurrence, chain) = (Recurrence::new(&architecture), Chain::new(&architecture));
        Ok(Plain { architecture, recurrence, chain, rows: Vec::new() })
    }

    fn check_trains(&self) -> Result<(), LearnerError> {
        match self.recurrence {
            None => Ok(()),
            Some(_) if cfg!(feature = "torch") => Err(LearnerError::Unsuited {
                what: "the plain backend applies LSTMs but does not train them: take backend `torch`",
            }),
            Some(_) => Err(LearnerError::NoTorch { what: "training an LSTM" }),
        }
    }

    fn check_parameters(&self, parameters: &[f32]) -> Result<(), LearnerError> {
        let (expected, found) = (self.architecture.parameters(), parameters.len());
        if expected != found {
            return Err(LearnerError::Parameters { expected, found });
        }
        check_finite(parameters, "a parameter")
    }

    /// Puts rows into the chain and applies it. Shapes are checked.
    fn forward(&mut self, parameters: &[f32], examples: &Examples, rows: &[usize]) -> &[f32] {
        let width = examples.width;
        let gather = |block: &mut [f32]| {
            for (slot, &row) in block.chunks_exact_mut(width).zip(rows) {
                slot.copy_from_slice(examples.row(row));
            }
        };
        let inputs = self.chain.inputs_mut(rows.len());
        if let Some(recurrence) = &mut self.recurrence {
            self.rows.resize(rows.len() * width, 0.0);
            gather(&mut self.rows);
            let lengths: Vec<u32> = rows.iter().map(|&row| examples.lengths[row]).collect();
            recurrence.forward(parameters, &self.rows, width, &lengths, inputs);
        } else {
            gather(inputs);
        }
        self.chain.forward(parameters, rows.len())
    }

    /// Loss summed over a block of rows; the slopes of all layers of `scale` times the loss.
    fn slopes(&mut self, parameters: &[f32], examples: &Examples, rows: &[usize], weight: f32, scale: f32) -> f64 {
        self.forward(parameters, examples, rows);
        let width = examples.width;
        let (inputs, outputs, slopes) = self.chain.loss_parts(rows.len());
        let mut sum = 0.0;
        match self.architecture.objective() {
            Objective::Credit => {
                for ((slope, &log_odds), &row) in slopes.iter_mut().zip(outputs).zip(rows) {
                    let (loss, by_log_odds) = credit_loss(log_odds, examples.y[row], weight);
                    *slope = scale * by_log_odds;
                    sum += f64::from(loss);
                }
            }
            Objective::Reconstruction => {
                let scale = 2.0 * scale / width as f32;
                slopes.iter_mut().zip(outputs.iter().zip(inputs)).for_each(|(s, (o, x))| *s = scale * (o - x));
                let rows = outputs.chunks_exact(width).zip(inputs.chunks_exact(width));
                sum = rows.map(|(o, x)| f64::from(mean_squared(o, x))).sum();
            }
        }
        self.chain.backward(parameters, rows.len());
        sum
    }

    /// Mean loss of a batch; its gradient replaces `gradient`.
    fn batch(
        &mut self,
        parameters: &[f32],
        examples: &Examples,
        rows: &[usize],
        weight: f32,
        gradient: &mut [f32],
    ) -> f64 {
        gradient.fill(0.0);
        let mut sum = 0.0;
        for block in rows.chunks(BLOCK) {
            sum += self.slopes(parameters, examples, block, weight, 1.0 / rows.len() as f32);
            self.chain.add_gradient(block.len(), gradient);
        }
        sum / rows.len() as f64
    }

    /// Calls `each` with the inputs and outputs of all rows, block by block in their order.
    fn blocks(&mut self, parameters: &[f32], examples: &Examples, mut each: impl FnMut(&[f32], &[f32])) {
        let rows: Vec<usize> = (0..examples.rows()).collect();
        for block in rows.chunks(BLOCK) {
            let inputs = &examples.x[block[0] * examples.width..][..block.len() * examples.width];
            each(inputs, self.forward(parameters, examples, block));
        }
    }

    /// [`Learner::predict`] without its checks.
    fn predictions(&mut self, parameters: &[f32], examples: &Examples) -> Vec<f32> {
        let (objective, width) = (self.architecture.objective(), examples.width);
        let mut all = Vec::with_capacity(examples.rows());
        self.blocks(parameters, examples, |inputs, outputs| match objective {
            Objective::Credit => all.extend(outputs),
            Objective::Reconstruction => {
                let rows = outputs.chunks_exact(width).zip(inputs.chunks_exact(width));
                all.extend(rows.map(|(o, x)| mean_squared(o, x)));
            }
        });
        all
    }

    /// Adds the clipped gradients of firms whose rows, one firm's after the other's, fit a block.
    fn add_clipped(
        &mut self,
        at: &At<'_>,
        rows: &[usize],
        firms: &[usize],
        sum: &mut [f64],
    ) -> Result<(), LearnerError> {
        self.slopes(at.parameters, at.examples, rows, 1.0, 1.0);
        let mut factors = Vec::with_capacity(rows.len());
        for &count in firms {
            let first = factors.len();
            let factor = at.factor(self.chain.squared_norm(first..first + count))?;
            factors.resize(first + count, factor);
        }
        self.chain.add_scaled_gradient(&factors, sum);
        Ok(())
    }

    /// Adds the clipped gradient of one firm with many rows.
    fn add_large_firm(&mut self, at: &At<'_>, rows: &[usize], sum: &mut [f64]) -> Result<(), LearnerError> {
        let mut own = vec![0.0; sum.len()];
        for block in rows.chunks(BLOCK) {
            self.slopes(at.parameters, at.examples, block, 1.0, 1.0);
            self.chain.add_scaled_gradient(&[1.0; BLOCK][..block.len()], &mut own);
        }
        let factor = at.factor(own.iter().map(|g| g * g).sum())?;
        sum.iter_mut().zip(own).for_each(|(s, g)| *s += factor * g);
        Ok(())
    }
}

/// Where clipped gradients are taken.
struct At<'a> {
    parameters: &'a [f32],
    examples: &'a Examples,
    clip: f64,
}

impl At<'_> {
    /// What scales a gradient down to the clip.
    fn factor(&self, squared_norm: f64) -> Result<f64, LearnerError> {
        let norm = squared_norm.sqrt();
        if !norm.is_finite() {
            return Err(LearnerError::NotFinite { what: "a gradient" });
        }
        Ok(if norm > self.clip { self.clip / norm } else { 1.0 })
    }
}

impl Learner for Plain {
    fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The loss of a batch is the mean over its rows (bads weigh `bad_weight`, the divisor stays the number of rows), without the
    /// proximal term; [`Trained::loss`] is the mean over the steps.
    fn train(
        &mut self,
        start: &[f32],
        examples: &Examples,
        options: &LocalTraining,
        correction: Option<&[f32]>,
        seed: u64,
    ) -> Result<Trained, LearnerError> {
        self.check_trains()?;
        options.validate()?;
        self.check_parameters(start)?;
        correction.map_or(Ok(()), |c| self.check_parameters(c))?;
        examples.check_labelled(&self.architecture)?;
        let mut trained = Trained { parameters: start.to_vec(), loss: 0.0, steps: 0 };
        let parameters = &mut trained.parameters;
        let mut descent = Descent::new(options, start, correction);
        let mut gradient = vec![0.0; start.len()];
        for epoch in 0..options.epochs {
            let mut rows: Vec<usize> = if options.trim > 0.0 {
                let predictions = self.predictions(parameters, examples);
                kept_rows(self.architecture.objective(), &predictions, &examples.y, options.trim)
            } else {
                (0..examples.rows()).collect()
            };
            for batch in batches(&mut rows, options.batch_rows, seed, epoch) {
                let loss = self.batch(parameters, examples, batch, options.bad_weight, &mut gradient);
                if !loss.is_finite() {
                    return Err(LearnerError::NotFinite { what: "the loss" });
                }
                descent.step(parameters, &mut gradient);
                trained.loss += loss;
                trained.steps += 1;
            }
        }
        trained.loss /= trained.steps.max(1) as f64;
        check_finite(parameters, "a parameter")?;
        Ok(trained)
    }

    fn predict(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError> {
        self.check_parameters(parameters)?;
        examples.check(&self.architecture)?;
        let predictions = self.predictions(parameters, examples);
        check_finite(&predictions, "a prediction")?;
        Ok(predictions)
    }

    fn residuals(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError> {
        if self.architecture.objective() != Objective::Reconstruction {
            return Err(LearnerError::Unsuited { what: "only an autoencoder reconstructs its inputs" });
        }
        self.check_parameters(parameters)?;
        examples.check(&self.architecture)?;
        let mut all = Vec::with_capacity(examples.x.len());
        self.blocks(parameters, examples, |inputs, outputs| {
            all.extend(outputs.iter().zip(inputs).map(|(o, x)| (o - x) * (o - x)));
        });
        check_finite(&all, "a residual")?;
        Ok(all)
    }

    /// A row's loss is its own, bads weighing 1. Norms and sums are `f64`.
    fn clipped_gradients(
        &mut self,
        parameters: &[f32],
        examples: &Examples,
        firms: Option<&[u32]>,
        clip: f64,
    ) -> Result<(Vec<f64>, u64), LearnerError> {
        self.check_trains()?;
        self.check_parameters(parameters)?;
        examples.check_labelled(&self.architecture)?;
        if !(clip > 0.0 && clip.is_finite()) {
            return Err(LearnerError::Option { option: "clip", allowed: "above 0" });
        }
        if firms.is_some_and(|f| f.len() != examples.rows()) {
            return Err(LearnerError::Unsuited { what: "clipped gradients take a firm for each row" });
        }
        let (rows, counts) = by_firm(examples.rows(), firms);
        let at = At { parameters, examples, clip };
        let mut sum = vec![0.0; parameters.len()];
        let (mut row, mut firm) = (0, 0);
        while firm < counts.len() {
            let (first_row, first_firm) = (row, firm);
            while counts.get(firm).is_some_and(|&c| c <= PAIRED && row - first_row + c <= BLOCK) {
                row += counts[firm];
                firm += 1;
            }
            if firm > first_firm {
                self.add_clipped(&at, &rows[first_row..row], &counts[first_firm..firm], &mut sum)?;
            } else {
                row += counts[firm];
                firm += 1;
                self.add_large_firm(&at, &rows[first_row..row], &mut sum)?;
            }
        }
        Ok((sum, counts.len() as u64))
    }
}

/// Rows in the order of their firms, and the rows of each.
fn by_firm(rows: usize, firms: Option<&[u32]>) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..rows).collect();
    let Some(firms) = firms else { return (order, vec![1; rows]) };
    order.sort_by_key(|&row| firms[row]);
    let counts = order.chunk_by(|&a, &b| firms[a] == firms[b]).map(<[usize]>::len).collect();
    (order, counts)
}

fn mean_squared(outputs: &[f32], inputs: &[f32]) -> f32 {
    let sum: f32 = outputs.iter().zip(inputs).map(|(o, x)| (o - x) * (o - x)).sum();
    sum / inputs.len() as f32
}

//! Networks on libtorch, the CPU part of it; the only place that names `tch`.
//!
//! Only what libtorch computes as a function of its arguments is used: neither its random numbers nor its modules and optimisers.
//! Parameters keep the order of [`Architecture::tensors`], and a visit takes the steps that [`LocalTraining`] describes, so that it
//! can be compared with a visit of [`super::plain`] number by number.

mod pass;

use std::sync::Once;

use tch::TchError;

use super::descent::Descent;
use super::learner::{batches, kept_rows};
use super::{Architecture, Examples, Learner, LearnerError, LocalTraining, Objective, TensorSpec, Trained};
use pass::Batch;

/// Rows that are predicted at once.
const ROWS: usize = 4096;
/// Values of single rows' gradients that are held at once, 32 MiB of them.
const GRADIENTS: usize = 8 << 20;

/// Any network on libtorch, on one thread of the CPU.
#[derive(Debug)]
pub struct Torch {
    architecture: Architecture,
    tensors: Vec<TensorSpec>,
}

impl Torch {
    /// For this network. Fails if its sizes are out of range.
    pub fn new(architecture: Architecture) -> Result<Self, LearnerError> {
        architecture.validate()?;
        let tensors = architecture.tensors();
        Ok(Self { architecture, tensors })
    }

    /// What every call begins with.
    fn begin(&self, parameters: &[f32]) -> Result<(), LearnerError> {
        static THREADS: Once = Once::new();
        // Once per process: libtorch refuses to change it later.
        THREADS.call_once(|| tch::set_num_interop_threads(1));
        // OpenMP keeps the number for each thread that calls it.
        tch::set_num_threads(1);
        self.check_parameters(parameters)
    }

    fn check_parameters(&self, parameters: &[f32]) -> Result<(), LearnerError> {
        let (expected, found) = (self.architecture.parameters(), parameters.len());
        if expected != found {
            return Err(LearnerError::Parameters { expected, found });
        }
        finite(parameters, "a parameter")
    }

    /// [`Learner::predict`] without its checks.
    fn predictions(&self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, TchError> {
        let objective = self.architecture.objective();
        self.apply(parameters, examples, |through, batch| match objective {
            Objective::Credit => pass::values(&through.output),
            Objective::Reconstruction => pass::values(&pass::losses(objective, through, batch, 1.0)?),
        })
    }

    /// Mean loss of these rows, and its gradient.
    fn gradient(
        &self,
        parameters: &[f32],
        examples: &Examples,
        rows: &[usize],
        bad_weight: f32,
    ) -> Result<(f64, Vec<f32>), TchError> {
        let batch = Batch::of(&self.architecture, examples, rows)?;
        let leaves = pass::leaves(&self.tensors, parameters, true)?;
        let through = pass::forward(&self.architecture, &leaves, &batch, false)?;
        let losses = pass::losses(self.architecture.objective(), &through, &batch, bad_weight)?;
        let loss = losses.f_mean(tch::Kind::Float)?;
        let gradient = pass::gradient(&loss, &self.tensors, &leaves)?;
        Ok((f64::try_from(&loss)?, gradient))
    }

    /// The rows that an epoch learns from, ascending.
    fn rows(&self, parameters: &[f32], examples: &Examples, trim: f32) -> Result<Vec<usize>, LearnerError> {
        if trim <= 0.0 {
            return Ok((0..examples.rows()).collect());
        }
        let predictions = self.predictions(parameters, examples)?;
        Ok(kept_rows(self.architecture.objective(), &predictions, &examples.y, trim))
    }

    /// What `of` makes of each block of all rows, one after the other.
    fn apply(
        &self,
        parameters: &[f32],
        examples: &Examples,
        of: impl Fn(&pass::Pass, &Batch) -> Result<Vec<f32>, TchError>,
    ) -> Result<Vec<f32>, TchError> {
        let all: Vec<usize> = (0..examples.rows()).collect();
        tch::no_grad(|| {
            let leaves = pass::leaves(&self.tensors, parameters, false)?;
            let mut values = Vec::new();
            for rows in all.chunks(ROWS) {
                let batch = Batch::of(&self.architecture, examples, rows)?;
                values.extend(of(&pass::forward(&self.architecture, &leaves, &batch, false)?, &batch)?);
            }
            Ok(values)
        })
    }

    /// The gradient of each of these rows' losses by itself, `rows * parameters`.
    fn row_gradients(&self, parameters: &[f32], examples: &Examples, rows: &[usize]) -> Result<Vec<f32>, TchError> {
        let batch = Batch::of(&self.architecture, examples, rows)?;
        let leaves = pass::leaves(&self.tensors, parameters, true)?;
        let through = pass::forward(&self.architecture, &leaves, &batch, true)?;
        let losses = pass::losses(self.architecture.objective(), &through, &batch, 1.0)?;
        pass::row_gradients(&through, &losses, &self.tensors)
    }
}

impl Learner for Torch {
    fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    fn train(
        &mut self,
        start: &[f32],
        examples: &Examples,
        options: &LocalTraining,
        correction: Option<&[f32]>,
        seed: u64,
    ) -> Result<Trained, LearnerError> {
        options.validate()?;
        self.begin(start)?;
        correction.map_or(Ok(()), |correction| self.check_parameters(correction))?;
        examples.check_labelled(&self.architecture)?;
        let mut trained = Trained { parameters: start.to_vec(), loss: 0.0, steps: 0 };
        let mut descent = Descent::new(options, start, correction);
        for epoch in 0..options.epochs {
            let mut rows = self.rows(&trained.parameters, examples, options.trim)?;
            for batch in batches(&mut rows, options.batch_rows, seed, epoch) {
                let (loss, mut gradient) = self.gradient(&trained.parameters, examples, batch, options.bad_weight)?;
                if !loss.is_finite() {
                    return Err(LearnerError::NotFinite { what: "the loss" });
                }
                descent.step(&mut trained.parameters, &mut gradient);
                trained.loss += loss;
                trained.steps += 1;
            }
        }
        trained.loss /= trained.steps.max(1) as f64;
        finite(&trained.parameters, "a parameter")?;
        Ok(trained)
    }

    fn predict(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError> {
        self.begin(parameters)?;
        examples.check(&self.architecture)?;
        let predictions = self.predictions(parameters, examples)?;
        finite(&predictions, "a prediction")?;
        Ok(predictions)
    }

    fn residuals(&mut self, parameters: &[f32], examples: &Examples) -> Result<Vec<f32>, LearnerError> {
        if self.architecture.objective() != Objective::Reconstruction {
            return Err(LearnerError::Unsuited { what: "only an autoencoder reconstructs its inputs" });
        }
        self.begin(parameters)?;
        examples.check(&self.architecture)?;
        let residuals = self.apply(parameters, examples, pass::residuals)?;
        finite(&residuals, "a residual")?;
        Ok(residuals)
    }

    fn clipped_gradients(
        &mut self,
        parameters: &[f32],
        examples: &Examples,
        firms: Option<&[u32]>,
        clip: f64,
    ) -> Result<(Vec<f64>, u64), LearnerError> {
        self.begin(parameters)?;
        examples.check_labelled(&self.architecture)?;
        if !(clip > 0.0 && clip.is_finite()) {
            return Err(LearnerError::Option { option: "clip", allowed: "above 0" });
        }
        if firms.is_some_and(|firms| firms.len() != examples.rows()) {
            return Err(LearnerError::Unsuited { what: "clipped gradients take a firm for each row" });
        }
        let firm = |row: usize| firms.map_or(row, |firms| firms[row] as usize);
        let mut rows: Vec<usize> = (0..examples.rows()).collect();
        rows.sort_by_key(|&row| firm(row));
        let mut sum = Clipped::new(parameters.len(), clip);
        for rows in rows.chunks((GRADIENTS / parameters.len()).clamp(1, 512)) {
            let gradients = self.row_gradients(parameters, examples, rows)?;
            for (&row, gradient) in rows.iter().zip(gradients.chunks_exact(parameters.len())) {
                sum.add(firm(row), gradient)?;
            }
        }
        sum.finish()
    }
}

/// The sum of firms' gradients, each clipped once all rows of the firm are in.
struct Clipped {
    clip: f64,
    sum: Vec<f64>,
    firms: u64,
    /// The firm whose rows come in, and their gradient.
    firm: Option<usize>,
    gradient: Vec<f64>,
}

impl Clipped {
    fn new(parameters: usize, clip: f64) -> Self {
        Self { clip, sum: vec![0.0; parameters], firms: 0, firm: None, gradient: vec![0.0; parameters] }
    }

    fn add(&mut self, firm: usize, gradient: &[f32]) -> Result<(), LearnerError> {
        if self.firm != Some(firm) {
            self.close()?;
            self.firm = Some(firm);
        }
        self.gradient.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum += f64::from(g));
        Ok(())
    }

    fn close(&mut self) -> Result<(), LearnerError> {
        if self.firm.take().is_none() {
            return Ok(());
        }
        let norm = self.gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(LearnerError::NotFinite { what: "a gradient" });
        }
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        for (sum, gradient) in self.sum.iter_mut().zip(&mut self.gradient) {
            *sum += scale * *gradient;
            *gradient = 0.0;
        }
        self.firms += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<f64>, u64), LearnerError> {
        self.close()?;
        Ok((self.sum, self.firms))
    }
}

fn finite(values: &[f32], what: &'static str) -> Result<(), LearnerError> {
    if values.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(LearnerError::NotFinite { what }) }
}

impl From<TchError> for LearnerError {
    fn from(error: TchError) -> Self {
        // libtorch adds its call stack behind the first line.
        let detail = error.to_string().lines().next().unwrap_or_default().to_owned();
        LearnerError::Torch { detail }
    }
}

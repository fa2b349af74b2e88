//! The same regression with all columns in one place, and all roles in one process: twins to compare a federation with.

use super::minibatch::{BatchFeatures, BatchLabel, MinibatchOptions};
use super::{Encoded, FeatureHolder, LabelHolder, Pass, SolverOptions, Status, VerticalError};
use super::{gradient_from_products, quantise_residuals};

/// A fitted model, the columns still divided among the parties.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Log-odds of bad with all encoded values 0.
    pub intercept: f64,
    /// Coefficients of the label holder's columns, then of each feature holder's.
    pub coefficients: Vec<Vec<f64>>,
    /// The passes, the label holder alone first.
    pub passes: Vec<Pass>,
}

impl Fitted {
    /// Largest absolute difference of a coefficient or of the intercept.
    pub fn distance(&self, other: &Fitted) -> f64 {
        let pairs = self.coefficients.iter().flatten().zip(other.coefficients.iter().flatten());
        pairs.fold((self.intercept - other.intercept).abs(), |m, (a, b)| m.max((a - b).abs()))
    }

    /// Largest absolute coefficient.
    pub fn largest(&self) -> f64 {
        self.coefficients.iter().flatten().fold(0.0, |m, c| m.max(c.abs()))
    }
}

/// The optimum with all parts in one place.
pub fn fit(parts: &[&Encoded], bad: &[bool], options: &SolverOptions) -> Result<Fitted, VerticalError> {
    let columns = parts.iter().flat_map(|p| (0..p.len()).map(|j| p.column(j).to_vec())).collect();
    let all = Encoded::new(bad.len(), columns)?;
    let options = SolverOptions { tolerance: 1e-7, patience: None, ..options.clone() };
    let mut holder = LabelHolder::new(&all, bad.to_vec(), Vec::new(), options)?;
    let pass = holder.alone()?;
    let (mut coefficients, mut rest) = (Vec::new(), holder.coefficients());
    for part in parts {
        let (mine, others) = rest.split_at(part.len());
        coefficients.push(mine.to_vec());
        rest = others;
    }
    Ok(Fitted { intercept: holder.intercept(), coefficients, passes: vec![pass] })
}

/// All roles in one process, with residuals rounded to `2^-bits` as the encrypted products need them. Scalars are not rounded: they
/// travel in units of `2^-64`. After each pass `watch`
/// sees the model so far.
pub fn federate(
    own: &Encoded,
    holders: &[&Encoded],
    bad: &[bool],
    options: &SolverOptions,
    bits: u32,
    mut watch: impl FnMut(&Fitted),
) -> Result<Fitted, VerticalError> {
    let mut label = LabelHolder::new(own, bad.to_vec(), Vec::new(), options.clone())?;
    let new = |x: &&Encoded| FeatureHolder::new((*x).clone(), options.ridge);
    let mut features = holders.iter().map(new).collect::<Result<Vec<_>, _>>()?;
    let mut passes = vec![label.alone()?];
    loop {
        let combination = label.combination();
        features.iter_mut().try_for_each(|f| f.apply(&combination))?;
        let coefficients = core::iter::once(label.coefficients()).chain(features.iter().map(|f| f.coefficients()));
        let coefficients = coefficients.map(<[f64]>::to_vec).collect();
        let fitted = Fitted { intercept: label.intercept(), coefficients, passes: passes.clone() };
        watch(&fitted);
        if passes.last().is_none_or(|p| p.status != Status::Continue) {
            return Ok(fitted);
        }
        let residuals = quantise_residuals(&label.residuals(), bits);
        let mut sum: Option<super::Direction> = None;
        for feature in &mut features {
            let products = gradient_from_products(&feature.x().products(&residuals), bits);
            let direction = feature.direct(&products)?;
            sum = Some(match sum {
                None => direction,
                Some(so_far) => so_far.plus(&direction)?,
            });
        }
        let sum = sum.ok_or(VerticalError::NoColumns { columns: 0, rows: bad.len() })?;
        passes.push(label.receive(&sum)?);
    }
}

/// The same roles batch by batch.
pub fn federate_batches(
    own: &Encoded,
    holders: &[&Encoded],
    bad: &[bool],
    options: &SolverOptions,
    batches: &MinibatchOptions,
    bits: u32,
) -> Result<Fitted, VerticalError> {
    let mut label = LabelHolder::new(own, bad.to_vec(), Vec::new(), options.clone())?;
    let passes = vec![label.alone()?];
    let combination = label.combination();
    let mut features = Vec::new();
    for &x in holders {
        let mut holder = FeatureHolder::new(x.clone(), options.ridge)?;
        holder.apply(&combination)?;
        features.push(BatchFeatures::new(holder, batches.clone())?);
    }
    let mut label = BatchLabel::new(label, batches.clone())?;
    loop {
        let rows = label.rows();
        if rows.is_empty() {
            break;
        }
        let mut sum = vec![0i64; rows.len()];
        for feature in &features {
            sum.iter_mut().zip(feature.scores()?).for_each(|(s, u)| *s += u);
        }
        let residuals = quantise_residuals(&label.receive(&sum)?, bits);
        // Rows outside the batch take no part: their residual is 0.
        let mut all = vec![0i64; bad.len()];
        rows.iter().zip(residuals).for_each(|(&r, d)| all[r] = d);
        for (feature, x) in features.iter_mut().zip(holders) {
            feature.step(&gradient_from_products(&x.products(&all), bits))?;
        }
    }
    let (intercept, own) = label.finish();
    let coefficients = core::iter::once(own).chain(features.iter().map(BatchFeatures::finish)).collect();
    Ok(Fitted { intercept, coefficients, passes })
}

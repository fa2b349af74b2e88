//! The same regression with all columns in one place, and all roles in one process: twins to compare a federation with.

use super::minibatch::{BatchFeatures, BatchLabel, MinibatchOptions};
use super::selection::{Review, contradicting};
use super::{Direction, Encoded, FeatureHolder, LabelHolder, Pass, SolverOptions, Status, VerticalError};
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
    watch: impl FnMut(&Fitted),
) -> Result<Fitted, VerticalError> {
    Ok(federate_selected(own, holders, bad, options, bits, false, watch)?.fitted)
}

/// A fitted model with the columns that reviews have left.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// Coefficients of the columns that stay.
    pub fitted: Fitted,
    /// Positions of these columns, the label holder's first.
    pub kept: Vec<Vec<usize>>,
    /// After how many passes columns were dropped, and how many of each party.
    pub dropped: Vec<(usize, Vec<usize>)>,
}

impl Selected {
    /// How many coefficients contradict after all, because the passes were used up.
    pub fn contradicting(&self) -> usize {
        self.fitted.coefficients.iter().map(|w| contradicting(w)).sum()
    }
}

/// The same; with `reviews` all parties leave out the columns that contradict their weight of evidence, see
/// [`super::selection`].
pub fn federate_selected(
    own: &Encoded,
    holders: &[&Encoded],
    bad: &[bool],
    options: &SolverOptions,
    bits: u32,
    reviews: bool,
    mut watch: impl FnMut(&Fitted),
) -> Result<Selected, VerticalError> {
    let mut label = LabelHolder::new(own, bad.to_vec(), Vec::new(), options.clone())?;
    let new = |x: &&Encoded| FeatureHolder::new((*x).clone(), options.ridge);
    let mut features = holders.iter().map(new).collect::<Result<Vec<_>, _>>()?;
    let mut passes = vec![label.alone()?];
    let all = core::iter::once(own).chain(holders.iter().copied());
    let mut kept: Vec<Vec<usize>> = all.map(|x| (0..x.len()).collect()).collect();
    let mut dropped = Vec::new();
    loop {
        let combination = label.combination();
        features.iter_mut().try_for_each(|f| f.apply(&combination))?;
        let last = &passes[passes.len() - 1];
        let (mut ends, at) = (last.status != Status::Continue, last.pass);
        if let Some(above) = label.review_is_due(last).filter(|_| reviews) {
            let reviewed = review(&mut label, &mut features, &mut kept, above)?;
            if reviewed.dropped.iter().sum::<usize>() > 0 {
                dropped.push((at, reviewed.dropped));
                ends = false;
            }
            if let Some(first) = reviewed.first {
                passes.push(label.receive(&first)?);
                continue;
            }
            let combination = label.combination();
            features.iter_mut().try_for_each(|f| f.apply(&combination))?;
        }
        let coefficients = core::iter::once(label.coefficients()).chain(features.iter().map(|f| f.coefficients()));
        let coefficients = coefficients.map(<[f64]>::to_vec).collect();
        let fitted = Fitted { intercept: label.intercept(), coefficients, passes: passes.clone() };
        watch(&fitted);
        if ends {
            return Ok(Selected { fitted, kept, dropped });
        }
        let residuals = quantise_residuals(&label.residuals(), bits);
        let directions = features.iter_mut().map(|feature| {
            let products = gradient_from_products(&feature.x().products(&residuals), bits);
            feature.direct(&products)
        });
        let sum = sum(directions)?.ok_or(VerticalError::NoColumns { columns: 0, rows: bad.len() })?;
        passes.push(label.receive(&sum)?);
    }
}

fn sum(
    directions: impl IntoIterator<Item = Result<Direction, VerticalError>>,
) -> Result<Option<Direction>, VerticalError> {
    directions.into_iter().try_fold(None, |sum: Option<Direction>, next| match sum {
        None => Ok(Some(next?)),
        Some(sum) => sum.plus(&next?).map(Some),
    })
}

/// What came of a review.
struct ReviewHeld {
    /// Columns that each party dropped.
    dropped: Vec<usize>,
    /// If a feature holder has: the sum of all first directions.
    first: Option<Direction>,
}

fn review(
    label: &mut LabelHolder,
    features: &mut [FeatureHolder],
    kept: &mut [Vec<usize>],
    above: f64,
) -> Result<ReviewHeld, VerticalError> {
    let others = features.iter().map(|f| f.review(above)).collect::<Result<Vec<_>, _>>()?;
    let mut keep = |party: usize, review: &Review| {
        kept[party] = review.kept.iter().map(|j| kept[party][*j]).collect();
        review.dropped.len()
    };
    let mut own = label.review(above)?;
    let mut dropped = vec![keep(0, &own)];
    dropped.extend(others.iter().enumerate().map(|(at, review)| keep(at + 1, review)));
    if dropped[1..].iter().all(|d| *d == 0) {
        while !own.dropped.is_empty() {
            label.narrow(&own)?;
            own = label.review(above)?;
            dropped[0] += keep(0, &own);
        }
        return Ok(ReviewHeld { dropped, first: None });
    }
    label.refit(&own)?;
    let mut firsts = Vec::new();
    for (feature, review) in features.iter_mut().zip(&others) {
        let (next, first) = feature.refit(review)?;
        *feature = next;
        firsts.push(Ok(first));
    }
    Ok(ReviewHeld { dropped, first: sum(firsts)? })
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

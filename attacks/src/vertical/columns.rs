//! The label holder against the feature holders' columns: each pass opens one combination of them.

use super::town::Polish;
use crate::{Settings, seeded};
use anyhow::Result;
use haihe_models::vertical::{
    Encoded,
    attack::{Reconstruction, reconstruct, spanned},
};
use rand::{RngExt, rngs::ChaCha8Rng};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What the label holder of one job reconstructs from so many known firms.
#[derive(Clone, Debug, Serialize)]
pub struct Columns {
    /// The feature holders.
    pub holders: String,
    /// Encoding of the columns.
    pub encoding: String,
    /// Columns of the feature holders that are in use.
    pub columns: usize,
    /// Score vectors that the label holder opened.
    pub passes: usize,
    /// Training firms.
    pub firms: usize,
    /// Firms whose values the label holder knows; absent: what lies in the span at all, the limit of every such attack.
    pub known: Option<usize>,
    /// Root of the unexplained share of the variance, other firms: from the opened scores.
    pub received: f64,
    /// The same from the label holder's own columns, without a job.
    pub own: f64,
    /// The same from both.
    pub both: f64,
    /// Share of the columns of which 90 % of the variance is explained, from both.
    pub found: f64,
    /// Share of the firms that have all bins in common with another one (WOE), which the scores show as equal.
    pub twins: f64,
    /// Pairs of firms with the same opened scores that are the same in all columns, over all pairs with the same scores.
    pub twins_told: Option<f64>,
}

/// Every job: one and two feature holders, both encodings.
pub fn columns(polish: &Polish, settings: &Settings) -> Result<Vec<Columns>> {
    let mut all = Vec::new();
    for holders in [vec!["tax"], vec!["tax", "core"]] {
        for encoding in ["standardise", "woe"] {
            let job = polish.learn(&holders, encoding, settings.seed)?;
            let (x, own) = (job.features()?, job.own.real());
            let both: Vec<Vec<f64>> = job.opened.iter().chain(&own).cloned().collect();
            let mut rng = seeded(settings.seed, "known firms");
            let order = shuffled(x.rows(), &mut rng);
            let (twins, twins_told) = twins(&x, &job.opened);
            let known = [Some(50), Some(200), Some(1000), None];
            for known in known {
                let attack = |seen: &[Vec<f64>]| -> Reconstruction {
                    match known {
                        Some(known) => reconstruct(seen, &order[..known], &x),
                        None => spanned(seen, &x),
                    }
                };
                let joint = attack(&both);
                all.push(Columns {
                    holders: job.holders.join(" + "),
                    encoding: encoding.to_owned(),
                    columns: x.len(),
                    passes: job.passes(),
                    firms: x.rows(),
                    known,
                    received: attack(&job.opened).relative_error,
                    own: attack(&own).relative_error,
                    both: joint.relative_error,
                    found: joint.columns_found,
                    twins,
                    twins_told,
                });
            }
        }
    }
    Ok(all)
}

fn shuffled(rows: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    (1..rows).rev().for_each(|i| order.swap(i, rng.random_range(0..=i)));
    order
}

/// Firms that are the same in all columns, and whether equal scores tell them.
fn twins(x: &Encoded, opened: &[Vec<f64>]) -> (f64, Option<f64>) {
    let row = |r: usize| (0..x.len()).map(|c| x.column(c)[r]).collect::<Vec<i32>>();
    let scores = |r: usize| opened.iter().map(|u| u[r].to_bits()).collect::<Vec<u64>>();
    let mut by_row: HashMap<Vec<i32>, usize> = HashMap::new();
    let mut by_scores: HashMap<Vec<u64>, Vec<usize>> = HashMap::new();
    for r in 0..x.rows() {
        *by_row.entry(row(r)).or_default() += 1;
        by_scores.entry(scores(r)).or_default().push(r);
    }
    let twins: usize = by_row.values().filter(|n| **n > 1).sum();
    let (mut pairs, mut same) = (0, 0);
    for group in by_scores.values().filter(|g| g.len() > 1) {
        let different: HashSet<Vec<i32>> = group.iter().map(|r| row(*r)).collect();
        pairs += group.len();
        same += if different.len() == 1 { group.len() } else { 0 };
    }
    (twins as f64 / x.rows() as f64, (pairs > 0).then(|| same as f64 / pairs as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opened_scores_tell_more_than_the_own_columns_and_less_than_all() {
        let found =
            columns(&Polish::load().expect("the bundled firms"), &Settings { seed: 1, quick: true }).expect("runs");
        let of = |holders: &str, known| {
            found
                .iter()
                .find(|c| c.holders == holders && c.encoding == "standardise" && c.known == known)
                .expect("is there")
        };
        for holders in ["tax", "tax + core"] {
            let (some, limit) = (of(holders, Some(1000)), of(holders, None));
            assert!(some.passes < some.columns, "fewer directions than columns: {some:?}");
            assert!(some.both < 0.8 * some.own, "scores say more than the bank's own columns: {some:?}");
            assert!(
                limit.received <= some.received && limit.both > 0.1,
                "not all of the columns are in the span: {limit:?}"
            );
        }
    }
}

//! The same regression with all columns in one place.

use super::data::Set;
use anyhow::{Context, Result};
use haihe_models::metrics::Ranking;
use haihe_models::table::{Column, Split};
use haihe_models::vertical::score::Block;
use haihe_models::vertical::{COEFFICIENT_BITS, Encoder, Features, log_odds, pooled, woe};
use haihe_protocol::job::JobSpec;
use haihe_protocol::vertical::Encoding;
use haihe_protocol::vertical::work::{Firms, Kept};
use std::collections::HashMap;

/// A pooled fit, and how far the joint model is from it.
pub struct Twin {
    /// On the test firms.
    pub ranking: Ranking,
    /// The largest difference of a coefficient.
    pub distance: f64,
}

/// Fits the pooled model for the same job and compares what the parties kept with it.
pub fn fit(set: &Set, job: &str, kept: &[Kept]) -> Result<Twin> {
    let spec = JobSpec::parse(job).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let options = spec.vertical.context("a vertical job")?;
    let bank = set.parties.iter().position(|(party, _)| party.as_str() == "bank").context("a bank")?;
    let keys = &set.parties[bank].1.keys;
    let table = &set.parties[bank].1.table;
    let (train, test): (Vec<usize>, Vec<usize>) = (0..keys.len()).partition(|row| table.split[*row] == Split::Train);
    let bad = |rows: &[usize]| -> Vec<bool> { rows.iter().map(|row| table.label[*row]).collect() };
    let trained = bad(&train);

    let (mut encoders, mut features) = (Vec::new(), Vec::new());
    for ((_, firms), kept) in set.parties.iter().zip(kept) {
        let of = in_order(firms, keys)?;
        let mut encoder = match options.encoding {
            Encoding::Standardise => Encoder::standardise(&of, &train)?,
            Encoding::Woe => {
                let fine = woe::fine_columns(&of, &train, &options.woe)?;
                let counted: Vec<_> = fine.iter().map(|f| f.counted(f.bads(&trained))).collect();
                woe::final_columns(&fine, &woe::merge(&counted, &trained, &options.woe)?, &options.woe)?
            }
        };
        // With the columns that the parties have kept.
        let stays = block(kept)?;
        encoder.columns.retain(|c| stays.columns.iter().any(|t| t.encoder.column() == c.column()));
        encoders.push(encoder);
        features.push(of);
    }
    let parts = encoders.iter().zip(&features).map(|(e, f)| e.encode(f, &train)).collect::<Result<Vec<_>, _>>()?;
    let fitted = pooled::fit(&parts.iter().collect::<Vec<_>>(), &trained, &options.regression)?;

    let (mut totals, mut distance) = (vec![0i64; test.len()], 0f64);
    for (party, of) in features.iter().enumerate() {
        let intercept = if party == bank { fitted.intercept } else { 0.0 };
        let part = Block::new(&encoders[party], &fitted.coefficients[party], intercept, of, &train)?;
        totals.iter_mut().zip(part.partials(of, &test)?).for_each(|(total, part)| *total += part);
        let joint = block(&kept[party])?;
        let joint: HashMap<&str, i64> = joint.columns.iter().map(|t| (t.encoder.column(), t.coefficient)).collect();
        for (name, coefficient) in encoders[party].names().iter().zip(&fitted.coefficients[party]) {
            let kept = *joint.get(name.as_str()).with_context(|| format!("column {name} has no coefficient"))?;
            distance = distance.max((coefficient - kept as f64 / f64::from(1u32 << COEFFICIENT_BITS)).abs());
        }
    }
    let scores: Vec<f64> = totals.iter().map(|total| -log_odds(*total)).collect();
    Ok(Twin { ranking: Ranking::of_rows(&scores, &bad(&test))?, distance })
}

fn block(kept: &Kept) -> Result<Block> {
    Ok(serde_json::from_slice(kept.get("block.json").context("a block")?)?)
}

/// A party's columns in the order of the bank's firms.
fn in_order(firms: &Firms, keys: &[String]) -> Result<Features> {
    let at: HashMap<&String, usize> = firms.keys.iter().enumerate().map(|(row, key)| (key, row)).collect();
    let rows = keys.iter().map(|key| at.get(key).copied().context("all parties have all firms"));
    let rows: Vec<usize> = rows.collect::<Result<_>>()?;
    let columns = firms.table.columns.iter().map(|column| match column {
        Column::Numeric(values) => Column::Numeric(rows.iter().map(|row| values[*row]).collect()),
        Column::Categorical(levels) => Column::Categorical(rows.iter().map(|row| levels[*row]).collect()),
    });
    Ok(Features::new(firms.table.specs.clone(), columns.collect(), rows.len())?)
}

//! What parties with different columns of the same firms gain together, against models that only somebody with all columns
//! could fit.
//!
//! A deployment has nobody of that kind; the demo does, and measures with it what a joint model is worth.

use std::collections::BTreeMap;

use haihe_models::{
    firm::{KeyProblems, read_keys},
    glm::sigmoid,
    metrics::{MetricsError, Ranking, brier},
    table::{Column, Split},
    vertical::{
        Encoded, Encoder, Features, VerticalError, log_odds,
        pooled::{Fitted, federate_selected, fit},
        score::Block,
        selection::by_correlation,
        woe,
    },
};
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    vertical::{Encoding, VerticalOptions, work::Firms},
};
use serde::{Deserialize, Serialize};

use crate::baseline::Figures;

/// Bits after the point of a residual in a comparison; a job takes as many as its noise leaves room for, here 24.
const RESIDUAL_BITS: u32 = 24;

/// Name of the pooled model with the columns too that the joint one left out, whatever their signs.
pub const EVERY_COLUMN: &str = "pooled, every column";

/// One model of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointModel {
    /// `bank alone`, `bank + tax`, `joint`, `pooled`, and [`EVERY_COLUMN`].
    pub name: String,
    /// Whose columns it uses, the label holder first.
    pub parties: Vec<PartyId>,
    /// How many columns.
    pub columns: u32,
    /// On the common test firms.
    pub figures: Figures,
    /// Standard error of the area under the curve.
    pub auc_standard_error: f64,
}

/// The models, all on the same test firms: those that every party has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointComparison {
    /// Label holder alone, with each other, the joint model, the pooled one with the same columns; if columns were left out,
    /// the one with all of them.
    pub models: Vec<JointModel>,
    /// Common firms to learn from.
    pub train_firms: u64,
    /// Common firms to test with.
    pub test_firms: u64,
    /// Bad ones among the latter.
    pub test_bad: u64,
    /// Largest absolute difference of a coefficient, joint against pooled; infinite if they use other columns.
    pub max_coefficient_difference: f64,
    /// Largest absolute coefficient of the pooled model.
    pub largest_coefficient: f64,
}

/// Why a comparison is impossible.
#[derive(Debug, thiserror::Error)]
pub enum JointError {
    /// Not a job over columns.
    #[error("the job has no table [vertical]: there is nothing to compare here")]
    NotVertical,
    /// Firms or the learned part of a party are missing.
    #[error("{0} takes part in the job, and its firms or its part of the model are missing here")]
    Missing(PartyId),
    /// A column of keys.
    #[error("{party}: {problems}")]
    Keys {
        /// Whose.
        party: PartyId,
        /// What is wrong.
        problems: KeyProblems,
    },
    /// No model.
    #[error(transparent)]
    Model(#[from] VerticalError),
    /// No figures.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// The common firms with everybody's columns, in one order.
struct Together {
    /// The label holder first.
    parties: Vec<(PartyId, Features)>,
    bad: Vec<bool>,
    train: Vec<usize>,
    test: Vec<usize>,
}

/// The columns of a fit.
enum Columns<'a> {
    /// All that have enough information, in one place.
    All,
    /// Those that the parties would keep if they learned together.
    Selected,
    /// Those that they kept, all in one place.
    Kept(&'a BTreeMap<PartyId, Block>),
}

/// A fitted model: one block per party that takes part.
struct Model {
    blocks: Vec<(PartyId, Block)>,
    fitted: Fitted,
}

impl JointComparison {
    /// The figures of a model.
    pub fn model(&self, name: &str) -> Option<&JointModel> {
        self.models.iter().find(|m| m.name == name)
    }

    /// Which share of what pooling would gain over the label holder alone the joint model gains; `None` if pooling gains
    /// nothing.
    pub fn share_of_gain(&self) -> Option<f64> {
        let auc = |m: &JointModel| m.figures.auc;
        let (alone, joint) = (self.models.first()?, self.model("joint")?);
        let pooled = self.model(EVERY_COLUMN).or_else(|| self.model("pooled"))?;
        let gain = auc(pooled) - auc(alone);
        (gain > 0.0).then(|| (auc(joint) - auc(alone)) / gain)
    }
}

/// Compares what was learned jointly, `learned`, with what each side could have had. `firms` are all rows of all parties.
pub fn compare(
    spec: &JobSpec,
    firms: &[(PartyId, Firms)],
    learned: &BTreeMap<PartyId, Block>,
) -> Result<JointComparison, JointError> {
    let options = spec.vertical.as_ref().ok_or(JointError::NotVertical)?;
    let together = Together::of(options, firms)?;
    let all: Vec<usize> = (0..together.parties.len()).collect();
    let name = |i: usize| together.parties[i].0.as_str();
    let alone = together.fit(options, &[0], &Columns::All)?;
    let mut models = vec![together.rank(format!("{} alone", name(0)), &alone.blocks)?];
    if all.len() > 2 {
        for other in 1..all.len() {
            let fitted = together.fit(options, &[0, other], &Columns::Selected)?;
            models.push(together.rank(format!("{} + {}", name(0), name(other)), &fitted.blocks)?);
        }
    }
    let block = |(party, _): &(PartyId, Features)| {
        let block = learned.get(party).ok_or_else(|| JointError::Missing(party.clone()))?;
        Ok((party.clone(), block.clone()))
    };
    let joint = together.parties.iter().map(block).collect::<Result<Vec<_>, JointError>>()?;
    models.push(together.rank("joint".to_owned(), &joint)?);
    // Which columns stand a review depends on how far a fit had come then: the pooled fit has the columns that stood it.
    let pooled = together.fit(options, &all, &Columns::Kept(learned))?;
    models.push(together.rank("pooled".to_owned(), &pooled.blocks)?);
    let every = together.fit(options, &all, &Columns::All)?;
    let columns = |blocks: &[(PartyId, Block)]| blocks.iter().map(|(_, b)| b.columns.len()).sum::<usize>();
    if columns(&every.blocks) > columns(&pooled.blocks) {
        models.push(together.rank(EVERY_COLUMN.to_owned(), &every.blocks)?);
    }
    Ok(JointComparison {
        models,
        train_firms: together.train.len() as u64,
        test_firms: together.test.len() as u64,
        test_bad: together.test.iter().filter(|r| together.bad[**r]).count() as u64,
        max_coefficient_difference: difference(&joint, &pooled.blocks),
        largest_coefficient: pooled.fitted.largest(),
    })
}

/// Largest absolute difference of a coefficient or of the intercept.
fn difference(a: &[(PartyId, Block)], b: &[(PartyId, Block)]) -> f64 {
    let unit = |bits: u32| 2f64.powi(-(bits as i32));
    let coefficients = |blocks: &[(PartyId, Block)]| -> BTreeMap<(PartyId, String), f64> {
        let of = |(party, block): &(PartyId, Block)| {
            let scale = unit(haihe_models::vertical::COEFFICIENT_BITS);
            let term = |t: &haihe_models::vertical::score::Term| {
                ((party.clone(), t.encoder.column().to_owned()), t.coefficient as f64 * scale)
            };
            let base = ((party.clone(), String::new()), block.base as f64 * unit(haihe_models::vertical::SCORE_BITS));
            block.columns.iter().map(term).chain([base]).collect::<Vec<_>>()
        };
        blocks.iter().flat_map(of).collect()
    };
    let (a, b) = (coefficients(a), coefficients(b));
    if !a.keys().eq(b.keys()) {
        return f64::INFINITY;
    }
    a.values().zip(b.values()).fold(0.0, |most, (x, y)| most.max((x - y).abs()))
}

impl Together {
    fn of(options: &VerticalOptions, firms: &[(PartyId, Firms)]) -> Result<Self, JointError> {
        let mut order: Vec<&(PartyId, Firms)> = firms.iter().collect();
        order.sort_by_key(|(party, _)| !options.is_label_holder(party));
        let mut rows: Vec<BTreeMap<String, usize>> = Vec::new();
        for (party, firms) in &order {
            let keys = read_keys(options.alignment.key_kind, &firms.keys);
            let keys = keys.map_err(|problems| JointError::Keys { party: party.clone(), problems })?;
            rows.push(keys.into_iter().enumerate().map(|(row, key)| (key, row)).collect());
        }
        let Some((first, others)) = rows.split_first() else { return Err(JointError::NotVertical) };
        let common: Vec<&String> = first.keys().filter(|k| others.iter().all(|o| o.contains_key(*k))).collect();
        let mut parties = Vec::new();
        for ((party, firms), at) in order.iter().zip(&rows) {
            let rows: Vec<usize> = common.iter().map(|key| at[*key]).collect();
            let columns = firms.table.columns.iter().map(|column| match column {
                Column::Numeric(values) => Column::Numeric(rows.iter().map(|r| values[*r]).collect()),
                Column::Categorical(levels) => Column::Categorical(rows.iter().map(|r| levels[*r]).collect()),
            });
            let features = Features::new(firms.table.specs.clone(), columns.collect(), rows.len())?;
            parties.push((party.clone(), features));
        }
        let table = &order[0].1.table;
        let own: Vec<usize> = common.iter().map(|key| first[*key]).collect();
        let bad = own.iter().map(|r| table.label[*r]).collect();
        let (train, test) = (0..own.len()).partition(|i| table.split[own[*i]] == Split::Train);
        Ok(Self { parties, bad, train, test })
    }

    fn bad_of(&self, rows: &[usize]) -> Vec<bool> {
        rows.iter().map(|r| self.bad[*r]).collect()
    }

    fn encoder(&self, options: &VerticalOptions, features: &Features) -> Result<Encoder, VerticalError> {
        let encoder = self.unselected(options, features)?;
        let encoded = encoder.encode(features, &self.train)?;
        by_correlation(encoder, &encoded, options.selection.most_correlation())
    }

    fn unselected(&self, options: &VerticalOptions, features: &Features) -> Result<Encoder, VerticalError> {
        match options.encoding {
            Encoding::Standardise => Encoder::standardise(features, &self.train),
            Encoding::Woe => {
                let bad = self.bad_of(&self.train);
                let fine = woe::fine_columns(features, &self.train, &options.woe)?;
                let counted: Vec<_> = fine.iter().map(|f| f.counted(f.bads(&bad))).collect();
                woe::final_columns(&fine, &woe::merge(&counted, &bad, &options.woe)?, &options.woe)
            }
        }
    }

    /// The model of some parties: as they would learn it together, or with all columns in one place.
    fn fit(&self, options: &VerticalOptions, parties: &[usize], columns: &Columns<'_>) -> Result<Model, JointError> {
        let mut encoders: Vec<Encoder> =
            parties.iter().map(|p| self.encoder(options, &self.parties[*p].1)).collect::<Result<_, _>>()?;
        if let Columns::Kept(blocks) = columns {
            for (p, encoder) in parties.iter().zip(&mut encoders) {
                let kept = blocks.get(&self.parties[*p].0).map_or(&[][..], |b| &b.columns);
                encoder.columns.retain(|c| kept.iter().any(|t| t.encoder.column() == c.column()));
            }
        }
        let encode = |(p, e): (&usize, &Encoder)| e.encode(&self.parties[*p].1, &self.train);
        let parts: Vec<Encoded> = parties.iter().zip(&encoders).map(encode).collect::<Result<_, _>>()?;
        let (all, bad): (Vec<&Encoded>, _) = (parts.iter().collect(), self.bad_of(&self.train));
        let fitted = match columns {
            Columns::All | Columns::Kept(_) => fit(&all, &bad, &options.regression)?,
            Columns::Selected => {
                let (solver, reviews) = (&options.regression, options.reviews());
                let selected = federate_selected(all[0], &all[1..], &bad, solver, RESIDUAL_BITS, reviews, |_| {})?;
                for (encoder, kept) in encoders.iter_mut().zip(&selected.kept) {
                    encoder.columns = kept.iter().map(|at| encoder.columns[*at].clone()).collect();
                }
                selected.fitted
            }
        };
        let mut blocks = Vec::new();
        for (at, p) in parties.iter().enumerate() {
            let (party, features) = &self.parties[*p];
            let intercept = if at == 0 { fitted.intercept } else { 0.0 };
            let block = Block::new(&encoders[at], &fitted.coefficients[at], intercept, features, &self.train)?;
            blocks.push((party.clone(), block));
        }
        Ok(Model { blocks, fitted })
    }

    fn rank(&self, name: String, blocks: &[(PartyId, Block)]) -> Result<JointModel, JointError> {
        let mut totals = vec![0i64; self.test.len()];
        for (party, block) in blocks {
            let found = self.parties.iter().find(|(p, _)| p == party);
            let (_, features) = found.ok_or_else(|| JointError::Missing(party.clone()))?;
            totals.iter_mut().zip(block.partials(features, &self.test)?).for_each(|(t, p)| *t += p);
        }
        let bad = self.bad_of(&self.test);
        let odds: Vec<f64> = totals.iter().map(|t| log_odds(*t)).collect();
        // Rankings take scores that are high for good firms.
        let ranking = Ranking::of_rows(&odds.iter().map(|z| -z).collect::<Vec<_>>(), &bad)?;
        let pd: Vec<f64> = odds.iter().map(|z| sigmoid(*z)).collect();
        Ok(JointModel {
            name,
            parties: blocks.iter().map(|(p, _)| p.clone()).collect(),
            columns: blocks.iter().map(|(_, b)| b.columns.len() as u32).sum(),
            figures: Figures { auc: ranking.auc, ks: ranking.ks, brier: brier(&pd, &bad)? },
            auc_standard_error: ranking.auc_standard_error,
        })
    }
}

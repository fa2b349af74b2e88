//! The federations under attack: real loans (`simulations/data`), real lenders, the job of the demo, the product's own vectors.

use anyhow::{Context, Result};
use haihe_models::{
    binning::Binning,
    clipped::Block,
    grid::{ColumnGrid, grids, label_counts, profile},
    noisy::{
        self, NoisyOptions,
        newton::{NoisyNewton, NoisyOutcome},
        statistics as noised, trial,
    },
    pooled::{self, ScorecardOptions},
    scorecard::Scorecard,
    table::{Column, ColumnKind, ColumnSpec, Split, Table},
};
use haihe_privacy::{
    dp::{NoisedQuantiser, SegmentNoise, multiplier_for},
    secure_sum::{Adversary, Coding, CommitteeRule, Segment},
};
use serde::Deserialize;
use std::io::Read;

const LOANS: &[u8] = include_bytes!("../../simulations/data/sba_loans.csv.gz");
const JOB: &str = include_str!("../../simulations/jobs/sba-scorecard.toml");
/// The delta of a job with noise, unless it says otherwise.
pub const DELTA: f64 = 1e-6;
/// Bits per value, unless a job says otherwise.
pub const VALUE_BITS: u32 = 32;

#[derive(Deserialize)]
struct JobFile {
    data: JobData,
}

#[derive(Deserialize)]
struct JobData {
    columns: Vec<ColumnSpec>,
}

/// All loans and who holds them.
pub struct Loans {
    /// 30,000 rows, train and test.
    pub table: Table,
    silo: Vec<usize>,
    /// -1 where the lender is not known.
    bank: Vec<i32>,
}

/// One federation: its parties' rows and the tasks of its job.
pub struct Town {
    /// One table per party, train and test rows.
    pub parties: Vec<Table>,
    /// Train rows of all parties.
    pub rows: f64,
    /// Tasks of the exact job.
    pub exact: Exact,
    /// Tasks of the job with noise.
    pub noisy: Noisy,
    /// T: so many parties may collude.
    pub colluders: usize,
}

/// What an exact job publishes along the way.
pub struct Exact {
    /// The grids of the label counts.
    pub grids: Vec<ColumnGrid>,
    /// The bins of the regression's columns.
    pub binnings: Vec<Binning>,
}

/// What a job with noise publishes along the way; learned here without noise, so that every epsilon meets the same tasks.
pub struct Noisy {
    specs: Vec<ColumnSpec>,
    rows: f64,
    /// The job's options.
    pub options: NoisyOptions,
    /// The grids of the label counts.
    pub grids: Vec<ColumnGrid>,
    /// The bins of the regression's columns.
    pub binnings: Vec<Binning>,
    /// Where gradient and Hessian are taken, for each step.
    pub points: Vec<Vec<f64>>,
    scorecard: Scorecard,
}

impl Loans {
    /// Reads the bundled file.
    pub fn load() -> Result<Loans> {
        let job: JobFile = toml::from_str(JOB).context("the demo's job file")?;
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(LOANS).read_to_end(&mut text)?;
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let header = reader.headers()?.clone();
        let find = |name: &str| header.iter().position(|h| h == name).with_context(|| format!("no column {name}"));
        let specs = job.data.columns;
        let at = specs.iter().map(|s| find(&s.name)).collect::<Result<Vec<_>>>()?;
        let [y, set, silo, bank] = [find("y")?, find("set")?, find("silo")?, find("bank_id")?];
        let empty = |s: &ColumnSpec| match s.kind {
            ColumnKind::Numeric => Column::Numeric(Vec::new()),
            ColumnKind::Categorical { .. } => Column::Categorical(Vec::new()),
        };
        let columns = specs.iter().map(empty).collect();
        let table = Table { specs, columns, label: Vec::new(), split: Vec::new(), firms: None };
        let mut loans = Loans { table, silo: Vec::new(), bank: Vec::new() };
        for record in reader.records() {
            let record = record?;
            let table = &mut loans.table;
            table.label.push(&record[y] == "1");
            table.split.push(if &record[set] == "train" { Split::Train } else { Split::Test });
            loans.silo.push(record[silo].parse()?);
            loans.bank.push(record[bank].parse()?);
            for ((column, spec), &at) in table.columns.iter_mut().zip(&table.specs).zip(&at) {
                let field = &record[at];
                match (column, &spec.kind) {
                    (Column::Numeric(v), _) => v.push(if field.is_empty() { f64::NAN } else { field.parse()? }),
                    (Column::Categorical(v), ColumnKind::Categorical { levels }) => {
                        let level = levels.iter().position(|l| l == field).unwrap_or(levels.len());
                        v.push(if field.is_empty() { levels.len() + 1 } else { level } as u32);
                    }
                    _ => {}
                }
            }
        }
        Ok(loans)
    }

    /// The demo's three banks: the largest lender, the next seven, all others.
    pub fn three(&self) -> Result<Town> {
        Town::new((0..3).map(|k| subset(&self.table, |r| self.silo[r] == k)).collect())
    }

    /// The ten largest lenders.
    pub fn ten(&self) -> Result<Town> {
        Town::new((0..10).map(|k| subset(&self.table, |r| self.bank[r] == k)).collect())
    }
}

/// The rows that `keep` names.
pub fn subset(table: &Table, keep: impl Fn(usize) -> bool) -> Table {
    pick(table, &(0..table.rows()).filter(|&r| keep(r)).collect::<Vec<_>>())
}

/// These rows.
pub fn pick(table: &Table, rows: &[usize]) -> Table {
    let take = |column: &Column| match column {
        Column::Numeric(v) => Column::Numeric(rows.iter().map(|&r| v[r]).collect()),
        Column::Categorical(v) => Column::Categorical(rows.iter().map(|&r| v[r]).collect()),
    };
    Table {
        specs: table.specs.clone(),
        columns: table.columns.iter().map(take).collect(),
        label: rows.iter().map(|&r| table.label[r]).collect(),
        split: rows.iter().map(|&r| table.split[r]).collect(),
        firms: None,
    }
}

impl Town {
    fn new(parties: Vec<Table>) -> Result<Town> {
        let tables: Vec<&Table> = parties.iter().collect();
        let rule = CommitteeRule::for_parties(parties.len() as u32, Adversary::Malicious)?;
        let learning = ScorecardOptions::default();
        let specs = &tables[0].specs;
        let profile = total(&tables, |t| Ok(profile(t, Split::Train)?))?;
        let grids = grids(specs, &profile, learning.binning.fine_cells)?;
        let trained = pooled::train(&tables, &learning)?;
        let exact = Exact { grids, binnings: trained.selection.binnings(&trained.binnings) };
        let noisy = Noisy::new(&tables, &learning)?;
        let rows = profile[0];
        Ok(Town { exact, noisy, rows, colluders: rule.privacy_threshold() as usize, parties })
    }

    /// How many parties there are.
    pub fn n(&self) -> usize {
        self.parties.len()
    }

    /// The honest parties that every opened sum has.
    pub fn guaranteed(&self) -> u32 {
        (self.n() - self.colluders) as u32
    }
}

impl Exact {
    /// Goods and bads per fine cell.
    pub fn label_counts(&self, table: &Table) -> Result<Vec<f64>> {
        Ok(label_counts(table, &self.grids)?)
    }
}

/// One sum of a job with noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Coarse counts.
    Profile,
    /// Goods and bads per fine cell.
    LabelCounts,
    /// Gradient and Hessian of the step with this number.
    Regression(usize),
    /// Histograms of scores.
    Evaluation,
}

impl Step {
    /// As the tables call it.
    pub fn name(self) -> String {
        match self {
            Step::Profile => "profile".to_owned(),
            Step::LabelCounts => "label counts".to_owned(),
            Step::Regression(k) => format!("regression {}", k + 1),
            Step::Evaluation => "evaluation".to_owned(),
        }
    }
}

impl Noisy {
    fn new(tables: &[&Table], learning: &ScorecardOptions) -> Result<Noisy> {
        let options = NoisyOptions::default();
        let specs = &tables[0].specs;
        let sigmas = vec![0.0; noised::profile_blocks(specs, &options).len()];
        let sum = total(tables, |t| Ok(noised::profile_sum(t, &options)?.sum))?;
        let grids = noisy::profile::absorb(specs, &sum, &sigmas, &options)?.grids;
        let trial = trial::train(tables, learning, &options, f64::INFINITY, &mut |_| 0.0)?;
        let sum = total(tables, |t| Ok(noised::label_counts_sum(t, &grids, &options)?.sum))?;
        let binned =
            noisy::binning::absorb(specs, &grids, &sum, &[0.0], &learning.binning, &learning.selection, &options)?;
        let binnings = binned.chosen();
        let mut newton = NoisyNewton::new(&binnings, binned.good, binned.bad, &options)?;
        let mut points = vec![newton.beta().to_vec()];
        loop {
            let sum = total(tables, |t| Ok(noised::regression_sum(t, &binnings, newton.beta(), &options)?.sum))?;
            match newton.step(&sum, &[0.0, 0.0], learning.selection.require_positive)? {
                NoisyOutcome::Continue(next) => newton = next,
                NoisyOutcome::Finished(_) => break,
            }
            points.push(newton.beta().to_vec());
        }
        let rows = tables.iter().map(|t| t.rows()).sum::<usize>() as f64;
        Ok(Noisy { specs: specs.clone(), rows, options, grids, binnings, points, scorecard: trial.scorecard })
    }

    /// All sums of the job, in order.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Profile, Step::LabelCounts];
        steps.extend((0..self.points.len()).map(Step::Regression));
        steps.push(Step::Evaluation);
        steps
    }

    /// A party's vector, clipped per firm, before noise.
    pub fn vector(&self, step: Step, table: &Table) -> Result<Vec<f64>> {
        let options = &self.options;
        let sum = match step {
            Step::Profile => noised::profile_sum(table, options)?,
            Step::LabelCounts => noised::label_counts_sum(table, &self.grids, options)?,
            Step::Regression(k) => noised::regression_sum(table, &self.binnings, &self.points[k], options)?,
            Step::Evaluation => noised::evaluation_sum(table, &self.scorecard, options)?,
        };
        Ok(sum.sum)
    }

    /// The vector's blocks.
    pub fn blocks(&self, step: Step) -> Vec<Block> {
        match step {
            Step::Profile => noised::profile_blocks(&self.specs, &self.options),
            Step::LabelCounts => noised::label_counts_blocks(&self.grids, &self.options),
            Step::Regression(_) => noised::regression_blocks(&self.binnings, &self.options),
            Step::Evaluation => noised::evaluation_blocks(&self.options),
        }
    }

    /// mu of a sum in a job of this epsilon at [`DELTA`].
    pub fn mu(&self, step: Step, epsilon: f64) -> Result<f64> {
        let whole = 1.0 / multiplier_for(epsilon, DELTA, 1.0, 1)?;
        let at = self.steps().iter().position(|s| *s == step).context("a step of this job")?;
        Ok(self.options.budgets(whole)[at])
    }

    /// What a participant quantises and noises with. `weaker` divides the noise: 1, except where a test wants to be caught.
    pub fn quantiser(&self, step: Step, mu: f64, guaranteed: u32, weaker: f64) -> Result<NoisedQuantiser> {
        let blocks = self.blocks(step);
        let bound = |b: &Block| match step {
            Step::Regression(_) => self.rows * b.clip,
            Step::Profile => f64::from(1 << 22) * b.clip.min(1.0),
            _ => self.rows * b.clip.min(1.0),
        };
        let segment = |b: &Block| Segment {
            name: b.name.clone(),
            len: b.len,
            coding: Coding::Fixed { bound: bound(b).max(1.0) },
        };
        let noise = |b: &Block| SegmentNoise { clip: b.clip, multiplier: b.sigma(mu) / b.clip / weaker };
        let (segments, noise) = (blocks.iter().map(segment).collect(), blocks.iter().map(noise).collect());
        Ok(NoisedQuantiser::new(segments, noise, VALUE_BITS, guaranteed)?)
    }
}

/// Adds up what the parties would send.
pub fn total(tables: &[&Table], part: impl Fn(&Table) -> Result<Vec<f64>>) -> Result<Vec<f64>> {
    let mut sum: Vec<f64> = Vec::new();
    for table in tables {
        let own = part(table)?;
        sum.resize(own.len(), 0.0);
        sum.iter_mut().zip(&own).for_each(|(s, v)| *s += v);
    }
    Ok(sum)
}

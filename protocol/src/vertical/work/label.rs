//! The label holder's side, after the firms are aligned.

use std::collections::BTreeMap;

use haihe_models::{
    export::spreadsheet_text,
    glm::sigmoid,
    metrics::{Ranking, brier},
    scorecard::{Tier, Warning, score_0_100},
    table::{ColumnKind, ColumnSpec},
    vertical::{
        COEFFICIENT_BITS, Direction, Encoded, Encoder, LabelHolder, Pass, SCORE_LIMIT, Status, VALUE_LIMIT,
        label_holder::LabelState,
        log_odds,
        minibatch::{BatchLabel, BatchState},
        quantise_residuals,
        score::Block,
        selection,
        woe::{self, FineColumn},
    },
};
use haihe_privacy::{
    linear::{KeyPair, LinearParameters, Response, Tiling, centre},
    pairwise,
};
use serde::{Deserialize, Serialize};

use super::{
    Kept, StepError, Turn,
    align::Rows,
    context::Context,
    feature::{RESIDUAL_BITS, SCALAR_BITS, kept_block},
    letters::{self, Ask, Binned, Counts, Encrypted, Masked, Opened, Opening, PartialScores, Products},
    model::{self, EVALUATION_FILE, Evaluation, ModelFile, pretty},
    rows,
};
use crate::{
    id::PartyId,
    vertical::{Encoding, Optimiser, Outbox},
};

mod review;

pub use review::ReviewHeld;

/// Name of the means that stand in for holders who are absent when firms are scored.
const MEANS_FILE: &str = "means.json";

/// How well scores tell bad firms from good ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Firms.
    pub rows: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Area under the ROC curve.
    pub auc: f64,
    /// Kolmogorov-Smirnov statistic.
    pub ks: f64,
    /// Mean squared error of the probabilities.
    pub brier: f64,
}

/// The same on training and on test firms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// On the firms that were learned from.
    pub train: Quality,
    /// On the others; absent if there are none, or of one class only.
    pub test: Option<Quality>,
}

/// What the label holder publishes when the fit is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointResult {
    /// Who knew the labels.
    pub label_holder: PartyId,
    /// Columns in use, by party.
    pub columns: BTreeMap<PartyId, u32>,
    /// Firms that all parties have.
    pub common: u64,
    /// One entry per pass; the first is the label holder alone, and the only one if the fit went batch by batch.
    pub passes: Vec<Pass>,
    /// How often the label holder saw scores of the others: once per pass, or per batch.
    pub steps: u64,
    /// Reviews of the coefficients, in their order; none where the job asks for none.
    #[serde(default)]
    pub reviews: Vec<ReviewHeld>,
    /// Columns in use that contradict their weight of evidence after all, because the passes were used up; absent where the
    /// job asks for no reviews.
    #[serde(default)]
    pub contradicting: Option<u32>,
    /// The label holder's own columns alone, on the same firms.
    pub alone: Comparison,
    /// All parties together.
    pub joint: Comparison,
}

/// What the label holder publishes when firms were scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredResult {
    /// Firms that were asked for.
    pub asked: u64,
    /// Firms that every party present knows: these are scored.
    pub scored: u64,
    /// Holders without whom they were scored.
    pub without: Vec<PartyId>,
}

/// Fewest training firms, or firms of a batch, for each column of all feature holders together.
pub const FIRMS_PER_COLUMN: usize = 10;
/// Most batches of a fit.
const MAX_BATCHES: usize = 10_000;

/// What a label holder remembers between two exchanges.
#[derive(Serialize, Deserialize)]
pub(super) struct Label {
    rows: Rows,
    train: Vec<bool>,
    #[serde(with = "super::as_json")]
    encoder: Option<Encoder>,
    state: Option<LabelState>,
    passes: Vec<Pass>,
    /// Scores received, of all firms or of a batch.
    steps: u64,
    reviews: Vec<ReviewHeld>,
    /// Columns in use of each feature holder, once it has said so.
    columns: BTreeMap<usize, usize>,
    alone: Option<Comparison>,
    /// Where it stands if it goes batch by batch.
    batch: Option<BatchState>,
    /// Fewer passes than the job allows: see [`Context::most_passes`].
    most_passes: Option<usize>,
    /// The next exchange is the feature holders'.
    waits: bool,
    phase: Phase,
    /// The solver with its rows, as `state` has it, so that it need not be made again in every pass. Not in the vault: after
    /// a restart it is made anew, to the same bits.
    #[serde(skip)]
    solver: Option<Box<LabelHolder>>,
}

#[derive(Serialize, Deserialize)]
enum Phase {
    Counts,
    Products(Asked),
    Directions,
    Reviews(f64),
    Scores,
    Scoring,
}

/// What an encrypted vector was made for: its answers are read with the same.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Asked {
    rows: u32,
    block: u32,
    entry: u32,
    largest: u64,
}

/// Bounds of the numbers of a product.
#[derive(Clone, Copy)]
struct Fixed {
    /// Of the matrix.
    entry: u32,
    /// Of the vector.
    value: u64,
    /// Bits after the point of the vector's values.
    bits: u32,
}

impl Label {
    pub fn begin(c: &mut Context<'_>, rows: Rows, model: Option<&Kept>) -> Result<Turn<Self>, StepError> {
        let train = rows::training(c.firms, &rows);
        let label = Self {
            rows,
            train,
            encoder: None,
            state: None,
            passes: Vec::new(),
            steps: 0,
            reviews: Vec::new(),
            columns: BTreeMap::new(),
            alone: None,
            batch: None,
            most_passes: None,
            waits: false,
            phase: Phase::Scoring,
            solver: None,
        };
        if c.spec.scoring.is_some() {
            kept_block(c, model)?;
            ModelFile::check(c, model)?;
            let mut outbox = Outbox::default();
            outbox.announcement.phase = format!("aligned: {} firms to be scored", label.rows.len());
            return Ok(Turn::More(label, outbox));
        }
        match label.open(c)? {
            Turn::More(label, outbox) => Ok(Turn::More(Self { waits: true, ..label }, outbox)),
            last => Ok(last),
        }
    }

    /// Label holder and feature holders take turns.
    pub fn step(self, c: &mut Context<'_>, model: Option<&Kept>) -> Result<Turn<Self>, StepError> {
        if self.waits {
            return Ok(Turn::More(Self { waits: false, ..self }, c.waiting()));
        }
        match self.act(c, model)? {
            Turn::More(label, outbox) => Ok(Turn::More(Self { waits: true, ..label }, outbox)),
            last => Ok(last),
        }
    }

    fn act(self, c: &mut Context<'_>, model: Option<&Kept>) -> Result<Turn<Self>, StepError> {
        match self.phase {
            Phase::Counts => self.merge(c),
            Phase::Products(asked) => self.decrypt(c, asked),
            Phase::Directions => self.receive(c),
            Phase::Reviews(above) => self.review(c, above),
            Phase::Scores => self.finish(c),
            Phase::Scoring => self.score(c, model),
        }
    }

    /// Own rows of the common firms, in the common order.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn train_labels(&self, c: &Context<'_>) -> Vec<bool> {
        let labels = rows::labels(c.firms, &self.rows);
        labels.into_iter().zip(&self.train).filter(|(_, train)| **train).map(|(bad, _)| bad).collect()
    }

    fn key(&self, c: &Context<'_>) -> KeyPair {
        KeyPair::derive(&c.secret("linear"))
    }

    /// Says which firms train; sends the encrypted labels, or the first residuals.
    fn open(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let bad = self.train_labels(c);
        let bads = bad.iter().filter(|b| **b).count();
        if bads == 0 || bads == bad.len() {
            let detail = "of the firms that all parties have, the training ones are all of one class: check the label column and \
                          the split";
            return Err(c.own(detail));
        }
        self.enough(c, bad.len())?;
        let (labels, ask) = match c.options.encoding {
            Encoding::Woe => {
                let bins: Vec<usize> = c.feature_holders().iter().map(|p| most_bins(c, *p)).collect();
                let d: Vec<i64> = bad.iter().map(|b| i64::from(*b)).collect();
                self.phase = Phase::Counts;
                (Some(self.encrypted(c, "labels", &bins, Fixed { entry: 1, value: 1, bits: 0 }, &d)?), None)
            }
            Encoding::Standardise => {
                let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
                let encoder = Encoder::standardise(&features, &rows::positions(&self.train, true));
                self.encoder = Some(encoder.map_err(|e| c.own(e))?);
                (None, Some(self.first(c)?))
            }
        };
        let opening = Opening {
            common: self.rows.len() as u32,
            train: rows::pack(&self.train),
            public_key: self.key(c).public_key().to_bytes(),
            labels,
            ask,
        };
        let mut outbox = Outbox::default();
        outbox.announcement.phase = format!("aligned: {} firms in common", self.rows.len());
        outbox.letters = letters::write(c.feature_holders(), &opening);
        Ok(Turn::More(self, outbox))
    }

    /// Every product is an equation in the residuals, whose signs are the labels: there must be many more firms than
    /// columns, in a batch too.
    fn enough(&self, c: &Context<'_>, firms: usize) -> Result<(), StepError> {
        let columns: usize = c.feature_holders().iter().map(|p| c.declared_columns(*p)).sum();
        let (what, firms) = match c.options.fit.optimiser {
            Optimiser::FullBatch => ("training firms", firms),
            Optimiser::Minibatch => {
                let batches = &c.options.fit.minibatch;
                if batches.steps(firms) > MAX_BATCHES {
                    return Err(c.job(format!("more than {MAX_BATCHES} batches: raise batch_rows or lower epochs")));
                }
                ("firms of a batch", firms.min(batches.batch_rows))
            }
        };
        if firms < FIRMS_PER_COLUMN * columns {
            return Err(c.job(format!(
                "too few {what} for {columns} columns of feature holders: with fewer than {FIRMS_PER_COLUMN} for each, their \
                 gradients would tell them labels; name fewer columns, or bring more firms"
            )));
        }
        Ok(())
    }

    /// Encrypts a vector over the training firms for holders with so many columns.
    fn encrypted(
        &self,
        c: &Context<'_>,
        purpose: &str,
        columns: &[usize],
        fixed: Fixed,
        d: &[i64],
    ) -> Result<Encrypted, StepError> {
        let tiling = Tiling::choose(d.len(), columns).map_err(|e| c.job(e))?;
        let parameters = LinearParameters::new(tiling, fixed.entry, fixed.value).map_err(|e| c.job(e))?;
        let vector = self.key(c).encrypt(&parameters, d, &c.purpose(purpose)).map_err(|e| c.own(e))?;
        Ok(Encrypted { block: tiling.block() as u32, bits: fixed.bits, largest: fixed.value, bytes: vector.to_bytes() })
    }

    /// What a holder answered to an encrypted vector over the training firms, decrypted.
    fn decrypted(
        &self,
        c: &Context<'_>,
        from: usize,
        asked: Asked,
        columns: usize,
        response: &[u8],
    ) -> Result<Vec<u64>, StepError> {
        let tiling = Tiling::new(asked.rows as usize, asked.block as usize).map_err(|e| c.own(e))?;
        let parameters = LinearParameters::new(tiling, asked.entry, asked.largest).map_err(|e| c.own(e))?;
        let response = Response::from_bytes(&parameters, columns, response).map_err(|e| c.peer(from, e))?;
        Ok(self.key(c).decrypt(&response))
    }

    fn trained(&self) -> usize {
        self.train.iter().filter(|t| **t).count()
    }

    /// Merges the bins of every holder, its own too, and asks for the first products.
    fn merge(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let bad = self.train_labels(c);
        let bins: Vec<usize> = c.feature_holders().iter().map(|p| most_bins(c, *p)).collect();
        let tiling = Tiling::choose(bad.len(), &bins).map_err(|e| c.job(e))?;
        let asked = Asked { rows: self.trained() as u32, block: tiling.block() as u32, entry: 1, largest: 1 };
        let mut merged = Vec::new();
        for party in c.feature_holders() {
            let counts: Counts = c.letter(party, "counts")?;
            let columns: usize = counts.columns.iter().map(|(rows, _)| rows.len()).sum();
            if counts.columns.len() > c.declared_columns(party) || columns > most_bins(c, party) {
                return Err(c.peer(party, "it counts more columns or bins than the job has"));
            }
            let values = self.decrypted(c, party, asked, columns, &counts.response)?;
            let mut values = values.into_iter().map(|v| u64::try_from(centre(v)).unwrap_or(u64::MAX));
            let fine = counts.columns.into_iter().map(|(rows, standalone)| {
                let bad = values.by_ref().take(rows.len()).collect();
                FineColumn { rows, bad, standalone }
            });
            let fine: Vec<FineColumn> = fine.collect();
            merged.push((party, woe::merge(&fine, &bad, &c.options.woe).map_err(|e| c.peer(party, e))?));
        }
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        let train = rows::positions(&self.train, true);
        let fine = woe::fine_columns(&features, &train, &c.options.woe).map_err(|e| c.own(e))?;
        let counted: Vec<FineColumn> = fine.iter().map(|f| f.counted(f.bads(&bad))).collect();
        let own = woe::merge(&counted, &bad, &c.options.woe).map_err(|e| c.own(e))?;
        let encoder = woe::final_columns(&fine, &own, &c.options.woe).map_err(|e| c.own(e))?;
        let x = encoder.encode(&features, &train).map_err(|e| c.own(e))?;
        let most = c.options.selection.most_correlation();
        self.encoder = Some(selection::by_correlation(encoder, &x, most).map_err(|e| c.own(e))?);
        let ask = self.first(c)?;
        let mut outbox = Outbox::default();
        outbox.announcement.phase = "bins with enough firms".to_owned();
        for (party, merged) in merged {
            let letter = Binned { merged, ask: ask.clone() };
            outbox.letters.extend(letters::write(vec![party], &letter));
        }
        Ok(Turn::More(self, outbox))
    }

    fn encoded(&self, c: &Context<'_>) -> Result<Encoded, StepError> {
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        let encoder = self.encoder.as_ref().ok_or_else(|| c.own("no encoding yet: a step was left out"))?;
        encoder.encode(&features, &rows::positions(&self.train, true)).map_err(|e| c.own(e))
    }

    /// The solver as it was left, made anew after a restart. Put it back with [`Self::remember`] after use.
    fn solver(&mut self, c: &Context<'_>) -> Result<Box<LabelHolder>, StepError> {
        if let Some(solver) = self.solver.take() {
            return Ok(solver);
        }
        let labels = self.train_labels(c);
        let held_out = c.held_out(labels.len());
        let mut options = c.options.regression.clone();
        options.max_passes = options.max_passes.min(self.most_passes.unwrap_or(usize::MAX));
        let solver = LabelHolder::new(&self.encoded(c)?, labels, held_out, options);
        let solver = solver.map_err(|e| c.own(e))?;
        let solver = match &self.state {
            None => solver,
            Some(state) => solver.resume(state.clone()).map_err(|e| c.own(e))?,
        };
        Ok(Box::new(solver))
    }

    fn remember(&mut self, solver: Box<LabelHolder>) {
        self.state = Some(solver.state().clone());
        self.solver = Some(solver);
    }

    /// The optimum over the own columns, and the first question.
    fn first(&mut self, c: &mut Context<'_>) -> Result<Ask, StepError> {
        let mut solver = self.solver(c)?;
        self.passes.push(solver.alone().map_err(|e| c.own(e))?);
        self.alone = Some(self.quality(c, &self.own_scores(c, &self.block(c, &solver)?)?)?);
        self.ask(c, solver)
    }

    /// Where the fit stands, and what is to be multiplied next.
    fn ask(&mut self, c: &mut Context<'_>, mut solver: Box<LabelHolder>) -> Result<Ask, StepError> {
        let combination = Some(solver.combination());
        if c.options.fit.optimiser == Optimiser::Minibatch {
            let mut batch = self.batches(c, *solver)?;
            let residuals = batch.receive(&vec![0; batch.rows().len()]).map_err(|e| c.own(e))?;
            self.batch = Some(batch.state().clone());
            self.remember(Box::new(batch.into_holder()));
            return Ok(Ask::pass(combination, Some(self.multiplicand(c, &residuals)?)));
        }
        let residuals = solver.residuals();
        let warm = c.options.fit.warm_start.is_some() && self.passes.len() == 1;
        self.remember(solver);
        if warm {
            self.phase = Phase::Directions;
            return Ok(Ask::pass(combination, None));
        }
        Ok(Ask::pass(combination, Some(self.multiplicand(c, &residuals)?)))
    }

    /// Residuals of all training firms or of a batch, encrypted.
    fn multiplicand(&mut self, c: &Context<'_>, residuals: &[f64]) -> Result<Encrypted, StepError> {
        let largest = residuals.iter().fold(0.0f64, |most, r| most.max(r.abs())).max(1.0).ceil();
        let room = LinearParameters::largest_multiplier(residuals.len(), VALUE_LIMIT as u32) as f64 / (largest + 1.0);
        if room < 16.0 {
            return Err(c.job("too many training firms for exact products: learn on a part of them"));
        }
        let bits = (room.log2().floor() as u32).min(RESIDUAL_BITS);
        let value = (largest as u64 + 1) << bits;
        let columns: Vec<usize> = c.feature_holders().iter().map(|p| c.declared_columns(*p)).collect();
        let fixed = Fixed { entry: VALUE_LIMIT as u32, value, bits };
        let d = quantise_residuals(residuals, bits);
        let encrypted = self.encrypted(c, "residuals", &columns, fixed, &d)?;
        let (rows, block) = (residuals.len() as u32, encrypted.block);
        self.phase = Phase::Products(Asked { rows, block, entry: fixed.entry, largest: value });
        Ok(encrypted)
    }

    /// The label holder, going batch by batch from where it stands.
    fn batches(&self, c: &Context<'_>, solver: LabelHolder) -> Result<BatchLabel, StepError> {
        let batch = BatchLabel::new(solver, c.options.fit.minibatch.clone()).map_err(|e| c.own(e))?;
        match &self.batch {
            None => Ok(batch),
            Some(state) => batch.resume(state.clone()).map_err(|e| c.own(e)),
        }
    }

    /// The next batch: the others have sent its scores.
    fn next_batch(mut self, c: &mut Context<'_>, letters: &[Masked]) -> Result<Turn<Self>, StepError> {
        let solver = self.solver(c)?;
        let mut batch = self.batches(c, *solver)?;
        let scores: Vec<&[u8]> = letters.iter().map(|l| l.scores.as_slice()).collect();
        let rows = batch.rows();
        let scores = pairwise::open(&scores, rows.len()).map_err(|e| c.together(e))?;
        let fitted = rows.is_empty();
        let residuals = if fitted { Vec::new() } else { batch.receive(&scores).map_err(|e| c.together(e))? };
        self.batch = Some(batch.state().clone());
        self.remember(Box::new(batch.into_holder()));
        let residuals = if fitted { None } else { Some(self.multiplicand(c, &residuals)?) };
        if fitted {
            self.phase = Phase::Scores;
        }
        let mut outbox = Outbox::default();
        outbox.announcement.phase = "train: next batch".to_owned();
        let ask = if fitted { Ask::end(None) } else { Ask::pass(None, residuals) };
        outbox.letters = letters::write(c.feature_holders(), &ask);
        Ok(Turn::More(self, outbox))
    }

    fn decrypt(mut self, c: &mut Context<'_>, asked: Asked) -> Result<Turn<Self>, StepError> {
        let mut outbox = Outbox::default();
        outbox.announcement.phase = format!("train: pass {}, products decrypted", self.passes.len());
        for party in c.feature_holders() {
            let products: Products = c.letter(party, "products")?;
            let columns = products.columns as usize;
            match self.columns.get(&party) {
                Some(known) if *known != columns => {
                    return Err(c.peer(party, format!("it sends products of {columns} columns where it has {known}")));
                }
                None if columns == 0 || columns > c.declared_columns(party) => {
                    return Err(c.peer(party, "it sends products of more columns than the job has"));
                }
                Some(_) => {}
                None => {
                    self.columns.insert(party, columns);
                    self.allow(c.most_passes(columns));
                }
            }
            let values = match columns {
                0 => Vec::new(),
                _ => self.decrypted(c, party, asked, columns, &products.response)?,
            };
            outbox.letters.extend(letters::write(vec![party], &Opened { values }));
        }
        self.phase = Phase::Directions;
        Ok(Turn::More(self, outbox))
    }

    /// As many passes as there may be: the solver is made again with them.
    fn allow(&mut self, most: Option<usize>) {
        if most != self.most_passes {
            (self.most_passes, self.solver) = (most, None);
        }
    }

    fn receive(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let letters: Vec<Masked> =
            c.feature_holders().into_iter().map(|p| c.letter(p, "direction")).collect::<Result<_, _>>()?;
        if c.options.fit.optimiser == Optimiser::Minibatch {
            self.steps += 1;
            return self.next_batch(c, &letters);
        }
        let ask = self.direction(c, &letters)?;
        Ok(self.asking(c, &ask))
    }

    fn asking(self, c: &Context<'_>, ask: &Ask) -> Turn<Self> {
        let mut outbox = Outbox::default();
        if let Some(pass) = self.passes.last() {
            outbox.announcement.phase = format!("train: pass {}, loss {:.6}", pass.pass, pass.loss);
        }
        outbox.letters = letters::write(c.feature_holders(), ask);
        Turn::More(self, outbox)
    }

    /// Opens the sum of all directions, minimises over what is known, and says what follows.
    fn direction(&mut self, c: &mut Context<'_>, letters: &[Masked]) -> Result<Ask, StepError> {
        self.steps += 1;
        let scores: Vec<&[u8]> = letters.iter().map(|l| l.scores.as_slice()).collect();
        let scores = pairwise::open(&scores, self.trained()).map_err(|e| c.together(e))?;
        let scalars: Vec<&[u8]> = letters.iter().map(|l| l.scalars.as_slice()).collect();
        let mut solver = self.solver(c)?;
        let expected = solver.received().len() + 3;
        let scalars = pairwise::open_wide(&scalars, expected).map_err(|e| c.together(e))?;
        let scalars = scalars.iter().map(|s| *s as f64 / 2f64.powi(SCALAR_BITS as i32)).collect();
        let pass = solver.receive(&Direction { scores, scalars }).map_err(|e| c.together(e))?;
        // How long the others' gradient is, is between them and the label holder.
        self.passes.push(Pass { gradient_norm: None, ..pass.clone() });
        let counted = self.columns.len() == c.feature_holders().len();
        if let Some(above) = solver.review_is_due(&pass).filter(|_| counted && c.options.reviews()) {
            let combination = Some(solver.combination());
            self.remember(solver);
            self.phase = Phase::Reviews(above);
            return Ok(Ask::review(combination, above));
        }
        self.go_on(c, solver, pass.status == Status::Continue)
    }

    /// The next pass, or the end.
    fn go_on(&mut self, c: &mut Context<'_>, mut solver: Box<LabelHolder>, more: bool) -> Result<Ask, StepError> {
        if more {
            return self.ask(c, solver);
        }
        if c.options.reviews() {
            // Own columns need no pass: they are left out even if none is left for a review.
            let above = selection::CONTRADICTION;
            let own = solver.review(above).map_err(|e| c.own(e))?;
            self.narrow(c, &mut solver, own, above)?;
        }
        let combination = Some(solver.combination());
        self.remember(solver);
        self.phase = Phase::Scores;
        Ok(Ask::end(combination))
    }

    /// The label holder's part of the model, with the intercept.
    fn block(&self, c: &Context<'_>, solver: &LabelHolder) -> Result<Block, StepError> {
        let (intercept, coefficients) = (solver.intercept(), solver.coefficients());
        self.block_of(c, intercept, coefficients)
    }

    fn block_of(&self, c: &Context<'_>, intercept: f64, coefficients: &[f64]) -> Result<Block, StepError> {
        let encoder = self.encoder.as_ref().ok_or_else(|| c.own("no encoding yet: a step was left out"))?;
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        let train = rows::positions(&self.train, true);
        Block::new(encoder, coefficients, intercept, &features, &train).map_err(|e| c.own(e))
    }

    fn own_scores(&self, c: &Context<'_>, block: &Block) -> Result<Vec<i64>, StepError> {
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        let all: Vec<usize> = (0..self.rows.len()).collect();
        block.partials(&features, &all).map_err(|e| c.own(e))
    }

    /// Own scores and the sum of the others', which `letters` hold.
    fn total(&self, c: &Context<'_>, own: &[i64], letters: &[PartialScores]) -> Result<Vec<i64>, StepError> {
        let masked: Vec<&[u8]> = letters.iter().map(|l| l.scores.as_slice()).collect();
        let sums = pairwise::open(&masked, self.rows.len()).map_err(|e| c.together(e))?;
        Ok(own.iter().zip(&sums).map(|(a, b)| a.wrapping_add(*b)).collect())
    }

    fn partial_letters(&self, c: &Context<'_>) -> Result<Vec<PartialScores>, StepError> {
        let letter = |p| -> Result<PartialScores, StepError> {
            let letter: PartialScores = c.letter(p, "scores")?;
            if letter.mean.unsigned_abs() > SCORE_LIMIT.unsigned_abs() {
                return Err(c.peer(p, "its mean score is impossible"));
            }
            let known = self.columns.get(&p).copied();
            if letter.columns as usize > c.declared_columns(p) || known.is_some_and(|k| k != letter.columns as usize) {
                return Err(c.peer(p, "it uses other columns than it has said, or more than the job has"));
            }
            if letter.contradicting > letter.columns {
                return Err(c.peer(p, "more columns contradict than it uses"));
            }
            Ok(letter)
        };
        c.feature_holders().into_iter().map(letter).collect()
    }

    fn quality(&self, c: &Context<'_>, scores: &[i64]) -> Result<Comparison, StepError> {
        let bad = rows::labels(c.firms, &self.rows);
        let of = |train: bool| {
            let rows = rows::positions(&self.train, train);
            let bad: Vec<bool> = rows.iter().map(|r| bad[*r]).collect();
            let odds: Vec<f64> = rows.iter().map(|r| log_odds(scores[*r])).collect();
            // Rankings take scores that are high for good firms.
            let good: Vec<f64> = odds.iter().map(|z| -z).collect();
            let pd: Vec<f64> = odds.iter().map(|z| sigmoid(*z)).collect();
            let ranking = Ranking::of_rows(&good, &bad).ok()?;
            let bads = bad.iter().filter(|b| **b).count() as u64;
            let brier = brier(&pd, &bad).ok()?;
            Some(Quality { rows: rows.len() as u64, bad: bads, auc: ranking.auc, ks: ranking.ks, brier })
        };
        let train = of(true).ok_or_else(|| c.own("the training firms cannot be evaluated"))?;
        Ok(Comparison { train, test: of(false) })
    }

    /// How the test firms score.
    fn evaluation(&self, c: &Context<'_>, scores: &[i64]) -> Option<Evaluation> {
        let bad = rows::labels(c.firms, &self.rows);
        let test = rows::positions(&self.train, false);
        let (scores, bad): (Vec<i64>, Vec<bool>) = test.into_iter().map(|r| (scores[r], bad[r])).unzip();
        Evaluation::of(&scores, &bad, c)
    }

    fn finish(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let letters = self.partial_letters(c)?;
        let solver = self.solver(c)?;
        let block = match self.batch {
            None => self.block(c, &solver)?,
            Some(_) => {
                let (intercept, coefficients) = self.batches(c, *solver)?.finish();
                self.block_of(c, intercept, &coefficients)?
            }
        };
        let scores = self.total(c, &self.own_scores(c, &block)?, &letters)?;
        let joint = self.quality(c, &scores)?;
        let holders = c.feature_holders();
        let mut columns: BTreeMap<PartyId, u32> =
            holders.iter().zip(&letters).map(|(p, l)| (c.name(*p).clone(), l.columns)).collect();
        columns.insert(c.name(c.me()).clone(), block.columns.len() as u32);
        let means: BTreeMap<PartyId, i64> =
            holders.iter().zip(&letters).map(|(p, l)| (c.name(*p).clone(), l.mean)).collect();
        let own = block.columns.iter().map(|t| t.coefficient as f64 * 2f64.powi(-(COEFFICIENT_BITS as i32)));
        let own = selection::contradicting(&own.collect::<Vec<_>>()) as u32;
        let contradicting = own + letters.iter().map(|l| l.contradicting).sum::<u32>();
        let alone = self.alone.clone().ok_or_else(|| c.own("the own model is missing: a step was left out"))?;
        let result = JointResult {
            label_holder: c.name(c.me()).clone(),
            columns,
            common: self.rows.len() as u64,
            passes: self.passes.clone(),
            steps: self.steps,
            reviews: self.reviews.clone(),
            contradicting: c.options.reviews().then_some(contradicting),
            alone,
            joint,
        };
        let mut kept = model::part(c, &block);
        if let Some(evaluation) = self.evaluation(c, &scores) {
            kept.insert(EVALUATION_FILE.to_owned(), pretty(&evaluation));
        }
        kept.insert(MEANS_FILE.to_owned(), pretty(&means));
        kept.insert("evaluation-scores.csv".to_owned(), self.score_lines(c, &scores, &[]));
        Ok(Turn::Last(done(serde_json::to_string(&result).expect("plain data")), kept))
    }

    /// Scores of firms from a model that was learned before.
    fn score(self, c: &mut Context<'_>, model: Option<&Kept>) -> Result<Turn<Self>, StepError> {
        let letters = self.partial_letters(c)?;
        let own = self.own_scores(c, &kept_block(c, model)?)?;
        let mut scores = self.total(c, &own, &letters)?;
        let means = model.and_then(|kept| kept.get(MEANS_FILE));
        let means: BTreeMap<PartyId, i64> = means
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .ok_or_else(|| c.own("the model that is asked for is not kept here, or is damaged"))?;
        let without: Vec<PartyId> = means.keys().filter(|p| !c.place.parties.contains(p)).cloned().collect();
        let stand_in: i64 = without.iter().map(|p| means[p]).sum();
        scores.iter_mut().for_each(|s| *s = s.wrapping_add(stand_in));
        if let Some(stranger) = c.feature_holders().into_iter().find(|p| !means.contains_key(c.name(*p))) {
            return Err(c.peer(stranger, "it has no part in the model that is asked for"));
        }
        let result =
            ScoredResult { asked: c.firms.keys.len() as u64, scored: self.rows.len() as u64, without: without.clone() };
        let mut kept = Kept::new();
        kept.insert("scores.csv".to_owned(), self.score_lines(c, &scores, &without));
        Ok(Turn::Last(done(serde_json::to_string(&result).expect("plain data")), kept))
    }

    /// One line per common firm, in the order of the label holder's own rows.
    fn score_lines(&self, c: &Context<'_>, scores: &[i64], without: &[PartyId]) -> Vec<u8> {
        let without = without.iter().map(PartyId::as_str).collect::<Vec<_>>().join(" ");
        let mut lines: Vec<(u32, i64)> = self.rows.iter().copied().zip(scores.iter().copied()).collect();
        lines.sort_unstable();
        let mut text = "key,log_odds_units,probability_of_default,score,tier,warning,without\n".to_owned();
        for (row, score) in lines {
            let pd = sigmoid(log_odds(score));
            let key = csv_field(&c.firms.keys[row as usize]);
            let (score_0_100, tier, warning) = (score_0_100(pd), Tier::of(pd), Warning::of(pd));
            text.push_str(&format!("{key},{score},{pd:.6},{score_0_100:.1},{tier:?},{warning:?},{without}\n"));
        }
        text.into_bytes()
    }
}

fn done(result_json: String) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.announcement.phase = "done".to_owned();
    outbox.announcement.done = true;
    outbox.announcement.result_json = Some(result_json);
    outbox
}

/// Quotes a field if it must be, and never lets a spreadsheet take it for a formula.
fn csv_field(text: &str) -> String {
    let text = spreadsheet_text(text);
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into_owned() }
}

/// More bins than this a holder's columns cannot have.
fn most_bins(c: &Context<'_>, party: usize) -> usize {
    let columns = c.options.holder(c.name(party)).map_or(&[][..], |h| &h.columns);
    let bins = |column: &ColumnSpec| match &column.kind {
        ColumnKind::Numeric => c.options.woe.fine_bins + 2,
        ColumnKind::Categorical { levels } => levels.len() + 2,
    };
    columns.iter().map(bins).sum()
}

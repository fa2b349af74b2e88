//! The feature holder's side, after the firms are aligned.

use haihe_models::vertical::{
    COEFFICIENT_BITS, Direction, DropReason, Encoder, FeatureHolder, Features, VALUE_LIMIT, VerticalError,
    feature_holder::FeatureState,
    gradient_from_products,
    minibatch::{BatchFeatures, BatchState},
    score::Block,
    selection::{self, Review},
    woe,
};
use haihe_privacy::{
    digest::Digest,
    linear::{EncodedMatrix, EncryptedVector, LinearParameters, Masking, PublicKey, Tiling, centre, multiply, unmask},
    pairwise::Masks,
};
use serde::{Deserialize, Serialize};

use super::{
    Kept, StepError, Turn,
    align::{Aligning, Rows},
    context::{Context, threads},
    letters::{self, Ask, Binned, Counts, Encrypted, Masked, Opened, Opening, PartialScores, Products, Reviewed},
    model::{self, BLOCK_FILE, ModelFile},
    rows,
};
use crate::vertical::{Encoding, Optimiser, Outbox};

/// Memory for transformed columns; beyond it they are transformed anew in every pass.
const MATRIX_MEMORY: usize = 1 << 30;
/// Most entries of the matrix that says which firm is in which bin.
const MAX_INDICATORS: usize = 1 << 30;
/// Most bits after the point of a residual.
pub(super) const RESIDUAL_BITS: u32 = 24;
/// Scalars are multiples of `2^-SCALAR_BITS` when they are masked.
pub(super) const SCALAR_BITS: u32 = 64;

/// What a feature holder remembers between two exchanges.
#[derive(Serialize, Deserialize)]
pub(super) struct Feature {
    rows: Rows,
    pairs: Vec<(usize, [u8; 32])>,
    /// Once the label holder has said so: the training rows.
    train: Vec<bool>,
    public_key: Vec<u8>,
    #[serde(with = "super::as_json")]
    encoder: Option<Encoder>,
    state: Option<FeatureState>,
    /// Where it stands if it goes batch by batch.
    batch: Option<BatchState>,
    /// Coefficients by column to start from.
    start: Vec<(String, f64)>,
    /// Passes so far.
    pass: usize,
    /// The pass after which it looked at its coefficients last.
    reviewed_at: usize,
    /// Most directions that it sends; see [`Context::most_passes`].
    most: Option<usize>,
    /// The next exchange is the label holder's.
    waits: bool,
    phase: Phase,
    /// What follows from the rows and from what stands above, so that it need not be made again in every exchange. Not in
    /// the vault: after a restart it is made anew, to the same bits.
    #[serde(skip)]
    ready: Option<Box<Ready>>,
}

/// The training rows, ready for passes.
struct Ready {
    holder: FeatureHolder,
    /// The matrix in the form that is multiplied, as it was asked for in the last pass.
    matrix: Option<EncodedMatrix>,
}

#[derive(Serialize, Deserialize)]
enum Phase {
    Opening,
    Binned,
    Asked,
    Reviewed(Proposal),
    /// Products are being decrypted.
    Opened {
        masks: Vec<u64>,
        bits: u32,
        /// No value of the vector is larger.
        largest: u64,
    },
    /// Everything was said; what was learned, if this was a learning job.
    Over {
        #[serde(with = "super::as_json")]
        block: Option<Block>,
    },
}

/// Where a review leads, if any feature holder left out a column.
#[derive(Serialize, Deserialize)]
struct Proposal {
    review: Review,
    /// With the first direction sent; absent where none was.
    state: Option<FeatureState>,
}

/// The part of the matrix in its two forms.
struct Part {
    features: Features,
    train: Vec<usize>,
}

impl Feature {
    /// The firms are aligned: a learning begins, or the firms are scored at once.
    pub fn begin(
        c: &mut Context<'_>,
        rows: Rows,
        pairs: Vec<(usize, [u8; 32])>,
        model: Option<&Kept>,
    ) -> Result<Turn<Self>, StepError> {
        let feature = Self {
            rows,
            pairs,
            train: Vec::new(),
            public_key: Vec::new(),
            encoder: None,
            state: None,
            batch: None,
            start: Vec::new(),
            pass: 0,
            reviewed_at: 0,
            most: None,
            waits: false,
            phase: Phase::Opening,
            ready: None,
        };
        let mut outbox = Outbox::default();
        if c.spec.scoring.is_some() {
            let block = kept_block(c, model)?;
            ModelFile::check(c, model)?;
            outbox = feature.partial_scores(c, &block, 0)?;
            return Ok(Turn::More(Self { phase: Phase::Over { block: None }, ..feature }, outbox));
        }
        outbox.announcement.phase = "aligned".to_owned();
        let mut feature = feature;
        if c.options.fit.warm_start.is_some() {
            let unit = 2f64.powi(-(COEFFICIENT_BITS as i32));
            let terms = kept_block(c, model)?.columns.into_iter();
            feature.start = terms.map(|t| (t.encoder.column().to_owned(), t.coefficient as f64 * unit)).collect();
        }
        Ok(Turn::More(feature, outbox))
    }

    /// Label holder and feature holders take turns.
    pub fn step(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        if std::mem::replace(&mut self.waits, !matches!(self.phase, Phase::Over { .. })) {
            let outbox = c.waiting();
            return Ok(Turn::More(Self { waits: false, ..self }, outbox));
        }
        match std::mem::replace(&mut self.phase, Phase::Asked) {
            Phase::Opening => self.opening(c),
            Phase::Binned => self.binned(c),
            Phase::Asked => {
                let ask = c.letter(c.label_holder, "question")?;
                self.answer(c, ask)
            }
            Phase::Reviewed(proposal) => {
                let ask: Ask = c.letter(c.label_holder, "question")?;
                self.reviewed(c, proposal, ask.refit)?.answer(c, ask)
            }
            Phase::Opened { masks, bits, largest } => self.direct(c, &masks, bits, largest),
            Phase::Over { block } => {
                let mut outbox = Outbox::default();
                outbox.announcement.phase = "done".to_owned();
                outbox.announcement.done = true;
                let kept = block.map_or_else(Kept::new, |block| model::part(c, &block));
                Ok(Turn::Last(outbox, kept))
            }
        }
    }

    /// Own rows of the common firms, in the common order.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn part(&self, c: &Context<'_>) -> Result<Part, StepError> {
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        Ok(Part { features, train: rows::positions(&self.train, true) })
    }

    fn opening(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        let opening: Opening = c.letter(a, "opening")?;
        if opening.common as usize != self.rows.len() {
            // The list of this holder's firms came from the label holder through the hands of others.
            return Err(c.others("the label holder has another number of common firms than this participant"));
        }
        self.train = rows::unpack(&opening.train, self.rows.len())
            .ok_or_else(|| c.peer(a, "its list of training firms has another length"))?;
        PublicKey::from_bytes(&opening.public_key).map_err(|e| c.peer(a, e))?;
        self.public_key = opening.public_key;
        let part = self.part(c)?;
        match (c.options.encoding, opening.labels, opening.ask) {
            (Encoding::Woe, Some(labels), None) => {
                let fine = fine(c, &part)?;
                let bins: usize = fine.iter().map(|f| f.len()).sum();
                if bins.saturating_mul(part.train.len()) > MAX_INDICATORS {
                    return Err(c.own("too many bins for so many firms: lower woe.fine_bins, or name fewer columns"));
                }
                let indicators: Vec<Vec<i32>> =
                    fine.iter().flat_map(|f| (0..f.len()).map(|bin| f.indicator(bin))).collect();
                let context = c.purpose_at("labels", c.exchange - 1);
                let parameters = self.parameters(c, part.train.len(), 1, &labels)?;
                // Multiplied once: nothing is gained by keeping transforms.
                let matrix = EncodedMatrix::new(&parameters, &indicators, 0).map_err(|e| c.own(e))?;
                let (response, _) = self.multiplied(c, &matrix, &labels, &context, Masking::None)?;
                let letter = Counts { columns: fine.iter().map(|f| (f.rows(), f.standalone())).collect(), response };
                let mut outbox = Outbox::default();
                outbox.announcement.phase = "counts per bin".to_owned();
                outbox.letters = letters::write(vec![a], &letter);
                Ok(Turn::More(Self { phase: Phase::Binned, ..self }, outbox))
            }
            (Encoding::Standardise, None, Some(ask)) => {
                self.encoder = Some(Encoder::standardise(&part.features, &part.train).map_err(|e| c.own(e))?);
                self.answer(c, ask)
            }
            _ => Err(c.peer(a, "its opening does not fit the job's encoding")),
        }
    }

    fn binned(mut self, c: &mut Context<'_>) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        let binned: Binned = c.letter(a, "bins")?;
        let part = self.part(c)?;
        let encoder = woe::final_columns(&fine(c, &part)?, &binned.merged, &c.options.woe);
        let encoder = encoder.map_err(|e| c.peer(a, e))?;
        let x = encoder.encode(&part.features, &part.train).map_err(|e| c.own(e))?;
        let most = c.options.selection.most_correlation();
        self.encoder = Some(selection::by_correlation(encoder, &x, most).map_err(|e| c.own(e))?);
        self.answer(c, binned.ask)
    }

    fn encoder(&self, c: &Context<'_>) -> Result<&Encoder, StepError> {
        self.encoder.as_ref().ok_or_else(|| c.own("no encoding yet: a step was left out"))
    }

    /// The training rows, made once and after a restart. Put it back into `ready` after use.
    fn take_ready(&mut self, c: &Context<'_>) -> Result<Box<Ready>, StepError> {
        if let Some(ready) = self.ready.take() {
            return Ok(ready);
        }
        let part = self.part(c)?;
        let encoder = self.encoder(c)?;
        let reviewed = encoder.dropped.iter().any(|d| matches!(d.reason, DropReason::WrongSign { .. }));
        if encoder.columns.is_empty() && !reviewed {
            let (columns, rows) = (encoder.dropped.len(), part.train.len());
            return Err(c.own(VerticalError::NoColumns { columns, rows }));
        }
        let x = encoder.encode(&part.features, &part.train).map_err(|e| c.own(e))?;
        if self.state.is_none() {
            self.most = c.most_passes(x.len());
        }
        let holder = FeatureHolder::of_what_is_left(x, c.options.regression.ridge).map_err(|e| c.own(e))?;
        let mut holder = holder.with_most_directions(self.most.unwrap_or(usize::MAX));
        if let Some(state) = &self.state {
            holder = holder.resume(state.clone()).map_err(|e| c.own(e))?;
        }
        Ok(Box::new(Ready { holder, matrix: None }))
    }

    /// Answers the label holder's question: products, a first direction, or scores.
    fn answer(mut self, c: &mut Context<'_>, ask: Ask) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        let batched = c.options.fit.optimiser == Optimiser::Minibatch;
        if ask.combination.is_none() && !(batched && self.pass > 0) {
            return Err(c.peer(a, "it does not say how far to go along the last direction"));
        }
        let mut ready = self.take_ready(c)?;
        if let Some(combination) = &ask.combination {
            ready.holder.apply(combination).map_err(|e| c.peer(a, e))?;
            self.state = Some(ready.holder.state().clone());
        }
        if let Some(above) = ask.review {
            return self.review(c, ready, above);
        }
        if ask.fitted {
            let part = self.part(c)?;
            let coefficients = match self.batch {
                Some(_) => {
                    let batch = self.batches(c, ready.holder)?;
                    let coefficients = batch.finish();
                    ready.holder = batch.into_holder();
                    coefficients
                }
                None => ready.holder.coefficients().to_vec(),
            };
            let block = Block::new(self.encoder(c)?, &coefficients, 0.0, &part.features, &part.train);
            let block = block.map_err(|e| c.own(e))?;
            let found = if c.options.reviews() { selection::contradicting(&coefficients) } else { 0 };
            let outbox = self.partial_scores(c, &block, found)?;
            let phase = Phase::Over { block: Some(block) };
            return Ok(Turn::More(Self { phase, waits: false, ..self }, outbox));
        }
        match ask.residuals {
            Some(residuals) => self.products(c, ready, &residuals),
            None if c.options.fit.warm_start.is_some() && self.pass == 0 => self.first_direction(c, ready),
            None => Err(c.peer(a, "it asks for nothing")),
        }
    }

    /// Looks at its coefficients: says how many columns contradict, and offers to go on without them.
    fn review(mut self, c: &mut Context<'_>, ready: Box<Ready>, above: f64) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        if !c.options.reviews() {
            return Err(c.peer(a, "it asks for a review, which this job has none of"));
        }
        if ![selection::CONTRADICTION, selection::CLEAR_CONTRADICTION].contains(&above) {
            return Err(c.peer(a, "it asks for a review by another measure than there is"));
        }
        // Reviews of combinations that follow no direction would tell more than the fit does.
        if std::mem::replace(&mut self.reviewed_at, self.pass) == self.pass {
            return Err(c.peer(a, "it asks for a review where nothing was learned since the last one"));
        }
        let review = ready.holder.review(above).map_err(|e| c.peer(a, e))?;
        let (mut state, mut direction) = (None, None);
        // What a sole holder that drops nothing would send is a combination of what it has sent.
        if !review.dropped.is_empty() || c.feature_holders().len() > 1 {
            let (next, first) = ready.holder.refit(&review).map_err(|e| refused(c, e))?;
            state = Some(next.state().clone());
            direction = Some(self.masked(c, &first)?);
        }
        let mut outbox = Outbox::default();
        outbox.announcement.phase = format!("train: pass {}, review", self.pass);
        outbox.shows_scores = direction.is_some();
        let letter = Reviewed { dropped: review.dropped.len() as u32, direction };
        outbox.letters = letters::write(vec![a], &letter);
        let phase = Phase::Reviewed(Proposal { review, state });
        Ok(Turn::More(Self { phase, ready: Some(ready), ..self }, outbox))
    }

    /// The label holder knows what all have found: everybody goes on with the columns that are left, or as before.
    fn reviewed(mut self, c: &Context<'_>, proposal: Proposal, refit: bool) -> Result<Self, StepError> {
        let Proposal { review, state } = proposal;
        match state.filter(|_| refit) {
            Some(state) => {
                self.encoder = Some(self.encoder(c)?.reviewed(&review));
                self.most = c.most_passes_after(self.most, self.pass, review.kept.len());
                (self.state, self.ready) = (Some(state), None);
                self.pass += 1;
                Ok(self)
            }
            None if refit || !review.dropped.is_empty() => {
                Err(c.peer(c.label_holder, "it does not go on from what the review has found"))
            }
            None => Ok(self),
        }
    }

    /// A warm start: the earlier coefficients are the first direction.
    fn first_direction(mut self, c: &mut Context<'_>, mut ready: Box<Ready>) -> Result<Turn<Self>, StepError> {
        let earlier = |column: &String| self.start.iter().find(|(name, _)| name == column).map_or(0.0, |(_, w)| *w);
        let start: Vec<f64> = self.encoder(c)?.names().iter().map(earlier).collect();
        if c.most_passes(start.len()) == Some(1) {
            return Err(c.job(format!(
                "{}: a sole feature holder with {} columns sends one direction, which the earlier model would use up; leave out \
                 vertical.fit.warm_start, or name three columns or more",
                c.name(c.me()),
                start.len()
            )));
        }
        let direction = ready.holder.start(start).map_err(|e| c.own(e))?;
        self.state = Some(ready.holder.state().clone());
        self.offer(c, ready, &direction)
    }

    /// Sends products with the columns, of all training firms or of a batch.
    fn products(
        mut self,
        c: &mut Context<'_>,
        mut ready: Box<Ready>,
        residuals: &Encrypted,
    ) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        if residuals.bits > RESIDUAL_BITS {
            return Err(c.peer(a, format!("its residuals have {} bits after the point", residuals.bits)));
        }
        let mut outbox = Outbox::default();
        outbox.announcement.phase = format!("train: pass {}, products", self.pass + 1);
        if ready.holder.x().is_empty() {
            // No column has stood a review: nothing is multiplied, and the others go on.
            outbox.letters = letters::write(vec![a], &Products { columns: 0, response: Vec::new() });
            let phase = Phase::Opened { masks: Vec::new(), bits: residuals.bits, largest: residuals.largest };
            return Ok(Turn::More(Self { phase, ready: Some(ready), ..self }, outbox));
        }
        let rows = match c.options.fit.optimiser {
            Optimiser::FullBatch => None,
            Optimiser::Minibatch => {
                let batch = self.batches(c, ready.holder)?;
                self.batch = Some(batch.state().clone());
                let rows = batch.rows();
                ready.holder = batch.into_holder();
                Some(rows)
            }
        };
        let train = self.train.iter().filter(|t| **t).count();
        let parameters = self.parameters(c, rows.as_ref().map_or(train, Vec::len), VALUE_LIMIT as u32, residuals)?;
        let known = |matrix: &EncodedMatrix| rows.is_none() && *matrix.parameters() == parameters;
        let matrix = match ready.matrix.take().filter(known) {
            Some(matrix) => matrix,
            None => {
                let x = ready.holder.x();
                let column = |i| match &rows {
                    None => x.column(i).to_vec(),
                    Some(rows) => rows.iter().map(|r| x.column(i)[*r]).collect(),
                };
                let columns: Vec<Vec<i32>> = (0..x.len()).map(column).collect();
                EncodedMatrix::new(&parameters, &columns, MATRIX_MEMORY).map_err(|e| c.own(e))?
            }
        };
        let context = c.purpose_at("residuals", c.exchange - 1);
        let (response, masks) = self.multiplied(c, &matrix, residuals, &context, Masking::Uniform)?;
        let letter = Products { columns: matrix.columns() as u32, response };
        outbox.letters = letters::write(vec![a], &letter);
        ready.matrix = Some(matrix);
        let phase = Phase::Opened { masks, bits: residuals.bits, largest: residuals.largest };
        Ok(Turn::More(Self { phase, ready: Some(ready), ..self }, outbox))
    }

    /// The holder, going batch by batch from where it stands.
    fn batches(&self, c: &Context<'_>, holder: FeatureHolder) -> Result<BatchFeatures, StepError> {
        let epochs = c.options.fit.minibatch.epochs;
        if c.most_passes(holder.x().len()).is_some_and(|most| epochs > most) {
            return Err(c.job(format!(
                "{}: a sole feature holder sends the scores of a firm less often than it has columns; vertical.fit.minibatch epochs = \
                 {epochs} is too many for {} columns",
                c.name(c.me()),
                holder.x().len()
            )));
        }
        let batch = BatchFeatures::new(holder, c.options.fit.minibatch.clone()).map_err(|e| c.own(e))?;
        match &self.batch {
            None => Ok(batch),
            Some(state) => batch.resume(state.clone()).map_err(|e| c.own(e)),
        }
    }

    /// Unmasks its gradient and sends the scores of the next direction.
    fn direct(mut self, c: &mut Context<'_>, masks: &[u64], bits: u32, largest: u64) -> Result<Turn<Self>, StepError> {
        let a = c.label_holder;
        let opened: Opened = c.letter(a, "decrypted products")?;
        if opened.values.len() != masks.len() {
            return Err(c.peer(a, "it decrypted another number of products than it was sent"));
        }
        let products: Vec<i64> =
            opened.values.iter().zip(masks).map(|(value, mask)| centre(unmask(*value, *mask))).collect();
        let mut ready = self.take_ready(c)?;
        let x = ready.holder.x();
        let possible = |(column, product): (usize, &i64)| {
            let sum: u128 = x.column(column).iter().map(|v| u128::from(v.unsigned_abs())).sum();
            u128::from(product.unsigned_abs()) <= sum * u128::from(largest)
        };
        if !products.iter().enumerate().all(possible) {
            return Err(c.peer(a, "it decrypted a product that no residuals give"));
        }
        let gradient = gradient_from_products(&products, bits);
        if c.options.fit.optimiser == Optimiser::Minibatch {
            let mut batch = self.batches(c, ready.holder)?;
            batch.step(&gradient).map_err(|e| c.own(e))?;
            let scores = batch.scores().map_err(|e| c.own(e))?;
            self.batch = Some(batch.state().clone());
            ready.holder = batch.into_holder();
            return self.offer(c, ready, &Direction { scores, scalars: Vec::new() });
        }
        let direction = ready.holder.direct(&gradient).map_err(|e| refused(c, e))?;
        self.state = Some(ready.holder.state().clone());
        self.offer(c, ready, &direction)
    }

    fn offer(mut self, c: &Context<'_>, ready: Box<Ready>, direction: &Direction) -> Result<Turn<Self>, StepError> {
        self.pass += 1;
        let mut outbox = Outbox::default();
        outbox.announcement.phase = format!("train: pass {}, direction", self.pass);
        outbox.letters = letters::write(vec![c.label_holder], &self.masked(c, direction)?);
        outbox.shows_scores = true;
        Ok(Turn::More(Self { phase: Phase::Asked, ready: Some(ready), ..self }, outbox))
    }

    fn masked(&self, c: &Context<'_>, direction: &Direction) -> Result<Masked, StepError> {
        let pairs = Aligning::pair_seeds(&self.pairs);
        let masks = Masks::new(c.me(), &pairs);
        let scores = masks.mask(&c.purpose("scores"), &direction.scores).map_err(|e| c.own(e))?;
        let wide = |x: &f64| {
            let scaled = x * 2f64.powi(SCALAR_BITS as i32);
            if scaled.abs() < 2f64.powi(118) {
                Ok(scaled as i128)
            } else {
                Err(c.own("a product of directions is too large: raise vertical.regression.ridge"))
            }
        };
        let scalars: Vec<i128> = direction.scalars.iter().map(wide).collect::<Result<_, _>>()?;
        Ok(Masked { scores, scalars: masks.mask_wide(&c.purpose("scalars"), &scalars) })
    }

    /// The block's scores of all common firms, for the label holder.
    fn partial_scores(&self, c: &Context<'_>, block: &Block, contradicting: usize) -> Result<Outbox, StepError> {
        let features = rows::features(c.firms, &self.rows).map_err(|e| c.own(e))?;
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let scores = block.partials(&features, &all).map_err(|e| c.own(e))?;
        let pairs = Aligning::pair_seeds(&self.pairs);
        let masked = Masks::new(c.me(), &pairs).mask(&c.purpose("partial scores"), &scores).map_err(|e| c.own(e))?;
        let (columns, contradicting) = (block.columns.len() as u32, contradicting as u32);
        let letter = PartialScores { scores: masked, mean: block.mean_partial, columns, contradicting };
        let mut outbox = Outbox::default();
        outbox.announcement.phase = "scores of the common firms".to_owned();
        outbox.letters = letters::write(vec![c.label_holder], &letter);
        outbox.shows_scores = true;
        Ok(outbox)
    }

    /// What a matrix must be encoded for to be multiplied by this vector.
    fn parameters(
        &self,
        c: &Context<'_>,
        rows: usize,
        largest_entry: u32,
        vector: &Encrypted,
    ) -> Result<LinearParameters, StepError> {
        Tiling::new(rows, vector.block as usize)
            .and_then(|tiling| LinearParameters::new(tiling, largest_entry, vector.largest))
            .map_err(|e| c.peer(c.label_holder, e))
    }

    /// Products of own columns with a vector of the label holder's.
    fn multiplied(
        &self,
        c: &Context<'_>,
        matrix: &EncodedMatrix,
        vector: &Encrypted,
        context: &Digest,
        masking: Masking,
    ) -> Result<(Vec<u8>, Vec<u64>), StepError> {
        let a = c.label_holder;
        let encrypted = EncryptedVector::from_bytes(matrix.parameters(), context, &vector.bytes);
        let encrypted = encrypted.map_err(|e| c.peer(a, e))?;
        let key = PublicKey::from_bytes(&self.public_key).map_err(|e| c.peer(a, e))?;
        let seed = c.secret_now("products");
        let (response, masks) = multiply(matrix, &encrypted, &key, &seed, masking, threads()).map_err(|e| c.own(e))?;
        Ok((response.to_bytes(), masks))
    }
}

/// More directions than it allows are the label holder's fault.
fn refused(c: &Context<'_>, error: VerticalError) -> StepError {
    match error {
        VerticalError::Budget { .. } => c.peer(c.label_holder, error),
        _ => c.own(error),
    }
}

fn fine(c: &Context<'_>, part: &Part) -> Result<Vec<woe::FineBins>, StepError> {
    woe::fine_columns(&part.features, &part.train, &c.options.woe).map_err(|e| c.own(e))
}

/// The block that was kept of the model that a scoring names.
pub(super) fn kept_block(c: &Context<'_>, model: Option<&Kept>) -> Result<Block, StepError> {
    let bytes = model.and_then(|kept| kept.get(BLOCK_FILE));
    let block = bytes.and_then(|bytes| serde_json::from_slice::<Block>(bytes).ok()).filter(|b| b.check().is_ok());
    block.ok_or_else(|| c.own("the model that is asked for is not kept here, or is damaged"))
}

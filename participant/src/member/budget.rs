//! What a participant spends of its firms' privacy: the ledger over all jobs, and vectors with noise.

use std::sync::{Mutex, PoisonError};

use haihe_privacy::{
    digest::Transcript,
    dp::{Budget, BudgetReserved, Ledger, LedgerError, Mechanism, NoiseError, NoisedQuantiser, Spend},
};

use super::*;

/// Records of the vault that belong to no job.
pub(super) const NO_JOB: JobId = JobId(Digest::from_bytes([0; 32]));
const LEDGER: &str = "privacy-ledger.json";
pub(super) const NOISED: &str = "round.noised";

/// One ledger for all jobs of this process; the state folder is locked for one process.
static LEDGER_LOCK: Mutex<()> = Mutex::new(());

/// Why privacy is not spent.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The policy allows nothing.
    #[error(
        "the job spends a privacy budget, and this participant's policy has none; add [privacy] epsilon and delta to it"
    )]
    NoBudget,
    /// The ledger refuses.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The job's numbers do not go together.
    #[error("the job's noise cannot be set up: {0}")]
    Noise(String),
    /// The ledger cannot be read or written: ours to repair.
    #[error("the privacy ledger cannot be used: {0}; restore it before anything more is spent")]
    Vault(#[from] io::Error),
}

/// What was spent of the firms' privacy over all jobs.
pub fn ledger(vault: &dyn Vault) -> io::Result<Ledger> {
    match vault.get(&NO_JOB, LEDGER)? {
        None => Ok(Ledger::default()),
        // A ledger that cannot be read is never taken for an empty one.
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| io::Error::other(format!("{LEDGER}: {e}"))),
    }
}

/// Checks that all sums of a job fit into what is left, before any data are touched. `None` if the job adds no noise.
pub fn affordable(vault: &dyn Vault, budget: Option<&Budget>, job: &JobSpec) -> Result<Option<f64>, BudgetError> {
    let (Some(privacy), Some(scorecard)) = (&job.privacy, &job.scorecard) else { return Ok(None) };
    let budget = budget.ok_or(BudgetError::NoBudget)?;
    let releases = privacy.releases(&scorecard.noise).map_err(|e| BudgetError::Noise(e.to_string()))?;
    let spends: Vec<Spend> = releases
        .into_iter()
        .enumerate()
        .map(|(at, mechanism)| Spend { id: format!("sum {} of {:?}", at + 1, job.job.name), mechanism, count: 1 })
        .collect();
    Ok(Some(ledger(vault)?.would_fit(budget, &spends)?.upper))
}

/// Names a question: the same task after the same history.
fn question(spec: &RoundSpec) -> Digest {
    Transcript::new("haihe/v1/question").digest(&spec.previous).str(&spec.task_json).finish()
}

impl Member {
    /// The ledger of this participant.
    pub fn ledger(&self) -> io::Result<Ledger> {
        ledger(&*self.vault)
    }

    fn reserve(&mut self, job: &JobId, question: &Digest, mechanism: Mechanism) -> Result<BudgetReserved, MemberError> {
        let budget = self.identity.budget.ok_or(BudgetError::NoBudget)?;
        let _one_at_a_time = LEDGER_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.ledger().map_err(BudgetError::from)?;
        let spend = Spend { id: format!("{job}/{question}"), mechanism, count: 1 };
        let reserved = ledger.reserve(&budget, spend).map_err(BudgetError::from)?;
        self.vault.put(&NO_JOB, LEDGER, &encode(&ledger)).map_err(BudgetError::from)?;
        Ok(reserved)
    }

    /// The integers with noise that answer a round. A question that was answered before, in a round that was lost, is
    /// answered with the very same integers: that shows nothing new and costs nothing.
    pub(super) fn noised(
        &mut self,
        now: Timestamp,
        job: &JobId,
        spec: &RoundSpec,
        quantiser: &NoisedQuantiser,
        seed: &[u8; 32],
        values: impl FnOnce() -> Result<Vec<f64>, PlanError>,
    ) -> Result<Vec<u32>, MemberError> {
        let question = question(spec);
        if let Some(stored) = self.vault.get(job, NOISED)?
            && let Some((asked, slots)) = stored.split_first_chunk::<32>()
            && asked == question.as_bytes()
        {
            let (slots, _) = slots.as_chunks::<4>();
            return Ok(slots.iter().map(|slot| u32::from_le_bytes(*slot)).collect());
        }
        let mechanism = quantiser.mechanism();
        let reserved = self.reserve(job, &question, mechanism)?;
        let (Mechanism::Gaussian { multiplier } | Mechanism::SampledGaussian { multiplier, .. }) = mechanism;
        self.note(now, job, &Note::Spent { round: spec.round, multiplier, epsilon: reserved.spent().upper })?;
        let slots = contribution::noised(quantiser, &reserved, seed, || values().map_err(VectorError::Task))?;
        let mut record = question.as_bytes().to_vec();
        record.extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
        self.vault.put(job, NOISED, &record)?;
        Ok(slots)
    }
}

/// Why there is no vector with noise.
enum VectorError {
    Task(PlanError),
    Noise(NoiseError),
}

impl From<NoiseError> for VectorError {
    fn from(error: NoiseError) -> Self {
        VectorError::Noise(error)
    }
}

impl From<VectorError> for MemberError {
    fn from(error: VectorError) -> Self {
        match error {
            VectorError::Task(error) => error.into(),
            VectorError::Noise(error) => BudgetError::Noise(error.to_string()).into(),
        }
    }
}

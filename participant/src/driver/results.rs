//! What a participant keeps of a finished job: the shared result, and what follows from it for the own firms.

use haihe_models::{
    anomaly::Driver,
    export::{scorecard_csv, scorecard_json, spreadsheet_text},
    files::{FileError, ModelCard, onnx, weights},
    network::learner::learner,
    table::Split,
};
use haihe_protocol::horizontal::{
    JobResult, Provenance, Rows,
    anomaly::AnomalyResult,
    network::{self, EncodedRows, NetworkResult},
    scorecard::{self, ScorecardResult},
};

use super::*;

/// Columns that are named as drivers of one firm's score.
const MOST_DRIVERS: usize = 3;

/// Where the files go.
struct Folder(PathBuf);

fn unreadable(e: &dyn ToString) -> StepError {
    StepError::Result(e.to_string())
}

fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>, StepError> {
    serde_json::to_vec_pretty(value).map_err(|e| unreadable(&e))
}

impl Folder {
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), StepError> {
        Ok(write_whole(&self.0.join(name), bytes.as_ref())?)
    }
}

impl Worker {
    /// Writes the shared result, and what this participant makes of it for itself.
    pub(super) async fn keep_result(&mut self, json: &str, transcript: &Digest) -> Result<(), StepError> {
        let folder = Folder(self.participant.state_dir.join("results").join(self.job.to_string()));
        private_folder(&folder.0)?;
        let spec = self.member.spec(&self.job)?;
        let result = JobResult::read(&spec, json).ok_or_else(|| unreadable(&"it is none of a job made of sums"))?;
        let result = result.map_err(|e| unreadable(&e))?;
        if let JobResult::Scorecard(result) = &result {
            result.scorecard.check().map_err(|e| unreadable(&e))?;
        }
        folder.write("result.json", json)?;
        if let Some(note) = self.member.last_checkpoint(&self.job)? {
            folder.write("checkpoint.txt", note)?;
        }
        let card = match &result {
            JobResult::Scorecard(result) => {
                folder.write("scorecard.json", scorecard_json(&result.scorecard).map_err(|e| unreadable(&e))?)?;
                folder.write("scorecard.csv", scorecard_csv(&result.scorecard))?;
                None
            }
            JobResult::Network(_) | JobResult::Anomaly(_) => {
                self.write_network(&folder, &spec, &result, transcript).unwrap_or_else(|error| {
                    tracing::error!(job = %self.job.short(), %error, "the model's files are not written; result.json has it");
                    None
                })
            }
        };
        if let Err(error) = self.ensure_data().await {
            // The shared result is kept all the same; what the own data would have added is said to be missing.
            tracing::error!(job = %self.job.short(), %error, "own.json is not written");
        }
        let Some(Data::Rows(loaded, _)) = &self.loaded else { return Ok(()) };
        // own.json last: its presence says that everything is there.
        let own = match &result {
            JobResult::Scorecard(result) => own_scorecard(&folder, &spec, result, loaded),
            JobResult::Network(result) => self.own_network(&folder, &spec, (result, card), loaded),
            JobResult::Anomaly(result) => own_anomalies(&folder, &spec, result, loaded),
        };
        match own {
            Ok(own) => folder.write("own.json", own),
            // The shared result is as good as before.
            Err(error) => {
                tracing::error!(job = %self.job.short(), %error, "own.json is not written");
                Ok(())
            }
        }
    }

    fn write_network(
        &self,
        folder: &Folder,
        spec: &JobSpec,
        result: &JobResult,
        transcript: &Digest,
    ) -> Result<Option<ModelCard>, StepError> {
        let parties = self.member.parties(&self.job)?;
        let created = jiff::Timestamp::from_millisecond(i64::try_from(now().0).unwrap_or_default());
        let from = Provenance {
            spec,
            job: &self.job,
            federation: self.participant.identity.trust.federation(),
            parties: &parties,
            created: &created.map_err(|e| unreadable(&e))?.to_string(),
            transcript,
        };
        let (Some(card), Some(learned)) = (result.card(&from), result.learned()) else { return Ok(None) };
        let failed = |e: FileError| unreadable(&e);
        folder.write("model-card.json", pretty(&card)?)?;
        if spec.network.as_ref().is_some_and(|n| n.personal.head) {
            // The shared body is no model without a head: own.safetensors is.
            return Ok(Some(card));
        }
        folder.write("model.safetensors", weights::write(&card, &learned.parameters).map_err(failed)?)?;
        folder.write("model.onnx", onnx::write(&card, &learned.parameters).map_err(failed)?)?;
        Ok(Some(card))
    }

    /// The own customers under the shared network, under the own version, and under a network trained alone.
    fn own_network(
        &self,
        folder: &Folder,
        spec: &JobSpec,
        (result, card): (&NetworkResult, Option<ModelCard>),
        loaded: &Loaded,
    ) -> Result<Vec<u8>, StepError> {
        let Some(options) = &spec.network else { return Err(unreadable(&"the job trains no network")) };
        let parties = self.member.parties(&self.job)?;
        let party = parties.iter().position(|p| p == self.participant.party()).unwrap_or_default() as u32;
        let memory = self.member.memory(&self.job)?;
        let (table, encoded) = (&loaded.table, &EncodedRows::default());
        let rows = Rows { table, party, parties: parties.len() as u32, memory: memory.as_deref(), encoded };
        let mut learner =
            learner(options.rounds.backend, result.network.architecture.clone()).map_err(|e| unreadable(&e))?;
        let own = network::own_version(options, &result.network, &rows, &mut *learner).map_err(|e| unreadable(&e))?;
        if let (Some(parameters), Some(card)) = (&own, card) {
            let card =
                ModelCard { name: format!("{}: own version of {}", card.name, self.participant.party()), ..card };
            folder.write("own.safetensors", weights::write(&card, parameters).map_err(|e| unreadable(&e))?)?;
        }
        pretty(&network::local_result(options, &result.network, &rows, own.as_deref()).map_err(|e| unreadable(&e))?)
    }
}

fn own_scorecard(
    folder: &Folder,
    spec: &JobSpec,
    result: &ScorecardResult,
    loaded: &Loaded,
) -> Result<Vec<u8>, StepError> {
    let own = scorecard::local_result(spec, &result.scorecard, &loaded.table).map_err(|e| unreadable(&e))?;
    if let Some(adapted) = own.model.as_ref().and_then(|m| m.scorecard(&result.scorecard)) {
        folder.write("own-scorecard.json", scorecard_json(&adapted).map_err(|e| unreadable(&e))?)?;
        folder.write("own-scorecard.csv", scorecard_csv(&adapted))?;
    }
    pretty(&own)
}

/// The own rows with a warning, with their keys: for this participant's people alone.
fn own_anomalies(
    folder: &Folder,
    spec: &JobSpec,
    result: &AnomalyResult,
    loaded: &Loaded,
) -> Result<Vec<u8>, StepError> {
    let rows: Vec<usize> = (0..loaded.table.rows()).collect();
    let flagged = result.flag(&loaded.table, &rows, MOST_DRIVERS).map_err(|e| unreadable(&e))?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let failed = |e: &dyn ToString| unreadable(e);
    csv.write_record(["key", "split", "score", "warning", "drivers"]).map_err(|e| failed(&e))?;
    for f in &flagged {
        let name = |d: &Driver| {
            let column = spec.data.columns.get(d.column).map_or("", |c| c.name.as_str());
            format!("{column} {:.0}%", 100.0 * d.share)
        };
        let drivers: Vec<String> = f.drivers.iter().map(name).collect();
        let split = match loaded.table.split.get(f.row) {
            Some(Split::Test) => "test",
            _ => "train",
        };
        let key = spreadsheet_text(loaded.keys.get(f.row).map_or("", String::as_str));
        let warning = format!("{:?}", f.warning).to_lowercase();
        csv.write_record([&*key, split, &format!("{:.6}", f.score), &warning, &spreadsheet_text(&drivers.join("; "))])
            .map_err(|e| failed(&e))?;
    }
    folder.write("anomalies.csv", csv.into_inner().map_err(|e| failed(&e))?)?;
    pretty(&serde_json::json!({ "rows": loaded.table.rows(), "warned": flagged.len(), "flagged": flagged }))
}

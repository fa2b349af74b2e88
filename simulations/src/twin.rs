//! The same learning in the clear: every sum is made of numbers, not of ciphertexts.
//!
//! With the tables of all parties it is the twin that a federation must agree with; with one table that holds all rows it is
//! pooled training with the same budget; with one party's table it is what the party can do alone.

use std::sync::Arc;

use haihe_models::{
    grid::rows_of,
    metrics::{Ranking, ScoreHistogram, average_precision},
    network::{Learner as _, Plain},
    table::{Column, Split, Table},
};
use haihe_protocol::{
    horizontal::{JobResult, Next, Plan, PlanError, Rows, Summary, network::EncodedRows},
    id::PartyId,
    job::JobSpec,
};

/// Most rounds of any job, whatever its options.
const MOST_ROUNDS: usize = 20_000;

/// Why there is no twin.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// A step cannot be taken on these rows.
    #[error("{step}: {source}")]
    Step {
        /// The step.
        step: &'static str,
        /// What is wrong.
        source: Box<PlanError>,
    },
    /// No table, or tables with other columns.
    #[error("the tables of {party} have other columns than those of the first party")]
    Tables {
        /// Whose.
        party: PartyId,
    },
    /// The result cannot be read, or the job is not made of sums.
    #[error("the twin has no result: {0}")]
    Result(String),
}

/// Takes all steps of a job over the tables of its parties. `watch` hears of every sum.
pub fn learn(
    spec: &JobSpec,
    tables: &[(PartyId, Arc<Table>)],
    mut watch: impl FnMut(&Summary),
) -> Result<JobResult, TwinError> {
    let parties: Vec<PartyId> = tables.iter().map(|(party, _)| party.clone()).collect();
    let mut memories: Vec<Option<Vec<u8>>> = vec![None; tables.len()];
    let encoded: Vec<EncodedRows> = tables.iter().map(|_| EncodedRows::default()).collect();
    let mut plan = Plan::begin(spec);
    for _ in 0..MOST_ROUNDS {
        let step = plan.step();
        let failed = |source| TwinError::Step { step, source: Box::new(source) };
        let mut sum: Vec<f64> = Vec::new();
        for (index, (((_, table), memory), encoded)) in tables.iter().zip(&mut memories).zip(&encoded).enumerate() {
            let (party, parties) = (index as u32, tables.len() as u32);
            let rows = Rows { table, party, parties, memory: memory.as_deref(), encoded };
            let done = plan.perform(spec, &rows).map_err(failed)?;
            if done.memory.is_some() {
                *memory = done.memory;
            }
            if sum.is_empty() {
                sum = done.vector;
            } else {
                sum.iter_mut().zip(&done.vector).for_each(|(s, v)| *s += v);
            }
        }
        let (summary, next) = plan.absorb(spec, &sum, &parties).map_err(failed)?;
        watch(&summary);
        match next {
            Next::Continue(next) => plan = *next,
            Next::Finished(json) => {
                let result =
                    JobResult::read(spec, &json).ok_or_else(|| TwinError::Result("it has no sums".to_owned()))?;
                return result.map_err(|e| TwinError::Result(e.to_string()));
            }
        }
    }
    Err(TwinError::Result(format!("it is not finished after {MOST_ROUNDS} rounds")))
}

/// AUC of a trained network or anomaly model on the test rows of a table, and average precision of anomaly scores.
pub fn measured(trained: &JobResult, table: &Table) -> Result<(f64, Option<f64>), TwinError> {
    let failed = |e: &dyn ToString| TwinError::Result(e.to_string());
    let rows = rows_of(table, Split::Test);
    let bad: Vec<bool> = rows.iter().filter_map(|&row| table.label.get(row)).copied().collect();
    match trained {
        JobResult::Anomaly(result) => {
            // Histograms have the bads at the low end.
            let scores = result.model.score(table, &rows).map_err(|e| failed(&e))?;
            let minus: Vec<f64> = scores.iter().map(|score| -score).collect();
            let histogram = ScoreHistogram::exact(&minus, &bad).map_err(|e| failed(&e))?;
            let ranking = Ranking::of(&histogram).map_err(|e| failed(&e))?;
            Ok((ranking.auc, Some(average_precision(&histogram).map_err(|e| failed(&e))?)))
        }
        _ => {
            let learned = trained.learned().ok_or_else(|| failed(&"the job trains no network"))?;
            let examples = learned.encoder.encode(table, &rows).map_err(|e| failed(&e))?;
            let mut learner = Plain::forward_only(learned.architecture.clone()).map_err(|e| failed(&e))?;
            let scores = learner.predict(&learned.parameters, &examples).map_err(|e| failed(&e))?;
            let good: Vec<f64> = scores.iter().map(|s| -f64::from(*s)).collect();
            Ok((Ranking::of_rows(&good, &bad).map_err(|e| failed(&e))?.auc, None))
        }
    }
}

/// All rows in one table, for pooled training.
pub fn pooled(tables: &[(PartyId, Arc<Table>)]) -> Result<Table, TwinError> {
    let mut all: Option<Table> = None;
    for (party, table) in tables {
        let Some(whole) = &mut all else {
            all = Some(Table { firms: None, ..table.as_ref().clone() });
            continue;
        };
        let other = || TwinError::Tables { party: party.clone() };
        if whole.specs != table.specs {
            return Err(other());
        }
        for (column, more) in whole.columns.iter_mut().zip(&table.columns) {
            match (column, more) {
                (Column::Numeric(column), Column::Numeric(more)) => column.extend(more),
                (Column::Categorical(column), Column::Categorical(more)) => column.extend(more),
                _ => return Err(other()),
            }
        }
        whole.label.extend(&table.label);
        whole.split.extend(&table.split);
    }
    all.ok_or_else(|| TwinError::Result("there is no table".to_owned()))
}

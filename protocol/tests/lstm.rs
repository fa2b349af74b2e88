//! Parties train an LSTM on libtorch.

use std::sync::Arc;

use haihe_models::{
    metrics::auc,
    network::{Learner as _, Plain},
    table::{Column, Split, Table},
};
use haihe_protocol::{
    horizontal::{JobResult, Next, Plan, Rows, network::EncodedRows},
    id::PartyId,
    job::JobSpec,
};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

const STEPS: usize = 6;

fn spec() -> JobSpec {
    JobSpec::parse(
        "[job]\nname = \"lstm\"\nparties = [\"a\", \"b\", \"c\"]\n[data]\nview = \"v\"\nkey = \"id\"\nlabel = \"bad\"\n\
         columns = [{ name = \"size\", kind = \"numeric\" }]\n[data.series]\nview = \"m\"\nkey = \"id\"\nmonth = \"month\"\n\
         steps = 6\nchannels = [\"turnover\"]\n[network]\nmodel = { kind = \"lstm\", hidden = 8, head = [8] }\n\
         [network.training]\nrate = 0.01\nbatch_rows = 64\noptimiser = { kind = \"adam\" }\n[network.rounds]\nmost = 15\n",
    )
    .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Firms are bad if their turnover fell from month to month; some are younger than others.
fn firms(spec: &JobSpec, seed: u64, rows: usize) -> Table {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut columns = vec![Vec::new(); 1 + STEPS];
    let mut label = Vec::new();
    for _ in 0..rows {
        let trend: f64 = rng.random::<f64>() - 0.5;
        let months = rng.random_range(3..=STEPS);
        let level: f64 = 10.0 * rng.random::<f64>();
        columns[0].push(level);
        for month in 0..STEPS {
            let there = month >= STEPS - months;
            let value = level + trend * month as f64 + 0.3 * rng.random::<f64>();
            columns[1 + month].push(if there { value } else { f64::NAN });
        }
        label.push(trend + 0.2 * (rng.random::<f64>() - 0.5) < 0.0);
    }
    Table {
        specs: spec.data.columns.clone(),
        columns: columns.into_iter().map(Column::Numeric).collect(),
        label,
        split: (0..rows).map(|row| if row % 10 < 7 { Split::Train } else { Split::Test }).collect(),
        firms: None,
    }
}

#[test]
fn three_parties_train_an_lstm_that_everybody_can_apply() {
    let spec = spec();
    let tables: Vec<Arc<Table>> = (0..3).map(|i| Arc::new(firms(&spec, i, 600))).collect();
    let parties: Vec<PartyId> = ["a", "b", "c"].map(|p| PartyId::new(p).expect("an id")).to_vec();
    let mut plan = Plan::begin(&spec);
    let result = loop {
        let mut sum: Vec<f64> = Vec::new();
        for (party, table) in tables.iter().enumerate() {
            let encoded = EncodedRows::default();
            let rows = Rows { table, party: party as u32, parties: 3, memory: None, encoded: &encoded };
            let vector = plan.perform(&spec, &rows).expect("a vector").vector;
            sum = if sum.is_empty() { vector } else { sum.iter().zip(&vector).map(|(s, v)| s + v).collect() };
        }
        match plan.absorb(&spec, &sum, &parties).expect("a round").1 {
            Next::Continue(next) => plan = *next,
            Next::Finished(json) => break JobResult::read(&spec, &json).expect("sums").expect("a result"),
        }
    };
    let network = result.network().expect("a network");
    let reported = network.evaluation.test.ranking.expect("two classes").auc;
    assert!(reported > 0.9, "{reported}");
    // Whoever has the result scores without libtorch as the parties did with it.
    let learned = &network.network;
    let mut plain = Plain::forward_only(learned.architecture.clone()).expect("an LSTM");
    let (mut scores, mut bad) = (Vec::new(), Vec::new());
    for table in &tables {
        let rows: Vec<usize> = (0..table.rows()).filter(|row| row % 10 >= 7).collect();
        let examples = learned.encoder.encode(table, &rows).expect("encodes");
        assert!(examples.lengths.iter().any(|l| *l < STEPS as u32), "some firms are young");
        scores.extend(plain.predict(&learned.parameters, &examples).expect("scores").iter().map(|s| -f64::from(*s)));
        bad.extend(rows.iter().map(|&row| table.label[row]));
    }
    assert!((auc(&scores, &bad).expect("an AUC") - reported).abs() < 2e-3);
}

//! Networks and anomaly models: what parties send, and what follows from it.

use std::sync::Arc;

use haihe_models::{
    metrics::auc,
    scorecard::Warning,
    table::{Column, ColumnKind, ColumnSpec, Split, Table},
};
use haihe_protocol::{
    horizontal::{
        JobResult, Layout, Next, Performed, Plan, PlanError, Rows, Task,
        anomaly::{AnomalyJobError, AnomalyModel},
        network::{self, EncodedRows, Memory},
    },
    id::PartyId,
    job::{JobProblem, JobSpec},
};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// Firms with two informative columns, one of them bent, one of noise, and holes. `shift` moves a party's firms.
fn firms(seed: u64, rows: usize, shift: f64) -> Arc<Table> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = move || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let (mut a, mut b, mut c, mut label) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let (x, y, noise) = (normal() + shift, normal(), normal());
        label.push(1.2 * x + 1.5 * (y.abs() - 0.8) + normal() > 1.0 + shift);
        a.push(x * 1000.0);
        b.push(if row % 17 == 3 { f64::NAN } else { y });
        c.push(noise.exp());
    }
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    Arc::new(Table {
        specs: vec![numeric("sales"), numeric("margin"), numeric("noise")],
        columns: vec![Column::Numeric(a), Column::Numeric(b), Column::Numeric(c)],
        label,
        split: (0..rows).map(|row| if row % 10 < 7 { Split::Train } else { Split::Test }).collect(),
        firms: None,
    })
}

fn job(parties: usize, tables: &str) -> String {
    let parties: Vec<String> = (0..parties).map(|i| format!("\"p{i}\"")).collect();
    let columns: String = ["sales", "margin", "noise"]
        .iter()
        .map(|c| format!("[[data.columns]]\nname = \"{c}\"\nkind = \"numeric\"\n"))
        .collect();
    format!(
        "[job]\nname = \"n\"\nparties = [{}]\n[data]\nview = \"v\"\nkey = \"id\"\nlabel = \"bad\"\n{columns}\n{tables}",
        parties.join(", ")
    )
}

fn spec(parties: usize, tables: &str) -> JobSpec {
    JobSpec::parse(&job(parties, tables)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

const MLP: &str = "[network]\nmodel = { kind = \"mlp\", hidden = [16] }\n[network.training]\nrate = 0.01\nbatch_rows = 64\n\
                   optimiser = { kind = \"adam\" }\n[network.rounds]\nmost = 12\n";

/// A run of the plan as the parties and the coordinator take it, with every vector rounded as the secure sum rounds it.
struct Run {
    spec: JobSpec,
    tables: Vec<Arc<Table>>,
    memories: Vec<Option<Vec<u8>>>,
    plan: Plan,
    rng: ChaCha8Rng,
}

impl Run {
    fn new(spec: JobSpec, tables: Vec<Arc<Table>>) -> Self {
        let plan = Plan::begin(&spec);
        Self { spec, memories: vec![None; tables.len()], tables, plan, rng: ChaCha8Rng::seed_from_u64(9) }
    }

    fn perform(&self, party: usize) -> Result<Performed, PlanError> {
        let (table, memory) = (&self.tables[party], self.memories[party].as_deref());
        self.plan.perform(
            &self.spec,
            &Rows {
                table,
                party: party as u32,
                parties: self.tables.len() as u32,
                memory,
                encoded: &EncodedRows::default(),
            },
        )
    }

    fn vectors(&mut self) -> Vec<Vec<f64>> {
        let done: Vec<Performed> = (0..self.tables.len()).map(|p| self.perform(p).expect("a vector")).collect();
        for (memory, done) in self.memories.iter_mut().zip(&done) {
            if done.memory.is_some() {
                memory.clone_from(&done.memory);
            }
        }
        done.into_iter().map(|d| d.vector).collect()
    }

    fn sum(&mut self, vectors: &[Vec<f64>]) -> Vec<u64> {
        let n = self.tables.len() as u32;
        let Ok(Layout::Exact(quantiser)) = self.plan.task().layout(&self.spec, n, n) else { panic!("an exact layout") };
        let mut sum = vec![0u64; quantiser.dimension()];
        for vector in vectors {
            let mut slots = vec![0u32; vector.len()];
            quantiser.quantise(0, vector, &mut slots, &mut self.rng).expect("within the bounds");
            sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
        }
        sum
    }

    /// Takes one round; the result if it was the last.
    fn round(&mut self, change: impl FnOnce(&mut Vec<Vec<f64>>)) -> Result<Option<JobResult>, PlanError> {
        let mut vectors = self.vectors();
        change(&mut vectors);
        let (sum, n) = (self.sum(&vectors), self.tables.len() as u32);
        let parties: Vec<PartyId> = (0..n).map(|i| PartyId::new(format!("p{i}")).expect("an id")).collect();
        match self.plan.clone().absorb_sum(&self.spec, &parties, n, &sum, n)?.1 {
            Next::Continue(plan) => self.plan = *plan,
            Next::Finished(json) => {
                return Ok(Some(JobResult::read(&self.spec, &json).expect("a kind of sums").expect("a result")));
            }
        }
        Ok(None)
    }

    /// On to the first round of this step.
    fn until(&mut self, step: &str) {
        while self.plan.step() != step {
            assert!(self.round(|_| ()).expect("a round").is_none(), "no step {step}");
        }
    }

    fn finish(mut self) -> JobResult {
        loop {
            if let Some(result) = self.round(|_| ()).expect("a round") {
                return result;
            }
        }
    }
}

fn three() -> Vec<Arc<Table>> {
    (0..3).map(|i| firms(i, 700 - 100 * i as usize, 0.0)).collect()
}

fn test_auc(result: &JobResult) -> f64 {
    result.network().and_then(|n| n.evaluation.test.ranking).expect("two classes").auc
}

fn train_task(plan: &Plan) -> network::TrainTask {
    match plan.task() {
        Task::Network(network::Task::Train(task)) => task,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_federation_learns_what_one_party_with_all_rows_learns() {
    let long = MLP.replace("most = 12", "most = 40");
    let federated = Run::new(spec(3, &long), three()).finish();
    let mut all = (*three()[0]).clone();
    for table in &three()[1..] {
        for (column, more) in all.columns.iter_mut().zip(&table.columns) {
            if let (Column::Numeric(column), Column::Numeric(more)) = (column, more) {
                column.extend(more);
            }
        }
        all.label.extend(&table.label);
        all.split.extend(&table.split);
    }
    let pooled = Run::new(spec(3, &long), vec![Arc::new(all)]).finish();
    let (federated, pooled) = (test_auc(&federated), test_auc(&pooled));
    assert!(federated > 0.8 && (federated - pooled).abs() < 0.02, "{federated} {pooled}");
}

#[test]
fn a_task_names_the_parameters_that_follow_from_the_sums() {
    let mut run = Run::new(spec(3, MLP), three());
    run.until("train");
    let first = train_task(&run.plan);
    let json = run.plan.task().to_json();
    assert!(json.len() < 1000, "a task of {} bytes carries more than a digest", json.len());
    run.round(|_| ()).expect("a round");
    let second = train_task(&run.plan);
    assert_ne!(first.parameters, second.parameters);
    assert_eq!(first.parameters, network::parameters_digest(&first.architecture.initial(1)));
    // Another sum, another network.
    let mut other = Run::new(spec(3, MLP), three());
    other.until("train");
    assert_eq!(train_task(&other.plan), first);
    other.round(|vectors| vectors[0][0] = 0.01).expect("a round");
    assert_ne!(train_task(&other.plan).parameters, second.parameters);
    // A task without its plan shows no parameters to train on.
    let error = run.plan.task().perform(&run.spec, &run.tables[0], 0, 3);
    assert_eq!(error, Err(PlanError::NeedsPlan));
}

#[test]
fn the_result_is_the_network_of_the_best_round() {
    let hasty = MLP.replace("rate = 0.01", "rate = 0.3").replace("most = 12", "most = 60\npatience = 3");
    let result = Run::new(spec(3, &hasty), three()).finish();
    let network = &result.network().expect("a network").network;
    let losses: Vec<f64> = network.history.iter().map(|r| r.validation_loss).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[network.best_round as usize], least);
    assert!(losses.len() < 60 && losses.len() == network.best_round as usize + 4, "{losses:?}");
}

#[test]
fn updates_beyond_the_bounds_are_clipped_and_counted() {
    let tight = format!("{MLP}[network.clipping]\nstart = 0.001\n");
    let mut run = Run::new(spec(3, &tight), three());
    run.until("train");
    let bounds = train_task(&run.plan).bounds;
    assert!(bounds.iter().all(|b| *b == 0.001));
    let parameters = 3 * 16 + 16 + 16 + 16 + 1;
    for vector in run.vectors() {
        assert!(vector[..parameters].iter().all(|v| v.abs() <= 0.001));
        assert!(vector[..parameters].iter().any(|v| v.abs() > 0.000_999_999));
    }
    let result = run.finish();
    let history = &result.network().expect("a network").network.history;
    assert!(history[0].clipped > 0.3, "{:?}", history[0]);
    assert!(history[4].clipped < 0.01, "the bounds follow the updates: {:?}", history[4]);
}

#[test]
fn a_party_that_is_not_drawn_sends_zeros() {
    let sampled = MLP.replace("most = 12", "most = 12\nsample = 0.5");
    let tables: Vec<_> = (0..6).map(|i| firms(i, 400, 0.0)).collect();
    let mut run = Run::new(spec(6, &sampled), tables);
    run.until("train");
    let mut drawn = vec![0; 6];
    for _ in 0..8 {
        let vectors = run.vectors();
        let (head, rest): (Vec<_>, Vec<_>) = vectors.iter().map(|v| v.split_at(97)).unzip();
        let trained: Vec<bool> = head.iter().map(|v| v.iter().any(|x| *x != 0.0)).collect();
        assert_eq!(trained.iter().filter(|t| **t).count(), 3);
        assert!(rest.iter().all(|v| v.iter().any(|x| *x != 0.0)), "everybody validates");
        drawn.iter_mut().zip(&trained).for_each(|(d, t)| *d += i32::from(*t));
        run.round(|_| ()).expect("a round");
    }
    assert!(drawn.iter().all(|d| *d > 0), "{drawn:?}");
}

#[test]
fn what_stays_at_a_party_is_in_no_vector() {
    let shared = Run::new(spec(3, MLP), (0..3).map(|i| firms(i, 600, 3.0 * i as f64)).collect()).finish();
    let personal = format!("{MLP}[network.personal]\nhead = true\n");
    let mut run = Run::new(spec(3, &personal), (0..3).map(|i| firms(i, 600, 3.0 * i as f64)).collect());
    run.until("train");
    let all = Run::new(spec(3, MLP), three());
    let whole = {
        let mut all = all;
        all.until("train");
        all.vectors()[0].len()
    };
    let sizes: Vec<usize> = run.vectors().iter().map(Vec::len).collect();
    // The head has 16 weights and a bias, and two tensors with 49 cells of magnitudes.
    assert!(sizes.iter().all(|s| whole - s == 17 + 2 * 49), "{whole} {sizes:?}");
    let heads: Vec<Memory> =
        run.memories.iter().map(|m| serde_json::from_slice(m.as_ref().expect("kept")).expect("a memory")).collect();
    assert!(heads.iter().all(|m| m.head.len() == 17 && m.control.is_empty()) && heads[0] != heads[1]);
    let result = run.finish();
    assert!(test_auc(&result) > test_auc(&shared) - 0.01, "{} {}", test_auc(&result), test_auc(&shared));
}

#[test]
fn control_variates_stay_at_the_party_and_their_changes_add_up() {
    let scaffold = MLP
        .replace("optimiser = { kind = \"adam\" }", "epochs = 2")
        .replace("rate = 0.01", "rate = 0.1")
        .replace("[network.training]", "strategy = { kind = \"scaffold\" }\n[network.training]");
    let mut run = Run::new(spec(3, &scaffold), (0..3).map(|i| firms(i, 600, 2.0 * i as f64)).collect());
    run.until("train");
    for _ in 0..3 {
        run.round(|_| ()).expect("a round");
    }
    let own: Vec<Memory> =
        run.memories.iter().map(|m| serde_json::from_slice(m.as_ref().expect("kept")).expect("a memory")).collect();
    assert!(own.iter().all(|m| m.control.len() == 97 && m.head.is_empty()));
    // Asked again, a party that begins with the same memory says the same.
    let once = run.perform(1).expect("a vector");
    assert_eq!(once, run.perform(1).expect("a vector"));
    // Where parties differ and visit for long, plain averages drift.
    let average = scaffold.replace("strategy = { kind = \"scaffold\" }\n", "");
    let average = Run::new(spec(3, &average), (0..3).map(|i| firms(i, 600, 2.0 * i as f64)).collect()).finish();
    let (scaffold, average) = (test_auc(&run.finish()), test_auc(&average));
    assert!(scaffold > 0.6 && scaffold > average - 0.03, "{scaffold} {average}");
}

#[test]
fn a_median_over_buckets_resists_a_party_that_the_mean_does_not() {
    let tables = || (0..9).map(|i| firms(i, 300, 0.0)).collect::<Vec<_>>();
    let poison = |run: &mut Run, buckets: usize| {
        run.until("train");
        for _ in 0..12 {
            if run.plan.step() != "train" {
                break;
            }
            let bounds = train_task(&run.plan).bounds;
            run.round(|vectors| {
                // As far as the bounds allow, against the others.
                let tensors = [48, 16, 16, 1];
                for bucket in 0..buckets {
                    let mut at = bucket * 97;
                    if vectors[4][at..at + 97].iter().all(|v| *v == 0.0) {
                        continue;
                    }
                    for (len, bound) in tensors.iter().zip(&bounds) {
                        vectors[4][at..at + len].iter_mut().for_each(|v| *v = -v.signum() * bound);
                        at += len;
                    }
                }
            })
            .expect("a round");
        }
    };
    let layout = MLP.replace("most = 12", "most = 10\npatience = 0");
    let auc_of = |tables_toml: &str, buckets: usize| {
        let mut run = Run::new(spec(9, tables_toml), tables());
        poison(&mut run, buckets);
        test_auc(&run.finish())
    };
    let mean = auc_of(&layout, 1);
    let median = auc_of(&format!("{layout}[network.robust]\nbuckets = 3\nrule = {{ kind = \"median\" }}\n"), 3);
    assert!(median > mean + 0.02 && median > 0.75, "median {median}, mean {mean}");
}

#[test]
fn a_job_begins_where_an_earlier_network_ended() {
    let first = Run::new(spec(3, MLP), three()).finish();
    let network = &first.network().expect("a network").network;
    let start = network::Start {
        parameters: network.parameters.clone(),
        encoder: serde_json::to_string(&network.encoder).expect("an encoder"),
    };
    let mut second = spec(3, MLP);
    if let Some(options) = &mut second.network {
        options.start = Some(start);
        options.rounds.most = 1;
    }
    let text = toml::to_string(&second).expect("a job is TOML");
    let second = JobSpec::parse(&text).unwrap_or_else(|p| panic!("{p:?}"));
    let mut run = Run::new(second, three());
    run.until("train");
    let result = run.finish();
    let history = &result.network().expect("a network").network.history;
    let best = network.history[network.best_round as usize].validation_loss;
    assert!((history[0].validation_loss - best).abs() < 1e-6, "{} {best}", history[0].validation_loss);
}

#[test]
fn every_party_sees_its_own_customers_under_three_networks() {
    let own = format!(
        "{MLP}[network.evaluation]\nper_party = true\n[network.personal]\nfine_tune = {{ epochs = 3, rate = 0.01 }}\n"
    );
    let tables: Vec<_> = (0..3).map(|i| firms(i, 500, 2.0 * i as f64)).collect();
    let result = Run::new(spec(3, &own), tables.clone()).finish();
    let evaluation = &result.network().expect("a network").evaluation;
    assert_eq!(evaluation.per_party.len(), 3);
    let rows: f64 = evaluation.per_party.iter().map(|p| p.test.shared.histogram.good.iter().sum::<f64>()).sum();
    assert_eq!(rows, evaluation.test.histogram.good.iter().sum::<f64>());
    for party in &evaluation.per_party {
        let auc = |p: &network::Population| p.ranking.expect("two classes").auc;
        let (alone, own) = (auc(party.test.alone.as_ref().expect("alone")), auc(party.test.own.as_ref().expect("own")));
        assert!(auc(&party.test.shared) > 0.6 && alone > 0.6 && own > 0.6);
    }
}

#[test]
fn memory_of_another_network_is_refused() {
    let personal = format!("{MLP}[network.personal]\nhead = true\n");
    let mut run = Run::new(spec(3, &personal), three());
    run.until("train");
    run.round(|_| ()).expect("a round");
    let good = run.perform(0).expect("a vector").memory.expect("a head");
    let other = Memory { head: vec![0.5; 5], ..Memory::default() };
    let other = serde_json::to_vec(&other).expect("plain data");
    for bytes in [&good[..good.len() - 1], b"{}", &other, b""] {
        let memory = Some(bytes);
        let encoded = EncodedRows::default();
        let rows = Rows { table: &run.tables[0], party: 0, parties: 3, memory, encoded: &encoded };
        let error = run.plan.perform(&run.spec, &rows).expect_err("refused");
        assert!(matches!(error, PlanError::Network(network::NetworkError::Memory { .. })), "{error}");
        assert!(error.to_string().contains("restore the vault"), "{error}");
    }
}

fn problems(parties: usize, tables: &str) -> Vec<JobProblem> {
    JobSpec::parse(&job(parties, tables)).expect_err("refused")
}

/// The job is refused by a [`JobProblem::Option`] with this word.
fn refused(parties: usize, tables: &str, word: &str) {
    let found = problems(parties, tables);
    let fits = |p: &JobProblem| matches!(p, JobProblem::Option { .. }) && p.to_string().contains(word);
    assert!(found.iter().any(fits), "{word}: {found:?}");
}

#[test]
fn two_kinds_in_one_job_are_refused() {
    for (first, second) in [(MLP, "[scorecard]\n"), (MLP, "[anomaly.tails]\n"), ("[anomaly.tails]\n", "[scorecard]\n")]
    {
        let found = problems(3, &format!("{first}{second}"));
        assert!(found.contains(&JobProblem::TwoKinds), "{found:?}");
    }
}

#[test]
fn sums_of_one_update_are_not_planned() {
    // Each a `JobProblem::Option`, see `refused`.
    refused(3, &MLP.replace("most = 12", "sample = 0.2"), "three parties or more");
    refused(8, &format!("{MLP}[network.robust]\nbuckets = 3\nrule = {{ kind = \"median\" }}\n"), "robust.buckets");
}

#[test]
fn privacy_is_not_promised_where_there_is_no_noise() {
    // Each a `JobProblem::Option`, see `refused`.
    refused(3, &format!("{MLP}[privacy]\nepsilon = 1.0\n"), "[privacy]");
    refused(3, "[anomaly.tails]\n[privacy]\nepsilon = 1.0\n", "[privacy]");
}

#[test]
fn one_method_in_a_job() {
    // Each a `JobProblem::Option`, see `refused`.
    refused(3, "[anomaly]\n", "exactly one");
    refused(3, "[anomaly.tails]\n[anomaly.forest]\n", "exactly one");
}

#[test]
fn jobs_that_cannot_end_well_are_refused_before_they_begin() {
    let model = "kind = \"mlp\", hidden = [16]";
    for (tables, word) in [
        (MLP.replace(model, "kind = \"autoencoder\""), "belongs to [anomaly]"),
        (MLP.replace(model, "kind = \"lstm\", hidden = 8"), "encoding.series"),
        (MLP.replace(model, "kind = \"mlp\", hidden = [100000]"), "16384"),
        (MLP.replace("rate = 0.01", "rate = -1.0"), "rate"),
        (MLP.replace("most = 12", "most = 0"), "rounds.most"),
        ("[anomaly.autoencoder]\n".to_owned(), "autoencoder"),
        ("[anomaly.forest]\nsum_counts = 50000000\n".to_owned(), "sum_counts"),
        (
            "[anomaly]\npopulation = \"good\"\n[anomaly.autoencoder]\nmodel = { kind = \"autoencoder\" }\n\
          encoding = { kind = \"woe\" }\n"
                .to_owned(),
            "woe",
        ),
    ] {
        refused(3, &tables, word);
    }
}

#[test]
fn what_this_program_cannot_train_is_declined() {
    assert_eq!(spec(3, MLP).trainable(), Ok(()));
    let asks_for_torch = spec(3, &MLP.replace("most = 12", "most = 12\nbackend = \"torch\""));
    let declined = asks_for_torch.trainable().is_err_and(|e| e.to_string().contains("cargo xtask libtorch"));
    assert_eq!(declined, !haihe_models::network::learner::HAS_TORCH);
}

/// As `firms`, all good but a few that are far off in one column, which the label knows.
fn odd(seed: u64, rows: usize) -> Arc<Table> {
    let mut table = (*firms(seed, rows, 0.0)).clone();
    table.label.iter_mut().for_each(|l| *l = false);
    for row in (0..rows).filter(|row| row % 23 == 5) {
        table.label[row] = true;
        if let Column::Numeric(margin) = &mut table.columns[1] {
            margin[row] = if row % 2 == 0 { 9.0 } else { -8.0 };
        }
    }
    Arc::new(table)
}

#[test]
fn who_has_a_warning_stays_at_the_party() {
    // Three methods find planted anomalies and name the column; who they are, `flag` says at the party alone.
    for method in [
        "[anomaly.tails]\n",
        "[anomaly.forest]\ntrees = 50\nsample = 128\n",
        "[anomaly.autoencoder]\nmodel = { kind = \"autoencoder\", hidden = [2] }\n[anomaly.autoencoder.encoding]\n\
         kind = \"standardise\"\nclip = 0.0001\n[anomaly.autoencoder.training]\nrate = 0.01\nbatch_rows = 64\n\
         optimiser = { kind = \"adam\" }\n[anomaly.autoencoder.rounds]\nmost = 15\n",
    ] {
        let toml = format!("[anomaly]\npopulation = \"good\"\nper_party = true\n{method}");
        let tables: Vec<_> = (0..3).map(|i| odd(i, 600)).collect();
        let result = Run::new(spec(3, &toml), tables.clone()).finish();
        let result = result.anomaly().expect("an anomaly model");
        let ranking = result.test.ranking.expect("two classes");
        assert!(ranking.auc > 0.93, "{method}: {}", ranking.auc);
        assert!(
            result.test.average_precision.is_some_and(|p| p > 0.25),
            "{method}: {:?}",
            result.test.average_precision
        );
        assert_eq!(result.drivers[0].column, "margin", "{method}");
        assert_eq!(result.per_party.len(), 3);
        // What a party computes for its own rows is what the federation measured.
        let rows: Vec<usize> = (0..600).filter(|row| row % 10 >= 7).collect();
        let scores = result.model.score(&tables[1], &rows).expect("scores");
        let bad: Vec<bool> = rows.iter().map(|&row| tables[1].label[row]).collect();
        let minus: Vec<f64> = scores.iter().map(|s| -s).collect();
        let own = result.per_party[1].test.ranking.expect("two classes").auc;
        assert!((auc(&minus, &bad).expect("an AUC") - own).abs() < 1e-3, "{method}");
        let json = serde_json::to_string(result).expect("a result");
        assert!(!json.contains("\"row\""), "the result names no row");
        let flagged = result.flag(&tables[1], &rows, 2).expect("flags");
        assert!(flagged.windows(2).all(|w| w[0].score >= w[1].score));
        let found: Vec<_> = flagged.iter().filter(|f| tables[1].label[f.row]).collect();
        assert!(found.len() * 10 >= rows.iter().filter(|&&row| tables[1].label[row]).count() * 8, "{method}");
        assert!(flagged.iter().all(|f| f.warning != Warning::None && f.drivers.len() <= 2), "{method}");
        assert!(found.iter().filter(|f| f.drivers[0].column == 1).count() * 10 >= found.len() * 6, "{method}");
    }
}

#[test]
fn an_anomaly_model_follows_from_the_sums() {
    // The evaluation's task names the digest of the model (`model_digest`), and carries nothing of it.
    let task = |change: f64| {
        let mut run = Run::new(spec(3, "[anomaly.tails]\n"), three());
        run.until("label_counts");
        run.round(|vectors| vectors[0].iter_mut().filter(|v| **v > 0.0).take(2).for_each(|v| *v += change))
            .expect("a round");
        assert_eq!(run.plan.step(), "evaluation");
        run.plan.task().to_json()
    };
    assert_eq!(task(0.0), task(0.0));
    assert!(task(0.0).len() < 200);
}

#[test]
fn counts_that_contradict_a_tree_are_refused() {
    let mut run = Run::new(spec(3, "[anomaly.forest]\ntrees = 20\n"), three());
    run.until("grow");
    run.round(|_| ()).expect("a round");
    let error = run.round(|vectors| vectors[0].iter_mut().for_each(|v| *v += 1000.0)).expect_err("refused");
    assert!(matches!(error, PlanError::Anomaly(AnomalyJobError::Model(_))), "{error}");
}

#[test]
fn what_an_anomaly_job_learns_survives_the_journal() {
    let mut run = Run::new(spec(3, "[anomaly.forest]\ntrees = 20\n"), three());
    run.until("grow");
    run.round(|_| ()).expect("a round");
    let json = serde_json::to_string(&run.plan).expect("a plan is JSON");
    let read: Plan = serde_json::from_str(&json).expect("a plan");
    assert_eq!(read, run.plan);
    let result = run.finish();
    assert!(matches!(result.anomaly().map(|a| &a.model), Some(AnomalyModel::Forest(_))));
}

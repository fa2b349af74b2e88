//! The work of the parties of a vertical job, without network: every letter goes straight into the next inbox.

mod documents;
mod selection;
mod tampering;

use std::collections::BTreeMap;

use haihe_models::{
    table::{Column, ColumnKind, ColumnSpec, Split, Table},
    vertical::{Encoder, Features, SolverOptions, pooled, score::Block},
};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    error::Fault,
    id::PartyId,
    job::JobSpec,
    vertical::{
        Inbox, Outbox,
        work::{Firms, JointResult, Kept, Place, ScoredResult, StepError, Work},
    },
};

/// What came of a run.
struct Run {
    result_json: String,
    kept: Vec<Kept>,
    exchanges: u64,
    bytes: Vec<u64>,
    /// Everything that was said, exchange by exchange and party by party.
    said: Vec<Vec<Outbox>>,
}

/// Every party takes its steps; each state goes through its stored form, as after a crash.
fn run(spec: &JobSpec, firms: &[(PartyId, Firms)], models: Option<&[Kept]>, session: u64) -> Result<Run, StepError> {
    run_with(spec, firms, models, session, &mut |_, _, _| {}).map_err(|(_, _, error)| error)
}

/// The same; `alter` may change what a party says in an exchange. An error comes with the exchange and with who found it.
fn run_with(
    spec: &JobSpec,
    firms: &[(PartyId, Firms)],
    models: Option<&[Kept]>,
    session: u64,
    alter: &mut dyn FnMut(u64, usize, &mut Outbox),
) -> Result<Run, (u64, usize, StepError)> {
    run_restarting(spec, firms, models, session, &|_, _| true, alter)
}

/// The same; a party is restarted before an exchange if `restarts` says so.
fn run_restarting(
    spec: &JobSpec,
    firms: &[(PartyId, Firms)],
    models: Option<&[Kept]>,
    session: u64,
    restarts: &dyn Fn(u64, usize) -> bool,
    alter: &mut dyn FnMut(u64, usize, &mut Outbox),
) -> Result<Run, (u64, usize, StepError)> {
    let parties: Vec<PartyId> = firms.iter().map(|(p, _)| p.clone()).collect();
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&session.to_le_bytes());
    let session = Digest::from_bytes(digest);
    let places: Vec<Place> = (0..parties.len()).map(|me| Place { session, parties: parties.clone(), me }).collect();
    let mut works: Vec<Work> = Vec::new();
    for place in &places {
        let model = models.map(|m| &m[place.me]);
        works.push(Work::begin(spec, place, [place.me as u8 + 1; 32], model).map_err(|e| (0, place.me, e))?);
    }
    let mut inboxes = vec![Inbox::default(); parties.len()];
    let mut bytes = vec![0; parties.len()];
    let mut said = Vec::new();
    for exchange in 1..10_000 {
        let (mut outboxes, mut kept, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for (me, work) in works.into_iter().enumerate() {
            let work = match restarts(exchange, me) {
                true => Work::from_bytes(&work.to_bytes()).expect("read again"),
                false => work,
            };
            let step = work.step(spec, &places[me], &inboxes[me], &firms[me].1, &mut |_, _, _| {});
            let mut step = step.map_err(|error| (exchange, me, error))?;
            alter(exchange, me, &mut step.outbox);
            bytes[me] += step.outbox.letters.iter().map(|l| l.body.len() as u64).sum::<u64>();
            next.push(step.work);
            outboxes.push(step.outbox);
            kept.push(step.kept);
        }
        works = next;
        let announcements: Vec<_> = outboxes.iter().map(|o| o.announcement.clone()).collect();
        if announcements.iter().all(|a| a.done) {
            let mut results = announcements.into_iter().filter_map(|a| a.result_json);
            let result_json = results.next().expect("the label holder publishes");
            assert_eq!(results.next(), None, "nobody else does");
            let kept = kept.into_iter().map(|k| k.expect("kept with the last parcel")).collect();
            return Ok(Run { result_json, kept, exchanges: exchange, bytes, said });
        }
        assert!(announcements.iter().all(|a| !a.done), "all are done in the same exchange");
        inboxes = (0..parties.len())
            .map(|me| Inbox {
                announcements: announcements.clone(),
                letters: outboxes
                    .iter()
                    .enumerate()
                    .flat_map(|(from, o)| {
                        o.letters.iter().filter(|l| l.to.contains(&me)).map(move |l| (from, l.body.clone()))
                    })
                    .collect(),
            })
            .collect();
        said.push(outboxes);
    }
    panic!("the job does not end")
}

fn mix(z: u64) -> u64 {
    let mut z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn uniform(a: u64, b: u64) -> f64 {
    (mix(a.wrapping_mul(1_000_003) ^ b) >> 11) as f64 / (1u64 << 53) as f64
}

/// Value of column `column` of firm `id`; some are missing.
fn value(id: u64, column: u64) -> f64 {
    let x: f64 = (0..4).map(|i| uniform(id, 16 * column + i) - 0.5).sum::<f64>() + 0.3 * (uniform(id, 77) - 0.5);
    if uniform(id, 900 + column) < 0.02 { f64::NAN } else { 10.0 * x }
}

fn is_bad(id: u64, columns: u64) -> bool {
    let z: f64 = (0..columns).map(|c| value(id, c)).filter(|x| x.is_finite()).map(|x| 0.12 * x).sum::<f64>() - 1.4;
    uniform(id, 5000) < 1.0 / (1.0 + (-z).exp())
}

/// `columns` of the firms with these ids, shuffled by id.
fn firms(ids: impl Iterator<Item = u64>, columns: std::ops::Range<u64>, all_columns: u64) -> Firms {
    let mut ids: Vec<u64> = ids.collect();
    ids.sort_by_key(|id| mix(id ^ columns.start));
    let specs = columns.clone().map(|c| ColumnSpec { name: format!("x{c}"), kind: ColumnKind::Numeric });
    let table = Table {
        specs: specs.collect(),
        columns: columns.map(|c| Column::Numeric(ids.iter().map(|id| value(*id, c)).collect())).collect(),
        label: ids.iter().map(|id| is_bad(*id, all_columns)).collect(),
        split: ids.iter().map(|id| if mix(*id) % 10 < 7 { Split::Train } else { Split::Test }).collect(),
        firms: None,
    };
    Firms { keys: ids.iter().map(|id| format!("firm-{id}")).collect(), table }
}

fn party(name: &str) -> PartyId {
    PartyId::new(name).expect("a party id")
}

/// A job of a bank with `own` columns and holders with three columns each.
fn job(holders: u64, own: u64, encoding: &str, rest: &str) -> String {
    let names: Vec<String> = (0..holders).map(|h| format!("holder-{h}")).collect();
    let quoted: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
    let columns = |range: std::ops::Range<u64>| {
        let list: Vec<String> = range.map(|c| format!("{{ name = \"x{c}\", kind = \"numeric\" }}")).collect();
        list.join(", ")
    };
    let mut text = format!(
        "[job]\nname = \"test\"\nparties = [\"bank\", {}]\n{rest}\n[vertical]\nlabel_holder = \"bank\"\nencoding = \"{encoding}\"\n\
         [vertical.alignment]\nkey_kind = \"text\"\nmin_common = 50\nmax_firms = 10000\n\
         [[vertical.holder]]\nparty = \"bank\"\nview = \"v\"\nkey = \"id\"\nlabel = \"y\"\ncolumns = [{}]\n",
        quoted.join(", "),
        columns(0..own)
    );
    for (h, name) in names.iter().enumerate() {
        let start = own + 3 * h as u64;
        text.push_str(&format!(
            "[[vertical.holder]]\nparty = \"{name}\"\nview = \"v\"\nkey = \"id\"\ncolumns = [{}]\n",
            columns(start..start + 3)
        ));
    }
    text
}

fn town(holders: u64, own: u64, firms_each: u64) -> Vec<(PartyId, Firms)> {
    let all = own + 3 * holders;
    // Everybody lacks some firms that the others have, and the bank is not the first of the roster.
    let of = |gap: u64| (0..firms_each).filter(move |id| mix(id ^ 0xF00) % 20 != gap);
    let mut town: Vec<(PartyId, Firms)> = (0..holders)
        .map(|h| (party(&format!("holder-{h}")), firms(of(h), own + 3 * h..own + 3 * h + 3, all)))
        .collect();
    town.insert(1.min(town.len()), (party("bank"), firms(of(19), 0..own, all)));
    town
}

fn spec(text: &str) -> JobSpec {
    JobSpec::parse(text).unwrap_or_else(|p| panic!("{p:?}\n{text}"))
}

/// The ids that all parties of a town have, in some order.
fn common(town: &[(PartyId, Firms)]) -> Vec<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    town.iter().flat_map(|(_, f)| &f.keys).for_each(|k| *counts.entry(k).or_default() += 1);
    counts.into_iter().filter(|(_, n)| *n == town.len()).map(|(k, _)| k.clone()).collect()
}

/// The same regression with all columns in one place.
fn pooled_coefficients(town: &[(PartyId, Firms)], bank: usize) -> Vec<(String, f64)> {
    let common = common(town);
    let rows_of = |firms: &Firms| -> Vec<usize> {
        let at: BTreeMap<&String, usize> = firms.keys.iter().enumerate().map(|(i, k)| (k, i)).collect();
        common.iter().map(|k| at[k]).collect()
    };
    let train: Vec<usize> = {
        let rows = rows_of(&town[bank].1);
        (0..rows.len()).filter(|i| town[bank].1.table.split[rows[*i]] == Split::Train).collect()
    };
    let (mut parts, mut names) = (Vec::new(), Vec::new());
    let order = [bank].into_iter().chain((0..town.len()).filter(|p| *p != bank));
    for p in order {
        let firms = &town[p].1;
        let rows = rows_of(firms);
        let columns = firms.table.columns.iter().map(|c| match c {
            Column::Numeric(v) => Column::Numeric(rows.iter().map(|r| v[*r]).collect()),
            Column::Categorical(v) => Column::Categorical(rows.iter().map(|r| v[*r]).collect()),
        });
        let features = Features::new(firms.table.specs.clone(), columns.collect(), rows.len()).expect("features");
        let encoder = Encoder::standardise(&features, &train).expect("encoder");
        names.extend(encoder.names());
        parts.push(encoder.encode(&features, &train).expect("encoded"));
    }
    let rows = rows_of(&town[bank].1);
    let bad: Vec<bool> = train.iter().map(|i| town[bank].1.table.label[rows[*i]]).collect();
    let fitted = pooled::fit(&parts.iter().collect::<Vec<_>>(), &bad, &SolverOptions::default()).expect("fit");
    names.into_iter().zip(fitted.coefficients.into_iter().flatten()).collect()
}

fn block(kept: &Kept) -> Block {
    serde_json::from_slice(&kept["block.json"]).expect("a block")
}

#[test]
fn coefficients_are_those_of_the_pooled_fit_for_one_to_five_holders() {
    for holders in [1, 2, 4, 5] {
        let spec = spec(&job(holders, 3, "standardise", ""));
        let town = town(holders, 3, 1500);
        let run = run(&spec, &town, None, holders).unwrap_or_else(|e| panic!("{e}"));
        let result: JointResult = serde_json::from_str(&run.result_json).expect("a result");
        assert_eq!(result.common as usize, common(&town).len());
        let bank = town.iter().position(|(p, _)| *p == party("bank")).expect("bank");
        let pooled: BTreeMap<String, f64> = pooled_coefficients(&town, bank).into_iter().collect();
        let mut seen = 0;
        for kept in &run.kept {
            for term in &block(kept).columns {
                let coefficient = term.coefficient as f64 * 2f64.powi(-28);
                let expected = pooled[term.encoder.column()];
                assert!((coefficient - expected).abs() < 1e-3, "{}: {coefficient} {expected}", term.encoder.column());
                seen += 1;
            }
        }
        assert_eq!(seen, pooled.len());
        let (joint, alone) = (result.joint.test.expect("test"), result.alone.test.expect("test"));
        assert!(joint.auc > alone.auc + 0.03, "{} {}", joint.auc, alone.auc);
        println!(
            "{holders} holders: {} exchanges, {} passes, AUC alone {:.3} joint {:.3}, bytes {:?}",
            run.exchanges,
            result.passes.len() - 1,
            alone.auc,
            joint.auc,
            run.bytes
        );
    }
}

#[test]
fn a_scorecard_is_learned_and_scores_are_bit_equal_later() {
    let text = job(2, 3, "woe", "");
    let learning = spec(&text);
    let town = town(2, 3, 3000);
    let learned = run(&learning, &town, None, 7).unwrap_or_else(|e| panic!("{e}"));
    let result: JointResult = serde_json::from_str(&learned.result_json).expect("a result");
    let (joint, alone) = (result.joint.test.expect("test").auc, result.alone.test.expect("test").auc);
    assert!(joint > alone + 0.02, "{joint} {alone}");

    let scoring = spec(&format!("{text}\n[scoring]\nmodel = \"00\"\nmay_be_absent = [\"holder-1\"]\n"));
    let scored = run(&scoring, &town, Some(&learned.kept), 8).unwrap_or_else(|e| panic!("{e}"));
    let bank = town.iter().position(|(p, _)| *p == party("bank")).expect("bank");
    let offline = String::from_utf8(learned.kept[bank]["evaluation-scores.csv"].clone()).expect("text");
    let online = String::from_utf8(scored.kept[bank]["scores.csv"].clone()).expect("text");
    assert_eq!(offline, online, "bit for bit");

    // Without one of them: marked, and everybody's score moves.
    let present: Vec<_> = town.iter().filter(|(p, _)| *p != party("holder-1")).cloned().collect();
    let models: Vec<Kept> =
        town.iter().zip(&learned.kept).filter(|((p, _), _)| *p != party("holder-1")).map(|(_, k)| k.clone()).collect();
    let without = run(&scoring, &present, Some(&models), 9).unwrap_or_else(|e| panic!("{e}"));
    let result: ScoredResult = serde_json::from_str(&without.result_json).expect("a result");
    assert_eq!(result.without, vec![party("holder-1")]);
    let lines = String::from_utf8(
        without.kept[0].get("scores.csv").or(without.kept[1].get("scores.csv")).expect("scores").clone(),
    );
    let lines = lines.expect("text");
    assert!(lines.lines().skip(1).all(|l| l.ends_with(",holder-1")), "marked");
    assert!(lines.lines().count() > online.lines().count(), "firms that holder-1 lacks are scored too");
}

#[test]
fn what_is_kept_in_memory_changes_no_bit() {
    // With a memory of two directions they are merged in most passes.
    for (encoding, memory) in [("standardise", 16), ("standardise", 2), ("woe", 2)] {
        let solver = format!("[vertical.regression]\ntolerance = 1e-6\nmemory = {memory}\n");
        let spec = spec(&(job(2, 3, encoding, "") + &solver));
        let town = town(2, 3, 1500);
        let run = |restarts: &dyn Fn(u64, usize) -> bool| {
            run_restarting(&spec, &town, None, 5, restarts, &mut |_, _, _| {}).unwrap_or_else(|(_, _, e)| panic!("{e}"))
        };
        let never = run(&|_, _| false);
        let passes = serde_json::from_str::<JointResult>(&never.result_json).expect("a result").passes.len();
        assert!(passes > 4, "{passes} passes merge nothing");
        for (what, other) in [
            ("before every step", run(&|_, _| true)),
            ("now and then", run(&|exchange, party| (exchange + party as u64).is_multiple_of(3))),
        ] {
            assert_eq!(never.result_json, other.result_json, "{encoding}, restarts {what}");
            assert_eq!(never.kept, other.kept, "{encoding}, restarts {what}");
            assert!(never.said == other.said, "{encoding}, restarts {what}: other letters");
        }
    }
}

#[test]
fn bad_input_names_the_party() {
    let spec_two = spec(&job(2, 3, "standardise", ""));
    type Change<'a> = dyn Fn(&mut Vec<(PartyId, Firms)>) + 'a;
    let fails = |change: &Change<'_>, named: &str, word: &str| {
        let mut town = town(2, 3, 600);
        change(&mut town);
        let error = run(&spec_two, &town, None, 3).err().unwrap_or_else(|| panic!("{word} was accepted"));
        // Sets that do not meet are nobody's fault; who is apart is named.
        let faults = [Fault::Participant(party(named)), Fault::Job];
        assert_eq!(error.fault, faults[usize::from(word == "common to all")], "{error}");
        assert!(error.reason.contains(word) && error.reason.contains(named), "{error}");
    };
    let of = |town: &mut Vec<(PartyId, Firms)>, name: &str| {
        town.iter().position(|(p, _)| *p == party(name)).expect("in town")
    };
    fails(
        &|town| {
            let bank = of(town, "bank");
            town[bank].1.table.label.fill(false);
        },
        "bank",
        "one class",
    );
    fails(
        &|town| {
            let holder = of(town, "holder-1");
            town[holder].1.keys.iter_mut().for_each(|k| k.push('x'));
        },
        "holder-1",
        "common to all",
    );
    fails(
        &|town| {
            let holder = of(town, "holder-0");
            town[holder].1.keys[5] = town[holder].1.keys[6].clone();
        },
        "holder-0",
        "earlier row",
    );
    fails(
        &|town| {
            let holder = of(town, "holder-0");
            for column in &mut town[holder].1.table.columns {
                *column = Column::Numeric(vec![1.0; column.len()]);
            }
        },
        "holder-0",
        "no column",
    );
}

#[test]
fn constant_and_collinear_columns_are_no_obstacle() {
    let spec = spec(&job(2, 3, "standardise", ""));
    let mut town = town(2, 3, 1200);
    let holder = town.iter().position(|(p, _)| *p == party("holder-0")).expect("in town");
    let table = &mut town[holder].1.table;
    table.columns[1] = Column::Numeric(vec![3.0; table.columns[1].len()]);
    table.columns[2] = table.columns[0].clone();
    let run = run(&spec, &town, None, 4).unwrap_or_else(|e| panic!("{e}"));
    let block = block(&run.kept[holder]);
    assert_eq!(block.columns.len(), 2, "the constant column is left out");
    assert_eq!(block.columns[0].coefficient >> 12, block.columns[1].coefficient >> 12, "twins share their weight");
    // Its owner is told, and nobody else.
    let table = String::from_utf8(run.kept[holder]["scorecard.csv"].clone()).expect("text");
    let last = table.lines().last().unwrap_or_default();
    assert!(last.contains("left out: the same value in all training rows"), "{table}");
    assert!(!run.result_json.contains("left out"), "{}", run.result_json);
}

#[test]
fn a_later_fit_starts_where_an_earlier_one_ended_and_batches_come_close_to_all_rows() {
    let text = job(2, 3, "standardise", "");
    let town = town(2, 3, 3000);
    let cold = run(&spec(&text), &town, None, 11).unwrap_or_else(|e| panic!("{e}"));
    let passes = |run: &Run| serde_json::from_str::<JointResult>(&run.result_json).expect("a result").passes;
    let auc = |run: &Run| {
        serde_json::from_str::<JointResult>(&run.result_json).expect("a result").joint.test.expect("test").auc
    };
    let warm = spec(&format!("{text}\n[vertical.fit]\nwarm_start = \"0000\"\n"));
    let warm = run(&warm, &town, Some(&cold.kept), 12).unwrap_or_else(|e| panic!("{e}"));
    let (cold_passes, warm_passes) = (passes(&cold), passes(&warm));
    assert!(warm_passes[1].loss < cold_passes[1].loss, "{:?} {:?}", warm_passes[1], cold_passes[1]);
    assert!(warm_passes.len() <= cold_passes.len(), "{} {}", warm_passes.len(), cold_passes.len());
    assert!((auc(&warm) - auc(&cold)).abs() < 1e-3);

    let batches = "optimiser = \"minibatch\"\n[vertical.fit.minibatch]\nbatch_rows = 300\nepochs = 4\nrate = 0.5\n";
    let batched = spec(&format!("{text}\n[vertical.fit]\n{batches}"));
    let batched = run(&batched, &town, None, 13).unwrap_or_else(|e| panic!("{e}"));
    assert!((auc(&batched) - auc(&cold)).abs() < 0.01, "{} {}", auc(&batched), auc(&cold));
}

#[test]
fn a_sole_holder_sends_fewer_directions_than_it_has_columns() {
    // So strict a tolerance that nothing but the brake (`Context::most_passes`) ends the fit.
    for (columns_of_holder, most) in [(3, 2), (1, 1)] {
        let text = job(1, 3, "standardise", "").replace(
            "[vertical.alignment]",
            "[vertical.regression]\ntolerance = 1e-12\nmax_passes = 30\n[vertical.alignment]",
        );
        let mut town = town(1, 3, 900);
        let holder = town.iter().position(|(p, _)| *p == party("holder-0")).expect("in town");
        // Constant columns are not used, and do not count.
        for column in &mut town[holder].1.table.columns[columns_of_holder..] {
            *column = Column::Numeric(vec![7.0; column.len()]);
        }
        // The solver stays in memory, or is made again in every exchange.
        let run = |restarts: &dyn Fn(u64, usize) -> bool| {
            run_restarting(&spec(&text), &town, None, 11, restarts, &mut |_, _, _| {})
                .unwrap_or_else(|(_, _, e)| panic!("{e}"))
        };
        let (run, restarted) = (run(&|_, _| false), run(&|_, _| true));
        assert_eq!(run.result_json, restarted.result_json);
        let result: JointResult = serde_json::from_str(&run.result_json).expect("a result");
        assert_eq!(result.columns[&party("holder-0")] as usize, columns_of_holder);
        assert_eq!(result.passes.len() - 1, most, "passes with {columns_of_holder} columns");
    }
}

/// A label holder that asks for more anyway, by another job file than the holder's: the holder goes no further.
#[test]
fn a_sole_holder_refuses_more_directions() {
    let text = job(1, 3, "standardise", "").replace(
        "[vertical.alignment]",
        "[vertical.regression]\ntolerance = 1e-12\nmax_passes = 30\n[vertical.alignment]",
    );
    let (spec, mut town) = (spec(&text), town(1, 3, 900));
    let holder = town.iter().position(|(p, _)| *p == party("holder-0")).expect("in town");
    let unused = &mut town[holder].1.table.columns[2];
    *unused = Column::Numeric(vec![7.0; unused.len()]);
    // Both compute `most_passes`. The label holder believes that the holder has more columns than it has: the number in the clear, in `Products`.
    let error = run_with(&spec, &town, None, 12, &mut |_, from, outbox| {
        if from == holder && outbox.announcement.phase.ends_with("products") {
            let letter = &mut outbox.letters[0].body;
            assert_eq!(letter[0], 2, "two columns");
            // The response of three columns is as long as that of two, and a value for the third.
            let mut altered = tampering::products(letter);
            altered.0 += 1;
            altered.1.extend([0; 8]);
            *letter = tampering::written(&altered);
        }
        if from != holder && outbox.announcement.phase.ends_with("decrypted") {
            let mut values = tampering::opened(&outbox.letters[0].body);
            values.pop();
            outbox.letters[0].body = tampering::written(&values);
        }
    });
    let (_, by, error) = error.err().expect("refused");
    assert_eq!((by, &error.fault), (holder, &Fault::Participant(party("bank"))), "{error}");
    assert!(error.reason.contains("1 score vectors"), "{error}");
}

#[test]
fn a_model_is_used_in_the_roles_and_company_that_it_was_made_for() {
    let text = job(2, 3, "standardise", "");
    let town = town(2, 3, 900);
    let learned = run(&spec(&text), &town, None, 31).unwrap_or_else(|e| panic!("{e}"));
    let refused = |text: &str, town: &[(PartyId, Firms)], models: &[Kept], word: &str| {
        let error = run(&spec(text), town, Some(models), 32).err().unwrap_or_else(|| panic!("{word} was accepted"));
        assert_eq!(error.fault, Fault::Job, "{error}");
        assert!(error.reason.contains(word), "{error}");
    };
    // A former feature holder would see the bank's part.
    let scoring = format!("{text}\n[scoring]\nmodel = \"00\"\n");
    let turned =
        scoring.replace("label_holder = \"bank\"", "label_holder = \"holder-0\"").replace("label = \"y\"\n", "");
    refused(&turned, &town, &learned.kept, "learned for bank");
    // Without holder-1, which the job does not declare dispensable: the other would be seen alone.
    let present: Vec<_> = town.iter().filter(|(p, _)| *p != party("holder-1")).cloned().collect();
    let kept: Vec<Kept> =
        town.iter().zip(&learned.kept).filter(|((p, _), _)| *p != party("holder-1")).map(|(_, k)| k.clone()).collect();
    let smaller = job(1, 3, "standardise", "") + "\n[scoring]\nmodel = \"00\"\n";
    refused(&smaller, &present, &kept, "holder-1 has a part in the model");
}

#[test]
fn a_view_that_changes_during_a_job_is_noticed() {
    let spec = spec(&job(2, 3, "standardise", ""));
    let mut town = town(2, 3, 600);
    let place =
        Place { session: Digest::from_bytes([9; 32]), parties: town.iter().map(|(p, _)| p.clone()).collect(), me: 0 };
    let begun = Work::begin(&spec, &place, [1; 32], None).expect("begins");
    let first = begun.step(&spec, &place, &Inbox::default(), &town[0].1, &mut |_, _, _| {}).expect("first exchange");
    town[0].1.keys.swap(0, 1);
    let inbox = Inbox { announcements: vec![first.outbox.announcement; 3], letters: Vec::new() };
    let restarted = Work::from_bytes(&first.work.to_bytes()).expect("read again");
    let error = restarted.step(&spec, &place, &inbox, &town[0].1, &mut |_, _, _| {}).err().expect("noticed");
    assert_eq!(error.fault, Fault::Participant(town[0].0.clone()));
    assert!(error.reason.contains("view has changed"), "{error}");
}

#[test]
fn too_few_firms_for_the_columns_are_refused() {
    let text = job(2, 3, "standardise", "").replace("min_common = 50", "min_common = 10");
    let error = run(&spec(&text), &town(2, 3, 90), None, 33).err().expect("refused");
    assert_eq!(error.fault, Fault::Job, "{error}");
    assert!(error.reason.contains("too few training firms for 6 columns"), "{error}");
}

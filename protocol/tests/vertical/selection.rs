//! Columns that say the same, or contradict their weight of evidence, and what the parties do about them.

use haihe_models::vertical::{Dropped, selection::CONTRADICTION, selection::contradicting, woe};

use super::*;

/// Bank and holders as in [`town`], but the third column of each party is its first with noise, and lowers the risk beside
/// it: alone it seems to raise the risk, so its coefficient contradicts its weight of evidence. Columns of the parties in
/// `against` are all of this kind, after the bank's first column.
fn contrary(widths: &[u64], firms_each: u64, against: &[usize]) -> Vec<(PartyId, Firms)> {
    let starts: Vec<u64> = widths.iter().scan(0, |at, w| Some(std::mem::replace(at, *at + w))).collect();
    let cell = |id: u64, party: usize, column: u64| {
        let (start, own) = (starts[party], starts[party] + column);
        let copy = |of: u64, noise: f64| 0.8 * value(id, of) + noise * value(id, 300 + own);
        match (against.contains(&party), column % 3) {
            (true, _) => (copy(0, 0.8), -0.1),
            (false, 2) => (copy(start + column - 2, 0.5), -0.12),
            (false, 1) => (value(id, own), 0.1),
            (false, 0) if party == 0 && !against.is_empty() => (value(id, own), 0.6),
            (false, _) => (value(id, own), 0.3),
        }
    };
    let parties: Vec<usize> = (0..widths.len()).collect();
    let bad = |id: u64| {
        let of = |p: &usize| (0..widths[*p]).map(|c| cell(id, *p, c)).collect::<Vec<_>>();
        let known = parties.iter().flat_map(of).filter(|(x, _)| x.is_finite());
        let z = known.map(|(x, effect)| x * effect).sum::<f64>() - 1.2;
        uniform(id, 5000) < 1.0 / (1.0 + (-z).exp())
    };
    let of = |p: usize| {
        let name = if p == 0 { "bank".to_owned() } else { format!("holder-{}", p - 1) };
        let mut firms =
            firms((0..firms_each).filter(|id| mix(id ^ 0xF00) % 20 != p as u64), starts[p]..starts[p] + widths[p], 1);
        let ids: Vec<u64> = firms.keys.iter().map(|k| k["firm-".len()..].parse().expect("an id")).collect();
        let column = |c| Column::Numeric(ids.iter().map(|id| cell(*id, p, c).0).collect());
        firms.table.columns = (0..widths[p]).map(column).collect();
        firms.table.label = ids.iter().map(|id| bad(*id)).collect();
        (party(&name), firms)
    };
    (0..widths.len()).map(of).collect()
}

/// The job of a bank with `widths[0]` columns and holders with the others.
fn contrary_job(widths: &[u64], rest: &str) -> String {
    let mut text = job(widths.len() as u64 - 1, 0, "woe", "");
    text = text[..text.find("[[vertical.holder]]").expect("holders")].to_owned() + rest;
    let mut start = 0;
    for (p, width) in widths.iter().enumerate() {
        let list: Vec<String> =
            (start..start + width).map(|c| format!("{{ name = \"x{c}\", kind = \"numeric\" }}")).collect();
        let (name, label) =
            if p == 0 { ("bank".to_owned(), "label = \"y\"\n") } else { (format!("holder-{}", p - 1), "") };
        text.push_str(&format!(
            "\n[[vertical.holder]]\nparty = \"{name}\"\nview = \"v\"\nkey = \"id\"\n{label}columns = [{}]\n",
            list.join(", ")
        ));
        start += width;
    }
    text
}

fn result(run: &Run) -> JointResult {
    serde_json::from_str(&run.result_json).expect("a result")
}

fn dropped(kept: &Kept) -> Vec<Dropped> {
    block(kept).dropped
}

fn coefficients(kept: &Kept) -> BTreeMap<String, f64> {
    let unit = 2f64.powi(-28);
    block(kept).columns.iter().map(|t| (t.encoder.column().to_owned(), t.coefficient as f64 * unit)).collect()
}

/// All columns in one place, encoded as the parties do; fitted with those that they kept.
fn pooled_on_kept(spec: &JobSpec, town: &[(PartyId, Firms)], kept: &[Kept]) -> BTreeMap<String, f64> {
    let options = spec.vertical.as_ref().expect("vertical");
    let common = common(town);
    let rows_of = |firms: &Firms| -> Vec<usize> {
        let at: BTreeMap<&String, usize> = firms.keys.iter().enumerate().map(|(i, k)| (k, i)).collect();
        common.iter().map(|k| at[k]).collect()
    };
    let bank = rows_of(&town[0].1);
    let train: Vec<usize> = (0..bank.len()).filter(|i| town[0].1.table.split[bank[*i]] == Split::Train).collect();
    let bad: Vec<bool> = train.iter().map(|i| town[0].1.table.label[bank[*i]]).collect();
    let (mut parts, mut names) = (Vec::new(), Vec::new());
    for ((_, firms), kept) in town.iter().zip(kept) {
        let rows = rows_of(firms);
        let columns = firms.table.columns.iter().map(|c| match c {
            Column::Numeric(v) => Column::Numeric(rows.iter().map(|r| v[*r]).collect()),
            Column::Categorical(v) => Column::Categorical(rows.iter().map(|r| v[*r]).collect()),
        });
        let features = Features::new(firms.table.specs.clone(), columns.collect(), rows.len()).expect("features");
        let fine = woe::fine_columns(&features, &train, &options.woe).expect("options");
        let counted: Vec<_> = fine.iter().map(|f| f.counted(f.bads(&bad))).collect();
        let merged = woe::merge(&counted, &bad, &options.woe).expect("counts");
        let mut encoder = woe::final_columns(&fine, &merged, &options.woe).expect("encoder");
        let stays = coefficients(kept);
        encoder.columns.retain(|c| stays.contains_key(c.column()));
        names.extend(encoder.names());
        parts.push(encoder.encode(&features, &train).expect("encoded"));
    }
    let fitted = pooled::fit(&parts.iter().collect::<Vec<_>>(), &bad, &options.regression).expect("fit");
    names.into_iter().zip(fitted.coefficients.into_iter().flatten()).collect()
}

#[test]
fn no_column_contradicts_and_the_rest_is_the_pooled_fit() {
    for widths in [&[3u64, 9][..], &[3, 3, 3], &[3, 3, 3, 3, 3]] {
        let spec = spec(&contrary_job(widths, "[vertical.regression]\ntolerance = 1e-5\n"));
        let town = contrary(widths, 4000, &[]);
        let run = run(&spec, &town, None, 21).unwrap_or_else(|e| panic!("{e}"));
        let result = result(&run);
        println!("{widths:?}: {} passes, {:?}, {:?}", result.passes.len() - 1, result.reviews, result.columns);
        assert_eq!(result.contradicting, Some(0));
        // A review costs two exchanges, and the first direction of a refit none.
        let (passes, reviews) = (result.passes.len() as u64 - 1, result.reviews.len() as u64);
        let refits = result.reviews.iter().filter(|r| r.refit).count() as u64;
        let aligned = 2 * widths.len() as u64 + 1;
        assert_eq!(run.exchanges, aligned + 2 + 2 + 4 * (passes - refits) + 2 * reviews + 1);
        let asks = run.said.iter().filter(|said| said[0].announcement.phase.contains("loss")).count() as u64;
        assert_eq!(asks, passes - refits + reviews);
        let total: u32 = result.reviews.iter().map(|r| r.dropped).sum();
        assert!(total as usize >= widths.len() && result.reviews.iter().any(|r| r.refit), "{:?}", result.reviews);
        assert_eq!(result.reviews.last().map(|r| r.dropped), Some(0), "the last one finds nothing");
        let pooled = pooled_on_kept(&spec, &town, &run.kept);
        let (mut seen, mut gone) = (0, 0);
        for ((party, _), kept) in town.iter().zip(&run.kept) {
            let mine = coefficients(kept);
            assert_eq!(result.columns[party] as usize, mine.len());
            for (name, coefficient) in &mine {
                assert!(*coefficient <= CONTRADICTION, "{name}: {coefficient}");
                assert!((coefficient - pooled[name]).abs() < 1e-4, "{name}: {coefficient} {}", pooled[name]);
            }
            seen += mine.len();
            let wrong = dropped(kept).into_iter().filter(|d| format!("{:?}", d.reason).starts_with("WrongSign"));
            gone += wrong.count();
        }
        assert_eq!((seen, gone), (pooled.len(), total as usize));
    }
}

#[test]
fn reviews_do_not_depend_on_restarts() {
    for (widths, more) in [
        (&[3u64, 6][..], ""),
        (&[3, 3, 3], "[vertical.regression]\nmemory = 2\ntolerance = 1e-6\n"),
        (&[3, 3, 3], "[vertical.regression]\nmemory = 40\npatience = 2\n[vertical.fit]\nvalidation_share = 0.2\n"),
    ] {
        let spec = spec(&contrary_job(widths, more));
        let town = contrary(widths, 2500, &[]);
        let run = |restarts: &dyn Fn(u64, usize) -> bool| {
            run_restarting(&spec, &town, None, 5, restarts, &mut |_, _, _| {}).unwrap_or_else(|(_, _, e)| panic!("{e}"))
        };
        let never = run(&|_, _| false);
        assert_eq!(result(&never).contradicting, Some(0), "{widths:?} {more}");
        assert!(result(&never).reviews.iter().any(|r| r.refit), "{widths:?} {more}: {:?}", result(&never).reviews);
        for other in [run(&|_, _| true), run(&|exchange, party| (exchange + party as u64).is_multiple_of(3))] {
            assert_eq!(never.result_json, other.result_json, "{widths:?} {more}");
            assert_eq!(never.kept, other.kept, "{widths:?} {more}");
            assert!(never.said == other.said, "{widths:?} {more}: other letters");
        }
    }
}

#[test]
fn a_warm_start_goes_through_reviews_too() {
    for widths in [&[3u64, 9][..], &[3, 3, 3]] {
        let tight = "[vertical.regression]\ntolerance = 1e-5\n";
        let town = contrary(widths, 3000, &[]);
        let cold = run(&spec(&contrary_job(widths, tight)), &town, None, 31).unwrap_or_else(|e| panic!("{e}"));
        let again = spec(&contrary_job(widths, &format!("{tight}[vertical.fit]\nwarm_start = \"0000\"\n")));
        let warm = run(&again, &town, Some(&cold.kept), 32).unwrap_or_else(|e| panic!("{e}"));
        // The columns that were left out begin at 0, and are left out again.
        println!("{widths:?}: {} passes, then {}", result(&cold).passes.len() - 1, result(&warm).passes.len() - 1);
        assert_eq!(result(&warm).contradicting, Some(0));
        assert_eq!(result(&warm).columns, result(&cold).columns);
        let pooled = pooled_on_kept(&again, &town, &warm.kept);
        for (name, coefficient) in warm.kept.iter().flat_map(coefficients) {
            assert!((coefficient - pooled[&name]).abs() < 1e-4, "{name}: {coefficient} {}", pooled[&name]);
        }
    }
}

#[test]
fn a_party_may_lose_all_of_its_columns() {
    for widths in [&[3u64, 3][..], &[3, 3, 3]] {
        let last = widths.len() - 1;
        let spec = spec(&contrary_job(widths, ""));
        let town = contrary(widths, 4000, &[last]);
        let run = run_restarting(&spec, &town, None, 6, &|_, _| true, &mut |_, _, _| {});
        let run = run.unwrap_or_else(|(_, _, e)| panic!("{e}"));
        let result = result(&run);
        assert_eq!(result.columns[&town[last].0], 0, "{:?}", result.reviews);
        assert_eq!(result.contradicting, Some(0));
        assert!(result.joint.train.auc > 0.6, "{:?}", result.joint);
    }
}

#[test]
fn a_sole_holder_does_not_send_more_for_reviews() {
    // So strict a tolerance that nothing but the brake (`Context::most_passes`) ends the fit.
    for (columns, most) in [(2, 1), (3, 2), (6, 5)] {
        let widths = [3, columns];
        let spec = spec(&contrary_job(&widths, "[vertical.regression]\ntolerance = 1e-12\n"));
        let town = contrary(&widths, 2500, &[]);
        let run = run(&spec, &town, None, 7).unwrap_or_else(|e| panic!("{e}"));
        let result = result(&run);
        println!("{columns} columns: {:?}, contradicting {:?}", result.reviews, result.contradicting);
        assert!(result.passes.len() - 1 <= most, "{columns} columns: {} passes", result.passes.len() - 1);
        let left: usize =
            run.kept.iter().map(|k| contradicting(&coefficients(k).into_values().collect::<Vec<_>>())).sum();
        assert_eq!(result.contradicting.map(|n| n as usize), Some(left), "what remains is told");
    }
}

#[test]
fn whoever_lies_in_a_review_is_named() {
    let widths = [3u64, 3, 3];
    let spec = spec(&contrary_job(&widths, ""));
    let town = contrary(&widths, 1500, &[]);
    type Lie = fn(&mut Vec<u8>);
    let lies: [(&str, Lie); 4] = [
        ("leaves out 100 columns", |body| body[0] = 100),
        ("products of", |body| body[0] += 1),
        ("where it goes on from", |body| *body = vec![1, 0]),
        ("cannot be read", |body| body.truncate(1)),
    ];
    for (word, lie) in lies {
        let mut told = false;
        let error = run_with(&spec, &town, None, 12, &mut |_, from, outbox| {
            if from == 2 && !told && outbox.announcement.phase.ends_with("review") {
                told = true;
                lie(&mut outbox.letters[0].body);
            }
        });
        let (_, by, error) = error.err().unwrap_or_else(|| panic!("{word}: accepted"));
        assert_eq!((by, &error.fault), (0, &Fault::Participant(town[2].0.clone())), "{error}");
        assert!(error.reason.contains(word), "{error}");
    }
}

#[test]
fn columns_that_say_the_same_are_left_out_in_silence() {
    let widths = [3u64, 3, 3];
    let rest = "[vertical.selection]\nrequire_positive = false\nmax_correlation = 0.6\n";
    let spec_of = |rest| spec(&contrary_job(&widths, rest));
    let town = contrary(&widths, 2500, &[]);
    let all = run(&spec_of("[vertical.selection]\nrequire_positive = false\n"), &town, None, 8);
    let (all, some) = (all.unwrap_or_else(|e| panic!("{e}")), run(&spec_of(rest), &town, None, 8));
    let some = some.unwrap_or_else(|e| panic!("{e}"));
    for (before, after) in all.kept.iter().zip(&some.kept) {
        assert_eq!((coefficients(before).len(), coefficients(after).len()), (3, 2));
        let text = format!("{:?}", dropped(after));
        assert!(text.contains("Correlated { with: \"x"), "{text}");
    }
    let result = result(&some);
    assert_eq!((result.contradicting, result.reviews.len()), (None, 0), "nobody asked");
}

#[test]
fn a_selection_that_does_not_apply_is_refused() {
    let refused = |encoding: &str, more: &str, word: &str| {
        let text = job(2, 3, encoding, "").replace("[vertical.alignment]", &format!("{more}[vertical.alignment]"));
        let problems = JobSpec::parse(&text).expect_err(word);
        assert!(problems.len() == 1 && problems[0].to_string().contains(word), "{problems:?}");
    };
    refused("standardise", "[vertical.selection]\nrequire_positive = true\n", "encoding = \"woe\"");
    refused("standardise", "[vertical.selection]\nmax_correlation = 0.9\n", "encoding = \"woe\"");
    refused("woe", "[vertical.selection]\nmax_correlation = 0.0\n", "above 0, at most 1");
    let batches = "[vertical.selection]\nrequire_positive = true\n[vertical.fit]\noptimiser = \"minibatch\"\n";
    refused("woe", batches, "full-batch");
    // What a job does not say applies where it can.
    let reviews = |encoding: &str, more: &str| {
        let text = job(2, 3, encoding, "").replace("[vertical.alignment]", &format!("{more}[vertical.alignment]"));
        spec(&text).vertical.expect("vertical").reviews()
    };
    assert!(reviews("woe", "") && !reviews("standardise", ""));
    assert!(!reviews("woe", "[vertical.fit]\noptimiser = \"minibatch\"\n"));
    assert!(!reviews("woe", "[vertical.selection]\nrequire_positive = false\n"));
}

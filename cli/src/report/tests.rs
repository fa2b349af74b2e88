//! The page as a whole: all sections, nothing from outside, nothing that a hostile name could break.

use haihe_models::table::{Column, ColumnKind, Split, Table};
use haihe_protocol::{
    horizontal::{Next, Plan, scorecard::ScorecardResult},
    id::PartyId,
    job::JobSpec,
};

use super::{data::*, render, words};

const JOB: &str = r#"
[job]
name = "Three banks"
parties = ["bj", "tj", "he"]
[data]
view = "firms"
key = "id"
label = "y"
split = { column = "set" }
[[data.columns]]
name = "debt_ratio"
kind = "numeric"
[[data.columns]]
name = "debt_twin"
kind = "numeric"
[[data.columns]]
name = "noise"
kind = "numeric"
[[data.columns]]
name = "industry"
kind = "categorical"
levels = ["cable", "cashmere"]
[scorecard.scaling]
population_bad_rate = 0.1
[scorecard.evaluation]
per_party = true
[scorecard.local]
recalibrate = "points"
"#;

/// Firms of one party; worse with more debt, better in cashmere.
fn table(spec: &JobSpec, seed: u64) -> Table {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    let (mut debt, mut noise, mut industry, mut label, mut split) = (vec![], vec![], vec![], vec![], vec![]);
    for row in 0..1200 {
        let (d, level) = (uniform(), u32::from(uniform() < 0.4));
        label.push(uniform() < 0.3 + 0.5 * d - 0.28 * f64::from(level));
        debt.push(if row % 20 == 0 { f64::NAN } else { d });
        noise.push(uniform());
        industry.push(level);
        split.push(if row % 3 == 0 { Split::Test } else { Split::Train });
    }
    let twin = debt.iter().map(|d| d * 2.0 + 1.0).collect();
    let columns =
        vec![Column::Numeric(debt), Column::Numeric(twin), Column::Numeric(noise), Column::Categorical(industry)];
    Table { specs: spec.data.columns.clone(), columns, label, split, firms: None }
}

/// A job of three banks, run in the clear.
fn sample() -> Report {
    let spec = JobSpec::parse(JOB).expect("a job");
    let ids = spec.job.parties.clone();
    let tables: Vec<Table> = (1..=3).map(|seed| table(&spec, seed)).collect();
    let (mut plan, mut rounds) = (Plan::begin(&spec), Vec::new());
    let result: ScorecardResult = loop {
        let vectors = tables.iter().zip(0u32..);
        let vectors: Vec<_> = vectors.map(|(t, i)| plan.task().perform(&spec, t, i, 3).expect("a vector")).collect();
        let sum: Vec<f64> = (0..vectors[0].len()).map(|at| vectors.iter().map(|v| v[at]).sum()).collect();
        let (summary, next) = plan.absorb(&spec, &sum, &ids).expect("a sum");
        let (round, dimension) = (rounds.len() as u64 + 1, sum.len() as u64);
        rounds.push(RoundFacts { round, contributors: 3, dimension, bytes: 9_000, milliseconds: 40, summary });
        match next {
            Next::Continue(next) => plan = *next,
            Next::Finished(json) => break serde_json::from_str(&json).expect("a result"),
        }
    };
    let figures = |auc| Some(Figures { auc, ks: 0.3, brier: 0.2 });
    let model = |name: &str, auc: f64| ComparedModel {
        name: name.to_owned(),
        all: figures(auc),
        own: vec![figures(auc); 3],
        note: String::new(),
    };
    let mut failed = model("he alone", 0.5);
    (failed.all, failed.own) = (None, vec![None; 3]);
    failed.note = "one class only".to_owned();
    let parties = ids.iter().map(|p| PartyFacts {
        party: p.clone(),
        label: format!("Bank {p}"),
        label_zh: "银行".to_owned(),
        bytes_sent: 1_000,
    });
    let leaks = crate::leaks::tests::sample(&ids, &rounds, &result);
    Report {
        name: "Three banks".to_owned(),
        job: "0123456789ab".to_owned(),
        federation: "jingjinji".to_owned(),
        opened: "2026-11-21T08:00:00Z".to_owned(),
        seconds: 3.5,
        scheme: "lattice".to_owned(),
        committee: CommitteeFacts { members: 3, privacy_threshold: 1, answers_needed: 3, minimum_contributors: 3 },
        parties: parties.collect(),
        contributions: [3 * rounds.len() as u64, 0, 0],
        rounds,
        result,
        comparison: Some(Comparison {
            parties: ids.clone(),
            within: Within {
                alone: 0.66,
                federated: 0.7,
                adapted: Some(0.71),
                pooled: 0.7,
                mean_of_scores: 0.69,
                parties: 3,
                without_model: 1,
            },
            models: vec![
                model("federated", 0.7),
                model("federated, adapted", 0.71),
                model("pooled", 0.7),
                model("mean of scores", 0.69),
                model("bj alone", 0.72),
                model("tj alone", 0.6),
                failed,
            ],
            max_relative_coefficient_difference: 1e-8,
            losers: vec![(ids[0].clone(), 0.72, 0.7)],
            losers_adapted: vec![(ids[0].clone(), 0.72, 0.71)],
        }),
        leaks,
        notes: vec![],
    }
}

/// What must hold for every page.
pub(super) fn check(html: &str) {
    for outside in ["http://", "https://", "src=", "url(", "@import", "<link", "<script", "<iframe", "<img"] {
        assert!(!html.contains(outside), "{outside}");
    }
    for broken in ["NaN", "inf", "{{", "{%", "-0.000", "Some("] {
        let spared =
            html.replace("information", "").replace("informative", "").replace("infer", "").replace("inflation", "");
        assert!(!spared.contains(broken), "{broken}");
    }
    for tag in [
        "section", "table", "tbody", "svg", "figure", "span", "div", "p", "ul", "dl", "tr", "td", "th", "text", "title",
    ] {
        let (open, close) = (
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count(),
            html.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(open, close, "<{tag}>");
    }
    let mut ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "an id is used twice");
    for (name, _) in
        html.match_indices("aria-labelledby=\"").map(|(at, m)| html[at + m.len()..].split_once('"').expect("quoted"))
    {
        assert!(name.split(' ').all(|id| ids.binary_search(&id).is_ok()), "{name}");
    }
}

#[test]
fn all_sections_are_there() {
    let report = sample();
    let html = render(&report);
    check(&html);
    for section in ["comparison", "performance", "scorecard", "privacy", "notes"] {
        assert!(
            html.contains(&format!("<section id=\"{section}\">")) && html.contains(&format!("href=\"#{section}\"")),
            "{section}"
        );
    }
    for chart in [
        "roc",
        "ks",
        "distribution",
        "own-0",
        "own-2",
        "calibration",
        "likelihood",
        "steps",
        "correlations",
        "compared",
    ] {
        assert!(html.contains(&format!("<title id=\"{chart}-t\">")), "{chart}");
    }
    let dropped = &report.result.selection.dropped;
    assert!(!dropped.is_empty() && dropped.iter().all(|d| html.contains(&words::reason(&d.reason).en)), "{dropped:?}");
    let auc = report.result.evaluation.test.ranking.expect("both classes").auc;
    for text in [
        "Rows sent: 0.",
        "发送的数据行：0。",
        &format!("{auc:.4}"),
        "debt_ratio",
        "Bank bj",
        "own <span lang=\"zh-CN\">单独</span> AUC 0.7200",
        "After adapting, 1 of 3 still ranks better with its own model",
        "适配</span> 0.7100 (−0.0100)",
        "one class only",
        "default-src 'none'",
        "risk",
        "坏账率",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("had no encryption"));
}

#[test]
fn counts_below_the_floor_are_not_shown() {
    let mut report = sample();
    let bin = &mut report.result.scorecard.variables[0].binning.bins[0];
    (bin.good, bin.bad, bin.neutral, bin.suppressed_below) = (0.0, 0.0, true, Some(30.0));
    let html = render(&report);
    check(&html);
    assert!(html.contains("suppressed 已隐去 (&lt; 30)") || html.contains("suppressed 已隐去 (&#60; 30)"));
}

#[test]
fn a_job_without_adaptation_says_nothing_of_it() {
    let mut report = sample();
    let comparison = report.comparison.as_mut().expect("one");
    comparison.within.adapted = None;
    comparison.losers_adapted.clear();
    comparison.models.retain(|m| m.name != "federated, adapted");
    let html = render(&report);
    check(&html);
    assert!(!html.contains("After adapting") && !html.contains("adapted 本地适配"));
}

#[test]
fn the_same_report_gives_the_same_page() {
    let report = sample();
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).expect("JSON")).expect("a report");
    assert_eq!(render(&report), render(&again));
}

#[test]
fn hostile_names_stay_text() {
    const EVIL: &str = "</title></script><script>alert(1)</script><img/x onerror='y' \"z\"> & {{ 7*7 }} ]]>";
    let mut report = sample();
    let evil = || EVIL.to_owned();
    (report.name, report.job, report.federation, report.opened, report.scheme) =
        (evil(), evil(), evil(), evil(), evil());
    for party in &mut report.parties {
        (party.label, party.label_zh) = (evil(), evil());
    }
    let note = || Note { en: evil(), zh: evil() };
    for class in &mut report.leaks.classes {
        (class.class, class.class_zh, class.route, class.receiver) = (evil(), evil(), note(), note());
    }
    for collusion in &mut report.leaks.collusions {
        (collusion.who, collusion.can, collusion.cannot) = (note(), note(), note());
    }
    for step in &mut report.leaks.steps {
        (step.step, step.holds, step.infers) = (evil(), note(), note());
    }
    report.leaks.remarks = vec![note()];
    report.leaks.absent = vec![evil()];
    for round in &mut report.rounds {
        round.summary.text = evil();
    }
    report.notes = vec![Note { en: evil(), zh: evil() }];
    for model in &mut report.comparison.as_mut().expect("one").models {
        model.note = evil();
    }
    report.comparison.as_mut().expect("one").models.push(ComparedModel {
        name: evil(),
        all: None,
        own: vec![],
        note: evil(),
    });
    let result = &mut report.result;
    result.correlated = result.correlated.iter().map(|_| evil()).collect();
    result.selection.suspicious = vec![evil()];
    for dropped in &mut result.selection.dropped {
        dropped.column = evil();
        dropped.reason = haihe_models::selection::Reason::Correlated { with: evil(), correlation: 0.9 };
    }
    for variable in &mut result.scorecard.variables {
        variable.binning.column = evil();
        for bin in &mut variable.binning.bins {
            bin.kind = haihe_models::binning::BinKind::Levels { levels: vec![evil()], other: true };
        }
    }
    let html = render(&report);
    assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"));
    assert!(html.contains("had no encryption"));
    // The only braces in question are the name's own.
    check(&html.replace("{{ 7*7 }}", ""));
}

#[test]
fn what_is_missing_is_left_out() {
    let mut report = sample();
    report.comparison = None;
    let leaks = &mut report.leaks;
    (leaks.classes, leaks.unrecorded, leaks.absent) = (vec![], vec![], vec![]);
    (leaks.steps, leaks.collusions, leaks.remarks) = (vec![], vec![], vec![]);
    report.rounds.clear();
    let result = &mut report.result;
    result.evaluation.per_party.clear();
    result.evaluation.test_recalibrated = None;
    result.evaluation.stability = None;
    result.correlation.vif = None;
    result.scorecard.scaling.population_bad_rate = None;
    let html = render(&report);
    check(&html);
    assert!(html.contains("There is no comparison in this report"));
    assert!(html.contains("does not ask for figures per party"));

    let grid = report.result.evaluation.grid;
    let empty = haihe_models::metrics::ScoreHistogram { good: vec![0.0; grid.cells], bad: vec![0.0; grid.cells] };
    let test = &mut report.result.evaluation.test;
    (test.ranking, test.calibration, test.brier, test.histogram) = (None, None, None, empty);
    report.result.selection.dropped.clear();
    report.result.scorecard.variables.clear();
    report.result.scorecard.condition_number = f64::INFINITY;
    report.result.fit.null_log_likelihood = 0.0;
    report.parties.clear();
    report.seconds = f64::NAN;
    check(&render(&report));
}

#[test]
fn thirty_parties_fit() {
    let mut report = sample();
    let ids: Vec<PartyId> = (8..38).map(|i| PartyId::new(format!("lender-{i:02}")).expect("an id")).collect();
    report.parties = ids
        .iter()
        .map(|p| PartyFacts { party: p.clone(), label: String::new(), label_zh: String::new(), bytes_sent: 0 })
        .collect();
    let comparison = report.comparison.as_mut().expect("one");
    let figures = Some(Figures { auc: 0.7, ks: 0.3, brier: 0.2 });
    for (model, id) in comparison.models.iter_mut().skip(4).zip(&ids) {
        model.name = format!("{id} alone");
    }
    for model in &mut comparison.models {
        model.own = vec![figures; 30];
    }
    comparison.parties = ids.clone();
    comparison.losers.clear();
    comparison.losers_adapted.clear();
    let html = render(&report);
    check(&html);
    assert!(html.contains("federated − alone") && html.contains("No party loses"));
    assert!(html.contains("lender-37"));
}

#[test]
fn the_sample_has_what_the_tests_need() {
    let spec = JobSpec::parse(JOB).expect("a job");
    assert!(matches!(spec.data.columns[3].kind, ColumnKind::Categorical { .. }));
    let result = sample().result;
    let names: Vec<_> = result.selection.dropped.iter().map(|d| (&d.column, &d.reason)).collect();
    assert!(result.scorecard.variables.len() >= 2 && names.len() >= 2, "{names:?}");
}

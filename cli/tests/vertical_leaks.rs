//! The leak report of vertical jobs against what their parties really write to each other.

use std::collections::{BTreeMap, BTreeSet};

use haihe_cli::leaks::{VerticalFacts, VerticalLeakReport, vertical};
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_privacy::digest::Digest;
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    vertical::{
        Inbox, Outbox,
        work::{Firms, FirmsAnnounced, JointResult, LetterKind, Place, Work},
    },
};

fn job(holders: usize, encoding: &str) -> JobSpec {
    let names = ["bank", "core", "tax"];
    let parties = &names[..=holders];
    let mut text = format!(
        "[job]\nname = \"<Leaks> & more\"\nparties = {parties:?}\n[vertical]\nlabel_holder = \"bank\"\nencoding = \"{encoding}\"\n\
         [vertical.alignment]\nkey_kind = \"text\"\nmin_common = 50\n[vertical.regression]\nmax_passes = 3\n[vertical.woe]\nmin_iv = 0\n"
    );
    for (p, party) in parties.iter().enumerate() {
        let label = if p == 0 { "label = \"y\"\n" } else { "" };
        let columns: Vec<String> = (0..4).map(|c| format!("{{ name = \"{party}{c}\", kind = \"numeric\" }}")).collect();
        text.push_str(&format!(
            "[[vertical.holder]]\nparty = \"{party}\"\nview = \"v\"\nkey = \"id\"\n{label}columns = [{}]\n",
            columns.join(", ")
        ));
    }
    JobSpec::parse(&text).unwrap_or_else(|p| panic!("{p:?}"))
}

fn uniform(a: u64, b: u64) -> f64 {
    let mut z = (a * 1_000_003 + b).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn firms(spec: &JobSpec, party: usize) -> Firms {
    let ids: Vec<u64> = (0..500).filter(|id| !(id + party as u64).is_multiple_of(20)).collect();
    let value = |id: u64, column: u64| uniform(id, 10 + column) - 0.5;
    let specs: Vec<ColumnSpec> = spec.vertical.as_ref().expect("vertical").holders[party].columns.clone();
    assert!(specs.iter().all(|s| s.kind == ColumnKind::Numeric));
    let column = |c: u64| Column::Numeric(ids.iter().map(|id| value(*id, 4 * party as u64 + c)).collect());
    let bad = |id: &u64| (0..12).map(|c| value(*id, c)).sum::<f64>() + uniform(*id, 1) > 1.0;
    let table = Table {
        columns: (0..4).map(column).collect(),
        label: ids.iter().map(bad).collect(),
        split: vec![Split::Train; ids.len()],
        specs,
        firms: None,
    };
    Firms { keys: ids.iter().map(|id| format!("firm-{id}")).collect(), table }
}

struct Seen {
    outboxes: Vec<Vec<Outbox>>,
    facts: VerticalFacts,
}

/// Every party takes its steps.
fn carried_out(spec: &JobSpec) -> Seen {
    let parties: Vec<PartyId> = spec.job.parties.clone();
    let place = |me| Place { session: Digest::from_bytes([9; 32]), parties: parties.clone(), me };
    let firms: Vec<Firms> = (0..parties.len()).map(|p| firms(spec, p)).collect();
    let mut works: Vec<Work> =
        (0..parties.len()).map(|me| Work::begin(spec, &place(me), [me as u8 + 1; 32], None).expect("begins")).collect();
    let (mut inboxes, mut all) = (vec![Inbox::default(); parties.len()], Vec::<Vec<Outbox>>::new());
    loop {
        let mut outboxes = Vec::new();
        for (me, work) in std::mem::take(&mut works).into_iter().enumerate() {
            let step = work.step(spec, &place(me), &inboxes[me], &firms[me], &mut |_, _, _| {});
            let step = step.unwrap_or_else(|e| panic!("{e}"));
            works.push(step.work);
            outboxes.push(step.outbox);
        }
        let announcements: Vec<_> = outboxes.iter().map(|o| o.announcement.clone()).collect();
        for (me, inbox) in inboxes.iter_mut().enumerate() {
            let of = |(from, o): (usize, &Outbox)| {
                let mine = o.letters.iter().filter(|l| l.to.contains(&me));
                mine.map(|l| (from, l.body.clone())).collect::<Vec<_>>()
            };
            let letters = outboxes.iter().enumerate().flat_map(of).collect();
            *inbox = Inbox { announcements: announcements.clone(), letters };
        }
        all.push(outboxes);
        if announcements.iter().all(|a| a.done) {
            let result = announcements.iter().find_map(|a| a.result_json.as_ref()).expect("a result");
            let result: JointResult = serde_json::from_str(result).expect("a result");
            let size = |o: &Outbox| -> FirmsAnnounced {
                serde_json::from_str(&o.announcement.body_json).expect("announced in the first exchange")
            };
            let sizes = parties.iter().cloned().zip(all[0].iter().map(|o| u64::from(size(o).firms))).collect();
            return Seen { outboxes: all, facts: VerticalFacts::learned("ab12", "jingjinji", sizes, &result) };
        }
    }
}

/// Letters by what their sender was doing, from the protocol's own words.
fn counted(seen: &Seen, spec: &JobSpec) -> BTreeMap<&'static str, u64> {
    let n = spec.job.parties.len();
    let woe = spec.vertical.as_ref().is_some_and(|v| v.encoding == haihe_protocol::vertical::Encoding::Woe);
    let mut counts = BTreeMap::new();
    for outbox in seen.outboxes.iter().flatten() {
        let phase = outbox.announcement.phase.as_str();
        let step = phase.strip_prefix("align ").and_then(|p| p.split('/').next()).and_then(|s| s.parse::<usize>().ok());
        let kind = match (phase, step) {
            ("align: announce", _) => "PairSeed",
            (_, Some(step)) if step < n => "Points",
            (_, Some(step)) if step == n => "Tags",
            (_, Some(_)) => "Positions",
            ("counts per bin", _) => "Counts",
            ("bins with enough firms", _) => "Binned",
            ("scores of the common firms", _) => "PartialScores",
            (p, _) if p.starts_with("aligned: ") => "Opening",
            (p, _) if p.ends_with("products") => "Products",
            (p, _) if p.ends_with("products decrypted") => "Opened",
            (p, _) if p.ends_with("direction") => "Masked",
            (p, _) if p.ends_with("review") => "Reviewed",
            (p, _) if p.contains("loss") => "Ask",
            _ => "nothing",
        };
        *counts.entry(kind).or_insert(0) += outbox.letters.len() as u64;
    }
    counts.retain(|_, n| *n > 0);
    assert!(woe || !counts.contains_key("Counts"));
    counts
}

fn has_both(text: &haihe_cli::report::data::Note) -> bool {
    !text.en.is_empty() && text.zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[test]
fn the_report_has_every_kind_of_letter_that_was_sent_and_no_other() {
    for (holders, encoding) in [(1, "standardise"), (2, "woe")] {
        let spec = job(holders, encoding);
        let seen = carried_out(&spec);
        let report = vertical(&spec, &seen.facts).expect("a vertical job");
        let told: BTreeMap<&str, u64> = report
            .classes
            .iter()
            .filter(|c| !["Announcement", "Result"].contains(&c.kind.as_str()))
            .map(|c| (c.kind.as_str(), c.count))
            .collect();
        assert_eq!(told, counted(&seen, &spec), "{holders} holders, {encoding}");
        let heads = report.classes.iter().find(|c| c.kind == "Announcement").expect("always there");
        assert_eq!(heads.count as usize, seen.outboxes.iter().map(Vec::len).sum::<usize>());
        let all: BTreeSet<String> = LetterKind::ALL.iter().map(|k| format!("{k:?}")).collect();
        let spoken: BTreeSet<String> =
            told.keys().map(|k| (*k).to_owned()).chain(report.absent.iter().cloned()).collect();
        assert_eq!(spoken, all, "every kind of letter that the program can write is spoken of");
    }
}

fn whole(report: &VerticalLeakReport) -> String {
    serde_json::to_string(report).expect("JSON")
}

#[test]
fn the_report_has_the_jobs_numbers_in_both_languages() {
    let spec = job(1, "standardise");
    let seen = carried_out(&spec);
    let report = vertical(&spec, &seen.facts).expect("a vertical job");
    let n = &report.numbers;
    assert_eq!((n.feature_holders, n.passes, n.feature_columns, n.intersections), (1, 3, 4, 1));
    assert_eq!(n.common, n.training);
    let masked = report.classes.iter().find(|c| c.kind == "Masked").expect("was sent");
    for text in ["In each of 3 passes core's score", "3 combinations of its 4 columns", &format!("({})", n.training)] {
        assert!(masked.receiver.en.contains(text), "{text}: {}", masked.receiver.en);
    }
    assert!(masked.protected_by.en.contains("at most 3 directions"), "{}", masked.protected_by.en);
    assert!(report.remarks[0].en.contains("core is the only feature holder"));

    let two = job(2, "woe");
    let seen = carried_out(&two);
    let mixed = vertical(&two, &seen.facts).expect("a vertical job");
    assert_eq!((mixed.numbers.feature_holders, mixed.numbers.intersections), (2, 4));
    let all_but_one = mixed.poolings.iter().find(|p| p.key == "label_holder_and_all_but_one").expect("two holders");
    assert!(all_but_one.can.en.contains("bank + tax see core's scores; bank + core see tax's scores"));
    for report in [&report, &mixed] {
        for c in &report.classes {
            let texts = [&c.name, &c.route, &c.receiver, &c.outsider, &c.protected_by];
            assert!(texts.into_iter().all(has_both), "{c:?}");
        }
        assert!(report.poolings.iter().all(|p| [&p.who, &p.can, &p.cannot].into_iter().all(has_both)));
        assert!(report.remarks.iter().all(has_both));
        let read: VerticalLeakReport = serde_json::from_str(&whole(report)).expect("read again");
        assert_eq!(&read, report);
    }
}

#[test]
fn the_fragment_is_escaped_and_the_text_is_complete() {
    let spec = job(2, "woe");
    let facts = VerticalFacts { passes: 3, common: 450, training: 450, ..VerticalFacts::default() };
    let report = vertical(&spec, &facts).expect("a vertical job");
    let (html, text) = (report.html(), report.text());
    assert!(html.starts_with("<section id=\"leaks\">") && html.trim_end().ends_with("</section>"));
    assert!(text.contains("<Leaks> & more") && !html.contains("<Leaks>"));
    for class in &report.classes {
        assert!(html.contains(class.name.zh.as_str()) && text.contains(&class.name.en), "{}", class.kind);
    }
    for pooling in &report.poolings {
        assert!(html.contains(pooling.who.zh.as_str()) && text.contains(&pooling.who.en), "{}", pooling.key);
    }
    // Firms that are scored with an earlier model: no labels, no passes.
    let mut scoring = spec.clone();
    scoring.scoring = Some(haihe_protocol::vertical::ScoringOptions { model: "00".to_owned(), may_be_absent: vec![] });
    let report = vertical(&scoring, &VerticalFacts { passes: 0, ..facts }).expect("a vertical job");
    assert!(["Opening", "Masked", "Products"].iter().all(|k| report.absent.iter().any(|a| a == k)));
    assert!(!report.poolings.iter().any(|p| p.key == "dishonest_feature_holder"));
}

#[test]
fn horizontal_jobs_have_another_report() {
    let toml = "[job]\nname = \"h\"\nparties = [\"a\", \"b\", \"c\"]\n[data]\nview = \"v\"\nkey = \"k\"\nlabel = \"y\"\n\
                columns = [{ name = \"x\", kind = \"numeric\" }]\n[scorecard]\n";
    let spec = JobSpec::parse(toml).unwrap_or_else(|p| panic!("{p:?}"));
    assert!(vertical(&spec, &VerticalFacts::default()).is_none());
}

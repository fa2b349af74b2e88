//! The page: what the templates show, put together from the reports.

use askama::Template;
use haihe_models::export::{Term, terms};

use super::{
    super::{
        format::{bytes, duration, time, whole},
        privacy,
        words::{self, GLOSSARY, both},
    },
    anomaly,
    data::{LearnedReport, Learnt, Note, Reports, SetReport, Silo},
    network, traffic,
};
use crate::leaks::encrypts;

#[derive(Template)]
#[template(path = "report/learned/page.html")]
struct Page<'a> {
    reports: &'a Reports,
    kind: Note,
    opened: String,
    federation: &'a str,
    only_job: Option<&'a str>,
    unencrypted: Vec<&'a str>,
    parties: Vec<Note>,
    facts: Vec<(Note, String)>,
    comparisons: Vec<(Note, anomaly::ComparisonView, &'a [Silo])>,
    sets: Vec<SetView>,
    traffic: Vec<TrafficView<'a>>,
    leaks: Vec<(&'a str, Note, &'a [Note], String)>,
    has_network: bool,
    has_anomaly: bool,
    glossary: Vec<&'static (Term, &'static str, &'static str)>,
    version: &'static str,
}

struct SetView {
    id: String,
    nav: Note,
    heading: Note,
    /// One finished part per job.
    jobs: Vec<String>,
}

struct TrafficView<'a> {
    name: &'a str,
    method: Note,
    steps: Vec<traffic::StepRow>,
    rounds: String,
    bytes: String,
    seconds: String,
    /// Who sent how much.
    sent: String,
}

#[derive(Template)]
#[template(path = "report/learned/anomaly.html")]
struct AnomalyPart<'a> {
    id: &'a str,
    name: &'a str,
    method: Note,
    v: anomaly::View,
}

#[derive(Template)]
#[template(path = "report/learned/network.html")]
struct NetworkPart<'a> {
    id: &'a str,
    name: &'a str,
    v: network::View,
}

const PLAIN: &str = "writing plain values to a string cannot fail";

/// The page of all jobs.
pub(super) fn page(reports: &Reports) -> String {
    let jobs: Vec<&LearnedReport> = reports.jobs().collect();
    let first = jobs.first();
    let has_network = jobs.iter().any(|j| matches!(j.learnt, Learnt::Network(_)));
    let has_anomaly = jobs.iter().any(|j| matches!(j.learnt, Learnt::Anomaly(_)));
    let page = Page {
        kind: match (has_network, jobs.len()) {
            (true, _) => both("Credit network", "信用网络报告"),
            (false, _) => both("Anomaly report", "异常检测报告"),
        },
        opened: first.map_or_else(String::new, |j| time(&j.opened)),
        federation: first.map_or("", |j| &j.federation),
        only_job: first.filter(|_| jobs.len() == 1).map(|j| j.job.as_str()),
        unencrypted: jobs.iter().filter(|j| !encrypts(&j.scheme)).map(|j| j.name.as_str()).collect(),
        parties: first.map_or_else(Vec::new, |j| j.parties.iter().map(words::party).collect()),
        facts: facts(reports),
        comparisons: comparisons(reports),
        sets: reports.sets.iter().enumerate().map(|(at, s)| set(at, s)).collect(),
        traffic: jobs.iter().map(|j| traffic_of(j)).collect(),
        leaks: jobs
            .iter()
            .map(|j| {
                let remarks = j.leaks.remarks.as_slice();
                (j.name.as_str(), method(j), remarks, privacy::tables(&j.leaks, &j.committee))
            })
            .collect(),
        has_network,
        has_anomaly,
        glossary: GLOSSARY.iter().filter(|(term, ..)| used(has_network).contains(&term.en)).collect(),
        version: env!("CARGO_PKG_VERSION"),
        reports,
    };
    page.render().expect(PLAIN)
}

/// Terms of the glossary that the page uses.
fn used(network: bool) -> Vec<&'static str> {
    let mut used =
        vec![terms::KS.en, terms::SECURE_SUM.en, terms::PARTICIPANT.en, terms::COORDINATOR.en, terms::ROUND.en];
    if network {
        used.extend(
            [terms::AUC, terms::BRIER, terms::CALIBRATION, terms::STABILITY_INDEX, terms::LOG_ODDS].map(|t| t.en),
        );
    }
    used
}

fn method(job: &LearnedReport) -> Note {
    match &job.learnt {
        Learnt::Anomaly(facts) => anomaly::method(&facts.method),
        Learnt::Network(_) => both("Credit network", "信用网络"),
    }
}

fn facts(reports: &Reports) -> Vec<(Note, String)> {
    let sum = |of: &dyn Fn(&LearnedReport) -> u64| reports.jobs().map(of).sum::<u64>();
    let [accepted, rejected, late] = [0, 1, 2].map(|i| whole(sum(&|j| j.contributions[i])));
    let mut facts = Vec::new();
    if reports.jobs().count() > 1 {
        facts.push((both("jobs", "任务"), reports.jobs().count().to_string()));
    }
    facts.extend([
        (both("rounds", "轮次"), whole(sum(&|j| j.rounds.len() as u64))),
        (both("wall-clock time of the jobs", "任务用时"), duration(reports.jobs().map(|j| j.seconds).sum())),
        (both("sent by the parties", "参与方发送"), bytes(sum(&LearnedReport::bytes_sent))),
        (
            both("contributions accepted, rejected, late", "贡献：接受、拒绝、迟到"),
            format!("{accepted}, {rejected}, {late}"),
        ),
    ]);
    facts
}

fn comparisons(reports: &Reports) -> Vec<(Note, anomaly::ComparisonView, &[Silo])> {
    let of = |s| anomaly::comparison(s).map(|view| (s.title.clone(), view, s.silos.as_slice()));
    reports.sets.iter().filter_map(of).collect()
}

fn set(at: usize, set: &SetReport) -> SetView {
    let jobs = set.jobs.iter().enumerate().map(|(job, report)| part(&format!("j{at}-{job}"), report));
    let untitled = set.title.en.is_empty();
    SetView {
        id: format!("set-{at}"),
        nav: if untitled { both("Result", "结果") } else { both(set.key.as_str(), "") },
        heading: if untitled { both("Result", "结果") } else { set.title.clone() },
        jobs: jobs.collect(),
    }
}

fn part(id: &str, report: &LearnedReport) -> String {
    let name = report.name.as_str();
    match &report.learnt {
        Learnt::Anomaly(facts) => {
            let v = anomaly::view(id, report, facts);
            AnomalyPart { id, name, method: anomaly::method(&facts.method), v }.render()
        }
        Learnt::Network(facts) => NetworkPart { id, name, v: network::view(id, facts) }.render(),
    }
    .expect(PLAIN)
}

fn traffic_of(job: &LearnedReport) -> TrafficView<'_> {
    let sent: Vec<String> = job.parties.iter().map(|p| format!("{} {}", p.party, bytes(p.bytes_sent))).collect();
    TrafficView {
        name: &job.name,
        method: method(job),
        steps: traffic::steps(job),
        rounds: whole(job.rounds.len() as u64),
        bytes: bytes(job.bytes_sent()),
        seconds: duration(job.seconds),
        sent: sent.join(", "),
    }
}

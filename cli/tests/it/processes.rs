//! Real processes over mutual TLS. Every test works in its own folder and on a free port.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use haihe_cli::{
    client::Operator,
    town::{Process, Town},
};
use haihe_protocol::{
    horizontal::scorecard::ScorecardResult,
    id::PartyId,
    job::JobSpec,
    journal::{self, Event},
};
use haihe_simulations::bundled;
use rustix::process::Signal;

pub const JOB: &str = include_str!("../../../simulations/jobs/sba-scorecard.toml");
const LIMIT: Duration = Duration::from_secs(120);

pub struct Stage {
    _folder: tempfile::TempDir,
    data: PathBuf,
    pub town: Town,
    pub spec: JobSpec,
}

impl Stage {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let data = folder.path().join("data");
        bundled::write_sba_silos(&data).expect("data");
        let spec = JobSpec::parse(JOB).expect("the job is valid");
        let town = Town::build(&folder.path().join("town"), &spec.job.parties).expect("town");
        Self { data, town, spec, _folder: folder }
    }

    pub fn file(&self, party: &PartyId) -> PathBuf {
        self.data.join(party.as_str()).join("loans.csv")
    }

    pub fn participant(&self, party: &PartyId, url: &str) -> Process {
        self.town.start_participant(party, url, &self.file(party), &self.spec).expect("participant starts")
    }

    fn participants(&self, url: &str) -> Vec<Process> {
        self.spec.job.parties.iter().map(|p| self.participant(p, url)).collect()
    }

    pub async fn operator(&self, url: &str) -> Operator {
        let since = Instant::now();
        loop {
            match Operator::connect(&self.town.operator(url)).await {
                Ok(operator) => return operator,
                Err(error) => assert!(since.elapsed() < LIMIT, "{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self, member: &str) -> String {
        fs::read_to_string(self.town.folder(member).join("log")).unwrap_or_default()
    }

    /// Waits for the end of the job, whatever happens to the connection meanwhile.
    async fn finished(&self, url: &str, job: &str) -> haihe_proto::v1::JobStatus {
        let since = Instant::now();
        loop {
            let mut operator = self.operator(url).await;
            if let Ok(status) = operator.status(job).await
                && ["finished", "failed", "cancelled"].contains(&status.phase.as_str())
            {
                return status;
            }
            assert!(since.elapsed() < LIMIT, "the job does not end; coordinator:\n{}", self.log("coordinator"));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The result of a finished job; its journal's chain holds and every party contributed once per opened sum.
    async fn result(&self, url: &str, job: &str) -> ScorecardResult {
        let mut operator = self.operator(url).await;
        let entries = operator.journal(job).await.expect("journal");
        journal::verify(&entries).expect("the chain holds");
        let mut seen = std::collections::BTreeSet::new();
        for entry in &entries {
            if let Event::ContributionAccepted { contribution, .. } = entry.event().expect("an event") {
                let new = seen.insert((contribution.round, contribution.party.clone()));
                assert!(new, "{} contributed twice to round {}", contribution.party, contribution.round);
            }
        }
        let json = operator.result(job).await.expect("result");
        serde_json::from_str(&json).expect("a scorecard result")
    }
}

/// The pooled twin: what any federation over the same files must learn, whoever was killed when.
async fn pooled(stage: &Stage) -> haihe_models::pooled::Trained {
    let files: Vec<_> = stage.spec.job.parties.iter().map(|p| (p.clone(), stage.file(p))).collect();
    let tables = haihe_simulations::scenario::load_tables(&stage.spec, &files).await.expect("tables");
    let tables: Vec<_> = tables.iter().map(|(_, table)| table.as_ref()).collect();
    let options = stage.spec.scorecard.as_ref().expect("a scorecard job").learning();
    haihe_models::pooled::train(&tables, &options).expect("pooled training")
}

fn assert_same(result: &ScorecardResult, pooled: &haihe_models::pooled::Trained) {
    assert_eq!(result.fit.coefficients.len(), pooled.fit.coefficients.len());
    for (ours, twin) in result.fit.coefficients.iter().zip(&pooled.fit.coefficients) {
        assert_eq!(ours.column, twin.column);
        let scale = twin.value.abs().max(twin.standard_error);
        let difference = (ours.value - twin.value).abs() / scale;
        assert!(difference < 1e-3, "{}: {} against {}", ours.column, ours.value, twin.value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_killed_again_and_again_finishes_with_the_same_scorecard() {
    let stage = Stage::new();
    let (mut coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let participants = stage.participants(&url);
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    // Pauses of no particular rhythm, so that every phase is hit over time.
    let mut kills = 0;
    for pause in [40u64, 130, 75, 210, 95, 160, 55, 120] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let status = stage.operator(&url).await.status(&job).await;
        if status.is_ok_and(|s| s.phase == "finished") {
            break;
        }
        coordinator.kill().expect("killed");
        kills += 1;
        (coordinator, _) = stage.town.start_coordinator(Some(&url)).expect("coordinator starts again");
    }
    assert!(kills >= 2, "the job was over before anything could be killed");
    let status = stage.finished(&url, &job).await;
    assert_eq!(status.phase, "finished", "{}", status.detail);
    assert_same(&stage.result(&url, &job).await, &pooled(&stage).await);
    for participant in participants {
        participant.stop().expect("a participant stops cleanly");
    }
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn participants_killed_again_and_again_finish_with_the_same_scorecard() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let mut participants = stage.participants(&url);
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let parties = stage.spec.job.parties.clone();
    let mut kills = 0;
    for (i, pause) in [60u64, 140, 90, 35, 170, 110].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if stage.operator(&url).await.status(&job).await.is_ok_and(|s| s.phase == "finished") {
            break;
        }
        participants.remove(0).kill().expect("killed");
        kills += 1;
        participants.push(stage.participant(&parties[i % parties.len()], &url));
    }
    assert!(kills >= 2, "the job was over before anybody could be killed");
    let status = stage.finished(&url, &job).await;
    assert_eq!(status.phase, "finished", "{}", status.detail);
    assert_same(&stage.result(&url, &job).await, &pooled(&stage).await);
    drop(participants);
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_participant_is_waited_for_and_named() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let participants = stage.participants(&url);
    participants[2].signal(Signal::STOP).expect("frozen");
    let mut operator = stage.operator(&url).await;
    let job = operator.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let since = Instant::now();
    loop {
        let status = operator.status(&job).await.expect("status");
        if status.parties.iter().filter(|p| p.state == "joined").count() == 2 {
            assert!(status.detail.contains(stage.spec.job.parties[2].as_str()), "{}", status.detail);
            break;
        }
        assert!(since.elapsed() < LIMIT, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    participants[2].signal(Signal::CONT).expect("thawed");
    assert_eq!(stage.finished(&url, &job).await.phase, "finished");
    drop(participants);
    coordinator.stop().expect("the coordinator stops cleanly");
}

/// What must stay in a vault or in a bank's file is nowhere else: not in logs, not in the coordinator's journals.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_rows_are_in_no_log_and_no_journal() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let participants = stage.participants(&url);
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    assert_eq!(stage.finished(&url, &job).await.phase, "finished");
    let entries = stage.operator(&url).await.journal(&job).await.expect("journal");
    let mut said: String = entries.iter().map(|e| e.body_json.as_str()).collect();
    said.push_str(&stage.log("coordinator"));
    let mut secrets = Vec::new();
    for party in &stage.spec.job.parties {
        said.push_str(&stage.log(party.as_str()));
        let vault = stage.town.folder(party.as_str()).join("state/vault").join(&job);
        said.push_str(&fs::read_to_string(vault.join("journal.jsonl")).expect("the participant's journal"));
        let since = Instant::now();
        loop {
            let record: serde_json::Value =
                serde_json::from_slice(&fs::read(vault.join("job.json")).expect("a record")).expect("JSON");
            if record["sealing_key"].is_null() {
                break;
            }
            assert!(since.elapsed() < LIMIT, "{party} keeps the sealing key of a job that is over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for key in ["tls.key", "signing.key"] {
            let pem = fs::read_to_string(stage.town.folder("pki").join(party.as_str()).join(key)).expect("a key");
            secrets.extend(pem.lines().filter(|l| !l.starts_with('-')).map(str::to_owned));
        }
        let file = fs::read_to_string(stage.file(party)).expect("rows");
        secrets.extend(file.lines().skip(1).take(50).map(str::to_owned));
    }
    assert!(secrets.len() > 100 && said.len() > 100_000, "the test looks at something");
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} was written where it does not belong");
    }
    for participant in participants {
        participant.stop().expect("a participant stops cleanly");
    }
    coordinator.stop().expect("the coordinator stops cleanly");
}

fn spoil(path: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).expect("a data file");
    fs::write(path, change(&text)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_are_declined_before_any_round() {
    let stage = Stage::new();
    let he = &stage.spec.job.parties[2];
    // One firm twice.
    spoil(&stage.file(he), |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.push(lines[1]);
        lines.join("\n") + "\n"
    });
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let participants = stage.participants(&url);
    let job = stage.operator(&url).await.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let status = stage.finished(&url, &job).await;
    assert_eq!(status.phase, "failed");
    assert!(status.detail.contains(&format!("{he} declined")), "{}", status.detail);
    assert_eq!(status.rounds_closed, 0);
    // The bank's own engineer reads which column and how many rows; the others do not.
    let log = stage.log(he.as_str());
    assert!(log.contains("loan_id"), "{log}");
    drop(participants);
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_cannot_operate_and_a_stranger_cannot_connect() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let mut as_bank = stage.town.operator(&url);
    as_bank.operator = as_bank.operator.with_file_name(stage.spec.job.parties[0].as_str());
    let mut bank = Operator::connect(&as_bank).await.expect("a member may connect");
    let refused = bank.list().await.expect_err("only operators may list jobs").to_string();
    assert!(refused.contains("PermissionDenied") && refused.contains("operator"), "{refused}");

    let other = tempfile::tempdir().expect("temporary folder");
    let town = Town::build(&other.path().join("town"), &stage.spec.job.parties).expect("another federation");
    let refused = match Operator::connect(&town.operator(&url)).await {
        Err(_) => true,
        Ok(mut operator) => operator.list().await.is_err(),
    };
    assert!(refused, "certificates of another authority are not accepted");
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_and_the_journal_says_by_whom() {
    let stage = Stage::new();
    let (coordinator, url) = stage.town.start_coordinator(None).expect("coordinator starts");
    let mut operator = stage.operator(&url).await;
    let job = operator.submit(JOB.to_owned()).await.expect("submitted").job_id;
    let again = operator.submit(JOB.to_owned()).await.expect("submitted twice").job_id;
    assert_eq!(job, again, "the same file submitted while it runs is the same job");
    let status = operator.cancel(&job[..8], "wrong month".to_owned()).await.expect("cancelled");
    assert_eq!(status.phase, "cancelled");
    assert!(status.detail.contains("pilot-operator") && status.detail.contains("wrong month"), "{}", status.detail);
    let entries = operator.journal(&job).await.expect("journal");
    assert!(matches!(entries[1].event(), Ok(Event::JobCancelled { .. })));
    coordinator.stop().expect("the coordinator stops cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_do_not_share_a_folder() {
    let stage = Stage::new();
    let (coordinator, _) = stage.town.start_coordinator(None).expect("coordinator starts");
    let error = match stage.town.start_coordinator(None) {
        Err(error) => format!("{error:#}"),
        Ok(_) => panic!("a second coordinator runs on the same journals"),
    };
    assert!(error.contains("another coordinator uses the state folder"), "{error}");
    coordinator.stop().expect("the first one stops cleanly");
}

//! From a job's journal to the facts of its report: what crossed the wire, in which class, and who could infer what.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use haihe_protocol::{
    horizontal::scorecard::ScorecardResult,
    id::{PartyId, Timestamp},
    job::JobSpec,
    journal::{self, Entry, Event},
};
use haihe_simulations::rounds::round_facts;

use crate::report::data::{CommitteeFacts, MessageFacts, Note, PartyFacts, Report};

/// A class of messages, and what it tells whom.
struct Class {
    name: &'static str,
    route: &'static str,
    learns: &'static str,
    learns_zh: &'static str,
}

const CLASSES: [Class; 8] = [
    Class {
        name: "join",
        route: "participant → coordinator → all participants",
        learns: "Everybody learns that this institution takes part, its public keys and its certificate. Nothing about firms.",
        learns_zh: "各方得知该机构参与、其公钥与证书；不涉及任何企业信息。",
    },
    Class {
        name: "decline",
        route: "participant → coordinator",
        learns: "The coordinator learns which rules of the participant's policy or data stand against the job, without the participant's own figures.",
        learns_zh: "协调方得知参与方因哪些策略或数据规则而拒绝，不含其自身数值。",
    },
    Class {
        name: "confirmation",
        route: "participant → coordinator → all participants",
        learns: "Everybody learns that the participant accepts the roster. The nonce in it is random.",
        learns_zh: "各方得知该参与方认可名册；其中随机数不含信息。",
    },
    Class {
        name: "round specification (M1)",
        route: "coordinator → participants",
        learns: "Participants learn what earlier sums led to: grids, bins, the present coefficients. That is what the job is for; it holds statistics over all parties together, with the minimum counts of the job.",
        learns_zh: "参与方得知此前汇总结果所得：网格、分箱与当前系数；均为各方合计统计，且满足任务的最小样本数。",
    },
    Class {
        name: "contribution (M2)",
        route: "participant → coordinator",
        learns: "Nobody can open it: not the coordinator, not the other participants, not up to T of them together with the coordinator. Its size follows from the job and says nothing about the data. The time it takes to arrive may hint at the number of rows.",
        learns_zh: "任何一方都无法打开：协调方不能，其他参与方不能，协调方与至多 T 个参与方合谋也不能。其大小由任务决定，与数据无关；到达时间可能透露大致行数。",
    },
    Class {
        name: "request to answer (M3)",
        route: "coordinator → committee",
        learns: "Committee members learn who contributed. The sealed shares they can open are uniformly random on their own; more than T members would have to collude to learn a key.",
        learns_zh: "委员会成员得知哪些参与方已提交；其可解开的密钥份额单独看为均匀随机，须超过 T 名成员合谋才能得到密钥。",
    },
    Class {
        name: "answer (M4)",
        route: "committee → coordinator",
        learns: "The coordinator learns the sum of the one-time keys over the contributors, and with it the sum of their vectors: histograms of goods and bads, gradients, evaluation counts, over all contributors together. With n contributors, n - 1 colluding ones could subtract their own; the job refuses fewer than T + 2.",
        learns_zh: "协调方得到本轮一次性密钥之和，进而得到各方向量之和（好坏直方图、梯度、评估计数）。若 n 方中有 n-1 方合谋，可减去自身而得另一方；任务拒绝少于 T+2 方的求和。",
    },
    Class {
        name: "result",
        route: "coordinator → participants, operators",
        learns: "Everybody learns the scorecard, its standard errors and the evaluation. A scorecard says how groups of firms differ, with at least the job's minimum rows in every bin.",
        learns_zh: "各方得到评分卡、标准误与评估结果；评分卡描述企业群体差异，每个分箱不少于任务规定的最小行数。",
    },
];

/// Only for jobs that give every party a slot range of its own in the evaluation.
const OWN_SLOTS: (&str, &str) = (
    " This job gives every party slots of its own in the evaluation: every party and the coordinator therefore learn each party's own score histogram on its test rows, goods and bads apart, and its own Brier score. Each party's policy allowed it.",
    "本任务在评估中为每一方设独立槽位：各方与协调方因此得知每一方测试样本的评分直方图（好坏分列）与 Brier 分数；各方策略均已允许。",
);

#[derive(Default)]
struct Tally {
    count: u64,
    bytes: u64,
}

/// What the journal says about the rounds while it is read.
#[derive(Default)]
struct Reading {
    spec: Option<JobSpec>,
    name: String,
    job: String,
    opened: Timestamp,
    closed: Timestamp,
    committee: Option<CommitteeFacts>,
    parties: Vec<PartyId>,
    sent: BTreeMap<PartyId, u64>,
    tallies: [Tally; 8],
    contributions: [u64; 3],
    share_bytes: u64,
    result: Option<String>,
}

impl Reading {
    fn tally(&mut self, class: usize, count: u64, bytes: u64) {
        self.tallies[class].count += count;
        self.tallies[class].bytes += bytes;
    }

    fn read(&mut self, at: Timestamp, event: Event) -> anyhow::Result<()> {
        match event {
            Event::JobOpened { job, toml, .. } => {
                let spec = JobSpec::parse(&toml).map_err(|p| anyhow::anyhow!("the job file in the journal: {p:?}"))?;
                (self.name, self.job, self.opened) = (spec.job.name.clone(), job.to_string(), at);
                self.spec = Some(spec);
            }
            Event::Joined { join } => self.tally(0, 1, join.signing_certificate.len() as u64 + 160),
            Event::Declined { decline } => self.tally(1, 1, decline.reason.len() as u64 + 96),
            Event::Confirmed { .. } => self.tally(2, 1, 160),
            Event::RosterProposed { roster } => {
                self.parties = roster.entries.iter().map(|e| e.party.clone()).collect();
                self.committee = Some(CommitteeFacts {
                    members: roster.rule.members(),
                    privacy_threshold: roster.rule.privacy_threshold(),
                    answers_needed: roster.rule.answers_needed(),
                    minimum_contributors: roster.minimum_contributors,
                });
            }
            Event::RoundOpened { spec } => {
                let to = self.parties.len() as u64;
                self.tally(3, to, to * (spec.task_json.len() as u64 + 256));
                self.share_bytes = 0;
            }
            Event::ContributionAccepted { contribution, bytes } => {
                self.tally(4, 1, bytes);
                self.contributions[0] += 1;
                self.share_bytes += bytes - contribution.ciphertext_bytes.min(bytes);
                *self.sent.entry(contribution.party).or_default() += bytes;
            }
            Event::ContributionRejected { .. } => self.contributions[1] += 1,
            Event::ContributionLate { .. } => self.contributions[2] += 1,
            Event::ContributionsClosed { survivors, .. } => {
                let members = self.committee.as_ref().map_or(0, |c| u64::from(c.members));
                // Each member gets its shares, and every survivor's signed commitment with the digests of all shares.
                let heads = survivors.len() as u64 * members * (160 + 32 * members);
                let shares = self.share_bytes;
                self.tally(5, members, shares + heads);
            }
            Event::Answered { answer } => {
                let bytes = answer.share_sum.len() as u64;
                self.tally(6, 1, bytes);
                *self.sent.entry(answer.party).or_default() += bytes;
            }
            Event::JobFinished { result_json, .. } => {
                let to = self.parties.len() as u64;
                self.tally(7, to, to * result_json.len() as u64);
                self.closed = at;
                self.result = Some(result_json);
            }
            Event::JobFailed { reason } => bail!("the job failed, there is nothing to report: {reason}"),
            Event::JobCancelled { by, reason } => bail!("the job was cancelled by {by}: {reason}"),
            Event::SessionOpened { .. }
            | Event::SumOpened { .. }
            | Event::Objected { .. }
            | Event::RoundLost { .. } => {}
        }
        Ok(())
    }
}

/// The facts of a finished job, from its journal; verifies the chain of digests first.
///
/// `describe` gives a party's name for people, English and Chinese.
pub fn report(
    entries: &[Entry],
    federation: &str,
    scheme: &str,
    describe: impl Fn(&PartyId) -> (String, String),
    notes: Vec<Note>,
) -> anyhow::Result<Report> {
    journal::verify(entries)?;
    let mut reading = Reading::default();
    for entry in entries {
        reading.read(entry.at, entry.event()?)?;
    }
    let json = reading.result.take().context("the job is not finished; there is nothing to report yet")?;
    let result: ScorecardResult = serde_json::from_str(&json).context("the result in the journal")?;
    let own_slots = reading.spec.as_ref().and_then(|s| s.scorecard.as_ref()).is_some_and(|s| s.evaluation.per_party);
    let messages = CLASSES.iter().zip(&reading.tallies).enumerate().filter(|(_, (_, tally))| tally.count > 0);
    let messages = messages.map(|(index, (class, tally))| {
        let (mut learns, mut learns_zh) = (class.learns.to_owned(), class.learns_zh.to_owned());
        if index == 6 && own_slots {
            learns.push_str(OWN_SLOTS.0);
            learns_zh.push_str(OWN_SLOTS.1);
        }
        MessageFacts {
            name: class.name.to_owned(),
            route: class.route.to_owned(),
            count: tally.count,
            bytes: tally.bytes,
            learns,
            learns_zh,
        }
    });
    let messages = messages.collect();
    let parties = reading.parties.iter().map(|party| {
        let (label, label_zh) = describe(party);
        let bytes_sent = reading.sent.get(party).copied().unwrap_or(0);
        PartyFacts { party: party.clone(), label, label_zh, bytes_sent }
    });
    Ok(Report {
        parties: parties.collect(),
        name: reading.name,
        job: reading.job,
        federation: federation.to_owned(),
        opened: rfc3339(reading.opened),
        seconds: (reading.closed.0.saturating_sub(reading.opened.0)) as f64 / 1000.0,
        scheme: scheme.to_owned(),
        committee: reading.committee.context("the journal has no roster")?,
        rounds: round_facts(entries)?,
        contributions: reading.contributions,
        result,
        comparison: None,
        messages,
        notes,
    })
}

/// A time for people and programs.
pub fn rfc3339(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{} ms", at.0), |t| t.to_string())
}

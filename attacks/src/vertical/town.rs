//! The vertical federation under attack, and everything that its parties wrote to each other.

use anyhow::{Context, Result, ensure};
use haihe_models::{
    table::{Column, ColumnKind, ColumnSpec, Split, Table},
    vertical::{Encoded, Encoder, Features, SCORE_BITS, score::Block},
};
use haihe_privacy::{Digest, pairwise};
use haihe_protocol::{
    id::PartyId,
    job::JobSpec,
    vertical::{
        Inbox,
        work::{Firms, JointResult, Kept, Place, Work},
    },
};
use std::{collections::BTreeMap, io::Read};

const FIRMS: &[u8] = include_bytes!("../../../simulations/data/polish_year5.csv.gz");
const PARTIES: &str = include_str!("../../../simulations/data/polish_year5_parties.json");

/// Who has the labels.
pub const BANK: &str = "bank";

/// All firms, and who holds which columns.
pub struct Polish {
    keys: Vec<String>,
    label: Vec<bool>,
    split: Vec<Split>,
    columns: BTreeMap<String, Vec<f64>>,
    parties: BTreeMap<String, Vec<String>>,
}

/// A job that was carried out, and what its parties saw.
pub struct Job {
    /// The feature holders.
    pub holders: Vec<String>,
    /// Labels of the training firms, in the common order.
    pub bad: Vec<bool>,
    /// The label holder's own part of the matrix, training firms in the common order.
    pub own: Encoded,
    /// The feature holders' parts, as `holders`.
    pub parts: Vec<Encoded>,
    /// What the label holder opened in each pass: scores of the sum of all directions, as log-odds.
    pub opened: Vec<Vec<f64>>,
    /// What it published.
    pub result: JointResult,
    /// The job file.
    pub spec: JobSpec,
}

impl Polish {
    /// The bundled firms.
    pub fn load() -> Result<Polish> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(FIRMS).read_to_end(&mut text)?;
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let header = reader.headers()?.clone();
        let (mut keys, mut label, mut split) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for record in reader.records() {
            for (name, field) in header.iter().zip(&record?) {
                match name {
                    "id" => keys.push(field.to_owned()),
                    "y" => label.push(field == "1"),
                    "set" => split.push(if field == "train" { Split::Train } else { Split::Test }),
                    name if name.starts_with('a') => columns
                        .entry(name.to_owned())
                        .or_default()
                        .push(if field.is_empty() { f64::NAN } else { field.parse()? }),
                    _ => {}
                }
            }
        }
        let parties = serde_json::from_str(PARTIES).context("who holds which columns")?;
        Ok(Polish { keys, label, split, columns, parties })
    }

    /// Keys of all firms: the registry that everybody can enumerate.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    fn firms(&self, party: &str) -> Firms {
        let names = &self.parties[party];
        let specs = names.iter().map(|n| ColumnSpec { name: n.clone(), kind: ColumnKind::Numeric }).collect();
        let columns = names.iter().map(|n| Column::Numeric(self.columns[n].clone())).collect();
        let table = Table { specs, columns, label: self.label.clone(), split: self.split.clone(), firms: None };
        Firms { keys: self.keys.clone(), table }
    }

    /// No column is left out during the fit, so that all directions are of the same columns: the more of them are told.
    fn spec(&self, parties: &[String], encoding: &str) -> Result<JobSpec> {
        let quoted = |names: &[String]| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "[job]\nname = \"attacked\"\nparties = [{}]\n[vertical]\nlabel_holder = \"{BANK}\"\nencoding = \"{encoding}\"\n\
             [vertical.alignment]\nkey_kind = \"text\"\n[vertical.selection]\nrequire_positive = false\n",
            quoted(parties)
        );
        for party in parties {
            let label = if party == BANK { "label = \"y\"\nsplit = { column = \"set\" }\n" } else { "" };
            let columns: Vec<String> =
                self.parties[party].iter().map(|c| format!("{{ name = \"{c}\", kind = \"numeric\" }}")).collect();
            text.push_str(&format!(
                "[[vertical.holder]]\nparty = \"{party}\"\nview = \"firms\"\nkey = \"firm_id\"\n{label}columns = [{}]\n",
                columns.join(", ")
            ));
        }
        JobSpec::parse(&text).map_err(|problems| anyhow::anyhow!("{problems:?}"))
    }

    /// Carries out a job of the bank with these holders.
    pub fn learn(&self, holders: &[&str], encoding: &str, seed: u64) -> Result<Job> {
        let holders: Vec<String> = holders.iter().map(|h| (*h).to_owned()).collect();
        let parties: Vec<String> = [BANK.to_owned()].into_iter().chain(holders.iter().cloned()).collect();
        let spec = self.spec(&parties, encoding)?;
        let firms: Vec<Firms> = parties.iter().map(|p| self.firms(p)).collect();
        let run = carry_out(&spec, &parties, &firms, seed)?;
        let parts = (0..parties.len()).map(|p| self.part(&firms[p], &run.rows[p], &run.kept[p]));
        let mut parts = parts.collect::<Result<Vec<_>>>()?;
        let of_bank: Vec<usize> = run.rows[0].iter().map(|r| *r as usize).collect();
        let bad = of_bank.iter().filter(|r| self.split[**r] == Split::Train).map(|r| self.label[*r]).collect();
        let own = parts.remove(0);
        Ok(Job { holders, bad, own, parts, opened: run.opened, result: run.result, spec })
    }

    /// A party's part of the design matrix, as its encoder makes it.
    fn part(&self, firms: &Firms, rows: &[u32], kept: &Kept) -> Result<Encoded> {
        let block: Block = serde_json::from_slice(&kept["block.json"])?;
        let encoder = Encoder { columns: block.columns.into_iter().map(|t| t.encoder).collect(), dropped: Vec::new() };
        let columns = firms.table.columns.iter().map(|column| match column {
            Column::Numeric(values) => Column::Numeric(rows.iter().map(|r| values[*r as usize]).collect()),
            Column::Categorical(levels) => Column::Categorical(rows.iter().map(|r| levels[*r as usize]).collect()),
        });
        let features = Features::new(firms.table.specs.clone(), columns.collect(), rows.len())?;
        let train: Vec<usize> = (0..rows.len()).filter(|i| self.split[rows[*i] as usize] == Split::Train).collect();
        Ok(encoder.encode(&features, &train)?)
    }
}

impl Job {
    /// All columns of the feature holders, side by side.
    pub fn features(&self) -> Result<Encoded> {
        let columns = self.parts.iter().flat_map(|p| (0..p.len()).map(|i| p.column(i).to_vec())).collect();
        Ok(Encoded::new(self.own.rows(), columns)?)
    }

    /// Passes in which directions were sent.
    pub fn passes(&self) -> usize {
        self.opened.len()
    }
}

struct Run {
    rows: Vec<Vec<u32>>,
    opened: Vec<Vec<f64>>,
    kept: Vec<Kept>,
    result: JointResult,
}

/// A letter with the scores of a direction, as the label holder reads it: scores and scalars, masked.
type Masked = (Vec<u8>, Vec<u8>);

/// Every party takes its steps; the first one is the label holder.
fn carry_out(spec: &JobSpec, parties: &[String], firms: &[Firms], seed: u64) -> Result<Run> {
    let parties = parties.iter().map(|p| PartyId::new(p.as_str())).collect::<Result<Vec<_>, _>>()?;
    let session = haihe_privacy::Transcript::new("haihe/v1/attacks").u64(seed).str("vertical").finish();
    let place = |me| Place { session, parties: parties.clone(), me };
    let begin = |me| Work::begin(spec, &place(me), secret(&session, me), None);
    let mut works = (0..parties.len()).map(begin).collect::<Result<Vec<_>, _>>()?;
    let mut inboxes = vec![Inbox::default(); parties.len()];
    let (mut opened, mut rows) = (Vec::new(), vec![Vec::new(); parties.len()]);
    for _ in 0..10_000 {
        let (mut outboxes, mut kept) = (Vec::new(), Vec::new());
        let mut next = Vec::new();
        for (me, work) in works.into_iter().enumerate() {
            let step = work.step(spec, &place(me), &inboxes[me], &firms[me], &mut |_, _, _| {})?;
            if let Some(common) = step.work.rows() {
                rows[me] = common.to_vec();
            }
            next.push(step.work);
            outboxes.push(step.outbox);
            kept.push(step.kept);
        }
        works = next;
        let announcements: Vec<_> = outboxes.iter().map(|o| o.announcement.clone()).collect();
        if announcements.iter().all(|a| a.done) {
            let result = announcements.into_iter().find_map(|a| a.result_json).context("the bank publishes")?;
            let kept = kept.into_iter().flatten().collect();
            return Ok(Run { rows, opened, kept, result: serde_json::from_str(&result)? });
        }
        let letters = |me: usize| {
            let of = |(from, o): (usize, &haihe_protocol::vertical::Outbox)| {
                let mine: Vec<_> = o.letters.iter().filter(|l| l.to.contains(&me)).collect();
                mine.into_iter().map(move |l| (from, l.body.clone())).collect::<Vec<_>>()
            };
            outboxes.iter().enumerate().flat_map(of).collect::<Vec<_>>()
        };
        inboxes =
            (0..parties.len()).map(|me| Inbox { announcements: announcements.clone(), letters: letters(me) }).collect();
        if announcements[1].phase.ends_with(", direction") {
            opened.push(open(&inboxes[0].letters)?);
        }
    }
    anyhow::bail!("the job does not end")
}

fn secret(session: &Digest, me: usize) -> [u8; 32] {
    *haihe_privacy::Transcript::new("haihe/v1/attacks/party").digest(session).u64(me as u64).finish().as_bytes()
}

/// What the label holder makes of the feature holders' letters of one pass.
fn open(letters: &[(usize, Vec<u8>)]) -> Result<Vec<f64>> {
    let masked = letters.iter().map(|(_, body)| postcard::from_bytes::<Masked>(body)).collect::<Result<Vec<_>, _>>()?;
    let scores: Vec<&[u8]> = masked.iter().map(|(scores, _)| scores.as_slice()).collect();
    let len = scores.first().map_or(0, |s| s.len() / pairwise::VALUE_BYTES);
    ensure!(len > 0, "a pass without scores");
    let unit = libm::ldexp(1.0, -(SCORE_BITS as i32));
    Ok(pairwise::open(&scores, len)?.into_iter().map(|s| s as f64 * unit).collect())
}

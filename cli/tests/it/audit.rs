//! `haihe audit` on the journal of a simulated job: what holds, what was altered, cut or forked, and proofs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, OnceLock},
};

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_privacy::{digest::Transcript, log::RootHash, sign::SigningKey};
use haihe_protocol::{
    audit::{self, Sums},
    checkpoint::{self, TreeHead},
    id::PartyId,
    journal::{Entry, Event},
};
use haihe_simulations::{
    fault::{During, Fault},
    simulation::{Federation, Outcome, SimulationError, SimulationOptions, pki::FEDERATION},
};

const SEED: u64 = 7;
const JOB: &str = r#"
[job]
name = "audited"
parties = ["bj", "he", "tj"]
[data]
view = "firms"
key = "id"
label = "bad"
split = { column = "set" }
columns = [{ name = "debt", kind = "numeric" }, { name = "age", kind = "numeric" }]
[scorecard.binning]
fine_cells = 16
[scorecard.evaluation]
cells = 50
[scorecard.regression]
tolerance = 0.1
"#;

fn haihe(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haihe"));
    command.env_remove("HAIHE_COORDINATOR").env_remove("HAIHE_OPERATOR");
    command.args(arguments).output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn table(seed: u64) -> Table {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut debt, mut age, mut label, mut split) = (vec![], vec![], vec![], vec![]);
    for row in 0..300 {
        let (d, a) = (uniform() * 2.0 - 1.0, uniform() * 20.0);
        debt.push(d);
        age.push(a);
        label.push(uniform() < 1.0 / (1.0 + (0.2 - 2.5 * d + 0.1 * (a - 10.0)).exp()));
        split.push(if row % 4 == 3 { Split::Test } else { Split::Train });
    }
    let numeric = |name: &str| ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric };
    let columns = vec![Column::Numeric(debt), Column::Numeric(age)];
    Table { specs: vec![numeric("debt"), numeric("age")], columns, label, split, firms: None }
}

fn simulate(seed: u64, faults: Vec<Fault>) -> Result<Outcome, SimulationError> {
    let party = |name: &str| PartyId::new(name).expect("a party id");
    let tables = ["bj", "he", "tj"].iter().zip(1..).map(|(name, seed)| (party(name), Arc::new(table(seed))));
    let options = SimulationOptions::new(seed).without_any_security().with_faults(faults);
    Federation::new(JOB, tables, options).expect("a federation").run(|_| {})
}

/// Whatever goes wrong in a job, an honest coordinator's journal holds.
#[test]
fn no_honest_journal_is_accused() {
    let mut lost = 0;
    for seed in 0..6 {
        let party = PartyId::new(["bj", "he", "tj"][seed as usize % 3]).expect("a party id");
        let silent =
            Fault::Silent { party: party.clone(), from_round: 1 + seed, rounds: 1, during: During::Everything };
        let crash = Fault::CoordinatorCrash { entry: 10 + 7 * seed, written: seed % 2 == 0, down_ms: 5_000 };
        let faults = vec![silent, crash, Fault::Delay { message: 20 + 9 * seed, by_ms: 30_000 }];
        let (journal, authority, sums) = match simulate(seed, faults) {
            Ok(o) => (o.journal, Some(o.authority), o.sums),
            Err(SimulationError::Failed { journal, .. }) => (journal, None, Sums::new()),
            Err(other) => panic!("{other}"),
        };
        let audit = audit::verify(&journal, authority.as_deref(), &sums).unwrap_or_else(|f| panic!("seed {seed}: {f}"));
        lost += audit.entries.get("round_lost").copied().unwrap_or(0);
    }
    assert!(lost > 0, "the faults do something");
}

/// A finished job, and everything about it on a disk.
struct Archive {
    folder: tempfile::TempDir,
    outcome: Outcome,
}

impl Archive {
    fn make() -> Self {
        let run = simulate(SEED, Vec::new()).expect("a result");
        let archive = Self { folder: tempfile::tempdir().expect("temporary folder"), outcome: run };
        archive.store();
        archive
    }

    fn store(&self) {
        let outcome = &self.outcome;
        haihe_cli::audit::write(&self.path("journal.jsonl"), &outcome.journal).expect("written");
        let base64 = base64(&outcome.authority);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        fs::write(self.path("ca.crt"), pem).expect("written");
        for (round, sum) in &outcome.sums {
            let folder = self.path("sums").join(round.to_string());
            fs::create_dir_all(&folder).expect("a folder");
            let bytes: Vec<u8> = sum.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(folder.join("sum"), bytes).expect("written");
        }
        for (name, record) in &outcome.records {
            let vault = self.path(name.as_str()).join("vault").join(outcome.job.to_string());
            fs::create_dir_all(&vault).expect("a folder");
            haihe_cli::audit::write(&vault.join("journal.jsonl"), &record.journal).expect("written");
            let note = record.checkpoint.clone().expect("every participant pinned one");
            fs::write(self.path(&format!("{name}.checkpoint")), &note).expect("written");
            let head = serde_json::json!({"round": 0, "note": note}).to_string();
            fs::write(vault.join("journal-head.json"), head).expect("written");
            let job = serde_json::json!({"join": {"party": name}}).to_string();
            fs::write(vault.join("job.json"), job).expect("written");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path").to_owned()
    }

    fn id(&self) -> String {
        self.outcome.job.to_string()
    }

    /// Runs `audit verify` on a journal with the authority and `more`; gives what it said and whether it ended well.
    fn verify(&self, journal: &str, more: &[&str]) -> (bool, serde_json::Value) {
        let (journal, authority) = (self.text(journal), self.text("ca.crt"));
        let mut arguments = vec!["audit", "verify", &journal, "--authority", &authority, "--format", "json"];
        arguments.extend(more);
        let output = haihe(&arguments);
        let first = text(&output.stdout);
        let first = first.lines().next().unwrap_or_else(|| panic!("{}", text(&output.stderr)));
        let said: serde_json::Value = serde_json::from_str(first).expect("JSON");
        assert_eq!(said["holds"], output.status.success(), "{said}");
        (output.status.success(), said)
    }

    /// What the failed checks said, of which there must be some.
    fn failures(&self, journal: &str, more: &[&str]) -> String {
        let (ended_well, said) = self.verify(journal, more);
        assert!(!ended_well, "{said}");
        let checks = said["checks"].as_array().expect("checks").iter().filter(|c| c["outcome"] == "fails");
        checks.map(|c| format!("{}: {}\n", c["check"], c["said"])).collect()
    }

    /// The journal with an altered event, chained anew behind it, in a file of this name.
    fn alter(&self, name: &str, alter: impl Fn(&mut Event) -> bool) {
        let (mut tip, mut entries, mut altered) = (Entry::genesis(), Vec::new(), 0);
        for entry in &self.outcome.journal {
            let mut event: Event = entry.event().expect("an event");
            altered += u32::from(alter(&mut event));
            let entry = Entry::after(&tip, entry.sequence, entry.at, &event);
            tip = entry.digest;
            entries.push(entry);
        }
        assert_eq!(altered, 1);
        haihe_cli::audit::write(&self.path(name), &entries).expect("written");
    }

    fn sequence(&self, kind: &str, nth: usize) -> u64 {
        let kinds = self.outcome.journal.iter().filter(|e| e.event::<Event>().expect("an event").kind() == kind);
        kinds.map(|e| e.sequence).nth(nth).expect("there is one")
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (i, b)| bits | u32::from(*b) << (16 - 8 * i));
        let digit =
            |i: usize| if i <= chunk.len() { DIGITS[(bits >> (18 - 6 * i)) as usize & 63] as char } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

fn archive() -> &'static Archive {
    static ARCHIVE: OnceLock<Archive> = OnceLock::new();
    ARCHIVE.get_or_init(Archive::make)
}

/// The simulated coordinator's key follows from the seed.
fn coordinator() -> SigningKey {
    let seed = Transcript::new("haihe/v1/simulation").u64(SEED).str("signing key").str("coordinator").u64(0).finish();
    SigningKey::from_seed(*seed.as_bytes())
}

#[test]
fn a_true_journal_agrees_with_everybody() {
    let a = archive();
    let parties = ["bj", "he", "tj"].map(|p| a.text(p));
    let (checkpoint, sums) = (a.text("bj.checkpoint"), a.text("sums"));
    let mut more = vec!["--checkpoint", &checkpoint, "--sums", &sums];
    parties.iter().for_each(|p| more.extend(["--participant", p]));
    let (ended_well, said) = a.verify("journal.jsonl", &more);
    assert!(ended_well, "{said}");
    let checks = said["checks"].as_array().expect("checks");
    assert!(checks.iter().all(|c| c["outcome"] == "holds"), "{said}");
    // Entries, signatures, certificates, history, sums; four checkpoints; three journals.
    assert_eq!(checks.len(), 5 + 4 + 3, "{said}");
    // Without the authority it says loudly what it did not look at, and for people it is a table.
    let output = haihe(&["audit", "verify", &a.text("journal.jsonl")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("NOT CHECKED") && table.contains("--authority") && table.contains("--sums"), "{table}");
    // A journal file alone tells whose it is by what it contributed.
    let alone = a.path("he").join("vault").join(a.id()).join("journal.jsonl");
    fs::copy(alone, a.path("he-alone.jsonl")).expect("copied");
    let (ended_well, said) = a.verify("journal.jsonl", &["--participant", &a.text("he-alone.jsonl")]);
    assert!(ended_well && said.to_string().contains("journal of he\""), "{said}");
}

#[test]
fn an_altered_journal_names_the_event_and_the_range() {
    let a = archive();
    let deadline = |event: &mut Event| match event {
        Event::RoundOpened { spec } if spec.round == 2 => {
            spec.deadline.0 += 1;
            true
        }
        _ => false,
    };
    a.alter("deadline.jsonl", deadline);
    let said =
        a.failures("deadline.jsonl", &["--checkpoint", &a.text("bj.checkpoint"), "--participant", &a.text("bj")]);
    let opened = a.sequence("round_opened", 1);
    assert!(
        said.contains(&format!("journal entry {opened} (round_opened) does not hold: spec.deadline must be")),
        "{said}"
    );
    assert!(said.contains("are not all those that the coordinator signed"), "{said}");
    assert!(said.contains("round 2: the coordinator asked bj another question than its journal has"), "{said}");
    // What no rule binds and only pinned heads see: a sentence in the summary of the last sum.
    let last = a.outcome.sums.keys().next_back().copied().expect("sums");
    let summary = move |event: &mut Event| match event {
        Event::SumOpened { round, summary, .. } if *round == last => {
            summary.text.push('!');
            true
        }
        _ => false,
    };
    a.alter("summary.jsonl", summary);
    assert!(a.verify("summary.jsonl", &[]).0, "not to be seen without the sums or a checkpoint");
    let said = a.failures("summary.jsonl", &["--sums", &a.text("sums")]);
    assert!(said.contains("summary.text must be"), "{said}");
    let early = a.outcome.records[&PartyId::new("bj").expect("an id")].journal.iter().filter_map(|e| match e.event() {
        Ok(haihe_participant::member::Note::Pinned { size, .. }) => Some(size),
        _ => None,
    });
    let before_last = early.clone().filter(|size| *size < a.outcome.journal.len() as u64).max().expect("pinned");
    let said = a.failures("summary.jsonl", &["--participant", &a.text("bj")]);
    let range = format!("at least one of {before_last} to {} was exchanged", a.outcome.journal.len() - 1);
    assert!(said.contains(&range), "{range}\n{said}");
}

#[test]
fn a_cut_journal_is_missed() {
    let a = archive();
    let cut = a.sequence("round_opened", 2) as usize;
    haihe_cli::audit::write(&a.path("cut.jsonl"), &a.outcome.journal[..cut]).expect("written");
    assert!(a.verify("cut.jsonl", &[]).0, "a beginning of a journal is one");
    let withheld = a.outcome.journal.len() - cut;
    let said = a.failures("cut.jsonl", &["--checkpoint", &a.text("tj.checkpoint")]);
    assert!(said.contains(&format!("this one ends after {cut}: its last {withheld} are withheld")), "{said}");
    let said = a.failures("cut.jsonl", &["--participant", &a.text("tj")]);
    assert!(said.contains("its journal has no such round"), "{said}");
    // A participant's own journal without its end.
    let lines = fs::read_to_string(a.path("tj").join("vault").join(a.id()).join("journal.jsonl")).expect("read");
    let some: String = lines.lines().take(4).map(|l| format!("{l}\n")).collect();
    fs::create_dir_all(a.path("tj-cut")).expect("a folder");
    fs::write(a.path("tj-cut").join("journal.jsonl"), some).expect("written");
    fs::write(a.path("tj-cut").join("job.json"), r#"{"join": {"party": "tj"}}"#).expect("written");
    let said = a.failures("journal.jsonl", &["--participant", &a.text("tj-cut")]);
    assert!(said.contains("that tj did not note"), "{said}");
    // And one that was altered.
    fs::create_dir_all(a.path("tj-altered")).expect("a folder");
    fs::write(a.path("tj-altered").join("journal.jsonl"), lines.replacen("\\\"round\\\":1", "\\\"round\\\":9", 1))
        .expect("written");
    let said = a.failures("journal.jsonl", &["--participant", &a.text("tj-altered")]);
    assert!(said.contains("altered its own journal"), "{said}");
}

#[test]
fn two_histories_are_proved_by_two_signatures() {
    let a = archive();
    let size = a.outcome.journal.len() as u64;
    let other = TreeHead { size, root: RootHash::from_bytes([9; 32]) };
    let forked = checkpoint::sign(FEDERATION, &a.outcome.job, &other, &coordinator()).expect("signed").to_text();
    fs::write(a.path("forked.checkpoint"), &forked).expect("written");
    let (ours, theirs) = (a.text("bj.checkpoint"), a.text("forked.checkpoint"));
    let said = a.failures("journal.jsonl", &["--checkpoint", &ours, "--checkpoint", &theirs]);
    assert!(said.contains("it showed two histories"), "{said}");
    let earlier = TreeHead { size: 9, root: RootHash::from_bytes([9; 32]) };
    let earlier = checkpoint::sign(FEDERATION, &a.outcome.job, &earlier, &coordinator()).expect("signed").to_text();
    fs::write(a.path("earlier.checkpoint"), earlier).expect("written");
    let said = a.failures("journal.jsonl", &["--checkpoint", &ours, "--checkpoint", &a.text("earlier.checkpoint")]);
    assert!(said.contains("entries 0 to 8 are not all those"), "{said}");
    // Somebody else's signature proves nothing against the coordinator.
    let stranger =
        checkpoint::sign(FEDERATION, &a.outcome.job, &other, &SigningKey::from_seed([1; 32])).expect("signed");
    fs::write(a.path("stranger.checkpoint"), stranger.to_text()).expect("written");
    let said = a.failures("journal.jsonl", &["--checkpoint", &a.text("stranger.checkpoint")]);
    assert!(said.contains("is not signed by the coordinator") && !said.contains("histories"), "{said}");
}

#[test]
fn wrong_input_is_named() {
    let a = archive();
    fs::write(a.path("empty"), "").expect("written");
    fs::write(a.path("garbage"), "sequence,at\n0,1\n").expect("written");
    let cases: [(&[&str], &str); 9] = [
        (&["verify", "no-such-file"], "cannot read no-such-file"),
        (&["verify", &a.text("empty")], "does not begin with the opening of a job"),
        (&["verify", &a.text("garbage")], "it is not an entry"),
        (&["verify", &a.text("sums")], "cannot read"),
        (&["verify", &a.text("journal.jsonl"), "--checkpoint", "no-such-file"], "cannot read no-such-file"),
        (&["verify", &a.text("journal.jsonl"), "--authority", &a.text("garbage")], "is no certificate in PEM"),
        (&["verify", &a.text("journal.jsonl"), "--participant", &a.text("sums")], "cannot read"),
        (&["prove", "100000", &a.text("journal.jsonl")], "has no entry 100000"),
        (&["check", &a.text("journal.jsonl"), "--authority", &a.text("ca.crt")], "is no proof"),
    ];
    for (arguments, expected) in cases {
        let output = haihe(&[&["audit"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {expected:?} is missing in:\n{said}");
    }
    assert_eq!(haihe(&["audit", "check", "proof.json"]).status.code(), Some(2), "somebody must vouch for the key");
}

/// Makes a proof of entry 5 in a file and gives its text.
fn proof(a: &Archive, name: &str, more: &[&str]) -> String {
    let journal = a.text("journal.jsonl");
    let mut arguments = vec!["audit", "prove", "5", &journal];
    arguments.extend(more);
    let output = haihe(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::write(a.path(name), &output.stdout).expect("written");
    text(&output.stdout)
}

#[test]
fn a_proof_convinces_and_an_altered_one_does_not() {
    let a = archive();
    let (note, authority) = (a.text("he.checkpoint"), a.text("ca.crt"));
    let made = proof(a, "proof.json", &["--checkpoint", &note]);
    let read: haihe_cli::audit::Proof = serde_json::from_str(&made).expect("a proof");
    assert_eq!(read.entry, a.outcome.journal[5].line());
    let check = |name: &str, more: &[&str]| haihe(&[&["audit", "check", &a.text(name)], more].concat());
    let key = read.key.to_string();
    for signer in [["--authority", &authority], ["--key", &key]] {
        let output = check("proof.json", &signer);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("entry 5 is in the journal haihe/"), "{}", text(&output.stdout));
    }
    // A proof for another size carries no signature.
    proof(a, "bare.json", &["--size", "9"]);
    let said = text(&check("bare.json", &["--key", &key]).stderr);
    assert!(said.contains("nobody signed for this root"), "{said}");
    let said = text(&check("bare.json", &["--key", &key, "--checkpoint", &note]).stderr);
    assert!(said.contains("make the proof again"), "{said}");
    let refused = |change: (&str, &str), expected: &str| {
        let altered = made.replacen(change.0, change.1, 1);
        assert_ne!(altered, made);
        fs::write(a.path("altered.json"), altered).expect("written");
        let output = check("altered.json", &["--authority", &authority]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{expected:?} is missing in:\n{said}");
    };
    refused(("\"index\": 5", "\"index\": 6"), "the proof was altered");
    refused(("\\\"sequence\\\":5", "\\\"sequence\\\":6"), "the proof was altered");
    refused((&a.id(), &"0".repeat(64)), "the checkpoint does not hold");
    let other = SigningKey::from_seed([1; 32]);
    let other = checkpoint::coordinator_note_key(FEDERATION, &other.verifying_key()).expect("a key").to_string();
    let said = text(&check("proof.json", &["--key", &other]).stderr);
    assert!(said.contains("the checkpoint does not hold"), "{said}");
    // Somebody else's authority.
    let pki = a.text("pki");
    assert!(haihe(&["pki", "init", &pki, "--federation", "elsewhere"]).status.success());
    let said = text(&check("proof.json", &["--authority", &format!("{pki}/ca.crt")]).stderr);
    assert!(said.contains("the certificate in the proof does not hold"), "{said}");
}

/// The lines in the documentation are what a third party runs: with SHA-256 and nothing of ours.
#[test]
fn a_third_party_needs_nothing_of_ours() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let page = fs::read_to_string(page).expect("docs/operations.md");
    let recipe = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the recipe");
    let a = archive();
    fs::write(a.path("check.py"), recipe).expect("written");
    let python = |name: &str| {
        let output = Command::new("python3").args([a.path("check.py"), a.path(name)]).output().expect("runs");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    for sequence in ["0", "5", "13", &(a.outcome.journal.len() - 1).to_string()] {
        let output =
            haihe(&["audit", "prove", sequence, &a.text("journal.jsonl"), "--checkpoint", &a.text("he.checkpoint")]);
        fs::write(a.path("third.json"), &output.stdout).expect("written");
        assert_eq!(python("third.json").trim(), "in the journal", "{sequence}");
    }
    let altered = fs::read_to_string(a.path("third.json")).expect("read").replacen("job_", "jab_", 1);
    fs::write(a.path("third-altered.json"), altered).expect("written");
    assert_eq!(python("third-altered.json").trim(), "NOT in the journal");
}

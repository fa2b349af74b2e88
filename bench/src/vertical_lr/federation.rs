//! A vertical job with everything that its parties do, in one process and without a network: letters are sealed, parcels
//! signed, opened and checked as participants do it, and each party's state is written out after every exchange.

use crate::cpu::measured;
use anyhow::{Context, Result, ensure};
use haihe_privacy::Digest;
use haihe_privacy::log::RootHash;
use haihe_privacy::seal::SealingKey;
use haihe_privacy::sign::SigningKey;
use haihe_protocol::checkpoint::TreeHead;
use haihe_protocol::id::{JobId, PartyId, Timestamp};
use haihe_protocol::job::JobSpec;
use haihe_protocol::roster::{Confirmation, Join, Roster, Session, Trust};
use haihe_protocol::verified::Verified;
use haihe_protocol::vertical::Inbox;
use haihe_protocol::vertical::exchange::{Expected, ParcelHead, check_closed, completed, exchange_transcript};
use haihe_protocol::vertical::sealing::{Envelope, letter_digest, open_letter, seal_letters};
use haihe_protocol::vertical::work::{Firms, JointResult, Kept, Place, Work};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};

const NOW: Timestamp = Timestamp(1_780_000_000_000);
/// The journal's head, which only has to be the same for all.
const JOURNAL: TreeHead = TreeHead { size: 9, root: RootHash::from_bytes([9; 32]) };
/// Bytes of a head on the wire besides announcement and sealed keys: names, digests, signature.
const HEAD_BYTES: u64 = 320;

/// What one party did in an exchange.
#[derive(Clone, Copy, Default)]
pub struct Turn {
    /// CPU seconds: checking and opening what came, the step, sealing and signing, writing its state out.
    pub cpu: f64,
    /// CPU seconds of the step alone.
    pub step: f64,
    /// CPU seconds of writing the state out.
    pub snapshot: f64,
    /// Bytes that it sent.
    pub up: u64,
    /// Bytes that came before it began: everybody's heads and its letters.
    pub down: u64,
    /// Bytes of its letters, sealed.
    pub letters: u64,
    /// Letters that it had to fetch.
    pub fetched: u64,
    /// Bytes of its state.
    pub state: u64,
}

/// One exchange.
pub struct Exchange {
    /// What the label holder said of it.
    pub phase: String,
    /// By party.
    pub turns: Vec<Turn>,
    /// CPU seconds of the coordinator's checks.
    pub coordinator: f64,
}

/// A job that was done.
pub struct Done {
    /// What the label holder published.
    pub result: JointResult,
    /// What every party keeps.
    pub kept: Vec<Kept>,
    /// All exchanges; the first `2 N` align the firms.
    pub exchanges: Vec<Exchange>,
}

/// A session that is about to begin.
pub struct Federation<'a> {
    spec: JobSpec,
    session: Session,
    parties: &'a [(PartyId, Firms)],
    signing: Vec<SigningKey>,
    sealing: Vec<SealingKey>,
    /// Each party's state is read back before every step, as after a restart.
    restarts: bool,
}

impl<'a> Federation<'a> {
    /// A session of these parties for a job file.
    pub fn new(job: &str, parties: &'a [(PartyId, Firms)], restarts: bool) -> Result<Self> {
        let spec = JobSpec::parse(job).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let keys = |first: u8| (first..).take(parties.len()).map(|i| [i; 32]);
        let signing: Vec<SigningKey> = keys(10).map(SigningKey::from_seed).collect();
        let sealing: Vec<SealingKey> = keys(60).map(|seed| SealingKey::derive(&seed)).collect();
        let session = session(JobId::of(job, NOW), &spec, &signing, &sealing)?;
        Ok(Self { spec, session, parties, signing, sealing, restarts })
    }

    /// Runs the job.
    pub fn run(&self) -> Result<Done> {
        let count = self.parties.len();
        let mut works = (0..count)
            .map(|me| Ok(Some(Work::begin(&self.spec, &self.place(me), [me as u8 + 1; 32], None)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut exchanges = Vec::new();
        let (mut previous, mut before): (_, Option<Sent>) = (self.session.digest(), None);
        for round in 1..10_000 {
            let mut sent = Sent { heads: Vec::new(), bodies: Vec::new(), opens: previous };
            let (mut turns, mut kept) = (Vec::new(), Vec::new());
            for (me, slot) in works.iter_mut().enumerate() {
                let work = slot.take().context("every party has its work")?;
                let (outcome, cost) = measured(|| self.take(me, round, before.as_ref(), previous, work));
                let (work, head, bodies, mine, mut turn) = outcome?;
                (turn.cpu, *slot) = (cost.cpu, Some(work));
                turns.push(turn);
                sent.heads.push(head);
                sent.bodies.push(bodies);
                kept.push(mine);
            }
            let (closed, cost) = measured(|| self.close(round, &sent, previous));
            previous = closed?;
            let phase = sent.heads[0].announcement.phase.clone();
            exchanges.push(Exchange { phase, turns, coordinator: cost.cpu });
            if let Some(outcome) = completed(&sent.heads, &self.spec) {
                let result = serde_json::from_str(&outcome.map_err(anyhow::Error::msg)?)?;
                let kept = kept.into_iter().collect::<Option<_>>().context("all keep something")?;
                return Ok(Done { result, kept, exchanges });
            }
            before = Some(sent);
        }
        anyhow::bail!("the job does not end")
    }

    fn place(&self, me: usize) -> Place {
        Place { session: self.session.digest(), parties: self.session.roster().parties(), me }
    }

    /// One party's part in an exchange.
    #[allow(clippy::type_complexity)]
    fn take(
        &self,
        me: usize,
        round: u64,
        before: Option<&Sent>,
        previous: Digest,
        work: Work,
    ) -> Result<(Work, ParcelHead, Vec<Vec<u8>>, Option<Kept>, Turn)> {
        let (party, firms) = &self.parties[me];
        let mut turn = Turn::default();
        let inbox = match before {
            Some(sent) => self.open(me, round - 1, sent, previous, &mut turn)?,
            None => Inbox::default(),
        };
        let work = match self.restarts {
            true => Work::from_bytes(&work.to_bytes()).context("its own state")?,
            false => work,
        };
        let place = self.place(me);
        let (stepped, cost) = measured(|| work.step(&self.spec, &place, &inbox, firms, &mut |_, _, _| {}));
        let stepped = stepped?;
        turn.step = cost.cpu;
        let envelope = Envelope { session: &self.session, me: party, round, previous, journal: JOURNAL };
        let (head, bodies) = seal_letters(&stepped.outbox, &envelope, &self.signing[me], &[me as u8 + 30; 32])?;
        let limits = self.expected(round, &previous);
        let head = Verified::parcel(head, &limits)?.into_inner();
        let (state, cost) = measured(|| stepped.work.to_bytes().len() as u64);
        (turn.state, turn.snapshot) = (state, cost.cpu);
        (turn.up, turn.letters) = (head.bytes() + HEAD_BYTES, head.body_bytes());
        Ok((stepped.work, head, bodies, stepped.kept, turn))
    }

    /// Checks the closed exchange and opens the letters for one party.
    fn open(&self, me: usize, round: u64, sent: &Sent, transcript: Digest, turn: &mut Turn) -> Result<Inbox> {
        let (party, own) = (&self.parties[me].0, &sent.heads[me]);
        let heads = check_closed(sent.heads.clone(), &transcript, own, &self.expected(round, &sent.opens))?;
        turn.down = heads.iter().map(|h| h.bytes() - h.body_bytes() + HEAD_BYTES).sum();
        let mut letters = Vec::new();
        for (from, head) in heads.iter().enumerate() {
            for (index, letter) in head.letters.iter().enumerate().filter(|(_, l)| l.to.contains(&(me as u32))) {
                let sealed = &sent.bodies[from][index];
                turn.down += letter.bytes;
                turn.fetched += 1;
                letters.push((from, open_letter(head, index, sealed, &self.session, party, &self.sealing[me])?));
            }
        }
        let announcements = heads.iter().map(|head| head.announcement.clone()).collect();
        Ok(Inbox { announcements, letters })
    }

    /// What the coordinator checks; the new transcript.
    fn close(&self, round: u64, sent: &Sent, previous: Digest) -> Result<Digest> {
        for (head, bodies) in sent.heads.iter().zip(&sent.bodies) {
            let head = Verified::parcel(head.clone(), &self.expected(round, &previous))?;
            let same = head.letters.iter().zip(bodies).all(|(letter, body)| letter_digest(body) == letter.digest);
            ensure!(same, "a letter was not the one that was signed");
        }
        Ok(exchange_transcript(&previous, &sent.heads))
    }

    fn expected<'b>(&'b self, round: u64, previous: &'b Digest) -> Expected<'b> {
        Expected { session: &self.session, spec: &self.spec, round, previous, journal: &JOURNAL }
    }
}

/// An exchange's parcels.
struct Sent {
    heads: Vec<ParcelHead>,
    bodies: Vec<Vec<Vec<u8>>>,
    /// The transcript on which it builds.
    opens: Digest,
}

/// A roster that everybody confirmed.
fn session(job: JobId, spec: &JobSpec, signing: &[SigningKey], sealing: &[SealingKey]) -> Result<Session> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(authority, pair(&SigningKey::from_seed([1; 32]))?)?;
    let certificate = |role: &str, party: &str, key: &SigningKey| -> Result<Vec<u8>> {
        let mut params = CertificateParams::new(Vec::new())?;
        let name = format!("spiffe://bench/{role}/{party}");
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Ok(params.signed_by(&pair(key)?, &issuer)?.der().to_vec())
    };
    let parties = &spec.job.parties;
    let join = |(i, party): (usize, &PartyId)| -> Result<Join> {
        let certificate = certificate("bank", party.as_str(), &signing[i])?;
        Ok(Join::signed(job, party.clone(), certificate, sealing[i].public_key(), &[i as u8; 32], &signing[i]))
    };
    let roster = Roster {
        job,
        attempt: 0,
        entries: parties.iter().enumerate().map(join).collect::<Result<_>>()?,
        rule: spec.committee_rule(parties.len() as u32)?,
        minimum_contributors: parties.len() as u32,
        coordinator_certificate: certificate("coordinator", "coordinator", &SigningKey::from_seed([2; 32]))?,
        deadline: NOW.plus_seconds(60),
    };
    let digest = roster.digest();
    let confirm = |(i, party): (usize, &PartyId)| {
        Confirmation::signed(job, party.clone(), digest, [i as u8; 32], None, &signing[i])
    };
    let confirmations = parties.iter().enumerate().map(confirm).collect();
    let trust = Trust::new("bench", issuer.der().to_vec());
    Ok(Session::establish(roster, confirmations, &job, spec, &trust, NOW)?)
}

fn pair(key: &SigningKey) -> Result<KeyPair> {
    Ok(KeyPair::from_pem(&key.to_pkcs8_pem()?)?)
}

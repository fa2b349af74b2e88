//! One participant: a [`Member`] and what a process around it would remember or forget.

use std::{
    io::Read as _,
    sync::{Arc, Mutex, PoisonError},
};

use haihe_models::table::Table;
use haihe_participant::member::{Due, Identity, Member, MemberError, Offer, ReceivedLetter, Taking, affordable};
use haihe_privacy::{dp::Budget, log::ConsistencyProof, secure_sum::Scheme, sign::Signature};
use haihe_protocol::{
    error::Violation,
    horizontal::network::EncodedRows,
    id::{JobId, PartyId, Timestamp},
    job::JobSpec,
    roster::Trust,
    vertical::{exchange::ParcelHead, work::Firms},
    witness::ClosedRound,
};

use super::{
    cheater::{Cheater, CheatingScheme, Overheard},
    message::{Ask, Said},
    noted::{Noted, Watching},
    pki::derive,
    steps::Steps,
    vault::CrashingVault,
};
use crate::cheat::{Cheat, ContributionLie};

/// A participant's own data.
#[derive(Clone)]
pub(super) enum Rows {
    /// For a job made of sums.
    Table(Arc<Table>),
    /// For a vertical job.
    Firms(Arc<Firms>),
}

impl Rows {
    fn table(&self) -> &Table {
        match self {
            Rows::Table(table) => table,
            Rows::Firms(firms) => &firms.table,
        }
    }
}

/// What is on the disk of a participant: it survives a crash.
pub(super) struct Disk {
    pub(super) name: PartyId,
    pub(super) trust: Trust,
    pub(super) certificate: Vec<u8>,
    pub(super) signing_seed: [u8; 32],
    pub(super) vault: CrashingVault,
    pub(super) rows: Rows,
    /// What its policy allows to be spent of its firms' privacy.
    pub(super) budget: Option<Budget>,
    /// Why it declines every job, if it does.
    pub(super) declines: Option<String>,
    /// How far its clock is ahead, in milliseconds.
    pub(super) ahead_ms: i64,
}

impl Disk {
    /// Why it declines a job, if it does: because it was told to, or because too little is left of its privacy budget.
    fn refuses(&self, job: &JobSpec) -> Option<String> {
        let afforded = || affordable(&self.vault, self.budget.as_ref(), job);
        self.declines.clone().or_else(|| afforded().err().map(|e| e.to_string()))
    }
}

/// One participant.
pub(super) struct Party {
    pub(super) disk: Disk,
    scheme: Arc<dyn Scheme>,
    seed: u64,
    /// `None` while it is down.
    member: Option<Member>,
    /// What the process made of its rows.
    encoded: EncodedRows,
    /// How often fresh secrets were drawn. Not part of the participant: a real one asks its operating system.
    drawn: u64,
    /// What it was last asked and has no receipt for.
    pub(super) outstanding: Option<(u64, Ask)>,
    /// Messages that reached it.
    pub(super) received: u64,
    /// It noted the end of the job, or never had to do with it.
    pub(super) closed: bool,
    /// What it put into each sum.
    pub(super) noted: Noted,
    /// How often it was killed.
    pub(super) killed: u64,
    cheater: Cheater,
    /// Lies told inside its scheme.
    told: Arc<Mutex<u64>>,
}

/// The scheme of a party that cheats inside it.
fn cheating(scheme: Arc<dyn Scheme>, me: &PartyId, cheats: &[Cheat], told: &Arc<Mutex<u64>>) -> Arc<dyn Scheme> {
    let lies: Vec<_> = cheats
        .iter()
        .filter_map(|cheat| match cheat {
            Cheat::Contribution { by, round, lie: lie @ (ContributionLie::Tag | ContributionLie::ShareOfOther) }
                if by == me =>
            {
                Some((*round, *lie))
            }
            _ => None,
        })
        .collect();
    if lies.is_empty() { scheme } else { Arc::new(CheatingScheme { scheme, lies, told: told.clone() }) }
}

impl Party {
    pub(super) fn new(disk: Disk, scheme: Arc<dyn Scheme>, seed: u64, cheats: &[Cheat]) -> Self {
        let (noted, told) = (Noted::default(), Arc::default());
        let key = haihe_privacy::sign::SigningKey::from_seed(disk.signing_seed);
        let cheater = Cheater::new(disk.name.clone(), key, cheats);
        let scheme = cheating(scheme, &disk.name, cheats, &told);
        let scheme = Arc::new(Watching { scheme, noted: noted.clone() });
        let mut party = Self {
            disk,
            scheme,
            seed,
            member: None,
            encoded: EncodedRows::default(),
            drawn: 0,
            outstanding: None,
            received: 0,
            closed: false,
            noted,
            killed: 0,
            cheater,
            told,
        };
        party.start();
        party
    }

    /// Starts the process; everything that it knows comes from the vault.
    pub(super) fn start(&mut self) {
        self.member = Some(self.fresh_member());
    }

    /// A process that knows what is in the vault.
    pub(super) fn fresh_member(&self) -> Member {
        let identity = Identity {
            party: self.disk.name.clone(),
            trust: self.disk.trust.clone(),
            certificate: self.disk.certificate.clone(),
            key: haihe_privacy::sign::SigningKey::from_seed(self.disk.signing_seed),
            budget: self.disk.budget,
        };
        Member::new(Arc::new(identity), self.scheme.clone(), Box::new(self.disk.vault.clone()))
    }

    /// Kills the process: what was only in memory is gone.
    pub(super) fn kill(&mut self) {
        self.killed += 1;
        self.member = None;
        self.encoded = EncodedRows::default();
        self.outstanding = None;
    }

    pub(super) fn is_up(&self) -> bool {
        self.member.is_some()
    }

    fn draw(&mut self, purpose: &str) -> [u8; 32] {
        self.drawn += 1;
        derive(self.seed, purpose, self.disk.name.as_str(), self.drawn)
    }

    /// The sizes between which the coordinator must prove that it only appended to its journal, if it must.
    pub(super) fn compare_checkpoint(&mut self, job: &JobId, ask: &Ask) -> Result<Option<(u64, u64)>, MemberError> {
        match (&mut self.member, ask.checkpoint()) {
            (Some(member), Some((round, text, session))) if session.is_some() || member.has_session(job)? => {
                if member.is_closed(job)? { Ok(None) } else { member.compare_checkpoint(job, round, text, session) }
            }
            _ => Ok(None),
        }
    }

    /// Pins the head of the journal that came with what it is asked.
    pub(super) fn pin(
        &mut self,
        now: Timestamp,
        job: &JobId,
        ask: &Ask,
        proof: Option<&ConsistencyProof>,
    ) -> Result<(), MemberError> {
        match (&mut self.member, ask.checkpoint()) {
            (Some(member), Some((round, text, _))) if member.has_session(job)? && !member.is_closed(job)? => {
                member.pin(now, job, round, text, proof)
            }
            _ => Ok(()),
        }
    }

    /// The last round whose sum it has seen, if what it is asked builds on later ones.
    pub(super) fn behind(&mut self, job: &JobId, ask: &Ask) -> Result<Option<u64>, MemberError> {
        let Some(member) = &mut self.member else { return Ok(None) };
        let Some((round, previous, session)) = ask.builds_on() else { return Ok(None) };
        if member.is_closed(job)? {
            return Ok(None);
        }
        member.behind(job, round, &previous, session)
    }

    /// Takes a closed round.
    pub(super) fn absorb(
        &mut self,
        now: Timestamp,
        job: &JobId,
        (closed, signature): &(ClosedRound, Signature),
    ) -> Result<(), MemberError> {
        match &mut self.member {
            Some(member) => member.absorb(now, job, closed, signature),
            None => Ok(()),
        }
    }

    /// What it tells the others after a rule was broken.
    pub(super) fn object(&mut self, now: Timestamp, job: &JobId, round: u64, violation: &Violation) -> Option<Said> {
        let objection = self.member.as_mut()?.object(now, job, round, violation).ok()??;
        Some(Said::Object(Box::new(objection)))
    }

    /// What it says instead of what it should, if it cheats.
    pub(super) fn says(&mut self, ask: &Ask, said: Said, overheard: &Overheard) -> Vec<Said> {
        self.cheater.says(ask, said, overheard)
    }

    /// How often it lied.
    pub(super) fn lies_told(&self) -> u64 {
        self.cheater.told + *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what it is asked, as a deployed participant does.
    pub(super) fn perform(&mut self, now: Timestamp, job: &JobId, ask: &Ask) -> Result<Option<Said>, MemberError> {
        let secrets = [self.draw("sealing key"), self.draw("beacon nonce"), self.draw("check key")];
        let seed = self.draw("contribution");
        let Some(member) = &mut self.member else { return Ok(None) };
        let now = Timestamp(now.0.saturating_add_signed(self.disk.ahead_ms));
        Ok(match ask {
            Ask::Offer { toml, opened } => Some(match member.earlier_reply(now, job)? {
                Some(Ok(join)) => Said::Join(Box::new(join)),
                Some(Err(decline)) => Said::Decline(Box::new(decline)),
                None => match self.disk.refuses(&member.offered(job, toml, *opened)?) {
                    Some(reason) => Said::Decline(Box::new(member.decline(now, job, &reason)?)),
                    None => {
                        let rows = self.disk.rows.table().rows() as u64;
                        Said::Join(Box::new(member.join(
                            now,
                            job,
                            Offer { toml, opened: *opened, by: "simulation" },
                            rows,
                            secrets,
                        )?))
                    }
                },
            }),
            Ask::Confirm(roster) => Some(Said::Confirm(Box::new(member.confirm(now, job, roster)?))),
            Ask::Contribute { spec, signature, session, .. } => {
                let rows = (self.disk.rows.table(), &self.encoded);
                let outgoing = member.contribute(now, job, spec.clone(), signature, Some(session), rows, seed)?;
                let mut ciphertext = Vec::new();
                member.ciphertext(job)?.read_to_end(&mut ciphertext)?;
                Some(Said::Contribution {
                    head: Box::new(outgoing.prepared.contribution),
                    sealed_shares: Arc::new(outgoing.prepared.sealed_shares),
                    ciphertext: ciphertext.into(),
                })
            }
            Ask::Answer { spec, spec_signature, survivors, signature, sealed_shares, session, .. } => {
                let answer = member.answer(
                    now,
                    job,
                    spec.clone(),
                    spec_signature,
                    survivors.as_ref().clone(),
                    signature,
                    sealed_shares,
                    Some(session),
                )?;
                Some(Said::Answer(Box::new(answer)))
            }
            // See `Federation::work`.
            Ask::Exchange { .. } => None,
            Ask::Closed { outcome, parcels, .. } => {
                if let Ok((result_json, transcript)) = outcome
                    && !member.is_closed(job)?
                {
                    match member.spec(job)?.vertical {
                        Some(_) => member.check_parcels(job, result_json, transcript, parcels.to_vec())?,
                        None => member.check_result(job, result_json, transcript)?,
                    }
                }
                if member.has_joined(job)? {
                    member.close(now, job, outcome.clone().map(|(_, transcript)| transcript))?;
                }
                self.closed = true;
                None
            }
        })
    }

    fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.disk.ahead_ms))
    }

    /// What is to be done about an exchange.
    pub(super) fn due(&mut self, now: Timestamp, job: &JobId, ask: &Ask) -> Result<Option<Due>, MemberError> {
        let now = self.clock(now);
        let (Some(member), Ask::Exchange { round, previous, parcels, session, .. }) = (&mut self.member, ask) else {
            return Ok(None);
        };
        member.exchange(now, job, *round, previous, parcels.to_vec(), Some(session)).map(Some)
    }

    /// Takes a step, and says what comes of it.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        job: &JobId,
        taking: Taking,
        letters: Vec<ReceivedLetter>,
        steps: &dyn Steps,
    ) -> Result<Option<Said>, MemberError> {
        let now = self.clock(now);
        let (Some(member), Rows::Firms(firms)) = (&mut self.member, &self.disk.rows) else { return Ok(None) };
        let head = member
            .take(now, job, taking, letters, |work, spec, place, inbox| steps.step(work, spec, place, inbox, firms))?;
        self.parcel(job, Box::new(head))
    }

    /// A parcel with the letters that are in the vault.
    pub(super) fn parcel(&self, job: &JobId, head: Box<ParcelHead>) -> Result<Option<Said>, MemberError> {
        let Some(member) = &self.member else { return Ok(None) };
        let mut letters = Vec::new();
        member.letters(job, &head)?.read_to_end(&mut letters)?;
        Ok(Some(Said::Parcel { head, letters: letters.into() }))
    }
}

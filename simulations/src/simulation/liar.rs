//! A coordinator that cheats: it knows everything that was said to it, alters what it says, and signs it with its own key.
//! What it records is what an honest one would.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use haihe_coordinator::engine::{Engine, Identity};
use haihe_models::grid::ColumnGrid;
use haihe_participant::member::{ReceivedLetter, SessionParts};
use haihe_privacy::{
    digest::Digest,
    log::{ConsistencyProof, Log},
    seal::SealingKey,
    secure_sum::{Adversary, CommitteeRule, SumParameters},
    sign::{Signature, SigningKey},
};
use haihe_protocol::{
    check::{MAKER, SealedCheckKey},
    checkpoint::{self, TreeHead},
    horizontal::{Task, scorecard},
    id::{JobId, PartyId, Timestamp},
    journal::{Entry, Event},
    message::{Contribution, RoundSpec, SurvivorSet},
    roster::{Join, Roster},
    vertical::exchange::{ParcelHead, exchange_transcript},
    witness::ClosedRound,
};

use super::message::{Ask, Said};
use crate::cheat::{Cheat, ExchangeLie, JournalLie, ResultLie, RosterLie, RoundLie, SessionLie, SumLie, SurvivorsLie};

const NOBODYS: Signature = Signature::from_bytes([0; 64]);
const OTHER: Digest = Digest::from_bytes([3; 32]);

/// A contribution with its sealed shares.
type Received = (Contribution, Arc<Vec<Vec<u8>>>);

/// The lies that are to be told, and what is needed to tell them.
pub(super) struct Liar {
    cheats: Vec<Cheat>,
    /// A certified bank that does what the coordinator wants.
    accomplice: (PartyId, SigningKey, Vec<u8>),
    /// What each party was last asked, by kind and round.
    asked: BTreeMap<(PartyId, &'static str, u64), Ask>,
    /// Contributions that only the deceived could have made.
    deceived: BTreeMap<u64, Received>,
    /// Questions put once more.
    again: BTreeSet<(PartyId, &'static str, u64)>,
    /// What it says without being asked.
    pub(super) whispers: Vec<(PartyId, Ask)>,
    /// How often it lied.
    pub(super) told: u64,
    /// The journal before a backup replaced it.
    pub(super) replaced: Vec<Entry>,
}

fn other_job() -> JobId {
    JobId::of("another job", Timestamp(0))
}

/// The journal with another first entry, and whatever follows from it.
fn altered(journal: &[Entry]) -> Log {
    let mut log = Log::new();
    for (at, entry) in journal.iter().enumerate() {
        let line = if at == 0 { entry.line().replace("simulation", "somebody") } else { entry.line() };
        log.append(line.as_bytes());
    }
    log
}

/// A question of the coordinator's own choice, in the form of the true one.
fn crafted(task_json: &str) -> String {
    let Some(Task::Scorecard(mut task)) = Task::from_json(task_json) else { return task_json.to_owned() };
    match &mut task {
        scorecard::Task::LabelCounts { grids } => {
            for grid in grids {
                // One cell so narrow that a single firm is in it.
                if let ColumnGrid::Numeric(grid) = grid
                    && let [first, second, ..] = grid.edges.as_mut_slice()
                {
                    *first = *second - 1e-9;
                }
            }
        }
        scorecard::Task::Correlation { rows, .. } => *rows += 1.0,
        scorecard::Task::Regression { beta, .. } => beta.iter_mut().for_each(|beta| *beta += 0.5),
        scorecard::Task::Evaluation { test_rows, .. } => *test_rows += 1.0,
        scorecard::Task::Profile => task = scorecard::Task::LabelCounts { grids: Vec::new() },
    }
    Task::Scorecard(task).to_json()
}

impl Liar {
    pub(super) fn new(cheats: &[Cheat], accomplice: (PartyId, SigningKey, Vec<u8>)) -> Self {
        Self {
            cheats: cheats.iter().filter(|c| c.by().is_none()).cloned().collect(),
            accomplice,
            asked: BTreeMap::new(),
            deceived: BTreeMap::new(),
            again: BTreeSet::new(),
            whispers: Vec::new(),
            told: 0,
            replaced: Vec::new(),
        }
    }

    fn lies<L>(&self, to: &PartyId, which: impl Fn(&Cheat) -> Option<L>) -> Option<L> {
        self.cheats.iter().filter(|c| c.is_told(to)).find_map(which)
    }

    /// If a backup is to replace the journal now: how much of it is left.
    pub(super) fn restores(&mut self, journal: &[Entry]) -> Option<usize> {
        let due = |c: &Cheat| matches!(c, Cheat::Restore { at, .. } if journal.len() as u64 >= *at);
        let at = self.cheats.iter().position(due)?;
        let Cheat::Restore { entries, .. } = self.cheats.remove(at) else { return None };
        self.replaced = journal.to_vec();
        self.told += 1;
        Some(entries as usize)
    }

    /// What it says instead of what it should.
    pub(super) fn says(
        &mut self,
        (identity, engine, journal): (&Identity, &Engine, &[Entry]),
        to: &PartyId,
        mut ask: Ask,
    ) -> Ask {
        if self.cheats.is_empty() {
            return ask;
        }
        let mut lied = false;
        if let Ask::Contribute { spec, session, checkpoint, .. } = &ask
            && self.exchange_lie(spec.round, to) == Some(ExchangeLie::Kind)
        {
            let (round, previous, parcels) = (spec.round, spec.previous, Arc::default());
            let (session, checkpoint) = (session.clone(), checkpoint.clone());
            ask = Ask::Exchange { round, previous, parcels, session, checkpoint };
            lied = true;
        }
        match &mut ask {
            Ask::Offer { .. } => {}
            Ask::Confirm(roster) => {
                let lie = self.lies(to, |c| if let Cheat::Roster { lie, .. } = c { Some(*lie) } else { None });
                lied = lie.is_some_and(|lie| self.other_roster(roster, lie, to, engine));
            }
            Ask::Contribute { spec, signature, session, checkpoint } => {
                lied |= self.other_journal(checkpoint, spec.round, to, identity, journal);
                lied |= self.other_session(session, to);
                lied |= self.other_round(spec, signature, to, identity);
            }
            Ask::Answer { spec, spec_signature, survivors, signature, sealed_shares, session, checkpoint } => {
                lied |= self.other_journal(checkpoint, spec.round, to, identity, journal);
                lied |= self.other_session(session, to);
                if self.other_round(spec, spec_signature, to, identity) {
                    survivors.spec = spec.digest();
                    *signature = survivors.sign(&identity.key);
                    lied = true;
                }
                if self.other_survivors(survivors, Arc::make_mut(sealed_shares), engine, to) {
                    *signature = survivors.sign(&identity.key);
                    lied = true;
                }
                let unsigned = |c: &Cheat| match c {
                    Cheat::Survivors { round, lie: SurvivorsLie::Unsigned, .. } => Some(*round),
                    _ => None,
                };
                if self.lies(to, unsigned) == Some(survivors.round) {
                    *signature = NOBODYS;
                    lied = true;
                }
            }
            Ask::Exchange { round, previous, parcels, session, checkpoint } => {
                lied |= self.other_journal(checkpoint, *round, to, identity, journal);
                lied |= self.other_session(session, to);
                lied |= self.other_parcels(*round, previous, parcels, to, engine);
            }
            Ask::Closed { outcome, checkpoint, .. } => {
                lied |= self.other_journal(checkpoint, u64::MAX, to, identity, journal);
                let lie = self.lies(to, |c| if let Cheat::Result { lie, .. } = c { Some(*lie) } else { None });
                if let (Some(lie), Ok((json, transcript))) = (lie, outcome) {
                    lied = true;
                    match lie {
                        ResultLie::Model => *json = json.replacen('1', "2", 1).into(),
                        ResultLie::Transcript => *transcript = OTHER,
                    }
                }
            }
        }
        self.told += u64::from(lied);
        let kind = match &ask {
            Ask::Confirm(_) => "confirm",
            Ask::Contribute { .. } => "contribute",
            Ask::Answer { .. } => "answer",
            Ask::Exchange { .. } => "exchange",
            Ask::Offer { .. } | Ask::Closed { .. } => return ask,
        };
        self.asked.insert((to.clone(), kind, ask.round()), ask.clone());
        ask
    }

    fn other_roster(&self, roster: &mut Roster, lie: RosterLie, to: &PartyId, engine: &Engine) -> bool {
        let head = engine.job().head();
        match lie {
            RosterLie::Unlisted => {
                let (party, key, certificate) = &self.accomplice;
                let sealing = SealingKey::derive(&[7; 32]).public_key();
                let join = Join::signed(head.job, party.clone(), certificate.clone(), sealing, &[7; 32], key);
                roster.entries.push(join);
                roster.entries.sort_by(|a, b| a.party.cmp(&b.party));
            }
            RosterLie::Twice => roster.entries.insert(0, roster.entries[0].clone()),
            RosterLie::SealingKey => {
                if let Some(last) = roster.entries.last_mut() {
                    last.sealing_key = SealingKey::derive(&[7; 32]).public_key();
                }
            }
            RosterLie::WithoutReceiver => {
                roster.entries.retain(|e| e.party != *to);
                if let Ok(rule) = head.spec.committee_rule(roster.entries.len() as u32) {
                    roster.rule = rule;
                }
                roster.minimum_contributors = roster.rule.minimum_contributors().max(head.spec.min_parties());
            }
            RosterLie::Rule => {
                if let Ok(rule) = CommitteeRule::for_parties(roster.entries.len() as u32, Adversary::SemiHonest) {
                    roster.rule = rule;
                }
            }
            RosterLie::Minimum => roster.minimum_contributors -= 1,
            RosterLie::Second => return false,
            RosterLie::Coordinator => roster.coordinator_certificate = self.accomplice.2.clone(),
            RosterLie::OtherJob => roster.job = other_job(),
        }
        true
    }

    fn other_session(&self, session: &mut Arc<SessionParts>, to: &PartyId) -> bool {
        let lie = self.lies(to, |c| if let Cheat::Session { lie, .. } = c { Some(*lie) } else { None });
        let Some(lie) = lie else { return false };
        let SessionParts { roster, confirmations } = Arc::make_mut(session);
        match lie {
            SessionLie::CheckKey => {
                let maker = &roster.entries[MAKER].party;
                confirmations[MAKER].check_key = SealedCheckKey::make(roster, maker, &[7; 32]).ok();
            }
            SessionLie::Nonce => confirmations[MAKER].beacon_nonce = [7; 32],
            SessionLie::Missing => confirmations.truncate(1),
            SessionLie::Roster => roster.deadline = Timestamp(roster.deadline.0 + 1),
        }
        true
    }

    fn other_round(&self, spec: &mut RoundSpec, signature: &mut Signature, to: &PartyId, identity: &Identity) -> bool {
        let now = spec.round;
        let lie = self.lies(to, |c| match c {
            Cheat::Round { round, lie, .. } if *round == now => Some(*lie),
            _ => None,
        });
        match lie {
            None | Some(RoundLie::Replayed | RoundLie::Second) => return false,
            Some(RoundLie::Task) => spec.task_json = crafted(&spec.task_json),
            Some(RoundLie::Unreadable) => spec.task_json = "{}".to_owned(),
            Some(RoundLie::Parameters) => {
                let p = &spec.parameters;
                if let Ok(fewer) = SumParameters::choose(p.dimension(), p.n_max(), p.value_bits() - 1) {
                    spec.parameters = fewer;
                }
            }
            Some(RoundLie::Deadline) => spec.deadline = spec.deadline.plus_seconds(1),
            Some(RoundLie::Previous) => spec.previous = OTHER,
            Some(RoundLie::OldTask) => {
                if let Some(Ask::Contribute { spec: old, .. }) = self.asked.get(&(to.clone(), "contribute", now - 1)) {
                    *spec = RoundSpec { round: now, ..old.clone() };
                }
            }
            Some(RoundLie::OtherSession) => spec.session = OTHER,
            Some(RoundLie::OtherJob) => spec.job = other_job(),
            Some(RoundLie::Unsigned) => {
                *signature = NOBODYS;
                return true;
            }
        }
        *signature = spec.sign(&identity.key);
        true
    }

    fn other_survivors(&self, set: &mut SurvivorSet, shares: &mut Vec<Vec<u8>>, engine: &Engine, to: &PartyId) -> bool {
        let now = set.round;
        let lie = self.lies(to, |c| match c {
            Cheat::Survivors { round, lie: SurvivorsLie::NextRound, .. } if *round + 1 == now => {
                Some(SurvivorsLie::NextRound)
            }
            Cheat::Survivors { round, lie, .. } if *round == now && *lie != SurvivorsLie::NextRound => Some(*lie),
            _ => None,
        });
        let least = engine.job().session().map_or(0, |s| s.roster().minimum_contributors) as usize;
        match lie {
            None | Some(SurvivorsLie::Second | SurvivorsLie::Unsigned) => return false,
            Some(SurvivorsLie::TooFew) => {
                set.survivors.truncate(least - 1);
                shares.truncate(least - 1);
            }
            Some(SurvivorsLie::NextRound) => {
                set.survivors.pop();
                shares.pop();
            }
            Some(SurvivorsLie::Twice) => {
                set.survivors.insert(0, set.survivors[0].clone());
                shares.insert(0, shares[0].clone());
            }
            Some(SurvivorsLie::Commitment) => {
                if let Some(last) = set.survivors.last_mut() {
                    last.commitment = OTHER;
                }
            }
            Some(SurvivorsLie::Deceived) => return self.with_deceived(set, shares, engine, to),
            Some(SurvivorsLie::Shares) => shares.swap(0, 1),
            Some(SurvivorsLie::ShareMissing) => {
                shares.pop();
            }
            Some(SurvivorsLie::OtherSpec) => set.spec = OTHER,
        }
        true
    }

    /// Adds what a deceived party contributed in the belief that all were asked the same.
    fn with_deceived(&self, set: &mut SurvivorSet, shares: &mut Vec<Vec<u8>>, engine: &Engine, to: &PartyId) -> bool {
        let Some((contribution, sealed)) = self.deceived.get(&set.round) else { return false };
        let session = engine.job().session();
        let position = session.and_then(|s| s.committee_position(s.index_of(to).ok()?));
        let Some(share) = position.and_then(|p| sealed.get(p as usize)) else { return false };
        let at = set.survivors.partition_point(|s| s.party < contribution.party);
        set.survivors.insert(at, contribution.clone());
        shares.insert(at, share.clone());
        true
    }

    fn exchange_lie(&self, round: u64, to: &PartyId) -> Option<ExchangeLie> {
        self.lies(to, |c| match c {
            Cheat::Exchange { round: at, lie, .. } if *at == round => Some(*lie),
            _ => None,
        })
    }

    /// Other parcels of the exchange before; where the lie needs it, with the transcript that fits them.
    fn other_parcels(
        &self,
        round: u64,
        previous: &mut Digest,
        parcels: &mut Arc<Vec<ParcelHead>>,
        to: &PartyId,
        engine: &Engine,
    ) -> bool {
        let Some(lie) = self.exchange_lie(round, to) else { return false };
        let heads = Arc::make_mut(parcels);
        let position = |own: bool| heads.iter().position(|h| (h.party == *to) == own);
        match lie {
            ExchangeLie::Letter | ExchangeLie::LetterMissing | ExchangeLie::LetterSwapped | ExchangeLie::Kind => {
                return false;
            }
            ExchangeLie::Dropped => {
                heads.pop();
            }
            ExchangeLie::Transcript => {
                *previous = OTHER;
                return true;
            }
            ExchangeLie::Altered | ExchangeLie::Forged | ExchangeLie::Own => {
                let Some(at) = position(lie == ExchangeLie::Own) else { return false };
                heads[at].announcement.body_json.push(' ');
            }
        }
        // Only a lie about the last one can be told with a transcript that fits.
        if matches!(lie, ExchangeLie::Forged | ExchangeLie::Own)
            && let Some(first) = engine.job().closed_exchange().first()
        {
            *previous = exchange_transcript(&first.previous, heads);
        }
        true
    }

    /// The letters of exchange `round` as it shows them.
    pub(super) fn letters(
        &mut self,
        mut letters: Vec<ReceivedLetter>,
        to: &PartyId,
        round: u64,
    ) -> Vec<ReceivedLetter> {
        match self.exchange_lie(round + 1, to) {
            Some(ExchangeLie::Letter) => letters[0].body[0] ^= 1,
            Some(ExchangeLie::LetterMissing) => {
                letters.pop();
            }
            Some(ExchangeLie::LetterSwapped) => {
                let (first, rest) = letters.split_at_mut(1);
                std::mem::swap(&mut first[0].body, &mut rest[0].body);
            }
            _ => return letters,
        }
        self.told += 1;
        letters
    }

    fn journal_lie(&self, round: u64, to: &PartyId) -> Option<JournalLie> {
        self.lies(to, |c| match c {
            Cheat::Journal { round: from, lie, .. } if *from <= round => Some(*lie),
            _ => None,
        })
    }

    fn other_journal(
        &self,
        checkpoint: &mut Arc<str>,
        round: u64,
        to: &PartyId,
        identity: &Identity,
        journal: &[Entry],
    ) -> bool {
        let Some(lie) = self.journal_lie(round, to) else { return false };
        let Some(Ok(Event::JobOpened { job, .. })) = journal.first().map(Entry::event) else { return false };
        let federation = identity.trust.federation();
        let Ok(truth) = checkpoint::verify(checkpoint, federation, &job, &identity.key.verifying_key()) else {
            return false;
        };
        let head = match lie {
            JournalLie::Altered => {
                altered(journal).root_at(truth.size).ok().map(|root| TreeHead { size: truth.size, root })
            }
            JournalLie::Shorter => {
                let mut log = Log::new();
                journal.iter().take(3).for_each(|e| {
                    log.append(e.line().as_bytes());
                });
                Some(TreeHead { size: log.size(), root: log.root() })
            }
            JournalLie::Unsigned => Some(truth),
        };
        let key = if lie == JournalLie::Unsigned { &self.accomplice.1 } else { &identity.key };
        let signed = head.and_then(|head| checkpoint::sign(federation, &job, &head, key).ok());
        if let Some(signed) = &signed {
            *checkpoint = signed.to_text().into();
        }
        signed.is_some()
    }

    /// The proof that it gives to a party which was shown another journal.
    pub(super) fn consistency(&self, journal: &[Entry], to: &PartyId, old: u64, new: u64) -> Option<ConsistencyProof> {
        match self.journal_lie(u64::MAX, to) {
            Some(JournalLie::Altered) => altered(journal).consistency(old, new).ok(),
            _ => None,
        }
    }

    /// What it shows as a closed round.
    pub(super) fn shows(
        &mut self,
        closed: Option<(ClosedRound, Signature)>,
        to: &PartyId,
    ) -> Option<(ClosedRound, Signature)> {
        let (mut closed, signature) = closed?;
        let lie = self.lies(to, |c| match c {
            Cheat::Sum { round, lie, .. } if *round == closed.spec.round => Some(*lie),
            _ => None,
        });
        self.told += u64::from(lie.is_some());
        match lie {
            None => {}
            Some(SumLie::Value) => closed.sum[0] += 1,
            Some(SumLie::Doubled) => closed.sum.iter_mut().for_each(|value| *value *= 2),
            Some(SumLie::Contributors) => {
                closed.contributors.pop();
            }
            Some(SumLie::Withheld) => return None,
        }
        Some((closed, signature))
    }

    /// True if it keeps a message to itself; what it says because of it waits in `whispers`.
    pub(super) fn hears(&mut self, said: &Said, engine: &Engine) -> bool {
        match said {
            Said::Object(_) => self.cheats.contains(&Cheat::Suppress),
            Said::Confirm(c) => {
                let second = Cheat::Roster { to: Vec::new(), lie: RosterLie::Second };
                if self.cheats.contains(&second)
                    && let Some(Ask::Confirm(mut roster)) = self.asked.get(&(c.party.clone(), "confirm", 0)).cloned()
                {
                    roster.deadline = Timestamp(roster.deadline.0 + 1);
                    self.whisper(&c.party, "confirm", 0, Ask::Confirm(roster));
                }
                false
            }
            Said::Contribution { head, sealed_shares, .. } => {
                self.hears_contribution(head);
                let fits = engine.job().open_round().is_some_and(|s| s.digest() == head.spec)
                    && self.journal_lie(head.round, &head.party) != Some(JournalLie::Altered);
                let wanted = |c: &Cheat| matches!(c, Cheat::Survivors { round, lie: SurvivorsLie::Deceived, .. } if *round == head.round);
                if fits || !self.cheats.iter().any(wanted) {
                    return false;
                }
                self.deceived.insert(head.round, (head.as_ref().clone(), sealed_shares.clone()));
                true
            }
            Said::Answer(answer) => {
                let lie = self.lies(&answer.party, |c| match c {
                    Cheat::Survivors { round, lie, .. } if *round == answer.round => Some(*lie),
                    _ => None,
                });
                match lie {
                    Some(SurvivorsLie::NextRound) => true,
                    Some(SurvivorsLie::Second) => self.asks_without_the_last(&answer.party, answer.round),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn hears_contribution(&mut self, head: &Contribution) {
        let round = head.round;
        let lie = self.lies(&head.party, |c| match c {
            Cheat::Round { round: at, lie, .. } if *at == round => Some(*lie),
            _ => None,
        });
        let asked = |round| self.asked.get(&(head.party.clone(), "contribute", round)).cloned();
        let again = match lie {
            Some(RoundLie::Replayed) => asked(round - 1),
            Some(RoundLie::Second) => asked(round),
            _ => None,
        };
        let Some(Ask::Contribute { mut spec, signature, session, checkpoint }) = again else { return };
        if lie == Some(RoundLie::Second) {
            spec.deadline = spec.deadline.plus_seconds(1);
        }
        // The signature is renewed where it is sent: see `whisper`.
        self.whisper(&head.party, "contribute", round, Ask::Contribute { spec, signature, session, checkpoint });
    }

    /// Asks a member that answered once more; true if that was the first time.
    fn asks_without_the_last(&mut self, to: &PartyId, round: u64) -> bool {
        let Some(mut ask) = self.asked.get(&(to.clone(), "answer", round)).cloned() else { return false };
        if let Ask::Answer { survivors, sealed_shares, .. } = &mut ask {
            survivors.survivors.pop();
            Arc::make_mut(sealed_shares).pop();
        }
        self.whisper(to, "answer", round, ask)
    }

    /// Says something once without being asked.
    fn whisper(&mut self, to: &PartyId, kind: &'static str, round: u64, ask: Ask) -> bool {
        let first = self.again.insert((to.clone(), kind, round));
        if first {
            self.told += 1;
            self.whispers.push((to.clone(), ask));
        }
        first
    }

    /// What waits to be said, signed.
    pub(super) fn whispered(&mut self, key: &SigningKey) -> Vec<(PartyId, Ask)> {
        let mut whispers = std::mem::take(&mut self.whispers);
        for (_, ask) in &mut whispers {
            match ask {
                Ask::Contribute { spec, signature, .. } => *signature = spec.sign(key),
                Ask::Answer { survivors, signature, .. } => *signature = survivors.sign(key),
                _ => {}
            }
        }
        whispers
    }
}

//! Dishonest parties. Each test names the lie, who notices it and by which rule; no honest party may be led to accept or to
//! say anything wrong, and every job must end.

use haihe_participant::member::Note;
use haihe_protocol::{
    error::{Fault as Blame, Violation as V},
    id::PartyId,
    journal::Event,
};
use haihe_simulations::{
    cheat::{
        AnswerLie, Cheat, ConfirmationLie, ContributionLie, JoinLie, JournalLie, ResultLie, RosterLie, RoundLie,
        SessionLie, SumLie, SurvivorsLie,
    },
    simulation::{Federation, Observed, SimulationOptions},
};

use crate::support::{party, plain, quick_job, tables};

const SEED: u64 = 31;

/// Runs a federation in which somebody cheats. `least` parties must be in every sum.
fn watch(parties: usize, least: usize, options: SimulationOptions) -> Observed {
    let shown = format!("{options:?}");
    let job = quick_job(parties, &format!("min_parties = {least}"));
    let federation = Federation::new(&job, tables(parties, 80), options.with_shared_certificates());
    let seen = federation.expect("a federation").observe().unwrap_or_else(|e| panic!("{shown}: {e}"));
    assert!(seen.lies > 0, "{shown}: nobody lied");
    assert!(seen.harm.is_empty(), "{shown}: {:#?}", seen.harm);
    seen
}

fn clear(cheats: Vec<Cheat>) -> SimulationOptions {
    plain(SEED, vec![]).with_cheats(cheats)
}

fn lattice(cheats: Vec<Cheat>) -> SimulationOptions {
    SimulationOptions::new(SEED).with_cheats(cheats)
}

/// Who refused something by this rule.
fn refused_by(seen: &Observed, rule: impl Fn(&V) -> bool) -> Vec<PartyId> {
    let by = seen.noticed.iter().filter(|n| n.violation.as_ref().is_some_and(&rule)).filter_map(|n| n.by.clone());
    let mut by: Vec<PartyId> = by.collect();
    by.sort();
    by.dedup();
    by
}

/// These parties refused something by this rule, blame the coordinator, and say so in their own journals.
fn objects(seen: &Observed, parties: &[usize], rule: impl Fn(&V) -> bool) {
    let expected: Vec<PartyId> = parties.iter().map(|i| party(*i)).collect();
    assert_eq!(refused_by(seen, &rule), expected, "{:#?}", seen.noticed);
    for party in &expected {
        let by_rule = |n: &&haihe_simulations::simulation::Noticed| {
            n.by.as_ref() == Some(party) && n.violation.as_ref().is_some_and(&rule)
        };
        let reason =
            &seen.noticed.iter().find(by_rule).expect("refused").violation.as_ref().expect("a rule").to_string();
        let blamed = |b: &Blame| matches!(b, Blame::Coordinator | Blame::CoordinatorOrContributor);
        let noted = |n: &Note| matches!(n, Note::Objected { against, reason: r, .. } if blamed(against) && r == reason);
        assert!(seen.notes[party].iter().any(noted), "{party} has not noted: {reason}\n{:#?}", seen.notes[party]);
    }
}

/// The job failed or lost the round, and the reason says this. A lost round is repeated, and a lie told once is over then.
fn fails(seen: &Observed, words: &str) {
    let says = |event: &Event| match event {
        Event::RoundLost { reason, .. } | Event::JobFailed { reason } => reason.contains(words),
        _ => false,
    };
    assert!(seen.events.iter().any(says), "{words}: {:?}", seen.ended);
}

/// The job finished; `observe` has compared every sum and the result with what its contributors put in.
fn finishes(seen: &Observed) {
    assert!(seen.ended.is_ok(), "{:?}\n{:#?}", seen.ended, seen.noticed);
}

fn round(to: &[usize], round: u64, lie: RoundLie) -> Cheat {
    Cheat::Round { to: to.iter().map(|i| party(*i)).collect(), round, lie }
}

fn survivors(to: &[usize], round: u64, lie: SurvivorsLie) -> Cheat {
    Cheat::Survivors { to: to.iter().map(|i| party(*i)).collect(), round, lie }
}

#[test]
fn other_tasks_for_other_banks() {
    // Grids with a cell for a single firm; then another model. One bank is asked, the others the truth.
    for at in [2, 4] {
        let seen = watch(4, 4, clear(vec![round(&[1], at, RoundLie::Task)]));
        objects(&seen, &[1], |v| *v == V::UnexpectedTask { round: at });
        fails(&seen, "bank-01 objects: the coordinator asks something in round");
    }
}

#[test]
fn made_up_questions_for_everybody() {
    for at in [1, 2, 3, 4] {
        let seen = watch(3, 3, clear(vec![round(&[], at, RoundLie::Task)]));
        let made_up = |v: &V| matches!(v, V::UnexpectedTask { round } | V::Parameters { round } | V::Task { round } if *round == at);
        objects(&seen, &[0, 1, 2], made_up);
        fails(&seen, "objects: the coordinator");
    }
}

#[test]
fn questions_that_cannot_be_answered() {
    let seen = watch(3, 3, clear(vec![round(&[], 3, RoundLie::Unreadable)]));
    objects(&seen, &[0, 1, 2], |v| *v == V::Task { round: 3 });
    let seen = watch(3, 3, clear(vec![round(&[], 3, RoundLie::Parameters)]));
    objects(&seen, &[0, 1, 2], |v| *v == V::Parameters { round: 3 });
    let seen = watch(3, 3, clear(vec![round(&[0], 3, RoundLie::Unsigned)]));
    objects(&seen, &[0], |v| *v == V::CoordinatorSignature { message: "round specification" });
    let seen = watch(3, 3, clear(vec![round(&[0], 3, RoundLie::OtherSession)]));
    objects(&seen, &[0], |v| matches!(v, V::OtherSession { message: "round specification", .. }));
    let seen = watch(3, 3, clear(vec![round(&[0], 3, RoundLie::OtherJob)]));
    objects(&seen, &[0], |v| *v == V::OtherJob { message: "round specification" });
}

#[test]
fn another_history() {
    let seen = watch(3, 3, clear(vec![round(&[2], 4, RoundLie::Previous)]));
    objects(&seen, &[2], |v| matches!(v, V::OtherHistory { round: 4, .. }));
    fails(&seen, "bank-02 objects: round 4 builds on history");
    // The last question again, under the next number: as after a lost round. It shows nothing new; the committee sees to it
    // that it is answered for the same parties only (`the_same_question_for_others_in_a_later_round`).
    let seen = watch(3, 3, clear(vec![round(&[2], 4, RoundLie::OldTask)]));
    assert!(refused_by(&seen, |_| true).is_empty(), "{:#?}", seen.noticed);
    finishes(&seen);
}

#[test]
fn a_replayed_round_is_stale() {
    // Refused, and not objected to: an old message may as well be late.
    let seen = watch(3, 3, clear(vec![round(&[], 4, RoundLie::Replayed)]));
    assert_eq!(refused_by(&seen, |v| matches!(v, V::StaleRound { got: 3, .. })).len(), 3, "{:#?}", seen.noticed);
    finishes(&seen);
}

#[test]
fn a_second_specification_of_a_round() {
    let seen = watch(3, 3, clear(vec![round(&[], 4, RoundLie::Second)]));
    objects(&seen, &[0, 1, 2], |v| *v == V::SecondSpec { round: 4 });
}

#[test]
fn parties_that_were_told_different_specifications() {
    // Nobody sees anything by itself; the committee does when it is shown all signatures.
    let lies = vec![round(&[1], 2, RoundLie::Deadline), survivors(&[], 2, SurvivorsLie::Deceived)];
    let seen = watch(4, 3, clear(lies));
    objects(&seen, &[0, 2, 3], |v| *v == V::OtherSpec { party: party(1), round: 2 });
    fails(&seen, "the coordinator told the parties different things");
}

#[test]
fn a_forked_journal() {
    let fork = Cheat::Journal { to: vec![party(1)], round: 1, lie: JournalLie::Altered };
    let seen = watch(4, 3, clear(vec![fork, survivors(&[], 1, SurvivorsLie::Deceived)]));
    let forked = |v: &V| matches!(v, V::OtherJournal { .. });
    objects(&seen, &[0, 1, 2, 3], forked);
    fails(&seen, "the coordinator keeps two histories");
}

#[test]
fn a_rewritten_journal() {
    for lie in [JournalLie::Altered, JournalLie::Shorter] {
        let rewritten = Cheat::Journal { to: vec![party(1)], round: 3, lie };
        let seen = watch(3, 3, clear(vec![rewritten]));
        objects(&seen, &[1], |v| matches!(v, V::Rewritten { .. }));
        fails(&seen, "bank-01 objects: the coordinator rewrote its journal");
    }
    let unsigned = Cheat::Journal { to: vec![party(1)], round: 3, lie: JournalLie::Unsigned };
    let seen = watch(3, 3, clear(vec![unsigned]));
    objects(&seen, &[1], |v| matches!(v, V::Checkpoint { round: 3, .. }));
}

#[test]
fn a_journal_from_an_old_backup() {
    let seen = watch(3, 3, clear(vec![Cheat::Restore { at: 30, entries: 22 }]));
    assert!(!refused_by(&seen, |v| matches!(v, V::Rewritten { .. } | V::SecondSpec { .. })).is_empty(), "{seen:#?}");
    fails(&seen, "objects: the coordinator");
}

#[test]
fn survivors_who_are_too_few() {
    let seen = watch(4, 4, clear(vec![survivors(&[], 2, SurvivorsLie::TooFew)]));
    objects(&seen, &[0, 1, 2, 3], |v| *v == V::TooFewSurvivors { round: 2, got: 3, needed: 4 });
    fails(&seen, "this committee answers for at least 4");
}

#[test]
fn two_survivor_sets_in_one_round() {
    let seen = watch(5, 4, clear(vec![survivors(&[], 2, SurvivorsLie::Second)]));
    objects(&seen, &[0, 1, 2, 3, 4], |v| *v == V::SecondSurvivorSet { round: 2 });
}

#[test]
fn the_same_question_for_others_in_a_later_round() {
    let lies = vec![survivors(&[], 2, SurvivorsLie::NextRound), Cheat::Suppress];
    for cheats in [lies[..1].to_vec(), lies] {
        let seen = watch(5, 4, clear(cheats));
        objects(&seen, &[0, 1, 2, 3, 4], |v| *v == V::SameQuestion { round: 3, before: 2 });
        assert!(seen.ended.is_err() || seen.events.iter().any(|e| matches!(e, Event::RoundLost { round: 3, .. })));
    }
}

#[test]
fn survivor_sets_that_are_not_what_was_signed() {
    for (lie, rule) in [
        (SurvivorsLie::Twice, V::RosterOrder { party: party(0) }),
        (SurvivorsLie::OtherSpec, V::OtherSpec { party: party(1), round: 2 }),
        (SurvivorsLie::Unsigned, V::CoordinatorSignature { message: "survivor set" }),
    ] {
        let seen = watch(3, 3, clear(vec![survivors(&[1], 2, lie)]));
        objects(&seen, &[1], |v| *v == rule);
    }
}

#[test]
fn a_wrong_sum() {
    for lie in [SumLie::Value, SumLie::Doubled] {
        let wrong = Cheat::Sum { to: vec![party(2)], round: 2, lie };
        let seen = watch(3, 3, clear(vec![wrong.clone()]));
        objects(&seen, &[2], |v| *v == V::WrongSum { round: 2 });
        fails(&seen, "bank-02 objects: the sum that the coordinator announced for round 2");
        let seen = watch(3, 3, lattice(vec![wrong]));
        objects(&seen, &[2], |v| *v == V::WrongSum { round: 2 });
    }
}

#[test]
fn a_sum_of_other_contributors() {
    let seen = watch(4, 3, clear(vec![Cheat::Sum { to: vec![], round: 2, lie: SumLie::Contributors }]));
    objects(&seen, &[0, 1, 2, 3], |v| *v == V::WrongSum { round: 2 });
    let seen = watch(3, 3, clear(vec![Cheat::Sum { to: vec![], round: 2, lie: SumLie::Contributors }]));
    objects(&seen, &[0, 1, 2], |v| *v == V::TooFewSurvivors { round: 2, got: 2, needed: 3 });
}

#[test]
fn a_withheld_sum() {
    let seen = watch(3, 3, clear(vec![Cheat::Sum { to: vec![party(0)], round: 3, lie: SumLie::Withheld }]));
    objects(&seen, &[0], |v| matches!(v, V::OtherHistory { round: 4, .. }));
}

#[test]
fn a_wrong_result() {
    for lie in [ResultLie::Model, ResultLie::Transcript] {
        let seen = watch(3, 3, clear(vec![Cheat::Result { to: vec![party(1)], lie }]));
        objects(&seen, &[1], |v| *v == V::WrongResult);
        assert!(!seen.notes[&party(1)].iter().any(|n| matches!(n, Note::Closed { .. })), "it kept the result");
        finishes(&seen);
    }
}

#[test]
fn suppressed_objections_are_in_their_authors_journals() {
    let seen = watch(3, 3, clear(vec![round(&[1], 4, RoundLie::Task), Cheat::Suppress]));
    objects(&seen, &[1], |v| *v == V::UnexpectedTask { round: 4 });
    assert!(!seen.events.iter().any(|e| matches!(e, Event::Objected { .. })));
    fails(&seen, "bank-01");
}

#[test]
fn rosters() {
    let everybody = [0, 1, 2, 3, 4];
    let roster = |lie| watch(5, 4, clear(vec![Cheat::Roster { to: vec![], lie }]));
    for (lie, rule) in [
        (RosterLie::Twice, V::RosterOrder { party: party(0) }),
        (RosterLie::Rule, V::CommitteeRule),
        (RosterLie::Minimum, V::CommitteeRule),
        (RosterLie::OtherJob, V::OtherJob { message: "roster" }),
    ] {
        let seen = roster(lie);
        objects(&seen, &everybody, |v| *v == rule);
        fails(&seen, "did not confirm the roster in time");
    }
    let seen = roster(RosterLie::Coordinator);
    objects(&seen, &everybody, |v| matches!(v, V::CoordinatorCertificate { .. }));
    let seen = roster(RosterLie::WithoutReceiver);
    assert_eq!(refused_by(&seen, |v| matches!(v, V::OwnEntry { .. })).len(), 5);
    let seen = watch(3, 3, clear(vec![Cheat::Roster { to: vec![], lie: RosterLie::Second }]));
    assert_eq!(refused_by(&seen, |v| matches!(v, V::OtherSession { message: "roster", .. })).len(), 3);
    finishes(&seen);
}

/// The coordinator passed on what it had to refuse: it is blamed, and not whose part is wrong.
fn relayed(seen: &Observed, parties: &[usize], message: &str, rule: impl Fn(&V) -> bool) {
    objects(seen, parties, |v| matches!(v, V::Relayed { message: m, source } if *m == message && rule(source)));
}

#[test]
fn parts_of_others_that_were_changed_on_the_way() {
    let everybody = [0, 1, 2, 3, 4];
    let roster = |lie| watch(5, 4, clear(vec![Cheat::Roster { to: vec![], lie }]));
    relayed(&roster(RosterLie::Unlisted), &everybody, "roster", |v| matches!(v, V::NotInvited { .. }));
    let substituted = V::Signature { party: party(4), message: "join" };
    relayed(&roster(RosterLie::SealingKey), &everybody, "roster", |v| *v == substituted);
    let session = |lie| watch(3, 3, clear(vec![Cheat::Session { to: vec![party(1)], lie }]));
    let key = V::Signature { party: party(0), message: "confirmation" };
    relayed(&session(SessionLie::CheckKey), &[1], "session", |v| *v == key);
    relayed(&session(SessionLie::Nonce), &[1], "session", |v| *v == V::Beacon { party: party(0) });
    let set = |lie| watch(3, 3, clear(vec![survivors(&[1], 2, lie)]));
    let replaced = V::Signature { party: party(2), message: "contribution" };
    relayed(&set(SurvivorsLie::Commitment), &[1], "survivor set", |v| *v == replaced);
    relayed(&set(SurvivorsLie::Shares), &[1], "survivor set", |v| *v == V::ShareDigest { party: party(0) });
    relayed(&set(SurvivorsLie::ShareMissing), &[1], "survivor set", |v| matches!(v, V::ShareCount { .. }));
}

#[test]
fn sessions() {
    for lie in [SessionLie::Missing, SessionLie::Roster] {
        let seen = watch(3, 3, clear(vec![Cheat::Session { to: vec![party(1)], lie }]));
        let rule = |v: &V| matches!(v, V::Confirmation { .. } | V::OtherSession { message: "session", .. });
        objects(&seen, &[1], rule);
    }
}

/// The coordinator told a sender, in the words of this rule.
fn rejects(seen: &Observed, rule: &V, culprit: usize) {
    assert_eq!(rule.fault(), Blame::Participant(party(culprit)));
    let told = seen.noticed.iter().any(|n| n.by.is_none() && n.reason == rule.to_string());
    assert!(told, "{rule}: {:#?}", seen.noticed);
}

fn contribution(by: usize, lie: ContributionLie) -> Cheat {
    Cheat::Contribution { by: party(by), round: 5, lie }
}

#[test]
fn joining_with_what_is_not_ones_own() {
    for lie in [JoinLie::Certificate, JoinLie::SealingKey, JoinLie::Unsigned] {
        let seen = watch(4, 3, clear(vec![Cheat::Join { by: party(1), lie }]));
        match lie {
            JoinLie::Certificate => {
                assert!(
                    seen.noticed
                        .iter()
                        .any(|n| n.reason.contains("bank-01 used a certificate that names bank/bank-00"))
                );
            }
            JoinLie::SealingKey => rejects(&seen, &V::SealingKey { party: party(1) }, 1),
            JoinLie::Unsigned => rejects(&seen, &V::Signature { party: party(1), message: "join" }, 1),
        }
        finishes(&seen);
        let seen = watch(3, 3, clear(vec![Cheat::Join { by: party(1), lie }]));
        fails(&seen, "bank-01 did not join in time");
    }
}

#[test]
fn confirming_wrongly() {
    for (by, lie, rule) in [
        (1, ConfirmationLie::Nonce, V::Beacon { party: party(1) }),
        (1, ConfirmationLie::Presence, V::CheckKeyPresence { party: party(1) }),
        (0, ConfirmationLie::Presence, V::CheckKeyPresence { party: party(0) }),
    ] {
        let seen = watch(4, 3, clear(vec![Cheat::Confirmation { by: party(by), lie }]));
        rejects(&seen, &rule, by);
        finishes(&seen);
    }
}

#[test]
fn a_check_key_that_is_not_the_one_committed_to() {
    let seen = watch(4, 3, clear(vec![Cheat::Confirmation { by: party(0), lie: ConfirmationLie::CheckKey }]));
    assert_eq!(refused_by(&seen, |v| *v == V::CheckKey { party: party(0) }), [party(3)], "{:#?}", seen.noticed);
    let blames = |n: &Note| matches!(n, Note::Objected { against: Blame::Participant(p), .. } if *p == party(0));
    assert!(seen.notes[&party(3)].iter().any(blames));
}

#[test]
fn contributions_that_are_rejected() {
    let me = || party(1);
    for (lie, rule) in [
        (ContributionLie::Commitment, V::Commitment { party: me() }),
        (ContributionLie::Name, V::Signature { party: me(), message: "contribution" }),
        (ContributionLie::ShareMissing, V::ShareCount { party: me(), got: 3, needed: 4 }),
        (ContributionLie::OtherJournal, V::PinnedJournal { party: me() }),
        (ContributionLie::ShareDigest, V::ShareDigest { party: me() }),
        (ContributionLie::OtherSpec, V::OtherRound { party: me(), round: 5 }),
    ] {
        let seen = watch(4, 3, clear(vec![contribution(1, lie)]));
        rejects(&seen, &rule, 1);
        let recorded = |e: &Event| matches!(e, Event::ContributionRejected { party, reason, .. } if *party == me() && *reason == rule.to_string());
        assert!(seen.events.iter().any(recorded));
        finishes(&seen);
    }
    for (lie, words) in [
        (ContributionLie::Oversized, "bank-01 announced a ciphertext of"),
        (ContributionLie::ShareSize, "bank-01 sent a sealed key share of"),
    ] {
        let seen = watch(4, 3, clear(vec![contribution(1, lie)]));
        assert!(seen.noticed.iter().any(|n| n.by.is_none() && n.reason.contains(words)), "{:#?}", seen.noticed);
        finishes(&seen);
    }
}

#[test]
fn residues_beyond_the_modulus() {
    let seen = watch(4, 3, lattice(vec![contribution(1, ContributionLie::Malformed)]));
    rejects(&seen, &V::Malformed { party: party(1), chunk: 0 }, 1);
    finishes(&seen);
}

#[test]
fn an_old_contribution_is_late_and_not_used() {
    let seen = watch(4, 3, clear(vec![contribution(1, ContributionLie::Replayed)]));
    let late = |e: &Event| matches!(e, Event::ContributionLate { party: p, .. } if *p == party(1));
    assert!(seen.events.iter().any(late));
    finishes(&seen);
}

#[test]
fn a_second_contribution() {
    let seen = watch(4, 4, clear(vec![contribution(1, ContributionLie::Second)]));
    rejects(&seen, &V::SecondContribution { party: party(1), round: 5 }, 1);
    finishes(&seen);
}

#[test]
fn ciphertexts_under_another_key_cost_the_round() {
    // The sum is noise, and does not say whose fault that is.
    for lie in [ContributionLie::ReplayedRenamed, ContributionLie::Ciphertext] {
        let seen = watch(4, 4, lattice(vec![contribution(1, lie)]));
        assert!(seen.events.iter().any(|e| matches!(e, Event::RoundLost { round: 5, .. })), "{:?}", seen.ended);
    }
}

#[test]
fn shares_that_cannot_be_opened_name_their_sender() {
    for lie in [ContributionLie::SharesUnreadable, ContributionLie::CiphertextAndShares] {
        let seen = watch(4, 4, clear(vec![contribution(1, lie)]));
        for member in [0, 2, 3].map(party) {
            let rule = V::ShareUnreadable { party: party(1), receiver: member.clone() };
            assert!(refused_by(&seen, |v| *v == rule).contains(&member), "{:#?}", seen.noticed);
        }
        let named =
            |e: &Event| matches!(e, Event::Objected { objection } if objection.against == Blame::Participant(party(1)));
        assert!(seen.events.iter().any(named));
    }
}

#[test]
fn one_wrong_answer_is_corrected_and_named() {
    let seen = watch(7, 7, lattice(vec![Cheat::Answer { by: party(3), round: 2, lie: AnswerLie::Wrong }]));
    let named =
        |e: &Event| matches!(e, Event::SumOpened { round: 2, wrong_answers, .. } if *wrong_answers == [party(3)]);
    assert!(seen.events.iter().any(named));
    finishes(&seen);
}

#[test]
fn a_share_of_something_else_makes_its_receivers_answer_wrong() {
    // Corrected; but the answer does not show whether its author or the sender of one share is to blame.
    let job = quick_job(7, "");
    let options = lattice(vec![Cheat::Contribution { by: party(1), round: 2, lie: ContributionLie::ShareOfOther }]);
    let federation = Federation::new(&job, tables(7, 80), options.with_shared_certificates()).expect("a federation");
    let seen = federation.observe().expect("it ends");
    finishes(&seen);
    assert_eq!(seen.harm, ["an answer of bank-00 is called wrong"]);
}

#[test]
fn a_second_answer_changes_nothing() {
    let seen = watch(5, 5, clear(vec![Cheat::Answer { by: party(1), round: 2, lie: AnswerLie::Second }]));
    finishes(&seen);
}

#[test]
fn too_many_wrong_answers_cost_the_round() {
    let seen = watch(3, 3, lattice(vec![Cheat::Answer { by: party(1), round: 2, lie: AnswerLie::Wrong }]));
    assert!(seen.events.iter().any(|e| matches!(e, Event::RoundLost { round: 2, .. })));
    finishes(&seen);
}

#[test]
fn answers_that_are_rejected() {
    for (lie, rule) in [
        (AnswerLie::Malformed, V::MalformedAnswer { party: party(1) }),
        (AnswerLie::OtherSet, V::OtherSurvivorSet { party: party(1) }),
        (AnswerLie::Unsigned, V::Signature { party: party(1), message: "answer" }),
    ] {
        let seen = watch(5, 5, clear(vec![Cheat::Answer { by: party(1), round: 2, lie }]));
        rejects(&seen, &rule, 1);
        finishes(&seen);
    }
}

#[test]
fn a_tag_that_does_not_fit_spoils_the_sum() {
    // Nobody can tell who it was: an honest coordinator must not be blamed for it, and the sum must not be used.
    let seen = watch(3, 3, lattice(vec![contribution(1, ContributionLie::Tag)]));
    assert_eq!(refused_by(&seen, |v| *v == V::WrongSum { round: 5 }).len(), 3, "{:#?}", seen.noticed);
    assert_eq!(V::WrongSum { round: 5 }.fault(), Blame::CoordinatorOrContributor);
    fails(&seen, "objects: the sum that the coordinator announced for round 5");
}

#[test]
fn cheats_are_written_as_they_are_read() {
    let text = "cheat = \"sum\"\nto = [\"bank-02\"]\nround = 2\nlie = \"doubled\"\n";
    let cheat: Cheat = toml::from_str(text).expect("a cheat");
    assert_eq!(cheat, Cheat::Sum { to: vec![party(2)], round: 2, lie: SumLie::Doubled });
    assert_eq!(toml::to_string(&cheat).expect("written"), text);
}

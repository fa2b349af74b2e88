//! Vertical jobs: exchanges of sealed letters among all parties, with crashes, absences and a coordinator that lies.
//!
//! Most tests let the parties talk about nothing (`Echo`), so that they are about the exchanges and not about what is computed.

use std::sync::Arc;

use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};
use haihe_protocol::{
    audit,
    error::{Fault as Blame, Violation as V},
    id::PartyId,
    journal::Event,
    vertical::work::Firms,
};
use haihe_simulations::{
    cheat::{Cheat, ExchangeLie, ParcelLie},
    fault::{During, Fault},
    simulation::{Federation, Observed, SimulationError, SimulationOptions, VerticalOutcome, steps::Echo},
};

use crate::{
    faults::for_all,
    support::{party, plain, quick_job, tables},
};

const SEED: u64 = 41;
const EXCHANGES: u64 = 4;

/// The first party holds the label; each other has one column of its own.
pub fn job(parties: usize, more: &str) -> String {
    let names: Vec<String> = (0..parties).map(|i| format!("\"{}\"", party(i))).collect();
    let holder = |i: usize| {
        let label = if i == 0 { "label = \"bad\"\nsplit = { column = \"set\" }" } else { "" };
        format!(
            "[[vertical.holder]]\nparty = \"{}\"\nview = \"firms\"\nkey = \"code\"\n{label}\ncolumns = [{{ name = \"c{i}\", kind = \
             \"numeric\" }}]\n",
            party(i)
        )
    };
    let holders: String = (0..parties).map(holder).collect();
    format!(
        "[job]\nname = \"joint\"\nparties = [{}]\n[deadlines]\njoin_seconds = 60\nconfirm_seconds = 60\nround_seconds = \
         60\n{more}\n[vertical]\nlabel_holder = \"{}\"\n[vertical.alignment]\nkey_kind = \"text\"\nmax_firms = 1000\nmin_common \
         = 10\n{holders}",
        names.join(", "),
        party(0)
    )
}

/// Firms of each party: codes that overlap, one column.
pub fn firms(parties: usize, rows: usize) -> Vec<(PartyId, Arc<Firms>)> {
    let of = |i: usize| {
        let keys: Vec<String> = (0..rows).map(|row| format!("firm-{}", row + i)).collect();
        let column = (0..rows).map(|row| ((row * 7 + i) % 13) as f64).collect();
        let table = Table {
            specs: vec![ColumnSpec { name: format!("c{i}"), kind: ColumnKind::Numeric }],
            columns: vec![Column::Numeric(column)],
            label: (0..rows).map(|row| i == 0 && row % 3 == 0).collect(),
            split: (0..rows).map(|row| if i == 0 && row % 4 == 3 { Split::Test } else { Split::Train }).collect(),
            firms: None,
        };
        (party(i), Arc::new(Firms { keys, table }))
    };
    (0..parties).map(of).collect()
}

fn echo(faults: Vec<Fault>) -> SimulationOptions {
    SimulationOptions::new(SEED).with_faults(faults).with_shared_certificates().with_steps(Echo::new(EXCHANGES))
}

fn federation(parties: usize, options: SimulationOptions) -> Federation {
    Federation::vertical(&job(parties, ""), firms(parties, 40), options).expect("a federation")
}

fn run(parties: usize, options: SimulationOptions) -> Result<VerticalOutcome, SimulationError> {
    federation(parties, options).run_vertical(|_| {})
}

fn finished(parties: usize, options: SimulationOptions) -> VerticalOutcome {
    let shown = format!("{options:?}");
    run(parties, options).unwrap_or_else(|e| panic!("{shown}: {e}"))
}

/// The run ends as the reference did, and its journal passes an audit.
fn must_equal(reference: &VerticalOutcome, parties: usize, options: SimulationOptions) -> Result<(), String> {
    let shown = format!("{options:?}");
    let outcome = run(parties, options).map_err(|e| format!("{shown}: {e}"))?;
    if outcome.result_json != reference.result_json || outcome.kept != reference.kept {
        return Err(format!("{shown}: another result"));
    }
    if outcome.counters.rejected > 0 {
        return Err(format!("{shown}: an honest party was rejected: {:?}", outcome.remarks));
    }
    audited(&outcome).map_err(|e| format!("{shown}: {e}"))
}

fn audited(outcome: &VerticalOutcome) -> Result<(), String> {
    let sums = audit::Sums::new();
    let found = audit::verify(&outcome.journal, Some(&outcome.authority), &sums).map_err(|e| e.to_string())?;
    let heads = found.heads.len() as u64;
    if heads == EXCHANGES { Ok(()) } else { Err(format!("the audit saw {heads} exchanges")) }
}

#[test]
fn two_three_and_five_parties_exchange_letters() {
    for parties in [2, 3, 5] {
        let outcome = finished(parties, echo(vec![]));
        assert_eq!(outcome.parties, (0..parties).map(party).collect::<Vec<_>>());
        assert_eq!(outcome.result_json, format!("{{\"exchanges\":{EXCHANGES}}}"));
        assert_eq!(outcome.exchanges.len() as u64, EXCHANGES);
        assert_eq!(outcome.exchanges[1].0, "echo 2/4");
        for i in 0..parties {
            let kept = outcome.kept[&party(i)]["echo.txt"].clone();
            assert_eq!(String::from_utf8(kept), Ok(format!("{} {EXCHANGES}", party(i))), "{parties} parties");
        }
        let (count, letters) = (outcome.counters.accepted, outcome.traffic["letters (X3)"]);
        assert_eq!(count, EXCHANGES * parties as u64);
        // Two letters each, one to all others and one to a neighbour: sealed once however many read it.
        let sent = 2 * parties as u64 * (EXCHANGES - 1) * 1048;
        let read = parties as u64 * parties as u64 * (EXCHANGES - 1) * 1048;
        assert_eq!(letters.bytes, read, "{parties} parties");
        let parcels = outcome.traffic["parcel (X1)"];
        assert!(parcels.bytes > sent && parcels.bytes < sent + 200 * parties as u64 * count, "{parcels:?} {sent}");
        audited(&outcome).unwrap_or_else(|e| panic!("{parties} parties: {e}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let (a, b) = (finished(3, echo(vec![])), finished(3, echo(vec![])));
    assert_eq!(a.tip, b.tip, "seed {SEED}");
}

#[test]
fn a_coordinator_crash_at_every_journal_position_changes_nothing() {
    let reference = finished(3, echo(vec![]));
    for_all(1..reference.journal.len() as u64, |entry| {
        for written in [false, true] {
            must_equal(&reference, 3, echo(vec![Fault::CoordinatorCrash { entry, written, down_ms: 700 }]))?;
        }
        must_equal(&reference, 3, echo(vec![Fault::CoordinatorPowerLoss { entry, down_ms: 700 }]))?;
        must_equal(&reference, 3, echo(vec![Fault::StoreFails { entry }]))
    });
}

#[test]
fn a_participant_crash_at_every_write_changes_nothing() {
    let reference = finished(3, echo(vec![]));
    let writes = reference.writes[&party(2)];
    assert!(writes > 5 * EXCHANGES, "{writes} writes");
    for_all(0..writes, |write| {
        for torn in [false, true] {
            let crash = Fault::CrashOnWrite { party: party(2), write, torn, down_ms: 700 };
            must_equal(&reference, 3, echo(vec![crash]))?;
        }
        must_equal(&reference, 3, echo(vec![Fault::DiskFull { party: party(0), write, writes: 1 }]))
    });
}

#[test]
fn a_participant_crash_at_every_message_changes_nothing() {
    let reference = finished(3, echo(vec![]));
    for_all(0..3 + EXCHANGES, |message| {
        for worked in [false, true] {
            let crash = Fault::CrashOnMessage { party: party(1), message, worked, down_ms: 700 };
            must_equal(&reference, 3, echo(vec![crash]))?;
        }
        Ok(())
    });
}

#[test]
fn lost_doubled_and_broken_messages_change_nothing() {
    let reference = finished(2, echo(vec![]));
    for_all(0..40, |message| {
        for fault in [
            Fault::Drop { message },
            Fault::Double { message, later_ms: 300 },
            Fault::Cut { message },
            Fault::Reorder { message, behind: 3 },
        ] {
            must_equal(&reference, 2, echo(vec![fault]))?;
        }
        must_equal(&reference, 2, echo(vec![Fault::BlobsFull { append: message, appends: 1 }]))
    });
}

fn silent(index: usize, from_round: u64, rounds: u64) -> Fault {
    Fault::Silent { party: party(index), from_round, rounds, during: During::Everything }
}

#[test]
fn a_party_that_stays_away_is_named() {
    match run(3, echo(vec![silent(1, 2, u64::MAX)])) {
        Err(SimulationError::Failed { reason, journal, .. }) => {
            let words = "bank-01 did not send its parcel of exchange 2 (echo 2/4) within 60 s, 3 times";
            assert!(reason.starts_with(words), "{reason}");
            let extended = |e: &haihe_protocol::journal::Entry| match e.event() {
                Ok(Event::ExchangeExtended { absent, attempt, .. }) => Some((absent, attempt)),
                _ => None,
            };
            let extended: Vec<_> = journal.iter().filter_map(extended).collect();
            assert_eq!(extended, [(vec![party(1)], 1), (vec![party(1)], 2)]);
        }
        other => panic!("seed {SEED}: {:?}", other.map(|o| o.counters)),
    }
    match run(3, echo(vec![silent(0, 0, 1)])) {
        Err(SimulationError::Failed { reason, .. }) => {
            assert!(reason.contains("cannot be done without bank-00"), "{reason}");
            assert!(reason.contains("bank-00 did not join in time"), "{reason}");
        }
        other => panic!("seed {SEED}: {:?}", other.map(|o| o.counters)),
    }
}

#[test]
fn a_party_that_comes_back_in_time_goes_on() {
    let reference = finished(3, echo(vec![]));
    let away = Fault::Partition { parties: vec![party(2)], from_ms: 200, for_ms: 100_000 };
    let outcome = finished(3, echo(vec![away]));
    assert_eq!(outcome.result_json, reference.result_json);
    assert_eq!(outcome.counters.rounds_lost, 1, "{:?}", outcome.exchanges);
}

#[test]
fn scoring_goes_on_without_those_who_may_be_absent() {
    let scoring = |absent: usize| {
        let model = "ab".repeat(32);
        let scoring = format!("[scoring]\nmodel = \"{model}\"\nmay_be_absent = [\"bank-02\"]\n[vertical]\n");
        let job = job(4, "").replace("[vertical]\n", &scoring);
        let options = echo(vec![silent(absent, 0, 1)]);
        Federation::vertical(&job, firms(4, 40), options).expect("a federation").run_vertical(|_| {})
    };
    // The job scores with a model that nobody has: it comes as far as that.
    let error = scoring(2).expect_err("there is no model").to_string();
    assert!(error.contains("took part in no job with this id"), "{error}");
    match scoring(1) {
        Err(SimulationError::Failed { reason, .. }) => {
            assert!(reason.contains("cannot be done without bank-01"), "{reason}")
        }
        other => panic!("{:?}", other.map(|o| o.result_json)),
    }
}

/// Runs a federation in which the coordinator cheats, or a party cannot go on.
fn watch(parties: usize, options: SimulationOptions) -> Observed {
    let shown = format!("{options:?}");
    federation(parties, options).observe().unwrap_or_else(|e| panic!("{shown}: {e}"))
}

#[test]
fn a_step_that_fails_ends_the_job_with_its_reason() {
    let fails = Some((party(2), 3, "the column c2 has no values".to_owned()));
    let seen = watch(3, echo(vec![]).with_steps(Echo { fails, ..Echo::new(EXCHANGES) }));
    let blamed = |v: &V| matches!(v, V::Work { fault: Blame::Participant(p), .. } if *p == party(2));
    assert!(seen.noticed.iter().any(|n| n.violation.as_ref().is_some_and(blamed)), "{:#?}", seen.noticed);
    let reason = seen.ended.expect_err("the job must fail");
    let words = "bank-02 cannot go on in exchange 3 (after echo 2/4): the column c2 has no values (at fault: bank-02)";
    assert!(reason == words || reason == words.replace("after echo 2/4", "echo 3/4"), "{reason}");
}

/// The lie is refused by bank-01 alone, by this rule; it blames the coordinator, and the job ends with its objection.
fn refuses(lie: ExchangeLie, rule: impl Fn(&V) -> bool) {
    let cheat = Cheat::Exchange { to: vec![party(1)], round: 3, lie };
    let seen = watch(3, echo(vec![]).with_cheats(vec![cheat]));
    assert!(seen.lies > 0, "{lie:?}: nobody lied");
    assert!(seen.harm.is_empty(), "{lie:?}: {:#?}", seen.harm);
    let broken = |v: &&V| rule(v) && v.fault() == Blame::Coordinator;
    let by: Vec<_> = seen.noticed.iter().filter(|n| n.violation.as_ref().filter(broken).is_some()).collect();
    assert!(!by.is_empty() && by.iter().all(|n| n.by == Some(party(1))), "{lie:?}: {:#?}", seen.noticed);
    let reason = seen.ended.expect_err("the job must fail");
    let words = "bank-01 cannot go on in exchange 3";
    assert!(reason.starts_with(words) && reason.ends_with("(at fault: the coordinator)"), "{lie:?}: {reason}");
}

#[test]
fn exchanges_that_were_changed_on_the_way() {
    let relayed = |rule: fn(&V) -> bool| move |v: &V| matches!(v, V::Relayed { source, .. } if rule(source));
    refuses(ExchangeLie::Letter, relayed(|v| matches!(v, V::LetterDigest { letter: 0, .. })));
    refuses(ExchangeLie::LetterMissing, |v| *v == V::OtherLetters { round: 2 });
    refuses(ExchangeLie::LetterSwapped, relayed(|v| matches!(v, V::LetterDigest { .. })));
    refuses(ExchangeLie::Dropped, |v| *v == V::ClosedExchange { round: 2 });
    refuses(ExchangeLie::Altered, |v| *v == V::ClosedExchange { round: 2 });
    refuses(ExchangeLie::Forged, relayed(|v| matches!(v, V::Signature { message: "parcel", .. })));
    refuses(ExchangeLie::Own, |v| *v == V::OwnParcel { party: party(1), round: 2 });
    refuses(ExchangeLie::Transcript, |v| *v == V::ClosedExchange { round: 2 });
}

#[test]
fn a_result_that_the_label_holder_did_not_sign_is_not_kept() {
    use haihe_simulations::cheat::ResultLie;
    for lie in [ResultLie::Model, ResultLie::Transcript] {
        let result = Cheat::Result { to: vec![party(1)], lie };
        // The result of the echo has no 1 in it to exchange: five exchanges would.
        let options = echo(vec![]).with_steps(Echo::new(11)).with_cheats(vec![result]);
        let seen = watch(3, options);
        assert!(seen.lies > 0 && seen.harm.is_empty(), "{lie:?}: {:#?}", seen.harm);
        let refused = |n: &haihe_simulations::simulation::Noticed| {
            n.by == Some(party(1)) && matches!(&n.violation, Some(V::WrongResult | V::ClosedExchange { .. }))
        };
        assert!(seen.noticed.iter().any(refused), "{lie:?}: {:#?}", seen.noticed);
    }
}

/// bank-01 sends this parcel in the second exchange.
fn sent(lie: ParcelLie) -> Observed {
    let cheat = Cheat::Parcel { by: party(1), round: 2, lie };
    let seen = watch(3, echo(vec![]).with_cheats(vec![cheat]));
    assert!(seen.lies > 0, "{lie:?}: nobody lied");
    assert!(seen.harm.is_empty(), "{lie:?}: {:#?}", seen.harm);
    seen
}

#[test]
fn parcels_that_are_rejected() {
    for lie in [ParcelLie::Letter, ParcelLie::Oversized, ParcelLie::OtherExchange] {
        let rule = match lie {
            ParcelLie::Letter => V::LetterDigest { party: party(1), letter: 0 },
            ParcelLie::Oversized => {
                V::ParcelSize { party: party(1), what: "bytes of announcement", got: 65_545, most: 65_536 }
            }
            _ => V::OtherExchange { party: party(1), round: 2 },
        };
        let seen = sent(lie);
        assert!(
            seen.noticed.iter().any(|n| n.by.is_none() && n.reason == rule.to_string()),
            "{lie:?}: {:#?}",
            seen.noticed
        );
        let reason = seen.ended.expect_err("the job must fail");
        assert!(reason.starts_with("bank-01 did not send its parcel of exchange 2"), "{lie:?}: {reason}");
        assert!(reason.contains(&format!("a parcel of bank-01 was rejected: {rule}")), "{lie:?}: {reason}");
    }
    // The first counts, and the job goes on.
    let seen = sent(ParcelLie::Second);
    assert!(seen.ended.is_ok(), "{:?}", seen.ended);
    let second = V::SecondParcel { party: party(1), round: 2 }.to_string();
    let late = |n: &haihe_simulations::simulation::Noticed| n.by.is_none() && n.reason == second;
    let counted =
        |e: &Event| matches!(e, Event::ParcelAccepted { parcel, .. } if parcel.party == party(1) && parcel.round == 2);
    assert_eq!(seen.events.iter().filter(|e| counted(e)).count(), 1);
    assert!(seen.noticed.iter().all(late), "{:#?}", seen.noticed);
}

#[test]
fn a_letter_that_cannot_be_opened_names_its_sender() {
    let seen = sent(ParcelLie::Unreadable);
    let blamed = |v: &V| {
        matches!(v, V::LetterUnreadable { party: p, .. } if *p == party(1)) && v.fault() == Blame::Participant(party(1))
    };
    assert!(seen.noticed.iter().any(|n| n.violation.as_ref().is_some_and(blamed)), "{:#?}", seen.noticed);
    let reason = seen.ended.expect_err("the job must fail");
    assert!(reason.contains("a letter of bank-01 for bank-00 cannot be opened (at fault: bank-01)"), "{reason}");
}

#[test]
fn a_parcel_is_not_asked_for_where_sums_are() {
    let kind = Cheat::Exchange { to: vec![party(1)], round: 2, lie: ExchangeLie::Kind };
    let options = plain(SEED, vec![]).with_cheats(vec![kind]).with_shared_certificates();
    let federation = Federation::new(&quick_job(3, ""), tables(3, 80), options).expect("a federation");
    let seen = federation.observe().expect("it ends");
    let other = |v: &V| *v == V::OtherKind { message: "request for a parcel" };
    assert!(seen.noticed.iter().any(|n| n.by == Some(party(1)) && n.violation.as_ref().is_some_and(other)));
    assert!(seen.lies > 0 && seen.harm.is_empty(), "{:#?}", seen.harm);
}

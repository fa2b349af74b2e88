//! The noise of a job against the attacker of its own definition: right noise passes, weak noise is noticed.

use haihe_attacks::{
    Settings,
    membership::{self, Audit},
    town::{Loans, Town},
};

const SEED: u64 = 1;

fn town() -> Town {
    Loans::load().and_then(|loans| loans.three()).expect("the bundled data")
}

fn whole_job(town: &Town, epsilon: f64, weaker: f64) -> Audit {
    let rows = membership::audit(town, epsilon, town.colluders, 600, weaker, SEED).expect("runs");
    rows.into_iter().find(|row| row.release == "whole job").expect("is always there")
}

#[test]
fn right_noise_keeps_the_promise() {
    let town = town();
    for epsilon in [8.0, 1.0] {
        for row in membership::audit(&town, epsilon, town.colluders, 600, 1.0, SEED).expect("runs") {
            assert!(row.test.epsilon_any <= row.promised && row.test.epsilon_gaussian <= row.promised, "{row:?}");
            // Twice the half-width of 95 %: wrong once in 10,000.
            assert!((row.test.mu - row.firm_mu).abs() < 2.0 * row.test.mu_error, "{row:?}");
            assert!(row.firm_mu <= row.promised_mu * (1.0 + 1e-9), "{row:?}");
        }
    }
    // The control: at this epsilon the attack does work, within the promise.
    assert!(whole_job(&town, 8.0, 1.0).test.epsilon_gaussian > 2.0);
}

#[test]
fn weak_noise_is_noticed() {
    let town = town();
    for weaker in [2.0, 4.0] {
        let row = whole_job(&town, 8.0, weaker);
        assert!(row.test.epsilon_gaussian > row.promised, "noise divided by {weaker}: {row:?}");
    }
    let row = whole_job(&town, 1.0, 4.0);
    assert!(row.test.mu - row.test.mu_error > row.promised_mu && row.test.epsilon_gaussian > row.promised, "{row:?}");
}

#[test]
fn exact_sums_show_a_known_firm_and_a_ciphertext_does_not() {
    let rows = membership::exact(&town(), &Settings { seed: SEED, quick: true }).expect("runs");
    for row in rows {
        match row.view.as_str() {
            "ciphertext" => assert!((row.test.auc - 0.5).abs() < 2.0 * row.test.auc_error, "{row:?}"),
            _ => assert_eq!(row.test.auc, 1.0, "{row:?}"),
        }
    }
}

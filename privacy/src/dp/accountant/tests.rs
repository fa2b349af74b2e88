use super::*;
use serde::Deserialize;
use std::fmt::Write as _;
use std::time::Instant;

/// A row of `simulations/reference/privacy_accounting.py`.
#[derive(Deserialize)]
struct Reference {
    rate: f64,
    multiplier: f64,
    count: u64,
    delta: f64,
    pld: f64,
    rdp: f64,
    seconds: f64,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../../../vectors/dp_accounting.json")).expect("a table")
}

fn of(multiplier: f64, rate: f64, count: u64) -> Composition {
    Composition::new(&[(Mechanism::new(multiplier, rate).expect("valid"), count)]).expect("valid")
}

fn part(multiplier: f64, rate: f64, count: u64) -> Sampled {
    Sampled { multiplier, rate, count }
}

#[test]
fn epsilons_of_dp_accounting() {
    let references = references();
    assert!(references.len() >= 24);
    for Reference { rate, multiplier, count, delta, pld, rdp, .. } in references {
        let Bounds { lower, upper } = of(multiplier, rate, count).epsilon(delta).expect("valid");
        let case = format!("q {rate} z {multiplier} T {count} delta {delta}: {lower} .. {upper}, theirs {pld}");
        // Theirs is from above, at an interval of 1e-4 and with a tail cut at 1e-15.
        assert!(lower <= pld && pld <= upper * 1.001 && upper <= pld * 1.005 && upper <= rdp, "{case}");
        assert!(upper - lower <= 0.004 * upper + 1e-12, "{case}");
    }
}

/// Writes the table of `docs/security/dp-accounting.md` again:
/// `cargo test -p haihe-privacy --lib write_the_epsilon_table -- --ignored`.
#[test]
#[ignore = "writes a table of the documentation, with times"]
fn write_the_epsilon_table() {
    let mut table = String::new();
    for r in references() {
        let start = Instant::now();
        let bounds = of(r.multiplier, r.rate, r.count).epsilon(r.delta).expect("valid");
        let ours = start.elapsed().as_secs_f64() * 1e3;
        let name = format!("| {} | {} | {} | {:e} ", r.rate, r.multiplier, r.count, r.delta);
        let epsilons = format!("| {:.4} | {:.4} | {:.4} | {:.4} ", bounds.lower, bounds.upper, r.pld, r.rdp);
        writeln!(table, "{name}{epsilons}| {ours:.1} | {:.0} |", r.seconds * 1e3).expect("a string");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security/dp-accounting.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (head, rest) = text.split_once("<!-- table -->\n").expect("a mark");
    let (lines, tail) = rest.split_once("<!-- end of table -->").expect("a second mark");
    let head_of_table: Vec<&str> = lines.lines().take(2).collect();
    let text = format!("{head}<!-- table -->\n{}\n{table}<!-- end of table -->{tail}", head_of_table.join("\n"));
    std::fs::write(path, text).expect("the document");
}

#[test]
fn one_release_by_its_formula() {
    // delta = P(L > eps) - e^eps Q(L > eps), where {L > eps} is a half line.
    for (z, q, epsilon) in [(1.0, 0.01, 0.2), (0.6, 0.1, 1.0), (2.0, 0.5, 0.5), (4.0, 0.9, 0.01), (1.0, 0.001, 0.01)] {
        let tail = gaussian::upper_tail;
        let place = |loss: f64| z * z * (loss.exp_m1() / q).ln_1p() + 0.5;
        let from = place(epsilon);
        let removed = (1.0 - q) * tail(from / z) + q * tail((from - 1.0) / z) - epsilon.exp() * tail(from / z);
        let added = match (-epsilon).exp() > 1.0 - q {
            true => {
                let to = place(-epsilon);
                tail(-to / z) - epsilon.exp() * ((1.0 - q) * tail(-to / z) + q * tail((1.0 - to) / z))
            }
            false => 0.0,
        };
        let truth = removed.max(added);
        let Bounds { lower, upper } = of(z, q, 1).delta(epsilon).expect("valid");
        assert!(lower <= truth * (1.0 + 1e-9) && truth <= upper * (1.0 + 1e-9), "{z} {q}: {lower} {truth} {upper}");
        assert!(upper - lower <= 0.005 * truth, "{z} {q}: {lower} {truth} {upper}");
    }
}

#[test]
fn grids_enclose_the_closed_form() {
    for (z, count, delta) in
        [(1.0, 1, 1e-5), (0.5, 1, 1e-9), (30.0, 100, 1e-6), (3.0, 40, 1e-12), (50.0, 20_000, 1e-15), (10.0, 1, 0.01)]
    {
        let truth = of(z, 1.0, count).epsilon(delta).expect("valid");
        let bounds = compose::epsilon(&[part(z, 1.0, count)], delta);
        assert!(bounds.lower <= truth.lower && truth.upper <= bounds.upper, "{z} {count}: {bounds:?} {truth:?}");
        assert!(bounds.upper - bounds.lower <= 0.005 * truth.upper, "{z} {count}: {bounds:?}");
        let truth = of(z, 1.0, count).delta(truth.upper).expect("valid");
        let bounds = compose::delta(&[part(z, 1.0, count)], of(z, 1.0, count).epsilon(delta).expect("valid").upper);
        assert!(bounds.lower <= truth.lower && truth.upper <= bounds.upper, "{z} {count}: {bounds:?} {truth:?}");
    }
}

#[test]
fn the_closed_form() {
    // Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu), to 50 digits by mpmath.
    let known = [
        (1.0, 1.0, 0.126_936_737_506_643_94),
        (0.1, 0.5, 6.856_582_455_838_737e-9),
        (3.0, 0.0, 0.866_385_597_462_283_8),
        (0.01, 0.1, 7.857_692_771_036_772e-27),
        (2.0, 20.0, 2.016_028_801_306_039e-20),
        (1e-5, 1e-5, 8.331_588_716_541_962e-7),
    ];
    for (mu, epsilon, delta) in known {
        let bounds = gaussian::delta(mu, epsilon);
        assert!(bounds.lower <= delta && delta <= bounds.upper, "{mu} {epsilon}: {bounds:?} {delta}");
        assert!(bounds.upper - bounds.lower <= 1e-8 * delta, "{mu} {epsilon}: {bounds:?}");
        if epsilon > 0.0 {
            let back = gaussian::epsilon(mu, delta);
            assert!(back.lower <= epsilon && epsilon <= back.upper, "{mu} {epsilon}: {back:?}");
        }
    }
    assert_eq!(gaussian::epsilon(0.01, 0.5), Bounds { lower: 0.0, upper: 0.0 });
}

#[test]
fn mixed_releases() {
    let whole = (Mechanism::new(20.0, 1.0).expect("valid"), 10);
    let sampled = (Mechanism::new(1.0, 0.01).expect("valid"), 1000);
    let epsilon = |releases: &[_]| Composition::new(releases).expect("valid").epsilon(1e-6).expect("valid");
    let (one, other, both) = (epsilon(&[whole]), epsilon(&[sampled]), epsilon(&[whole, sampled]));
    assert!(both.lower > one.upper.max(other.upper) && both.upper < one.upper + other.upper);
    assert_eq!(both, epsilon(&[whole, (sampled.0, 400), (sampled.0, 600)]));
    // dp-accounting 0.6.0, the two events composed.
    let theirs = 2.233_912;
    assert!(both.lower <= theirs && theirs <= both.upper * 1.001, "{both:?}");
}

#[test]
fn hopeless_compositions_are_not_private() {
    let sampled = (Mechanism::new(0.1, 0.5).expect("valid"), 1);
    for whole in [10, 1_000_000] {
        let releases = [(Mechanism::new(0.5, 1.0).expect("valid"), whole), sampled];
        let bounds = Composition::new(&releases).expect("valid").epsilon(1e-6).expect("valid");
        assert!(bounds.lower > 20.0 && bounds.upper >= bounds.lower, "{bounds:?}");
    }
}

#[test]
fn epsilon_and_delta_are_inverse() {
    let composition = of(1.1, 0.02, 3000);
    let epsilon = composition.epsilon(1e-6).expect("valid");
    assert!(composition.delta(epsilon.upper).expect("valid").lower <= 1e-6);
    assert!(composition.delta(epsilon.lower).expect("valid").upper >= 1e-6);
    assert_eq!(composition.epsilon(0.999).expect("valid").upper, 0.0);
    assert_eq!(Composition::default().epsilon(1e-6), Ok(Bounds { lower: 0.0, upper: 0.0 }));
}

#[test]
fn multipliers_are_enough_and_not_too_large() {
    for (epsilon, delta, rate, count) in [(1.0, 1e-6, 1.0, 10), (3.0, 1e-6, 0.01, 1000), (8.0, 1e-5, 0.1, 100)] {
        let multiplier = multiplier_for(epsilon, delta, rate, count).expect("within reach");
        assert!(of(multiplier, rate, count).epsilon(delta).expect("valid").upper <= epsilon);
        assert!(of(multiplier / 1.01, rate, count).epsilon(delta).expect("valid").lower > epsilon);
    }
    let error = multiplier_for(1e-9, 1e-20, 1.0, 1_000_000).expect_err("out of reach");
    assert_eq!(error, AccountingError::OutOfReach { epsilon: 1e-9, delta: 1e-20 });
}

#[test]
fn numbers_that_cannot_be_accounted_for() {
    for bad in [f64::NAN, 0.0, -1.0, 0.09, 1e7] {
        assert!(matches!(Mechanism::new(bad, 0.5), Err(AccountingError::Multiplier(_))));
    }
    for bad in [f64::NAN, 0.0, -1.0, 1.1] {
        assert!(matches!(Mechanism::new(1.0, bad), Err(AccountingError::Rate(_))));
        assert!(matches!(of(1.0, 0.5, 1).epsilon(bad), Err(AccountingError::Delta(_))));
    }
    let unchecked = Mechanism::Gaussian { multiplier: 0.0 };
    assert_eq!(Composition::new(&[(unchecked, 1)]), Err(AccountingError::Multiplier(0.0)));
    let most = (Mechanism::new(1.0, 0.5).expect("valid"), 1_000_000_000);
    assert_eq!(Composition::new(&[most, (most.0, 1)]), Err(AccountingError::Count(1_000_000_001)));
    assert_eq!(Composition::new(&[(most.0, 0)]), Err(AccountingError::Count(0)));
    assert!(matches!(of(1.0, 0.5, 1).delta(f64::NAN), Err(AccountingError::Epsilon(_))));
}

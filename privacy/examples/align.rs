//! What an alignment costs: N parties in one process, one thread each, half of the keys in common.
//!
//! `cargo run --release -p haihe-privacy --example align -- [keys of each party] [parties]`; 100,000 keys and 3 parties
//! unless told otherwise.

use haihe_privacy::align::{Aligner, Alignment, Letter, Outcome, Ring, Secret, Terms, group};
use haihe_privacy::digest::Digest;
use std::error::Error;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// What one party did.
#[derive(Clone, Copy, Default)]
struct Cost {
    commitment: Duration,
    hops: Duration,
    comparison: Duration,
    way_back: Duration,
    sent: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (size, parties) = (argument(100_000)?, argument(3)?);
    let ring = Ring::new(parties, 0)?;
    let terms = Terms { session: Digest::from_bytes([1; 32]), ring, minimum: 1, maximum: size };
    let keys: Vec<Vec<String>> = (0..parties).map(|me| keys(me, size)).collect();
    let mut costs = vec![Cost::default(); parties as usize];
    let mut members = Vec::new();
    for (me, cost) in (0..parties).zip(&mut costs) {
        let secret = Secret::new(terms.session, me, [me as u8; 32]);
        let start = Instant::now();
        secret.commit(&keys[me as usize])?;
        cost.commitment = start.elapsed();
        members.push(Alignment::new(terms, vec![size; parties as usize], secret, NonZeroUsize::MIN)?);
    }
    let rows = run(&members, &keys, &mut costs)?;
    let firm = |me: usize, n: usize| &keys[me][rows[me][n] as usize];
    let agreed = |n| (1..keys.len()).all(|me| firm(me, n) == firm(0, n));
    assert!((0..rows[0].len()).all(agreed), "the parties have different firms");
    assert_eq!(rows[0].len(), size.div_ceil(2) as usize, "half of the keys are common");
    print(size, parties, &costs);
    Ok(())
}

/// The first half is common to all parties.
fn keys(me: u32, size: u32) -> Vec<String> {
    let own = |row: u32| if row < size.div_ceil(2) { 0 } else { 1 + me };
    (0..size).map(|row| format!("91{:06}{row:010}", own(row))).collect()
}

/// Runs all exchanges and gives every party's rows.
fn run(members: &[Alignment], keys: &[Vec<String>], costs: &mut [Cost]) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let (mut letters, mut rows) = (Vec::<Letter>::new(), Vec::new());
    let parties = members.len() as u32;
    for number in 1..=2 * parties + 1 {
        let mut inboxes: Vec<Vec<Letter>> = vec![Vec::new(); members.len()];
        letters.drain(..).for_each(|letter| inboxes[letter.to as usize].push(letter));
        for (me, (member, inbox)) in members.iter().zip(&inboxes).enumerate() {
            let start = Instant::now();
            let outcome = member.step(number, &keys[me], inbox, &mut |_, _| {})?;
            let cost = &mut costs[me];
            let time = match number {
                _ if number <= parties => &mut cost.hops,
                _ if number == parties + 1 => &mut cost.comparison,
                _ => &mut cost.way_back,
            };
            *time += start.elapsed();
            match outcome {
                Outcome::Send(mine) => {
                    let away = mine.iter().filter(|letter| letter.to != letter.from);
                    cost.sent += away.map(|letter| letter.bytes.len()).sum::<usize>();
                    letters.extend(mine);
                }
                Outcome::Rows(mine) => rows.push(mine),
            }
        }
    }
    Ok(rows)
}

fn print(size: u32, parties: u32, costs: &[Cost]) {
    println!("{parties} parties with {size} keys each, half of them common; engine {}, one thread", group::engine());
    println!("party  commitment       hops  per point  comparison   way back   sent per key");
    for (me, cost) in costs.iter().enumerate() {
        let points = f64::from(size) * f64::from(parties);
        println!(
            "{me:>5} {:>9.3} s {:>8.3} s {:>7.2} us {:>9.3} s {:>8.3} s {:>10.1} B",
            cost.commitment.as_secs_f64(),
            cost.hops.as_secs_f64(),
            cost.hops.as_secs_f64() * 1e6 / points,
            cost.comparison.as_secs_f64(),
            cost.way_back.as_secs_f64(),
            cost.sent as f64 / f64::from(size),
        );
    }
}

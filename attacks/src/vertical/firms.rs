//! A party of the alignment against the firms of another: it has points, and the registry of all firms.

use super::town::Polish;
use crate::{Settings, seeded};
use anyhow::Result;
use haihe_privacy::align::{Aligner, Alignment, Letter, Outcome, Ring, Secret, Terms};
use rand::RngExt;
use serde::Serialize;
use std::{collections::HashSet, num::NonZeroUsize};

/// What was tried, and how many firms were found by it.
#[derive(Clone, Debug, Serialize)]
pub struct Firms {
    /// The attempt.
    pub attempt: String,
    /// Firms that could have been found.
    pub firms: usize,
    /// Firms that were found.
    pub found: usize,
}

const PARTIES: u32 = 3;

/// Three parties, the second attacks the first; the registry is everybody's.
pub fn firms(polish: &Polish, settings: &Settings) -> Result<Vec<Firms>> {
    let mut rng = seeded(settings.seed, "points");
    let most = settings.trials(polish.keys().len(), 600);
    let registry = polish.keys()[..most].to_vec();
    let sets: Vec<Vec<String>> =
        (0..PARTIES).map(|_| registry.iter().filter(|_| rng.random::<f64>() < 0.5).cloned().collect()).collect();
    let seeds: Vec<[u8; 32]> = (0..PARTIES).map(|_| rng.random()).collect();
    let session = haihe_privacy::Transcript::new("haihe/v1/attacks").u64(settings.seed).str("points").finish();
    let terms = Terms { session, ring: Ring::new(PARTIES, 2)?, minimum: 1, maximum: registry.len() as u32 };
    let sizes = |of: usize| -> Vec<u32> {
        (0..PARTIES as usize).map(|p| if p == of { registry.len() } else { sets[p].len() } as u32).collect()
    };
    let party = |me: u32, sizes: Vec<u32>| {
        Alignment::new(terms, sizes, Secret::new(session, me, seeds[me as usize]), NonZeroUsize::MIN)
    };
    // Sizes nobody announced: `of` is none of the parties.
    let honest = |me| party(me, sizes(PARTIES as usize));
    let first = points(&honest(0)?.first_hop(&sets[0], &mut |_, _| {})?);
    // What the attacker sees of the others' sets, and the registry under each exponent that it might have.
    let third = points(&letter_of(&honest(0)?, &honest(2)?.first_hop(&sets[2], &mut |_, _| {})?)?);
    let own = points(&party(1, sizes(1))?.first_hop(&registry, &mut |_, _| {})?);
    let known = points(&party(0, sizes(0))?.first_hop(&registry, &mut |_, _| {})?);
    let raised = honest(1)?;
    let after = points(&raised.hop(0, first.as_flattened(), &mut |_, _| {})?);
    let also = tags(&raised.hop(2, third.as_flattened(), &mut |_, _| {})?, &raised);
    let after = tags(&after.iter().flat_map(|p| p[1..=raised.tag_bytes()].to_vec()).collect::<Vec<u8>>(), &raised);
    let both = sets[0].iter().filter(|k| sets[2].contains(k)).count();
    let row = |attempt: &str, firms, found| Firms { attempt: attempt.to_owned(), firms, found };
    Ok(vec![
        row(
            "the registry under its own exponent, against the points of the first party",
            sets[0].len(),
            common(&own, &first),
        ),
        row("points of the first party against points of the third, as they come", both, common(&first, &third)),
        row("the same, each raised by its own exponent", both, common(&after, &also)),
        row(
            "the registry under the first party's exponent (control: its seed is known)",
            sets[0].len(),
            common(&known, &first),
        ),
    ])
}

fn points(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes.as_chunks().0.to_vec()
}

fn common(a: &[[u8; 32]], b: &[[u8; 32]]) -> usize {
    let a: HashSet<&[u8; 32]> = a.iter().collect();
    b.iter().filter(|p| a.contains(p)).count()
}

/// What the first party passes on of the third one's set.
fn letter_of(party: &Alignment, points: &[u8]) -> Result<Vec<u8>> {
    let inbox = [Letter { from: 2, to: 0, bytes: points.to_vec() }];
    match party.step(2, &[], &inbox, &mut |_, _| {})? {
        Outcome::Send(letters) => Ok(letters.into_iter().flat_map(|l| l.bytes).collect()),
        Outcome::Rows(_) => Ok(Vec::new()),
    }
}

/// Tags, which are what is compared of a point after its last hop.
fn tags(bytes: &[u8], party: &Alignment) -> Vec<[u8; 32]> {
    let padded = |tag: &[u8]| {
        let mut wide = [0; 32];
        wide[..tag.len()].copy_from_slice(tag);
        wide
    };
    bytes.chunks_exact(party.tag_bytes()).map(padded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_tell_nothing_without_the_exponent() {
        let polish = Polish::load().expect("the bundled firms");
        let found = firms(&polish, &Settings { seed: 1, quick: true }).expect("runs");
        let (control, rest) = found.split_last().expect("four attempts");
        assert!(rest.iter().all(|f| f.found == 0 && f.firms > 50), "{found:?}");
        assert_eq!(control.found, control.firms, "the control must succeed");
    }
}

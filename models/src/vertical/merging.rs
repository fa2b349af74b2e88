//! The label holder's half of [`super::woe`]: which counts may be shown, and which are merged or withheld.

use super::VerticalError;
use super::woe::WoeOptions;
use serde::{Deserialize, Serialize};

/// One unnamed column as the label holder sees it; all vectors have one entry per fine bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineColumn {
    /// Training rows.
    pub rows: Vec<u64>,
    /// Bad training rows.
    pub bad: Vec<u64>,
    /// Not to be merged with neighbours.
    pub standalone: Vec<bool>,
}

/// What the label holder answers: all groups have at least the minimum of goods and of bads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Good training rows.
    pub good: u64,
    /// Bad training rows.
    pub bad: u64,
    /// One per column, in the order of the request.
    pub columns: Vec<MergedColumn>,
}

/// Groups of the fine bins of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergedColumn {
    /// In order. A fine bin that is in no group has counts below the minimum, which are withheld.
    pub groups: Vec<Group>,
    /// Bins of their own that are below the minimum, but of as many rows as both minima together: counted in the group that is
    /// most alike, whose weight they take.
    pub joined: Vec<Joined>,
    /// The group whose counts include those of all withheld bins, so that they are no difference to the totals either.
    pub withheld_in: Option<usize>,
}

/// A bin that is counted in a group that is no neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// The fine bin.
    pub bin: usize,
    /// Position of the group.
    pub group: usize,
}

/// Fine bins that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// First fine bin.
    pub first: usize,
    /// Last fine bin, included.
    pub last: usize,
    /// Good training rows.
    pub good: u64,
    /// Bad training rows.
    pub bad: u64,
}

/// Merges neighbouring fine bins until every group has the minimum of goods and of bads; what is left at the end joins the last
/// group. A standalone bin below the minimum joins the group that is most alike if it has as many rows as both minima together
/// (a pure bin of many firms would be worth nothing otherwise); smaller ones are withheld, and so is a column that does not
/// reach the minimum as a whole. Where
/// the withheld bins could be found as the difference between the groups and the totals, the largest group counts them in.
pub fn merge(columns: &[FineColumn], bad: &[bool], options: &WoeOptions) -> Result<Merged, VerticalError> {
    options.validate()?;
    let bads = bad.iter().filter(|&&b| b).count() as u64;
    let goods = bad.len() as u64 - bads;
    if bads == 0 || goods == 0 {
        return Err(VerticalError::OneClass { rows: bad.len() });
    }
    let one = |(at, column): (usize, &FineColumn)| {
        let lengths = [column.bad.len(), column.standalone.len()];
        if let Some(&found) = lengths.iter().find(|&&l| l != column.rows.len()) {
            return Err(VerticalError::Length { what: "fine bins", expected: column.rows.len(), found });
        }
        let total = |v: &[u64]| v.iter().try_fold(0u64, |s, &x| s.checked_add(x));
        let possible = column.rows.iter().zip(&column.bad).all(|(r, b)| b <= r);
        if !possible || total(&column.rows) != Some(bad.len() as u64) || total(&column.bad) != Some(bads) {
            return Err(VerticalError::Counts { column: at });
        }
        Ok(merge_column(column, options))
    };
    let columns = columns.iter().enumerate().map(one).collect::<Result<_, _>>()?;
    Ok(Merged { good: goods, bad: bads, columns })
}

fn merge_column(column: &FineColumn, options: &WoeOptions) -> MergedColumn {
    let enough = |g: &Group| g.good >= options.minimum_goods && g.bad >= options.minimum_bads;
    let bin = |b: usize| Group { first: b, last: b, good: column.rows[b] - column.bad[b], bad: column.bad[b] };
    let mut groups: Vec<Group> = Vec::new();
    let mut left: Vec<Group> = Vec::new();
    // Runs of neighbours end at a standalone bin.
    let mut start = 0;
    while start < column.rows.len() {
        let alone = column.standalone[start];
        let run = column.standalone[start..].iter().take_while(|&&s| s == alone).count();
        for stretch in if alone { vec![1; run] } else { vec![run] } {
            let (full, rest) = merge_run((start..start + stretch).map(bin), enough);
            groups.extend(full);
            left.extend(rest);
            start += stretch;
        }
    }
    // What is left can be compared with a group if it is not too few firms to say anything about.
    let comparable = |g: &Group| g.good + g.bad >= options.minimum_goods + options.minimum_bads && g.first == g.last;
    let (near, withheld): (Vec<Group>, Vec<Group>) =
        left.into_iter().partition(|g| comparable(g) && !groups.is_empty());
    let of_groups = groups.clone();
    let joined: Vec<Joined> =
        near.iter().filter_map(|g| Some(Joined { bin: g.first, group: most_alike(&of_groups, g)? })).collect();
    for (group, join) in near.iter().zip(&joined) {
        let into = &mut groups[join.group];
        (into.good, into.bad) = (into.good + group.good, into.bad + group.bad);
    }
    // The totals are known, so a small withheld remainder would be their difference to the groups: the largest group takes it.
    let [good, bad] = withheld.iter().fold([0, 0], |s, g| [s[0] + g.good, s[1] + g.bad]);
    let small = good + bad > 0 && !(good >= options.minimum_goods && bad >= options.minimum_bads);
    let withheld_in = (0..groups.len()).max_by_key(|&i| groups[i].good + groups[i].bad).filter(|_| small);
    if let Some(g) = withheld_in.map(|i| &mut groups[i]) {
        (g.good, g.bad) = (g.good + good, g.bad + bad);
    }
    MergedColumn { groups, joined, withheld_in }
}

/// Groups of neighbours that are large enough, or what there is when all of them together are not.
fn merge_run(bins: impl Iterator<Item = Group>, enough: impl Fn(&Group) -> bool) -> (Vec<Group>, Option<Group>) {
    let join = |a: Group, b: Group| Group { last: b.last, good: a.good + b.good, bad: a.bad + b.bad, ..a };
    let (mut groups, mut open): (Vec<Group>, Option<Group>) = (Vec::new(), None);
    for bin in bins {
        let grown = open.take().map_or(bin, |g| join(g, bin));
        if enough(&grown) { groups.push(grown) } else { open = Some(grown) }
    }
    match (groups.last_mut(), open) {
        (Some(last), Some(rest)) => {
            *last = join(*last, rest);
            (groups, None)
        }
        (_, rest) => (groups, rest),
    }
}

/// The group under whose bad rate the counts are most likely.
fn most_alike(groups: &[Group], counts: &Group) -> Option<usize> {
    let likelihood = |g: &Group| {
        let rate = g.bad as f64 / (g.good + g.bad) as f64;
        counts.bad as f64 * libm::log(rate) + counts.good as f64 * libm::log(1.0 - rate)
    };
    (0..groups.len()).max_by(|&a, &b| likelihood(&groups[a]).total_cmp(&likelihood(&groups[b])))
}

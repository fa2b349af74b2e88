//! Lone firms: what the counts of goods and bads per fine cell tell of a firm that is alone in its cell.
//!
//! Whoever knows in which cell a firm lies (its number of employees, say) reads its label off a cell that holds no other firm.

use crate::{
    Settings,
    membership::EPSILONS,
    seeded,
    stats::Share,
    town::{Step, Town, total},
};
use anyhow::Result;
use haihe_models::{
    grid::{ColumnGrid, LabelCountsLayout},
    table::{Column, Split, Table},
};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// Firms that stand alone, before any release.
#[derive(Clone, Debug, Serialize)]
pub struct Lone {
    /// Whose rows.
    pub rows_of: String,
    /// Train rows.
    pub rows: usize,
    /// Cells of all columns with exactly one firm.
    pub cells: usize,
    /// Firms that are alone in a cell of at least one column.
    pub in_one: Share,
    /// Firms that are alone in their cells of the best two columns together.
    pub in_two: Share,
    /// The same of the best three.
    pub in_three: Share,
}

/// Labels of lone firms, read off a release.
#[derive(Clone, Debug, Serialize)]
pub struct Labels {
    /// What the attacker has.
    pub view: String,
    /// Firms of the first party that are alone in a cell of what the release counts.
    pub firms: usize,
    /// Whose label was told.
    pub right: Share,
    /// The more frequent label among them: what one would guess.
    pub guessed: f64,
}

/// Cell of each train row in each column.
fn cells_of(table: &Table, grids: &[ColumnGrid]) -> (Vec<Vec<usize>>, Vec<bool>) {
    let rows: Vec<usize> = (0..table.rows()).filter(|&r| table.split[r] == Split::Train).collect();
    let cell = |row: usize| {
        let of = |(column, grid): (&Column, &ColumnGrid)| match (column, grid) {
            (Column::Numeric(v), ColumnGrid::Numeric(fine)) if v[row].is_nan() => fine.cells(),
            (Column::Numeric(v), ColumnGrid::Numeric(fine)) => fine.cell(v[row]),
            (Column::Categorical(v), _) => v[row] as usize,
            (Column::Numeric(_), ColumnGrid::Categorical { .. }) => 0,
        };
        table.columns.iter().zip(grids).map(of).collect::<Vec<usize>>()
    };
    (rows.iter().map(|&r| cell(r)).collect(), rows.iter().map(|&r| table.label[r]).collect())
}

/// Rows that no other row equals in these columns.
fn alone(cells: &[Vec<usize>], columns: &[usize]) -> HashSet<usize> {
    let key = |row: &Vec<usize>| columns.iter().map(|&c| row[c]).collect::<Vec<usize>>();
    let mut seen: HashMap<Vec<usize>, usize> = HashMap::new();
    cells.iter().for_each(|row| *seen.entry(key(row)).or_default() += 1);
    (0..cells.len()).filter(|&r| seen[&key(&cells[r])] == 1).collect()
}

/// Columns, one added at a time, in which most rows are alone.
fn best_columns(cells: &[Vec<usize>], many: usize) -> Vec<usize> {
    let mut best = Vec::new();
    for _ in 0..many {
        let with = |c: &usize| [best.clone(), vec![*c]].concat();
        let rest = (0..cells[0].len()).filter(|c| !best.contains(c));
        best.extend(rest.max_by_key(|c| (alone(cells, &with(c)).len(), usize::MAX - c)));
    }
    best
}

/// Lone firms of each party and of all together, on the exact job's grids.
pub fn lone(town: &Town) -> Vec<Lone> {
    let own = town.parties.iter().map(|t| cells_of(t, &town.exact.grids).0).collect::<Vec<_>>();
    let names = ["largest lender", "lenders 1-7", "all other lenders"].map(str::to_owned);
    let all = own.concat();
    let every = names.into_iter().zip(&own).chain([("all three".to_owned(), &all)]);
    every
        .map(|(rows_of, cells)| {
            let columns = cells[0].len();
            let per_column: Vec<HashSet<usize>> = (0..columns).map(|c| alone(cells, &[c])).collect();
            let any: HashSet<usize> = per_column.iter().flatten().copied().collect();
            let share = |n: usize| Share::of(n, cells.len());
            Lone {
                rows_of,
                rows: cells.len(),
                cells: per_column.iter().map(HashSet::len).sum(),
                in_one: share(any.len()),
                in_two: share(alone(cells, &best_columns(cells, 2)).len()),
                in_three: share(alone(cells, &best_columns(cells, 3)).len()),
            }
        })
        .collect()
}

/// Labels of the lone firms of the first party, from its plain counts, the exact sum, and sums with noise.
pub fn labels(town: &Town, settings: &Settings) -> Result<Vec<Labels>> {
    let noisy = &town.noisy;
    let mut rows = Vec::new();
    let tables: Vec<&Table> = town.parties.iter().collect();
    let reader = |grids| {
        let (cells, bad) = cells_of(tables[0], grids);
        Reader { grids, cells, bad }
    };
    let exact = reader(&town.exact.grids);
    for (view, parties) in [("plain update", 1), ("exact sum of 3, one party colludes", 2), ("exact sum of 3", 3)] {
        let counts = total(&tables[..parties], |t| town.exact.label_counts(t))?;
        let lone = lone_rows(&tables[..parties], &town.exact.grids);
        rows.push(exact.read(view.to_owned(), &lone, None, &[counts]));
    }
    // With noise no cell holds a lone firm to begin with. The same firms are attacked by somebody who knows all other rows, and
    // in which cells of all columns the firm lies: then every cell is as good as a lone one.
    let every: Vec<usize> = (0..noisy.grids.len()).collect();
    let lone: Vec<(usize, Vec<usize>)> =
        lone_rows(&tables[..1], &town.exact.grids).into_iter().map(|(row, _)| (row, every.clone())).collect();
    let known = total(&tables, |t| noisy.vector(Step::LabelCounts, t))?;
    let coarse = reader(&noisy.grids);
    for epsilon in EPSILONS {
        let mut rng = seeded(settings.seed, &format!("labels {epsilon}"));
        let quantiser =
            noisy.quantiser(Step::LabelCounts, noisy.mu(Step::LabelCounts, epsilon)?, town.guaranteed(), 1.0)?;
        let vectors = tables.iter().map(|t| noisy.vector(Step::LabelCounts, t)).collect::<Result<Vec<_>>>()?;
        let mut releases = Vec::new();
        for _ in 0..settings.trials(200, 20) {
            let mut sum = vec![0u64; quantiser.dimension()];
            let mut slots = vec![0u32; quantiser.dimension()];
            for vector in &vectors {
                let noise = quantiser.draw(&mut rng);
                quantiser.quantise(0, vector, &noise, &mut slots, &mut rng)?;
                sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
            }
            releases.push(quantiser.dequantise(&sum, town.n() as u32));
        }
        let view = format!("sum of 3, epsilon {epsilon}, all other rows known");
        rows.push(coarse.read(view, &lone, Some(&known), &releases));
    }
    Ok(rows)
}

/// The sum over a lone firm's cells of bads less goods, above 0, says bad. `known` is what the others add to the release.
struct Reader<'a> {
    grids: &'a [ColumnGrid],
    /// The party's rows in these grids.
    cells: Vec<Vec<usize>>,
    bad: Vec<bool>,
}

impl Reader<'_> {
    fn read(&self, view: String, lone: &[(usize, Vec<usize>)], known: Option<&[f64]>, releases: &[Vec<f64>]) -> Labels {
        let layout = LabelCountsLayout::new(self.grids);
        let bads = lone.iter().filter(|(row, _)| self.bad[*row]).count();
        let mut right = 0;
        for (row, columns) in lone {
            for release in releases {
                let surplus = |&c: &usize| {
                    let at = layout.offset(c) + 2 * self.cells[*row][c];
                    // Everybody else's part: all that is known, less the firm's own row.
                    let own = if self.bad[*row] { 1.0 } else { -1.0 };
                    let others = known.map_or(0.0, |k| k[at + 1] - k[at] - own);
                    release[at + 1] - release[at] - others
                };
                right += usize::from((columns.iter().map(surplus).sum::<f64>() > 0.0) == self.bad[*row]);
            }
        }
        let firms = lone.len();
        let guessed = bads.max(firms - bads) as f64 / firms.max(1) as f64;
        Labels { view, firms, right: Share::of(right, firms * releases.len()), guessed }
    }
}

/// Rows of the first table that are alone in a cell among all tables, with the columns in which they are.
fn lone_rows(tables: &[&Table], grids: &[ColumnGrid]) -> Vec<(usize, Vec<usize>)> {
    let own = cells_of(tables[0], grids).0.len();
    let all: Vec<Vec<usize>> = tables.iter().flat_map(|t| cells_of(t, grids).0).collect();
    let lone: Vec<HashSet<usize>> = (0..grids.len()).map(|c| alone(&all, &[c])).collect();
    let columns = |row: usize| (0..grids.len()).filter(|&c| lone[c].contains(&row)).collect::<Vec<usize>>();
    (0..own).map(|row| (row, columns(row))).filter(|(_, columns)| !columns.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::town::Loans;

    #[test]
    fn lone_firms_show_their_label_in_exact_counts_only() {
        let town = Loans::load().and_then(|l| l.three()).expect("the bundled data");
        let read = labels(&town, &Settings { seed: 1, quick: true }).expect("runs");
        assert!(read[0].firms > 10 && read[0].right.value == 1.0, "{read:?}");
        let noised = read.iter().find(|r| r.view.contains("epsilon 0.5")).expect("is there");
        assert!(noised.firms > 10 && noised.right.value < 0.7, "{noised:?}");
        let lone = lone(&town);
        assert!(lone[0].in_three.value > lone[0].in_two.value && lone[3].rows > 20_000, "{lone:?}");
    }
}

//! An isolation forest as a model: how it scores, what drives a score, and what a stored one must satisfy.
//!
//! Liu, Ting & Zhou 2008, "Isolation forest" (ICDM): the score of a row is `2^(-E[h] / c(psi))`, with `h` the path length in a
//! tree plus `c(rows of the leaf)` for what the tree did not divide any more. Trees here see a number of rows that is random,
//! near psi: `E[h] / c(psi)` is the sum of `h` over the trees divided by the sum of `c`.

use super::margins::Axis;
use super::tails::check_table;
use super::{AnomalyError, intact};
use crate::grid::StatisticsError;
use crate::table::{Column, Table};
use serde::{Deserialize, Serialize};

/// Bounds of a stored forest.
const MOST_TREES: usize = 1000;
const MOST_NODES: usize = 1 << 16;
const MOST_COLUMNS: usize = 100_000;

/// How a forest reads one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForestColumn {
    /// Name of the column.
    pub name: String,
    /// How its values become numbers.
    pub kind: ForestKind,
}

/// How values become numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ForestKind {
    /// As they are.
    Numeric {
        /// The value that a missing one is read as: the median over all parties.
        missing: f64,
    },
    /// By how frequent the level is: 0 for the most frequent, which a missing value is read as too.
    Categorical {
        /// Rank of each agreed level and of "other".
        ranks: Vec<u32>,
    },
}

impl ForestColumn {
    pub(super) fn new(name: &str, axis: &Axis) -> ForestColumn {
        let kind = if axis.ranks.is_empty() {
            ForestKind::Numeric { missing: axis.neutral }
        } else {
            ForestKind::Categorical { ranks: axis.ranks.clone() }
        };
        ForestColumn { name: name.to_owned(), kind }
    }

    fn levels(&self) -> Option<usize> {
        match &self.kind {
            ForestKind::Numeric { .. } => None,
            ForestKind::Categorical { ranks } => Some(ranks.len().saturating_sub(1)),
        }
    }

    fn value(&self, column: &Column, row: usize) -> f64 {
        match (&self.kind, column) {
            (ForestKind::Numeric { missing }, Column::Numeric(x)) => {
                let x = x.get(row).copied().unwrap_or(f64::NAN);
                if x.is_nan() { *missing } else { x }
            }
            (ForestKind::Categorical { ranks }, Column::Categorical(x)) => {
                x.get(row).and_then(|&level| ranks.get(level as usize)).map_or(0.0, |&rank| f64::from(rank))
            }
            _ => 0.0,
        }
    }
}

/// One node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Rows of the subsample that came here.
    pub rows: u32,
    /// `None`: a leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// Where a node sends its rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Index of the column.
    pub column: u32,
    /// Values up to and with this go left.
    pub threshold: f64,
    /// Index of the left child; the right one is the next.
    pub left: u32,
}

/// A tree: node 0 is the root, children come after their parents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Index of the node where a row ends, with every step told: parent, child, column.
    pub(super) fn walk(&self, values: &[f64], mut step: impl FnMut(usize, usize, usize)) -> usize {
        let mut at = 0;
        while let Some(split) = self.nodes[at].split {
            let column = split.column as usize;
            let next = split.left as usize + usize::from(values[column] > split.threshold);
            step(at, next, column);
            at = next;
        }
        at
    }

    fn check(&self, columns: usize) -> Result<(), AnomalyError> {
        intact((1..=MOST_NODES).contains(&self.nodes.len()), "1 to 65536 nodes in a tree")?;
        let mut reached = 1;
        for node in &self.nodes {
            let Some(split) = node.split else { continue };
            intact((split.column as usize) < columns, "a split names no column")?;
            intact(split.threshold.is_finite(), "a threshold is not finite")?;
            // Children in pairs, in the order of their parents' splits: no loop, no orphan, no node with two parents.
            let left = split.left as usize;
            intact(left == reached && left + 1 < self.nodes.len(), "children are out of order")?;
            reached += 2;
            let below = self.nodes[left].rows.checked_add(self.nodes[left + 1].rows);
            intact(below == Some(node.rows), "children have other rows than their parent")?;
        }
        intact(reached == self.nodes.len(), "a node has no parent")
    }
}

/// A forest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Forest {
    columns: Vec<ForestColumn>,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    columns: Vec<ForestColumn>,
    trees: Vec<Tree>,
}

impl TryFrom<Stored> for Forest {
    type Error = AnomalyError;
    fn try_from(stored: Stored) -> Result<Self, AnomalyError> {
        Forest::new(stored.columns, stored.trees)
    }
}

impl Forest {
    /// A checked forest.
    pub fn new(columns: Vec<ForestColumn>, trees: Vec<Tree>) -> Result<Forest, AnomalyError> {
        let forest = Forest { columns, trees };
        forest.check()?;
        Ok(forest)
    }

    /// The columns, in the order of the job.
    pub fn columns(&self) -> &[ForestColumn] {
        &self.columns
    }

    /// The trees.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Checks what came from outside.
    pub fn check(&self) -> Result<(), AnomalyError> {
        intact((1..=MOST_COLUMNS).contains(&self.columns.len()), "1 to 100000 columns")?;
        intact((1..=MOST_TREES).contains(&self.trees.len()), "1 to 1000 trees")?;
        for column in &self.columns {
            match &column.kind {
                ForestKind::Numeric { missing } => intact(missing.is_finite(), "a median is not finite")?,
                ForestKind::Categorical { ranks } => {
                    let mut seen = vec![false; ranks.len()];
                    for &rank in ranks {
                        let place = seen.get_mut(rank as usize);
                        intact(place.is_some_and(|s| !core::mem::replace(s, true)), "ranks are no order")?;
                    }
                    intact(!ranks.is_empty(), "ranks are no order")?;
                }
            }
        }
        self.trees.iter().try_for_each(|tree| tree.check(self.columns.len()))?;
        intact(self.normal_path() > 0.0, "no tree has two rows")
    }

    /// Score of each row, in (0, 1]: above 0.5 is easier to isolate than usual.
    pub fn score(&self, table: &Table, rows: &[usize]) -> Result<Vec<f64>, AnomalyError> {
        let normal = self.normal_path();
        let mut values = Vec::with_capacity(self.columns.len());
        self.check_rows(table, rows)?;
        let score = |&row: &usize| {
            self.read(table, row, &mut values);
            let path = self.trees.iter().fold(0.0, |sum, tree| {
                let mut depth = 0.0;
                let leaf = tree.walk(&values, |_, _, _| depth += 1.0);
                sum + depth + unsuccessful_search(tree.nodes[leaf].rows)
            });
            libm::exp2(-path / normal)
        };
        Ok(rows.iter().map(score).collect())
    }

    /// What each column adds to how easily a row is isolated; above 0 = more anomalous.
    ///
    /// A split of `n` rows that leaves a row among `m` shortens its expected path by `c(n) - 1 - c(m)`: 0 on average over a
    /// random tree's rows, most when it is left alone. The sum over all splits is `1 - E[h] / c(psi)`, which is
    /// `1 + log2(score)`, so the columns' parts explain the score completely.
    pub fn contributions(&self, table: &Table, rows: &[usize]) -> Result<Vec<Vec<f64>>, AnomalyError> {
        self.check_rows(table, rows)?;
        let normal = self.normal_path();
        let mut values = Vec::with_capacity(self.columns.len());
        let one = |&row: &usize| {
            values.clear();
            self.read(table, row, &mut values);
            let mut parts = vec![0.0; self.columns.len()];
            for tree in &self.trees {
                let c = |node: usize| unsuccessful_search(tree.nodes[node].rows);
                tree.walk(&values, |from, to, column| parts[column] += c(from) - 1.0 - c(to));
            }
            parts.iter_mut().for_each(|p| *p /= normal);
            parts
        };
        Ok(rows.iter().map(one).collect())
    }

    /// Sum over the trees of the path length that is normal for their rows.
    fn normal_path(&self) -> f64 {
        self.trees.iter().fold(0.0, |sum, tree| sum + unsuccessful_search(tree.nodes[0].rows))
    }

    pub(super) fn read(&self, table: &Table, row: usize, values: &mut Vec<f64>) {
        read(&self.columns, table, row, values);
    }

    fn check_rows(&self, table: &Table, rows: &[usize]) -> Result<(), AnomalyError> {
        check_columns(&self.columns, table)?;
        match rows.iter().find(|&&row| row >= table.rows()) {
            Some(&row) => {
                Err(StatisticsError::Rows { column: "rows".into(), expected: table.rows(), found: row + 1 }.into())
            }
            None => Ok(()),
        }
    }
}

pub(super) fn check_columns(columns: &[ForestColumn], table: &Table) -> Result<(), AnomalyError> {
    check_table(table, columns.iter().map(|c| (c.name.as_str(), c.levels())))
}

/// The row as numbers, one per column.
pub(super) fn read(columns: &[ForestColumn], table: &Table, row: usize, values: &mut Vec<f64>) {
    values.clear();
    values.extend(columns.iter().zip(&table.columns).map(|(c, column)| c.value(column, row)));
}

/// `c(n)`, equation 1: mean length of an unsuccessful search in a binary search tree of `n`, `2 H(n - 1) - 2 (n - 1) / n`.
pub(super) fn unsuccessful_search(rows: u32) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let n = f64::from(n);
            2.0 * (libm::log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n
        }
    }
}

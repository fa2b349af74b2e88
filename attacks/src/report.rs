//! All attacks, and their tables: on the screen, and in `docs/security/attacks.md`.

use crate::{
    Settings, cells, ciphertext, inversion, membership,
    stats::{Share, Test},
    town::{DELTA, Loans},
    vertical,
};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::{fs, path::Path};

/// What every attack found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// All figures follow from it.
    pub seed: u64,
    /// Whether there were fewer trials.
    pub quick: bool,
    /// Reconstruction of rows.
    pub inversion: Vec<inversion::Inversion>,
    /// What a ciphertext tells.
    pub ciphertext: ciphertext::Findings,
    /// The strong attacker, no noise.
    pub exact: Vec<membership::Exact>,
    /// The strong attacker and the promise.
    pub audit: Vec<membership::Audit>,
    /// The weak attacker.
    pub population: Vec<membership::Population>,
    /// Lone firms.
    pub lone: Vec<cells::Lone>,
    /// Their labels.
    pub labels: Vec<cells::Labels>,
    /// Vertical jobs: the label holder against columns.
    pub vertical_columns: Vec<vertical::Columns>,
    /// A feature holder against labels.
    pub vertical_labels: Vec<vertical::Labels>,
    /// A party against the firms of another.
    pub vertical_firms: Vec<vertical::Firms>,
}

/// Names of all tables.
pub const TABLES: [&str; 11] = [
    "inversion",
    "ciphertext",
    "membership-exact",
    "membership-job",
    "membership-release",
    "membership-population",
    "lone",
    "labels",
    "vertical-columns",
    "vertical-labels",
    "vertical-firms",
];

/// One table.
pub struct Shown {
    /// Its name in the document.
    pub name: &'static str,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Runs everything; `say` hears what comes next.
pub fn run(settings: &Settings, mut say: impl FnMut(&str)) -> Result<Report> {
    say("reading the loans, learning what the jobs publish");
    let loans = Loans::load()?;
    let (three, ten) = (loans.three()?, loans.ten()?);
    say("lone firms");
    let (lone, labels) = (cells::lone(&three), cells::labels(&three, settings)?);
    say("ciphertexts");
    let ciphertext = ciphertext::findings(&three, settings)?;
    say("membership, strong attacker");
    let exact = membership::exact(&three, settings)?;
    let audit = membership::audits(&three, &ten, settings)?;
    say("membership, weak attacker");
    let population = membership::population(&three, settings)?;
    say("reconstruction");
    let inversion = inversion::inversions(&three, &ten, settings)?;
    say("vertical jobs");
    let polish = vertical::town::Polish::load()?;
    let vertical_columns = vertical::columns(&polish, settings)?;
    let vertical_labels = vertical::labels(&polish, settings)?;
    let vertical_firms = vertical::firms(&polish, settings)?;
    let Settings { seed, quick } = *settings;
    Ok(Report {
        seed,
        quick,
        inversion,
        ciphertext,
        exact,
        audit,
        population,
        lone,
        labels,
        vertical_columns,
        vertical_labels,
        vertical_firms,
    })
}

fn percent(share: &Share) -> String {
    format!("{:.1} % ({:.1}-{:.1})", 100.0 * share.value, 100.0 * share.lower, 100.0 * share.upper)
}

fn auc(test: &Test) -> String {
    format!("{:.3} ± {:.3}", test.auc, test.auc_error)
}

fn judged(test: &Test) -> [String; 3] {
    [auc(test), percent(&test.tpr_1), percent(&test.tpr_01)]
}

impl Report {
    /// All tables, in the order of [`TABLES`].
    pub fn tables(&self) -> Vec<Shown> {
        vec![
            self.inversions(),
            self.ciphertexts(),
            self.exacts(),
            self.audits("membership-job", true),
            self.audits("membership-release", false),
            self.populations(),
            self.lones(),
            self.labelled(),
            self.columns(),
            self.label_views(),
            self.points(),
        ]
    }

    fn inversions(&self) -> Shown {
        let optional = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{:.1} %", 100.0 * v));
        let row = |r: &inversion::Inversion| {
            let rows = if r.rows == 0 { "all".to_owned() } else { r.rows.to_string() };
            let firms = format!("{:.0}", r.firms);
            vec![
                r.view.clone(),
                rows,
                firms,
                percent(&r.exact),
                percent(&r.guessed),
                optional(r.cells),
                optional(r.cells_guessed),
            ]
        };
        let header = vec![
            "view",
            "rows per party",
            "firms in view",
            "rows reconstructed",
            "by guessing",
            "cells right",
            "by guessing",
        ];
        Shown { name: "inversion", header, rows: self.inversion.iter().map(row).collect() }
    }

    fn ciphertexts(&self) -> Shown {
        let c = &self.ciphertext;
        let row = |what: &str, value: String| vec![what.to_owned(), value];
        let rows = vec![
            row("residues against uniform, chi-square p-value", format!("{:.3}", c.uniform_p)),
            row("classifier between two known vectors, AUC", auc(&c.classifier)),
            row("the same, one-time seed used twice (control), AUC", auc(&c.seed_reused)),
            row("opened with T shares and made-up answers", format!("{} of {}", c.opened, c.openings)),
        ];
        Shown { name: "ciphertext", header: vec!["test", "result"], rows }
    }

    fn exacts(&self) -> Shown {
        let row = |r: &membership::Exact| [vec![r.view.clone(), r.release.clone()], judged(&r.test).into()].concat();
        let header = vec!["view", "release", "AUC", "TPR at FPR 1 %", "TPR at FPR 0.1 %"];
        Shown { name: "membership-exact", header, rows: self.exact.iter().map(row).collect() }
    }

    fn audits(&self, name: &'static str, whole: bool) -> Shown {
        let row = |r: &membership::Audit| {
            let start = vec![r.parties.to_string(), r.colluding.to_string(), format!("{}", r.epsilon)];
            let release = if whole { vec![] } else { vec![r.release.clone()] };
            let end = vec![
                format!("{:.3}", r.promised_mu),
                format!("{:.3}", r.firm_mu),
                format!("{:.3} ± {:.3}", r.test.mu, r.test.mu_error),
                format!("{:.2}", r.promised),
                format!("{:.2}", r.test.epsilon_any),
                format!("{:.2}", r.test.epsilon_gaussian),
            ];
            [start, release, judged(&r.test).into(), end].concat()
        };
        let mut header = vec!["parties", "collude", "job's epsilon"];
        if !whole {
            header.push("release");
        }
        header.extend(["AUC", "TPR at FPR 1 %", "TPR at FPR 0.1 %", "mu promised", "of the firm", "measured"]);
        header.extend(["epsilon promised", "at least, any", "at least, Gaussian"]);
        let shown = self.audit.iter().filter(|r| match whole {
            true => r.release == "whole job",
            // Colluders see most; with fewer the figures are lower.
            false => r.release != "whole job" && r.parties == 3 && r.colluding > 0 && [8.0, 1.0].contains(&r.epsilon),
        });
        Shown { name, header, rows: shown.map(row).collect() }
    }

    fn populations(&self) -> Shown {
        let row = |r: &membership::Population| {
            [vec![r.view.clone(), r.release.clone(), r.rows.to_string()], judged(&r.test).into()].concat()
        };
        let header = vec!["view", "release", "rows per party", "AUC", "TPR at FPR 1 %", "TPR at FPR 0.1 %"];
        Shown { name: "membership-population", header, rows: self.population.iter().map(row).collect() }
    }

    fn lones(&self) -> Shown {
        let row = |r: &cells::Lone| {
            let plain = |s: &Share| format!("{:.1} %", 100.0 * s.value);
            vec![
                r.rows_of.clone(),
                r.rows.to_string(),
                r.cells.to_string(),
                plain(&r.in_one),
                plain(&r.in_two),
                plain(&r.in_three),
            ]
        };
        let header =
            vec!["rows of", "firms", "cells with one firm", "alone in a column", "alone in two columns", "in three"];
        Shown { name: "lone", header, rows: self.lone.iter().map(row).collect() }
    }

    fn labelled(&self) -> Shown {
        let row = |r: &cells::Labels| {
            vec![r.view.clone(), r.firms.to_string(), percent(&r.right), format!("{:.1} %", 100.0 * r.guessed)]
        };
        let header = vec!["view", "lone firms of the party", "label told", "by guessing"];
        Shown { name: "labels", header, rows: self.labels.iter().map(row).collect() }
    }

    fn columns(&self) -> Shown {
        let row = |r: &vertical::Columns| {
            let known = r.known.map_or("all (limit)".to_owned(), |k| k.to_string());
            let told = r.twins_told.map_or("-".to_owned(), |t| format!("{:.1} %", 100.0 * t));
            vec![
                r.holders.clone(),
                r.encoding.clone(),
                r.columns.to_string(),
                r.passes.to_string(),
                known,
                format!("{:.3}", r.own),
                format!("{:.3}", r.received),
                format!("{:.3}", r.both),
                format!("{:.0} %", 100.0 * r.found),
                format!("{:.1} %", 100.0 * r.twins),
                told,
            ]
        };
        let mut header = vec!["feature holders", "encoding", "columns", "passes", "firms known"];
        header.extend(["error, own columns", "error, opened scores", "error, both", "columns found", "twins"]);
        header.push("equal scores are twins");
        Shown { name: "vertical-columns", header, rows: self.vertical_columns.iter().map(row).collect() }
    }

    fn label_views(&self) -> Shown {
        let row = |r: &vertical::Labels| {
            let [auc, read] = match &r.read {
                Some(read) => ["-".to_owned(), percent(read)],
                None => [format!("{:.3} ± {:.3}", r.auc, r.auc_error), "-".to_owned()],
            };
            let honest = if r.honest { "yes" } else { "no" };
            vec![r.holders.clone(), r.view.clone(), honest.to_owned(), r.firms.to_string(), auc, read]
        };
        let header = vec!["feature holders", "what the first of them uses", "honest", "firms", "AUC", "labels read"];
        Shown { name: "vertical-labels", header, rows: self.vertical_labels.iter().map(row).collect() }
    }

    fn points(&self) -> Shown {
        let row = |r: &vertical::Firms| vec![r.attempt.clone(), r.firms.to_string(), r.found.to_string()];
        let header = vec!["attempt", "firms to be found", "found"];
        Shown { name: "vertical-firms", header, rows: self.vertical_firms.iter().map(row).collect() }
    }

    /// Audited releases whose lower bound of epsilon passes the promise.
    pub fn broken_promises(&self) -> Vec<&membership::Audit> {
        self.audit.iter().filter(|r| r.test.epsilon_any.max(r.test.epsilon_gaussian) > r.promised).collect()
    }
}

impl Shown {
    /// For people at a terminal.
    pub fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(&self.header);
        self.rows.iter().for_each(|row| {
            table.add_row(row);
        });
        table.to_string()
    }

    /// For the document.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let header: Vec<String> = self.header.iter().map(|h| (*h).to_owned()).collect();
        let rule = format!("|{}\n", "---|".repeat(header.len()));
        std::iter::once(line(&header) + &rule).chain(self.rows.iter().map(|r| line(r))).collect()
    }
}

/// What opens and closes a generated table in a document.
pub fn mark(name: &str) -> (String, String) {
    (format!("<!-- generated by `cargo xtask attacks --write`: {name} -->\n"), format!("<!-- end of {name} -->"))
}

/// Puts the tables into a document, each between its marks.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let mut text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    for table in report.tables() {
        let (start, end) = mark(table.name);
        let missing = || format!("{} has no place for the table `{}`", path.display(), table.name);
        let from = text.find(&start).with_context(missing)? + start.len();
        let to = text.find(&end).with_context(missing)?;
        ensure!(from <= to, missing());
        text.replace_range(from..to, &table.markdown());
    }
    fs::write(path, text)?;
    Ok(())
}

/// How the tables are to be read, in one line each.
pub fn legend() -> String {
    format!("delta = {DELTA:e}; intervals 95 %; lower bounds of epsilon are wrong with probability 1 % at most, each")
}

//! What came of the joint demo, as tables and as a summary for scripts.

use anyhow::{Context as _, ensure};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use haihe_simulations::joint::{EVERY_COLUMN, JointComparison, JointModel};
use serde_json::{Map, Value, json};

use crate::{
    job::bytes,
    report::joint::data::{HolderFacts, JointReport},
    town::line::Line,
};

/// Largest difference of AUC between the joint and the pooled model that the demo accepts.
const MAX_AUC_DIFFERENCE: f64 = 0.002;
/// Largest difference of a coefficient.
const MAX_COEFFICIENT_DIFFERENCE: f64 = 1e-3;
/// Least share of what pooling would gain over the label holder alone.
const MIN_SHARE_OF_GAIN: f64 = 0.9;

fn figures(m: &JointModel) -> Value {
    let f = &m.figures;
    json!({"auc": f.auc, "ks": f.ks, "brier": f.brier, "columns": m.columns, "auc_standard_error": m.auc_standard_error})
}

/// How the demo ran.
pub struct Course {
    /// Seconds of the whole demo.
    pub seconds: f64,
    /// Seconds from the opening of the first exchange to the finished model.
    pub learning_seconds: f64,
    /// The line between every participant and the coordinator, if there was one.
    pub line: Option<Line>,
}

/// `summary.json` of the joint demo.
pub fn summary(report: &JointReport, comparison: &JointComparison, course: &Course) -> Value {
    let per_party = |value: &dyn Fn(&HolderFacts) -> Value| -> Map<String, Value> {
        report.holders.iter().map(|h| (h.party.to_string(), value(h))).collect()
    };
    let models: Map<String, Value> = comparison.models.iter().map(|m| (m.name.clone(), figures(m))).collect();
    let last = report.result.passes.last();
    let without: Vec<Value> = report
        .scorings
        .iter()
        .map(|s| {
            json!({"asked": s.asked, "scored": s.scored, "without": s.without, "test_auc": s.test_auc,
                   "equal_to_evaluation": s.equal_to_evaluation, "seconds": s.seconds})
        })
        .collect();
    json!({
        "parties": report.holders.len(),
        "rounds": report.exchanges.len(),
        "exchanges": report.exchanges.len(),
        "passes": report.result.passes.len().saturating_sub(1),
        "converged": last.map(|p| p.status),
        "reviews": report.result.reviews,
        "contradicting": report.result.contradicting,
        "seconds": course.seconds,
        "learning_seconds": course.learning_seconds,
        "line": course.line.map(|line| line.to_string()),
        "job_seconds": report.seconds,
        "common_firms": report.result.common,
        "train_firms": comparison.train_firms,
        "test_firms": comparison.test_firms,
        "test_bad": comparison.test_bad,
        "joint": comparison.model("joint").map(figures),
        "pooled": comparison.model("pooled").map(figures),
        "alone": comparison.models.first().map(figures),
        "models": models,
        "auc_gain": comparison.model("joint").zip(comparison.models.first()).map(|(j, a)| j.figures.auc - a.figures.auc),
        "share_of_gain": comparison.share_of_gain(),
        "max_coefficient_difference": comparison.max_coefficient_difference,
        "firms": per_party(&|h| json!(h.firms)),
        "columns_used": per_party(&|h| json!(h.columns_used)),
        "bytes_sent": per_party(&|h| json!(h.bytes_sent)),
        "letters_sent": per_party(&|h| json!(h.letters)),
        "seconds_waited_for": per_party(&|h| json!(h.seconds)),
        "rows_sent": 0,
        "scores_bit_equal": report.scorings.first().is_some_and(|s| s.equal_to_evaluation),
        "scorings": without,
    })
}

fn aligned(mut table: Table, columns: usize) -> Table {
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What each choice of parties is worth on the common test firms.
fn models(report: &JointReport, comparison: &JointComparison) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["model", "columns", "AUC", "KS", "Brier"]);
    let all = report.holders.len();
    for m in &comparison.models {
        let name = match m.name.as_str() {
            "joint" => format!("all {all} jointly"),
            "pooled" => "pooled *".to_owned(),
            EVERY_COLUMN => "pooled, any sign *".to_owned(),
            name => name.to_owned(),
        };
        let figure = |x: f64| format!("{x:.4}");
        let f = &m.figures;
        table.add_row([name, m.columns.to_string(), figure(f.auc), figure(f.ks), figure(f.brier)].map(Cell::new));
    }
    aligned(table, 5).to_string()
}

/// What each party brought and sent.
fn parties(report: &JointReport) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["party", "firms", "columns used", "letters", "sent", "seconds", "learnt"]);
    for h in &report.holders {
        let learnt = match h.label_holder {
            true => "common firms; sums of the others' scores; own weights",
            false => "common firms; good and bad per own bin; own weights",
        };
        table.add_row([
            h.party.to_string(),
            h.firms.to_string(),
            format!("{} of {}", h.columns_used, h.columns),
            h.letters.to_string(),
            bytes(h.bytes_sent),
            format!("{:.2}", h.seconds),
            learnt.to_owned(),
        ]);
    }
    aligned(table, 6).to_string()
}

/// The comparison and the parties for people.
pub fn tables(report: &JointReport, comparison: &JointComparison, course: &Course) -> String {
    let mut text = format!(
        "firms that all have: {}, {} to learn from, {} to test with ({} bad); figures are on the latter\n{}\n",
        report.result.common,
        comparison.train_firms,
        comparison.test_firms,
        comparison.test_bad,
        models(report, comparison)
    );
    text.push_str("* in one place, which the demo has and no federation could");
    if comparison.model(EVERY_COLUMN).is_some() {
        text.push_str("; any sign: with the columns that contradict their evidence");
    }
    text.push('\n');
    if let Some((joint, alone)) = comparison.model("joint").zip(comparison.models.first()) {
        text.push_str(&format!("gain over {}: AUC {:+.4}", alone.name, joint.figures.auc - alone.figures.auc));
        if let Some(share) = comparison.share_of_gain() {
            text.push_str(&format!(", {:.1} % of what pooling gains", 100.0 * share));
        }
        text.push('\n');
    }
    text.push_str(&format!(
        "largest coefficient difference from the pooled fit: {:.1e} (largest coefficient {:.2})\n\n{}\n",
        comparison.max_coefficient_difference,
        comparison.largest_coefficient,
        parties(report)
    ));
    if let Some(left) = report.result.contradicting {
        let dropped: u32 = report.result.reviews.iter().map(|r| r.dropped).sum();
        text.push_str(&format!(
            "{} reviews of signs left out {dropped} columns; {left} in the model contradict their weight of evidence\n",
            report.result.reviews.len()
        ));
    }
    text.push_str(&format!(
        "{} exchanges, {} passes, {:.1} s; rows sent: 0, labels and columns shown to others: 0\n",
        report.exchanges.len(),
        report.result.passes.len().saturating_sub(1),
        report.seconds
    ));
    let line = course.line.map_or_else(String::new, |line| format!(", over a line of {line} each way"));
    text.push_str(&format!("from the first exchange to the finished model{line}: {:.1} s\n", course.learning_seconds));
    for s in &report.scorings {
        let names: Vec<&str> = s.without.iter().map(haihe_protocol::id::PartyId::as_str).collect();
        let (who, equal) = match (names.is_empty(), s.equal_to_evaluation) {
            (true, true) => ("scored online".to_owned(), "; the file equals the offline one, byte for byte".to_owned()),
            (true, false) => ("scored online".to_owned(), "; the file DIFFERS from the offline one".to_owned()),
            (false, _) => (format!("scored without {}", names.join(", ")), ", every line marked".to_owned()),
        };
        let auc = s.test_auc.map_or_else(String::new, |auc| format!("; AUC on test firms {auc:.4}"));
        text.push_str(&format!("{who}: {} of {} firms{equal}{auc} ({:.1} s)\n", s.scored, s.asked, s.seconds));
    }
    text
}

/// Fails loudly if the parties did not learn what one would from all columns in one place, or score otherwise than they
/// evaluated.
pub fn judge(report: &JointReport, comparison: &JointComparison) -> anyhow::Result<()> {
    let auc = |name: &str| {
        comparison.model(name).map(|m| m.figures.auc).with_context(|| format!("the {name} model has no figures"))
    };
    let (joint, pooled) = (auc("joint")?, auc("pooled")?);
    ensure!(
        (joint - pooled).abs() <= MAX_AUC_DIFFERENCE,
        "joint AUC {joint:.5} and pooled AUC {pooled:.5} differ by more than {MAX_AUC_DIFFERENCE}"
    );
    let difference = comparison.max_coefficient_difference;
    ensure!(
        difference <= MAX_COEFFICIENT_DIFFERENCE,
        "a coefficient differs from the pooled fit by {difference:.1e}, more than {MAX_COEFFICIENT_DIFFERENCE}"
    );
    let share =
        comparison.share_of_gain().context("pooling gains nothing over the label holder alone on these data")?;
    ensure!(
        share >= MIN_SHARE_OF_GAIN,
        "the joint model has {:.0} % of what pooling gains over the label holder alone, less than {:.0} %",
        100.0 * share,
        100.0 * MIN_SHARE_OF_GAIN
    );
    if let Some(published) = &report.result.joint.test {
        ensure!(
            (published.auc - joint).abs() < 1e-9,
            "the label holder published a test AUC of {:.6}, from its blocks it is {joint:.6}",
            published.auc
        );
    }
    let differs = report.scorings.iter().find(|s| s.without.is_empty() && !s.equal_to_evaluation);
    ensure!(differs.is_none(), "firms scored with the learned model got other scores than in the evaluation");
    Ok(())
}

//! `cargo xtask demo`.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    build::PROGRAMS,
    process::{Workspace, say, step},
};

/// Builds the programs and runs the demo called `name`.
pub fn demo(workspace: &Workspace, name: &str, extra: &[String]) -> Result<()> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(plain, "{name:?} is no name of a demo: the options of the demo come after its name");
    step("building the programs", workspace.cargo(["build", "--locked"]).args(PROGRAMS))?;
    let out = workspace.demo(name);
    let mut haihe = workspace.command(workspace.target.join("debug").join("haihe"));
    haihe.args(["demo", name, "--out"]).arg(&out).args(extra);
    step(&format!("demo {name}"), &mut haihe)?;
    let report = out.join("report.html");
    ensure!(report.is_file(), "the demo ended without a report: {} is missing", workspace.shown(&report));
    say(&headline(&out.join("summary.json"))?);
    say(&format!("the report is {}: open it in a browser", workspace.shown(&report)));
    Ok(())
}

/// What came of a demo, in one line.
fn headline(summary: &Path) -> Result<String> {
    let text = fs::read_to_string(summary).with_context(|| format!("{} is missing", summary.display()))?;
    let summary: Value = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", summary.display()))?;
    let figure = |at: &str| summary.pointer(at).and_then(Value::as_f64);
    let auc = |at: &str| figure(at).map_or("-".to_owned(), |auc| format!("{auc:.4}"));
    let learned = match (figure("/joint/auc"), summary.get("sets").and_then(Value::as_object)) {
        (Some(_), _) => {
            format!("AUC alone {}, joint {}, pooled {}", auc("/alone/auc"), auc("/joint/auc"), auc("/pooled/auc"))
        }
        (None, Some(sets)) => {
            let of = |set: &String| {
                let at = |model: &str| auc(&format!("/sets/{set}/methods/autoencoder/{model}/auroc"));
                format!("{set} federated {}, pooled {}", at("federated"), at("pooled"))
            };
            format!("AUROC of the autoencoders: {}", sets.keys().map(of).collect::<Vec<_>>().join("; "))
        }
        (None, None) => format!("AUC federated {}, pooled {}", auc("/federated/auc"), auc("/pooled/auc")),
    };
    Ok(format!(
        "{learned}; {} rounds, {} rows sent, {:.0} s",
        figure("/rounds").unwrap_or(0.0),
        figure("/rows_sent").context("the summary does not say how many rows were sent")?,
        figure("/seconds").unwrap_or(0.0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_becomes_one_line() {
        let file = std::env::temp_dir().join(format!("haihe-xtask-summary-{}.json", std::process::id()));
        let text = r#"{"rounds":9,"seconds":3.2,"federated":{"auc":0.75},"pooled":{"auc":0.75},"rows_sent":0}"#;
        fs::write(&file, text).expect("written");
        let line = headline(&file).expect("a summary");
        assert_eq!(line, "AUC federated 0.7500, pooled 0.7500; 9 rounds, 0 rows sent, 3 s");
        let text =
            r#"{"rounds":40,"seconds":9,"alone":{"auc":0.8},"joint":{"auc":0.9},"pooled":{"auc":0.9},"rows_sent":0}"#;
        fs::write(&file, text).expect("written");
        let line = headline(&file).expect("a summary");
        assert_eq!(line, "AUC alone 0.8000, joint 0.9000, pooled 0.9000; 40 rounds, 0 rows sent, 9 s");
        let sets = r#"{"a":{"methods":{"autoencoder":{"federated":{"auroc":0.8},"pooled":{"auroc":0.81}}}}}"#;
        fs::write(&file, format!(r#"{{"rounds":5,"seconds":9,"rows_sent":0,"sets":{sets}}}"#)).expect("written");
        let line = headline(&file).expect("a summary");
        assert_eq!(line, "AUROC of the autoencoders: a federated 0.8000, pooled 0.8100; 5 rounds, 0 rows sent, 9 s");
        fs::remove_file(&file).expect("removed");
        assert!(headline(&file).is_err(), "a missing summary is an error");
    }
}

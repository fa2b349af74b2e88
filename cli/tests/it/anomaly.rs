//! The anomaly demo as its users start it, and the reports of its journals.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_anomaly_demo_finds_what_pooling_finds_and_every_party_its_own() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().join("anomaly");
    let path = out.to_str().expect("a path");
    let output =
        Command::new(env!("CARGO_BIN_EXE_haihe")).args(["demo", "anomaly", "--out", path]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(&read(&out.join("summary.json"))).expect("JSON");
    assert_eq!(summary["rows_sent"], 0);
    let leaks: Value = serde_json::from_str(&read(&out.join("leak-report.json"))).expect("JSON");
    for (set, parts) in summary["sets"].as_object().expect("sets") {
        for method in ["autoencoder", "tails", "forest"] {
            let figures = &parts["methods"][method];
            let auroc = |model: &Value| model["auroc"].as_f64().expect("an AUROC");
            let (federated, pooled) = (auroc(&figures["federated"]), auroc(&figures["pooled"]));
            assert!((federated - pooled).abs() < 0.03, "{set} {method}: {figures}");
            assert!((federated - auroc(&figures["published"])).abs() < 1e-9, "{set} {method}: {figures}");
            assert_eq!(figures["alone"].as_object().expect("parties").len(), 3);
            let name = format!("{set}-anomaly-{method}");
            assert!(leaks[&name]["steps"].as_array().is_some_and(|s| s.len() >= 4), "{name}");
            let job = out.join(&name);
            for party in ["bj", "tj", "he"] {
                let own = read(&job.join(format!("anomalies-{party}.csv")));
                assert!(
                    own.starts_with("key,split,score,warning,drivers\n") && own.lines().count() > 5,
                    "{name} {party}"
                );
            }
            assert_eq!(job.join("model.onnx").exists(), method == "autoencoder");
        }
    }
    for text in ["federated", "pooled *", "bj alone", "autoencoder", "tails", "forest", "rows sent: 0"] {
        assert!(said.contains(text), "{text:?} is missing in:\n{said}");
    }
    let html = read(&out.join("report.html"));
    assert!(html.contains("Was it worth it") && html.contains("only the party itself sees its own"));

    // From a public journal alone: the same job's page without anybody's rows.
    let page = folder.path().join("page");
    let journal = out.join("polish-anomaly-autoencoder/journal.jsonl");
    let arguments = ["report", journal.to_str().expect("a path"), "--out", page.to_str().expect("a path")];
    let output = Command::new(env!("CARGO_BIN_EXE_haihe")).args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = read(&page.join("report.html"));
    assert!(html.contains("Loss by round") && html.contains("Which rows carry a warning is not in the result"));
    assert!(!html.contains("Was it worth it") && !html.contains("only the party itself sees its own"));
}

//! What the tool says: help texts, problems of job files, journals.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn haihe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haihe")).args(arguments).output().expect("the tool runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Help is product text: every change of it is seen. `HAIHE_UPDATE_GOLDEN=1` writes it anew.
#[test]
fn help_is_as_written() {
    let pages: [(&str, &[&str]); 18] = [
        ("haihe.txt", &["--help"]),
        ("haihe-pki-issue.txt", &["pki", "issue", "--help"]),
        ("haihe-job.txt", &["job", "--help"]),
        ("haihe-job-submit.txt", &["job", "submit", "--help"]),
        ("haihe-demo.txt", &["demo", "--help"]),
        ("haihe-simulate.txt", &["simulate", "--help"]),
        ("haihe-report.txt", &["report", "--help"]),
        ("haihe-model.txt", &["model", "--help"]),
        ("haihe-model-show.txt", &["model", "show", "--help"]),
        ("haihe-model-export.txt", &["model", "export", "--help"]),
        ("haihe-model-compare.txt", &["model", "compare", "--help"]),
        ("haihe-model-start.txt", &["model", "start", "--help"]),
        ("haihe-model-score.txt", &["model", "score", "--help"]),
        ("haihe-audit.txt", &["audit", "--help"]),
        ("haihe-audit-verify.txt", &["audit", "verify", "--help"]),
        ("haihe-audit-prove.txt", &["audit", "prove", "--help"]),
        ("haihe-audit-check.txt", &["audit", "check", "--help"]),
        ("haihe-audit-show.txt", &["audit", "show", "--help"]),
    ];
    for (name, arguments) in pages {
        let output = haihe(arguments);
        assert!(output.status.success(), "{arguments:?}");
        let said = text(&output.stdout);
        let path = golden(name);
        if std::env::var_os("HAIHE_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            std::fs::write(&path, &said).expect("written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(said, expected, "{} differs; HAIHE_UPDATE_GOLDEN=1 writes it anew", path.display());
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(haihe(&["job", "sumbit"]).status.code(), Some(2));
    assert_eq!(haihe(&[]).status.code(), Some(2));
    let output = haihe(&["demo", "joint", "--line", "10mbit"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("write for example 10mbit,50ms"), "{}", text(&output.stderr));
}

#[test]
fn every_problem_of_a_job_file_is_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("job.toml");
    let job = "[job]\nname = \"\"\nparties = [\"bj\", \"tj\"]\n[data]\nview = \"v\"\nkey = \"id\"\nlabel = \"id\"\n\
               columns = []\n[scorecard.binning]\nmax_bins = 0\n";
    std::fs::write(&file, job).expect("written");
    let output = haihe(&["job", "validate", file.to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for expected in ["job.name", "subtract", "data.columns is empty", "\"id\" is used twice", "scorecard.binning"] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}");
    }
    std::fs::write(&file, job.replace("view", "veiw")).expect("written");
    let said = text(&haihe(&["job", "validate", file.to_str().expect("a path")]).stderr);
    assert!(said.contains("veiw") && said.contains("line 5"), "{said}");
    let said = text(&haihe(&["job", "validate", "no-such-file"]).stderr);
    assert!(said.contains("cannot read no-such-file"), "{said}");
}

#[test]
fn the_bundled_jobs_are_valid() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulations/jobs");
    let mut found = 0;
    for entry in std::fs::read_dir(jobs).expect("the folder of jobs") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "toml") {
            let output = haihe(&["job", "validate", path.to_str().expect("a path"), "--format", "json"]);
            assert!(output.status.success(), "{}: {}", path.display(), text(&output.stderr));
            let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(value["valid"], true);
            found += 1;
        }
    }
    assert!(found >= 1);
}

#[test]
fn an_altered_journal_is_noticed_and_the_first_bad_entry_named() {
    use haihe_protocol::{
        id::Timestamp,
        journal::{Entry, Event},
    };
    let mut entries = Vec::new();
    let mut tip = Entry::genesis();
    for i in 0..3 {
        let entry = Entry::after(&tip, i, Timestamp(i), &Event::JobFailed { reason: format!("河 {i}") });
        tip = entry.digest;
        entries.push(entry);
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("journal.jsonl");
    haihe_cli::audit::write(&file, &entries).expect("written");
    let path = file.to_str().expect("a path");
    let output = haihe(&["audit", "show", path]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("the chain holds"));
    entries[1].body_json = entries[1].body_json.replace("河 1", "河 7");
    haihe_cli::audit::write(&file, &entries).expect("written");
    let output = haihe(&["audit", "show", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("journal entry 1 was altered"), "{}", text(&output.stderr));
}

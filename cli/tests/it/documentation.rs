//! What the documentation says is run: commands parse, job files are valid, both languages have the same parts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use haihe_participant::policy::Policy;
use haihe_protocol::job::JobSpec;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("README.md"), root().join("README.zh-CN.md")];
    let docs = fs::read_dir(root().join("docs")).expect("docs");
    paths.extend(docs.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    let scenarios = fs::read_dir(root().join("simulations/scenarios")).expect("scenarios");
    paths.extend(scenarios.map(|e| e.expect("an entry").path()));
    let read = |p: PathBuf| (p.display().to_string(), fs::read_to_string(p).expect("a page"));
    paths.into_iter().map(read).collect()
}

/// Words of a command line; quotes group.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' | '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[test]
fn every_command_in_the_documentation_is_one() {
    // Some lines rely on these, as the pages say.
    with_connection_given(|command| {
        let mut found = 0;
        for (page, text) in pages() {
            for line in text.lines() {
                let line = line.trim().trim_start_matches("# Run:").trim();
                if !line.starts_with("haihe ") || line.contains('`') {
                    continue;
                }
                found += 1;
                let parsed = command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{page}: {line}\n{}", parsed.expect_err("an error"));
            }
        }
        assert!(found >= 12, "only {found} commands were found: the test does not look in the right place");
    });
}

/// `--coordinator` and `--operator` may come from the environment, which the pages set beforehand: here they have defaults.
fn with_connection_given(test: impl FnOnce(&dyn Fn() -> clap::Command)) {
    fn relax(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|argument| match argument.get_long() {
            Some("coordinator" | "operator") => argument.required(false).default_value("from-the-environment"),
            _ => argument,
        });
        let names: Vec<String> = command.get_subcommands().map(|s| s.get_name().to_owned()).collect();
        names.into_iter().fold(command, |command, name| command.mut_subcommand(name, relax))
    }
    test(&|| relax(haihe_cli::usage()));
}

/// Fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn job_files_in_the_documentation_are_valid() {
    let text = fs::read_to_string(root().join("docs/job.md")).expect("docs/job.md");
    let jobs: Vec<&str> = blocks(&text, "toml").into_iter().filter(|b| b.contains("[job]")).collect();
    assert!(!jobs.is_empty());
    for job in jobs {
        JobSpec::parse(job).unwrap_or_else(|problems| panic!("{problems:?} in\n{job}"));
    }
    let text = fs::read_to_string(root().join("docs/policy.md")).expect("docs/policy.md");
    for policy in blocks(&text, "toml").into_iter().filter(|b| b.contains("[accept]")) {
        Policy::parse(policy).unwrap_or_else(|error| panic!("{error} in\n{policy}"));
    }
}

#[test]
fn both_readmes_have_the_same_parts() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("a README");
    let (english, chinese) = (read("README.md"), read("README.zh-CN.md"));
    let levels = |text: &str| -> Vec<usize> {
        let headings = text.lines().filter(|l| l.starts_with('#'));
        headings.map(|l| l.chars().take_while(|c| *c == '#').count()).collect()
    };
    assert_eq!(levels(&english), levels(&chinese));
    assert_eq!(blocks(&english, "sh"), blocks(&chinese, "sh"), "the commands are the same in both languages");
}

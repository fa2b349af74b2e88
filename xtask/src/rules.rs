//! `cargo xtask rules`: docs/rules.md against the code, rule by rule.
//!
//! The table is read; every rule must name a check that is in the code and tests that exist and speak of it, and every variant
//! of `Violation` must be in some rule. Then those tests are run, and each rule is green or red.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::PACKAGES,
    process::{Workspace, say, works},
};

/// Where the table is, and where broken rules are declared.
const TABLE: &str = "docs/rules.md";
const VIOLATIONS: &str = "protocol/src/error.rs";
/// Folders whose code may find a rule broken.
const CHECKERS: [&str; 4] = ["protocol/src", "participant/src", "coordinator/src", "privacy/src"];

/// One line of the table.
#[derive(Debug, PartialEq)]
struct Rule {
    id: String,
    text: String,
    /// `Violation::X`, or the name of a function.
    checks: Vec<String>,
    tests: Vec<Test>,
}

/// A test as nextest prints it: `haihe-protocol::tampering closed_rounds`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    binary: String,
    name: String,
}

impl Test {
    fn parse(text: &str) -> Option<Self> {
        let (binary, name) = text.split_once(' ')?;
        let known = binary.starts_with("haihe-") && !name.is_empty() && !name.contains(' ');
        known.then(|| Self { binary: binary.to_owned(), name: name.to_owned() })
    }

    /// Folder of the package, and the integration test if it is one.
    fn place(&self) -> (&str, Option<&str>) {
        let (package, target) = match self.binary.split_once("::") {
            Some((package, target)) => (package, Some(target)),
            None => (self.binary.as_str(), None),
        };
        (package.strip_prefix("haihe-").unwrap_or(package), target)
    }

    /// Last part of its name.
    fn function(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }
}

/// What stands between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rules of a table: lines of six cells whose first is a letter and a number.
fn parse(table: &str) -> Result<Vec<Rule>, String> {
    let mut rules: Vec<Rule> = Vec::new();
    for (number, line) in table.lines().enumerate() {
        let Some(inner) = line.trim().strip_prefix('|').and_then(|l| l.strip_suffix('|')) else { continue };
        let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
        let id = cells[0];
        let numbered = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        if !id.starts_with(|c: char| c.is_ascii_uppercase()) || !id.get(1..).is_some_and(numbered) {
            continue;
        }
        let [_, text, _, checks, tests, _] = cells[..] else {
            return Err(format!("line {}: rule {id} has {} cells, not 6", number + 1, cells.len()));
        };
        if rules.iter().any(|rule| rule.id == id) {
            return Err(format!("line {}: rule {id} is there twice", number + 1));
        }
        let test = |text: String| Test::parse(&text).ok_or(format!("rule {id}: {text:?} is not the name of a test"));
        let tests = code(tests).into_iter().map(test).collect::<Result<_, _>>()?;
        rules.push(Rule { id: id.to_owned(), text: text.to_owned(), checks: code(checks), tests });
    }
    Ok(rules)
}

/// Variants of an enum, and whether each is made by `?` alone.
fn variants(source: &str, name: &str) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let body = source.split_once(&format!("pub enum {name} {{\n")).map_or("", |(_, rest)| rest);
    for line in body.lines().take_while(|line| *line != "}") {
        let Some(text) = line.strip_prefix("    ") else { continue };
        let variant: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
        if variant.starts_with(|c: char| c.is_ascii_uppercase()) {
            found.insert(variant, text.contains("#[from]"));
        }
    }
    found
}

/// Does `text` hold `word`, and not only as a part of a longer word?
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// Source without comments and without tests.
fn working_code(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or(source);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The body of a test function, if there is one.
fn test_body<'a>(source: &'a str, function: &str) -> Option<&'a str> {
    let head = format!("fn {function}(");
    let (at, _) = source.match_indices(&head).find(|(at, _)| {
        let before = source[..*at].trim_end_matches("async ").trim_end().rsplit('\n').take(3);
        before.map(str::trim).any(|line| line.starts_with("#[") && line.contains("test"))
    })?;
    let indent = at - source[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = format!("\n{}}}\n", " ".repeat(if source[..at].ends_with("async ") { indent - 6 } else { indent }));
    let body = &source[at..];
    Some(body.find(&end).map_or(body, |length| &body[..length]))
}

/// Every Rust file below a folder.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            into.push((path, text));
        }
    }
    Ok(())
}

/// What is wrong with the table, without running anything.
fn problems(workspace: &Workspace, rules: &[Rule]) -> Result<Vec<String>> {
    let declared = fs::read_to_string(workspace.root.join(VIOLATIONS)).context(VIOLATIONS)?;
    let declared = variants(&declared, "Violation");
    let mut checkers = Vec::new();
    for folder in CHECKERS {
        sources(&workspace.root.join(folder), &mut checkers)?;
    }
    checkers.retain(|(path, _)| !path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs"));
    let working: String = checkers.iter().map(|(_, text)| working_code(text)).collect();
    let named: BTreeSet<&str> =
        rules.iter().flat_map(|r| &r.checks).filter_map(|c| c.strip_prefix("Violation::")).collect();
    let mut wrong = Vec::new();
    for (variant, by_question_mark) in &declared {
        if !named.contains(variant.as_str()) {
            wrong.push(format!("Violation::{variant} is in no rule"));
        }
        let made = ["Violation", "Self"].iter().any(|path| has_word(&working, &format!("{path}::{variant}")));
        if !made && !by_question_mark {
            wrong.push(format!("Violation::{variant} is never found"));
        }
    }
    for rule in rules {
        if rule.checks.is_empty() || rule.tests.is_empty() {
            wrong.push(format!("{}: without a check or without a test", rule.id));
        }
        for check in &rule.checks {
            let there = match check.strip_prefix("Violation::") {
                Some(variant) => declared.contains_key(variant),
                None => has_word(&working, check.rsplit("::").next().unwrap_or(check)),
            };
            if !there {
                wrong.push(format!("{}: there is no {check}", rule.id));
            }
        }
        for test in &rule.tests {
            wrong.extend(problem_of(workspace, rule, test)?.map(|what| format!("{}: {what}", rule.id)));
        }
    }
    Ok(wrong)
}

fn problem_of(workspace: &Workspace, rule: &Rule, test: &Test) -> Result<Option<String>> {
    let (package, target) = test.place();
    let folder = workspace.root.join(package);
    let mut files = Vec::new();
    match target {
        None => sources(&folder.join("src"), &mut files)?,
        Some(target) if folder.join("tests").join(target).is_dir() => {
            sources(&folder.join("tests").join(target), &mut files)?;
        }
        Some(target) => {
            let path = folder.join("tests").join(format!("{target}.rs"));
            files.extend(fs::read_to_string(&path).ok().map(|text| (path, text)));
        }
    }
    // `member::tests::name` is in a file of one of these names.
    let modules: Vec<&str> = test.name.split("::").collect();
    let in_module = |path: &Path| {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        modules.len() == 1 || modules.contains(&stem) || ["mod", "lib"].contains(&stem)
    };
    let body = files.iter().filter(|(path, _)| in_module(path)).find_map(|(_, text)| test_body(text, test.function()));
    let Some(body) = body else {
        return Ok(Some(format!("there is no test `{} {}`", test.binary, test.name)));
    };
    let speaks = rule.checks.iter().any(|check| has_word(body, check.rsplit("::").next().unwrap_or(check)))
        || body.contains("Cheat::")
        || body.contains("Lie::");
    Ok((!speaks).then(|| format!("`{} {}` speaks neither of its check nor of a cheat", test.binary, test.name)))
}

/// The static part.
pub fn check(workspace: &Workspace) -> Result<()> {
    read(workspace).map(|_| ())
}

fn read(workspace: &Workspace) -> Result<Vec<Rule>> {
    let table = fs::read_to_string(workspace.root.join(TABLE)).context(TABLE)?;
    let rules = parse(&table).map_err(|what| anyhow::anyhow!("{TABLE}: {what}"))?;
    let wrong = problems(workspace, &rules)?;
    if rules.is_empty() || !wrong.is_empty() {
        bail!("{TABLE} and the code differ in {} places:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    say(&format!("{} rules, each with a check and a test", rules.len()));
    Ok(rules)
}

/// Reads the table, and runs its tests unless told not to.
pub fn rules(workspace: &Workspace, run: bool) -> Result<()> {
    let rules = read(workspace)?;
    if !run {
        return Ok(());
    }
    let tests: BTreeSet<&Test> = rules.iter().flat_map(|r| &r.tests).collect();
    say(&format!("running their {} tests", tests.len()));
    let passed = if works(&mut workspace.cargo(["nextest", "--version"])) {
        let mut nextest = workspace.cargo(["nextest", "run", "--locked", "--no-fail-fast", "--color=never"]);
        nextest.args(["--status-level=all", "--final-status-level=none"]).args(PACKAGES);
        let out = nextest.arg("-E").arg(filter(&tests)).output().context("cannot start cargo nextest")?;
        passed_by_nextest(&String::from_utf8_lossy(&out.stderr))
    } else {
        passed_by_cargo(workspace, &tests)?
    };
    let green = |rule: &Rule| rule.tests.iter().all(|test| passed.contains(test));
    print!("{}", table(&rules, green));
    let red: Vec<&str> = rules.iter().filter(|r| !green(r)).map(|r| r.id.as_str()).collect();
    if red.is_empty() { Ok(()) } else { bail!("red: {}", red.join(", ")) }
}

/// An expression for exactly these tests.
fn filter(tests: &BTreeSet<&Test>) -> String {
    let each = tests.iter().map(|t| format!("(binary_id(={}) & test(={}))", t.binary, t.name));
    each.collect::<Vec<_>>().join(" + ")
}

/// Lines such as `PASS [   0.035s] ( 1/12) haihe-protocol::tampering closed_rounds`.
fn passed_by_nextest(output: &str) -> BTreeSet<Test> {
    let passed = output.lines().filter(|line| line.trim_start().starts_with("PASS "));
    passed.filter_map(|line| Test::parse(&line[line.find("haihe-")?..])).collect()
}

/// One binary after the other, as without nextest.
fn passed_by_cargo(workspace: &Workspace, tests: &BTreeSet<&Test>) -> Result<BTreeSet<Test>> {
    let mut passed = BTreeSet::new();
    let binaries: BTreeSet<&str> = tests.iter().map(|t| t.binary.as_str()).collect();
    for binary in binaries {
        let own = || tests.iter().filter(|t| t.binary == binary);
        let mut cargo = workspace.cargo(["test", "--locked", "--package"]);
        match binary.split_once("::") {
            Some((package, target)) => cargo.args([package, "--test", target]),
            None => cargo.args([binary, "--lib"]),
        };
        let out = cargo.args(["--", "--exact"]).args(own().map(|t| &t.name)).output().context("cannot start cargo")?;
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        let ok = |test: &&&Test| lines.lines().any(|line| line == format!("test {} ... ok", test.name));
        passed.extend(own().filter(ok).map(|test| (*test).clone()));
    }
    Ok(passed)
}

/// The rules with their colours, aligned.
fn table(rules: &[Rule], green: impl Fn(&Rule) -> bool) -> String {
    let width = rules.iter().map(|r| r.id.len()).max().unwrap_or(0);
    let line = |rule: &Rule| {
        let colour = if green(rule) { "green" } else { "red" };
        format!("{:<width$}  {colour:<5}  {:>2} tests  {}\n", rule.id, rule.tests.len(), rule.text)
    };
    rules.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# Rules\n| rule | sentence | who | check | tests | status |\n|---|---|---|---|---|---|\n\
        | C1 | One question. | member | `Violation::SecondSpec` | `haihe-protocol::tampering a`, `haihe-simulations::it b::c` | tested |\n\
        | D2 | Nothing beyond. | member | `would_fit` | `haihe-privacy dp::ledger::tests::d` | tested |\n";

    fn test(text: &str) -> Test {
        Test::parse(text).expect("a test")
    }

    #[test]
    fn tables_are_read() {
        let rules = parse(TWO).expect("two rules");
        assert_eq!(rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["C1", "D2"]);
        assert_eq!(rules[0].checks, ["Violation::SecondSpec"]);
        assert_eq!(rules[0].tests[1], test("haihe-simulations::it b::c"));
        assert_eq!(rules[0].tests[1].place(), ("simulations", Some("it")));
        assert_eq!((rules[1].tests[0].place(), rules[1].tests[0].function()), (("privacy", None), "d"));
    }

    #[test]
    fn broken_tables_are_refused() {
        let twice = TWO.replace("| D2", "| C1");
        assert!(parse(&twice).expect_err("refused").contains("twice"));
        let short = TWO.replace(" | tested |\n| D2", " |\n| D2");
        assert!(parse(&short).expect_err("refused").contains("5 cells"));
        let unnamed = TWO.replace("haihe-protocol::tampering a", "tampering");
        assert!(parse(&unnamed).expect_err("refused").contains("not the name of a test"));
    }

    #[test]
    fn variants_and_words() {
        let source = "pub enum Other {\n    X,\n}\npub enum Violation {\n    /// Text.\n    #[error(\"A\")]\n    Beacon {\n        \
            /// Who.\n        party: PartyId,\n    },\n    Rule,\n    Capacity(#[from] E),\n}\nimpl Violation {}\n";
        let found: Vec<(String, bool)> = variants(source, "Violation").into_iter().collect();
        assert_eq!(found, [("Beacon".into(), false), ("Capacity".into(), true), ("Rule".into(), false)]);
        assert!(has_word("V::Task { .. }", "Task") && !has_word("V::TaskOf", "Task") && !has_word("ATask", "Task"));
        assert_eq!(working_code("a\n// Violation::X\nb\n#[cfg(test)]\nmod tests { c }"), "a\nb");
    }

    #[test]
    fn tests_are_found_with_their_bodies() {
        let source = "fn helper() {\n    V::A\n}\n\n#[test]\nfn one() {\n    V::B\n}\n\n#[tokio::test]\nasync fn two() {\n    V::C\n}\n";
        assert!(test_body(source, "helper").is_none(), "no test");
        let one = test_body(source, "one").expect("a test");
        assert!(one.contains("V::B") && !one.contains("V::C"));
        assert!(test_body(source, "two").expect("a test").contains("V::C"));
    }

    #[test]
    fn runners_are_asked_and_understood() {
        let tests = [test("haihe-protocol::tampering a"), test("haihe-privacy b::c")];
        let wanted = filter(&tests.iter().collect());
        assert_eq!(
            wanted,
            "(binary_id(=haihe-privacy) & test(=b::c)) + (binary_id(=haihe-protocol::tampering) & test(=a))"
        );
        let said =
            "    PASS [   0.035s] ( 1/2) haihe-protocol::tampering a\n    FAIL [   0.1s] ( 2/2) haihe-privacy b::c\n";
        let passed = passed_by_nextest(said);
        assert!(passed.contains(&tests[0]) && !passed.contains(&tests[1]));
        let rules = parse(&TWO.replace("`haihe-simulations::it b::c`", "")).expect("rules");
        let shown = table(&rules, |r| r.tests.iter().all(|t| passed.contains(t)));
        assert_eq!(shown, "C1  green   1 tests  One question.\nD2  red     1 tests  Nothing beyond.\n");
    }
}

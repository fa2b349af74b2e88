//! Jobs with a series: what they become, and what is refused.

use haihe_models::network::Channel;

use super::*;

/// A job with the series `series` and whatever `rest` says to learn.
fn job(series: &str, columns: &str, rest: &str) -> String {
    format!(
        "[job]\nname = \"n\"\nparties = [\"bj\", \"tj\", \"he\"]\n\
         [data]\nview = \"loans\"\nkey = \"firm\"\nlabel = \"y\"\nsplit = {{ column = \"set\" }}\ncolumns = [{columns}]\n\
         [data.series]\n{series}\n{rest}\n"
    )
}

const STAFF: &str = "{ name = \"staff\", kind = \"numeric\" }";
const LSTM: &str = "[network]\nmodel = { kind = \"lstm\", hidden = 4 }";

/// The lines of a series, some of them replaced.
fn series(changes: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("view", "\"monthly\""),
        ("key", "\"firm\""),
        ("month", "\"month\""),
        ("steps", "3"),
        ("channels", "[\"invoices\", \"amount\"]"),
    ];
    for (key, value) in changes {
        lines.retain(|(known, _)| known != key);
        lines.push((key, value));
    }
    lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn parsed(text: &str) -> JobSpec {
    JobSpec::parse(text).unwrap_or_else(|problems| panic!("{problems:?} in\n{text}"))
}

/// What is wrong with the LSTM job over a series, as text.
fn refused(changes: &[(&str, &str)]) -> Vec<String> {
    let problems = JobSpec::parse(&job(&series(changes), STAFF, LSTM)).expect_err("must be refused");
    problems.iter().map(JobProblem::to_string).collect()
}

fn names(columns: &[ColumnSpec]) -> Vec<&str> {
    columns.iter().map(|c| c.name.as_str()).collect()
}

const WIDE: [&str; 6] = ["invoices@2", "invoices@1", "invoices@0", "amount@2", "amount@1", "amount@0"];

#[test]
fn a_series_becomes_columns_channel_by_channel_the_oldest_first() {
    let spec = parsed(&job(&series(&[("last", "\"2020-02\"")]), STAFF, LSTM));
    assert_eq!(names(&spec.data.columns), [&["staff"][..], &WIDE].concat());
    assert!(spec.data.columns.iter().all(|c| c.kind == ColumnKind::Numeric));
    assert_eq!(names(spec.data.main_columns()), ["staff"]);
    let channel = |name: &str, columns: &[&str]| Channel {
        name: name.to_owned(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
    };
    let encoding = &spec.network.as_ref().expect("a network").encoding;
    assert_eq!(encoding.series, [channel("invoices", &WIDE[..3]), channel("amount", &WIDE[3..])]);
    let series = spec.data.series.expect("kept");
    assert_eq!(series.last_month(), Month::parse("2020-02"));
}

#[test]
fn only_an_lstm_is_told_of_a_series_that_it_was_not_told_of() {
    let mlp = parsed(&job(&series(&[]), STAFF, "[network]"));
    assert_eq!(mlp.data.columns.len(), 7);
    assert!(mlp.network.expect("a network").encoding.series.is_empty());
    let scorecard = parsed(&job(&series(&[]), "", "[scorecard]"));
    assert_eq!(names(&scorecard.data.columns), WIDE, "a job may learn from the series alone");
    assert!(scorecard.data.main_columns().is_empty());
    let own = format!("{LSTM}\n[[network.encoding.series]]\nname = \"n\"\ncolumns = [\"invoices@1\", \"invoices@0\"]");
    let own = parsed(&job(&series(&[]), STAFF, &own));
    let channels = own.network.expect("a network").encoding.series;
    assert_eq!((channels.len(), channels[0].columns.len()), (1, 2), "what the author says stands");
}

#[test]
fn a_job_that_was_read_can_be_written_and_read_again() {
    for (columns, rest) in [(STAFF, LSTM), ("", LSTM), (STAFF, "[network]"), (STAFF, "[scorecard]")] {
        for last in [&[("last", "\"2020-02\"")][..], &[]] {
            let spec = parsed(&job(&series(last), columns, rest));
            let written = toml::to_string(&spec).expect("TOML");
            assert_eq!(parsed(&written), spec, "{written}");
            assert_eq!(parsed(&written).data.main_columns(), spec.data.main_columns());
            let json: JobSpec = serde_json::from_str(&serde_json::to_string(&spec).expect("JSON")).expect("a job");
            assert_eq!(json, spec);
        }
    }
    let without = parsed(&job(&series(&[]), STAFF, LSTM).replace("[data.series]", "[data.series] # a comment"));
    assert_eq!(without.data.columns.len(), 7);
}

#[test]
fn each_fault_of_a_series_is_told_once() {
    let cases: [(&[(&str, &str)], &str); 12] = [
        (&[("view", "\"\"")], "data.series.view must have 1 to 128 characters"),
        (&[("month", "\"\"")], "data.series.month must have 1 to 128 characters"),
        (&[("channels", "[\"a\", \"\"]")], "each of data.series.channels must have 1 to 124 characters"),
        (&[("steps", "121"), ("channels", "[\"a\"]")], "data.series.steps = 121 is out of range: 1 to 120"),
        (
            &[("view", "\"loans\"")],
            "data.series: needs a view of its own: the main view has one row per key, the series one per key and month",
        ),
        (&[("month", "\"firm\"")], "data.series: column \"firm\" is used twice among key, month and channels"),
        (
            &[("channels", "[\"a\", \"month\"]")],
            "data.series: column \"month\" is used twice among key, month and channels",
        ),
        (
            &[("channels", "[\"a\", \"a\", \"a\"]")],
            "data.series: column \"a\" is used twice among key, month and channels",
        ),
        (
            &[("last", "\"2020-13\"")],
            "data.series: last = \"2020-13\" is not a month: write it like \"2020-02\", or as a whole number",
        ),
        (
            &[("last", "\"\"")],
            "data.series: last = \"\" is not a month: write it like \"2020-02\", or as a whole number",
        ),
        (
            &[("steps", "120"), ("channels", "[\"a\", \"b\", \"c\", \"d\", \"e\"]")],
            "data.series.steps times the number of channels = 600 is out of range: at most 512, the most columns of a job",
        ),
        (&[("steps", "128"), ("channels", "[\"a\"]")], "data.series.steps = 128 is out of range: 1 to 120"),
    ];
    for (changes, problem) in cases {
        assert_eq!(refused(changes), [problem]);
    }
    let all = refused(&[("steps", "0"), ("channels", "[]"), ("last", "\"soon\""), ("key", "\"\"")]);
    for part in ["series.key", "series.steps = 0", "data.series.channels = 0", "last = \"soon\""] {
        assert!(all.iter().any(|problem| problem.contains(part)), "{part}: {all:?}");
    }
    assert!(refused(&[("stride", "2")])[0].contains("unknown field `stride`"));
}

#[test]
fn a_column_may_not_have_the_name_of_a_month() {
    let text = job(&series(&[]), "{ name = \"amount@1\", kind = \"numeric\" }", LSTM);
    let problems = JobSpec::parse(&text).expect_err("twice");
    assert_eq!(problems, [JobProblem::ColumnTwice("amount@1".to_owned())]);
}

#[test]
fn a_small_file_does_not_become_large() {
    let long = "x".repeat(900_000);
    let problems = refused(&[("channels", &format!("[\"{long}\"]"))]);
    assert!(problems[0].starts_with("each of data.series.channels"), "{}", problems.len());
    let many: Vec<String> = (0..50_000).map(|n| format!("\"c{n}\"")).collect();
    let text = job(&series(&[("steps", "4294967295"), ("channels", &format!("[{}]", many.join(",")))]), STAFF, LSTM);
    let problems = JobSpec::parse(&text).expect_err("too many");
    let allowed = |key: &str| problems.iter().any(|p| p.to_string().starts_with(key));
    assert!(allowed("data.series.steps = 4294967295") && allowed("the number of data.series.channels = 50000"));
    assert_eq!(problems.len(), 2, "the first columns are made, and no more");
    let many: Vec<String> = (0..64).map(|n| format!("\"c{n}\"")).collect();
    let full = series(&[("steps", "8"), ("channels", &format!("[{}]", many.join(",")))]);
    assert_eq!(parsed(&job(&full, "", LSTM)).data.columns.len(), MAX_COLUMNS);
    let problems = JobSpec::parse(&job(&full, STAFF, LSTM)).expect_err("one too many");
    assert_eq!(problems, [JobProblem::TooManyColumns { got: 513, max: MAX_COLUMNS }]);
}

#[test]
fn months_are_read_in_four_forms() {
    let calendar = |year, month| Some(Month::Calendar(year * 12 + month - 1));
    for text in ["2020-02", "202002", "2020-02-15", "2020-02-29T23:59:59.5Z", "2020-02-01 00:00:00+08:00"] {
        assert_eq!(Month::parse(text), calendar(2020, 2), "{text}");
    }
    assert_eq!(Month::parse("1900-01"), calendar(1900, 1));
    assert_eq!(Month::parse("219912"), calendar(2199, 12));
    for (text, count) in [("0", 0), ("7", 7), ("00012", 12), ("99999", 99_999), ("-3", -3), ("-99999", -99_999)] {
        assert_eq!(Month::parse(text), Some(Month::Counted(count)), "{text}");
    }
    let wrong = "|-|--1|+1| 1|2020-00|2020-13|202013|1899-12|2200-01|2020-2|2020/02|2020-02-00|2020-02-32|2020-02-1|2020-02-15x\
                 |2020-02-15Tnoon|20200215|1.0|123456|999999|-100000|一|２０２０-02|2020_02|Feb-20|2020-02-";
    for text in wrong.split('|') {
        assert_eq!(Month::parse(text), None, "{text}");
    }
}

#[test]
fn months_of_one_kind_are_apart_by_a_number() {
    let month = |text| Month::parse(text).expect("a month");
    assert_eq!(month("2020-02").since(month("2019-11")), Some(3));
    assert_eq!(month("2020-02").since(month("202003")), Some(-1));
    assert_eq!(month("5").since(month("-5")), Some(10));
    assert_eq!(month("2020-02").since(month("5")), None);
}

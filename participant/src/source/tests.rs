//! Every complaint with its full text, and the shapes of files that banks really have.

mod firms;
mod series;

use std::fmt::Write as _;
use std::path::PathBuf;

use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::SessionContext;
use tempfile::TempDir;

use super::*;
use crate::config::{ParticipantConfig, SAMPLE};
use crate::policy::{self, Adversary, Policy, PolicyRequest};

/// A value that no message may show.
const SECRET: &str = "S3CRET";

/// A folder of files, and the views over them.
struct Bank {
    dir: TempDir,
    views: Vec<ViewConfig>,
}

impl Bank {
    fn new(file: &str, content: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(file), content).expect("written");
        let view = ViewConfig { name: "loans".to_owned(), path: PathBuf::from(file), sql: None, memory_mb: None };
        Bank { dir, views: vec![view] }
    }

    fn csv(content: impl AsRef<[u8]>) -> Self {
        Bank::new("loans.csv", content)
    }

    fn sql(mut self, sql: &str) -> Self {
        self.views[0].sql = Some(sql.to_owned());
        self
    }

    fn path(&self) -> String {
        self.dir.path().join(&self.views[0].path).display().to_string()
    }

    async fn load(&self, request: &DataRequest) -> Result<Loaded, SourceError> {
        load("bj", &self.views, self.dir.path(), request).await
    }

    async fn table(&self, request: &DataRequest) -> Loaded {
        self.load(request).await.unwrap_or_else(|error| panic!("must load: {error}"))
    }

    async fn message(&self, request: &DataRequest) -> String {
        let error = self.load(request).await.expect_err("must be refused");
        let text = error.to_string();
        assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET), "a value is shown: {text}");
        assert!(
            error.codes().iter().all(|code| { code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'8') })
        );
        text
    }
}

fn numeric(name: &str) -> ColumnSpec {
    ColumnSpec { name: name.to_owned(), kind: ColumnKind::Numeric }
}

fn categorical(name: &str, levels: &[&str]) -> ColumnSpec {
    let levels = levels.iter().map(|level| (*level).to_owned()).collect();
    ColumnSpec { name: name.to_owned(), kind: ColumnKind::Categorical { levels } }
}

/// Key `id`, label `y`, split `set`.
fn ask(columns: Vec<ColumnSpec>) -> DataRequest {
    let split = SplitColumn { column: "set".to_owned(), train: "train".to_owned(), test: "test".to_owned() };
    let (view, key, label) = ("loans".to_owned(), "id".to_owned(), "y".to_owned());
    DataRequest { view, key, firm: None, label: Some(label), split: Some(split), columns, series: None }
}

fn staff() -> DataRequest {
    ask(vec![numeric("staff")])
}

/// `head`, then four rows; each change replaces one row, from 1.
fn rows(head: &str, changes: &[(usize, &str)]) -> String {
    let mut rows = ["a,0,train,1", "b,1,train,2", "c,0,test,3", "d,1,test,4"];
    for (at, row) in changes {
        rows[at - 1] = row;
    }
    format!("{head}\n{}\n", rows.join("\n"))
}

fn loans(changes: &[(usize, &str)]) -> Bank {
    Bank::csv(rows("id,y,set,staff", changes))
}

fn numbers(loaded: &Loaded, column: usize) -> &[f64] {
    match &loaded.table.columns[column] {
        Column::Numeric(values) => values,
        Column::Categorical(_) => panic!("not numeric"),
    }
}

fn levels(loaded: &Loaded, column: usize) -> &[u32] {
    match &loaded.table.columns[column] {
        Column::Categorical(values) => values,
        Column::Numeric(_) => panic!("not categorical"),
    }
}

#[tokio::test]
async fn a_clean_file_becomes_a_table() {
    let loaded = loans(&[(4, "d,1,test,")]).table(&staff()).await;
    assert_eq!(loaded.keys, ["a", "b", "c", "d"]);
    assert_eq!(loaded.table.label, [false, true, false, true]);
    assert_eq!(loaded.table.split, [Split::Train, Split::Train, Split::Test, Split::Test]);
    assert_eq!(numbers(&loaded, 0)[..3], [1.0, 2.0, 3.0]);
    assert!(numbers(&loaded, 0)[3].is_nan());
    assert_eq!(
        loaded.summary,
        DataSummary {
            view: "loans".to_owned(),
            rows: 4,
            firms: None,
            train_rows: 2,
            test_rows: 2,
            bad_rows: 2,
            bad_train_rows: 1,
            columns: vec![ColumnSummary { name: "staff".to_owned(), missing: 1, other: 0 }],
            series: None,
        }
    );
    assert!(!format!("{loaded:?}").contains("keys"), "the keys are not for a log");
}

#[tokio::test]
async fn without_a_split_every_row_is_for_training() {
    let request = DataRequest { split: None, ..staff() };
    let loaded = loans(&[]).table(&request).await;
    assert_eq!((loaded.summary.train_rows, loaded.summary.test_rows), (4, 0));
}

#[tokio::test]
async fn levels_are_trimmed_text_and_the_rest_is_other() {
    let bank = loans(&[(1, "a,0,train, 31 "), (2, "b,1,train,\"44\""), (3, "c,0,test,99"), (4, "d,1,test, ")]);
    let loaded = bank.table(&ask(vec![categorical("staff", &["31", " 44"])])).await;
    assert_eq!(levels(&loaded, 0), [0, 1, 2, 3]);
    assert_eq!(loaded.summary.columns, [ColumnSummary { name: "staff".to_owned(), missing: 1, other: 1 }]);
    let as_number = bank.sql("SELECT id, y, \"set\", TRY_CAST(trim(staff) AS DOUBLE) AS staff FROM source");
    assert_eq!(levels(&as_number.table(&ask(vec![categorical("staff", &["31", " 44"])])).await, 0), [0, 1, 2, 3]);
}

#[tokio::test]
async fn files_from_spreadsheets_load() {
    let text = "\u{feff}id,y,set,\"company, name\",staff\r\n\
                a,0,train,\"A, \"\"the\"\" first\r\nof two\",1\r\n\
                b,1,test,,2.5e1\r\n";
    let request = ask(vec![categorical("company, name", &["A, \"the\" first\r\nof two"]), numeric("staff")]);
    let loaded = Bank::csv(text).table(&request).await;
    assert_eq!(loaded.keys, ["a", "b"]);
    assert_eq!(levels(&loaded, 0), [0, 2]);
    assert_eq!(numbers(&loaded, 1), [1.0, 25.0]);
}

#[tokio::test]
async fn without_a_label_all_rows_are_good_and_keys_are_still_checked() {
    let request = DataRequest { label: None, split: None, ..ask(vec![numeric("staff")]) };
    let loaded = Bank::csv("id,staff\na,1\nb,\n").table(&request).await;
    assert_eq!((loaded.keys, loaded.table.label), (vec!["a".to_owned(), "b".to_owned()], vec![false, false]));
    assert_eq!(loaded.table.split, [Split::Train, Split::Train]);
    assert_eq!((loaded.summary.bad_rows, loaded.summary.train_rows), (0, 2));
    let twice = Bank::csv("id,staff\na,1\na,2\n").load(&request).await.expect_err("a key twice");
    assert!(matches!(twice.problems.as_slice(), [Problem::KeyRepeated { .. }]), "{:?}", twice.problems);
}

#[tokio::test]
async fn names_may_be_chinese_and_keep_their_case() {
    let text = "企业编号,是否违约,集合,员工数,Region\n91110000,0,训练,12,北京\n91120000,1,测试,,天津\n";
    let split = SplitColumn { column: "集合".to_owned(), train: "训练".to_owned(), test: "测试".to_owned() };
    let mut request = DataRequest {
        view: "贷款".to_owned(),
        key: "企业编号".to_owned(),
        firm: None,
        label: Some("是否违约".to_owned()),
        split: Some(split),
        columns: vec![numeric("员工数"), categorical("Region", &["北京", "天津", "河北"])],
        series: None,
    };
    let mut bank = Bank::new("贷款 [2026]*.CSV", text);
    bank.views[0].name = "贷款".to_owned();
    let plain = bank.table(&request).await;
    assert_eq!(levels(&plain, 1), [0, 1]);

    request.columns[0] = numeric("每十人");
    let bank = bank.sql("SELECT 企业编号, 是否违约, 集合, CAST(员工数 AS DOUBLE) / 10 AS 每十人, Region FROM source");
    let derived = bank.table(&request).await;
    assert_eq!(numbers(&derived, 0)[0], 1.2);
    assert_eq!(derived.keys, ["91110000", "91120000"]);
    assert_eq!(
        bank.message(&DataRequest { key: "firm".to_owned(), ..request }).await,
        "bj, view \"贷款\", 2 rows: the job asks for \"firm\", which the view does not have; \
         it has \"企业编号\", \"是否违约\", \"集合\", \"每十人\", \"Region\"; \
         name it with AS in sql of this [[view]], or have the operator leave it out"
    );
}

#[tokio::test]
async fn columns_can_be_derived_and_rows_chosen_with_sql() {
    let bank = loans(&[]).sql(
        "SELECT concat('91-', id) AS firm, CASE WHEN y = '1' THEN 1 ELSE 0 END AS y, \"set\", \
         COALESCE(TRY_CAST(staff AS DOUBLE), 0) * 2 AS staff, CAST(staff AS BIGINT) > 2 AS large \
         FROM source WHERE id <> 'b'",
    );
    let request = DataRequest {
        key: "firm".to_owned(),
        ..ask(vec![numeric("staff"), numeric("large"), categorical("large", &["false", "true"])])
    };
    let columns = request.columns[..2].to_vec();
    let loaded = bank.table(&DataRequest { columns, ..request.clone() }).await;
    assert_eq!(loaded.keys, ["91-a", "91-c", "91-d"]);
    assert_eq!(numbers(&loaded, 0), [2.0, 6.0, 8.0]);
    assert_eq!(numbers(&loaded, 1), [0.0, 1.0, 1.0]);
    let columns = request.columns[2..].to_vec();
    assert_eq!(levels(&bank.table(&DataRequest { columns, ..request }).await, 0), [0, 1, 1]);
}

#[tokio::test]
async fn csv_and_parquet_give_the_same_table() {
    let text = "id,y,set,staff,share,naics2,new\n1,0,train,12,0.5,31,true\n2,1,train,,1e-3,44,false\n\
                9007199254740993,1,test,7,,,\n4,0,test,-3,2,62,true\n";
    let bank = Bank::csv(text);
    let request = ask(vec![
        numeric("staff"),
        numeric("share"),
        categorical("naics2", &["31", "44"]),
        categorical("new", &["true", "false"]),
    ]);
    let from_csv = bank.table(&request).await;

    let session = SessionContext::new();
    session.register_csv("source", &bank.path(), Default::default()).await.expect("registered");
    let file = bank.dir.path().join("loans.parquet").display().to_string();
    let typed = "SELECT CAST(id AS BIGINT) AS id, y = 1 AS y, \"set\", CAST(staff AS INT) AS staff, \
                 CAST(share AS DECIMAL(10, 4)) AS share, CAST(naics2 AS DECIMAL(6, 2)) AS naics2, CAST(new AS BOOLEAN) AS new \
                 FROM source";
    let typed = session.sql(typed).await.expect("planned");
    typed.write_parquet(&file, DataFrameWriteOptions::new(), None).await.expect("written");
    let mut views = bank.views.clone();
    views[0].path = PathBuf::from("loans.parquet");
    let from_parquet = load("bj", &views, bank.dir.path(), &request).await.unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(from_parquet.keys, from_csv.keys);
    assert_eq!(from_parquet.keys[2], "9007199254740993");
    assert_eq!(from_parquet.summary, from_csv.summary);
    assert_eq!(from_parquet.table.label, from_csv.table.label);
    assert_eq!(from_parquet.table.split, from_csv.table.split);
    for column in 0..2 {
        let bits = |loaded: &Loaded| numbers(loaded, column).iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&from_parquet), bits(&from_csv), "column {column}");
    }
    for column in 2..4 {
        assert_eq!(levels(&from_parquet, column), levels(&from_csv, column), "column {column}");
    }
    assert_eq!(levels(&from_csv, 2), [0, 1, 3, 2]);
}

#[tokio::test]
async fn a_hundred_thousand_rows_load() {
    let mut text = "id,y,set,staff,amount,naics2\n".to_owned();
    for row in 0..100_000 {
        let set = if row % 10 < 7 { "train" } else { "test" };
        writeln!(text, "firm-{row},{},{set},{},{}.5,{}", row % 2, row % 300, row, row % 90)
            .expect("a string takes all");
    }
    let request = ask(vec![numeric("staff"), numeric("amount"), categorical("naics2", &["31", "44"])]);
    let loaded = Bank::csv(text).table(&request).await;
    assert_eq!((loaded.summary.rows, loaded.summary.train_rows), (100_000, 70_000));
    assert_eq!(numbers(&loaded, 1)[99_999], 99_999.5);
    assert_eq!(loaded.keys[99_999], "firm-99999");
}

#[tokio::test]
async fn views_and_files_that_are_not_there() {
    let mut bank = loans(&[]);
    bank.views.push(ViewConfig { name: "税务".to_owned(), ..bank.views[0].clone() });
    let other = DataRequest { view: "firms".to_owned(), ..staff() };
    assert_eq!(
        bank.message(&other).await,
        "bj, view \"firms\": there is no [[view]] of this name in our configuration, which has \"loans\", \"税务\"; \
         add one that maps it to a file, or have the operator name another"
    );
    bank.views.clear();
    assert!(bank.message(&other).await.contains("which has none; add one"));

    let gone = |name: &str| {
        let mut bank = loans(&[]);
        bank.views[0].path = PathBuf::from(name);
        bank
    };
    let bank = gone("gone.csv");
    assert_eq!(
        bank.message(&staff()).await,
        format!(
            "bj, view \"loans\": the file {} does not exist; put it there or correct path in this [[view]]",
            bank.path()
        )
    );
    let bank = gone("");
    assert!(bank.message(&staff()).await.contains("cannot be read: it is not a file; let the user"));
    let bank = Bank::new("loans.xlsx", "PK");
    assert_eq!(
        bank.message(&staff()).await,
        format!("bj, view \"loans\": the file {} is neither .csv nor .parquet; export it as one of them", bank.path())
    );
}

#[tokio::test]
async fn files_that_are_not_what_their_names_say() {
    for content in ["", "\n\n"] {
        let bank = Bank::csv(content);
        assert_eq!(
            bank.message(&staff()).await,
            format!("bj, view \"loans\": the file {} is empty; export it again, a header row first", bank.path())
        );
    }
    let bank = Bank::new("loans.parquet", SECRET);
    assert_eq!(
        bank.message(&staff()).await,
        format!("bj, view \"loans\": the file {} is not a complete Parquet file; export it again", bank.path())
    );
    let bank = Bank::csv(format!("{SECRET},0,train,1\nb,1,train,2\n"));
    assert_eq!(
        bank.message(&staff()).await,
        format!(
            "bj, view \"loans\": the first row of {} has numbers where names of columns should be; \
             add a header row, or rename the columns that are called by a number",
            bank.path()
        )
    );
    assert_eq!(
        Bank::csv("id,y,set,staff\n").message(&staff()).await,
        "bj, view \"loans\", 0 rows: there is no row; look at the file, and at WHERE in sql of this [[view]]"
    );
}

#[tokio::test]
async fn text_that_is_not_utf8() {
    let gb18030 = [0xB1, 0xB1, 0xBE, 0xA9]; // 北京
    let mut text = b"id,y,set,staff\n".to_vec();
    for row in 0..7 {
        text.extend_from_slice(format!("{row},{},train,", row % 2).as_bytes());
        text.extend_from_slice(&gb18030);
        text.push(b'\n');
    }
    let bank = Bank::csv(&text);
    assert_eq!(
        bank.message(&staff()).await,
        format!(
            "bj, view \"loans\", 7 rows: the text of {} is not UTF-8 in 7 rows (first data rows 1, 2, 3, 4, 5); \
             save it as UTF-8, for example: iconv -f GB18030 -t UTF-8",
            bank.path()
        )
    );
    let bank = Bank::csv([&gb18030[..], b",y\n1,2\n"].concat());
    assert!(bank.message(&staff()).await.contains("is not UTF-8 in its header; save it"));
}

#[tokio::test]
async fn rows_and_headers_that_do_not_fit_are_told_together() {
    let text = format!("id,y,set,staff,y\na,0,train,1,0\nb,{SECRET}\nc,1,test,3,1,\"{SECRET}\",7\n");
    assert_eq!(
        Bank::csv(text).message(&staff()).await,
        "bj, view \"loans\", 3 rows: 2 problems\n\
         - column \"y\" occurs more than once in the header of the file; give each its own name\n\
         - 2 rows do not have the 5 fields of the header (data rows 2, 3); \
         look there for a comma or a quotation mark that is not quoted"
    );
}

#[tokio::test]
async fn columns_that_the_view_does_not_have() {
    let request = ask(vec![numeric("staff"), numeric("turnover"), categorical("Staff", &["1"])]);
    let bank = loans(&[(2, &format!("b,1,train,{SECRET}"))]);
    assert_eq!(
        bank.message(&request).await,
        "bj, view \"loans\", 4 rows: 2 problems\n\
         - the job asks for \"turnover\", \"Staff\", which the view does not have; it has \"id\", \"y\", \"set\", \"staff\"; \
         name them with AS in sql of this [[view]], or have the operator leave them out\n\
         - column \"staff\": 1 value is not a number (data row 2); mend the file, or make such values missing: \
         TRY_CAST(staff AS DOUBLE) in sql of this [[view]]"
    );
    let nothing = DataRequest { key: "k".into(), label: Some("l".into()), split: None, ..ask(vec![]) };
    assert!(
        bank.message(&nothing).await.starts_with("bj, view \"loans\", 4 rows: the job asks for \"k\", \"l\", which")
    );
}

#[tokio::test]
async fn columns_that_occur_twice() {
    assert_eq!(
        loans(&[]).message(&ask(vec![numeric("staff"), numeric("y"), numeric("staff")])).await,
        "bj, view \"loans\", 4 rows: the job asks for \"y\", \"staff\" more than once among key, firm, label, split and features; \
         have the operator correct the job"
    );
    let twice =
        loans(&[]).sql("SELECT a.id, a.y, a.\"set\", a.staff, b.staff FROM source a JOIN source b ON a.id = b.id");
    assert_eq!(
        twice.message(&staff()).await,
        "bj, view \"loans\", 4 rows: column \"staff\" occurs more than once in the answer of the query; \
         give each its own name with AS"
    );
}

#[tokio::test]
async fn sql_that_may_not_or_cannot_run() {
    let refused = |sql: &'static str| async move { loans(&[]).sql(sql).message(&staff()).await };
    assert_eq!(
        refused("SELEC * FROM source").await,
        "bj, view \"loans\": sql cannot be used: SQL error: ParserError(\"Expected: an SQL statement, found: SELEC at Line: 1, Column: 1\"); \
         correct sql in this [[view]]: one SELECT over the table source, names as in the file"
    );
    assert!(refused("SELECT staf FROM source").await.contains("No field named staf. "));
    assert!(refused("SELECT * FROM elsewhere").await.contains("elsewhere' not found; correct sql"));
    assert!(refused("SELECT * FROM '/etc/passwd.csv'").await.contains("not found; correct sql"));
    for forbidden in [
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT * FROM source",
        "COPY source TO 'out.csv'",
        "INSERT INTO source VALUES ('a', '0', 'train', '1')",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
    ] {
        let message = refused(forbidden).await;
        assert!(message.starts_with("bj, view \"loans\": sql cannot be used: "), "{forbidden}: {message}");
    }
}

#[tokio::test]
async fn sql_that_stops_on_a_row_does_not_quote_it() {
    let stopped =
        |sql: String| async move { loans(&[(3, &format!("c,0,test,{SECRET}"))]).sql(&sql).message(&staff()).await };
    assert_eq!(
        stopped("SELECT id, y, \"set\", CAST(staff AS DOUBLE) AS staff FROM source".to_owned()).await,
        "bj, view \"loans\": sql stopped while it ran: a value cannot be converted; \
         write TRY_CAST instead of CAST, which makes it missing, or mend the file"
    );
    let divided = "SELECT id, y, \"set\", 1 / (TRY_CAST(staff AS BIGINT) - 1) AS staff FROM source";
    assert!(stopped(divided.to_owned()).await.contains("an integer is divided by zero; write x / NULLIF(y, 0)"));
    let overflow =
        "SELECT id, y, \"set\", CAST(5e37 AS DECIMAL(38, 0)) * TRY_CAST(staff AS DECIMAL(20, 0)) AS staff FROM source";
    let text = stopped(overflow.to_owned()).await;
    assert!(text.contains("a number leaves the range of its type; CAST it to DOUBLE first"), "{text}");
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_stops() {
    let mut text = "id,y,set,staff\n".to_owned();
    for row in 0..60_000 {
        writeln!(text, "firm-{row},{},train,{SECRET}{row:>40}", row % 2).expect("a string takes all");
    }
    let mut bank = Bank::csv(text).sql("SELECT * FROM source ORDER BY staff");
    bank.views[0].memory_mb = Some(1);
    assert_eq!(
        bank.message(&staff()).await,
        "bj, view \"loans\": sql stopped while it ran: the memory limit is reached; \
         raise memory_mb of this [[view]], or select fewer rows and columns"
    );
}

#[tokio::test]
async fn values_of_the_wrong_kind() {
    let bank = loans(&[
        (1, &format!("a,0,train,{SECRET}")),
        (2, "b,1,train,NaN"),
        (3, "c,0,test,1e999"),
        (4, "d,1,test,\"1,5\""),
    ]);
    assert_eq!(
        bank.message(&staff()).await,
        "bj, view \"loans\", 4 rows: 2 problems\n\
         - column \"staff\": 2 values are not a number (data rows 1, 4); mend the file, or make such values missing: \
         TRY_CAST(staff AS DOUBLE) in sql of this [[view]]\n\
         - column \"staff\": 2 values are NaN or infinite (data rows 2, 3); leave the field empty where a value is missing, \
         and divide by NULLIF(y, 0)"
    );
    let dated = loans(&[]).sql("SELECT id, y, \"set\", to_timestamp('2026-01-01') AS staff FROM source");
    assert_eq!(
        dated.message(&staff()).await,
        "bj, view \"loans\", 4 rows: column \"staff\" is of the type Timestamp(ns), numbers are needed; \
         CAST it in sql of this [[view]]"
    );
    assert!(dated.message(&ask(vec![categorical("staff", &["1"])])).await.contains("text or integers are needed"));
}

#[tokio::test]
async fn labels_that_cannot_be_learned_from() {
    let bank = loans(&[(1, "a,2,train,1"), (2, &format!("b,{SECRET},train,2")), (4, "d,,test,4")]);
    assert_eq!(
        bank.message(&staff()).await,
        "bj, view \"loans\", 4 rows: 2 problems\n\
         - label column \"y\": 1 row has no label (data row 4); leave such rows out: WHERE y IS NOT NULL in sql of this [[view]]\n\
         - label column \"y\": 2 values are neither 0 nor 1 (data rows 1, 2); map them in sql of this [[view]] with \
         CASE WHEN ... THEN 1 ELSE 0 END, 1 for the bad outcome"
    );
    let good_only = loans(&[(2, "b,0,train,2"), (4, "d,0.0,test,4")]);
    assert_eq!(
        good_only.message(&staff()).await,
        "bj, view \"loans\", 4 rows: label column \"y\": no row has the label 1; \
         widen the view so that both outcomes occur, or stay out of this job"
    );
    let bad_only = loans(&[(1, "a,1,train,2"), (3, "c,TRUE,test,4")]);
    assert!(bad_only.message(&staff()).await.contains("no row has the label 0"));
}

#[tokio::test]
async fn splits_that_leave_nothing() {
    let bank = loans(&[(1, &format!("a,0,{SECRET},1")), (2, "b,1,,2")]);
    assert_eq!(
        bank.message(&staff()).await,
        "bj, view \"loans\", 4 rows: 2 problems\n\
         - split column \"set\": no row says \"train\", there is nothing to train on; \
         look at the file, or map the column in sql of this [[view]]\n\
         - split column \"set\": 2 rows say neither \"train\" nor \"test\" (data rows 1, 2); \
         map them in sql of this [[view]], or leave such rows out"
    );
    let train_only = loans(&[(3, "c,0,train,3"), (4, "d,1,train,4")]);
    assert_eq!(
        train_only.message(&staff()).await,
        "bj, view \"loans\", 4 rows: split column \"set\": no row says \"test\", there is nothing to test on; \
         look at the file, or map the column in sql of this [[view]]"
    );
}

#[tokio::test]
async fn keys_that_do_not_name_one_row() {
    let bank = loans(&[(1, &format!("{SECRET},0,train,1")), (2, " ,1,train,2"), (4, &format!(" {SECRET} ,1,test,4"))]);
    assert_eq!(
        bank.message(&staff()).await,
        "bj, view \"loans\", 4 rows: 2 problems\n\
         - key column \"id\": 1 row has no key (data row 2); fill it, or leave such rows out: \
         WHERE id IS NOT NULL in sql of this [[view]]\n\
         - key column \"id\": 1 row has the key of an earlier row (data row 4); keep one row per key, \
         for example with GROUP BY in sql of this [[view]]"
    );
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let bank = loans(&[(1, "a,7,train,x"), (2, "a,,dev,inf")]).sql("SELECT * FROM source WHERE id <> 'c'");
    let error = bank.load(&ask(vec![numeric("staff"), numeric("turnover")])).await.expect_err("refused");
    assert_eq!(
        error.codes(),
        [
            "column_unknown",
            "key_repeated",
            "label_null",
            "label_not_binary",
            "split_unknown",
            "value_not_numeric",
            "value_not_finite"
        ]
    );
    assert_eq!(error.rows, Some(3));
    assert!(error.to_string().contains("1 row has no label (query row 2)"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let bank = loans(&[]);
    std::fs::set_permissions(bank.path(), std::fs::Permissions::from_mode(0o000)).expect("set");
    if std::fs::File::open(bank.path()).is_ok() {
        return; // this user may read everything
    }
    let path = bank.path();
    assert_eq!(
        bank.message(&staff()).await,
        format!(
            "bj, view \"loans\": the file {path} cannot be read: Permission denied (os error 13); \
             let the user of the participant read it"
        )
    );
}

#[tokio::test]
async fn the_sample_view_runs_and_the_sample_policy_accepts_its_columns() {
    let sample = ParticipantConfig::parse(SAMPLE, Path::new("participant.toml")).expect("a configuration");
    let text = "loan_id,y,set,naics2,no_emp,new_exist,urban_rural,is_franchise,rev_line_cr,low_doc,real_estate,gr_appv,sba_appv\n\
                1,0,train,31,4,1,1,0,,N,0,50000,25000\n2,1,test,44,,2,1,0,Y,N,1,0,25000\n";
    let sql = sample.views[0].sql.as_deref().expect("the sample has a query");
    let bank = Bank::csv(text).sql(sql);
    let request = DataRequest { key: "loan_id".to_owned(), ..ask(vec![numeric("guaranteed_share")]) };
    let loaded = bank.table(&request).await;
    assert_eq!(numbers(&loaded, 0)[0], 0.5);
    assert_eq!(loaded.summary.columns[0].missing, 1, "nothing is divided by zero");

    let policy = Policy::parse(policy::SAMPLE).expect("a policy");
    let view = bank.load(&DataRequest { key: "none".to_owned(), ..request }).await.expect_err("no such column");
    let Some(Problem::UnknownColumns { existing, .. }) = view.problems.into_iter().next() else { panic!("not that") };
    let asked = PolicyRequest {
        federation: "jingjinji".to_owned(),
        kind: "scorecard".to_owned(),
        operator: Some("pilot-operator".to_owned()),
        view: "loans".to_owned(),
        columns: existing,
        series: None,
        parties: 3,
        min_contributors: 3,
        min_bin_rows: 20,
        adversary: Adversary::Malicious,
        per_party_evaluation: true,
        own_train_rows: None,
        privacy: Some((2.0, 1e-6)),
        alignment: None,
    };
    assert_eq!(policy.check(&asked), Ok(()));
}

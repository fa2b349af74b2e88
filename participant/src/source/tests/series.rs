//! Monthly series: from a long table by SQL to one column per channel and month.

use haihe_protocol::{
    id::PartyId,
    job::{JobSpec, Month},
};

use super::*;

/// A bank whose main view has the firms a to d, and whose second view is `monthly`.
fn bank(monthly: &str) -> Bank {
    let mut bank = loans(&[]);
    std::fs::write(bank.dir.path().join("monthly.csv"), monthly).expect("written");
    let path = PathBuf::from("monthly.csv");
    bank.views.push(ViewConfig { name: "monthly".to_owned(), path, sql: None, memory_mb: None });
    bank
}

fn with_sql(monthly: &str, sql: &str) -> Bank {
    let mut bank = bank(monthly);
    bank.views[1].sql = Some(sql.to_owned());
    bank
}

/// `steps` months of the channels `n` and `amount`.
fn series(steps: u32, last: Option<&str>) -> DataRequest {
    let series = SeriesRequest {
        view: "monthly".to_owned(),
        key: "firm".to_owned(),
        month: "month".to_owned(),
        steps,
        last: last.map(|last| Month::parse(last).expect("a month")),
        channels: vec!["n".to_owned(), "amount".to_owned()],
    };
    DataRequest { series: Some(series), ..staff() }
}

/// The months of a channel, oldest first; `None` is missing.
fn months(loaded: &Loaded, firm: &str, channel: &str) -> Vec<Option<f64>> {
    let at = loaded.keys.iter().position(|key| key == firm).expect("a firm");
    let prefix = format!("{channel}@");
    let columns = loaded.table.specs.iter().enumerate().filter(|(_, spec)| spec.name.starts_with(&prefix));
    columns.map(|(column, _)| numbers(loaded, column)[at]).map(|value| (!value.is_nan()).then_some(value)).collect()
}

fn summary(loaded: &Loaded) -> (u64, u64, u64, u64) {
    let series = loaded.summary.series.as_ref().expect("a series");
    (series.rows, series.unknown_rows, series.outside_rows, series.without_series)
}

const RAGGED: &str = "firm,month,n,amount\n\
                      a,2019-12,1,10\na,2020-01,2,20\na,2020-02,3,30\n\
                      b,2019-12,4,40\nb,2019-10,5,50\n\
                      c,2020-02,6,\n";

#[tokio::test]
async fn ragged_series_end_with_the_month_of_the_calendar() {
    let loaded = bank(RAGGED).table(&series(3, Some("2020-02"))).await;
    let names: Vec<&str> = loaded.table.specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["staff", "n@2", "n@1", "n@0", "amount@2", "amount@1", "amount@0"]);
    assert_eq!(months(&loaded, "a", "n"), [Some(1.0), Some(2.0), Some(3.0)]);
    assert_eq!(months(&loaded, "a", "amount"), [Some(10.0), Some(20.0), Some(30.0)]);
    assert_eq!(months(&loaded, "b", "n"), [Some(4.0), None, None]);
    assert_eq!(months(&loaded, "c", "n"), [None, None, Some(6.0)]);
    assert_eq!(months(&loaded, "c", "amount"), [None, None, None], "a missing value is no month");
    assert_eq!(months(&loaded, "d", "n"), [None, None, None], "a firm without any month");
    assert_eq!(summary(&loaded), (6, 0, 1, 1));
    let missing: Vec<u64> = loaded.summary.columns.iter().map(|column| column.missing).collect();
    assert_eq!(missing, [0, 2, 3, 2, 2, 3, 3]);
    assert_eq!(loaded.table.columns.len(), 7);
    assert!(loaded.table.columns.iter().all(|column| column.len() == 4));
}

#[tokio::test]
async fn without_a_calendar_each_firm_ends_with_its_own_last_month() {
    let loaded = bank(RAGGED).table(&series(3, None)).await;
    assert_eq!(months(&loaded, "a", "n"), [Some(1.0), Some(2.0), Some(3.0)]);
    assert_eq!(months(&loaded, "b", "n"), [Some(5.0), None, Some(4.0)]);
    assert_eq!(months(&loaded, "c", "n"), [None, None, Some(6.0)]);
    assert_eq!(summary(&loaded), (6, 0, 0, 1));
    let short = bank(RAGGED).table(&series(1, None)).await;
    assert_eq!(months(&short, "b", "n"), [Some(4.0)]);
    assert_eq!(summary(&short), (6, 0, 3, 1));
}

#[tokio::test]
async fn months_after_the_calendar_are_left_out() {
    let loaded = bank(RAGGED).table(&series(2, Some("2020-01"))).await;
    assert_eq!(months(&loaded, "a", "n"), [Some(1.0), Some(2.0)]);
    assert_eq!(months(&loaded, "c", "n"), [None, None]);
    assert_eq!(summary(&loaded), (6, 0, 3, 2));
}

#[tokio::test]
async fn months_may_be_written_in_several_ways() {
    let text = "firm,month,n,amount\na,202002,1,\nb,2020-02-29,2,\nc, 2020-02 ,3,\nd,2020-02-01T00:00:00,4,\n";
    let loaded = bank(text).table(&series(1, Some("2020-02"))).await;
    for (firm, number) in [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)] {
        assert_eq!(months(&loaded, firm, "n"), [Some(number)], "{firm}");
    }
    let counted = bank("firm,month,n,amount\na,-1,1,\na,0,2,\nb,00011,3,\nb,9,4,\n").table(&series(3, None)).await;
    assert_eq!(months(&counted, "a", "n"), [None, Some(1.0), Some(2.0)]);
    assert_eq!(months(&counted, "b", "n"), [Some(4.0), None, Some(3.0)]);
    let last = bank("firm,month,n,amount\na,11,1,\na,12,2,\n").table(&series(2, Some("11"))).await;
    assert_eq!(months(&last, "a", "n"), [None, Some(1.0)]);
    for typed in [
        "CAST('2020-02-03' AS DATE)",
        "to_timestamp('2020-02-03T04:05:06')",
        "date_trunc('month', CAST('2020-02-03' AS DATE))",
        "202002",
        "CAST(202002 AS DOUBLE)",
    ] {
        let sql = format!("SELECT firm, {typed} AS month, n, amount FROM source");
        let bank = with_sql("firm,month,n,amount\na,x,1,\n", &sql);
        assert_eq!(months(&bank.table(&series(2, Some("2020-03"))).await, "a", "n"), [Some(1.0), None], "{typed}");
    }
}

#[tokio::test]
async fn rows_of_unknown_firms_are_counted_and_nothing_else() {
    let loaded = bank("firm,month,n,amount\na,2020-02,1,\nz,2020-03,2,\nz,2020-02,3,\n").table(&series(2, None)).await;
    assert_eq!(months(&loaded, "a", "n"), [None, Some(1.0)]);
    assert_eq!(summary(&loaded), (3, 2, 0, 3));
    let unused = bank("firm,month,n,amount\nz,2020-02,1,\na,2019-02,2,\n");
    assert_eq!(
        unused.message(&series(2, Some("2020-02"))).await,
        "bj, view \"monthly\", 2 rows: no row is of use to the job: in 1 the key is not one of the main view, in 1 the month \
         is not one that the job asks for; write the keys of both views in the same form, or have the operator correct \
         last and steps"
    );
}

#[tokio::test]
async fn invoices_become_months_by_sql() {
    let mut text = "firm,issued,amount\n".to_owned();
    for (firm, issued, amount) in [
        ("a", "2019-11-30", "8"),
        ("a", "2019-12-01", "1"),
        ("a", "2019-12-24", "2"),
        ("a", "2020-02-03", "4.5"),
        ("b", "2020-01-31", "7"),
        ("b", "2020-02-01", ""),
        ("b", "2020-02-02", "3"),
    ] {
        writeln!(text, "{firm},{issued},{amount}").expect("a string takes all");
    }
    let sql = "SELECT firm, month, n, amount, \
               SUM(amount) OVER (PARTITION BY firm ORDER BY month ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS of_two \
               FROM (SELECT firm, to_char(CAST(issued AS DATE), '%Y-%m') AS month, COUNT(*) AS n, SUM(TRY_CAST(amount AS DOUBLE)) AS amount \
                     FROM source GROUP BY firm, to_char(CAST(issued AS DATE), '%Y-%m'))";
    let mut request = series(3, Some("2020-02"));
    let series = request.series.as_mut().expect("a series");
    series.channels.push("of_two".to_owned());
    let loaded = with_sql(&text, sql).table(&request).await;
    assert_eq!(months(&loaded, "a", "n"), [Some(2.0), None, Some(1.0)]);
    assert_eq!(months(&loaded, "a", "amount"), [Some(3.0), None, Some(4.5)]);
    assert_eq!(months(&loaded, "a", "of_two"), [Some(11.0), None, Some(7.5)]);
    assert_eq!(months(&loaded, "b", "n"), [None, Some(1.0), Some(2.0)]);
    assert_eq!(months(&loaded, "b", "amount"), [None, Some(7.0), Some(3.0)]);
    assert_eq!(months(&loaded, "b", "of_two"), [None, Some(7.0), Some(10.0)]);
}

#[tokio::test]
async fn months_that_cannot_be_used_are_told_at_once() {
    let text = format!(
        "firm,month,n,amount\na,2020-02,1,\na,2020-02-15,2,\nb,{SECRET},3,\nc,,4,\n,2020-01,5,\nd,12,6,{SECRET}\nz,202013,1,inf\n"
    );
    assert_eq!(
        bank(&text).message(&series(2, Some("2020-02"))).await,
        "bj, view \"monthly\", 7 rows: 6 problems\n\
         - key column \"firm\": 1 row has no key (data row 5); fill it, or leave such rows out: \
         WHERE firm IS NOT NULL in sql of this [[view]]\n\
         - month column \"month\": 3 values are not a month (data rows 3, 4, 7); write it in sql of this [[view]] like 2020-02, \
         202002 or 2020-02-15, or as a whole number of at most five digits that counts months\n\
         - month column \"month\": 1 month is of another kind than the job's last month (data row 6); write all as months of \
         the calendar or all as whole numbers, as the job does\n\
         - key column \"firm\" and month column \"month\": 1 row has the firm and the month of an earlier row (data row 2); \
         keep one row per firm and month: GROUP BY firm, month in sql of this [[view]]\n\
         - column \"amount\": 1 value is not a number (data row 6); mend the file, or make such values missing: \
         TRY_CAST(amount AS DOUBLE) in sql of this [[view]]\n\
         - column \"amount\": 1 value is NaN or infinite (data row 7); leave the field empty where a value is missing, \
         and divide by NULLIF(y, 0)"
    );
    let mixed = bank("firm,month,n,amount\na,12,1,\nb,2020-02,2,\n").message(&series(2, None)).await;
    assert!(mixed.contains("1 month is of another kind than the first row's (data row 2)"), "{mixed}");
}

#[tokio::test]
async fn many_rows_for_a_month_are_told_by_their_numbers() {
    let mut text = "firm,month,n,amount\n".to_owned();
    for day in 1..=9 {
        writeln!(text, "a,2020-02-0{day},1,").expect("a string takes all");
    }
    let error = bank(&text).load(&series(2, None)).await.expect_err("daily rows");
    assert_eq!(error.codes(), ["month_repeated"]);
    let text = error.to_string();
    assert!(
        text.contains("8 rows have the firm and the month of an earlier row (first data rows 2, 3, 4, 5, 6)"),
        "{text}"
    );
}

#[tokio::test]
async fn both_views_tell_what_is_wrong() {
    let mut both = bank("firm,month,amount\na,2020-02,1\n");
    both.views[0].sql = Some("SELECT id, 0 AS y, \"set\", staff FROM source".to_owned());
    let error = both.load(&series(2, None)).await.expect_err("two views");
    assert_eq!(error.codes(), ["label_one_class", "column_unknown"]);
    assert_eq!(
        error.to_string(),
        "bj, view \"loans\", 4 rows: label column \"y\": no row has the label 1; \
         widen the view so that both outcomes occur, or stay out of this job\n\
         bj, view \"monthly\", 1 row: the job asks for \"n\", which the view does not have; \
         it has \"firm\", \"month\", \"amount\"; name it with AS in sql of this [[view]], or have the operator leave it out"
    );
    both.views.truncate(1);
    both.views[0].sql = None;
    assert_eq!(
        both.message(&series(2, None)).await,
        "bj, view \"monthly\": there is no [[view]] of this name in our configuration, which has \"loans\"; \
         add one that maps it to a file, or have the operator name another"
    );
    let empty = bank("firm,month,n,amount\n").message(&series(2, None)).await;
    assert!(empty.starts_with("bj, view \"monthly\", 0 rows: there is no row;"), "{empty}");
}

const JOB: &str = r#"
[job]
name = "n"
parties = ["bj", "tj", "he"]
[data]
view = "loans"
key = "id"
label = "y"
split = { column = "set" }
columns = [{ name = "staff", kind = "numeric" }]
[data.series]
view = "monthly"
key = "firm"
month = "month"
steps = 3
last = "2020-02"
channels = ["n", "amount"]
[network]
model = { kind = "lstm", hidden = 4 }
"#;

#[tokio::test]
async fn a_job_gets_the_columns_that_it_names() {
    let spec = JobSpec::parse(JOB).expect("a job");
    let written = JobSpec::parse(&toml::to_string(&spec).expect("TOML")).expect("the same job");
    let party = PartyId::new("bj").expect("a name");
    let request = DataRequest::of(&spec, &party).expect("for all parties");
    assert_eq!(DataRequest::of(&written, &party), Some(request.clone()));
    assert_eq!(request.view_columns(), ["id", "y", "set", "staff"]);
    assert_eq!(request.all_columns(), ["id", "y", "set", "staff", "firm", "month", "n", "amount"]);
    let loaded = bank(RAGGED).table(&request).await;
    assert_eq!(loaded.table.specs, spec.data.columns);
    assert_eq!(months(&loaded, "a", "amount"), [Some(10.0), Some(20.0), Some(30.0)]);
}

#[tokio::test]
async fn the_sample_makes_months_of_payments() {
    let sample = ParticipantConfig::parse(SAMPLE, Path::new("participant.toml")).expect("a configuration");
    let payments = "loan_id,paid_on,amount\na,2020-01-31,5\na,2020-02-01,1\na,2020-02-28,2.5\nd,2019-12-05,\n";
    let mut bank = with_sql(payments, sample.views[1].sql.as_deref().expect("the sample has a query"));
    bank.views[1].name = sample.views[1].name.clone();
    let mut request = series(2, Some("2020-02"));
    let asked = request.series.as_mut().expect("a series");
    asked.key = "loan_id".to_owned();
    asked.channels = ["payments", "paid", "paid_in_3_rows"].map(str::to_owned).to_vec();
    let loaded = bank.table(&request).await;
    assert_eq!(months(&loaded, "a", "payments"), [Some(1.0), Some(2.0)]);
    assert_eq!(months(&loaded, "a", "paid"), [Some(5.0), Some(3.5)]);
    assert_eq!(months(&loaded, "a", "paid_in_3_rows"), [Some(5.0), Some(8.5)]);
    assert_eq!(summary(&loaded), (3, 0, 1, 3));
}

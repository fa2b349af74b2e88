//! Which firm a row belongs to.

use super::*;

fn by_firm(firm: &str) -> DataRequest {
    DataRequest { firm: Some(firm.to_owned()), ..staff() }
}

/// Key, label, split, staff, firm; the firms of the four rows.
fn firms(names: [&str; 4]) -> Bank {
    let rows = ["a,0,train,1", "b,1,train,2", "c,0,test,3", "d,1,test,4"];
    let rows: Vec<String> = rows.iter().zip(names).map(|(row, firm)| format!("{row},{firm}")).collect();
    Bank::csv(format!("id,y,set,staff,firm\n{}\n", rows.join("\n")))
}

#[tokio::test]
async fn rows_with_one_text_belong_to_one_firm() {
    let bank = firms(["91-b", " 91-a", "\"91-b \"", "91-B"]);
    let loaded = bank.table(&by_firm("firm")).await;
    assert_eq!(loaded.table.firms, Some(vec![0, 1, 0, 2]));
    assert_eq!(loaded.summary.firms, Some(3));
    assert_eq!(loaded.table.columns.len(), 1, "the firm is no feature");
    assert_eq!(loaded.keys, ["a", "b", "c", "d"]);
    let without = bank.table(&staff()).await;
    assert_eq!((without.table.firms, without.summary.firms), (None, None));
}

#[tokio::test]
async fn the_key_may_name_the_firm() {
    let loaded = firms([""; 4]).table(&by_firm("id")).await;
    assert_eq!((loaded.table.firms, loaded.summary.firms), (None, Some(4)));
}

#[tokio::test]
async fn codes_may_be_chinese_and_of_any_length() {
    let text = "合同号,统一社会信用代码,是否违约,员工数\n1,91110000津A,0,5\n2,91120000京B,1,6\n3,91110000津A,1,7\n";
    let request = DataRequest {
        key: "合同号".to_owned(),
        firm: Some("统一社会信用代码".to_owned()),
        label: Some("是否违约".to_owned()),
        split: None,
        ..ask(vec![numeric("员工数")])
    };
    let bank = Bank::csv(text);
    assert_eq!(bank.table(&request).await.table.firms, Some(vec![0, 1, 0]));
    let bank = bank.sql("SELECT * FROM source ORDER BY 合同号 DESC");
    let loaded = bank.table(&request).await;
    assert_eq!(loaded.keys, ["3", "2", "1"]);
    assert_eq!(loaded.table.firms, Some(vec![0, 1, 0]), "numbers go by the rows as they come");
    assert_eq!(loaded.summary.firms, Some(2));
}

#[tokio::test]
async fn csv_and_parquet_give_the_same_firms() {
    let long = ["9007199254740993", "9007199254740992", "9007199254740993", "7"];
    let bank = firms(long);
    let from_csv = bank.table(&by_firm("firm")).await;
    assert_eq!(from_csv.table.firms, Some(vec![0, 1, 0, 2]), "not read as floating point");

    let session = SessionContext::new();
    session.register_csv("source", &bank.path(), Default::default()).await.expect("registered");
    for (file, typed) in [
        ("integers.parquet", "CAST(firm AS BIGINT)"),
        ("texts.parquet", "CAST(firm AS VARCHAR)"),
        ("nulls.parquet", "NULLIF(CAST(firm AS BIGINT), 7)"),
        ("dates.parquet", "to_timestamp('2026-01-01')"),
    ] {
        let path = bank.dir.path().join(file).display().to_string();
        let typed = format!("SELECT id, y, \"set\", staff, {typed} AS firm FROM source");
        let typed = session.sql(&typed).await.expect("planned");
        typed.write_parquet(&path, DataFrameWriteOptions::new(), None).await.expect("written");
    }
    let read = async |file: &str| {
        let view = ViewConfig { path: PathBuf::from(file), ..bank.views[0].clone() };
        load("bj", &[view], bank.dir.path(), &by_firm("firm")).await
    };
    for file in ["integers.parquet", "texts.parquet"] {
        let loaded = read(file).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.table.firms, from_csv.table.firms, "{file}");
        assert_eq!(loaded.summary, from_csv.summary, "{file}");
    }
    assert_eq!(
        read("nulls.parquet").await.expect_err("refused").to_string(),
        "bj, view \"loans\", 4 rows: firm column \"firm\": 1 row has no firm (data row 4); \
         fill it, or leave such rows out: WHERE firm IS NOT NULL in sql of this [[view]]"
    );
    assert_eq!(
        read("dates.parquet").await.expect_err("refused").to_string(),
        "bj, view \"loans\", 4 rows: column \"firm\" is of the type Timestamp(ns), text or integers are needed; \
         CAST it in sql of this [[view]]"
    );
}

#[tokio::test]
async fn rows_without_a_firm_are_counted() {
    let bank = firms(["", SECRET, " ", SECRET]);
    let error = bank.load(&by_firm("firm")).await.expect_err("refused");
    assert_eq!(error.codes(), ["firm_null"]);
    assert_eq!(
        bank.message(&by_firm("firm")).await,
        "bj, view \"loans\", 4 rows: firm column \"firm\": 2 rows have no firm (data rows 1, 3); \
         fill it, or leave such rows out: WHERE firm IS NOT NULL in sql of this [[view]]"
    );
    assert_eq!(bank.table(&staff()).await.summary.firms, None, "a job without firms does not look there");
}

#[tokio::test]
async fn a_firm_column_is_there_and_is_nothing_else() {
    let bank = firms(["a", "b", "c", SECRET]);
    assert_eq!(
        bank.message(&by_firm("企业")).await,
        "bj, view \"loans\", 4 rows: the job asks for \"企业\", which the view does not have; \
         it has \"id\", \"y\", \"set\", \"staff\", \"firm\"; \
         name it with AS in sql of this [[view]], or have the operator leave it out"
    );
    for twice in ["staff", "y", "set"] {
        assert_eq!(
            bank.message(&by_firm(twice)).await,
            format!(
                "bj, view \"loans\", 4 rows: the job asks for {twice:?} more than once \
                 among key, firm, label, split and features; have the operator correct the job"
            )
        );
    }
    let key_as_feature = DataRequest { firm: Some("id".to_owned()), ..ask(vec![categorical("id", &["a"])]) };
    assert!(bank.message(&key_as_feature).await.contains("the job asks for \"id\" more than once"));
}

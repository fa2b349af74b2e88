//! The query over the one file, in a session that can do nothing else.

use std::path::Path;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::common::Column;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{CsvReadOptions, DataFrame, ParquetReadOptions, SQLOptions, SessionConfig, SessionContext};
use tokio_stream::StreamExt;

use super::DEFAULT_MEMORY_MB;
use super::file::{self, Format, Unusable};
use super::problem::{Problem, QueryFailure, RowNumbers};
use super::values::ArrayRef;
use crate::config::ViewConfig;

/// The one table that a query sees.
const TABLE: &str = "source";

/// What a query gave.
pub(super) struct Answer {
    /// How many rows.
    pub count: u64,
    /// Columns that were asked for and could not be given.
    pub missing_columns: Vec<Problem>,
}

/// Runs the view's query and hands the wanted columns over, batch by batch. Columns that are missing are reported; the others come.
pub(super) async fn read(
    view: &ViewConfig,
    base_dir: &Path,
    wanted: &[String],
    mut take: impl FnMut(&str, &ArrayRef),
) -> Result<Answer, Unusable> {
    let path = base_dir.join(&view.path);
    let looked_at = path.clone();
    let format = tokio::task::spawn_blocking(move || file::inspect(&looked_at))
        .await
        .expect("the look at the file does not panic")?;

    let session = session(view.memory_mb.unwrap_or(DEFAULT_MEMORY_MB));
    register(&session, &path, format).await?;
    let answer = query(&session, view).await.map_err(refused)?;
    let (picked, missing_columns) = pick(&answer, wanted, RowNumbers::of(view));
    // With no column to read, the rows are still counted: by the first column that there is.
    let chosen: Vec<Expr> = match picked.is_empty() {
        true => answer.schema().iter().take(1).map(|field| Expr::from(Column::from(field))).collect(),
        false => picked.iter().map(|(_, column)| Expr::from(column.clone())).collect(),
    };
    let answer = answer.select(chosen).map_err(refused)?;
    let context = answer.task_ctx().into();
    let plan = answer.create_physical_plan().await.map_err(refused)?;

    let stopped = |count: u64| {
        move |error: DataFusionError| Unusable {
            rows: (count > 0).then_some(count),
            problems: vec![Problem::SqlRun { failure: failure(&error) }],
        }
    };
    let mut stream = execute_stream(plan, context).map_err(stopped(0))?;
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(stopped(count))?;
        count += batch.num_rows() as u64;
        for ((name, _), array) in picked.iter().zip(batch.columns()) {
            take(name, array);
        }
    }
    Ok(Answer { count, missing_columns })
}

/// One partition, so that rows keep the order of the file; nothing is written to disk; names stay as they are written.
fn session(memory_mb: u64) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let bytes = usize::try_from(memory_mb).unwrap_or(usize::MAX).saturating_mul(1 << 20);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(bytes, 1.0)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
        .expect("a runtime without files has nothing to fail on");
    SessionContext::new_with_config_rt(config, runtime)
}

async fn register(session: &SessionContext, path: &Path, format: Format) -> Result<(), Unusable> {
    let unreadable =
        |error: std::io::Error| Problem::FileUnreadable { path: path.to_owned(), reason: error.to_string() };
    let url = url(&path.canonicalize().map_err(unreadable)?);
    match format {
        Format::Csv { columns } => {
            let text = |name: String| Field::new(name, DataType::Utf8, true);
            let schema = Schema::new(columns.into_iter().map(text).collect::<Vec<_>>());
            let options = CsvReadOptions::new().schema(&schema).newlines_in_values(true).file_extension("");
            session.register_csv(TABLE, url, options).await.map_err(refused)
        }
        Format::Parquet => {
            let options = ParquetReadOptions::new().file_extension("");
            let not_parquet = |_| Problem::NotParquet { path: path.to_owned() }.into();
            session.register_parquet(TABLE, url, options).await.map_err(not_parquet)
        }
    }
}

/// A URL in which every unusual character of the path is escaped: a `*` in the name of a file is no pattern.
fn url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => url.push(char::from(*byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

async fn query(session: &SessionContext, view: &ViewConfig) -> Result<DataFrame, DataFusionError> {
    let Some(sql) = &view.sql else {
        return session.table(TABLE).await;
    };
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    session.sql_with_options(sql, read_only).await
}

/// The wanted columns that there are, and what is wrong with the others.
fn pick(answer: &DataFrame, wanted: &[String], numbering: RowNumbers) -> (Vec<(String, Column)>, Vec<Problem>) {
    let existing: Vec<String> = answer.schema().fields().iter().map(|field| field.name().clone()).collect();
    let repeated = file::repeated(&existing);
    let mut picked = Vec::new();
    let (mut unknown, mut ambiguous) = (Vec::new(), Vec::new());
    for name in wanted {
        match answer.schema().iter().find(|(_, field)| field.name() == name) {
            None => unknown.push(name.clone()),
            Some(_) if repeated.contains(name) => ambiguous.push(name.clone()),
            Some(field) => picked.push((name.clone(), Column::from(field))),
        }
    }
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        problems.push(Problem::UnknownColumns { columns: unknown, existing });
    }
    if !ambiguous.is_empty() {
        problems.push(Problem::ColumnRepeated { columns: ambiguous, numbering });
    }
    (picked, problems)
}

/// Before a row is read, the engine's words can only repeat the query and the names of columns.
fn refused(error: DataFusionError) -> Unusable {
    Problem::Sql { message: error.strip_backtrace() }.into()
}

/// While rows are read, the engine's words may quote them: only the kind of failure is kept.
fn failure(error: &DataFusionError) -> QueryFailure {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryFailure::Memory,
        DataFusionError::ParquetError(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            QueryFailure::File
        }
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::CastError(_) | ArrowError::ParseError(_) => QueryFailure::Conversion,
            ArrowError::DivideByZero => QueryFailure::DivisionByZero,
            ArrowError::ArithmeticOverflow(_) => QueryFailure::Overflow,
            ArrowError::ParquetError(_) | ArrowError::IoError(..) | ArrowError::CsvError(_) => QueryFailure::File,
            _ => QueryFailure::Other,
        },
        _ => QueryFailure::Other,
    }
}

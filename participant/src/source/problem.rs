//! What can be wrong with our own data. Every text says where, how much, and what to do next; none has a value of a row.

use std::fmt;
use std::path::PathBuf;

use crate::config::ViewConfig;

/// How many example rows a message names.
const EXAMPLES: usize = 5;
/// How many existing columns a message lists.
const LISTED: usize = 60;

/// Why a view cannot be used for a job. `Display` is for our own people and log: it has counts and row numbers.
/// [`SourceError::codes`] is what may be told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Who we are.
    pub party: String,
    /// The view.
    pub view: String,
    /// How many rows were read, when it came to that.
    pub rows: Option<u64>,
    /// All that was found, at least one.
    pub problems: Vec<Problem>,
    /// What was found in the second view, if that cannot be used either.
    pub series: Option<Box<SourceError>>,
}

impl SourceError {
    pub(super) fn new(party: &str, view: &str, rows: Option<u64>, problems: Vec<Problem>) -> Self {
        SourceError { party: party.to_owned(), view: view.to_owned(), rows, problems, series: None }
    }

    /// Short names of the problems, without any count or name of ours.
    pub fn codes(&self) -> Vec<&'static str> {
        let series = self.series.iter().flat_map(|series| series.codes());
        self.problems.iter().map(Problem::code).chain(series).collect()
    }
}

impl std::error::Error for SourceError {}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, view {:?}", self.party, self.view)?;
        match self.rows {
            Some(1) => write!(f, ", 1 row")?,
            Some(rows) => write!(f, ", {rows} rows")?,
            None => {}
        }
        match self.problems.as_slice() {
            [only] => write!(f, ": {only}")?,
            several => {
                write!(f, ": {} problems", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n- {problem}"))?;
            }
        }
        self.series.iter().try_for_each(|series| write!(f, "\n{series}"))
    }
}

/// What the row numbers of a message count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNumbers {
    /// Rows of the file; the first row below the header is 1.
    File,
    /// Rows of the query's answer, from 1.
    Query,
}

impl RowNumbers {
    pub(super) fn of(view: &ViewConfig) -> Self {
        if view.sql.is_some() { RowNumbers::Query } else { RowNumbers::File }
    }
}

/// How many rows something is wrong in, and which are the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// The first few, counted from 1.
    pub examples: Vec<u64>,
    /// What the examples count.
    pub numbering: RowNumbers,
}

impl Rows {
    pub(super) fn new(numbering: RowNumbers) -> Self {
        Rows { count: 0, examples: Vec::new(), numbering }
    }

    /// Notes the row at this position, from 0.
    pub(super) fn add(&mut self, position: usize) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(position as u64 + 1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `3 values are`.
    fn of(&self, one: &str, many: &str) -> String {
        format!("{} {}", self.count, if self.count == 1 { one } else { many })
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.numbering {
            RowNumbers::File => "data row",
            RowNumbers::Query => "query row",
        };
        let numbers: Vec<String> = self.examples.iter().map(u64::to_string).collect();
        let first = if self.count > self.examples.len() as u64 { "first " } else { "" };
        write!(f, "{first}{kind}{} {}", if numbers.len() == 1 { "" } else { "s" }, numbers.join(", "))
    }
}

/// Why a query stopped while it ran. The engine's own words are dropped: they may quote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFailure {
    /// A value could not be converted.
    Conversion,
    /// An integer was divided by zero.
    DivisionByZero,
    /// A number left the range of its type.
    Overflow,
    /// The memory limit was reached.
    Memory,
    /// The file could not be read to its end.
    File,
    /// Anything else.
    Other,
}

impl fmt::Display for QueryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QueryFailure::Conversion => {
                "a value cannot be converted; write TRY_CAST instead of CAST, which makes it missing, or mend the file"
            }
            QueryFailure::DivisionByZero => "an integer is divided by zero; write x / NULLIF(y, 0)",
            QueryFailure::Overflow => "a number leaves the range of its type; CAST it to DOUBLE first",
            QueryFailure::Memory => {
                "the memory limit is reached; raise memory_mb of this [[view]], or select fewer rows and columns"
            }
            QueryFailure::File => "the file cannot be read to its end; export it again",
            QueryFailure::Other => {
                "the engine refused a row; run the query on a few rows at a time to find it, or mend the file"
            }
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The configuration has no such view.
    #[error(
        "there is no [[view]] of this name in our configuration, which has {}; add one that maps it to a file, or have the operator name another",
        names_or_none(known)
    )]
    UnknownView {
        /// The views that there are.
        known: Vec<String>,
    },
    /// There is no such file.
    #[error("the file {} does not exist; put it there or correct path in this [[view]]", path.display())]
    FileMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file cannot be opened.
    #[error("the file {} cannot be read: {reason}; let the user of the participant read it", path.display())]
    FileUnreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Neither CSV nor Parquet.
    #[error("the file {} is neither .csv nor .parquet; export it as one of them", path.display())]
    FileKind {
        /// Where it is.
        path: PathBuf,
    },
    /// The file has no byte that counts.
    #[error("the file {} is empty; export it again, a header row first", path.display())]
    FileEmpty {
        /// Where it is.
        path: PathBuf,
    },
    /// The first row holds numbers. Its fields are not shown: they are data.
    #[error("the first row of {} has numbers where names of columns should be; add a header row, or rename the columns that are called by a number", path.display())]
    NoHeader {
        /// Where the file is.
        path: PathBuf,
    },
    /// The text is not UTF-8.
    #[error("the text of {} is not UTF-8 in {}; save it as UTF-8, for example: iconv -f GB18030 -t UTF-8", path.display(), header_or_rows(rows))]
    NotUtf8 {
        /// Where the file is.
        path: PathBuf,
        /// The rows; `None` for the header.
        rows: Option<Rows>,
    },
    /// Rows with more or fewer fields than the header.
    #[error("{} have the {fields} fields of the header ({rows}); look there for a comma or a quotation mark that is not quoted", rows.of("row does not", "rows do not"))]
    FieldCount {
        /// Fields of the header.
        fields: usize,
        /// The rows.
        rows: Rows,
    },
    /// The file is not Parquet inside.
    #[error("the file {} is not a complete Parquet file; export it again", path.display())]
    NotParquet {
        /// Where the file is.
        path: PathBuf,
    },
    /// Columns that the file or the query has more than once.
    #[error("{} more than once in the {}; give each its own name{}", occur(columns), file_or_query(*numbering), if *numbering == RowNumbers::Query { " with AS" } else { "" })]
    ColumnRepeated {
        /// Their names.
        columns: Vec<String>,
        /// Where.
        numbering: RowNumbers,
    },
    /// Columns that the job names more than once.
    #[error(
        "the job asks for {} more than once among key, firm, label, split and features; have the operator correct the job",
        names(columns)
    )]
    AskedTwice {
        /// Their names.
        columns: Vec<String>,
    },
    /// Columns that there are not.
    #[error(
        "the job asks for {}, which the view does not have; it has {}; name {} with AS in sql of this [[view]], or have the operator leave {} out",
        names(columns),
        names_or_none(existing),
        them(columns),
        them(columns)
    )]
    UnknownColumns {
        /// What the job asks for.
        columns: Vec<String>,
        /// What there is.
        existing: Vec<String>,
    },
    /// The query is not one that may run.
    #[error("sql cannot be used: {}; correct sql in this [[view]]: one SELECT over the table source, names as in the file", message.trim_end_matches('.'))]
    Sql {
        /// What the planner said; it has seen no row.
        message: String,
    },
    /// The query stopped on the way.
    #[error("sql stopped while it ran: {failure}")]
    SqlRun {
        /// Why.
        failure: QueryFailure,
    },
    /// Nothing came.
    #[error("there is no row; look at the file, and at WHERE in sql of this [[view]]")]
    NoRows,
    /// A column of dates, lists and the like.
    #[error("column {column:?} is of the type {found}, {wanted} are needed; CAST it in sql of this [[view]]")]
    ColumnType {
        /// Its name.
        column: String,
        /// Its type.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// Text that is not a number.
    #[error("column {column:?}: {} not a number ({rows}); mend the file, or make such values missing: TRY_CAST({} AS DOUBLE) in sql of this [[view]]", rows.of("value is", "values are"), quoted(column))]
    NotNumeric {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// NaN or infinity.
    #[error("column {column:?}: {} NaN or infinite ({rows}); leave the field empty where a value is missing, and divide by NULLIF(y, 0)", rows.of("value is", "values are"))]
    NotFinite {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Labels other than 0 and 1.
    #[error("label column {column:?}: {} neither 0 nor 1 ({rows}); map them in sql of this [[view]] with CASE WHEN ... THEN 1 ELSE 0 END, 1 for the bad outcome", rows.of("value is", "values are"))]
    LabelNotBinary {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Rows without a label.
    #[error("label column {column:?}: {} no label ({rows}); leave such rows out: WHERE {} IS NOT NULL in sql of this [[view]]", rows.of("row has", "rows have"), quoted(column))]
    LabelNull {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Only good or only bad rows.
    #[error(
        "label column {column:?}: no row has the label {absent}; widen the view so that both outcomes occur, or stay out of this job"
    )]
    LabelOneClass {
        /// Its name.
        column: String,
        /// The label that does not occur.
        absent: u8,
    },
    /// Rows without a key.
    #[error("key column {column:?}: {} no key ({rows}); fill it, or leave such rows out: WHERE {} IS NOT NULL in sql of this [[view]]", rows.of("row has", "rows have"), quoted(column))]
    KeyNull {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Keys that occur again.
    #[error("key column {column:?}: {} the key of an earlier row ({rows}); keep one row per key, for example with GROUP BY in sql of this [[view]]", rows.of("row has", "rows have"))]
    KeyRepeated {
        /// Its name.
        column: String,
        /// The later rows.
        rows: Rows,
    },
    /// Rows without a firm.
    #[error("firm column {column:?}: {} no firm ({rows}); fill it, or leave such rows out: WHERE {} IS NOT NULL in sql of this [[view]]", rows.of("row has", "rows have"), quoted(column))]
    FirmNull {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Rows that are neither for training nor for testing.
    #[error("split column {column:?}: {} neither {train:?} nor {test:?} ({rows}); map them in sql of this [[view]], or leave such rows out", rows.of("row says", "rows say"))]
    SplitUnknown {
        /// Its name.
        column: String,
        /// What a training row says.
        train: String,
        /// What a test row says.
        test: String,
        /// Where.
        rows: Rows,
    },
    /// Nothing to learn from.
    #[error(
        "split column {column:?}: no row says {value:?}, there is nothing to train on; look at the file, or map the column in sql of this [[view]]"
    )]
    NoTrainRows {
        /// Its name.
        column: String,
        /// What a training row says.
        value: String,
    },
    /// Nothing to evaluate on.
    #[error(
        "split column {column:?}: no row says {value:?}, there is nothing to test on; look at the file, or map the column in sql of this [[view]]"
    )]
    NoTestRows {
        /// Its name.
        column: String,
        /// What a test row says.
        value: String,
    },
    /// Months that are none.
    #[error("month column {column:?}: {} not a month ({rows}); write it in sql of this [[view]] like 2020-02, 202002 or 2020-02-15, or as a whole number of at most five digits that counts months", rows.of("value is", "values are"))]
    MonthUnreadable {
        /// Its name.
        column: String,
        /// Where.
        rows: Rows,
    },
    /// Months of the calendar beside months that somebody counted.
    #[error("month column {column:?}: {} of another kind than {than} ({rows}); write all as months of the calendar or all as whole numbers, as the job does", rows.of("month is", "months are"))]
    MonthKind {
        /// Its name.
        column: String,
        /// Than which month.
        than: &'static str,
        /// Where.
        rows: Rows,
    },
    /// Months of a firm that occur again.
    #[error("key column {key:?} and month column {month:?}: {} the firm and the month of an earlier row ({rows}); keep one row per firm and month: GROUP BY {}, {} in sql of this [[view]]", rows.of("row has", "rows have"), quoted(key), quoted(month))]
    MonthRepeated {
        /// Name of the key column.
        key: String,
        /// Name of the month column.
        month: String,
        /// The later rows.
        rows: Rows,
    },
    /// A series without any month of ours.
    #[error(
        "no row is of use to the job: in {unknown_rows} the key is not one of the main view, in {outside_rows} the month is not one that the job asks for; write the keys of both views in the same form, or have the operator correct last and steps"
    )]
    SeriesUnused {
        /// Rows of firms that are not in the main view.
        unknown_rows: u64,
        /// Rows of other months.
        outside_rows: u64,
    },
}

impl Problem {
    /// A short name that never changes and holds nothing of ours: for the journal and for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Problem::UnknownView { .. } => "view_unknown",
            Problem::FileMissing { .. } => "file_missing",
            Problem::FileUnreadable { .. } => "file_unreadable",
            Problem::FileKind { .. } => "file_kind",
            Problem::FileEmpty { .. } => "file_empty",
            Problem::NoHeader { .. } => "header_missing",
            Problem::NotUtf8 { .. } => "file_not_utf8",
            Problem::FieldCount { .. } => "field_count",
            Problem::NotParquet { .. } => "file_not_parquet",
            Problem::ColumnRepeated { .. } => "column_repeated",
            Problem::AskedTwice { .. } => "column_asked_twice",
            Problem::UnknownColumns { .. } => "column_unknown",
            Problem::Sql { .. } => "sql_refused",
            Problem::SqlRun { .. } => "sql_stopped",
            Problem::NoRows => "rows_none",
            Problem::ColumnType { .. } => "column_type",
            Problem::NotNumeric { .. } => "value_not_numeric",
            Problem::NotFinite { .. } => "value_not_finite",
            Problem::LabelNotBinary { .. } => "label_not_binary",
            Problem::LabelNull { .. } => "label_null",
            Problem::LabelOneClass { .. } => "label_one_class",
            Problem::KeyNull { .. } => "key_null",
            Problem::KeyRepeated { .. } => "key_repeated",
            Problem::FirmNull { .. } => "firm_null",
            Problem::SplitUnknown { .. } => "split_unknown",
            Problem::NoTrainRows { .. } => "train_rows_none",
            Problem::NoTestRows { .. } => "test_rows_none",
            Problem::MonthUnreadable { .. } => "month_unreadable",
            Problem::MonthKind { .. } => "month_kind",
            Problem::MonthRepeated { .. } => "month_repeated",
            Problem::SeriesUnused { .. } => "series_unused",
        }
    }
}

fn names(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    let more = list.len().saturating_sub(LISTED);
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &tail
}

fn names_or_none(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { names(list) }
}

fn occur(columns: &[String]) -> String {
    match columns {
        [one] => format!("column {one:?} occurs"),
        many => format!("columns {} occur", names(many)),
    }
}

fn them(columns: &[String]) -> &'static str {
    if columns.len() == 1 { "it" } else { "them" }
}

fn file_or_query(numbering: RowNumbers) -> &'static str {
    match numbering {
        RowNumbers::File => "header of the file",
        RowNumbers::Query => "answer of the query",
    }
}

fn header_or_rows(rows: &Option<Rows>) -> String {
    rows.as_ref().map_or_else(|| "its header".to_owned(), |rows| format!("{} ({rows})", rows.of("row", "rows")))
}

/// A name as SQL writes it, with quotes where it needs them.
fn quoted(column: &str) -> String {
    let mut chars = column.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if starts_well && chars.all(|c| c.is_alphanumeric() || c == '_') {
        column.to_owned()
    } else {
        format!("\"{}\"", column.replace('"', "\"\""))
    }
}

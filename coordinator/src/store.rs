//! The journals of all jobs, in SQL.
//!
//! The statements use numbered placeholders and only the types BIGINT and TEXT, so that PostgreSQL can follow SQLite
//! without a second set: the URL selects the database.

use std::path::Path;

use haihe_privacy::digest::Digest;
use haihe_protocol::{
    id::{JobId, Timestamp},
    journal::Entry,
};
use sqlx::{AnyPool, Row, any::AnyPoolOptions};

/// Version of the schema; a database with a newer one is refused.
const SCHEMA: i64 = 1;

const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS event (
        job_id TEXT NOT NULL,
        sequence BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (job_id, sequence)
    )",
];

/// Why the store failed: ours to repair.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the coordinator's database failed: {0}; check the disk and the permissions of the state folder")]
    Database(#[from] sqlx::Error),
    /// Somebody else wrote to this job's journal.
    #[error("journal entry {sequence} of job {job} was written by another coordinator; run only one for a database")]
    Conflict {
        /// Job.
        job: String,
        /// Entry.
        sequence: u64,
    },
    /// The database is newer than this program.
    #[error("the database has schema version {found}, this program knows {known}; install the newer program")]
    Newer {
        /// Version found.
        found: i64,
        /// Version known.
        known: i64,
    },
    /// A row is damaged.
    #[error("journal entry {sequence} of job {job} is damaged: {detail}")]
    Damaged {
        /// Job.
        job: String,
        /// Entry.
        sequence: i64,
        /// What is wrong.
        detail: String,
    },
}

/// The journals of all jobs.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
}

impl Store {
    /// Opens or makes the database file at `path`.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Self::open(&format!("sqlite://{}?mode=rwc", path.display())).await
    }

    /// Opens the database at `url`.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        // One connection: writes are short, ordered, and SQLite has one writer anyway.
        let pool = AnyPoolOptions::new().max_connections(1).connect(url).await?;
        if url.starts_with("sqlite:") {
            for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 5000"] {
                sqlx::query(pragma).execute(&pool).await?;
            }
        }
        for statement in CREATE {
            sqlx::query(statement).execute(&pool).await?;
        }
        let found = sqlx::query("SELECT version FROM schema_version").fetch_optional(&pool).await?;
        match found.map(|row| row.try_get::<i64, _>(0)).transpose()? {
            None => {
                sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(SCHEMA).execute(&pool).await?;
            }
            Some(SCHEMA) => {}
            Some(found) => return Err(StoreError::Newer { found, known: SCHEMA }),
        }
        Ok(Self { pool })
    }

    /// Appends entries to a job's journal: all of them, durably, or none.
    pub async fn append(&self, job: &JobId, entries: &[(Entry, &'static str)]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for (entry, kind) in entries {
            let written = sqlx::query(
                "INSERT INTO event (job_id, sequence, at_ms, kind, body, digest) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (job_id, sequence) DO NOTHING",
            )
            .bind(job.to_string())
            .bind(entry.sequence as i64)
            .bind(entry.at.0 as i64)
            .bind(*kind)
            .bind(entry.body_json.as_str())
            .bind(entry.digest.to_hex())
            .execute(&mut *transaction)
            .await?;
            if written.rows_affected() != 1 {
                return Err(StoreError::Conflict { job: job.to_string(), sequence: entry.sequence });
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Ids of all jobs, oldest first.
    pub async fn jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let rows = sqlx::query("SELECT job_id FROM event WHERE sequence = 0 ORDER BY at_ms, job_id");
        let rows = rows.fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get(0)?;
                let damaged =
                    |e: &dyn ToString| StoreError::Damaged { job: text.clone(), sequence: 0, detail: e.to_string() };
                Ok(JobId(Digest::parse(&text).map_err(|e| damaged(&e))?))
            })
            .collect()
    }

    /// A job's journal, in order. Its chain is verified by whoever replays it.
    pub async fn journal(&self, job: &JobId) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query("SELECT sequence, at_ms, body, digest FROM event WHERE job_id = $1 ORDER BY sequence");
        let rows = rows.bind(job.to_string()).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let sequence: i64 = row.try_get(0)?;
                let digest: String = row.try_get(3)?;
                Ok(Entry {
                    sequence: sequence as u64,
                    at: Timestamp(row.try_get::<i64, _>(1)? as u64),
                    body_json: row.try_get(2)?,
                    digest: Digest::parse(&digest).map_err(|e| StoreError::Damaged {
                        job: job.to_string(),
                        sequence,
                        detail: e.to_string(),
                    })?,
                })
            })
            .collect()
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use haihe_protocol::journal::{self, Event};

    use super::*;

    fn entries(n: u64) -> Vec<(Entry, &'static str)> {
        let mut tip = Entry::genesis();
        (0..n)
            .map(|i| {
                let event = Event::JobFailed { reason: format!("第{i}次") };
                let entry = Entry::after(&tip, i, Timestamp(i), &event);
                tip = entry.digest;
                (entry, event.kind())
            })
            .collect()
    }

    #[tokio::test]
    async fn keeps_journals_over_restarts_and_refuses_a_second_writer() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("coordinator.db");
        let job = JobId::of("x", Timestamp(1));
        let written = entries(3);
        let store = Store::open_sqlite(&path).await.expect("open");
        store.append(&job, &written[..2]).await.expect("append");
        store.append(&job, &written[2..]).await.expect("append");
        let again = store.append(&job, &written[1..]).await;
        assert!(matches!(again, Err(StoreError::Conflict { sequence: 1, .. })), "{again:?}");
        store.close().await;

        let store = Store::open_sqlite(&path).await.expect("reopen");
        assert_eq!(store.jobs().await.expect("jobs"), [job]);
        let read = store.journal(&job).await.expect("journal");
        assert_eq!(read, written.into_iter().map(|(e, _)| e).collect::<Vec<_>>());
        journal::verify(&read).expect("the chain holds");
    }
}

//! SQLite.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{PoolSettings, unreadable_url};

// An abandoned statement runs to its end in sqlx's worker thread; closing the connection would only lose a database
// that lives in memory.
super::driver!(Sqlite, Dialect::Sqlite, SqlitePool, discard: false);

const ATTEMPTS: u32 = 20;

fn text_to_sql(text: Option<String>) -> Option<String> {
    text
}

fn text_from_sql(text: Option<String>) -> Result<Option<String>, DatabaseError> {
    Ok(text)
}

pub(crate) async fn open(
    url: &str,
    settings: PoolSettings,
    in_memory: bool,
    full_sync: bool,
) -> Result<Pooled, DatabaseError> {
    let mut options = SqliteConnectOptions::from_str(url)
        .map_err(|_| unreadable_url())?
        .busy_timeout(settings.acquire_timeout)
        .synchronous(if full_sync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal });
    if in_memory {
        // One connection that is never closed: it is the database.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(settings.acquire_timeout)
            // A test that is cancelled costs the connection too.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(failed)?;
        return Ok(from_pool(pool));
    }
    if !url.contains("mode=ro") {
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    if !url.contains("mode=") || url.contains("mode=rwc") {
        create_private(options.get_filename())?;
        options = options.create_if_missing(true);
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false);
    // Processes that open a new file at the same moment meet while it turns to a write-ahead log, and SQLite does
    // not wait there.
    for attempt in 1.. {
        match pool.clone().connect_with(options.clone()).await.map_err(failed) {
            Err(error) if error.failure() == Failure::Contention && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(5 * u64::from(attempt))).await;
            }
            opened => return opened.map(from_pool),
        }
    }
    Err(unreadable_url())
}

/// Creates the file readable by its owner only; SQLite gives the files beside it the same rights.
fn create_private(file: &Path) -> Result<(), DatabaseError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DatabaseError::new(Failure::Refused, "the folder of the SQLite file does not exist"))
        }
        Err(error) => {
            Err(DatabaseError::new(Failure::Refused, format!("create the SQLite file: {}", error.kind())))
        }
    }
}

pub(crate) fn from_pool(pool: SqlitePool) -> Pooled {
    Pooled { pool, writers: Some(Arc::default()) }
}

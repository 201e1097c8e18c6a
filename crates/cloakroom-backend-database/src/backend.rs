//! The operations, written once for all dialects.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, Entry, ErrorKind, Filter, Page, Record, Removal, Result, Rotate, ScopeFilter,
    SessionBackend, SessionKey, State, Timestamp, Touch, Write,
};

use crate::builder::DatabaseBuilder;
use crate::database::{Failure, Row, SessionDatabase, Value};
use crate::dialect::{Names, Statements, index};
use crate::error::{Trouble, refuse};
use crate::row::{Columns, Place, filtered, from_cursor, number, to_cursor};
use crate::schema;
use crate::write::Via;

/// How many rows one statement deletes at most.
const BATCH: usize = 1000;
/// How often an operation gives way to others before it gives up; within its time in any case.
const ATTEMPTS: u32 = 60;
/// How often a broken connection is replaced. One that just came back to the pool may be dead as well.
const REPLACEMENTS: u32 = 3;

/// Sessions in a SQL database. Cheap to clone; clones share the connections.
///
/// See the [crate's documentation](crate) for the statements each operation takes.
#[derive(Clone)]
pub struct DatabaseSessionBackend(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) database: Arc<dyn SessionDatabase>,
    pub(crate) names: Names,
    pub(crate) statements: Statements,
    pub(crate) clock: Clock,
    pub(crate) capability: Capability,
    pub(crate) timeout: Duration,
}

impl DatabaseSessionBackend {
    /// Connects to the database that the URL names: `sqlite:`, `postgres:`, `postgresql:`, `mysql:` or `mariadb:`.
    /// Call [`migrate`](Self::migrate) before first use.
    ///
    /// # Errors
    /// `InvalidConfig` when the URL, the login or the file is not usable or the driver is not compiled in,
    /// `Unavailable` when the server cannot be reached.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// The settings, to change them before connecting.
    pub fn builder(url: &str) -> DatabaseBuilder {
        DatabaseBuilder::from_url(url)
    }

    /// On a pool that the application has already. Writers of this backend queue before they take a connection.
    #[cfg(feature = "sqlite")]
    pub fn from_sqlite_pool(pool: sqlx::SqlitePool) -> DatabaseBuilder {
        DatabaseBuilder::from_sqlite_pool(pool)
    }

    /// On a pool that the application has already.
    #[cfg(feature = "postgres")]
    pub fn from_postgres_pool(pool: sqlx::PgPool) -> DatabaseBuilder {
        DatabaseBuilder::from_database(Arc::new(crate::driver::postgres::from_pool(pool)))
    }

    /// On a pool that the application has already.
    #[cfg(feature = "mysql")]
    pub fn from_mysql_pool(pool: sqlx::MySqlPool) -> DatabaseBuilder {
        DatabaseBuilder::from_database(Arc::new(crate::driver::mysql::from_pool(pool)))
    }

    /// On a database of your own.
    pub fn from_database(database: impl SessionDatabase) -> DatabaseBuilder {
        DatabaseBuilder::from_database(Arc::new(database))
    }

    /// The database below, for instance to wrap it in one that counts statements and build another backend on that.
    #[must_use]
    pub fn database(&self) -> &Arc<dyn SessionDatabase> {
        &self.0.database
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Creates the tables, or brings them to the version of this crate: `<table>`, `<table>_lock` and
    /// `<table>_migration`. Does nothing, with one query, when they are up to date. Any number of processes may call
    /// it at the same time. Schemas are never created.
    ///
    /// # Errors
    /// `InvalidConfig` when the tables are newer than this crate, when a table of such a name belongs to something
    /// else (it is left as it is), or when the login may not create tables (see [`schema_sql`](crate::schema_sql)).
    pub async fn migrate(&self) -> Result<()> {
        let mut attempt = 0;
        loop {
            // Creating tables may take longer than an operation on them.
            match schema::migrate(&*self.0.database, &self.0.names).await {
                Err(trouble) if trouble.failure() == Some(Failure::Contention) && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(jitter(attempt)).await;
                }
                done => return done.map_err(|trouble| trouble.into_session("migrate")),
            }
        }
    }

    /// Another name for [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// As there.
    pub async fn create_table(&self) -> Result<()> {
        self.migrate().await
    }

    /// Closes all connections, those of an accepted pool too. Every later call is `Unavailable`.
    pub async fn close(&self) {
        self.0.database.close().await;
    }

    /// Runs an operation until it succeeds, fails for good or its time is over.
    ///
    /// A broken connection is replaced: idle ones die unnoticed. `again` tells the attempt that an earlier one
    /// may have taken effect; it then settles that by the version it finds.
    async fn attempt<T, F>(&self, operation: &'static str, run: impl Fn(bool) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let attempts = async {
            let (mut lost, mut contended) = (0, 0);
            loop {
                let trouble = match run(lost > 0).await {
                    Ok(done) => return Ok(done),
                    Err(trouble) => trouble,
                };
                match trouble.failure() {
                    Some(Failure::Contention) if contended < ATTEMPTS => {
                        contended += 1;
                        tokio::time::sleep(jitter(contended)).await;
                    }
                    Some(Failure::Lost) if lost < REPLACEMENTS => {
                        tracing::debug!(operation, "a database connection broke, trying another one");
                        lost += 1;
                    }
                    _ => return Err(trouble.into_session(operation)),
                }
            }
        };
        tokio::time::timeout(self.0.timeout, attempts)
            .await
            .unwrap_or_else(|_| Err(refuse(ErrorKind::Unavailable, operation, "no answer in time")))
    }

    pub(crate) fn once(&self) -> Via<'_> {
        Via::Once(&*self.0.database)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn check_size(&self, record: &Record, operation: &'static str) -> Result<()> {
        if record.payload.len() > self.0.capability.max_payload {
            return Err(refuse(ErrorKind::TooLarge, operation, ""));
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseSessionBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSessionBackend")
            .field("dialect", &self.0.names.dialect)
            .field("table", &self.0.names.table)
            .finish_non_exhaustive()
    }
}

fn jitter(attempt: u32) -> Duration {
    let most = 1_u64 << attempt.min(5);
    Duration::from_micros(RandomState::new().hash_one(attempt) % (most * 1000))
}

impl SessionBackend for DatabaseSessionBackend {
    fn capability(&self) -> Capability {
        self.0.capability.clone()
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let at = Place::of(key);
        self.attempt("read", |_| async {
            let mut values = at.values();
            values.push(self.now().as_millis().into());
            let rows = self.0.database.fetch(&self.0.statements.read, values).await?;
            let Some(row) = rows.into_iter().next() else { return Ok(None) };
            let mut row = Columns(row.into_iter());
            let mut record = row.record()?;
            row.payload_into(&mut record)?;
            Ok(Some(record))
        })
        .await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check_size(&record, "write")?;
        let (at, record) = (&Place::of(key), &record);
        let limited = !how.limits.is_none() && record.is_live();
        self.attempt("write", |again| async move {
            if limited {
                self.write_limited(at, record, how, again).await
            } else {
                self.write_once(at, record, how.mode, again).await
            }
        })
        .await?;
        Ok(key.unscoped())
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check_size(&record, "rotate")?;
        let (from, to) = (Place::of(old), Place::of(new));
        let (from, to, record, how) = (&from, &to, &record, &how);
        self.attempt("rotate", |again| self.rotate_settled(from, to, record, how, again)).await?;
        Ok(new.unscoped())
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let at = &Place::of(key);
        let live = self.attempt("touch", |_| async move {
            let now = self.now();
            let (accessed, end) = (Value::from(now.as_millis()), Value::from(how.expires_at.as_millis()));
            let mut values = vec![accessed.clone(), accessed, end.clone(), end];
            values.extend(at.expecting(how.version, now));
            if self.once().execute(&self.0.statements.touch, values).await? > 0 {
                return Ok(true);
            }
            let found = self.probe(&mut self.once(), at, now).await?;
            Ok(found.is_some_and(|found| found.state == State::Live))
        });
        Ok(live.await?.then(|| key.unscoped()))
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        let at = &Place::of(key);
        self.attempt("remove", |_| async move {
            let mut values = at.values();
            values.push(self.now().as_millis().into());
            Ok(self.once().execute(&self.0.statements.remove, values).await? > 0)
        })
        .await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let (scope, id) = &from_cursor(after.as_ref())?;
        let statements = &self.0.statements;
        let each = if filter.payload { &statements.scan_with_payload } else { &statements.scan };
        let statement = &each[index(filter)];
        let entries: Vec<Entry> = self
            .attempt("scan", |_| async move {
                let mut values = filtered(filter, self.now());
                if filter.scope == ScopeFilter::Any {
                    values.extend([Value::from(scope.as_str()), Value::from(scope.as_str())]);
                }
                values.extend([Value::from(id.as_str()), i64::try_from(limit).unwrap_or(i64::MAX).into()]);
                let rows = self.0.database.fetch(statement, values).await?;
                let entry = |row: Row| Columns(row.into_iter()).entry(filter.payload);
                Ok(rows.into_iter().map(entry).collect::<Result<_>>()?)
            })
            .await?;
        let next = entries.last().filter(|_| entries.len() >= limit).map(to_cursor);
        Ok(Page::new(entries, next))
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let statement = &self.0.statements.count[index(filter)];
        self.attempt("count", |_| async move {
            let rows = self.0.database.fetch(statement, filtered(filter, self.now())).await?;
            Ok(u64::try_from(number(&rows)?).unwrap_or(0))
        })
        .await
    }

    /// A record that is rotated meanwhile does not escape: it moves in one step, so that any later snapshot shows it
    /// at one id or the other, and this ends only when a snapshot shows none. (A batch alone may miss it: the row it
    /// chose, and then waited for, has another place when it may go on.) Where there is one writer at a time, no
    /// second look is needed.
    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        let statements = &self.0.statements;
        let (delete, any) = (&statements.remove_all[index(filter)], &statements.any[index(filter)]);
        let concurrent = self.0.names.dialect.syntax().concurrent_writers;
        let mut removed = 0;
        loop {
            let now = self.now();
            let batch = self.attempt("remove all", |_| async move {
                let mut values = filtered(filter, now);
                values.push((BATCH as i64).into());
                Ok(self.once().execute(delete, values).await?)
            });
            let batch = batch.await?;
            removed += batch;
            if batch >= BATCH as u64 {
                continue;
            }
            let more = self.attempt("remove all", |_| async move {
                Ok(concurrent && !self.0.database.fetch(any, filtered(filter, now)).await?.is_empty())
            });
            if !more.await? {
                return Ok(removed);
            }
        }
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        let mut swept = 0;
        while swept < limit {
            let most = BATCH.min(limit - swept);
            let batch = self.attempt("sweep", |_| async move {
                let values = vec![self.now().as_millis().into(), (most as i64).into()];
                Ok(self.once().execute(&self.0.statements.sweep, values).await?)
            });
            let batch = usize::try_from(batch.await?).unwrap_or(most);
            swept += batch;
            if batch < most {
                break;
            }
        }
        Ok(swept as u64)
    }
}

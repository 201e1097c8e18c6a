//! The operations, written once for all dialects.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, Entry, ErrorKind, Filter, Limits, Mode, Owner, Page, Record, Removal, Result,
    Rotate, Scope, ScopeFilter, SessionBackend, SessionError, SessionId, SessionKey, State, Timestamp, Touch,
    Version, Write,
};

use crate::builder::DatabaseBuilder;
use crate::database::{DatabaseError, DatabaseTransaction, Failure, Row, SessionDatabase, Statement, Value};
use crate::dialect::{Guarded, Names, Statements, index, slot};
use crate::error::{Trouble, refuse, verdict};
use crate::schema;

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
pub struct DatabaseSessionBackend(Arc<Inner>);

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

    fn once(&self) -> Via<'_> {
        Via::Once(&*self.0.database)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn check_size(&self, record: &Record, operation: &'static str) -> Result<()> {
        if record.payload.len() > self.0.capability.max_payload {
            return Err(refuse(ErrorKind::TooLarge, operation, ""));
        }
        Ok(())
    }

    /// What is unexpired there, without its payload.
    async fn probe(&self, via: &mut Via<'_>, at: &Place, now: Timestamp) -> Result<Option<Found>, Trouble> {
        let statement = match via {
            Via::Once(_) => &self.0.statements.probe,
            Via::Inside(_) => &self.0.statements.probe_locking,
        };
        let mut values = at.values();
        values.push(now.as_millis().into());
        via.fetch(statement, values).await?.into_iter().next().map(Found::decode).transpose()
    }

    /// Writes if the mode lets it; says whether it did.
    async fn put(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        mode: Mode,
        now: Timestamp,
    ) -> Result<bool, Trouble> {
        let statements = &self.0.statements;
        let conditions = vec![now.as_millis().into(), integer(record.version)];
        match mode {
            Mode::Create => guarded(via, &statements.create, at, record, conditions[..1].to_vec()).await,
            Mode::Newer => guarded(via, &statements.newer, at, record, conditions).await,
            Mode::Overwrite => {
                via.execute(&statements.overwrite, [at.values(), fields(record)].concat()).await?;
                Ok(true)
            }
            Mode::Update(expected) => {
                let values = [fields(record), at.expecting(expected, now)].concat();
                Ok(via.execute(&statements.update, values).await? > 0)
            }
            _ => Err(verdict(ErrorKind::Unsupported, "write")),
        }
    }

    /// One statement; a second one only to learn why it did nothing.
    async fn write_once(&self, at: &Place, record: &Record, mode: Mode, again: bool) -> Result<(), Trouble> {
        let now = self.now();
        if self.put(&mut self.once(), at, record, mode, now).await? {
            return Ok(());
        }
        let found = self.probe(&mut self.once(), at, now).await?;
        match admit(found.as_ref(), record, mode, again, "write")? {
            Admitted::Done => Ok(()),
            Admitted::Yes => Err(changed_meanwhile()),
        }
    }

    async fn write_limited(
        &self,
        at: &Place,
        record: &Record,
        how: Write,
        again: bool,
    ) -> Result<(), Trouble> {
        let now = self.now();
        if let Mode::Update(expected) = how.mode {
            // Limits matter only if the owner changes, which it hardly ever does.
            let mut values = [fields(record), at.expecting(expected, now)].concat();
            values.push(owner_of(record));
            if self.once().execute(&self.0.statements.update_same_owner, values).await? > 0 {
                return Ok(());
            }
        }
        let mut transaction = self.0.database.begin().await?;
        let mut via = Via::Inside(transaction.as_mut());
        let written = async {
            self.lock(&mut via, at, record, how.limits).await?;
            let found = self.probe(&mut via, at, now).await?;
            if let Admitted::Done = admit(found.as_ref(), record, how.mode, again, "write")? {
                return Ok(());
            }
            if !self.put(&mut via, at, record, how.mode, now).await? {
                return Err(changed_meanwhile());
            }
            let owner = record.owner.as_ref().map(Owner::as_str);
            if found.is_none_or(|found| found.state != State::Live || found.owner.as_deref() != owner) {
                self.check_limits(&mut via, at, record, how.limits, now, "write").await?;
            }
            Ok(())
        }
        .await;
        finish(transaction, written).await
    }

    /// Excludes every other writer that counts what is counted here. Statements after it see what those committed.
    async fn lock(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        limits: Limits,
    ) -> Result<(), Trouble> {
        let Some(lock) = &self.0.statements.lock else { return Ok(()) };
        let by_scope = limits.per_scope.map(|_| slot(at.scope(), None));
        let by_owner = limits.per_owner.and(record.owner.as_ref());
        let by_owner = by_owner.map(|owner| slot(at.scope(), Some(owner.as_str())));
        let mut slots: Vec<i64> = by_scope.into_iter().chain(by_owner).collect();
        // In one order, so that two never wait for each other.
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            via.execute(lock, vec![slot.into()]).await?;
        }
        Ok(())
    }

    /// After the write, in its transaction: whether too many others are beside it.
    async fn check_limits(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        limits: Limits,
        now: Timestamp,
        operation: &'static str,
    ) -> Result<(), Trouble> {
        let statements = &self.0.statements;
        let owned = limits.per_owner.zip(record.owner.as_ref());
        let checks = [
            owned.map(|(limit, owner)| (limit, &statements.others_of_owner, Some(owner.as_str()))),
            limits.per_scope.map(|limit| (limit, &statements.others_in_scope, None)),
        ];
        for (limit, statement, owner) in checks.into_iter().flatten() {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut values = at.values();
            values.push(now.as_millis().into());
            values.extend(owner.map(Value::from));
            values.push(limit.into());
            if number(&via.fetch(statement, values).await?)? >= limit {
                return Err(verdict(ErrorKind::QuotaExceeded, operation));
            }
        }
        Ok(())
    }

    /// Moves the row itself to the new id, so that whoever waits to delete it finds it there.
    async fn rotate_once(
        &self,
        from: &Place,
        to: &Place,
        record: &Record,
        how: &Rotate,
    ) -> Result<bool, Trouble> {
        let (now, statements) = (self.now(), &self.0.statements);
        let moving = [to.values(), fields(record), from.expecting(how.expected, now)].concat();
        let limited = !how.limits.is_none() && record.is_live();
        let trail = how.trail.as_ref().map(|trail| [from.values(), fields(trail)].concat());
        let (statement, values, trail) = match (&statements.rotate_with_trail, trail) {
            (Some(both), Some(trail)) => (both, [moving, trail].concat(), None),
            (_, trail) => (&statements.rotate, moving, trail),
        };
        if !limited && trail.is_none() {
            return Ok(self.once().execute(statement, values).await? > 0);
        }
        let mut transaction = self.0.database.begin().await?;
        let mut via = Via::Inside(transaction.as_mut());
        let moved = async {
            if limited {
                self.lock(&mut via, to, record, how.limits).await?;
            }
            if via.execute(statement, values).await? == 0 {
                return Ok(false);
            }
            if let Some(trail) = trail {
                via.execute(&statements.overwrite, trail).await?;
            }
            if limited {
                self.check_limits(&mut via, to, record, how.limits, now, "rotate").await?;
            }
            Ok(true)
        }
        .await;
        finish(transaction, moved).await
    }

    async fn rotate_settled(
        &self,
        from: &Place,
        to: &Place,
        record: &Record,
        how: &Rotate,
        again: bool,
    ) -> Result<(), Trouble> {
        if from == to {
            let found = self.probe(&mut self.once(), from, self.now()).await?;
            admit(found.as_ref(), record, Mode::Update(how.expected), false, "rotate")?;
            return Err(verdict(ErrorKind::AlreadyExists, "rotate"));
        }
        let moved = match self.rotate_once(from, to, record, how).await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(trouble) if trouble.failure() == Some(Failure::Duplicate) => Some(()),
            Err(trouble) => return Err(trouble),
        };
        let now = self.now();
        let there = self.probe(&mut self.once(), to, now).await?;
        if again && there.as_ref().is_some_and(|there| there.version == record.version) {
            return Ok(());
        }
        match (moved, there) {
            (Some(()), Some(_)) => return Err(verdict(ErrorKind::AlreadyExists, "rotate")),
            (Some(()), None) => {
                // Something expired is in the way.
                let mut values = to.values();
                values.push(now.as_millis().into());
                self.once().execute(&self.0.statements.remove_expired, values).await?;
            }
            (None, _) => {
                let found = self.probe(&mut self.once(), from, now).await?;
                admit(found.as_ref(), record, Mode::Update(how.expected), again, "rotate")?;
            }
        }
        Err(changed_meanwhile())
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

/// By itself, or inside a transaction.
enum Via<'a> {
    Once(&'a dyn SessionDatabase),
    Inside(&'a mut dyn DatabaseTransaction),
}

impl Via<'_> {
    async fn execute(&mut self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError> {
        match self {
            Self::Once(database) => database.execute(statement, values).await,
            Self::Inside(transaction) => transaction.execute(statement, values).await,
        }
    }

    async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Self::Once(database) => database.fetch(statement, values).await,
            Self::Inside(transaction) => transaction.fetch(statement, values).await,
        }
    }
}

/// Commits what succeeded and undoes the rest. What broke with its connection is undone by the server.
async fn finish<T>(
    transaction: Box<dyn DatabaseTransaction>,
    result: Result<T, Trouble>,
) -> Result<T, Trouble> {
    match &result {
        Ok(_) => transaction.commit().await?,
        Err(trouble) if trouble.failure() == Some(Failure::Lost) => drop(transaction),
        Err(_) => {
            let _ = transaction.rollback().await;
        }
    }
    result
}

async fn guarded(
    via: &mut Via<'_>,
    statements: &Guarded,
    at: &Place,
    record: &Record,
    conditions: Vec<Value>,
) -> Result<bool, Trouble> {
    let inserted = [at.values(), fields(record)].concat();
    let Some(over) = &statements.over else {
        return Ok(via.execute(&statements.insert, [inserted, conditions].concat()).await? > 0);
    };
    match via.execute(&statements.insert, inserted).await {
        Err(error) if error.failure() == Failure::Duplicate => {
            let values = [fields(record), at.values(), conditions].concat();
            Ok(via.execute(over, values).await? > 0)
        }
        inserted => Ok(inserted? > 0),
    }
}

/// A scope and an id.
#[derive(PartialEq)]
struct Place {
    scope: Option<Scope>,
    id: SessionId,
}

impl Place {
    fn of(key: &SessionKey) -> Self {
        Self { scope: key.scope().cloned(), id: key.id() }
    }

    /// The empty text stands for no scope; no scope is empty.
    fn scope(&self) -> &str {
        self.scope.as_ref().map_or("", Scope::as_str)
    }

    fn values(&self) -> Vec<Value> {
        vec![self.scope().into(), Value::from(&*self.id.as_text())]
    }

    fn expecting(&self, version: Version, now: Timestamp) -> Vec<Value> {
        let mut values = self.values();
        values.extend([integer(version), now.as_millis().into()]);
        values
    }
}

/// What a probe shows.
struct Found {
    version: Version,
    state: State,
    owner: Option<String>,
}

impl Found {
    fn decode(row: Row) -> Result<Self, Trouble> {
        let mut row = Columns(row.into_iter());
        Ok(Self { version: row.version()?, state: row.state()?, owner: row.text()? })
    }
}

enum Admitted {
    Yes,
    /// It is there already.
    Done,
}

/// Whether the mode lets the record in. After an attempt whose outcome is unknown (`again`), finding our own version
/// means that it took effect; another version instead of the expected one does not tell who came first.
fn admit(
    found: Option<&Found>,
    record: &Record,
    mode: Mode,
    again: bool,
    operation: &'static str,
) -> Result<Admitted, Trouble> {
    let refused = |kind| Err(verdict(kind, operation));
    let ours = found.is_some_and(|found| found.version == record.version);
    match (mode, found) {
        (Mode::Create | Mode::Update(_), _) if again && ours => Ok(Admitted::Done),
        (Mode::Newer, _) if ours => Ok(Admitted::Done),
        (Mode::Create, Some(_)) => refused(ErrorKind::AlreadyExists),
        (Mode::Update(_), None) => refused(ErrorKind::Gone),
        (Mode::Update(_), Some(found)) if found.state != State::Live => refused(ErrorKind::Gone),
        (Mode::Update(expected), Some(found)) if found.version != expected => {
            if again {
                let message = "the connection broke; whether the write took effect is unknown";
                return Err(refuse(ErrorKind::Unavailable, operation, message).into());
            }
            refused(ErrorKind::Conflict)
        }
        (Mode::Newer, Some(found)) if found.state == State::Ended || found.version > record.version => {
            refused(ErrorKind::Conflict)
        }
        _ => Ok(Admitted::Yes),
    }
}

fn changed_meanwhile() -> Trouble {
    DatabaseError::new(Failure::Contention, "the row changed meanwhile").into()
}

fn jitter(attempt: u32) -> Duration {
    let most = 1_u64 << attempt.min(5);
    Duration::from_micros(RandomState::new().hash_one(attempt) % (most * 1000))
}

fn integer(version: Version) -> Value {
    Value::Integer(i64::try_from(version.as_u64()).ok())
}

fn owner_of(record: &Record) -> Value {
    Value::Text(record.owner.as_ref().map(|owner| owner.as_str().to_owned()))
}

/// The columns after scope and id, in their order.
fn fields(record: &Record) -> Vec<Value> {
    vec![
        i64::from(record.state.code()).into(),
        integer(record.version),
        owner_of(record),
        record.created_at.as_millis().into(),
        record.accessed_at.as_millis().into(),
        Value::Integer(record.expires_at.map(Timestamp::as_millis)),
        Value::Bytes(record.payload.clone()),
    ]
}

/// Reads a row from left to right. What was not written by this crate is `Corrupted`.
struct Columns(std::vec::IntoIter<Value>);

fn damaged() -> SessionError {
    refuse(ErrorKind::Corrupted, "read", "a row holds what was never written there")
}

impl Columns {
    fn integer(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(value),
            _ => Err(damaged()),
        }
    }

    fn text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(damaged()),
        }
    }

    fn time(&mut self) -> Result<Timestamp> {
        self.integer()?.map(Timestamp::from_millis).ok_or_else(damaged)
    }

    fn version(&mut self) -> Result<Version> {
        let version = self.integer()?.and_then(|version| u64::try_from(version).ok());
        version.map(Version::from_u64).ok_or_else(damaged)
    }

    fn state(&mut self) -> Result<State> {
        let code = self.integer()?.and_then(|code| u8::try_from(code).ok());
        code.and_then(State::from_code).ok_or_else(damaged)
    }

    /// All but the payload.
    fn record(&mut self) -> Result<Record> {
        let (state, version) = (self.state()?, self.version()?);
        let owner = self.text()?.map(|owner| Owner::parse(&owner)).transpose().map_err(|_| damaged())?;
        let created_at = self.time()?;
        Ok(Record::new("", created_at)
            .with_state(state)
            .with_version(version)
            .with_owner(owner)
            .with_accessed_at(self.time()?)
            .with_expires_at(self.integer()?.map(Timestamp::from_millis)))
    }

    fn payload_into(&mut self, record: &mut Record) -> Result<()> {
        match self.0.next() {
            Some(Value::Bytes(payload)) => record.payload = payload,
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn entry(&mut self, payload: bool) -> Result<Entry> {
        let mut record = self.record()?;
        let scope = self.text()?.filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| Scope::parse(&scope)).transpose().map_err(|_| damaged())?;
        let id = self.text()?.and_then(|id| id.parse().ok()).ok_or_else(damaged)?;
        if payload {
            self.payload_into(&mut record)?;
        }
        Ok(Entry::new(id, scope, record))
    }
}

fn number(rows: &[Row]) -> Result<i64, SessionError> {
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(Some(number))) => Ok(*number),
        _ => Err(damaged()),
    }
}

/// The parameters of a filter, in the order of its statements.
fn filtered(filter: &Filter, now: Timestamp) -> Vec<Value> {
    let except = filter.except.map_or_else(|| Value::from(""), |id| Value::from(&*id.as_text()));
    let mut values = vec![now.as_millis().into(), except];
    match &filter.scope {
        ScopeFilter::Any => {}
        ScopeFilter::Is(scope) => values.push(scope.as_str().into()),
        _ => values.push("".into()),
    }
    values.extend(filter.owner.as_ref().map(|owner| Value::from(owner.as_str())));
    values
}

fn to_cursor(entry: &Entry) -> Cursor {
    let scope = entry.scope.as_ref().map_or("", Scope::as_str);
    Cursor::new([entry.id.as_text().as_bytes(), scope.as_bytes()].concat())
}

/// The scope and id after which to go on.
fn from_cursor(cursor: Option<&Cursor>) -> Result<(String, String)> {
    let Some(cursor) = cursor else { return Ok(Default::default()) };
    let text = std::str::from_utf8(cursor.as_bytes()).ok();
    let parts = text.and_then(|text| text.split_at_checked(cloakroom_core::KEY_LENGTH));
    let (id, scope) =
        parts.ok_or_else(|| refuse(ErrorKind::InvalidKey, "scan", "not a cursor of this backend"))?;
    Ok((scope.to_owned(), id.to_owned()))
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

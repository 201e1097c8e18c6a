//! The seam below the backend: what a database driver has to offer.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::dialect::Dialect;

/// A SQL database as the backend sees it: it runs statements of one [`Dialect`] and knows nothing of sessions.
///
/// The drivers of this crate implement it on sqlx. Implement it yourself to keep sessions through another driver or
/// a connection pool that the application has already, and hand it to
/// [`from_database`](crate::DatabaseSessionBackend::from_database).
///
/// # Contract
///
/// - Statements come with `?` or `$1` as the dialect has it, and one [`Value`] for each. Their texts are few and never
///   change, so that preparing and caching them pays.
/// - [`execute`](Self::execute) and [`fetch`](Self::fetch) commit by themselves. A future that is dropped may leave its
///   statement done or not done, and must not leave a connection in use that still owes an answer.
/// - Errors are classified by [`Failure`]; the backend retries, settles and reports by that alone.
#[async_trait]
pub trait SessionDatabase: Debug + Send + Sync + 'static {
    /// The SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a statement that writes; says how many rows it inserted, deleted or matched for an update.
    async fn execute(&self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError>;

    /// Runs a query; each row has the [columns](Statement::columns) that the statement names.
    async fn fetch(&self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError>;

    /// Opens a transaction with [`Dialect::begin`].
    async fn begin(&self) -> Result<Box<dyn DatabaseTransaction>, DatabaseError>;

    /// Closes all connections.
    async fn close(&self);
}

/// An open transaction of a [`SessionDatabase`]. Dropping it must undo what it did and free its locks.
#[async_trait]
pub trait DatabaseTransaction: Send {
    /// See [`SessionDatabase::execute`].
    async fn execute(&mut self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError>;

    /// See [`SessionDatabase::fetch`].
    async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError>;

    /// Makes everything permanent.
    async fn commit(self: Box<Self>) -> Result<(), DatabaseError>;

    /// Undoes everything.
    async fn rollback(self: Box<Self>) -> Result<(), DatabaseError>;
}

/// One row, in the order of [`Statement::columns`].
pub type Row = Vec<Value>;

/// A parameter or a column. `NULL` keeps its type, for databases that want to know it.
///
/// `Debug` shows the type only.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `BIGINT`.
    Integer(Option<i64>),
    /// Text, always valid UTF-8 without control characters. MySQL keeps it as `VARBINARY`.
    Text(Option<String>),
    /// `BLOB`, `BYTEA`; never `NULL`.
    Bytes(Bytes),
}

impl Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer(_) => "Integer(redacted)",
            Self::Text(_) => "Text(redacted)",
            Self::Bytes(_) => "Bytes(redacted)",
        })
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Value::Integer`].
    Integer,
    /// [`Value::Text`].
    Text,
    /// [`Value::Bytes`].
    Bytes,
}

/// A statement that was built once, from names that were checked, and holds no values.
#[derive(Clone, Debug)]
pub struct Statement {
    sql: Arc<str>,
    columns: &'static [Kind],
}

impl Statement {
    pub(crate) fn new(sql: String, columns: &'static [Kind]) -> Self {
        Self { sql: sql.into(), columns }
    }

    /// Its text.
    #[must_use]
    pub fn sql(&self) -> &Arc<str> {
        &self.sql
    }

    /// The types of the columns it returns; empty for a statement that writes.
    #[must_use]
    pub fn columns(&self) -> &'static [Kind] {
        self.columns
    }

    /// Whether it is DDL, which takes no values and is better not prepared.
    #[must_use]
    pub fn is_ddl(&self) -> bool {
        self.sql.starts_with("CREATE ")
    }
}

/// What an error of a database means to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing was done, and the same again may succeed: deadlock, serialization failure, lock timeout, busy.
    Contention,
    /// The connection broke; what was in flight may be done or not.
    Lost,
    /// It cannot be reached, has no connection free, or refuses for now.
    Unavailable,
    /// A value or a packet is too large.
    TooLarge,
    /// A primary key is there already. Nothing was done.
    Duplicate,
    /// A table is missing.
    MissingTable,
    /// A column is missing: a table of that name belongs to somebody else.
    ForeignTable,
    /// No space is left for the data.
    Full,
    /// Login, rights, database name, TLS: somebody has to change the configuration.
    Refused,
    /// Anything else.
    Other,
}

/// An error of a database: its meaning and a code for the log.
///
/// Databases quote rows in their messages. Give [`new`](Self::new) a code such as `postgres 40P01`, never such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    failure: Failure,
    code: Cow<'static, str>,
}

impl DatabaseError {
    /// An error of that meaning.
    #[must_use]
    pub fn new(failure: Failure, code: impl Into<Cow<'static, str>>) -> Self {
        Self { failure, code: code.into() }
    }

    /// What it means.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.failure, self.code)
    }
}

impl std::error::Error for DatabaseError {}

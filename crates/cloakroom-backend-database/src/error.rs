//! From the driver's error to [`DatabaseError`], and from there to [`SessionError`].

use cloakroom_core::{ErrorKind, SessionError};

use crate::database::{DatabaseError, Failure};

pub(crate) const NAME: &str = "database";

/// What ends an attempt at an operation.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The database failed; perhaps the attempt is worth repeating.
    Database(DatabaseError),
    /// The answer of the operation is an error.
    Verdict(SessionError),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Self {
        Self::Verdict(error)
    }
}

impl Trouble {
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Database(error) => Some(error.failure()),
            Self::Verdict(_) => None,
        }
    }

    pub(crate) fn into_session(self, operation: &'static str) -> SessionError {
        match self {
            Self::Verdict(error) => error,
            Self::Database(error) => map(error, operation),
        }
    }
}

pub(crate) fn verdict(kind: ErrorKind, operation: &'static str) -> Trouble {
    Trouble::Verdict(refuse(kind, operation, ""))
}

pub(crate) fn refuse(kind: ErrorKind, operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME).with_message(message)
}

/// The one place where failures become kinds. A full disk is `Unexpected`: trying again soon does not help, and
/// reads go on.
pub(crate) fn map(error: DatabaseError, operation: &'static str) -> SessionError {
    let (kind, message) = match error.failure() {
        Failure::Contention => (ErrorKind::Unavailable, "too many writers of the same rows"),
        Failure::Lost => (ErrorKind::Unavailable, "the connection broke"),
        Failure::Unavailable => (ErrorKind::Unavailable, ""),
        Failure::TooLarge => (ErrorKind::TooLarge, ""),
        Failure::Duplicate => (ErrorKind::AlreadyExists, ""),
        Failure::MissingTable => (ErrorKind::InvalidConfig, "a table is missing: run migrate()"),
        Failure::ForeignTable => (
            ErrorKind::InvalidConfig,
            "a table of that name has other columns: it belongs to something else, choose another name",
        ),
        Failure::Full => (ErrorKind::Unexpected, "the database has no space left"),
        Failure::Refused => {
            (ErrorKind::InvalidConfig, "the database refused: check login, rights, names and TLS")
        }
        Failure::Other => (ErrorKind::Unexpected, ""),
    };
    refuse(kind, operation, message).with_source(error)
}

/// Keeps the code of an error and nothing of its text, which quotes rows and addresses.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) fn from_sqlx(dialect: crate::Dialect, error: &sqlx::Error) -> DatabaseError {
    use crate::Dialect;
    use sqlx::Error;

    match error {
        Error::Database(error) => match dialect {
            Dialect::Sqlite => sqlite(error.as_ref()),
            Dialect::Postgres => postgres(error.as_ref()),
            Dialect::MySql => mysql(error.as_ref()),
        },
        Error::Io(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::NotFound
            | std::io::ErrorKind::HostUnreachable => {
                DatabaseError::new(Failure::Unavailable, format!("i/o: {}", error.kind()))
            }
            kind => DatabaseError::new(Failure::Lost, format!("i/o: {kind}")),
        },
        Error::Protocol(_) | Error::WorkerCrashed | Error::BeginFailed => {
            DatabaseError::new(Failure::Lost, "protocol")
        }
        Error::PoolTimedOut => DatabaseError::new(Failure::Unavailable, "no connection in time"),
        Error::PoolClosed => DatabaseError::new(Failure::Unavailable, "closed"),
        Error::Tls(_) => DatabaseError::new(Failure::Refused, "tls"),
        Error::Configuration(_) => DatabaseError::new(Failure::Refused, "configuration"),
        Error::ColumnDecode { .. } | Error::Decode(_) => DatabaseError::new(Failure::Other, "decode"),
        _ => DatabaseError::new(Failure::Other, "sqlx"),
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
type DriverError = dyn sqlx::error::DatabaseError;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
fn sqlite(error: &DriverError) -> DatabaseError {
    let code: i32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(1);
    let message = error.message();
    let failure = match code & 0xff {
        // BUSY, LOCKED, SCHEMA changed meanwhile.
        5 | 6 | 17 => Failure::Contention,
        13 => Failure::Full,
        14 => Failure::Refused,
        18 => Failure::TooLarge,
        19 if error.is_unique_violation() => Failure::Duplicate,
        1 if message.starts_with("no such table") => Failure::MissingTable,
        1 if message.contains("no such column") || message.contains("has no column") => Failure::ForeignTable,
        _ => Failure::Other,
    };
    DatabaseError::new(failure, format!("sqlite {code}"))
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
fn postgres(error: &DriverError) -> DatabaseError {
    let code = error.code().unwrap_or_default();
    let failure = match &*code {
        // Lock not available, serialization failure, deadlock; two that create one table at once meet in the catalog.
        "55P03" | "40001" | "40P01" | "42P07" => Failure::Contention,
        // Shutting down, session ended by the server, and a server that turned into a standby.
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" | "25006" => Failure::Lost,
        "57P03" | "57014" | "53000" | "53300" => Failure::Unavailable,
        "53100" => Failure::Full,
        "54000" | "53200" => Failure::TooLarge,
        "23505" => Failure::Duplicate,
        "42P01" | "3F000" => Failure::MissingTable,
        "42703" => Failure::ForeignTable,
        "3D000" | "42501" => Failure::Refused,
        code if code.starts_with("08") => Failure::Lost,
        code if code.starts_with("28") => Failure::Refused,
        _ => Failure::Other,
    };
    DatabaseError::new(failure, format!("postgres {code}"))
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
fn mysql(error: &DriverError) -> DatabaseError {
    #[cfg(feature = "mysql")]
    let number = error
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map_or(0, sqlx::mysql::MySqlDatabaseError::number);
    #[cfg(not(feature = "mysql"))]
    let number = u16::from(error.is_unique_violation()) * 1062;
    let failure = match number {
        // Deadlock, lock wait timeout, a record changed since it was read.
        1213 | 1205 | 1020 => Failure::Contention,
        // Shutdown, killed, network errors, and a server that turned read-only.
        1053 | 1077..=1079 | 1158..=1161 | 1927 | 2006 | 2013 | 4031 | 1290 | 1792 | 1836 => Failure::Lost,
        1040 | 1203 | 1226 | 1317 | 1969 | 3024 => Failure::Unavailable,
        1021 | 1114 => Failure::Full,
        1153 | 1301 | 1406 => Failure::TooLarge,
        1062 => Failure::Duplicate,
        1146 | 1051 => Failure::MissingTable,
        1054 => Failure::ForeignTable,
        1044 | 1045 | 1049 | 1142 | 1143 | 1227 | 1698 => Failure::Refused,
        _ => Failure::Other,
    };
    DatabaseError::new(failure, format!("mysql {number}"))
}

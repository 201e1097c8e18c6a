//! The settings of a backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Capability, Clock, ErrorKind, Result, SessionError};

use crate::backend::{DatabaseSessionBackend, Inner};
use crate::database::{SessionDatabase, Value};
use crate::dialect::{Names, Statements};
use crate::error::{map, refuse};

const SCHEMES: [&str; 5] = ["sqlite", "postgres", "postgresql", "mysql", "mariadb"];
const DEFAULT_TABLE: &str = "cloakroom_session";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
const DEFAULT_CONNECTIONS: u32 = 10;
const DEFAULT_MAX_PAYLOAD: usize = 16 << 20;
/// What a packet holds beside the payload, generously.
const PACKET_OVERHEAD: usize = 4096;

/// Settings of a [`DatabaseSessionBackend`], fixed when it connects.
///
/// ```
/// use cloakroom_backend_database::DatabaseSessionBackend;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # #[cfg(feature = "sqlite")] {
/// let backend = DatabaseSessionBackend::builder("sqlite::memory:")
///     .with_table("visitor_session")
///     .with_timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// backend.migrate().await?;
/// # }
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[must_use]
pub struct DatabaseBuilder {
    source: Source,
    clock: Clock,
    table: String,
    schema: Option<String>,
    max_connections: Option<u32>,
    acquire_timeout: Option<Duration>,
    full_sync: Option<bool>,
    timeout: Duration,
    max_payload: usize,
}

enum Source {
    /// Not opened yet. May hold a password.
    Url(String),
    Database {
        database: Arc<dyn SessionDatabase>,
        in_memory: bool,
    },
}

impl DatabaseBuilder {
    fn new(source: Source) -> Self {
        Self {
            source,
            clock: Clock::system(),
            table: DEFAULT_TABLE.to_owned(),
            schema: None,
            max_connections: None,
            acquire_timeout: None,
            full_sync: None,
            timeout: DEFAULT_TIMEOUT,
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }

    pub(crate) fn from_url(url: &str) -> Self {
        Self::new(Source::Url(url.to_owned()))
    }

    pub(crate) fn from_database(database: Arc<dyn SessionDatabase>) -> Self {
        Self::new(Source::Database { database, in_memory: false })
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn from_sqlite_pool(pool: sqlx::SqlitePool) -> Self {
        let file = pool.connect_options().get_filename().to_string_lossy().into_owned();
        let in_memory = file.contains(":memory:") || file.contains("sqlx-in-memory");
        let database = Arc::new(crate::driver::sqlite::from_pool(pool));
        Self::new(Source::Database { database, in_memory })
    }

    /// Takes its time from there, for expiry too: the server's clock and time zone play no part.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The table (default `cloakroom_session`): 1 to 48 of `A-Z a-z 0-9 _`, no digit first. Two more tables have its
    /// name with `_lock` and `_migration`.
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// The schema the tables are in, PostgreSQL only (default: the first of the login's search path). It must exist.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Most connections of the pool (default 10). Not with a pool of the application's.
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// How long to wait for a free connection, and in SQLite for another process that writes (default: as long as
    /// an operation may take). Not with a pool of the application's.
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = Some(timeout);
        self
    }

    /// SQLite only: waits for the disk at each commit. Without it (the default) a session that was acknowledged
    /// survives the end of the process, but perhaps not of the power. Not with a pool of the application's.
    pub fn with_full_sync(mut self, full_sync: bool) -> Self {
        self.full_sync = Some(full_sync);
        self
    }

    /// How long an operation may take, waiting and repetitions included (default 5 s); then it is `Unavailable`.
    /// `remove_all` and `sweep` may take that long for each batch.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Accepts payloads of at most so many bytes (default 16 MiB). On MySQL and MariaDB what the server's
    /// `max_allowed_packet` leaves room for, when that is less.
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Connects. Creates no tables.
    ///
    /// # Errors
    /// `InvalidConfig` when a name, the URL, the login or a combination of settings is not usable or the driver is
    /// not compiled in, `Unavailable` when the server cannot be reached.
    pub async fn connect(self) -> Result<DatabaseSessionBackend> {
        let opening = Box::pin(self.open());
        let (settings, database, in_memory) = opening.await?;
        let names = Names::new(database.dialect(), &settings.table, settings.schema.as_deref())?;
        let statements = Statements::new(&names);
        let mut max_payload = settings.max_payload;
        if let Some(statement) = &statements.max_packet {
            let rows = database.fetch(statement, vec![]).await.map_err(|error| map(error, "connect"))?;
            if let Some([Value::Integer(Some(bytes))]) = rows.first().map(Vec::as_slice) {
                let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
                max_payload = max_payload.min(bytes.saturating_sub(PACKET_OVERHEAD));
            }
        }
        let capability = Capability::store()
            .with_shared(!in_memory)
            .with_durable(!in_memory)
            .with_max_payload(max_payload);
        Ok(DatabaseSessionBackend::from_inner(Inner {
            database,
            names,
            statements,
            clock: settings.clock,
            capability,
            timeout: settings.timeout,
        }))
    }

    async fn open(mut self) -> Result<(Self, Arc<dyn SessionDatabase>, bool)> {
        if self.timeout.is_zero() || self.max_connections == Some(0) {
            return Err(invalid("a timeout or a number of connections is zero"));
        }
        let in_memory = match &self.source {
            Source::Database { in_memory, .. } => *in_memory,
            Source::Url(url) => url.starts_with("sqlite:") && in_memory(url),
        };
        let database = match &self.source {
            Source::Url(url) => {
                let opening = open(url, &self);
                tokio::time::timeout(self.timeout, opening)
                    .await
                    .unwrap_or_else(|_| Err(refuse(ErrorKind::Unavailable, "connect", "no answer in time")))?
            }
            Source::Database { database, .. } => {
                let settings = (self.max_connections, self.acquire_timeout, self.full_sync);
                if settings != (None, None, None) {
                    return Err(invalid(
                        "connections and sync are settings of the pool that was handed over",
                    ));
                }
                database.clone()
            }
        };
        // Whatever the URL held is not needed any more.
        self.source = Source::Database { database: database.clone(), in_memory };
        Ok((self, database, in_memory))
    }
}

fn in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn invalid(message: &'static str) -> SessionError {
    refuse(ErrorKind::InvalidConfig, "connect", message)
}

/// Opens a pool by the scheme of the URL.
async fn open(url: &str, builder: &DatabaseBuilder) -> Result<Arc<dyn SessionDatabase>> {
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
    let settings = crate::driver::PoolSettings {
        max_connections: builder.max_connections.unwrap_or(DEFAULT_CONNECTIONS),
        acquire_timeout: builder.acquire_timeout.unwrap_or(builder.timeout),
    };
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme != "sqlite" && builder.full_sync.is_some() {
        return Err(invalid("only SQLite has a choice of sync"));
    }
    match scheme {
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let full_sync = builder.full_sync.unwrap_or(false);
            let pool = crate::driver::sqlite::open(url, settings, in_memory(url), full_sync).await;
            Ok(Arc::new(pool.map_err(|error| map(error, "connect"))?))
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => {
            let pool = crate::driver::postgres::open(url, settings).await;
            Ok(Arc::new(pool.map_err(|error| map(error, "connect"))?))
        }
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => {
            let pool = crate::driver::mysql::open(url, settings).await;
            Ok(Arc::new(pool.map_err(|error| map(error, "connect"))?))
        }
        known if SCHEMES.contains(&known) => {
            Err(invalid("the driver for this URL is not compiled in: enable its feature"))
        }
        _ => Err(invalid("the URL must begin with sqlite:, postgres:, postgresql:, mysql: or mariadb:")),
    }
}

impl fmt::Debug for DatabaseBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseBuilder")
            .field("table", &self.table)
            .field("schema", &self.schema)
            .field("timeout", &self.timeout)
            .field("max_payload", &self.max_payload)
            .finish_non_exhaustive()
    }
}

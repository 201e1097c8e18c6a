//! Places for tests to work in: a folder, a PostgreSQL schema and a MariaDB database of this process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_backend_database::{DatabaseBuilder, DatabaseSessionBackend};
use cloakroom_core::Clock;
use tempfile::TempDir;
use tokio::sync::OnceCell;

const PREFIX: &str = "cloakroom_backend_test_";

/// A number that nothing else in this process has.
pub(crate) fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A table name that nothing else in this process has.
pub(crate) fn table() -> String {
    format!("session_{}", next())
}

/// A file that does not exist yet, in a folder that goes with the process.
pub(crate) fn file() -> std::path::PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"));
    folder.path().join(format!("{}.db", next()))
}

pub(crate) fn file_url() -> String {
    format!("sqlite:{}", file().display())
}

pub(crate) fn own_name() -> String {
    format!("{PREFIX}{}", std::process::id())
}

/// Those of processes that are over, one that had our number included.
fn stale(names: Vec<String>) -> impl Iterator<Item = String> {
    names.into_iter().filter(|name| {
        let process = name.strip_prefix(PREFIX).and_then(|process| process.parse::<u32>().ok());
        let over = |process| !std::path::Path::new(&format!("/proc/{process}")).exists();
        process.is_some_and(|process| process == std::process::id() || over(process))
    })
}

/// The URL of PostgreSQL with the process's own schema first in the search path.
pub(crate) async fn postgres_url() -> Option<String> {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};

    static READY: OnceCell<()> = OnceCell::const_new();
    let url = cloakroom_testkit::service("postgres")?;
    let create = || async {
        let mut server = PgConnection::connect(&url).await.expect("PostgreSQL");
        let names = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace").fetch_all(&mut server).await;
        for old in stale(names.expect("schemas")) {
            let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {old} CASCADE"));
            let _ = sqlx::raw_sql(drop).execute(&mut server).await;
        }
        let create = AssertSqlSafe(format!("CREATE SCHEMA {}", own_name()));
        sqlx::raw_sql(create).execute(&mut server).await.expect("a schema");
        server.close().await.expect("an end");
    };
    READY.get_or_init(create).await;
    Some(format!("{url}?options[search_path]={}", own_name()))
}

/// The URL of MariaDB with the process's own database.
pub(crate) async fn mariadb_url() -> Option<String> {
    use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

    static READY: OnceCell<()> = OnceCell::const_new();
    let url = cloakroom_testkit::service("mariadb")?;
    let create = || async {
        let mut server = MySqlConnection::connect(&url).await.expect("MariaDB");
        let names = sqlx::query_scalar("SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata")
            .fetch_all(&mut server)
            .await;
        for old in stale(names.expect("databases")) {
            let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {old}"));
            let _ = sqlx::raw_sql(drop).execute(&mut server).await;
        }
        let create = AssertSqlSafe(format!("CREATE DATABASE {}", own_name()));
        sqlx::raw_sql(create).execute(&mut server).await.expect("a database");
        server.close().await.expect("an end");
    };
    READY.get_or_init(create).await;
    let (server, _) = url.rsplit_once('/').expect("a database in the URL");
    Some(format!("{server}/{}", own_name()))
}

/// Every database there is, by name.
pub(crate) async fn urls() -> Vec<(&'static str, String)> {
    let mut urls = Vec::new();
    urls.push(("SQLite", file_url()));
    urls.extend(postgres_url().await.map(|url| ("PostgreSQL", url)));
    urls.extend(mariadb_url().await.map(|url| ("MariaDB", url)));
    urls
}

/// The settings for a table of its own.
pub(crate) fn builder(url: &str) -> DatabaseBuilder {
    // Hundreds of tests share two cores and one server.
    DatabaseSessionBackend::builder(url).with_table(table()).with_timeout(Duration::from_secs(30))
}

/// A backend with its tables.
pub(crate) async fn ready(builder: DatabaseBuilder) -> DatabaseSessionBackend {
    let backend = builder.connect().await.unwrap_or_else(|error| panic!("connect: {error:?}"));
    backend.migrate().await.unwrap_or_else(|error| panic!("migrate: {error:?}"));
    backend
}

pub(crate) async fn backend(url: &str, clock: Clock) -> DatabaseSessionBackend {
    ready(builder(url).with_clock(clock)).await
}

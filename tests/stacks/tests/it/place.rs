//! Backends for tests: each a place of its own.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, SealKey};
use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::Clock;
use tempfile::TempDir;
use tokio::sync::OnceCell;

const PREFIX: &str = "cloakroom_stack_test_";

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A path where nothing is yet, in a folder that goes with the process.
pub(crate) fn path() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"));
    folder.path().join(next().to_string())
}

pub(crate) async fn sqlite(clock: Clock) -> DatabaseSessionBackend {
    database(&format!("sqlite:{}.db", path().display()), clock).await
}

pub(crate) async fn file(clock: Clock) -> FileSessionBackend {
    file_in(path(), clock).await
}

pub(crate) async fn file_in(folder: PathBuf, clock: Clock) -> FileSessionBackend {
    let builder = FileSessionBackend::builder(folder).with_clock(clock).with_durability(Durability::None);
    builder.open().await.expect("a backend")
}

pub(crate) fn cookie(clock: Clock) -> CookieSessionBackend {
    let ring = KeyRing::new([SealKey::generate().expect("a key")]).expect("a ring");
    CookieSessionBackend::new(ring).with_clock(clock)
}

/// A table of its own on PostgreSQL; `None` where there is none.
pub(crate) async fn postgres(clock: Clock) -> Option<DatabaseSessionBackend> {
    Some(database(&postgres_url().await?, clock).await)
}

pub(crate) async fn database(url: &str, clock: Clock) -> DatabaseSessionBackend {
    let builder = DatabaseSessionBackend::builder(url)
        .with_table(format!("session_{}", next()))
        .with_clock(clock)
        .with_timeout(Duration::from_secs(30));
    let backend = builder.connect().await.expect("a database");
    backend.migrate().await.expect("tables");
    backend
}

/// The same on the second PostgreSQL.
pub(crate) async fn postgres_replica(clock: Clock) -> Option<DatabaseSessionBackend> {
    static READY: OnceCell<()> = OnceCell::const_new();
    Some(database(&schema_on("postgres-replica", &READY).await?, clock).await)
}

/// A table of its own on MariaDB; `None` where there is none.
pub(crate) async fn mariadb(clock: Clock) -> Option<DatabaseSessionBackend> {
    Some(database(&mariadb_url().await?, clock).await)
}

/// With this process's own database. Databases of processes that are over are dropped.
async fn mariadb_url() -> Option<String> {
    use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

    static READY: OnceCell<()> = OnceCell::const_new();
    let url = cloakroom_testkit::service("mariadb")?;
    let own = format!("{PREFIX}{}", std::process::id());
    let create = || async {
        let mut server = MySqlConnection::connect(&url).await.expect("MariaDB");
        let names: Vec<String> =
            sqlx::query_scalar("SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata")
                .fetch_all(&mut server)
                .await
                .expect("databases");
        for old in names.iter().filter(|name| is_stale(name)) {
            let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {old}"));
            let _ = sqlx::raw_sql(drop).execute(&mut server).await;
        }
        let create = AssertSqlSafe(format!("CREATE DATABASE {own}"));
        sqlx::raw_sql(create).execute(&mut server).await.expect("a database");
        server.close().await.expect("an end");
    };
    READY.get_or_init(create).await;
    let (server, _) = url.rsplit_once('/').expect("a database in the URL");
    Some(format!("{server}/{own}"))
}

async fn postgres_url() -> Option<String> {
    static READY: OnceCell<()> = OnceCell::const_new();
    schema_on("postgres", &READY).await
}

/// With this process's own schema first in the search path. Schemas of processes that are over are dropped.
async fn schema_on(service: &str, ready: &OnceCell<()>) -> Option<String> {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};

    let url = cloakroom_testkit::service(service)?;
    let own = format!("{PREFIX}{}", std::process::id());
    let create = || async {
        let mut server = PgConnection::connect(&url).await.expect("PostgreSQL");
        let names: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
            .fetch_all(&mut server)
            .await
            .expect("schemas");
        for old in names.iter().filter(|name| is_stale(name)) {
            let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {old} CASCADE"));
            let _ = sqlx::raw_sql(drop).execute(&mut server).await;
        }
        let create = AssertSqlSafe(format!("CREATE SCHEMA {own}"));
        sqlx::raw_sql(create).execute(&mut server).await.expect("a schema");
        server.close().await.expect("an end");
    };
    ready.get_or_init(create).await;
    Some(format!("{url}?options[search_path]={own}"))
}

/// One that had our number included.
fn is_stale(schema: &str) -> bool {
    let process = schema.strip_prefix(PREFIX).and_then(|process| process.parse::<u32>().ok());
    let over = |process| !std::path::Path::new(&format!("/proc/{process}")).exists();
    process.is_some_and(|process| process == std::process::id() || over(process))
}

//! Backends on places of their own: a file, a folder, a PostgreSQL schema.

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

/// A path that does not exist yet, in a folder that goes with the process.
fn path() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let all = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("stacks");
        std::fs::create_dir_all(&all).expect("a folder");
        tempfile::tempdir_in(all).expect("a folder")
    });
    folder.path().join(next().to_string())
}

pub(crate) async fn sqlite(clock: Clock) -> DatabaseSessionBackend {
    database(&format!("sqlite:{}", path().display()), clock).await
}

/// `None` where there is no server.
pub(crate) async fn postgres(clock: Clock) -> Option<DatabaseSessionBackend> {
    Some(database(&postgres_url().await?, clock).await)
}

pub(crate) async fn file(clock: Clock) -> FileSessionBackend {
    let builder = FileSessionBackend::builder(path()).with_clock(clock);
    builder.with_durability(Durability::None).open().await.expect("a backend")
}

pub(crate) fn cookie(clock: Clock) -> CookieSessionBackend {
    let ring = KeyRing::new([SealKey::generate().expect("a key")]).expect("a ring");
    CookieSessionBackend::new(ring).with_clock(clock)
}

/// A table of its own.
async fn database(url: &str, clock: Clock) -> DatabaseSessionBackend {
    let builder = DatabaseSessionBackend::builder(url)
        .with_table(format!("session_{}", next()))
        .with_timeout(Duration::from_secs(30));
    let backend = builder.with_clock(clock).connect().await.expect("a connection");
    backend.migrate().await.expect("tables");
    backend
}

/// With the process's own schema, after those of processes that are over are gone.
async fn postgres_url() -> Option<String> {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};

    static READY: OnceCell<()> = OnceCell::const_new();
    let url = cloakroom_testkit::service("postgres")?;
    let own = format!("{PREFIX}{}", std::process::id());
    let create = || async {
        let mut server = PgConnection::connect(&url).await.expect("PostgreSQL");
        let names = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace").fetch_all(&mut server).await;
        let names: Vec<String> = names.expect("schemas");
        let is_stale = |name: &String| {
            let process = name.strip_prefix(PREFIX);
            process
                .is_some_and(|process| *name == own || !std::path::Path::new("/proc").join(process).exists())
        };
        for old in names.into_iter().filter(is_stale) {
            let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {old} CASCADE"));
            let _ = sqlx::raw_sql(drop).execute(&mut server).await;
        }
        let create = AssertSqlSafe(format!("CREATE SCHEMA {own}"));
        sqlx::raw_sql(create).execute(&mut server).await.expect("a schema");
        server.close().await.expect("an end");
    };
    READY.get_or_init(create).await;
    Some(format!("{url}?options[search_path]={own}"))
}

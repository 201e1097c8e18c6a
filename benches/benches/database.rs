//! Sessions in PostgreSQL and SQLite beside the bare statements on an equal pool, 16 tasks at a time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_backend_database::{DatabaseBuilder, DatabaseSessionBackend};
use cloakroom_bench::data::{Payload, Sink, Small, WANTED};
use cloakroom_bench::run::{concurrent, two_workers};
use cloakroom_bench::store::SESSIONS;
use cloakroom_bench::{Bar, Cell, Report, Role};
use cloakroom_core::{Session, SessionKey};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::runtime::Runtime;

const TASKS: u64 = 16;
const CONNECTIONS: u32 = 10;
/// 15 % less throughput is so much more time.
const BAR: f64 = 1.0 / 0.85;

struct Filling<'a>(&'a Session<DatabaseSessionBackend>);

impl Sink for Filling<'_> {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value).expect("set");
    }
}

async fn fill(builder: DatabaseBuilder) -> (DatabaseSessionBackend, Vec<SessionKey>) {
    let backend = builder.with_table("bench_session").connect().await.expect("connected");
    backend.migrate().await.expect("tables");
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        let session = Session::new(backend.clone());
        Small::make().fill(&mut Filling(&session)).await;
        session.save().await.expect("saved");
        keys.push(session.key().expect("a key"));
    }
    (backend, keys)
}

type Row = (i64, i64, Option<String>, i64, i64, Option<i64>, Vec<u8>);

macro_rules! contend {
    ($report:ident, $rt:ident, $name:expr, $backend:ident, $keys:ident, $pool:ident, $select:expr, $update:expr) => {{
        let rt: &Runtime = $rt;
        let ids: Arc<Vec<String>> =
            Arc::new($keys.iter().map(|key| key.id().as_text().to_string()).collect());
        let keys = Arc::new($keys);
        // Each task has sessions of its own: nothing here is about conflicts.
        let mine = |task: usize, index: usize| {
            task * (SESSIONS / TASKS as usize) + index % (SESSIONS / TASKS as usize)
        };
        for changing in [false, true] {
            let name =
                format!("{}: {}", $name, if changing { "load, change, save" } else { "load one field" });
            if !$report.wants(&name) {
                continue;
            }
            let mut cell = Cell::new(&name);
            cell.round = Duration::from_millis(100);
            let (backend, keys) = ($backend.clone(), keys.clone());
            cell = cell.add("cloakroom", Role::Ours, move |ops| {
                let (backend, keys) = (backend.clone(), keys.clone());
                concurrent(rt, TASKS, ops, move |task, index| {
                    let session = Session::with_key(backend.clone(), keys[mine(task, index)].clone());
                    async move {
                        session.load().await.expect("loaded");
                        let visits: u64 = session.get(WANTED).expect("readable").expect("there");
                        if changing {
                            session.set(WANTED, visits + 1).expect("set");
                            session.save().await.expect("saved");
                        }
                        black_box(visits);
                    }
                })
            });
            let (pool, ids) = ($pool.clone(), ids.clone());
            cell = cell.add("bare statements", Role::Peer, move |ops| {
                let (pool, ids) = (pool.clone(), ids.clone());
                concurrent(rt, TASKS, ops, move |task, index| {
                    let (pool, ids) = (pool.clone(), ids.clone());
                    async move {
                        let id = &ids[mine(task, index)];
                        let select = sqlx::query_as::<_, Row>($select).bind("").bind(id).bind(1_i64);
                        let row = select.fetch_one(&pool).await.expect("there");
                        if changing {
                            // The end moves as with every save of a session, and its index with it.
                            let update = sqlx::query($update)
                                .bind(0_i16)
                                .bind(row.1 + 1)
                                .bind(&row.2)
                                .bind(row.3)
                                .bind(row.4 + 1)
                                .bind(row.5.map(|end| end + 1))
                                .bind(&row.6)
                                .bind("")
                                .bind(id)
                                .bind(row.1);
                            let done = update.execute(&pool).await.expect("updated");
                            assert_eq!(done.rows_affected(), 1);
                        }
                        black_box(row);
                    }
                })
            });
            $report.compare(&name, &cell.run(), Bar::AtMost(BAR));
        }
    }};
}

fn main() {
    let mut report = Report::new("database");
    report.note("16 tasks, pools of 10 connections, sessions of ten fields (460 B)");
    let rt = &two_workers();

    let folder = std::env::temp_dir().join(format!("cloakroom-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let options = SqliteConnectOptions::new()
        .filename(folder.join("bench.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5));
    let open = || {
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        rt.block_on(pool.connect_with(options.clone())).expect("opened")
    };
    let (ours, pool) = (open(), open());
    let (backend, keys) = rt.block_on(fill(DatabaseSessionBackend::from_sqlite_pool(ours)));
    contend!(
        report,
        rt,
        "SQLite",
        backend,
        keys,
        pool,
        "SELECT state, version, owner, created_at, accessed_at, expires_at, payload FROM bench_session \
         WHERE scope = ? AND id = ? AND (expires_at IS NULL OR expires_at > ?)",
        "UPDATE bench_session SET state = ?, version = ?, owner = ?, created_at = ?, accessed_at = ?, \
         expires_at = ?, payload = ? WHERE scope = ? AND id = ? AND version = ?"
    );
    let _ = std::fs::remove_dir_all(&folder);

    match std::env::var("CLOAKROOM_POSTGRES_URL") {
        Err(_) => report.note("PostgreSQL: left out, CLOAKROOM_POSTGRES_URL is not set"),
        Ok(url) => {
            let open = || {
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
                rt.block_on(pool.connect(&url)).expect("connected")
            };
            let (ours, pool) = (open(), open());
            let drop = async |pool: &sqlx::PgPool| {
                for table in ["bench_session", "bench_session_lock", "bench_session_migration"] {
                    let statement = sqlx::AssertSqlSafe(format!("DROP TABLE IF EXISTS {table}"));
                    sqlx::query(statement).execute(pool).await.expect("dropped");
                }
            };
            rt.block_on(drop(&pool));
            let (backend, keys) = rt.block_on(fill(DatabaseSessionBackend::from_postgres_pool(ours)));
            contend!(
                report,
                rt,
                "PostgreSQL",
                backend,
                keys,
                pool,
                "SELECT CAST(state AS BIGINT), version, owner, created_at, accessed_at, expires_at, payload \
                 FROM bench_session WHERE scope = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)",
                "UPDATE bench_session SET state = $1, version = $2, owner = $3, created_at = $4, accessed_at = $5, \
                 expires_at = $6, payload = $7 WHERE scope = $8 AND id = $9 AND version = $10"
            );
            rt.block_on(drop(&pool));
        }
    }
    report.finish();
}

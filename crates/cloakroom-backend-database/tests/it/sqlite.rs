//! What only SQLite does: one writer at a time, in this process and others, on a file.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_core::{ErrorKind, Filter, Record, SessionBackend, SessionKey, Write};
use futures_util::future::join_all;

use crate::place;

const TABLE: &str = "cloakroom_session";

async fn open(url: &str) -> DatabaseSessionBackend {
    place::ready(DatabaseSessionBackend::builder(url)).await
}

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

/// Creates a session and updates it a few times; panics at any error.
async fn live(backend: DatabaseSessionBackend) {
    let at = key();
    let mut record = Record::new("0", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap_or_else(|e| panic!("create: {e:?}"));
    for _ in 0..10 {
        let next = record.clone().with_version(record.version.next(backend.clock().now()));
        let how = Write::update(record.version);
        backend.write(&at, next.clone(), how).await.unwrap_or_else(|e| panic!("update: {e:?}"));
        assert_eq!(backend.read(&at).await.unwrap(), Some(next.clone()));
        record = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_64_in_two_pools_of_one_file_none_busy() {
    let url = place::file_url();
    let backends = [open(&url).await, open(&url).await];
    let writers = (0..64).map(|writer| tokio::spawn(live(backends[writer % 2].clone())));
    for writer in join_all(writers).await {
        writer.expect("no error");
    }
    assert_eq!(backends[0].count(&Filter::everywhere()).await.unwrap(), 64);
}

#[tokio::test]
async fn disk_full_error_and_the_old_value_stays() {
    use sqlx::Executor;
    let url = place::file_url();
    drop(open(&url).await);
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move { connection.execute("PRAGMA max_page_count = 64").await.map(drop) })
    });
    let backend = DatabaseSessionBackend::from_sqlite_pool(pool.connect(&url).await.unwrap());
    let backend = backend.connect().await.unwrap();
    let at = key();
    let record = Record::new("small", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let next = Record::new(vec![7; 1 << 20], backend.clock().now());
    let error = backend.write(&at, next, Write::update(record.version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected, "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
    live(backend).await;
}

#[cfg(unix)]
#[tokio::test]
async fn file_created_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let file = place::file();
    let backend = open(&format!("sqlite:{}?mode=rwc", file.display())).await;
    live(backend.clone()).await;
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", file.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn folder_missing_or_file_unwanted_invalid_config() {
    let file = place::file();
    for url in [format!("sqlite:{}/x/y.db", file.display()), format!("sqlite:{}?mode=rw", file.display())] {
        let error = DatabaseSessionBackend::connect(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}");
    }
    assert!(!file.exists());
}

#[tokio::test]
async fn memory_neither_shared_nor_durable_file_both() {
    let memory = open("sqlite::memory:").await.capability();
    let file = open(&place::file_url()).await.capability();
    assert!(!memory.shared && !memory.durable && file.shared && file.durable);
}

#[tokio::test]
async fn sync_full_each_commit_waits_for_the_disk() {
    let builder = DatabaseSessionBackend::builder(&place::file_url()).with_full_sync(true);
    live(place::ready(builder).await).await;
}

/// Another process holds the write lock for longer than an operation may take.
#[tokio::test]
async fn lock_held_by_another_process_unavailable_in_time_reads_go_on() {
    use sqlx::{Connection, Executor};
    let url = place::file_url();
    let timeout = std::time::Duration::from_millis(200);
    let backend = place::ready(DatabaseSessionBackend::builder(&url).with_timeout(timeout)).await;
    let (at, record) = (key(), Record::new("{}", backend.clock().now()));
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let error = backend.write(&key(), record.clone(), Write::create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(backend.read(&at).await.unwrap(), Some(record.clone()));
    other.execute("ROLLBACK").await.unwrap();
    backend.write(&key(), record, Write::create()).await.unwrap();
}

const CHILD: &str = "CLOAKROOM_TEST_SQLITE_CHILD";

/// Not a test by itself: the process that gets killed. It tells each session that was acknowledged.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let backend = open(&url).await;
        let writers = (0..4).map(|_| async {
            loop {
                let (at, record) = (key(), Record::new("first", backend.clock().now()));
                backend.write(&at, record.clone(), Write::create()).await.expect("a session");
                let next = Record::new("second", backend.clock().now());
                backend.write(&at, next, Write::update(record.version)).await.expect("an update");
                let line = format!("acknowledged {}\n", at.expose());
                std::io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
            }
        });
        let never: Vec<()> = join_all(writers).await;
        drop(never);
    });
}

#[tokio::test]
async fn process_killed_every_acknowledged_write_is_there() {
    let url = place::file_url();
    let mut total = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "sqlite::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut acknowledged = Vec::new();
        // A different moment each time; what it wrote before it died is still in the pipe.
        let enough = 1 + (round * 37) % 100;
        for line in lines {
            let line = line.expect("a line");
            if let Some((_, key)) = line.split_once("acknowledged ")
                && key.len() == cloakroom_core::KEY_LENGTH
            {
                acknowledged.push(key.to_owned());
            }
            if acknowledged.len() == enough {
                child.kill().expect("it dies");
            }
        }
        child.wait().expect("it is over");
        assert!(acknowledged.len() >= enough, "round {round}: the child ended by itself");
        total += acknowledged.len();
        let backend = open(&url).await;
        for text in acknowledged {
            let at = SessionKey::parse(&text, &backend.capability()).expect("a key");
            let record = backend.read(&at).await.unwrap().expect("an acknowledged session");
            assert_eq!(record.payload, "second", "round {round}");
        }
        backend.close().await;
    }
    let table = place::ready(DatabaseSessionBackend::builder(&url).with_table(TABLE)).await;
    assert!(table.count(&Filter::everywhere()).await.unwrap() >= total as u64);
}

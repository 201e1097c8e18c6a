//! A process is killed with a full queue.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_backend_file::FileSessionBackend;
use cloakroom_core::{Clock, Record, Removal, SessionBackend, SessionKey, Write};
use cloakroom_layer_replication::ReplicationStrategy::AsyncReplication;
use cloakroom_layer_replication::{QueueFull, ReplicatedSessionBackend, ReplicationConfig};

use super::pause;
use crate::place;

const FOLDER: &str = "CLOAKROOM_QUEUE_CHILD";

async fn open(
    folder: &Path,
) -> (
    DatabaseSessionBackend,
    FileSessionBackend,
    ReplicatedSessionBackend<DatabaseSessionBackend, FileSessionBackend>,
) {
    let url = format!("sqlite:{}", folder.join("primary.db").display());
    let primary = DatabaseSessionBackend::connect(&url).await.expect("a database");
    primary.migrate().await.expect("tables");
    let secondary = place::file_in(folder.join("secondary"), Clock::system()).await;
    let config = ReplicationConfig::new().with_queue_capacity(30).with_queue_full(QueueFull::Wait);
    let backend = ReplicatedSessionBackend::with_config(
        primary.clone(),
        vec![secondary.clone()],
        AsyncReplication,
        config,
    );
    (primary, secondary, backend)
}

fn key(number: usize) -> SessionKey {
    SessionKey::from_name(&format!("session {number}")).unwrap()
}

/// The process that is killed; as a test of its own it does nothing.
#[tokio::test]
async fn child_fills_the_queue() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (_, _, backend) = open(Path::new(&folder)).await;
    let now = backend.clock().now();
    let record = |text: &str| {
        Record::new(text.to_owned(), now).with_expires_at(Some(now + Duration::from_secs(3_600)))
    };
    let worker = backend.worker().start();
    let mut records = Vec::new();
    for number in 0..20 {
        let first = record("first");
        backend.write(&key(number), first.clone(), Write::create()).await.unwrap();
        records.push(first);
    }
    assert_eq!(worker.stop(Duration::from_secs(10)).await, 0);
    // From here on nothing leaves the queue.
    for (number, first) in records.iter().enumerate().take(10) {
        let next = record("second").with_version(first.version.next(now));
        backend.write(&key(number), next, Write::update(first.version)).await.unwrap();
    }
    for number in 10..20 {
        assert!(backend.remove(&key(number), Removal::Flushed).await.unwrap());
    }
    for number in 20..30 {
        backend.write(&key(number), record("new"), Write::create()).await.unwrap();
    }
    println!("\nqueued {}", backend.status().queued);
    pause(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn process_killed_with_a_full_queue_what_was_promised_is_there_and_the_rest_is_found() {
    let folder = place::path();
    std::fs::create_dir_all(&folder).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "replication::queue::child_fills_the_queue", "--nocapture"])
        .env(FOLDER, &folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.starts_with("queued ")).expect("the child fills its queue");
    assert_eq!(said, "queued 30", "what is not durable on both is counted");
    child.kill().unwrap();
    child.wait().unwrap();

    let (primary, secondary, backend) = open(&folder).await;
    let text = |record: Option<Record>| record.filter(Record::is_live).map(|record| record.payload);
    for number in 0..30 {
        let promised = match number {
            0..10 => Some("second".into()),
            10..20 => None,
            _ => Some("new".into()),
        };
        assert_eq!(
            text(primary.read(&key(number)).await.unwrap()),
            promised,
            "the primary has what it acknowledged"
        );
        let old = (number < 20).then(|| "first".into());
        assert_eq!(text(secondary.read(&key(number)).await.unwrap()), old, "the secondary had not heard");
    }
    let report = backend.reconcile().await.unwrap();
    assert_eq!((report.compared, report.undecided), (20, 0));
    for number in 0..30 {
        let there = text(secondary.read(&key(number)).await.unwrap());
        assert_eq!(there, text(primary.read(&key(number)).await.unwrap()), "session {number}");
    }
}

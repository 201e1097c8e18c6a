//! One folder, several processes and several backends.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_backend_file::{Durability, FileSessionBackend};
use cloakroom_core::{
    ErrorKind, Filter, Limits, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use futures_util::future::join_all;

use crate::{child, place};

const TASKS: usize = 64;
const TURNS: u64 = 4;
const COUNTER: &str = "the counter";

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

fn number(record: &Record) -> u64 {
    std::str::from_utf8(&record.payload).expect("text").parse().expect("a number")
}

async fn count_up(backend: FileSessionBackend) {
    let at = SessionKey::from_name(COUNTER).expect("a key");
    for _ in 0..TURNS {
        loop {
            let there = backend.read(&at).await.expect("readable").expect("there");
            let mut next = there.clone().with_version(there.version.next(backend.clock().now()));
            next.payload = (number(&there) + 1).to_string().into();
            match backend.write(&at, next, Write::update(there.version)).await {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
    }
}

#[test]
fn child_that_counts() {
    let Some(folder) = child::folder() else { return };
    child::run(async {
        let backend = FileSessionBackend::open(folder).await.expect("a backend");
        for task in join_all((0..TASKS).map(|_| tokio::spawn(count_up(backend.clone())))).await {
            task.expect("no error");
        }
    });
}

#[tokio::test]
async fn counter_of_two_processes_with_64_tasks_each_exact() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let at = SessionKey::from_name(COUNTER).unwrap();
    backend.write(&at, Record::new("0", backend.clock().now()), Write::create()).await.unwrap();
    let children = [(); 2].map(|()| {
        let mut command = child::command("shared::child_that_counts", &folder);
        command.stdout(Stdio::null()).spawn().expect("a child")
    });
    for mut child in children {
        assert!(child.wait().expect("it is over").success());
    }
    let there = backend.read(&at).await.unwrap().unwrap();
    assert_eq!(number(&there), 2 * TASKS as u64 * TURNS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_beside_a_writer_of_20_kb_no_error_in_10_000_reads() {
    const SIZE: usize = 20 << 10;
    let folder = place::folder();
    let open = || FileSessionBackend::builder(&folder).with_durability(Durability::None).open();
    let (writer, reader) = (open().await.unwrap(), open().await.unwrap());
    let at = key();
    let mut record = Record::new(vec![0; SIZE], writer.clock().now());
    record.expires_at = Some(record.created_at + Duration::from_secs(60));
    writer.write(&at, record.clone(), Write::create()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (to, is_over) = (at.clone(), Arc::clone(&over));
    let writing = tokio::spawn(async move {
        let mut turns = 0_u64;
        while !is_over.load(Ordering::Relaxed) {
            turns += 1;
            let now = writer.clock().now();
            let mut next = record.clone().with_version(record.version.next(now));
            next.payload = vec![turns as u8; SIZE].into();
            writer.write(&to, next.clone(), Write::update(record.version)).await.expect("an update");
            record = next;
            let touch = Touch::new(record.version, now + Duration::from_secs(60 + turns));
            assert!(writer.touch(&to, touch).await.expect("a touch").is_some());
        }
        turns
    });
    for _ in 0..10_000 {
        let there = reader.read(&at).await.unwrap().expect("it is there all the time");
        assert_eq!(there.payload.len(), SIZE);
        assert!(there.payload.iter().all(|byte| *byte == there.payload[0]));
    }
    over.store(true, Ordering::Relaxed);
    let turns = writing.await.unwrap();
    assert!(turns > 100, "only {turns} updates");
    assert_eq!(reader.statistics().set_aside, 0);
}

/// What the conformance suite asks of one backend, of two that share nothing but the folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_200_by_two_backends_within_limit_of_5_exact() {
    let folder = place::folder();
    let open = || FileSessionBackend::builder(&folder).with_durability(Durability::None).open();
    let backends = [open().await.unwrap(), open().await.unwrap()];
    let record = Record::new("{}", backends[0].clock().now());
    let record = record.with_owner(Some(Owner::parse("user:1").unwrap()));
    for limits in [Limits::none().with_per_owner(5), Limits::none().with_per_scope(5)] {
        for _ in 0..3 {
            let creates = (0..200).map(|create| {
                let (backend, record) = (backends[create % 2].clone(), record.clone());
                tokio::spawn(async move {
                    let how = Write::create().with_limits(limits);
                    backend.write(&key(), record, how).await.map_err(|error| error.kind())
                })
            });
            let results: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
            let refused = |result: &&Result<_, _>| **result == Err(ErrorKind::QuotaExceeded);
            assert_eq!(results.iter().filter(refused).count(), 195, "{results:?}");
            assert_eq!(backends[1].remove_all(&Filter::everywhere(), Removal::Revoked).await.unwrap(), 5);
        }
    }
}

/// ST-18, for a removal in one process while sessions move in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_by_another_backend_not_outrun_by_rotations() {
    let folder = place::folder();
    let open = || FileSessionBackend::builder(&folder).with_durability(Durability::None).open();
    let (moving, revoking) = (open().await.unwrap(), open().await.unwrap());
    for round in 0..20 {
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (backend, mut at) = (moving.clone(), key());
            let mut record = Record::new("{}", backend.clock().now());
            backend.write(&at, record.clone(), Write::create()).await.unwrap();
            tasks.push(tokio::spawn(async move {
                loop {
                    let new = key();
                    let next = record.clone().with_version(record.version.next(record.created_at));
                    match backend.rotate(&at, &new, next.clone(), Rotate::new(record.version)).await {
                        Ok(_) => (at, record) = (new, next),
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::Gone, "{error}"),
                    }
                }
            }));
        }
        tokio::task::yield_now().await;
        let ended = revoking.remove_all(&Filter::unscoped(), Removal::Revoked).await.unwrap();
        assert_eq!(ended, 8, "round {round}: each session is ended once");
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(moving.count(&Filter::everywhere()).await.unwrap(), 0);
}

#[tokio::test]
async fn update_by_one_backend_seen_by_the_other() {
    let folder = place::folder();
    let (a, b) =
        (FileSessionBackend::open(&folder).await.unwrap(), FileSessionBackend::open(&folder).await.unwrap());
    let at = key();
    let record = Record::new("a", a.clock().now());
    a.write(&at, record.clone(), Write::create()).await.unwrap();
    let next = Record::new("b", b.clock().now());
    b.write(&at, next.clone(), Write::update(record.version)).await.unwrap();
    assert_eq!(a.read(&at).await.unwrap(), Some(next.clone()));
    let error = a.write(&at, next, Write::update(record.version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(b.remove(&at, Removal::Explicit).await.unwrap());
    assert_eq!(a.read(&at).await.unwrap(), None);
}

/// Another process stopped while it held a lock.
#[tokio::test]
async fn lock_held_by_another_unavailable_in_time_reads_go_on() {
    let folder = place::folder();
    let builder = FileSessionBackend::builder(&folder).with_timeout(Duration::from_millis(200));
    let backend = builder.open().await.unwrap();
    let at = key();
    let record = Record::new("{}", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    let lock = folder.join(format!("locks/shard-{:02x}", at.id().as_bytes()[0]));
    let other = std::fs::File::open(lock).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let next = Record::new("late", backend.clock().now());
    let error = backend.write(&at, next.clone(), Write::update(record.version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(backend.read(&at).await.unwrap(), Some(record.clone()));
    drop(other);
    // The one that was given up did nothing later.
    backend.write(&at, next, Write::update(record.version)).await.unwrap();
}

/// What a system does to files in its temporary folder that were not used for long.
#[tokio::test]
async fn lock_files_deleted_made_again() {
    let folder = place::folder();
    let backend = FileSessionBackend::open(&folder).await.unwrap();
    let at = key();
    let record = Record::new("{}", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    for lock in std::fs::read_dir(folder.join("locks")).unwrap() {
        std::fs::remove_file(lock.unwrap().path()).unwrap();
    }
    assert!(backend.remove(&at, Removal::Explicit).await.unwrap());
}

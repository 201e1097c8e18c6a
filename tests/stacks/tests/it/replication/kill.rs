//! Either server is killed at random under a load of 64 clients.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_core::{Clock, ErrorKind, Record, Removal, SessionBackend, SessionKey, Write};
use cloakroom_layer_replication::ReplicationStrategy::{AcknowledgedReplication, SyncReplication};
use cloakroom_layer_replication::{
    CopyStatus, Failover, ReplicatedSessionBackend, ReplicationConfig, ReplicationStrategy,
};

use super::cluster::Cluster;
use super::pause;

type Backend = ReplicatedSessionBackend<DatabaseSessionBackend>;

const CLIENTS: usize = 64;

#[derive(Default)]
struct Tally {
    done: AtomicU64,
    failed: AtomicU64,
    /// Milliseconds of the slowest operation that succeeded.
    slowest: AtomicU64,
}

/// What one client was promised.
#[derive(Clone)]
struct Promise {
    key: SessionKey,
    /// The count that the last acknowledged write stored.
    count: u64,
    ended: bool,
}

fn count(record: &Record) -> u64 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}

fn chance() -> u64 {
    let key = SessionKey::generate().unwrap();
    u64::from_be_bytes(key.id().as_bytes()[..8].try_into().unwrap())
}

/// Counts in a session, and now and then logs out and begins another.
async fn client(backend: Backend, stop: Arc<AtomicBool>, tally: Arc<Tally>) -> Vec<Promise> {
    let mut promises: Vec<Promise> = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let begin = Instant::now();
        let result = step(&backend, &mut promises).await;
        let taken = u64::try_from(begin.elapsed().as_millis()).unwrap();
        match result {
            Ok(()) => {
                tally.done.fetch_add(1, Ordering::Relaxed);
                tally.slowest.fetch_max(taken, Ordering::Relaxed);
            }
            Err(kind) => {
                assert!(
                    matches!(kind, ErrorKind::Unavailable | ErrorKind::Conflict | ErrorKind::Unexpected),
                    "{kind:?}"
                );
                tally.failed.fetch_add(1, Ordering::Relaxed);
                pause(Duration::from_millis(20)).await;
            }
        }
        pause(Duration::from_millis(20 + chance() % 60)).await;
    }
    promises
}

async fn step(backend: &Backend, promises: &mut Vec<Promise>) -> Result<(), ErrorKind> {
    let kind = |error: cloakroom_core::SessionError| error.kind();
    let now = backend.clock().now();
    let record = |count: u64| {
        Record::new(count.to_string(), now).with_expires_at(Some(now + Duration::from_secs(3_600)))
    };
    let Some(promise) = promises.last_mut().filter(|promise| !promise.ended) else {
        let key = SessionKey::generate().unwrap();
        backend.write(&key, record(1), Write::create()).await.map_err(kind)?;
        promises.push(Promise { key, count: 1, ended: false });
        return Ok(());
    };
    let there = backend.read(&promise.key).await.map_err(kind)?;
    let there = there.unwrap_or_else(|| panic!("a session is lost"));
    if !there.is_live() {
        // An unanswered logout took effect.
        promise.ended = true;
        return Ok(());
    }
    assert!(count(&there) >= promise.count, "{} was acknowledged, {} is read", promise.count, count(&there));
    if chance().is_multiple_of(20) {
        let ended = backend.remove(&promise.key, Removal::Flushed).await.map_err(kind)?;
        promise.ended |= ended;
        return Ok(());
    }
    let next = count(&there) + 1;
    let how = Write::update(there.version);
    let record = record(next).with_version(there.version.next(now)).with_created_at(there.created_at);
    backend.write(&promise.key, record, how).await.map_err(kind)?;
    promise.count = next;
    Ok(())
}

async fn open(url: &str) -> DatabaseSessionBackend {
    let builder = DatabaseSessionBackend::builder(url).with_clock(Clock::system());
    let backend = builder.with_timeout(Duration::from_millis(400)).connect().await.expect("a connection");
    backend.migrate().await.expect("tables");
    backend
}

fn in_sync(backend: &Backend) -> bool {
    let copies = backend.status().copies;
    !copies.is_empty() && copies.iter().all(|copy| matches!(copy, CopyStatus::Authority | CopyStatus::InSync))
}

async fn load(strategy: ReplicationStrategy) {
    let (Some(one), Some(two)) = (Cluster::start(), Cluster::start()) else { return };
    let stores = [open(&one.url()).await, open(&two.url()).await];
    let config = ReplicationConfig::new()
        .with_retries(2, Duration::from_millis(50))
        .with_failover(Failover::Promote)
        .with_poll_interval(Duration::from_millis(200))
        .with_patience(Duration::from_secs(1));
    let backend = Backend::with_config(stores[0].clone(), vec![stores[1].clone()], strategy, config);
    let _worker = backend.worker().start();
    let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
    let clients: Vec<_> =
        (0..CLIENTS).map(|_| tokio::spawn(client(backend.clone(), stop.clone(), tally.clone()))).collect();

    let full = std::env::var_os("CLOAKROOM_TEST").is_some_and(|mode| mode == "full");
    let length = Duration::from_secs(if full { 60 } else { 8 });
    let (begin, clusters) = (Instant::now(), Arc::new(Mutex::new([one, two])));
    let (mut kills, mut recoveries) = (0, Vec::new());
    while begin.elapsed() < length {
        pause(Duration::from_millis(200 + chance() % 800)).await;
        let victim = usize::try_from(chance() % 2).unwrap();
        let down = Duration::from_millis(1_500 + chance() % 1_500);
        let both = clusters.clone();
        tokio::task::spawn_blocking(move || {
            both.lock().unwrap()[victim].kill();
            std::thread::sleep(down); // tidy-allow: a real server is away for so long
            both.lock().unwrap()[victim].wait();
        })
        .await
        .unwrap();
        kills += 1;
        // One time in three the other may go before this one caught up.
        if !chance().is_multiple_of(3) {
            let up = Instant::now();
            while !in_sync(&backend) && up.elapsed() < Duration::from_secs(30) {
                pause(Duration::from_millis(20)).await;
            }
            recoveries.push(up.elapsed());
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut promises = Vec::new();
    for client in clients {
        promises.extend(client.await.expect("a client"));
    }
    let quiet = Instant::now();
    while !in_sync(&backend) {
        assert!(
            quiet.elapsed() < Duration::from_secs(60),
            "it does not recover alone: {:?}",
            backend.status()
        );
        pause(Duration::from_millis(50)).await;
    }
    backend.reconcile().await.expect("a comparison");
    for promise in &promises {
        let read = backend.read(&promise.key).await.unwrap().filter(Record::is_live);
        assert!(!(promise.ended && read.is_some()), "a session that ended is read");
        let copies =
            [stores[0].read(&promise.key).await.unwrap(), stores[1].read(&promise.key).await.unwrap()];
        let live = copies.each_ref().map(|copy| copy.as_ref().filter(|record| record.is_live()).map(count));
        assert_eq!(live[0], live[1], "the copies differ");
        if let (false, Some(count)) = (promise.ended, live[0]) {
            assert!(count >= promise.count, "{} was acknowledged, {count} is there", promise.count);
        }
    }
    let (done, failed) = (tally.done.load(Ordering::Relaxed), tally.failed.load(Ordering::Relaxed));
    let status = backend.status();
    recoveries.sort();
    println!(
        "{strategy:?}: {kills} kills in {:?}; {done} operations done, {failed} refused ({:.1} %), slowest {} ms; \
         {} promotions, {} times behind, {} caught up; recovery median {:?}, longest {:?}; lag at the end {:?}; {} sessions",
        begin.elapsed(),
        failed as f64 * 100.0 / (done + failed) as f64,
        tally.slowest.load(Ordering::Relaxed),
        status.promotions,
        status.lost_copies,
        status.caught_up,
        recoveries.get(recoveries.len() / 2),
        recoveries.last(),
        status.lag,
        promises.len(),
    );
    assert!(done > 500 && status.caught_up > 0, "hardly anything happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_under_load_sync_loses_no_acknowledged_write() {
    load(SyncReplication).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_under_load_acknowledged_loses_no_acknowledged_write() {
    load(AcknowledgedReplication).await;
}

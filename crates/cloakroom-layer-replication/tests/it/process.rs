//! What takes its time while roles change, and processes that hear of it late.

use std::time::Duration;

use cloakroom_core::{ErrorKind, Filter, Owner, Record, Removal, SessionBackend, SessionKey, Write};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover};
use cloakroom_testkit::{Fault, Operation};

use crate::pair::{Pair, held, lives, pause, quick};

/// The authority took longer than the whole catching up; the copy is in sync by then and must have it too.
#[tokio::test(start_paused = true)]
async fn write_that_lasts_longer_than_catching_up_reaches_the_copy() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        for removing in [false, true] {
            let pair = Pair::new(strategy, quick());
            let worker = pair.backend.worker().start();
            let (key, before) = pair.create("before").await;
            pair.secondary.disconnect();
            pair.create("other").await;
            assert_eq!(pair.backend.status().copies[1], CopyStatus::Behind);
            let gate = pair.primary.hold_before(Operation::Write);
            let (backend, of, next) = (pair.backend.clone(), key.clone(), pair.next(&before, "next"));
            let task = tokio::spawn(async move {
                if removing {
                    backend.remove(&of, Removal::Flushed).await.map(drop)
                } else {
                    backend.write(&of, next, Write::update(before.version)).await.map(drop)
                }
            });
            gate.arrived().await;
            pair.secondary.reconnect();
            pause(Duration::from_secs(5)).await;
            assert_eq!(pair.backend.status().copies[1], CopyStatus::InSync, "{strategy:?}");
            gate.open();
            task.await.unwrap().unwrap();
            let [there, here] = [held(&pair.secondary, &key).await, held(&pair.primary, &key).await];
            let seen = |record: Option<Record>| record.map(|record| (record.payload, record.state));
            assert_eq!(seen(there), seen(here), "{strategy:?}, removing: {removing}");
            drop(worker);
        }
    }
}

/// Another process let the copy catch up, and this one runs no worker that would tell.
#[tokio::test(start_paused = true)]
async fn process_without_a_worker_hears_of_a_copy_that_came_back_with_its_next_write() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, _) = pair.create("{}").await;
        pair.secondary.disconnect();
        pair.create("other").await;
        assert_eq!(pair.backend.status().copies[1], CopyStatus::Behind);
        let other = pair.other();
        let worker = other.worker().start();
        pair.secondary.reconnect();
        pause(Duration::from_secs(5)).await;
        assert_eq!(other.status().copies[1], CopyStatus::InSync);
        assert!(lives(&pair.secondary, &key).await);
        assert!(pair.backend.remove(&key, Removal::Flushed).await.unwrap());
        assert!(!lives(&pair.secondary, &key).await, "{strategy:?}");
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn revocation_of_all_that_is_dropped_half_way_is_finished() {
    let pair = Pair::new(SyncReplication, quick());
    let owner = Owner::parse("user:1").unwrap();
    let mut keys = Vec::new();
    for _ in 0..20 {
        let key = SessionKey::generate().unwrap();
        let record = pair.record("{}").with_owner(Some(owner.clone()));
        pair.backend.write(&key, record, Write::create()).await.unwrap();
        keys.push(key);
    }
    let gate = pair.secondary.hold_before(Operation::Write);
    let (backend, filter) = (pair.backend.clone(), Filter::unscoped().with_owner(owner));
    let task = tokio::spawn(async move { backend.remove_all(&filter, Removal::Revoked).await });
    gate.arrived().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    gate.open();
    pause(Duration::from_secs(5)).await;
    for key in &keys {
        assert!(!lives(&pair.primary, key).await && !lives(&pair.secondary, key).await);
    }
}

/// What waits in the queue is a look at the authority, so the copy's word is not to be believed.
#[tokio::test(start_paused = true)]
async fn deletion_that_waits_behind_a_comparison_is_not_read_around() {
    let pair = Pair::new(AsyncReplication, quick());
    let key = SessionKey::from_name("settings").unwrap();
    let first = pair.record("first");
    pair.backend.write(&key, first.clone(), Write::overwrite()).await.unwrap();
    let worker = pair.backend.worker().start();
    pause(Duration::from_secs(1)).await;
    worker.stop(Duration::from_secs(1)).await;
    assert!(lives(&pair.secondary, &key).await);
    pair.backend.write(&key, pair.next(&first, "second"), Write::overwrite()).await.unwrap();
    assert!(pair.backend.remove(&key, Removal::Explicit).await.unwrap());
    pair.primary.disconnect();
    assert_eq!(pair.backend.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn settings_and_numbers_beyond_reason_are_errors_or_bounded() {
    let endless = quick().with_patience(Duration::MAX).with_poll_interval(Duration::MAX);
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, endless.clone());
        pair.create("{}").await;
        for copy in [2, 64, usize::MAX] {
            assert_eq!(pair.backend.promote(copy).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
        }
    }
}

/// The process that takes over must know that the copy is behind, though the store that says so is gone.
#[tokio::test(start_paused = true)]
async fn copy_that_another_process_left_behind_is_not_promoted_nor_read() {
    for policy in [Failover::Refuse, Failover::Promote] {
        for strategy in [SyncReplication, AcknowledgedReplication] {
            let pair = Pair::new(strategy, quick().with_failover(policy));
            let (key, before) = pair.create("before").await;
            let (ended, _) = pair.create("ended").await;
            let other = pair.other();
            other.read(&key).await.unwrap();
            let workers = [pair.backend.worker().start(), other.worker().start()];
            pause(Duration::from_millis(105)).await;
            pair.secondary.inject(Fault::before(Operation::Write, ErrorKind::Unavailable).always());
            let next = pair.next(&before, "next");
            other.write(&key, next, Write::update(before.version)).await.unwrap();
            assert!(other.remove(&ended, Removal::Flushed).await.unwrap());
            // The primary goes in the moment in which that was acknowledged; the secondary answers again.
            pair.primary.disconnect();
            pair.secondary.clear();
            pause(Duration::from_secs(1)).await;
            for backend in [&pair.backend, &other] {
                let error = backend.write(&key, pair.record("late"), Write::create()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{policy:?}, {strategy:?}");
                assert!(backend.read(&key).await.is_err(), "{policy:?}, {strategy:?}: an old copy was read");
                assert!(backend.read(&ended).await.is_err(), "{policy:?}, {strategy:?}: what ended was read");
            }
            drop(workers);
        }
    }
}

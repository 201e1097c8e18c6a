//! What takes its time while roles change, and processes that hear of it late.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover};
use cloakroom_testkit::{Fault, Operation};

use crate::pair::{Pair, held, lives, pause, quick, way_to};

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

/// What waits in the queue is a look at the authority, which would find the end there.
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
    assert!(!pair.backend.read(&key).await.unwrap().unwrap().is_live());
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

/// It has not heard what the primary said before it went, so it does not choose.
#[tokio::test(start_paused = true)]
async fn process_without_a_worker_promotes_nobody() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    let (key, before) = pair.create("before").await;
    let (primary, secondary) = (way_to(&pair.primary), way_to(&pair.secondary));
    let other = pair.other_over(&primary, &secondary);
    other.read(&key).await.unwrap();
    secondary.disconnect();
    let next = pair.next(&before, "next");
    other.write(&key, next.clone(), Write::update(before.version)).await.unwrap();
    secondary.reconnect();
    pair.primary.disconnect();
    primary.disconnect();
    for _ in 0..3 {
        let refused = pair.backend.write(&key, pair.record("late"), Write::create()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        pause(Duration::from_secs(1)).await;
    }
    assert_eq!(pair.backend.status().promotions, 0);
    pair.primary.reconnect();
    assert_eq!(pair.backend.read(&key).await.unwrap(), Some(next));
}

/// A store that hangs must not keep a process from hearing what the others say.
#[tokio::test(start_paused = true)]
async fn process_whose_secondary_hangs_hears_that_it_was_left_behind() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    let (key, before) = pair.create("before").await;
    let secondary = way_to(&pair.secondary);
    let other = pair.other_over(&pair.primary, &secondary);
    other.read(&key).await.unwrap();
    let workers = [pair.backend.worker().start(), other.worker().start()];
    pause(Duration::from_millis(50)).await;
    // Every look of the first process at it hangs from now on.
    let gates: Vec<_> = (0..200).map(|_| pair.secondary.hold_before(Operation::Read)).collect();
    pause(Duration::from_millis(200)).await;
    secondary.disconnect();
    let next = pair.next(&before, "next");
    other.write(&key, next.clone(), Write::update(before.version)).await.unwrap();
    pair.primary.disconnect();
    secondary.reconnect();
    drop(gates);
    pause(Duration::from_secs(2)).await;
    for backend in [&pair.backend, &other] {
        assert_eq!(backend.status().copies, [CopyStatus::Authority, CopyStatus::Behind]);
        assert!(backend.read(&key).await.is_err(), "an old copy was read");
    }
    drop(workers);
}

/// The tombstone on the copy that decided before ends nothing of what the session became.
#[tokio::test(start_paused = true)]
async fn removal_at_a_key_that_was_rotated_elsewhere_is_not_reported() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick().with_failover(Failover::Promote));
        let (old, before) = pair.create("before").await;
        let (primary, secondary) = (way_to(&pair.primary), way_to(&pair.secondary));
        let other = pair.other_over(&primary, &secondary);
        other.read(&old).await.unwrap();
        let worker = other.worker().start();
        pause(Duration::from_millis(150)).await;
        drop(worker);
        primary.disconnect();
        drop(other.write(&SessionKey::generate().unwrap(), pair.record("meets it"), Write::create()).await);
        assert_eq!(other.status().copies, [CopyStatus::Behind, CopyStatus::Authority]);
        let new = SessionKey::generate().unwrap();
        let trail = Record::moved(new.id(), pair.clock.now(), pair.clock.now() + Duration::from_secs(60));
        let how = Rotate::new(before.version).with_trail(trail);
        other.rotate(&old, &new, pair.next(&before, "next"), how).await.unwrap();
        // This one has heard nothing and still asks the primary.
        let removed = pair.backend.remove(&old, Removal::Flushed).await;
        assert_eq!(removed.unwrap_err().kind(), ErrorKind::Unavailable, "{strategy:?}");
        assert!(lives(&pair.secondary, &new).await);
        assert!(pair.backend.remove(&new, Removal::Flushed).await.unwrap());
        assert!(!lives(&pair.secondary, &new).await);
    }
}

/// Created where the other process decides; that the primary lacks it does not mean that it is gone.
#[tokio::test(start_paused = true)]
async fn removal_of_what_was_created_elsewhere_is_not_taken_for_done() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    pair.create("{}").await;
    let primary = way_to(&pair.primary);
    let other = pair.other_over(&primary, &pair.secondary);
    let worker = other.worker().start();
    pause(Duration::from_millis(150)).await;
    primary.disconnect();
    let key = SessionKey::generate().unwrap();
    drop(other.write(&key, pair.record("meets it"), Write::create()).await);
    other.write(&key, pair.record("{}"), Write::overwrite()).await.unwrap();
    let removed = pair.backend.remove(&key, Removal::Flushed).await;
    assert_eq!(removed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(pair.backend.remove(&key, Removal::Flushed).await.unwrap());
    assert!(!lives(&pair.secondary, &key).await);
    drop(worker);
}

/// The save has reached the primary and is on its way to the secondary, where the touch finds another version.
#[tokio::test(start_paused = true)]
async fn touch_beside_a_save_extends_the_session_on_all_copies() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, before) = pair.create("before").await;
        let next = pair.next(&before, "next");
        let gate = pair.secondary.hold_before(Operation::Write);
        let (backend, of, record) = (pair.backend.clone(), key.clone(), next.clone());
        let how = Write::update(before.version);
        let task = tokio::spawn(async move { backend.write(&of, record, how).await.map(drop) });
        gate.arrived().await;
        let end = pair.clock.now() + Duration::from_secs(9_000);
        assert!(pair.backend.touch(&key, Touch::new(next.version, end)).await.unwrap().is_some());
        gate.open();
        task.await.unwrap().unwrap();
        for copy in [&pair.primary, &pair.secondary] {
            assert_eq!(
                held(copy, &key).await.and_then(|record| record.expires_at),
                Some(end),
                "{strategy:?}"
            );
        }
    }
}

/// Nobody can write during the pause, so somebody must end it.
#[tokio::test(start_paused = true)]
async fn promotion_that_is_dropped_half_way_is_finished() {
    let pair = Pair::new(SyncReplication, quick());
    pair.create("{}").await;
    assert!(tokio::time::timeout(Duration::from_millis(50), pair.backend.promote(1)).await.is_err());
    pause(Duration::from_secs(1)).await;
    assert_eq!(pair.backend.status().copies, [CopyStatus::InSync, CopyStatus::Authority]);
    pair.create("{}").await;
}

/// The caller was told that the outcome is unknown, and both copies were found equal before it came.
#[tokio::test(start_paused = true)]
async fn write_that_the_primary_makes_after_it_was_given_up_reaches_the_copy() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let worker = pair.backend.worker().start();
        let (key, before) = pair.create("before").await;
        let how = Write::update(before.version);
        let next = pair.next(&before, "next");
        for copy in [&pair.primary, &pair.secondary] {
            copy.inject(Fault::before(Operation::Write, ErrorKind::Unavailable));
        }
        pair.backend.write(&key, next.clone(), how).await.unwrap_err();
        pause(Duration::from_millis(300)).await;
        pair.primary.inner().inner().write(&key, next.clone(), how).await.unwrap();
        pause(Duration::from_secs(2)).await;
        assert_eq!(held(&pair.secondary, &key).await, Some(next), "{strategy:?}");
        drop(worker);
    }
}

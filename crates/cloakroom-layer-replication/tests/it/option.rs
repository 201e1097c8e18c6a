//! Every setting has its effect.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, InMemorySessionBackend, Removal, Rotate, SessionBackend, SessionKey, Touch, Version,
    Write,
};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover, QueueFull, ReplicatedSessionBackend, SecondaryDown};
use cloakroom_testkit::{Fault, Operation};
use tokio::time::Instant;

use crate::pair::{Pair, held, lives, pause, quick};

/// Bug 29 of the origin: retries were for the queue only.
#[tokio::test(start_paused = true)]
async fn retries_of_a_copy_that_comes_back_in_time_are_made_and_paused() {
    for strategy in [AcknowledgedReplication, SyncReplication] {
        let pair = Pair::new(strategy, quick().with_retries(3, Duration::from_millis(100)));
        pair.create("warm").await;
        pair.secondary.inject(Fault::before(Operation::Write, ErrorKind::Unavailable).times(2));
        let begin = Instant::now();
        let (key, record) = pair.create("{}").await;
        assert_eq!(held(&pair.secondary, &key).await, Some(record));
        assert!(begin.elapsed() >= Duration::from_millis(100), "{strategy:?}: {:?}", begin.elapsed());
        assert_eq!(pair.backend.status().copies, [CopyStatus::Authority, CopyStatus::InSync]);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_that_are_used_up_leave_the_copy_behind() {
    let pair = Pair::new(AcknowledgedReplication, quick().with_retries(2, Duration::from_millis(10)));
    pair.create("warm").await;
    pair.secondary.inject(Fault::before(Operation::Write, ErrorKind::Unavailable).times(2));
    let (key, _) = pair.create("{}").await;
    assert!(lives(&pair.primary, &key).await && !lives(&pair.secondary, &key).await);
    let status = pair.backend.status();
    assert_eq!(status.copies, [CopyStatus::Authority, CopyStatus::Behind]);
    assert_eq!((status.retries, status.lost_copies), (1, 1));
    // Nobody waits for it any more.
    pair.secondary.inner().reset();
    pair.create("{}").await;
    assert_eq!(pair.secondary.inner().calls().write, 0);
}

#[tokio::test(start_paused = true)]
async fn secondary_down_refuse_no_write_without_it() {
    let pair = Pair::new(SyncReplication, quick().with_secondary_down(SecondaryDown::Refuse));
    let (key, record) = pair.create("{}").await;
    pair.secondary.disconnect();
    let how = Write::update(record.version);
    let next = pair.next(&record, "next");
    let refused = pair.backend.write(&key, next.clone(), how).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    pair.primary.inner().reset();
    let refused = pair.backend.remove(&key, Removal::Flushed).await.unwrap_err();
    assert_eq!((refused.kind(), pair.primary.inner().calls().total()), (ErrorKind::Unavailable, 0));
    pair.secondary.reconnect();
    let _worker = pair.backend.worker().start();
    pause(Duration::from_secs(3)).await;
    assert_eq!(held(&pair.secondary, &key).await, Some(next), "what the primary had is there");
    assert!(pair.backend.remove(&key, Removal::Flushed).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn queue_full_drop_counts_and_leaves_the_rest_to_a_comparison() {
    let config = quick().with_queue_capacity(2).with_queue_full(QueueFull::Drop);
    let pair = Pair::new(AsyncReplication, config);
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(pair.create("{}").await.0);
    }
    let status = pair.backend.status();
    assert_eq!((status.queued, status.dropped), (2, 1), "the copy is behind, and nothing is queued for it");
    assert_eq!(status.copies, [CopyStatus::Authority, CopyStatus::Behind]);
    let worker = pair.backend.worker().start();
    pause(Duration::from_secs(3)).await;
    for key in &keys {
        assert!(lives(&pair.secondary, key).await);
    }
    assert_eq!(worker.stop(Duration::from_secs(1)).await, 0);
    assert_eq!(pair.backend.status().caught_up, 1);
}

#[tokio::test(start_paused = true)]
async fn queue_full_wait_is_as_slow_as_the_worker_and_loses_nothing() {
    let config = quick().with_queue_capacity(1).with_queue_full(QueueFull::Wait);
    let pair = Pair::new(AsyncReplication, config);
    let worker = pair.backend.worker().start();
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(pair.create("{}").await.0);
    }
    assert_eq!(worker.stop(Duration::from_secs(1)).await, 0);
    for key in &keys {
        assert!(lives(&pair.secondary, key).await);
    }
    assert_eq!(pair.backend.status().dropped, 0);

    // Without a worker there is no room: it gives up after the patience.
    let (begin, _) = (Instant::now(), pair.create("{}").await);
    pair.create("{}").await;
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert_eq!(pair.backend.status().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn queue_full_degrade_brings_it_at_once() {
    let config = quick().with_queue_capacity(1).with_queue_full(QueueFull::Degrade);
    let pair = Pair::new(AsyncReplication, config);
    let (first, _) = pair.create("{}").await;
    let (second, _) = pair.create("{}").await;
    assert!(!lives(&pair.secondary, &first).await, "that one is queued");
    assert!(lives(&pair.secondary, &second).await);
}

#[tokio::test(start_paused = true)]
async fn queue_holds_each_session_once_with_its_newest_record() {
    let pair = Pair::new(AsyncReplication, quick().with_queue_capacity(1));
    let (key, mut record) = pair.create("0").await;
    for turn in 1..20 {
        let next = pair.next(&record, &turn.to_string());
        pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
        record = next;
    }
    assert_eq!((pair.backend.status().queued, pair.backend.status().dropped), (1, 0));
    pause(Duration::from_millis(700)).await;
    assert!(pair.backend.status().lag >= Duration::from_millis(700));
    pair.secondary.inner().reset();
    let worker = pair.backend.worker().start();
    assert_eq!(worker.stop(Duration::from_secs(1)).await, 0);
    assert_eq!(held(&pair.secondary, &key).await, Some(record));
    assert_eq!(pair.secondary.inner().calls().write, 1);
    assert_eq!(pair.backend.status().lag, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn worker_stopped_at_the_deadline_says_what_is_left() {
    let pair = Pair::new(AsyncReplication, quick());
    let (key, _) = pair.create("{}").await;
    let gate = pair.secondary.hold_before(Operation::Write);
    let worker = pair.backend.worker().start();
    gate.arrived().await;
    let begin = Instant::now();
    assert_eq!(worker.stop(Duration::from_secs(2)).await, 1);
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    // What it had in hand is the next one's.
    gate.open();
    assert!(!lives(&pair.secondary, &key).await);
    assert_eq!(pair.backend.worker().start().stop(Duration::MAX).await, 0);
    assert!(lives(&pair.secondary, &key).await);
}

#[tokio::test]
async fn read_on_miss_brings_back_what_the_primary_forgot_and_nothing_that_ended() {
    for asks in [false, true] {
        let pair = Pair::new(AcknowledgedReplication, quick().with_read_on_miss(asks));
        let (key, record) = pair.create("{}").await;
        let (gone, _) = pair.create("{}").await;
        pair.backend.remove(&gone, Removal::Flushed).await.unwrap();
        // The primary has lost its sessions.
        let forgotten = Filter::unscoped();
        pair.primary.inner().inner().remove_all(&forgotten, Removal::Expired).await.unwrap();
        let dead = pair.record("").with_expires_at(Some(pair.clock.now()));
        pair.primary.inner().inner().write(&gone, dead, Write::overwrite()).await.unwrap();

        let read = pair.backend.read(&key).await.unwrap();
        assert_eq!(read, asks.then(|| record.clone()));
        assert_eq!(held(&pair.primary, &key).await, asks.then_some(record));
        let read = pair.backend.read(&gone).await.unwrap();
        assert!(read.is_none_or(|record| !record.is_live()));
        assert_eq!(pair.backend.status().recovered, u64::from(asks));
        assert_eq!(pair.backend.remove(&key, Removal::Flushed).await.unwrap(), asks);
    }
}

#[tokio::test]
async fn marker_lifetime_comes_on_top_of_the_life_of_the_session() {
    let hour = Duration::from_secs(3_600);
    let pair = Pair::new(SyncReplication, quick().with_marker_lifetime(hour * 2));
    let (key, record) = pair.create("{}").await;
    let endless = SessionKey::generate().unwrap();
    let forever = pair.record("{}").with_expires_at(None);
    pair.backend.write(&endless, forever, Write::create()).await.unwrap();
    let endless_version = held(&pair.primary, &endless).await.unwrap().version;
    for (key, version, life) in [(&key, record.version, hour * 3), (&endless, endless_version, hour * 2)] {
        assert!(pair.backend.remove(key, Removal::Flushed).await.unwrap());
        for copy in [&pair.primary, &pair.secondary] {
            let tombstone = held(copy, key).await.unwrap();
            assert!(!tombstone.is_live() && tombstone.payload.is_empty() && tombstone.version > version);
            assert_eq!(tombstone.expires_at, Some(pair.clock.now() + life));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn patience_is_how_long_copies_that_differ_are_waited_for() {
    let pair = Pair::new(SyncReplication, quick().with_patience(Duration::from_millis(700)));
    let (key, record) = pair.create("{}").await;
    // A write of somebody else, as far as can be told: newer than the next one, at the secondary only.
    let later = pair.next(&pair.next(&pair.next(&record, ""), ""), "later");
    pair.secondary.inner().inner().write(&key, later.clone(), Write::newer()).await.unwrap();
    let mut next = pair.next(&record, "next");
    next.version = Version::from_u64(record.version.as_u64() + 1);
    assert!(next.version < later.version);
    let begin = Instant::now();
    // Then its writer must have given up, and it goes.
    pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
    assert!((700..900).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(held(&pair.secondary, &key).await, Some(next));
}

/// What one of them alone knew would be gone with it, and what it had ended would not be.
#[tokio::test(start_paused = true)]
async fn copy_that_forgets_does_not_decide_beside_one_that_keeps() {
    let pair = Pair::new(SyncReplication, quick());
    let memory = InMemorySessionBackend::with_clock(pair.clock.clock());
    let first = ReplicatedSessionBackend::new(memory.clone(), pair.secondary.clone(), SyncReplication);
    let key = SessionKey::generate().unwrap();
    let refused = first.write(&key, pair.record("{}"), Write::create()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);

    let config = quick().with_failover(Failover::Promote);
    let backend = ReplicatedSessionBackend::with_config(
        pair.primary.clone(),
        vec![memory.clone()],
        SyncReplication,
        config,
    );
    let worker = backend.worker().start();
    let record = pair.record("{}");
    backend.write(&key, record.clone(), Write::create()).await.unwrap();
    assert_eq!(backend.promote(1).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    pause(Duration::from_millis(150)).await;
    pair.primary.disconnect();
    let other = SessionKey::generate().unwrap();
    assert!(backend.write(&other, pair.record("{}"), Write::create()).await.is_err());
    pause(Duration::from_secs(2)).await;
    assert_eq!(backend.status().promotions, 0);
    assert_eq!(backend.read(&key).await.unwrap(), Some(record), "it may be read");
    memory.remove_all(&Filter::everywhere(), Removal::Expired).await.unwrap();
    assert!(backend.read(&key).await.is_err(), "that it has nothing proves nothing");
    drop(worker);
}

/// The copy has not heard of it; by its word the session would live at two keys.
#[tokio::test(start_paused = true)]
async fn key_that_was_rotated_away_is_not_recovered_from_a_copy() {
    let pair = Pair::new(SyncReplication, quick().with_read_on_miss(true));
    let (old, record) = pair.create("{}").await;
    let new = SessionKey::generate().unwrap();
    let gate = pair.secondary.hold_before(Operation::Rotate);
    let (backend, next) = (pair.backend.clone(), pair.next(&record, "next"));
    let (from, to) = (old.clone(), new.clone());
    let task =
        tokio::spawn(
            async move { backend.rotate(&from, &to, next, Rotate::new(record.version)).await.map(drop) },
        );
    gate.arrived().await;
    assert!(pair.backend.read(&old).await.unwrap().is_none_or(|record| !record.is_live()));
    gate.open();
    task.await.unwrap().unwrap();
    assert!(pair.backend.remove(&new, Removal::Flushed).await.unwrap());
    for key in [&old, &new] {
        assert!(!lives(&pair.primary, key).await && !lives(&pair.secondary, key).await);
    }
}

/// There is no room to note that it must be looked at, so all is looked at.
#[tokio::test(start_paused = true)]
async fn save_that_is_dropped_while_it_waits_for_room_reaches_the_copy() {
    let pair = Pair::new(AsyncReplication, quick().with_queue_capacity(1));
    let (key, record) = pair.create("{}").await;
    let worker = pair.backend.worker().start();
    pause(Duration::from_millis(50)).await;
    drop(worker);
    pair.create("takes the only place").await;
    let next = pair.next(&record, "next");
    let (backend, of, how) = (pair.backend.clone(), key.clone(), Write::update(record.version));
    let cut_off =
        tokio::time::timeout(Duration::from_millis(100), backend.write(&of, next.clone(), how)).await;
    assert!(cut_off.is_err());
    assert_eq!(held(&pair.primary, &key).await, Some(next.clone()));
    let worker = pair.backend.worker().start();
    pause(Duration::from_secs(2)).await;
    assert_eq!(held(&pair.secondary, &key).await, Some(next));
    drop(worker);
}

#[tokio::test]
async fn healthy_pair_makes_the_calls_that_are_documented() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, record) = pair.create("{}").await;
        let calls = |copy: &crate::pair::Copy| {
            let calls = copy.inner().calls();
            copy.inner().reset();
            (calls.read, calls.write, calls.touch, calls.remove)
        };
        calls(&pair.primary);
        calls(&pair.secondary);
        pair.backend.read(&key).await.unwrap();
        assert_eq!((calls(&pair.primary), calls(&pair.secondary)), ((1, 0, 0, 0), (0, 0, 0, 0)));
        let next = pair.next(&record, "next");
        pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
        assert_eq!((calls(&pair.primary), calls(&pair.secondary)), ((0, 1, 0, 0), (0, 1, 0, 0)));
        let touch = Touch::new(next.version, pair.clock.now() + Duration::from_secs(9_000));
        pair.backend.touch(&key, touch).await.unwrap();
        assert_eq!((calls(&pair.primary), calls(&pair.secondary)), ((0, 0, 1, 0), (1, 0, 1, 0)));
        assert_eq!(held(&pair.primary, &key).await, held(&pair.secondary, &key).await);
        pair.backend.remove(&key, Removal::Flushed).await.unwrap();
        assert_eq!((calls(&pair.primary), calls(&pair.secondary)), ((1, 1, 0, 0), (0, 1, 0, 0)));
    }
}

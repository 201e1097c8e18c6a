//! Secondaries that are slow, full, read-only, or hold newer records; losers, and futures that are dropped.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, InMemorySessionBackend, Owner, Removal, SessionBackend, SessionKey, Write,
};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, ReplicatedSessionBackend};
use cloakroom_testkit::{Fault, Operation};

use crate::pair::{Pair, held, lives, pause, quick};

#[tokio::test(start_paused = true)]
async fn secondary_slow_async_writes_do_not_wait_for_it() {
    let pair = Pair::new(AsyncReplication, quick());
    pair.backend.count(&Filter::unscoped()).await.unwrap();
    let gate = pair.secondary.hold_before(Operation::Write);
    let worker = pair.backend.worker().start();
    let begin = tokio::time::Instant::now();
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(pair.create("{}").await.0);
    }
    gate.arrived().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    gate.open();
    assert_eq!(worker.stop(Duration::from_secs(1)).await, 0);
    for key in &keys {
        assert!(lives(&pair.secondary, key).await);
    }
}

#[tokio::test(start_paused = true)]
async fn secondary_full_or_read_only_is_left_behind_and_the_site_goes_on() {
    for kind in [ErrorKind::QuotaExceeded, ErrorKind::Unexpected] {
        for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
            let pair = Pair::new(strategy, quick());
            let worker = pair.backend.worker().start();
            pair.secondary.inject(Fault::before(Operation::Write, kind).always());
            let (key, record) = pair.create("{}").await;
            pause(Duration::from_secs(5)).await;
            assert_eq!(pair.backend.read(&key).await.unwrap(), Some(record));
            assert_ne!(pair.backend.status().copies[1], CopyStatus::InSync, "{kind:?} {strategy:?}");
            pair.secondary.clear();
            pause(Duration::from_secs(120)).await;
            assert_eq!(pair.backend.status().copies[1], CopyStatus::InSync, "it recovers alone");
            assert!(lives(&pair.secondary, &key).await);
            drop(worker);
        }
    }
}

/// Not migrated, of another version, or with a login that was revoked: the store says so, and is away for all that.
#[tokio::test(start_paused = true)]
async fn secondary_that_is_not_fit_for_use_is_left_behind_and_the_site_goes_on() {
    for kind in [ErrorKind::InvalidConfig, ErrorKind::Corrupted, ErrorKind::Unsupported] {
        for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
            let pair = Pair::new(strategy, quick());
            let worker = pair.backend.worker().start();
            pair.create("the first use").await;
            pair.secondary.inject(Fault::before(None, kind).always());
            let (key, record) = pair.create("{}").await;
            pause(Duration::from_secs(5)).await;
            assert_eq!(pair.backend.read(&key).await.unwrap(), Some(record));
            assert_eq!(pair.backend.status().copies[1], CopyStatus::Behind, "{kind:?} {strategy:?}");
            let other = pair.other();
            other.write(&key, pair.record("again"), Write::overwrite()).await.unwrap();
            pair.secondary.clear();
            pause(Duration::from_secs(120)).await;
            assert_eq!(pair.backend.status().copies[1], CopyStatus::InSync, "it recovers alone");
            assert!(lives(&pair.secondary, &key).await);
            drop(worker);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn record_too_large_for_the_secondary_keeps_no_other_from_it() {
    let pair = Pair::new(SyncReplication, quick());
    pair.create("the first use").await;
    pair.secondary.disconnect();
    for _ in 0..5 {
        pair.create("{}").await;
    }
    pair.secondary.reconnect();
    pair.secondary.inject(Fault::before(Operation::Write, ErrorKind::TooLarge).on_nth(4));
    let first = pair.backend.reconcile().await.unwrap();
    assert_eq!((first.repaired, first.undecided), (4, 1));
    assert_ne!(pair.backend.status().copies[1], CopyStatus::InSync);
    let second = pair.backend.reconcile().await.unwrap();
    assert_eq!((second.repaired, second.undecided), (1, 0));
    assert_eq!(pair.backend.status().copies[1], CopyStatus::InSync);
}

#[tokio::test(start_paused = true)]
async fn secondary_with_newer_records_follows_the_primary() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, record) = pair.create("{}").await;
        let worker = pair.backend.worker().start();
        pause(Duration::from_millis(10)).await;
        let later = pair.next(&pair.next(&record, ""), "later");
        pair.secondary.inner().inner().write(&key, later, Write::overwrite()).await.unwrap();
        // Long enough ago that nobody can be writing it.
        pair.clock.advance(Duration::from_secs(60));
        let next = pair.next(&record, "next");
        pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
        worker.stop(Duration::from_secs(1)).await;
        assert_eq!(held(&pair.secondary, &key).await, Some(next), "{strategy:?}");
    }
}

/// The loser of a compare-and-swap takes back what it put on the copy.
#[tokio::test(start_paused = true)]
async fn parallel_write_that_the_primary_refuses_leaves_nothing_on_the_secondary() {
    let pair = Pair::new(SyncReplication, quick());
    let (key, record) = pair.create("{}").await;
    // Another process won, and has not reached the secondary yet.
    let won = pair.next(&record, "won");
    pair.primary.inner().inner().write(&key, won.clone(), Write::update(record.version)).await.unwrap();
    let lost = pair.backend.write(&key, pair.next(&record, "lost"), Write::update(record.version)).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(held(&pair.secondary, &key).await, Some(won));
}

#[tokio::test(start_paused = true)]
async fn write_that_is_dropped_half_way_is_finished() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, record) = pair.create("{}").await;
        let gate = pair.secondary.hold_before(Operation::Write);
        let next = pair.next(&record, "next");
        let writing = pair.backend.clone();
        let (to, with, how) = (key.clone(), next.clone(), Write::update(record.version));
        let task = tokio::spawn(async move { writing.write(&to, with, how).await });
        gate.arrived().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        gate.open();
        pause(Duration::from_millis(10)).await;
        assert_eq!(held(&pair.secondary, &key).await, Some(next), "{strategy:?}");
    }
}

/// Someone removed it and went away before the secondary heard of it: the next one who asks sees to it.
#[tokio::test(start_paused = true)]
async fn removal_that_finds_nothing_makes_sure_that_nothing_is_left() {
    let pair = Pair::new(AcknowledgedReplication, quick());
    let owner = Owner::parse("user:1").unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = SessionKey::generate().unwrap();
        let record = pair.record("{}").with_owner(Some(owner.clone()));
        pair.backend.write(&key, record.clone(), Write::create()).await.unwrap();
        let tombstone =
            cloakroom_core::Record::ended(pair.clock.now(), pair.clock.now() + Duration::from_secs(9_000));
        pair.primary.inner().inner().write(&key, tombstone, Write::update(record.version)).await.unwrap();
        keys.push(key);
    }
    assert!(!pair.backend.remove(&keys[0], Removal::Flushed).await.unwrap());
    assert!(!lives(&pair.secondary, &keys[0]).await);
    let revoked =
        pair.backend.remove_all(&Filter::unscoped().with_owner(owner), Removal::Revoked).await.unwrap();
    assert_eq!(revoked, 0);
    assert!(!lives(&pair.secondary, &keys[1]).await);
}

#[tokio::test]
async fn name_that_is_stored_again_after_a_removal_reaches_all_copies() {
    use cloakroom_core::SessionBackendExt;
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let worker = pair.backend.worker().start();
        pair.backend.save("name", &1, Some(60)).await.unwrap();
        assert!(pair.backend.delete("name").await.unwrap());
        pair.clock.advance(Duration::from_secs(1));
        pair.backend.save("name", &2, Some(60)).await.unwrap();
        assert_eq!(worker.stop(Duration::from_secs(5)).await, 0);
        for copy in [&pair.primary, &pair.secondary] {
            assert_eq!(copy.inner().inner().load::<i32>("name").await.unwrap(), Some(2), "{strategy:?}");
        }
    }
}

#[tokio::test]
async fn reserved_scope_and_too_large_payloads_are_refused() {
    let pair = Pair::new(SyncReplication, quick());
    let key = SessionKey::generate().unwrap();
    let scope = cloakroom_core::Scope::parse("cloakroom:replication").unwrap();
    let refused =
        pair.backend.write(&key.scoped(&scope), pair.record("{}"), Write::create()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidKey);

    let small = InMemorySessionBackend::builder().with_max_payload(100).build();
    let uneven = ReplicatedSessionBackend::new(InMemorySessionBackend::new(), small, SyncReplication);
    assert_eq!(uneven.capability().max_payload, 100);
    let refused = uneven.write(&key, pair.record(&"x".repeat(101)), Write::create()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert_eq!(uneven.primary().read(&key).await.unwrap(), None);
}

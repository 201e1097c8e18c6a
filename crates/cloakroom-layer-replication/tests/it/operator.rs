//! What an operator does, and what befalls the stores.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, InMemorySessionBackend, Record, Removal, SessionBackend, SessionBackendExt,
    SessionKey, SharedBackend, Write,
};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover, ReplicatedSessionBackend};

use crate::pair::{Copy, Kept, Pair, held, lives, pause, quick, way_to};

/// Another node, without anything, in its place.
async fn replace(copy: &Copy) {
    copy.inner().inner().remove_all(&Filter::everywhere(), Removal::Expired).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn emptied_primary_is_not_believed_and_the_secondary_is_promoted() {
    for policy in [Failover::Refuse, Failover::Promote] {
        let pair = Pair::new(SyncReplication, quick().with_failover(policy));
        let worker = pair.backend.worker().start();
        let (key, record) = pair.create("{}").await;
        pause(Duration::from_secs(1)).await;
        replace(&pair.primary).await;
        pause(Duration::from_secs(1)).await;
        if policy == Failover::Refuse {
            assert_eq!(pair.backend.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
            assert!(pair.backend.reconcile().await.is_err());
            assert!(lives(&pair.secondary, &key).await, "nothing is buried by what is empty");
            // A process that starts now does not believe it either.
            let other = pair.other();
            assert_eq!(other.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
            other.promote(1).await.unwrap();
            pause(Duration::from_millis(200)).await;
        }
        assert_eq!(pair.backend.read(&key).await.unwrap(), Some(record.clone()), "{policy:?}");
        pair.clock.advance(Duration::from_secs(10));
        pause(Duration::from_secs(10)).await;
        assert_eq!(pair.backend.status().copies, [CopyStatus::InSync, CopyStatus::Authority], "{policy:?}");
        assert_eq!(held(&pair.primary, &key).await, Some(record));
        pair.backend.promote(0).await.unwrap();
        pair.create("after").await;
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_secondary_beside_a_store_with_sessions_is_behind_until_it_has_them() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    let store = pair.primary.inner().inner();
    let (key, record) = (SessionKey::generate().unwrap(), pair.record("before"));
    store.write(&key, record.clone(), Write::create()).await.unwrap();
    let worker = pair.backend.worker().start();
    assert_eq!(pair.backend.read(&key).await.unwrap(), Some(record.clone()));
    assert_eq!(pair.backend.status().copies, [CopyStatus::Authority, CopyStatus::Behind]);
    pair.primary.disconnect();
    pause(Duration::from_secs(1)).await;
    assert!(pair.backend.read(&key).await.is_err());
    pair.primary.reconnect();
    pair.clock.advance(Duration::from_secs(10));
    pause(Duration::from_secs(10)).await;
    assert_eq!(pair.backend.status().copies, [CopyStatus::Authority, CopyStatus::InSync]);
    assert_eq!(held(&pair.secondary, &key).await, Some(record.clone()));
    // The same when its node is replaced while it is in use.
    replace(&pair.secondary).await;
    pause(Duration::from_millis(60)).await;
    assert_ne!(pair.backend.status().copies[1], CopyStatus::InSync);
    pause(Duration::from_secs(10)).await;
    assert_eq!(held(&pair.secondary, &key).await, Some(record));
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn secondary_is_promoted_by_hand_while_the_primary_is_away() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let worker = pair.backend.worker().start();
        let (key, record) = pair.create("{}").await;
        pause(Duration::from_secs(1)).await;
        pair.primary.disconnect();
        let other = pair.other();
        assert!(other.read(&key).await.is_err(), "it cannot know");
        other.promote(1).await.unwrap();
        let next = pair.next(&record, "next");
        other.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
        pause(Duration::from_millis(200)).await;
        assert_eq!(pair.backend.read(&key).await.unwrap(), Some(next.clone()), "{strategy:?}");
        pair.primary.reconnect();
        pair.clock.advance(Duration::from_secs(10));
        pause(Duration::from_secs(10)).await;
        assert_eq!(pair.backend.status().copies, [CopyStatus::InSync, CopyStatus::Authority]);
        assert_eq!(held(&pair.primary, &key).await, Some(next));
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_while_the_decision_moves_and_the_queue_is_emptied_before() {
    let pair = Pair::new(AsyncReplication, quick());
    let worker = pair.backend.worker().start();
    let mut keys = Vec::new();
    for _ in 0..200 {
        keys.push(pair.create("{}").await.0);
    }
    let backend = pair.backend.clone();
    let task = tokio::spawn(async move { backend.promote(1).await });
    pause(Duration::from_millis(100)).await;
    let refused = pair.backend.write(&keys[0], pair.record("{}"), Write::overwrite()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(pair.backend.read(&keys[0]).await.unwrap().is_some());
    assert_eq!(pair.backend.count(&Filter::everywhere()).await.unwrap(), 200);
    task.await.unwrap().unwrap();
    assert_eq!(pair.backend.status().copies, [CopyStatus::InSync, CopyStatus::Authority]);
    for key in &keys {
        assert!(pair.backend.read(key).await.unwrap().is_some());
    }
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn session_that_could_not_be_saved_can_still_be_read() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let worker = pair.backend.worker().start();
        let (key, record) = pair.create("{}").await;
        pause(Duration::from_secs(1)).await;
        pair.primary.disconnect();
        let next = pair.next(&record, "next");
        assert!(pair.backend.write(&key, next, Write::update(record.version)).await.is_err());
        // With sync the secondary may have it: what became of it is not known.
        assert!(pair.backend.read(&key).await.unwrap().unwrap().is_live(), "{strategy:?}");
        drop(worker);
    }
}

#[tokio::test(start_paused = true)]
async fn copies_in_another_order_than_before_invalid_config() {
    let pair = Pair::new(SyncReplication, quick());
    let (key, _) = pair.create("{}").await;
    let swapped = pair.other_over(&pair.secondary, &pair.primary);
    assert_eq!(swapped.read(&key).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

/// It stood still while the secondary went; for all it knows that one decides by now.
#[tokio::test(start_paused = true)]
async fn process_that_does_not_know_who_decides_goes_on_by_the_word_of_an_operator() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    let (key, record) = pair.create("{}").await;
    let secondary = way_to(&pair.secondary);
    let backend = pair.other_over(&pair.primary, &secondary);
    backend.read(&key).await.unwrap();
    pause(Duration::from_secs(1)).await;
    secondary.disconnect();
    let worker = backend.worker().start();
    pause(Duration::from_secs(1)).await;
    assert_eq!(backend.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(backend.status().in_doubt);
    backend.promote(0).await.unwrap();
    assert!(!backend.status().in_doubt);
    assert_eq!(backend.status().copies, [CopyStatus::Authority, CopyStatus::Behind]);
    let next = pair.next(&record, "next");
    backend.write(&key, next, Write::update(record.version)).await.unwrap();
    drop(worker);
}

/// Not by the worker either, or the order that is right would be another one than there was.
#[tokio::test(start_paused = true)]
async fn copies_that_do_not_fit_get_no_record_and_fit_in_another_order() {
    let forgets = InMemorySessionBackend::new().shared();
    let keeps = Kept::new(InMemorySessionBackend::new()).shared();
    let backend = |copies: [&SharedBackend; 2]| {
        let [primary, secondary] = copies.map(Clone::clone);
        ReplicatedSessionBackend::with_config(primary, vec![secondary], SyncReplication, quick())
    };
    let wrong = backend([&forgets, &keeps]);
    let worker = wrong.worker().start();
    pause(Duration::from_secs(2)).await;
    for error in [wrong.promote(1).await.unwrap_err(), wrong.reconcile().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
    drop(worker);
    for copy in [&forgets, &keeps] {
        assert_eq!(copy.count(&Filter::everywhere()).await.unwrap(), 0);
    }
    let right = backend([&keeps, &forgets]);
    let key = SessionKey::generate().unwrap();
    let record = Record::new("{}", right.clock().now());
    right.write(&key, record, Write::create()).await.unwrap();
}

//! What arrives late, and what a former authority did that nobody heard of.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, State, Touch, Write,
};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover};
use cloakroom_testkit::{Fault, Operation};

use crate::pair::{Copy, Pair, held, lives, pause, quick, way_to};

/// Past the faults, and past replication: as one that was sent long ago, or by a process that is gone.
async fn rotate_there(copy: &Copy, key: &SessionKey, record: &Record, pair: &Pair) -> SessionKey {
    let new = SessionKey::generate().unwrap();
    let now = pair.clock.now();
    let trail = Record::moved(new.id(), now, now + Duration::from_secs(3_600));
    let how = Rotate::new(record.version).with_trail(trail);
    copy.inner().inner().rotate(key, &new, pair.next(record, "rotated"), how).await.unwrap();
    new
}

/// Where people sign in all the time no scan finds nothing, and who signed in again must stay.
#[tokio::test(start_paused = true)]
async fn revocation_of_all_ends_who_was_there_and_not_who_comes_since() {
    let pair = Pair::new(SyncReplication, quick());
    let mut before = Vec::new();
    for _ in 0..300 {
        before.push(pair.create("{}").await.0);
    }
    let gate = pair.primary.hold_before(Operation::Count);
    let backend = pair.backend.clone();
    let revoking =
        tokio::spawn(async move { backend.remove_all(&Filter::everywhere(), Removal::Revoked).await });
    gate.arrived().await;
    pair.clock.advance(Duration::from_secs(1));
    let (since, _) = pair.create("{}").await;
    gate.open();
    assert_eq!(revoking.await.unwrap().unwrap(), 300);
    for copy in [&pair.primary, &pair.secondary] {
        for key in &before {
            assert!(!lives(copy, key).await);
        }
        assert!(lives(copy, &since).await);
    }
}

/// Without a marker, what is still on its way to a copy would live there.
#[tokio::test(start_paused = true)]
async fn revocation_leaves_a_marker_of_what_began_meanwhile() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let worker = pair.backend.worker().start();
        pair.create("of somebody else").await;
        let owner = Owner::parse("user:1").unwrap();
        let filter = Filter::unscoped().with_owner(owner.clone());
        let gate = pair.primary.hold_before(Operation::Count);
        let backend = pair.backend.clone();
        let revoking = tokio::spawn(async move { backend.remove_all(&filter, Removal::Revoked).await });
        gate.arrived().await;
        let key = SessionKey::generate().unwrap();
        let record = pair.record("{}").with_owner(Some(owner));
        pair.backend.write(&key, record, Write::create()).await.unwrap();
        gate.open();
        assert_eq!(revoking.await.unwrap().unwrap(), 1, "{strategy:?}");
        pause(Duration::from_secs(1)).await;
        for copy in [&pair.primary, &pair.secondary] {
            assert_eq!(held(copy, &key).await.unwrap().state, State::Ended, "{strategy:?}");
        }
        drop(worker);
    }
}

/// The same copy decides again, but what it had accepted may have been replaced in between.
#[tokio::test(start_paused = true)]
async fn write_of_a_former_term_of_the_same_copy_is_not_acknowledged() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick().with_patience(Duration::from_secs(10)));
        let (key, before) = pair.create("before").await;
        let other = pair.other_over(&way_to(&pair.primary), &way_to(&pair.secondary));
        let worker = other.worker().start();
        pause(Duration::from_secs(1)).await;
        let gate = pair.secondary.hold_before(Operation::Write);
        let (backend, of, next) = (pair.backend.clone(), key.clone(), pair.next(&before, "next"));
        let writing =
            tokio::spawn(async move { backend.write(&of, next, Write::update(before.version)).await });
        gate.arrived().await;
        for copy in [1, 0] {
            other.promote(copy).await.unwrap();
            pause(Duration::from_secs(1)).await;
        }
        gate.open();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{strategy:?}");
        drop(worker);
    }
}

/// Between the creation and its second attempt somebody rotated the session, and went.
#[tokio::test(start_paused = true)]
async fn creation_of_what_was_rotated_meanwhile_brings_what_it_became() {
    let pair = Pair::new(AcknowledgedReplication, quick());
    pair.create("the first use").await;
    pair.secondary.inject(Fault::before(Operation::Write, ErrorKind::Unavailable));
    let (key, record) = (SessionKey::generate().unwrap(), pair.record("{}"));
    let (backend, of, created) = (pair.backend.clone(), key.clone(), record.clone());
    let creating = tokio::spawn(async move { backend.write(&of, created, Write::create()).await });
    pause(Duration::from_millis(5)).await;
    let new = rotate_there(&pair.primary, &key, &record, &pair).await;
    creating.await.unwrap().unwrap();
    assert_eq!(held(&pair.secondary, &key).await.unwrap().state, State::Moved);
    assert!(lives(&pair.secondary, &new).await, "the session must not be at neither key");
}

/// The copy decided before, and whoever rotated there got no answer.
#[tokio::test(start_paused = true)]
async fn rotation_that_only_a_former_authority_knows_leaves_no_second_session() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, record) = pair.create("{}").await;
        let new = rotate_there(&pair.secondary, &key, &record, &pair).await;
        let later = pair.clock.now() + Duration::from_secs(7_200);
        pair.backend.touch(&key, Touch::new(record.version, later)).await.unwrap();
        assert!(lives(&pair.secondary, &key).await, "{strategy:?}");
        assert!(!lives(&pair.secondary, &new).await, "{strategy:?}");
    }
}

/// For a process that has not heard of the promotion, all that began since then is an orphan.
#[tokio::test(start_paused = true)]
async fn revocation_by_who_heard_of_no_promotion_ends_nothing_there() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    pair.create("the first use").await;
    let primary = way_to(&pair.primary);
    let other = pair.other_over(&primary, &way_to(&pair.secondary));
    let worker = other.worker().start();
    pause(Duration::from_secs(1)).await;
    primary.disconnect();
    pause(Duration::from_secs(2)).await;
    assert_eq!(other.status().promotions, 1);
    let owner = Owner::parse("user:1").unwrap();
    let key = SessionKey::generate().unwrap();
    let record = pair.record("{}").with_owner(Some(owner.clone()));
    other.write(&key, record, Write::create()).await.unwrap();
    let filter = Filter::unscoped().with_owner(owner);
    let error = pair.backend.remove_all(&filter, Removal::Revoked).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(lives(&pair.secondary, &key).await);
    drop(worker);
}

/// The copy was listed before a rotation that both have heard of by now: the old key was no orphan.
#[tokio::test(start_paused = true)]
async fn revocation_beside_a_rotation_waits_for_nothing_and_loses_no_copy() {
    for strategy in [SyncReplication, AcknowledgedReplication] {
        let pair = Pair::new(strategy, quick());
        pair.create("of somebody else").await;
        let owner = Owner::parse("user:1").unwrap();
        let filter = Filter::unscoped().with_owner(owner.clone());
        let counted = pair.primary.hold_after(Operation::Count);
        let backend = pair.backend.clone();
        let revoking = tokio::spawn(async move { backend.remove_all(&filter, Removal::Revoked).await });
        counted.arrived().await;
        let (key, new) = (SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
        let record = pair.record("{}").with_owner(Some(owner.clone()));
        pair.backend.write(&key, record.clone(), Write::create()).await.unwrap();
        let listed = pair.secondary.hold_after(Operation::Scan);
        counted.open();
        listed.arrived().await;
        let next = pair.next(&record, "{}").with_owner(Some(owner));
        pair.backend.rotate(&key, &new, next, Rotate::new(record.version)).await.unwrap();
        listed.open();
        let begin = tokio::time::Instant::now();
        assert_eq!(revoking.await.unwrap().unwrap(), 0, "{strategy:?}");
        assert!(begin.elapsed() < Duration::from_millis(100), "{strategy:?}: {:?}", begin.elapsed());
        assert_eq!(pair.backend.status().copies[1], CopyStatus::InSync, "{strategy:?}");
        assert!(lives(&pair.primary, &new).await && lives(&pair.secondary, &new).await, "it began later");
    }
}

/// Its version is of an hour from now. Whoever wrote it does not report success any more when the patience is over.
#[tokio::test(start_paused = true)]
async fn copy_with_a_record_of_a_clock_that_was_ahead_follows_within_the_patience() {
    let pair = Pair::new(SyncReplication, quick());
    let (key, record) = pair.create("{}").await;
    let ahead = pair.next(&record, "ahead");
    let ahead = ahead.with_version(record.version.next(pair.clock.now() + Duration::from_secs(3_600)));
    pair.secondary.inner().inner().write(&key, ahead, Write::update(record.version)).await.unwrap();
    let next = pair.next(&record, "next");
    pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
    assert_eq!(held(&pair.secondary, &key).await.unwrap().version, next.version);
}

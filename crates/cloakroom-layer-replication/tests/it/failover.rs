//! Another copy takes over, and what is known of that outlives the process.

use std::time::Duration;

use cloakroom_core::{ErrorKind, Filter, Removal, Rotate, SessionBackend, SessionBackendExt, Write};
use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{CopyStatus, Failover};

use crate::pair::{Pair, held, lives, pause, quick};

/// Bug 29 of the origin: with the primary down, a load returned its error.
#[tokio::test(start_paused = true)]
async fn primary_down_reads_go_to_the_secondary_and_writes_are_refused_by_default() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick());
        let (key, record) = pair.create("{}").await;
        let (ended, _) = pair.create("{}").await;
        pair.backend.remove(&ended, Removal::Flushed).await.unwrap();
        pair.primary.disconnect();
        // With async nothing has left the queue yet; what is in it is seen all the same.
        assert_eq!(pair.backend.read(&key).await.unwrap(), Some(record.clone()), "{strategy:?}");
        let read = pair.backend.read(&ended).await.unwrap();
        assert!(read.is_none_or(|record| !record.is_live()), "{strategy:?}: a deleted session is read");
        assert_eq!(pair.backend.status().failover_reads, 2);
        let next = pair.next(&record, "next");
        let refused = pair.backend.write(&key, next, Write::update(record.version)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(pair.backend.status().promotions, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn promoted_secondary_decides_and_the_primary_catches_up_when_it_returns() {
    for strategy in [SyncReplication, AcknowledgedReplication, AsyncReplication] {
        let pair = Pair::new(strategy, quick().with_failover(Failover::Promote));
        let worker = pair.backend.worker().start();
        let (key, record) = pair.create("before").await;
        let (ended, _) = pair.create("ended").await;
        pause(Duration::from_millis(50)).await;
        pair.primary.disconnect();
        // The one that meets the outage is refused: nobody knows what became of it.
        let lost = pair.backend.write(&key, pair.next(&record, "lost"), Write::update(record.version)).await;
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(pair.backend.status().copies, [CopyStatus::Behind, CopyStatus::Authority]);
        let record = pair.backend.read(&key).await.unwrap().unwrap();
        let next = pair.next(&record, "during");
        pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
        assert!(pair.backend.remove(&ended, Removal::Flushed).await.unwrap());
        let (new, _) = pair.create("new").await;

        // Back, but stale: not asked until it has everything.
        pair.primary.reconnect();
        assert!(!pair.backend.read(&ended).await.unwrap().unwrap().is_live());
        pair.clock.advance(Duration::from_secs(5));
        pause(Duration::from_secs(5)).await;
        let status = pair.backend.status();
        assert_eq!(status.copies, [CopyStatus::InSync, CopyStatus::Authority], "{strategy:?}: {status:?}");
        assert_eq!(held(&pair.primary, &key).await, Some(next), "{strategy:?}");
        assert!(lives(&pair.primary, &new).await && !lives(&pair.primary, &ended).await);

        // On request the primary decides again.
        pair.backend.promote(0).await.unwrap();
        assert_eq!(pair.backend.status().copies, [CopyStatus::Authority, CopyStatus::InSync]);
        pair.create("after").await;
        assert_eq!(worker.stop(Duration::from_secs(1)).await, 0);
        assert_eq!(
            pair.backend.count(&Filter::everywhere()).await.unwrap(),
            3,
            "control records are not counted"
        );
        assert_eq!(pair.backend.scan(&Filter::everywhere(), None, 10).await.unwrap().entries.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn process_that_starts_in_the_outage_knows_who_decides() {
    let pair = Pair::new(SyncReplication, quick().with_failover(Failover::Promote));
    let (key, record) = pair.create("{}").await;
    pair.primary.disconnect();
    let lost = pair.backend.write(&key, pair.next(&record, "lost"), Write::update(record.version)).await;
    assert!(lost.is_err());
    let record = pair.backend.read(&key).await.unwrap().unwrap();
    assert!(pair.backend.remove(&key, Removal::Flushed).await.unwrap());
    drop(record);

    let second = pair.other();
    assert!(!second.read(&key).await.unwrap().unwrap().is_live(), "with the secondary alone");
    pair.primary.reconnect();
    let third = pair.other();
    assert!(!third.read(&key).await.unwrap().unwrap().is_live(), "with both, and the primary stale");
    assert_eq!(third.status().copies, [CopyStatus::Behind, CopyStatus::Authority]);
    pair.secondary.disconnect();
    let fourth = pair.other();
    let refused = fourth.read(&key).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "the stale primary alone proves nothing");
}

#[tokio::test(start_paused = true)]
async fn copy_that_is_behind_is_neither_read_nor_promoted() {
    let pair = Pair::new(AcknowledgedReplication, quick().with_failover(Failover::Promote));
    let (key, record) = pair.create("{}").await;
    pair.secondary.disconnect();
    let next = pair.next(&record, "next");
    pair.backend.write(&key, next.clone(), Write::update(record.version)).await.unwrap();
    pair.secondary.reconnect();
    pair.primary.disconnect();
    assert_eq!(pair.backend.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let last = pair.next(&next, "last");
    let refused = pair.backend.write(&key, last, Write::update(next.version)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(pair.backend.status().promotions, 0);
    // A process that starts now cannot know, and does not guess.
    assert_eq!(pair.other().read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
    pair.primary.reconnect();
    assert_eq!(pair.other().read(&key).await.unwrap(), Some(next));
}

#[tokio::test(start_paused = true)]
async fn rotation_that_a_copy_missed_is_made_there_in_one_step() {
    let pair = Pair::new(SyncReplication, quick());
    let (old, record) = pair.create("{}").await;
    let new = cloakroom_core::SessionKey::generate().unwrap();
    let now = pair.clock.now();
    let trail = cloakroom_core::Record::moved(new.id(), now, now + Duration::from_secs(60));
    // The copy's answer is lost, twice: its outcome is unknown.
    pair.secondary.inject(cloakroom_testkit::Fault::after(
        cloakroom_testkit::Operation::Rotate,
        ErrorKind::Unavailable,
    ));
    let next = pair.next(&record, "next");
    let how = Rotate::new(record.version).with_trail(trail.clone());
    pair.backend.rotate(&old, &new, next.clone(), how).await.unwrap();
    assert_eq!(held(&pair.secondary, &new).await, Some(next));
    assert_eq!(held(&pair.secondary, &old).await, Some(trail));
    assert_eq!(pair.backend.status().copies, [CopyStatus::Authority, CopyStatus::InSync]);
}

#[tokio::test(start_paused = true)]
async fn resync_makes_a_replaced_copy_equal_and_tells_how_far_it_is() {
    let pair = Pair::new(SyncReplication, quick());
    let mut keys = Vec::new();
    for number in 0..450 {
        keys.push(pair.create(&number.to_string()).await.0);
    }
    // Another node took the secondary's place: it has something of its own, and nothing of ours.
    let store = pair.secondary.inner().inner();
    store.remove_all(&Filter::everywhere(), Removal::Expired).await.unwrap();
    let foreign = cloakroom_core::SessionKey::generate().unwrap();
    store.write(&foreign, pair.record("foreign"), Write::create()).await.unwrap();
    let mut steps = Vec::new();
    let report =
        pair.backend.resync(1, |progress| steps.push((progress.compared, progress.checked))).await.unwrap();
    assert_eq!((report.compared, report.buried, report.undecided), (450, 1, 0));
    assert_eq!(steps.first(), Some(&(200, 0)));
    assert_eq!(steps.last(), Some(&(450, 451)));
    for key in &keys {
        assert_eq!(held(&pair.primary, key).await, held(&pair.secondary, key).await);
    }
    assert!(!lives(&pair.secondary, &foreign).await);
    assert_eq!(pair.backend.resync(0, |_| {}).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert!(pair.backend.exists("nothing").await.is_ok_and(|exists| !exists));
}

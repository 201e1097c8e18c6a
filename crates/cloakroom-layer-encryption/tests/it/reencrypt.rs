//! The pass that seals everything with the first key.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, Removal, Session, SessionBackend, SessionBackendExt, SessionKey, Touch, Write,
};
use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer, Reencrypted};
use cloakroom_testkit::{Fault, Faulty, Operation};

use crate::place::{Place, SECRET, key, kind, owner, ring, scope};

async fn pass<B: SessionBackend>(backend: &EncryptedSessionBackend<B>, limit: usize) -> Reencrypted {
    let mut sum = Reencrypted::default();
    let mut after = None;
    loop {
        let step = backend.reencrypt(after, limit).await.unwrap();
        sum.resealed += step.resealed;
        sum.current += step.current;
        sum.changed += step.changed;
        sum.refused += step.refused;
        after = step.next;
        if after.is_none() {
            return sum;
        }
    }
}

fn counts(done: &Reencrypted) -> [u64; 4] {
    [done.resealed, done.current, done.changed, done.refused]
}

#[tokio::test]
async fn pass_seals_all_with_the_first_key_and_changes_nothing_else() {
    let place = Place::new();
    let old = place.with([1]);
    let mut sessions = Vec::new();
    for index in 0..25 {
        let by = (index % 2 == 0).then(|| owner("user:1"));
        let key = SessionKey::generate().unwrap();
        let key = if index % 3 == 0 { key.scoped(&scope("tenant:a:")) } else { key };
        let record = place.record(&format!("{{\"session\":{index}}}")).with_owner(by);
        old.write(&key, record.clone(), Write::create()).await.unwrap();
        sessions.push((key, record));
    }
    place.clock.advance(Duration::from_secs(60));
    let rotated = place.with([2, 1]);
    place.create(&rotated, &place.record("{}")).await;
    assert_eq!(counts(&pass(&rotated, 4).await), [25, 1, 0, 0]);
    assert_eq!(counts(&pass(&rotated, 4).await), [0, 26, 0, 0], "what is done is not done again");

    let new = place.with([2]);
    for (key, record) in sessions {
        let mut read = new.read(&key).await.unwrap().unwrap();
        assert!(read.version > record.version);
        read.version = record.version;
        assert_eq!(read, record);
    }
}

#[tokio::test]
async fn pass_given_up_half_way_goes_on_at_its_cursor() {
    let place = Place::new();
    for _ in 0..10 {
        place.create(&place.with([1]), &place.record("{}")).await;
    }
    let rotated = place.with([2, 1]);
    let step = rotated.reencrypt(None, 4).await.unwrap();
    assert_eq!(counts(&step), [4, 0, 0, 0]);
    // As an operator's tool would keep it.
    let bytes = step.next.unwrap().as_bytes().to_vec();
    let rest = rotated.reencrypt(Some(cloakroom_core::Cursor::new(bytes)), 100).await.unwrap();
    assert_eq!(counts(&rest), [6, 0, 0, 0]);
}

#[tokio::test]
async fn pass_reports_what_does_not_open_and_leaves_it_alone() {
    let place = Place::new();
    let lost = place.create(&place.with([3]), &place.record(SECRET)).await;
    let plain = place.create(&place.store, &place.record(SECRET)).await;
    let before = (place.stored(&lost).await, place.stored(&plain).await);
    assert_eq!(counts(&pass(&place.with([2, 1]), 10).await), [0, 0, 0, 2]);
    assert_eq!((place.stored(&lost).await, place.stored(&plain).await), before);
}

#[tokio::test]
async fn pass_seals_plain_payloads_before_the_date() {
    let place = Place::new();
    let record = place.record(SECRET).with_expires_at(None);
    let session = place.create(&place.store, &record).await;
    let end = place.clock.now() + Duration::from_secs(60);
    let backend = place.layered(EncryptionLayer::new(ring([1])).accept_plain_until(end));
    assert_eq!(counts(&pass(&backend, 10).await), [1, 0, 0, 0]);
    place.clock.advance(Duration::from_secs(61));
    assert_eq!(backend.read(&session).await.unwrap().unwrap().payload, record.payload);
}

#[tokio::test]
async fn touch_between_page_and_write_kept() {
    let place = Place::new();
    let record = place.record(SECRET);
    let session = place.create(&place.with([1]), &record).await;
    let faulty = Faulty::new(place.store.clone());
    let backend = EncryptedSessionBackend::new(faulty.clone(), ring([2, 1])).unwrap();
    let gate = faulty.hold_before(Operation::Read);
    let later = record.expires_at.unwrap() + Duration::from_secs(600);
    let step = tokio::spawn({
        let backend = backend.clone();
        async move { backend.reencrypt(None, 10).await }
    });
    gate.arrived().await;
    place.store.touch(&session, Touch::new(record.version, later)).await.unwrap();
    gate.open();
    assert_eq!(counts(&step.await.unwrap().unwrap()), [1, 0, 0, 0]);
    let read = place.with([2]).read(&session).await.unwrap().unwrap();
    assert_eq!(read.expires_at, Some(later));
}

#[tokio::test]
async fn save_or_logout_between_read_and_write_wins() {
    for logout in [false, true] {
        let place = Place::new();
        let record = place.record(SECRET);
        let session = place.create(&place.with([1]), &record).await;
        let faulty = Faulty::new(place.store.clone());
        let backend = EncryptedSessionBackend::new(faulty.clone(), ring([2, 1])).unwrap();
        let gate = faulty.hold_before(Operation::Write);
        let step = tokio::spawn(async move { backend.reencrypt(None, 10).await });
        gate.arrived().await;
        let mut next = place.record("{}");
        next.version = record.version.next(place.clock.now());
        if logout {
            assert!(place.store.remove(&session, Removal::Flushed).await.unwrap());
        } else {
            place.with([1]).write(&session, next.clone(), Write::update(record.version)).await.unwrap();
        }
        gate.open();
        assert_eq!(counts(&step.await.unwrap().unwrap()), [0, 0, 1, 0]);
        let read = place.with([2, 1]).read(&session).await.unwrap();
        assert_eq!(read, (!logout).then_some(next));
    }
}

#[tokio::test]
async fn outage_in_the_middle_is_reported_and_nothing_lost() {
    let place = Place::new();
    for _ in 0..5 {
        place.create(&place.with([1]), &place.record(SECRET)).await;
    }
    let faulty = Faulty::new(place.store.clone());
    let backend = EncryptedSessionBackend::new(faulty.clone(), ring([2, 1])).unwrap();
    faulty.inject(Fault::before(Operation::Write, ErrorKind::Unavailable));
    assert_eq!(kind(backend.reencrypt(None, 10).await), ErrorKind::Unavailable);
    assert_eq!(counts(&pass(&backend, 10).await), [5, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn passes_beside_saves_and_logouts_lose_nothing_and_revive_nothing() {
    const SESSIONS: usize = 24;
    const SAVES: u64 = 20;
    let place = Place::new();
    let old = place.with([1]).shared();
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        let session = Session::new(old.clone());
        session.login("user:1").await.unwrap();
        session.set("count", 0_u64).unwrap();
        session.save().await.unwrap();
        keys.push(session.key().unwrap());
    }
    let hashed = EncryptionLayer::new(ring([2, 1])).with_hashed_owner(&key(9)).with_former_plain_owner();
    let backend = place.layered(hashed);
    let mut tasks = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let (shared, key) = (backend.clone().shared(), key.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..SAVES {
                let session = Session::from_key(shared.clone(), key.expose()).await.unwrap();
                session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).unwrap();
                session.save().await.unwrap();
                tokio::task::yield_now().await;
            }
            if index % 2 == 0 {
                let session = Session::from_key(shared, key.expose()).await.unwrap();
                session.flush().await.unwrap();
            }
        }));
    }
    let sealing = tokio::spawn({
        // Two keys in turn, so that every pass has all to do.
        let turns = [
            backend.clone(),
            place.layered(
                EncryptionLayer::new(ring([1, 2])).with_hashed_owner(&key(9)).with_former_plain_owner(),
            ),
        ];
        async move {
            let mut resealed = 0;
            for turn in turns.iter().cycle().take(40) {
                resealed += pass(turn, 7).await.resealed;
                tokio::task::yield_now().await;
            }
            resealed
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert!(sealing.await.unwrap() > 0);
    assert_eq!(pass(&backend, 7).await.refused, 0);

    let new = place.layered(EncryptionLayer::new(ring([2])).with_hashed_owner(&key(9)));
    for (index, key) in keys.iter().enumerate() {
        let session = Session::from_key(new.clone(), key.expose()).await.unwrap();
        let expected = (index % 2 == 1).then_some(SAVES);
        assert_eq!(session.get::<u64>("count").unwrap(), expected);
    }
    let mine = Filter::everywhere().with_owner(owner("user:1"));
    assert_eq!(new.count(&mine).await.unwrap(), SESSIONS as u64 / 2);
}

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, InMemorySessionBackend, ManualClock, Record, Removal, Rotate, SessionBackend, SessionKey,
    Write,
};
use cloakroom_http::StaleBackend;
use cloakroom_testkit::{Fault, Faulty, Operation};

const MINUTE: Duration = Duration::from_secs(60);

cloakroom_testkit::conformance!(contract, |clock| async move {
    StaleBackend::new(InMemorySessionBackend::with_clock(clock), 100, Duration::from_secs(60))
});

struct Bench {
    clock: ManualClock,
    store: Faulty<InMemorySessionBackend>,
    stale: StaleBackend<Faulty<InMemorySessionBackend>>,
}

fn bench(capacity: usize) -> Bench {
    let clock = ManualClock::new();
    let store = Faulty::new(InMemorySessionBackend::with_clock(clock.clock()));
    let stale = StaleBackend::new(store.clone(), capacity, MINUTE);
    Bench { clock, store, stale }
}

impl Bench {
    async fn remembered(&self) -> (SessionKey, Record) {
        let key = SessionKey::generate().unwrap();
        let now = self.clock.now();
        let record = Record::new("{}", now).with_expires_at(Some(now + 10 * MINUTE));
        self.stale.write(&key, record.clone(), Write::create()).await.unwrap();
        self.stale.read(&key).await.unwrap();
        (key, record)
    }

    async fn is_served(&self, key: &SessionKey) -> bool {
        match self.stale.read(key).await {
            Ok(found) => found.is_some(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable);
                false
            }
        }
    }
}

#[tokio::test]
async fn read_while_the_store_is_down_serves_what_was_read_last_for_a_while() {
    let bench = bench(10);
    let (key, record) = bench.remembered().await;
    bench.store.disconnect();
    assert_eq!(bench.stale.read(&key).await.unwrap(), Some(record.clone()));
    assert!(!bench.is_served(&SessionKey::generate().unwrap()).await, "never read");
    bench.clock.advance(MINUTE);
    assert!(bench.is_served(&key).await);
    bench.clock.advance(Duration::from_millis(1));
    assert!(!bench.is_served(&key).await, "too old");
    bench.store.reconnect();
    assert_eq!(bench.stale.read(&key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn read_of_an_expired_session_while_the_store_is_down_is_unavailable() {
    let bench = bench(10);
    let key = SessionKey::generate().unwrap();
    let now = bench.clock.now();
    let record = Record::new("{}", now).with_expires_at(Some(now + MINUTE / 2));
    bench.stale.write(&key, record, Write::create()).await.unwrap();
    bench.stale.read(&key).await.unwrap();
    bench.store.disconnect();
    bench.clock.advance(MINUTE / 2);
    assert!(!bench.is_served(&key).await);
}

#[tokio::test]
async fn changes_while_the_store_is_down_are_refused() {
    let bench = bench(10);
    let (key, record) = bench.remembered().await;
    bench.store.disconnect();
    let mut next = record.clone();
    next.version = record.version.next(bench.clock.now());
    let written = bench.stale.write(&key, next, Write::update(record.version)).await;
    assert_eq!(written.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(bench.is_served(&key).await);
}

// "Gone is gone": a logout that the store did not answer may have taken place.
#[tokio::test]
async fn session_that_ended_here_is_not_served_again_even_if_nobody_knows_whether_it_ended() {
    let bench = bench(10);
    let (removed, _) = bench.remembered().await;
    let (rotated, record) = bench.remembered().await;
    let (revoked, _) = bench.remembered().await;
    bench.store.disconnect();
    bench.stale.remove(&removed, Removal::Flushed).await.unwrap_err();
    assert!(!bench.is_served(&removed).await);
    let new = SessionKey::generate().unwrap();
    bench.stale.rotate(&rotated, &new, record.clone(), Rotate::new(record.version)).await.unwrap_err();
    assert!(!bench.is_served(&rotated).await);
    assert!(bench.is_served(&revoked).await);
    bench.stale.remove_all(&Default::default(), Removal::Revoked).await.unwrap_err();
    assert!(!bench.is_served(&revoked).await);
}

#[tokio::test]
async fn session_that_ended_elsewhere_is_forgotten_once_the_store_says_so() {
    let bench = bench(10);
    let (key, _) = bench.remembered().await;
    bench.store.inner().remove(&key, Removal::Flushed).await.unwrap();
    assert_eq!(bench.stale.read(&key).await.unwrap(), None);
    bench.store.disconnect();
    assert!(!bench.is_served(&key).await);
}

// CV-14: a slow read must not bring back what was removed while it was under way.
#[tokio::test]
async fn read_under_way_while_its_session_ends_is_not_remembered() {
    let bench = bench(10);
    let (key, _) = bench.remembered().await;
    let gate = bench.store.hold_after(Operation::Read);
    let read = bench.stale.read(&key);
    let logout = async {
        gate.arrived().await;
        bench.stale.remove(&key, Removal::Flushed).await.unwrap();
        gate.open();
    };
    let (read, ()) = tokio::join!(read, logout);
    assert!(read.unwrap().is_some(), "the read saw the session before it ended");
    bench.store.disconnect();
    assert!(!bench.is_served(&key).await);
}

#[tokio::test]
async fn read_that_fails_otherwise_serves_nothing() {
    let bench = bench(10);
    let (key, _) = bench.remembered().await;
    bench.store.inject(Fault::before(Operation::Read, ErrorKind::Corrupted));
    assert_eq!(bench.stale.read(&key).await.unwrap_err().kind(), ErrorKind::Corrupted);
}

#[tokio::test]
async fn memory_beyond_its_capacity_forgets_the_oldest() {
    let bench = bench(10);
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(bench.remembered().await.0);
    }
    bench.store.disconnect();
    let mut served = Vec::new();
    for key in &keys {
        served.push(bench.is_served(key).await);
    }
    let count = served.iter().filter(|served| **served).count();
    assert!((5..=10).contains(&count), "{count}");
    assert!(served[99] && !served[0]);
    assert!(format!("{:?}", bench.stale).contains("sessions"));
}

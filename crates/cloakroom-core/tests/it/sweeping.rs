use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::*;

use crate::fault::{Fault, When};

#[derive(Clone, Debug, Default)]
struct Expired(Arc<AtomicU64>);

impl SessionObserver for Expired {
    fn notify(&self, event: &SessionEvent) {
        if let SessionEvent::Expired(count) = event {
            self.0.fetch_add(*count, Ordering::SeqCst);
        }
    }
}

async fn fill(backend: &InMemorySessionBackend, count: u64, ttl: u64) {
    for n in 0..count {
        backend.save(&format!("{ttl}-{n}"), &n, Some(ttl)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sweeper_goes_on_after_an_error_and_stops_when_told() {
    let manual = ManualClock::new();
    let memory = InMemorySessionBackend::with_clock(manual.clock());
    fill(&memory, 250, 60).await;
    fill(&memory, 10, 6000).await;
    let backend = Fault::new(&memory);
    let expired = Expired::default();
    let sweeper = Sweeper::new(backend.clone())
        .with_interval(Duration::from_secs(10))
        .with_jitter(Duration::from_secs(1))
        .with_batch(100)
        .with_observer(expired.clone())
        .start();
    settle().await;
    manual.advance(Duration::from_secs(61));
    backend.fail_next(When::Before, ErrorKind::Unavailable);
    tokio::time::advance(Duration::from_secs(12)).await;
    settle().await;
    assert_eq!(expired.0.load(Ordering::SeqCst), 0, "the first round met an error");
    tokio::time::advance(Duration::from_secs(12)).await;
    settle().await;
    assert_eq!(expired.0.load(Ordering::SeqCst), 250);
    assert_eq!(memory.statistics().stored, 10);
    sweeper.stop().await;
    backend.calls();
    tokio::time::advance(Duration::from_secs(60)).await;
    settle().await;
    assert_eq!(backend.calls(), 0);
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn extended_records_are_swept_in_their_own_time() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    fill(&backend, 20, 60).await;
    for n in 0..10 {
        let key = SessionKey::from_name(&format!("60-{n}")).unwrap();
        let record = backend.read(&key).await.unwrap().unwrap();
        let until = manual.now() + Duration::from_secs(600);
        backend.touch(&key, Touch::new(record.version, until)).await.unwrap();
    }
    manual.advance(Duration::from_secs(70));
    assert_eq!(backend.clear_expired().await.unwrap(), 10);
    assert_eq!(backend.clear_expired().await.unwrap(), 0);
    manual.advance(Duration::from_secs(600));
    assert_eq!(backend.clear_expired().await.unwrap(), 10);
    assert_eq!(backend.statistics().stored, 0);
}

#[tokio::test]
async fn full_store_refuses_and_never_evicts_the_living() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::builder().with_clock(manual.clock()).with_capacity(3).build();
    fill(&backend, 2, 60).await;
    backend.save("stays", &1, None).await.unwrap();
    assert_eq!(backend.save("new", &1, None).await.unwrap_err().kind(), ErrorKind::QuotaExceeded);
    assert!(backend.exists("60-0").await.unwrap() && backend.exists("stays").await.unwrap());
    manual.advance(Duration::from_secs(60));
    backend.save("new", &1, None).await.expect("expired ones made room");
    assert!(backend.is_healthy().await);
}

#[tokio::test]
async fn erased_and_concrete_backends_mix() {
    let memory = InMemorySessionBackend::new();
    let shared: SharedBackend = memory.clone().shared();
    let session: Session = Session::new(shared.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    assert_eq!(memory.count(&Filter::unscoped()).await.unwrap(), 1);
    shared.save("name", &"value", None).await.unwrap();
    assert_eq!(memory.load::<String>("name").await.unwrap().as_deref(), Some("value"));
    assert!(memory.delete("name").await.unwrap() && !shared.exists("name").await.unwrap());
    assert_eq!(shared.load::<u8>("").await.unwrap_err().kind(), ErrorKind::InvalidKey);
    assert!(shared.is_healthy().await);
}

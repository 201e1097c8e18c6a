//! Requests whose client went away.

use std::time::Duration;

use cloakroom_core::SessionBackend;
use cloakroom_layer_analytics::{Operation, Outcome};
use cloakroom_testkit::Operation as At;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::place::{create, key, watched};

#[tokio::test]
async fn read_dropped_half_way_cancelled_and_unpolled_not_told() {
    let (backend, told) = watched();
    let (key, _) = create(&backend).await;
    told.take();
    drop(backend.read(&key));
    assert!(told.take().is_empty(), "it did nothing");

    let gate = backend.inner().hold_before(At::Read);
    let mut read: BoxFuture<'_, _> = backend.read(&key).boxed();
    assert!((&mut read).now_or_never().is_none());
    assert!(told.take().is_empty(), "not answered yet");
    drop(read);
    let event = told.one();
    assert_eq!((event.operation, event.outcome), (Operation::Read, Outcome::Cancelled));
    assert_eq!(event.session, Some(key.id().log_hash()));
    assert!(event.latency > Duration::ZERO);
    gate.open();
    assert!(backend.read(&key).await.unwrap().is_some());
    assert_eq!(told.outcome(), Outcome::Accessed { hit: true });
}

#[tokio::test]
async fn panic_of_the_backend_passes_and_is_told_as_cancelled() {
    use cloakroom_core::{Filter, InMemorySessionBackend};
    use cloakroom_layer_analytics::InstrumentedSessionBackend;

    use crate::panic::Broken;
    use crate::place::Memory;

    let told = Memory::default();
    let backend = InstrumentedSessionBackend::new(Broken(InMemorySessionBackend::new()), told.clone());
    let count = tokio::spawn(async move { backend.count(&Filter::everywhere()).await });
    assert!(count.await.unwrap_err().is_panic());
    assert_eq!(told.outcome(), Outcome::Cancelled);

    // The sink panics while the backend's panic passes: the process lives.
    let sink = |_: &cloakroom_layer_analytics::AnalyticsEvent| std::panic::resume_unwind(Box::new(()));
    let backend = InstrumentedSessionBackend::new(Broken(InMemorySessionBackend::new()), sink);
    let both = backend.clone();
    let count = tokio::spawn(async move { both.count(&Filter::everywhere()).await });
    assert!(count.await.unwrap_err().is_panic());
    assert_eq!(backend.panics(), 1);
    assert!(backend.read(&key()).await.unwrap().is_none());
}

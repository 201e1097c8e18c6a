//! Sinks that panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_core::{
    Capability, Clock, Cursor, Filter, InMemorySessionBackend, Page, Record, Removal, Result, Rotate,
    Session, SessionBackend, SessionBackendExt, SessionKey, Touch, Write,
};
use cloakroom_layer_analytics::{AnalyticsEvent, AnalyticsLayer, CompositeAnalytics};

/// A backend that cannot count without panicking.
#[derive(Clone, Debug)]
pub(crate) struct Broken(pub(crate) InMemorySessionBackend);

impl SessionBackend for Broken {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.0.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.0.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.0.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.0.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.0.scan(filter, after, limit).await
    }

    async fn count(&self, _: &Filter) -> Result<u64> {
        std::panic::resume_unwind(Box::new("cannot count"))
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.0.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.0.sweep(limit).await
    }
}

fn panics(_: &AnalyticsEvent) {
    std::panic::resume_unwind(Box::new("a sink's own trouble"));
}

#[tokio::test]
async fn panicking_sink_fails_no_request_and_keeps_nothing_from_the_others() {
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let count = move |_: &AnalyticsEvent| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let sinks = CompositeAnalytics::new().with(panics).with(count).with(panics);
    let layer = AnalyticsLayer::new(sinks.clone());
    let backend = InMemorySessionBackend::new().layer(layer.clone());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let key = session.get_or_create_key().unwrap();
    let again = Session::from_key(backend, key.expose()).await.unwrap();
    assert_eq!(again.get("a").unwrap(), Some(1));
    let heard = heard.load(Ordering::Relaxed);
    assert!(heard >= 2);
    assert_eq!((sinks.panics(), layer.panics()), (2 * heard, 0));
}

#[tokio::test]
async fn panicking_sink_counted_for_all_backends_of_a_layer() {
    let layer = AnalyticsLayer::new(panics);
    let one = InMemorySessionBackend::new().layer(layer.clone());
    let other = InMemorySessionBackend::new().layer(layer.clone());
    one.ping().await.unwrap();
    other.ping().await.unwrap();
    assert_eq!((one.panics(), layer.panics()), (2, 2));
}

//! Analytics over the stores it is used with, and over sessions that clients keep.

use std::sync::{Arc, Mutex};

use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_core::{
    BackendLayer, Clock, ErrorKind, Filter, Record, Removal, SessionBackend, SessionBackendExt, SessionKey,
    Write,
};
use cloakroom_layer_analytics::{
    AnalyticsEvent, AnalyticsLayer, CompositeAnalytics, InstrumentedSessionBackend, LoggerAnalytics, Outcome,
    PrometheusAnalytics,
};
use cloakroom_layer_compression::{CompressionLayer, ZstdCompressor};
use prometheus::Registry;

use crate::place;

/// Every sink that there is.
fn watched<B: SessionBackend>(backend: B) -> InstrumentedSessionBackend<B> {
    let metrics = PrometheusAnalytics::new(&Registry::new()).unwrap();
    let sinks = CompositeAnalytics::new().with(metrics).with(LoggerAnalytics::new());
    AnalyticsLayer::new(sinks).layer(backend)
}

fn jwt(clock: Clock) -> JwtSessionBackend {
    JwtSessionBackend::builder([JwtKey::hs256(&[7; 32]).unwrap()]).with_clock(clock).build().unwrap()
}

cloakroom_testkit::conformance!(sqlite, |clock| async move { watched(place::sqlite(clock).await) });

cloakroom_testkit::conformance!(file, |clock| async move { watched(place::file(clock).await) });

cloakroom_testkit::conformance!(
    postgres,
    optional | clock | async move { Some(watched(place::postgres(clock).await?)) }
);

cloakroom_testkit::conformance!(cookie, |clock| async move { watched(place::cookie(clock)) });

cloakroom_testkit::conformance!(token, |clock| async move { watched(jwt(clock)) });

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<AnalyticsEvent>>>);

impl Told {
    fn layer(&self) -> AnalyticsLayer {
        let told = self.0.clone();
        AnalyticsLayer::new(move |event: &AnalyticsEvent| told.lock().unwrap().push(event.clone()))
    }

    fn one(&self) -> AnalyticsEvent {
        let mut events = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

/// The key of a sealed session changes with every write; its hash does not.
#[tokio::test]
async fn sealed_session_keeps_its_hash_from_write_to_write() {
    let told = Told::default();
    let backend = place::cookie(Clock::system()).layer(told.layer());
    assert_eq!(backend.capability(), place::cookie(Clock::system()).capability());
    let first = Record::new("{}", backend.clock().now());
    let key = backend.write(&SessionKey::generate().unwrap(), first.clone(), Write::create()).await.unwrap();
    let created = told.one();
    assert_eq!(created.outcome, Outcome::Created);

    // As it comes from a client: a text that nobody has opened yet.
    let sent = SessionKey::parse(key.expose(), &backend.capability()).unwrap();
    assert!(backend.read(&sent).await.unwrap().is_some());
    let read = told.one();
    assert_eq!((read.outcome, read.session), (Outcome::Accessed { hit: true }, created.session));

    let next = first.clone().with_version(first.version.next(backend.clock().now()));
    let again = backend.write(&sent, next, Write::update(first.version)).await.unwrap();
    assert_ne!(again.expose(), key.expose());
    let saved = told.one();
    assert_eq!((saved.outcome, saved.session), (Outcome::Saved, created.session));

    let error = backend.remove(&again, Removal::Flushed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(told.one().outcome, Outcome::Failed { kind: ErrorKind::Unsupported });
}

#[tokio::test]
async fn gauge_over_a_database_counts_what_others_stored_and_sealed_sessions_are_unsupported() {
    let analytics = PrometheusAnalytics::new(&Registry::new()).unwrap();
    let store = place::sqlite(Clock::system()).await;
    for _ in 0..3 {
        let record = Record::new("{}", store.clock().now());
        store.write(&SessionKey::generate().unwrap(), record, Write::create()).await.unwrap();
    }
    assert_eq!(analytics.refresh_active(&store).await.unwrap(), 3);
    let error = analytics.refresh_active(&place::cookie(Clock::system())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Outside of compression sizes are the application's, inside the store's.
#[tokio::test]
async fn size_depends_on_the_side_of_compression() {
    let (outside, inside) = (Told::default(), Told::default());
    let backend = place::sqlite(Clock::system())
        .await
        .layer(inside.layer())
        .layer(CompressionLayer::new(ZstdCompressor::new()))
        .layer(outside.layer());
    let payload = format!(r#"{{"text":"{}"}}"#, "many words, ".repeat(100));
    let record = Record::new(payload.clone(), backend.clock().now());
    backend.write(&SessionKey::generate().unwrap(), record, Write::create()).await.unwrap();
    assert_eq!(outside.one().payload, Some(payload.len()));
    assert!(inside.one().payload.is_some_and(|bytes| bytes < 200));
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
    assert_eq!(
        (outside.one().outcome, inside.one().outcome),
        (Outcome::Counted { count: 1 }, Outcome::Counted { count: 1 })
    );
}

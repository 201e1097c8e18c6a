//! What a reader of the log learns.

use std::sync::{Arc, Mutex};

use cloakroom_core::{ErrorKind, InMemorySessionBackend, SessionBackend, SessionBackendExt};
use cloakroom_layer_analytics::{AnalyticsLayer, CompositeAnalytics, LoggerAnalytics};
use cloakroom_testkit::{Fault, Faulty};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::place::{Memory, OWNER, PAYLOAD, key, scope, traffic};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn listen(&self, level: Level) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false);
        tracing::subscriber::set_default(subscriber.with_max_level(level).finish())
    }
}

/// ST-69, CV-32: logs and events name sessions by a salted hash, and nothing else of them.
#[tokio::test]
async fn everything_logged_and_formatted_holds_no_key_id_owner_or_payload() {
    let (log, told) = (Log::default(), Memory::default());
    let guard = log.listen(Level::TRACE);
    let store = Faulty::new(InMemorySessionBackend::new());
    let sinks =
        CompositeAnalytics::new().with(LoggerAnalytics::new().with_level(Level::TRACE)).with(told.clone());
    let layer = AnalyticsLayer::new(sinks);
    let backend = store.clone().layer(layer.clone());
    let acme = scope("acme-secret-name");
    let mut keys = traffic(&backend, None).await;
    keys.extend(traffic(&backend, Some(&acme)).await);
    store.inject(Fault::after(None, ErrorKind::Unavailable).always());
    keys.extend(traffic(&backend, None).await);
    drop(guard);

    let (log, events) = (log.text(), told.take());
    assert_eq!(log.lines().count(), events.len());
    assert!(log.lines().all(|line| line.contains("cloakroom::analytics")), "{log}");
    assert!(!log.contains("acme-secret-name"), "{log}");
    let everything = format!("{log} {events:?} {layer:?} {backend:?} {:?}", LoggerAnalytics::new());
    for key in keys {
        let (id, hash) = (key.id().as_text(), key.id().log_hash().to_string());
        for secret in [key.expose(), &id] {
            assert!(!everything.contains(secret), "{secret} in {everything}");
        }
        assert!(log.contains(&hash), "{hash} in {log}");
    }
    for secret in [PAYLOAD, "4111", OWNER, "example.org"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}

#[tokio::test]
async fn lines_have_their_level_and_fields() {
    let log = Log::default();
    let guard = log.listen(Level::INFO);
    let store = Faulty::new(InMemorySessionBackend::new());
    let quiet = store.clone().layer(AnalyticsLayer::new(LoggerAnalytics::new()));
    quiet.read(&key()).await.unwrap();
    assert_eq!(log.text(), "", "each call is for debugging only");
    store.inject(Fault::before(None, ErrorKind::Unavailable));
    quiet.read(&key()).await.unwrap_err();
    let text = log.text();
    assert!(text.contains(" WARN cloakroom::analytics: ") && text.contains("kind=\"unavailable\""), "{text}");

    let logger = LoggerAnalytics::new().with_level(Level::INFO).with_error_level(Level::ERROR);
    let loud = store.clone().layer(AnalyticsLayer::new(logger));
    loud.read(&key()).await.unwrap();
    let text = log.text();
    let line = text.lines().last().unwrap();
    for part in
        [" INFO ", "operation=\"read\"", "outcome=\"accessed\"", "latency_us=", "session=", "hit=false"]
    {
        assert!(line.contains(part), "{part} in {line}");
    }
    for part in ["payload_bytes", "reason", "kind", "count", "to="] {
        assert!(!line.contains(part), "{part} in {line}");
    }
    store.inject(Fault::before(None, ErrorKind::Unavailable));
    loud.read(&key()).await.unwrap_err();
    assert!(log.text().lines().last().unwrap().contains("ERROR"));
    drop(guard);
}

#[tokio::test]
async fn panic_of_a_sink_logged_once_without_its_message() {
    let log = Log::default();
    let guard = log.listen(Level::TRACE);
    let sink =
        |_: &cloakroom_layer_analytics::AnalyticsEvent| std::panic::resume_unwind(Box::new("secret message"));
    let backend = InMemorySessionBackend::new().layer(AnalyticsLayer::new(sink));
    for _ in 0..3 {
        backend.read(&key()).await.unwrap();
    }
    drop(guard);
    assert_eq!(log.text().matches("a sink panicked").count(), 1, "{}", log.text());
    assert!(!log.text().contains("secret message"));
    assert_eq!(backend.panics(), 3);
}

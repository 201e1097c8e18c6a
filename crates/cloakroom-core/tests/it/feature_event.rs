//! F20: observers hear of the whole life of a session.
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::*;

#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<&'static str>>>);

impl SessionObserver for Heard {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(match event {
            SessionEvent::Started(_) => "started",
            SessionEvent::Loaded(_) => "loaded",
            SessionEvent::Saved(_) => "saved",
            SessionEvent::Rotated { .. } => "rotated",
            SessionEvent::Deleted(_, reason) => reason.as_str(),
            SessionEvent::Expired(1) => "expired",
            SessionEvent::Security(SecurityEvent::RotatedKey(_)) => "rotated key",
            _ => "something else",
        });
    }
}

#[tokio::test]
async fn observer_of_a_life_hears_every_step_once() {
    let heard = Heard::default();
    let config = Arc::new(SessionConfig::default().with_observer(heard.clone()));
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let open = |key: Option<SessionKey>| Session::with_config(backend.clone(), key, Arc::clone(&config));

    let session = open(None);
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let old = session.key().unwrap();

    let request = open(Some(old.clone()));
    request.load().await.unwrap();
    request.set("a", 2).unwrap();
    request.save().await.unwrap();
    request.cycle_key().await.unwrap();
    open(Some(old)).load().await.unwrap();
    request.flush().await.unwrap();
    assert_eq!(
        std::mem::take(&mut *heard.0.lock().unwrap()),
        ["started", "loaded", "saved", "rotated", "rotated key", "flushed"]
    );

    let session = open(None);
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    manual.advance(Duration::from_secs(3600));
    let sweeper = Sweeper::new(backend.clone()).with_observer(heard.clone());
    // The session, and the marker of the rotation.
    assert_eq!(sweeper.with_batch(1).round().await, 2);
    assert_eq!(*heard.0.lock().unwrap(), ["started", "something else"]);
}

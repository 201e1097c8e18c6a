//! CV-32: no key, id or payload in anything that can be printed.

use cloakroom_core::*;

#[tokio::test]
async fn nothing_printable_contains_a_secret() {
    let backend = InMemorySessionBackend::new();
    let session = Session::new(backend.clone());
    session.set("password", "hunter2-in-clear").unwrap();
    session.login("user:secret-owner").await.unwrap();
    let key = session.key().unwrap();
    let id = session.id().unwrap();
    let record = backend.read(&key).await.unwrap().unwrap();
    let page = backend.scan(&Filter::unscoped().with_payload(), None, 10).await.unwrap();
    let stored = backend.find_by(&Filter::unscoped(), |_| true).await.unwrap();
    let error = SessionManager::new(backend.clone()).parse("not a key").unwrap_err();
    let wrong_type = session.get::<u8>("password").unwrap_err();
    let bad_value = session.set("x", f64::NAN).unwrap_err();
    let shown = [
        format!("{key} {key:?} {id:?} {record:?} {page:?} {stored:?}"),
        format!("{session:?} {backend:?} {:?}", session.config()),
        format!("{error} {error:?} {wrong_type} {wrong_type:?} {bad_value} {bad_value:?}"),
        format!("{:?} {:?}", session.key_change(), session.sessions().await.unwrap()),
        format!("{:?}", SessionEvent::Started(id)),
        format!("{:?}", Rotate::new(record.version).with_trail(record.clone())),
    ]
    .join("\n");
    for secret in [key.expose(), &*id.as_text(), "hunter2", "secret-owner"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[derive(Debug)]
struct Panics;

impl SessionObserver for Panics {
    fn notify(&self, _event: &SessionEvent) {
        panic!("an observer's bug");
    }
}

#[derive(Clone, Debug, Default)]
struct Seen(std::sync::Arc<std::sync::Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Seen {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

// CV-18
#[tokio::test]
async fn panicking_observer_keeps_nothing_from_happening() {
    let seen = Seen::default();
    let config = SessionConfig::default().with_observer(Panics).with_observer(seen.clone());
    let config = std::sync::Arc::new(config);
    let backend = InMemorySessionBackend::new();
    let session = Session::with_config(backend.clone(), None, config.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let first = session.id().unwrap();
    session.cycle_key().await.unwrap();
    let second = session.id().unwrap();
    session.set("a", 2).unwrap();
    session.save().await.unwrap();
    let key = session.key().unwrap();
    let again = Session::with_config(backend.clone(), Some(key.clone()), config.clone());
    again.flush().await.unwrap();
    let gone = Session::with_config(backend, Some(key), config);
    gone.load().await.unwrap();
    assert_eq!(
        *seen.0.lock().unwrap(),
        [
            SessionEvent::Started(first),
            SessionEvent::Rotated { from: first, to: second },
            SessionEvent::Saved(second),
            SessionEvent::Deleted(second, Removal::Flushed),
            SessionEvent::Security(SecurityEvent::UnknownKey(second)),
        ]
    );
}

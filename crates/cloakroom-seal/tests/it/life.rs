//! The whole life of a session whose backend keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    ErrorKind, InMemorySessionBackend, KeyChange, ManualClock, Removal, Session, SessionBackend,
    SessionBackendExt, SessionConfig, SessionKey, SessionManager, SharedBackend, Timeouts,
};

use crate::client::{backend, kind};

fn plain(clock: &ManualClock) -> SharedBackend {
    backend(clock).shared()
}

fn revocable(clock: &ManualClock) -> SharedBackend {
    let ended = InMemorySessionBackend::with_clock(clock.clock());
    backend(clock).with_revocation(ended).unwrap().shared()
}

/// What the browser sends after that change.
fn sent(session: &Session) -> String {
    match session.key_change() {
        KeyChange::Send(key, _) => key.expose().to_owned(),
        other => panic!("{other:?} where a text was to be sent"),
    }
}

async fn shown(backend: &SharedBackend, text: &str) -> Session {
    Session::from_key(backend.clone(), text).await.unwrap()
}

#[tokio::test]
async fn session_create_load_update_touch_each_text_is_sent() {
    let clock = ManualClock::new();
    for backend in [plain(&clock), revocable(&clock)] {
        let session = Session::new(backend.clone());
        session.set("visits", 1).unwrap();
        session.finish().await.unwrap();
        let first = sent(&session);

        let session = shown(&backend, &first).await;
        assert_eq!(session.get::<u32>("visits").unwrap(), Some(1));
        session.finish().await.unwrap();
        assert_eq!(session.key_change(), KeyChange::Keep, "nothing was changed");

        let session = shown(&backend, &first).await;
        let id = session.id();
        session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1).unwrap();
        session.finish().await.unwrap();
        let second = sent(&session);
        assert_ne!(first, second);
        assert!(session.id() == id, "the id is stable");
        // The same handle goes on from its own text.
        session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1).unwrap();
        session.save().await.unwrap();
        let third = sent(&session);

        clock.advance(Duration::from_secs(1800));
        let session = shown(&backend, &third).await;
        assert_eq!(session.get::<u32>("visits").unwrap(), Some(3));
        session.finish().await.unwrap();
        let touched = sent(&session);
        assert_ne!(third, touched, "reading slides the end");
        clock.advance(Duration::from_secs(1801));
        assert!(shown(&backend, &third).await.is_empty(), "the text before the touch is over");
        assert_eq!(shown(&backend, &touched).await.get::<u32>("visits").unwrap(), Some(3));
    }
}

#[tokio::test]
async fn session_login_cycle_then_logout() {
    let clock = ManualClock::new();
    for backend in [plain(&clock), revocable(&clock)] {
        let revocable = backend.capability().revocable;
        let session = Session::new(backend.clone());
        session.set("cart", "hat").unwrap();
        session.save().await.unwrap();
        let anonymous = sent(&session);

        let session = shown(&backend, &anonymous).await;
        let id = session.id();
        session.login("user:42").await.unwrap();
        let login = sent(&session);
        assert!(session.id() != id, "a login changes the id (ST-13)");
        session.set("cart", "coat").unwrap();
        session.cycle_key().await.unwrap();
        let cycled = sent(&session);

        let session = shown(&backend, &cycled).await;
        assert_eq!(session.owner().as_deref(), Some("user:42"));
        assert_eq!(session.get::<String>("cart").unwrap().as_deref(), Some("coat"));
        session.flush().await.unwrap();
        assert_eq!(session.key_change(), KeyChange::Remove);
        for text in [&anonymous, &login, &cycled] {
            assert_eq!(shown(&backend, text).await.is_empty(), revocable);
        }
        session.set("fresh", true).unwrap();
        session.save().await.unwrap();
        let fresh = sent(&session);
        assert_eq!(shown(&backend, &fresh).await.get::<bool>("fresh").unwrap(), Some(true));
    }
}

#[tokio::test]
async fn session_save_after_logout_gone() {
    let clock = ManualClock::new();
    let backend = revocable(&clock);
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let text = sent(&session);
    let late = shown(&backend, &text).await;
    shown(&backend, &text).await.flush().await.unwrap();
    late.set("a", 2).unwrap();
    assert_eq!(kind(late.save().await), ErrorKind::Gone);
    late.prepare_cycle();
    assert_eq!(kind(late.save().await), ErrorKind::Gone);
    assert!(shown(&backend, &text).await.is_empty());
}

#[tokio::test]
async fn session_logout_with_the_old_text_follows_the_rotation() {
    let clock = ManualClock::new();
    let backend = revocable(&clock);
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let first = sent(&session);
    let slow = shown(&backend, &first).await;
    session.cycle_key().await.unwrap();
    let second = sent(&session);
    session.cycle_key().await.unwrap();
    let third = sent(&session);
    assert!(shown(&backend, &first).await.is_empty());
    assert!(!shown(&backend, &third).await.is_empty());
    slow.flush().await.unwrap();
    for text in [&first, &second, &third] {
        assert!(shown(&backend, text).await.is_empty());
    }
    session.set("a", 2).unwrap();
    assert_eq!(kind(session.save().await), ErrorKind::Gone);
}

#[tokio::test]
async fn session_revoke_others_and_all() {
    let clock = ManualClock::new();
    let backend = revocable(&clock);
    let mut texts = Vec::new();
    for _ in 0..3 {
        let session = Session::new(backend.clone());
        session.set("a", 1).unwrap();
        session.login("user:42").await.unwrap();
        texts.push(sent(&session));
    }
    let other = Session::new(backend.clone());
    other.login("user:43").await.unwrap();
    let other = sent(&other);

    let current = shown(&backend, &texts[0]).await;
    assert_eq!(kind(current.sessions().await), ErrorKind::Unsupported);
    assert_eq!(current.revoke_others().await.unwrap(), 1);
    assert!(shown(&backend, &texts[1]).await.is_empty() && shown(&backend, &texts[2]).await.is_empty());
    assert!(!shown(&backend, &texts[0]).await.is_empty(), "this one stays");
    assert!(shown(&backend, &other).await.owner().is_some(), "and so do other owners'");
    current.set("a", 2).unwrap();
    current.save().await.unwrap();
    current.cycle_key().await.unwrap();
    let cycled = sent(&current);
    assert_eq!(shown(&backend, &cycled).await.get::<u32>("a").unwrap(), Some(2));

    // In the same millisecond.
    let again = Session::new(backend.clone());
    again.set("a", 3).unwrap();
    again.login("user:42").await.unwrap();
    let again = sent(&again);
    assert_eq!(shown(&backend, &again).await.get::<u32>("a").unwrap(), Some(3));

    let current = shown(&backend, &cycled).await;
    assert_eq!(current.revoke_all().await.unwrap(), 1);
    assert_eq!(current.key_change(), KeyChange::Remove);
    for text in texts.iter().chain([&cycled, &again]) {
        assert!(shown(&backend, text).await.is_empty());
    }
    let session = Session::new(backend.clone());
    session.set("a", 4).unwrap();
    session.login("user:42").await.unwrap();
    assert_eq!(shown(&backend, &sent(&session)).await.get::<u32>("a").unwrap(), Some(4));
}

#[tokio::test]
async fn session_manager_creates_updates_regenerates_deletes() {
    let clock = ManualClock::new();
    let manager = SessionManager::new(revocable(&clock));
    let session = manager.create(|session| session.set("a", 1)).await.unwrap();
    let key = manager.parse(session.key().unwrap().expose()).unwrap();
    let session = manager.update(&key, |session| session.set("a", 2)).await.unwrap();
    let key = manager.parse(session.key().unwrap().expose()).unwrap();
    let new = manager.regenerate(&key).await.unwrap();
    assert!(manager.load(&key).await.unwrap().is_none());
    let loaded = manager.load(&new).await.unwrap().expect("the session under its new key");
    assert_eq!(loaded.get::<u32>("a").unwrap(), Some(2));
    assert!(manager.delete(&key).await.unwrap(), "it follows the rotation");
    assert!(manager.load(&new).await.unwrap().is_none());
    assert_eq!(kind(manager.count().await), ErrorKind::Unsupported);
    assert_eq!(kind(manager.clear().await), ErrorKind::Unsupported);
}

/// Limits that became shorter end a session at its next load, also where nothing can be removed.
#[tokio::test]
async fn session_over_by_shorter_limits_loads_as_none() {
    let clock = ManualClock::new();
    let backend = plain(&clock);
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.remember_for(Duration::from_secs(30 * 24 * 3600));
    session.save().await.unwrap();
    let plain = Session::new(backend.clone());
    plain.set("a", 1).unwrap();
    plain.save().await.unwrap();
    let key = SessionKey::parse(&sent(&plain), &backend.capability()).unwrap();
    clock.advance(Duration::from_secs(1800));
    let timeouts = Timeouts::new(Some(Duration::from_secs(3600)), Some(Duration::from_secs(600)));
    let config = SessionConfig::default().with_timeouts(timeouts);
    let session = Session::with_config(backend.clone(), Some(key.clone()), Arc::new(config));
    session.load().await.unwrap();
    assert!(session.is_empty() && session.key().is_none());
    assert_eq!(kind(backend.remove(&key, Removal::Expired).await), ErrorKind::Unsupported);
}

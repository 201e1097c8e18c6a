use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::*;

const HOUR: Duration = Duration::from_secs(3600);

fn stand() -> (ManualClock, InMemorySessionBackend) {
    let manual = ManualClock::new();
    (manual.clone(), InMemorySessionBackend::with_clock(manual.clock()))
}

async fn lives(backend: &InMemorySessionBackend, key: &SessionKey) -> bool {
    !Session::from_key(backend.clone(), key.expose()).await.unwrap().is_empty()
}

async fn use_it(backend: &InMemorySessionBackend, key: &SessionKey) -> bool {
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    let there = session.get::<u8>("a").unwrap().is_some();
    session.finish().await.unwrap();
    there
}

async fn stored(backend: &InMemorySessionBackend, expiry: Expiry) -> Session<InMemorySessionBackend> {
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.set_expiry(expiry);
    session.save().await.unwrap();
    session
}

// ST-27, ST-36, CV-47: at the very millisecond.
#[tokio::test]
async fn idle_session_ends_on_the_millisecond() {
    let (manual, backend) = stand();
    let key = stored(&backend, Expiry::Default).await.key().unwrap();
    manual.advance(HOUR - Duration::from_millis(1));
    assert!(lives(&backend, &key).await);
    manual.advance(Duration::from_millis(1));
    assert!(!lives(&backend, &key).await);
}

// ST-28: used all the time, it still ends after a day, and renewing the key does not help.
#[tokio::test]
async fn absolute_timeout_ends_a_busy_session() {
    let (manual, backend) = stand();
    let session = stored(&backend, Expiry::Default).await;
    let mut key = session.key().unwrap();
    for _ in 0..47 {
        manual.advance(HOUR / 2);
        assert!(use_it(&backend, &key).await);
        let session = Session::with_key(backend.clone(), key.clone());
        session.cycle_key().await.unwrap();
        key = session.key().unwrap();
    }
    manual.advance(HOUR / 2);
    assert!(!use_it(&backend, &key).await);
}

// ST-35
#[tokio::test]
async fn reauthentication_restarts_the_absolute_timeout() {
    let (manual, backend) = stand();
    let key = stored(&backend, Expiry::Default).await.key().unwrap();
    for _ in 0..46 {
        manual.advance(HOUR / 2);
        assert!(use_it(&backend, &key).await);
    }
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    session.reauthenticated();
    session.save().await.unwrap();
    for _ in 0..10 {
        manual.advance(HOUR / 2);
        assert!(use_it(&backend, &key).await);
    }
}

// DJ-076 to DJ-089
#[tokio::test]
async fn set_expiry_takes_what_django_takes() {
    let (manual, backend) = stand();
    let now = manual.now();
    let session = Session::new(backend);
    assert_eq!(session.expiry_age(), Some(HOUR));
    assert!(session.expire_at_browser_close());
    session.set_expiry(600);
    assert_eq!(session.expiry_date(), Some(now + Duration::from_secs(600)));
    assert!(!session.expire_at_browser_close());
    session.set_expiry(0);
    assert_eq!((session.expiry_age(), session.expire_at_browser_close()), (Some(HOUR), true));
    session.set_expiry(Duration::from_secs(30));
    assert_eq!(session.time_until_expiry(), Some(Duration::from_secs(30)));
    session.set_expiry(now + Duration::from_secs(5));
    assert_eq!(session.expiry_date(), Some(now + Duration::from_secs(5)));
    session.set_expiry(std::time::SystemTime::from(now) - Duration::from_secs(5));
    assert!(session.is_expired());
    session.set_expiry(None);
    assert_eq!(session.expiry(), Expiry::Default);
    // A longer one is capped by the absolute timeout, and the date tells.
    session.set_expiry(Duration::from_secs(30 * 86_400));
    assert_eq!(session.expiry_date(), Some(now + 24 * HOUR));
}

// DJ-088
#[tokio::test]
async fn session_set_to_the_past_is_gone_at_once() {
    let (manual, backend) = stand();
    let session = stored(&backend, Expiry::At(manual.now() - HOUR)).await;
    assert!(!lives(&backend, &session.key().unwrap()).await);
}

#[tokio::test]
async fn remembered_session_outlives_both_timeouts() {
    let (manual, backend) = stand();
    let session = stored(&backend, Expiry::Remember(30 * 24 * HOUR)).await;
    let key = session.key().unwrap();
    assert!(!session.expire_at_browser_close());
    manual.advance(29 * 24 * HOUR);
    assert!(use_it(&backend, &key).await);
    let KeyChange::Send(_, Some(age)) = session.key_change() else { panic!("a persistent cookie") };
    assert!(age <= 24 * HOUR);
    manual.advance(24 * HOUR);
    assert!(!lives(&backend, &key).await);
}

#[tokio::test]
async fn expiry_survives_saves_of_others_and_rotation() {
    let (_, backend) = stand();
    let session = stored(&backend, Expiry::Idle(Duration::from_secs(90))).await;
    session.cycle_key().await.unwrap();
    let again = Session::with_key(backend, session.key().unwrap());
    again.load().await.unwrap();
    assert_eq!(again.expiry(), Expiry::Idle(Duration::from_secs(90)));
}

// Shorter limits apply to sessions that live already.
#[tokio::test]
async fn shorter_absolute_timeout_ends_old_sessions() {
    let (manual, backend) = stand();
    let key = stored(&backend, Expiry::Idle(10 * HOUR)).await.key().unwrap();
    manual.advance(2 * HOUR);
    let strict = SessionConfig::default().with_timeouts(Timeouts::new(Some(HOUR), Some(HOUR)));
    let session = Session::with_config(backend.clone(), Some(key.clone()), Arc::new(strict));
    session.load().await.unwrap();
    assert!(session.is_empty());
    assert!(backend.read(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn clock_stepping_back_neither_ends_nor_immortalises() {
    let (manual, backend) = stand();
    let key = stored(&backend, Expiry::Default).await.key().unwrap();
    manual.step_back(12 * HOUR);
    assert!(use_it(&backend, &key).await, "nothing ends early");
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    session.set("b", 1).unwrap();
    session.save().await.unwrap();
    assert!(session.expiry_age().unwrap() <= HOUR, "a save counts from the clock as it is");
    let mut hours = 0;
    while use_it(&backend, &key).await {
        manual.advance(HOUR / 2);
        hours += 1;
        assert!(hours < 2 * 60, "it ends all the same");
    }
}

#[tokio::test]
async fn fields_end_by_themselves() {
    let (manual, backend) = stand();
    let session = stored(&backend, Expiry::Default).await;
    let second = Duration::from_secs(1);
    session.set_with_ttl("code", 1, second).unwrap();
    session.set_with_ttl("kept", 1, second).unwrap();
    session.set_with_ttl("counter", 1, second).unwrap();
    session.set("kept", 1).unwrap();
    session.update("counter", |n: Option<u8>| n.unwrap_or(0) + 1).unwrap();
    session.save().await.unwrap();
    let open = || async {
        let session = Session::with_key(backend.clone(), session.key().unwrap());
        session.load().await.unwrap();
        session
    };
    assert_eq!(open().await.keys(), ["a", "code", "kept", "counter"]);
    assert_eq!(open().await.field_ttl("code").unwrap(), Some(second));
    manual.advance(second);
    let later = open().await;
    assert_eq!(later.keys(), ["a", "kept"], "set ends a lifetime, update keeps it");
    assert_eq!(later.get::<u8>("code").unwrap(), None);
    assert_eq!(later.update("code", |n: Option<u8>| n.map_or(7, |_| 8)).unwrap(), 7, "expired = absent");
    assert!(later.expire_field("a", Some(second)).unwrap());
    assert!(!later.expire_field("absent", None).unwrap());
    later.save().await.unwrap();
    manual.advance(second);
    assert_eq!(open().await.keys(), ["code", "kept"]);
}

// ST-29 to ST-34
#[test]
fn presets_are_those_of_the_standards() {
    let minutes = |t: Timeouts| [t.idle, t.absolute].map(|time| time.map(|time| time.as_secs() / 60));
    assert_eq!(minutes(Timeouts::nist_aal1()), [None, Some(30 * 24 * 60)]);
    assert_eq!(minutes(Timeouts::nist_aal2()), [Some(60), Some(24 * 60)]);
    assert_eq!(minutes(Timeouts::nist_aal3()), [Some(15), Some(12 * 60)]);
    assert_eq!(minutes(Timeouts::owasp_high_value())[0], Some(5));
    assert_eq!(minutes(Timeouts::owasp_low_risk())[0], Some(30));
    assert_eq!(minutes(Timeouts::owasp_office_day())[1], Some(8 * 60));
}

// CV-36
#[test]
fn absurd_durations_do_not_panic() {
    let session = Session::new(InMemorySessionBackend::new());
    session.set_expiry(Duration::MAX);
    let _ = (session.expiry_age(), session.expiry_date());
    session.remember_for(Duration::MAX);
    session.set_with_ttl("a", 1, Duration::MAX).unwrap();
    let _ = (session.key_change(), session.field_ttl("a"));
    assert!(!session.is_expired());
}

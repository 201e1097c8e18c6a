use cloakroom_core::{ErrorKind, InMemorySessionBackend, SessionBackend};
use cloakroom_http::{Engine, HeaderConfig, Transport, refusal};

#[test]
fn refusal_of_every_kind_of_error_is_an_error_or_a_decision() {
    let status = |kind| refusal(kind).map(|refusal| (refusal.status, refusal.retry_after.is_some()));
    // MW-015
    assert_eq!(status(ErrorKind::Gone), Some((409, false)));
    assert_eq!(status(ErrorKind::Conflict), Some((503, true)));
    assert_eq!(status(ErrorKind::Unavailable), Some((503, true)));
    assert_eq!(status(ErrorKind::QuotaExceeded), Some((503, false)));
    assert_eq!(status(ErrorKind::Corrupted), None);
    for kind in [
        ErrorKind::AlreadyExists,
        ErrorKind::InvalidConfig,
        ErrorKind::InvalidKey,
        ErrorKind::TooLarge,
        ErrorKind::Unexpected,
        ErrorKind::Unsupported,
    ] {
        assert_eq!(status(kind), Some((500, false)), "{kind}");
    }
}

// F69
#[tokio::test]
async fn close_with_a_header_transport_names_the_key_and_its_end_in_that_header() {
    let backend = InMemorySessionBackend::new();
    let engine = Engine::new(backend.capability()).with_transport(Transport::Header(HeaderConfig::bearer()));
    assert_eq!(engine.transport().request_header(), "authorization");

    let opened = engine.open(backend.clone(), []);
    opened.session.set("a", 1).unwrap();
    let outcome = engine.close(&opened.session, opened.presented, 200).await;
    assert_eq!(outcome.vary.as_deref(), Some("Authorization"));
    let sent = outcome.announce.unwrap();
    assert_eq!((sent.name(), sent.value().len()), ("x-session", 43));

    let line = format!("Bearer {}", sent.value());
    let opened = engine.open(backend, [line.as_bytes()]);
    opened.session.flush().await.unwrap();
    let outcome = engine.close(&opened.session, opened.presented, 200).await;
    let sent = outcome.announce.unwrap();
    assert_eq!((sent.name(), sent.value()), ("x-session", ""));
}

// CV-32
#[tokio::test]
async fn debug_of_everything_shows_no_key() {
    let backend = InMemorySessionBackend::new();
    let engine = Engine::new(backend.capability());
    let opened = engine.open(backend.clone(), []);
    opened.session.set("a", "payload-secret").unwrap();
    let outcome = engine.close(&opened.session, opened.presented, 200).await;
    let key = opened.session.key().unwrap();
    let line = format!("__Host-id={}", key.expose());
    let again = engine.open(backend, [line.as_bytes()]);
    let id = key.id().as_text();
    let shown = format!("{engine:?} {engine:#?} {opened:?} {outcome:?} {outcome:#?} {again:?}");
    for secret in [key.expose(), &*id, "payload-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

//! Errors, of handlers and of the store.

use std::time::Duration;

use axum::http::{Request, Response, StatusCode, header};
use cloakroom_core::*;
use cloakroom_testkit::{Fault, Operation};
use cloakroom_tower::StoreDown;

use crate::site::{Answer, Browser, Site};

const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

// MW-012, MW-013
#[tokio::test]
async fn handler_that_fails_saves_nothing_and_sets_no_cookie() {
    for status in 500..600_u16 {
        let site = Site::new();
        let handler = async move |session: Session| {
            session.set("user", 2).unwrap();
            StatusCode::from_u16(status).unwrap()
        };
        let mut browser = Browser::new(&site);
        let answer = browser.visit(handler).await;
        assert_eq!((answer.cookies().len(), site.sessions().await), (0, 0));
        assert_eq!((answer.status.as_u16(), answer.vary()), (status, vec!["Cookie"]));
        let mut browser = site.visitor().await;
        assert_eq!(browser.visit(handler).await.cookies().len(), 0);
        assert_eq!(browser.user().await, Some(1));
    }
}

#[tokio::test]
async fn handler_that_fails_saves_where_that_was_chosen() {
    let site = Site::with(SessionConfig::default(), |layer| layer.with_save_on_5xx(true));
    let mut browser = Browser::new(&site);
    let handler = async |session: Session| {
        session.set("user", 2).unwrap();
        FAILED
    };
    assert_eq!(browser.visit(handler).await.status, FAILED);
    assert_eq!(browser.user().await, Some(2));
}

// MW-024: what the handler itself did to the store, the browser must learn.
#[tokio::test]
async fn handler_that_fails_after_it_ended_or_moved_its_session_still_tells_the_browser() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let moved = async |session: Session| {
        session.cycle_key().await.unwrap();
        session.set("user", 99).unwrap();
        FAILED
    };
    let old = browser.key().to_owned();
    browser.visit(moved).await;
    assert_ne!(browser.key(), old);
    assert_eq!(browser.user().await, Some(1), "moved, and what came after it not saved");
    let ended = async |session: Session| {
        session.flush().await.unwrap();
        FAILED
    };
    assert!(browser.visit(ended).await.is_removal());
}

// A lifetime that was not saved is not told either.
#[tokio::test]
async fn handler_that_fails_after_it_set_another_expiry_sets_no_cookie() {
    let mut browser = Site::new().visitor().await;
    let handler = async |session: Session| {
        session.remember_for(Duration::from_secs(1_000_000));
        FAILED
    };
    assert_eq!(browser.visit(handler).await.cookies().len(), 0);
}

#[tokio::test]
async fn handler_that_panics_saves_nothing() {
    let site = Site::new();
    let copy = site.clone();
    let task = tokio::spawn(async move {
        let handler = async |session: Session| {
            session.set("user", 1).unwrap();
            if session.is_modified() {
                panic!("on purpose");
            }
        };
        Browser::new(&copy).visit(handler).await;
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!((site.sessions().await, site.spy.calls().total()), (0, 0));
}

#[tokio::test]
async fn service_that_returns_an_error_saves_nothing() {
    use tower::{Layer, ServiceExt, service_fn};

    let site = Site::new();
    let service = site.layer.layer(service_fn(async |request: Request<()>| {
        let session = request.extensions().get::<Session>().unwrap();
        session.set("a", 1).unwrap();
        Err::<Response<String>, _>("broken pipe")
    }));
    assert_eq!(service.oneshot(Request::new(())).await.unwrap_err(), "broken pipe");
    assert_eq!(site.spy.calls().total(), 0);
}

// A client that goes away: what is under way is not done by halves.
#[tokio::test]
async fn request_that_is_cancelled_saves_all_or_nothing() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let mut leaver = browser.clone();
    let gate = site.store().hold_before(Operation::Write);
    {
        let visit = leaver.visit(async |session: Session| {
            session.set("user", 2).unwrap();
            session.set("other", 2).unwrap();
        });
        tokio::select! {
            _ = visit => panic!("the write is held"),
            () = gate.arrived() => {}
        }
    }
    gate.open();
    assert_eq!(browser.user().await, Some(1));
    let gate = site.store().hold_after(Operation::Write);
    {
        let visit = leaver.visit(async |session: Session| {
            session.set("user", 3).unwrap();
            session.set("other", 3).unwrap();
        });
        tokio::select! {
            _ = visit => panic!("the write is held"),
            () = gate.arrived() => {}
        }
    }
    gate.open();
    let both = async |session: Session| {
        format!("{:?} {:?}", session.get::<i32>("user").unwrap(), session.get::<i32>("other").unwrap())
    };
    assert_eq!(browser.visit(both).await.body, "Some(3) Some(3)");
}

fn is_unavailable(answer: &Answer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.all(header::RETRY_AFTER) == ["5"]
}

#[tokio::test]
async fn store_that_is_down_gives_503_to_those_who_need_it_only() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    site.store().disconnect();
    let answer = browser.visit(async |session: Session| session.len().to_string()).await;
    assert!(is_unavailable(&answer));
    assert_eq!(browser.visit(async || "hello").await.body, "hello");
    // Somebody new has nothing to read.
    let mut stranger = Browser::new(&site);
    assert_eq!(stranger.visit(async |session: Session| session.len().to_string()).await.body, "0");
    let answer = stranger.visit(async |session: Session| session.set("a", 1).unwrap()).await;
    assert!(is_unavailable(&answer));
    assert_eq!(
        (answer.cookies().len(), answer.vary(), answer.cache_control()),
        (0, vec!["Cookie"], vec!["no-store"])
    );
    // A logout that did not take place is not reported as one, and can be tried again.
    let logout = async |session: Session| match session.flush().await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    assert_eq!(browser.visit(logout).await.cookies().len(), 0);
    site.store().reconnect();
    assert_eq!(browser.user().await, Some(1));
}

// Between the handler and the save.
#[tokio::test]
async fn save_that_fails_takes_the_place_of_the_response() {
    for (kind, status) in [
        (ErrorKind::Unavailable, 503),
        (ErrorKind::TooLarge, 500),
        (ErrorKind::QuotaExceeded, 503),
        (ErrorKind::Unexpected, 500),
        (ErrorKind::Gone, 409),
        (ErrorKind::Corrupted, 200),
    ] {
        let site = Site::new();
        let mut browser = site.visitor().await;
        site.store().inject(Fault::before(Operation::Write, kind).always());
        let handler = async |session: Session| {
            session.set("user", 2).unwrap();
            ([(header::CONTENT_LANGUAGE, "en")], "secret page")
        };
        let answer = browser.visit(handler).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}");
        assert_eq!(answer.body.is_empty(), status != 200);
        assert_eq!(answer.all(header::CONTENT_LANGUAGE).is_empty(), status != 200);
        assert_eq!((answer.vary(), answer.cookies().len()), (vec!["Cookie"], 0));
    }
}

// MW-015: the session ended while the request was under way. Refused aloud, and not recreated.
#[tokio::test]
async fn save_of_a_session_that_ended_meanwhile_is_refused_with_409() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let mut logout = browser.clone();
    let gate = site.store().hold_before(Operation::Write);
    let slow = browser.visit(async |session: Session| session.set("user", 2).unwrap());
    let other = async {
        gate.arrived().await;
        logout.visit(async |session: Session| session.flush().await.unwrap()).await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(slow, other);
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::CONFLICT, 0));
    let refusal = answer.refusal.unwrap();
    assert_eq!(refusal.kind, ErrorKind::Gone);
    assert!(refusal.message.contains("ended while this request was under way"));
    assert_eq!(site.sessions().await, 0);
}

// A request that changed nothing loses nothing.
#[tokio::test]
async fn touch_that_fails_leaves_the_response_alone() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Unexpected] {
        let site = Site::new();
        let mut browser = site.visitor().await;
        site.clock.advance(Duration::from_secs(600));
        site.store().inject(Fault::before(Operation::Touch, kind));
        assert_eq!(browser.user().await, Some(1));
        assert_eq!(site.spy.calls().touch, 1);
    }
}

#[tokio::test]
async fn store_that_is_down_with_degraded_sessions_serves_an_empty_one_and_keeps_the_cookie() {
    let site = Site::with(SessionConfig::default(), |layer| layer.with_store_down(StoreDown::Degrade));
    let mut browser = site.visitor().await;
    site.store().disconnect();
    let handler = async |session: Session| {
        session.set("user", 2).unwrap();
        session.is_degraded().to_string()
    };
    let answer = browser.visit(handler).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.cookies().len()), (StatusCode::OK, "true", 0));
    site.store().reconnect();
    assert_eq!(browser.user().await, Some(1));
}

#[tokio::test]
async fn store_that_is_down_with_stale_reads_serves_what_was_read_and_refuses_changes() {
    let policy = StoreDown::StaleReads { capacity: 100, max_age: Duration::from_secs(60) };
    let site = Site::with(SessionConfig::default().with_touch_interval(Duration::ZERO), |layer| {
        layer.with_store_down(policy)
    });
    let mut browser = site.visitor().await;
    assert_eq!(browser.user().await, Some(1));
    site.store().disconnect();
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.user().await, Some(1), "though its life cannot be extended");
    assert!(is_unavailable(&browser.visit(async |session: Session| session.set("user", 2).unwrap()).await));
    site.clock.advance(Duration::from_secs(60));
    assert!(is_unavailable(&browser.visit(async |session: Session| session.len().to_string()).await));
    site.store().reconnect();
    assert_eq!(browser.user().await, Some(1));
}

#[tokio::test]
async fn store_that_is_down_is_served_by_the_last_policy_alone() {
    let stale = StoreDown::StaleReads { capacity: 100, max_age: Duration::from_secs(60) };
    let site = Site::with(SessionConfig::default(), |layer| {
        layer.with_store_down(stale).with_store_down(stale).with_store_down(StoreDown::Refuse)
    });
    let mut browser = site.visitor().await;
    assert_eq!(browser.user().await, Some(1));
    site.store().disconnect();
    assert!(is_unavailable(&browser.visit(async |session: Session| session.len().to_string()).await));
}

// CV-39: damage, or a format of the future, is an empty session under a new key and an event, never a 500.
#[tokio::test]
async fn payload_that_cannot_be_read_gives_an_empty_session_under_a_new_key() {
    for payload in [&b"\x07from the future"[..], b"\xff\xfe", b"not json", b"[1,2]", b"", b"\x10"] {
        let site = Site::new();
        let mut browser = site.visitor().await;
        let key = SessionKey::parse(browser.key(), &Capability::store()).unwrap();
        let mut record = site.store().read(&key).await.unwrap().unwrap();
        record.payload = payload.to_vec().into();
        site.store().write(&key, record, Write::overwrite()).await.unwrap();
        let handler = async |session: Session| {
            session.set("user", 2).unwrap();
            session.len().to_string()
        };
        let old = browser.key().to_owned();
        let answer = browser.visit(handler).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1"), "{payload:?}");
        if payload.is_empty() {
            continue; // an empty session of ours
        }
        assert_ne!(browser.key(), old, "{payload:?}");
        assert!(site.events.security().contains(&SecurityEvent::Corrupted(key.id())), "{payload:?}");
    }
}

// Damage inside a payload is found when its field is read.
#[tokio::test]
async fn field_that_cannot_be_read_is_an_error_of_that_field_only() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let handler = async |session: Session| {
        let wrong = session.get::<String>("user").unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Corrupted);
        session.get::<i32>("user").unwrap().unwrap().to_string()
    };
    let answer = browser.visit(handler).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1"));
    assert_eq!(site.events.security(), [SecurityEvent::Corrupted(browser.id())]);
}

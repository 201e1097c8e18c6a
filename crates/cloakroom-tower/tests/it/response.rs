//! What the client is told, and when.

use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use cloakroom_core::*;

use crate::site::{Answer, Browser, Site};

// MW-002, MW-003
#[tokio::test]
async fn response_of_an_untouched_session_is_untouched() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let handler = async || ([(header::CACHE_CONTROL, "public"), (header::VARY, "Accept")], "hello");
    let answer = browser.visit(handler).await;
    assert_eq!((answer.cookies(), answer.vary()), (vec![], vec!["Accept"]));
    assert_eq!(answer.cache_control(), ["public"]);
    let answer = browser.visit(async |_: Session| "extracted, never looked at").await;
    assert_eq!((answer.cookies().len(), answer.vary().len(), answer.cache_control().len()), (0, 0, 0));
}

// MW-004
#[tokio::test]
async fn response_of_a_session_that_was_read_varies_and_sets_no_cookie() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let answer = browser
        .visit(async |session: Session| session.get::<i32>("user").unwrap().unwrap().to_string())
        .await;
    assert_eq!((answer.cookies(), answer.vary()), (vec![], vec!["Cookie"]));
    assert_eq!(answer.cache_control().len(), 0);
    // Also where there was nothing to read.
    let answer = Browser::new(&site).visit(async |session: Session| session.len().to_string()).await;
    assert_eq!((answer.cookies(), answer.vary()), (vec![], vec!["Cookie"]));
}

// MW-005, MW-021, ST-66
#[tokio::test]
async fn response_of_a_new_session_sets_its_cookie_and_is_not_cached() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let answer = browser.visit(async |session: Session| session.set("a", 1).unwrap()).await;
    assert_eq!(
        answer.cookie(),
        format!("__Host-id={}; Path=/; Secure; HttpOnly; SameSite=Lax", browser.key())
    );
    assert_eq!((answer.vary(), answer.cache_control()), (vec!["Cookie"], vec!["no-store"]));
    let key = SessionKey::parse(browser.key(), &Capability::store()).unwrap();
    assert!(site.store().read(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn response_of_a_changed_session_sets_no_cookie_when_the_browser_has_it() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let answer = browser.visit(async |session: Session| session.set("user", 2).unwrap()).await;
    assert_eq!((answer.cookies(), answer.vary()), (vec![], vec!["Cookie"]));
    assert_eq!(browser.user().await, Some(2));
}

// MW-008, MW-022, ST-16, ST-25
#[tokio::test]
async fn logout_ends_the_session_and_removes_the_cookie() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let thief = browser.clone();
    let answer = browser.visit(async |session: Session| session.flush().await.unwrap()).await;
    assert!(answer.is_removal());
    assert!(answer.cookie().starts_with("__Host-id=; Path=/; Secure; HttpOnly; SameSite=Lax; "));
    assert_eq!((answer.vary(), answer.cache_control()), (vec!["Cookie"], vec!["no-store"]));
    assert_eq!((site.sessions().await, browser.cookie.clone()), (0, None));
    assert_eq!(thief.clone().user().await, None);
}

// MW-010
#[tokio::test]
async fn logout_of_a_client_without_a_cookie_sets_none() {
    let answer =
        Browser::new(&Site::new()).visit(async |session: Session| session.flush().await.unwrap()).await;
    assert_eq!((answer.cookies(), answer.vary()), (vec![], vec!["Cookie"]));
}

// A session that began and ended in one request is nothing to the browser.
#[tokio::test]
async fn session_that_began_and_ended_in_one_request_sets_no_cookie() {
    let site = Site::new();
    let handler = async |session: Session| {
        session.set("a", 1).unwrap();
        session.save().await.unwrap();
        session.flush().await.unwrap();
    };
    let answer = Browser::new(&site).visit(handler).await;
    assert_eq!((answer.cookies().len(), site.sessions().await), (0, 0));
}

// MW-011
#[tokio::test]
async fn session_that_was_emptied_stays_and_keeps_its_cookie() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let answer = browser.visit(async |session: Session| session.clear()).await;
    assert_eq!(answer.cookies().len(), 0);
    assert_eq!((site.sessions().await, browser.user().await), (1, None));
}

// MW-014: redirects after a form, and refusals, are answers too.
#[tokio::test]
async fn answers_below_500_save() {
    for status in [200, 204, 301, 302, 303, 304, 307, 400, 401, 403, 404, 429, 499_u16] {
        let site = Site::new();
        let mut browser = Browser::new(&site);
        let handler = async move |session: Session| {
            session.set("user", 7).unwrap();
            StatusCode::from_u16(status).unwrap()
        };
        browser.visit(handler).await;
        assert_eq!(browser.user().await, Some(7), "{status}");
    }
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let answer = browser
        .visit(async |session: Session| {
            session.set("user", 7).unwrap();
            Redirect::to("/next")
        })
        .await;
    assert_eq!((answer.status.as_u16(), answer.all(header::LOCATION)), (303, vec!["/next"]));
    assert_eq!(browser.user().await, Some(7));
}

#[tokio::test]
async fn head_request_saves_like_any_other() {
    let site = Site::new();
    let request = Request::builder().method(Method::HEAD).body(axum::body::Body::empty()).unwrap();
    let answer = site.send(request, async |session: Session| session.set("a", 1).unwrap()).await;
    assert!(answer.cookie().starts_with("__Host-id="));
    assert_eq!(site.sessions().await, 1);
}

// CV-55
#[tokio::test]
async fn cookies_of_the_application_stay() {
    let handler = async |session: Session| {
        session.set("a", 1).unwrap();
        let mut response = "hello".into_response();
        for cookie in ["theme=dark", "lang=en; Path=/"] {
            response.headers_mut().append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        response
    };
    let answer: Answer = Browser::new(&Site::new()).visit(handler).await;
    assert_eq!(answer.cookies()[..2], ["theme=dark", "lang=en; Path=/"]);
    assert!(answer.cookies()[2].starts_with("__Host-id="));
    assert_eq!(answer.cookies().len(), 3);
}

// ST-13, ST-14
#[tokio::test]
async fn login_gives_the_browser_a_new_key_and_the_old_one_finds_nothing() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let mut fixed = browser.clone();
    let answer = browser.visit(async |session: Session| session.login("user:1").await.unwrap()).await;
    assert!(answer.cookie().starts_with("__Host-id="));
    assert_ne!(browser.key(), fixed.key());
    assert_eq!((browser.user().await, fixed.user().await), (Some(1), None));
}

// A straggler with the key from before a login must not take the new cookie away.
#[tokio::test]
async fn straggler_with_an_old_key_sets_and_removes_no_cookie() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let mut straggler = browser.clone();
    browser.visit(async |session: Session| session.cycle_key().await.unwrap()).await;
    let answer = straggler.visit(async |session: Session| session.len().to_string()).await;
    assert_eq!((answer.body.as_str(), answer.cookies().len()), ("0", 0));
    assert_eq!(browser.user().await, Some(1));
    // A key that expired, or was revoked elsewhere: the request did not end it.
    let id = browser.id();
    site.store().remove(&SessionKey::from_id(id), Removal::Revoked).await.unwrap();
    let answer = browser.visit(async |session: Session| session.len().to_string()).await;
    assert_eq!((answer.body.as_str(), answer.cookies().len()), ("0", 0));
}

// Logging out with an old key follows the rotation: a renewal in parallel must not undo a logout.
#[tokio::test]
async fn logout_with_an_old_key_ends_the_session_it_became() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let mut straggler = browser.clone();
    browser.visit(async |session: Session| session.cycle_key().await.unwrap()).await;
    let answer = straggler.visit(async |session: Session| session.flush().await.unwrap()).await;
    assert!(answer.is_removal());
    assert_eq!((site.sessions().await, browser.user().await), (0, None));
}

// ST-19
#[tokio::test]
async fn sign_out_of_all_devices_removes_the_cookie_of_this_one() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    browser.visit(async |session: Session| session.login("user:1").await.unwrap()).await;
    let answer =
        browser.visit(async |session: Session| session.revoke_all().await.unwrap().to_string()).await;
    assert_eq!((answer.body.as_str(), answer.is_removal()), ("1", true));
}

// What comes after a logout belongs to a new session with a new key.
#[tokio::test]
async fn session_after_a_logout_in_the_same_request_gets_a_new_key() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let old = browser.key().to_owned();
    let handler = async |session: Session| {
        session.flush().await.unwrap();
        session.set("user", 2).unwrap();
    };
    let answer = browser.visit(handler).await;
    assert!(!answer.cookie().contains("Max-Age=0"));
    assert_ne!(browser.key(), old);
    assert_eq!((browser.user().await, site.sessions().await), (Some(2), 1));
}

// The body is made after the headers went out; what it changes comes too late, and the save does not wait for it.
#[tokio::test]
async fn streaming_response_is_saved_before_its_headers_go_out() {
    use axum::body::{Body, Bytes};
    use futures_util::stream;

    let site = Site::new();
    let mut browser = Browser::new(&site);
    let handler = async |session: Session| {
        session.set("user", 1).unwrap();
        let body = stream::once(async move {
            session.set("user", 2).unwrap();
            Ok::<_, std::io::Error>(Bytes::from_static(b"late"))
        });
        Body::from_stream(body).into_response()
    };
    let answer = browser.visit(handler).await;
    assert_eq!(answer.body, "late");
    assert_eq!(browser.user().await, Some(1));
}

// CV-53: what outlives its request can see that its session ended.
#[tokio::test]
async fn long_lived_connection_learns_that_its_session_ended() {
    use std::sync::{Arc, Mutex};

    let site = Site::new();
    let mut browser = site.visitor().await;
    let kept = Arc::<Mutex<Option<Session>>>::default();
    let socket = Arc::clone(&kept);
    browser.visit(async move |session: Session| *socket.lock().unwrap() = Some(session)).await;
    let session = kept.lock().unwrap().take().unwrap();
    assert!(session.exists().await.unwrap());
    browser.visit(async |session: Session| session.flush().await.unwrap()).await;
    assert!(!session.exists().await.unwrap());
    // And cannot bring it back.
    session.set("user", 9).unwrap();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(site.sessions().await, 0);
}

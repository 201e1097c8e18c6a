//! Vary and Cache-Control.

use axum::response::IntoResponse;
use cloakroom_core::*;

use crate::site::{Answer, Browser, Site};

/// The answer of a handler that reads or writes its session and sets a header of its own.
async fn with_header(name: &'static str, value: &'static str, writes: bool) -> Answer {
    let handler = async move |session: Session| {
        if writes {
            session.set("a", 1).unwrap();
        } else {
            assert!(!session.contains_key("a"));
        }
        [(name, value)].into_response()
    };
    Browser::new(&Site::new()).visit(handler).await
}

// ST-67
#[tokio::test]
async fn vary_of_the_application_is_kept_and_ours_merged() {
    for (theirs, ours) in [("Accept", "Accept, Cookie"), ("cookie", "cookie"), ("*", "*")] {
        assert_eq!(with_header("vary", theirs, false).await.vary(), [ours]);
    }
}

// CV-22, CV-23, ST-66
#[tokio::test]
async fn cache_control_of_a_response_with_a_cookie_never_lets_it_be_shared() {
    for (theirs, ours) in [
        ("public, max-age=3600", "no-store"),
        ("s-maxage=60", "no-store"),
        ("max-age=60", "no-store"),
        ("private, max-age=60", "private, max-age=60"),
        ("no-cache", "no-cache"),
    ] {
        assert_eq!(with_header("cache-control", theirs, true).await.cache_control(), [ours], "{theirs}");
    }
    // Without a cookie it is the handler's business.
    let answer = with_header("cache-control", "public", false).await;
    assert_eq!((answer.cache_control(), answer.vary()), (vec!["public"], vec!["Cookie"]));
}

// CV-22: some caches listen to headers of their own first.
#[tokio::test]
async fn targeted_cache_control_of_a_response_with_a_cookie_is_taken_away() {
    let name = "cdn-cache-control";
    assert_eq!(with_header(name, "public, max-age=60", true).await.all(name).len(), 0);
    assert_eq!(with_header(name, "public, max-age=60", false).await.all(name).len(), 1);
}

// CV-21: every way to look into a session is an access.
#[tokio::test]
async fn every_look_into_a_session_makes_the_response_vary() {
    type Look = fn(&Session);
    let looks: &[(&str, Look)] = &[
        ("get", |session| {
            let _ = session.get::<i32>("user");
        }),
        ("contains_key", |session| {
            let _ = session.contains_key("user");
        }),
        ("keys", |session| {
            let _ = session.keys();
        }),
        ("values", |session| {
            let _ = session.values();
        }),
        ("items", |session| {
            let _ = session.items();
        }),
        ("len", |session| {
            let _ = session.len();
        }),
        ("pop", |session| {
            let _ = session.pop::<i32>("other");
        }),
        ("delete", |session| {
            let _ = session.delete("other");
        }),
        ("set", |session| {
            let _ = session.set("user", 1);
        }),
        ("update", |session| {
            let _ = session.update("user", |user: Option<i32>| user.unwrap_or(1));
        }),
        ("set_default", |session| {
            let _ = session.set_default("user", 1);
        }),
        ("field_ttl", |session| {
            let _ = session.field_ttl("user");
        }),
        ("owner", |session| {
            let _ = session.owner();
        }),
        ("device", |session| {
            let _ = session.device();
        }),
        ("expiry", |session| {
            let _ = session.expiry();
        }),
        ("expiry_age", |session| {
            let _ = session.expiry_age();
        }),
        ("expiry_date", |session| {
            let _ = session.expiry_date();
        }),
        ("is_expired", |session| {
            let _ = session.is_expired();
        }),
        ("expire_at_browser_close", |session| {
            let _ = session.expire_at_browser_close();
        }),
        ("test_cookie_worked", |session| {
            let _ = session.test_cookie_worked();
        }),
    ];
    let site = Site::new();
    let mut browser = site.visitor().await;
    for (name, look) in looks {
        let look = *look;
        let answer = browser.visit(async move |session: Session| look(&session)).await;
        assert_eq!(answer.vary(), ["Cookie"], "{name}");
    }
    // Its owner's sessions are its business too.
    browser.visit(async |session: Session| session.login("user:1").await.unwrap()).await;
    let list = async |session: Session| session.sessions().await.unwrap().len().to_string();
    assert_eq!(browser.visit(list).await.vary(), ["Cookie"], "sessions");
}

//! What requests cost in calls of the backend.

use std::time::Duration;

use cloakroom_core::*;
use cloakroom_testkit::Calls;

use crate::site::{Browser, Site};

fn calls(change: impl FnOnce(&mut Calls)) -> Calls {
    let mut calls = Calls::default();
    change(&mut calls);
    calls
}

// MW-001, MW-002, MW-003
#[tokio::test]
async fn request_that_never_asks_for_its_session_makes_no_backend_call() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    assert_eq!(browser.count(async || "hello").await, Calls::default());
    assert_eq!(Browser::new(&site).count(async |_: Session| "hello").await, Calls::default(), "no cookie");
}

#[tokio::test]
async fn request_that_reads_costs_one_call_and_two_when_its_life_is_extended() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let read = async |session: Session| assert_eq!(session.get("user").unwrap(), Some(1));
    assert_eq!(browser.count(read).await, calls(|calls| calls.read = 1));
    // F67: the life is extended when its end would move by a tenth of the idle timeout.
    site.clock.advance(Duration::from_secs(359));
    assert_eq!(browser.count(read).await, calls(|calls| calls.read = 1));
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.count(read).await, calls(|calls| (calls.read, calls.touch) = (1, 1)));
    assert_eq!(browser.count(read).await, calls(|calls| calls.read = 1));
}

#[tokio::test]
async fn request_that_reads_and_writes_costs_two_calls() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let write = async |session: Session| {
        session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1).unwrap();
        session.set("seen", true).unwrap();
    };
    assert_eq!(browser.count(write).await, calls(|calls| (calls.read, calls.write) = (1, 1)));
}

#[tokio::test]
async fn request_that_starts_a_session_costs_one_call() {
    let site = Site::new();
    let start = async |session: Session| session.set("a", 1).unwrap();
    assert_eq!(Browser::new(&site).count(start).await, calls(|calls| calls.write = 1));
}

// ST-13
#[tokio::test]
async fn login_costs_two_calls_and_so_does_logout() {
    let site = Site::new();
    let mut browser = site.visitor().await;
    let login = async |session: Session| session.login("user:1").await.unwrap();
    assert_eq!(browser.count(login).await, calls(|calls| (calls.read, calls.rotate) = (1, 1)));
    let logout = async |session: Session| session.flush().await.unwrap();
    assert_eq!(browser.count(logout).await, calls(|calls| (calls.read, calls.remove) = (1, 1)));
}

// CV-02, ST-24
#[tokio::test]
async fn empty_session_and_flush_of_nothing_cost_nothing() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let look = async |session: Session| assert!(!session.contains_key("user"));
    assert_eq!(browser.count(look).await, Calls::default());
    assert_eq!(browser.count(async |session: Session| session.mark_modified()).await, Calls::default());
    assert_eq!(
        browser.count(async |session: Session| session.flush().await.unwrap()).await,
        Calls::default()
    );
    let come_and_go = async |session: Session| {
        session.set("a", 1).unwrap();
        session.flush().await.unwrap();
    };
    assert_eq!(browser.count(come_and_go).await, Calls::default());
    assert_eq!(site.sessions().await, 0);
    assert_eq!(browser.cookie, None);
}

#[tokio::test]
async fn two_extractors_and_a_middleware_share_one_session_and_one_read() {
    use axum::extract::Request;
    use axum::middleware::{Next, from_fn};
    use axum::response::Response;
    use tower::ServiceExt;

    async fn middleware(session: Session, request: Request, next: Next) -> Response {
        session.set("from", "middleware").unwrap();
        next.run(request).await
    }
    async fn handler(one: Session, two: Session) -> String {
        one.set("one", 1).unwrap();
        two.set("two", 2).unwrap();
        two.get("from").unwrap().unwrap()
    }
    let site = Site::new();
    let mut browser = site.visitor().await;
    let app: axum::Router =
        axum::Router::new().fallback(handler).layer(from_fn(middleware)).layer(site.layer.clone());
    let cookie = browser.cookie.clone().unwrap();
    let request = Request::builder().header("cookie", cookie).body(axum::body::Body::empty()).unwrap();
    let answer = crate::site::Answer::of(app.oneshot(request).await.unwrap()).await;
    assert_eq!(answer.body, "middleware");
    assert_eq!(site.spy.calls(), calls(|calls| (calls.read, calls.write) = (1, 1)));
    let fields = browser.visit(async |session: Session| session.len().to_string()).await;
    assert_eq!(fields.body, "4");
}

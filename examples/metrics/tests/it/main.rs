//! Visits, and what `/metrics` says of them.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use cloakroom::prelude::*;
use http_body_util::BodyExt;
use metrics_endpoint::Site;
use tower::ServiceExt;

async fn visit(pages: &Router, method: &str, path: &str, cookie: &mut Option<String>) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie.as_str());
    }
    let answer = pages.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    if let Some(set) = answer.headers().get(header::SET_COOKIE) {
        *cookie = Some(set.to_str().unwrap().split(';').next().unwrap().to_owned());
    }
    answer
}

async fn metrics(site: &Site) -> String {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let answer = site.metrics().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4");
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn visits_show_in_the_metrics() {
    let site = Site::over(InMemorySessionBackend::new().shared(), "memory").unwrap();
    let pages = site.pages();
    let mut cookie = None;
    visit(&pages, "GET", "/", &mut cookie).await;
    visit(&pages, "GET", "/", &mut cookie).await;
    visit(&pages, "POST", "/sign-in", &mut cookie).await;
    let signed_in = cookie.clone();
    assert_eq!(site.refresh().await.unwrap(), 1);
    visit(&pages, "POST", "/sign-out", &mut cookie).await;
    visit(&pages, "GET", "/", &mut signed_in.clone()).await; // an old key finds nothing

    let text = metrics(&site).await;
    for line in [
        r#"session_created_total{backend="memory"} 2"#,
        r#"session_saved_total{backend="memory"} 1"#,
        r#"session_rotated_total{backend="memory"} 1"#,
        r#"session_deleted_total{backend="memory",reason="flushed"} 1"#,
        r#"session_access_miss_total{backend="memory"} 1"#,
        r#"session_active{backend="memory"} 1"#,
        "# TYPE session_access_latency_seconds histogram",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    let mut errors = text.lines().filter(|line| line.starts_with("session_error_total{"));
    assert!(errors.all(|line| line.ends_with(" 0")), "{text}");
    let key = signed_in.unwrap().split_once('=').unwrap().1.to_owned();
    assert!(!text.contains(&key) && !text.contains("user:1"));
    let public = Request::get("/metrics").body(Body::empty()).unwrap();
    assert_eq!(pages.oneshot(public).await.unwrap().status(), 404, "not for visitors");
}

#[tokio::test]
async fn visits_in_a_database_show_in_the_metrics() {
    let site = Site::over(cloakroom::connect("sqlite::memory:").await.unwrap(), "sqlite").unwrap();
    let pages = site.pages();
    let mut cookie = None;
    for _ in 0..3 {
        visit(&pages, "GET", "/", &mut cookie).await;
    }
    site.refresh().await.unwrap();
    let text = metrics(&site).await;
    assert!(text.contains(r#"session_created_total{backend="sqlite"} 1"#), "{text}");
    assert!(text.contains(r#"session_access_hit_total{backend="sqlite"} 2"#), "{text}");
    assert!(text.contains(r#"session_active{backend="sqlite"} 1"#), "{text}");
}

//! Clients that mean no good.

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use cloakroom_core::*;
use proptest::prelude::*;

use crate::site::{Browser, Site};

async fn fields(session: Session) -> String {
    session.len().to_string()
}

// ST-07, ST-08, CV-03, CV-05, CV-06
#[tokio::test]
async fn cookie_of_the_wrong_shape_is_no_session_and_asks_no_backend() {
    let site = Site::new();
    let browser = site.visitor().await;
    let key = browser.key().to_owned();
    let bomb = "A".repeat(4096);
    let values = [
        "",
        "\"\"",
        "x",
        &bomb,
        &key[..42],
        &format!("{key}A"),
        &format!("{}!", &key[..42]),
        &format!("{}B", &key[..42]), // bits behind the last whole byte
        &format!("{} ", &key[..42]),
        &key.replace(['-', '_'], "+"),
        "../../../../etc/passwd",
        "' OR '1'='1",
        "a\r\nSet-Cookie: x=y",
        "session*",
        "%00%00",
        "null",
    ];
    for value in values.into_iter().filter(|value| **value != key) {
        let Ok(header) = HeaderValue::from_str(&format!("__Host-id={value}")) else { continue };
        let request = Request::builder().header("cookie", header).body(Body::empty()).unwrap();
        let answer = site.send(request, fields).await;
        assert_eq!((answer.body.as_str(), answer.cookies().len()), ("0", 0), "{value:?}");
        assert_eq!(site.spy.calls().total(), 0, "{value:?}");
    }
    assert!(site.events.security().contains(&SecurityEvent::MalformedKey));
}

// CV-07: what a leaked store shows opens nothing.
#[tokio::test]
async fn session_id_fed_back_as_a_key_finds_nothing() {
    let site = Site::new();
    let browser = site.visitor().await;
    let id = browser.id().as_text();
    let answer = site.cookie(&format!("__Host-id={}", &*id), fields).await;
    assert_eq!(answer.body, "0");
}

// ST-08, CV-12: a key that a client chose is never adopted.
#[tokio::test]
async fn unknown_key_of_a_client_is_never_adopted() {
    let site = Site::new();
    let chosen = SessionKey::generate().unwrap();
    let mut browser = Browser::new(&site);
    browser.cookie = Some(format!("__Host-id={}", chosen.expose()));
    let answer = browser.visit(async |session: Session| session.set("user", 1).unwrap()).await;
    assert!(!answer.cookie().contains(chosen.expose()));
    assert_eq!(browser.user().await, Some(1));
    assert!(site.store().read(&chosen).await.unwrap().is_none());
    assert_eq!(site.events.security(), [SecurityEvent::UnknownKey(chosen.id())]);
}

// CV-01, ST-24
#[tokio::test]
async fn ten_thousand_random_keys_leave_the_store_empty() {
    let site = Site::new();
    for _ in 0..10_000 {
        let key = SessionKey::generate().unwrap();
        let answer = site.cookie(&format!("__Host-id={}", key.expose()), fields).await;
        assert_eq!((answer.body.as_str(), answer.cookies().len()), ("0", 0));
    }
    assert_eq!((site.sessions().await, site.spy.calls().write), (0, 0));
}

// MW-001, ST-09
#[tokio::test]
async fn key_that_comes_another_way_than_the_cookie_is_not_looked_at() {
    let site = Site::new();
    let browser = site.visitor().await;
    let key = browser.key();
    let request = Request::builder()
        .uri(format!("/?__Host-id={key}&id={key}"))
        .header("authorization", format!("Bearer {key}"))
        .header("x-session", key)
        .header("cookie", format!("id={key}; __host-id={key}; __%48ost-id={key}"))
        .body(Body::from(format!("__Host-id={key}")))
        .unwrap();
    assert_eq!(site.send(request, fields).await.body, "0");
    assert_eq!(site.spy.calls().total(), 0);
}

// ST-58: a stale cookie beside a live one, in either order.
#[tokio::test]
async fn duplicate_cookies_are_all_tried_and_the_live_one_wins() {
    let site = Site::new();
    let browser = site.visitor().await;
    let live = browser.key();
    let stale = SessionKey::generate().unwrap();
    let stale = stale.expose();
    for cookie in [
        format!("__Host-id={stale}; __Host-id={live}"),
        format!("__Host-id={live}; __Host-id={stale}"),
        format!("__Host-id=junk; a=b; __Host-id={live}"),
        format!("__Host-id=; __Host-id={stale}; __Host-id={live}"),
    ] {
        assert_eq!(site.cookie(&cookie, fields).await.body, "1", "{cookie}");
    }
    // CV-37: but not without end.
    let unknown = SessionKey::generate().unwrap();
    let many = format!("__Host-id={}; ", unknown.expose()).repeat(100);
    site.spy.reset();
    assert_eq!(site.cookie(&many, fields).await.body, "0");
    assert_eq!(site.spy.calls().total(), 1, "the same key is tried once");
    let many = (0..100)
        .map(|_| format!("__Host-id={}; ", SessionKey::generate().unwrap().expose()))
        .collect::<String>();
    site.spy.reset();
    assert_eq!(site.cookie(&many, fields).await.body, "0");
    assert_eq!(site.spy.calls().total(), 4);
}

// ST-59
#[tokio::test]
async fn cookies_in_several_header_lines_count_as_one() {
    let site = Site::new();
    let browser = site.visitor().await;
    let request = Request::builder()
        .header("cookie", "a=b")
        .header("cookie", browser.cookie.clone().unwrap())
        .header("cookie", "c=d")
        .body(Body::empty())
        .unwrap();
    assert_eq!(site.send(request, fields).await.body, "1");
}

// CV-37
#[tokio::test]
async fn cookie_header_of_a_megabyte_is_looked_at_only_so_far() {
    let site = Site::new();
    let browser = site.visitor().await;
    let cookie = browser.cookie.clone().unwrap();
    let fill = "x".repeat(1 << 20);
    assert_eq!(site.cookie(&format!("{fill}; {cookie}"), fields).await.body, "0");
    assert_eq!(site.cookie(&format!("{cookie}; {fill}"), fields).await.body, "1");
}

// CV-43 to CV-45: many sessions at once, each sees its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_of_parallel_clients_never_mix() {
    let site = Site::new();
    let clients = (0..32).map(|client: i32| {
        let site = site.clone();
        tokio::spawn(async move {
            let mut browser = Browser::new(&site);
            browser.visit(async move |session: Session| session.set("user", client).unwrap()).await;
            for _ in 0..50 {
                assert_eq!(browser.user().await, Some(client));
                tokio::task::yield_now().await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(site.sessions().await, 32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    // ST-07
    #[test]
    fn cookie_of_any_bytes_is_no_session_and_no_error(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut line = b"__Host-id=".to_vec();
        line.extend(bytes);
        let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let request = Request::builder().header("cookie", value).body(Body::empty()).unwrap();
            let answer = site.send(request, fields).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "0"));
            assert_eq!(site.spy.calls().total(), 0);
        });
    }
}

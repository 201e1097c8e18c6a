//! The cookie's attributes and lifetime over HTTP.

use std::time::Duration;

use cloakroom_core::*;
use cloakroom_tower::{CookieConfig, SameSite};

use crate::site::{Browser, Site};

const HOUR: Duration = Duration::from_secs(3600);

fn site_with(cookie: CookieConfig) -> Site {
    Site::with(SessionConfig::default(), |layer| layer.with_cookie(cookie))
}

// MW-009, MW-016, MW-017, MW-018, MW-023, CV-35
#[tokio::test]
async fn cookie_and_its_removal_have_the_attributes_that_were_chosen() {
    let cookie = CookieConfig::builder()
        .with_name("__Secure-shop")
        .with_domain("example.org")
        .with_path("/shop")
        .with_http_only(false)
        .with_same_site(SameSite::None)
        .with_partitioned(true)
        .build()
        .unwrap();
    let site = site_with(cookie);
    let mut browser = Browser::new(&site);
    let attributes = "; Path=/shop; Domain=example.org; Secure; SameSite=None; Partitioned";
    let answer = browser.visit(async |session: Session| session.set("a", 1).unwrap()).await;
    assert_eq!(answer.cookie(), format!("__Secure-shop={}{attributes}", browser.key()));
    let answer = browser.visit(async |session: Session| session.flush().await.unwrap()).await;
    let gone = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(answer.cookie(), format!("__Secure-shop={attributes}{gone}"));
}

#[tokio::test]
async fn cookie_for_development_has_no_prefix_and_no_secure() {
    let site = site_with(CookieConfig::insecure_for_development());
    let mut browser = Browser::new(&site);
    let answer = browser.visit(async |session: Session| session.set("a", 1).unwrap()).await;
    assert_eq!(answer.cookie(), format!("id={}; Path=/; HttpOnly; SameSite=Lax", browser.key()));
}

// MW-019, ST-42
#[tokio::test]
async fn cookie_that_goes_with_the_browser_has_neither_max_age_nor_expires() {
    let site = Site::with(SessionConfig::default().with_expire_at_browser_close(false), |layer| layer);
    for site in [Site::new(), site] {
        let handler = async |session: Session| session.set_expiry(0_u64);
        let answer = site.visitor().await.visit(handler).await;
        let cookie = answer.cookie();
        assert!(!cookie.contains("Max-Age") && !cookie.contains("Expires"), "{cookie}");
    }
}

// MW-020, ST-56
#[tokio::test]
async fn cookie_that_stays_has_max_age_and_expires_of_the_sessions_own_age() {
    let site = Site::new();
    site.clock.set(Timestamp::from_millis(784_111_777_000));
    let mut browser = Browser::new(&site);
    let handler = async |session: Session| {
        session.set("a", 1).unwrap();
        session.remember_for(48 * HOUR);
    };
    let answer = browser.visit(handler).await;
    assert!(
        answer.cookie().ends_with("; Max-Age=172800; Expires=Tue, 08 Nov 1994 08:49:37 GMT"),
        "{}",
        answer.cookie()
    );
    // The end stands: nothing to tell the browser again.
    site.clock.advance(HOUR);
    assert_eq!(browser.visit(async |session: Session| session.set("a", 2).unwrap()).await.cookies().len(), 0);
}

// ST-52, CV-36
#[tokio::test]
async fn cookie_of_a_session_that_hardly_ends_is_capped_at_400_days() {
    let config =
        SessionConfig::default().with_timeouts(Timeouts::new(None, None)).with_expire_at_browser_close(false);
    let site = Site::with(config, |layer| layer);
    for handler in [
        (|session: Session| session.set("a", 1).unwrap()) as fn(Session),
        |session| {
            session.set("a", 1).unwrap();
            session.remember_for(Duration::MAX);
        },
        |session| {
            session.set("a", 1).unwrap();
            session.set_expiry(Timestamp::MAX);
        },
    ] {
        let answer = Browser::new(&site).visit(async move |session: Session| handler(session)).await;
        assert!(answer.cookie().contains("; Max-Age=34560000; "), "{}", answer.cookie());
    }
}

// MW-006, MW-007, CV-19, CV-20: a cookie that is renewed by reading alone.
#[tokio::test]
async fn cookie_that_is_renewed_by_a_read_comes_with_vary_and_no_store() {
    let config =
        SessionConfig::default().with_expire_at_browser_close(false).with_touch_interval(Duration::ZERO);
    let site = Site::with(config, |layer| layer);
    let mut browser = site.visitor().await;
    site.clock.advance(Duration::from_secs(10));
    let answer = browser
        .visit(async |session: Session| session.get::<i32>("user").unwrap().unwrap().to_string())
        .await;
    assert!(answer.cookie().contains("; Max-Age=3600; "), "{}", answer.cookie());
    assert_eq!((answer.vary(), answer.cache_control()), (vec!["Cookie"], vec!["no-store"]));
    assert_eq!(site.spy.calls().touch, 1);
    // An untouched session stays untouched, whatever the interval.
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(browser.visit(async || "hello").await.cookies().len(), 0);
}

// F67, ST-27, ST-28
#[tokio::test]
async fn session_ends_when_idle_and_after_its_absolute_time_whatever_happens() {
    let site = Site::new();
    let mut idle = site.visitor().await;
    let mut busy = site.visitor().await;
    for _ in 0..47 {
        site.clock.advance(HOUR / 2);
        assert_eq!(busy.user().await, Some(1));
    }
    assert_eq!(idle.user().await, None);
    site.clock.advance(HOUR / 2);
    assert_eq!(busy.user().await, None, "24 hours");
}

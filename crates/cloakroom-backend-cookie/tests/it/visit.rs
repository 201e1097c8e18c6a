//! Requests over the real middleware.

use std::time::Duration;

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing};
use cloakroom_core::{InMemorySessionBackend, ManualClock, Session, SessionConfig, Timeouts};
use cloakroom_tower::{CookieConfig, SessionLayer};

use crate::site::{Browser, NAME, Site, increment, ring};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn visitor(site: &Site) -> Browser {
    let mut browser = Browser::default();
    assert_eq!(browser.visit(site, increment).await.body, "1");
    browser
}

#[tokio::test]
async fn visits_count_up_and_the_value_changes_each_time() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    for expected in 2..10 {
        let before = browser.value().to_owned();
        let answer = browser.visit(&site, increment).await;
        assert_eq!(answer.body, expected.to_string());
        assert_ne!(browser.value(), before);
        assert_eq!(answer.cookies().len(), 1);
    }
    assert_eq!(browser.visits(&site).await, Some(9));
}

/// ST-13: the id changes with the login; CV-03: what was there before stays.
#[tokio::test]
async fn login_keeps_the_session_under_another_id() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let id = async |session: Session| session.id().unwrap().as_text().to_string();
    let before = browser.visit(&site, id).await.body;
    browser.visit(&site, async |session: Session| session.login("user:42").await.unwrap()).await;
    let after = browser.visit(&site, id).await.body;
    assert_ne!(before, after);
    let owner = async |session: Session| session.owner().unwrap();
    assert_eq!(browser.visit(&site, owner).await.body, "user:42");
    assert_eq!(browser.visits(&site).await, Some(1));
}

#[tokio::test]
async fn logout_with_revocation_ends_the_session_and_a_copy_of_its_cookie() {
    let clock = ManualClock::new();
    let ended = InMemorySessionBackend::with_clock(clock.clock());
    let site = Site::on(&clock, |backend| backend.with_revocation(ended).unwrap());
    let mut browser = visitor(&site).await;
    let mut copy = browser.clone();
    assert_eq!(copy.visits(&site).await, Some(1));
    let answer = browser.visit(&site, async |session: Session| session.flush().await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(browser.0.is_empty(), "the browser was told to forget it");
    assert_eq!(copy.visits(&site).await, None);
}

#[tokio::test]
async fn logout_without_revocation_makes_the_browser_forget() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let mut copy = browser.clone();
    let answer =
        browser.visit(&site, async |session: Session| session.flush().await.is_ok().to_string()).await;
    assert!(browser.0.is_empty(), "{} {:?}", answer.body, answer.cookies());
    assert_eq!(browser.visits(&site).await, None);
    // What `revocable: false` means: a copy lives until its own end.
    assert_eq!(copy.visits(&site).await, Some(1));
}

#[tokio::test]
async fn reads_slide_the_idle_time_but_not_each_of_them() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let mut idle = browser.clone();
    let mut resealed = 0;
    for _ in 0..30 {
        site.clock.advance(4 * MINUTE);
        let before = browser.value().to_owned();
        assert_eq!(browser.visits(&site).await, Some(1));
        resealed += usize::from(browser.value() != before);
    }
    // Two hours of reading, of which a tenth of the idle hour passes between two seals.
    assert_eq!(resealed, 15);
    assert_eq!(idle.visits(&site).await, None, "the value of two hours ago is over");
}

/// The seal holds the end: a client that keeps the cookie longer keeps nothing.
#[tokio::test]
async fn cookie_that_the_client_keeps_too_long_is_no_session() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    site.clock.advance(HOUR - Duration::from_millis(1));
    let mut copy = browser.clone();
    assert_eq!(copy.visits(&site).await, Some(1));
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(browser.visits(&site).await, None);
    assert_eq!(browser.visit(&site, increment).await.body, "1");
}

#[tokio::test]
async fn absolute_end_comes_however_busy_the_session_is() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    for _ in 0..47 {
        site.clock.advance(30 * MINUTE);
        assert_eq!(browser.visits(&site).await, Some(1));
    }
    site.clock.advance(30 * MINUTE);
    assert_eq!(browser.visits(&site).await, None);
}

#[tokio::test]
async fn value_changed_anywhere_is_no_session_and_no_error() {
    let site = Site::new();
    let browser = visitor(&site).await;
    for at in 0..browser.value().len() {
        let mut value = browser.value().as_bytes().to_vec();
        value[at] = if value[at] == b'A' { b'B' } else { b'A' };
        let mut forger = Browser::default();
        forger.0.insert(NAME.to_owned(), String::from_utf8(value).unwrap());
        let answer = forger.visit(&site, async |session: Session| session.is_empty().to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "true"), "character {at}");
    }
}

#[tokio::test]
async fn session_too_large_is_an_error_and_the_old_one_stays() {
    let site = Site::new();
    let mut browser = visitor(&site).await;
    let before = browser.value().to_owned();
    let answer = browser.fill(&site, "blob", 4000).await;
    assert_eq!(answer.status, 500);
    assert!(answer.cookies().is_empty(), "{:?}", answer.cookies());
    assert_eq!(browser.value(), before);
    assert_eq!(browser.visits(&site).await, Some(1));

    // The handler that asks can tell its user, with both sizes.
    let save = async |session: Session| {
        session.set("blob", "x".repeat(4000)).unwrap();
        session.save().await.unwrap_err().to_string()
    };
    let message = browser.visit(&site, save).await.body;
    assert!(message.contains("too large") && message.matches(char::is_numeric).count() >= 8, "{message}");
    assert_eq!(browser.visits(&site).await, Some(1));
}

#[tokio::test]
async fn keys_rotate_on_a_live_site() {
    let clock = ManualClock::new();
    let with = |keys: KeyRing| Site {
        clock: clock.clone(),
        layer: SessionLayer::new(CookieSessionBackend::new(keys).with_clock(clock.clock())),
    };
    let (old, prepared, rotated, new) =
        (with(ring(&[1])), with(ring(&[1, 2])), with(ring(&[2, 1])), with(ring(&[2])));
    let mut browser = visitor(&old).await;
    // Servers are updated one by one: at each step, old and new ones open what the others sealed.
    assert_eq!(browser.visit(&prepared, increment).await.body, "2");
    assert_eq!(browser.visit(&old, increment).await.body, "3");
    assert_eq!(browser.visit(&rotated, increment).await.body, "4");
    assert_eq!(browser.visit(&prepared, increment).await.body, "5");
    let stale = browser.clone();
    assert_eq!(browser.visit(&rotated, increment).await.body, "6");
    assert_eq!(browser.visit(&new, increment).await.body, "7");
    assert_eq!(stale.clone().visits(&new).await, None, "the old key is out of use");
}

#[tokio::test]
async fn value_moved_to_another_cookie_is_no_session() {
    let clock = ManualClock::new();
    let users = Site::on(&clock, |backend| backend);
    let mut admins = Site::on(&clock, |backend| backend.with_cookie_name("__Host-admin").unwrap());
    let cookie = CookieConfig::builder().with_name("__Host-admin").build().unwrap();
    admins.layer = admins.layer.with_cookie(cookie);
    let user = visitor(&users).await;
    let mut swapped = Browser::default();
    swapped.0.insert("__Host-admin".to_owned(), user.value().to_owned());
    assert_eq!(swapped.visits(&admins).await, None);
    assert_eq!(swapped.visit(&admins, increment).await.body, "1");
    assert_eq!(swapped.visits(&admins).await, Some(1));
}

#[tokio::test]
async fn two_cookies_of_one_name_the_authentic_one_counts() {
    let site = Site::new();
    let browser = visitor(&site).await;
    let forged = "A".repeat(browser.value().len());
    for header in
        [format!("{NAME}={forged}; {}", browser.header()), format!("{}; {NAME}={forged}", browser.header())]
    {
        let answer = site.send(&header, async |session: Session| session.len().to_string()).await;
        assert_eq!(answer.body, "1");
    }
}

#[tokio::test]
async fn readable_session_round_trips_and_is_protected_from_change() {
    let clock = ManualClock::new();
    let backend = CookieSessionBackend::signed_only(ring(&[1])).with_clock(clock.clock());
    let config = SessionConfig::default().with_timeouts(Timeouts::nist_aal2());
    let site = Site { clock, layer: SessionLayer::new(backend).with_config(config) };
    let mut browser = visitor(&site).await;
    assert_eq!(browser.visit(&site, increment).await.body, "2");
    let sealed = Site::new();
    assert_eq!(browser.clone().visits(&sealed).await, None, "a signed value is not a sealed one");
}

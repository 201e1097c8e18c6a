use cloakroom_backend_cookie::CookieSessionBackend;
use cloakroom_core::{InMemorySessionBackend, Session};
use cloakroom_tower::{CookieConfig, SessionLayer};

use crate::site::{Browser, NAME, Site, increment};

fn names(browser: &Browser) -> Vec<&str> {
    browser.0.keys().map(|name| name.strip_prefix(NAME).unwrap()).collect()
}

async fn length(browser: &mut Browser, site: &Site) -> usize {
    let show = async |session: Session| {
        session.get::<String>("blob").unwrap().map_or(0, |blob| blob.len()).to_string()
    };
    browser.visit(site, show).await.body.parse().unwrap()
}

#[tokio::test]
async fn session_grows_over_four_cookies_and_shrinks_back() {
    let site = Site::split(4);
    let mut browser = Browser::default();
    browser.visit(&site, increment).await;
    assert_eq!(names(&browser), [""]);
    for (size, expected) in [
        (4_000, &["", ".1"][..]),
        (7_000, &["", ".1", ".2"]),
        (11_000, &["", ".1", ".2", ".3"]),
        (7_000, &["", ".1", ".2"]),
        (100, &[""]),
        (11_000, &["", ".1", ".2", ".3"]),
        (0, &[""]),
    ] {
        let answer = browser.fill(&site, "blob", size).await;
        assert_eq!(answer.status, 200);
        assert_eq!(names(&browser), expected, "{size}");
        assert_eq!(length(&mut browser, &site).await, size);
        assert_eq!(browser.visits(&site).await, Some(1));
        for line in answer.cookies() {
            assert!(line.starts_with(NAME) && line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"));
        }
    }
}

#[tokio::test]
async fn session_too_large_for_all_of_them_is_an_error_and_the_old_one_stays() {
    let site = Site::split(4);
    let mut browser = Browser::default();
    browser.fill(&site, "blob", 6_000).await;
    let before = browser.0.clone();
    let answer = browser.fill(&site, "blob", 13_000).await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (500, 0));
    assert_eq!(browser.0, before);
    assert_eq!(length(&mut browser, &site).await, 6_000);
}

/// Parts that are left over, lost, or of another time make no session.
#[tokio::test]
async fn parts_of_different_seals_never_combine() {
    let site = Site::split(4);
    let mut browser = Browser::default();
    browser.fill(&site, "blob", 7_000).await;
    let old = browser.0.clone();
    browser.fill(&site, "blob", 7_001).await;
    let new = browser.0.clone();
    assert_eq!((old.len(), new.len()), (3, 3));
    for mixture in 1..7 {
        let parts = old.iter().zip(&new).enumerate().map(|(at, (old, new))| {
            let (name, value) = if mixture & (1 << at) == 0 { old } else { new };
            (name.clone(), value.clone())
        });
        let mut mixed = Browser(parts.collect());
        assert_eq!(length(&mut mixed, &site).await, 0, "mixture {mixture}");
    }
    for lost in new.keys() {
        let mut parts = new.clone();
        parts.remove(lost);
        assert_eq!(length(&mut Browser(parts), &site).await, 0);
    }
    let mut swapped = new.clone();
    let (one, two) = (new[&format!("{NAME}.1")].clone(), new[&format!("{NAME}.2")].clone());
    swapped.insert(format!("{NAME}.1"), two);
    swapped.insert(format!("{NAME}.2"), one);
    assert_eq!(length(&mut Browser(swapped), &site).await, 0);
    // A leftover beyond the number of parts is not looked at.
    let mut more = new.clone();
    more.insert(format!("{NAME}.3"), "AAAA".to_owned());
    assert_eq!(length(&mut Browser(more), &site).await, 7_001);
}

#[tokio::test]
async fn flush_removes_all_parts() {
    let site = Site::split(3);
    let mut browser = Browser::default();
    browser.fill(&site, "blob", 7_000).await;
    assert_eq!(browser.0.len(), 3);
    browser.visit(&site, async |session: Session| drop(session.flush().await)).await;
    assert!(browser.0.is_empty());
}

/// Two cookies of each name, say of two paths: each set of parts stays together.
#[tokio::test]
async fn two_sets_of_parts_are_told_apart() {
    let site = Site::split(4);
    let mut browser = Browser::default();
    browser.fill(&site, "blob", 7_000).await;
    let foreign: Vec<String> =
        browser.0.iter().map(|(name, value)| format!("{name}={}A", &value[..value.len() - 1])).collect();
    let (ours, foreign) = (browser.header(), foreign.join("; "));
    let show = async |session: Session| session.len().to_string();
    for header in [format!("{foreign}; {ours}"), format!("{ours}; {foreign}")] {
        assert_eq!(site.send(&header, show).await.body, "1");
    }
    // A whole one of another path before a split one.
    let small = {
        let mut other = Browser::default();
        other.visit(&Site::new(), increment).await;
        other.header()
    };
    let header = format!("{}; {ours}", small.replace('A', "B"));
    assert_eq!(site.send(&header, show).await.body, "1");
}

#[tokio::test]
async fn without_split_parts_are_not_looked_at_and_nothing_further_is_sent() {
    let split = Site::split(4);
    let mut browser = Browser::default();
    browser.fill(&split, "blob", 7_000).await;
    let site = Site::new();
    assert_eq!(length(&mut browser.clone(), &site).await, 0);
    let answer = browser.visit(&site, increment).await;
    assert_eq!((answer.body.as_str(), answer.cookies().len()), ("1", 1));
}

/// A backend that splits behind a middleware that does not: refused aloud, before anything is rotated.
#[tokio::test]
async fn split_of_the_backend_alone_is_refused() {
    let split = Site::split(4);
    let mut browser = Browser::default();
    browser.visit(&split, increment).await;
    let ended = InMemorySessionBackend::with_clock(split.clock.clock());
    let backend = CookieSessionBackend::new(crate::site::ring(&[1])).with_clock(split.clock.clock());
    let backend = backend.with_split(4).unwrap().with_revocation(ended).unwrap();
    for cookie in [CookieConfig::default(), CookieConfig::builder().with_split(3).build().unwrap()] {
        let layer = SessionLayer::new(backend.clone()).with_cookie(cookie);
        let site = Site { clock: split.clock.clone(), layer };
        let login = async |session: Session| {
            session.set("blob", "x".repeat(4_500)).unwrap();
            session.login("user:1").await.unwrap();
        };
        let answer = browser.visit(&site, login).await;
        assert_eq!((answer.status.as_u16(), answer.cookies().len()), (500, 0));
    }
    let cookie = CookieConfig::builder().with_split(4).build().unwrap();
    let fits = Site { clock: split.clock.clone(), layer: SessionLayer::new(backend).with_cookie(cookie) };
    assert_eq!(browser.visits(&fits).await, Some(1), "the session is what it was");
}

/// A neighbour who can set cookies for a longer path puts one part in front of the genuine ones.
#[tokio::test]
async fn foreign_part_in_front_leaves_the_session_readable() {
    let site = Site::split(4);
    let mut browser = Browser::default();
    browser.fill(&site, "blob", 7_000).await;
    for suffix in ["", ".1", ".2", ".3"] {
        let header = format!("{NAME}{suffix}=evil; {}", browser.header());
        let show = async |session: Session| session.get::<String>("blob").unwrap().is_some().to_string();
        assert_eq!(site.send(&header, show).await.body, "true", "{suffix}");
    }
}

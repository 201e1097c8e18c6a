use std::time::Duration;

use cloakroom_core::{ErrorKind, SessionId, SessionKey, Timestamp};
use cloakroom_http::{CookieBuilder, CookieConfig, HeaderConfig, MAX_AGE, SameSite};
use proptest::prelude::*;

fn key() -> SessionKey {
    SessionKey::generate().unwrap()
}

/// A `Set-Cookie` value cut into its parts.
fn parts(line: &str) -> (String, String, Vec<String>) {
    let mut parts = line.split("; ").map(str::to_owned);
    let first = parts.next().unwrap();
    let (name, value) = first.split_once('=').unwrap();
    (name.to_owned(), value.to_owned(), parts.collect())
}

fn refused(builder: CookieBuilder) -> bool {
    matches!(builder.build(), Err(error) if error.kind() == ErrorKind::InvalidConfig)
}

fn cookie() -> CookieBuilder {
    CookieConfig::builder()
}

// ST-10, ST-42, ST-44, ST-45, ST-46, ST-47, ST-61, MW-019
#[test]
fn set_cookie_by_default_is_host_bound_and_goes_with_the_browser() {
    let key = key();
    let line = CookieConfig::default().set(&key, None, Timestamp::default()).unwrap();
    assert_eq!(line, format!("__Host-id={}; Path=/; Secure; HttpOnly; SameSite=Lax", key.expose()));
}

// MW-016, MW-017, MW-018, CV-35: every flag, on and off, in the cookie and in its removal.
#[test]
fn set_cookie_and_removal_carry_exactly_the_flags_that_were_set() {
    for bits in 0..8_u8 {
        let (secure, http_only, partitioned) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
            let builder = cookie()
                .with_name("id")
                .with_secure(secure)
                .with_http_only(http_only)
                .with_partitioned(partitioned)
                .with_same_site(same_site);
            if !secure && (partitioned || same_site == SameSite::None) {
                // ST-46, ST-62, MW-023
                assert!(refused(builder));
                continue;
            }
            let config = builder.build().unwrap();
            let same_site = format!("SameSite={}", same_site.as_str());
            for line in [config.set(&key(), None, Timestamp::default()).unwrap(), config.removal()] {
                let (_, _, attributes) = parts(&line);
                let has = |name: &str| attributes.iter().any(|attribute| attribute == name);
                assert_eq!(
                    (has("Secure"), has("HttpOnly"), has("Partitioned"), has(&same_site)),
                    (secure, http_only, partitioned, true),
                    "{line}"
                );
            }
        }
    }
}

// MW-008, MW-009, MW-022, ST-56, ST-57
#[test]
fn removal_repeats_all_that_identifies_the_cookie() {
    let config = cookie()
        .with_name("__Secure-id")
        .with_path("/shop")
        .with_domain(".Example.ORG")
        .with_same_site(SameSite::None)
        .with_partitioned(true)
        .build()
        .unwrap();
    assert_eq!(
        config.removal(),
        "__Secure-id=; Path=/shop; Domain=example.org; Secure; HttpOnly; SameSite=None; Partitioned; \
         Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    );
    let (name, value, set) = parts(&config.set(&key(), None, Timestamp::default()).unwrap());
    let (removed_name, removed_value, removed) = parts(&config.removal());
    assert_eq!((name.as_str(), value.len(), removed_value.len()), (removed_name.as_str(), 43, 0));
    assert_eq!(removed[..set.len()], set[..]);
}

// ST-48, ST-49
#[test]
fn build_with_a_prefix_whose_demands_are_not_met_is_refused_in_any_case() {
    for name in ["__Host-id", "__host-id", "__HOST-ID"] {
        assert!(refused(cookie().with_name(name).with_secure(false)));
        assert!(refused(cookie().with_name(name).with_domain("example.org")));
        assert!(refused(cookie().with_name(name).with_path("/app")));
        assert!(!refused(cookie().with_name(name).with_http_only(false)));
    }
    for name in ["__Secure-id", "__sEcUrE-id"] {
        assert!(refused(cookie().with_name(name).with_secure(false)));
        assert!(!refused(cookie().with_name(name).with_domain("example.org").with_path("/app")));
    }
    for name in ["__Http-id", "__HTTP-id"] {
        assert!(refused(cookie().with_name(name).with_secure(false)));
        assert!(refused(cookie().with_name(name).with_http_only(false)));
        assert!(!refused(cookie().with_name(name).with_domain("example.org")));
    }
    for name in ["__Host-Http-id", "__host-http-id"] {
        assert!(refused(cookie().with_name(name).with_secure(false)));
        assert!(refused(cookie().with_name(name).with_http_only(false)));
        assert!(refused(cookie().with_name(name).with_domain("example.org")));
        assert!(!refused(cookie().with_name(name)));
    }
}

// ST-48: old browsers hold only the exact case to its promise.
#[test]
fn build_with_a_prefix_in_another_case_writes_the_canonical_one() {
    let name = |name: &str| cookie().with_name(name).build().unwrap().name().to_owned();
    assert_eq!(name("__HOST-id"), "__Host-id");
    assert_eq!(name("__host-http-ID"), "__Host-Http-ID");
    assert_eq!(name("__secure-x"), "__Secure-x");
    assert_eq!(name("hosting"), "hosting");
}

// ST-50, ST-51, ST-54, ST-55
#[test]
fn build_with_a_name_path_or_domain_that_breaks_the_header_is_refused() {
    for name in ["", "a b", "a=b", "a;b", "a,b", "a\"b", "a\r\nb", "a\0b", "ä", "a\tb", "(a)"] {
        assert!(refused(cookie().with_name(name)), "{name:?}");
    }
    assert!(refused(cookie().with_name("x".repeat(4096 - 42))));
    assert!(!refused(cookie().with_name("x".repeat(4096 - 43))));
    for path in ["", "app", "/a;b", "/a\r\nSet-Cookie: x=y", "/a\0", "/a\u{7f}", "/ä", "/a "] {
        assert!(refused(cookie().with_name("id").with_path(path)), "{path:?}");
    }
    assert!(!refused(cookie().with_name("id").with_path(format!("/{}", "x".repeat(1023)))));
    assert!(refused(cookie().with_name("id").with_path(format!("/{}", "x".repeat(1024)))));
    for domain in ["", ".", "a..b", "a b", "a;b", "a\r\nb", "ä.org", "-a.org", "a-.org", "a/b", "..a", "a:80"]
    {
        assert!(refused(cookie().with_name("id").with_domain(domain)), "{domain:?}");
    }
    assert!(refused(cookie().with_name("id").with_domain("a.".repeat(600) + "org")));
    assert!(!refused(cookie().with_name("id").with_domain("xn--bcher-kva.example")));
}

// MW-020, ST-52, ST-56
#[test]
fn set_cookie_with_a_lifetime_says_max_age_and_expires_and_both_agree() {
    let config = CookieConfig::default();
    let now = Timestamp::from_millis(784_111_777_000);
    let lifetime = |lifetime| parts(&config.set(&key(), Some(lifetime), now).unwrap()).2;
    let hour = lifetime(Duration::from_secs(3600));
    assert_eq!(hour[4..], ["Max-Age=3600", "Expires=Sun, 06 Nov 1994 09:49:37 GMT"]);
    // ST-41: rather a moment after the session than before it.
    assert_eq!(lifetime(Duration::from_millis(1))[4], "Max-Age=1");
    assert_eq!(lifetime(Duration::MAX)[4], "Max-Age=34560000");
    assert_eq!(MAX_AGE.as_secs(), 34_560_000);
}

// ST-50: over the limit is an error, not silence.
#[test]
fn set_cookie_longer_than_browsers_keep_is_too_large() {
    let config = CookieConfig::default();
    let sealed = |length: usize| SessionKey::sealed("x".repeat(length), SessionId::from_bytes([0; 32]));
    let set = |length| config.set(&sealed(length), None, Timestamp::default());
    assert!(set(4096 - "__Host-id".len()).is_ok());
    assert_eq!(set(4097 - "__Host-id".len()).unwrap_err().kind(), ErrorKind::TooLarge);
}

// ST-54: whatever a backend returns as a key, the header stays one header.
#[test]
fn set_cookie_of_a_key_that_is_no_cookie_value_is_refused() {
    for value in ["", "a;b", "a b", "a\r\nb", "a\"b", "a,b", "a\\b", "ä"] {
        let key = SessionKey::sealed(value, SessionId::from_bytes([0; 32]));
        assert!(CookieConfig::default().set(&key, None, Timestamp::default()).is_err(), "{value:?}");
    }
}

#[test]
fn header_config_of_a_name_with_another_purpose_is_refused() {
    for name in ["", "a b", "a:b", "Cookie", "Set-Cookie", "authorization", "Vary", "ä", "a\r\nb"] {
        assert!(HeaderConfig::named(name).is_err(), "{name:?}");
    }
    assert_eq!(HeaderConfig::named("X-Ticket").unwrap().request_header(), "x-ticket");
}

proptest! {
    // CV-36
    #[test]
    fn set_cookie_of_any_lifetime_at_any_time_does_not_panic(seconds: u64, nanos in 0..1_000_000_000_u32, now: i64) {
        let lifetime = Duration::new(seconds, nanos);
        let line = CookieConfig::default().set(&key(), Some(lifetime), Timestamp::from_millis(now)).unwrap();
        let age: u64 = line.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        prop_assert!(age <= MAX_AGE.as_secs());
        prop_assert!(line.ends_with(" GMT"));
    }

    // ST-54: what was accepted makes one line with known parts.
    #[test]
    fn build_of_anything_makes_a_clean_header_or_an_error(name in ".*", path in ".*", domain in ".*") {
        let builder = cookie().with_name(name).with_path(path).with_domain(domain);
        if let Ok(config) = builder.build() {
            let line = config.removal();
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(parts(&line).2.len(), 7, "{}", line);
        }
    }
}

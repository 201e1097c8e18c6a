use cloakroom_core::{Capability, ErrorKind, KeyChange, SessionId, SessionKey, Timestamp};
use cloakroom_http::{CookieConfig, MAX_BYTES, MAX_SPLIT, Transport};
use proptest::prelude::*;

const NAME: &str = "__Host-id";
/// What fits into one cookie, and into each of several.
const WHOLE: usize = 4096 - NAME.len();
const PART: usize = WHOLE - 2;

fn cookie(split: usize) -> CookieConfig {
    CookieConfig::builder().with_split(split).build().unwrap()
}

fn key(length: usize) -> SessionKey {
    let text: String = ('a'..='z').cycle().take(length).collect();
    SessionKey::sealed(text, SessionId::from_bytes([1; 32]))
}

/// All `Set-Cookie` headers that tell a client of a change.
fn told(transport: &Transport, change: &KeyChange) -> Vec<String> {
    let now = Timestamp::default();
    let first = transport.announce(change, now).unwrap();
    let all = first.into_iter().chain(transport.announce_further(change, now));
    all.map(|header| header.into_value()).collect()
}

/// Name and value of what a browser keeps.
fn kept(lines: &[String]) -> Vec<(&str, &str)> {
    let set = lines.iter().filter(|line| !line.contains("Max-Age=0"));
    set.map(|line| line.split("; ").next().unwrap().split_once('=').unwrap()).collect()
}

fn header(lines: &[String]) -> String {
    kept(lines).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

fn found(split: usize, header: &str) -> (Vec<String>, bool) {
    let capability = Capability::sealed(MAX_SPLIT * WHOLE, MAX_SPLIT * WHOLE);
    let found = Transport::Cookie(cookie(split)).candidates([header.as_bytes()], &capability);
    let keys = found.first.into_iter().chain(found.others);
    (keys.map(|key| key.expose().to_owned()).collect(), found.malformed)
}

#[test]
fn key_of_every_length_comes_back_in_as_few_cookies_as_possible() {
    for (length, cookies) in [
        (1, 1),
        (WHOLE, 1),
        (WHOLE + 1, 2),
        (2 * PART, 2),
        (2 * PART + 1, 3),
        (3 * PART, 3),
        (3 * PART + 1, 4),
        (4 * PART, 4),
    ] {
        let key = key(length);
        let lines = told(&Transport::Cookie(cookie(4)), &KeyChange::Send(key.clone(), None));
        assert_eq!(lines.len(), 4, "what is not needed is removed");
        let kept = kept(&lines);
        assert_eq!(kept.len(), cookies, "{length}");
        assert!(kept.iter().all(|(name, value)| name.len() + value.len() <= 4096));
        assert_eq!(found(4, &header(&lines)), (vec![key.expose().to_owned()], false));
    }
}

#[test]
fn key_that_does_not_fit_too_large_with_both_sizes() {
    for (split, most) in [(1, WHOLE), (2, 2 * PART), (3, 3 * PART), (4, 4 * PART)] {
        let refused = cookie(split).set(&key(most + 1), None, Timestamp::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
        let message = refused.to_string();
        let sizes = [(NAME.len() + most + 1).to_string(), (NAME.len() + most).to_string()];
        assert!(sizes.iter().all(|size| message.contains(size)), "{message}");
        assert!(cookie(split).set(&key(most), None, Timestamp::default()).is_ok());
    }
}

#[test]
fn without_split_there_is_one_cookie() {
    let transport = Transport::Cookie(CookieConfig::default());
    assert_eq!(told(&transport, &KeyChange::Send(key(100), None)).len(), 1);
    assert_eq!(told(&transport, &KeyChange::Remove).len(), 1);
    assert_eq!(told(&transport, &KeyChange::Keep).len(), 0);
}

#[test]
fn removal_names_every_part_with_the_attributes_of_the_first() {
    let lines = told(&Transport::Cookie(cookie(3)), &KeyChange::Remove);
    let ends =
        ["", ".1", ".2"].map(|suffix| format!("{NAME}{suffix}=; Path=/; Secure; HttpOnly; SameSite=Lax"));
    assert_eq!(lines.len(), 3);
    for (line, start) in lines.iter().zip(ends) {
        assert!(line.starts_with(&start) && line.contains("Max-Age=0"), "{line}");
    }
}

#[test]
fn parts_that_are_lost_make_a_malformed_key() {
    let header = "__Host-id=3~a; __Host-id.1=b";
    assert_eq!(found(4, header), (vec![], true));
    assert_eq!(found(4, "__Host-id.1=b; __Host-id.2=c"), (vec![], false));
    assert_eq!(found(4, "__Host-id=2~a; __Host-id.1="), (vec!["a".to_owned()], false));
}

/// What a server that splits less reads of one that split more is one key that nobody sealed.
#[test]
fn marks_beyond_the_split_are_text() {
    for header in ["__Host-id=4~a", "__Host-id=1~a", "__Host-id=0~a", "__Host-id=9~a"] {
        let text = header.split_once('=').unwrap().1.to_owned();
        assert_eq!(found(3, header), (vec![text], false));
    }
}

#[test]
fn parts_of_several_cookies_of_one_name_pair_up_in_order() {
    let keys = |header| found(4, header).0;
    assert_eq!(keys("__Host-id=2~a; __Host-id=2~c; __Host-id.1=b; __Host-id.1=d"), ["ab", "cd", "ad"]);
    assert_eq!(keys("__Host-id=2~a; __Host-id.1=b; __Host-id=2~c; __Host-id.1=d"), ["ab", "cd", "ad"]);
    assert_eq!(keys("__Host-id=x; __Host-id=2~a; __Host-id.1=b"), ["x", "ab"]);
    assert_eq!(
        keys("__Host-id=2~a; __Host-id=3~c; __Host-id.1=b; __Host-id.1=d; __Host-id.2=e"),
        ["ab", "cde", "ad"]
    );
    assert_eq!(keys("__Host-id=2~a; __Host-id=2~c; __Host-id.1=b"), ["ab", "cb"]);
}

/// One part that somebody set for a longer path comes first and makes the order wrong for all.
#[test]
fn foreign_part_of_a_longer_path_leaves_the_key_readable() {
    for (foreign, genuine) in [
        ("__Host-id.1=evil", "__Host-id=3~a; __Host-id.1=b; __Host-id.2=c"),
        ("__Host-id.2=evil", "__Host-id=3~a; __Host-id.1=b; __Host-id.2=c"),
        ("__Host-id=evil", "__Host-id=3~a; __Host-id.1=b; __Host-id.2=c"),
        (
            "__Host-id.1=evil; __Host-id.1=worse; __Host-id.2=evil",
            "__Host-id=3~a; __Host-id.1=b; __Host-id.2=c",
        ),
    ] {
        let (keys, _) = found(4, &format!("{foreign}; {genuine}"));
        assert!(keys.len() <= 4 && keys.iter().any(|key| key == "abc"), "{foreign}: {keys:?}");
        assert_eq!(found(4, &format!("{genuine}; {foreign}")).0[0], "abc", "{foreign} behind it");
    }
}

#[test]
fn more_than_the_bound_is_not_looked_at() {
    let padding = "p=".to_owned() + &"x".repeat(MAX_BYTES);
    assert_eq!(found(4, &format!("{padding}; __Host-id=a")).0.len(), 0);
    let cut = format!("p={}; __Host-id=a", "x".repeat(MAX_BYTES - 14));
    assert_eq!(found(4, &cut), (vec![], false), "what the bound cut in two is nobody's cookie");
    let many = "__Host-id=2~a; __Host-id.1=b; ".repeat(300);
    assert!(found(4, &many).0.len() <= 4);
}

#[test]
fn build_split_over_none_or_five_refused() {
    for split in [0, 5, usize::MAX] {
        let refused = CookieConfig::builder().with_split(split).build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    }
    assert_eq!(CookieConfig::default().split(), 1);
}

proptest! {
    #[test]
    fn cookies_of_anything_never_panic(
        header in "(__Host-id(\\.[0-4])?=([0-5]~)?[a-c\"]{0,3}(; ?)?){0,20}",
        split in 1..=4_usize,
    ) {
        let (keys, _) = found(split, &header);
        prop_assert!(keys.len() <= 4);
    }

    #[test]
    fn key_of_any_length_comes_back(length in 1..=4 * PART) {
        let key = key(length);
        let lines = told(&Transport::Cookie(cookie(4)), &KeyChange::Send(key.clone(), None));
        prop_assert_eq!(found(4, &header(&lines)).0, vec![key.expose().to_owned()]);
    }
}

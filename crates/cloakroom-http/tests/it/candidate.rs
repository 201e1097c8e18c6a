use cloakroom_core::{Capability, SessionKey};
use cloakroom_http::{Candidates, MAX_BYTES, MAX_CANDIDATES};
use proptest::prelude::*;

fn keys(count: usize) -> Vec<SessionKey> {
    (0..count).map(|_| SessionKey::generate().unwrap()).collect()
}

fn cookies(lines: &[&str]) -> Candidates {
    Candidates::from_cookies("__Host-id", lines.iter().map(|line| line.as_bytes()), &Capability::store())
}

fn all(found: Candidates) -> Vec<SessionKey> {
    found.first.into_iter().chain(found.others).collect()
}

#[test]
fn cookies_of_the_right_name_are_found_wherever_they_are() {
    let keys = keys(1);
    let key = &keys[0];
    let text = key.expose();
    for line in [
        format!("__Host-id={text}"),
        format!("a=b; __Host-id={text}; c=d"),
        format!("a=b;__Host-id={text};"),
        format!("  __Host-id={text}\t"),
        format!("__Host-id=\"{text}\""),
        format!(";;=;=x; __Host-id={text}"),
    ] {
        assert_eq!(all(cookies(&[&line])), keys, "{line}");
    }
}

// ST-59
#[test]
fn cookies_in_several_lines_count_as_one() {
    let keys = keys(1);
    let key = &keys[0];
    let found = cookies(&["a=b", "c=d; e=f", &format!("__Host-id={}", key.expose())]);
    assert_eq!(all(found), keys);
}

// ST-60, CV-34, MW-001
#[test]
fn cookies_of_names_that_only_resemble_ours_are_not_ours() {
    let text = keys(1)[0].expose().to_owned();
    for name in [
        "__%48ost-id",
        "__host-id",
        "__Host-id ",
        "x__Host-id",
        "__Host-id2",
        "id",
        "",
        "$__Host-id",
        "__Host-id=",
    ] {
        let found = cookies(&[&format!("{name}={text}")]);
        assert!(found.is_empty(), "{name:?}");
    }
}

// ST-07, CV-03, CV-06
#[test]
fn cookies_of_the_wrong_shape_are_no_keys() {
    let text = keys(1)[0].expose().to_owned();
    let long = "A".repeat(4096);
    let percent = format!("{}%41", &text[..40]);
    let values = [
        "\"\"",
        "short",
        &long,
        &percent,
        "' OR 1=1--",
        "../../etc/passwd",
        "a\0b",
        "*",
        &text[1..],
        &format!("{text}A"),
    ];
    for value in values {
        assert!(cookies(&[&format!("__Host-id={value}")]).is_empty(), "{value:?}");
    }
    assert!(cookies(&["__Host-id=short"]).malformed);
    assert!(!cookies(&["__Host-id="]).malformed, "what some clients keep of a removed cookie");
    assert!(!cookies(&["__Host-id"]).malformed);
}

// ST-58
#[test]
fn cookies_of_one_name_are_all_tried_in_order_and_each_once() {
    let keys = keys(2);
    let (one, two) = (keys[0].expose(), keys[1].expose());
    let found = cookies(&[&format!("__Host-id=junk; __Host-id={one}; __Host-id={two}; __Host-id={one}")]);
    assert_eq!(all(found), keys);
}

// CV-37
#[test]
fn cookies_of_one_name_beyond_the_bound_are_ignored() {
    let line = keys(50).iter().map(|key| format!("__Host-id={}; ", key.expose())).collect::<String>();
    assert_eq!(all(cookies(&[&line])).len(), MAX_CANDIDATES);
}

// CV-37
#[test]
fn cookies_beyond_the_bytes_looked_at_are_ignored_and_none_is_cut_in_two() {
    let text = keys(1)[0].expose().to_owned();
    let cookie = format!("; __Host-id={text}");
    for fill in MAX_BYTES - 80..MAX_BYTES + 5 {
        let line = format!("{}{cookie}X", "x".repeat(fill));
        assert!(cookies(&[&line]).is_empty(), "a cut key was taken at {fill}");
        let line = format!("{}{cookie}; more", "x".repeat(fill));
        assert_eq!(cookies(&[&line]).is_empty(), fill + cookie.len() >= MAX_BYTES, "{fill}");
    }
    let fill = "x".repeat(MAX_BYTES);
    assert!(cookies(&[&fill, &cookie]).is_empty());
}

// F69
#[test]
fn header_with_a_scheme_takes_only_what_follows_that_scheme() {
    let keys = keys(1);
    let key = &keys[0];
    let text = key.expose();
    let bearer = |line: &str| {
        let found = Candidates::from_header(Some("Bearer"), [line.as_bytes()], &Capability::store());
        all(found).len()
    };
    assert_eq!(bearer(&format!("Bearer {text}")), 1);
    assert_eq!(bearer(&format!("bEARER   {text} ")), 1);
    for line in [
        format!("Basic {text}"),
        text.to_owned(),
        format!("Bearer{text}"),
        "Bearer".to_owned(),
        String::new(),
    ] {
        assert_eq!(bearer(&line), 0, "{line}");
    }
    let plain = Candidates::from_header(None, [text.as_bytes()], &Capability::store());
    assert_eq!(all(plain), keys);
}

proptest! {
    // ST-07
    #[test]
    fn cookies_of_any_bytes_never_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let lines = lines.iter().map(Vec::as_slice);
        let found = Candidates::from_cookies("__Host-id", lines.clone(), &Capability::store());
        prop_assert!(found.is_empty());
        let _ = Candidates::from_cookies("a", lines.clone(), &Capability::sealed(4096, 4096));
        let _ = Candidates::from_header(Some("Bearer"), lines, &Capability::store());
    }

    #[test]
    fn cookies_around_ours_do_not_hide_it(before in "[^;]{0,40}", after in ".{0,40}") {
        let key = SessionKey::generate().unwrap();
        let line = format!("x{before}; __Host-id={}; {after}", key.expose());
        prop_assert_eq!(cookies(&[&line]).first, Some(key));
    }
}

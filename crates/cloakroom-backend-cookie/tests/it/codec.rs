use std::time::Duration;

use cloakroom_backend_cookie::{CookieCodec, KeyRing, MAX_COOKIE, SealKey};
use cloakroom_core::{ErrorKind, Owner, Record, Scope, SessionId, Timestamp};
use cloakroom_seal::{Codec, Contents};
use proptest::prelude::*;

fn ring(seed: u8) -> KeyRing {
    KeyRing::new([SealKey::from_bytes([seed; 32])]).unwrap()
}

fn contents(payload: impl Into<Vec<u8>>) -> Contents {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let record = Record::new(payload.into(), now)
        .with_owner(Some(Owner::parse("user:42").unwrap()))
        .with_expires_at(Some(now + Duration::from_secs(3600)));
    Contents { id: SessionId::from_bytes([7; 32]), generation: 0, record }
}

fn scope(name: &str) -> Scope {
    Scope::parse(name).unwrap()
}

fn both() -> [CookieCodec; 2] {
    [CookieCodec::new(ring(1)), CookieCodec::signed_only(ring(1))]
}

#[test]
fn open_what_was_sealed_comes_back_whole() {
    for codec in both() {
        for scope in [None, Some(&scope("tenant:acme:session:"))] {
            let contents = contents(r#"{"user":42}"#);
            let text = codec.seal(scope, &contents).unwrap();
            assert_eq!(codec.open(scope, &text), Some(contents));
        }
    }
}

/// The whole text, character by character: every other character of the alphabet in every place.
#[test]
fn open_every_character_changed_refused() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for codec in both() {
        // Three lengths in a row: all that base64 can leave over at the end.
        for payload in ["{}", "{} ", "{}  "] {
            let text = codec.seal(None, &contents(payload)).unwrap();
            for at in 0..text.len() {
                for &other in ALPHABET {
                    let mut changed = text.as_bytes().to_vec();
                    changed[at] = other;
                    let changed = String::from_utf8(changed).unwrap();
                    assert!(*changed == *text || codec.open(None, &changed).is_none(), "{at}");
                }
            }
        }
    }
}

#[test]
fn open_every_truncation_and_extension_refused() {
    for codec in both() {
        let text = codec.seal(None, &contents("{}")).unwrap();
        for length in 0..text.len() {
            assert_eq!(codec.open(None, &text[..length]), None);
            assert_eq!(codec.open(None, &text[text.len() - length..]), None);
        }
        for end in ["A", "=", "==", "AA", "AAA", "AAAA", " ", "\n", ".", "~"] {
            assert_eq!(codec.open(None, &format!("{text}{end}")), None);
            assert_eq!(codec.open(None, &format!("{end}{text}")), None);
        }
        assert_eq!(codec.open(None, &text.repeat(2)), None);
    }
}

#[test]
fn open_in_another_scope_or_under_another_name_refused() {
    for codec in both() {
        let renamed = codec.clone().with_cookie_name("id").unwrap();
        let (acme, other) = (scope("acme"), scope("acm"));
        let scopes = [None, Some(&acme), Some(&other)];
        for (at, &sealed_in) in scopes.iter().enumerate() {
            let text = codec.seal(sealed_in, &contents("{}")).unwrap();
            for (shown_in, &opened_in) in scopes.iter().enumerate() {
                assert_eq!(codec.open(opened_in, &text).is_some(), at == shown_in);
                assert_eq!(renamed.open(opened_in, &text), None);
            }
        }
    }
}

/// Name and scope are framed: what moves from one to the other is another thing.
#[test]
fn open_name_and_scope_that_read_alike_refused() {
    let one = CookieCodec::new(ring(1)).with_cookie_name("id").unwrap();
    let other = CookieCodec::new(ring(1)).with_cookie_name("ida").unwrap();
    let text = one.seal(Some(&scope("ab")), &contents("{}")).unwrap();
    assert_eq!(other.open(Some(&scope("b")), &text), None);
    assert!(one.open(Some(&scope("ab")), &text).is_some());
}

#[test]
fn open_signed_as_sealed_and_the_other_way_round_refused() {
    let [sealed, signed] = both();
    let (secret, readable) =
        (sealed.seal(None, &contents("{}")).unwrap(), signed.seal(None, &contents("{}")).unwrap());
    assert_eq!(signed.open(None, &secret), None);
    assert_eq!(sealed.open(None, &readable), None);
}

#[test]
fn seal_sealed_hides_and_signed_shows() {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let [sealed, signed] = both();
    let shows = |text: &str| {
        let bytes = base64.decode(text).unwrap();
        bytes.windows(11).any(|part| part == br#"{"user":42}"#)
    };
    assert!(!shows(&sealed.seal(None, &contents(r#"{"user":42}"#)).unwrap()));
    assert!(shows(&signed.seal(None, &contents(r#"{"user":42}"#)).unwrap()));
}

#[test]
fn seal_too_large_says_both_sizes_at_the_exact_limit() {
    for codec in both() {
        let mut contents = contents("");
        contents.record = contents.record.with_owner(None);
        let most = codec.max_payload();
        contents.record.payload = vec![b'x'; most].into();
        let text = codec.seal(None, &contents).unwrap();
        assert!("__Host-id".len() + text.len() <= MAX_COOKIE);
        assert_eq!(codec.open(None, &text), Some(contents.clone()));

        contents.record.payload = vec![b'x'; most + 1].into();
        let error = codec.seal(None, &contents).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let message = error.to_string();
        assert!(message.contains("4097") && message.contains("4096"), "{message}");

        // An owner takes its own room.
        contents.record.payload = vec![b'x'; most].into();
        contents.record.owner = Some(Owner::parse("user:42").unwrap());
        assert_eq!(codec.seal(None, &contents).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}

/// What the issue of the format allows beside the private jar of the `cookie` crate: 729 and 2857 bytes.
#[test]
fn seal_text_is_at_most_160_bytes_longer_than_the_private_jars() {
    let codec = CookieCodec::new(ring(1));
    for (payload, jar) in [(500, 729), (2048, 2857)] {
        let text = codec.seal(None, &contents(vec![b'x'; payload])).unwrap();
        assert!(text.len() <= jar + 160, "{} for {payload}", text.len());
    }
}

#[test]
fn settings_that_make_no_sense_refused() {
    let codec = || CookieCodec::new(ring(1));
    for name in ["", "a b", "a=b", "a;b", "é", "a,b", &"x".repeat(256)] {
        assert_eq!(codec().with_cookie_name(name).unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
    for cookies in [0, 5, usize::MAX] {
        assert_eq!(codec().with_split(cookies).unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

proptest! {
    #[test]
    fn open_any_text_never_panics(text in "[A-Za-z0-9_.~-]{0,300}", bytes in "\\PC{0,50}") {
        for codec in both() {
            prop_assert_eq!(codec.open(None, &text), None);
            prop_assert_eq!(codec.open(None, &bytes), None);
        }
    }

    #[test]
    fn fuzz_target_holds(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        cloakroom_backend_cookie::fuzz_open(&data);
    }
}

//! Tokens that somebody made or changed.

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_core::{
    ErrorKind, ManualClock, Record, Rotate, Scope, SessionBackend, SessionKey, Touch, Write,
};
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;

use crate::key::{RSA, RSA_PUBLIC};
use crate::{HOUR, backend, create, hs256, kind, record, shown};

fn encoded(text: &str) -> String {
    Base64UrlUnpadded::encode_string(text.as_bytes())
}

fn signed(header: &str, claims: &str, secret: &[u8], algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).unwrap();
    format!("{message}.{signature}")
}

fn part(token: &str, index: usize) -> String {
    let part = token.split('.').nth(index).unwrap();
    String::from_utf8(Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

/// It finds nothing, and nothing can be done with it.
async fn refused(backend: &JwtSessionBackend, text: &str, record: &Record) {
    let Ok(key) = SessionKey::parse(text, &backend.capability()) else { return };
    assert_eq!(backend.read(&key).await.unwrap(), None, "{text}");
    let update = backend.write(&key, record.clone(), Write::update(record.version)).await;
    assert_eq!(kind(update), ErrorKind::Gone);
    let new = SessionKey::generate().unwrap();
    assert_eq!(
        kind(backend.rotate(&key, &new, record.clone(), Rotate::new(record.version)).await),
        ErrorKind::Gone
    );
    let touch = Touch::new(record.version, record.accessed_at + HOUR * 9);
    assert!(backend.touch(&key, touch).await.unwrap().is_none());
}

#[tokio::test]
async fn token_changed_anywhere_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{\"role\":\"user\"}");
    let key = create(&backend, &kept).await;
    let token = key.expose();
    for at in 0..token.len() {
        for other in ["A", "B", ".", "-", "_"] {
            if &token[at..=at] != other {
                refused(&backend, &format!("{}{other}{}", &token[..at], &token[at + 1..]), &kept).await;
            }
        }
        refused(&backend, &token[..at], &kept).await;
        refused(&backend, &token[at + 1..], &kept).await;
        refused(&backend, &format!("{}A{}", &token[..at], &token[at..]), &kept).await;
    }
    for added in [".", "..", ".A", "A", "=", "==", " ", "\n", "~"] {
        refused(&backend, &format!("{token}{added}"), &kept).await;
        refused(&backend, &format!("{added}{token}"), &kept).await;
    }
    assert_eq!(backend.read(&shown(&backend, token)).await.unwrap(), Some(kept));
}

/// The last character of a signature of 32 bytes has two bits that say nothing: only one value of them is good.
#[tokio::test]
async fn token_with_another_spelling_of_the_signature_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (before, last) = key.expose().split_at(key.expose().len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for other in alphabet.chars().filter(|other| !last.starts_with(*other)) {
        refused(&backend, &format!("{before}{other}"), &kept).await;
    }
}

/// `alg: none`, in all spellings, with and without a signature (RFC 8725 §2.1).
#[tokio::test]
async fn token_unsigned_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (claims, signature) = (part(key.expose(), 1), key.expose().rsplit('.').next().unwrap());
    let header = part(key.expose(), 0);
    for none in ["none", "None", "NONE", "nOnE", "", "null"] {
        let header = header.replace("HS256", none);
        for signature in ["", "A", signature] {
            refused(&backend, &format!("{}.{}.{signature}", encoded(&header), encoded(&claims)), &kept).await;
        }
        refused(&backend, &format!("{}.{}", encoded(&header), encoded(&claims)), &kept).await;
    }
    refused(&backend, &format!("{}.{}.", encoded(&header), encoded(&claims)), &kept).await;
    refused(&backend, &format!("{}.{}", encoded(&header), encoded(&claims)), &kept).await;
}

/// A key says its algorithm. A token that names another is refused, also when it is signed as it says.
#[tokio::test]
async fn token_of_another_algorithm_refused() {
    let clock = ManualClock::new();
    let secret = [7; 64];
    let strict = JwtSessionBackend::builder([JwtKey::hs256(&secret).unwrap()]).with_clock(clock.clock());
    let backend = strict.build().unwrap();
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (header, claims) = (part(key.expose(), 0), part(key.expose(), 1));
    assert_eq!(signed(&header, &claims, &secret, Algorithm::HS256), key.expose(), "how the test signs");
    for (name, algorithm) in [("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
        let named = header.replace("HS256", name);
        refused(&backend, &signed(&named, &claims, &secret, algorithm), &kept).await;
        refused(&backend, &signed(&header, &claims, &secret, algorithm), &kept).await;
        refused(&backend, &signed(&named, &claims, &secret, Algorithm::HS256), &kept).await;
    }
}

/// The public RSA key as an HMAC secret (RFC 8725 §2.1, CVE-2015-9235).
#[tokio::test]
async fn token_signed_with_the_public_key_as_secret_refused() {
    let clock = ManualClock::new();
    let keys = [JwtKey::rs256_pem(RSA).unwrap()];
    let backend = JwtSessionBackend::builder(keys).with_clock(clock.clock()).build().unwrap();
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (header, claims) = (part(key.expose(), 0), part(key.expose(), 1));
    let body: String = RSA_PUBLIC.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64ct::Base64::decode_vec(&body).unwrap();
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes(), &der] {
        for header in [&header, &header.replace("RS256", "HS256")] {
            refused(&backend, &signed(header, &claims, secret, Algorithm::HS256), &kept).await;
        }
    }
}

/// Headers that name keys or demand things, signed with the right key: they are not ours.
#[tokio::test]
async fn token_with_another_header_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (header, claims) = (part(key.expose(), 0), part(key.expose(), 1));
    let kid = hs256().kid().unwrap().to_owned();
    let headers = [
        "{}".to_owned(),
        format!(" {header}"),
        header.replace(",\"typ\":\"JWT\"", ""),
        header.replace(&kid, "another"),
        header.replace(&kid, "../../dev/null"),
        header.replace(&kid, "' OR 1=1 --"),
        header.replace(&format!(",\"kid\":\"{kid}\""), ""),
        header.replace('}', ",\"crit\":[\"exp\"],\"exp\":1}"),
        header.replace('}', ",\"b64\":false,\"crit\":[\"b64\"]}"),
        header.replace('}', ",\"jku\":\"https://evil.example/keys\"}"),
        header.replace('}', ",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}"),
        header.replace('}', ",\"zip\":\"DEF\"}"),
        header.replace('}', ",\"alg\":\"none\"}"),
        "not json".to_owned(),
    ];
    for other in headers {
        assert_ne!(other, header);
        refused(&backend, &signed(&other, &claims, &[7; 32], Algorithm::HS256), &kept).await;
    }
}

/// Tokens of several keys without a kid, or with that of another one, are refused.
#[tokio::test]
async fn token_with_missing_or_wrong_kid_refused_where_there_are_several() {
    let clock = ManualClock::new();
    let named = |secret: u8, kid| JwtKey::hs256(&[secret; 32]).unwrap().with_kid(kid).unwrap();
    let kept = record(&clock, "{}");
    let several = JwtSessionBackend::builder([named(1, "a"), named(2, "b")]).with_clock(clock.clock());
    let several = several.build().unwrap();
    let alone = |key: JwtKey| JwtSessionBackend::builder([key]).with_clock(clock.clock()).build().unwrap();
    let strangers = [
        named(1, "a").without_kid(),
        named(1, "b"),
        named(2, "a"),
        named(1, "c"),
        named(3, "a"),
        named(1, "A"),
    ];
    for key in strangers {
        let token = create(&alone(key), &kept).await;
        refused(&several, token.expose(), &kept).await;
    }
    for key in [named(1, "a"), named(2, "b")] {
        let token = create(&alone(key), &kept).await;
        assert!(several.read(&shown(&several, token.expose())).await.unwrap().is_some());
    }
    // Alone, the kid must be right all the same.
    let token = create(&alone(named(1, "a")), &kept).await;
    refused(&alone(named(1, "b")), token.expose(), &kept).await;
    refused(&alone(named(1, "a").without_kid()), token.expose(), &kept).await;
}

/// A token that another service made with the same key is no session (RFC 8725 §2.8).
#[tokio::test]
async fn token_of_the_same_key_that_is_no_session_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{}");
    let key = create(&backend, &kept).await;
    let (header, claims) = (part(key.expose(), 0), part(key.expose(), 1));
    let without = |member: &str| {
        let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&claims).unwrap();
        assert!(claims.remove(member).is_some());
        serde_json::to_string(&claims).unwrap()
    };
    let others = [
        "{\"sub\":\"user:42\",\"exp\":99999999999}".to_owned(),
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        without("sid"),
        without("cloakroom"),
        without("data"),
        claims.replace('{', "[").replace('}', "]"),
        claims.replace("\"data\":{}", "\"data\":1"),
        claims.replace("\"data\":{}", "\"data\":null"),
        claims.replace("\"data\":{}", "\"data\":\"=\""),
        claims.replace("\"data\":{}", "\"data\":{},\"data\":{\"admin\":true}"),
        claims.replace("\"data\":{}", "\"data\":{},\"sub\":\"\""),
        claims.replace("\"data\":{}", "\"data\":{},\"sub\":1"),
        claims.replace("\"data\":{}", "\"data\":{},\"iss\":\"somebody\""),
        claims.replace("\"data\":{}", "\"data\":{},\"aud\":\"somebody\""),
        claims.replace("\"data\":{}", "\"data\":{},\"aud\":[]"),
        claims.replace("\"v\":", "\"v\":-"),
        claims.replace("\"e\":", "\"e\":99999999999999999999"),
        format!("{claims}{claims}"),
        claims.replace("\"sid\":\"", "\"sid\":\"A"),
    ];
    for other in others {
        assert_ne!(other, claims);
        refused(&backend, &signed(&header, &other, &[7; 32], Algorithm::HS256), &kept).await;
    }
    let spaced = claims.replace(",\"", " ,\n \"");
    let spaced = signed(&header, &spaced, &[7; 32], Algorithm::HS256);
    assert_eq!(
        backend.read(&shown(&backend, &spaced)).await.unwrap(),
        Some(kept),
        "what the test changes matters"
    );
}

/// The claim binds it to its scope (CV-28).
#[tokio::test]
async fn token_of_another_scope_refused() {
    let clock = ManualClock::new();
    let backend = backend(clock.clock());
    let kept = record(&clock, "{}");
    let scopes = ["tenant:a", "tenant:a:", "tenant:b"].map(|scope| Some(Scope::parse(scope).unwrap()));
    let scopes = [None].into_iter().chain(scopes).collect::<Vec<_>>();
    let within = |key: &SessionKey, scope: &Option<Scope>| match scope {
        Some(scope) => key.scoped(scope),
        None => key.unscoped(),
    };
    for of in &scopes {
        let secret = within(&SessionKey::generate().unwrap(), of);
        let token = backend.write(&secret, kept.clone(), Write::create()).await.unwrap();
        for shown_in in &scopes {
            let read = backend.read(&within(&token, shown_in)).await.unwrap();
            assert_eq!(read.is_some(), of == shown_in, "of {of:?}, shown in {shown_in:?}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_open_nothing_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        cloakroom_backend_jwt::fuzz_open(&bytes);
    }

    #[test]
    fn arbitrary_claims_never_panic(
        data in "[\\[{\"][a-z0-9\":,{}\\[\\] ]{0,40}",
        version in any::<u64>(),
        time in any::<i64>(),
        sub in "\\PC{0,20}",
    ) {
        let sub = serde_json::to_string(&sub).unwrap();
        let id = "A".repeat(43);
        let claims = format!(
            "{{\"iss\":\"fuzz\",\"sub\":{sub},\"sid\":\"{id}\",\"cloakroom\":{{\"v\":{version},\"g\":{version},\
             \"c\":{time},\"a\":{time},\"e\":{time}}},\"data\":{data}}}"
        );
        cloakroom_backend_jwt::fuzz_open(claims.as_bytes());
    }
}

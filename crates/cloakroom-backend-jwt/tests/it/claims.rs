//! What tokens say.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_backend_jwt::{JwtBuilder, JwtSessionBackend};
use cloakroom_core::{
    ErrorKind, ManualClock, Owner, Record, SessionBackend, SessionKey, SessionManager, Timestamp, Version,
    Write,
};
use serde_json::{Value, json};

use crate::{HOUR, create, hs256, kind, record, shown};

fn builder(clock: &ManualClock) -> JwtBuilder {
    JwtSessionBackend::builder([hs256()]).with_clock(clock.clock())
}

fn claims(key: &SessionKey) -> Value {
    let part = key.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
}

#[tokio::test]
async fn claims_are_those_that_are_documented() {
    let clock = ManualClock::new();
    clock.set(Timestamp::from_millis(1_767_225_600_123));
    let backend = builder(&clock).with_issuer("https://shop.example").with_audience("shop").build().unwrap();
    let kept = Record::new("{\"cart\":[\"hat\"]}", clock.now())
        .with_version(Version::from_u64(u64::MAX))
        .with_owner(Some(Owner::parse("user:\"42\"").unwrap()))
        .with_expires_at(Some(clock.now() + Duration::from_millis(3_600_876)));
    let key = create(&backend, &kept).await;
    let expected = json!({
        "iss": "https://shop.example",
        "aud": "shop",
        "sub": "user:\"42\"",
        "iat": 1_767_225_600,
        "exp": 1_767_229_200,
        "sid": &*key.id().as_text(),
        "cloakroom": {
            "v": (1_u64 << 63) - 1,
            "c": 1_767_225_600_123_i64,
            "a": 1_767_225_600_123_i64,
            "e": 1_767_229_200_999_i64,
        },
        "data": { "cart": ["hat"] },
    });
    assert_eq!(claims(&key), expected);
    assert_eq!(backend.read(&key).await.unwrap(), Some(kept));
    let bare = Record::new("{}", clock.now());
    let key = create(&backend, &bare).await;
    for absent in ["sub", "exp"] {
        assert_eq!(claims(&key).get(absent), None);
    }
    let two = builder(&clock).with_audience("shop").with_audience("till").build().unwrap();
    assert_eq!(claims(&create(&two, &bare).await)["aud"], json!(["shop", "till"]));
}

/// ST-77: no leeway unless it is asked for, and none beyond it.
#[tokio::test]
async fn end_to_the_millisecond_with_leeway_and_without() {
    let clock = ManualClock::new();
    let millisecond = Duration::from_millis(1);
    let strict = builder(&clock).build().unwrap();
    let lenient = builder(&clock).with_leeway(Duration::from_millis(1_500)).build().unwrap();
    for end in [1, 999, 1_000, 1_001, 60_500] {
        let kept = record(&clock, "{}").with_expires_at(Some(clock.now() + Duration::from_millis(end)));
        let key = create(&strict, &kept).await;
        clock.advance(Duration::from_millis(end) - millisecond);
        assert!(strict.read(&key).await.unwrap().is_some());
        clock.advance(millisecond);
        assert!(strict.read(&key).await.unwrap().is_none());
        assert!(lenient.read(&key).await.unwrap().is_some());
        clock.advance(Duration::from_millis(1_499));
        assert!(lenient.read(&key).await.unwrap().is_some());
        clock.advance(millisecond);
        assert!(lenient.read(&key).await.unwrap().is_none());
    }
    // It is the given clock that counts, not the system's.
    clock.step_back(HOUR * 24 * 365 * 10);
    let kept = record(&clock, "{}").with_expires_at(Some(clock.now() + millisecond));
    assert!(strict.read(&create(&strict, &kept).await).await.unwrap().is_some());
}

#[tokio::test]
async fn issuer_and_audience_of_others_refused() {
    let clock = ManualClock::new();
    let kept = record(&clock, "{}");
    let settings: [fn(JwtBuilder) -> JwtBuilder; 8] = [
        |builder| builder,
        |builder| builder.with_issuer("a"),
        |builder| builder.with_issuer("A"),
        |builder| builder.with_issuer(""),
        |builder| builder.with_audience("a"),
        |builder| builder.with_audience("b"),
        |builder| builder.with_issuer("a").with_audience("a"),
        |builder| builder.with_audience("a").with_audience("c"),
    ];
    let backends = settings.map(|set| set(builder(&clock)).build().unwrap());
    for (written, writer) in backends.iter().enumerate() {
        let key = create(writer, &kept).await;
        for (read, reader) in backends.iter().enumerate() {
            let found = reader.read(&shown(reader, key.expose())).await.unwrap().is_some();
            // Audiences a and a, c have one in common.
            let shared = written == read || (written.min(read), written.max(read)) == (4, 7);
            assert_eq!(found, shared, "written with {written}, read with {read}");
        }
    }
}

#[tokio::test]
async fn fields_are_copied_to_claims() {
    let clock = ManualClock::new();
    let backend =
        builder(&clock).with_claim("role", "role").with_claim("https://x.example/n", "a \"b\"").build();
    let manager = SessionManager::new(backend.unwrap());
    let session = manager.create(|session| {
        session.set("role", json!({ "names": ["admin"] }))?;
        session.set("a \"b\"", 1.5)
    });
    let session = session.await.unwrap();
    let found = claims(&session.key().unwrap());
    assert_eq!(
        (&found["role"], &found["https://x.example/n"]),
        (&json!({ "names": ["admin"] }), &json!(1.5))
    );
    assert_eq!(found["data"]["role"], found["role"]);
    let key = session.key().unwrap();
    let session = manager
        .update(&key, |session| {
            session.delete("role");
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(claims(&session.key().unwrap()).get("role"), None, "a field that is not there is no claim");
    let unreadable = record(&clock, "bytes of another format");
    let secret = SessionKey::generate().unwrap();
    let written = manager.backend().write(&secret, unreadable, Write::create()).await;
    assert_eq!(kind(written), ErrorKind::InvalidConfig, "nothing can be copied from it");
}

#[test]
fn claims_that_collide_are_refused_when_built() {
    let clock = ManualClock::new();
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "cloakroom", "data", ""] {
        assert_eq!(
            kind(builder(&clock).with_claim(claim, "field").build()),
            ErrorKind::InvalidConfig,
            "{claim}"
        );
    }
    let twice = builder(&clock).with_claim("role", "a").with_claim("role", "b").build();
    assert_eq!(kind(twice), ErrorKind::InvalidConfig);
    let hidden = builder(&clock).with_claim("device", "_cloakroom").build();
    assert_eq!(kind(hidden), ErrorKind::InvalidConfig);
    for required in ["iss", "aud", "nbf", "jti", "role", ""] {
        assert_eq!(kind(builder(&clock).with_required_claim(required).build()), ErrorKind::InvalidConfig);
    }
    for bytes in [0, 100, 8193] {
        assert_eq!(kind(builder(&clock).with_max_length(bytes).build()), ErrorKind::InvalidConfig);
    }
}

#[tokio::test]
async fn required_claim_missing_refused_on_both_sides() {
    let clock = ManualClock::new();
    let plain = builder(&clock).build().unwrap();
    let required = builder(&clock)
        .with_required_claim("sub")
        .with_required_claim("exp")
        .with_required_claim("role")
        .with_claim("role", "role")
        .build()
        .unwrap();
    let owner = Some(Owner::parse("user:1").unwrap());
    let whole = record(&clock, "{\"role\":\"admin\"}").with_owner(owner.clone());
    let key = create(&required, &whole).await;
    assert_eq!(required.read(&key).await.unwrap(), Some(whole.clone()));
    let without = [
        whole.clone().with_owner(None),
        whole.clone().with_expires_at(None),
        record(&clock, "{}").with_owner(owner.clone()),
        record(&clock, "{\"role\":null}").with_owner(owner),
    ];
    for lacking in without {
        let secret = SessionKey::generate().unwrap();
        let error = required.write(&secret, lacking.clone(), Write::create()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("required"), "{error}");
        let key = create(&plain, &lacking).await;
        assert_eq!(required.read(&shown(&required, key.expose())).await.unwrap(), None);
    }
    let key = create(&plain, &whole).await;
    assert_eq!(required.read(&shown(&required, key.expose())).await.unwrap(), None, "data is no claim");
}

#[tokio::test]
async fn payload_of_any_bytes_round_trips() {
    let clock = ManualClock::new();
    let backend = builder(&clock).build().unwrap();
    let payloads: [&[u8]; 19] = [
        b"",
        b"{}",
        b" {}",
        b"{} ",
        b"{\"data\":{}}\t",
        b"{} \n\r\t \t",
        b"{ \"b\" : 1.0e2 , \"a\":[ ] }",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":1e999}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":12345678901234567890123}",
        b"{",
        b"{\"a\":}",
        b"{}{}",
        b"\"text\"",
        b"null",
        b"\x00\xff\x80",
        b"{\"a\":\"\xff\"}",
        "{\"a\":\"\u{2028}\u{1f600}\"}".as_bytes(),
    ];
    let deep = [b"{\"a\":".repeat(300), b"1".to_vec(), b"}".repeat(300)].concat();
    for payload in payloads.into_iter().chain([deep.as_slice()]) {
        let kept = Record::new(payload.to_vec(), clock.now());
        let key = create(&backend, &kept).await;
        assert_eq!(backend.read(&key).await.unwrap(), Some(kept), "{}", payload.escape_ascii());
    }
}

/// Over the length nothing is given out, and the token before is as good as before.
#[tokio::test]
async fn token_too_long_both_sizes_told() {
    let clock = ManualClock::new();
    let backend = builder(&clock).build().unwrap();
    let owner = Owner::parse(&"o".repeat(255)).unwrap();
    let most = backend.capability().max_payload;
    let mut kept = Record::new(vec![0xff; most], clock.now()).with_owner(Some(owner));
    let secret = SessionKey::generate().unwrap();
    let error = backend.write(&secret, kept.clone(), Write::create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "the owner is more than what is stated");
    assert!(error.to_string().contains("4087"), "{error}");
    kept.owner = None;
    let key = create(&backend, &kept).await;
    assert!(key.expose().len() <= 4087);
    let mut large = kept.clone();
    large.payload = vec![0; most + 1].into();
    let error = backend.write(&key, large, Write::update(kept.version)).await.unwrap_err();
    assert!(
        error.to_string().contains(&(most + 1).to_string()) && error.to_string().contains(&most.to_string())
    );
    assert_eq!(backend.read(&key).await.unwrap(), Some(kept));
    let header = builder(&clock).with_max_length(8192).build().unwrap();
    assert!(header.capability().max_payload > most * 2);
}

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::*;
use serde_json::{Value, json};

fn formats() -> Vec<Format> {
    vec![
        Format::Json,
        #[cfg(feature = "messagepack")]
        Format::MessagePack,
        #[cfg(feature = "cbor")]
        Format::Cbor,
        #[cfg(feature = "bincode")]
        Format::Bincode,
    ]
}

fn with(format: Format) -> Arc<SessionConfig> {
    Arc::new(SessionConfig::default().with_format(format))
}

fn samples() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("null", Value::Null),
        ("bool", json!(true)),
        ("min", json!(i64::MIN)),
        ("max", json!(u64::MAX)),
        ("float", json!(1.5e-7)),
        ("text", json!("quotes \" backslash \\ newline \n nul \0 snow ☃ 𝄞 </script>")),
        ("list", json!([1, "two", null, [3.5, {"deep": [true]}]])),
        ("map", json!({"": 1, "a\"b\\c": {"x": []}, "ü": "ö"})),
        ("empty list", json!([])),
        ("empty map", json!({})),
        ("name with \"quotes\" and \\ and ü", json!(1)),
        ("", json!("an empty name")),
    ])
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Shape {
    Unit,
    New(u8),
    Tuple(i8, String),
    Struct { address: IpAddr, data: Option<Vec<u8>> },
}

#[tokio::test]
async fn every_value_comes_back_in_every_format() {
    for format in formats() {
        let backend = InMemorySessionBackend::new();
        let session = Session::with_config(backend.clone(), None, with(format));
        session.extend(samples()).unwrap();
        let shapes = [
            Shape::Unit,
            Shape::New(7),
            Shape::Tuple(-1, "t".into()),
            Shape::Struct { address: Ipv4Addr::LOCALHOST.into(), data: Some(vec![0, 255]) },
        ];
        session.set("shapes", &shapes).unwrap();
        session.save().await.unwrap();
        let again = Session::with_config(backend, session.key(), with(format));
        again.load().await.unwrap();
        for (name, value) in samples() {
            assert_eq!(again.get::<Value>(name).unwrap(), Some(value), "{name} in {format:?}");
        }
        assert_eq!(again.get::<Vec<Shape>>("shapes").unwrap().unwrap(), shapes, "{format:?}");
        let raw: Value = again.get("shapes").unwrap().unwrap();
        assert_eq!(raw[3]["Struct"]["address"], "127.0.0.1", "human-readable in {format:?}");
        assert_eq!(again.len(), samples().len() + 1);
    }
}

#[tokio::test]
async fn change_of_format_keeps_live_sessions() {
    for from in formats() {
        for to in formats() {
            let backend = InMemorySessionBackend::new();
            let session = Session::with_config(backend.clone(), None, with(from));
            session.extend(samples()).unwrap();
            session.set_with_ttl("short", 1, Duration::from_secs(60)).unwrap();
            session.set_expiry(Duration::from_secs(500));
            session.save().await.unwrap();
            let changed = Session::with_config(backend.clone(), session.key(), with(to));
            changed.load().await.unwrap();
            changed.set("new", "value").unwrap();
            changed.save().await.unwrap();
            let again = Session::with_config(backend, session.key(), with(to));
            again.load().await.unwrap();
            for (name, value) in samples() {
                assert_eq!(again.get::<Value>(name).unwrap(), Some(value), "{name}: {from:?} to {to:?}");
            }
            assert_eq!(again.get::<String>("new").unwrap().as_deref(), Some("value"));
            assert!(again.field_ttl("short").unwrap().is_some());
            assert_eq!(again.expiry(), Expiry::Idle(Duration::from_secs(500)));
        }
    }
}

#[test]
fn values_outside_the_data_model_are_refused() {
    for format in formats() {
        let session = Session::with_config(InMemorySessionBackend::new(), None, with(format));
        let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let refused = [
            session.set("f", f64::NAN),
            session.set("f", vec![Some(f32::INFINITY)]),
            session.set("f", u128::from(u64::MAX) + 1),
            session.set("f", BTreeMap::from([(vec![1], 1)])),
            session.set("f", deep),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidKey, "{format:?}");
        }
        assert!(session.keys().is_empty() && !session.is_modified());
        session.set("f", 5_i128).unwrap();
    }
}

#[tokio::test]
async fn json_payload_is_a_plain_object() {
    let backend = InMemorySessionBackend::new();
    let session = Session::new(backend.clone());
    session.set("b", [1, 2]).unwrap();
    session.set("a", "x").unwrap();
    session.save().await.unwrap();
    let record = backend.read(&session.key().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.payload.trim_ascii_end(), br#"{"b":[1,2],"a":"x"}"#);
}

async fn with_payload(payload: &'static [u8]) -> Session<InMemorySessionBackend> {
    let backend = InMemorySessionBackend::new();
    let key = SessionKey::generate().unwrap();
    let record = Record::new(payload, backend.clock().now());
    backend.write(&key, record, Write::create()).await.unwrap();
    let session = Session::with_key(backend, key);
    session.load().await.unwrap();
    session
}

#[tokio::test]
async fn foreign_json_is_read_and_changed_in_place() {
    let session = with_payload(b" { \"a\" : 1 , \"b\\u0062\": {\"x\": \"}\\\"]\"} ,\"c\":[ ] } \n").await;
    assert_eq!(session.keys(), ["a", "bb", "c"]);
    session.set("a", 2).unwrap();
    session.set("d", 4).unwrap();
    session.save().await.unwrap();
    let again = Session::with_key(session.backend().clone(), session.key().unwrap());
    again.load().await.unwrap();
    assert_eq!((again.get("a").unwrap(), again.get("d").unwrap()), (Some(2), Some(4)));
    assert_eq!(again.get::<Value>("bb").unwrap(), Some(json!({"x": "}\"]"})));
}

// CV-30, DJ-094, DJ-095
#[tokio::test]
async fn unreadable_payload_is_an_empty_session_under_a_new_key() {
    for payload in
        [&b""[..], b"garbage", b"[1]", b"{", b"\x07future", b"\xff\xfe", b"\x1f\x8b", b"null", b"  "]
    {
        let session = with_payload(payload).await;
        assert!(session.key().is_none() && session.is_empty(), "{payload:?}");
        session.set("a", 1).unwrap();
        session.save().await.unwrap();
    }
}

// CV-39: lengths from outside reserve nothing and lead nowhere.
#[tokio::test]
async fn damage_found_later_is_corrupted() {
    for payload in [
        &br#"{"ok":1,"bad":}"#[..],
        br#"{"ok":1,"bad":{"x":1}"#,
        br#"{"ok":1 "bad":2}"#,
        br#"{"ok":1,"bad"}"#,
        br#"{"ok":1,}"#,
        br#"{"ok":1,"bad\ud800":2}"#,
        #[cfg(feature = "messagepack")]
        b"\x01\x02ok\x01\x01\x03bad\xff\xff\xff\xff\x0f",
        #[cfg(feature = "cbor")]
        b"\x02\x02ok\x01\x01\x03bad\x01\x9b",
    ] {
        let session = with_payload(payload).await;
        assert_eq!(session.get::<u8>("ok").unwrap(), Some(1), "{payload:?}");
        assert_eq!(session.get::<u8>("bad").unwrap_err().kind(), ErrorKind::Corrupted, "{payload:?}");
        assert_eq!(session.keys().first().map(String::as_str), Some("ok"));
        session.set("new", 1).ok();
    }
}

#[tokio::test]
async fn one_field_is_read_without_the_rest() {
    // What follows the wanted field is not even JSON.
    let session = with_payload(br#"{"first":1,"second":2,!!!}"#).await;
    assert_eq!(session.get::<u8>("second").unwrap(), Some(2));
    session.set("first", 9).unwrap();
    session.save().await.unwrap();
    let record = session.backend().read(&session.key().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        record.payload.trim_ascii_end(),
        br#"{"first":9,"second":2,!!!}"#,
        "nor is it touched by a save"
    );
}

#[tokio::test]
async fn random_payloads_never_panic() {
    let mut seed = 0x1234_5678_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let alphabet = br#"{}[]",:\ab01 .-eu"#;
    for _ in 0..3000 {
        let mut payload = vec![[b'{', 1, 2, 3][next() % 4]];
        payload.extend((0..next() % 40).map(|_| alphabet[next() % alphabet.len()]));
        if next() % 2 == 0 {
            payload.push(b'}');
        }
        let session = with_payload(Vec::leak(payload)).await;
        let _ = session.get::<Value>("a");
        let _ = session.items();
        let _ = session.set("a", 1);
        let _ = session.save().await;
    }
}

/// JSON that was written here says so by the tab behind it; then the reserved member is the first or not there.
#[tokio::test]
async fn reserved_member_comes_first_in_what_was_written_here() {
    let backend = InMemorySessionBackend::new();
    let mut session = Session::new(backend.clone());
    for step in 0..60_u32 {
        match step % 6 {
            0 => session.set(&format!("small{step}"), step).unwrap(),
            1 => session.set(&format!("large{step}"), "x".repeat(100)).unwrap(),
            2 => session.set_expiry(Duration::from_secs(600 + u64::from(step))),
            3 => session.set_owner(&format!("user:{step}")).unwrap(),
            4 => session.set("small0", step).unwrap(),
            _ => session.set("text", r#"has "_cloakroom": in it"#).unwrap(),
        }
        session.save().await.unwrap();
        let key = session.key().unwrap();
        let payload = backend.read(&key).await.unwrap().unwrap().payload;
        let text = std::str::from_utf8(&payload).unwrap();
        assert!(serde_json::from_str::<Value>(text).unwrap().is_object());
        assert!(text.ends_with("}\t"), "{text}");
        assert!(!text.contains(r#","_cloakroom":"#), "{text}");
        let again = Session::with_key(backend.clone(), key);
        again.load().await.unwrap();
        assert_eq!((again.owner(), again.expiry()), (session.owner(), session.expiry()));
        session = again;
    }
}

/// Another tool writes the same JSON in another order and without the tab.
#[tokio::test]
async fn reserved_member_is_found_wherever_another_tool_put_it() {
    let session = with_payload(br#"{"a":1,"_cloakroom":{"deadlines":{"a":1}},"b":2}"#).await;
    assert_eq!(session.get::<u8>("a").unwrap(), None, "ended in 1970");
    session.set("c", 3).unwrap();
    session.save().await.unwrap();
    let again = Session::with_key(session.backend().clone(), session.key().unwrap());
    again.load().await.unwrap();
    assert_eq!((again.get::<u8>("a").unwrap(), again.get::<u8>("b").unwrap()), (None, Some(2)));
    let session = with_payload(br#"{"a":1,"_cloakroom":{"expiry":{"browser":true}},"b":2}"#).await;
    let expiry = session.expiry();
    assert_eq!(expiry, Expiry::BrowserClose);
    session.set("c", 3).unwrap();
    session.save().await.unwrap();
    let again = Session::with_key(session.backend().clone(), session.key().unwrap());
    again.load().await.unwrap();
    assert_eq!((again.expiry(), again.get::<u8>("c").unwrap()), (expiry, Some(3)));
}

/// Sixteen thousand fields took a second and more when each was looked for from the start.
#[tokio::test]
async fn many_fields_cost_no_more_than_their_number() {
    let backend = InMemorySessionBackend::new();
    let fields: serde_json::Map<String, Value> = (0..16_000).map(|n| (format!("n{n}"), n.into())).collect();
    let payload = serde_json::to_vec(&fields).unwrap();
    let key = SessionKey::generate().unwrap();
    let record = Record::new(payload, backend.clock().now());
    backend.write(&key, record, Write::create()).await.unwrap();
    let session = Session::with_key(backend, key);
    session.load().await.unwrap();
    let start = std::time::Instant::now();
    assert!(session.expire_field("n1", Some(Duration::from_secs(9))).unwrap());
    assert!(session.delete("n0"));
    assert_eq!(session.len(), 15_999);
    session.save().await.unwrap();
    assert_eq!(session.get::<u32>("n15999").unwrap(), Some(15_999));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

use bytes::Bytes;
use cloakroom_core::{ErrorKind, Rotate, SessionBackend, Write};

use crate::subject::{Subject, fresh_key};

const MEGABYTE: usize = 1 << 20;
/// Maxima above this are taken on trust: the test would need too much memory.
const LARGEST_TRIED: usize = 64 << 20;

/// Bytes that compress badly and contain every value.
fn bytes_of(length: usize) -> Bytes {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// A payload one byte over the maximum, where that can be tried.
pub(crate) fn one_too_many(subject: &Subject) -> Option<Bytes> {
    let maximum = subject.capability().max_payload;
    (maximum < LARGEST_TRIED).then(|| vec![b'x'; maximum + 1].into())
}

async fn round_trips(subject: &Subject, payload: Bytes) {
    let first = subject.record("first");
    let key = subject.create(&first).await;
    let updated = subject.revise(&first, payload.clone());
    let key = subject.update(&key, &updated, first.version).await;
    let created = subject.create(&updated).await;
    for key in key.into_iter().chain([created]) {
        let read = subject.read(&key).await.expect("the record");
        let same = read.payload.iter().zip(&payload).take_while(|(a, b)| a == b).count();
        assert_eq!((read.payload.len(), same), (payload.len(), payload.len()), "length, and equal bytes");
    }
}

/// No byte and one byte come back, on create and update, and a payload shrinks to nothing.
pub async fn payload_empty_or_tiny_round_trips(subject: &Subject) {
    for payload in [&b""[..], b"\0", b" ", b"\n", b"\xff", b"{}", b"\0\0", b"\x01"] {
        round_trips(subject, Bytes::copy_from_slice(payload)).await;
    }
    let record = subject.record("something");
    let key = subject.create(&record).await;
    let emptied = subject.revise(&record, "");
    if let Some(key) = subject.update(&key, &emptied, record.version).await {
        assert_eq!(subject.read(&key).await, Some(emptied), "an emptied session is stored (CV-16)");
    }
}

/// Each of the 256 byte values comes back, as first byte, as last, and in between.
pub async fn payload_every_byte_value_round_trips(subject: &Subject) {
    let all: Vec<u8> = (0..=255).collect();
    let reversed: Vec<u8> = (0..=255).rev().collect();
    round_trips(subject, all.clone().into()).await;
    round_trips(subject, reversed.into()).await;
    for value in all {
        let record = subject.record(vec![value, b'-', value]);
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await.map(|read| read.payload), Some(record.payload), "{value:#04x}");
    }
}

/// Text that a query, an escape or a decoder may mistake comes back.
pub async fn payload_tricky_text_round_trips(subject: &Subject) {
    let texts = [
        r#"{"quote":"\"","backslash":"\\","slash":"\/","newline":"\n","nul":"\u0000"}"#,
        r#"{"a": 1.0, "a":1e400,  "b" : -0}"#,
        "{\"unicode\":\"\u{e9} e\u{301} \u{1f600} \u{202e} \u{fffd}\"}",
        "'; DROP TABLE sessions; --",
        "\\' OR 1=1 --",
        "$1 ? :name %s %% {0}",
        "\u{feff}{}",
        "  {\"leading\":\"and trailing\"}  \r\n",
        "\\x00\\377\\\\",
    ];
    for text in texts {
        round_trips(subject, Bytes::copy_from_slice(text.as_bytes())).await;
    }
}

/// Sizes around the limits of column types and packets come back, up to a megabyte (CV-30).
pub async fn payload_large_round_trips(subject: &Subject) {
    for length in [255, 256, 8_191, 65_534, 65_535, 65_536, 65_537, MEGABYTE] {
        if length <= subject.capability().max_payload {
            round_trips(subject, bytes_of(length)).await;
        }
    }
}

/// The stated maximum itself is accepted and comes back.
pub async fn payload_of_maximum_round_trips(subject: &Subject) {
    let maximum = subject.capability().max_payload;
    if maximum <= LARGEST_TRIED {
        let record = subject.record(bytes_of(maximum));
        let key = subject.create(&record).await;
        let read = subject.read(&key).await.expect("the record");
        assert!(read.payload == record.payload, "a payload of {maximum} bytes came back different");
    }
}

/// One byte over the maximum is refused in every mode, and nothing changes.
pub async fn payload_over_maximum_too_large(subject: &Subject) {
    let Some(large) = one_too_many(subject) else { return };
    let record = subject.record("{}");
    let key = subject.create(&record).await;
    let next = subject.revise(&record, large);
    let update = subject.capability().versioned.then(|| Write::update(record.version));
    for how in update.into_iter().chain([Write::overwrite(), Write::newer()]) {
        assert_eq!(subject.write_err(&key, &next, how).await, ErrorKind::TooLarge, "{:?}", how.mode);
        assert_eq!(subject.read(&key).await.as_ref(), Some(&record), "{:?}", how.mode);
    }
    let new = fresh_key();
    for how in [Write::create(), Write::overwrite(), Write::newer()] {
        assert_eq!(subject.write_err(&new, &next, how).await, ErrorKind::TooLarge, "{:?}", how.mode);
        assert_eq!(subject.read(&new).await, None, "{:?}", how.mode);
    }
    let rotated = subject.backend().rotate(&key, &new, next, Rotate::new(record.version)).await;
    assert_eq!(crate::subject::kind_of(rotated, "rotate"), ErrorKind::TooLarge);
    assert_eq!(subject.read(&key).await, Some(record));
}

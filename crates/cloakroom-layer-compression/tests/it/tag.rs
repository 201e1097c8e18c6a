//! What stands in the store: tags, thresholds, and payloads that look like tags.

use bytes::Bytes;
use cloakroom_core::{
    Capability, ErrorKind, Filter, InMemorySessionBackend, Record, Rotate, SessionBackend, SessionKey, State,
    Write,
};
use cloakroom_layer_compression::ZstdCompressor;
use cloakroom_testkit::Spy;

use crate::place::{algorithms, create, noise, over, read, session};

#[tokio::test]
async fn session_over_the_threshold_is_smaller_in_the_store_and_tagged() {
    for (tag, compressor) in algorithms() {
        let store = InMemorySessionBackend::new();
        let backend = over(&store, compressor);
        let payload = session(4_000);
        let key = create(&backend, payload.clone()).await;
        let stored = read(&store, &key).await.unwrap();
        assert_eq!(stored[0], tag);
        assert!(stored.len() * 3 < payload.len(), "{tag:#x}: {} of {}", stored.len(), payload.len());
        assert_eq!(read(&backend, &key).await.unwrap(), payload);
    }
}

#[tokio::test]
async fn threshold_is_512_bytes_and_can_be_changed() {
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new());
    for (length, compressed) in [(511, false), (512, true)] {
        let key = create(&backend, vec![b'a'; length]).await;
        assert_eq!(read(&store, &key).await.unwrap()[0] == 0x11, compressed, "{length}");
    }
    let backend = backend.with_threshold(100);
    assert_eq!(backend.threshold(), 100);
    for (length, compressed) in [(99, false), (100, true)] {
        let key = create(&backend, vec![b'a'; length]).await;
        assert_eq!(read(&store, &key).await.unwrap()[0] == 0x11, compressed, "{length}");
    }
}

#[tokio::test]
async fn payload_that_does_not_shrink_is_stored_as_it_is() {
    for (tag, compressor) in algorithms() {
        let store = InMemorySessionBackend::new();
        let backend = over(&store, compressor);
        let mut payload = noise(4_000);
        payload[0] = b'{';
        let key = create(&backend, payload.clone()).await;
        assert_eq!(read(&store, &key).await.unwrap(), payload, "{tag:#x}");
        assert_eq!(read(&backend, &key).await.unwrap(), payload);
    }
}

#[tokio::test]
async fn payload_in_the_range_of_tags_comes_back() {
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new());
    for first in 0..=255_u8 {
        for length in [1, 2, 65, 700] {
            let mut payload = noise(length);
            payload[0] = first;
            let key = create(&backend, payload.clone()).await;
            assert_eq!(read(&backend, &key).await.unwrap(), payload, "{first:#x}, {length}");
            let stored = read(&store, &key).await.unwrap();
            let expected = if first >> 4 == 1 { [&[0x10], &payload[..]].concat() } else { payload };
            assert_eq!(stored, expected);
        }
    }
}

#[tokio::test]
async fn payload_of_before_the_layer_still_opens() {
    let store = InMemorySessionBackend::new();
    let payloads =
        [session(60), session(4_000), Bytes::new(), noise(2_000).into(), b"\x02binary".as_slice().into()];
    for payload in payloads {
        let key = create(&store, payload.clone()).await;
        for (_, compressor) in algorithms() {
            assert_eq!(read(&over(&store, compressor), &key).await.unwrap(), payload);
        }
    }
}

#[tokio::test]
async fn unknown_tag_is_corrupted_for_that_session_alone() {
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new());
    let sound = create(&backend, session(1_000)).await;
    for tag in [0x14, 0x17, 0x18, 0x1E] {
        let key = create(&store, vec![tag, 1, 2, 3]).await;
        let error = read(&backend, &key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(error.to_string().contains(&format!("{tag:#04x}")), "{error}");
        let listed = backend.scan(&Filter::unscoped().with_payload(), None, 100).await.unwrap();
        assert!(listed.entries.iter().any(|entry| entry.record.payload == session(1_000)));
    }
    assert_eq!(read(&backend, &sound).await.unwrap(), session(1_000));
}

#[tokio::test]
async fn scan_expands_payloads_where_they_are_asked_for() {
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new());
    create(&backend, session(4_000)).await;
    let full = backend.scan(&Filter::unscoped().with_payload(), None, 10).await.unwrap();
    assert_eq!(full.entries[0].record.payload, session(4_000));
    let bare = backend.scan(&Filter::unscoped(), None, 10).await.unwrap();
    assert!(bare.entries[0].record.payload.is_empty());
}

#[tokio::test]
async fn markers_pass_untouched_both_ways() {
    let store = InMemorySessionBackend::new();
    let backend = over(&store, ZstdCompressor::new()).with_threshold(0);
    let (old, new) = (create(&backend, session(800)).await, SessionKey::generate().unwrap());
    let record = backend.read(&old).await.unwrap().unwrap();
    let now = backend.clock().now();
    let later = now + std::time::Duration::from_secs(60);
    let trail = Record::moved(new.id(), now, later);
    let how = Rotate::new(record.version).with_trail(trail.clone());
    backend.rotate(&old, &new, record.clone().with_version(record.version.next(now)), how).await.unwrap();
    assert_eq!(read(&store, &new).await.unwrap()[0], 0x11);
    assert_eq!(read(&store, &old).await.unwrap(), trail.payload);
    assert_eq!(backend.read(&old).await.unwrap().unwrap().successor(), Some(new.id()));

    // A marker whose bytes look compressed.
    let key = SessionKey::generate().unwrap();
    let marker = Record::new(vec![0x11; 600], now).with_state(State::Ended).with_expires_at(Some(later));
    backend.write(&key, marker.clone(), Write::overwrite()).await.unwrap();
    assert_eq!(store.read(&key).await.unwrap(), Some(marker.clone()));
    assert_eq!(backend.read(&key).await.unwrap(), Some(marker));
}

#[tokio::test]
async fn operation_costs_one_call_of_the_same_name() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let backend =
        cloakroom_layer_compression::CompressedSessionBackend::new(spy.clone(), ZstdCompressor::new());
    let key = create(&backend, session(4_000)).await;
    let before = spy.calls();
    assert_eq!((before.write, before.total()), (1, 1));
    read(&backend, &key).await.unwrap();
    let after = spy.calls();
    assert_eq!((after.read, after.total()), (1, 2));
}

#[test]
fn capability_leaves_room_for_a_tag() {
    let within = InMemorySessionBackend::new().capability();
    let backend = over(&InMemorySessionBackend::new(), ZstdCompressor::new());
    assert_eq!(backend.capability(), within.clone().with_max_payload(backend.capability().max_payload));
    if within.max_payload != usize::MAX {
        assert_eq!(backend.capability().max_payload, within.max_payload - 1);
    }
    let _: Capability = within;
}

//! Dictionaries: trained from sessions, several at once, and missing ones.

use cloakroom_core::{ErrorKind, Filter, InMemorySessionBackend, SessionBackend};
use cloakroom_layer_compression::{CompressedSessionBackend, GzipCompressor, ZstdCompressor, ZstdDictionary};

use crate::place::{create, over, read};

/// A small session as a shop has them; seeds differ in more than their numbers.
pub(crate) fn visitor(seed: u64, number: u64) -> String {
    let mix = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    let name = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Tony"][(mix % 6) as usize];
    format!(
        r#"{{"user_id":{},"name":"{name} {}","email":"{}@site-{seed}.example","staff":false,"theme":"dark","locale":"en-GB","cart":[{},{},{}],"csrf":"{mix:016x}","settings-{seed}":{{"density":"compact","editor":"vim","notify":"daily","sort":"newest","zone":"Europe/London"}},"last_seen":{}}}"#,
        mix % 1_000_000,
        mix % 977,
        name.to_lowercase(),
        mix % 31,
        mix % 101,
        mix % 1009,
        1_790_000_000_000 + mix % 1_000_000_000,
    )
}

pub(crate) fn trained(seed: u64) -> ZstdDictionary {
    ZstdDictionary::train((0..400).map(|number| visitor(seed, number)), 8 * 1024).unwrap()
}

#[tokio::test]
async fn dictionary_trained_from_live_sessions_halves_small_ones() {
    let store = InMemorySessionBackend::new();
    // Half of them are compressed already.
    let compressed = over(&store, ZstdCompressor::new()).with_threshold(0);
    for number in 0..400 {
        if number % 2 == 0 {
            create(&store, visitor(1, number)).await;
        } else {
            create(&compressed, visitor(1, number)).await;
        }
    }
    let samples = ZstdDictionary::sample(&compressed, &Filter::everywhere(), 1_000).await.unwrap();
    assert_eq!(samples.len(), 400);
    let zstd =
        ZstdCompressor::new().with_dictionary(ZstdDictionary::train(samples, 8 * 1024).unwrap()).unwrap();
    let backend = over(&store, zstd);
    for number in 1_000..1_050 {
        let payload = visitor(1, number);
        let key = create(&backend, payload.clone()).await;
        let stored = read(&store, &key).await.unwrap();
        assert!(stored.len() * 2 <= payload.len(), "{} of {}", stored.len(), payload.len());
        assert_eq!(read(&backend, &key).await.unwrap(), payload);
    }
}

#[tokio::test]
async fn sample_leaves_out_what_is_compressed_and_stops_where_told() {
    let store = InMemorySessionBackend::new();
    create(&over(&store, ZstdCompressor::new()), vec![b'a'; 1_000]).await;
    for number in 0..10 {
        create(&store, visitor(1, number)).await;
    }
    assert_eq!(ZstdDictionary::sample(&store, &Filter::unscoped(), 1_000).await.unwrap().len(), 10);
    assert_eq!(ZstdDictionary::sample(&store, &Filter::unscoped(), 4).await.unwrap().len(), 4);
}

#[tokio::test]
async fn several_dictionaries_at_once_and_levels_apart() {
    let store = InMemorySessionBackend::new();
    let (first, second) = (trained(1), trained(2));
    assert_ne!(first.id(), second.id());
    let old = over(&store, ZstdCompressor::new().with_dictionary(first.clone()).unwrap());
    let bare = over(&store, ZstdCompressor::new()).with_threshold(0);
    let zstd = ZstdCompressor::new().with_dictionary(second.clone()).unwrap().with_level(7).unwrap();
    let new = over(&store, zstd.with_former_dictionary(first.clone()));
    let mut keys = Vec::new();
    for backend in [&old, &bare, &new] {
        keys.push(create(backend, visitor(1, 7)).await);
    }
    for key in &keys {
        assert_eq!(read(&new, key).await.unwrap(), visitor(1, 7));
    }
    // Another algorithm writes now; the dictionaries stay readable by name.
    let readers = ZstdCompressor::new().with_former_dictionary(first).with_former_dictionary(second);
    let gzip = over(&store, GzipCompressor::new()).with_reader(readers);
    for key in &keys {
        assert_eq!(read(&gzip, key).await.unwrap(), visitor(1, 7));
    }
}

#[tokio::test]
async fn unknown_dictionary_is_corrupted_and_named() {
    let store = InMemorySessionBackend::new();
    let (known, unknown) = (trained(1), trained(2));
    let key =
        create(&over(&store, ZstdCompressor::new().with_dictionary(unknown.clone()).unwrap()), visitor(2, 7))
            .await;
    for zstd in [ZstdCompressor::new(), ZstdCompressor::new().with_dictionary(known).unwrap()] {
        let error = read(&over(&store, zstd), &key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(error.to_string().contains(&format!("dictionary {}", unknown.id())), "{error}");
    }
}

#[tokio::test]
async fn dictionary_kept_and_opened_again_reads_the_same_sessions() {
    let store = InMemorySessionBackend::new();
    let dictionary = trained(1);
    let backend = over(&store, ZstdCompressor::new().with_dictionary(dictionary.clone()).unwrap());
    assert_eq!(backend.threshold(), 64);
    let key = create(&backend, visitor(1, 7)).await;
    let again = ZstdDictionary::from_bytes(dictionary.as_bytes()).unwrap();
    assert_eq!(again.id(), dictionary.id());
    let backend = CompressedSessionBackend::new(store, ZstdCompressor::new().with_former_dictionary(again));
    assert_eq!(read(&backend, &key).await.unwrap(), visitor(1, 7));
}

#[test]
fn train_from_nothing_or_into_no_size_refused() {
    let few = (0..3).map(|number| visitor(1, number));
    let nothing: [&[u8]; 0] = [];
    let refused = [
        ZstdDictionary::train(few, 8 * 1024),
        ZstdDictionary::train(nothing, 8 * 1024),
        ZstdDictionary::train((0..400).map(|number| visitor(1, number)), 255),
        ZstdDictionary::train((0..400).map(|number| visitor(1, number)), (1 << 20) + 1),
        ZstdDictionary::from_bytes(b""),
        ZstdDictionary::from_bytes(b"this is no dictionary at all"),
        ZstdDictionary::from_bytes(&trained(1).as_bytes()[..16]),
    ];
    for (number, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidConfig, "{number}");
    }
}

#[test]
fn dictionary_printed_without_its_content() {
    let dictionary = trained(1);
    let compressor = ZstdCompressor::new().with_dictionary(dictionary.clone()).unwrap();
    let backend = over(&InMemorySessionBackend::new(), compressor);
    let text = format!("{dictionary:?} {backend:?}");
    assert!(text.contains(&dictionary.id().to_string()));
    assert!(!text.contains("theme") && !text.contains("116, 104"), "{text}");
    let _ = backend.clock();
}

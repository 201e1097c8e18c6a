//! Settings that change while sessions live.

use cloakroom_core::{ErrorKind, InMemorySessionBackend};
use cloakroom_layer_compression::{
    BrotliCompressor, CompressedSessionBackend, GzipCompressor, ZstdCompressor,
};

use crate::place::{Compressed, algorithms, create, noise, over, read, session, update};

#[tokio::test]
async fn algorithm_changes_on_a_live_site_every_session_stays() {
    let store = InMemorySessionBackend::new();
    let mut keys = Vec::new();
    for (tag, compressor) in algorithms() {
        let backend = over(&store, compressor);
        let key = create(&backend, session(2_000)).await;
        assert_eq!(read(&store, &key).await.unwrap()[0], tag);
        keys.push(key);
        for key in &keys {
            assert_eq!(read(&backend, key).await.unwrap(), session(2_000));
        }
    }
    // What is saved again takes the new writer's form.
    let backend = over(&store, BrotliCompressor::new());
    for key in &keys {
        update(&backend, key, session(3_000)).await;
        assert_eq!(read(&store, key).await.unwrap()[0], 0x13);
        assert_eq!(read(&over(&store, GzipCompressor::new()), key).await.unwrap(), session(3_000));
    }
}

fn levels(store: &InMemorySessionBackend) -> Vec<Compressed> {
    let zstd = [1, 3, 9, 19, 22].map(|level| over(store, ZstdCompressor::new().with_level(level).unwrap()));
    let gzip = [1, 6, 9].map(|level| over(store, GzipCompressor::new().with_level(level).unwrap()));
    let brotli =
        [0, 1, 4, 9, 11].map(|level| over(store, BrotliCompressor::new().with_level(level).unwrap()));
    zstd.into_iter().chain(gzip).chain(brotli).collect()
}

#[tokio::test]
async fn level_changes_on_a_live_site_every_session_stays() {
    let store = InMemorySessionBackend::new();
    let mut keys = Vec::new();
    for backend in levels(&store) {
        keys.push(create(&backend, session(5_000)).await);
    }
    for backend in levels(&store) {
        for key in &keys {
            assert_eq!(read(&backend, key).await.unwrap(), session(5_000));
        }
    }
}

#[test]
fn level_out_of_range_refused() {
    for level in [i32::MIN, -1, 0, 23] {
        let error = ZstdCompressor::new().with_level(level).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{level}");
    }
    for level in [0, 10] {
        assert_eq!(GzipCompressor::new().with_level(level).unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
    assert_eq!(BrotliCompressor::new().with_level(12).unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn threshold_changes_on_a_live_site_every_session_stays() {
    let store = InMemorySessionBackend::new();
    let thresholds =
        [0, 512, 1_000_000].map(|bytes| over(&store, ZstdCompressor::new()).with_threshold(bytes));
    for writer in &thresholds {
        for length in [0, 100, 600, 5_000] {
            let key = create(writer, session(length)).await;
            for reader in &thresholds {
                assert_eq!(read(reader, &key).await.unwrap(), session(length));
            }
        }
    }
}

#[tokio::test]
async fn payload_over_the_expansion_limit_is_stored_uncompressed_and_comes_back() {
    for (_, compressor) in algorithms() {
        let store = InMemorySessionBackend::new();
        let backend = over(&store, compressor).with_expansion_limit(1_000);
        for (length, compressed) in [(1_000, true), (1_001, false)] {
            let key = create(&backend, vec![b'a'; length]).await;
            assert_eq!(read(&store, &key).await.unwrap()[0] != b'a', compressed);
            assert_eq!(read(&backend, &key).await.unwrap(), vec![b'a'; length]);
        }
    }
}

#[tokio::test]
async fn payload_one_byte_over_a_lowered_limit_corrupted() {
    for (tag, compressor) in algorithms() {
        let store = InMemorySessionBackend::new();
        let backend = over(&store, compressor.clone());
        for payload in [vec![b'a'; 10_001], [noise(5_000), noise(5_000), vec![b'a']].concat()] {
            let key = create(&backend, payload.clone()).await;
            let lowered = over(&store, compressor.clone());
            assert_eq!(read(&lowered.with_expansion_limit(10_001), &key).await.unwrap(), payload);
            let lowered = over(&store, compressor.clone()).with_expansion_limit(10_000);
            let error = read(&lowered, &key).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{tag:#x}");
            assert!(error.to_string().contains("limit"), "{error}");
        }
    }
}

#[tokio::test]
async fn megabyte_goes_through_every_algorithm() {
    for (_, compressor) in algorithms() {
        let store = InMemorySessionBackend::builder().with_max_payload(2 << 20).build();
        let backend = CompressedSessionBackend::new(store, compressor);
        let payload = session(1 << 20);
        let key = create(&backend, payload.clone()).await;
        assert!(read(backend.inner(), &key).await.unwrap().len() * 3 < payload.len());
        assert_eq!(read(&backend, &key).await.unwrap(), payload);
    }
}

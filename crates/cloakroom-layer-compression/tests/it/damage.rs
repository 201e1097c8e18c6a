//! Bytes that are not what they say: never a panic, never more than the limit, and no other session's bytes.

use std::sync::Arc;

use cloakroom_layer_compression::{Compressor, Unreadable, ZstdCompressor};
use proptest::prelude::*;

use crate::dictionary;
use crate::place::{algorithms, session};

const LIMIT: usize = 64 << 10;

fn with_dictionary() -> Arc<dyn Compressor> {
    Arc::new(ZstdCompressor::new().with_dictionary(dictionary::trained(1)).unwrap())
}

fn compressors() -> Vec<Arc<dyn Compressor>> {
    let plain = algorithms().into_iter().map(|(_, compressor)| compressor);
    plain.chain([with_dictionary()]).collect()
}

fn compressed(compressor: &dyn Compressor, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 1_000];
    let length = compressor.compress(payload, &mut out).expect("room");
    out.truncate(length);
    out
}

/// Whatever comes out is bounded, and a sound payload still expands afterwards: contexts are left clean.
fn expands_within_the_limit(compressor: &dyn Compressor, data: &[u8]) -> Option<Vec<u8>> {
    let expanded = compressor.expand(data, LIMIT);
    let payload = session(900);
    let sound = compressed(compressor, &payload);
    assert_eq!(compressor.expand(&sound, LIMIT).as_deref(), Ok(&payload[..]));
    let expanded = expanded.ok()?;
    assert!(expanded.len() <= LIMIT);
    Some(expanded)
}

#[test]
fn data_cut_off_anywhere_refused() {
    for compressor in compressors() {
        let data = compressed(&*compressor, &session(2_000));
        for length in 0..data.len() {
            // What gzip then takes for its length may be anything.
            let expanded = compressor.expand(&data[..length], LIMIT);
            let refused = matches!(expanded, Err(Unreadable::Damaged | Unreadable::TooLarge));
            assert!(refused, "{}: {length}", compressor.name());
        }
    }
}

#[test]
fn data_with_something_behind_it_damaged() {
    for compressor in compressors() {
        let data = compressed(&*compressor, &session(2_000));
        for rest in [&b"x"[..], &[0; 8], &data] {
            let longer = [&data, rest].concat();
            assert!(compressor.expand(&longer, LIMIT).is_err(), "{}", compressor.name());
        }
    }
}

#[test]
fn every_bit_flipped_bounded_and_gzip_notices() {
    for compressor in compressors() {
        let payload = session(1_500);
        let data = compressed(&*compressor, &payload);
        for bit in 0..data.len() * 8 {
            let mut changed = data.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expanded = expands_within_the_limit(&*compressor, &changed);
            if compressor.name() == "gzip" {
                assert_eq!(expanded, None, "bit {bit}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn payload_of_any_bytes_round_trips(payload in prop::collection::vec(any::<u8>(), 0..3_000), text in ".{0,800}") {
        for compressor in compressors() {
            for payload in [payload.as_slice(), text.as_bytes(), &text.repeat(3).into_bytes()] {
                let data = compressed(&*compressor, payload);
                let expanded = compressor.expand(&data, LIMIT);
                prop_assert_eq!(expanded.as_deref(), Ok(payload));
            }
        }
    }

    #[test]
    fn data_of_any_bytes_bounded(data in prop::collection::vec(any::<u8>(), 0..2_000)) {
        for compressor in compressors() {
            expands_within_the_limit(&*compressor, &data);
        }
    }

    #[test]
    fn data_changed_in_places_bounded(
        length in 0_usize..6_000,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        for compressor in compressors() {
            let mut data = compressed(&*compressor, &session(length));
            for (at, byte) in &changes {
                let at = at.index(data.len());
                data[at] ^= *byte;
            }
            expands_within_the_limit(&*compressor, &data);
            expands_within_the_limit(&*compressor, &data[..cut.index(data.len())]);
        }
    }

    #[test]
    fn room_too_small_is_no_result(length in 0_usize..3_000, room in 0_usize..1_500) {
        for compressor in compressors() {
            let mut out = vec![0; room];
            let payload = session(length);
            if let Some(length) = compressor.compress(&payload, &mut out) {
                prop_assert!(length <= room);
                let expanded = compressor.expand(&out[..length], LIMIT);
                prop_assert_eq!(expanded.as_deref(), Ok(&payload[..]));
            }
        }
    }
}

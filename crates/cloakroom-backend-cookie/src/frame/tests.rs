use proptest::prelude::*;

use super::*;

fn contents(payload: &[u8]) -> Contents {
    let start = Timestamp::from_millis(1_790_000_000_000);
    let record = Record::new(payload.to_vec(), start);
    Contents { id: SessionId::from_bytes([9; 32]), generation: 0, record }
}

fn whole(frame: Vec<u8>) -> Option<Contents> {
    let end = frame.len();
    decode(frame, 0..end)
}

fn encoded(contents: &Contents) -> Vec<u8> {
    let mut out = Vec::new();
    encode(contents, &mut out);
    out
}

#[test]
fn frame_of_today_is_short() {
    let plain = contents(b"");
    // The times after the first are where it is: one byte each.
    assert_eq!(encoded(&plain).len(), FIXED + 6 + 1);
    let end = plain.record.created_at + std::time::Duration::from_secs(86_400);
    let expires = Contents { record: plain.record.clone().with_expires_at(Some(end)), ..plain };
    assert_eq!(encoded(&expires).len(), FIXED + 6 + 1 + 4);
    let revoked = Contents { generation: 1, ..contents(b"") };
    assert_eq!(encoded(&revoked).len(), FIXED + 6 + 1 + 8);
}

#[test]
fn frame_of_unknown_flags_refused() {
    let mut frame = encoded(&contents(b"{}"));
    for flags in 0..=255 {
        frame[0] = flags;
        let decoded = whole(frame.clone());
        // State 3 does not exist; the next three bits say that more is there.
        let known = flags & !(STATE | EXPIRES) == 0 && flags & STATE != 3;
        assert_eq!(decoded.is_some(), known, "{flags}");
    }
}

fn moments() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 1_700_000_000_000..1_900_000_000_000_i64, Just(i64::MIN), Just(i64::MAX)]
}

proptest! {
    #[test]
    fn frame_of_anything_round_trips(
        id in any::<[u8; 32]>(),
        times in proptest::array::uniform2(moments()),
        generation in prop_oneof![Just(0), any::<u64>()],
        expires in proptest::option::of(moments()),
        version in 0..1_u64 << 63,
        owner in proptest::option::of("[a-z:é]{1,85}"),
        state in 0..3_u8,
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let [created, accessed] = times.map(Timestamp::from_millis);
        let record = Record::new(payload, created)
            .with_state(State::from_code(state).unwrap())
            .with_version(Version::from_u64(version))
            .with_accessed_at(accessed)
            .with_expires_at(expires.map(Timestamp::from_millis))
            .with_owner(owner.map(|owner| Owner::parse(&owner).unwrap()));
        let contents = Contents { id: SessionId::from_bytes(id), generation, record };
        let frame = encoded(&contents);
        prop_assert!(frame.len() <= length(&contents));
        prop_assert_eq!(whole(frame), Some(contents));
    }

    #[test]
    fn frame_cut_short_never_panics(cut in 0..80_usize, owner in "[a-z]{1,10}") {
        let mut contents = contents(b"");
        contents.generation = 7;
        contents.record = contents.record.with_owner(Some(Owner::parse(&owner).unwrap()));
        let mut frame = encoded(&contents);
        let length = frame.len();
        frame.truncate(cut);
        prop_assert_eq!(whole(frame).is_some(), cut >= length);
    }

    #[test]
    fn frame_of_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = whole(bytes);
    }
}

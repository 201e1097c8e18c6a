#![expect(clippy::unwrap_used, reason = "tests")]

use cloakroom_core::ErrorKind;
use cloakroom_seal::{
    Context, KeyRing, Passphrase, SEAL_KEY_LENGTH, SEALED_OVERHEAD, SIGNED_OVERHEAD, SealKey,
};
use proptest::prelude::*;

const CONTEXT: Context<'_> = Context::new("test", &[b"__Host-id", b"scope"]);

fn key(seed: u8) -> SealKey {
    SealKey::from_bytes([seed; SEAL_KEY_LENGTH])
}

fn ring(seeds: &[u8]) -> KeyRing {
    KeyRing::new(seeds.iter().map(|&seed| key(seed))).unwrap()
}

fn sign(ring: &KeyRing, context: &Context<'_>, message: &[u8]) -> Vec<u8> {
    ring.sign_with(context, message.len(), |out| out.extend_from_slice(message))
}

#[test]
fn seal_any_length_round_trips() {
    let ring = ring(&[1]);
    for length in [0, 1, 15, 16, 17, 64, 500, 4096, 100_000] {
        let message = vec![0xA5; length];
        let sealed = ring.seal(&CONTEXT, &message).unwrap();
        assert_eq!(sealed.len(), length + SEALED_OVERHEAD);
        assert_eq!(ring.open(&CONTEXT, &sealed), Some(message.clone()));
        let signed = sign(&ring, &CONTEXT, &message);
        assert_eq!(signed.len(), length + SIGNED_OVERHEAD);
        assert_eq!(ring.verify(&CONTEXT, &signed).map(|range| &signed[range]), Some(&message[..]));
    }
}

#[test]
fn seal_the_same_twice_differs_and_hides_the_message() {
    let ring = ring(&[1]);
    let message = b"a message that is long enough to be found";
    let (one, other) = (ring.seal(&CONTEXT, message).unwrap(), ring.seal(&CONTEXT, message).unwrap());
    // Version and key id are the same; the nonce and all behind it is not.
    assert_eq!(one[..5], other[..5]);
    assert_ne!(one[5..29], other[5..29]);
    assert_ne!(one[29..], other[29..]);
    assert!(!one.windows(8).any(|part| part == &message[..8]));
}

#[test]
fn open_every_bit_flipped_refused() {
    let ring = ring(&[1, 2]);
    let sealed = ring.seal(&CONTEXT, b"forty-two bytes of a message, give or take").unwrap();
    let signed = sign(&ring, &CONTEXT, b"forty-two bytes of a message, give or take");
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ring.open(&CONTEXT, &changed), None, "bit {bit}");
    }
    for bit in 0..signed.len() * 8 {
        let mut changed = signed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ring.verify(&CONTEXT, &changed), None, "bit {bit}");
    }
}

#[test]
fn open_every_truncation_and_extension_refused() {
    let ring = ring(&[1]);
    let (sealed, signed) = (ring.seal(&CONTEXT, b"message").unwrap(), sign(&ring, &CONTEXT, b"message"));
    for length in 0..sealed.len() {
        assert_eq!(ring.open(&CONTEXT, &sealed[..length]), None);
        assert_eq!(ring.open(&CONTEXT, &sealed[sealed.len() - length..]), None);
    }
    for length in 0..signed.len() {
        assert_eq!(ring.verify(&CONTEXT, &signed[..length]), None);
        assert_eq!(ring.verify(&CONTEXT, &signed[signed.len() - length..]), None);
    }
    assert_eq!(ring.open(&CONTEXT, &[&sealed[..], &[0]].concat()), None);
    assert_eq!(ring.verify(&CONTEXT, &[&signed[..], &[0]].concat()), None);
}

#[test]
fn open_signed_as_sealed_and_sealed_as_signed_refused() {
    let ring = ring(&[1]);
    let mut signed = sign(&ring, &CONTEXT, &[7; 100]);
    let mut sealed = ring.seal(&CONTEXT, &[7; 100]).unwrap();
    assert_eq!(ring.open(&CONTEXT, &signed), None);
    assert_eq!(ring.verify(&CONTEXT, &sealed), None);
    (signed[0], sealed[0]) = (sealed[0], signed[0]);
    assert_eq!(ring.open(&CONTEXT, &signed), None);
    assert_eq!(ring.verify(&CONTEXT, &sealed), None);
}

#[test]
fn context_parts_are_framed_by_length() {
    let ring = ring(&[1]);
    let contexts: [(&str, &[&[u8]]); 9] = [
        ("a", &[b"bc", b"d"]),
        ("a", &[b"b", b"cd"]),
        ("ab", &[b"c", b"d"]),
        ("a", &[b"bcd"]),
        ("a", &[b"bc", b"d", b""]),
        ("a", &[b"", b"bc", b"d"]),
        ("abcd", &[]),
        ("a", &[b"d", b"bc"]),
        ("a", &[b"bc", b"D"]),
    ];
    for (at, (purpose, parts)) in contexts.iter().enumerate() {
        let sealed = ring.seal(&Context::new(purpose, parts), b"x").unwrap();
        let signed = sign(&ring, &Context::new(purpose, parts), b"x");
        for (other, (purpose, parts)) in contexts.iter().enumerate() {
            let context = Context::new(purpose, parts);
            assert_eq!(ring.open(&context, &sealed).is_some(), at == other);
            assert_eq!(ring.verify(&context, &signed).is_some(), at == other);
        }
    }
}

/// What is signed cannot be moved between the context and the message.
#[test]
fn verify_message_moved_into_the_context_refused() {
    let ring = ring(&[1]);
    let signed = sign(&ring, &Context::new("p", &[b"ab"]), b"cd");
    let moved = [&signed[..5], b"d", &signed[7..]].concat();
    assert_eq!(ring.verify(&Context::new("p", &[b"abc"]), &moved), None);
}

#[test]
fn ring_first_seals_and_all_open() {
    let (old, new) = (ring(&[1]), ring(&[2]));
    let (rotated, prepared) = (ring(&[2, 1]), ring(&[1, 2]));
    let by_old = old.seal(&CONTEXT, b"x").unwrap();
    assert!(rotated.open(&CONTEXT, &by_old).is_some());
    assert!(prepared.open(&CONTEXT, &by_old).is_some());
    assert_eq!(new.open(&CONTEXT, &by_old), None);
    // Who seals is told by who opens.
    let by_rotated = rotated.seal(&CONTEXT, b"x").unwrap();
    assert!(new.open(&CONTEXT, &by_rotated).is_some());
    assert_eq!(old.open(&CONTEXT, &by_rotated), None);
    let by_prepared = prepared.seal(&CONTEXT, b"x").unwrap();
    assert!(old.open(&CONTEXT, &by_prepared).is_some());
    assert_eq!(new.open(&CONTEXT, &by_prepared), None);
    // Signatures go by the same order.
    let signed = sign(&rotated, &CONTEXT, b"x");
    assert!(new.verify(&CONTEXT, &signed).is_some());
    assert_eq!(old.verify(&CONTEXT, &signed), None);
}

#[test]
fn ring_key_id_of_another_key_refused() {
    let both = ring(&[1, 2]);
    let other = ring(&[2]).seal(&CONTEXT, b"x").unwrap();
    let mut sealed = both.seal(&CONTEXT, b"x").unwrap();
    sealed[1..5].copy_from_slice(&other[1..5]);
    assert_eq!(both.open(&CONTEXT, &sealed), None);
    sealed[1..5].copy_from_slice(&[0; 4]);
    assert_eq!(both.open(&CONTEXT, &sealed), None);
}

#[test]
fn ring_empty_duplicate_or_overlong_refused() {
    let kind = |keys: Vec<SealKey>| KeyRing::new(keys).unwrap_err().kind();
    assert_eq!(kind(vec![]), ErrorKind::InvalidConfig);
    assert_eq!(kind(vec![key(1), key(2), key(1)]), ErrorKind::InvalidConfig);
    assert_eq!(kind((0..65).map(key).collect()), ErrorKind::InvalidConfig);
    assert_eq!(KeyRing::new((0..64).map(key)).unwrap().len(), 64);
}

#[test]
fn key_of_any_other_length_refused() {
    for length in (0..100).filter(|&length| length != 32) {
        let error = SealKey::from_slice(&vec![1; length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn key_text_both_alphabets_padded_or_not() {
    // 0xFB 0xEF 0xBE and so on: nothing but the characters that the alphabets differ in.
    let key = SealKey::from_slice(&[0xFB, 0xEF, 0xBE, 0xFF].repeat(8)).unwrap();
    let text = key.expose();
    let classic = text.replace('-', "+").replace('_', "/");
    assert_ne!(*text, classic);
    for text in [text.as_str(), &classic, &format!("{classic}="), &format!("  {}\n", *text)] {
        assert!(SealKey::parse(text).unwrap() == key);
    }
    let (short, long) = (&text[..42], format!("{}A", *text));
    let longer = SealKey::from_bytes([1; 32]).expose().repeat(2);
    for text in ["", "=", "password", short, &long, &longer, &text.replace('-', "*"), &format!("{}==", *text)]
    {
        let error = SealKey::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(text.len() < 2 || !error.to_string().contains(text));
    }
}

/// Both agree with `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:… -kdfopt salt:… -kdfopt iter:…
/// PBKDF2`.
#[test]
fn passphrase_derives_by_pbkdf2() {
    let words = Passphrase::new("correct horse battery staple").unwrap();
    assert!(words.derive() == from_hex(DEFAULT));
    let words = words.with_salt("shop.example").unwrap().with_iterations(100_000).unwrap();
    assert!(words.derive() == from_hex(SALTED));
}

const DEFAULT: &str = "e54eb0988dfeb2287adb74a67a1a9e64ee9fa2bc418017c9e95008c666e3770b";
const SALTED: &str = "79bf834b1e24b328b8a5414435e89dfc84c9775aa5eea8f9bc5c48912fd3be61";

fn from_hex(hex: &str) -> SealKey {
    let bytes: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    SealKey::from_slice(&bytes).unwrap()
}

#[test]
fn passphrase_weak_settings_refused() {
    let words = || Passphrase::new("twelve bytes").unwrap();
    let kinds = [
        Passphrase::new("").unwrap_err().kind(),
        Passphrase::new("eleven byte").unwrap_err().kind(),
        words().with_salt("seven b").unwrap_err().kind(),
        words().with_iterations(99_999).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::InvalidConfig; 4]);
}

#[test]
fn debug_shows_no_secret() {
    let key = SealKey::from_bytes(*b"0123456789abcdef0123456789abcdef");
    let words = Passphrase::new("correct horse battery").unwrap().with_salt("saltsaltsalt").unwrap();
    let ring = KeyRing::new([key.clone()]).unwrap();
    let context = Context::new("purpose", &[b"part"]);
    let shown = format!("{key:?} {words:?} {ring:?} {context:?}");
    for secret in ["0123", "48, 49", "3031", "horse", "saltsalt", &key.expose()[..8], "part"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

proptest! {
    #[test]
    fn open_anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), version in 0x7E..0x83_u8) {
        let ring = ring(&[1]);
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        prop_assert_eq!(ring.open(&CONTEXT, &bytes), None);
        prop_assert_eq!(ring.verify(&CONTEXT, &bytes), None);
    }

    #[test]
    fn open_changed_somewhere_refused(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        mask in 1..=255_u8,
    ) {
        let ring = ring(&[1]);
        let mut sealed = ring.seal(&CONTEXT, &message).unwrap();
        let index = at.index(sealed.len());
        sealed[index] ^= mask;
        prop_assert_eq!(ring.open(&CONTEXT, &sealed), None);
        sealed[index] ^= mask;
        prop_assert_eq!(ring.open(&CONTEXT, &sealed), Some(message));
    }
}

#[test]
fn sealed_by_first_told_by_key_and_context() {
    let (old, both) = (KeyRing::from(&key(1)), ring(&[2, 1]));
    let (before, after) = (old.seal(&CONTEXT, b"hello").unwrap(), both.seal(&CONTEXT, b"hello").unwrap());
    assert!(old.is_sealed_by_first(&CONTEXT, &before) && both.is_sealed_by_first(&CONTEXT, &after));
    assert!(!both.is_sealed_by_first(&CONTEXT, &before) && !old.is_sealed_by_first(&CONTEXT, &after));
    assert!(!both.is_sealed_by_first(&Context::new("test", &[]), &after));
    assert!(!both.is_sealed_by_first(&CONTEXT, &sign(&both, &CONTEXT, b"hello")));
    assert!((0..after.len()).all(|end| !both.is_sealed_by_first(&CONTEXT, &after[..end])));
}

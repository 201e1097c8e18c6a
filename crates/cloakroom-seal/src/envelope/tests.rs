use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use super::{Context, NONCE_LENGTH};
use crate::key_ring::Encryption;
use crate::{KeyRing, SealKey};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The vectors of the C2SP document on XAES-256-GCM: the derivation here is that one.
#[test]
fn message_key_published_vectors_agree() {
    let nonce: &[u8; NONCE_LENGTH] = b"ABCDEFGHIJKLMNOPQRSTUVWX";
    // The first key leaves the highest bit of the block behind the subkey clear, the second one sets it.
    for (key, aad, expected) in [
        (1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ] {
        let message_key = Encryption::new(&[key; 32]).message_key(nonce.first_chunk().unwrap());
        let rest: &[u8; 12] = nonce.last_chunk().unwrap();
        let mut sealed = b"XAES-256-GCM".to_vec();
        let cipher = Aes256Gcm::new((&*message_key).into());
        let tag =
            cipher.encrypt_inout_detached(rest.into(), aad.as_bytes(), sealed.as_mut_slice().into()).unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(sealed, bytes(expected));
    }
}

#[test]
fn seal_vectors_of_the_repository_agree_byte_for_byte() {
    let mut seen = 0;
    for vector in include_str!("../../tests/vectors/envelope.txt").split("\n\n") {
        let field = |name: &str| {
            let mut lines = vector.lines().filter(|line| !line.starts_with('#'));
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" ="))
                .map(|text| text.trim().to_owned())
        };
        let Some(kind) = field("kind") else { continue };
        let ring = KeyRing::new([SealKey::from_slice(&bytes(&field("key").unwrap())).unwrap()]).unwrap();
        let parts: Vec<Vec<u8>> =
            (1..).map_while(|at| field(&format!("part {at}"))).map(|p| bytes(&p)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let purpose = field("purpose").unwrap();
        let context = Context::new(&purpose, &parts);
        let message = bytes(&field("message").unwrap());
        let value = if kind == "sealed" {
            let nonce = bytes(&field("nonce").unwrap());
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&message);
            ring.seal_under(nonce[..].try_into().unwrap(), &context, 0, write).unwrap()
        } else {
            ring.sign_with(&context, 0, |out| out.extend_from_slice(&message))
        };
        assert_eq!(value, bytes(&field("value").unwrap()), "{vector}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// Compiles only while the features of the primitives that overwrite their keys are on.
#[test]
fn key_material_is_overwritten_when_dropped() {
    fn overwritten<T: zeroize::ZeroizeOnDrop>() {}
    overwritten::<super::Gcm>();
    overwritten::<aes_gcm::aes::Aes256Enc>();
    // What HMAC consists of.
    overwritten::<sha2::Sha256>();
}

/// What is lost when a nonce repeats: the decision record says so, and this is the attack. One pair of values with one
/// nonce gives GCM's authentication key, and the HMAC covers the tag, not the ciphertext.
#[test]
fn nonce_used_twice_forgeable() {
    // GCM's field: the highest bit is the coefficient of x^0.
    fn multiply(x: u128, mut y: u128) -> u128 {
        let mut product = 0;
        for bit in (0..128).rev() {
            if x >> bit & 1 == 1 {
                product ^= y;
            }
            y = (y >> 1) ^ if y & 1 == 1 { 0xE1 << 120 } else { 0 };
        }
        product
    }
    fn inverse(x: u128) -> u128 {
        let (mut inverse, mut square) = (1 << 127, multiply(x, x));
        for _ in 1..128 {
            inverse = multiply(inverse, square);
            square = multiply(square, square);
        }
        inverse
    }
    fn root(x: u128) -> u128 {
        (0..127).fold(x, |x, _| multiply(x, x))
    }
    let block = |value: &[u8], at: usize| u128::from_be_bytes(*value[at..].first_chunk().unwrap());

    let ring = KeyRing::new([SealKey::from_bytes([5; 32])]).unwrap();
    let context = Context::new("test", &[]);
    let seal = |message: &[u8; 32]| {
        ring.seal_under(&[9; NONCE_LENGTH], &context, 32, |out| out.extend_from_slice(message)).unwrap()
    };
    let one = seal(b"owner=user:0042;role=visitor;aa.");
    let other = seal(b"owner=user:0042;role=visitor;bb.");
    // Two blocks behind version, key id and nonce, then the tag.
    let (first, second, tag) = (29, 45, 61);
    // The messages differ in their last block: the tags differ by that, times the square of the key.
    let messages = block(&one, second) ^ block(&other, second);
    let key = root(multiply(block(&one, tag) ^ block(&other, tag), inverse(messages)));
    let change = u128::from_be_bytes(*b"owner=user:0042;") ^ u128::from_be_bytes(*b"owner=user:0001;");
    let mut forged = one.clone();
    forged[first..second].copy_from_slice(&(block(&one, first) ^ change).to_be_bytes());
    forged[second..tag].copy_from_slice(&(block(&one, second) ^ multiply(change, key)).to_be_bytes());
    let opened = ring.open(&context, &forged).expect("the forgery is taken for genuine");
    assert_eq!(&opened[..16], b"owner=user:0001;");
    // Under another nonce the key found is of no use.
    let write = |out: &mut Vec<u8>| out.extend_from_slice(b"owner=user:0042;role=visitor;aa.");
    let mut fresh = ring.seal_under(&[8; NONCE_LENGTH], &context, 32, write).unwrap();
    let blocks = [(first, change), (second, multiply(change, key))];
    for (at, change) in blocks {
        let changed = (block(&fresh, at) ^ change).to_be_bytes();
        fresh[at..at + 16].copy_from_slice(&changed);
    }
    assert!(ring.open(&context, &fresh).is_none());
}

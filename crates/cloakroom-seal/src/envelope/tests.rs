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

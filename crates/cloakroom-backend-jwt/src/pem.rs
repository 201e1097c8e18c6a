//! Keys as PEM texts, down to what signatures are computed with.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// An elliptic curve, by the DER that stands before the point in a public key of its kind.
pub(crate) struct Curve {
    prefix: &'static [u8],
    point: usize,
}

pub(crate) const P256: Curve = Curve {
    prefix: &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ],
    point: 65,
};

pub(crate) const P384: Curve = Curve {
    prefix: &[
        0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
        0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
    ],
    point: 97,
};

pub(crate) const ED25519: Curve =
    Curve { prefix: &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], point: 32 };

/// Version 0, algorithm rsaEncryption without parameters, and the tag of the octets with the PKCS#1 key.
const RSA_PKCS8: &[u8] = &[
    0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
    0x00, 0x04, 0x82,
];

/// The bytes of the one block of that label; `None` for anything else.
pub(crate) fn block(text: &str, label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let inner = text.trim().strip_prefix("-----BEGIN ")?.strip_prefix(label)?.strip_prefix("-----")?;
    let inner = inner.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    let mut encoded = Zeroizing::new(String::with_capacity(inner.len()));
    encoded.extend(inner.chars().filter(|char| !char.is_ascii_whitespace()));
    Base64::decode_vec(&encoded).ok().map(Zeroizing::new)
}

/// The PKCS#1 key inside a PKCS#8 key for RSA of a modulus from 1024 bits on.
pub(crate) fn rsa_pkcs1(pkcs8: &[u8]) -> Option<&[u8]> {
    let ([0x30, 0x82, high, low], rest) = pkcs8.split_first_chunk::<4>()? else { return None };
    let rest = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    let (length, rest) = rest.strip_prefix(RSA_PKCS8)?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

impl Curve {
    /// The point of a public key of exactly this kind.
    pub(crate) fn point<'a>(&self, spki: &'a [u8]) -> Option<&'a [u8]> {
        spki.strip_prefix(self.prefix).filter(|point| point.len() == self.point)
    }
}

/// Whether bytes are the text of a key of some other algorithm: its public half, which everybody knows, must not become
/// a secret of HMAC. Random bytes are as good as never any of these.
pub(crate) fn is_text_of_a_key(bytes: &[u8]) -> bool {
    let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let open_ssh = [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];
    contains(b"-----BEGIN")
        || contains(b"---- BEGIN")
        || (text.starts_with(b"{") && contains(b"\"kty\""))
        || open_ssh.iter().any(|start| text.starts_with(start))
}

use std::fmt;
use std::sync::Arc;

use aes_gcm::KeyInit;
use aes_gcm::aead::array::Array;
use aes_gcm::aes::Aes256Enc;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use cloakroom_core::Result;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seal_key::{SEAL_KEY_LENGTH, SealKey, invalid};

pub(crate) const KEY_ID_LENGTH: usize = 4;
/// A ring of more keys is a mistake: each costs memory, and a rotation needs two.
const MAX_KEYS: usize = 64;

/// The keys that seal and open. Cheap to clone.
///
/// The **first** key seals. **All** keys open, whichever sealed. To rotate without signing anybody out, put the new key
/// in front and keep the old one behind it for as long as sessions live, at most; servers that do not know the new key
/// yet cannot open what it sealed, so add it *behind* the old one everywhere first, then move it to the front.
///
/// Everything that follows from a key alone is worked out here, once: the schedule of AES and the inner states of HMAC.
///
/// ```
/// use cloakroom_seal::{Context, KeyRing, SealKey};
///
/// let (old, new) = (SealKey::generate()?, SealKey::generate()?);
/// let context = Context::new("greeting", &[b"en"]);
/// let sealed = KeyRing::new([old.clone()])?.seal(&context, b"hello")?;
///
/// let rotated = KeyRing::new([new.clone(), old])?;
/// assert_eq!(rotated.open(&context, &sealed).as_deref(), Some(&b"hello"[..]));
/// assert_eq!(KeyRing::new([new])?.open(&context, &sealed), None);
/// assert_eq!(rotated.open(&Context::new("greeting", &[b"de"]), &sealed), None);
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<[Prepared]>);

/// A key with all that follows from it.
pub(crate) struct Prepared {
    pub(crate) id: [u8; KEY_ID_LENGTH],
    encryption: Encryption,
    pub(crate) sealing: Hmac<Sha256>,
    pub(crate) signing: Hmac<Sha256>,
}

impl KeyRing {
    /// A ring of keys, the one that seals first.
    ///
    /// # Errors
    /// `InvalidConfig` without a key, with the same key twice, and with more than 64.
    pub fn new(keys: impl IntoIterator<Item = SealKey>) -> Result<Self> {
        let keys: Vec<SealKey> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() {
            return Err(invalid("a key ring needs at least one key"));
        }
        if keys.len() > MAX_KEYS {
            return Err(invalid("a key ring holds at most 64 keys"));
        }
        if keys.iter().enumerate().any(|(at, key)| keys[..at].contains(key)) {
            return Err(invalid("a key ring holds no key twice"));
        }
        Ok(Self(keys.iter().map(Prepared::new).collect()))
    }

    /// How many keys it holds.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> &Prepared {
        // tidy-allow: `new` refuses an empty ring
        &self.0[0]
    }

    /// The key of that id that passes the check. Where no key has the id, the check is done in vain, so that the answer
    /// takes as long.
    pub(crate) fn find(&self, id: &[u8], check: impl Fn(&Prepared) -> bool) -> Option<&Prepared> {
        let mut known = false;
        for key in self.0.iter().filter(|key| key.id == id) {
            known = true;
            if check(key) {
                return Some(key);
            }
        }
        if !known {
            std::hint::black_box(check(self.first()));
        }
        None
    }
}

/// A ring of one key.
impl From<&SealKey> for KeyRing {
    fn from(key: &SealKey) -> Self {
        Self([Prepared::new(key)].into())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.0.len()).finish()
    }
}

impl Prepared {
    fn new(key: &SealKey) -> Self {
        let ring_key = mac(key.as_bytes());
        let mut id = [0; KEY_ID_LENGTH];
        id.copy_from_slice(&expand(&ring_key, b"cloakroom seal: key id")[..KEY_ID_LENGTH]);
        Self {
            id,
            encryption: Encryption::new(&expand(&ring_key, b"cloakroom seal: encryption")),
            sealing: mac(&expand(&ring_key, b"cloakroom seal: authentication")),
            signing: mac(&expand(&ring_key, b"cloakroom seal: signature")),
        }
    }

    pub(crate) fn message_key(&self, prefix: &[u8; PREFIX_LENGTH]) -> Zeroizing<[u8; 32]> {
        self.encryption.message_key(prefix)
    }
}

fn mac(key: &[u8; SEAL_KEY_LENGTH]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block[..key.len()].copy_from_slice(key);
    // HMAC fills a shorter key up with zeros itself; a whole block is the one form that cannot be refused.
    Hmac::new((&*block).into())
}

/// HKDF-Expand of RFC 5869 for one block of output: the ring's keys are uniform already, so there is nothing to extract.
fn expand(key: &Hmac<Sha256>, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let derived = key.clone().chain_update(label).chain_update([1]).finalize();
    Zeroizing::new(derived.into_bytes().into())
}

pub(crate) const PREFIX_LENGTH: usize = 12;

/// The key derivation of XAES-256-GCM (C2SP): CMAC in counter mode over the first half of a 24-byte nonce.
pub(crate) struct Encryption {
    schedule: Aes256Enc,
    /// The subkey of CMAC for whole blocks.
    subkey: Zeroizing<[u8; 16]>,
}

impl Encryption {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let schedule = Aes256Enc::new(key.into());
        let mut block = Array::from([0; 16]);
        schedule.encrypt_block(&mut block);
        // Doubling in GF(2^128), without a branch on the secret.
        let doubled = u128::from_be_bytes(block.into());
        let subkey = (doubled << 1) ^ ((doubled >> 127) * 0x87);
        Self { schedule, subkey: Zeroizing::new(subkey.to_be_bytes()) }
    }

    /// The key for one message.
    pub(crate) fn message_key(&self, prefix: &[u8; PREFIX_LENGTH]) -> Zeroizing<[u8; 32]> {
        let mut blocks = [1, 2].map(|counter| {
            let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            block[4..].copy_from_slice(prefix);
            for (byte, mask) in block.iter_mut().zip(&*self.subkey) {
                *byte ^= mask;
            }
            Array::from(block)
        });
        self.schedule.encrypt_blocks(&mut blocks);
        let mut key = Zeroizing::new([0; 32]);
        for (half, block) in key.chunks_exact_mut(16).zip(&blocks) {
            half.copy_from_slice(block);
        }
        key
    }
}

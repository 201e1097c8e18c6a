use std::fmt;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use cloakroom_core::{ErrorKind, Result, SessionError};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Length of a key, in bytes.
pub const SEAL_KEY_LENGTH: usize = 32;

/// One key of a [`KeyRing`](crate::KeyRing): 32 bytes that nobody can guess.
///
/// `Debug` shows nothing, comparison takes constant time, and the bytes are overwritten when it is dropped.
///
/// ```
/// use cloakroom_seal::SealKey;
///
/// let key = SealKey::generate()?;
/// assert_eq!(SealKey::parse(&key.expose())?, key);
/// assert_eq!(format!("{key:?}"), "SealKey(redacted)");
/// assert!(SealKey::from_slice(b"too short").is_err());
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
pub struct SealKey([u8; SEAL_KEY_LENGTH]);

impl SealKey {
    /// A new key from the operating system's generator. Keep what [`expose`](Self::expose) gives: without it nothing
    /// that was sealed can be opened again.
    ///
    /// # Errors
    /// `Unexpected` when the operating system gives no randomness; there is no fallback.
    pub fn generate() -> Result<Self> {
        let mut key = Self([0; SEAL_KEY_LENGTH]);
        crate::envelope::randomness(&mut key.0, "generate seal key")?;
        Ok(key)
    }

    /// From its 32 bytes, which must come from a generator for secrets. For words that a person can remember there is
    /// [`Passphrase`](crate::Passphrase).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SEAL_KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// From a slice of 32 bytes.
    ///
    /// # Errors
    /// `InvalidConfig` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| invalid("a seal key is 32 bytes"))
    }

    /// From 32 bytes in base64, of the URL alphabet or the classic one, padded or not: what
    /// [`expose`](Self::expose) or `openssl rand -base64 32` gives.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else. The error shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let text = text.strip_suffix('=').unwrap_or(text);
        // One byte more than fits, so that a longer key is refused and not cut.
        let mut bytes = Zeroizing::new([0; SEAL_KEY_LENGTH + 1]);
        let url = Base64UrlUnpadded::decode(text, &mut *bytes).map(<[u8]>::len);
        let length = match url {
            Ok(length) => length,
            Err(_) => Base64Unpadded::decode(text, &mut *bytes).map_or(0, <[u8]>::len),
        };
        let key = bytes.get(..length).filter(|key| key.len() == SEAL_KEY_LENGTH);
        key.map_or_else(
            || Err(invalid("a seal key is 32 bytes in base64: 43 characters, 44 with padding")),
            Self::from_slice,
        )
    }

    /// The 43 characters of base64url that [`parse`](Self::parse) takes. They are the secret.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64UrlUnpadded::encode_string(&self.0))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; SEAL_KEY_LENGTH] {
        &self.0
    }
}

impl Drop for SealKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for SealKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SealKey {}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(redacted)")
    }
}

pub(crate) fn invalid(message: &'static str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, "read seal key").with_message(message)
}

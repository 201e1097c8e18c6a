//! The sealed and the signed envelope. The bytes are laid down in the decision record on the sealed envelope.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::aes::Aes256Enc;
use aes_gcm::{AesGcm, KeyInit};
use cloakroom_core::{ErrorKind, Result, SessionError};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::key_ring::{KEY_ID_LENGTH, KeyRing, PREFIX_LENGTH};

/// GCM never runs AES backwards, so half of the key schedule can stay undone.
type Gcm = AesGcm<Aes256Enc, U12>;

/// First byte of sealed values, from the registry of first bytes.
const SEALED: u8 = 0x80;
/// First byte of signed values.
const SIGNED: u8 = 0x81;

const NONCE_LENGTH: usize = 24;
const TAG_LENGTH: usize = 16;
const MAC_LENGTH: usize = 32;
/// Version and key id.
const HEAD: usize = 1 + KEY_ID_LENGTH;
const BODY: usize = HEAD + NONCE_LENGTH;

/// How many bytes a sealed value is longer than what is in it.
pub const SEALED_OVERHEAD: usize = BODY + TAG_LENGTH + MAC_LENGTH;
/// How many bytes a signed value is longer than what is in it.
pub const SIGNED_OVERHEAD: usize = HEAD + MAC_LENGTH;

/// What a value is for. It is not kept in the value: only who names the same purpose and the same parts in the same
/// order opens it.
///
/// Each part is framed by its length, so that `["ab", "c"]`, `["a", "bc"]` and `["abc"]` are three things.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    purpose: &'a str,
    parts: &'a [&'a [u8]],
}

impl<'a> Context<'a> {
    /// A purpose and what else the value is bound to.
    #[must_use]
    pub const fn new(purpose: &'a str, parts: &'a [&'a [u8]]) -> Self {
        Self { purpose, parts }
    }

    fn feed(&self, mac: &mut Hmac<Sha256>) {
        mac.update(&length(self.parts.len() + 1));
        frame(mac, self.purpose.as_bytes());
        for part in self.parts {
            frame(mac, part);
        }
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

fn length(length: usize) -> [u8; 8] {
    (length as u64).to_be_bytes()
}

fn frame(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&length(part.len()));
    mac.update(part);
}

impl KeyRing {
    /// Seals a message with the first key: encrypted, and unchangeable.
    ///
    /// # Errors
    /// As [`seal_with`](Self::seal_with).
    pub fn seal(&self, context: &Context<'_>, message: &[u8]) -> Result<Vec<u8>> {
        self.seal_with(context, message.len(), |out| out.extend_from_slice(message))
    }

    /// Seals what `write` appends, of about `expected` bytes, in one buffer. `write` must not touch what is in the buffer
    /// already.
    ///
    /// # Errors
    /// `Unexpected` when the operating system gives no randomness.
    pub fn seal_with(
        &self,
        context: &Context<'_>,
        expected: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LENGTH];
        randomness(&mut nonce, "seal")?;
        self.seal_under(&nonce, context, expected, write)
    }

    fn seal_under(
        &self,
        nonce: &[u8; NONCE_LENGTH],
        context: &Context<'_>,
        expected: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>> {
        let failed = || SessionError::new(ErrorKind::Unexpected, "seal");
        let key = self.first();
        let mut out = Vec::with_capacity(expected + SEALED_OVERHEAD);
        out.push(SEALED);
        out.extend_from_slice(&key.id);
        out.extend_from_slice(nonce);
        write(&mut out);
        let (prefix, rest) = split_nonce(nonce).ok_or_else(failed)?;
        let (head, message) = out.split_at_mut_checked(BODY).ok_or_else(failed)?;
        let tag = Gcm::new((&*key.message_key(prefix)).into())
            .encrypt_inout_detached(rest.into(), &[], message.into())
            .map_err(|_| failed())?;
        let mac = authenticate(key.sealing.clone(), context, head, &tag).finalize();
        out.extend_from_slice(&tag);
        out.extend_from_slice(&mac.into_bytes());
        Ok(out)
    }

    /// Opens a sealed value; `None` unless one of the keys sealed it for that context. Why not cannot be told from
    /// outside.
    #[must_use]
    pub fn open(&self, context: &Context<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = sealed.to_vec();
        let range = self.open_in_place(context, &mut sealed)?;
        sealed.truncate(range.end);
        sealed.drain(..range.start);
        Some(sealed)
    }

    /// As [`open`](Self::open), in the buffer of the sealed value: where the message is in it. Without an allocation.
    ///
    /// A value of a foreign key or context is refused before anything is decrypted, at a cost that does not depend on
    /// its length.
    pub fn open_in_place(&self, context: &Context<'_>, sealed: &mut [u8]) -> Option<std::ops::Range<usize>> {
        let end = sealed.len().checked_sub(TAG_LENGTH + MAC_LENGTH).filter(|&end| end >= BODY)?;
        let (value, seal) = sealed.split_at_mut_checked(end)?;
        let (tag, mac) = seal.split_first_chunk::<TAG_LENGTH>()?;
        let (head, message) = value.split_at_mut_checked(BODY)?;
        if head[0] != SEALED {
            return None;
        }
        let key = self.find(&head[1..HEAD], |key| {
            authenticate(key.sealing.clone(), context, head, tag).verify_slice(mac).is_ok()
        })?;
        let nonce = head.last_chunk::<NONCE_LENGTH>()?;
        let (prefix, rest) = split_nonce(nonce)?;
        Gcm::new((&*key.message_key(prefix)).into())
            .decrypt_inout_detached(rest.into(), &[], message.into(), tag.into())
            .ok()?;
        Some(BODY..end)
    }

    /// Whether the first key sealed a value for that context, so that it need not be sealed anew. Looks at the HMAC alone:
    /// whether the value [opens](Self::open) is another question.
    #[must_use]
    pub fn is_sealed_by_first(&self, context: &Context<'_>, sealed: &[u8]) -> bool {
        let key = self.first();
        let genuine = || {
            let (value, mac) = sealed.split_last_chunk::<MAC_LENGTH>()?;
            let (value, tag) = value.split_last_chunk::<TAG_LENGTH>()?;
            let head = value.first_chunk::<BODY>()?;
            let ours = head[0] == SEALED && head[1..HEAD] == key.id;
            (ours && authenticate(key.sealing.clone(), context, head, tag).verify_slice(mac).is_ok())
                .then_some(())
        };
        genuine().is_some()
    }

    /// Signs what `write` appends, of about `expected` bytes, with the first key: unchangeable, but **whoever holds the
    /// value can read it**.
    ///
    /// ```
    /// use cloakroom_seal::{Context, KeyRing, SealKey};
    ///
    /// let ring = KeyRing::new([SealKey::generate()?])?;
    /// let context = Context::new("greeting", &[]);
    /// let mut signed = ring.sign_with(&context, 5, |out| out.extend_from_slice(b"hello"));
    /// assert!(signed.windows(5).any(|part| part == b"hello"));
    ///
    /// let message = ring.verify(&context, &signed).expect("signed here");
    /// assert_eq!(&signed[message], b"hello");
    /// signed[6] ^= 1;
    /// assert_eq!(ring.verify(&context, &signed), None);
    /// # Ok::<(), cloakroom_core::SessionError>(())
    /// ```
    pub fn sign_with(
        &self,
        context: &Context<'_>,
        expected: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let key = self.first();
        let mut out = Vec::with_capacity(expected + SIGNED_OVERHEAD);
        out.push(SIGNED);
        out.extend_from_slice(&key.id);
        write(&mut out);
        let mac = sign(key.signing.clone(), context, &out).finalize();
        out.extend_from_slice(&mac.into_bytes());
        out
    }

    /// Where the message is in a signed value; `None` unless one of the keys signed it for that context. Never accepts
    /// what was sealed, as [`open`](Self::open) never accepts what was signed.
    #[must_use]
    pub fn verify(&self, context: &Context<'_>, signed: &[u8]) -> Option<std::ops::Range<usize>> {
        let (value, mac) = signed.split_last_chunk::<MAC_LENGTH>()?;
        if value.len() < HEAD || value[0] != SIGNED {
            return None;
        }
        self.find(&value[1..HEAD], |key| {
            sign(key.signing.clone(), context, value).verify_slice(mac).is_ok()
        })?;
        Some(HEAD..value.len())
    }
}

/// The head, of fixed length, then the tag, of fixed length, then the context: no two inputs give the same bytes.
fn authenticate(mut mac: Hmac<Sha256>, context: &Context<'_>, head: &[u8], tag: &[u8]) -> Hmac<Sha256> {
    mac.update(head);
    mac.update(tag);
    context.feed(&mut mac);
    mac
}

/// The context, which says where it ends, then the rest.
fn sign(mut mac: Hmac<Sha256>, context: &Context<'_>, value: &[u8]) -> Hmac<Sha256> {
    context.feed(&mut mac);
    mac.update(value);
    mac
}

/// What the message key is derived from, and the nonce under it.
fn split_nonce(nonce: &[u8; NONCE_LENGTH]) -> Option<(&[u8; PREFIX_LENGTH], &[u8; 12])> {
    Some((nonce.first_chunk()?, nonce.last_chunk()?))
}

/// The operating system's own bytes, for each value anew: a pool of nonces would be handed out twice by the copies of a
/// virtual machine.
pub(crate) fn randomness(bytes: &mut [u8], operation: &'static str) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| SessionError::new(ErrorKind::Unexpected, operation).with_source(error.to_string()))
}

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};
use cloakroom_core::{
    BackendLayer, Owner, Record, Result, Scope, SessionBackend, SessionError, SessionId, SessionKey,
    Timestamp,
};
use cloakroom_seal::{Context, KeyRing, SEALED_OVERHEAD, SealKey};

use crate::backend::EncryptedSessionBackend;
use crate::error::NAME;
use crate::owner::{Name, OwnerNames};

/// What payloads are sealed for. Another layout of what is inside would get another number.
const PURPOSE: &str = "cloakroom encryption 1";
/// The first byte of what is sealed, with which no payload of a session begins.
const SEALED: u8 = 0x80;
const MAX_OWNER_LENGTH: usize = 255;

/// Seals payloads before they reach the backend below; see [`EncryptedSessionBackend`] for what each operation does.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session, SessionBackendExt};
/// use cloakroom_layer_encryption::{EncryptionLayer, KeyRing, SealKey};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ring = KeyRing::new([SealKey::generate()?])?; // yours comes from the environment
/// let backend = InMemorySessionBackend::new().layer(EncryptionLayer::new(ring));
///
/// let session = Session::new(backend.clone());
/// session.set("cart", "hat")?;
/// session.save().await?;
/// let again = Session::from_key(backend, session.key().unwrap().expose()).await?;
/// assert_eq!(again.get::<String>("cart")?.as_deref(), Some("hat"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EncryptionLayer {
    pub(crate) ring: KeyRing,
    plain_until: Option<Timestamp>,
    pub(crate) owners: OwnerNames,
}

impl EncryptionLayer {
    /// The first key of the ring seals, all of them open.
    pub fn new(ring: KeyRing) -> Self {
        Self { ring, plain_until: None, owners: OwnerNames::plain() }
    }

    /// Up to, not including, that time, payloads that were stored before this layer was added are read as they are.
    /// Without it, and afterwards, they are `Corrupted`. Until then, **who can write into the store can make sessions**:
    /// choose the time at which the longest session has ended, or that of the end of a
    /// [pass](EncryptedSessionBackend::reencrypt) over the store.
    ///
    /// ```
    /// # use cloakroom_layer_encryption::{EncryptionLayer, KeyRing, SealKey};
    /// # let ring = KeyRing::new([SealKey::generate()?])?;
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// // A fixed date in the configuration, so that a restart does not put it off.
    /// let end = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let layer = EncryptionLayer::new(ring).accept_plain_until(end);
    /// # Ok::<(), cloakroom_core::SessionError>(())
    /// ```
    pub fn accept_plain_until(mut self, time: impl Into<Timestamp>) -> Self {
        self.plain_until = Some(time.into());
        self
    }

    /// Stores a keyed hash in place of the owner; the owner itself goes inside the seal, so that readers see it
    /// unchanged. Equal owners still have equal hashes, in all scopes: look-ups, limits and revocation go by them.
    ///
    /// The key is for this alone and stays when the ring's keys change. It costs an HMAC for each operation with an
    /// owner, and scans without an owner fetch payloads.
    ///
    /// ```
    /// # use cloakroom_layer_encryption::{EncryptionLayer, KeyRing, SealKey};
    /// let (key, owner_key) = (SealKey::generate()?, SealKey::generate()?);
    /// let layer = EncryptionLayer::new(KeyRing::new([key])?).with_hashed_owner(&owner_key);
    /// # Ok::<(), cloakroom_core::SessionError>(())
    /// ```
    pub fn with_hashed_owner(mut self, key: &SealKey) -> Self {
        self.owners.current = Name::Hashed(key.into());
        self
    }

    /// Also finds sessions whose owner was hashed with that key, before the key was changed or hashing was ended. What
    /// goes by owner costs one call more. Limits count sessions by their current hash only, until they are saved again
    /// or a [pass](EncryptedSessionBackend::reencrypt) has renamed them.
    pub fn with_former_owner_key(mut self, key: &SealKey) -> Self {
        self.owners.former.push(Name::Hashed(key.into()));
        self
    }

    /// Also finds sessions that were stored before [`with_hashed_owner`](Self::with_hashed_owner) was added. As
    /// [`with_former_owner_key`](Self::with_former_owner_key).
    pub fn with_former_plain_owner(mut self) -> Self {
        self.owners.former.push(Name::Plain);
        self
    }

    /// How many bytes a sealed payload is longer, at most.
    pub(crate) const fn overhead(&self) -> usize {
        SEALED_OVERHEAD + 1 + if self.owners.is_hashed() { MAX_OWNER_LENGTH } else { 0 }
    }

    /// A live record as it is stored. Markers stay as they are.
    pub(crate) fn seal(&self, key: &SessionKey, mut record: Record) -> Result<Record> {
        if !record.is_live() {
            return Ok(record);
        }
        let owner = record.owner.take();
        record.owner = owner.as_ref().map(|owner| self.owners.current.of(owner)).transpose()?;
        let inside = owner.as_ref().filter(|_| self.owners.is_hashed()).map_or("", Owner::as_str);
        let length = 1 + inside.len() + record.payload.len();
        let sealed = bound(key.id(), key.scope(), record.owner.as_ref(), |context| {
            self.ring.seal_with(context, length, |out| {
                // An owner is at most 255 bytes long.
                out.push(inside.len() as u8);
                out.extend_from_slice(inside.as_bytes());
                out.extend_from_slice(&record.payload);
            })
        });
        record.payload = sealed.map_err(|error: SessionError| error.with_backend(NAME))?.into();
        Ok(record)
    }

    /// A stored record as it was before [`seal`](Self::seal); `None` when it does not open.
    pub(crate) fn open(
        &self,
        id: SessionId,
        scope: Option<&Scope>,
        mut record: Record,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Record> {
        if !record.is_live() {
            return Some(record);
        }
        if record.payload.first() != Some(&SEALED) {
            return self.plain_until.is_some_and(|end| now() < end).then_some(record);
        }
        let sealed = std::mem::take(&mut record.payload);
        let mut buffer = sealed.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        let message =
            bound(id, scope, record.owner.as_ref(), |context| self.ring.open_in_place(context, &mut buffer))?;
        let mut payload = buffer.freeze();
        payload.truncate(message.end);
        payload.advance(message.start);
        if let Some(owner) = take_owner(&mut payload)? {
            record.owner = Some(owner);
        }
        record.payload = payload;
        Some(record)
    }

    /// Whether a stored record, that opens to `opened`, is as it would be stored now.
    pub(crate) fn is_current(
        &self,
        id: SessionId,
        scope: Option<&Scope>,
        stored: &Record,
        opened: &Record,
    ) -> Result<bool> {
        let owner = opened.owner.as_ref().map(|owner| self.owners.current.of(owner)).transpose()?;
        let sealed = || {
            bound(id, scope, stored.owner.as_ref(), |context| {
                self.ring.is_sealed_by_first(context, &stored.payload)
            })
        };
        Ok(owner == stored.owner && sealed())
    }
}

impl From<KeyRing> for EncryptionLayer {
    fn from(ring: KeyRing) -> Self {
        Self::new(ring)
    }
}

impl<B: SessionBackend> BackendLayer<B> for EncryptionLayer {
    type Backend = EncryptedSessionBackend<B>;

    /// Over what [`EncryptedSessionBackend::new`] refuses, every operation is `InvalidConfig`.
    fn layer(&self, inner: B) -> Self::Backend {
        EncryptedSessionBackend::over(inner, self.clone())
    }
}

/// Calls `with` with what a payload is bound to: the record's place, and the owner that is stored beside it.
fn bound<T>(
    id: SessionId,
    scope: Option<&Scope>,
    owner: Option<&Owner>,
    with: impl FnOnce(&Context<'_>) -> T,
) -> T {
    // Neither a scope nor an owner is ever empty, so that nothing else looks like none.
    let (scope, owner) = (scope.map_or("", Scope::as_str), owner.map_or("", Owner::as_str));
    with(&Context::new(PURPOSE, &[id.as_bytes(), scope.as_bytes(), owner.as_bytes()]))
}

/// The owner that is inside, if any; `None` for what another version of this crate sealed.
fn take_owner(message: &mut Bytes) -> Option<Option<Owner>> {
    let (&length, rest) = message.split_first()?;
    let owner = rest.get(..usize::from(length))?;
    let owner = match owner {
        [] => None,
        owner => Some(Owner::parse(std::str::from_utf8(owner).ok()?).ok()?),
    };
    message.advance(1 + usize::from(length));
    Some(owner)
}

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cloakroom_core::{
    Capability, Clock, Cursor, Entry, ErrorKind, Filter, KeyKind, Owner, Page, Record, Removal, Result,
    Rotate, SessionBackend, SessionKey, Touch, Write,
};

use crate::error::{corrupted, refuse, too_large};
use crate::layer::EncryptionLayer;

/// A backend whose payloads are sealed before they reach the one inside: whoever reads or changes the store learns
/// nothing of them and cannot make one up.
///
/// Sealed with the [envelope](cloakroom_seal::KeyRing) of the cookie backend, for the session's id, its scope and the
/// owner that is stored beside it: a record that is moved to another id or tenant, or given to another owner, does not
/// open. Times, version, state and owner stay readable for the store; the owner as a keyed hash on request.
///
/// # Behavior
/// - `read`: opens what is live. What does not open, because of a foreign key, a change, a copy from elsewhere, or
///   because it is not sealed, is `Corrupted` and logged as a warning without its contents; other sessions are not
///   concerned. [`Session`](cloakroom_core::Session) goes on as with a new one.
/// - `write`: seals live records for the key's id. Markers stay as they are: they hold no data.
/// - `rotate`: seals for the new id; the trail stays as it is.
/// - `touch`, `remove`, `sweep`: forwarded.
/// - `scan`: asked for payloads it opens them, leaves out what does not open, and logs how many did not. Asked without,
///   it lists everything, and with a hashed owner fetches payloads all the same where the filter names no owner; of what
///   does not open the owner is then `None`.
/// - `count`, `remove_all`: forwarded, of an owner under each of its names. They never open anything.
/// - [`reencrypt`](Self::reencrypt): seals anew what is not sealed with the first key.
///
/// # Cost
/// One call of the inner backend each, and about 1.5 µs for 2 KB. With [former](EncryptionLayer::with_former_owner_key)
/// names of owners, what goes by owner costs one call for each name.
///
/// # Ordering
/// Compress, then encrypt: what is sealed cannot be compressed. The scope must be there when the payload is sealed. The
/// layer that is added last is the outermost, and sees a payload first when it is written:
///
/// ```
/// use cloakroom_core::{BackendLayer, SessionBackend, SessionBackendExt, SharedBackend};
/// use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer, KeyRing};
///
/// fn right<B, C, T>(store: B, ring: KeyRing, compression: C, tenancy: T) -> SharedBackend
/// where
///     B: SessionBackend,
///     C: BackendLayer<EncryptedSessionBackend<B>>,
///     T: BackendLayer<C::Backend>,
/// {
///     store.layer(EncryptionLayer::new(ring)).layer(compression).layer(tenancy).shared()
/// }
///
/// /// Compresses what looks random, and seals without the tenant: one tenant's record opens in another's place.
/// fn wrong<B, C, T>(store: B, ring: KeyRing, compression: C, tenancy: T) -> SharedBackend
/// where
///     B: SessionBackend,
///     C: BackendLayer<B>,
///     T: BackendLayer<C::Backend>,
/// {
///     store.layer(compression).layer(tenancy).layer(EncryptionLayer::new(ring)).shared()
/// }
/// ```
///
/// Caches and copies belong inside: they then keep sealed payloads. Over sealed cookies and tokens there is nothing to
/// encrypt, and it is refused.
///
/// # Examples
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
/// use cloakroom_layer_encryption::{EncryptedSessionBackend, KeyRing, SealKey};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = InMemorySessionBackend::new();
/// let ring = KeyRing::new([SealKey::generate()?])?;
/// let backend = EncryptedSessionBackend::new(store.clone(), ring)?;
///
/// let key = SessionKey::generate()?;
/// let record = Record::new(r#"{"card":"4111"}"#, backend.clock().now());
/// backend.write(&key, record.clone(), Write::create()).await?;
/// assert_eq!(backend.read(&key).await?, Some(record));
///
/// let stored = store.read(&key).await?.unwrap().payload;
/// assert!(!stored.windows(4).any(|part| part == b"4111"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct EncryptedSessionBackend<B> {
    pub(crate) inner: B,
    pub(crate) layer: Arc<EncryptionLayer>,
    max_payload: usize,
    misuse: Option<&'static str>,
}

impl<B: SessionBackend> EncryptedSessionBackend<B> {
    /// Seals with the first key of a ring, or as a layer says.
    ///
    /// # Errors
    /// `InvalidConfig` over a backend whose sessions the client keeps, and over one whose payloads are too short to hold
    /// a sealed one.
    pub fn new(inner: B, layer: impl Into<EncryptionLayer>) -> Result<Self> {
        let backend = Self::over(inner, layer.into());
        backend.check("encrypt sessions")?;
        Ok(backend)
    }

    /// Where there is nobody to tell that it cannot work, every operation tells.
    pub(crate) fn over(inner: B, layer: EncryptionLayer) -> Self {
        let Capability { key_kind, max_payload, .. } = inner.capability();
        let room = max_payload.checked_sub(layer.overhead());
        let misuse = match (key_kind, room) {
            (KeyKind::Secret, Some(_)) => None,
            (KeyKind::Secret, None) => Some("the payloads of the inner backend are too short to be sealed"),
            _ => {
                Some("the inner backend leaves sessions with the client; there is nothing at rest to encrypt")
            }
        };
        Self { inner, layer: Arc::new(layer), max_payload: room.unwrap_or(0), misuse }
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        self.misuse.map_or(Ok(()), |misuse| Err(refuse(ErrorKind::InvalidConfig, operation, misuse)))
    }

    fn seal(&self, key: &SessionKey, record: Record, operation: &'static str) -> Result<Record> {
        self.check(operation)?;
        let length = record.payload.len();
        if record.is_live() && length > self.max_payload {
            return Err(too_large(operation, length, self.max_payload));
        }
        self.layer.seal(key, record)
    }

    /// An entry as the caller sees it; `None` when its payload was asked for and does not open.
    fn reveal(&self, entry: Entry, filter: &Filter, unreadable: &mut usize) -> Option<Entry> {
        let Entry { id, scope, mut record, .. } = entry;
        let payload = std::mem::take(&mut record.payload);
        let closed = record.clone();
        // Nobody else holds it, so that it is opened where it is.
        record.payload = payload;
        let mut record = match self.layer.open(id, scope.as_ref(), record, || self.clock().now()) {
            // Another owner whose hash looks like this one's plain name.
            Some(opened) if filter.owner.is_some() && opened.owner != filter.owner => return None,
            Some(opened) => opened,
            None => {
                *unreadable += 1;
                if filter.payload {
                    return None;
                }
                closed.with_owner(None)
            }
        };
        if !filter.payload {
            record.payload = Bytes::new();
        }
        Some(Entry::new(id, scope, record))
    }

    /// A page of what is stored under one name of the owner, if the filter names one.
    async fn scan_name(
        &self,
        filter: &Filter,
        name: Option<&Owner>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let mut inner = filter.clone();
        inner.owner = name.cloned();
        inner.payload |= name.is_none() && self.layer.owners.any_hashed();
        let mut page = self.inner.scan(&inner, after, limit).await?;
        if inner.payload {
            let mut unreadable = 0;
            let entries = page.entries.into_iter();
            page.entries = entries.filter_map(|entry| self.reveal(entry, filter, &mut unreadable)).collect();
            warn_of_page(unreadable, "scan");
        } else if name.is_some() {
            for entry in &mut page.entries {
                entry.record.owner.clone_from(&filter.owner);
            }
        }
        Ok(page)
    }

    /// The filters to ask the inner backend with, one for each name of the owner.
    fn filters(&self, filter: &Filter) -> Result<Vec<Filter>> {
        let Some(owner) = &filter.owner else { return Ok(vec![filter.clone()]) };
        let names = self.layer.owners.all(owner)?;
        Ok(names.into_iter().map(|name| filter.clone().with_owner(name)).collect())
    }
}

impl<B: fmt::Debug> fmt::Debug for EncryptedSessionBackend<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedSessionBackend")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}

impl<B: SessionBackend> SessionBackend for EncryptedSessionBackend<B> {
    fn capability(&self) -> Capability {
        self.inner.capability().with_max_payload(self.max_payload)
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.check("read")?;
        let Some(record) = self.inner.read(key).await? else { return Ok(None) };
        let opened = self.layer.open(key.id(), key.scope(), record, || self.clock().now());
        if opened.is_none() {
            let session = key.id().log_hash();
            tracing::warn!(target: "cloakroom::security", session, "a stored session does not open with any key");
            return Err(corrupted("read"));
        }
        Ok(opened)
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let record = self.seal(key, record, "write")?;
        self.inner.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let record = self.seal(new, record, "rotate")?;
        self.inner.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.check("touch")?;
        self.inner.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.check("remove")?;
        self.inner.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.check("scan")?;
        let Some(owner) = &filter.owner else { return self.scan_name(filter, None, after, limit).await };
        let names = self.layer.owners.all(owner)?;
        if let [name] = &*names {
            return self.scan_name(filter, Some(name), after, limit).await;
        }
        let (at, after) = split_cursor(after)?;
        let name = names.get(at).ok_or_else(foreign_cursor)?;
        let mut page = self.scan_name(filter, Some(name), after, limit).await?;
        page.next = match page.next {
            Some(next) => Some(join_cursor(at, Some(&next))),
            None => (at + 1 < names.len()).then(|| join_cursor(at + 1, None)),
        };
        Ok(page)
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.check("count")?;
        let mut count = 0;
        for filter in self.filters(filter)? {
            count += self.inner.count(&filter).await?;
        }
        Ok(count)
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.check("remove_all")?;
        let mut removed = 0;
        for filter in self.filters(filter)? {
            removed += self.inner.remove_all(&filter, reason).await?;
        }
        Ok(removed)
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.check("sweep")?;
        self.inner.sweep(limit).await
    }
}

/// Once for a page: a missing key concerns every session of the store.
pub(crate) fn warn_of_page(sessions: usize, operation: &'static str) {
    if sessions > 0 {
        tracing::warn!(target: "cloakroom::security", sessions, operation, "stored sessions do not open with any key");
    }
}

/// Which name of the owner, and where in its pages: the number of the name, whether a cursor follows, the cursor.
fn join_cursor(at: usize, next: Option<&Cursor>) -> Cursor {
    let mut bytes = (at as u32).to_be_bytes().to_vec();
    bytes.push(u8::from(next.is_some()));
    bytes.extend_from_slice(next.map_or(&[], Cursor::as_bytes));
    Cursor::new(bytes)
}

fn split_cursor(cursor: Option<Cursor>) -> Result<(usize, Option<Cursor>)> {
    let Some(cursor) = cursor else { return Ok((0, None)) };
    let parts = cursor.as_bytes().split_first_chunk::<4>();
    let parts = parts.and_then(|(at, rest)| Some((at, rest.split_first()?)));
    let (at, (follows, next)) = parts.ok_or_else(foreign_cursor)?;
    let at = usize::try_from(u32::from_be_bytes(*at)).map_err(|_| foreign_cursor())?;
    Ok((at, (*follows == 1).then(|| Cursor::new(next))))
}

fn foreign_cursor() -> cloakroom_core::SessionError {
    refuse(ErrorKind::InvalidKey, "scan", "not a cursor of this scan")
}

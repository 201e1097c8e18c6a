use cloakroom_core::{Cursor, Entry, ErrorKind, Filter, Result, SessionBackend, Write};

use crate::backend::{EncryptedSessionBackend, warn_of_page};

/// What a step of [`reencrypt`](EncryptedSessionBackend::reencrypt) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reencrypted {
    /// Sessions that were sealed anew.
    pub resealed: u64,
    /// Sessions that were as they should be already.
    pub current: u64,
    /// Sessions that were saved or ended meanwhile, and left alone.
    pub changed: u64,
    /// Sessions that do not open, or are too large to be sealed; left alone.
    pub refused: u64,
    /// Where to go on; `None` at the end of the store.
    pub next: Option<Cursor>,
}

enum Fate {
    Resealed,
    Current,
    Changed,
    Refused,
}

impl<B: SessionBackend> EncryptedSessionBackend<B> {
    /// Seals a page of at most `limit` sessions anew, of all scopes, where another key than the first sealed them, the
    /// owner is stored under a former name, or the payload is [still plain](crate::EncryptionLayer::accept_plain_until).
    ///
    /// Runs beside live traffic: each session is written by compare-and-swap on its version, so that no save is lost
    /// and nothing that ended comes back; a save at the same moment is replayed, as on any conflict. Times stay. A
    /// `touch` at the same moment may be lost, and the session's next request makes up for it.
    ///
    /// Can be given up and gone on with at the last cursor, or begun again: what is done is not done twice. Once
    /// **all** servers seal with the new key, a pass that reports neither `resealed` nor `changed` shows that the old
    /// key is needed no more.
    ///
    /// # Cost
    /// One call for a page, and two for each session that is not `current`.
    ///
    /// # Errors
    /// `Unsupported` where the inner backend cannot list sessions, and what its calls return. What was done before
    /// stays done.
    ///
    /// ```
    /// # use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
    /// # use cloakroom_layer_encryption::{EncryptedSessionBackend, KeyRing, SealKey};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let (old, new) = (SealKey::generate()?, SealKey::generate()?);
    /// # let store = InMemorySessionBackend::new();
    /// # let before = EncryptedSessionBackend::new(store.clone(), KeyRing::new([old.clone()])?)?;
    /// # let record = Record::new("{}", before.clock().now());
    /// # before.write(&SessionKey::generate()?, record, Write::create()).await?;
    /// let backend = EncryptedSessionBackend::new(store, KeyRing::new([new, old])?)?;
    /// let (mut after, mut resealed) = (None, 0);
    /// loop {
    ///     let step = backend.reencrypt(after, 100).await?;
    ///     resealed += step.resealed;
    ///     after = step.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(resealed, 1);
    /// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
    /// ```
    pub async fn reencrypt(&self, after: Option<Cursor>, limit: usize) -> Result<Reencrypted> {
        self.check("reencrypt")?;
        let page = self.inner.scan(&Filter::everywhere().with_payload(), after, limit).await?;
        let mut done = Reencrypted { next: page.next, ..Reencrypted::default() };
        for entry in page.entries {
            match self.renew(entry).await? {
                Fate::Resealed => done.resealed += 1,
                Fate::Current => done.current += 1,
                Fate::Changed => done.changed += 1,
                Fate::Refused => done.refused += 1,
            }
        }
        warn_of_page(usize::try_from(done.refused).unwrap_or(usize::MAX), "reencrypt");
        Ok(done)
    }

    async fn renew(&self, entry: Entry) -> Result<Fate> {
        let address = entry.address();
        let Entry { id, scope, record, .. } = entry;
        let open = |record| self.layer.open(id, scope.as_ref(), record, || self.clock().now());
        let Some(opened) = open(record.clone()) else { return Ok(Fate::Refused) };
        if self.layer.is_current(id, scope.as_ref(), &record, &opened)? {
            return Ok(Fate::Current);
        }
        // The page may be old by now, and with it the times that would be written back.
        let Some(record) = self.inner.read(&address).await?.filter(cloakroom_core::Record::is_live) else {
            return Ok(Fate::Changed);
        };
        let expected = record.version;
        let Some(mut opened) = open(record) else { return Ok(Fate::Refused) };
        opened.version = expected.next(self.clock().now());
        match self.write(&address, opened, Write::update(expected)).await {
            Ok(_) => Ok(Fate::Resealed),
            Err(error) => match error.kind() {
                ErrorKind::Conflict | ErrorKind::Gone => Ok(Fate::Changed),
                ErrorKind::TooLarge => Ok(Fate::Refused),
                _ => Err(error),
            },
        }
    }
}

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::backend::{BackendLayer, SessionBackend, SessionBackendDyn, SharedBackend};
use crate::clock::{Now, Timestamp};
use crate::entropy;
use crate::error::{ErrorKind, Result, SessionError};
use crate::format::Format;
use crate::key::{SessionId, SessionKey};
use crate::operation::{Entry, Filter, Removal, Write};
use crate::record::{Owner, Record};
use crate::session::data::Data;
use crate::session::{SessionHandle, SessionInfo, owner};

const PAGE: usize = 100;

/// What every backend offers beyond the bytes of [`SessionBackend`]: typed values by name, layers, queries, owners.
///
/// ```
/// use cloakroom_core::{Filter, InMemorySessionBackend, Session, SessionBackendExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// let session = Session::new(backend.clone());
/// session.set("plan", "free")?;
/// session.save().await?;
///
/// let free = |stored: &cloakroom_core::StoredSession| {
///     stored.get::<String>("plan").ok().flatten().as_deref() == Some("free")
/// };
/// assert_eq!(backend.count_by(&Filter::unscoped(), free).await?, 1);
/// assert_eq!(backend.bulk_delete(&Filter::unscoped(), free).await?, 1);
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
pub trait SessionBackendExt: SessionBackend {
    /// The value that was saved under a name. One call.
    ///
    /// # Errors
    /// `InvalidKey` for a name that is empty or over 4,096 bytes; `Corrupted` when the value is not a `T`; what the
    /// backend returns.
    fn load<T: DeserializeOwned>(&self, name: &str) -> impl Future<Output = Result<Option<T>>> + Send {
        let key = SessionKey::from_name(name);
        async move {
            let record = self.read(&key?).await?.filter(Record::is_live);
            record.map(|record| Format::Json.decode(&record.payload)).transpose()
        }
    }

    /// Saves a value under a name, over whatever is there, for `ttl` seconds; `None` = until it is deleted. One call.
    ///
    /// # Errors
    /// `InvalidKey` as for [`load`](Self::load) and for values outside the data model; what the backend returns.
    fn save<T: Serialize + Sync + ?Sized>(
        &self,
        name: &str,
        value: &T,
        ttl: Option<u64>,
    ) -> impl Future<Output = Result<()>> + Send {
        let prepared = SessionKey::from_name(name).and_then(|key| Ok((key, Format::Json.encode(value)?)));
        async move {
            let (key, payload) = prepared?;
            let now = self.clock().now();
            let expires_at = ttl.map(|seconds| now + Duration::from_secs(seconds));
            let record = Record::new(payload, now).with_expires_at(expires_at);
            self.write(&key, record, Write::overwrite()).await.map(drop)
        }
    }

    /// Deletes what was saved under a name; says whether there was something. One call.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn delete(&self, name: &str) -> impl Future<Output = Result<bool>> + Send {
        let key = SessionKey::from_name(name);
        async move { self.remove(&key?, Removal::Explicit).await }
    }

    /// Whether something is saved under a name. One call.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn exists(&self, name: &str) -> impl Future<Output = Result<bool>> + Send {
        let key = SessionKey::from_name(name);
        async move { Ok(self.read(&key?).await?.is_some_and(|record| record.is_live())) }
    }

    /// Wraps this backend; the last one added is the outermost.
    fn layer<L: BackendLayer<Self>>(self, layer: L) -> L::Backend
    where
        Self: Sized,
    {
        layer.layer(self)
    }

    /// Erases the type, for a choice at run time. What is erased already stays as it is.
    fn shared(self) -> SharedBackend
    where
        Self: Sized,
    {
        match (&self as &dyn Any).downcast_ref::<SharedBackend>() {
            Some(shared) => shared.clone(),
            None => SharedBackend::from(Arc::new(self) as Arc<dyn SessionBackendDyn>),
        }
    }

    /// Whether the backend answers: reads an id that was never issued. One call.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send {
        async move {
            let never = SessionKey::from_id(SessionId::from_bytes(entropy::take()?));
            self.read(&never).await.map(drop)
        }
    }

    /// [`ping`](Self::ping) as a yes or no.
    fn is_healthy(&self) -> impl Future<Output = bool> + Send {
        async move { self.ping().await.is_ok() }
    }

    /// Deletes everything that expired, in batches of 1,000; says how many.
    ///
    /// # Errors
    /// What [`sweep`](SessionBackend::sweep) returns.
    fn clear_expired(&self) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut total = 0;
            loop {
                let swept = self.sweep(1000).await?;
                total += swept;
                if swept < 1000 {
                    return Ok(total);
                }
            }
        }
    }

    /// Visits every session, decoded field by field as it is asked for, until the visitor returns `false`. One call
    /// per 100.
    ///
    /// # Errors
    /// What [`scan`](SessionBackend::scan) returns, such as `Unsupported`.
    fn each_session(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(StoredSession) -> bool + Send,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            let filter = filter.clone().with_payload();
            let mut after = None;
            loop {
                let page = self.scan(&filter, after, PAGE).await?;
                let now = self.clock().now();
                if !page.entries.into_iter().all(|entry| visit(StoredSession::new(entry, now))) {
                    return Ok(());
                }
                after = page.next;
                if after.is_none() {
                    return Ok(());
                }
            }
        }
    }

    /// All sessions that the closure accepts.
    ///
    /// # Errors
    /// As [`each_session`](Self::each_session).
    fn find_by(
        &self,
        filter: &Filter,
        mut accept: impl FnMut(&StoredSession) -> bool + Send,
    ) -> impl Future<Output = Result<Vec<StoredSession>>> + Send {
        async move {
            let mut found = Vec::new();
            let visit = |stored: StoredSession| {
                if accept(&stored) {
                    found.push(stored);
                }
                true
            };
            self.each_session(filter, visit).await?;
            Ok(found)
        }
    }

    /// The first session that the closure accepts.
    ///
    /// # Errors
    /// As [`each_session`](Self::each_session).
    fn find_first(
        &self,
        filter: &Filter,
        mut accept: impl FnMut(&StoredSession) -> bool + Send,
    ) -> impl Future<Output = Result<Option<StoredSession>>> + Send {
        async move {
            let mut found = None;
            let visit = |stored: StoredSession| {
                if accept(&stored) {
                    found = Some(stored);
                }
                found.is_none()
            };
            self.each_session(filter, visit).await?;
            Ok(found)
        }
    }

    /// How many sessions the closure accepts.
    ///
    /// # Errors
    /// As [`each_session`](Self::each_session).
    fn count_by(
        &self,
        filter: &Filter,
        mut accept: impl FnMut(&StoredSession) -> bool + Send,
    ) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut count = 0;
            let visit = |stored: StoredSession| {
                count += u64::from(accept(&stored));
                true
            };
            self.each_session(filter, visit).await?;
            Ok(count)
        }
    }

    /// Ends all sessions that the closure accepts; says how many. One call more per session. A session that changes
    /// meanwhile is judged by what was read.
    ///
    /// # Errors
    /// As [`each_session`](Self::each_session).
    fn bulk_delete(
        &self,
        filter: &Filter,
        mut accept: impl FnMut(&StoredSession) -> bool + Send,
    ) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut doomed = Vec::new();
            let visit = |stored: StoredSession| {
                if accept(&stored) {
                    doomed.push(stored.address);
                }
                true
            };
            self.each_session(filter, visit).await?;
            let mut count = 0;
            for address in doomed {
                count += u64::from(self.remove(&address, Removal::Explicit).await?);
            }
            Ok(count)
        }
    }

    /// The sessions of an owner outside any scope, the latest used first. One call per 100.
    ///
    /// # Errors
    /// `InvalidKey` for an unacceptable owner; what the backend returns.
    fn sessions_of(&self, owner: &str) -> impl Future<Output = Result<Vec<SessionInfo>>> + Send
    where
        Self: Sized,
    {
        let owner = Owner::parse(owner);
        async move { owner::sessions_of(self, None, &owner?, None).await }
    }

    /// Ends the session that the handle names, if it is that owner's; says whether there was one.
    ///
    /// # Errors
    /// As [`sessions_of`](Self::sessions_of).
    fn revoke(&self, owner: &str, handle: &SessionHandle) -> impl Future<Output = Result<bool>> + Send
    where
        Self: Sized,
    {
        let owner = Owner::parse(owner);
        async move { Ok(owner::revoke(self, None, &owner?, handle).await?.is_some()) }
    }

    /// Ends all sessions of an owner (ST-18); says how many. One call.
    ///
    /// # Errors
    /// As [`sessions_of`](Self::sessions_of).
    fn revoke_all(&self, owner: &str) -> impl Future<Output = Result<u64>> + Send {
        let owner = Owner::parse(owner);
        async move { self.remove_all(&Filter::unscoped().with_owner(owner?), Removal::Revoked).await }
    }
}

impl<B: SessionBackend> SessionBackendExt for B {}

/// A session as a query sees it: read-only, decoded when it is asked for.
pub struct StoredSession {
    address: SessionKey,
    record: Record,
    data: std::sync::Mutex<Option<Data>>,
    read_at: Timestamp,
}

impl StoredSession {
    fn new(entry: Entry, read_at: Timestamp) -> Self {
        let address = entry.address();
        let data = Data::over(entry.record.payload.clone(), None, Format::default()).ok();
        Self { address, record: entry.record, data: std::sync::Mutex::new(data), read_at }
    }

    fn with_data<T>(&self, read: impl FnOnce(&mut Data) -> Result<T>) -> Result<T> {
        let mut data = self.data.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        data.as_mut().map_or_else(|| Err(SessionError::new(ErrorKind::Corrupted, "get")), read)
    }

    /// What it is filed under.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.address.id()
    }

    /// The address to reach it by.
    #[must_use]
    pub fn address(&self) -> &SessionKey {
        &self.address
    }

    /// Owner, times and the rest of what the backend keeps.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The value of a field.
    ///
    /// # Errors
    /// `Corrupted` when the payload is damaged or the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let now = Now::At(self.read_at);
        self.with_data(|data| data.peek(name, now)?.map(|(format, bytes)| format.decode(bytes)).transpose())
    }

    /// All fields.
    ///
    /// # Errors
    /// `Corrupted` when the payload is damaged.
    pub fn items(&self) -> Result<Vec<(String, Value)>> {
        let now = Now::At(self.read_at);
        let mut items = Vec::new();
        self.with_data(|data| {
            data.each(now, |name, format, bytes| {
                items.push((name.to_owned(), format.decode(bytes)?));
                Ok(())
            })
        })?;
        Ok(items)
    }
}

impl std::fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSession").field("record", &self.record).finish_non_exhaustive()
    }
}

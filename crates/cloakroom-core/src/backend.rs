use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::capability::Capability;
use crate::clock::Clock;
use crate::error::Result;
use crate::key::SessionKey;
use crate::operation::{Cursor, Filter, Page, Removal, Rotate, Touch, Write};
use crate::record::Record;

/// A place that keeps sessions, in bytes.
///
/// Authors write `async fn`s; nothing has a default body, so that a layer that forgets to forward a method does not
/// compile. Users who choose a backend at run time hold a [`SharedBackend`], which implements the same trait.
///
/// # Contract
///
/// The test kit holds every backend and every stack of layers to these clauses:
///
/// 1. `read` returns the last committed unexpired record, markers too, or `None`; never an expired one, whatever the
///    sweeper did.
/// 2. Every `write` is atomic and all-or-nothing, also when the future is dropped half-way or the process is killed.
/// 3. `Update` and `touch` never create; `touch` never changes payload or version.
/// 4. `rotate` is one atomic step; `Gone` and `Conflict` as for `Update`. Something unexpired at the new key is
///    `AlreadyExists`.
/// 5. Of concurrent `Update`s with one expected version exactly one wins. Limits hold under concurrency.
/// 6. `remove` ends a live record, is idempotent and says whether a live record went; markers stay until they expire.
///    `remove_all` and `sweep` work in batches; each says how many went. A record that is rotated while `remove_all`
///    runs does not escape it.
/// 7. Payloads of 0 bytes to the stated maximum come back bit for bit; over the maximum → `TooLarge`, nothing changed.
/// 8. Times keep at least milliseconds. All time comes from [`clock`](Self::clock).
/// 9. A backend that cannot be reached returns `Unavailable` within its timeout: no panic, no hang, no `None`.
/// 10. `clone()` of a backend shares state. Constructors spawn nothing.
/// 11. Ids, scopes and owners compare byte for byte.
///
/// An address (see [`SessionKey::from_id`]) reaches what the key it stands for reaches. A key is filed under its id
/// *and* its scope: the same secret in two scopes is two records. A layer that puts all it stores into one scope says so
/// in its capability, and refuses keys and filters that name another.
pub trait SessionBackend: Debug + Send + Sync + 'static {
    /// What this backend can do.
    fn capability(&self) -> Capability;

    /// The clock that all its times come from.
    fn clock(&self) -> &Clock;

    /// The last committed unexpired record under that key, markers too.
    fn read(&self, key: &SessionKey) -> impl Future<Output = Result<Option<Record>>> + Send;

    /// Stores a record, and returns the key to use from now on, without a scope: the same key for a store, the new
    /// sealed value for a client-side session.
    fn write(
        &self,
        key: &SessionKey,
        record: Record,
        how: Write,
    ) -> impl Future<Output = Result<SessionKey>> + Send;

    /// Moves a session to another key in one step, and returns the key to use from now on, without a scope.
    fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> impl Future<Output = Result<SessionKey>> + Send;

    /// Extends the life of a live record of that version and sets its `accessed_at` to now. `None` when nothing live
    /// is there. When another version is there, nothing changes and the key comes back.
    fn touch(&self, key: &SessionKey, how: Touch) -> impl Future<Output = Result<Option<SessionKey>>> + Send;

    /// Ends a live record; says whether there was one.
    fn remove(&self, key: &SessionKey, reason: Removal) -> impl Future<Output = Result<bool>> + Send;

    /// A page of at most `limit` live records, of at least one where `limit` is 0.
    fn scan(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send;

    /// How many live records there are.
    fn count(&self, filter: &Filter) -> impl Future<Output = Result<u64>> + Send;

    /// Ends all live records that match; says how many.
    fn remove_all(&self, filter: &Filter, reason: Removal) -> impl Future<Output = Result<u64>> + Send;

    /// Deletes at most `limit` expired records and markers; says how many.
    fn sweep(&self, limit: usize) -> impl Future<Output = Result<u64>> + Send;
}

/// The object-safe twin of [`SessionBackend`], implemented for every backend. Methods are those of the trait.
#[async_trait]
pub trait SessionBackendDyn: Debug + Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_capability(&self) -> Capability;
    #[doc(hidden)]
    fn dyn_clock(&self) -> &Clock;
    #[doc(hidden)]
    async fn dyn_read(&self, key: &SessionKey) -> Result<Option<Record>>;
    #[doc(hidden)]
    async fn dyn_write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey>;
    #[doc(hidden)]
    async fn dyn_rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey>;
    #[doc(hidden)]
    async fn dyn_touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>>;
    #[doc(hidden)]
    async fn dyn_remove(&self, key: &SessionKey, reason: Removal) -> Result<bool>;
    #[doc(hidden)]
    async fn dyn_scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page>;
    #[doc(hidden)]
    async fn dyn_count(&self, filter: &Filter) -> Result<u64>;
    #[doc(hidden)]
    async fn dyn_remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64>;
    #[doc(hidden)]
    async fn dyn_sweep(&self, limit: usize) -> Result<u64>;
}

#[async_trait]
impl<B: SessionBackend> SessionBackendDyn for B {
    fn dyn_capability(&self) -> Capability {
        self.capability()
    }

    fn dyn_clock(&self) -> &Clock {
        self.clock()
    }

    async fn dyn_read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.read(key).await
    }

    async fn dyn_write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.write(key, record, how).await
    }

    async fn dyn_rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.rotate(old, new, record, how).await
    }

    async fn dyn_touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.touch(key, how).await
    }

    async fn dyn_remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.remove(key, reason).await
    }

    async fn dyn_scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.scan(filter, after, limit).await
    }

    async fn dyn_count(&self, filter: &Filter) -> Result<u64> {
        self.count(filter).await
    }

    async fn dyn_remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.remove_all(filter, reason).await
    }

    async fn dyn_sweep(&self, limit: usize) -> Result<u64> {
        self.sweep(limit).await
    }
}

/// A backend chosen at run time. It implements [`SessionBackend`], so generic and erased stacks mix; each call costs
/// one allocation more than on the concrete type.
///
/// Made by [`SessionBackendExt::shared`](crate::SessionBackendExt::shared). A type of its own rather than an alias:
/// through the `dyn` of an alias the compiler cannot see that the futures of a `Session` are `Send`, and no handler
/// could await them.
#[derive(Clone, Debug)]
pub struct SharedBackend(Arc<dyn SessionBackendDyn>);

impl From<Arc<dyn SessionBackendDyn>> for SharedBackend {
    fn from(backend: Arc<dyn SessionBackendDyn>) -> Self {
        Self(backend)
    }
}

impl SessionBackend for SharedBackend {
    fn capability(&self) -> Capability {
        self.0.dyn_capability()
    }

    fn clock(&self) -> &Clock {
        self.0.dyn_clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.dyn_read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.0.dyn_write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.0.dyn_rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.0.dyn_touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.0.dyn_remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.0.dyn_scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.0.dyn_count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.0.dyn_remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.0.dyn_sweep(limit).await
    }
}

/// Something that wraps a backend. `backend.layer(l)` of [`SessionBackendExt`](crate::SessionBackendExt) applies it;
/// the last one added is the outermost.
pub trait BackendLayer<B> {
    /// The wrapped backend.
    type Backend: SessionBackend;

    /// Wraps it.
    fn layer(&self, inner: B) -> Self::Backend;
}

use std::fmt;
use std::sync::Arc;

use cloakroom_testkit::core::{
    Capability, Clock, Cursor, Entry, ErrorKind, Filter, InMemorySessionBackend, Page, Record, Removal,
    Result, Rotate, SessionBackend, SessionError, SessionKey, Touch, Write,
};
use futures_util::future::BoxFuture;

pub(crate) type Memory = InMemorySessionBackend;

/// What a defect does in place of the backend in memory; by default, what that does.
pub(crate) trait Defect: Send + Sync + 'static {
    fn make(&self, clock: &Clock) -> Memory {
        Memory::with_clock(clock.clone())
    }

    fn twin(&self, inner: &Memory) -> Memory {
        inner.clone()
    }

    /// Runs before every operation.
    fn before(&self, _clock: &Clock) {}

    fn capability(&self, inner: &Memory) -> Capability {
        inner.capability()
    }

    fn read<'a>(&'a self, inner: &'a Memory, key: &'a SessionKey) -> BoxFuture<'a, Result<Option<Record>>> {
        Box::pin(inner.read(key))
    }

    fn write<'a>(
        &'a self,
        inner: &'a Memory,
        key: &'a SessionKey,
        record: Record,
        how: Write,
    ) -> BoxFuture<'a, Result<SessionKey>> {
        Box::pin(inner.write(key, record, how))
    }

    fn rotate<'a>(
        &'a self,
        inner: &'a Memory,
        old: &'a SessionKey,
        new: &'a SessionKey,
        record: Record,
        how: Rotate,
    ) -> BoxFuture<'a, Result<SessionKey>> {
        Box::pin(inner.rotate(old, new, record, how))
    }

    fn touch<'a>(
        &'a self,
        inner: &'a Memory,
        key: &'a SessionKey,
        how: Touch,
    ) -> BoxFuture<'a, Result<Option<SessionKey>>> {
        Box::pin(inner.touch(key, how))
    }

    fn remove<'a>(&'a self, inner: &'a Memory, key: &'a SessionKey) -> BoxFuture<'a, Result<bool>> {
        Box::pin(inner.remove(key, Removal::Explicit))
    }

    fn scan<'a>(
        &'a self,
        inner: &'a Memory,
        filter: &'a Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page>> {
        Box::pin(inner.scan(filter, after, limit))
    }

    fn count<'a>(&'a self, inner: &'a Memory, filter: &'a Filter) -> BoxFuture<'a, Result<u64>> {
        Box::pin(inner.count(filter))
    }

    fn remove_all<'a>(&'a self, inner: &'a Memory, filter: &'a Filter) -> BoxFuture<'a, Result<u64>> {
        Box::pin(inner.remove_all(filter, Removal::Revoked))
    }

    fn sweep<'a>(&'a self, inner: &'a Memory, limit: usize) -> BoxFuture<'a, Result<u64>> {
        Box::pin(inner.sweep(limit))
    }
}

/// Declares a defect: its name, its state, and the operations that it changes.
macro_rules! defect {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* } $($op:ident |$($arg:ident),*| $body:block)*) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $name {
            $($field: $type),*
        }

        impl $crate::broken::Defect for $name {
            $(method! { $op |$($arg),*| $body })*
        }
    };
}

macro_rules! method {
    (make |$this:ident, $clock:ident| $body:block) => {
        fn make(&self, $clock: &Clock) -> Memory {
            let $this = self;
            $body
        }
    };
    (twin |$this:ident, $inner:ident| $body:block) => {
        fn twin(&self, $inner: &Memory) -> Memory {
            let $this = self;
            $body
        }
    };
    (before |$this:ident, $clock:ident| $body:block) => {
        fn before(&self, $clock: &Clock) {
            let $this = self;
            $body
        }
    };
    (capability |$this:ident, $inner:ident| $body:block) => {
        fn capability(&self, $inner: &Memory) -> Capability {
            let $this = self;
            $body
        }
    };
    (read |$this:ident, $inner:ident, $key:ident| $body:block) => {
        fn read<'a>(
            &'a self,
            $inner: &'a Memory,
            $key: &'a SessionKey,
        ) -> BoxFuture<'a, Result<Option<Record>>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (write |$this:ident, $inner:ident, $key:ident, $record:ident, $how:ident| $body:block) => {
        #[allow(unused_mut)]
        fn write<'a>(
            &'a self,
            $inner: &'a Memory,
            $key: &'a SessionKey,
            mut $record: Record,
            mut $how: Write,
        ) -> BoxFuture<'a, Result<SessionKey>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (rotate |$this:ident, $inner:ident, $old:ident, $new:ident, $record:ident, $how:ident| $body:block) => {
        #[allow(unused_mut)]
        fn rotate<'a>(
            &'a self,
            $inner: &'a Memory,
            $old: &'a SessionKey,
            $new: &'a SessionKey,
            mut $record: Record,
            mut $how: Rotate,
        ) -> BoxFuture<'a, Result<SessionKey>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (touch |$this:ident, $inner:ident, $key:ident, $how:ident| $body:block) => {
        #[allow(unused_mut)]
        fn touch<'a>(
            &'a self,
            $inner: &'a Memory,
            $key: &'a SessionKey,
            mut $how: Touch,
        ) -> BoxFuture<'a, Result<Option<SessionKey>>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (remove |$this:ident, $inner:ident, $key:ident| $body:block) => {
        fn remove<'a>(&'a self, $inner: &'a Memory, $key: &'a SessionKey) -> BoxFuture<'a, Result<bool>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (scan |$this:ident, $inner:ident, $filter:ident, $after:ident, $limit:ident| $body:block) => {
        fn scan<'a>(
            &'a self,
            $inner: &'a Memory,
            $filter: &'a Filter,
            $after: Option<Cursor>,
            $limit: usize,
        ) -> BoxFuture<'a, Result<Page>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (count |$this:ident, $inner:ident, $filter:ident| $body:block) => {
        fn count<'a>(&'a self, $inner: &'a Memory, $filter: &'a Filter) -> BoxFuture<'a, Result<u64>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (remove_all |$this:ident, $inner:ident, $filter:ident| $body:block) => {
        fn remove_all<'a>(&'a self, $inner: &'a Memory, $filter: &'a Filter) -> BoxFuture<'a, Result<u64>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
    (sweep |$this:ident, $inner:ident, $limit:ident| $body:block) => {
        fn sweep<'a>(&'a self, $inner: &'a Memory, $limit: usize) -> BoxFuture<'a, Result<u64>> {
            let $this = self;
            Box::pin(async move { $body })
        }
    };
}

/// A backend in memory with a defect.
pub(crate) struct Broken {
    inner: Memory,
    clock: Clock,
    defect: Arc<dyn Defect>,
}

impl Broken {
    pub(crate) fn new(defect: impl Defect, clock: Clock) -> Self {
        Self { inner: defect.make(&clock), clock, defect: Arc::new(defect) }
    }
}

impl Clone for Broken {
    fn clone(&self) -> Self {
        Self {
            inner: self.defect.twin(&self.inner),
            clock: self.clock.clone(),
            defect: Arc::clone(&self.defect),
        }
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

pub(crate) fn refuse<T>(kind: ErrorKind) -> Result<T> {
    Err(SessionError::new(kind, "broken"))
}

/// All live records, payloads included.
pub(crate) async fn everything(inner: &Memory) -> Result<Vec<Entry>> {
    let filter = Filter::everywhere().with_payload();
    Ok(inner.scan(&filter, None, 1_000_000).await?.entries)
}

/// Deletes whatever is at a key, marker or not.
pub(crate) async fn erase(inner: &Memory, key: &SessionKey) -> Result<()> {
    let now = inner.clock().now();
    inner.write(key, Record::new("", now).with_expires_at(Some(now)), Write::overwrite()).await?;
    Ok(())
}

impl SessionBackend for Broken {
    fn capability(&self) -> Capability {
        self.defect.capability(&self.inner)
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.defect.before(&self.clock);
        self.defect.read(&self.inner, key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.defect.before(&self.clock);
        self.defect.write(&self.inner, key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.defect.before(&self.clock);
        self.defect.rotate(&self.inner, old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.defect.before(&self.clock);
        self.defect.touch(&self.inner, key, how).await
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        self.defect.before(&self.clock);
        self.defect.remove(&self.inner, key).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.defect.before(&self.clock);
        self.defect.scan(&self.inner, filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.defect.before(&self.clock);
        self.defect.count(&self.inner, filter).await
    }

    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        self.defect.before(&self.clock);
        self.defect.remove_all(&self.inner, filter).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.defect.before(&self.clock);
        self.defect.sweep(&self.inner, limit).await
    }
}

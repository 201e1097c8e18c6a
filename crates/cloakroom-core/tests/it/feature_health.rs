//! F23: whether a backend answers.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_core::*;

/// A store that can be cut off.
#[derive(Clone, Debug, Default)]
struct Line {
    store: InMemorySessionBackend,
    cut: Arc<AtomicBool>,
}

impl Line {
    fn check(&self) -> Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(SessionError::new(ErrorKind::Unavailable, "call").with_backend("line"));
        }
        Ok(())
    }
}

impl SessionBackend for Line {
    fn capability(&self) -> Capability {
        self.store.capability()
    }
    fn clock(&self) -> &Clock {
        self.store.clock()
    }
    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.check()?;
        self.store.read(key).await
    }
    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check()?;
        self.store.write(key, record, how).await
    }
    async fn rotate(&self, o: &SessionKey, n: &SessionKey, r: Record, how: Rotate) -> Result<SessionKey> {
        self.check()?;
        self.store.rotate(o, n, r, how).await
    }
    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.check()?;
        self.store.touch(key, how).await
    }
    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.check()?;
        self.store.remove(key, reason).await
    }
    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.check()?;
        self.store.scan(filter, after, limit).await
    }
    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.check()?;
        self.store.count(filter).await
    }
    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.check()?;
        self.store.remove_all(filter, reason).await
    }
    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.check()?;
        self.store.sweep(limit).await
    }
}

#[tokio::test]
async fn backend_that_cannot_be_reached_is_unhealthy_until_it_answers() {
    let line = Line::default();
    let backend = line.clone().shared();
    assert!(backend.is_healthy().await);
    line.cut.store(true, Ordering::SeqCst);
    assert!(!backend.is_healthy().await);
    assert_eq!(backend.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
    line.cut.store(false, Ordering::SeqCst);
    backend.ping().await.unwrap();
    assert_eq!(line.store.statistics().stored, 0, "asking leaves nothing behind");
}

/// A store that is down is not "no session", unless a site asks for that.
#[tokio::test]
async fn load_while_the_store_is_down_is_an_error_or_degraded_by_choice() {
    let line = Line::default();
    let session = Session::new(line.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let key = session.key().unwrap();
    line.cut.store(true, Ordering::SeqCst);

    let strict = Session::with_key(line.clone(), key.clone());
    assert_eq!(strict.load().await.unwrap_err().kind(), ErrorKind::Unavailable);

    let config = Arc::new(SessionConfig::default().with_degraded_sessions(true));
    let degraded = Session::with_config(line.clone(), Some(key.clone()), config);
    degraded.load().await.unwrap();
    assert!(degraded.is_degraded() && degraded.get::<u8>("a").unwrap().is_none());
    degraded.set("a", 2).unwrap();
    degraded.finish().await.unwrap();
    assert_eq!(degraded.key_change(), KeyChange::Keep, "the cookie stays");

    line.cut.store(false, Ordering::SeqCst);
    strict.load().await.unwrap();
    assert_eq!(strict.get::<u8>("a").unwrap(), Some(1), "nothing was overwritten");
}

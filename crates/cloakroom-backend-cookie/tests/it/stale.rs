//! Stale reads in front of sessions that the client keeps.

use std::time::Duration;

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, SealKey};
use cloakroom_core::{
    ErrorKind, InMemorySessionBackend, ManualClock, Record, Session, SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_testkit::Faulty;
use cloakroom_tower::StaleBackend;

const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    clock: ManualClock,
    kept: Faulty<InMemorySessionBackend>,
    stale: StaleBackend<CookieSessionBackend>,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new();
        let kept = Faulty::new(InMemorySessionBackend::with_clock(clock.clock()));
        let backend = CookieSessionBackend::new(KeyRing::new([SealKey::generate().unwrap()]).unwrap())
            .with_clock(clock.clock())
            .with_revocation(kept.clone())
            .unwrap();
        Self { clock, kept, stale: StaleBackend::new(backend, 100, 10 * MINUTE) }
    }

    async fn create(&self) -> (SessionKey, Record) {
        let record =
            Record::new("{}", self.clock.now()).with_expires_at(Some(self.clock.now() + 60 * MINUTE));
        let secret = SessionKey::generate().unwrap();
        (self.stale.write(&secret, record.clone(), Write::create()).await.unwrap(), record)
    }

    /// As the client shows it: a text that nobody has opened.
    fn shown(&self, key: &SessionKey) -> SessionKey {
        SessionKey::parse(key.expose(), &self.stale.capability()).unwrap()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>, ErrorKind> {
        self.stale.read(&self.shown(key)).await.map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn session_that_ended_unopened_is_not_served_while_the_store_is_down() {
    let bench = Bench::new();
    let (key, record) = bench.create().await;
    assert_eq!(bench.read(&key).await, Ok(Some(record)));
    Session::with_key(bench.stale.clone(), bench.shown(&key)).flush().await.unwrap();
    bench.kept.disconnect();
    assert_eq!(bench.read(&key).await, Err(ErrorKind::Unavailable));
    bench.kept.reconnect();
    assert_eq!(bench.read(&key).await, Ok(None));
}

#[tokio::test]
async fn text_that_is_over_is_not_served_the_record_of_a_newer_one_while_the_store_is_down() {
    let bench = Bench::new();
    let (old, record) = bench.create().await;
    bench.clock.advance(50 * MINUTE);
    let touch = Touch::new(record.version, bench.clock.now() + 60 * MINUTE);
    let new = bench.stale.touch(&bench.shown(&old), touch).await.unwrap().unwrap();
    bench.clock.advance(20 * MINUTE);
    assert!(bench.read(&new).await.unwrap().is_some());
    bench.kept.disconnect();
    for key in [&old, &new] {
        assert_eq!(bench.read(key).await, Err(ErrorKind::Unavailable));
    }
    bench.kept.reconnect();
    assert_eq!(bench.read(&old).await, Ok(None));
}

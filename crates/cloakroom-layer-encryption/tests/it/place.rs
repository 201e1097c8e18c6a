//! Keys, stores and records of the tests.

use std::time::Duration;

use cloakroom_core::{
    Capability, ErrorKind, InMemorySessionBackend, ManualClock, Owner, Record, Result, Scope, SessionBackend,
    SessionKey, Write,
};
use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer, KeyRing, SealKey};

pub(crate) type Encrypted = EncryptedSessionBackend<InMemorySessionBackend>;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Found nowhere else, neither in ids nor in times.
pub(crate) const SECRET: &str = r#"{"card":"plain-as-day-4111"}"#;

pub(crate) fn key(byte: u8) -> SealKey {
    SealKey::from_bytes([byte; 32])
}

pub(crate) fn ring<const N: usize>(keys: [u8; N]) -> KeyRing {
    KeyRing::new(keys.map(key)).unwrap()
}

pub(crate) fn owner(text: &str) -> Owner {
    Owner::parse(text).unwrap()
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// A store with a clock, and views of it with different keys.
pub(crate) struct Place {
    pub(crate) clock: ManualClock,
    pub(crate) store: InMemorySessionBackend,
}

impl Place {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        Self { store: InMemorySessionBackend::with_clock(clock.clock()), clock }
    }

    pub(crate) fn with<const N: usize>(&self, keys: [u8; N]) -> Encrypted {
        self.layered(EncryptionLayer::new(ring(keys)))
    }

    pub(crate) fn layered(&self, layer: EncryptionLayer) -> Encrypted {
        EncryptedSessionBackend::new(self.store.clone(), layer).unwrap()
    }

    pub(crate) fn record(&self, payload: &str) -> Record {
        let now = self.clock.now();
        Record::new(payload.to_owned(), now).with_expires_at(Some(now + HOUR))
    }

    pub(crate) async fn create<B: SessionBackend>(&self, backend: &B, record: &Record) -> SessionKey {
        let key = SessionKey::generate().unwrap();
        backend.write(&key, record.clone(), Write::create()).await.unwrap();
        key
    }

    /// What is stored under a key, as it lies there.
    pub(crate) async fn stored(&self, key: &SessionKey) -> Record {
        self.store.read(key).await.unwrap().unwrap()
    }

    /// Puts a record into the store, as somebody who can write there would.
    pub(crate) async fn plant(&self, key: &SessionKey, record: Record) {
        self.store.write(key, record, Write::overwrite()).await.unwrap();
    }
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

pub(crate) fn max_payload<B: SessionBackend>(backend: &B) -> usize {
    let Capability { max_payload, .. } = backend.capability();
    max_payload
}

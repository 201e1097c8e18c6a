//! What a reader of the store, the logs or an error learns.

use std::sync::{Arc, Mutex};

use cloakroom_core::{Filter, SessionBackend};
use cloakroom_layer_encryption::EncryptionLayer;
use tracing_subscriber::fmt::MakeWriter;

use crate::place::{Place, SECRET, key, owner, ring};

const OWNER: &str = "owner-in-plain@example.org";

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn store_holds_neither_payload_nor_hashed_owner() {
    let place = Place::new();
    let backend = place.layered(EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9)));
    let record = place.record(SECRET).with_owner(Some(owner(OWNER)));
    place.create(&backend, &record).await;
    let everything = place.store.scan(&Filter::everywhere().with_payload(), None, 10).await.unwrap();
    let [entry] = &*everything.entries else { panic!("one session") };
    for word in ["card", "plain-as-day", "4111", OWNER, "example"] {
        assert!(!contains(&entry.record.payload, word), "{word}");
        assert!(!entry.record.owner.as_ref().unwrap().as_str().contains(word), "{word}");
    }
    assert_eq!(
        backend.scan(&Filter::everywhere().with_payload(), None, 10).await.unwrap().entries[0].record,
        record
    );
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn debug_errors_and_warnings_hold_no_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let place = Place::new();
    let layer = EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9)).with_former_owner_key(&key(8));
    let backend = place.layered(layer.clone());
    let record = place.record(SECRET).with_owner(Some(owner(OWNER)));
    let session = place.create(&place.with([2]), &record).await;
    let error = backend.read(&session).await.unwrap_err();
    let page = backend.scan(&Filter::everywhere().with_payload(), None, 10).await.unwrap();
    let done = backend.reencrypt(None, 10).await.unwrap();
    let debug = format!("{layer:?} {backend:?} {error:?} {error} {page:?} {done:?}");
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("WARN cloakroom::security").count(), 3, "{log}");
    let id = session.id().as_text();
    let stored = place.stored(&session).await.payload;
    for text in [&*debug, &*log] {
        for secret in [SECRET, "4111", OWNER, session.expose(), &id, "01010101", "[1, 1", "[9, 9"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(!text.as_bytes().windows(8).any(|part| stored.windows(8).any(|sealed| sealed == part)));
    }
}

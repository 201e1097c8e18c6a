//! Bug 21 of the origin: its worker logged keys and session bytes.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::{Filter, Owner, Removal, SessionBackend, SessionKey, Write};
use cloakroom_layer_replication::ReplicationStrategy::{AsyncReplication, SyncReplication};
use cloakroom_layer_replication::{Failover, QueueFull};
use tracing_subscriber::fmt::MakeWriter;

use crate::pair::{Pair, pause, quick};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_formatted_holds_keys_ids_owners_or_payloads() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .with_ansi(false)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut secrets = Vec::new();
    for strategy in [SyncReplication, AsyncReplication] {
        let config =
            quick().with_queue_capacity(1).with_queue_full(QueueFull::Drop).with_failover(Failover::Promote);
        let pair = Pair::new(strategy, config);
        let worker = pair.backend.worker().start();
        let mut errors = Vec::new();
        for round in 0..4 {
            // Another test may have met an event first, while nobody listened.
            tracing::callsite::rebuild_interest_cache();
            match round {
                1 => pair.secondary.disconnect(),
                2 => pair.primary.disconnect(),
                _ => {}
            }
            let key = SessionKey::generate().unwrap();
            let record =
                pair.record("SECRET-PAYLOAD").with_owner(Some(Owner::parse("SECRET-OWNER").unwrap()));
            secrets.extend([key.expose().to_owned(), key.id().as_text().to_string()]);
            errors.extend(pair.backend.write(&key, record.clone(), Write::create()).await.err());
            let next = pair.next(&record, "SECRET-PAYLOAD-2");
            errors.extend(pair.backend.write(&key, next, Write::update(record.version)).await.err());
            errors.extend(pair.backend.remove(&key, Removal::Flushed).await.err());
            errors.extend(pair.backend.remove_all(&Filter::everywhere(), Removal::Revoked).await.err());
            pause(Duration::from_secs(3)).await;
            pair.primary.reconnect();
            pair.secondary.reconnect();
            pause(Duration::from_secs(20)).await;
        }
        let report = pair.backend.reconcile().await;
        let mut out = lines.clone();
        write!(out, "{errors:?} {report:?} {:?} {:?} {worker:?}", pair.backend, pair.backend.status())
            .unwrap();
        for error in errors {
            write!(out, "{error}").unwrap();
        }
    }
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("a copy is behind") && text.contains("caught up"), "{text}");
    secrets.push("SECRET".to_owned());
    for secret in &secrets {
        assert!(!text.contains(secret.as_str()), "{secret} is in the log:\n{text}");
    }
}

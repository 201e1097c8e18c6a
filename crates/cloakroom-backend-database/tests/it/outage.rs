//! Servers that go away and come back.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloakroom_backend_database::DatabaseSessionBackend;
use cloakroom_core::{ErrorKind, Filter, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write};
use futures_util::future::join_all;

use crate::place;
use crate::proxy::{Mode, Proxy};

/// Enough for eight logins on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(3);

async fn served() -> Vec<(&'static str, String)> {
    place::urls().await.into_iter().filter(|(name, _)| *name != "SQLite").collect()
}

async fn through_proxy(url: &str) -> (Proxy, DatabaseSessionBackend) {
    let (proxy, url) = Proxy::before(url).await;
    let builder = place::builder(&url).with_timeout(TIMEOUT).with_max_connections(8);
    (proxy, place::ready(builder).await)
}

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

/// Fills the pool.
async fn warm_up(backend: &DatabaseSessionBackend) {
    let at = key();
    for read in join_all((0..8).map(|_| backend.read(&at))).await {
        read.expect("a read");
    }
}

#[tokio::test]
async fn server_stopped_in_mid_traffic_unavailable_then_back_nothing_acknowledged_lost() {
    for (name, url) in served().await {
        let (proxy, backend) = through_proxy(&url).await;
        let acknowledged = Mutex::new(Vec::new());
        let create = || async {
            let (at, record) = (key(), Record::new("things", backend.clock().now()));
            let started = Instant::now();
            let done = backend.write(&at, record.clone(), Write::create()).await;
            assert!(started.elapsed() < TIMEOUT * 2, "{name}: an operation hung for {:?}", started.elapsed());
            match done {
                Ok(_) => acknowledged.lock().unwrap().push((at, record)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error:?}"),
            }
        };
        for round in 0..4 {
            let traffic = join_all((0..40).map(|number| {
                let (proxy, create) = (&proxy, &create);
                async move {
                    create().await;
                    if number == 20 {
                        proxy.set(Mode::Down);
                    }
                    create().await;
                }
            }));
            traffic.await;
            let down = backend.read(&key()).await;
            assert_eq!(down.unwrap_err().kind(), ErrorKind::Unavailable, "{name}, round {round}");
            assert_eq!(
                backend.count(&Filter::everywhere()).await.unwrap_err().kind(),
                ErrorKind::Unavailable
            );
            proxy.set(Mode::Pass);
            // By itself, at the first call.
            backend.read(&key()).await.unwrap_or_else(|error| panic!("{name}, round {round}: {error:?}"));
            join_all((0..10).map(|_| create())).await;
        }
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.len() >= 40, "{name}: only {} were acknowledged", acknowledged.len());
        for (at, record) in acknowledged {
            assert_eq!(
                backend.read(&at).await.unwrap(),
                Some(record),
                "{name}: an acknowledged session is lost"
            );
        }
    }
}

#[tokio::test]
async fn connections_dead_in_the_pool_replaced_unnoticed() {
    for (name, url) in served().await {
        let (proxy, backend) = through_proxy(&url).await;
        let now = backend.clock().now();
        let next = |record: &Record| record.clone().with_version(record.version.next(now));
        let first = Record::new("{}", now);
        let (at, to) = (key(), key());
        let cut = || async {
            warm_up(&backend).await;
            proxy.cut();
        };
        cut().await;
        backend.write(&at, first.clone(), Write::create()).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        cut().await;
        assert!(backend.read(&at).await.unwrap().is_some());
        cut().await;
        let second = next(&first);
        backend.write(&at, second.clone(), Write::update(first.version)).await.unwrap();
        cut().await;
        backend.touch(&at, Touch::new(second.version, now)).await.unwrap().unwrap();
        cut().await;
        let third = next(&second);
        let trail = Record::moved(to.id(), now, now + Duration::from_secs(60));
        let how = Rotate::new(second.version).with_trail(trail);
        backend.rotate(&at, &to, third, how).await.unwrap();
        cut().await;
        assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
        cut().await;
        assert!(backend.remove(&to, Removal::Flushed).await.unwrap());
        // Eight at once on eight dead connections.
        cut().await;
        warm_up(&backend).await;
    }
}

#[tokio::test]
async fn network_silent_unavailable_in_time_and_the_pool_recovers() {
    for (name, url) in served().await {
        let (proxy, backend) = through_proxy(&url).await;
        warm_up(&backend).await;
        proxy.set(Mode::Stall);
        let started = Instant::now();
        // More callers than connections.
        for read in join_all((0..20).map(|_| async { backend.read(&key()).await })).await {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable, "{name}");
        }
        assert!(started.elapsed() < TIMEOUT * 2, "{name}: {:?}", started.elapsed());
        // The network comes back, but not for the connections that were open.
        proxy.cut();
        proxy.set(Mode::Pass);
        let mut reads = 0;
        while let Err(error) = backend.read(&key()).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            reads += 1;
            assert!(reads < 8, "{name}: {error:?}");
        }
        warm_up(&backend).await;
    }
}

#[tokio::test]
async fn server_absent_at_connect_unavailable_without_secrets() {
    for (name, url) in served().await {
        let (proxy, through) = Proxy::before(&url).await;
        proxy.set(Mode::Down);
        let builder = DatabaseSessionBackend::builder(&through).with_timeout(TIMEOUT);
        let shown = format!("{builder:?}");
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}: {error:?}");
        let password = url.split_once('@').unwrap().0.rsplit_once(':').unwrap().1;
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{shown} {error:?} {error} {source:?}");
        assert!(!text.contains(password) && !text.contains(&proxy.port().to_string()), "{name}: {text}");

        let wrong = url.replace(password, "wrong-password");
        let error = DatabaseSessionBackend::connect(&wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("wrong-password"), "{name}");
    }
}

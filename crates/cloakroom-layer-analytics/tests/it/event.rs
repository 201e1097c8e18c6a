//! What each operation tells.

use std::time::Duration;

use cloakroom_core::{
    Clock, ErrorKind, Filter, InMemorySessionBackend, ManualClock, Record, Removal, Rotate, SessionBackend,
    SessionBackendExt, SessionKey, Touch, Write,
};
use cloakroom_layer_analytics::{AnalyticsLayer, InstrumentedSessionBackend, Operation, Outcome};
use cloakroom_testkit::{Fault, Operation as At, Spy};

use crate::place::{Memory, PAYLOAD, create, key, record, scope, traffic, watched};

#[tokio::test]
async fn write_told_by_mode_and_outcome() {
    let (backend, told) = watched();
    let (key, now) = (key(), backend.clock().now());
    let first = record(&backend);
    let next = first.clone().with_version(first.version.next(now));
    let last = next.clone().with_version(next.version.next(now));
    let end = now + Duration::from_secs(60);
    let writes = [
        (first.clone(), Write::create(), Outcome::Created),
        (first.clone(), Write::create(), Outcome::Failed { kind: ErrorKind::AlreadyExists }),
        (next.clone(), Write::update(first.version), Outcome::Saved),
        (next.clone(), Write::update(first.version), Outcome::Conflicted),
        (next.clone(), Write::overwrite(), Outcome::Stored),
        (last, Write::newer(), Outcome::Stored),
        (first.clone(), Write::newer(), Outcome::Conflicted),
        (Record::ended(now, end), Write::overwrite(), Outcome::Marked),
        (next, Write::update(first.version), Outcome::Gone),
    ];
    for (index, (record, how, expected)) in writes.into_iter().enumerate() {
        let size = record.payload.len();
        let _ = backend.write(&key, record, how).await;
        let event = told.one();
        assert_eq!((event.operation, event.outcome), (Operation::Write, expected), "write {index}");
        assert_eq!(event.payload, Some(size), "write {index}");
        assert_eq!(event.session, Some(key.id().log_hash()));
    }
}

#[tokio::test]
async fn read_hit_miss_and_marker() {
    let (backend, told) = watched();
    let (old, version) = create(&backend).await;
    told.take();
    assert!(backend.read(&old).await.unwrap().is_some());
    let hit = told.one();
    assert_eq!((hit.operation, hit.outcome), (Operation::Read, Outcome::Accessed { hit: true }));
    assert_eq!((hit.payload, hit.scope), (Some(PAYLOAD.len()), None));
    assert!(hit.latency > Duration::ZERO);

    assert!(backend.read(&key()).await.unwrap().is_none());
    let miss = told.one();
    assert_eq!((miss.outcome, miss.payload), (Outcome::Accessed { hit: false }, None));

    let (new, now) = (key(), backend.clock().now());
    let trail = Record::moved(new.id(), now, now + Duration::from_secs(60));
    let how = Rotate::new(version).with_trail(trail);
    backend.rotate(&old, &new, record(&backend), how).await.unwrap();
    let rotated = told.one();
    assert_eq!(rotated.outcome, Outcome::Rotated { to: new.id().log_hash() });
    assert_eq!(rotated.session, Some(old.id().log_hash()));
    assert!(backend.read(&old).await.unwrap().is_some_and(|record| !record.is_live()));
    assert_eq!(told.outcome(), Outcome::Accessed { hit: false });
}

#[tokio::test]
async fn ends_told_with_reason_and_number() {
    let manual = ManualClock::new();
    let told = Memory::default();
    let store = InMemorySessionBackend::with_clock(manual.clock());
    let backend = InstrumentedSessionBackend::new(store, told.clone());
    let (one, version) = create(&backend).await;
    create(&backend).await;
    create(&backend).await;
    told.take();
    let end = manual.now() + Duration::from_secs(60);
    backend.touch(&one, Touch::new(version, end)).await.unwrap();
    assert_eq!(told.outcome(), Outcome::Touched);
    backend.remove(&one, Removal::Flushed).await.unwrap();
    assert_eq!(told.outcome(), Outcome::Deleted { reason: Removal::Flushed, count: 1 });
    backend.remove(&one, Removal::Flushed).await.unwrap();
    assert_eq!(told.outcome(), Outcome::Deleted { reason: Removal::Flushed, count: 0 });
    backend.touch(&one, Touch::new(version, end)).await.unwrap();
    assert_eq!(told.outcome(), Outcome::Gone);
    assert_eq!(backend.count(&Filter::unscoped()).await.unwrap(), 2);
    assert_eq!(told.outcome(), Outcome::Counted { count: 2 });
    backend.scan(&Filter::unscoped(), None, 10).await.unwrap();
    assert_eq!(told.outcome(), Outcome::Listed { count: 2 });
    backend.remove_all(&Filter::unscoped(), Removal::Revoked).await.unwrap();
    let all = told.one();
    assert_eq!(all.outcome, Outcome::Deleted { reason: Removal::Revoked, count: 2 });
    assert_eq!((all.operation, all.session, all.payload), (Operation::RemoveAll, None, None));

    let record = record(&backend).with_expires_at(Some(end));
    backend.write(&key(), record, Write::create()).await.unwrap();
    told.take();
    manual.advance(Duration::from_secs(61));
    assert_eq!(backend.sweep(10).await.unwrap(), 1);
    assert_eq!(told.outcome(), Outcome::Expired { count: 1 });
}

#[tokio::test]
async fn error_of_every_operation_told_with_its_kind() {
    let (backend, told) = watched();
    let (key, version) = create(&backend).await;
    told.take();
    backend.inner().inject(Fault::before(None, ErrorKind::Unavailable).always());
    let (now, filter) = (backend.clock().now(), Filter::everywhere());
    assert!(backend.read(&key).await.is_err());
    assert!(backend.write(&key, record(&backend), Write::create()).await.is_err());
    assert!(backend.rotate(&key, &key, record(&backend), Rotate::new(version)).await.is_err());
    assert!(backend.touch(&key, Touch::new(version, now)).await.is_err());
    assert!(backend.remove(&key, Removal::Explicit).await.is_err());
    assert!(backend.scan(&filter, None, 10).await.is_err());
    assert!(backend.count(&filter).await.is_err());
    assert!(backend.remove_all(&filter, Removal::Explicit).await.is_err());
    assert!(backend.sweep(10).await.is_err());
    let events = told.take();
    let failed = Outcome::Failed { kind: ErrorKind::Unavailable };
    assert!(events.iter().all(|event| event.outcome == failed), "{events:?}");
    let operations: Vec<&str> = events.iter().map(|event| event.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["read", "write", "rotate", "touch", "remove", "scan", "count", "remove_all", "sweep"]
    );
}

#[tokio::test]
async fn conflict_and_ended_session_of_every_operation_are_no_errors() {
    let (backend, told) = watched();
    for kind in [ErrorKind::Conflict, ErrorKind::Gone] {
        backend.inner().inject(Fault::before(None, kind).always());
        traffic(&backend, None).await;
        let expected = if kind == ErrorKind::Gone { Outcome::Gone } else { Outcome::Conflicted };
        let events = told.take();
        assert!(events.iter().all(|event| event.outcome == expected), "{events:?}");
        backend.inner().clear();
    }
}

#[tokio::test]
async fn scope_of_key_and_filter_told() {
    let (backend, told) = watched();
    let acme = scope("acme");
    traffic(&backend, Some(&acme)).await;
    for event in told.take() {
        let expected = (event.operation != Operation::Sweep).then_some(&acme);
        assert_eq!(event.scope.as_ref(), expected, "{event:?}");
    }
}

/// Everything passes as it is, and every call is one call.
#[tokio::test]
async fn everything_forwarded_untouched_in_as_many_calls() {
    let spy = Spy::new(InMemorySessionBackend::with_clock(Clock::system()));
    let backend = spy.clone().layer(AnalyticsLayer::new(Memory::default()));
    assert_eq!(backend.capability(), spy.capability());
    traffic(&backend, None).await;
    let with = spy.calls();
    traffic(&spy, None).await;
    assert_eq!(with.total() * 2, spy.calls().total());
    assert_eq!(with.read * 2, spy.calls().read);

    let key: SessionKey = key();
    let record = record(&backend);
    let returned = backend.write(&key, record.clone(), Write::create()).await.unwrap();
    assert_eq!(returned.expose(), key.expose());
    assert_eq!(backend.read(&key).await.unwrap(), Some(record));
    assert_eq!(At::Read.as_str(), Operation::Read.as_str());
}

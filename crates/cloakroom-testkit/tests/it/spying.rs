//! `Spy` and `Faulty` do what their pages say.

use std::time::Duration;

use cloakroom_testkit::core::{
    Cursor, ErrorKind, Filter, InMemorySessionBackend, Record, Removal, Rotate, Scope, SessionBackend,
    SessionKey, Touch, Write,
};
use cloakroom_testkit::{Fault, Faulty, Operation, Spy};

fn key() -> SessionKey {
    SessionKey::generate().expect("randomness")
}

/// Calls every operation once.
async fn call_each(backend: &impl SessionBackend) -> Vec<Option<ErrorKind>> {
    fn kind<T>(result: cloakroom_testkit::core::Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }
    let (now, key) = (backend.clock().now(), key());
    let record = Record::new("{}", now);
    let version = record.version;
    vec![
        kind(backend.read(&key).await),
        kind(backend.write(&key, record.clone(), Write::create()).await),
        kind(backend.touch(&key, Touch::new(version, now + Duration::from_secs(1))).await),
        kind(backend.rotate(&key, &self::key(), record, Rotate::new(version)).await),
        kind(backend.remove(&key, Removal::Explicit).await),
        kind(backend.scan(&Filter::everywhere(), None::<Cursor>, 1).await),
        kind(backend.count(&Filter::everywhere()).await),
        kind(backend.remove_all(&Filter::everywhere(), Removal::Revoked).await),
        kind(backend.sweep(1).await),
    ]
}

#[tokio::test]
async fn spy_each_operation_counted_once() {
    let spy = Spy::new(InMemorySessionBackend::new());
    assert_eq!(call_each(&spy).await, [None; 9]);
    let calls = spy.clone().calls();
    let each = [
        calls.read,
        calls.write,
        calls.touch,
        calls.rotate,
        calls.remove,
        calls.scan,
        calls.count,
        calls.remove_all,
        calls.sweep,
    ];
    assert_eq!((each, calls.total()), ([1; 9], 9));
    spy.reset();
    assert_eq!((spy.calls().total(), spy.seen().len()), (0, 0));
    // What is called behind its back does not count.
    assert_eq!(spy.inner().count(&Filter::everywhere()).await.expect("count"), 0);
    assert_eq!(spy.calls().total(), 0);
}

#[tokio::test]
async fn spy_log_holds_ids_and_no_secret() {
    // ST-69, CV-32
    let spy = Spy::new(InMemorySessionBackend::new());
    let scope = Scope::parse("tenant:a:").expect("a scope");
    let (old, new) = (key().scoped(&scope), key().scoped(&scope));
    let record = Record::new("a secret payload", spy.clock().now());
    let version = record.version;
    spy.write(&old, record.clone(), Write::create()).await.expect("write");
    spy.rotate(&old, &new, record, Rotate::new(version)).await.expect("rotate");
    let seen = spy.seen();
    assert_eq!(
        seen.iter().map(|call| call.operation).collect::<Vec<_>>(),
        [Operation::Write, Operation::Rotate]
    );
    assert!(seen[0].id == Some(old.id()) && seen[0].successor.is_none());
    assert!(seen[1].id == Some(old.id()) && seen[1].successor == Some(new.id()));
    assert!(seen.iter().all(|call| call.scope.as_ref() == Some(&scope)));
    let printed = format!("{spy:?} {seen:?}");
    for secret in [old.expose(), new.expose(), &*old.id().as_text(), "a secret payload"] {
        assert!(!printed.contains(secret));
    }
}

#[tokio::test]
async fn fault_before_backend_never_hears() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let faulty = Faulty::new(spy.clone());
    faulty.inject(Fault::before(None, ErrorKind::Unavailable).times(9));
    assert_eq!(call_each(&faulty).await, [Some(ErrorKind::Unavailable); 9]);
    assert_eq!(spy.calls().total(), 0);
    assert_eq!(call_each(&faulty).await, [None; 9], "the faults are used up");
}

#[tokio::test]
async fn fault_after_takes_effect_all_the_same() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let faulty = Faulty::new(spy.clone());
    faulty.inject(Fault::after(None, ErrorKind::Unexpected).always());
    assert_eq!(call_each(&faulty).await, [Some(ErrorKind::Unexpected); 9]);
    assert_eq!(spy.calls().total(), 9);
    faulty.clear();
    assert_eq!(call_each(&faulty).await, [None; 9]);
}

#[tokio::test]
async fn fault_on_nth_call_of_one_operation_others_pass() {
    let faulty = Faulty::new(InMemorySessionBackend::new());
    faulty.inject(Fault::before(Operation::Read, ErrorKind::Unavailable).on_nth(3).times(2));
    faulty.inject(Fault::before(Operation::Read, ErrorKind::Corrupted).on_nth(4));
    let mut kinds = Vec::new();
    for _ in 0..6 {
        faulty.count(&Filter::everywhere()).await.expect("another operation");
        kinds.push(faulty.read(&key()).await.err().map(|error| error.kind()));
    }
    let (down, broken) = (Some(ErrorKind::Unavailable), Some(ErrorKind::Corrupted));
    assert_eq!(kinds, [None, None, down, down, broken, None]);
}

#[tokio::test]
async fn disconnected_all_unavailable_until_told_otherwise() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let faulty = Faulty::new(spy.clone());
    faulty.clone().disconnect();
    for _ in 0..3 {
        assert_eq!(call_each(&faulty).await, [Some(ErrorKind::Unavailable); 9]);
    }
    assert_eq!(spy.calls().total(), 0);
    faulty.reconnect();
    assert_eq!(call_each(&faulty).await, [None; 9]);
}

#[tokio::test]
async fn gate_call_waits_before_or_after_its_effect() {
    for after in [false, true] {
        let faulty = Faulty::new(InMemorySessionBackend::new());
        let gate =
            if after { faulty.hold_after(Operation::Write) } else { faulty.hold_before(Operation::Write) };
        let key = key();
        let (writing, written) = (faulty.clone(), key.clone());
        let record = Record::new("{}", faulty.clock().now());
        let task = tokio::spawn(async move { writing.write(&written, record, Write::create()).await });
        gate.arrived().await;
        assert!(!task.is_finished());
        assert_eq!(faulty.read(&key).await.expect("others pass").is_some(), after);
        gate.open();
        task.await.expect("the task").expect("the write");
        assert!(faulty.read(&key).await.expect("read").is_some());
    }
}

#[tokio::test]
async fn gate_dropped_is_open() {
    let faulty = Faulty::new(InMemorySessionBackend::new());
    drop(faulty.hold_before(None));
    assert_eq!(call_each(&faulty).await, [None; 9]);
}

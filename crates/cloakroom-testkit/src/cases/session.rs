use cloakroom_core::{Capability, ErrorKind, Session, SessionBackend, SessionKey, SharedBackend};
use futures_util::FutureExt;

use crate::race::{rounds, together};
use crate::subject::Subject;
use crate::suite::full;

const REQUESTS: u64 = 64;

/// What a request does: opens the session of its key anew and loads it.
async fn open(backend: &SharedBackend, key: &SessionKey) -> Session {
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap_or_else(|error| panic!("load: {error}"));
    session
}

async fn start(subject: &Subject) -> SessionKey {
    let session = Session::new(subject.backend().clone());
    session.set("began", true).expect("a bool can be stored");
    session.save().await.unwrap_or_else(|error| panic!("first save: {error}"));
    session.key().expect("a saved session has a key")
}

/// Saves; says whether the session was still there. A client that is told to come again does so.
async fn save(session: &Session) -> bool {
    for _ in 0..100 {
        match session.save().await {
            Ok(()) => return true,
            Err(error) if error.kind() == ErrorKind::Gone => return false,
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => panic!("save: {error}"),
        }
    }
    panic!("a save found no turn in a hundred attempts");
}

async fn assert_over(subject: &Subject, key: &SessionKey) {
    let there = subject.read(key).await;
    assert!(there.is_none_or(|record| !record.is_live()), "the session is alive after its logout");
}

/// Requests that each write a field of their own and add to one counter: no field and no count is lost.
pub async fn session_fields_and_counter_nothing_lost(subject: &Subject) {
    // A store on a disk or across a network gets a tenth of the rounds, unless there is time.
    let Capability { shared, durable, .. } = *subject.capability();
    let turns = if full() || !(shared || durable) { 100 } else { 10 };
    let key = start(subject).await;
    together((0..REQUESTS).map(|request| {
        let (backend, key) = (subject.backend().clone(), key.clone());
        async move {
            for turn in 1..=turns {
                let session = open(&backend, &key).await;
                session.set(&format!("field{request}"), turn).expect("set");
                session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).expect("update");
                assert!(save(&session).await, "the session was there throughout");
            }
        }
    }))
    .await;
    let session = open(subject.backend(), &key).await;
    let count = session.get::<u64>("count").expect("get");
    assert_eq!(count, Some(REQUESTS * turns), "counts were lost, or counted twice");
    for request in 0..REQUESTS {
        let last = session.get::<u64>(&format!("field{request}")).expect("get");
        assert_eq!(last, Some(turns), "the last value of field{request}");
    }
}

/// A save that races a logout is told that the session is over, or came first; nothing comes back (CV-14).
pub async fn session_logout_against_save_nothing_lives(subject: &Subject) {
    for _ in rounds(50) {
        let key = start(subject).await;
        let mut tasks = Vec::new();
        for request in 0..4 {
            let session = open(subject.backend(), &key).await;
            tasks.push(
                async move {
                    session.set("late", request).expect("set");
                    save(&session).await;
                }
                .boxed(),
            );
        }
        let leaving = open(subject.backend(), &key).await;
        tasks.push(
            async move { leaving.flush().await.unwrap_or_else(|error| panic!("flush: {error}")) }.boxed(),
        );
        together(tasks).await;
        assert_over(subject, &key).await;
        assert_eq!(subject.count_live().await, 0, "a save brought the session back");
    }
}

/// A logout that races a renewal of the key ends the session under its new key, too.
pub async fn session_logout_against_cycle_nothing_lives(subject: &Subject) {
    for round in rounds(50) {
        let key = start(subject).await;
        let renewing = open(subject.backend(), &key).await;
        let leaving = if round % 2 == 0 {
            open(subject.backend(), &key).await
        } else {
            Session::with_key(subject.backend().clone(), key.clone())
        };
        let renewed = renewing.clone();
        let cycle = async move {
            match renewed.cycle_key().await {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Gone, "a renewal of what has ended"),
            }
        };
        let logout = async move { leaving.flush().await.unwrap_or_else(|error| panic!("flush: {error}")) };
        together([cycle.boxed(), logout.boxed()]).await;
        assert_over(subject, &key).await;
        if let Some(new) = renewing.key() {
            assert_over(subject, &new).await;
        }
        assert_eq!(subject.count_live().await, 0, "a renewal carried the session past the logout");
    }
}

/// A logout with the first key of a session that was renewed twice ends it.
pub async fn session_logout_after_two_cycles_ends(subject: &Subject) {
    let first = start(subject).await;
    let session = open(subject.backend(), &first).await;
    for _ in 0..2 {
        session.cycle_key().await.unwrap_or_else(|error| panic!("cycle_key: {error}"));
    }
    let last = session.key().expect("a renewed session has a key");
    assert!(last != first);
    assert_over(subject, &first).await;
    assert!(subject.backend().read(&last).await.expect("read").is_some_and(|record| record.is_live()));
    let leaving = Session::with_key(subject.backend().clone(), first);
    leaving.flush().await.unwrap_or_else(|error| panic!("flush: {error}"));
    assert_over(subject, &last).await;
    assert_eq!(subject.count_live().await, 0);
}

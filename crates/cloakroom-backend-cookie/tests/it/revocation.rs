use std::time::Duration;

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, SealKey};
use cloakroom_core::{
    Capability, ErrorKind, Filter, InMemorySessionBackend, KeyKind, ManualClock, Owner, Record, Removal,
    SessionBackend, SessionKey, Write,
};

fn plain(clock: &ManualClock) -> CookieSessionBackend {
    let ring = KeyRing::new([SealKey::from_bytes([1; 32])]).unwrap();
    CookieSessionBackend::new(ring).with_clock(clock.clock())
}

fn record(clock: &ManualClock) -> Record {
    Record::new("{}", clock.now())
        .with_expires_at(Some(clock.now() + Duration::from_secs(3600)))
        .with_owner(Some(Owner::parse("user:42").unwrap()))
}

#[tokio::test]
async fn capability_says_what_is_so() {
    let clock = ManualClock::new();
    let said = plain(&clock).capability();
    assert_eq!(said.key_kind, KeyKind::Sealed { max_length: 4096 - "__Host-id".len() });
    assert_eq!(said, Capability::sealed(4087, said.max_payload));
    assert!(!said.revocable && !said.enumerable && said.max_payload > 2900);
    let revocable = plain(&clock).with_revocation(InMemorySessionBackend::with_clock(clock.clock())).unwrap();
    assert!(revocable.capability().revocable);
    let split = plain(&clock).with_split(4).unwrap().capability();
    assert_eq!(split.key_kind, KeyKind::Sealed { max_length: 4 * (4096 - "__Host-id".len() - 2) });
}

#[tokio::test]
async fn remove_without_revocation_is_unsupported_and_the_text_stays_valid() {
    let clock = ManualClock::new();
    let backend = plain(&clock);
    let key = backend.write(&SessionKey::generate().unwrap(), record(&clock), Write::create()).await.unwrap();
    let refused = backend.remove(&key, Removal::Flushed).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(backend.read(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn remove_with_revocation_ends_every_text_of_the_session_until_it_expires() {
    let clock = ManualClock::new();
    let ended = InMemorySessionBackend::with_clock(clock.clock());
    let backend = plain(&clock).with_revocation(ended.clone()).unwrap();
    let first = record(&clock);
    let key = backend.write(&SessionKey::generate().unwrap(), first.clone(), Write::create()).await.unwrap();
    let later = record(&clock).with_version(first.version.next(clock.now()));
    let newer = backend.write(&key, later, Write::update(first.version)).await.unwrap();
    assert!(backend.remove(&newer, Removal::Flushed).await.unwrap());
    assert_eq!(backend.read(&key).await.unwrap(), None);
    assert_eq!(backend.read(&newer).await.unwrap(), None);
    // What is kept goes once no text can be valid any more.
    clock.advance(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(backend.read(&key).await.unwrap(), None);
    ended.sweep(100).await.unwrap();
    assert_eq!(ended.statistics().stored, 0);
}

#[tokio::test]
async fn remove_all_of_an_owner_refuses_what_was_issued_before() {
    let clock = ManualClock::new();
    let backend = plain(&clock).with_revocation(InMemorySessionBackend::with_clock(clock.clock())).unwrap();
    let sign_in = async || {
        backend.write(&SessionKey::generate().unwrap(), record(&clock), Write::create()).await.unwrap()
    };
    let before = [sign_in().await, sign_in().await];
    let filter = Filter::unscoped().with_owner(Owner::parse("user:42").unwrap());
    backend.remove_all(&filter, Removal::Revoked).await.unwrap();
    for key in &before {
        assert_eq!(backend.read(key).await.unwrap(), None);
    }
    assert!(backend.read(&sign_in().await).await.unwrap().is_some());
}

//! What a client-side backend does with the text it is shown.

use std::time::Duration;

use cloakroom_core::{
    Capability, ErrorKind, Limits, ManualClock, Owner, Record, Removal, Rotate, Scope, SessionBackend,
    SessionBackendExt, SessionId, SessionKey, Touch, Version, Write,
};
use cloakroom_seal::ClientSideBackend;

use crate::codec::Signed;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn backend(clock: &ManualClock) -> ClientSideBackend<Signed> {
    ClientSideBackend::new(Signed::new(1)).with_clock(clock.clock())
}

pub(crate) fn record(clock: &ManualClock, payload: &'static str) -> Record {
    Record::new(payload, clock.now()).with_expires_at(Some(clock.now() + HOUR))
}

pub(crate) fn next(clock: &ManualClock, record: &Record, payload: &'static str) -> Record {
    let mut next = record.clone().with_version(record.version.next(clock.now()));
    next.payload = payload.into();
    next
}

pub(crate) fn kind<T>(result: cloakroom_core::Result<T>) -> ErrorKind {
    result.err().expect("it was accepted").kind()
}

fn presented(key: &SessionKey, backend: &impl SessionBackend) -> SessionKey {
    SessionKey::parse(key.expose(), &backend.capability()).expect("its own text is acceptable")
}

#[tokio::test]
async fn write_then_update_same_id_other_text() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let secret = SessionKey::generate().unwrap();
    let first = record(&clock, "first");
    let key = backend.write(&secret, first.clone(), Write::create()).await.unwrap();
    assert!(key.id() == secret.id() && key.expose() != secret.expose());
    let shown = presented(&key, &backend);
    assert!(shown.id() != secret.id(), "nobody has opened it yet");
    assert_eq!(backend.read(&shown).await.unwrap(), Some(first.clone()));
    assert!(shown.id() == secret.id(), "it learned its id when it was opened");

    let second = next(&clock, &first, "second");
    let updated = backend.write(&shown, second.clone(), Write::update(first.version)).await.unwrap();
    assert!(updated.id() == secret.id() && updated.expose() != key.expose());
    assert_eq!(backend.read(&updated).await.unwrap(), Some(second.clone()));
    assert_eq!(backend.read(&shown).await.unwrap(), Some(first), "an older text stays what it was");
    let stale = backend.write(&shown, second.clone(), Write::update(second.version)).await;
    assert_eq!(kind(stale), ErrorKind::Conflict, "the text shown is of another version");
}

#[tokio::test]
async fn text_changed_anywhere_finds_nothing() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let kept = record(&clock, "{}");
    let key = backend.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    let text = key.expose();
    let mut broken: Vec<String> = (1..text.len()).map(|length| text[..length].to_owned()).collect();
    for at in 0..text.len() {
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        broken.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
    }
    broken.push(format!("{text}A"));
    for text in broken {
        let key = SessionKey::parse(&text, &backend.capability()).unwrap();
        assert_eq!(backend.read(&key).await.unwrap(), None, "{text}");
        let update = backend.write(&key, next(&clock, &kept, "x"), Write::update(kept.version)).await;
        assert_eq!(kind(update), ErrorKind::Gone);
        let touch = Touch::new(kept.version, clock.now() + HOUR * 2);
        assert!(backend.touch(&key, touch).await.unwrap().is_none());
        let new = SessionKey::generate().unwrap();
        let rotated = backend.rotate(&key, &new, next(&clock, &kept, "x"), Rotate::new(kept.version)).await;
        assert_eq!(kind(rotated), ErrorKind::Gone);
    }
    let stranger = ClientSideBackend::new(Signed::new(2)).with_clock(clock.clock());
    assert_eq!(stranger.read(&key).await.unwrap(), None, "of another secret");
}

#[tokio::test]
async fn text_of_another_scope_finds_nothing() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let (a, b) = (Scope::parse("tenant:a:").unwrap(), Scope::parse("tenant:b:").unwrap());
    let secret = SessionKey::generate().unwrap();
    let key = backend.write(&secret.scoped(&a), record(&clock, "a"), Write::create()).await.unwrap();
    assert!(key.scope().is_none(), "a returned key has no scope");
    assert!(backend.read(&key.scoped(&a)).await.unwrap().is_some());
    for elsewhere in [key.clone(), key.scoped(&b)] {
        assert_eq!(backend.read(&elsewhere).await.unwrap(), None);
    }
}

#[tokio::test]
async fn key_of_another_kind_finds_nothing_and_names_are_refused() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let kept = record(&clock, "{}");
    let secret = SessionKey::generate().unwrap();
    let key = backend.write(&secret, kept.clone(), Write::create()).await.unwrap();
    for other in [secret, SessionKey::from_id(key.id()), SessionKey::from_name("a name").unwrap()] {
        assert_eq!(backend.read(&other).await.unwrap(), None);
        let touch = Touch::new(kept.version, clock.now() + HOUR);
        assert!(backend.touch(&other, touch).await.unwrap().is_none());
    }
    assert_eq!(kind(backend.save("a name", &1, None).await), ErrorKind::Unsupported, "it would be lost");
    let address = SessionKey::from_id(key.id());
    let refused = backend.write(&address, kept.clone(), Write::update(kept.version)).await;
    assert_eq!(kind(refused), ErrorKind::Unsupported);
    assert_eq!(kind(backend.remove(&key, Removal::Flushed).await), ErrorKind::Unsupported);
    backend.ping().await.unwrap();
    assert!(SessionKey::parse(key.expose(), &Capability::store()).is_err());
}

#[tokio::test]
async fn modes_follow_the_text_that_is_shown() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let kept = record(&clock, "{}").with_version(Version::from_u64(10));
    let key = backend.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    assert_eq!(kind(backend.write(&key, kept.clone(), Write::create()).await), ErrorKind::AlreadyExists);
    let same = backend.write(&key, kept.clone(), Write::newer()).await.unwrap();
    assert!(same == key, "done already");
    let older = kept.clone().with_version(Version::from_u64(9));
    assert_eq!(kind(backend.write(&key, older.clone(), Write::newer()).await), ErrorKind::Conflict);
    let over = backend.write(&key, older.clone(), Write::overwrite()).await.unwrap();
    assert_eq!(backend.read(&over).await.unwrap(), Some(older));
    let limits = Limits::none().with_per_owner(5);
    let limited = backend.write(&key, kept.clone(), Write::overwrite().with_limits(limits)).await;
    assert_eq!(kind(limited), ErrorKind::Unsupported);
    let tombstone = Record::ended(clock.now(), clock.now() + HOUR);
    assert_eq!(kind(backend.write(&key, tombstone, Write::overwrite()).await), ErrorKind::Unsupported);
}

#[tokio::test]
async fn payload_too_large_both_sizes_told() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let owner = Owner::parse(&"o".repeat(255)).unwrap();
    let fits = Record::new(vec![b'x'; 3_000], clock.now()).with_owner(Some(owner));
    let secret = SessionKey::generate().unwrap();
    let key = backend.write(&secret, fits.clone(), Write::create()).await.unwrap();
    let mut large = fits.clone();
    large.payload = vec![b'x'; 3_001].into();
    let error = backend.write(&key, large, Write::update(fits.version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("3001") && error.to_string().contains("3000"), "{error}");
    assert_eq!(backend.read(&key).await.unwrap(), Some(fits));
}

#[tokio::test]
async fn rotation_without_revocation_old_text_valid_until_its_end() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let kept = record(&clock, "{}");
    let old = backend.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    let secret = SessionKey::generate().unwrap();
    let moved = next(&clock, &kept, "moved");
    let conflict = Rotate::new(moved.version);
    assert_eq!(kind(backend.rotate(&old, &secret, moved.clone(), conflict).await), ErrorKind::Conflict);
    let new = backend.rotate(&old, &secret, moved.clone(), Rotate::new(kept.version)).await.unwrap();
    assert!(new.id() == secret.id());
    assert_eq!(backend.read(&new).await.unwrap(), Some(moved));
    assert_eq!(backend.read(&old).await.unwrap(), Some(kept), "as documented");
    clock.advance(HOUR);
    assert_eq!(backend.read(&old).await.unwrap(), None);
}

#[tokio::test]
async fn debug_of_everything_shows_no_text() {
    let clock = ManualClock::new();
    let backend = backend(&clock);
    let kept = record(&clock, "a payload").with_owner(Some(Owner::parse("user:42").unwrap()));
    let key = backend.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    let contents =
        cloakroom_seal::Contents { id: SessionId::from_bytes([7; 32]), generation: 0, record: kept };
    let all = format!("{key:?} {key} {contents:?}");
    for secret in [key.expose(), "a payload", "user:42"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[tokio::test]
async fn leeway_accepts_a_text_so_long_after_its_end_and_no_longer() {
    let clock = ManualClock::new();
    let leeway = Duration::from_secs(5);
    let strict = backend(&clock);
    let ended = cloakroom_core::InMemorySessionBackend::with_clock(clock.clock());
    let lenient = backend(&clock).with_leeway(leeway).with_revocation(ended.clone()).unwrap();
    let kept = record(&clock, "{}");
    let removed =
        lenient.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    let key = lenient.write(&SessionKey::generate().unwrap(), kept.clone(), Write::create()).await.unwrap();
    assert!(lenient.remove(&removed, Removal::Flushed).await.unwrap());
    clock.advance(HOUR);
    assert_eq!(strict.read(&key).await.unwrap(), None);
    clock.advance(leeway - Duration::from_millis(1));
    ended.sweep(100).await.unwrap();
    assert_eq!(lenient.read(&key).await.unwrap(), Some(kept));
    assert_eq!(lenient.read(&removed).await.unwrap(), None);
    clock.advance(Duration::from_millis(1));
    assert_eq!(lenient.read(&key).await.unwrap(), None);
}

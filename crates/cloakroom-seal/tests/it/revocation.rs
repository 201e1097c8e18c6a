//! Ended sessions stay ended, whichever of their texts is shown.

use std::time::Duration;

use cloakroom_core::{
    Capability, ErrorKind, Filter, InMemorySessionBackend, ManualClock, Owner, Record, Removal, Rotate,
    Scope, SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_seal::{ClientSideBackend, Revocation};
use cloakroom_testkit::{Calls, Fault, Faulty, Operation, Spy};

use crate::client::{backend, kind, next, record};
use crate::codec::Signed;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) type Kept = Spy<Faulty<InMemorySessionBackend>>;

pub(crate) struct Stage {
    pub(crate) clock: ManualClock,
    pub(crate) kept: Kept,
    faults: Faulty<InMemorySessionBackend>,
    pub(crate) backend: ClientSideBackend<Signed>,
}

pub(crate) fn stage() -> Stage {
    let clock = ManualClock::new();
    let faults = Faulty::new(InMemorySessionBackend::with_clock(clock.clock()));
    let kept = Spy::new(faults.clone());
    let backend = backend(&clock).with_revocation(kept.clone()).unwrap();
    Stage { clock, kept, faults, backend }
}

pub(crate) fn owner(name: &str) -> Owner {
    Owner::parse(name).unwrap()
}

impl Stage {
    pub(crate) fn owned(&self) -> Record {
        record(&self.clock, "{}").with_owner(Some(owner("user:1")))
    }

    pub(crate) async fn create(&self, record: &Record) -> SessionKey {
        let secret = SessionKey::generate().unwrap();
        self.backend.write(&secret, record.clone(), Write::create()).await.unwrap()
    }

    pub(crate) async fn update(&self, key: &SessionKey, before: &Record, after: Record) -> SessionKey {
        self.backend.write(key, after, Write::update(before.version)).await.unwrap()
    }

    pub(crate) async fn lives(&self, key: &SessionKey) -> bool {
        self.backend.read(key).await.unwrap().is_some_and(|record| record.is_live())
    }

    pub(crate) async fn remove(&self, key: &SessionKey) -> bool {
        self.backend.remove(key, Removal::Flushed).await.unwrap()
    }

    pub(crate) async fn revoke(&self, except: Option<&SessionKey>) -> u64 {
        let mut filter = Filter::unscoped().with_owner(owner("user:1"));
        filter.except = except.map(SessionKey::id);
        self.backend.remove_all(&filter, Removal::Revoked).await.unwrap()
    }

    /// How many records are kept, but for the expired.
    pub(crate) async fn kept(&self) -> u64 {
        self.kept.sweep(1_000).await.unwrap();
        self.faults.inner().statistics().stored
    }
}

#[tokio::test]
async fn removed_every_text_of_it_refused_on_every_path() {
    let stage = stage();
    let first = record(&stage.clock, "first");
    let key = stage.create(&first).await;
    let second = next(&stage.clock, &first, "second");
    let later = stage.update(&key, &first, second.clone()).await;
    assert!(stage.remove(&key).await, "a live session went");
    for (key, record) in [(&key, &first), (&later, &second)] {
        assert!(!stage.remove(key).await, "once");
        assert_eq!(stage.backend.read(key).await.unwrap(), None);
        let late = next(&stage.clock, record, "late");
        for how in [Write::update(record.version), Write::overwrite()] {
            assert_eq!(kind(stage.backend.write(key, late.clone(), how).await), ErrorKind::Gone);
        }
        let touch = Touch::new(record.version, stage.clock.now() + HOUR * 2);
        assert!(stage.backend.touch(key, touch).await.unwrap().is_none());
        let new = SessionKey::generate().unwrap();
        let rotated = stage.backend.rotate(key, &new, late, Rotate::new(record.version)).await;
        assert_eq!(kind(rotated), ErrorKind::Gone);
    }
}

#[tokio::test]
async fn ended_id_never_begins_again() {
    let stage = stage();
    let secret = SessionKey::generate().unwrap();
    let kept = record(&stage.clock, "{}");
    let key = stage.backend.write(&secret, kept.clone(), Write::create()).await.unwrap();
    stage.remove(&key).await;
    let again = stage.backend.write(&secret, kept.clone(), Write::create()).await;
    assert_eq!(kind(again), ErrorKind::AlreadyExists);
    let other = stage.create(&kept).await;
    let rotated = next(&stage.clock, &kept, "x");
    let rotated = stage.backend.rotate(&other, &secret, rotated, Rotate::new(kept.version)).await;
    assert_eq!(kind(rotated), ErrorKind::AlreadyExists);
    assert!(stage.lives(&other).await, "nothing changed");
}

/// A logout that shows an older text ends the session for good, also where a newer one ends later.
#[tokio::test]
async fn removed_by_an_older_text_newer_one_never_comes_back() {
    for (idle, total) in [(HOUR, DAY * 3), (DAY * 2, DAY * 30), (DAY * 2, DAY * 365 * 30)] {
        let stage = stage();
        let first = record(&stage.clock, "{}").with_expires_at(Some(stage.clock.now() + idle));
        let old = stage.create(&first).await;
        // Touched up to just before a day, and then updated to the latest end that it has ever had.
        stage.clock.advance(MINUTE * 50);
        let touch = Touch::new(first.version, stage.clock.now() + DAY);
        let touched = stage.backend.touch(&old, touch).await.unwrap().unwrap();
        let longest = next(&stage.clock, &first, "x").with_expires_at(Some(stage.clock.now() + total));
        let longest_text = stage.update(&touched, &first, longest).await;
        assert!(stage.remove(&old).await);
        let mut at = Duration::ZERO;
        while at < total {
            at += total / 50;
            stage.clock.advance(total / 50 - Duration::from_millis(1));
            stage.kept.sweep(1_000).await.unwrap();
            assert!(!stage.lives(&touched).await && !stage.lives(&longest_text).await, "after {at:?}");
        }
    }
}

#[tokio::test]
async fn removed_without_an_end_stays_for_ever() {
    let stage = stage();
    let endless = Record::new("{}", stage.clock.now());
    let key = stage.create(&endless).await;
    let short = next(&stage.clock, &endless, "x").with_expires_at(Some(stage.clock.now() + HOUR));
    let short = stage.update(&key, &endless, short).await;
    assert!(stage.remove(&short).await);
    stage.clock.advance(DAY * 365 * 100);
    stage.kept.sweep(1_000).await.unwrap();
    assert!(!stage.lives(&key).await);
}

#[tokio::test]
async fn markers_and_notes_go_when_no_text_is_valid() {
    let stage = stage();
    for end in [HOUR, DAY * 10] {
        let kept = record(&stage.clock, "{}").with_expires_at(Some(stage.clock.now() + end));
        let (short, long) = (stage.create(&kept).await, stage.create(&kept).await);
        stage.remove(&short).await;
        let secret = SessionKey::generate().unwrap();
        let trail = Record::moved(secret.id(), stage.clock.now(), stage.clock.now() + MINUTE);
        let how = Rotate::new(kept.version).with_trail(trail);
        stage.backend.rotate(&long, &secret, kept.clone(), how).await.unwrap();
        assert!(stage.kept().await > 0);
        stage.clock.advance(end + DAY + HOUR);
        assert_eq!(stage.kept().await, 0, "what ends after {end:?}");
    }
}

#[tokio::test]
async fn rotated_old_text_shows_the_trail_then_nothing() {
    let stage = stage();
    let kept = record(&stage.clock, "{}");
    let old = stage.create(&kept).await;
    let secret = SessionKey::generate().unwrap();
    let trail = Record::moved(secret.id(), stage.clock.now(), stage.clock.now() + MINUTE);
    let moved = next(&stage.clock, &kept, "moved");
    let how = Rotate::new(kept.version).with_trail(trail.clone());
    let new = stage.backend.rotate(&old, &secret, moved.clone(), how.clone()).await.unwrap();
    assert_eq!(stage.backend.read(&old).await.unwrap(), Some(trail.clone()), "as a store shows it");
    let address = SessionKey::from_id(old.id());
    assert_eq!(stage.backend.read(&address).await.unwrap(), Some(trail));
    assert_eq!(stage.backend.read(&new).await.unwrap(), Some(moved.clone()));
    assert!(!stage.remove(&old).await, "a marker is not a live session");
    let elsewhere = SessionKey::generate().unwrap();
    let again = stage.backend.rotate(&old, &elsewhere, moved.clone(), how).await;
    assert_eq!(kind(again), ErrorKind::Gone, "to another key");
    stage.clock.advance(MINUTE);
    assert_eq!(stage.backend.read(&old).await.unwrap(), None);
    assert!(stage.lives(&new).await);
    // Also where the old text is over before its trail is.
    let short = kept.clone().with_expires_at(Some(stage.clock.now() + MINUTE / 2));
    let soon_over = stage.create(&short).await;
    let next_secret = SessionKey::generate().unwrap();
    let trail = Record::moved(next_secret.id(), stage.clock.now(), stage.clock.now() + MINUTE);
    let how = Rotate::new(short.version).with_trail(trail.clone());
    stage.backend.rotate(&soon_over, &next_secret, moved, how).await.unwrap();
    stage.clock.advance(MINUTE / 2);
    assert_eq!(stage.backend.read(&soon_over).await.unwrap(), Some(trail));
    stage.clock.advance(MINUTE / 2);
    assert_eq!(stage.backend.read(&soon_over).await.unwrap(), None);
    // By address, as a logout that follows the trail does.
    assert!(stage.remove(&SessionKey::from_id(secret.id())).await);
    assert!(!stage.remove(&SessionKey::from_id(secret.id())).await);
    assert!(!stage.lives(&new).await);
}

/// The answer of a rotation was lost: who repeats it gets the text, unless the session ended meanwhile.
#[tokio::test]
async fn rotation_cut_off_can_be_repeated() {
    let stage = stage();
    let kept = stage.owned();
    let secret = SessionKey::generate().unwrap();
    let trail = Record::moved(secret.id(), stage.clock.now(), stage.clock.now() + MINUTE);
    let how = Rotate::new(kept.version).with_trail(trail);
    let moved = next(&stage.clock, &kept, "moved");
    for ends in [false, true] {
        let old = stage.create(&kept).await;
        let secret = SessionKey::generate().unwrap();
        let trail = Record::moved(secret.id(), stage.clock.now(), stage.clock.now() + MINUTE);
        let how = Rotate::new(kept.version).with_trail(trail);
        stage.faults.inject(Fault::after(Operation::Write, ErrorKind::Unavailable));
        let cut_off = stage.backend.rotate(&old, &secret, moved.clone(), how.clone()).await;
        assert_eq!(kind(cut_off), ErrorKind::Unavailable);
        assert!(!stage.lives(&old).await);
        if ends {
            assert!(stage.remove(&SessionKey::from_id(secret.id())).await);
        }
        let again = stage.backend.rotate(&old, &secret, moved.clone(), how).await;
        match again {
            Ok(new) => assert!(!ends && stage.lives(&new).await),
            Err(error) => assert!(ends && error.kind() == ErrorKind::AlreadyExists, "{error}"),
        }
    }
    let old = stage.create(&kept).await;
    stage.revoke(None).await;
    assert_eq!(kind(stage.backend.rotate(&old, &secret, moved, how).await), ErrorKind::Gone);
}

#[tokio::test]
async fn rotations_at_once_one_wins() {
    let stage = stage();
    for _ in 0..50 {
        let kept = stage.owned();
        let old = stage.create(&kept).await;
        let secrets = [(); 4].map(|()| SessionKey::generate().unwrap());
        let moved = next(&stage.clock, &kept, "moved");
        let rotations = secrets
            .each_ref()
            .map(|secret| stage.backend.rotate(&old, secret, moved.clone(), Rotate::new(kept.version)));
        let results = futures_util::future::join_all(rotations).await;
        let won: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        assert!(stage.lives(&won[0]).await && !stage.lives(&old).await);
    }
}

#[tokio::test]
async fn revoked_owner_all_before_refused_and_all_after_live() {
    let stage = stage();
    let kept = stage.owned();
    let before = stage.create(&kept).await;
    let other = stage.create(&kept.clone().with_owner(Some(owner("user:2")))).await;
    let nobody = stage.create(&kept.clone().with_owner(None)).await;
    assert_eq!(stage.revoke(None).await, 1);
    let after = stage.create(&kept).await;
    assert!(!stage.lives(&before).await);
    assert!(stage.lives(&after).await, "begun in the same millisecond, afterwards");
    assert!(stage.lives(&other).await && stage.lives(&nobody).await);
    let late = next(&stage.clock, &kept, "late");
    let update = stage.backend.write(&before, late.clone(), Write::update(kept.version)).await;
    assert_eq!(kind(update), ErrorKind::Gone);
    let secret = SessionKey::generate().unwrap();
    let rotated = stage.backend.rotate(&before, &secret, late.clone(), Rotate::new(kept.version)).await;
    assert_eq!(kind(rotated), ErrorKind::Gone);
    let touch = Touch::new(kept.version, stage.clock.now() + HOUR * 2);
    assert!(stage.backend.touch(&before, touch).await.unwrap().is_none());
    assert!(!stage.remove(&before).await);
    // A session that was nobody's before the revocation and is the owner's after it (ST-13).
    let login = stage.backend.rotate(&nobody, &secret, late, Rotate::new(kept.version)).await.unwrap();
    assert!(stage.lives(&login).await);
    let given = next(&stage.clock, &kept, "x");
    let early = stage.create(&kept.clone().with_owner(Some(owner("user:3")))).await;
    stage.clock.advance(MINUTE);
    let given = stage.update(&early, &kept, given).await;
    assert!(stage.lives(&given).await, "given to the owner afterwards");
    // A clock behind that of the process that revoked.
    stage.clock.step_back(MINUTE);
    let behind = stage.create(&stage.owned()).await;
    assert!(stage.lives(&behind).await);
    stage.revoke(None).await;
    for key in [&after, &login, &given, &behind] {
        assert!(!stage.lives(key).await, "the second one ends them all");
    }
    stage.clock.advance(DAY * 365);
    let late = stage.create(&stage.owned()).await;
    assert!(stage.lives(&late).await);
}

#[tokio::test]
async fn revoked_others_this_one_stays_whatever_it_does_next() {
    let stage = stage();
    let kept = stage.owned();
    let (current, other) = (stage.create(&kept).await, stage.create(&kept).await);
    stage.revoke(Some(&current)).await;
    assert!(stage.lives(&current).await && !stage.lives(&other).await);
    let second = next(&stage.clock, &kept, "second");
    let updated = stage.update(&current, &kept, second.clone()).await;
    let touch = Touch::new(second.version, stage.clock.now() + HOUR * 2);
    let touched = stage.backend.touch(&updated, touch).await.unwrap().unwrap();
    let secret = SessionKey::generate().unwrap();
    let third = next(&stage.clock, &second, "third");
    let rotated = stage.backend.rotate(&touched, &secret, third.clone(), Rotate::new(second.version)).await;
    let rotated = rotated.unwrap();
    assert!(stage.lives(&rotated).await);
    // The one that was ended cannot spare itself, nor bring itself back.
    stage.revoke(Some(&other)).await;
    assert!(!stage.lives(&other).await, "gone is gone");
    assert!(!stage.lives(&rotated).await && !stage.lives(&current).await);
}

/// A rotation or save that had seen no revocation does not carry the session past it.
#[tokio::test]
async fn revoked_while_it_is_saved_or_rotated_does_not_escape() {
    let stage = stage();
    for rotates in [false, true] {
        let kept = stage.owned().with_expires_at(Some(stage.clock.now() + DAY));
        let key = stage.create(&kept).await;
        // The process that writes is ahead of the one that revokes; that must not matter either.
        let behind = ManualClock::new();
        behind.set(stage.clock.now());
        stage.clock.advance(HOUR);
        let secret = SessionKey::generate().unwrap();
        let change = async {
            let late = next(&stage.clock, &kept, "late");
            if rotates {
                stage.backend.rotate(&key, &secret, late, Rotate::new(kept.version)).await
            } else {
                stage.backend.write(&key, late, Write::update(kept.version)).await
            }
        };
        tokio::pin!(change);
        // It has asked about its id and its owner, and stands before the answer is used.
        let gate = if rotates {
            stage.faults.hold_before(Operation::Write)
        } else {
            stage.faults.hold_after(Operation::Read)
        };
        tokio::select! {
            _ = &mut change => panic!("it did not wait"),
            () = gate.arrived() => {}
        }
        let revoked = ClientSideBackend::new(Signed::new(1)).with_clock(behind.clock());
        let revoked = revoked.with_revocation(stage.faults.inner().clone()).unwrap();
        let filter = Filter::unscoped().with_owner(owner("user:1"));
        revoked.remove_all(&filter, Removal::Revoked).await.unwrap();
        gate.open();
        if let Ok(late) = change.await {
            assert!(!stage.lives(&late).await, "rotates: {rotates}");
        }
        assert!(!stage.lives(&key).await);
    }
}

#[tokio::test]
async fn remove_all_without_an_owner_unsupported() {
    let stage = stage();
    let tenant = Scope::parse("tenant:a:").unwrap();
    let filters = [
        Filter::everywhere(),
        Filter::unscoped(),
        Filter::in_scope(Some(&tenant)),
        Filter::everywhere().with_owner(owner("user:1")),
    ];
    for filter in filters {
        assert_eq!(kind(stage.backend.remove_all(&filter, Removal::Revoked).await), ErrorKind::Unsupported);
    }
    let plain = backend(&stage.clock);
    let filter = Filter::unscoped().with_owner(owner("user:1"));
    assert_eq!(kind(plain.remove_all(&filter, Removal::Revoked).await), ErrorKind::Unsupported);
}

#[tokio::test]
async fn scopes_are_revoked_apart() {
    let stage = stage();
    let scopes = ["tenant:a", "tenant:a:"].map(|scope| Scope::parse(scope).unwrap());
    let secret = SessionKey::generate().unwrap();
    let kept = stage.owned();
    let mut keys = vec![stage.backend.write(&secret, kept.clone(), Write::create()).await.unwrap()];
    for scope in &scopes {
        let key = stage.backend.write(&secret.scoped(scope), kept.clone(), Write::create()).await.unwrap();
        keys.push(key.scoped(scope));
    }
    assert!(stage.remove(&keys[1]).await);
    assert!(stage.lives(&keys[0]).await && !stage.lives(&keys[1]).await && stage.lives(&keys[2]).await);
    let filter = Filter::in_scope(Some(&scopes[1])).with_owner(owner("user:1"));
    stage.backend.remove_all(&filter, Removal::Revoked).await.unwrap();
    assert!(stage.lives(&keys[0]).await && !stage.lives(&keys[2]).await);
}

/// CV-14: what cannot be asked is not taken for "not revoked".
#[tokio::test]
async fn revocation_unavailable_is_said_on_every_path() {
    let stage = stage();
    let kept = stage.owned();
    let key = stage.create(&kept).await;
    stage.remove(&key).await;
    let live = stage.create(&kept).await;
    stage.faults.disconnect();
    let backend = &stage.backend;
    for key in [&key, &live] {
        let late = next(&stage.clock, &kept, "late");
        let secret = SessionKey::generate().unwrap();
        let touch = Touch::new(kept.version, stage.clock.now() + HOUR * 2);
        let filter = Filter::unscoped().with_owner(owner("user:1"));
        let kinds = [
            kind(backend.read(key).await),
            kind(backend.write(key, late.clone(), Write::update(kept.version)).await),
            kind(backend.write(&secret, late.clone(), Write::create()).await),
            kind(backend.rotate(key, &secret, late, Rotate::new(kept.version)).await),
            kind(backend.touch(key, touch).await),
            kind(backend.remove(key, Removal::Flushed).await),
            kind(backend.remove_all(&filter, Removal::Revoked).await),
            kind(backend.sweep(10).await),
        ];
        assert_eq!(kinds, [ErrorKind::Unavailable; 8]);
    }
    stage.faults.reconnect();
    for refusal in [ErrorKind::Unsupported, ErrorKind::QuotaExceeded, ErrorKind::Corrupted] {
        stage.faults.inject(Fault::before(Operation::Write, refusal));
        let error = kind(stage.backend.remove(&live, Removal::Flushed).await);
        assert_eq!(error, ErrorKind::Unexpected, "{refusal:?} there is no answer about the session");
    }
    assert!(stage.remove(&live).await);
}

#[tokio::test]
async fn calls_are_those_that_are_documented() {
    let stage = stage();
    let calls = |read, write| {
        let mut calls = Calls::default();
        (calls.read, calls.write) = (read, write);
        calls
    };
    let asked = || {
        let calls = stage.kept.calls();
        stage.kept.reset();
        calls
    };
    let plain = record(&stage.clock, "{}");
    let key = stage.create(&plain).await;
    assert_eq!(asked(), calls(1, 0), "create");
    assert!(stage.lives(&key).await);
    assert_eq!(asked(), calls(1, 0), "read");
    let owned = next(&stage.clock, &plain, "x").with_owner(Some(owner("user:1")));
    let key = stage.update(&key, &plain, owned.clone()).await;
    assert_eq!(asked(), calls(2, 0), "update to an owner");
    assert!(stage.lives(&key).await);
    assert_eq!(asked(), calls(2, 0), "read with an owner");
    let key = stage.update(&key, &owned, owned.clone()).await;
    assert_eq!(asked(), calls(2, 0), "update");
    let secret = SessionKey::generate().unwrap();
    let key = stage.backend.rotate(&key, &secret, owned.clone(), Rotate::new(owned.version)).await.unwrap();
    assert_eq!(asked(), calls(4, 1), "rotate");
    let touch = Touch::new(owned.version, stage.clock.now() + HOUR * 2);
    let key = stage.backend.touch(&key, touch).await.unwrap().unwrap();
    assert_eq!(asked(), calls(2, 0), "touch");
    stage.remove(&key).await;
    assert_eq!(asked(), calls(3, 1), "remove");
    stage.revoke(None).await;
    assert_eq!(asked(), calls(1, 1), "remove_all of an owner");
    let foreign = SessionKey::parse("no-text-of-ours", &stage.backend.capability()).unwrap();
    assert!(!stage.lives(&foreign).await);
    assert_eq!(asked(), calls(0, 0), "a foreign text asks nobody");
    let soon = plain.clone().with_expires_at(Some(stage.clock.now() + MINUTE));
    let soon = stage.create(&soon).await;
    stage.clock.advance(MINUTE);
    stage.kept.reset();
    assert!(!stage.lives(&soon).await);
    assert_eq!(asked(), calls(1, 0), "a text that is over may have left a trail");

    // A session beyond the horizon leaves a note now and then.
    let long = plain.clone().with_expires_at(Some(stage.clock.now() + DAY * 7));
    let mut key = stage.create(&long).await;
    assert_eq!(asked(), calls(1, 1), "create beyond the horizon");
    for hour in 1..=23 {
        stage.clock.advance(HOUR);
        let touch = Touch::new(long.version, stage.clock.now() + DAY * 7);
        key = stage.backend.touch(&key, touch).await.unwrap().unwrap();
        assert_eq!(asked(), calls(1, 0), "touch after {hour} hours");
    }
    stage.clock.advance(HOUR * 2);
    let touch = Touch::new(long.version, stage.clock.now() + DAY * 7);
    stage.backend.touch(&key, touch).await.unwrap().unwrap();
    assert_eq!(asked(), calls(2, 1), "touch after a day");
    stage.revoke(None).await;
    assert_eq!(asked(), calls(2, 1), "remove_all of an owner once more");
}

#[tokio::test]
async fn markers_written_as_records_end_the_session() {
    let stage = stage();
    let kept = stage.owned();
    let end = stage.clock.now() + HOUR;
    let key = stage.create(&kept).await;
    let tombstone = Record::ended(stage.clock.now(), end);
    let wrong = stage.backend.write(&key, tombstone.clone(), Write::update(tombstone.version)).await;
    assert_eq!(kind(wrong), ErrorKind::Conflict);
    stage.backend.write(&key, tombstone.clone(), Write::update(kept.version)).await.unwrap();
    assert_eq!(stage.backend.read(&key).await.unwrap(), None);
    assert_eq!(
        kind(stage.backend.write(&key, tombstone.clone(), Write::update(kept.version)).await),
        ErrorKind::Gone
    );
    let key = stage.create(&kept).await;
    let moved = Record::moved(SessionKey::generate().unwrap().id(), stage.clock.now(), end);
    stage.backend.write(&key, moved.clone(), Write::overwrite()).await.unwrap();
    assert_eq!(stage.backend.read(&key).await.unwrap(), Some(moved));
    let address = SessionKey::from_id(SessionKey::generate().unwrap().id());
    stage.backend.write(&address, tombstone.clone(), Write::overwrite()).await.unwrap();
    assert_eq!(kind(stage.backend.write(&address, tombstone, Write::newer()).await), ErrorKind::Conflict);
}

#[tokio::test]
async fn kept_under_hashes_in_a_scope_of_its_own() {
    let stage = stage();
    let key = stage.create(&stage.owned().with_expires_at(None)).await;
    stage.revoke(None).await;
    stage.remove(&key).await;
    let own = Scope::parse("cloakroom:revocation").unwrap();
    for call in stage.kept.seen() {
        assert_eq!(call.scope.as_ref(), Some(&own));
        assert!(call.id != Some(key.id()), "not under the id itself");
    }
    assert_eq!(stage.kept.count(&Filter::unscoped()).await.unwrap(), 0);
}

#[test]
fn revocation_takes_only_what_can_keep_it() {
    let clock = ManualClock::new();
    assert_eq!(kind(backend(&clock).with_revocation(backend(&clock))), ErrorKind::InvalidConfig);
    let stage = stage();
    let capability = stage.backend.capability();
    assert!(capability.revocable && !capability.enumerable && !capability.versioned && !capability.limits);
    let kept = InMemorySessionBackend::with_clock(clock.clock()).capability();
    assert_eq!((capability.shared, capability.durable), (kept.shared, kept.durable));
    assert!(backend(&clock).capability() == Capability::sealed(6_000, 3_000));
    let settings = Revocation::new(InMemorySessionBackend::with_clock(clock.clock())).with_horizon(HOUR);
    assert!(backend(&clock).with_revocation(settings).is_ok());
}

use cloakroom_core::{ErrorKind, Filter, Limits, Record, Rotate, SessionBackend, SessionKey, State, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, kind_of, owner, scope};

fn per_owner(limit: u64) -> Limits {
    Limits::none().with_per_owner(limit)
}

fn per_scope(limit: u64) -> Limits {
    Limits::none().with_per_scope(limit)
}

async fn refuses(subject: &Subject, key: &SessionKey, record: &Record, limits: Limits) {
    let refusal = subject.write_err(key, record, Write::create().with_limits(limits)).await;
    assert_eq!(refusal, ErrorKind::QuotaExceeded);
    assert_eq!(subject.read(key).await, None, "a refused create stored something");
}

async fn admits(subject: &Subject, key: &SessionKey, record: &Record, limits: Limits) {
    subject.write(key, record, Write::create().with_limits(limits)).await;
    assert_eq!(subject.read(key).await.as_ref(), Some(record));
}

/// An owner has at most so many sessions; removing one makes room (ST-23).
pub async fn limit_per_owner_on_create_exact(subject: &Subject) {
    let record = subject.owned("user:1");
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(fresh_key());
        admits(subject, &keys[keys.len() - 1], &record, per_owner(3)).await;
    }
    refuses(subject, &fresh_key(), &record, per_owner(3)).await;
    refuses(subject, &fresh_key(), &record, per_owner(1)).await;
    refuses(subject, &fresh_key(), &record, per_owner(0)).await;
    // Other owners, and those without one, are not concerned.
    admits(subject, &fresh_key(), &subject.owned("user:10"), per_owner(1)).await;
    admits(subject, &fresh_key(), &subject.record("{}"), per_owner(0)).await;
    admits(subject, &fresh_key(), &subject.record("{}"), per_owner(0)).await;
    subject.remove(&keys[1]).await;
    admits(subject, &fresh_key(), &record, per_owner(3)).await;
    refuses(subject, &fresh_key(), &record, per_owner(3)).await;
    admits(subject, &fresh_key(), &record, per_owner(4)).await;
}

/// A scope has at most so many sessions, whoever owns them.
pub async fn limit_per_scope_on_create_exact(subject: &Subject) {
    for scope in subject.scopes("tenant:a:") {
        let within = || scope.as_ref().map_or_else(fresh_key, |scope| fresh_key().scoped(scope));
        let first = within();
        admits(subject, &first, &subject.owned("user:1"), per_scope(3)).await;
        admits(subject, &within(), &subject.owned("user:2"), per_scope(3)).await;
        admits(subject, &within(), &subject.record("{}"), per_scope(3)).await;
        refuses(subject, &within(), &subject.record("{}"), per_scope(3)).await;
        refuses(subject, &within(), &subject.owned("user:3"), per_scope(3)).await;
        refuses(subject, &within(), &subject.owned("user:3"), per_scope(3).with_per_owner(9)).await;
        subject.remove(&first).await;
        admits(subject, &within(), &subject.owned("user:3"), per_scope(3)).await;
        refuses(subject, &within(), &subject.record("{}"), per_scope(0)).await;
    }
}

/// Each scope has limits of its own, for its owners too.
pub async fn limit_in_one_scope_others_independent(subject: &Subject) {
    let scopes = [scope("tenant:a:"), scope("tenant:ab:"), scope("tenant:A:"), scope("tenant:_:")];
    let record = subject.owned("user:1");
    for limits in [per_owner(1), per_scope(2)] {
        admits(subject, &fresh_key(), &record, limits).await;
        for scope in &scopes {
            admits(subject, &fresh_key().scoped(scope), &record, limits).await;
        }
        for scope in &scopes {
            refuses(subject, &fresh_key().scoped(scope), &record, limits).await;
        }
        refuses(subject, &fresh_key(), &record, limits).await;
    }
}

/// Expired records and markers take no room, swept or not.
pub async fn limit_expired_and_markers_uncounted(subject: &Subject) {
    let soon = subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND));
    for limits in [per_owner(1), per_scope(1)] {
        admits(subject, &fresh_key(), &soon, limits).await;
        refuses(subject, &fresh_key(), &soon, limits).await;
        for state in [State::Moved, State::Ended] {
            let marker = subject.owned("user:1").with_state(state);
            subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        }
        subject.advance(SECOND);
        let live = subject.owned("user:1");
        let key = fresh_key();
        admits(subject, &key, &live, limits).await;
        refuses(subject, &fresh_key(), &live, limits).await;
        subject.remove(&key).await;
        subject.clock().step_back(SECOND);
        subject.remove_all(&Filter::everywhere()).await;
    }
}

/// An update that gives a session to another owner is held to that owner's limit; refused, it changes nothing.
pub async fn limit_on_update_that_changes_owner_held(subject: &Subject) {
    let taken = subject.owned("user:1");
    let first = fresh_key();
    admits(subject, &first, &taken, per_owner(1)).await;
    for before in [subject.record("{}"), subject.owned("user:2")] {
        let key = subject.create(&before).await;
        let next = subject.revise(&before, "login").with_owner(Some(owner("user:1")));
        let how = Write::update(before.version).with_limits(per_owner(1));
        assert_eq!(subject.write_err(&key, &next, how).await, ErrorKind::QuotaExceeded);
        assert_eq!(subject.read(&key).await.as_ref(), Some(&before));
        subject.write(&key, &next, Write::update(before.version).with_limits(per_owner(2))).await;
        assert_eq!(subject.read(&key).await, Some(next));
        subject.remove(&key).await;
    }
}

/// An update that leaves the owner passes at the limit, and over it: nobody is locked out of what he has.
pub async fn limit_on_update_that_keeps_owner_passes(subject: &Subject) {
    for record in [subject.owned("user:1"), subject.record("{}")] {
        let key = subject.create(&record).await;
        subject.create(&record).await;
        let mut record = record;
        for limits in [per_owner(2), per_owner(1), per_scope(1), per_scope(0).with_per_owner(0)] {
            let next = subject.revise(&record, "next");
            let how = Write::update(record.version).with_limits(limits);
            subject.write(&key, &next, how).await;
            assert_eq!(subject.read(&key).await.as_ref(), Some(&next));
            record = next;
        }
    }
}

/// A rotation does not count the session that moves: a login at the limit passes.
pub async fn limit_on_rotate_itself_uncounted(subject: &Subject) {
    for limits in [per_owner(2), per_scope(2), per_owner(2).with_per_scope(2)] {
        subject.create(&subject.owned("user:1")).await;
        let mut record = subject.owned("user:1");
        let mut key = subject.create(&record).await;
        for _ in 0..3 {
            let new = fresh_key();
            let next = subject.revise(&record, "next");
            let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
            let how = Rotate::new(record.version).with_limits(limits).with_trail(trail);
            let rotated = subject.backend().rotate(&key, &new, next.clone(), how).await;
            rotated.unwrap_or_else(|error| panic!("rotate at the limit: {error}"));
            (key, record) = (new, next);
        }
        subject.remove_all(&Filter::everywhere()).await;
    }
}

/// A rotation that gives the session to an owner at the limit is refused, and changes nothing.
pub async fn limit_on_rotate_to_full_owner_held(subject: &Subject) {
    subject.create(&subject.owned("user:1")).await;
    subject.create(&subject.owned("user:1")).await;
    let guest = subject.record("{}");
    let old = subject.create(&guest).await;
    let next = subject.revise(&guest, "login").with_owner(Some(owner("user:1")));
    for (limits, refused) in [(per_owner(2), true), (per_scope(2), true), (per_owner(3), false)] {
        let new = fresh_key();
        let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
        let how = Rotate::new(guest.version).with_limits(limits).with_trail(trail.clone());
        let rotated = subject.backend().rotate(&old, &new, next.clone(), how).await;
        if refused {
            assert_eq!(kind_of(rotated, "rotate over the limit"), ErrorKind::QuotaExceeded, "{limits:?}");
            assert_eq!(subject.read(&old).await.as_ref(), Some(&guest));
            assert_eq!(subject.read(&new).await, None);
        } else {
            rotated.unwrap_or_else(|error| panic!("rotate within the limit: {error}"));
            assert_eq!(subject.read(&new).await.as_ref(), Some(&next));
            assert_eq!(subject.read(&old).await, Some(trail));
        }
    }
}

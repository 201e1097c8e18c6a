use cloakroom_core::{Filter, Record, SessionKey, Write};
use futures_util::StreamExt;

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner, scope};

/// Creates many records, some at a time.
pub(crate) async fn create_many(subject: &Subject, count: usize, record: &Record) -> Vec<SessionKey> {
    let creating = futures_util::stream::iter(0..count).map(|_| subject.create(record));
    creating.buffer_unordered(32).collect().await
}

/// `remove_all` of an owner ends all of that owner's sessions in that scope and no others (ST-18, CV-50).
pub async fn remove_all_of_owner_others_stay(subject: &Subject) {
    let tenant = scope("tenant:a:");
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(subject.create(&subject.owned("user:1")).await);
    }
    let mut others = vec![
        subject.create(&subject.owned("user:10")).await,
        subject.create(&subject.owned("user:")).await,
        subject.create(&subject.record("{}")).await,
    ];
    if subject.capability().scopes {
        others.push(subject.create_in(&tenant, &subject.owned("user:1")).await);
    }
    assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner("user:1"))).await, 5);
    for key in &mine {
        assert!(!subject.lives(key).await);
    }
    for key in &others {
        assert!(subject.read(key).await.is_some());
    }
    assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner("user:1"))).await, 0, "idempotent");
    if subject.capability().scopes {
        let in_tenant = Filter::in_scope(Some(&tenant)).with_owner(owner("user:1"));
        assert_eq!(subject.remove_all(&in_tenant).await, 1);
    }
    assert_eq!(subject.count(&Filter::everywhere()).await, 3);
}

/// `remove_all` but one: what "log out my other devices" asks for (ST-19).
pub async fn remove_all_except_keeps_that_one(subject: &Subject) {
    let record = subject.owned("user:1");
    let kept = subject.create(&record).await;
    let mut ended = Vec::new();
    for _ in 0..4 {
        ended.push(subject.create(&record).await);
    }
    let others = Filter::unscoped().with_owner(owner("user:1")).with_except(kept.id());
    assert_eq!(subject.remove_all(&others).await, 4);
    assert_eq!(subject.read(&kept).await, Some(record));
    for key in &ended {
        assert!(!subject.lives(key).await);
    }
    let stranger = subject.create(&subject.owned("user:2")).await;
    let all_but_stranger = Filter::unscoped().with_except(stranger.id());
    assert_eq!(subject.remove_all(&all_but_stranger).await, 1, "without an owner, too");
    assert!(subject.read(&stranger).await.is_some());
}

/// `remove_all` of a scope ends what is in it, and of none, what is in none; of any, everything.
pub async fn remove_all_of_scope_others_stay(subject: &Subject) {
    let scopes = [scope("tenant:a:"), scope("tenant:ab:"), scope("tenant:a")];
    let record = subject.record("{}");
    let mut keys = Vec::new();
    for scope in &scopes {
        keys.push(subject.create_in(scope, &record).await);
        keys.push(subject.create_in(scope, &record).await);
    }
    let unscoped = subject.create(&record).await;
    assert_eq!(subject.remove_all(&Filter::in_scope(Some(&scopes[0]))).await, 2);
    let mut alive = Vec::new();
    for key in &keys {
        alive.push(subject.lives(key).await);
    }
    assert_eq!(alive, [false, false, true, true, true, true]);
    assert_eq!(subject.remove_all(&Filter::unscoped()).await, 1);
    assert!(!subject.lives(&unscoped).await);
    assert_eq!(subject.remove_all(&Filter::everywhere()).await, 4);
    assert_eq!(subject.count(&Filter::everywhere()).await, 0);
    assert_eq!(subject.remove_all(&Filter::in_scope(Some(&scope("tenant:never:")))).await, 0);
}

/// Markers and expired records do not count and are left to their ends.
pub async fn remove_all_live_only(subject: &Subject) {
    let end = subject.now() + HOUR;
    let moved = Record::moved(fresh_key().id(), subject.now(), end).with_owner(Some(owner("user:1")));
    let marker = subject.write(&fresh_key(), &moved, Write::overwrite()).await;
    let ended = Record::ended(subject.now(), end);
    let tomb = subject.write(&fresh_key(), &ended, Write::overwrite()).await;
    subject.create(&subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND))).await;
    subject.advance(SECOND);
    let live = subject.create(&subject.owned("user:1")).await;
    assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner("user:1"))).await, 1);
    assert!(!subject.lives(&live).await);
    assert_eq!(subject.remove_all(&Filter::everywhere()).await, 0);
    assert_eq!(subject.read(&marker).await, Some(moved));
    assert_eq!(subject.read(&tomb).await, Some(ended));
}

/// More records than fit into one batch all go, and are all counted.
pub async fn remove_all_many_every_one(subject: &Subject) {
    let record = subject.owned("user:1");
    let keys = create_many(subject, 2_500, &record).await;
    let other = subject.create(&subject.owned("user:2")).await;
    let mine = Filter::unscoped().with_owner(owner("user:1")).with_except(keys[1_234].id());
    assert_eq!(subject.count(&mine).await, 2_499);
    assert_eq!(subject.remove_all(&mine).await, 2_499);
    assert_eq!(subject.count(&mine).await, 0);
    for key in [&keys[0], &keys[1_233], &keys[2_499]] {
        assert!(!subject.lives(key).await);
    }
    assert_eq!(subject.read(&keys[1_234]).await, Some(record), "the exception");
    assert!(subject.read(&other).await.is_some());
}

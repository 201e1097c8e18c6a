use std::collections::BTreeSet;

use cloakroom_core::{ErrorKind, Filter, Limits, Removal, SessionBackend, SessionId, SessionKey, Write};

use crate::subject::{HOUR, Subject, fresh_key, kind_of, owner, scope};

/// Owners that a database, a pattern or a normalisation may take for one another.
fn similar_owners() -> Vec<String> {
    let long = "o".repeat(254);
    let mut owners: Vec<String> = [
        "user:A",
        "user:a",
        "user:a ",
        "user:a  ",
        " user:a",
        "user:\u{e9}",
        "user:e\u{301}",
        "user:e",
        "user:\u{df}",
        "user:ss",
        "user:SS",
        "user:\u{131}",
        "user:i",
        "user:I",
        "user:%",
        "user:_",
        "user:__",
        "%",
        "_",
        "user",
        "user:",
        "user:*",
        "user:?",
        "user:[ab]",
        "user:'a'",
        "user:\"a\"",
        "user:`a`",
        "user:\\a",
        "user:\\\\a",
        "user:\\%",
        "' OR 1=1 --",
        "\\' OR 1=1 --",
        "$1",
        ":1",
        "{}",
        "null",
        "NULL",
        "0",
        "00",
        "0e1",
        "1e0",
        "\u{1f600}",
        "\u{1f601}",
        "user:\u{200b}a",
        "user:\u{ad}a",
    ]
    .map(str::to_owned)
    .to_vec();
    owners.push(format!("{long}a"));
    owners.push(format!("{long}b"));
    owners.push(long);
    owners
}

const SIMILAR_SCOPES: &[&str] = &[
    "tenant:a",
    "tenant:A",
    "tenant:a:",
    "tenant:ab",
    "tenant:_",
    "tenant:%",
    "tenant:",
    "tenant",
    "%",
    "_",
    "$1",
    "{tenant}",
    "../tenant",
    "tenant/a",
    "null",
    "0",
    "00",
    "--",
    "a;b",
    "<a>",
];

/// Owners compare byte for byte: not by case, not by pattern, not normalised, not trimmed.
pub async fn owner_similar_to_another_told_apart(subject: &Subject) {
    let owners = similar_owners();
    let mut keys = Vec::new();
    for by in &owners {
        let record = subject.owned(by);
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await, Some(record), "{by:?} comes back as it was");
        keys.push(key);
    }
    for (by, key) in owners.iter().zip(&keys) {
        let filter = Filter::unscoped().with_owner(owner(by));
        assert_eq!(subject.count(&filter).await, 1, "count of {by:?}");
        let entries = subject.scan(&filter, 10).await;
        assert_eq!(entries.len(), 1, "scan of {by:?}");
        assert_eq!(entries[0].id, key.id(), "scan of {by:?}");
    }
    for (index, by) in owners.iter().enumerate() {
        assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner(by))).await, 1, "{by:?}");
        let left = (owners.len() - index - 1) as u64;
        assert_eq!(subject.count(&Filter::unscoped()).await, left, "after the removal of {by:?}");
    }
}

/// Limits tell similar owners apart, too.
pub async fn owner_similar_to_another_has_own_limit(subject: &Subject) {
    let limits = Limits::none().with_per_owner(1);
    for by in similar_owners() {
        let how = Write::create().with_limits(limits);
        subject.write(&fresh_key(), &subject.owned(&by), how).await;
        let refusal = subject.write_err(&fresh_key(), &subject.owned(&by), how).await;
        assert_eq!(refusal, ErrorKind::QuotaExceeded, "the second session of {by:?}");
    }
}

/// Scopes compare whole and byte for byte: not by case, not by prefix, not by pattern.
pub async fn scope_similar_to_another_told_apart(subject: &Subject) {
    let longest = ["s".repeat(255), format!("{}t", "s".repeat(254)), "s".repeat(254)];
    let scopes: Vec<_> =
        SIMILAR_SCOPES.iter().copied().chain(longest.iter().map(String::as_str)).map(scope).collect();
    let key = fresh_key();
    subject.write(&key, &subject.record("unscoped"), Write::create()).await;
    for scope in &scopes {
        subject.write(&key.scoped(scope), &subject.record(scope.as_str().to_owned()), Write::create()).await;
    }
    for scope in &scopes {
        let read = subject.read(&key.scoped(scope)).await.expect("a record in each scope");
        assert_eq!(read.payload, scope.as_str(), "one secret, one record per scope");
        let filter = Filter::in_scope(Some(scope));
        assert_eq!(subject.count(&filter).await, 1, "count of {scope:?}");
        let entries = subject.scan(&filter, 10).await;
        assert_eq!(entries.len(), 1, "scan of {scope:?}");
        assert_eq!(entries[0].scope.as_ref(), Some(scope));
    }
    let listed = subject.scan(&Filter::everywhere(), 3).await;
    let names: BTreeSet<_> = listed.iter().map(|entry| entry.scope.clone()).collect();
    assert_eq!((listed.len(), names.len()), (scopes.len() + 1, scopes.len() + 1), "every scope, once");
    for (index, scope) in scopes.iter().enumerate() {
        assert_eq!(subject.remove_all(&Filter::in_scope(Some(scope))).await, 1, "{scope:?}");
        let left = (scopes.len() - index) as u64;
        assert_eq!(subject.count(&Filter::everywhere()).await, left, "after the removal of {scope:?}");
    }
    assert_eq!(subject.read(&key).await.map(|read| read.payload), Some("unscoped".into()));
}

/// One secret in two scopes is two records: what happens to one does not happen to the other (CV-28).
pub async fn key_in_two_scopes_two_records(subject: &Subject) {
    let (a, b) = (scope("tenant:a:"), scope("tenant:b:"));
    let key = fresh_key();
    let record = subject.record("a");
    let in_a = subject.write(&key.scoped(&a), &record, Write::create()).await;
    for elsewhere in [key.clone(), key.scoped(&b)] {
        assert_eq!(subject.read(&elsewhere).await, None);
    }
    if subject.is_store() {
        for elsewhere in [key.clone(), key.scoped(&b)] {
            let next = subject.revise(&record, "elsewhere");
            let refusal = subject.write_err(&elsewhere, &next, Write::update(record.version)).await;
            assert_eq!(refusal, ErrorKind::Gone);
            assert!(!subject.remove(&elsewhere).await);
            let touch = cloakroom_core::Touch::new(record.version, subject.now() + HOUR * 2);
            assert!(subject.backend().touch(&elsewhere, touch).await.expect("touch").is_none());
            let how = cloakroom_core::Rotate::new(record.version);
            let rotated = subject.backend().rotate(&elsewhere, &fresh_key(), next, how).await;
            assert_eq!(kind_of(rotated, "rotate"), ErrorKind::Gone);
        }
        let other = subject.record("b");
        subject.write(&key.scoped(&b), &other, Write::create()).await;
        assert!(subject.remove(&key.scoped(&b)).await);
        assert!(!subject.lives(&key.scoped(&b)).await);
    }
    assert_eq!(subject.read(&in_a).await, Some(record));
}

/// Ids that differ in the case of one letter of their text, in one bit or in one trailing byte are two.
pub async fn id_similar_to_another_told_apart(subject: &Subject) {
    let mut ids = vec![[0_u8; 32], [255; 32], [b' '; 32]];
    // As text, 0 is `A` and 104 in the first six bits is `a`: MySQL's default collation takes them for one.
    for (byte, bit) in [(0, 0), (0, 7), (15, 3), (31, 0), (31, 7)] {
        let mut id = [0_u8; 32];
        id[byte] = 1 << bit;
        ids.push(id);
    }
    let mut lower = [0_u8; 32];
    lower[0] = 26 << 2;
    ids.push(lower);
    let mut keys = Vec::new();
    for (index, id) in ids.iter().enumerate() {
        let key = SessionKey::from_id(SessionId::from_bytes(*id));
        let record = subject.record(format!("{index}"));
        subject.write(&key, &record, Write::create()).await;
        keys.push((key, record));
    }
    for (key, record) in &keys {
        assert_eq!(subject.read(key).await.as_ref(), Some(record));
    }
    if subject.capability().enumerable {
        let listed: BTreeSet<_> =
            subject.scan(&Filter::everywhere(), 4).await.iter().map(|entry| entry.id).collect();
        assert_eq!(listed.len(), ids.len());
        assert!(ids.iter().all(|id| listed.contains(&SessionId::from_bytes(*id))), "ids come back exactly");
    }
    for (index, (key, _)) in keys.iter().enumerate() {
        assert!(subject.remove(key).await, "id {index}");
    }
}

/// A clone of a backend shows the same sessions and sees the same clock.
pub async fn clone_of_backend_shares_state(subject: &Subject) {
    let (backend, twin) = (subject.backend(), subject.twin());
    let record = subject.record("{}");
    let key = subject.create(&record).await;
    assert_eq!(twin.read(&key).await.expect("read"), Some(record.clone()));
    let other = twin.write(&fresh_key(), record.clone(), Write::create()).await.expect("write");
    assert_eq!(backend.read(&other).await.expect("read"), Some(record.clone()));
    assert_eq!(backend.capability(), twin.capability());
    if subject.capability().revocable {
        assert!(twin.remove(&key, Removal::Explicit).await.expect("remove"));
        assert!(!subject.lives(&key).await);
    }
    let new = fresh_key();
    let new = backend.write(&new, record.clone(), Write::create()).await.expect("write");
    drop(backend.clone());
    assert_eq!(twin.read(&new).await.expect("read"), Some(record), "a dropped clone takes nothing along");
}

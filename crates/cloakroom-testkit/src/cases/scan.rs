use std::collections::{BTreeMap, BTreeSet};

use cloakroom_core::{Filter, Record, Scope, SessionBackend, SessionId, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};

/// Pages are complete and nothing is seen twice, whatever the page size.
pub async fn scan_in_pages_complete_without_duplicates(subject: &Subject) {
    assert_eq!(subject.scan(&Filter::everywhere(), 7).await, [], "an empty store");
    let mut ids = BTreeSet::new();
    for _ in 0..100 {
        ids.insert(subject.create(&subject.record("{}")).await.id());
    }
    for limit in [1, 7, 99, 100, 101] {
        let entries = subject.scan(&Filter::unscoped(), limit).await;
        let seen: BTreeSet<SessionId> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!(entries.len(), 100, "in pages of {limit}");
        assert!(seen == ids, "in pages of {limit}: other ids than were created");
    }
}

/// Every record that lives throughout the scan is seen once, while others come, change and go.
pub async fn scan_while_written_complete_without_duplicates(subject: &Subject) {
    let record = subject.record("{}");
    let mut constant = BTreeMap::new();
    let mut passing = Vec::new();
    for _ in 0..100 {
        let key = subject.create(&record).await;
        constant.insert(key.id(), (key, record.clone()));
        passing.push(subject.create(&record).await);
    }
    let mut seen: BTreeMap<SessionId, u32> = BTreeMap::new();
    let mut after = None;
    for _ in 0..10_000 {
        let page = subject.backend().scan(&Filter::unscoped(), after, 7).await.expect("scan");
        assert!(page.entries.len() <= 7);
        for entry in &page.entries {
            *seen.entry(entry.id).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        subject.create(&record).await;
        for _ in 0..3 {
            if let Some(key) = passing.pop() {
                subject.remove(&key).await;
            }
        }
        // An update or a touch must not move a record to where the scan has been, or will be.
        for id in page.entries.iter().take(2).map(|entry| entry.id).chain(constant.keys().next().copied()) {
            if let Some((key, stored)) = constant.get_mut(&id) {
                let next = subject.revise(stored, "{\"changed\":true}");
                subject.write(key, &next, Write::update(stored.version)).await;
                *stored = next;
            }
        }
    }
    assert_eq!(after, None, "the scan has an end");
    for id in constant.keys() {
        assert_eq!(seen.get(id), Some(&1), "a record that lived throughout");
    }
    assert!(seen.values().all(|times| *times == 1), "some record was seen twice");
}

/// Entries have every field; the payload only where it was asked for.
pub async fn scan_payload_only_when_asked_for(subject: &Subject) {
    let tenant = subject.scopes("tenant:a:").pop().flatten();
    let mut record = subject.record("{\"a\":1}").with_owner(Some(owner("user:1")));
    record.created_at = subject.now() - HOUR;
    let key = tenant.as_ref().map_or_else(fresh_key, |tenant| fresh_key().scoped(tenant));
    subject.write(&key, &record, Write::create()).await;
    let filter = Filter::in_scope(tenant.as_ref());
    let full = subject.scan(&filter.clone().with_payload(), 10).await;
    assert_eq!(full.len(), 1);
    assert_eq!((full[0].id, &full[0].scope), (key.id(), &tenant));
    assert_eq!(full[0].record, record);
    let bare = subject.scan(&filter, 10).await;
    record.payload.clear();
    assert_eq!(bare.len(), 1);
    assert_eq!(bare[0].record, record, "all but the payload");
    assert!(subject.read(&bare[0].address()).await.is_some(), "an entry's address reaches it");
}

/// Filters by scope, owner and exception hold for `scan` and `count` alike; "any" reports each record's scope.
pub async fn scan_filtered_exactly_the_matching(subject: &Subject) {
    let mut scopes = subject.scopes("tenant:a:");
    scopes.extend(subject.scopes("tenant:b:").into_iter().skip(1));
    let owners = [None, Some("user:1"), Some("user:2")];
    let mut all: Vec<(SessionId, Option<Scope>, Record)> = Vec::new();
    for scope in &scopes {
        for by in owners {
            for _ in 0..2 {
                let record = subject.record("{}").with_owner(by.map(owner));
                let key = scope.as_ref().map_or_else(fresh_key, |scope| fresh_key().scoped(scope));
                subject.write(&key, &record, Write::create()).await;
                all.push((key.id(), scope.clone(), record));
            }
        }
    }
    let mut filters = vec![Filter::everywhere()];
    filters.extend(scopes.iter().map(|scope| Filter::in_scope(scope.as_ref())));
    for base in filters {
        for by in owners {
            for except in [None, Some(all[0].0), all.get(8).map(|one| one.0)] {
                let mut filter = base.clone().with_payload();
                filter.owner = by.map(owner);
                filter.except = except;
                let expected: BTreeMap<_, _> = all
                    .iter()
                    .filter(|(id, scope, record)| filter.matches(scope.as_ref(), *id, record))
                    .map(|(id, scope, record)| (*id, (scope.clone(), record.clone())))
                    .collect();
                let entries = subject.scan(&filter, 5).await;
                assert_eq!(entries.len(), expected.len(), "{filter:?}");
                let found: BTreeMap<_, _> =
                    entries.into_iter().map(|entry| (entry.id, (entry.scope, entry.record))).collect();
                assert!(found == expected, "other entries than match {filter:?}");
                assert_eq!(subject.count(&filter).await, expected.len() as u64, "count of {filter:?}");
            }
        }
    }
}

/// Markers and expired records are seen by neither `scan` nor `count`, swept or not.
pub async fn scan_live_only(subject: &Subject) {
    let end = subject.now() + SECOND;
    let live = subject.create(&subject.owned("user:1")).await;
    subject.create(&subject.owned("user:1").with_expires_at(Some(end))).await;
    for state in [cloakroom_core::State::Moved, cloakroom_core::State::Ended] {
        let marker = subject.owned("user:1").with_state(state);
        subject.write(&fresh_key(), &marker, Write::overwrite()).await;
    }
    let filters = [
        Filter::everywhere(),
        Filter::unscoped(),
        Filter::unscoped().with_owner(owner("user:1")),
        Filter::everywhere().with_owner(owner("user:1")),
    ];
    for expired in [false, true] {
        if expired {
            subject.advance(SECOND);
        }
        for filter in &filters {
            let expected = if expired { 1 } else { 2 };
            let entries = subject.scan(filter, 1).await;
            assert_eq!(entries.len(), expected, "{filter:?}");
            assert!(entries.iter().any(|entry| entry.id == live.id()));
            assert_eq!(subject.count(filter).await, expected as u64, "count of {filter:?}");
        }
    }
}

/// `count` counts what `scan` lists, through all that happens to a record.
pub async fn count_through_a_life_follows(subject: &Subject) {
    let filter = Filter::unscoped().with_owner(owner("user:1"));
    let record = subject.owned("user:1");
    let key = subject.create(&record).await;
    assert_eq!(subject.count(&filter).await, 1, "created");
    let next = subject.revise(&record, "{}").with_owner(Some(owner("user:2")));
    subject.write(&key, &next, Write::update(record.version)).await;
    assert_eq!(subject.count(&filter).await, 0, "given away");
    let back = subject.revise(&next, "{}").with_owner(Some(owner("user:1")));
    subject.write(&key, &back, Write::update(next.version)).await;
    assert_eq!(subject.count(&filter).await, 1, "taken back");
    subject.write(&key, &back, Write::overwrite()).await;
    assert_eq!(subject.count(&filter).await, 1, "written over");
    subject.remove(&key).await;
    assert_eq!(subject.count(&filter).await, 0, "removed");
    subject.write(&key, &record, Write::overwrite()).await;
    assert_eq!(subject.count(&filter).await, 1, "stored again");
    let tomb = Record::ended(subject.now(), subject.now() + HOUR);
    subject.write(&key, &tomb, Write::overwrite()).await;
    assert_eq!(subject.count(&filter).await, 0, "buried");
    assert_eq!(subject.scan(&filter, 10).await, []);
    assert_eq!(subject.count(&Filter::everywhere()).await, 0);
}

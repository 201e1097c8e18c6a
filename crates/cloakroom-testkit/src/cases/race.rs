use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cloakroom_core::{
    ErrorKind, Filter, Limits, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Version, Write,
};
use futures_util::FutureExt;

use crate::race::{rounds, together};
use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};
use crate::suite::full;

/// How one of several rivals fared.
fn outcome<T>(result: cloakroom_core::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Of concurrent updates with one expected version exactly one wins, and what it wrote is there.
pub async fn race_updates_of_one_version_one_wins(subject: &Subject) {
    for (rivals, most) in [(16_usize, 100), (64, 25)] {
        for _ in rounds(most) {
            let record = subject.record("start");
            let key = subject.create(&record).await;
            let offers: Vec<Record> =
                (0..rivals).map(|rival| subject.revise(&record, rival.to_string())).collect();
            let results = together(offers.iter().map(|offer| {
                let (backend, key, offer) = (subject.backend().clone(), key.clone(), offer.clone());
                let how = Write::update(record.version);
                async move { outcome(backend.write(&key, offer, how).await) }
            }))
            .await;
            let winners: Vec<_> = (0..rivals).filter(|rival| results[*rival].is_none()).collect();
            assert_eq!(winners.len(), 1, "{rivals} updates of one version: {results:?}");
            let losers = results.iter().flatten().filter(|kind| **kind != ErrorKind::Conflict).count();
            assert_eq!(losers, 0, "losers get Conflict: {results:?}");
            assert_eq!(subject.read(&key).await.as_ref(), Some(&offers[winners[0]]));
        }
    }
}

/// Of concurrent creates under one key exactly one wins (CV-15).
pub async fn race_creates_of_one_key_one_wins(subject: &Subject) {
    for round in rounds(100) {
        let key = fresh_key();
        if round % 2 == 0 {
            // Half of the rounds begin with an expired record there.
            let expired = subject.owned("user:1").with_expires_at(Some(subject.now()));
            subject.write(&key, &expired, Write::create()).await;
        }
        let offers: Vec<Record> = (0..16).map(|rival| subject.record(format!("{rival}"))).collect();
        let results = together(offers.iter().map(|offer| {
            let (backend, key, offer) = (subject.backend().clone(), key.clone(), offer.clone());
            async move { outcome(backend.write(&key, offer, Write::create()).await) }
        }))
        .await;
        let winners: Vec<_> = (0..16).filter(|rival| results[*rival].is_none()).collect();
        assert_eq!(winners.len(), 1, "16 creates under one key: {results:?}");
        let others = results.iter().flatten().filter(|kind| **kind != ErrorKind::AlreadyExists).count();
        assert_eq!(others, 0, "losers get AlreadyExists: {results:?}");
        assert_eq!(subject.read(&key).await.as_ref(), Some(&offers[winners[0]]));
    }
}

/// Two hundred concurrent creates with a limit of five leave exactly five, per owner and per scope (ST-23).
pub async fn race_creates_within_limit_exact(subject: &Subject) {
    for limits in [Limits::none().with_per_owner(5), Limits::none().with_per_scope(5)] {
        for _ in rounds(5) {
            let record = subject.owned("user:1");
            let results = together((0..200).map(|_| {
                let (backend, record) = (subject.backend().clone(), record.clone());
                let how = Write::create().with_limits(limits);
                async move { outcome(backend.write(&fresh_key(), record, how).await) }
            }))
            .await;
            let admitted = results.iter().filter(|result| result.is_none()).count();
            assert_eq!(admitted, 5, "admitted with {limits:?}");
            let refused = results.iter().filter(|result| **result == Some(ErrorKind::QuotaExceeded)).count();
            assert_eq!(refused, 195, "the others are over the quota: {results:?}");
            let all = Filter::unscoped();
            assert_eq!(subject.count(&all).await, 5);
            subject.remove_all(&all).await;
        }
    }
}

/// Limits hold when concurrent updates and rotations, logins of many guests, would break them.
pub async fn race_logins_within_limit_exact(subject: &Subject) {
    let limits = Limits::none().with_per_owner(3);
    for _ in rounds(20) {
        let guest = subject.record("{}");
        let mut keys = Vec::new();
        for _ in 0..16 {
            keys.push(subject.create(&guest).await);
        }
        let login = subject.revise(&guest, "{}").with_owner(Some(owner("user:1")));
        let results = together(keys.into_iter().enumerate().map(|(rival, key)| {
            let (backend, login, version) = (subject.backend().clone(), login.clone(), guest.version);
            async move {
                if rival % 2 == 0 {
                    let how = Rotate::new(version).with_limits(limits);
                    outcome(backend.rotate(&key, &fresh_key(), login, how).await)
                } else {
                    let how = Write::update(version).with_limits(limits);
                    outcome(backend.write(&key, login, how).await)
                }
            }
        }))
        .await;
        let admitted = results.iter().filter(|result| result.is_none()).count();
        assert_eq!(admitted, 3, "logins with a limit of 3: {results:?}");
        assert_eq!(subject.count(&Filter::unscoped().with_owner(owner("user:1"))).await, 3);
        subject.remove_all(&Filter::unscoped()).await;
    }
}

/// After a logout that raced a save, nothing is there: the save came first, or was refused (CV-14).
pub async fn race_logout_against_save_nothing_lives(subject: &Subject) {
    for _ in rounds(100) {
        let record = subject.owned("user:1");
        let key = subject.create(&record).await;
        let next = subject.revise(&record, "late");
        let (backend, twin) = (subject.backend().clone(), subject.backend().clone());
        let (a, b, version) = (key.clone(), key.clone(), record.version);
        let save = async move { outcome(twin.write(&b, next, Write::update(version)).await) };
        let logout = async move {
            let removed = backend.remove(&a, Removal::Flushed).await.expect("remove");
            assert!(removed, "the session was there until the logout");
            None
        };
        let results = together([save.boxed(), logout.boxed()]).await;
        assert!(matches!(results[0], None | Some(ErrorKind::Gone)), "the save: {:?}", results[0]);
        assert!(!subject.lives(&key).await, "a save brought the session back");
    }
}

/// The same for a touch.
pub async fn race_logout_against_touch_nothing_lives(subject: &Subject) {
    for _ in rounds(100) {
        let record = subject.owned("user:1");
        let key = subject.create(&record).await;
        let how = Touch::new(record.version, subject.now() + HOUR * 2);
        let (backend, twin) = (subject.backend().clone(), subject.backend().clone());
        let (a, b) = (key.clone(), key.clone());
        let touch = async move { twin.touch(&b, how).await.map(drop).expect("touch") };
        let logout = async move {
            assert!(backend.remove(&a, Removal::Flushed).await.expect("remove"), "the session was there");
        };
        together([touch.boxed(), logout.boxed()]).await;
        assert!(!subject.lives(&key).await, "a touch brought the session back");
    }
}

/// A logout with the old key ends the session also when a rotation is under way: either the rotation is refused, or
/// its trail leads the logout to the successor.
pub async fn race_logout_against_rotate_nothing_lives(subject: &Subject) {
    for _ in rounds(100) {
        let record = subject.owned("user:1");
        let (old, new) = (subject.create(&record).await, fresh_key());
        let next = subject.revise(&record, "next");
        let trail = Record::moved(new.id(), subject.now(), subject.now() + SECOND * 60);
        let how = Rotate::new(record.version).with_trail(trail);
        let (backend, a, b) = (subject.backend().clone(), old.clone(), new.clone());
        let rotate = async move { outcome(backend.rotate(&a, &b, next, how).await) };
        let (leaving, key) = (subject.clone(), old.clone());
        let logout = async move {
            assert!(super::logout(&leaving, &key).await, "the logout met no live session");
            None
        };
        let results = together([rotate.boxed(), logout.boxed()]).await;
        assert!(matches!(results[0], None | Some(ErrorKind::Gone)), "the rotation: {:?}", results[0]);
        assert!(subject.read(&old).await.is_none_or(|record| !record.is_live()), "the old key lives");
        assert!(!subject.lives(&new).await, "the rotation carried the session past the logout");
    }
}

/// A logout with the first key catches up with a session that rotates again and again.
pub async fn race_logout_against_rotations_catches_up(subject: &Subject) {
    for _ in rounds(50) {
        let mut record = subject.owned("user:1");
        let first = subject.create(&record).await;
        let rotating = subject.clone();
        let mut key = first.clone();
        let rotate = async move {
            for _ in 0..50 {
                let new = fresh_key();
                let next = rotating.revise(&record, "next");
                let trail = Record::moved(new.id(), rotating.now(), rotating.now() + SECOND * 60);
                let how = Rotate::new(record.version).with_trail(trail);
                match rotating.backend().rotate(&key, &new, next.clone(), how).await {
                    Ok(_) => (key, record) = (new, next),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Gone);
                        break;
                    }
                }
            }
            key
        };
        let leaving = subject.clone();
        let logout = async move {
            assert!(super::logout(&leaving, &first).await, "the logout lost the trail");
            first
        };
        let keys = together([rotate.boxed(), logout.boxed()]).await;
        assert!(!subject.lives(&keys[0]).await, "the session outran its logout");
        assert_eq!(subject.count_live().await, 0);
    }
}

/// Of a save and a rotation of one version exactly one wins; the other is told, and does nothing.
pub async fn race_rotate_against_save_one_wins(subject: &Subject) {
    for _ in rounds(100) {
        let record = subject.record("start");
        let (old, new) = (subject.create(&record).await, fresh_key());
        let (saved, rotated) = (subject.revise(&record, "saved"), subject.revise(&record, "rotated"));
        let (backend, a, b, next) = (subject.backend().clone(), old.clone(), new.clone(), rotated.clone());
        let how = Rotate::new(record.version);
        let rotate = async move { outcome(backend.rotate(&a, &b, next, how).await) };
        let (backend, a, next) = (subject.backend().clone(), old.clone(), saved.clone());
        let how = Write::update(record.version);
        let save = async move { outcome(backend.write(&a, next, how).await) };
        let results = together([rotate.boxed(), save.boxed()]).await;
        let there = (subject.read(&old).await, subject.read(&new).await);
        match (results[0], results[1]) {
            (None, Some(ErrorKind::Gone)) => assert_eq!(there, (None, Some(rotated))),
            (Some(ErrorKind::Conflict), None) => assert_eq!(there, (Some(saved), None)),
            other => panic!("rotation and save of one version: {other:?}"),
        }
    }
}

/// Of concurrent rotations of one session exactly one wins, and only its new key lives.
pub async fn race_rotations_of_one_session_one_wins(subject: &Subject) {
    for _ in rounds(100) {
        let record = subject.owned("user:1");
        let old = subject.create(&record).await;
        let keys: Vec<SessionKey> = (0..8).map(|_| fresh_key()).collect();
        let results = together(keys.iter().map(|new| {
            let (backend, old, new) = (subject.backend().clone(), old.clone(), new.clone());
            let next = subject.revise(&record, "next");
            let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
            let how = Rotate::new(record.version).with_trail(trail);
            async move { outcome(backend.rotate(&old, &new, next, how).await) }
        }))
        .await;
        let mut alive = Vec::new();
        for key in &keys {
            alive.push(subject.read(key).await.is_some());
        }
        let won: Vec<bool> = results.iter().map(Option::is_none).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "rotations of one session: {results:?}");
        assert_eq!(alive, won, "only the winner's key lives");
        let trail = subject.read(&old).await.and_then(|record| record.successor());
        let winner = won.iter().position(|won| *won).map(|index| keys[index].id());
        assert!(trail == winner, "the trail leads to the winner");
    }
}

/// A reader sees whole records, never the payload of one write with the version of another.
pub async fn race_read_against_updates_whole_records(subject: &Subject) {
    let text = |version: Version| format!("{:020}", version.as_u64()).repeat(200);
    let mut record = subject.record("");
    record.payload = text(record.version).into();
    let key = subject.create(&record).await;
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (writing, written, stop) = (subject.clone(), key.clone(), Arc::clone(&done));
    let (looked, enough) = (Arc::clone(&reads), if full() { 2_000 } else { 200 });
    let writer = async move {
        // On a busy machine the reader may come late.
        for round in rounds(20_000) {
            if round >= enough && looked.load(Ordering::SeqCst) >= enough {
                break;
            }
            let mut next = writing.revise(&record, "");
            next.payload = text(next.version).into();
            next.owner = (round % 2 == 0).then(|| owner(&format!("user:{}", next.version.as_u64())));
            writing.write(&written, &next, Write::update(record.version)).await;
            record = next;
            tokio::task::yield_now().await;
        }
        stop.store(true, Ordering::SeqCst);
    };
    let (reading, stop) = (subject.clone(), Arc::clone(&done));
    let reader = async move {
        let mut last = Version::from_u64(0);
        while !stop.load(Ordering::SeqCst) {
            let read = reading.read(&key).await.expect("the record is there throughout");
            assert!(read.payload == text(read.version), "a payload with the version of another");
            let by = read.owner.as_ref().map(|owner| owner.as_str().to_owned());
            assert!(by.is_none_or(|by| by == format!("user:{}", read.version.as_u64())), "another's owner");
            assert!(read.version >= last, "a reader went back in time");
            last = read.version;
            reads.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    };
    together([writer.boxed(), reader.boxed()]).await;
}

/// A rotation is one step: whoever looks sees the session at one key, never at both, never at neither.
pub async fn race_read_against_rotations_one_step(subject: &Subject) {
    for _ in rounds(50) {
        let keys: Arc<Vec<SessionKey>> = Arc::new((0..8).map(|_| fresh_key()).collect());
        let mut record = subject.owned("user:1");
        subject.write(&keys[0], &record, Write::create()).await;
        let (rotating, chain) = (subject.clone(), Arc::clone(&keys));
        let rotate = async move {
            for pair in chain.windows(2) {
                let next = rotating.revise(&record, "next");
                let trail = Record::moved(pair[1].id(), rotating.now(), rotating.now() + HOUR);
                let how = Rotate::new(record.version).with_trail(trail);
                let rotated = rotating.backend().rotate(&pair[0], &pair[1], next.clone(), how).await;
                rotated.unwrap_or_else(|error| panic!("rotate: {error}"));
                record = next;
                tokio::task::yield_now().await;
            }
        };
        let (reading, chain) = (subject.clone(), Arc::clone(&keys));
        let read = async move {
            for pair in chain.windows(2) {
                loop {
                    let there = reading.read(&pair[0]).await.expect("a session or its trail");
                    if !there.is_live() {
                        let next = reading.read(&pair[1]).await;
                        assert!(next.is_some(), "a trail to a session that is not there yet");
                        break;
                    }
                    if reading.read(&pair[1]).await.is_some_and(|record| record.is_live()) {
                        let old = reading.read(&pair[0]).await.expect("the trail");
                        assert!(!old.is_live(), "one session at two keys");
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        together([rotate.boxed(), read.boxed()]).await;
        subject.remove(&keys[7]).await;
    }
}

/// A sweep never deletes what was created in the place of something expired.
pub async fn race_sweep_against_create_new_record_stays(subject: &Subject) {
    for _ in rounds(50) {
        let expired = subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND));
        let mut keys = Vec::new();
        for _ in 0..8 {
            keys.push(subject.create(&expired).await);
        }
        subject.advance(SECOND);
        let record = subject.record("new");
        let sweeping = subject.clone();
        let mut tasks = vec![async move { sweeping.sweep(1_000).map(drop).await }.boxed()];
        for key in keys.clone() {
            let (creating, record) = (subject.clone(), record.clone());
            tasks.push(async move { drop(creating.write(&key, &record, Write::create()).await) }.boxed());
        }
        together(tasks).await;
        subject.sweep(1_000).await;
        for key in &keys {
            assert_eq!(subject.read(key).await.as_ref(), Some(&record), "the sweep took a new record");
            subject.remove(key).await;
        }
    }
}

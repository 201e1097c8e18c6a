use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::task::Poll;

use cloakroom_core::{
    ErrorKind, Filter, Limits, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};

/// No operation is polled more often.
const MAX_POLLS: usize = 500;
/// Observations of a state that must not change any more. A server may still be at work on what was dropped.
const OBSERVATIONS: usize = 20;

/// Polls a future so many times, then drops it; its output if it came before that.
async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Observes a state until it stands: it is the old or the new one, and never goes from the new back to the old.
/// Says whether it is the new one.
async fn settle<'a, S: PartialEq + Debug>(observe: impl Fn() -> BoxFuture<'a, S>, old: &S, new: &S) -> bool {
    let mut is_new = false;
    for _ in 0..OBSERVATIONS {
        let mut state = observe().await;
        // Several reads are not one: what changes between them is looked at again.
        for _ in 0..OBSERVATIONS {
            if state == *old || state == *new {
                break;
            }
            tokio::task::yield_now().await;
            state = observe().await;
        }
        assert!(state == *old || state == *new, "half-done: {state:?} is neither {old:?} nor {new:?}");
        assert!(!is_new || state == *new, "what had been done was undone");
        is_new = state == *new;
        tokio::task::yield_now().await;
    }
    is_new
}

/// The store works on after a cancelled operation: what is there can be replaced.
async fn assert_usable(subject: &Subject, key: &SessionKey) {
    for _ in 0..OBSERVATIONS {
        let Some(there) = subject.read(key).await else { return };
        if !there.is_live() {
            return;
        }
        let next = subject.revise(&there, "usable");
        match subject.backend().write(key, next.clone(), Write::update(there.version)).await {
            Ok(_) => return assert_eq!(subject.read(key).await, Some(next)),
            // The operation took effect after all.
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Gone), "{error}"),
        }
    }
    panic!("a record can be read but not written");
}

/// Cancels a write at every await: the record is as before or as written.
async fn cancel_write(subject: &Subject, prepare: impl Fn() -> (Option<Record>, Record, Write)) {
    for polls in 1..=MAX_POLLS {
        let key = fresh_key();
        let (old, new, how) = prepare();
        if let Some(old) = &old {
            subject.write(&key, old, Write::overwrite()).await;
        }
        let written = cut(subject.backend().write(&key, new.clone(), how), polls).await;
        let new = Some(new);
        let took_effect = settle(|| subject.read(&key).boxed(), &old, &new).await;
        assert_usable(subject, &key).await;
        if let Some(written) = written {
            written.unwrap_or_else(|error| panic!("write {:?}: {error}", how.mode));
            return assert!(took_effect, "a finished write had no effect");
        }
    }
    panic!("the write did not end after {MAX_POLLS} polls");
}

/// A create that is dropped half-way leaves nothing or the record.
pub async fn cancel_create_old_or_new(subject: &Subject) {
    cancel_write(subject, || (None, subject.owned("user:1"), Write::create())).await;
    cancel_write(subject, || {
        let expired = subject.owned("user:2").with_expires_at(Some(subject.now()));
        (None, subject.revise(&expired, "new").with_expires_at(None), Write::create())
    })
    .await;
}

/// An update that is dropped half-way leaves the old record or the new one.
pub async fn cancel_update_old_or_new(subject: &Subject) {
    cancel_write(subject, || {
        let old = subject.owned("user:1");
        let new = subject.revise(&old, "new").with_owner(Some(owner("user:2")));
        let how = Write::update(old.version);
        (Some(old), new, how)
    })
    .await;
}

/// An overwrite or a newer record that is dropped half-way leaves the old record or the new one.
pub async fn cancel_overwrite_old_or_new(subject: &Subject) {
    for how in [Write::overwrite(), Write::newer()] {
        cancel_write(subject, || {
            let old = subject.owned("user:1");
            let new = subject.revise(&old, "new").with_owner(None);
            (Some(old), new, how)
        })
        .await;
    }
}

/// A create under a limit that is dropped half-way takes no place unless it took effect.
pub async fn cancel_limited_create_takes_no_place(subject: &Subject) {
    let how = Write::create().with_limits(Limits::none().with_per_owner(1).with_per_scope(100));
    for polls in 1..=MAX_POLLS {
        let (first, second) = (fresh_key(), fresh_key());
        let record = subject.owned("user:1");
        let created = cut(subject.backend().write(&first, record.clone(), how), polls).await;
        settle(|| subject.read(&first).boxed(), &None, &Some(record.clone())).await;
        let next = subject.backend().write(&second, record.clone(), how).await;
        match next {
            Ok(_) => assert_eq!(subject.read(&second).await, Some(record)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
                assert!(subject.read(&first).await.is_some(), "nobody has the place that is taken");
            }
        }
        subject.remove(&first).await;
        subject.remove(&second).await;
        if let Some(created) = created {
            created.unwrap_or_else(|error| panic!("create: {error}"));
            return;
        }
    }
    panic!("the create did not end after {MAX_POLLS} polls");
}

/// A rotation that is dropped half-way has moved the session, or has not: it is never lost, never at both keys.
pub async fn cancel_rotate_old_or_new(subject: &Subject) {
    for polls in 1..=MAX_POLLS {
        let record = subject.owned("user:1");
        let (old, new) = (subject.create(&record).await, fresh_key());
        let next = subject.revise(&record, "next").with_owner(Some(owner("user:2")));
        let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
        let how = Rotate::new(record.version).with_trail(trail.clone());
        let rotated = cut(subject.backend().rotate(&old, &new, next.clone(), how), polls).await;
        let before = (Some(record), None);
        let after = (Some(trail), Some(next));
        let look = || async { (subject.read(&old).await, subject.read(&new).await) }.boxed();
        let took_effect = settle(look, &before, &after).await;
        assert_usable(subject, if took_effect { &new } else { &old }).await;
        if let Some(rotated) = rotated {
            rotated.unwrap_or_else(|error| panic!("rotate: {error}"));
            return assert!(took_effect, "a finished rotation had no effect");
        }
    }
    panic!("the rotation did not end after {MAX_POLLS} polls");
}

/// A touch that is dropped half-way has extended the life, or has not; `accessed_at` goes with it.
pub async fn cancel_touch_old_or_new(subject: &Subject) {
    for polls in 1..=MAX_POLLS {
        let record = subject.record("{}");
        let key = subject.create(&record).await;
        subject.advance(SECOND);
        let mut touched = record.clone();
        touched.accessed_at = subject.now();
        touched.expires_at = Some(subject.now() + HOUR * 2);
        let how = Touch::new(record.version, subject.now() + HOUR * 2);
        let result = cut(subject.backend().touch(&key, how), polls).await;
        let took_effect = settle(|| subject.read(&key).boxed(), &Some(record), &Some(touched)).await;
        assert_usable(subject, &key).await;
        if let Some(result) = result {
            assert!(result.unwrap_or_else(|error| panic!("touch: {error}")).is_some());
            return assert!(took_effect, "a finished touch had no effect");
        }
    }
    panic!("the touch did not end after {MAX_POLLS} polls");
}

/// A removal that is dropped half-way has ended the session, or has not.
pub async fn cancel_remove_old_or_new(subject: &Subject) {
    for polls in 1..=MAX_POLLS {
        let record = subject.owned("user:1");
        let key = subject.create(&record).await;
        let removed = cut(subject.backend().remove(&key, Removal::Flushed), polls).await;
        let took_effect = settle(|| subject.alive(&key).boxed(), &Some(record), &None).await;
        assert_usable(subject, &key).await;
        subject.remove(&key).await;
        if let Some(removed) = removed {
            assert!(removed.unwrap_or_else(|error| panic!("remove: {error}")), "a live record was there");
            return assert!(took_effect, "a finished removal had no effect");
        }
    }
    panic!("the removal did not end after {MAX_POLLS} polls");
}

/// A `remove_all` that is dropped half-way leaves each record whole or gone, and the next one finishes the work.
pub async fn cancel_remove_all_each_whole_or_gone(subject: &Subject) {
    let record = subject.owned("user:1");
    let stranger = subject.create(&subject.owned("user:2")).await;
    let filter = Filter::unscoped().with_owner(owner("user:1"));
    for polls in 1..=MAX_POLLS {
        let keys = super::create_many(subject, 20, &record).await;
        let removed = cut(subject.backend().remove_all(&filter, Removal::Revoked), polls).await;
        for key in &keys {
            settle(|| subject.alive(key).boxed(), &Some(record.clone()), &None).await;
        }
        subject.remove_all(&filter).await;
        assert_eq!(subject.count(&filter).await, 0);
        for key in &keys {
            assert!(!subject.lives(key).await);
        }
        assert!(subject.read(&stranger).await.is_some());
        if let Some(removed) = removed {
            return assert_eq!(removed.unwrap_or_else(|error| panic!("remove_all: {error}")), 20);
        }
    }
    panic!("remove_all did not end after {MAX_POLLS} polls");
}

/// A sweep that is dropped half-way has taken nothing that lives, and the next one finishes the work.
pub async fn cancel_sweep_live_stays(subject: &Subject) {
    let live = subject.record("{}").with_expires_at(None);
    let kept = subject.create(&live).await;
    for polls in 1..=MAX_POLLS {
        let expiring = subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND));
        let keys = super::create_many(subject, 5, &expiring).await;
        subject.advance(SECOND);
        let swept = cut(subject.backend().sweep(100), polls).await;
        for key in &keys {
            assert_eq!(subject.read(key).await, None);
            subject.write(key, &subject.record("new"), Write::create()).await;
        }
        subject.sweep(100).await;
        for key in &keys {
            assert!(subject.read(key).await.is_some(), "the sweep took a new record");
            subject.remove(key).await;
        }
        assert_eq!(subject.sweep(100).await, 0);
        assert_eq!(subject.read(&kept).await.as_ref(), Some(&live));
        if let Some(swept) = swept {
            swept.unwrap_or_else(|error| panic!("sweep: {error}"));
            return;
        }
    }
    panic!("the sweep did not end after {MAX_POLLS} polls");
}

async fn cut_reading<'a, T>(
    subject: &Subject,
    key: &SessionKey,
    call: impl Fn() -> BoxFuture<'a, cloakroom_core::Result<T>>,
) {
    for polls in 1..=MAX_POLLS {
        let there = subject.read(key).await;
        let finished = cut(call(), polls).await;
        assert_eq!(subject.read(key).await, there, "an answer that was meant for another");
        assert_usable(subject, key).await;
        if let Some(finished) = finished {
            finished
                .unwrap_or_else(|error| panic!("after it had been cancelled {} times: {error}", polls - 1));
            return;
        }
    }
    panic!("the operation did not end after {MAX_POLLS} polls");
}

/// A read that is dropped half-way changes nothing, and leaves no connection that gives its answer to the next.
pub async fn cancel_read_store_usable(subject: &Subject) {
    let key = subject.create(&subject.record("{}")).await;
    let other = subject.create(&subject.record("other")).await;
    cut_reading(subject, &key, || subject.backend().read(&other).boxed()).await;
    assert_eq!(subject.read(&other).await.map(|read| read.payload), Some("other".into()));
}

/// The same for `scan` and `count`.
pub async fn cancel_scan_store_usable(subject: &Subject) {
    let keys = super::create_many(subject, 20, &subject.owned("user:1")).await;
    let filter = Filter::everywhere();
    cut_reading(subject, &keys[0], || subject.backend().scan(&filter, None, 10).boxed()).await;
    cut_reading(subject, &keys[0], || subject.backend().count(&filter).boxed()).await;
    assert_eq!(subject.count(&filter).await, 20);
    assert_eq!(subject.scan(&filter, 7).await.len(), 20);
}

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::{Record, Scope, SessionId, SessionKey, Touch};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::order;

/// What waits for the worker: for each session the newest record, not each write.
#[derive(Debug)]
pub(crate) struct Queue {
    capacity: usize,
    state: Mutex<State>,
    /// Something is there to do.
    work: Notify,
    /// Something was taken or done.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Slot, Item>,
    order: VecDeque<Slot>,
    /// One at a time for each session.
    under_way: HashMap<Slot, Item>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    id: SessionId,
    scope: Option<Scope>,
}

impl Slot {
    pub(crate) fn of(key: &SessionKey) -> Self {
        Self { id: key.id(), scope: key.scope().cloned() }
    }

    /// The secret of a key stays with its caller.
    pub(crate) fn address(&self) -> SessionKey {
        let address = SessionKey::from_id(self.id);
        self.scope.as_ref().map_or_else(|| address.clone(), |scope| address.scoped(scope))
    }
}

/// What a copy is to get.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) work: Work,
    pub(crate) since: Instant,
}

#[derive(Clone, Debug)]
pub(crate) enum Work {
    Record(Record),
    Touch(Touch),
    /// Whatever the authority has; at least that, where it is known.
    Compare(Option<Record>),
}

/// Something that is being brought to the copies. Dropped before it is [done](Self::done), it waits again, as the first.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    queue: &'a Queue,
    pub(crate) slot: Slot,
    pub(crate) item: Item,
}

impl Taken<'_> {
    pub(crate) fn done(self) {
        self.queue.state().under_way.remove(&self.slot);
    }

    /// It waits again, as the last, whether there is room or not: it had its place.
    pub(crate) fn again(self, work: Work) {
        let mut state = self.queue.state();
        if let Some(item) = state.under_way.get_mut(&self.slot) {
            item.work = work;
        }
        if !state.waiting.contains_key(&self.slot)
            && let Some(item) = state.under_way.remove(&self.slot)
        {
            state.order.push_back(self.slot.clone());
            state.waiting.insert(self.slot.clone(), item);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(item) = state.under_way.remove(&self.slot) {
            if let Some(waiting) = state.waiting.get_mut(&self.slot) {
                waiting.work = newest(item.work, waiting.work.clone());
                waiting.since = waiting.since.min(item.since);
            } else {
                state.order.push_front(self.slot.clone());
                state.waiting.insert(self.slot.clone(), item);
            }
        }
        drop(state);
        self.queue.room.notify_waiters();
        self.queue.work.notify_one();
    }
}

/// The queue has no room.
pub(crate) struct Full;

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), work: Notify::new(), room: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of a caller runs under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, key: &SessionKey, work: Work) -> Result<(), Full> {
        let slot = Slot::of(key);
        let mut state = self.state();
        if let Some(item) = state.waiting.get_mut(&slot) {
            item.work = newest(item.work.clone(), work);
        } else if state.waiting.len() >= self.capacity {
            return Err(Full);
        } else {
            state.order.push_back(slot.clone());
            state.waiting.insert(slot, Item { work, since: Instant::now() });
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Waits for room until then.
    pub(crate) async fn push_until(
        &self,
        key: &SessionKey,
        work: Work,
        deadline: Instant,
    ) -> Result<(), Full> {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            if self.push(key, work.clone()).is_ok() {
                return Ok(());
            }
            tokio::time::timeout_at(deadline, room).await.map_err(|_| Full)?;
        }
    }

    /// The next session to work on.
    pub(crate) async fn next(&self) -> Taken<'_> {
        loop {
            let work = self.work.notified();
            if let Some(next) = self.take() {
                return next;
            }
            work.await;
        }
    }

    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        let mut state = self.state();
        let at = state.order.iter().position(|slot| !state.under_way.contains_key(slot))?;
        let slot = state.order.remove(at)?;
        let item = state.waiting.remove(&slot)?;
        state.under_way.insert(slot.clone(), item.clone());
        drop(state);
        self.room.notify_waiters();
        Some(Taken { queue: self, slot, item })
    }

    /// The record of a session that is on its way.
    pub(crate) fn pending(&self, key: &SessionKey) -> Option<Record> {
        let (slot, state) = (Slot::of(key), self.state());
        match &state.waiting.get(&slot).or_else(|| state.under_way.get(&slot))?.work {
            Work::Record(record) => Some(record.clone()),
            Work::Compare(record) => record.clone(),
            Work::Touch(_) => None,
        }
    }

    /// Waiting and under way.
    pub(crate) fn len(&self) -> usize {
        let state = self.state();
        state.waiting.len() + state.under_way.len()
    }

    pub(crate) fn lag(&self) -> Duration {
        let state = self.state();
        let items = state.waiting.values().chain(state.under_way.values());
        items.map(|item| item.since).min().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Waits until nothing is left, or until then; says how many are.
    pub(crate) async fn drained(&self, deadline: Instant) -> usize {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let left = self.len();
            if left == 0 || tokio::time::timeout_at(deadline, room).await.is_err() {
                return left;
            }
        }
    }
}

fn newest(waiting: Work, new: Work) -> Work {
    let later = |old: Option<Record>, new: Option<Record>| match (old, new) {
        (Some(old), Some(new)) if !order::supersedes(&new, &old) => Some(old),
        (old, new) => new.or(old),
    };
    match (waiting, new) {
        (Work::Record(old), Work::Record(new)) if !order::supersedes(&new, &old) => Work::Record(old),
        (Work::Record(mut record), Work::Touch(touch)) => {
            if record.version == touch.version {
                record.expires_at = record.expires_at.map(|at| at.max(touch.expires_at));
            }
            Work::Record(record)
        }
        (Work::Compare(old), Work::Compare(new)) => Work::Compare(later(old, new)),
        (Work::Compare(old), Work::Record(new)) => Work::Compare(later(old, Some(new))),
        (Work::Record(old), Work::Compare(new)) => Work::Compare(later(Some(old), new)),
        (Work::Compare(old), Work::Touch(_)) => Work::Compare(old),
        (Work::Touch(_), new @ Work::Compare(_)) => new,
        (_, new) => new,
    }
}

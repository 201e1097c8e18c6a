mod shard;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::SessionBackend;
use crate::capability::Capability;
use crate::clock::{Clock, Timestamp};
use crate::error::{ErrorKind, Result, SessionError};
use crate::key::{Scope, SessionId, SessionKey};
use crate::operation::{
    Cursor, Entry, Filter, Limits, Mode, Page, Removal, Rotate, ScopeFilter, Touch, Write,
};
use crate::record::{Owner, Record};

use shard::{IdHasher, Shard, Slot, StoreKey};

const NAME: &str = "memory";
const SHARDS: usize = 64;
const DEFAULT_MAX_PAYLOAD: usize = 16 << 20;

/// Sessions in the memory of this process: sharded, with an index of owners and one of expiry, shared by `clone`.
///
/// For tests, single-process sites and as the near side of larger stacks; what it holds is gone with the process.
/// Without a [capacity](Self::with_capacity) it grows with the number of unexpired sessions; run a
/// [`Sweeper`](crate::Sweeper) to delete expired ones.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// backend.save("greeting", &"hello", Some(60)).await?;
/// assert_eq!(backend.clone().load::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct InMemorySessionBackend(Arc<Inner>);

struct Inner {
    clock: Clock,
    capability: Capability,
    capacity: Option<usize>,
    stored: AtomicUsize,
    shards: Box<[Mutex<Shard>]>,
    // Lock order: `owners` first, then shards. Whoever changes which live record belongs to whom holds it, and so
    // does everything that must see a moving record once: rotate, remove_all, limits.
    owners: Mutex<Owners>,
}

type Owners = HashMap<(Option<Scope>, Owner), HashSet<SessionId>>;

/// What an [`InMemorySessionBackend`] has done since it was made. Counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Records held now, expired and markers included.
    pub stored: u64,
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `read` that found something.
    pub hits: u64,
    /// Records written, by `write` and `rotate`.
    pub writes: u64,
    /// Writes refused because another version was there.
    pub conflicts: u64,
    /// Live records removed.
    pub removals: u64,
    /// Expired records deleted.
    pub swept: u64,
}

/// Settings of an [`InMemorySessionBackend`], fixed when it is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct InMemoryBuilder {
    clock: Clock,
    capacity: Option<usize>,
    max_payload: usize,
}

impl InMemoryBuilder {
    /// Takes its time from there.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Holds at most so many records. At the bound, expired ones are deleted first; what then does not fit is
    /// refused with `QuotaExceeded`. Nothing alive is ever evicted. Markers of rotations come on top.
    pub fn with_capacity(mut self, records: usize) -> Self {
        self.capacity = Some(records);
        self
    }

    /// Accepts payloads of at most so many bytes (default 16 MiB).
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Makes the backend.
    #[must_use]
    pub fn build(self) -> InMemorySessionBackend {
        let hasher = IdHasher::random();
        InMemorySessionBackend(Arc::new(Inner {
            clock: self.clock,
            capability: Capability::store().with_max_payload(self.max_payload),
            capacity: self.capacity,
            stored: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(hasher))).collect(),
            owners: Mutex::default(),
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of a caller runs under these locks, so a poisoned one guards consistent data.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: ErrorKind, operation: &'static str) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME)
}

impl InMemorySessionBackend {
    /// An empty store on the system's clock, without a capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The settings, to change them.
    pub fn builder() -> InMemoryBuilder {
        InMemoryBuilder { clock: Clock::system(), capacity: None, max_payload: DEFAULT_MAX_PAYLOAD }
    }

    /// An empty store on that clock.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self::builder().with_clock(clock).build()
    }

    /// An empty store of at most so many records. See [`InMemoryBuilder::with_capacity`].
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        Self::builder().with_capacity(records).build()
    }

    /// What it holds and has done.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut sum = Statistics::default();
        for shard in &self.0.shards {
            lock(shard).add_to(&mut sum);
        }
        sum
    }

    fn shard_of(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        lock(&self.0.shards[shard_index(id)])
    }

    fn check_size(&self, record: &Record, operation: &'static str) -> Result<()> {
        if record.payload.len() > self.0.capability.max_payload {
            return Err(error(ErrorKind::TooLarge, operation));
        }
        Ok(())
    }

    fn check_capacity(&self, operation: &'static str) -> Result<()> {
        let Some(capacity) = self.0.capacity else { return Ok(()) };
        if self.0.stored.load(Ordering::Relaxed) < capacity {
            return Ok(());
        }
        self.sweep_now(usize::MAX);
        if self.0.stored.load(Ordering::Relaxed) < capacity {
            return Ok(());
        }
        Err(error(ErrorKind::QuotaExceeded, operation).with_message("the store is full"))
    }

    fn note_size(&self, before: usize, after: usize) {
        if self.0.capacity.is_some() {
            self.0.stored.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Checks limits for a record about to appear under `scope`, beside the one at `itself`.
    fn check_limits(
        &self,
        owners: &mut Owners,
        scope: Option<&Scope>,
        itself: SessionId,
        owner: Option<&Owner>,
        limits: Limits,
        now: Timestamp,
    ) -> Result<()> {
        let exceeded = || error(ErrorKind::QuotaExceeded, "write");
        if let (Some(limit), Some(owner)) = (limits.per_owner, owner) {
            let ids = owners.get(&(scope.cloned(), owner.clone()));
            let lives = |id: &&SessionId| {
                **id != itself && self.shard_of(**id).live(&StoreKey::new(**id, scope), now).is_some()
            };
            let others = ids.map_or(0, |ids| ids.iter().filter(lives).count() as u64);
            if others >= limit {
                return Err(exceeded());
            }
        }
        if let Some(limit) = limits.per_scope {
            let own = u64::from(self.shard_of(itself).live(&StoreKey::new(itself, scope), now).is_some());
            let sum = || self.0.shards.iter().map(|shard| lock(shard).live_in(scope)).sum::<u64>();
            if sum().saturating_sub(own) >= limit {
                // The counters include what expired unnoticed.
                let exact = match scope {
                    Some(scope) => {
                        self.0.shards.iter().map(|shard| lock(shard).live_now(scope, now)).sum::<u64>()
                    }
                    None => {
                        self.sweep_with(owners, now, usize::MAX);
                        sum()
                    }
                };
                if exact.saturating_sub(own) >= limit {
                    return Err(exceeded());
                }
            }
        }
        Ok(())
    }

    fn sweep_now(&self, limit: usize) -> u64 {
        self.sweep_with(&mut lock(&self.0.owners), self.0.clock.now(), limit)
    }

    fn sweep_with(&self, owners: &mut Owners, now: Timestamp, limit: usize) -> u64 {
        let mut count = 0;
        for shard in &self.0.shards {
            if count >= limit {
                break;
            }
            let swept = lock(shard).sweep(now, limit - count);
            count += swept.len();
            self.note_size(swept.len(), 0);
            for (key, slot) in &swept {
                disown(owners, key, &slot.record);
            }
        }
        count as u64
    }

    /// The sessions of one owner. Each is seen once, whatever moves meanwhile.
    fn scan_owned(&self, filter: &Filter, after: Option<&StoreKey>, limit: usize, now: Timestamp) -> Page {
        let owners = lock(&self.0.owners);
        let mut keys = owned(&owners, filter);
        keys.retain(|key| after.is_none_or(|after| key > after));
        keys.sort_unstable();
        let lives = |key: StoreKey| self.shard_of(key.id).entry(&key, filter.payload, now);
        let mut entries: Vec<Entry> = keys.into_iter().filter_map(lives).take(limit + 1).collect();
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more).map(|entry| StoreKey::of_entry(entry).to_cursor());
        Page::new(entries, last)
    }

    /// The write when the index of owners is concerned.
    fn write_owned(&self, key: &StoreKey, record: Record, how: Write, now: Timestamp) -> Result<()> {
        let mut owners = lock(&self.0.owners);
        let owner_changes = {
            let shard = self.shard_of(key.id);
            let existing = shard.unexpired(key, now);
            admit(existing, &record, how.mode)?;
            existing.is_none_or(|slot| !slot.record.is_live() || slot.record.owner != record.owner)
        };
        if owner_changes && record.is_live() && !how.limits.is_none() {
            self.check_limits(
                &mut owners,
                key.scope.as_ref(),
                key.id,
                record.owner.as_ref(),
                how.limits,
                now,
            )?;
        }
        // The shard was open meanwhile: decide again.
        let mut shard = self.shard_of(key.id);
        if !admit(shard.unexpired(key, now), &record, how.mode).inspect_err(|_| shard.note_conflict())? {
            return Ok(());
        }
        own(&mut owners, key, &record);
        let before = shard.len();
        let old = shard.put(key, record);
        self.note_size(before, shard.len());
        if let Some(old) = old
            && shard.get(key).is_some_and(|new| !new.record.is_live() || new.record.owner != old.record.owner)
        {
            disown(&mut owners, key, &old.record);
        }
        Ok(())
    }
}

/// Whether the mode lets the record in; `Ok(false)` = it is there already.
fn admit(existing: Option<&Slot>, record: &Record, mode: Mode) -> Result<bool> {
    let refuse = |kind| Err(error(kind, "write"));
    match (mode, existing) {
        (Mode::Create, Some(_)) => refuse(ErrorKind::AlreadyExists),
        (Mode::Update(_), None) => refuse(ErrorKind::Gone),
        (Mode::Update(_), Some(slot)) if !slot.record.is_live() => refuse(ErrorKind::Gone),
        (Mode::Update(expected), Some(slot)) if slot.record.version != expected => {
            refuse(ErrorKind::Conflict)
        }
        (Mode::Newer, Some(slot)) if slot.record.version == record.version => Ok(false),
        (Mode::Newer, Some(slot))
            if slot.record.state == crate::State::Ended || slot.record.version > record.version =>
        {
            refuse(ErrorKind::Conflict)
        }
        _ => Ok(true),
    }
}

fn own(owners: &mut Owners, key: &StoreKey, record: &Record) {
    if let (true, Some(owner)) = (record.is_live(), &record.owner) {
        owners.entry((key.scope.clone(), owner.clone())).or_default().insert(key.id);
    }
}

fn disown(owners: &mut Owners, key: &StoreKey, record: &Record) {
    let Some(owner) = record.owner.as_ref().filter(|_| record.is_live()) else { return };
    let of = (key.scope.clone(), owner.clone());
    if let Some(ids) = owners.get_mut(&of) {
        ids.remove(&key.id);
        if ids.is_empty() {
            owners.remove(&of);
        }
    }
}

fn shard_index(id: SessionId) -> usize {
    usize::from(id.as_bytes()[31]) % SHARDS
}

impl Default for InMemorySessionBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InMemorySessionBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemorySessionBackend").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

impl SessionBackend for InMemorySessionBackend {
    fn capability(&self) -> Capability {
        self.0.capability.clone()
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let now = self.0.clock.now();
        let key = StoreKey::of(key);
        Ok(self.shard_of(key.id).read(&key, now))
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check_size(&record, "write")?;
        let stored = StoreKey::of(key);
        let now = self.0.clock.now();
        if self.0.capacity.is_some() && self.shard_of(stored.id).get(&stored).is_none() {
            self.check_capacity("write")?;
        }
        let mut shard = self.shard_of(stored.id);
        let existing = shard.get(&stored);
        let same_owner = match existing {
            Some(slot) => slot.record.owner == record.owner && slot.record.is_live() == record.is_live(),
            None => record.owner.is_none(),
        };
        let same_member = same_owner && matches!(how.mode, Mode::Update(_));
        if !same_owner || !(same_member || how.limits.is_none()) {
            drop(shard);
            self.write_owned(&stored, record, how, now)?;
            return Ok(key.unscoped());
        }
        if admit(shard.unexpired(&stored, now), &record, how.mode).inspect_err(|_| shard.note_conflict())? {
            let before = shard.len();
            shard.put(&stored, record);
            self.note_size(before, shard.len());
        }
        Ok(key.unscoped())
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check_size(&record, "rotate")?;
        let (from, to) = (StoreKey::of(old), StoreKey::of(new));
        let now = self.0.clock.now();
        let mut owners = lock(&self.0.owners);
        if !how.limits.is_none() {
            // The state of the old key comes before quotas: nobody makes room for a session that has ended.
            admit(self.shard_of(from.id).unexpired(&from, now), &record, Mode::Update(how.expected))?;
            self.check_limits(
                &mut owners,
                to.scope.as_ref(),
                from.id,
                record.owner.as_ref(),
                how.limits,
                now,
            )?;
        }
        // Rotations exclude each other by `owners`, and nobody else holds two shards.
        let mut first = self.shard_of(from.id);
        let mut second =
            if shard_index(from.id) == shard_index(to.id) { None } else { Some(self.shard_of(to.id)) };
        admit(first.unexpired(&from, now), &record, Mode::Update(how.expected))
            .inspect_err(|_| first.note_conflict())?;
        if second.as_deref().unwrap_or(&first).unexpired(&to, now).is_some() {
            return Err(error(ErrorKind::AlreadyExists, "rotate"));
        }
        let before = first.len() + second.as_ref().map_or(0, |shard| shard.len());
        let moved = match how.trail {
            Some(trail) => first.put(&from, trail),
            None => first.take(&from),
        };
        if let Some(moved) = moved {
            disown(&mut owners, &from, &moved.record);
        }
        let target = second.as_deref_mut().unwrap_or(&mut first);
        // First who was there and has expired, since the owner may be the same.
        if let Some(expired) = target.put(&to, record) {
            disown(&mut owners, &to, &expired.record);
        }
        if let Some(slot) = target.get(&to) {
            own(&mut owners, &to, &slot.record);
        }
        self.note_size(before, first.len() + second.as_ref().map_or(0, |shard| shard.len()));
        Ok(new.unscoped())
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let now = self.0.clock.now();
        let stored = StoreKey::of(key);
        Ok(self.shard_of(stored.id).touch(&stored, how, now).then(|| key.unscoped()))
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        let now = self.0.clock.now();
        let key = StoreKey::of(key);
        let mut shard = self.shard_of(key.id);
        match shard.live(&key, now) {
            None => return Ok(false),
            Some(slot) if slot.record.owner.is_none() => {
                shard.remove(&key);
                self.note_size(1, 0);
                return Ok(true);
            }
            Some(_) => drop(shard),
        }
        let mut owners = lock(&self.0.owners);
        let mut shard = self.shard_of(key.id);
        if shard.live(&key, now).is_none() {
            return Ok(false);
        }
        if let Some(slot) = shard.remove(&key) {
            self.note_size(1, 0);
            disown(&mut owners, &key, &slot.record);
        }
        Ok(true)
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let now = self.0.clock.now();
        let after = after.map(|cursor| StoreKey::from_cursor(&cursor)).transpose()?;
        if filter.owner.is_some() {
            return Ok(self.scan_owned(filter, after.as_ref(), limit.max(1), now));
        }
        let start = after.as_ref().map_or(0, |key| shard_index(key.id));
        let limit = limit.max(1);
        let mut entries = Vec::new();
        for (index, shard) in self.0.shards.iter().enumerate().skip(start) {
            let after = after.as_ref().filter(|_| index == start);
            lock(shard).page(filter, after, limit - entries.len(), now, &mut entries);
            if entries.len() >= limit {
                let next = entries.last().map(|entry: &Entry| StoreKey::of_entry(entry).to_cursor());
                return Ok(Page::new(entries, next));
            }
        }
        Ok(Page::new(entries, None))
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let now = self.0.clock.now();
        if filter.owner.is_some() {
            let owners = lock(&self.0.owners);
            let lives = |key: &StoreKey| self.shard_of(key.id).live(key, now).is_some();
            return Ok(owned(&owners, filter).iter().filter(|key| lives(key)).count() as u64);
        }
        Ok(self.0.shards.iter().map(|shard| lock(shard).count(filter, now)).sum())
    }

    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        let now = self.0.clock.now();
        let mut owners = lock(&self.0.owners);
        let listed = owned(&owners, filter);
        let mut removed = 0;
        let mut end = |shard: &mut Shard, key: &StoreKey| {
            if shard.live(key, now).is_some()
                && let Some(slot) = shard.remove(key)
            {
                disown(&mut owners, key, &slot.record);
                self.note_size(1, 0);
                removed += 1;
            }
        };
        if filter.owner.is_some() {
            for key in &listed {
                end(&mut self.shard_of(key.id), key);
            }
        } else {
            for shard in &self.0.shards {
                let mut shard = lock(shard);
                for key in shard.matching(filter, now) {
                    end(&mut shard, &key);
                }
            }
        }
        Ok(removed)
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        Ok(self.sweep_now(limit))
    }
}

/// The keys that the index of owners gives for a filter with an owner.
fn owned(owners: &Owners, filter: &Filter) -> Vec<StoreKey> {
    let Some(owner) = &filter.owner else { return Vec::new() };
    let keys = |scope: Option<&Scope>, ids: &HashSet<SessionId>| {
        ids.iter().filter(|id| filter.except != Some(**id)).map(|id| StoreKey::new(*id, scope)).collect()
    };
    let of = |scope: Option<Scope>| {
        let ids = owners.get(&(scope.clone(), owner.clone()));
        ids.map_or_else(Vec::new, |ids| keys(scope.as_ref(), ids))
    };
    match &filter.scope {
        ScopeFilter::Unscoped => of(None),
        ScopeFilter::Is(scope) => of(Some(scope.clone())),
        ScopeFilter::Any => owners
            .iter()
            .filter(|((_, of), _)| of == owner)
            .flat_map(|((scope, _), ids)| keys(scope.as_ref(), ids) as Vec<_>)
            .collect(),
    }
}

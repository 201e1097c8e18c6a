use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::{NAME, Statistics};
use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result, SessionError};
use crate::key::{Scope, SessionId, SessionKey};
use crate::operation::{Cursor, Entry, Filter, ScopeFilter, Touch};
use crate::record::Record;

/// Width of a bucket of the expiry index, in milliseconds.
const BUCKET: i64 = 4096;
const NEVER: i64 = i64::MAX;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoreKey {
    pub(super) id: SessionId,
    pub(super) scope: Option<Scope>,
}

impl StoreKey {
    pub(super) fn new(id: SessionId, scope: Option<&Scope>) -> Self {
        Self { id, scope: scope.cloned() }
    }

    pub(super) fn of(key: &SessionKey) -> Self {
        Self::new(key.id(), key.scope())
    }

    pub(super) fn of_entry(entry: &Entry) -> Self {
        Self::new(entry.id, entry.scope.as_ref())
    }

    pub(super) fn to_cursor(&self) -> Cursor {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend_from_slice(self.scope.as_ref().map_or("", Scope::as_str).as_bytes());
        Cursor::new(bytes)
    }

    pub(super) fn from_cursor(cursor: &Cursor) -> Result<Self> {
        let foreign = || SessionError::new(ErrorKind::InvalidKey, "scan").with_backend(NAME);
        let (id, scope) = cursor.as_bytes().split_first_chunk::<32>().ok_or_else(foreign)?;
        let scope = std::str::from_utf8(scope).map_err(|_| foreign())?;
        let scope = if scope.is_empty() { None } else { Some(Scope::parse(scope)?) };
        Ok(Self { id: SessionId::from_bytes(*id), scope })
    }
}

impl Hash for StoreKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bytes = self.id.as_bytes();
        state.write_u64(u64::from_le_bytes([
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
        ]));
        // What is saved by name has one id in the key spaces of all tenants.
        for part in self.scope.iter().flat_map(|scope| scope.as_str().as_bytes().chunks(8)) {
            state.write_u64(part.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
}

/// Ids are hashes already; one folded multiplication with a random number keeps chosen names from colliding.
#[derive(Clone, Copy)]
pub(super) struct IdHasher {
    seed: u64,
    hash: u64,
}

impl IdHasher {
    pub(super) fn random() -> Self {
        Self { seed: RandomState::new().build_hasher().finish() | 1, hash: 0 }
    }
}

impl BuildHasher for IdHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(word ^ self.hash ^ self.seed.rotate_left(32)) * u128::from(self.seed);
        let [low, high] = [product as u64, (product >> 64) as u64];
        self.hash = low ^ high;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

pub(super) struct Slot {
    pub(super) record: Record,
    /// The bucket of the expiry index that holds this record; [`NEVER`] = none.
    due: i64,
}

pub(super) struct Shard {
    records: HashMap<StoreKey, Slot, IdHasher>,
    /// Each record is listed in one bucket, not later than the one it expires in. A bucket that comes due lists
    /// again what was extended meanwhile, so that a touch costs nothing here.
    due: BTreeMap<i64, Vec<StoreKey>>,
    /// Live records, expired ones included.
    unscoped: u64,
    /// The same of each scope, by id: what is asked of one tenant costs nothing for the others.
    scoped: HashMap<Scope, BTreeSet<SessionId>>,
    statistics: Statistics,
}

impl Shard {
    pub(super) fn new(hasher: IdHasher) -> Self {
        Self {
            records: HashMap::with_hasher(hasher),
            due: BTreeMap::new(),
            unscoped: 0,
            scoped: HashMap::new(),
            statistics: Statistics::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn get(&self, key: &StoreKey) -> Option<&Slot> {
        self.records.get(key)
    }

    pub(super) fn unexpired(&self, key: &StoreKey, now: Timestamp) -> Option<&Slot> {
        self.get(key).filter(|slot| !slot.record.is_expired(now))
    }

    pub(super) fn live(&self, key: &StoreKey, now: Timestamp) -> Option<&Slot> {
        self.unexpired(key, now).filter(|slot| slot.record.is_live())
    }

    pub(super) fn read(&mut self, key: &StoreKey, now: Timestamp) -> Option<Record> {
        self.statistics.reads += 1;
        let record = self.unexpired(key, now)?.record.clone();
        self.statistics.hits += 1;
        Some(record)
    }

    pub(super) fn put(&mut self, key: &StoreKey, record: Record) -> Option<Slot> {
        self.statistics.writes += 1;
        let bucket = record.expires_at.map_or(NEVER, bucket_of);
        let is_live = record.is_live();
        let Some(slot) = self.records.get_mut(key) else {
            self.list(key, bucket);
            if is_live {
                self.count_live(key, true);
            }
            self.records.insert(key.clone(), Slot { record, due: bucket });
            return None;
        };
        let due = slot.due.min(bucket);
        let listed = slot.due == due;
        let old = std::mem::replace(slot, Slot { record, due });
        if !listed {
            self.list(key, due);
        }
        if old.record.is_live() != is_live {
            self.count_live(key, is_live);
        }
        Some(old)
    }

    pub(super) fn take(&mut self, key: &StoreKey) -> Option<Slot> {
        let slot = self.records.remove(key)?;
        if slot.record.is_live() {
            self.count_live(key, false);
        }
        Some(slot)
    }

    pub(super) fn remove(&mut self, key: &StoreKey) -> Option<Slot> {
        self.statistics.removals += 1;
        self.take(key)
    }

    pub(super) fn touch(&mut self, key: &StoreKey, how: Touch, now: Timestamp) -> bool {
        let Some(slot) = self.records.get_mut(key) else { return false };
        if slot.record.is_expired(now) || !slot.record.is_live() {
            return false;
        }
        if slot.record.version == how.version {
            slot.record.accessed_at = slot.record.accessed_at.max(now);
            // Without an end it cannot be extended.
            slot.record.expires_at = slot.record.expires_at.map(|at| at.max(how.expires_at));
        }
        true
    }

    pub(super) fn note_conflict(&mut self) {
        self.statistics.conflicts += 1;
    }

    fn list(&mut self, key: &StoreKey, bucket: i64) {
        if bucket != NEVER {
            self.due.entry(bucket).or_default().push(key.clone());
        }
    }

    fn count_live(&mut self, key: &StoreKey, appears: bool) {
        let Some(scope) = &key.scope else {
            self.unscoped = if appears { self.unscoped + 1 } else { self.unscoped - 1 };
            return;
        };
        if appears {
            self.scoped.entry(scope.clone()).or_default().insert(key.id);
        } else if let Some(ids) = self.scoped.get_mut(scope) {
            ids.remove(&key.id);
            if ids.is_empty() {
                self.scoped.remove(scope);
            }
        }
    }

    /// Live records, those included that expired unnoticed.
    pub(super) fn live_in(&self, scope: Option<&Scope>) -> u64 {
        scope.map_or(self.unscoped, |scope| self.scoped.get(scope).map_or(0, |ids| ids.len() as u64))
    }

    /// Live records, expired ones left out.
    pub(super) fn live_now(&self, scope: &Scope, now: Timestamp) -> u64 {
        self.within(scope).filter(|key| self.live(key, now).is_some()).count() as u64
    }

    fn within(&self, scope: &Scope) -> impl Iterator<Item = StoreKey> {
        let ids = self.scoped.get(scope).into_iter().flatten();
        ids.map(|id| StoreKey::new(*id, Some(scope)))
    }

    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) -> Vec<(StoreKey, Slot)> {
        let mut swept = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            let bucket = *entry.key();
            if bucket > bucket_of(now) || swept.len() >= limit {
                break;
            }
            let mut keys = entry.remove();
            let mut later = Vec::new();
            while let Some(key) = keys.pop() {
                if swept.len() >= limit {
                    later.push(key);
                    continue;
                }
                let Some(slot) = self.records.get_mut(&key) else { continue };
                if slot.due != bucket {
                    continue;
                }
                if slot.record.is_expired(now) {
                    swept.extend(self.take(&key).map(|slot| (key, slot)));
                    continue;
                }
                slot.due = slot.record.expires_at.map_or(NEVER, bucket_of);
                match slot.due {
                    due if due == bucket => later.push(key),
                    due => self.list(&key, due),
                }
            }
            if !later.is_empty() {
                self.due.insert(bucket, later);
                break;
            }
        }
        self.statistics.swept += swept.len() as u64;
        swept
    }

    pub(super) fn page(
        &self,
        filter: &Filter,
        after: Option<&StoreKey>,
        limit: usize,
        now: Timestamp,
        into: &mut Vec<Entry>,
    ) {
        let mut keys = self.matching(filter, now);
        keys.retain(|key| after.is_none_or(|after| key > after));
        keys.sort_unstable();
        into.extend(keys.iter().filter_map(|key| self.entry(key, filter.payload, now)).take(limit));
    }

    pub(super) fn entry(&self, key: &StoreKey, payload: bool, now: Timestamp) -> Option<Entry> {
        let mut record = self.live(key, now)?.record.clone();
        if !payload {
            record.payload.clear();
        }
        Some(Entry::new(key.id, key.scope.clone(), record))
    }

    pub(super) fn matching(&self, filter: &Filter, now: Timestamp) -> Vec<StoreKey> {
        let meant = |(key, slot): &(&StoreKey, &Slot)| matches(filter, key, &slot.record, now);
        if let ScopeFilter::Is(scope) = &filter.scope {
            let is_meant = |key: &StoreKey| self.get(key).is_some_and(|slot| meant(&(key, slot)));
            return self.within(scope).filter(is_meant).collect();
        }
        self.records.iter().filter(meant).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn count(&self, filter: &Filter, now: Timestamp) -> u64 {
        if let ScopeFilter::Is(_) = &filter.scope {
            return self.matching(filter, now).len() as u64;
        }
        self.records.iter().filter(|(key, slot)| matches(filter, key, &slot.record, now)).count() as u64
    }

    pub(super) fn add_to(&self, sum: &mut Statistics) {
        sum.stored += self.records.len() as u64;
        sum.reads += self.statistics.reads;
        sum.hits += self.statistics.hits;
        sum.writes += self.statistics.writes;
        sum.conflicts += self.statistics.conflicts;
        sum.removals += self.statistics.removals;
        sum.swept += self.statistics.swept;
    }
}

fn matches(filter: &Filter, key: &StoreKey, record: &Record, now: Timestamp) -> bool {
    record.is_live() && !record.is_expired(now) && filter.matches(key.scope.as_ref(), key.id, record)
}

fn bucket_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(BUCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_in_many_scopes_has_many_hashes() {
        let (hasher, id) = (IdHasher::random(), SessionId::from_bytes([7; 32]));
        let hash = |tenant: u32| {
            let scope = Scope::parse(&format!("tenant:{tenant}:session:")).ok();
            hasher.hash_one(StoreKey { id, scope })
        };
        let hashes: std::collections::HashSet<u64> = (0..1_000).map(hash).collect();
        assert_eq!(hashes.len(), 1_000);
    }
}

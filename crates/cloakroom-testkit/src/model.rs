//! A store so simple that it is obviously right: one map, no concurrency, no index. It knows the rules of the
//! contract and nothing else.

use std::collections::BTreeMap;

use cloakroom_core::{ErrorKind, Filter, Limits, Mode, Record, Rotate, State, Timestamp, Touch, Write};

/// A key and a scope, by their numbers in the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) key: usize,
    pub(crate) scope: usize,
}

/// What the contract says: the result, or the refusals that apply. Which of several comes first, it does not say.
pub(crate) type Verdict<T> = Result<T, Vec<ErrorKind>>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    records: BTreeMap<Slot, Record>,
}

impl Model {
    /// What was stored last, expired or not.
    pub(crate) fn stored(&self, at: Slot) -> Option<&Record> {
        self.records.get(&at)
    }

    pub(crate) fn read(&self, at: Slot, now: Timestamp) -> Option<&Record> {
        self.records.get(&at).filter(|record| !record.is_expired(now))
    }

    pub(crate) fn live(&self, at: Slot, now: Timestamp) -> Option<&Record> {
        self.read(at, now).filter(|record| record.is_live())
    }

    pub(crate) fn write(&mut self, at: Slot, record: &Record, how: Write, now: Timestamp) -> Verdict<()> {
        let mut refusals = Vec::new();
        let there = self.read(at, now);
        let mut checks_limits = false;
        match how.mode {
            Mode::Create => {
                refusals.extend(there.map(|_| ErrorKind::AlreadyExists));
                checks_limits = true;
            }
            Mode::Update(expected) => match self.live(at, now) {
                None => refusals.push(ErrorKind::Gone),
                Some(live) => {
                    refusals.extend((live.version != expected).then_some(ErrorKind::Conflict));
                    checks_limits = live.owner != record.owner;
                }
            },
            Mode::Newer => match there {
                Some(there) if there.version == record.version => return Ok(()),
                Some(there) if there.state == State::Ended || there.version > record.version => {
                    refusals.push(ErrorKind::Conflict);
                }
                _ => {}
            },
            _ => {}
        }
        if checks_limits && record.is_live() {
            refusals.extend(self.over_limits(at, record, how.limits, now));
        }
        if refusals.is_empty() {
            self.records.insert(at, record.clone());
            return Ok(());
        }
        Err(refusals)
    }

    /// What is at a new key that is taken counts too, but then the key is refused anyway.
    fn over_limits(
        &self,
        itself: Slot,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Option<ErrorKind> {
        let others: Vec<&Record> = self
            .records
            .iter()
            .filter(|(slot, other)| slot.scope == itself.scope && **slot != itself && !other.is_expired(now))
            .map(|(_, other)| other)
            .filter(|other| other.is_live())
            .collect();
        let of_owner = others.iter().filter(|other| other.owner == record.owner).count() as u64;
        let over_owner = record.owner.is_some() && limits.per_owner.is_some_and(|limit| of_owner >= limit);
        let over_scope = limits.per_scope.is_some_and(|limit| others.len() as u64 >= limit);
        (over_owner || over_scope).then_some(ErrorKind::QuotaExceeded)
    }

    pub(crate) fn rotate(
        &mut self,
        old: Slot,
        new: Slot,
        record: &Record,
        how: &Rotate,
        now: Timestamp,
    ) -> Verdict<()> {
        let mut refusals = Vec::new();
        match self.live(old, now) {
            None => refusals.push(ErrorKind::Gone),
            Some(live) if live.version != how.expected => refusals.push(ErrorKind::Conflict),
            Some(_) => {}
        }
        refusals.extend(self.read(new, now).map(|_| ErrorKind::AlreadyExists));
        refusals.extend(self.over_limits(old, record, how.limits, now));
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.records.remove(&old);
        if let Some(trail) = &how.trail {
            self.records.insert(old, trail.clone());
        }
        self.records.insert(new, record.clone());
        Ok(())
    }

    /// Whether something live was there.
    pub(crate) fn touch(&mut self, at: Slot, how: Touch, now: Timestamp) -> bool {
        if self.live(at, now).is_none() {
            return false;
        }
        if let Some(record) = self.records.get_mut(&at).filter(|record| record.version == how.version) {
            record.accessed_at = now;
            record.expires_at = record.expires_at.map(|end| end.max(how.expires_at));
        }
        true
    }

    /// The live records that a filter means. `matches` says whether a slot's id and scope are meant.
    pub(crate) fn matching(
        &self,
        now: Timestamp,
        matches: impl Fn(Slot, &Record) -> bool,
    ) -> BTreeMap<Slot, Record> {
        let live = self.records.iter().filter(|(_, record)| record.is_live() && !record.is_expired(now));
        let found = live.filter(|(slot, record)| matches(**slot, record));
        found.map(|(slot, record)| (*slot, record.clone())).collect()
    }

    /// After a removal: nothing is there, or the tombstone that the backend left.
    pub(crate) fn remove_to(&mut self, at: Slot, left: Option<Record>) {
        match left {
            None => self.records.remove(&at),
            Some(tombstone) => self.records.insert(at, tombstone),
        };
    }

    /// How many a sweep may delete.
    pub(crate) fn expired(&self, now: Timestamp) -> u64 {
        self.records.values().filter(|record| record.is_expired(now)).count() as u64
    }

    /// A record as a scan with that filter shows it.
    pub(crate) fn strip(record: &Record, filter: &Filter) -> Record {
        let mut record = record.clone();
        if !filter.payload {
            record.payload.clear();
        }
        record
    }
}

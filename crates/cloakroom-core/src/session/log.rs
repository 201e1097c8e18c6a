use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result, SessionError};
use crate::format::Format;
use crate::record::Owner;

/// Most changes that may wait for one save.
const MAX_PENDING: usize = 4096;

/// Computes the new encoded value of a field from the old one. Runs again when a save meets a conflict.
pub(super) type Apply = Arc<dyn Fn(Option<(Format, &[u8])>) -> Result<Vec<u8>> + Send + Sync>;

#[derive(Clone)]
pub(super) enum Change {
    Set { value: Vec<u8>, deadline: Option<Timestamp> },
    Delete,
    Update { apply: Apply, value: Vec<u8> },
    SetTtl { deadline: Option<Timestamp> },
}

/// The changes of one session between two saves, in order. Changes of different fields do not depend on each other,
/// so only the last word on each field is kept; updates are kept all, to be replayed.
#[derive(Clone, Default)]
pub(super) struct Log {
    /// `Clear`: nothing before counts.
    pub(super) cleared: bool,
    pub(super) fields: Vec<(Box<str>, Change)>,
    pub(super) reserved: Vec<(Box<str>, Option<Value>)>,
    pub(super) owner: Option<Option<Owner>>,
}

impl Log {
    pub(super) fn is_empty(&self) -> bool {
        !self.cleared && self.fields.is_empty() && self.reserved.is_empty() && self.owner.is_none()
    }

    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.cleared = true;
    }

    /// The changes of one field, last first.
    pub(super) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Change> {
        self.fields.iter().rev().filter(move |(of, _)| **of == *name).map(|(_, change)| change)
    }

    /// A change that makes all earlier ones of that field pointless; it takes the place of the first.
    pub(super) fn replace(&mut self, name: &str, change: Change) -> Result<()> {
        let Some(first) = self.fields.iter().position(|(of, _)| **of == *name) else {
            return self.push(name, change);
        };
        self.fields[first].1 = change;
        let mut at = 0;
        self.fields.retain(|(of, _)| {
            at += 1;
            at <= first + 1 || **of != *name
        });
        Ok(())
    }

    pub(super) fn push(&mut self, name: &str, change: Change) -> Result<()> {
        if self.fields.len() >= MAX_PENDING {
            return Err(SessionError::new(ErrorKind::TooLarge, "set")
                .with_message("too many changes wait for a save; call save().await in between"));
        }
        self.fields.push((name.into(), change));
        Ok(())
    }

    pub(super) fn update(&mut self, name: &str, apply: Apply, value: Vec<u8>) -> Result<()> {
        let of = self.fields.iter_mut().rev().find(|(of, _)| **of == *name).map(|(_, change)| change);
        match of {
            // What it starts from is known already, whatever a conflict brings.
            Some(Change::Set { value: old, .. }) => *old = value,
            Some(deleted @ Change::Delete) => *deleted = Change::Set { value, deadline: None },
            _ if self.cleared && of.is_none() => {
                return self.push(name, Change::Set { value, deadline: None });
            }
            _ => return self.push(name, Change::Update { apply, value }),
        }
        Ok(())
    }

    pub(super) fn reserve(&mut self, member: &str, value: Option<Value>) {
        self.reserved.retain(|(of, _)| **of != *member);
        self.reserved.push((member.into(), value));
    }
}

/// The logs of a session. Each attempt to save covers those up to a number; changes made after it go to a new one.
#[derive(Clone, Default)]
pub(super) struct Logs {
    closed: Vec<Log>,
    current: Log,
    /// An attempt covers the current one.
    sealed: bool,
}

impl Logs {
    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.current.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.closed.len() + 1
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Log> {
        self.closed.iter().chain([&self.current])
    }

    pub(super) fn at(&self, index: usize) -> &Log {
        self.closed.get(index).unwrap_or(&self.current)
    }

    /// The log for new changes.
    pub(super) fn pending(&mut self) -> &mut Log {
        if self.sealed {
            self.begin(Log::default());
            self.sealed = false;
        }
        &mut self.current
    }

    /// Closes the current log and takes that one in its place.
    fn begin(&mut self, log: Log) {
        self.closed.push(std::mem::replace(&mut self.current, log));
    }

    /// Says how many an attempt to save now covers.
    pub(super) fn seal(&mut self) -> usize {
        self.sealed = self.sealed || !self.current.is_empty();
        self.closed.len() + usize::from(self.sealed)
    }

    /// Forgets so many, the earliest first.
    pub(super) fn forget(&mut self, count: usize) {
        if count > self.closed.len() {
            *self = Self::default();
        } else {
            self.closed.drain(..count);
        }
    }

    /// Takes in the log of that number: the first in place of the empty one that is there.
    pub(super) fn take_in(&mut self, number: usize, log: Log) {
        if number == 0 { self.current = log } else { self.begin(log) }
    }

    pub(super) fn current(&mut self) -> &mut Log {
        &mut self.current
    }

    /// Covered by an attempt as the others are.
    pub(super) fn seal_as(&mut self, others: &Self) {
        self.sealed = others.sealed;
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} changes)", self.fields.len() + self.reserved.len())
    }
}

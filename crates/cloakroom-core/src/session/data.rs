use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::log::{Change, Log, Logs};
use crate::clock::{Now, Timestamp};
use crate::error::{ErrorKind, Result, SessionError};
use crate::format::{Fields, Format, RESERVED, Writer};
use crate::record::Owner;

const DEADLINES: &str = "deadlines";
/// The JSON of a session without fields.
const EMPTY: &[u8] = b"{}";
/// Encoded values up to that length are small.
const SMALL: usize = 64;

/// A session's dictionary: what was stored, and the changes made since. Fields are decoded when they are asked for.
pub(crate) struct Data {
    base: Fields,
    reserved: Option<Map<String, Value>>,
    base_owner: Option<Owner>,
    /// Changes not saved yet.
    logs: Logs,
    format: Format,
}

/// Where the current value of a field is.
enum Place {
    Log(usize, usize),
    Base(Range<usize>),
}

impl Data {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            base: Fields::empty(format),
            reserved: Some(Map::new()),
            base_owner: None,
            logs: Logs::default(),
            format,
        }
    }

    /// Over a stored payload, without changes.
    pub(crate) fn over(payload: Bytes, owner: Option<Owner>, format: Format) -> Result<Self> {
        Ok(Self {
            base: Fields::new(payload)?,
            reserved: None,
            base_owner: owner,
            logs: Logs::default(),
            format,
        })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Puts the same changes over another base; values of updates are computed anew.
    pub(super) fn with_logs(mut self, logs: &Logs, now: Now<'_>) -> Result<Self> {
        for (index, log) in logs.iter().enumerate() {
            let header = Log { fields: Vec::new(), ..log.clone() };
            self.logs.take_in(index, header);
            for (name, change) in &log.fields {
                let change = match change {
                    Change::Update { apply, .. } => {
                        let value = apply(self.peek(name, now)?)?;
                        Change::Update { apply: Arc::clone(apply), value }
                    }
                    other => other.clone(),
                };
                self.logs.current().push(name, change)?;
            }
        }
        self.logs.seal_as(logs);
        Ok(self)
    }

    /// The log for new changes.
    pub(super) fn pending(&mut self) -> &mut Log {
        self.logs.pending()
    }

    /// Says how many logs an attempt to save now covers.
    pub(super) fn seal(&mut self) -> usize {
        self.logs.seal()
    }

    /// Takes a saved payload as the new base and forgets the changes that are in it.
    pub(super) fn rebase(&mut self, payload: Bytes, owner: Option<Owner>, saved: usize) -> Result<()> {
        self.base = Fields::new(payload)?;
        self.reserved = None;
        self.base_owner = owner;
        self.logs.forget(saved);
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        *self = Self::new(self.format);
    }

    pub(super) fn has_changes(&self) -> bool {
        self.logs.iter().any(|log| !log.is_empty())
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        let set = self.logs.iter().rev().find_map(|log| log.owner.as_ref());
        set.unwrap_or(&self.base_owner).as_ref()
    }

    fn cleared(&self) -> bool {
        self.logs.iter().any(|log| log.cleared)
    }

    fn locate(&mut self, name: &str) -> Result<Option<Place>> {
        for index in (0..self.logs.len()).rev() {
            let log = self.logs.at(index);
            for (at, (of, change)) in log.fields.iter().enumerate().rev() {
                match change {
                    _ if **of != *name => {}
                    Change::Set { .. } | Change::Update { .. } => return Ok(Some(Place::Log(index, at))),
                    Change::Delete => return Ok(None),
                    Change::SetTtl { .. } => {}
                }
            }
            if log.cleared {
                return Ok(None);
            }
        }
        Ok(self.base.find(name)?.map(Place::Base))
    }

    fn deadline(&mut self, name: &str) -> Option<Timestamp> {
        for log in self.logs.iter().rev() {
            for change in log.of(name) {
                match change {
                    Change::Set { deadline, .. } | Change::SetTtl { deadline } => return *deadline,
                    Change::Delete => return None,
                    Change::Update { .. } => {}
                }
            }
            if log.cleared {
                return None;
            }
        }
        let millis = self.base_reserved().get(DEADLINES)?.get(name)?.as_i64()?;
        Some(Timestamp::from_millis(millis))
    }

    /// The encoded value of a field that has not expired.
    pub(crate) fn peek(&mut self, name: &str, now: Now<'_>) -> Result<Option<(Format, &[u8])>> {
        Ok(match self.living(name, now)? {
            Some(Place::Base(range)) => Some((self.base.format(), self.base.bytes(range))),
            Some(Place::Log(index, at)) => match &self.logs.at(index).fields[at].1 {
                Change::Set { value, .. } | Change::Update { value, .. } => Some((self.format, value)),
                Change::Delete | Change::SetTtl { .. } => None,
            },
            None => None,
        })
    }

    fn living(&mut self, name: &str, now: Now<'_>) -> Result<Option<Place>> {
        let place = self.locate(name)?;
        let lapsed = place.is_some() && self.deadline(name).is_some_and(|at| now.has_passed(at));
        Ok(place.filter(|_| !lapsed))
    }

    /// The same, to be kept: no copy of what is as it was stored.
    pub(super) fn keep(&mut self, name: &str, now: Now<'_>) -> Result<Option<(Format, Bytes)>> {
        if let Some(Place::Base(range)) = self.living(name, now)? {
            return Ok(Some((self.base.format(), self.base.payload().slice(range))));
        }
        Ok(self.peek(name, now)?.map(|(format, value)| (format, Bytes::copy_from_slice(value))))
    }

    /// Whether a field of that name ended by itself.
    pub(super) fn has_lapsed(&mut self, name: &str, now: Now<'_>) -> bool {
        self.deadline(name).is_some_and(|at| now.has_passed(at))
    }

    /// When a field ends by itself.
    pub(super) fn field_deadline(&mut self, name: &str, now: Now<'_>) -> Result<Option<Timestamp>> {
        Ok(if self.peek(name, now)?.is_some() { self.deadline(name) } else { None })
    }

    /// Visits every field that has not expired, those of the store first, up to where the payload is damaged.
    pub(crate) fn each(
        &mut self,
        now: Now<'_>,
        mut visit: impl FnMut(&str, Format, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if !self.has_changes() && self.base_reserved().is_empty() {
            let scanned = self.base.scan();
            for (name, range) in self.base.iter().filter(|(name, _)| *name != RESERVED) {
                visit(name, self.base.format(), self.base.bytes(range))?;
            }
            return scanned;
        }
        let (names, scanned) = self.names(now);
        for name in names {
            if let Some((format, value)) = self.peek(&name, now)? {
                visit(&name, format, value)?;
            }
        }
        scanned
    }

    /// Names of all fields, those of the store first, and whether the payload was read to its end.
    fn names(&mut self, now: Now<'_>) -> (Vec<String>, Result<()>) {
        let scanned = if self.cleared() { Ok(()) } else { self.base.scan() };
        let mut names: Vec<String> = Vec::new();
        if !self.cleared() {
            names.extend(self.base.iter().map(|(name, _)| name.to_owned()).filter(|name| name != RESERVED));
        }
        let known = names.len();
        for (name, change) in self.logs.iter().flat_map(|log| &log.fields) {
            let appears = matches!(change, Change::Set { .. } | Change::Update { .. });
            // Most changes are to fields that are there already.
            if appears && !names[known..].iter().any(|known| **known == **name) {
                names.push(name.to_string());
            }
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()) && matches!(self.peek(name, now), Ok(Some(_))));
        (names, scanned)
    }

    fn base_reserved(&mut self) -> &Map<String, Value> {
        if self.reserved.is_none() {
            let mut found = Map::new();
            if self.base.may_hold_reserved()
                && let Ok(Some(range)) = self.base.find(RESERVED)
            {
                found = self.base.format().decode(self.base.bytes(range)).unwrap_or_default();
            }
            self.reserved = Some(found);
        }
        self.reserved.get_or_insert_default()
    }

    /// A member that the framework keeps.
    pub(crate) fn reserved(&mut self, member: &str) -> Option<Value> {
        for log in self.logs.iter().rev() {
            if let Some((_, value)) = log.reserved.iter().find(|(of, _)| **of == *member) {
                return value.clone();
            }
        }
        if self.reserved.as_ref().is_some_and(Map::is_empty) {
            return None;
        }
        self.base_reserved().get(member).cloned()
    }

    /// Forgets what the framework had stored, but not what was set since.
    pub(super) fn drop_stored_reserved(&mut self) {
        let stored: Vec<String> = self.base_reserved().keys().cloned().collect();
        for member in stored {
            if !self.logs.iter().any(|log| log.reserved.iter().any(|(of, _)| **of == *member)) {
                self.pending().reserve(&member, None);
            }
        }
    }

    /// Whether there is nothing at all to store.
    pub(super) fn is_blank(&mut self, now: Now<'_>) -> bool {
        // The usual new session: something was set.
        let lasts = |change: &Change| matches!(change, Change::Set { deadline: None, .. });
        if self.logs.len() == 1 && self.logs.at(0).fields.iter().any(|(_, change)| lasts(change)) {
            return false;
        }
        let reserved = self.logs.iter().any(|log| log.reserved.iter().any(|(_, value)| value.is_some()));
        !reserved
            && self.owner().is_none()
            && self.base_reserved().is_empty()
            && matches!(self.names(now), (names, Ok(())) if names.is_empty())
    }

    /// The payload with the changes in it.
    pub(super) fn encode(&mut self, now: Now<'_>) -> Result<Bytes> {
        if !self.has_changes() && self.base.format() == self.format && !self.base.payload().is_empty() {
            return Ok(self.base.payload().clone());
        }
        if let Some(payload) = self.splice()? {
            return Ok(payload);
        }
        let size = self.base.payload().len() + 64 * self.logs.len();
        let mut writer = Writer::new(self.format, size);
        let (names, scanned) = self.names(now);
        scanned?;
        let reserved = self.merged_reserved(&names);
        if !reserved.is_empty() {
            writer.member(RESERVED, &self.format.encode(&reserved)?);
        }
        let format = self.format;
        for name in &names {
            let Some((from, value)) = self.peek(name, now)? else { continue };
            writer.member(name, &transcoded(format, from, value)?);
        }
        Ok(writer.finish(true).into())
    }

    /// The usual case without a walk over unchanged fields: JSON over JSON, fields replaced or added, nothing else.
    fn splice(&mut self) -> Result<Option<Bytes>> {
        let plain = |log: &Log| {
            !log.cleared
                && log.reserved.is_empty()
                && log.fields.iter().all(|(_, change)| {
                    matches!(change, Change::Set { deadline: None, .. } | Change::Update { .. })
                })
        };
        let json = self.format == Format::Json && self.base.format() == Format::Json;
        if !json || !self.logs.iter().all(plain) {
            return Ok(None);
        }
        if self.base_reserved().contains_key(DEADLINES) {
            return Ok(None);
        }
        let marked = self.base.is_marked() || !self.base.may_hold_reserved();
        let mut replaced: Vec<(Range<usize>, &[u8])> = Vec::new();
        let mut added: Vec<(&str, &[u8])> = Vec::new();
        let mut growth = 0;
        for (name, change) in self.logs.iter().flat_map(|log| &log.fields) {
            let (Change::Set { value, .. } | Change::Update { value, .. }) = change else { continue };
            growth += name.len() + value.len() + 4;
            match self.base.find(name)? {
                Some(range) => match replaced.iter_mut().find(|(of, _)| *of == range) {
                    Some((_, old)) => *old = value,
                    None => replaced.push((range, value)),
                },
                None => match added.iter_mut().find(|(of, _)| *of == &**name) {
                    Some((_, old)) => *old = value,
                    None => added.push((name, value)),
                },
            }
        }
        replaced.sort_unstable_by_key(|(range, _)| range.start);
        let base = match self.base.payload() {
            none if none.is_empty() => EMPTY,
            base => base,
        };
        let blank = base == EMPTY;
        // Small fields go to the front, so that finding them again does not lead past large ones.
        let small = |value: &[u8]| value.len() <= SMALL;
        if !self.reserved.as_ref().is_none_or(Map::is_empty) && added.iter().any(|(_, value)| small(value)) {
            // The reserved member comes before them.
            return Ok(None);
        }
        let mut writer = Writer::new(Format::Json, base.len() + growth);
        added.iter().filter(|(_, value)| small(value)).for_each(|(name, value)| writer.member(name, value));
        if !blank {
            writer.begin_rest(self.base.is_known_empty());
            let mut from = self.base.start();
            for (range, value) in replaced {
                writer.raw(&base[from..range.start]);
                writer.raw(value);
                from = range.end;
            }
            writer.raw(&base[from..self.base.end()]);
        }
        added.iter().filter(|(_, value)| !small(value)).for_each(|(name, value)| writer.member(name, value));
        Ok(Some(writer.finish(marked).into()))
    }

    fn merged_reserved(&mut self, names: &[String]) -> Map<String, Value> {
        let mut merged = self.base_reserved().clone();
        for (member, value) in self.logs.iter().flat_map(|log| &log.reserved) {
            match value {
                Some(value) => merged.insert(member.to_string(), value.clone()),
                None => merged.remove(&**member),
            };
        }
        merged.remove(DEADLINES);
        let deadlines: Map<String, Value> = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.deadline(name)?.as_millis().into())))
            .collect();
        if !deadlines.is_empty() {
            merged.insert(DEADLINES.into(), deadlines.into());
        }
        merged
    }
}

fn transcoded(to: Format, from: Format, value: &[u8]) -> Result<Cow<'_, [u8]>> {
    if to == from {
        return Ok(value.into());
    }
    let value: Value = from.decode(value)?;
    Ok(to.encode(&value)?.into())
}

/// Refuses names that are the framework's.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name == RESERVED {
        return Err(SessionError::new(ErrorKind::InvalidKey, "set")
            .with_message("the member `_cloakroom` belongs to the framework"));
    }
    Ok(())
}

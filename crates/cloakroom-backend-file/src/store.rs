//! The operations on single records. All of it blocks; what takes a [`Held`] is called under the lock of the record.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, ErrorKind, Limits, Mode, Owner, Record, Rotate, Scope, State, Timestamp, Touch, Write,
};

use crate::budget::Budget;
use crate::builder::DEFAULT_MAX_PAYLOAD;
use crate::damage::Quarantine;
use crate::error::Fault;
use crate::file::Seen;
use crate::folder::Anchor;
use crate::header::{Damage, Header, Link, encode};
use crate::lock::{Held, Locks, Slot};
use crate::path::{Layout, OwnerHash, Place};

/// What a write waits for before it is acknowledged. Whatever is chosen, sessions survive the end of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// For nothing: the system writes when it likes. When the power goes, recent sessions may be lost or damaged;
    /// damaged ones are recognised and moved aside.
    None,
    /// For the bytes of the file: when the power goes, each session is there in its old or its new state.
    #[default]
    File,
    /// For the file's name too, and for touches: when the power goes, nothing that was acknowledged is lost, and
    /// what was removed stays removed.
    Full,
}

pub(crate) struct Store {
    pub(crate) layout: Arc<Layout>,
    pub(crate) anchor: Anchor,
    pub(crate) locks: Locks,
    pub(crate) clock: Clock,
    pub(crate) capability: Capability,
    pub(crate) durability: Durability,
    pub(crate) timeout: Duration,
    pub(crate) budget: Budget,
    pub(crate) quarantine: Quarantine,
    /// Where the last sweep stopped.
    pub(crate) swept: Mutex<Option<Place>>,
    /// The length beyond which a payload is not read. Those that an earlier setting let in are.
    pub(crate) largest: u64,
    opened: AtomicU64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// The limits have to be checked, and what that takes is not locked. Nothing was changed.
    Unchecked,
}

/// What a record is filed with.
pub(crate) struct Filing<'a> {
    pub(crate) at: Place,
    pub(crate) scope: Option<&'a Scope>,
    pub(crate) record: &'a Record,
}

impl Store {
    pub(crate) fn new(
        layout: Layout,
        anchor: Anchor,
        clock: Clock,
        capability: Capability,
        durability: Durability,
        timeout: Duration,
    ) -> Self {
        let layout = Arc::new(layout);
        Self {
            locks: Locks::new(Arc::clone(&layout)),
            quarantine: Quarantine::new(layout.folder("damaged")),
            layout,
            anchor,
            clock,
            largest: capability.max_payload.max(DEFAULT_MAX_PAYLOAD) as u64,
            capability,
            durability,
            timeout,
            budget: Budget::of_process(),
            swept: Mutex::default(),
            opened: AtomicU64::new(0),
        }
    }

    pub(crate) fn check_folder(&self) -> Result<(), Fault> {
        self.anchor.check(&self.layout)
    }

    /// Keeps the folder itself in order.
    pub(crate) fn renew(&self) -> Result<(), Fault> {
        self.anchor.renew(&self.layout)?;
        Ok(self.quarantine.expire(self.clock.now())?)
    }

    pub(crate) fn count_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// What is there under the lock, expired and hidden too. What a killed process left unfinished is not.
    fn current(&self, at: &Place) -> Result<Option<Header>, Fault> {
        let header = match self.look(at)? {
            Seen::Nothing => return Ok(None),
            Seen::There(header, ()) => header,
            Seen::Damaged(damage) => {
                self.quarantine.set_aside(&self.layout.session(at), damage, self.clock.now())?;
                return Ok(None);
            }
        };
        match header.pending() {
            Some(from) if !self.leads_to(&from, at)? => Ok(None),
            _ => Ok(Some(header)),
        }
    }

    /// Moves what is there aside if it is damaged still.
    pub(crate) fn set_aside(&self, _held: &Held, at: &Place) -> Result<(), Fault> {
        match self.look_whole(at)? {
            Seen::Damaged(damage) => {
                self.quarantine.set_aside(&self.layout.session(at), damage, self.clock.now())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn write(
        &self,
        held: &Held,
        filing: &Filing<'_>,
        how: Write,
        counted: bool,
    ) -> Result<Written, Fault> {
        let Filing { at, record, .. } = filing;
        let now = self.clock.now();
        let there = self.current(at)?;
        let existing = unexpired(there.as_ref(), now);
        if !admit(existing, record, how.mode)? {
            return Ok(Written::Done);
        }
        let joins =
            record.is_live() && existing.is_none_or(|old| !old.is_live() || old.owner != record.owner);
        if joins && !how.limits.is_none() {
            if !counted {
                return Ok(Written::Unchecked);
            }
            self.check_limits(filing, at, how.limits, now)?;
        }
        self.prepare(held, at, there.as_ref())?;
        self.replace(filing, there.as_ref(), Link::None)?;
        Ok(Written::Done)
    }

    /// Before something is replaced or deleted that vouches for another record.
    fn prepare(&self, held: &Held, at: &Place, there: Option<&Header>) -> Result<(), Fault> {
        match there.and_then(Header::successor) {
            Some(successor) => self.settle(held, at, &successor),
            None => Ok(()),
        }
    }

    /// Puts the record there. The index of owners has it first, so that it never lacks one.
    fn replace(&self, filing: &Filing<'_>, there: Option<&Header>, link: Link) -> Result<(), Fault> {
        let Filing { at, scope, record } = filing;
        let header = encode(at.id, *scope, record, link, false);
        let temporary = self.layout.temporary(at.shard(), "new");
        self.put(&temporary, header, &record.payload)?;
        let before = there.and_then(owner_of);
        let after = record.owner.as_ref().filter(|_| record.is_live());
        let installed = match after {
            Some(owner) => self.index(owner, at).inspect_err(|_| drop(fs::remove_file(&temporary))),
            None => Ok(()),
        };
        let installed = installed.and_then(|()| self.install(&temporary, at));
        if installed.is_err() && before != after {
            self.unindex(after, at);
        }
        installed?;
        self.sync_folder(&self.layout.session(at))?;
        if before != after {
            self.unindex(before, at);
        }
        Ok(())
    }

    /// The entry may have gone since the record came: by a power cut, or by what tidies up temporary folders.
    fn index(&self, owner: &Owner, at: &Place) -> Result<(), Fault> {
        if self.is_indexed(owner, at) {
            return Ok(());
        }
        let path = self.layout.owned(OwnerHash::of(owner), at);
        let create = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        self.in_folder(&path, || create().map(drop))?;
        Ok(self.sync_folder(&path)?)
    }

    /// On a full disk it waits for another time: touches need no room, and sweeps make some.
    fn heal_index(&self, owner: &Owner, at: &Place) -> Result<(), Fault> {
        match self.index(owner, at) {
            Err(Fault::Io(error))
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Ok(())
            }
            indexed => indexed,
        }
    }

    pub(crate) fn is_indexed(&self, owner: &Owner, at: &Place) -> bool {
        fs::symlink_metadata(self.layout.owned(OwnerHash::of(owner), at)).is_ok()
    }

    /// What stays behind when this fails points to nothing, and is cleared away when somebody looks.
    pub(crate) fn unindex(&self, owner: Option<&Owner>, at: &Place) {
        let Some(owner) = owner else { return };
        let path = self.layout.owned(OwnerHash::of(owner), at);
        // The folder goes with the last of its files; another owner's folder is not touched.
        if fs::remove_file(&path).is_ok()
            && let Some(folder) = path.parent()
        {
            let _ = fs::remove_dir(folder);
        }
    }

    /// Clears away what the index says of that owner and is not so.
    pub(crate) fn check_index(&self, _held: &Held, owner: &Owner, at: &Place) -> Result<(), Fault> {
        let there = self.current(at)?;
        if there.as_ref().and_then(owner_of) != Some(owner) {
            self.unindex(Some(owner), at);
        }
        Ok(())
    }

    pub(crate) fn touch(&self, _held: &Held, at: &Place, how: Touch) -> Result<bool, Fault> {
        let now = self.clock.now();
        let there = self.current(at)?;
        let Some(live) = unexpired(there.as_ref(), now).filter(|old| old.is_live()) else { return Ok(false) };
        if let Some(owner) = owner_of(live) {
            self.heal_index(owner, at)?;
        }
        if live.version == how.version {
            // Without an end it cannot be extended.
            let end = live.expires_at.map(|end| end.max(how.expires_at));
            self.rewrite_times(at, &live.next_slot(live.accessed_at.max(now), end), Durability::Full)?;
        }
        Ok(true)
    }

    pub(crate) fn remove(
        &self,
        _held: &Held,
        at: &Place,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<bool, Fault> {
        let there = self.current(at)?;
        let live = unexpired(there.as_ref(), self.clock.now()).filter(|old| old.is_live() && wanted(old));
        let Some(live) = live else { return Ok(false) };
        self.delete(at, live)?;
        Ok(true)
    }

    fn delete(&self, at: &Place, there: &Header) -> Result<(), Fault> {
        let path = self.layout.session(at);
        fs::remove_file(&path)?;
        self.sync_folder(&path)?;
        self.unindex(owner_of(there), at);
        Ok(())
    }

    /// The new record is put first, and does not count; the rename that puts the trail in place of the old one makes
    /// both count at once.
    pub(crate) fn rotate(
        &self,
        held: &Held,
        from: (&Place, Option<&Scope>),
        filing: &Filing<'_>,
        how: &Rotate,
    ) -> Result<(), Fault> {
        let ((from, from_scope), Filing { at: to, record, .. }) = (from, filing);
        let now = self.clock.now();
        let old = self.current(from)?;
        admit(unexpired(old.as_ref(), now), record, Mode::Update(how.expected))?;
        if from == to {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if record.is_live() && !how.limits.is_none() {
            self.check_limits(filing, from, how.limits, now)?;
        }
        let in_the_way = self.current(to)?;
        if unexpired(in_the_way.as_ref(), now).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.prepare(held, to, in_the_way.as_ref())?;
        let hidden = Record::ended(now, now);
        let trail = how.trail.as_ref().unwrap_or(&hidden);
        let header = encode(from.id, from_scope, trail, Link::Successor(*to), how.trail.is_none());
        let temporary = self.layout.temporary(from.shard(), "trail");
        self.put(&temporary, header, &trail.payload)?;
        let appeared = self.replace(filing, in_the_way.as_ref(), Link::Predecessor(*from));
        appeared.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        let before = old.as_ref().and_then(owner_of);
        let after = trail.owner.as_ref().filter(|_| trail.is_live());
        let indexed = match after {
            Some(owner) => self.index(owner, from),
            None => Ok(()),
        };
        // Takes effect here.
        if let Err(fault) = indexed.and_then(|()| self.install(&temporary, from)) {
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(self.layout.session(to));
            self.unindex(record.owner.as_ref(), to);
            return Err(fault);
        }
        self.sync_folder(&self.layout.session(from))?;
        if before != after {
            self.unindex(before, from);
        }
        self.settle(held, from, to)?;
        if how.trail.is_none() {
            // If it stays, a sweep finds it.
            let _ = fs::remove_file(self.layout.session(from));
        }
        Ok(())
    }

    /// Makes the record at `to` count by itself, if it still leans on what is at `from`.
    fn settle(&self, held: &Held, from: &Place, to: &Place) -> Result<(), Fault> {
        let leaning = || -> Result<Option<Header>, Fault> {
            Ok(match self.look(to)? {
                Seen::There(header, ()) if header.pending() == Some(*from) => Some(header),
                _ => None,
            })
        };
        if leaning()?.is_none() {
            return Ok(());
        }
        let slot = Slot::Shard(to.shard());
        let _other = if held.covers(slot) { None } else { Some(self.locks.try_lock(slot)?) };
        match leaning()? {
            Some(header) => {
                let slot = header.next_slot(header.accessed_at, header.expires_at);
                self.rewrite_times(to, &slot, Durability::File)
            }
            None => Ok(()),
        }
    }

    /// Deletes what has expired or was left unfinished there, and makes sure that the index has what stays; says whether
    /// something expired went.
    pub(crate) fn clear_away(&self, held: &Held, at: &Place) -> Result<bool, Fault> {
        let header = match self.look(at)? {
            Seen::There(header, ()) => header,
            Seen::Nothing => return Ok(false),
            Seen::Damaged(_) => return self.set_aside(held, at).map(|()| false),
        };
        let unfinished = match header.pending() {
            Some(from) => !self.leads_to(&from, at)?,
            None => false,
        };
        let expired = header.is_expired(self.clock.now());
        if !unfinished && !header.hidden && !expired {
            return owner_of(&header).map_or(Ok(()), |owner| self.heal_index(owner, at)).map(|()| false);
        }
        match self.prepare(held, at, Some(&header)) {
            // Somebody is at work on the other end: next time.
            Err(Fault::Verdict(ErrorKind::Unavailable, _)) => return Ok(false),
            prepared => prepared?,
        }
        self.delete(at, &header)?;
        Ok(expired && !unfinished && !header.hidden)
    }

    /// Checks limits for a record about to appear, beside the one at `itself`.
    fn check_limits(
        &self,
        filing: &Filing<'_>,
        itself: &Place,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let space = filing.at.space;
        if let (Some(limit), Some(owner)) = (limits.per_owner, &filing.record.owner)
            && self.count_owned(space, owner, itself, limit, now)? >= limit
        {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        match limits.per_scope {
            Some(limit) if self.count_others(space, itself, limit, now)? >= limit => {
                Err(ErrorKind::QuotaExceeded.into())
            }
            _ => Ok(()),
        }
    }

    /// Reads damaged files as absent; somebody who may will move them aside.
    pub(crate) fn is_live_now(
        &self,
        at: &Place,
        now: Timestamp,
        also: impl Fn(&Header) -> bool,
    ) -> Result<bool, Fault> {
        Ok(match self.glance(at)? {
            Seen::There(header, ()) => header.is_live() && !header.is_expired(now) && also(&header),
            Seen::Nothing | Seen::Damaged(_) => false,
        })
    }

    /// Moves aside what nobody can have put there on purpose.
    pub(crate) fn set_foreign_aside(&self, path: &std::path::Path) -> io::Result<()> {
        match self.quarantine.set_aside(path, Damage::Foreign, self.clock.now()) {
            Err(Fault::Io(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Who the index must list a record under.
pub(crate) fn owner_of(header: &Header) -> Option<&Owner> {
    header.owner.as_ref().filter(|_| header.is_live())
}

fn unexpired(there: Option<&Header>, now: Timestamp) -> Option<&Header> {
    there.filter(|header| !header.hidden && !header.is_expired(now))
}

/// Whether the mode lets the record in; `Ok(false)` = it is there already.
fn admit(existing: Option<&Header>, record: &Record, mode: Mode) -> Result<bool, Fault> {
    let refuse = |kind: ErrorKind| Err(kind.into());
    match (mode, existing) {
        (Mode::Create, Some(_)) => refuse(ErrorKind::AlreadyExists),
        (Mode::Update(_), None) => refuse(ErrorKind::Gone),
        (Mode::Update(_), Some(old)) if !old.is_live() => refuse(ErrorKind::Gone),
        (Mode::Update(expected), Some(old)) if old.version != expected => refuse(ErrorKind::Conflict),
        (Mode::Newer, Some(old)) if old.version == record.version => Ok(false),
        (Mode::Newer, Some(old)) if old.state == State::Ended || old.version > record.version => {
            refuse(ErrorKind::Conflict)
        }
        (Mode::Create | Mode::Update(_) | Mode::Overwrite | Mode::Newer, _) => Ok(true),
        _ => refuse(ErrorKind::Unsupported),
    }
}

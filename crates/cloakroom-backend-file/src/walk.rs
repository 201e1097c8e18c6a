//! Going through many records, in the order of scope and id, by headers alone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use cloakroom_core::{Entry, Filter, Owner, Page, ScopeFilter, SessionId, Timestamp};

use crate::error::{Fault, is_passing};
use crate::file::Seen;
use crate::header::{Damage, Header};
use crate::path::{OwnerHash, Place, Space, id_in_shard, id_of_owned, shard_of_temporary, unhex};
use crate::store::{Store, owner_of};

/// How many headers are read before others get their turn.
pub(crate) const STRIDE: usize = 1024;
/// How often an owner's sessions are counted again that moved meanwhile.
const RECOUNTS: u32 = 16;

/// What a walk came by that wants to be dealt with under a lock.
#[derive(Default)]
pub(crate) struct Finds {
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Place>,
    pub(crate) damaged: Vec<(Place, Damage)>,
    /// Listed under the filter's owner without being that owner's.
    pub(crate) stale: Vec<Place>,
}

/// A part of a walk: behind `after`, up to `until`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stretch {
    pub(crate) after: Option<Place>,
    pub(crate) until: Option<Place>,
}

impl Store {
    /// Names in a folder that make sense, in order; others are moved aside.
    fn names<T: Ord>(&self, folder: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Fault> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                self.clear(folder)?;
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            match name.to_str().and_then(&parse) {
                Some(name) => names.push(name),
                // What network file systems keep of deleted files that are open.
                None if name.as_encoded_bytes().starts_with(b".nfs") => {}
                None => self.set_foreign_aside(&folder.join(name))?,
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn spaces(&self, of: &ScopeFilter) -> Result<Vec<Space>, Fault> {
        match of {
            ScopeFilter::Unscoped => Ok(vec![Space::NONE]),
            ScopeFilter::Is(scope) => Ok(vec![Space::of(Some(scope))]),
            _ => self.names(&self.layout.scopes(), Space::from_name),
        }
    }

    fn shards(&self, space: Space) -> Result<Vec<u8>, Fault> {
        let shard = |name: &str| unhex::<1>(name).map(|[shard]| shard);
        self.names(&self.layout.sessions(space), shard)
    }

    fn ids(&self, space: Space, shard: u8) -> Result<Vec<SessionId>, Fault> {
        self.names(&self.layout.shard(space, shard), |name| id_in_shard(shard, name))
    }

    fn owned_ids(&self, space: Space, owner: &Owner) -> Result<Vec<SessionId>, Fault> {
        self.names(&self.layout.owner(space, OwnerHash::of(owner)), id_of_owned)
    }

    /// Visits places until the visitor has enough or so many were visited; gives the last one unless it was the end.
    fn walk(
        &self,
        scope: &ScopeFilter,
        owner: Option<&Owner>,
        stretch: Stretch,
        most: usize,
        mut visit: impl FnMut(Place) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<Option<Place>, Fault> {
        let mut left = most;
        let mut last = stretch.after;
        for space in self.spaces(scope)? {
            if stretch.after.is_some_and(|after| space < after.space) {
                continue;
            }
            // One folder of the index, or all shards.
            let shards = if owner.is_some() { vec![0] } else { self.shards(space)? };
            for shard in shards {
                let behind = |after: Place| after.space == space && shard < after.shard();
                if owner.is_none() && stretch.after.is_some_and(behind) {
                    continue;
                }
                let ids = match owner {
                    Some(owner) => self.owned_ids(space, owner)?,
                    None => self.ids(space, shard)?,
                };
                for id in ids {
                    let at = Place { space, id };
                    if stretch.after.is_some_and(|after| at <= after) {
                        continue;
                    }
                    if stretch.until.is_some_and(|until| at > until) {
                        return Ok(None);
                    }
                    if left == 0 {
                        return Ok(last);
                    }
                    left -= 1;
                    if visit(at)?.is_break() {
                        return Ok(last);
                    }
                    last = Some(at);
                }
            }
        }
        Ok(None)
    }

    /// Walks over the live records that a filter means. The visitor is asked before a record is read, too, so that none
    /// is passed over.
    fn each(
        &self,
        filter: &Filter,
        after: Option<Place>,
        is_full: impl Fn(usize) -> bool,
        mut take: impl FnMut(Place, Header) -> Result<bool, Fault>,
    ) -> Result<Finds, Fault> {
        let mut finds = Finds::default();
        let now = self.clock.now();
        let mut taken = 0;
        let stretch = Stretch { after, until: None };
        let next = self.walk(&filter.scope, filter.owner.as_ref(), stretch, STRIDE, |at| {
            if is_full(taken) {
                return Ok(ControlFlow::Break(()));
            }
            match self.glance(&at)? {
                Seen::Damaged(damage) => finds.damaged.push((at, damage)),
                Seen::There(header, ()) if is_meant(filter, &at, &header, now) => {
                    taken += usize::from(take(at, header)?);
                }
                Seen::There(header, ()) if filter.owner.as_ref() == owner_of(&header) => {}
                _ if filter.owner.is_some() => finds.stale.push(at),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        finds.next = next;
        Ok(finds)
    }

    pub(crate) fn page(
        &self,
        filter: &Filter,
        after: Option<Place>,
        limit: usize,
    ) -> Result<(Page, Finds), Fault> {
        let now = self.clock.now();
        let mut entries = Vec::new();
        let mut damaged = Vec::new();
        let mut finds = self.each(
            filter,
            after,
            |taken| taken >= limit,
            |at, header| {
                let scope = header.scope.clone();
                let record = if filter.payload {
                    match self.read(&at)? {
                        Seen::There(header, payload) if is_meant(filter, &at, &header, now) => {
                            header.into_record(payload)
                        }
                        Seen::Damaged(damage) => {
                            damaged.push((at, damage));
                            return Ok(false);
                        }
                        _ => return Ok(false),
                    }
                } else {
                    header.into_record(bytes::Bytes::new())
                };
                entries.push(Entry::new(at.id, scope, record));
                Ok(true)
            },
        )?;
        finds.damaged.append(&mut damaged);
        Ok((Page::new(entries, finds.next.map(Place::to_cursor)), finds))
    }

    /// The places of live records that a filter means, a stride at a time.
    pub(crate) fn meant(&self, filter: &Filter, after: Option<Place>) -> Result<(Vec<Place>, Finds), Fault> {
        let mut places = Vec::new();
        let finds = self.each(
            filter,
            after,
            |_| false,
            |at, _| {
                places.push(at);
                Ok(true)
            },
        )?;
        Ok((places, finds))
    }

    /// Places with something to clear away or to bring back into the index, at most so many, a stride at a time.
    pub(crate) fn overdue(
        &self,
        stretch: Stretch,
        limit: usize,
    ) -> Result<(Vec<Place>, Option<Place>), Fault> {
        let now = self.clock.now();
        let mut places = Vec::new();
        let next = self.walk(&ScopeFilter::Any, None, stretch, STRIDE, |at| {
            if places.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            let is_due = match self.look(&at) {
                Ok(Seen::Nothing) => false,
                Ok(Seen::Damaged(_)) => true,
                Ok(Seen::There(header, ())) => {
                    header.is_expired(now)
                        || header.hidden
                        || header.pending().is_some()
                        || owner_of(&header).is_some_and(|owner| !self.is_indexed(owner, &at))
                }
                // The others are swept all the same.
                Err(error) if is_passing(&error) => {
                    self.quarantine.leave(&self.layout.session(&at), Damage::Unreadable, &error);
                    false
                }
                Err(error) => return Err(error.into()),
            };
            if is_due {
                places.push(at);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((places, next))
    }

    /// Shards that have temporary files, of writers at work or of killed ones.
    pub(crate) fn shards_with_temporaries(&self) -> Result<BTreeSet<u8>, Fault> {
        let names = self.names(&self.layout.folder("tmp"), shard_of_temporary)?;
        Ok(names.into_iter().collect())
    }

    /// Under the lock of the shard nobody is at work on them.
    pub(crate) fn remove_temporaries(&self, shard: u8) -> Result<(), Fault> {
        for purpose in ["new", "trail"] {
            match fs::remove_file(self.layout.temporary(shard, purpose)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// How many other live records of the owner there are; those beyond the limit are not looked at. What is rotated
    /// meanwhile may be missed at both its places: then the list has changed, and all are counted again.
    pub(crate) fn count_owned(
        &self,
        space: Space,
        owner: &Owner,
        itself: &Place,
        limit: u64,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        let mut before = None;
        for _ in 0..RECOUNTS {
            let ids = self.owned_ids(space, owner)?;
            let (mut live, mut others) = (0, Vec::new());
            for id in &ids {
                let at = Place { space, id: *id };
                if at == *itself {
                    continue;
                }
                if self.is_live_now(&at, now, |header| header.owner.as_ref() == Some(owner))? {
                    live += 1;
                    if live >= limit {
                        return Ok(live);
                    }
                } else {
                    others.push(*id);
                }
            }
            let seen = (ids, others);
            if seen.1.is_empty() || before.as_ref() == Some(&seen) {
                return Ok(live);
            }
            before = Some(seen);
        }
        Err(Fault::Verdict(
            cloakroom_core::ErrorKind::Unavailable,
            "an owner's sessions change too fast to be counted",
        ))
    }

    /// How many other live records the scope has; those beyond the limit are not looked at, and none while there are
    /// fewer files than the limit. Under the closed gate of the scope.
    pub(crate) fn count_others(
        &self,
        space: Space,
        itself: &Place,
        limit: u64,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        let mut places = Vec::new();
        for shard in self.shards(space)? {
            places.extend(self.ids(space, shard)?.into_iter().map(|id| Place { space, id }));
        }
        places.retain(|at| at != itself);
        if (places.len() as u64) < limit {
            return Ok(places.len() as u64);
        }
        let mut live = 0;
        for at in &places {
            live += u64::from(self.is_live_now(at, now, |_| true)?);
            if live >= limit {
                break;
            }
        }
        Ok(live)
    }
}

pub(crate) fn is_meant(filter: &Filter, at: &Place, header: &Header, now: Timestamp) -> bool {
    header.is_live()
        && !header.is_expired(now)
        && filter.scope.matches(header.scope.as_ref())
        && filter.except != Some(at.id)
        && filter.owner.as_ref().is_none_or(|owner| header.owner.as_ref() == Some(owner))
}

//! The trait's methods: what each locks, and in which order.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Mode, Page, Record, Removal, Result, Rotate, Scope,
    ScopeFilter, SessionBackend, SessionError, SessionKey, Touch, Write,
};
use tokio::time::Instant;

use crate::budget::Work;
use crate::builder::FileBuilder;
use crate::error::{Fault, refuse};
use crate::file::Seen;
use crate::folder;
use crate::header::Damage;
use crate::lock::{Gate, Held, Locks, Slot};
use crate::path::{OwnerHash, Place};
use crate::store::{Filing, Store, Written};
use crate::walk::{Finds, Stretch, is_meant};

/// Sessions on disk, one file each. Cheap to clone; clones share all but the files themselves, which any number of
/// processes of one user may share.
///
/// See the [crate's documentation](crate) for what each operation costs.
#[derive(Clone)]
pub struct FileSessionBackend(Arc<Store>);

/// What a [`FileSessionBackend`] and its clones have done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Session files opened, to read a header or a whole session.
    pub opened: u64,
    /// Files that were no sessions and were moved into `damaged`.
    pub set_aside: u64,
}

impl FileSessionBackend {
    /// Opens a folder, made when missing, with the settings of [`builder`](Self::builder).
    ///
    /// # Errors
    /// `InvalidConfig` when the folder is a link, belongs to another user, may be written by others, lies below a folder
    /// of which that is true and that is not sticky, holds something else or has no locks; the message says which. `Unexpected` or `Unavailable` when the file system fails.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// The settings, to change them before opening.
    pub fn builder(path: impl AsRef<Path>) -> FileBuilder {
        FileBuilder::new(path.as_ref().to_owned())
    }

    /// Opens what a URL names: `file:` is the [default folder](Self::default_folder), `file:/var/lib/shop/sessions` and
    /// `file:sessions` are paths, with `%20` and the like for what a URL cannot hold; `?durability=none`, `file` or
    /// `full` chooses the [`Durability`](crate::Durability).
    ///
    /// # Errors
    /// `InvalidConfig` when the URL has another scheme, a host, a parameter that is not known or a bad escape, and as
    /// for [`open`](Self::open).
    pub async fn connect(url: &str) -> Result<Self> {
        FileBuilder::from_url(url)?.open().await
    }

    /// Where sessions go when no path is given: `cloakroom-` and the number of the user, in the system's temporary
    /// folder. For development only: systems empty that when they start, and may delete from it what was not used for
    /// days, sessions included.
    #[must_use]
    pub fn default_folder() -> PathBuf {
        folder::default_folder()
    }

    /// What it has done.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { opened: self.0.opened(), set_aside: self.0.quarantine.moved() }
    }

    pub(crate) fn from_store(store: Store) -> Self {
        Self(Arc::new(store))
    }

    /// Runs to its end once it has begun, whatever becomes of this future.
    async fn start<T: Send + 'static>(
        &self,
        work: Work,
        job: impl FnOnce(&Store) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = self.0.budget.take(work).await?;
        let store = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let done = guarded(&store, work, job);
            drop(permit);
            done
        });
        done.await.unwrap_or(Err(Fault::Verdict(ErrorKind::Unexpected, "the work was not finished")))
    }

    async fn in_time<T>(
        &self,
        deadline: Instant,
        done: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let late = Err(Fault::Verdict(ErrorKind::Unavailable, "the disk did not answer in time"));
        tokio::time::timeout_at(deadline, done).await.unwrap_or(late)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: Work,
        job: impl FnOnce(&Store) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.in_time(Instant::now() + self.0.timeout, self.start(work, job)).await
    }

    /// The same under locks. Tasks of this process wait for each other before they take a thread.
    async fn locked<T: Send + 'static>(
        &self,
        work: Work,
        gates: Vec<(u8, Gate)>,
        slots: Vec<Slot>,
        job: impl FnOnce(&Store, &Held) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + self.0.timeout;
        let done = async {
            let reserved = self.0.locks.reserve(gates, slots).await;
            let job = move |store: &Store| {
                let held = store.locks.lock(reserved, deadline.into_std())?;
                // That may have taken a while.
                store.check_folder()?;
                job(store, &held)
            };
            self.start(work, job).await
        };
        self.in_time(deadline, done).await
    }

    fn check_size(&self, record: &Record, operation: &'static str) -> Result<()> {
        if record.payload.len() > self.0.capability.max_payload {
            return Err(refuse(ErrorKind::TooLarge, operation, ""));
        }
        Ok(())
    }

    async fn write_filed(
        &self,
        at: Place,
        scope: Option<Scope>,
        record: Record,
        how: Write,
    ) -> Result<(), Fault> {
        let slot = Slot::Shard(at.shard());
        let limited = record.is_live() && !how.limits.is_none();
        // Limits matter to an update only if the owner changes, which it hardly ever does.
        if !limited || matches!(how.mode, Mode::Update(_)) {
            let (scope, record) = (scope.clone(), record.clone());
            let written = self.locked(Work::Write, Vec::new(), vec![slot], move |store, held| {
                store.write(held, &Filing { at, scope: scope.as_ref(), record: &record }, how, false)
            });
            if written.await? == Written::Done {
                return Ok(());
            }
        }
        let mut gates = Vec::new();
        if how.limits.per_scope.is_some() {
            gates.push((Locks::gate_of(at.space), Gate::Exclusive));
        }
        let mut slots = vec![slot];
        if let (Some(owner), Some(_)) = (&record.owner, how.limits.per_owner) {
            slots.push(Slot::Owner(OwnerHash::of(owner).slot(at.space)));
        }
        let written = self.locked(Work::Move, gates, slots, move |store, held| {
            store.write(held, &Filing { at, scope: scope.as_ref(), record: &record }, how, true)
        });
        written.await.map(drop)
    }

    async fn rotate_filed(
        &self,
        from: (Place, Option<Scope>),
        to: (Place, Option<Scope>),
        record: Record,
        how: Rotate,
    ) -> Result<(), Fault> {
        let ((from, from_scope), (to, scope)) = (from, to);
        let limits = if record.is_live() { how.limits } else { cloakroom_core::Limits::none() };
        let at_new = if limits.per_scope.is_some() { Gate::Exclusive } else { Gate::Shared };
        let gates = vec![(Locks::gate_of(from.space), Gate::Shared), (Locks::gate_of(to.space), at_new)];
        let mut slots = vec![Slot::Shard(from.shard()), Slot::Shard(to.shard())];
        if let (Some(owner), Some(_)) = (&record.owner, limits.per_owner) {
            slots.push(Slot::Owner(OwnerHash::of(owner).slot(to.space)));
        }
        let rotated = self.locked(Work::Move, gates, slots, move |store, held| {
            let filing = Filing { at: to, scope: scope.as_ref(), record: &record };
            store.rotate(held, (&from, from_scope.as_ref()), &filing, &how)
        });
        rotated.await
    }

    /// Deals with what a walk came by.
    async fn tidy(&self, filter: &Filter, finds: Finds) -> Result<(), Fault> {
        for (at, damage) in finds.damaged {
            self.set_aside(at, damage).await?;
        }
        let Some(owner) = &filter.owner else { return Ok(()) };
        for at in finds.stale {
            let owner = owner.clone();
            let slots = vec![Slot::Shard(at.shard())];
            let checked = self.locked(Work::Write, Vec::new(), slots, move |store, held| {
                store.check_index(held, &owner, &at)
            });
            checked.await?;
        }
        Ok(())
    }

    async fn set_aside(&self, at: Place, damage: Damage) -> Result<(), Fault> {
        let slots = vec![Slot::Shard(at.shard())];
        let moved =
            self.locked(Work::Write, Vec::new(), slots, move |store, held| store.set_aside(held, &at));
        match moved.await {
            // Not even a lock can be taken there.
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                self.0.quarantine.leave(&self.0.layout.session(&at), damage, &error);
                Ok(())
            }
            moved => moved,
        }
    }

    async fn read_filed(&self, at: Place) -> Result<Option<Record>, Fault> {
        match self.blocking(Work::Read, move |store| store.read(&at)).await? {
            Seen::There(header, payload) => {
                Ok((!header.is_expired(self.0.clock.now())).then(|| header.into_record(payload)))
            }
            Seen::Nothing => Ok(None),
            Seen::Damaged(damage) => self.set_aside(at, damage).await.map(|()| None),
        }
    }

    /// Removes what a filter means of one shard.
    async fn remove_some(&self, filter: &Filter, places: Vec<Place>) -> Result<u64, Fault> {
        let Some(shard) = places.first().map(Place::shard) else { return Ok(0) };
        let filter = filter.clone();
        let removed = self.locked(Work::Write, Vec::new(), vec![Slot::Shard(shard)], move |store, held| {
            let mut removed = 0;
            for at in &places {
                let now = store.clock.now();
                let wanted = |header: &_| is_meant(&filter, at, header, now);
                removed += u64::from(store.remove(held, at, wanted)?);
            }
            Ok(removed)
        });
        removed.await
    }

    async fn remove_meant(&self, filter: &Filter) -> Result<u64, Fault> {
        let gates = match &filter.scope {
            ScopeFilter::Is(scope) => vec![Locks::gate_of(crate::path::Space::of(Some(scope)))],
            ScopeFilter::Unscoped => vec![Locks::gate_of(crate::path::Space::NONE)],
            _ => Locks::gates().collect(),
        };
        let mut closed = Vec::new();
        for gate in gates {
            let deadline = (Instant::now() + self.0.timeout).into_std();
            let turn = self.0.locks.turn(gate).await;
            closed
                .push(self.blocking(Work::List, move |store| store.locks.close(gate, turn, deadline)).await?);
        }
        let (mut removed, mut after) = (0, None);
        loop {
            let wanted = filter.clone();
            let (places, finds) = self.blocking(Work::List, move |store| store.meant(&wanted, after)).await?;
            after = finds.next;
            for some in places.chunk_by(|a, b| a.shard() == b.shard()) {
                removed += self.remove_some(filter, some.to_vec()).await?;
            }
            self.tidy(filter, finds).await?;
            if after.is_none() {
                drop(closed);
                return Ok(removed);
            }
        }
    }

    async fn clear_away(&self, places: Vec<Place>) -> Result<usize, Fault> {
        let mut cleared = 0;
        for some in places.chunk_by(|a, b| a.shard() == b.shard()) {
            let (some, slots) = (some.to_vec(), vec![Slot::Shard(some[0].shard())]);
            let batch = self.locked(Work::Write, Vec::new(), slots, move |store, held| {
                let mut cleared = 0;
                for at in &some {
                    cleared += usize::from(store.clear_away(held, at)?);
                }
                Ok(cleared)
            });
            cleared += batch.await?;
        }
        Ok(cleared)
    }

    async fn remove_temporaries(&self) -> Result<(), Fault> {
        for shard in self.blocking(Work::List, Store::shards_with_temporaries).await? {
            let removed = self.locked(Work::Write, Vec::new(), vec![Slot::Shard(shard)], move |store, _| {
                store.remove_temporaries(shard)
            });
            removed.await?;
        }
        Ok(())
    }

    /// Goes once round, from where the last sweep stopped.
    async fn sweep_round(&self, limit: usize) -> Result<usize, Fault> {
        let position = || self.0.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let start = position().take();
        let mut stretches = vec![Stretch { after: start, until: None }];
        if start.is_some() {
            stretches.push(Stretch { after: None, until: start });
        }
        let mut swept = 0;
        for mut stretch in stretches {
            loop {
                let left = limit - swept;
                let (places, next) =
                    self.blocking(Work::List, move |store| store.overdue(stretch, left)).await?;
                swept += self.clear_away(places).await?;
                if swept >= limit {
                    *position() = next;
                    return Ok(swept);
                }
                if next.is_none() {
                    break;
                }
                stretch.after = next;
            }
        }
        Ok(swept)
    }
}

/// Nothing is done in a folder that has taken the place of the right one. That it is the right one afterwards means that
/// it was so all the time, since a folder that was exchanged does not come back; a read needs to know no more.
fn guarded<T>(store: &Store, work: Work, job: impl FnOnce(&Store) -> Result<T, Fault>) -> Result<T, Fault> {
    if work != Work::Read {
        store.check_folder()?;
    }
    let done = job(store);
    store.check_folder()?;
    done
}

fn named(operation: &'static str) -> impl FnOnce(Fault) -> SessionError {
    move |fault| fault.into_session(operation)
}

impl fmt::Debug for FileSessionBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSessionBackend")
            .field("folder", &self.0.layout.root())
            .field("durability", &self.0.durability)
            .finish_non_exhaustive()
    }
}

impl SessionBackend for FileSessionBackend {
    fn capability(&self) -> Capability {
        self.0.capability.clone()
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.read_filed(Place::of(key)).await.map_err(named("read"))
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check_size(&record, "write")?;
        let written = self.write_filed(Place::of(key), key.scope().cloned(), record, how);
        written.await.map_err(named("write"))?;
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
        let place = |key: &SessionKey| (Place::of(key), key.scope().cloned());
        let rotated = self.rotate_filed(place(old), place(new), record, how);
        rotated.await.map_err(named("rotate"))?;
        Ok(new.unscoped())
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let at = Place::of(key);
        let slots = vec![Slot::Shard(at.shard())];
        let touched =
            self.locked(Work::Write, Vec::new(), slots, move |store, held| store.touch(held, &at, how));
        let is_there = touched.await.map_err(named("touch"))?;
        Ok(is_there.then(|| key.unscoped()))
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        let at = Place::of(key);
        let slots = vec![Slot::Shard(at.shard())];
        let removed =
            self.locked(Work::Write, Vec::new(), slots, move |store, held| store.remove(held, &at, |_| true));
        removed.await.map_err(named("remove"))
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let foreign = || refuse(ErrorKind::InvalidKey, "scan", "a cursor of something else");
        let after = match after {
            Some(cursor) => Some(Place::from_cursor(&cursor).ok_or_else(foreign)?),
            None => None,
        };
        let wanted = filter.clone();
        let found = self.blocking(Work::List, move |store| store.page(&wanted, after, limit.max(1)));
        let (page, finds) = found.await.map_err(named("scan"))?;
        self.tidy(filter, finds).await.map_err(named("scan"))?;
        Ok(page)
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let wanted = filter.clone();
            let found = self.blocking(Work::List, move |store| store.meant(&wanted, after));
            let (places, finds) = found.await.map_err(named("count"))?;
            count += places.len() as u64;
            after = finds.next;
            self.tidy(filter, finds).await.map_err(named("count"))?;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        self.remove_meant(filter).await.map_err(named("remove all"))
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        if limit == 0 {
            return Ok(0);
        }
        let swept = async {
            self.remove_temporaries().await?;
            let swept = self.sweep_round(limit).await?;
            // Last, since a full disk may have room by now.
            self.blocking(Work::List, Store::renew).await?;
            Ok(swept)
        };
        swept.await.map(|swept| swept as u64).map_err(named("sweep"))
    }
}

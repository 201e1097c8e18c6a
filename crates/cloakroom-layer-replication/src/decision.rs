//! What the authority decides, and how it comes to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_core::{
    Capability, ErrorKind, Filter, Limits, Mode, Record, Result, Rotate, SessionBackend, SessionError,
    SessionKey, Touch, Write,
};
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tokio::time::Instant;

use crate::backend::Inner;
use crate::error::{Failure, NAME, had_no_effect, is_refusal, unavailable};
use crate::finish::Left;
use crate::order;
use crate::queue::Work;
use crate::regime::{Regime, is_control};
use crate::repair::Change;
use crate::status::CopyStatus;
use crate::strategy::ReplicationStrategy::{AsyncReplication, SyncReplication};
use crate::strategy::{Failover, QueueFull, SecondaryDown};

/// Attempts to end one record, each of which fails only because somebody wrote it.
const MOST_ATTEMPTS: u32 = 1000;
/// Longest trail that is followed.
const MOST_HOPS: u32 = 4096;
/// Scans for what moves while everything is removed.
const MOST_ROUNDS: u32 = 16;
const PAGE: usize = 200;
const AT_ONCE: usize = 16;

/// An operation that was begun; dropped before it is done, its session is compared.
struct Begun<'a, P: SessionBackend, S: SessionBackend>(&'a Inner<P, S>, Option<&'a SessionKey>);

impl<P: SessionBackend, S: SessionBackend> Drop for Begun<'_, P, S> {
    fn drop(&mut self) {
        if let Some(key) = self.1.take() {
            self.0.suspect(key);
        }
    }
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    /// The roles, where something may be written.
    async fn writable(&self, operation: &'static str) -> Result<Regime> {
        let regime = self.regime(operation).await?;
        if self.strategy != AsyncReplication
            && self.config.secondary_down == SecondaryDown::Refuse
            && (0..self.copies()).any(|copy| regime.status(copy) == CopyStatus::Behind)
        {
            return Err(unavailable(operation, "a copy is behind, and all must have it"));
        }
        Ok(regime)
    }

    /// The answer of the authority; where it does not come, another copy may decide from then on.
    async fn decided<T>(&self, regime: Regime, answer: Result<T>) -> Result<T> {
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            self.fail_over(regime).await;
        }
        answer
    }

    pub(crate) async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<()> {
        let regime = self.writable("write").await?;
        let at_once = match how.mode {
            Mode::Update(_) | Mode::Create => how.limits.is_none(),
            _ => false,
        };
        if self.strategy == SyncReplication
            && at_once
            && order::is_fresh(&record, self.now(), self.config.patience)
            // It may come after a write that has not reached the authority yet, and which it would replace on the copies.
            && !self.knowledge.fell_over_within(self.config.patience)
        {
            return self.write_at_once(regime, key, record, how).await;
        }
        let since = Instant::now();
        let begun = Begun(self, Some(key));
        let answer = self.replica(regime.authority).write(key, record.clone(), how).await;
        begun.settle(&answer);
        self.decided(regime, answer).await?;
        let change = Change::Write(key.clone(), record, how.with_limits(Limits::none()));
        self.spread(regime, change, since).await
    }

    /// The roles after a decision; where they cannot be told, its session is compared later.
    async fn roles_after(&self, regime: &Regime, key: &SessionKey) -> Result<Regime> {
        self.after(regime).await.inspect_err(|_| self.suspect(key))
    }

    /// The same compare-and-swap on all copies; the authority's answer counts.
    async fn write_at_once(
        &self,
        regime: Regime,
        key: &SessionKey,
        record: Record,
        how: Write,
    ) -> Result<()> {
        let begun = Instant::now();
        let followers: Vec<usize> = self.followers(&regime).collect();
        let others = join_all(followers.iter().map(|copy| {
            let replica = self.replica(*copy);
            let record = record.clone();
            async move { replica.write(key, record, how).await }
        }));
        let authority = self.replica(regime.authority);
        let (answer, others) = join(authority.write(key, record.clone(), how), others).await;
        let answer = self.decided(regime, answer).await;
        if let Err(error) = answer {
            for (copy, there) in followers.into_iter().zip(others) {
                match there {
                    Err(there) if had_no_effect(&there) => {}
                    // Nobody else can tell that it is dead.
                    _ if had_no_effect(&error) => self.discard(&regime, copy, key, &record).await,
                    _ => self.suspect(key),
                }
            }
            return Err(error);
        }
        let version = record.version;
        let regime = self.roles_after(&regime, key).await?;
        let change = match how.mode {
            // It is late, and lands where nothing is, though it may have ended meanwhile.
            Mode::Create => Change::Supply(key.clone()),
            _ => Change::Write(key.clone(), record, how),
        };
        let came_back: Vec<usize> =
            self.followers(&regime).filter(|copy| !followers.contains(copy)).collect();
        let late = join_all(came_back.into_iter().map(|copy| {
            let (regime, change) = (&regime, &change);
            async move { self.counted(regime, copy, self.bring(regime, copy, change, begun).await).await }
        }));
        let settled = followers.into_iter().zip(others).map(|(copy, there)| {
            let (regime, change) = (&regime, &change);
            async move {
                match there {
                    // Later, others may have taken it for a write that was given up.
                    Ok(_) if begun.elapsed() < self.config.patience => Ok(()),
                    Ok(_) => self.counted(regime, copy, self.agree(regime, copy, key).await).await,
                    Err(error) if is_refusal(&error) => {
                        let agreed = self.agree_after(regime, copy, key, Some(version)).await;
                        self.counted(regime, copy, agreed).await
                    }
                    Err(_) => self.counted(regime, copy, self.bring(regime, copy, change, begun).await).await,
                }
            }
        });
        let (mut results, late) = join(join_all(settled), late).await;
        results.extend(late);
        self.all(key, results)?;
        self.ripen(&regime).await.inspect_err(|_| self.suspect(key))
    }

    pub(crate) async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<()> {
        let regime = self.writable("rotate").await?;
        let mut how = how;
        if self.config.read_on_miss && how.trail.is_none() {
            // Or a copy that has not heard of it yet would be believed.
            how.trail = Some(self.tombstone(&record.clone().with_version(how.expected)));
        }
        let (begun, successor) = (Begun(self, Some(old)), Begun(self, Some(new)));
        let answer = self.replica(regime.authority).rotate(old, new, record.clone(), how.clone()).await;
        begun.settle(&answer);
        successor.settle(&answer);
        self.decided(regime, answer).await?;
        how.limits = Limits::none();
        self.spread(regime, Change::Rotate(old.clone(), new.clone(), record, how), Instant::now()).await
    }

    pub(crate) async fn touch(&self, key: &SessionKey, how: Touch) -> Result<bool> {
        let regime = self.writable("touch").await?;
        let mut begun = Begun(self, Some(key));
        let answer = self.replica(regime.authority).touch(key, how).await;
        if matches!(&answer, Ok(None)) || answer.as_ref().err().is_some_and(had_no_effect) {
            begun.1 = None;
        }
        let touched = self.decided(regime, answer).await?.is_some();
        if touched {
            self.spread(regime, Change::Touch(key.clone(), how), Instant::now()).await?;
        }
        begun.1 = None;
        Ok(touched)
    }

    /// Ends the live record that the filter means, if any; says whether there was one.
    pub(crate) async fn end(&self, key: &SessionKey, filter: Option<&Filter>) -> Result<bool> {
        let regime = self.writable("remove").await?;
        let authority = self.replica(regime.authority);
        for _ in 0..MOST_ATTEMPTS {
            let answer = authority.read(key).await;
            let there = match self.decided(regime, answer).await? {
                None if self.config.read_on_miss => self.recover(&regime, key).await?,
                there => there,
            };
            let meant = |record: &Record| {
                record.is_live() && filter.is_none_or(|filter| filter.matches(key.scope(), key.id(), record))
            };
            if there.as_ref().is_some_and(|there| !there.is_live()) && self.strategy != AsyncReplication {
                // Whoever ended it may have gone before the copies heard of it; what is answered here counts.
                self.spread(regime, Change::Compare(key.clone()), Instant::now()).await?;
            }
            let is_nothing = there.is_none();
            let Some(there) = there.filter(meant) else {
                if is_nothing && self.strategy != AsyncReplication {
                    // It may have been emptied a moment ago.
                    self.control(regime.authority).await?;
                }
                // Where another copy decides by now, it may well be there.
                if self.config.failover == Failover::Promote {
                    self.ask_followers(&regime).await?;
                }
                return Ok(false);
            };
            let tombstone = self.tombstone(&there);
            let begun = Begun(self, Some(key));
            let answer =
                authority.write(key, tombstone.clone(), Write::update(there.version)).await.map(drop);
            begun.settle(&answer);
            match self.decided(regime, answer).await {
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let change = Change::Bury(key.clone(), tombstone, there.version);
                    self.spread(regime, change, Instant::now()).await?;
                    return Ok(true);
                }
            }
        }
        let error = SessionError::new(ErrorKind::Conflict, "remove").with_backend(NAME);
        Err(error.with_message("the record kept changing"))
    }

    /// The same, wherever the session was rotated to meanwhile.
    async fn end_trail(&self, mut key: SessionKey, filter: &Filter) -> Result<bool> {
        for _ in 0..MOST_HOPS {
            if self.end(&key, Some(filter)).await? {
                return Ok(true);
            }
            let regime = self.regime("remove").await?;
            let there = self.replica(regime.authority).read(&key).await?;
            let Some(successor) = there.and_then(|record| record.successor()) else { return Ok(false) };
            let address = SessionKey::from_id(successor);
            key = key.scope().map_or_else(|| address.clone(), |scope| address.scoped(scope));
        }
        Ok(false)
    }

    /// Once its caller has left it ends nothing more, lest it end what begins afterwards; what it has ended, the copies hear.
    pub(crate) async fn remove_all(self: &Arc<Self>, filter: &Filter, left: &Left) -> Result<u64> {
        let regime = self.writable("remove_all").await?;
        let authority = self.replica(regime.authority);
        let filter = &without_payload(filter);
        let begun = self.now();
        let (mut ended, mut empty_rounds) = (0, 0);
        for round in 0..MOST_ROUNDS {
            let (mut after, mut found) = (None, false);
            while !left.is_left() {
                let mut page = authority.scan(filter, after, PAGE).await?;
                // What began since then is not looked for again; clocks differ by less than the patience.
                let latest = (round > 0).then_some(begun + self.config.patience);
                page.entries.retain(|entry| {
                    !is_control(entry.scope.as_ref())
                        && latest.is_none_or(|latest| entry.record.created_at <= latest)
                });
                found |= page.entries.iter().any(|entry| entry.record.created_at <= begun);
                let listed: Vec<SessionKey> =
                    page.entries.iter().map(cloakroom_core::Entry::address).collect();
                // What was begun is finished, or the copies would not hear of it.
                let failed = AtomicBool::new(false);
                let ending = futures_util::stream::iter(listed.into_iter().map(|key| {
                    let (inner, filter, failed) = (Arc::clone(self), filter.clone(), &failed);
                    async move {
                        if failed.load(Ordering::Relaxed) {
                            return Ok(false);
                        }
                        let one = inner.end_trail(key, &filter).await;
                        failed.fetch_or(one.is_err(), Ordering::Relaxed);
                        one
                    }
                }));
                for one in ending.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
                    ended += u64::from(one?);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            // What moves may escape a scan, though hardly two. A store's own removal of all would leave no markers, and what is
            // on its way to a copy would live there.
            empty_rounds = if found { 0 } else { empty_rounds + 1 };
            let is_over = left.is_left() || empty_rounds > 1;
            if is_over || (!found && self.count_on(regime.authority, filter).await? == 0) {
                break;
            }
        }
        if self.strategy != AsyncReplication || self.config.read_on_miss {
            self.look_for(filter).await?;
        }
        // What the former authority does not have, or has ended, may live where another one decides.
        self.after(&regime).await?;
        Ok(ended)
    }

    /// Brings a decision to the other copies, or puts it into the queue. The authority was asked for it no earlier than then.
    async fn spread(&self, regime: Regime, change: Change, since: Instant) -> Result<()> {
        let spread = Box::pin(self.spread_to(regime, &change, since)).await;
        if let (Err(_), Change::Rotate(_, new, ..)) = (&spread, &change) {
            self.suspect(new);
        }
        spread
    }

    async fn spread_to(&self, regime: Regime, change: &Change, since: Instant) -> Result<()> {
        let regime = self.roles_after(&regime, change.key()).await?;
        if self.strategy == AsyncReplication {
            return self.enqueue(regime, change.clone()).await;
        }
        let brought = join_all(self.followers(&regime).map(|copy| {
            let regime = &regime;
            async move { self.counted(regime, copy, self.bring(regime, copy, change, since).await).await }
        }));
        let brought = brought.await;
        self.all(change.key(), brought)?;
        self.ripen(&regime).await.inspect_err(|_| self.suspect(change.key()))
    }

    fn all(&self, key: &SessionKey, results: Vec<Result<()>>) -> Result<()> {
        results.into_iter().collect::<Result<()>>().inspect_err(|_| self.suspect(key))
    }

    /// As often as the settings say.
    pub(crate) async fn bring(
        &self,
        regime: &Regime,
        copy: usize,
        change: &Change,
        since: Instant,
    ) -> Result<(), Failure> {
        let mut failed = 0;
        let creates =
            matches!(change, Change::Write(_, _, how) if matches!(how.mode, Mode::Create | Mode::Newer));
        let late = || Change::Supply(change.key().clone());
        let mut again = None;
        loop {
            match self.push(regime, copy, again.as_ref().unwrap_or(change)).await {
                // It lands where nothing is, however late; what it creates may have ended meanwhile, while the copy was away.
                Ok(()) if creates && since.elapsed() >= self.config.patience => {
                    let now = self.after(regime).await.map_err(Failure::Undecided)?;
                    if now.behind | now.catching == 0 && !self.knowledge.has_changed_since(since) {
                        return Ok(());
                    }
                    return Box::pin(self.push(regime, copy, &late())).await;
                }
                Err(Failure::Copy(error)) => {
                    failed += 1;
                    if !error.is_transient() || failed >= self.config.attempts {
                        return Err(Failure::Copy(error));
                    }
                    again = creates.then(late);
                    self.meters.retries.add();
                    tokio::time::sleep(self.config.pause(failed)).await;
                }
                brought => return brought,
            }
        }
    }

    /// What it means for the write that a copy did not take it.
    pub(crate) async fn counted(
        &self,
        regime: &Regime,
        copy: usize,
        brought: Result<(), Failure>,
    ) -> Result<()> {
        match brought {
            Ok(()) => Ok(()),
            Err(Failure::Undecided(error)) => Err(error),
            Err(Failure::Copy(error)) => {
                tracing::warn!(target: "cloakroom::replication", copy, kind = error.kind().as_str(), "a copy does not take a write");
                self.lose(copy, regime).await?;
                if self.strategy != AsyncReplication && self.config.secondary_down == SecondaryDown::Refuse {
                    return Err(unavailable("write", "a copy does not take it"));
                }
                Ok(())
            }
        }
    }

    async fn enqueue(&self, regime: Regime, change: Change) -> Result<()> {
        if self.followers(&regime).next().is_none() {
            return Ok(());
        }
        let works = match &change {
            Change::Write(key, record, how) if how.mode != Mode::Overwrite => {
                vec![(key, Work::Record(record.clone()))]
            }
            Change::Write(key, record, _) => vec![(key, Work::Compare(Some(record.clone())))],
            Change::Rotate(old, new, record, how) => {
                let left = how.trail.clone();
                let left = left.unwrap_or_else(|| self.tombstone(&record.clone().with_version(how.expected)));
                vec![(new, Work::Record(record.clone())), (old, Work::Record(left))]
            }
            Change::Touch(key, how) => vec![(key, Work::Touch(*how))],
            Change::Bury(key, tombstone, _) => vec![(key, Work::Record(tombstone.clone()))],
            Change::Compare(key) | Change::Supply(key) => vec![(key, Work::Compare(None))],
        };
        for (key, work) in works {
            if self.queue.push(key, work.clone()).is_ok() {
                continue;
            }
            match self.config.queue_full {
                QueueFull::Wait => {
                    let deadline = Instant::now() + self.config.patience;
                    let mut begun = Begun(self, Some(key));
                    let queued = self.queue.push_until(key, work, deadline).await;
                    begun.1 = None;
                    if queued.is_err() {
                        self.drop_work(&regime).await?;
                    }
                }
                QueueFull::Drop => self.drop_work(&regime).await?,
                QueueFull::Degrade => {
                    for copy in self.followers(&regime) {
                        let brought = self.work(&regime, copy, key, &work, Instant::now()).await;
                        self.counted(&regime, copy, brought).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A write that no copy will hear of: all of them have to be compared.
    async fn drop_work(&self, regime: &Regime) -> Result<()> {
        if self.meters.dropped.add() == 0 {
            tracing::warn!(target: "cloakroom::replication", "the queue is full; writes are left to a comparison");
        }
        for copy in self.followers(regime) {
            self.lose(copy, regime).await?;
        }
        Ok(())
    }

    /// Looks on the copies for what the authority does not have, and takes it back.
    pub(crate) async fn recover(&self, regime: &Regime, key: &SessionKey) -> Result<Option<Record>> {
        match self.queue.pending(key) {
            Some(record) if !record.is_live() => return Ok(Some(record)),
            Some(_) => return Ok(None),
            None => {}
        }
        // A copy that is catching up may still have what ended long ago.
        for copy in (0..self.copies()).filter(|copy| regime.status(*copy) == CopyStatus::InSync) {
            let Ok(Some(record)) = self.replica(copy).read(key).await else { continue };
            if !record.is_live() {
                return Ok(Some(record));
            }
            let authority = self.replica(regime.authority);
            return match authority.write(key, record.clone(), Write::newer()).await {
                Err(error) if is_refusal(&error) => authority.read(key).await,
                written => {
                    written?;
                    self.meters.recovered.add();
                    Ok(Some(record))
                }
            };
        }
        Ok(None)
    }

    /// A read that the primary was not asked for, or did not answer, or found nothing for.
    pub(crate) async fn read_elsewhere(
        &self,
        key: &SessionKey,
        primary: Option<Result<Option<Record>>>,
    ) -> Result<Option<Record>> {
        let regime = self.roles("read").await?;
        let answer = match primary.filter(|_| regime.authority == 0) {
            Some(answer) => answer,
            None => self.replica(regime.authority).read(key).await,
        };
        match answer {
            Ok(None) if self.config.read_on_miss => self.recover(&regime, key).await,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                // Who did not listen does not know which copy is behind.
                if !self.was_heard_of(regime.authority) {
                    return Err(error);
                }
                for copy in (0..self.copies()).filter(|copy| regime.status(*copy) == CopyStatus::InSync) {
                    // What is still on its way there is newer.
                    let read = match self.queue.pending(key) {
                        Some(record) => Ok(Some(record).filter(|record| !record.is_expired(self.now()))),
                        None => self.replica(copy).read(key).await,
                    };
                    // That a copy which forgets has nothing says nothing.
                    if let Ok(found) = read
                        && (found.is_some() || self.may_decide(copy) || self.queue.pending(key).is_some())
                    {
                        self.meters.failover_reads.add();
                        self.knowledge.note_fell_over();
                        return Ok(found);
                    }
                }
                Err(error)
            }
            read => read,
        }
    }

    /// What all copies together can do.
    pub(crate) fn common_capability(&self) -> Capability {
        let mut all = self.primary.capability();
        for other in self.secondaries.iter().map(SessionBackend::capability) {
            all.max_payload = all.max_payload.min(other.max_payload);
            all.revocable &= other.revocable;
            all.enumerable &= other.enumerable;
            all.versioned &= other.versioned;
            all.limits &= other.limits;
            all.shared &= other.shared;
            all.scopes &= other.scopes;
        }
        all
    }
}

impl<P: SessionBackend, S: SessionBackend> Begun<'_, P, S> {
    /// The authority answered; only where it cannot be told what it did, the session is compared.
    fn settle<T>(mut self, answer: &Result<T>) {
        if answer.as_ref().err().is_none_or(had_no_effect) {
            self.1 = None;
        }
    }
}

fn without_payload(filter: &Filter) -> Filter {
    let mut filter = filter.clone();
    filter.payload = false;
    filter
}

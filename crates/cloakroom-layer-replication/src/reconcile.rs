//! Comparing whole copies.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Cursor, Entry, ErrorKind, Filter, Mode, Record, Result, Rotate, SessionBackend, SessionError, SessionKey,
    State, Touch, Write,
};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::backend::{Inner, ReplicatedSessionBackend};
use crate::error::{Failure, NAME, is_refusal, unavailable};
use crate::finish::Finish;
use crate::order;
use crate::regime::{Regime, is_control};
use crate::status::CopyStatus;
use crate::strategy::ReplicationStrategy::{AsyncReplication, SyncReplication};

const PAGE: usize = 200;
const AT_ONCE: usize = 16;
/// Between two looks for a creation that is under way.
const PAUSE: Duration = Duration::from_millis(20);

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Live records of the authority that were offered to copies.
    pub compared: u64,
    /// Records of copies that differed and now are the authority's.
    pub repaired: u64,
    /// Records that a copy had later than the authority, which has them now.
    pub returned: u64,
    /// Records of copies that were ended because the authority has ended them or never had them.
    pub buried: u64,
    /// Records that were left alone: a write is under way, or the record is too large for the copy, or the outage was longer
    /// than markers live and a session without an end may have been removed meanwhile. While it is not 0, the copy is not in
    /// sync: reconcile again, and if that does not help, [`resync`](ReplicatedSessionBackend::resync).
    pub undecided: u64,
}

/// How far a comparison is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Records of the authority that were offered.
    pub compared: u64,
    /// Records of the copy that were looked at; begins when all were offered.
    pub checked: u64,
}

/// How one record fared.
enum Fate {
    Same,
    Repaired,
    Returned,
    Buried,
    Undecided,
}

impl Reconciled {
    fn note(&mut self, fate: &Fate) {
        match fate {
            Fate::Same => {}
            Fate::Repaired => self.repaired += 1,
            Fate::Returned => self.returned += 1,
            Fate::Buried => self.buried += 1,
            Fate::Undecided => self.undecided += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.repaired += other.repaired;
        self.returned += other.returned;
        self.buried += other.buried;
        self.undecided += other.undecided;
    }
}

/// What wins where the two differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The authority has all that was reported as done.
    Follow,
    /// The copy may have later successes, because it decided before: the newest version wins, and markers. What only it
    /// has is over: nobody could use it while it was away, and it may have been ended under another key.
    Merge,
    /// The authority forgets: as above, but what only the copy has comes back.
    Restore,
    /// The authority, whatever the copy has.
    Replace,
}

impl<P: SessionBackend, S: SessionBackend> ReplicatedSessionBackend<P, S> {
    /// Compares every copy with the authority, record by record, and makes them equal. The worker does it by itself for
    /// copies that were lost; by hand it is for after a process was killed with a full queue, and for peace of mind.
    ///
    /// Goes through both stores in pages: one read of the copy for each record of the authority, a write where it differs, and
    /// one read of the authority for each record of the copy, sixteen at a time.
    ///
    /// # Errors
    /// Those of the copies; what was done by then stays. `Unsupported` where a copy cannot be listed.
    pub async fn reconcile(&self) -> Result<Reconciled> {
        let regime = self.0.regime("reconcile").await?;
        let mut sum = Reconciled::default();
        let others = || (0..self.0.copies()).filter(|copy| *copy != regime.authority);
        for copy in others() {
            sum.add(self.0.catch_up(copy).await?);
        }
        // What came from one copy is not yet on those that were compared before it.
        if self.0.copies() > 2 && sum.returned + sum.buried > 0 {
            sum.undecided = 0;
            for copy in others() {
                sum.add(self.0.catch_up(copy).await?);
            }
        }
        Ok(sum)
    }

    /// Makes a copy, 0 being the primary, equal to the authority, whatever it has: for a node that was replaced, or that was
    /// away for longer than markers live. What only that copy has is ended.
    ///
    /// # Errors
    /// `InvalidConfig` for the authority itself or a copy that there is not; else as [`reconcile`](Self::reconcile).
    pub async fn resync(&self, copy: usize, mut progress: impl FnMut(Progress) + Send) -> Result<Reconciled> {
        let regime = self.0.regime("resync").await?;
        if copy == regime.authority || copy >= self.0.copies() {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "resync").with_backend(NAME));
        }
        if regime.status(copy) != CopyStatus::Behind {
            self.0.lose(copy, &regime).await?;
        }
        self.0.catch_up_by(copy, Some(Manner::Replace), &mut progress).await
    }

    /// Makes a copy that is in sync decide from now on; 0 is the primary. For two poll intervals nobody can write. Dropped
    /// half-way it is finished in the background; where the process dies, the pause lasts four times poll interval and patience,
    /// and another process ends it. Then the worker compares the copies once, as processes that went may have
    /// left something half done.
    ///
    /// Where the copy that decides does not answer, or was emptied, it is taken for gone: the other decides at once, and the
    /// former one follows when it returns. What was acknowledged while this copy was behind, unknown to this process, is lost
    /// then. Where the copy decides already, those that are silent are left behind, which ends a
    /// [doubt](crate::ReplicationStatus::in_doubt).
    ///
    /// # Errors
    /// `Unavailable` when the copy is behind, or the queue cannot be emptied within the patience; `InvalidConfig` when there
    /// is no such copy, or it forgets and another does not.
    pub async fn promote(&self, copy: usize) -> Result<()> {
        let inner = Arc::clone(&self.0);
        Finish::new(async move { inner.hand_over(copy).await }).await
    }
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    pub(crate) async fn catch_up(&self, copy: usize) -> Result<Reconciled> {
        self.catch_up_by(copy, None, &mut |_| {}).await
    }

    async fn catch_up_by(
        &self,
        copy: usize,
        manner: Option<Manner>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Reconciled> {
        let mut regime = self.regime("reconcile").await?;
        if regime.status(copy) == CopyStatus::Behind {
            regime = self.admit(copy).await?;
            // Until every process sends its writes there too, and what was given up has arrived or never will.
            tokio::time::sleep(self.config.poll * 2 + self.config.patience).await;
        } else if regime.status(copy) == CopyStatus::CatchingUp {
            // Another process may have admitted it a moment ago.
            tokio::time::sleep(self.config.poll * 2 + self.config.patience).await;
        }
        let manner = match manner {
            Some(manner) => manner,
            None => self.manner(&regime),
        };
        let compared = self.compare(&regime, copy, manner, progress).await;
        if let Err(error) = compared {
            tracing::warn!(target: "cloakroom::replication", copy, %error, "the comparison was cut off");
            self.lose(copy, &regime).await?;
            return Err(error);
        }
        let report = compared?;
        if report.undecided > 0 {
            tracing::warn!(
                target: "cloakroom::replication",
                copy, undecided = report.undecided, "some records cannot be compared; see `resync` if it stays so"
            );
        } else if regime.status(copy) == CopyStatus::CatchingUp {
            self.complete(copy, regime.epoch).await?;
            self.meters.caught_up.add();
            tracing::info!(
                target: "cloakroom::replication",
                copy, repaired = report.repaired, returned = report.returned, buried = report.buried,
                "a copy caught up"
            );
        }
        Ok(report)
    }

    fn manner(&self, regime: &Regime) -> Manner {
        let forgets = !self.replica(regime.authority).capability().durable;
        match self.strategy {
            _ if forgets => Manner::Restore,
            // What a process had in its queue when another one moved the decision is on no copy but the former authority.
            AsyncReplication => Manner::Merge,
            _ => Manner::Follow,
        }
    }

    async fn compare(
        &self,
        regime: &Regime,
        copy: usize,
        manner: Manner,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Reconciled> {
        let mut report = Reconciled::default();
        let (mut compared, mut checked) = (0, 0);
        for (from, to) in [(regime.authority, copy), (copy, regime.authority)] {
            let everything = Filter::everywhere().with_payload();
            let mut after: Option<Cursor> = None;
            loop {
                let begun = Instant::now();
                let page = self.replica(from).scan(&everything, after, PAGE).await?;
                let entries: Vec<Entry> =
                    page.entries.into_iter().filter(|entry| !is_control(entry.scope.as_ref())).collect();
                let seen = entries.len() as u64;
                let fates = futures_util::stream::iter(entries.into_iter().map(|entry| async move {
                    let mut failed = 0;
                    loop {
                        let fate = if to == copy {
                            self.offer(regime, copy, &entry, begun, manner).await
                        } else {
                            self.check_entry(regime, copy, &entry, manner).await
                        };
                        failed += 1;
                        if fate.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge) {
                            // The others are brought all the same.
                            return Ok(Fate::Undecided);
                        }
                        // One slow answer is no reason to begin again.
                        if failed >= self.config.attempts
                            || !fate.as_ref().is_err_and(SessionError::is_transient)
                        {
                            return fate;
                        }
                        self.meters.retries.add();
                        tokio::time::sleep(self.config.pause(failed)).await;
                    }
                }));
                let mut fates = fates.buffer_unordered(AT_ONCE);
                while let Some(fate) = fates.next().await {
                    report.note(&fate?);
                }
                if to == copy {
                    compared += seen;
                } else {
                    checked += seen;
                }
                progress(Progress { compared, checked });
                self.unchanged(regime)?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        report.compared = compared;
        Ok(report)
    }

    /// A record for the copy, which the authority had at that time.
    async fn offer(
        &self,
        regime: &Regime,
        copy: usize,
        entry: &Entry,
        begun: Instant,
        manner: Manner,
    ) -> Result<Fate> {
        let key = entry.address();
        if matches!(manner, Manner::Merge | Manner::Restore) {
            return self.merge(regime, copy, &key).await;
        }
        let there = self.replica(copy).read(&key).await?;
        let is_same = |there: &Record| {
            there.version == entry.record.version
                && there.is_live()
                && there.expires_at == entry.record.expires_at
        };
        if there.as_ref().is_some_and(is_same) {
            return Ok(Fate::Same);
        }
        if there.is_none() && begun.elapsed() >= self.config.patience {
            // It may have ended since, and would land where nothing is.
            return self.fix(regime, copy, &key, manner).await;
        }
        match self.replica(copy).write(&key, entry.record.clone(), Write::newer()).await {
            Ok(_) if there.is_none_or(|there| there.version != entry.record.version) => Ok(Fate::Repaired),
            Err(error) if !is_refusal(&error) => Err(error),
            _ => self.fix(regime, copy, &key, manner).await,
        }
    }

    /// A record of the copy, looked up at the authority.
    async fn check_entry(&self, regime: &Regime, copy: usize, entry: &Entry, manner: Manner) -> Result<Fate> {
        let key = entry.address();
        let truth = self.replica(regime.authority).read(&key).await?;
        match truth {
            Some(truth) if truth.version == entry.record.version && truth.is_live() => {
                let (ours, theirs) = (truth.expires_at, entry.record.expires_at);
                match theirs {
                    Some(end) if ours.is_some_and(|ours| ours < end) => {
                        let extend = Touch::new(truth.version, end);
                        self.replica(regime.authority).touch(&key, extend).await.map(|_| Fate::Returned)
                    }
                    _ if ours == theirs => Ok(Fate::Same),
                    _ => self.fix(regime, copy, &key, manner).await,
                }
            }
            None if manner != Manner::Restore => {
                self.end_orphan(regime, copy, &key, &entry.record, manner).await
            }
            Some(truth) if !truth.is_live() => match self.fix(regime, copy, &key, manner).await? {
                Fate::Repaired => Ok(Fate::Buried),
                fate => Ok(fate),
            },
            _ => self.fix(regime, copy, &key, manner).await,
        }
    }

    async fn end_orphan(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        orphan: &Record,
        manner: Manner,
    ) -> Result<Fate> {
        let settled = order::is_settled(orphan, self.now(), self.config.patience);
        if self.strategy == SyncReplication && manner == Manner::Follow && !settled {
            return Ok(Fate::Undecided);
        }
        match self.bury_orphan(regime, copy, key, orphan).await {
            Ok(true) => Ok(Fate::Buried),
            Ok(false) => Ok(Fate::Repaired),
            Err(Failure::Undecided(_)) => Ok(Fate::Undecided),
            Err(Failure::Copy(error)) => Err(error),
        }
    }

    async fn fix(&self, regime: &Regime, copy: usize, key: &SessionKey, manner: Manner) -> Result<Fate> {
        if matches!(manner, Manner::Merge | Manner::Restore) {
            return self.merge(regime, copy, key).await;
        }
        match self.agree(regime, copy, key).await {
            Ok(()) => Ok(Fate::Repaired),
            Err(Failure::Undecided(_)) => {
                self.unchanged(regime)?;
                Ok(Fate::Undecided)
            }
            Err(Failure::Copy(error)) => Err(error),
        }
    }

    /// The newest wins, whichever side has it; a marker wins over what is not born after it.
    async fn merge(&self, regime: &Regime, copy: usize, key: &SessionKey) -> Result<Fate> {
        let (replica, authority) = (self.replica(copy), self.replica(regime.authority));
        for _ in 0..16 {
            let there = replica.read(key).await?;
            let truth = authority.read(key).await?;
            let newer_there = match (&there, &truth) {
                (None, _) => false,
                (Some(there), None) => {
                    if there.is_live()
                        && there.expires_at.is_none()
                        && regime.behind | regime.catching != 0
                        && self.outage(regime) > self.config.marker_lifetime
                    {
                        return Ok(Fate::Undecided);
                    }
                    there.is_live()
                }
                (Some(there), Some(truth)) if there.state == State::Moved && truth.is_live() => {
                    // The rotation wins, with the newest of what the session was under both keys.
                    let last = self.end_of_trail(copy, key, there).await?;
                    match last.filter(|_| !order::outlives(truth, there)) {
                        None => order::supersedes(there, truth),
                        Some((last, moved)) => {
                            let newest = if moved.version > truth.version { moved } else { truth.clone() };
                            let how = Rotate::new(truth.version).with_trail(there.clone());
                            match authority.rotate(key, &last, newest, how).await {
                                Err(error) if is_refusal(&error) => true,
                                rotated => return rotated.map(|_| Fate::Returned),
                            }
                        }
                    }
                }
                (Some(there), Some(truth)) => {
                    if there.version == truth.version && there.state == truth.state {
                        let later = there.expires_at > truth.expires_at;
                        let (to, touch) = if later { (&authority, there) } else { (&replica, truth) };
                        let differs = there.expires_at != truth.expires_at;
                        if let Some(end) = touch.expires_at.filter(|_| differs && touch.is_live()) {
                            to.touch(key, Touch::new(touch.version, end)).await?;
                        }
                        return Ok(Fate::Same);
                    }
                    order::supersedes(there, truth)
                }
            };
            let (from, to, target) =
                if newer_there { (there, truth, &authority) } else { (truth, there, &replica) };
            let Some(from) = from else { return Ok(Fate::Same) };
            let how = match &to {
                None => Write::newer(),
                Some(to) if to.is_live() => Write::update(to.version),
                Some(_) => Write::overwrite(),
            };
            if how.mode == Mode::Overwrite && !from.is_live() {
                return Ok(Fate::Same);
            }
            let ended = !from.is_live();
            match target.write(key, from, how).await {
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(error),
                Ok(_) if ended => return Ok(Fate::Buried),
                Ok(_) if newer_there => return Ok(Fate::Returned),
                Ok(_) => return Ok(Fate::Repaired),
            }
        }
        Err(unavailable("reconcile", "a record kept changing"))
    }

    /// Ends on the copies what a removal of many means and the authority has ended, by whomever, or does not have.
    pub(crate) async fn look_for(&self, filter: &Filter) -> Result<()> {
        let regime = self.regime("remove_all").await?;
        for copy in self.followers(&regime) {
            let looked = self.look_on(&regime, copy, filter).await;
            self.counted(&regime, copy, looked).await?;
        }
        Ok(())
    }

    async fn look_on(&self, regime: &Regime, copy: usize, filter: &Filter) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut after = None;
        let mut orphans = Vec::new();
        loop {
            let page = self.replica(copy).scan(filter, after, PAGE).await.map_err(Failure::Copy)?;
            for entry in page.entries.into_iter().filter(|entry| !is_control(entry.scope.as_ref())) {
                let key = entry.address();
                let truth = self.replica(regime.authority).read(&key).await.map_err(Failure::Undecided)?;
                match truth {
                    Some(truth) if truth.is_live() => {}
                    Some(_) => self.agree(regime, copy, &key).await?,
                    None => orphans.push((key, entry.record)),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // A creation may be under way. What is not at the authority when its writer must have given up never was.
        while !orphans.is_empty()
            && self.strategy == SyncReplication
            && begin.elapsed() < self.config.patience
        {
            tokio::time::sleep(PAUSE).await;
            let mut left = Vec::new();
            for (key, record) in orphans {
                let truth = self.replica(regime.authority).read(&key).await.map_err(Failure::Undecided)?;
                // Or it has moved, and the copy has heard of that by now.
                let there = self.replica(copy).read(&key).await.map_err(Failure::Copy)?;
                if truth.is_none() && there.is_some_and(|there| there.version == record.version) {
                    left.push((key, record));
                }
            }
            orphans = left;
        }
        for (key, record) in orphans {
            self.bury_orphan(regime, copy, &key, &record).await?;
        }
        Ok(())
    }
}

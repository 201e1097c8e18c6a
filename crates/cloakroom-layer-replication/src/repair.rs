//! Making a copy agree with the authority.

use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Mode, Record, Result as Outcome, Rotate, SessionBackend, SessionError, SessionKey, State,
    Touch, Version, Write,
};
use tokio::time::Instant;

use crate::backend::Inner;
use crate::error::{Failure, NAME, is_refusal, unavailable};
use crate::order::{self, Step};
use crate::queue::{Slot, Work};
use crate::regime::Regime;
use crate::status::CopyStatus;
use crate::strategy::ReplicationStrategy::{AsyncReplication, SyncReplication};

/// The first and the longest pause while a write of somebody else is under way.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];
/// How long a copy may lack what is changed.
const GRACE: Duration = Duration::from_millis(500);
/// Longest trail that is followed.
const MOST_HOPS: u32 = 64;

/// What it means that a copy lacks a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// That it gets it.
    Place,
    /// That it misses a change which nobody knows any more, such as the rotation that the record came from.
    Lose,
}

/// What the authority has decided, for the copies.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write(SessionKey, Record, Write),
    Rotate(SessionKey, SessionKey, Record, Rotate),
    Touch(SessionKey, Touch),
    /// The tombstone, and the version it buries.
    Bury(SessionKey, Record, Version),
    /// Whatever it has decided.
    Compare(SessionKey),
    /// The same where it is no wonder that the copy lacks it.
    Supply(SessionKey),
}

impl Change {
    pub(crate) fn key(&self) -> &SessionKey {
        match self {
            Self::Write(key, ..)
            | Self::Rotate(key, ..)
            | Self::Touch(key, _)
            | Self::Bury(key, ..)
            | Self::Compare(key)
            | Self::Supply(key) => key,
        }
    }
}

/// Each time twice as long, up to the longest.
async fn wait(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSES[1]);
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    /// Brings a decided change to one copy: by the compare-and-swap that the authority made, and where that is refused,
    /// by agreement.
    pub(crate) async fn push(&self, regime: &Regime, copy: usize, change: &Change) -> Result<(), Failure> {
        let replica = self.replica(copy);
        let done = match change {
            Change::Write(key, record, how) => replica.write(key, record.clone(), *how).await.map(drop),
            Change::Rotate(old, new, record, how) => {
                replica.rotate(old, new, record.clone(), how.clone()).await.map(drop)
            }
            Change::Touch(key, how) => {
                replica.touch(key, *how).await.map_err(Failure::Copy)?;
                // It does nothing to another version, as where a save is still on its way, and does not say so.
                let there = replica.read(key).await.map_err(Failure::Copy)?;
                let is_extended = |there: Record| {
                    there.version == how.version && there.expires_at.is_none_or(|at| at >= how.expires_at)
                };
                if there.is_some_and(is_extended) {
                    return Ok(());
                }
                return Box::pin(self.agree(regime, copy, key)).await;
            }
            Change::Bury(key, tombstone, buried) => {
                replica.write(key, tombstone.clone(), Write::update(*buried)).await.map(drop)
            }
            Change::Compare(key) => return Box::pin(self.agree(regime, copy, key)).await,
            Change::Supply(key) => {
                return Box::pin(self.agree_on(regime, copy, key, Missing::Place, None)).await;
            }
        };
        match (done, change) {
            (Ok(()), Change::Write(key, record, how)) if how.mode == Mode::Overwrite => {
                // Two of them may have come here in another order than there.
                let truth = self.replica(regime.authority).read(key).await.map_err(Failure::Undecided)?;
                if truth.is_some_and(|truth| truth.version == record.version) {
                    return Ok(());
                }
                Box::pin(self.agree(regime, copy, key)).await
            }
            (Ok(()), _) => Ok(()),
            (Err(error), _) if !is_refusal(&error) => Err(Failure::Copy(error)),
            (Err(_), Change::Rotate(old, new, _, how)) if how.trail.is_some() => {
                Box::pin(self.agree(regime, copy, old)).await?;
                Box::pin(self.agree_on(regime, copy, new, Missing::Place, None)).await
            }
            (Err(_), Change::Rotate(old, new, ..)) => {
                // The successor first: between the two steps the session is at both keys rather than at neither.
                Box::pin(self.agree_on(regime, copy, new, Missing::Place, None)).await?;
                Box::pin(self.bury_left(regime, copy, old)).await
            }
            (Err(_), Change::Write(key, record, _)) => {
                Box::pin(self.agree_after(regime, copy, key, Some(record.version))).await
            }
            (Err(_), _) => Box::pin(self.agree(regime, copy, change.key())).await,
        }
    }

    /// Makes the copy hold what the authority holds. Where another write may be under way it waits, until the patience
    /// is over.
    pub(crate) async fn agree(&self, regime: &Regime, copy: usize, key: &SessionKey) -> Result<(), Failure> {
        self.agree_after(regime, copy, key, None).await
    }

    /// The same for a write of that version, which the authority has accepted.
    pub(crate) async fn agree_after(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        mine: Option<Version>,
    ) -> Result<(), Failure> {
        let counts = self.strategy != AsyncReplication && regime.status(copy) == CopyStatus::InSync;
        let missing = if counts { Missing::Lose } else { Missing::Place };
        self.agree_on(regime, copy, key, missing, mine).await
    }

    async fn agree_on(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        missing: Missing,
        mine: Option<Version>,
    ) -> Result<(), Failure> {
        let (replica, authority) = (self.replica(copy), self.replica(regime.authority));
        // Many at once would only refuse each other.
        let gate = tokio::time::timeout(self.config.patience, self.gate(key).lock()).await;
        let mut gate = gate.map_err(|_| Failure::Undecided(unavailable("write", "the copy is busy")))?;
        let here = (Slot::of(key), copy, regime.epoch);
        if let (Some(mine), Some((place, version))) = (mine, &*gate)
            && *place == here
            && *version >= mine
        {
            // Who was before us put there what came of ours.
            return self.unchanged(regime).map_err(Failure::Undecided);
        }
        let begin = Instant::now();
        // Once more after what was there at the beginning is settled, whatever its clock says.
        let (deadline, mut pause) = (begin + self.config.patience + GRACE, PAUSES[0]);
        let mut seen: Option<(Version, Instant)> = None;
        let grace = begin + GRACE.min(self.config.patience / 2);
        loop {
            // In this order: what is replaced cannot have been decided after what takes its place.
            let there = replica.read(key).await.map_err(Failure::Copy)?;
            let truth = authority.read(key).await.map_err(Failure::Undecided)?;
            let now = self.now();
            let version = there.as_ref().map(|there| there.version);
            if seen.map(|(seen, _)| seen) != version {
                seen = version.map(|version| (version, Instant::now()));
            }
            let step = order::step(
                truth.as_ref(),
                there.as_ref(),
                |there| {
                    self.strategy != SyncReplication
                        || order::is_settled(there, now, self.config.patience)
                        || seen.is_some_and(|(_, at)| at.elapsed() >= self.config.patience)
                },
                |there| self.tombstone(there),
            );
            let lacks = truth.is_some() && there.is_none();
            match step {
                Step::Agreed => {
                    let state = |record: &Option<Record>| record.as_ref().map(|record| record.state);
                    if truth.is_some() && state(&truth) != state(&there) {
                        // Rotated here, ended there: only where one copy decides does the end hold for what came of it.
                        self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
                    }
                    return self.unchanged(regime).map_err(Failure::Undecided);
                }
                Step::Return(touch) => {
                    self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
                    authority.touch(key, touch).await.map_err(Failure::Undecided)?;
                    return self.unchanged(regime).map_err(Failure::Undecided);
                }
                Step::Extend(touch) => {
                    replica.touch(key, touch).await.map_err(Failure::Copy)?;
                    return Ok(());
                }
                // A former authority may have ended it and nobody knows yet: `reconcile` lets the marker win.
                Step::Place(record, _)
                    if self.strategy == AsyncReplication
                        && there
                            .as_ref()
                            .is_some_and(|there| !there.is_live() && !order::outlives(&record, there)) =>
                {
                    return Ok(());
                }
                // An authority that forgets proves nothing by having nothing.
                Step::Place(..) if truth.is_none() && !authority.capability().durable => return Ok(()),
                Step::Place(ref record, _)
                    if lacks && missing == Missing::Lose && record.state != State::Ended =>
                {
                    // Somebody may be about to bring what came before: a creation, or a rotation with its old key. It is not
                    // placed, or a successor beside what it came from would be the session under two keys.
                    if Instant::now() >= grace {
                        let error = SessionError::new(ErrorKind::Unexpected, "write").with_backend(NAME);
                        let message = "the copy lacks what was changed: it misses more than that";
                        return Err(Failure::Copy(error.with_message(message)));
                    }
                    wait(&mut pause).await;
                }
                Step::Place(record, how) => {
                    let (version, lives) = (record.version, record.is_live());
                    self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
                    if let Some(there) = there.as_ref().filter(|there| lives && there.state == State::Moved) {
                        self.end_fork(regime, copy, key, there).await?;
                    }
                    let perhaps_created = truth.is_none() && self.strategy == SyncReplication;
                    if perhaps_created && !self.fence(regime, key, &record).await? {
                        wait(&mut pause).await;
                    } else {
                        match self.place(regime, copy, key, there.as_ref(), record, how).await {
                            Err(error) if !is_refusal(&error) => return Err(Failure::Copy(error)),
                            Err(_) => {}
                            // What the authority had a moment ago is what was decided before, or came of it.
                            Ok(()) => {
                                self.meters.repairs.add();
                                *gate = lives.then_some((here, version));
                                return self.unchanged(regime).map_err(Failure::Undecided);
                            }
                        }
                    }
                }
                Step::Wait => {
                    wait(&mut pause).await;
                }
            }
            if Instant::now() >= deadline {
                self.meters.undecided.add();
                return Err(Failure::Undecided(unavailable("write", "the copies do not agree")));
            }
        }
    }

    /// Puts the authority's record on the copy. Where the session was rotated and the copy does not know, it is rotated
    /// there too, in one step; where the copy never had it, it comes with what it became.
    async fn place(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        there: Option<&Record>,
        record: Record,
        how: Write,
    ) -> Outcome<()> {
        let replica = self.replica(copy);
        if there.is_none_or(Record::is_live)
            && record.state == State::Moved
            && let Some((last, moved)) = self.end_of_trail(regime.authority, key, &record).await?
            && replica.read(&last).await?.is_none()
        {
            if let Some(there) = there {
                let how = Rotate::new(there.version).with_trail(record);
                let rotated = replica.rotate(key, &last, moved, how).await.map(drop);
                // It may have been late, and the session elsewhere by then.
                self.suspect(&last);
                return rotated;
            }
            // It must not be at neither key.
            match replica.write(&last, moved, Write::newer()).await {
                Err(error) if !is_refusal(&error) => return Err(error),
                _ => {}
            }
        }
        replica.write(key, record, how).await.map(drop)
    }

    /// Where the session of a trail lives on a copy, if it does.
    pub(crate) async fn end_of_trail(
        &self,
        copy: usize,
        from: &SessionKey,
        marker: &Record,
    ) -> Outcome<Option<(SessionKey, Record)>> {
        let mut marker = marker.clone();
        for _ in 0..MOST_HOPS {
            let Some(successor) = marker.successor() else { return Ok(None) };
            let address = SessionKey::from_id(successor);
            let key = from.scope().map_or_else(|| address.clone(), |scope| address.scoped(scope));
            match self.replica(copy).read(&key).await? {
                Some(record) if record.is_live() => return Ok(Some((key, record))),
                Some(record) => marker = record,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Takes a record back that this writer put on a copy and that the authority refused.
    pub(crate) async fn discard(&self, regime: &Regime, copy: usize, key: &SessionKey, dead: &Record) {
        let truth = match self.replica(regime.authority).read(key).await {
            Ok(Some(truth)) => truth,
            Ok(None) => self.tombstone(dead),
            Err(_) => return self.suspect(key),
        };
        if truth.version == dead.version && truth.state == dead.state {
            return;
        }
        // What the former authority refused is no less true where another one decides.
        if self.confirm(regime, copy).await.is_err() {
            return self.suspect(key);
        }
        match self.place(regime, copy, key, Some(dead), truth, Write::update(dead.version)).await {
            Err(error) if !is_refusal(&error) => self.suspect(key),
            // Refused: others have been there.
            _ => {
                self.meters.repairs.add();
            }
        }
    }

    /// Ends what is left on a copy at a key that the authority has left for good.
    async fn bury_left(&self, regime: &Regime, copy: usize, key: &SessionKey) -> Result<(), Failure> {
        let replica = self.replica(copy);
        for _ in 0..16 {
            let there = replica.read(key).await.map_err(Failure::Copy)?;
            let Some(there) = there.filter(Record::is_live) else { return Ok(()) };
            self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
            let tombstone = self.tombstone(&there);
            match replica.write(key, tombstone, Write::update(there.version)).await {
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(Failure::Copy(error)),
                Ok(_) => return self.unchanged(regime).map_err(Failure::Undecided),
            }
        }
        Err(Failure::Undecided(unavailable("rotate", "the copies do not agree")))
    }

    /// A tombstone where the authority has nothing, so that what is under way cannot appear there any more. Whether
    /// nothing was there.
    async fn fence(&self, regime: &Regime, key: &SessionKey, tombstone: &Record) -> Result<bool, Failure> {
        match self.replica(regime.authority).write(key, tombstone.clone(), Write::create()).await {
            Err(error) if is_refusal(&error) => Ok(false),
            written => written.map(|_| true).map_err(Failure::Undecided),
        }
    }

    /// Ends what only a copy has; whether it was only there.
    pub(crate) async fn bury_orphan(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        orphan: &Record,
    ) -> Result<bool, Failure> {
        self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
        let tombstone = self.tombstone(orphan);
        if self.strategy == SyncReplication && !self.fence(regime, key, &tombstone).await? {
            self.agree(regime, copy, key).await?;
            return Ok(false);
        }
        match self.replica(copy).write(key, tombstone, Write::update(orphan.version)).await {
            Err(error) if is_refusal(&error) => self.agree(regime, copy, key).await?,
            written => drop(written.map_err(Failure::Copy)?),
        }
        Ok(true)
    }

    /// A copy that decided before may have rotated what the authority has not, and nobody heard of it: ends what came of
    /// that, unless the authority has it too.
    async fn end_fork(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        marker: &Record,
    ) -> Result<(), Failure> {
        let authority = self.replica(regime.authority);
        if self.strategy == AsyncReplication || !authority.capability().durable {
            return Ok(());
        }
        let fork = self.end_of_trail(copy, key, marker).await.map_err(Failure::Copy)?;
        let Some((last, orphan)) = fork else { return Ok(()) };
        let tombstone = self.tombstone(&orphan);
        let is_over = match authority.read(&last).await.map_err(Failure::Undecided)? {
            Some(truth) if truth.is_live() => return Ok(()),
            Some(_) => true,
            None => self.fence(regime, &last, &tombstone).await?,
        };
        if is_over {
            match self.replica(copy).write(&last, tombstone, Write::update(orphan.version)).await {
                Err(error) if is_refusal(&error) => {}
                written => return written.map(drop).map_err(Failure::Copy),
            }
        }
        self.suspect(&last);
        Ok(())
    }

    /// Brings what the queue held.
    pub(crate) async fn work(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        work: &Work,
        since: Instant,
    ) -> Result<(), Failure> {
        let change = match work {
            Work::Record(record) => Change::Write(key.clone(), record.clone(), Write::newer()),
            Work::Touch(touch) => Change::Touch(key.clone(), *touch),
            Work::Compare(_) => Change::Compare(key.clone()),
        };
        self.bring(regime, copy, &change, since).await
    }

    /// For the worker to look at: when it can, and once more when a call that was given up has arrived or never will.
    pub(crate) fn suspect(&self, key: &SessionKey) {
        let due = Instant::now() + self.config.poll * 2 + self.config.patience;
        if self.queue.push(key, Work::Compare(None)).is_err() {
            self.meters.dropped.add();
            self.doubts.note_all(due);
        }
        self.doubts.note(Slot::of(key), due);
    }

    pub(crate) fn tombstone(&self, of: &Record) -> Record {
        order::tombstone(of, self.now(), self.config.marker_lifetime)
    }
}

//! Making a copy agree with the authority.

use std::time::Duration;

use cloakroom_core::{Mode, Record, Rotate, SessionBackend, SessionKey, Touch, Write};
use tokio::time::Instant;

use crate::backend::Inner;
use crate::error::{Failure, is_refusal, unavailable};
use crate::order::{self, Step};
use crate::queue::Work;
use crate::regime::Regime;
use crate::strategy::ReplicationStrategy::SyncReplication;

/// The first and the longest pause while a write of somebody else is under way.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// What the authority has decided, for the copies.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write(SessionKey, Record, Write),
    Rotate(SessionKey, SessionKey, Record, Rotate),
    Touch(SessionKey, Touch),
    Bury(SessionKey, Record),
    /// Whatever it has decided.
    Compare(SessionKey),
}

impl Change {
    pub(crate) fn key(&self) -> &SessionKey {
        match self {
            Self::Write(key, ..) | Self::Touch(key, _) | Self::Bury(key, _) | Self::Compare(key) => key,
            Self::Rotate(_, new, ..) => new,
        }
    }
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
            Change::Touch(key, how) => match replica.touch(key, *how).await {
                Ok(None) => return Box::pin(self.agree(regime, copy, key)).await,
                touched => touched.map(drop),
            },
            Change::Bury(key, tombstone) => {
                replica.write(key, tombstone.clone(), Write::newer()).await.map(drop)
            }
            Change::Compare(key) => return Box::pin(self.agree(regime, copy, key)).await,
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
            (Err(_), Change::Rotate(old, new, _, how)) => {
                // The successor first: between the two steps the session is at both keys rather than at neither.
                Box::pin(self.agree(regime, copy, new)).await?;
                if how.trail.is_some() {
                    return Box::pin(self.agree(regime, copy, old)).await;
                }
                Box::pin(self.bury_left(regime, copy, old)).await
            }
            (Err(_), _) => Box::pin(self.agree(regime, copy, change.key())).await,
        }
    }

    /// Makes the copy hold what the authority holds. Where another write may be under way it waits, until the patience
    /// is over.
    pub(crate) async fn agree(&self, regime: &Regime, copy: usize, key: &SessionKey) -> Result<(), Failure> {
        let (replica, authority) = (self.replica(copy), self.replica(regime.authority));
        let (deadline, mut pause) = (Instant::now() + self.config.patience, PAUSES[0]);
        loop {
            // In this order: what is replaced cannot have been decided after what takes its place.
            let there = replica.read(key).await.map_err(Failure::Copy)?;
            let truth = authority.read(key).await.map_err(Failure::Undecided)?;
            let now = self.now();
            let step = order::step(
                truth.as_ref(),
                there.as_ref(),
                |there| {
                    self.strategy != SyncReplication || order::is_settled(there, now, self.config.patience)
                },
                |there| self.tombstone(there),
            );
            match step {
                Step::Agreed => return self.unchanged(regime).map_err(Failure::Undecided),
                Step::Extend(touch) => {
                    replica.touch(key, touch).await.map_err(Failure::Copy)?;
                    return Ok(());
                }
                // An authority that forgets proves nothing by having nothing.
                Step::Place(..) if truth.is_none() && !authority.capability().durable => return Ok(()),
                Step::Place(record, how) => {
                    self.confirm(regime, copy).await.map_err(Failure::Undecided)?;
                    match replica.write(key, record, how).await {
                        Err(error) if !is_refusal(&error) => return Err(Failure::Copy(error)),
                        Err(_) => {}
                        Ok(_) => {
                            self.meters.repairs.add();
                        }
                    }
                }
                Step::Wait => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES[1]);
                }
            }
            if Instant::now() >= deadline {
                self.meters.undecided.add();
                return Err(Failure::Undecided(unavailable("write", "the copies do not agree")));
            }
        }
    }

    /// Takes a record back that this writer put on a copy and that the authority refused.
    pub(crate) async fn discard(&self, regime: &Regime, copy: usize, key: &SessionKey, dead: &Record) {
        let truth = match self.replica(regime.authority).read(key).await {
            Ok(truth) => truth.unwrap_or_else(|| self.tombstone(dead)),
            Err(_) => return self.suspect(key),
        };
        if truth.version == dead.version && truth.state == dead.state {
            return;
        }
        match self.replica(copy).write(key, truth, Write::update(dead.version)).await {
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
            let tombstone = self.tombstone(&there);
            match replica.write(key, tombstone, Write::update(there.version)).await {
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(Failure::Copy(error)),
                Ok(_) => return self.unchanged(regime).map_err(Failure::Undecided),
            }
        }
        Err(Failure::Undecided(unavailable("rotate", "the copies do not agree")))
    }

    /// Ends what only a copy has. A tombstone at the authority first, so that it cannot appear there meanwhile.
    /// Whether it was only there.
    pub(crate) async fn bury_orphan(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        orphan: &Record,
    ) -> Result<bool, Failure> {
        let tombstone = self.tombstone(orphan);
        match self.replica(regime.authority).write(key, tombstone.clone(), Write::create()).await {
            Err(error) if is_refusal(&error) => {
                self.agree(regime, copy, key).await?;
                return Ok(false);
            }
            written => written.map_err(Failure::Undecided)?,
        };
        match self.replica(copy).write(key, tombstone, Write::update(orphan.version)).await {
            Err(error) if is_refusal(&error) => self.agree(regime, copy, key).await?,
            written => drop(written.map_err(Failure::Copy)?),
        }
        Ok(true)
    }

    /// Brings what the queue held.
    pub(crate) async fn work(
        &self,
        regime: &Regime,
        copy: usize,
        key: &SessionKey,
        work: &Work,
    ) -> Result<(), Failure> {
        let change = match work {
            Work::Record(record) => Change::Write(key.clone(), record.clone(), Write::newer()),
            Work::Touch(touch) => Change::Touch(key.clone(), *touch),
            Work::Compare => Change::Compare(key.clone()),
        };
        self.bring(regime, copy, &change).await
    }

    /// For the worker to look at, when it can.
    pub(crate) fn suspect(&self, key: &SessionKey) {
        if self.queue.push(key, Work::Compare).is_err() {
            self.meters.dropped.add();
        }
    }

    pub(crate) fn tombstone(&self, of: &Record) -> Record {
        order::tombstone(of, self.now(), self.config.marker_lifetime)
    }
}

//! Who decides, and who is behind: known to all processes through a record on each copy.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Record, Result, Scope, SessionBackend, SessionError, SessionId, SessionKey, Timestamp, Write,
};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::backend::Inner;
use crate::error::{NAME, is_refusal, unavailable};
use crate::status::CopyStatus;
use crate::strategy::Failover;

/// Where the control records are. Nothing else is in that scope.
const SCOPE: &str = "cloakroom:replication";
const EMPTY: &str = "the copy that decides is empty: somebody emptied or replaced it; promote another";
/// Copies are bits of a word.
pub(crate) const MOST_COPIES: usize = 64;

/// Roles of the copies by their numbers; the primary is 0. The default is what holds where nothing was ever written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Regime {
    pub(crate) epoch: u64,
    pub(crate) authority: usize,
    pub(crate) behind: u64,
    pub(crate) catching: u64,
    /// When the first copy that is behind fell behind, in milliseconds since 1970.
    pub(crate) since: i64,
    /// The authority is about to move; nobody writes.
    pub(crate) moving: bool,
    /// How often the authority moved.
    pub(crate) term: u64,
}

impl Regime {
    const LENGTH: usize = 44;

    /// For that copy, which says its own number too.
    fn encode(self, copy: usize) -> Vec<u8> {
        let number = |copy| u8::try_from(copy).unwrap_or(u8::MAX);
        let mut bytes = vec![1];
        for word in [self.epoch, self.behind, self.catching, self.term] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(self.since.to_be_bytes());
        bytes.extend([number(self.authority), u8::from(self.moving), number(copy)]);
        bytes
    }

    /// With the number of the copy that it was written on.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        (bytes.len() == Self::LENGTH && bytes.first() == Some(&1)).then_some(())?;
        let regime = Self {
            epoch: u64::from_be_bytes(word(1)?),
            behind: u64::from_be_bytes(word(9)?),
            catching: u64::from_be_bytes(word(17)?),
            term: u64::from_be_bytes(word(25)?),
            since: i64::from_be_bytes(word(33)?),
            authority: usize::from(*bytes.get(41)?),
            moving: *bytes.get(42)? == 1,
        };
        // A time, and room for those after it.
        (regime.epoch >> 62 == 0).then_some((regime, usize::from(*bytes.get(43)?)))
    }

    /// Whether it holds where both are told: the later one. In the same millisecond it is the one that did not move the authority.
    pub(crate) fn outranks(&self, other: &Self) -> bool {
        let rank = |regime: &Self| (regime.epoch, Reverse(regime.term), Reverse(regime.authority));
        rank(self) > rank(other)
    }

    pub(crate) fn status(&self, copy: usize) -> CopyStatus {
        match 1 << copy {
            _ if copy == self.authority => CopyStatus::Authority,
            bit if self.behind & bit != 0 => CopyStatus::Behind,
            bit if self.catching & bit != 0 => CopyStatus::CatchingUp,
            _ => CopyStatus::InSync,
        }
    }

    pub(crate) fn lose(&mut self, copy: usize, now: Timestamp) {
        if self.behind | self.catching == 0 {
            self.since = now.as_millis();
        }
        self.behind |= 1 << copy;
        self.catching &= !(1 << copy);
    }
}

/// One fail-over at a time.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicBool);

pub(crate) struct Taken<'a>(&'a Turn);

impl Turn {
    fn take(&self) -> Option<Taken<'_>> {
        (!self.0.swap(true, Ordering::AcqRel)).then_some(Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// The address of the control record, the same on every copy.
pub(crate) fn control() -> SessionKey {
    let key = SessionKey::from_id(SessionId::from_bytes(*b"cloakroom replication: the roles"));
    Scope::parse(SCOPE).map_or_else(|_| key.clone(), |scope| key.scoped(&scope))
}

pub(crate) fn is_control(scope: Option<&Scope>) -> bool {
    scope.is_some_and(|scope| scope.as_str() == SCOPE)
}

impl<P: SessionBackend, S: SessionBackend> Inner<P, S> {
    /// The roles, where something may be written.
    pub(crate) async fn regime(&self, operation: &'static str) -> Result<Regime> {
        let regime = self.roles(operation).await?;
        if regime.moving {
            return Err(unavailable(operation, "another copy is about to decide"));
        }
        Ok(regime)
    }

    /// The roles; reads them before the first operation.
    pub(crate) async fn roles(&self, operation: &'static str) -> Result<Regime> {
        let regime = match self.knowledge.current() {
            Some(regime) => regime,
            None => Box::pin(self.learn()).await?,
        };
        if self.knowledge.is_in_doubt() {
            return Err(unavailable(operation, "a copy is away, and it may be the one that decides"));
        }
        Ok(regime)
    }

    /// The copies that a write must reach.
    pub(crate) fn followers(&self, regime: &Regime) -> impl Iterator<Item = usize> + use<P, S> {
        let regime = *regime;
        (0..self.copies())
            .filter(move |copy| matches!(regime.status(*copy), CopyStatus::InSync | CopyStatus::CatchingUp))
    }

    /// What a copy says, with the record that says it. Who knows the roles takes over what is later.
    pub(crate) async fn control(&self, copy: usize) -> Result<(Regime, Option<Record>)> {
        let begun = Instant::now();
        let told = self.told(copy).await;
        let known = self.knowledge.current();
        if known.is_some_and(|known| known.authority == copy) {
            // Somebody emptied it, or put another in its place. What it lacks now proves nothing.
            let is_empty = matches!(&told, Ok((_, None)));
            self.knowledge.note_emptied(is_empty);
            if is_empty {
                self.knowledge.note_missed(copy);
                return Err(unavailable("read roles", EMPTY));
            }
        }
        match &told {
            Ok((regime, _)) => {
                if known.is_some() {
                    self.adopt(*regime);
                }
                self.knowledge.note_asked(copy, begun);
            }
            Err(_) => self.knowledge.note_missed(copy),
        }
        told
    }

    async fn told(&self, copy: usize) -> Result<(Regime, Option<Record>)> {
        let Some(record) = self.replica(copy).read(&self.control).await? else {
            return Ok((Regime::default(), None));
        };
        let wrong = |kind, message| {
            Err(SessionError::new(kind, "read roles").with_backend(NAME).with_message(message))
        };
        match Regime::decode(&record.payload) {
            Some((_, place)) if place != copy => wrong(
                ErrorKind::InvalidConfig,
                "a copy is configured at another place than it was: the order of copies never changes",
            ),
            Some((regime, _)) if regime.authority < self.copies() => Ok((regime, Some(record))),
            Some(_) => wrong(ErrorKind::InvalidConfig, "the copy that decides is not configured any more"),
            None => wrong(ErrorKind::Corrupted, "the control record is something else"),
        }
    }

    /// Whether the roles are still what an operation began with, by the word of the authority and of that copy.
    pub(crate) async fn confirm(&self, regime: &Regime, copy: usize) -> Result<()> {
        for copy in [regime.authority, copy] {
            self.control(copy).await?;
        }
        self.unchanged(regime)
    }

    /// The roles once the authority has decided: while it took its time, a copy may have come back that must hear of it too.
    /// Who comes back waits for two polls before it is compared, so what was asked for within two polls is recent enough.
    pub(crate) async fn after(&self, regime: &Regime) -> Result<Regime> {
        if self.knowledge.is_older_than(regime.authority, self.config.poll * 2) {
            self.control(regime.authority).await?;
        }
        self.unchanged(regime)?;
        Ok(self.knowledge.current().unwrap_or(*regime))
    }

    /// Waits until every process that polls has heard of the copies that are behind, and has the authority's word from then
    /// on: had it gone before that, another process could let a copy decide that does not have what is acknowledged now.
    pub(crate) async fn ripen(&self, regime: &Regime) -> Result<()> {
        if let Some(due) = self.knowledge.lost().map(|at| at + self.config.poll * 2)
            && !self.knowledge.was_asked_since(regime.authority, due)
        {
            tokio::time::sleep_until(due).await;
            self.control(regime.authority).await?;
        }
        // While it was brought to the others, another copy may have taken over.
        self.after(regime).await.map(drop)
    }

    pub(crate) fn unchanged(&self, regime: &Regime) -> Result<()> {
        let current = self.knowledge.current().unwrap_or_default();
        // The same one may decide again, after another did.
        if (current.authority, current.term) == (regime.authority, regime.term) && !current.moving {
            return Ok(());
        }
        Err(unavailable("write", "another copy decides now"))
    }

    pub(crate) fn adopt(&self, regime: Regime) -> Regime {
        let before = self.knowledge.current().unwrap_or_default();
        let now = self.knowledge.adopt(regime);
        if now != before {
            tracing::info!(
                target: "cloakroom::replication",
                epoch = now.epoch, authority = now.authority, behind = now.behind, catching_up = now.catching,
                "the roles of the copies changed"
            );
        }
        now
    }

    /// Changes the roles: at the copy that decides from then on, then, as far as they answer, at the others that count.
    async fn change(&self, from: Regime, change: impl Fn(&mut Regime)) -> Result<Regime> {
        let mut next = from;
        change(&mut next);
        // The time, if it is later: of two that began from the same, each on a copy that the other did not see, the later one
        // holds, as nobody acknowledged anything under the earlier one since its copy fell silent.
        let now = u64::try_from(self.now().as_millis()).unwrap_or(0);
        next.epoch = now.max(from.epoch.saturating_add(1));
        next.term += u64::from(next.authority != from.authority);
        let (told, record) = self.control(next.authority).await?;
        if record.is_none() {
            return Err(unavailable("change roles", EMPTY));
        }
        // A copy that was away may tell of others. What is replaced counts even if it is too slow to say so twice.
        let others = self.survey(self.config.poll / 2).await?.highest;
        if told.outranks(&from) || others.outranks(&from) {
            return Err(unavailable("change roles", "another process changed them"));
        }
        match self.write_control(next.authority, next, record.as_ref()).await {
            Err(error) if is_refusal(&error) => {
                self.control(next.authority).await?;
                return Err(unavailable("change roles", "another process changed them"));
            }
            written => written?,
        }
        self.adopt(next);
        // What a copy that was away says of itself is still needed.
        let others = (0..self.copies()).filter(|copy| next.status(*copy) == CopyStatus::InSync);
        // Nor may one that hangs keep this process from what others say.
        join_all(others.map(|copy| timeout(self.config.poll, self.mirror(copy, next)))).await;
        Ok(next)
    }

    pub(crate) async fn mirror(&self, copy: usize, regime: Regime) -> Result<()> {
        let (there, record) = self.control(copy).await?;
        if regime.outranks(&there) {
            self.write_control(copy, regime, record.as_ref()).await?;
        }
        Ok(())
    }

    pub(crate) async fn write_control(
        &self,
        copy: usize,
        regime: Regime,
        there: Option<&Record>,
    ) -> Result<()> {
        let now = self.now();
        let record = Record::new(regime.encode(copy), now);
        let (record, how) = match there {
            Some(there) => (record.with_version(there.version.next(now)), Write::update(there.version)),
            None => (record, Write::create()),
        };
        self.replica(copy).write(&self.control, record, how).await.map(drop)
    }

    /// Notes that a copy misses something. Until that is noted at the authority, nothing may be acknowledged.
    pub(crate) async fn lose(&self, copy: usize, regime: &Regime) -> Result<()> {
        for _ in 0..4 {
            let current = self.knowledge.current().unwrap_or_default();
            self.unchanged(regime)?;
            match current.status(copy) {
                CopyStatus::Behind => return Ok(()),
                // It may decide by now.
                CopyStatus::InSync
                    if self.config.failover == Failover::Promote && !self.was_heard_of(copy) =>
                {
                    return Err(unavailable(
                        "change roles",
                        "a copy is away that was not heard shortly before",
                    ));
                }
                _ => {}
            }
            let now = self.now();
            match self.change(current, |next| next.lose(copy, now)).await {
                Ok(_) => {
                    self.meters.lost_copies.add();
                    tracing::warn!(target: "cloakroom::replication", copy, "a copy is behind");
                    return Ok(());
                }
                Err(error) if self.knowledge.current() == Some(current) => return Err(error),
                Err(_) => {}
            }
        }
        Err(unavailable("change roles", "others keep changing them"))
    }

    /// From now on it gets what is written.
    pub(crate) async fn admit(&self, copy: usize) -> Result<Regime> {
        let current = self.regime("change roles").await?;
        // One that answers may still be full, or read-only.
        self.mirror(copy, current).await?;
        self.change(current, |next| {
            next.behind &= !(1 << copy);
            next.catching |= 1 << copy;
        })
        .await
    }

    /// It has everything, unless the roles changed since then: it may have been lost and admitted again meanwhile.
    pub(crate) async fn complete(&self, copy: usize, since: u64) -> Result<()> {
        for _ in 0..4 {
            let current = self.regime("change roles").await?;
            if current.status(copy) != CopyStatus::CatchingUp || current.epoch != since {
                return Err(unavailable("catch up", "the copy was lost again"));
            }
            match self.change(current, |next| next.catching &= !(1 << copy)).await {
                Ok(_) => return Ok(()),
                Err(error) if self.knowledge.current() == Some(current) => return Err(error),
                Err(_) => {}
            }
        }
        Err(unavailable("change roles", "others keep changing them"))
    }

    /// Makes another copy decide, if policy and copies allow; whether the roles are others now.
    pub(crate) async fn fail_over(&self, from: Regime) -> bool {
        if self.config.failover == Failover::Refuse {
            return false;
        }
        let Some(_turn) = self.turn.take() else { return false };
        Box::pin(self.fail_over_once(from)).await
    }

    async fn fail_over_once(&self, from: Regime) -> bool {
        for failed in 1..=self.config.attempts {
            // As long as a hang would last, nobody could write.
            if timeout(self.config.poll, self.control(from.authority)).await.is_ok_and(|told| told.is_ok()) {
                return self.knowledge.current().is_some_and(|now| now.authority != from.authority);
            }
            tokio::time::sleep(self.config.pause(failed)).await;
        }
        if !self.was_heard_of(from.authority) || self.may_have_missed_much(&from) {
            tracing::warn!(
                target: "cloakroom::replication",
                "the authority is away, and which copy is behind was not heard shortly before; no copy takes its place"
            );
            return false;
        }
        let Some(current) = self.knowledge.current().filter(|now| now.authority == from.authority) else {
            return true;
        };
        let in_sync = |copy: &usize| current.status(*copy) == CopyStatus::InSync && self.may_decide(*copy);
        for copy in (0..self.copies()).filter(in_sync) {
            // What this process acknowledged and still has in its queue goes first.
            self.drain_to(copy, self.config.patience).await;
            let now = self.now();
            let promoted = self.change(current, |next| {
                next.lose(current.authority, now);
                next.authority = copy;
            });
            if promoted.await.is_ok() {
                self.meters.promotions.add();
                tracing::warn!(target: "cloakroom::replication", copy, "the authority is away; another copy decides");
                return true;
            }
            if self.knowledge.current() != Some(current) {
                return true;
            }
        }
        false
    }

    /// Moves the decision to a copy that is in sync: after a pause in which nobody writes, or at once where the one that
    /// decides does not answer.
    pub(crate) async fn hand_over(&self, to: usize) -> Result<()> {
        let invalid = |message| {
            SessionError::new(ErrorKind::InvalidConfig, "promote").with_backend(NAME).with_message(message)
        };
        if to >= self.copies() {
            return Err(invalid("there is no such copy"));
        }
        if !self.may_decide(to) {
            return Err(invalid("the copy forgets, and another does not"));
        }
        self.check("promote")?;
        let survey = self.survey(self.config.patience).await?;
        let current = self.knowledge.current().unwrap_or(survey.highest);
        match current.status(to) {
            CopyStatus::Authority => return self.stay(current, survey.reached).await,
            CopyStatus::InSync => {}
            _ => return Err(unavailable("promote", "the copy is behind")),
        }
        if !survey.has_word_of(current.authority) {
            return self.take_over(current, to).await;
        }
        let current = self.regime("promote").await?;
        // What arrives meanwhile is little.
        self.drain(self.config.patience).await;
        let paused = self.change(current, |next| next.moving = true).await?;
        tokio::time::sleep(self.config.poll * 2).await;
        let left = self.drain(self.config.patience).await;
        let settle = |next: &mut Regime| {
            next.moving = false;
            if left == 0 {
                next.authority = to;
            }
        };
        let moved = self.change(paused, settle).await?;
        // The former authority says so too, or a process that starts without the new one would believe the old.
        drop(self.mirror(current.authority, moved).await);
        // What processes that went had begun, nobody else knows of.
        self.doubts.note_all(Instant::now() + self.config.poll * 2 + self.config.patience);
        if left > 0 {
            return Err(unavailable("promote", "the queue could not be emptied"));
        }
        Ok(())
    }

    /// The word of somebody who knows that a silent copy did not take over: it is left behind.
    async fn stay(&self, mut current: Regime, reached: u64) -> Result<()> {
        let silent = |copy: &usize| reached & (1 << copy) == 0;
        for copy in self.followers(&current).filter(silent).collect::<Vec<_>>() {
            let now = self.now();
            current = self.change(current, |next| next.lose(copy, now)).await?;
            self.meters.lost_copies.add();
        }
        self.knowledge.doubt(false);
        Ok(())
    }

    /// The word of somebody who knows that the authority is gone.
    async fn take_over(&self, current: Regime, to: usize) -> Result<()> {
        for failed in 1..self.config.attempts {
            tokio::time::sleep(self.config.pause(failed)).await;
            if self.survey(self.config.patience).await?.has_word_of(current.authority) {
                return Err(unavailable("promote", "the copy that decides answers again; try once more"));
            }
        }
        self.drain_to(to, self.config.patience).await;
        let now = self.now();
        self.change(current, |next| {
            next.lose(current.authority, now);
            next.authority = to;
            next.moving = false;
        })
        .await?;
        self.knowledge.note_emptied(false);
        self.knowledge.doubt(false);
        self.meters.promotions.add();
        tracing::warn!(target: "cloakroom::replication", copy = to, "the authority is away; another copy was told to decide");
        Ok(())
    }

    /// Ends a pause that nobody else ends.
    pub(crate) async fn end_move(&self, from: Regime) {
        drop(self.change(from, |next| next.moving = false).await);
    }

    /// Asks the others whether another copy decides by now; who does not answer has no say.
    pub(crate) async fn ask_followers(&self, regime: &Regime) -> Result<()> {
        let asked = self.followers(regime).map(|copy| timeout(self.config.poll, self.control(copy)));
        join_all(asked).await;
        self.unchanged(regime)
    }

    pub(crate) fn outage(&self, regime: &Regime) -> Duration {
        self.now().duration_since(Timestamp::from_millis(regime.since))
    }
}

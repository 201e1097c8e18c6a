use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use super::data::Data;
use super::log::Change;
use super::state::{Plan, Stored, in_scope_of};
use crate::backend::SessionBackend;
use crate::config::AtLimit;
use crate::error::{ErrorKind, Result, SessionError};
use crate::key::{SessionId, SessionKey};
use crate::observer::{SecurityEvent, SessionEvent};
use crate::operation::{Filter, Limits, Removal, Rotate, Write};
use crate::record::{Owner, Record, State as RecordState, random_u64};

const MIN_ATTEMPTS: u32 = 16;
const MAX_COLLISIONS: u32 = 8;
const MAX_HOPS: u32 = 4096;
const MAX_EVICTIONS: u32 = 64;

/// How often what was met in one save.
#[derive(Default)]
struct Trials {
    started: Option<Instant>,
    conflicts: u32,
    collisions: u32,
    evictions: u32,
    /// The owner had room when the backend said that there was none.
    had_room: bool,
}

/// What a record turned out to be.
enum Loaded {
    Live,
    Damaged,
    Over(SessionKey),
}

impl<B: SessionBackend> Session<B> {
    /// Reads the session. The caller holds the gate.
    pub(super) async fn load_gated(&self) -> Result<()> {
        let presented = {
            let state = self.state();
            if state.loaded {
                return Ok(());
            }
            state.presented.clone()
        };
        let mut key = presented;
        let mut others = self.0.others.iter();
        while let Some(candidate) = key {
            if self.load_from(candidate, others.len() == self.0.others.len()).await? {
                return Ok(());
            }
            key = others.next().cloned();
        }
        self.state().loaded = true;
        Ok(())
    }

    /// Loads the session of that key; `false` when it has none.
    async fn load_from(&self, key: SessionKey, first: bool) -> Result<bool> {
        let record = match self.0.backend.read(&key).await {
            Err(error) if self.0.config.degrade && error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(target: "cloakroom", %error, "the session store is down; going on without sessions");
                let mut state = self.state();
                state.degraded = true;
                state.loaded = true;
                return Ok(true);
            }
            // A layer could not open it. To the client that is a session that is not there.
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(target: "cloakroom", %error, "a session cannot be read; going on with a new one");
                self.security(SecurityEvent::Corrupted(key.id()));
                return Ok(false);
            }
            read => read?,
        };
        let id = || key.id();
        let Some(record) = record.filter(|record| record.state != RecordState::Ended) else {
            self.security(SecurityEvent::UnknownKey(id()));
            return Ok(false);
        };
        if !record.is_live() {
            self.state().moved = true;
            self.security(SecurityEvent::RotatedKey(id()));
            return Ok(false);
        }
        let id = id();
        match self.install(key, first, record)? {
            Loaded::Live => {
                if !self.0.config.observers.is_empty() {
                    self.notify(SessionEvent::Loaded(id));
                }
                Ok(true)
            }
            Loaded::Damaged => {
                self.security(SecurityEvent::Corrupted(id));
                Ok(false)
            }
            Loaded::Over(key) => {
                match Box::pin(self.0.backend.remove(&key, Removal::Expired)).await {
                    // A client-side session that cannot be revoked is over all the same.
                    Err(error) if error.kind() == ErrorKind::Unsupported => {}
                    removed => drop(removed?),
                }
                self.notify(SessionEvent::Expired(1));
                Ok(false)
            }
        }
    }

    fn install(&self, key: SessionKey, first: bool, record: Record) -> Result<Loaded> {
        let stored = Stored::from(&record);
        let config = &self.0.config;
        let Ok(data) = Data::over(record.payload, record.owner, config.format) else {
            return Ok(Loaded::Damaged);
        };
        let mut state = self.state();
        let logs = state.data.logs().clone();
        state.data = if logs.is_empty() { data } else { data.with_logs(&logs, self.lazy_now())? };
        state.stored = Some(stored);
        if self.is_over(&mut state, stored) {
            let logs = state.data.logs().clone();
            state.data = Data::new(config.format).with_logs(&logs, self.lazy_now())?;
            state.stored = None;
            return Ok(Loaded::Over(key));
        }
        if first {
            state.presented = None;
        }
        state.shown = first;
        state.key = Some(key);
        state.moved = false;
        state.loaded = true;
        state.generation += 1;
        Ok(Loaded::Live)
    }

    /// Whether limits that became shorter since the last save have ended it.
    fn is_over(&self, state: &mut super::state::State, stored: Stored) -> bool {
        let config = &self.0.config;
        let within =
            |absolute: Duration| stored.expires_at.is_some_and(|end| end <= stored.created_at + absolute);
        // What the backend still returns within the limit is not over. The usual session needs no look at the clock.
        if config.timeouts.absolute.is_none_or(within) {
            return false;
        }
        let now = self.now();
        state.ends(config, stored.accessed_at.min(now)).is_some_and(|at| at <= now)
    }

    /// Saves until it is done, refused or out of time. The caller holds the gate.
    pub(super) async fn save_gated(&self) -> Result<()> {
        let (loaded, settled) = {
            let state = self.state();
            if !(state.modified || state.cycle) {
                return Ok(());
            }
            (state.loaded, state.attempts.is_empty())
        };
        // What is seldom needed is boxed: the future of the usual save stays small.
        if !loaded {
            Box::pin(self.load_gated()).await?;
        }
        if !settled {
            Box::pin(self.settle()).await?;
        }
        let mut trials = Trials::default();
        loop {
            let plan = self.state().plan(&self.0.config, self.now())?;
            let (record, event, result) = match plan {
                Plan::Nothing => return Ok(()),
                Plan::Create(key, record) => {
                    let how = Write::create().with_limits(self.limits(record.owner.as_ref()));
                    let result = self.0.backend.write(&key, record.clone(), how).await;
                    (record, SessionEvent::Started(key.id()), result.map(|new| in_scope_of(&key, new)))
                }
                Plan::Update(key, expected, record) => {
                    let how = Write::update(expected).with_limits(self.limits(record.owner.as_ref()));
                    let result = self.0.backend.write(&key, record.clone(), how).await;
                    (record, SessionEvent::Saved(key.id()), result.map(|new| in_scope_of(&key, new)))
                }
                Plan::Rotate(old, new, expected, record) => {
                    let mut how = Rotate::new(expected).with_limits(self.limits(record.owner.as_ref()));
                    let until = record.accessed_at + self.0.config.trail;
                    how = how.with_trail(Record::moved(new.id(), record.accessed_at, until));
                    let result = self.0.backend.rotate(&old, &new, record.clone(), how).await;
                    let event = SessionEvent::Rotated { from: old.id(), to: new.id() };
                    (record, event, result.map(|key| in_scope_of(&old, key)))
                }
            };
            match result {
                Ok(key) => {
                    let mut state = self.state();
                    let covers = state.attempts.last().map_or(0, |attempt| attempt.covers);
                    state.adopt(key, Stored::from(&record), record.payload, record.owner, covers)?;
                    drop(state);
                    if !self.0.config.observers.is_empty() {
                        self.notify(event);
                    }
                    return Ok(());
                }
                Err(error) => Box::pin(self.recover(error, record.owner.as_ref(), &mut trials)).await?,
            }
        }
    }

    /// After a refused write: makes the next one possible, or gives up with an error.
    async fn recover(&self, error: SessionError, owner: Option<&Owner>, trials: &mut Trials) -> Result<()> {
        let unknown = !matches!(
            error.kind(),
            ErrorKind::Conflict
                | ErrorKind::Gone
                | ErrorKind::AlreadyExists
                | ErrorKind::QuotaExceeded
                | ErrorKind::TooLarge
                | ErrorKind::InvalidKey
                | ErrorKind::Unsupported
        );
        if unknown {
            return Err(error);
        }
        let unsettled = {
            let mut state = self.state();
            state.attempts.pop();
            !state.attempts.is_empty()
        };
        match error.kind() {
            // One of the cut-off attempts may have arrived after all.
            ErrorKind::Gone | ErrorKind::AlreadyExists if unsettled && self.settle().await? => Ok(()),
            ErrorKind::AlreadyExists if trials.collisions < MAX_COLLISIONS => {
                trials.collisions += 1;
                let mut state = self.state();
                state.next_key = None;
                if state.stored.is_none() {
                    state.key = None;
                }
                Ok(())
            }
            ErrorKind::QuotaExceeded if trials.evictions < MAX_EVICTIONS => {
                trials.evictions += 1;
                match (owner, self.0.config.owner_limit) {
                    (Some(owner), Some((limit, AtLimit::RevokeOldest))) => {
                        if self.revoke_oldest(owner, limit).await? {
                            return Ok(());
                        }
                        // It was another limit, unless others made room meanwhile.
                        let again = !std::mem::replace(&mut trials.had_room, true);
                        if again { Ok(()) } else { Err(error) }
                    }
                    _ => Err(error),
                }
            }
            ErrorKind::Conflict => {
                let started = *trials.started.get_or_insert_with(Instant::now);
                trials.conflicts += 1;
                if trials.conflicts >= MIN_ATTEMPTS && started.elapsed() >= self.0.config.retry_budget {
                    return Err(error);
                }
                let ceiling = (2_u64 << trials.conflicts.min(6)).min(50);
                tokio::time::sleep(Duration::from_millis(1 + random_u64() % ceiling)).await;
                self.refresh().await
            }
            _ => Err(error),
        }
    }

    /// Reads the record again and replays the changes on it.
    async fn refresh(&self) -> Result<()> {
        let key = self.state().key.clone();
        let Some(key) = key else { return Ok(()) };
        match self.0.backend.read(&key).await? {
            Some(record) if record.is_live() => self.take_over(key, record),
            _ => Err(SessionError::new(ErrorKind::Gone, "save")
                .with_message("the session ended meanwhile; it is not recreated")),
        }
    }

    /// Puts the changes on a record that was read afresh. Closures run without the lock.
    fn take_over(&self, key: SessionKey, record: Record) -> Result<()> {
        let stored = Stored::from(&record);
        loop {
            let (logs, generation) = {
                let mut state = self.state();
                let ours = state.attempts.latest_first().find(|attempt| attempt.version == record.version);
                let saved = ours.map_or(0, |attempt| attempt.covers);
                if saved == 0
                    && !state.attempts.is_empty()
                    && state.stored.is_none_or(|before| before.version != record.version)
                    && state.data.logs().iter().any(|log| {
                        log.fields.iter().any(|(_, change)| matches!(change, Change::Update { .. }))
                    })
                {
                    // The attempt stays unsettled, so that no later save of this handle counts it twice.
                    return Err(SessionError::new(ErrorKind::Unexpected, "save").with_message(
                        "a save was cut off, and others have written since: whether it counted cannot be told",
                    ));
                }
                if saved > 0 {
                    let owner = record.owner.clone();
                    return state.adopt(key, stored, record.payload, owner, saved);
                }
                (state.data.logs().clone(), state.generation)
            };
            let base = Data::over(record.payload.clone(), record.owner.clone(), self.0.config.format)?;
            let data = base.with_logs(&logs, self.lazy_now())?;
            let mut state = self.state();
            if state.generation == generation {
                state.data = data;
                state.stored = Some(stored);
                state.generation += 1;
                return Ok(());
            }
        }
    }

    /// Finds out what became of saves that were cut off; `true` when one of them had arrived.
    async fn settle(&self) -> Result<bool> {
        let attempts = self.state().attempts.clone();
        for attempt in attempts.latest_first() {
            match self.0.backend.read(&attempt.key).await? {
                Some(record) if record.version == attempt.version => {
                    let key = attempt.key.clone();
                    let stored = Stored::from(&record);
                    let mut state = self.state();
                    state.adopt(key, stored, record.payload, record.owner, attempt.covers)?;
                    return Ok(true);
                }
                Some(record) if record.is_live() && self.state().key.as_ref() == Some(&attempt.key) => {
                    self.take_over(attempt.key.clone(), record)?;
                    // It may have been an earlier attempt that arrived; those that are left are none any more.
                    if self.state().attempts.is_empty() {
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    fn limits(&self, owner: Option<&Owner>) -> Limits {
        match (self.0.config.owner_limit, owner) {
            (Some((limit, _)), Some(_)) => Limits::none().with_per_owner(limit),
            _ => Limits::none(),
        }
    }

    /// Makes room for one session of that owner.
    async fn revoke_oldest(&self, owner: &Owner, limit: u64) -> Result<bool> {
        let (own, scope) = {
            let state = self.state();
            let own = state.stored.and(state.key.as_ref()).map(SessionKey::id);
            (own, state.key.as_ref().and_then(|key| key.scope().cloned()))
        };
        let mut filter = Filter::in_scope(scope.as_ref()).with_owner(owner.clone());
        filter.except = own;
        let mut oldest: Option<crate::Entry> = None;
        let (mut after, mut others) = (None, 0);
        loop {
            let page = self.0.backend.scan(&filter, after, 100).await?;
            others += page.entries.len() as u64;
            let candidates = page.entries.into_iter().chain(oldest.take());
            oldest = candidates.min_by_key(|entry| (entry.record.created_at, entry.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let Some(oldest) = oldest.filter(|_| others >= limit) else { return Ok(false) };
        if self.0.backend.remove(&oldest.address(), Removal::Revoked).await? {
            self.notify(SessionEvent::Deleted(oldest.id, Removal::Revoked));
        }
        Ok(true)
    }

    /// Ends the session of that key, wherever it moved to; `true` when there was one.
    pub(crate) async fn end(&self, key: SessionKey, reason: Removal) -> Result<bool> {
        match end(&self.0.backend, key, reason).await {
            // A client-side session that cannot be revoked ends with its cookie.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(true),
            ended => {
                let ended = ended?;
                if let Some(id) = ended {
                    self.notify(SessionEvent::Deleted(id, reason));
                }
                Ok(ended.is_some())
            }
        }
    }
}

/// Ends the session of that key, following the trail of its rotations; tells the id it had at the end.
pub(super) async fn end<B: SessionBackend>(
    backend: &B,
    mut key: SessionKey,
    reason: Removal,
) -> Result<Option<SessionId>> {
    for _ in 0..MAX_HOPS {
        if backend.remove(&key, reason).await? {
            return Ok(Some(key.id()));
        }
        match backend.read(&key).await? {
            Some(record) if record.is_live() => {}
            Some(record) => match record.successor() {
                Some(successor) => key = in_scope_of(&key, SessionKey::from_id(successor)),
                None => return Ok(None),
            },
            None => return Ok(None),
        }
    }
    Err(SessionError::new(ErrorKind::Conflict, "end").with_message("the session kept moving"))
}

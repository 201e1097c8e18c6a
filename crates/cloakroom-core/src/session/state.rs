use bytes::Bytes;

use super::data::Data;
use crate::clock::{Now, Timestamp};
use crate::config::SessionConfig;
use crate::error::{ErrorKind, Result, SessionError};
use crate::expiry::Expiry;
use crate::key::SessionKey;
use crate::record::{Record, Version};

pub(super) const EXPIRY: &str = "expiry";
pub(super) const SINCE: &str = "since";
pub(super) const RENEWED: &str = "renewed";
pub(super) const REQUESTS: &str = "requests";

/// What a handle knows of its session. Guarded by a mutex that is never held across an await.
pub(super) struct State {
    /// The key in use: of the stored session, or prepared for a new one.
    pub(super) key: Option<SessionKey>,
    /// What the client showed, as long as it is not `key`.
    pub(super) presented: Option<SessionKey>,
    /// The client holds `key` as it is.
    pub(super) shown: bool,
    pub(super) stored: Option<Stored>,
    pub(super) loaded: bool,
    pub(super) data: Data,
    pub(super) accessed: bool,
    pub(super) modified: bool,
    /// The client showed a key that was rotated away: somebody else holds the session.
    pub(super) moved: bool,
    /// Rotate with the next save.
    pub(super) cycle: bool,
    pub(super) next_key: Option<SessionKey>,
    /// Saves whose outcome is not known: cancelled, or cut off.
    pub(super) attempts: Attempts,
    /// Counts changes of `data`, for those who computed something from it without holding the lock.
    pub(super) generation: u64,
    /// This handle ended a session.
    pub(super) ended: bool,
    /// The store was down and the session stands in for it: nothing is saved.
    pub(super) degraded: bool,
    /// The end in the store moved.
    pub(super) renewed: bool,
    /// This handle gave the session another lifetime.
    pub(super) expiry_set: bool,
}

/// What the store holds beside the payload.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) version: Version,
    pub(super) created_at: Timestamp,
    pub(super) accessed_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

impl From<&Record> for Stored {
    fn from(record: &Record) -> Self {
        Self {
            version: record.version,
            created_at: record.created_at,
            accessed_at: record.accessed_at,
            expires_at: record.expires_at,
        }
    }
}

/// Attempts in their order. There is seldom more than one, and that one is no reason to allocate.
#[derive(Clone, Default)]
pub(super) struct Attempts {
    earlier: Vec<Attempt>,
    last: Option<Attempt>,
}

impl Attempts {
    fn push(&mut self, attempt: Attempt) {
        self.earlier.extend(self.last.replace(attempt));
    }

    pub(super) fn pop(&mut self) {
        self.last = self.earlier.pop();
    }

    pub(super) fn last(&self) -> Option<&Attempt> {
        self.last.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    pub(super) fn latest_first(&self) -> impl Iterator<Item = &Attempt> {
        self.last.iter().chain(self.earlier.iter().rev())
    }
}

#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) key: SessionKey,
    pub(super) version: Version,
    /// How many logs it covers.
    pub(super) covers: usize,
}

/// The next thing to ask of the backend.
pub(super) enum Plan {
    Nothing,
    Create(SessionKey, Record),
    Update(SessionKey, Version, Record),
    Rotate(SessionKey, SessionKey, Version, Record),
}

impl State {
    pub(super) fn new(presented: Option<SessionKey>, config: &SessionConfig) -> Self {
        Self {
            key: None,
            loaded: presented.is_none(),
            presented,
            shown: false,
            stored: None,
            data: Data::new(config.format),
            accessed: false,
            modified: false,
            moved: false,
            cycle: false,
            next_key: None,
            attempts: Attempts::default(),
            generation: 0,
            ended: false,
            degraded: false,
            renewed: false,
            expiry_set: false,
        }
    }

    pub(super) fn changed(&mut self) {
        self.accessed = true;
        self.modified = true;
        self.generation += 1;
    }

    pub(super) fn expiry(&mut self) -> Expiry {
        self.data.reserved(EXPIRY).map_or(Expiry::Default, |value| Expiry::from_value(&value))
    }

    /// When the session would end if it were saved now.
    pub(super) fn ends(&mut self, config: &SessionConfig, now: Timestamp) -> Option<Timestamp> {
        let created = self.stored.map_or(now, |stored| stored.created_at);
        let since = self.data.reserved(SINCE).and_then(|value| value.as_i64());
        let since = since.map_or(created, Timestamp::from_millis);
        self.expiry().ends(config.timeouts, since, now)
    }

    /// When the session ends as things are.
    pub(super) fn expires_at(&mut self, config: &SessionConfig, now: Timestamp) -> Option<Timestamp> {
        match self.stored {
            Some(stored) if !self.modified => stored.expires_at,
            _ => self.ends(config, now),
        }
    }

    /// Decides what a save has to do, and notes the attempt.
    pub(super) fn plan(&mut self, config: &SessionConfig, now: Timestamp) -> Result<Plan> {
        if self.degraded || !(self.modified || self.cycle) {
            return Ok(Plan::Nothing);
        }
        if self.stored.is_none() && self.data.is_blank(Now::At(now)) {
            self.modified = false;
            self.cycle = false;
            return Ok(Plan::Nothing);
        }
        let covers = self.data.seal();
        let record = Record::new(self.data.encode(Now::At(now))?, now)
            .with_owner(self.data.owner().cloned())
            .with_expires_at(self.ends(config, now));
        let plan = match (self.stored, &self.key) {
            (Some(stored), Some(key)) => {
                let record = record
                    .with_created_at(stored.created_at)
                    .with_accessed_at(now.max(stored.accessed_at))
                    .with_version(stored.version.next(now));
                if self.cycle {
                    let new = match &self.next_key {
                        Some(key) => key.clone(),
                        None => SessionKey::generate()?,
                    };
                    self.next_key = Some(new.clone());
                    Plan::Rotate(key.clone(), in_scope_of(key, new), stored.version, record)
                } else {
                    Plan::Update(key.clone(), stored.version, record)
                }
            }
            // A new session would take the place of the one that the client moved to with another request.
            (_, _) if self.moved && !self.cycle => {
                return Err(SessionError::new(ErrorKind::Gone, "save")
                    .with_message("the key was rotated away meanwhile; its session goes on under another"));
            }
            (_, key) => {
                let key = match key {
                    Some(key) => key.clone(),
                    None => SessionKey::generate()?,
                };
                self.key = Some(key.clone());
                Plan::Create(key, record)
            }
        };
        if let Plan::Create(key, record) | Plan::Update(key, _, record) | Plan::Rotate(_, key, _, record) =
            &plan
        {
            self.attempts.push(Attempt { key: key.clone(), version: record.version, covers });
        }
        Ok(plan)
    }

    /// A save succeeded: its payload is the base for what comes.
    pub(super) fn adopt(
        &mut self,
        key: SessionKey,
        stored: Stored,
        payload: Bytes,
        owner: Option<crate::record::Owner>,
        covers: usize,
    ) -> Result<()> {
        self.data.rebase(payload, owner, covers)?;
        self.renewed |= self.stored.is_none_or(|before| before.expires_at != stored.expires_at);
        self.take_key(key);
        self.stored = Some(stored);
        self.attempts = Attempts::default();
        self.modified = self.data.has_changes();
        self.cycle = false;
        self.next_key = None;
        self.generation += 1;
        Ok(())
    }

    /// The key from now on.
    pub(super) fn take_key(&mut self, key: SessionKey) {
        self.shown = self.shown && self.key.as_ref() == Some(&key);
        self.key = Some(key);
    }

    /// Everything as in a new session.
    pub(super) fn forget(&mut self) {
        self.data.forget();
        self.moved = false;
        self.shown = false;
        self.key = None;
        self.stored = None;
        self.cycle = false;
        self.next_key = None;
        self.attempts = Attempts::default();
        self.generation += 1;
    }

    pub(super) fn check_loaded(&self, operation: &'static str) -> Result<()> {
        if self.loaded {
            return Ok(());
        }
        Err(SessionError::new(ErrorKind::Unexpected, operation)
            .with_message("the session is not loaded: call load().await first"))
    }
}

pub(super) fn in_scope_of(old: &SessionKey, key: SessionKey) -> SessionKey {
    match old.scope() {
        Some(scope) => key.scoped(scope),
        None => key,
    }
}

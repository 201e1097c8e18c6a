use std::time::Duration;

use super::Session;
use super::owner::{Device, HANDLE, SessionHandle};
use super::state::{EXPIRY, RENEWED, REQUESTS, SINCE, State, Stored};
use crate::backend::SessionBackend;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::expiry::Expiry;
use crate::key::SessionKey;
use crate::operation::{Removal, Touch};
use crate::record::Owner;

const DEVICE: &str = "device";

/// What the client has to learn about its key when a request is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyChange {
    /// Nothing.
    Keep,
    /// The key, for so long; `None` = until the browser closes.
    Send(SessionKey, Option<Duration>),
    /// This request ended its session: the key is of no use any more.
    Remove,
}

enum Step {
    Nothing,
    Save,
    Touch,
}

/// The life of a session: loading and saving, keys, times.
impl<B: SessionBackend> Session<B> {
    /// Reads the session, unless that was done. One backend call; none without a key. An unknown, expired or damaged
    /// session gives an empty one; its key is never adopted.
    ///
    /// # Errors
    /// What [`read`](SessionBackend::read) returns, such as `Unavailable`.
    pub async fn load(&self) -> Result<()> {
        if self.state().loaded {
            return Ok(());
        }
        let _gate = self.enter().await;
        self.load_gated().await
    }

    /// Saves what changed: one backend call, none when nothing did. Over a conflict with another request the changes
    /// are replayed on what that one wrote: two calls more each time.
    ///
    /// When the future is dropped half-way, the next save finds out whether the write took place, and nothing counts
    /// twice.
    ///
    /// # Errors
    /// `Gone` when the session ended meanwhile: nothing is recreated; also when the client showed a key that was rotated
    /// away, because a new session would take the place of the one it moved to. `Conflict` when others kept writing for the
    /// [retry budget](crate::SessionConfig::with_retry_budget). `QuotaExceeded` when the owner has too many sessions;
    /// `TooLarge` over the backend's largest payload; `Unavailable`. Unsaved changes stay for the next attempt.
    pub async fn save(&self) -> Result<()> {
        let _gate = self.enter().await;
        self.save_gated().await
    }

    /// Ends the session, also where a parallel request moved it to another key, and forgets its data and key. One
    /// backend call for a stored session, none for one that never was; two more for each rotation to follow. What is
    /// set afterwards belongs to a new session.
    ///
    /// # Errors
    /// What the backend returns; then the session is as before, and the logout has to be tried again.
    pub async fn flush(&self) -> Result<()> {
        let _gate = self.enter().await;
        if !self.0.others.is_empty() {
            // Which of the keys has the session is only known after a look.
            self.load_gated().await?;
        }
        let (key, had_key) = {
            let state = self.state();
            let stored = state.stored.and(state.key.clone());
            let attempted = state.attempts.last().map(|attempt| attempt.key.clone());
            let key = stored.or(attempted).or_else(|| state.presented.clone().filter(|_| !state.ended));
            (key.clone(), key.is_some())
        };
        let ended = match key {
            Some(key) => self.end(key, Removal::Flushed).await?,
            None => false,
        };
        let mut state = self.state();
        state.forget();
        state.accessed = true;
        state.modified = had_key;
        state.ended |= ended || had_key;
        state.loaded = true;
        Ok(())
    }

    /// Moves the session to a new key at once, with all pending changes: one backend call on a loaded session. The old
    /// key finds no session from then on; for a while it leads a logout here. What is not stored yet is stored.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn cycle_key(&self) -> Result<()> {
        let _gate = self.enter().await;
        self.load_gated().await?;
        self.prepare_cycle();
        self.save_gated().await
    }

    /// [`cycle_key`](Self::cycle_key) by another name.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn regenerate(&self) -> Result<()> {
        self.cycle_key().await
    }

    /// Moves the session to a new key with the next save.
    pub fn prepare_cycle(&self) {
        let now = self.now();
        let mut state = self.state();
        if state.stored.is_none() && state.loaded {
            state.key = None;
        }
        if self.0.config.rotation.every.is_some() {
            state.data.pending().reserve(RENEWED, Some(now.as_millis().into()));
        }
        if self.0.config.rotation.after_requests.is_some() {
            state.data.pending().reserve(REQUESTS, None);
        }
        state.cycle = true;
        state.changed();
    }

    /// Signs an owner in: sets the owner, restarts the absolute timeout, and moves the session to a new key (ST-13),
    /// unless the policy says otherwise. Fields, lifetime and device that belonged to another owner are dropped first;
    /// a lifetime and a device set in this request stay. One backend call on a loaded session.
    ///
    /// # Errors
    /// `InvalidKey` for an unacceptable owner; else as [`save`](Self::save).
    pub async fn login(&self, owner: &str) -> Result<()> {
        let owner = Owner::parse(owner)?;
        self.load().await?;
        {
            let now = self.now();
            let mut state = self.state();
            if state.data.owner().is_some_and(|before| *before != owner) {
                state.data.pending().clear();
                state.data.drop_stored_reserved();
            }
            self.keep_handle(&mut state, &owner)?;
            let pending = state.data.pending();
            pending.owner = Some(Some(owner));
            pending.reserve(SINCE, Some(now.as_millis().into()));
            state.changed();
        }
        if self.0.config.rotation.on_login { self.cycle_key().await } else { self.save().await }
    }

    /// Saves after a change of what the owner may do, under a new key (ST-14) unless the policy says otherwise.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn change_privileges(&self) -> Result<()> {
        if self.0.config.rotation.on_privilege_change { self.cycle_key().await } else { self.save().await }
    }

    /// What the middleware does at the end of a request: saves what changed; else renews the key or extends the
    /// session's life where that is due. That extension may fail: it is logged, and left to the next request.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn finish(&self) -> Result<()> {
        let step = self.next_step(&mut self.state());
        match step {
            Step::Nothing => {}
            Step::Save => return self.save().await,
            Step::Touch => {
                // What the handler read is good; the next request extends the session's life.
                if let Err(error) = self.touch().await {
                    tracing::warn!(target: "cloakroom", %error, "extending a session failed");
                }
            }
        }
        Ok(())
    }

    /// As [`finish`](Self::finish) where the backend is not needed, and what the client has to learn. `None` when it is
    /// needed; then nothing has happened yet.
    #[must_use]
    pub fn finish_now(&self) -> Option<KeyChange> {
        if self.0.config.rotation.after_requests.is_some() {
            return None;
        }
        let mut state = self.state();
        match self.next_step(&mut state) {
            Step::Nothing => Some(self.key_change_of(&mut state)),
            Step::Save | Step::Touch => None,
        }
    }

    /// Whether somebody looked into the session or changed it.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        let state = self.state();
        state.accessed || state.modified
    }

    /// What the end of a request asks of the backend.
    fn next_step(&self, state: &mut State) -> Step {
        if state.degraded || !(state.accessed || state.modified || state.cycle) {
            return Step::Nothing;
        }
        let Some(stored) = state.stored else {
            return if state.modified || state.cycle { Step::Save } else { Step::Nothing };
        };
        let rotation = self.0.config.rotation;
        if (state.modified || state.cycle) && rotation.every.is_none() && rotation.after_requests.is_none() {
            return Step::Save;
        }
        let now = self.now();
        self.renew_if_due(state, now);
        match state.modified || state.cycle {
            true => Step::Save,
            false if self.is_touch_due(state, stored, now) => Step::Touch,
            false => Step::Nothing,
        }
    }

    fn renew_if_due(&self, state: &mut State, now: Timestamp) {
        let policy = self.0.config.rotation;
        let Some(stored) = state.stored.filter(|_| !state.cycle) else { return };
        if let Some(every) = policy.every {
            let renewed = state.data.reserved(RENEWED).and_then(|at| at.as_i64());
            let renewed = renewed.map_or(stored.created_at, Timestamp::from_millis);
            if renewed + every <= now {
                state.data.pending().reserve(RENEWED, Some(now.as_millis().into()));
                state.cycle = true;
            }
        }
        if let Some(limit) = policy.after_requests {
            let requests = state.data.reserved(REQUESTS).and_then(|count| count.as_u64()).unwrap_or(0) + 1;
            let due = requests >= limit;
            state.data.pending().reserve(REQUESTS, (!due).then(|| requests.into()));
            state.cycle |= due;
            state.changed();
        }
    }

    fn is_touch_due(&self, state: &mut State, stored: Stored, now: Timestamp) -> bool {
        let config = &self.0.config;
        let Some(before) = stored.expires_at else { return false };
        let interval =
            config.touch_interval.or_else(|| config.timeouts.idle.map(|idle| idle / 10)).unwrap_or_default();
        let after = state.ends(config, now).unwrap_or(Timestamp::MAX);
        after > before && after.duration_since(before) >= interval
    }

    /// Extends the session's life in the store as a use of it does, without writing it: one backend call on a loaded
    /// session, none when it is not stored or has no end.
    ///
    /// # Errors
    /// What [`touch`](SessionBackend::touch) returns, such as `Unavailable`.
    pub async fn touch(&self) -> Result<()> {
        let _gate = self.enter().await;
        self.load_gated().await?;
        let now = self.now();
        let (key, how) = {
            let mut state = self.state();
            let end = state.ends(&self.0.config, now);
            let (Some(stored), Some(key), Some(end)) = (state.stored, state.key.clone(), end) else {
                return Ok(());
            };
            (key, Touch::new(stored.version, end))
        };
        let touched = self.0.backend.touch(&key, how).await?;
        let mut state = self.state();
        if let (Some(new), Some(stored)) = (touched, state.stored.as_mut()) {
            stored.accessed_at = now;
            stored.expires_at = stored.expires_at.map(|at| at.max(how.expires_at));
            state.renewed = true;
            state.take_key(super::state::in_scope_of(&key, new));
        }
        Ok(())
    }

    /// Whether the backend has this session: one call, none without a key.
    ///
    /// # Errors
    /// What [`read`](SessionBackend::read) returns, such as `Unavailable`.
    pub async fn exists(&self) -> Result<bool> {
        let key = {
            let state = self.state();
            if state.loaded { state.key.clone() } else { state.presented.clone() }
        };
        let Some(key) = key else { return Ok(false) };
        Ok(self.0.backend.read(&key).await?.is_some_and(|record| record.is_live()))
    }

    /// The key of the session: the stored one's, or the one prepared for a new session. `None` for a new session
    /// without one, and before `load`.
    #[must_use]
    pub fn key(&self) -> Option<SessionKey> {
        self.state().key.clone()
    }

    /// The id that the session is stored under.
    #[must_use]
    pub fn id(&self) -> Option<crate::SessionId> {
        self.state().key.as_ref().map(SessionKey::id)
    }

    /// The key, made now if there is none. A session without data is still not stored.
    ///
    /// # Errors
    /// `Unexpected` when the operating system gives no randomness or the session was not loaded.
    pub fn get_or_create_key(&self) -> Result<SessionKey> {
        self.require_loaded("get_or_create_key")?;
        let mut state = self.state();
        if let Some(key) = &state.key {
            return Ok(key.clone());
        }
        let key = SessionKey::generate()?;
        state.key = Some(key.clone());
        Ok(key)
    }

    /// Prepares a new key: for a new session the one it will be stored under, for a stored one the one it moves to
    /// with the next save.
    ///
    /// # Errors
    /// `Unexpected` when the operating system gives no randomness or the session was not loaded.
    pub fn generate_key(&self) -> Result<SessionKey> {
        self.require_loaded("generate_key")?;
        let key = SessionKey::generate()?;
        if self.state().stored.is_some() {
            self.prepare_cycle();
            self.state().next_key = Some(key.clone());
        } else {
            self.state().key = Some(key.clone());
        }
        Ok(key)
    }

    /// Gives the session a lifetime of its own, stored with it. A lifetime beyond the absolute timeout is capped by
    /// it, and [`expiry_date`](Self::expiry_date) tells; [`Expiry::Remember`] replaces both timeouts.
    pub fn set_expiry(&self, expiry: impl Into<Expiry>) {
        let value = expiry.into().to_value();
        let mut state = self.state();
        state.accessed = true;
        if state.loaded && state.data.reserved(EXPIRY) == value {
            return;
        }
        state.data.pending().reserve(EXPIRY, value);
        state.expiry_set = true;
        state.changed();
    }

    /// The lifetime that was set.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        let mut state = self.state();
        state.accessed = true;
        state.expiry()
    }

    /// "Remember me": the session lives that long, whatever the configured timeouts, and its cookie survives the
    /// browser.
    pub fn remember_for(&self, total: Duration) {
        self.set_expiry(Expiry::Remember(total));
    }

    /// Restarts the absolute timeout, after the user has proved again who they are (ST-35).
    pub fn reauthenticated(&self) {
        let now = self.now();
        let mut state = self.state();
        state.data.pending().reserve(SINCE, Some(now.as_millis().into()));
        state.changed();
    }

    /// When the session ends, if nobody uses it any more; with unsaved changes, as if it were saved now. `None` =
    /// never by itself.
    #[must_use]
    pub fn expiry_date(&self) -> Option<Timestamp> {
        let now = self.now();
        let mut state = self.state();
        state.accessed = true;
        state.expires_at(&self.0.config, now)
    }

    /// How long until [`expiry_date`](Self::expiry_date); zero when it is past. Reading it does not extend the
    /// session (ST-38).
    #[must_use]
    pub fn expiry_age(&self) -> Option<Duration> {
        let now = self.now();
        self.expiry_date().map(|at| at.duration_since(now))
    }

    /// [`expiry_age`](Self::expiry_age) by the name that other frameworks use.
    #[must_use]
    pub fn time_until_expiry(&self) -> Option<Duration> {
        self.expiry_age()
    }

    /// Whether the time of the session is over.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        let now = self.now();
        self.expiry_date().is_some_and(|at| at <= now)
    }

    /// Whether the cookie goes with the browser.
    #[must_use]
    pub fn expire_at_browser_close(&self) -> bool {
        self.goes_with_browser(self.expiry())
    }

    fn goes_with_browser(&self, expiry: Expiry) -> bool {
        match expiry {
            Expiry::Default => self.0.config.expire_at_browser_close,
            Expiry::BrowserClose => true,
            Expiry::Idle(_) | Expiry::At(_) | Expiry::Remember(_) => false,
        }
    }

    /// When the session began; now for one that is not stored.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        let now = self.now();
        self.state().stored.map_or(now, |stored| stored.created_at)
    }

    /// When the session was last written or touched; now for one that is not stored.
    #[must_use]
    pub fn accessed_at(&self) -> Timestamp {
        let now = self.now();
        self.state().stored.map_or(now, |stored| stored.accessed_at)
    }

    /// Whether the store was down and an empty session stands in, which is not saved.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.state().degraded
    }

    /// Who the session belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        let mut state = self.state();
        state.accessed = true;
        state.data.owner().map(|owner| owner.as_str().to_owned())
    }

    /// Says who the session belongs to. [`login`](Self::login) does this and more.
    ///
    /// # Errors
    /// `InvalidKey` unless it is 1 to 255 bytes without control characters; `Unexpected` when the operating system
    /// gives no randomness.
    pub fn set_owner(&self, owner: &str) -> Result<()> {
        self.change_owner(Some(Owner::parse(owner)?))
    }

    /// The session belongs to nobody.
    pub fn clear_owner(&self) {
        // Only a new owner needs randomness, which alone can fail.
        let cleared = self.change_owner(None);
        debug_assert!(cleared.is_ok());
    }

    fn change_owner(&self, owner: Option<Owner>) -> Result<()> {
        let mut state = self.state();
        state.accessed = true;
        if state.loaded && state.data.owner() == owner.as_ref() {
            return Ok(());
        }
        match &owner {
            Some(owner) => self.keep_handle(&mut state, owner)?,
            None => state.data.pending().reserve(HANDLE, None),
        }
        state.data.pending().owner = Some(owner);
        state.changed();
        Ok(())
    }

    /// Gives the session the handle it is listed by, unless it has one for that owner.
    fn keep_handle(&self, state: &mut State, owner: &Owner) -> Result<()> {
        if state.data.owner() != Some(owner) || state.data.reserved(HANDLE).is_none() {
            let handle = SessionHandle::generate()?;
            state.data.pending().reserve(HANDLE, Some(handle.as_str().into()));
        }
        Ok(())
    }

    /// Keeps what device the session is used from, for lists of devices.
    pub fn set_device(&self, device: &Device) {
        self.set_reserved(DEVICE, Some(device.to_value()));
    }

    /// The device that was kept.
    #[must_use]
    pub fn device(&self) -> Option<Device> {
        self.reserved(DEVICE).map(|value| Device::from_value(&value))
    }

    /// What the client has to learn about its key. For middleware, after [`finish`](Self::finish).
    #[must_use]
    pub fn key_change(&self) -> KeyChange {
        self.key_change_of(&mut self.state())
    }

    fn key_change_of(&self, state: &mut State) -> KeyChange {
        let (Some(stored), Some(key)) = (state.stored, &state.key) else {
            return if state.ended { KeyChange::Remove } else { KeyChange::Keep };
        };
        // A lifetime that was not saved, because the handler failed, is nothing to tell.
        let saved_expiry = state.expiry_set && !state.modified;
        if state.shown && !(state.renewed || saved_expiry) {
            return KeyChange::Keep;
        }
        let key = key.clone();
        if self.goes_with_browser(state.expiry()) {
            return if state.shown && !saved_expiry { KeyChange::Keep } else { KeyChange::Send(key, None) };
        }
        let ends = stored.expires_at.unwrap_or(Timestamp::MAX);
        KeyChange::Send(key, Some(ends.duration_since(self.now())))
    }
}

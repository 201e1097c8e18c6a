use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Session;
use super::data::check_name;
use super::log::{Apply, Change};
use crate::backend::SessionBackend;
use crate::error::{ErrorKind, Result};
use crate::format::Format;
use crate::observer::SecurityEvent;

const TEST_COOKIE: &str = "testcookie";

/// The dictionary. Nothing here calls the backend.
///
/// Methods that look into a session which was not loaded yet return `Unexpected`, or what an empty session gives;
/// methods that change it may be called before `load`.
impl<B: SessionBackend> Session<B> {
    /// The value of a field; `None` when there is none.
    ///
    /// # Errors
    /// `Corrupted` when the stored value is not a `T` or is damaged; `Unexpected` when the session was not loaded.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        let result = match state.data.peek(name, now) {
            Ok(Some((format, bytes))) if name != crate::format::RESERVED => format.decode(bytes).map(Some),
            Ok(_) => state.check_loaded("get").map(|()| None),
            Err(damaged) => Err(damaged),
        };
        let id = state.key.as_ref().map(crate::SessionKey::id);
        drop(state);
        if let (Some(id), Err(error)) = (id, &result)
            && error.kind() == ErrorKind::Corrupted
        {
            self.security(SecurityEvent::Corrupted(id));
        }
        result
    }

    /// Sets a field, and ends its lifetime if it had one. Setting an equal value is not a modification.
    ///
    /// # Errors
    /// `InvalidKey` for the reserved name `_cloakroom` and for values outside the data model (NaN, integers beyond 64
    /// bits, maps whose keys are not strings or numbers); `TooLarge` with more than 4,096 changes unsaved.
    pub fn set<T: Serialize>(&self, name: &str, value: T) -> Result<()> {
        self.set_until(name, &value, None)
    }

    /// Sets a field that ends by itself after that time, like `set` in all else.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_with_ttl<T: Serialize>(&self, name: &str, value: T, ttl: Duration) -> Result<()> {
        self.set_until(name, &value, Some(ttl))
    }

    fn set_until<T: Serialize>(&self, name: &str, value: &T, ttl: Option<Duration>) -> Result<()> {
        check_name(name)?;
        let value = self.0.config.format.encode(value)?;
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        if ttl.is_none() && state.loaded {
            let format = state.data.format();
            let equal = matches!(state.data.peek(name, now)?, Some(old) if format.same(&value, old));
            if equal && state.data.field_deadline(name, now)?.is_none() {
                return Ok(());
            }
        }
        let deadline = ttl.map(|ttl| self.now() + ttl);
        state.data.pending().replace(name, Change::Set { value, deadline })?;
        state.changed();
        Ok(())
    }

    /// Changes a field from its present value, and returns the new one. The closure runs at once, and again for every
    /// conflict that a save meets: it must depend on nothing but its argument. It runs without locks, so it may use
    /// the session. A lifetime of the field stays.
    ///
    /// ```
    /// # use cloakroom_core::{InMemorySessionBackend, Session};
    /// let session = Session::new(InMemorySessionBackend::new());
    /// session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    /// assert_eq!(session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?, 2);
    /// # Ok::<(), cloakroom_core::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    pub fn update<T, F>(&self, name: &str, change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        check_name(name)?;
        let format = self.0.config.format;
        let now = self.lazy_now();
        loop {
            let (old, generation) = {
                let mut state = self.state();
                state.accessed = true;
                state.check_loaded("update")?;
                let old = state.data.keep(name, now)?;
                (old, state.generation)
            };
            let decoded = old.as_ref().map(|(format, bytes)| format.decode(bytes)).transpose()?;
            let new = change(decoded);
            let value = format.encode(&new)?;
            let mut state = self.state();
            if state.generation != generation {
                continue;
            }
            let equal = matches!(&old, Some((of, bytes)) if format.same(&value, (*of, bytes)));
            let apply: Apply = Arc::new(move |old: Option<(Format, &[u8])>| {
                let old = old.map(|(format, bytes)| format.decode(bytes)).transpose()?;
                format.encode(&change(old))
            });
            // Without effect now it is no modification, but over another request's change it may have one.
            let lapsed = old.is_none() && state.data.has_lapsed(name, now);
            state.data.pending().update(name, apply, value)?;
            if lapsed {
                state.data.pending().push(name, Change::SetTtl { deadline: None })?;
            }
            let modified = state.modified;
            state.changed();
            state.modified = modified || !equal;
            return Ok(new);
        }
    }

    /// Deletes a field; says whether there was one. Before `load` it is deleted all the same, and `false` comes back.
    pub fn delete(&self, name: &str) -> bool {
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        let there = matches!(state.data.peek(name, now), Ok(Some(_)));
        if (there || !state.loaded) && check_name(name).is_ok() {
            if state.data.pending().replace(name, Change::Delete).is_err() {
                return false;
            }
            state.changed();
        }
        there
    }

    /// Whether there is such a field.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        name != crate::format::RESERVED && matches!(state.data.peek(name, now), Ok(Some(_)))
    }

    /// The names of all fields.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.collect(|name, _, _| Ok(name.to_owned()))
    }

    /// The values of all fields, in the order of [`keys`](Self::keys).
    #[must_use]
    pub fn values(&self) -> Vec<Value> {
        self.collect(|_, format, bytes| format.decode(bytes))
    }

    /// All fields. Those behind damage in the stored payload are missing, and a security event is raised.
    #[must_use]
    pub fn items(&self) -> Vec<(String, Value)> {
        self.collect(|name, format, bytes| Ok((name.to_owned(), format.decode(bytes)?)))
    }

    /// All fields, or the damage that hides some of them.
    pub(crate) fn all_items(&self) -> Result<Vec<(String, Value)>> {
        let (found, all) =
            self.try_collect(|name, format, bytes| Ok((name.to_owned(), format.decode(bytes)?)));
        all.map(|()| found)
    }

    fn collect<T>(&self, visit: impl FnMut(&str, Format, &[u8]) -> Result<T>) -> Vec<T> {
        self.try_collect(visit).0
    }

    fn try_collect<T>(
        &self,
        mut visit: impl FnMut(&str, Format, &[u8]) -> Result<T>,
    ) -> (Vec<T>, Result<()>) {
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        let mut found = Vec::new();
        let all = state.data.each(now, |name, format, bytes| {
            found.push(visit(name, format, bytes)?);
            Ok(())
        });
        let id = state.key.as_ref().map(crate::SessionKey::id);
        drop(state);
        if let (Err(_), Some(id)) = (&all, id) {
            self.security(SecurityEvent::Corrupted(id));
        }
        (found, all)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.collect(|_, _, _| Ok(())).len()
    }

    /// Whether there is neither a key nor any field, as in Django: a stored session without fields is not empty.
    /// Does not count as an access.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let now = self.lazy_now();
        let mut state = self.state();
        if state.key.is_some() || !state.loaded {
            return false;
        }
        let mut any = false;
        let _ = state.data.each(now, |_, _, _| {
            any = true;
            Ok(())
        });
        !any
    }

    /// Deletes all fields. The session, its key, its owner and its expiry stay; see [`flush`](Self::flush).
    pub fn clear(&self) {
        let mut state = self.state();
        state.data.pending().clear();
        state.changed();
    }

    /// Takes a field out.
    ///
    /// # Errors
    /// As [`get`](Self::get); then the field stays.
    pub fn pop<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let value = self.get(name)?;
        if value.is_some() {
            self.delete(name);
        }
        Ok(value)
    }

    /// The value of a field, set to `default` first when there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    pub fn set_default<T: Serialize + DeserializeOwned>(&self, name: &str, default: T) -> Result<T> {
        if self.contains_key(name)
            && let Some(value) = self.get(name)?
        {
            return Ok(value);
        }
        self.state().check_loaded("set_default")?;
        self.set(name, &default)?;
        Ok(default)
    }

    /// Sets many fields.
    ///
    /// # Errors
    /// As [`set`](Self::set); fields before the refused one are set.
    pub fn extend<K: AsRef<str>, V: Serialize>(
        &self,
        fields: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        fields.into_iter().try_for_each(|(name, value)| self.set(name.as_ref(), value))
    }

    /// Sets when a field that is there ends by itself; `None` = with the session. Says whether it is there.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    pub fn expire_field(&self, name: &str, ttl: Option<Duration>) -> Result<bool> {
        check_name(name)?;
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        if state.data.peek(name, now)?.is_none() {
            return state.check_loaded("expire_field").map(|()| false);
        }
        state.data.pending().push(name, Change::SetTtl { deadline: ttl.map(|ttl| self.now() + ttl) })?;
        state.changed();
        Ok(true)
    }

    /// How long a field still lives; `None` when it is not there or has no lifetime of its own.
    ///
    /// # Errors
    /// `Corrupted` when the stored payload is damaged.
    pub fn field_ttl(&self, name: &str) -> Result<Option<Duration>> {
        let now = self.lazy_now();
        let mut state = self.state();
        state.accessed = true;
        Ok(state.data.field_deadline(name, now)?.map(|at| at.duration_since(self.now())))
    }

    /// Sets the test cookie field; with the next request [`test_cookie_worked`](Self::test_cookie_worked) tells
    /// whether the browser takes cookies.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_test_cookie(&self) -> Result<()> {
        self.set(TEST_COOKIE, "worked")
    }

    /// Whether the test cookie came back.
    #[must_use]
    pub fn test_cookie_worked(&self) -> bool {
        matches!(self.get::<String>(TEST_COOKIE), Ok(Some(value)) if value == "worked")
    }

    /// Deletes the test cookie field; says whether it was there.
    pub fn delete_test_cookie(&self) -> bool {
        self.delete(TEST_COOKIE)
    }

    /// Whether the session was looked into or changed.
    #[must_use]
    pub fn is_accessed(&self) -> bool {
        self.state().accessed
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.state().modified
    }

    /// Makes the next save write, changes or not.
    pub fn mark_modified(&self) {
        self.state().modified = true;
    }

    /// Keeps the next save from writing. Only the flag: the changes stay, and go with a later modification.
    pub fn mark_unmodified(&self) {
        self.state().modified = false;
    }

    /// A member that the framework keeps for itself, hidden from the dictionary. For middleware.
    #[doc(hidden)]
    #[must_use]
    pub fn reserved(&self, member: &str) -> Option<Value> {
        let mut state = self.state();
        state.accessed = true;
        state.data.reserved(member)
    }

    /// Sets such a member.
    #[doc(hidden)]
    pub fn set_reserved(&self, member: &str, value: Option<Value>) {
        let mut state = self.state();
        if state.loaded && state.data.reserved(member) == value {
            return;
        }
        state.data.pending().reserve(member, value);
        state.changed();
    }

    pub(crate) fn require_loaded(&self, operation: &'static str) -> Result<()> {
        self.state().check_loaded(operation)
    }
}

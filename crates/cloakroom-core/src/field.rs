use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::backend::{SessionBackend, SharedBackend};
use crate::error::{ErrorKind, Result, SessionError};
use crate::session::Session;

/// A field's name and type, as a constant.
///
/// ```
/// use cloakroom_core::{Field, InMemorySessionBackend, Session};
///
/// const VISITS: Field<u64> = Field::new("visits");
///
/// let session = Session::new(InMemorySessionBackend::new());
/// VISITS.update(&session, |visits| visits.unwrap_or(0) + 1)?;
/// assert_eq!(VISITS.get(&session)?, Some(1));
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
pub struct Field<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    /// A field of that name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Deletes it; see [`Session::delete`].
    pub fn delete<B: SessionBackend>(&self, session: &Session<B>) -> bool {
        session.delete(self.name)
    }
}

impl<T: Serialize + DeserializeOwned> Field<T> {
    /// Its value; see [`Session::get`].
    ///
    /// # Errors
    /// As [`Session::get`].
    pub fn get<B: SessionBackend>(&self, session: &Session<B>) -> Result<Option<T>> {
        session.get(self.name)
    }

    /// Sets it; see [`Session::set`].
    ///
    /// # Errors
    /// As [`Session::set`].
    pub fn set<B: SessionBackend>(&self, session: &Session<B>, value: &T) -> Result<()> {
        session.set(self.name, value)
    }

    /// Changes it; see [`Session::update`].
    ///
    /// # Errors
    /// As [`Session::update`].
    pub fn update<B: SessionBackend>(
        &self,
        session: &Session<B>,
        change: impl Fn(Option<T>) -> T + Send + Sync + 'static,
    ) -> Result<T> {
        session.update(self.name, change)
    }

    /// Takes it out; see [`Session::pop`].
    ///
    /// # Errors
    /// As [`Session::pop`].
    pub fn pop<B: SessionBackend>(&self, session: &Session<B>) -> Result<Option<T>> {
        session.pop(self.name)
    }
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name).finish()
    }
}

/// A whole session as a struct of the application. [`commit`](Self::commit) logs one `set` for each field that
/// changed, so that parallel requests which change different fields both survive.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session, TypedSession};
/// use serde_json::json;
///
/// #[derive(Default)]
/// struct Shopper { cart: Vec<String>, visits: u32 }
/// # impl serde::Serialize for Shopper { fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
/// #   json!({"cart": self.cart, "visits": self.visits}).serialize(s) } }
/// # impl<'de> serde::Deserialize<'de> for Shopper { fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
/// #   let v = serde_json::Value::deserialize(d)?;
/// #   Ok(Self { cart: serde_json::from_value(v["cart"].clone()).unwrap_or_default(), visits: v["visits"].as_u64().unwrap_or(0) as u32 }) } }
///
/// let session = Session::new(InMemorySessionBackend::new());
/// let mut shopper: TypedSession<Shopper, _> = TypedSession::open(&session)?;
/// shopper.visits += 1;
/// shopper.commit()?;
/// assert_eq!(session.get::<u32>("visits")?, Some(1));
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
pub struct TypedSession<T, B: SessionBackend = SharedBackend> {
    session: Session<B>,
    before: Map<String, Value>,
    value: T,
}

impl<T: Serialize + DeserializeOwned, B: SessionBackend> TypedSession<T, B> {
    /// Reads the struct from the fields of a loaded session. Fields that are missing must have a default
    /// (`#[serde(default)]`).
    ///
    /// # Errors
    /// `Corrupted` when the fields do not make a `T` or some cannot be read; `Unexpected` when the session was not loaded.
    pub fn open(session: &Session<B>) -> Result<Self> {
        session.require_loaded("open")?;
        let before: Map<String, Value> = session.all_items()?.into_iter().collect();
        let value = serde_json::from_value(Value::Object(before.clone())).map_err(|_| {
            SessionError::new(ErrorKind::Corrupted, "open").with_message("the fields do not fit the struct")
        })?;
        Ok(Self { session: session.clone(), before, value })
    }

    /// Puts the changes into the session; the next save stores them. Fields that the struct no longer has are left
    /// alone; those it skips now but had are deleted.
    ///
    /// # Errors
    /// `InvalidKey` when `T` is not a struct or map, or for values outside the data model.
    pub fn commit(&mut self) -> Result<()> {
        let unfit = || {
            SessionError::new(ErrorKind::InvalidKey, "commit")
                .with_message("the value is not a struct of fields")
        };
        let Ok(Value::Object(after)) = serde_json::to_value(&self.value) else { return Err(unfit()) };
        let known: Value = serde_json::from_value::<T>(Value::Object(self.before.clone()))
            .and_then(serde_json::to_value)
            .map_err(|_| unfit())?;
        for (name, value) in &after {
            if known.get(name) != Some(value) || !self.before.contains_key(name) {
                self.session.set(name, value)?;
            }
        }
        for name in known.as_object().into_iter().flat_map(Map::keys) {
            if !after.contains_key(name) {
                self.session.delete(name);
            }
        }
        self.before.extend(after);
        Ok(())
    }

    /// The session it was read from.
    #[must_use]
    pub fn session(&self) -> &Session<B> {
        &self.session
    }
}

impl<T, B: SessionBackend> Deref for TypedSession<T, B> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, B: SessionBackend> DerefMut for TypedSession<T, B> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T, B: SessionBackend> fmt::Debug for TypedSession<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSession").field("session", &self.session).finish_non_exhaustive()
    }
}

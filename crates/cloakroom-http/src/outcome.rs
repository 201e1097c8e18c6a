use std::borrow::Cow;
use std::fmt;

use crate::refusal::Refusal;

/// What a middleware does to a response. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// A header to append, never to put in place of others of its name (CV-55). The response then also gets
    /// [`cache_control`](crate::cache_control).
    pub announce: Option<KeyHeader>,
    /// Headers to append beside [`announce`](Self::announce), where a key is split over several cookies. Else empty.
    pub further: Vec<KeyHeader>,
    /// What to merge into `Vary`; see [`merge_vary`](crate::merge_vary).
    pub vary: Option<Cow<'static, str>>,
    /// The session could not be saved: an error takes the place of the response. What else is said here goes onto
    /// that one.
    pub refusal: Option<Refusal>,
}

/// A response header with a key in its value. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHeader {
    name: Cow<'static, str>,
    value: String,
}

impl KeyHeader {
    pub(crate) fn new(name: impl Into<KeyHeaderName>, value: String) -> Self {
        Self { name: name.into().0, value }
    }

    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value. It is a secret.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value. It is a secret.
    #[must_use]
    pub fn into_value(self) -> String {
        self.value
    }
}

impl fmt::Debug for KeyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A static name or one from the settings.
pub(crate) struct KeyHeaderName(Cow<'static, str>);

impl From<&'static str> for KeyHeaderName {
    fn from(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl From<Box<str>> for KeyHeaderName {
    fn from(name: Box<str>) -> Self {
        Self(Cow::Owned(name.into()))
    }
}

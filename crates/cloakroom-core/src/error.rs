use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of every fallible operation of this crate.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, in the terms a caller can act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A `Create` met something unexpired under that key.
    AlreadyExists,
    /// Somebody else wrote first: the expected version is no longer the stored one.
    Conflict,
    /// A stored payload or field cannot be decoded.
    Corrupted,
    /// The session ended meanwhile. It is not recreated.
    Gone,
    /// A setting or a combination of settings makes no sense.
    InvalidConfig,
    /// A key, field name, scope or owner does not have an acceptable shape.
    InvalidKey,
    /// A limit of sessions per scope, per owner or of a bounded store is reached.
    QuotaExceeded,
    /// A payload, name or log is larger than what the operation accepts.
    TooLarge,
    /// The backend cannot be reached or does not answer in time.
    Unavailable,
    /// Anything else; the source says more.
    Unexpected,
    /// The backend's [`Capability`](crate::Capability) does not include the operation.
    Unsupported,
}

impl ErrorKind {
    /// The name used in messages, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Corrupted => "corrupted",
            Self::Gone => "gone",
            Self::InvalidConfig => "invalid configuration",
            Self::InvalidKey => "invalid key",
            Self::QuotaExceeded => "quota exceeded",
            Self::TooLarge => "too large",
            Self::Unavailable => "unavailable",
            Self::Unexpected => "unexpected",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The one error type of every crate of cloakroom.
///
/// It never holds a key, an id, a payload or a secret; what is given to [`message`](Self::with_message) or
/// [`with_source`](Self::with_source) must not either.
pub struct SessionError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    backend: &'static str,
    message: Cow<'static, str>,
    source: Option<Source>,
}

impl SessionError {
    /// An error of that kind, met while doing `operation`.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self(Box::new(Inner { kind, operation, backend: "", message: Cow::Borrowed(""), source: None }))
    }

    /// Adds a sentence for the person who reads the log.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Names the backend or layer that met the error. The innermost name stays.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        if self.0.backend.is_empty() {
            self.0.backend = backend;
        }
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, such as `"read"` or `"save"`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The backend or layer that failed; empty where no backend was involved.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.0.backend
    }

    /// Whether the same call may succeed when it is repeated a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Conflict)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.backend.is_empty() {
            write!(f, "{}: ", self.0.backend)?;
        }
        write!(f, "{} failed: {}", self.0.operation, self.0.kind)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionError")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("backend", &self.0.backend)
            .field("message", &self.0.message)
            .field("source", &self.0.source.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl StdError for SessionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The kind of key that a backend hands to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// A random secret of 43 characters; the session stays in the store.
    Secret,
    /// The whole session, sealed, in at most that many bytes of text.
    Sealed {
        /// The longest value that is accepted, in bytes.
        max_length: usize,
    },
}

/// What a backend or a stack of layers can do. Operations outside it return
/// [`Unsupported`](crate::ErrorKind::Unsupported).
///
/// ```
/// use cloakroom_core::Capability;
///
/// let capability = Capability::store().with_durable(true).with_max_payload(1 << 20);
/// assert!(capability.enumerable && capability.durable);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// The kind of key clients hold.
    pub key_kind: KeyKind,
    /// Whether a removed session is refused from then on.
    pub revocable: bool,
    /// Whether `scan`, `count` and `remove_all` work.
    pub enumerable: bool,
    /// Whether `Update` compares versions atomically.
    pub versioned: bool,
    /// Whether [`Limits`](crate::Limits) are checked in the same atomic step.
    pub limits: bool,
    /// Whether keys and filters may name any [`Scope`](crate::Scope). Where not, one that does is
    /// [`InvalidKey`](crate::ErrorKind::InvalidKey): a layer has put all sessions into a scope of its own.
    pub scopes: bool,
    /// Whether several processes see the same sessions.
    pub shared: bool,
    /// Whether sessions survive the end of the process.
    pub durable: bool,
    /// The largest payload, in bytes.
    pub max_payload: usize,
}

impl Capability {
    /// What a store that keeps sessions in this process can do: everything but being shared and durable.
    #[must_use]
    pub const fn store() -> Self {
        Self {
            key_kind: KeyKind::Secret,
            revocable: true,
            enumerable: true,
            versioned: true,
            limits: true,
            scopes: true,
            shared: false,
            durable: false,
            max_payload: usize::MAX,
        }
    }

    /// What a session that is sealed and kept by the client can do.
    #[must_use]
    pub const fn sealed(max_length: usize, max_payload: usize) -> Self {
        Self {
            key_kind: KeyKind::Sealed { max_length },
            revocable: false,
            enumerable: false,
            versioned: false,
            limits: false,
            scopes: true,
            shared: true,
            durable: true,
            max_payload,
        }
    }

    /// Sets whether a removed session is refused from then on.
    #[must_use]
    pub const fn with_revocable(mut self, revocable: bool) -> Self {
        self.revocable = revocable;
        self
    }

    /// Sets whether sessions can be listed and counted.
    #[must_use]
    pub const fn with_enumerable(mut self, enumerable: bool) -> Self {
        self.enumerable = enumerable;
        self
    }

    /// Sets whether updates compare versions.
    #[must_use]
    pub const fn with_versioned(mut self, versioned: bool) -> Self {
        self.versioned = versioned;
        self
    }

    /// Sets whether limits are checked atomically.
    #[must_use]
    pub const fn with_limits(mut self, limits: bool) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether keys and filters may name any scope.
    #[must_use]
    pub const fn with_scopes(mut self, scopes: bool) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets whether several processes see the same sessions.
    #[must_use]
    pub const fn with_shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Sets whether sessions survive the process.
    #[must_use]
    pub const fn with_durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Sets the largest payload, in bytes.
    #[must_use]
    pub const fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }
}

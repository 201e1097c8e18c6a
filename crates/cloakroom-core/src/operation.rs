use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::key::{Scope, SessionId};
use crate::record::{Owner, Record, Version};

/// How [`write`](crate::SessionBackend::write) treats what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Only where nothing unexpired is, marker or session; else `AlreadyExists`.
    Create,
    /// Only over the live record of that version. Missing or marker → `Gone`, other version → `Conflict`.
    Update(Version),
    /// Whatever is there. With [`State::Ended`](crate::State::Ended) it buries.
    Overwrite,
    /// Only over nothing or something older. Equal version: done already; newer or `Ended` → `Conflict`.
    Newer,
}

/// How many live records there may be beside the one that is written.
///
/// The check is part of the same atomic step as the write: on rotate, on an update that changes the owner, and on every
/// other write where no live record was. Reaching a limit is [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most live records in the key's scope, the written one included. A key without a scope counts among those
    /// without one.
    pub per_scope: Option<u64>,
    /// Most live records of the record's owner in that scope, the written one included.
    pub per_owner: Option<u64>,
}

impl Limits {
    /// No limits.
    #[must_use]
    pub const fn none() -> Self {
        Self { per_scope: None, per_owner: None }
    }

    /// Limits the live records of the scope.
    #[must_use]
    pub const fn with_per_scope(mut self, limit: u64) -> Self {
        self.per_scope = Some(limit);
        self
    }

    /// Limits the live records of one owner.
    #[must_use]
    pub const fn with_per_owner(mut self, limit: u64) -> Self {
        self.per_owner = Some(limit);
        self
    }

    /// Whether there is nothing to check.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.per_scope.is_none() && self.per_owner.is_none()
    }
}

/// The manner of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// What may be there already.
    pub mode: Mode,
    /// Limits to check in the same step.
    pub limits: Limits,
    /// How long a cache in front of the store may keep it, at most.
    pub hot_ttl: Option<Duration>,
}

impl Write {
    const fn new(mode: Mode) -> Self {
        Self { mode, limits: Limits::none(), hot_ttl: None }
    }

    /// See [`Mode::Create`].
    #[must_use]
    pub const fn create() -> Self {
        Self::new(Mode::Create)
    }

    /// See [`Mode::Update`].
    #[must_use]
    pub const fn update(expected: Version) -> Self {
        Self::new(Mode::Update(expected))
    }

    /// See [`Mode::Overwrite`].
    #[must_use]
    pub const fn overwrite() -> Self {
        Self::new(Mode::Overwrite)
    }

    /// See [`Mode::Newer`].
    #[must_use]
    pub const fn newer() -> Self {
        Self::new(Mode::Newer)
    }

    /// Checks limits in the same step.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds how long a cache may keep it.
    #[must_use]
    pub const fn with_hot_ttl(mut self, ttl: Duration) -> Self {
        self.hot_ttl = Some(ttl);
        self
    }
}

/// The manner of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotate {
    /// The version that must be at the old key. Missing or marker → `Gone`, other version → `Conflict`.
    pub expected: Version,
    /// Limits to check in the same step; the record that moves does not count beside itself.
    pub limits: Limits,
    /// The marker to leave at the old key; `None` leaves nothing.
    pub trail: Option<Record>,
}

impl Rotate {
    /// A rotation of that version which leaves nothing behind.
    #[must_use]
    pub const fn new(expected: Version) -> Self {
        Self { expected, limits: Limits::none(), trail: None }
    }

    /// Leaves a marker at the old key.
    #[must_use]
    pub fn with_trail(mut self, trail: Record) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Checks limits in the same step.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// The manner of a touch: it applies to one version only and only extends, so that copies converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Touch {
    /// The version that was read.
    pub version: Version,
    /// The new end, unless the stored one is later already.
    pub expires_at: Timestamp,
}

impl Touch {
    /// A touch of that version.
    #[must_use]
    pub const fn new(version: Version, expires_at: Timestamp) -> Self {
        Self { version, expires_at }
    }
}

/// Why a session is removed. Analytics counts by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Removal {
    /// The application deleted it.
    Explicit,
    /// Logout.
    Flushed,
    /// Its time was over.
    Expired,
    /// Its owner or an administrator ended it.
    Revoked,
    /// Another key took its place.
    Rotated,
}

impl Removal {
    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Flushed => "flushed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
        }
    }
}

/// Which scopes a [`Filter`] looks into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeFilter {
    /// Every scope, and what has none. For operators.
    Any,
    /// Only what has no scope.
    #[default]
    Unscoped,
    /// Only that scope.
    Is(Scope),
}

impl ScopeFilter {
    /// Whether a record in that scope is meant.
    #[must_use]
    pub fn matches(&self, scope: Option<&Scope>) -> bool {
        match self {
            Self::Any => true,
            Self::Unscoped => scope.is_none(),
            Self::Is(wanted) => scope == Some(wanted),
        }
    }
}

impl From<Option<&Scope>> for ScopeFilter {
    fn from(scope: Option<&Scope>) -> Self {
        scope.map_or(Self::Unscoped, |scope| Self::Is(scope.clone()))
    }
}

/// Which live records `scan`, `count` and `remove_all` mean.
///
/// ```
/// use cloakroom_core::{Filter, Owner};
///
/// let filter = Filter::unscoped().with_owner(Owner::parse("user:42")?).with_payload();
/// assert!(filter.payload);
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// The scopes to look into.
    pub scope: ScopeFilter,
    /// Only records of that owner.
    pub owner: Option<Owner>,
    /// Not that one.
    pub except: Option<SessionId>,
    /// Whether `scan` fills payloads in.
    pub payload: bool,
}

impl Filter {
    /// Every live record of every scope.
    #[must_use]
    pub fn everywhere() -> Self {
        Self { scope: ScopeFilter::Any, ..Self::default() }
    }

    /// Live records without a scope.
    #[must_use]
    pub fn unscoped() -> Self {
        Self::default()
    }

    /// Live records of one scope, or with `None` those without one.
    #[must_use]
    pub fn in_scope(scope: Option<&Scope>) -> Self {
        Self { scope: scope.into(), ..Self::default() }
    }

    /// Only those of an owner.
    #[must_use]
    pub fn with_owner(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Leaves one out.
    #[must_use]
    pub fn with_except(mut self, id: SessionId) -> Self {
        self.except = Some(id);
        self
    }

    /// Asks for payloads.
    #[must_use]
    pub fn with_payload(mut self) -> Self {
        self.payload = true;
        self
    }

    /// Whether a live record in that scope with that id is meant.
    #[must_use]
    pub fn matches(&self, scope: Option<&Scope>, id: SessionId, record: &Record) -> bool {
        self.scope.matches(scope)
            && self.except != Some(id)
            && self.owner.as_ref().is_none_or(|owner| record.owner.as_ref() == Some(owner))
    }
}

/// Where a scan goes on. Opaque to callers; its meaning is the backend's own.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Box<[u8]>);

impl Cursor {
    /// From whatever the backend wants to see again.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// What the backend put in.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One record of a [`Page`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What it is filed under.
    pub id: SessionId,
    /// The scope it is filed in.
    pub scope: Option<Scope>,
    /// The record; its payload is empty unless the filter asked for it.
    pub record: Record,
}

impl Entry {
    /// An entry.
    #[must_use]
    pub const fn new(id: SessionId, scope: Option<Scope>, record: Record) -> Self {
        Self { id, scope, record }
    }

    /// The address to reach it by.
    #[must_use]
    pub fn address(&self) -> crate::SessionKey {
        let address = crate::SessionKey::from_id(self.id);
        self.scope.as_ref().map_or_else(|| address.clone(), |scope| address.scoped(scope))
    }
}

/// A part of a scan. Every record that lives throughout the scan is seen once; others may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// At most as many as were asked for; fewer, even none, do not mean the end.
    pub entries: Vec<Entry>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page.
    #[must_use]
    pub const fn new(entries: Vec<Entry>, next: Option<Cursor>) -> Self {
        Self { entries, next }
    }
}

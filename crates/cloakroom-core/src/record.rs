use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{ErrorKind, Result, SessionError};
use crate::key::SessionId;

const MAX_OWNER_LENGTH: usize = 255;
const RANDOM_BITS: u32 = 20;

/// Who a session belongs to, such as `user:42`. Owners are compared byte for byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Parses an owner.
    ///
    /// # Errors
    /// `InvalidKey` unless it is 1 to 255 bytes without control characters.
    pub fn parse(owner: &str) -> Result<Self> {
        if owner.is_empty() || owner.len() > MAX_OWNER_LENGTH || owner.chars().any(char::is_control) {
            return Err(SessionError::new(ErrorKind::InvalidKey, "parse owner"));
        }
        Ok(Self(owner.into()))
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(redacted)")
    }
}

/// Whether a record is a session or a sign that one was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// A session.
    #[default]
    Live,
    /// A marker that `rotate` left: the payload is the successor's id as text.
    Moved,
    /// A tombstone.
    Ended,
}

impl State {
    /// The number stores keep: 0, 1 or 2.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Live => 0,
            Self::Moved => 1,
            Self::Ended => 2,
        }
    }

    /// Back from the number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Live),
            1 => Some(Self::Moved),
            2 => Some(Self::Ended),
            _ => None,
        }
    }
}

/// The version of a record: below 2^63, chosen by the writer, comparable across replicas.
///
/// Milliseconds since 1970 × 2^20 + 20 random bits, and always more than its predecessor, whatever the clock does.
///
/// ```
/// use cloakroom_core::{Timestamp, Version};
///
/// let first = Version::first(Timestamp::from_millis(1_000_000));
/// let next = first.next(Timestamp::from_millis(0)); // a clock that stepped back
/// assert!(next > first && next.as_u64() < 1 << 63);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    const MASK: u64 = (1 << 63) - 1;

    /// The version of a new record.
    #[must_use]
    pub fn first(now: Timestamp) -> Self {
        Self(from_clock(now))
    }

    /// The version that follows this one.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        let random = noise();
        Self(from_clock(now).max(self.0.saturating_add(1 + random)) & Self::MASK)
    }

    /// From the number a store kept. The highest bit is dropped.
    #[must_use]
    pub const fn from_u64(version: u64) -> Self {
        Self(version & Self::MASK)
    }

    /// The number to store.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

fn from_clock(now: Timestamp) -> u64 {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    ((millis << RANDOM_BITS) & Version::MASK) | noise()
}

/// Twenty bits that differ between writers. Nothing secret depends on them.
fn noise() -> u64 {
    random_u64() >> (64 - RANDOM_BITS)
}

/// A cheap generator for versions and jitter, seeded per thread by the standard library's keys.
pub(crate) fn random_u64() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish()));
    STATE.with(|state| {
        // SplitMix64.
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

/// What a backend keeps of one session.
///
/// `Debug` shows the size of the payload, never its bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The encoded session, or for a marker what its state says.
    pub payload: Bytes,
    /// Session or marker.
    pub state: State,
    /// Changes with every write.
    pub version: Version,
    /// Who the session belongs to.
    pub owner: Option<Owner>,
    /// When the session began. Kept by updates and rotations.
    pub created_at: Timestamp,
    /// When it was last written or touched.
    pub accessed_at: Timestamp,
    /// When it ends; `None` = never by itself.
    pub expires_at: Option<Timestamp>,
}

impl Record {
    /// A live record made now, with a first version, without owner and expiry.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>, now: Timestamp) -> Self {
        Self {
            payload: payload.into(),
            state: State::Live,
            version: Version::first(now),
            owner: None,
            created_at: now,
            accessed_at: now,
            expires_at: None,
        }
    }

    /// The marker that a rotation leaves at the old id.
    #[must_use]
    pub fn moved(successor: SessionId, now: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            state: State::Moved,
            expires_at: Some(expires_at),
            ..Self::new(Bytes::copy_from_slice(successor.as_text().as_bytes()), now)
        }
    }

    /// A tombstone.
    #[must_use]
    pub fn ended(now: Timestamp, expires_at: Timestamp) -> Self {
        Self { state: State::Ended, expires_at: Some(expires_at), ..Self::new(Bytes::new(), now) }
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Sets the owner.
    #[must_use]
    pub fn with_owner(mut self, owner: Option<Owner>) -> Self {
        self.owner = owner;
        self
    }

    /// Sets when it began.
    #[must_use]
    pub fn with_created_at(mut self, at: Timestamp) -> Self {
        self.created_at = at;
        self
    }

    /// Sets when it was last used.
    #[must_use]
    pub fn with_accessed_at(mut self, at: Timestamp) -> Self {
        self.accessed_at = at;
        self
    }

    /// Sets when it ends.
    #[must_use]
    pub fn with_expires_at(mut self, at: Option<Timestamp>) -> Self {
        self.expires_at = at;
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// Whether it is over: a record lives up to, not including, its `expires_at`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether it is a session rather than a marker.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// The id that a `Moved` marker points to.
    #[must_use]
    pub fn successor(&self) -> Option<SessionId> {
        (self.state == State::Moved).then(|| std::str::from_utf8(&self.payload).ok()?.parse().ok()).flatten()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("state", &self.state)
            .field("version", &self.version)
            .field("owner", &self.owner)
            .field("created_at", &self.created_at)
            .field("accessed_at", &self.accessed_at)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

use std::time::Duration;

use cloakroom_core::{
    Clock, ErrorKind, KeyKind, Owner, Record, Result, Scope, SessionBackend, SessionBackendExt, SessionError,
    SessionId, SessionKey, SharedBackend, State, Timestamp, Version, Write,
};
use futures_util::future;

use crate::codec::Contents;

const DEFAULT_HORIZON: Duration = Duration::from_secs(24 * 3600);
/// How far the clocks of two processes may differ.
const SKEW: Duration = Duration::from_secs(5 * 60);
const SCOPE: &str = "cloakroom:revocation";
const MAX_ATTEMPTS: u32 = 64;
/// First byte, end and version of a trail.
const TRAIL_HEADER: usize = 17;
const TRAIL_FORMAT: u8 = 1;
const NOTE_FORMAT: u8 = 2;
const ENDED_FORMAT: u8 = 3;
const GENERATION_FORMAT: u8 = 4;

/// Where a client-side backend keeps which sessions ended: any backend that keeps records itself and compares
/// versions. A backend alone will do wherever one of these is taken.
///
/// It holds no session: one marker for each ended session until no text of it can be valid any more, one record
/// for each owner whose sessions were ever revoked all at once, and one note for each session that ends beyond the
/// [horizon](Self::with_horizon). All are filed under hashes in a scope of their own, `cloakroom:revocation`, as markers:
/// counts and scans of that backend do not show them, and its `remove_all` leaves them.
///
/// Whatever else makes that backend forget, such as a table that is emptied, brings sessions back that were ended.
///
/// ```
/// use cloakroom_core::InMemorySessionBackend;
/// use cloakroom_seal::Revocation;
/// use std::time::Duration;
///
/// let two_weeks = Duration::from_secs(14 * 24 * 3600);
/// let revocation = Revocation::new(InMemorySessionBackend::new()).with_horizon(two_weeks);
/// # let _ = revocation;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Revocation {
    backend: SharedBackend,
    horizon: Duration,
}

impl Revocation {
    /// Kept in that backend. Several processes need one that they share.
    pub fn new(backend: impl SessionBackend) -> Self {
        Self { backend: backend.shared(), horizon: DEFAULT_HORIZON }
    }

    /// How far ahead a session may end without a note of it (default 24 hours). Markers of ended sessions are kept
    /// for that long at least. A session that ends later costs one call more when it begins, and two each time its end
    /// has moved on by a horizon. The best value is the idle timeout. While sessions of a longer horizon live, it
    /// must not be shortened.
    pub fn with_horizon(mut self, horizon: Duration) -> Self {
        self.horizon = horizon;
        self
    }
}

impl<B: SessionBackend> From<B> for Revocation {
    fn from(backend: B) -> Self {
        Self::new(backend)
    }
}

/// What is known of one id.
#[derive(Debug)]
enum Entry {
    Nothing,
    /// Texts of it may be valid up to the end of this record, which is a marker, too: nobody takes it for a session.
    Note(Record),
    Ended,
    /// Ended by a rotation that left this marker.
    Moved(Record),
}

/// What is known of one owner: which generation of sessions lives.
///
/// No clock takes part, so none that is wrong lets a session of before pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Generation {
    /// Random; zero before the first revocation.
    current: u64,
    /// The one session that the last revocation spared, and its generation.
    spared: Option<(SessionId, u64)>,
}

impl Generation {
    /// The generation that a session must be of to be spared.
    fn of(&self, id: SessionId) -> u64 {
        match self.spared {
            Some((spared, generation)) if spared == id => generation,
            _ => self.current,
        }
    }

    fn accepts(&self, contents: &Contents) -> bool {
        contents.generation == self.current || contents.generation == self.of(contents.id)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![GENERATION_FORMAT];
        bytes.extend(self.current.to_be_bytes());
        if let Some((id, generation)) = self.spared {
            bytes.extend(id.as_bytes());
            bytes.extend(generation.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[GENERATION_FORMAT], rest) = bytes.split_first_chunk::<1>()? else { return None };
        let (current, rest) = rest.split_first_chunk::<8>()?;
        let current = u64::from_be_bytes(*current);
        if rest.is_empty() {
            return Some(Self { current, spared: None });
        }
        let (id, generation) = rest.split_first_chunk::<32>()?;
        let generation = u64::from_be_bytes(generation.try_into().ok()?);
        Some(Self { current, spared: Some((SessionId::from_bytes(*id), generation)) })
    }
}

/// How things are with a session whose text is authentic and not expired.
#[derive(Debug)]
pub(crate) enum Standing {
    Live(Clearance),
    Ended,
    /// Ended by a rotation that left this marker, which may be over by now. No generation where its owner's sessions
    /// were revoked as well.
    Moved {
        trail: Record,
        generation: Option<u64>,
    },
}

/// That a session was not revoked when it was asked.
#[derive(Debug)]
pub(crate) struct Clearance {
    /// The generation of its owner that lives.
    pub(crate) generation: u64,
    note: Option<Record>,
}

/// The ended sessions, in the backend that keeps them.
#[derive(Debug)]
pub(crate) struct Ledger {
    backend: SharedBackend,
    horizon: Duration,
    scope: Scope,
    clock: Clock,
}

impl Ledger {
    pub(crate) fn new(revocation: Revocation, clock: Clock) -> Result<Self> {
        let capability = revocation.backend.capability();
        if capability.key_kind != KeyKind::Secret
            || !capability.versioned
            || !capability.revocable
            || !capability.scopes
        {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "with_revocation")
                .with_message("it takes a backend that keeps records itself and compares versions"));
        }
        let Revocation { backend, horizon } = revocation;
        Ok(Self { backend, horizon, scope: Scope::parse(SCOPE)?, clock })
    }

    pub(crate) fn backend(&self) -> &SharedBackend {
        &self.backend
    }

    pub(crate) fn on_clock(&self, clock: Clock) -> Self {
        let Self { backend, horizon, scope, .. } = self;
        Self { backend: backend.clone(), horizon: *horizon, scope: scope.clone(), clock }
    }

    fn session_key(&self, scope: Option<&Scope>, id: SessionId) -> Result<SessionKey> {
        let scope = scope.map_or("", Scope::as_str);
        let key = SessionKey::from_name(&format!("session\0{scope}\0{}", &*id.as_text()))?;
        Ok(key.scoped(&self.scope))
    }

    fn owner_key(&self, scope: Option<&Scope>, owner: &Owner) -> Result<SessionKey> {
        let scope = scope.map_or("", Scope::as_str);
        let key = SessionKey::from_name(&format!("owner\0{scope}\0{}", owner.as_str()))?;
        Ok(key.scoped(&self.scope))
    }

    async fn entry(&self, key: &SessionKey) -> Result<Entry> {
        let Some(record) = self.backend.read(key).await.map_err(failed)? else { return Ok(Entry::Nothing) };
        Ok(match (record.state, record.payload.first()) {
            (State::Moved, Some(&NOTE_FORMAT)) => Entry::Note(record),
            (State::Moved, _) => decode_trail(&record).map_or(Entry::Ended, Entry::Moved),
            _ => Entry::Ended,
        })
    }

    async fn generation_of(&self, scope: Option<&Scope>, owner: Option<&Owner>) -> Result<Generation> {
        let Some(owner) = owner else { return Ok(Generation::default()) };
        let key = self.owner_key(scope, owner)?;
        match self.backend.read(&key).await.map_err(failed)? {
            Some(record) => Generation::decode(&record.payload).ok_or_else(damaged),
            None => Ok(Generation::default()),
        }
    }

    /// Whether a session goes on: one call, two at once for a session with an owner.
    pub(crate) async fn standing(&self, scope: Option<&Scope>, contents: &Contents) -> Result<Standing> {
        let key = self.session_key(scope, contents.id)?;
        let owner = contents.record.owner.as_ref();
        let (entry, lives) = future::try_join(self.entry(&key), self.generation_of(scope, owner)).await?;
        let accepted = lives.accepts(contents);
        let generation = lives.current;
        Ok(match entry {
            Entry::Ended => Standing::Ended,
            Entry::Moved(trail) => Standing::Moved { trail, generation: accepted.then_some(generation) },
            _ if !accepted => Standing::Ended,
            Entry::Nothing => Standing::Live(Clearance { generation, note: None }),
            Entry::Note(note) => Standing::Live(Clearance { generation, note: Some(note) }),
        })
    }

    /// For an id that begins with that owner; `None` when it has ended already. As many calls as
    /// [`standing`](Self::standing).
    pub(crate) async fn admit(
        &self,
        scope: Option<&Scope>,
        id: SessionId,
        owner: Option<&Owner>,
    ) -> Result<Option<Clearance>> {
        let key = self.session_key(scope, id)?;
        let (entry, lives) = future::try_join(self.entry(&key), self.generation_of(scope, owner)).await?;
        let generation = lives.current;
        Ok(match entry {
            Entry::Nothing => Some(Clearance { generation, note: None }),
            Entry::Note(note) => Some(Clearance { generation, note: Some(note) }),
            Entry::Ended | Entry::Moved(_) => None,
        })
    }

    /// The generation of a session that gets that owner now.
    pub(crate) async fn generation(&self, scope: Option<&Scope>, owner: Option<&Owner>) -> Result<u64> {
        Ok(self.generation_of(scope, owner).await?.current)
    }

    /// The marker that a rotation left at an id.
    pub(crate) async fn trail(&self, scope: Option<&Scope>, id: SessionId) -> Result<Option<Record>> {
        match self.entry(&self.session_key(scope, id)?).await? {
            Entry::Moved(trail) => Ok(Some(trail)),
            _ => Ok(None),
        }
    }

    /// Notes that a text ends beyond the horizon, unless that is known; `false` when the session has ended.
    pub(crate) async fn note(
        &self,
        scope: Option<&Scope>,
        id: SessionId,
        end: Option<Timestamp>,
        clearance: Clearance,
    ) -> Result<bool> {
        if end.is_some_and(|end| end <= self.clock.now() + self.horizon) {
            return Ok(true);
        }
        let key = self.session_key(scope, id)?;
        let mut known = clearance.note;
        for _ in 0..MAX_ATTEMPTS {
            if known.as_ref().is_some_and(|note| covers(note.expires_at, end)) {
                return Ok(true);
            }
            let now = self.clock.now();
            let note = Record::new(unique(NOTE_FORMAT)?, now)
                .with_state(State::Moved)
                .with_expires_at(end.map(|end| end + self.horizon + SKEW));
            if self.put(&key, note, known.map(|note| note.version)).await? {
                return Ok(true);
            }
            known = match self.entry(&key).await? {
                Entry::Nothing => None,
                Entry::Note(note) => Some(note),
                Entry::Ended | Entry::Moved(_) => return Ok(false),
            };
        }
        Err(contended())
    }

    /// Ends a session, a text of which ends then; `false` when it had ended already. Two calls, three with a note.
    pub(crate) async fn end(
        &self,
        scope: Option<&Scope>,
        id: SessionId,
        end: Option<Timestamp>,
        trail: Option<&Record>,
    ) -> Result<bool> {
        let key = self.session_key(scope, id)?;
        for _ in 0..MAX_ATTEMPTS {
            let known = match self.entry(&key).await? {
                Entry::Nothing => None,
                Entry::Note(note) => Some(note),
                Entry::Ended | Entry::Moved(_) => return Ok(false),
            };
            let now = self.clock.now();
            // Other texts of the session may end later than this one, but none beyond horizon and note.
            let horizon = Some(now + self.horizon);
            let noted = known.as_ref().map_or(horizon, |note| note.expires_at);
            let until = latest([end, horizon, noted, trail.map_or(horizon, |trail| trail.expires_at)]);
            // Who wrote the text may be ahead, and who reads it behind.
            let until = until.map(|until| until + SKEW + SKEW);
            let marker = match trail {
                Some(trail) => encode_trail(trail),
                None => Record::new(unique(ENDED_FORMAT)?, now).with_state(State::Ended),
            };
            let marker = marker.with_version(Version::first(now)).with_expires_at(until);
            if self.put(&key, marker, known.map(|note| note.version)).await? {
                return Ok(true);
            }
        }
        Err(contended())
    }

    /// Ends all sessions that an owner has by now, but for one. Two calls, three from the second time on.
    pub(crate) async fn revoke(
        &self,
        scope: Option<&Scope>,
        owner: &Owner,
        except: Option<SessionId>,
    ) -> Result<()> {
        let key = self.owner_key(scope, owner)?;
        for _ in 0..MAX_ATTEMPTS {
            let record = self.backend.read(&key).await.map_err(failed)?;
            let before = match &record {
                Some(record) => Generation::decode(&record.payload).ok_or_else(damaged)?,
                None => Generation::default(),
            };
            let next = Generation { current: random()?, spared: except.map(|id| (id, before.of(id))) };
            let version = record.map(|record| record.version);
            let record = Record::new(next.encode(), self.clock.now()).with_state(State::Moved);
            if self.put(&key, record, version).await? {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Writes over that version, or over nothing; `false` when something else is there by now. One call, two over a
    /// version.
    ///
    /// What is kept here are markers, which nobody's `remove_all` ends and no count sees; and `Update` goes over live
    /// records only. `Newer` with the very next version compares as well: of several that write it the first one does,
    /// and which one that was shows in what is there afterwards.
    async fn put(&self, key: &SessionKey, record: Record, over: Option<Version>) -> Result<bool> {
        let (record, how) = match over {
            None => (record, Write::create()),
            Some(version) => {
                let next = Version::from_u64(version.as_u64().saturating_add(1));
                (record.with_version(next), Write::newer())
            }
        };
        let (state, payload) = (record.state, record.payload.clone());
        match self.backend.write(key, record, how).await {
            Ok(_) if over.is_none() => return Ok(true),
            Ok(_) => {}
            Err(error) => {
                return match error.kind() {
                    ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Gone => Ok(false),
                    _ => Err(failed(error)),
                };
            }
        }
        let there = self.backend.read(key).await.map_err(failed)?;
        Ok(there.is_some_and(|there| there.state == state && there.payload == payload))
    }
}

/// A payload that no other process writes.
fn unique(format: u8) -> Result<Vec<u8>> {
    let mut bytes = vec![format];
    bytes.extend(random()?.to_be_bytes());
    Ok(bytes)
}

/// From the generator for secrets, and never zero.
fn random() -> Result<u64> {
    let (bytes, id) = ([0; 8], SessionKey::generate()?.id());
    let bytes = id.as_bytes().first_chunk().copied().unwrap_or(bytes);
    Ok(u64::from_be_bytes(bytes).max(1))
}

/// Whether an end that is known is not before another. `None` is the end of time.
fn covers(known: Option<Timestamp>, end: Option<Timestamp>) -> bool {
    known.is_none_or(|known| end.is_some_and(|end| end <= known))
}

fn latest<const N: usize>(ends: [Option<Timestamp>; N]) -> Option<Timestamp> {
    ends.into_iter().reduce(|a, b| Some(a?.max(b?))).flatten()
}

/// A marker has its own end, and the record that keeps it stays until no text of the session is valid.
fn encode_trail(trail: &Record) -> Record {
    let mut bytes = Vec::with_capacity(TRAIL_HEADER + trail.payload.len());
    bytes.push(TRAIL_FORMAT);
    bytes.extend(trail.expires_at.map_or(i64::MAX, Timestamp::as_millis).to_be_bytes());
    bytes.extend(trail.version.as_u64().to_be_bytes());
    bytes.extend(&trail.payload);
    let mut kept = trail.clone();
    kept.payload = bytes.into();
    kept
}

fn decode_trail(kept: &Record) -> Option<Record> {
    let (&[format], rest) = kept.payload.split_first_chunk::<1>()?;
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let (version, _) = rest.split_first_chunk::<8>()?;
    if format != TRAIL_FORMAT {
        return None;
    }
    let end = Some(i64::from_be_bytes(*end)).filter(|&end| end != i64::MAX);
    let mut trail = kept.clone();
    trail.payload = kept.payload.slice(TRAIL_HEADER..);
    trail.version = Version::from_u64(u64::from_be_bytes(*version));
    trail.expires_at = end.map(Timestamp::from_millis);
    Some(trail)
}

fn damaged() -> SessionError {
    SessionError::new(ErrorKind::Unexpected, "revocation")
        .with_message("what is kept of an owner's revocations cannot be read")
}

fn contended() -> SessionError {
    SessionError::new(ErrorKind::Unavailable, "revocation").with_message("too many at once for one session")
}

/// What the kept markers' backend reports must not be taken for an answer about the session.
fn failed(error: SessionError) -> SessionError {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Unexpected | ErrorKind::InvalidConfig => error,
        _ => SessionError::new(ErrorKind::Unexpected, "revocation").with_source(error),
    }
}

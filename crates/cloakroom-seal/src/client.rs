use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Limits, Mode, Page, Record, Removal, Result, Rotate, Scope,
    ScopeFilter, SessionBackend, SessionError, SessionKey, State, Timestamp, Touch, Write,
};
use futures_util::future;

use crate::codec::{Codec, Contents};
use crate::revocation::{Clearance, Ledger, Revocation, Standing};

/// A backend that keeps nothing: the client holds the whole session, as a codec's text.
///
/// - Every write, rotation and touch gives a new text. Texts of a session that were given out before stay valid until
///   their own end: whoever shows an older one is back where it was. Of two requests at once the later answer wins.
/// - Nothing can be listed or counted, and limits cannot be checked: `scan`, `count` and writes with limits are
///   `Unsupported`.
/// - Without [revocation](Self::with_revocation) `remove` is `Unsupported`: a logout makes the browser forget the
///   session, and a copy of the text stays valid until its end, also after a rotation.
/// - With it, an ended session is refused with all its texts; a rotation ends the old ones, and its marker leads a
///   late logout to the successor; `remove_all` of one owner works and answers 1, because nobody can count them.
/// - Keys made from a name are `Unsupported`: no client would keep the text.
///
/// # Cost
/// Calls of the revocation's backend, none without one; calls joined by + run at the same time.
///
/// | operation | without owner | with owner |
/// |---|---|---|
/// | `read`, `touch`, `write` | 1 | 1 + 1 |
/// | `write` with another owner | 1 + 1 | 1 + 1 + 1 |
/// | `rotate` | 1 + 1, then 2 | 1 + 1 + 1, then 2 |
/// | `remove` | 1, then 2 | 1 + 1, then 2 |
/// | `remove_all` of an owner | | 2 |
///
/// A session that ends beyond the [horizon](Revocation::with_horizon) costs one more when it begins, and again each
/// time its end has moved by that much.
#[derive(Debug)]
pub struct ClientSideBackend<C> {
    codec: Arc<C>,
    clock: Clock,
    leeway: Duration,
    ledger: Option<Arc<Ledger>>,
}

impl<C> Clone for ClientSideBackend<C> {
    fn clone(&self) -> Self {
        let (codec, ledger) = (Arc::clone(&self.codec), self.ledger.clone());
        Self { codec, clock: self.clock.clone(), leeway: self.leeway, ledger }
    }
}

/// A session whose text was shown, with the right to write it.
struct Held {
    contents: Contents,
    clearance: Option<Clearance>,
}

impl<C: Codec> ClientSideBackend<C> {
    /// Sessions in texts of that codec, on the system's clock.
    #[must_use]
    pub fn new(codec: C) -> Self {
        Self { codec: Arc::new(codec), clock: Clock::system(), leeway: Duration::ZERO, ledger: None }
    }

    /// Takes its time from there.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.ledger = self.ledger.map(|ledger| Arc::new(ledger.on_clock(clock.clone())));
        self.clock = clock;
        self
    }

    /// Accepts texts for that long after their end (default 0), for processes whose clocks differ.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Keeps in that backend which sessions ended, so that they are refused from then on. While it cannot be reached,
    /// no session can be read.
    ///
    /// # Errors
    /// `InvalidConfig` for a backend that does not keep records itself or does not compare versions.
    pub fn with_revocation(mut self, revocation: impl Into<Revocation>) -> Result<Self> {
        let ledger = Ledger::new(revocation.into(), self.clock.clone());
        self.ledger = Some(Arc::new(ledger.map_err(|error| error.with_backend(self.codec.name()))?));
        Ok(self)
    }

    /// With another codec. For backends whose settings are their codec's.
    #[must_use]
    pub fn with_codec(mut self, codec: C) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// The codec.
    #[must_use]
    pub fn codec(&self) -> &C {
        &self.codec
    }

    fn refuse(&self, kind: ErrorKind, operation: &'static str) -> SessionError {
        SessionError::new(kind, operation).with_backend(self.codec.name())
    }

    /// What an authentic text holds, and whether it is over.
    fn authentic(&self, key: &SessionKey) -> Option<(Contents, bool)> {
        if !key.is_sealed() || key.expose().len() > self.codec.max_length() {
            return None;
        }
        let contents = self.codec.open(key.scope(), key.expose())?;
        key.opened(contents.id);
        let over = contents.record.is_expired(self.clock.now() - self.leeway);
        contents.record.is_live().then_some((contents, over))
    }

    /// What an authentic text that is not over holds.
    fn open(&self, key: &SessionKey) -> Option<Contents> {
        self.authentic(key).filter(|(_, over)| !over).map(|(contents, _)| contents)
    }

    /// From when on nobody accepts a text of that record.
    fn refused_from(&self, record: &Record) -> Option<Timestamp> {
        record.expires_at.map(|end| end + self.leeway)
    }

    /// The session whose text the key is, unless it ended.
    async fn hold(&self, key: &SessionKey) -> Result<Option<Held>> {
        let Some(contents) = self.open(key) else { return Ok(None) };
        let clearance = self.clearance(key.scope(), &contents).await?;
        Ok(clearance.map(|clearance| Held { contents, clearance }))
    }

    /// The right to write a session whose text was shown; `None` when it has ended.
    async fn clearance(&self, scope: Option<&Scope>, shown: &Contents) -> Result<Option<Option<Clearance>>> {
        let Some(ledger) = &self.ledger else { return Ok(Some(None)) };
        Ok(match ledger.standing(scope, shown).await? {
            Standing::Live(clearance) => Some(Some(clearance)),
            Standing::Ended | Standing::Moved { .. } => None,
        })
    }

    fn check(&self, record: &Record, limits: Limits, operation: &'static str) -> Result<()> {
        if !limits.is_none() {
            return Err(self
                .refuse(ErrorKind::Unsupported, operation)
                .with_message("sessions that clients keep cannot be counted"));
        }
        let (length, most) = (record.payload.len(), self.codec.max_payload());
        if length > most {
            let message = format!("a payload of {length} bytes, at most {most} fit");
            return Err(self.refuse(ErrorKind::TooLarge, operation).with_message(message));
        }
        Ok(())
    }

    /// Gives a text out, after noting what has to be known of it.
    async fn issue(
        &self,
        scope: Option<&Scope>,
        contents: Contents,
        clearance: Option<Clearance>,
        operation: &'static str,
    ) -> Result<SessionKey> {
        let text =
            self.codec.seal(scope, &contents).map_err(|error| error.with_backend(self.codec.name()))?;
        let Contents { id, record, .. } = contents;
        if let (Some(ledger), Some(clearance)) = (&self.ledger, clearance)
            && !ledger.note(scope, id, self.refused_from(&record), clearance).await?
        {
            return Err(self.refuse(ErrorKind::Gone, operation));
        }
        Ok(SessionKey::sealed(text, id))
    }

    /// Begins a session.
    async fn begin(&self, key: &SessionKey, record: Record, ended: ErrorKind) -> Result<SessionKey> {
        let (scope, id) = (key.scope(), key.id());
        let clearance = match &self.ledger {
            None => None,
            Some(ledger) => {
                let clearance = ledger.admit(scope, id, record.owner.as_ref()).await?;
                Some(clearance.ok_or_else(|| self.refuse(ended, "write"))?)
            }
        };
        let generation = clearance.as_ref().map_or(0, |clearance| clearance.generation);
        self.issue(scope, Contents { id, generation, record }, clearance, "write").await
    }

    /// The generation of what comes next. Asks only about another owner.
    async fn next_generation(&self, scope: Option<&Scope>, before: &Contents, next: &Record) -> Result<u64> {
        match &self.ledger {
            Some(ledger) if next.owner != before.record.owner => {
                ledger.generation(scope, next.owner.as_ref()).await
            }
            _ => Ok(before.generation),
        }
    }

    /// What a key shows, and the generation of what is written over it.
    async fn hold_for(&self, key: &SessionKey, next: &Record) -> Result<Option<(Held, u64)>> {
        let Some(contents) = self.open(key) else { return Ok(None) };
        let scope = key.scope();
        let (clearance, generation) =
            future::try_join(self.clearance(scope, &contents), self.next_generation(scope, &contents, next))
                .await?;
        Ok(clearance.map(|clearance| (Held { contents, clearance }, generation)))
    }

    /// Ends the session of a key by writing a marker in its place.
    async fn mark(&self, key: &SessionKey, marker: &Record, mode: Mode) -> Result<SessionKey> {
        let Some(ledger) = &self.ledger else {
            return Err(self.refuse(ErrorKind::Unsupported, "write"));
        };
        let shown = self.authentic(key);
        if key.is_sealed() && shown.is_none() {
            return Err(self.refuse(ErrorKind::Gone, "write").with_message("there is no session to end"));
        }
        let live = match &shown {
            Some((contents, false)) => self.clearance(key.scope(), contents).await?.map(|_| contents),
            _ => None,
        };
        match (mode, live) {
            (Mode::Create, None) if !key.is_sealed() => {}
            (Mode::Create, _) => return Err(self.refuse(ErrorKind::AlreadyExists, "write")),
            (Mode::Update(_), None) => return Err(self.refuse(ErrorKind::Gone, "write")),
            (Mode::Update(expected), Some(live)) if live.record.version != expected => {
                return Err(self.refuse(ErrorKind::Conflict, "write"));
            }
            _ => {}
        }
        // Also by a text that is over: a newer one of the session may live on.
        let end = shown.map_or(marker.expires_at, |(contents, _)| self.refused_from(&contents.record));
        let trail = (marker.state == State::Moved).then_some(marker);
        if !ledger.end(key.scope(), key.id(), end, trail).await? {
            match mode {
                Mode::Create => return Err(self.refuse(ErrorKind::AlreadyExists, "write")),
                Mode::Update(_) => return Err(self.refuse(ErrorKind::Gone, "write")),
                Mode::Newer => return Err(self.refuse(ErrorKind::Conflict, "write")),
                _ => {}
            }
        }
        Ok(key.unscoped())
    }
}

impl<C: Codec> SessionBackend for ClientSideBackend<C> {
    fn capability(&self) -> Capability {
        let capability = Capability::sealed(self.codec.max_length(), self.codec.max_payload());
        match &self.ledger {
            None => capability,
            Some(ledger) => {
                let kept = ledger.backend().capability();
                capability.with_revocable(true).with_shared(kept.shared).with_durable(kept.durable)
            }
        }
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let scope = key.scope();
        let unexpired = |trail: Record| Some(trail).filter(|trail| !trail.is_expired(self.clock.now()));
        let live = match self.authentic(key) {
            Some((contents, false)) => Some(contents),
            // A late logout follows the trail of a text that is over by now.
            Some((_, true)) => None,
            None if key.is_address() => None,
            None => return Ok(None),
        };
        let Some(ledger) = &self.ledger else { return Ok(live.map(|contents| contents.record)) };
        let Some(contents) = live else {
            return Ok(ledger.trail(scope, key.id()).await?.and_then(unexpired));
        };
        Ok(match ledger.standing(scope, &contents).await? {
            Standing::Live(_) => Some(contents.record),
            Standing::Ended => None,
            Standing::Moved { trail, .. } => unexpired(trail),
        })
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check(&record, how.limits, "write")?;
        if !record.is_live() {
            return self.mark(key, &record, how.mode).await;
        }
        if key.is_address() || key.is_name() {
            return Err(self
                .refuse(ErrorKind::Unsupported, "write")
                .with_message("a session that a client keeps is reached by its text only"));
        }
        let held = self.hold_for(key, &record).await?;
        let Some((held, generation)) = held else {
            return match how.mode {
                Mode::Create => self.begin(key, record, ErrorKind::AlreadyExists).await,
                Mode::Overwrite => self.begin(key, record, ErrorKind::Gone).await,
                Mode::Newer => self.begin(key, record, ErrorKind::Conflict).await,
                _ => Err(self.refuse(ErrorKind::Gone, "write")),
            };
        };
        let there = held.contents.record.version;
        match how.mode {
            Mode::Create => return Err(self.refuse(ErrorKind::AlreadyExists, "write")),
            Mode::Update(expected) if expected != there => {
                return Err(self.refuse(ErrorKind::Conflict, "write"));
            }
            Mode::Newer if there == record.version => return Ok(key.unscoped()),
            Mode::Newer if there > record.version => return Err(self.refuse(ErrorKind::Conflict, "write")),
            _ => {}
        }
        // The one it had: a revocation that came after it was asked concerns the new text too.
        let contents = Contents { id: held.contents.id, generation, record };
        self.issue(key.scope(), contents, held.clearance, "write").await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check(&record, how.limits, "rotate")?;
        if !record.is_live() || new.is_address() || new.is_name() {
            return Err(self.refuse(ErrorKind::Unsupported, "rotate"));
        }
        let scope = old.scope();
        let gone = || self.refuse(ErrorKind::Gone, "rotate");
        let shown = self.open(old).ok_or_else(gone)?;
        let Some(ledger) = &self.ledger else {
            if shown.record.version != how.expected {
                return Err(self.refuse(ErrorKind::Conflict, "rotate"));
            }
            let contents = Contents { id: new.id(), generation: shown.generation, record };
            return self.issue(scope, contents, None, "rotate").await;
        };
        let changes_owner = record.owner != shown.record.owner;
        let admitted = ledger.admit(scope, new.id(), record.owner.as_ref().filter(|_| changes_owner));
        let (standing, admitted) = future::try_join(ledger.standing(scope, &shown), admitted).await?;
        // The same rotation may have been done before, and its answer lost.
        let (generation, repeated) = match standing {
            Standing::Live(clearance) => (clearance.generation, false),
            Standing::Moved { trail, generation: Some(generation) }
                if trail.successor() == Some(new.id()) =>
            {
                (generation, true)
            }
            Standing::Ended | Standing::Moved { .. } => return Err(gone()),
        };
        if shown.record.version != how.expected {
            return Err(self.refuse(ErrorKind::Conflict, "rotate"));
        }
        let admitted = admitted.ok_or_else(|| self.refuse(ErrorKind::AlreadyExists, "rotate"))?;
        let generation = if changes_owner { admitted.generation } else { generation };
        let contents = Contents { id: new.id(), generation, record };
        let key = self.issue(scope, contents, Some(admitted), "rotate").await?;
        let end = self.refused_from(&shown.record);
        if repeated || ledger.end(scope, shown.id, end, how.trail.as_ref()).await? {
            return Ok(key);
        }
        Err(gone())
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let Some(held) = self.hold(key).await? else { return Ok(None) };
        let mut record = held.contents.record.clone();
        if record.version != how.version {
            return Ok(Some(key.unscoped()));
        }
        record.accessed_at = self.clock.now();
        record.expires_at = record.expires_at.map(|end| end.max(how.expires_at));
        let contents = Contents { record, ..held.contents };
        match self.issue(key.scope(), contents, held.clearance, "touch").await {
            Err(error) if error.kind() == ErrorKind::Gone => Ok(None),
            touched => touched.map(Some),
        }
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        let Some(ledger) = &self.ledger else {
            return Err(self.refuse(ErrorKind::Unsupported, "remove"));
        };
        if key.is_address() {
            return ledger.end(key.scope(), key.id(), Some(self.clock.now()), None).await;
        }
        let Some((contents, over)) = self.authentic(key) else { return Ok(false) };
        let live = !over && self.clearance(key.scope(), &contents).await?.is_some();
        // Whether this text is live or not: another one of the session may be.
        let end = self.refused_from(&contents.record);
        Ok(ledger.end(key.scope(), contents.id, end, None).await? && live)
    }

    async fn scan(&self, _filter: &Filter, _after: Option<Cursor>, _limit: usize) -> Result<Page> {
        Err(self.refuse(ErrorKind::Unsupported, "scan"))
    }

    async fn count(&self, _filter: &Filter) -> Result<u64> {
        Err(self.refuse(ErrorKind::Unsupported, "count"))
    }

    async fn remove_all(&self, filter: &Filter, _reason: Removal) -> Result<u64> {
        let scope = match &filter.scope {
            ScopeFilter::Unscoped => Some(None),
            ScopeFilter::Is(scope) => Some(Some(scope)),
            _ => None,
        };
        let (Some(ledger), Some(scope), Some(owner)) = (&self.ledger, scope, &filter.owner) else {
            return Err(self.refuse(ErrorKind::Unsupported, "remove_all"));
        };
        ledger.revoke(scope, owner, filter.except).await?;
        Ok(1)
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        match &self.ledger {
            Some(ledger) => ledger.backend().sweep(limit).await,
            None => Ok(0),
        }
    }
}

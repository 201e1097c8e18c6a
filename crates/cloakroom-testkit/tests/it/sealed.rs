//! The suite holds a client-side backend to what it declares: here one whose keys are the sessions themselves,
//! readable and signed, for tests only.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use cloakroom_testkit::core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Limits, ManualClock, Mode, Owner, Page, Record, Removal,
    Result, Rotate, SessionBackend, SessionError, SessionId, SessionKey, State, Timestamp, Touch, Version,
    Write,
};

use cloakroom_testkit::{Subject, case};

#[derive(Clone, Debug)]
pub(crate) struct Open {
    clock: Clock,
    flaw: Flaw,
    /// Ids of ended sessions, where they are kept.
    ended: Option<Arc<Mutex<BTreeSet<SessionId>>>>,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    SignsNothing,
    UpdatesUnderNewIds,
    RotatesUnderTheOldId,
    EndsOneTextOnly,
}

/// Every flaw, with the case that must reject it.
pub(crate) const REJECTED: &[(Flaw, &str)] = &[
    (Flaw::SignsNothing, "sealed_text_changed_nothing"),
    (Flaw::UpdatesUnderNewIds, "sealed_update_and_touch_keep_the_id"),
    (Flaw::RotatesUnderTheOldId, "sealed_rotate_takes_the_new_id"),
    (Flaw::EndsOneTextOnly, "sealed_removed_every_text_dead"),
];

fn hash(text: &str) -> SessionId {
    let mut tag = String::from("a secret of the tests");
    for chunk in text.as_bytes().chunks(2_000) {
        let chunk = std::str::from_utf8(chunk).unwrap_or("not hexadecimal");
        let next = SessionKey::from_name(&format!("{tag}\0{chunk}")).expect("a name");
        tag = next.id().as_text().to_string();
    }
    SessionKey::from_name(&tag).expect("a name").id()
}

fn refuse<T>(kind: ErrorKind, operation: &'static str) -> Result<T> {
    Err(SessionError::new(kind, operation).with_backend("open"))
}

/// Fields as length and bytes, one after the other.
fn encode(key: &SessionKey, id: SessionId, record: &Record) -> SessionKey {
    let end = record.expires_at.map_or_else(String::new, |end| end.as_millis().to_string());
    let fields: [&[u8]; 9] = [
        id.as_bytes(),
        key.scope().map_or("", |scope| scope.as_str()).as_bytes(),
        &[record.state.code()],
        &record.version.as_u64().to_be_bytes(),
        record.owner.as_ref().map_or("", Owner::as_str).as_bytes(),
        &record.created_at.as_millis().to_be_bytes(),
        &record.accessed_at.as_millis().to_be_bytes(),
        end.as_bytes(),
        &record.payload,
    ];
    let mut text = String::new();
    for field in fields {
        write!(text, "{:08x}", field.len()).expect("a string takes it");
        for byte in field {
            write!(text, "{byte:02x}").expect("a string takes it");
        }
    }
    let tag = hash(&text).as_text();
    SessionKey::sealed(format!("{text}.{}", &*tag), id)
}

fn decode(key: &SessionKey, signed: bool) -> Option<(SessionId, Record)> {
    let (mut rest, tag) = key.expose().split_once('.')?;
    if signed && *hash(rest).as_text() != *tag {
        return None;
    }
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let length = usize::from_str_radix(rest.get(..8)?, 16).ok()? * 2;
        let hex = rest.get(8..8 + length)?;
        let byte = |index| u8::from_str_radix(hex.get(index..index + 2)?, 16).ok();
        fields.push((0..length).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?);
        rest = &rest[8 + length..];
    }
    let [id, scope, state, version, owner, created, accessed, end, payload] = fields.as_slice() else {
        return None;
    };
    if scope != key.scope().map_or("", |scope| scope.as_str()).as_bytes() {
        return None;
    }
    let time = |bytes: &[u8]| Some(Timestamp::from_millis(i64::from_be_bytes(bytes.try_into().ok()?)));
    let record = Record::new(payload.clone(), time(created)?)
        .with_state(State::from_code(*state.first()?)?)
        .with_version(Version::from_u64(u64::from_be_bytes(version.as_slice().try_into().ok()?)))
        .with_owner(Owner::parse(std::str::from_utf8(owner).ok()?).ok())
        .with_accessed_at(time(accessed)?)
        .with_expires_at(std::str::from_utf8(end).ok()?.parse().ok().map(Timestamp::from_millis));
    let id = SessionId::from_bytes(id.as_slice().try_into().ok()?);
    key.opened(id);
    Some((id, record))
}

impl Open {
    fn new(clock: Clock, flaw: Flaw, revocable: bool) -> Self {
        Self { clock, flaw, ended: revocable.then(Arc::default) }
    }

    fn live(&self, key: &SessionKey) -> Option<(SessionId, Record)> {
        let (id, record) = decode(key, self.flaw != Flaw::SignsNothing)?;
        let ended = self.ended.as_ref().is_some_and(|ended| {
            ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.what_ends(key, id))
        });
        (!ended && !record.is_expired(self.clock.now())).then_some((id, record))
    }

    fn what_ends(&self, key: &SessionKey, id: SessionId) -> SessionId {
        if self.flaw == Flaw::EndsOneTextOnly { hash(key.expose()) } else { id }
    }

    fn end(&self, key: &SessionKey) -> Result<bool> {
        let Some(ended) = &self.ended else { return refuse(ErrorKind::Unsupported, "remove") };
        let Some((id, _)) = self.live(key) else { return Ok(false) };
        Ok(ended.lock().unwrap_or_else(PoisonError::into_inner).insert(self.what_ends(key, id)))
    }

    fn check(&self, record: &Record, limits: Limits, operation: &'static str) -> Result<()> {
        if record.payload.len() > self.capability().max_payload {
            return refuse(ErrorKind::TooLarge, operation);
        }
        if limits.is_none() { Ok(()) } else { refuse(ErrorKind::Unsupported, operation) }
    }
}

impl SessionBackend for Open {
    fn capability(&self) -> Capability {
        Capability::sealed(8_000, 3_000).with_revocable(self.ended.is_some())
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        Ok(self.live(key).map(|(_, record)| record))
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check(&record, how.limits, "write")?;
        let id = match (self.live(key), how.mode) {
            (Some(_), Mode::Update(_)) if self.flaw == Flaw::UpdatesUnderNewIds => {
                SessionKey::generate()?.id()
            }
            (Some((id, _)), _) => id,
            (None, Mode::Update(_)) => return refuse(ErrorKind::Gone, "write"),
            (None, _) => key.id(),
        };
        Ok(encode(key, id, &record))
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check(&record, how.limits, "rotate")?;
        let Some((id, _)) = self.live(old) else { return refuse(ErrorKind::Gone, "rotate") };
        if self.ended.is_some() {
            self.end(old)?;
        }
        let id = if self.flaw == Flaw::RotatesUnderTheOldId { id } else { new.id() };
        Ok(encode(new, id, &record))
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let Some((id, mut record)) = self.live(key) else { return Ok(None) };
        if record.version == how.version {
            record.accessed_at = self.clock.now();
            record.expires_at = record.expires_at.map(|end| end.max(how.expires_at));
        }
        Ok(Some(encode(key, id, &record)))
    }

    async fn remove(&self, key: &SessionKey, _reason: Removal) -> Result<bool> {
        self.end(key)
    }

    async fn scan(&self, _filter: &Filter, _after: Option<Cursor>, _limit: usize) -> Result<Page> {
        refuse(ErrorKind::Unsupported, "scan")
    }

    async fn count(&self, _filter: &Filter) -> Result<u64> {
        refuse(ErrorKind::Unsupported, "count")
    }

    async fn remove_all(&self, _filter: &Filter, _reason: Removal) -> Result<u64> {
        refuse(ErrorKind::Unsupported, "remove_all")
    }

    async fn sweep(&self, _limit: usize) -> Result<u64> {
        Ok(0)
    }
}

cloakroom_testkit::conformance!(open, |clock| async move { Open::new(clock, Flaw::Nothing, false) });

cloakroom_testkit::conformance!(open_revocable, |clock| async move { Open::new(clock, Flaw::Nothing, true) });

#[test]
fn flaws_every_one_is_rejected() {
    for (flaw, name) in REJECTED {
        let case = case(name).unwrap_or_else(|| panic!("there is no case {name}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let checked = runtime.block_on(async {
            let clock = ManualClock::new();
            let subject = Subject::new(Open::new(clock.clock(), *flaw, true), clock);
            tokio::spawn(async move { case.check(&subject).await }).await
        });
        assert!(checked.is_err_and(|error| error.is_panic()), "{name} accepts what {flaw:?}");
    }
}

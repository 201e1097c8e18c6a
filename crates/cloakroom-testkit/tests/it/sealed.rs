//! The suite holds a client-side backend to what it declares: here one whose keys are the sessions themselves.
//! (It seals nothing: its keys are hexadecimal, for tests only.)

use std::fmt::Write as _;

use cloakroom_testkit::core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Limits, Owner, Page, Record, Removal, Result, Rotate,
    SessionBackend, SessionError, SessionId, SessionKey, State, Timestamp, Touch, Version, Write,
};

#[derive(Clone, Debug)]
pub(crate) struct Open {
    clock: Clock,
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
    SessionKey::sealed(text, id)
}

fn decode(key: &SessionKey) -> Option<(SessionId, Record)> {
    let mut rest = key.expose();
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
    Some((SessionId::from_bytes(id.as_slice().try_into().ok()?), record))
}

impl Open {
    fn live(&self, key: &SessionKey) -> Option<(SessionId, Record)> {
        decode(key).filter(|(_, record)| !record.is_expired(self.clock.now()))
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
        Capability::sealed(8_000, 3_000)
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        Ok(self.live(key).map(|(_, record)| record))
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check(&record, how.limits, "write")?;
        let id = decode(key).map_or_else(|| key.id(), |(id, _)| id);
        Ok(encode(key, id, &record))
    }

    async fn rotate(
        &self,
        _old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check(&record, how.limits, "rotate")?;
        Ok(encode(new, new.id(), &record))
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let Some((id, mut record)) = self.live(key) else { return Ok(None) };
        if record.version == how.version {
            record.accessed_at = self.clock.now();
            record.expires_at = record.expires_at.map(|end| end.max(how.expires_at));
        }
        Ok(Some(encode(key, id, &record)))
    }

    async fn remove(&self, _key: &SessionKey, _reason: Removal) -> Result<bool> {
        refuse(ErrorKind::Unsupported, "remove")
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

cloakroom_testkit::conformance!(open, |clock| async move { Open { clock } });

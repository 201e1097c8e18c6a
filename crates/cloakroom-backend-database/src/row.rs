//! Between the types of core and the values of rows and parameters.

use cloakroom_core::{
    Cursor, Entry, ErrorKind, Filter, Owner, Record, Result, Scope, ScopeFilter, SessionError, SessionId,
    SessionKey, State, Timestamp, Version,
};

use crate::database::{Row, Value};
use crate::error::{Trouble, refuse};

/// A scope and an id.
#[derive(PartialEq)]
pub(crate) struct Place {
    pub(crate) scope: Option<Scope>,
    pub(crate) id: SessionId,
}

impl Place {
    pub(crate) fn of(key: &SessionKey) -> Self {
        Self { scope: key.scope().cloned(), id: key.id() }
    }

    /// The empty text stands for no scope; no scope is empty.
    pub(crate) fn scope(&self) -> &str {
        self.scope.as_ref().map_or("", Scope::as_str)
    }

    pub(crate) fn values(&self) -> Vec<Value> {
        vec![self.scope().into(), Value::from(&*self.id.as_text())]
    }

    pub(crate) fn expecting(&self, version: Version, now: Timestamp) -> Vec<Value> {
        let mut values = self.values();
        values.extend([integer(version), now.as_millis().into()]);
        values
    }
}

/// What a probe shows.
pub(crate) struct Found {
    pub(crate) version: Version,
    pub(crate) state: State,
    pub(crate) owner: Option<String>,
}

impl Found {
    pub(crate) fn decode(row: Row) -> Result<Self, Trouble> {
        let mut row = Columns(row.into_iter());
        Ok(Self { version: row.version()?, state: row.state()?, owner: row.text()? })
    }
}

pub(crate) fn integer(version: Version) -> Value {
    Value::Integer(i64::try_from(version.as_u64()).ok())
}

pub(crate) fn owner_of(record: &Record) -> Value {
    Value::Text(record.owner.as_ref().map(|owner| owner.as_str().to_owned()))
}

/// The columns after scope and id, in their order.
pub(crate) fn fields(record: &Record) -> Vec<Value> {
    vec![
        i64::from(record.state.code()).into(),
        integer(record.version),
        owner_of(record),
        record.created_at.as_millis().into(),
        record.accessed_at.as_millis().into(),
        Value::Integer(record.expires_at.map(Timestamp::as_millis)),
        Value::Bytes(record.payload.clone()),
    ]
}

/// Reads a row from left to right. What was not written by this crate is `Corrupted`.
pub(crate) struct Columns(pub(crate) std::vec::IntoIter<Value>);

pub(crate) fn damaged() -> SessionError {
    refuse(ErrorKind::Corrupted, "read", "a row holds what was never written there")
}

impl Columns {
    pub(crate) fn integer(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(value),
            _ => Err(damaged()),
        }
    }

    pub(crate) fn text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            _ => Err(damaged()),
        }
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.integer()?.map(Timestamp::from_millis).ok_or_else(damaged)
    }

    pub(crate) fn version(&mut self) -> Result<Version> {
        let version = self.integer()?.and_then(|version| u64::try_from(version).ok());
        version.map(Version::from_u64).ok_or_else(damaged)
    }

    pub(crate) fn state(&mut self) -> Result<State> {
        let code = self.integer()?.and_then(|code| u8::try_from(code).ok());
        code.and_then(State::from_code).ok_or_else(damaged)
    }

    /// All but the payload.
    pub(crate) fn record(&mut self) -> Result<Record> {
        let (state, version) = (self.state()?, self.version()?);
        let owner = self.text()?.map(|owner| Owner::parse(&owner)).transpose().map_err(|_| damaged())?;
        let created_at = self.time()?;
        Ok(Record::new("", created_at)
            .with_state(state)
            .with_version(version)
            .with_owner(owner)
            .with_accessed_at(self.time()?)
            .with_expires_at(self.integer()?.map(Timestamp::from_millis)))
    }

    pub(crate) fn payload_into(&mut self, record: &mut Record) -> Result<()> {
        match self.0.next() {
            Some(Value::Bytes(payload)) => record.payload = payload,
            _ => return Err(damaged()),
        }
        Ok(())
    }

    pub(crate) fn entry(&mut self, payload: bool) -> Result<Entry> {
        let mut record = self.record()?;
        let scope = self.text()?.filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| Scope::parse(&scope)).transpose().map_err(|_| damaged())?;
        let id = self.text()?.and_then(|id| id.parse().ok()).ok_or_else(damaged)?;
        if payload {
            self.payload_into(&mut record)?;
        }
        Ok(Entry::new(id, scope, record))
    }
}

pub(crate) fn number(rows: &[Row]) -> Result<i64, SessionError> {
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(Some(number))) => Ok(*number),
        _ => Err(damaged()),
    }
}

/// The parameters of a filter, in the order of its statements.
pub(crate) fn filtered(filter: &Filter, now: Timestamp) -> Vec<Value> {
    let except = filter.except.map_or_else(|| Value::from(""), |id| Value::from(&*id.as_text()));
    let mut values = vec![now.as_millis().into(), except];
    match &filter.scope {
        ScopeFilter::Any => {}
        ScopeFilter::Is(scope) => values.push(scope.as_str().into()),
        _ => values.push("".into()),
    }
    values.extend(filter.owner.as_ref().map(|owner| Value::from(owner.as_str())));
    values
}

pub(crate) fn to_cursor(entry: &Entry) -> Cursor {
    let scope = entry.scope.as_ref().map_or("", Scope::as_str);
    Cursor::new([entry.id.as_text().as_bytes(), scope.as_bytes()].concat())
}

/// The scope and id after which to go on.
pub(crate) fn from_cursor(cursor: Option<&Cursor>) -> Result<(String, String)> {
    let Some(cursor) = cursor else { return Ok(Default::default()) };
    let text = std::str::from_utf8(cursor.as_bytes()).ok();
    let parts = text.and_then(|text| text.split_at_checked(cloakroom_core::KEY_LENGTH));
    let (id, scope) =
        parts.ok_or_else(|| refuse(ErrorKind::InvalidKey, "scan", "not a cursor of this backend"))?;
    Ok((scope.to_owned(), id.to_owned()))
}

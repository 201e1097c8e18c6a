//! Writes and rotations: one statement each where one is enough, a transaction where it is not.

use cloakroom_core::{ErrorKind, Limits, Mode, Owner, Record, Result, Rotate, State, Timestamp, Write};

use crate::backend::DatabaseSessionBackend;
use crate::database::{DatabaseError, DatabaseTransaction, Failure, Row, SessionDatabase, Statement, Value};
use crate::dialect::{Guarded, slot};
use crate::error::{Trouble, refuse, verdict};
use crate::row::{Found, Place, fields, integer, number, owner_of};

impl DatabaseSessionBackend {
    /// What is unexpired there, without its payload.
    pub(crate) async fn probe(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        now: Timestamp,
    ) -> Result<Option<Found>, Trouble> {
        let statement = match via {
            Via::Once(_) => &self.0.statements.probe,
            Via::Inside(_) => &self.0.statements.probe_locking,
        };
        let mut values = at.values();
        values.push(now.as_millis().into());
        via.fetch(statement, values).await?.into_iter().next().map(Found::decode).transpose()
    }

    /// Writes if the mode lets it; says whether it did.
    async fn put(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        mode: Mode,
        now: Timestamp,
    ) -> Result<bool, Trouble> {
        let statements = &self.0.statements;
        let conditions = vec![now.as_millis().into(), integer(record.version)];
        match mode {
            Mode::Create => guarded(via, &statements.create, at, record, conditions[..1].to_vec()).await,
            Mode::Newer => guarded(via, &statements.newer, at, record, conditions).await,
            Mode::Overwrite => {
                via.execute(&statements.overwrite, [at.values(), fields(record)].concat()).await?;
                Ok(true)
            }
            Mode::Update(expected) => {
                let values = [fields(record), at.expecting(expected, now)].concat();
                Ok(via.execute(&statements.update, values).await? > 0)
            }
            _ => Err(verdict(ErrorKind::Unsupported, "write")),
        }
    }

    /// One statement; a second one only to learn why it did nothing.
    pub(crate) async fn write_once(
        &self,
        at: &Place,
        record: &Record,
        mode: Mode,
        again: bool,
    ) -> Result<(), Trouble> {
        let now = self.now();
        if self.put(&mut self.once(), at, record, mode, now).await? {
            return Ok(());
        }
        let found = self.probe(&mut self.once(), at, now).await?;
        match admit(found.as_ref(), record, mode, again, "write")? {
            Admitted::Done => Ok(()),
            Admitted::Yes => Err(changed_meanwhile()),
        }
    }

    pub(crate) async fn write_limited(
        &self,
        at: &Place,
        record: &Record,
        how: Write,
        again: bool,
    ) -> Result<(), Trouble> {
        let now = self.now();
        if let Mode::Update(expected) = how.mode {
            // Limits matter only if the owner changes, which it hardly ever does.
            let mut values = [fields(record), at.expecting(expected, now)].concat();
            values.push(owner_of(record));
            if self.once().execute(&self.0.statements.update_same_owner, values).await? > 0 {
                return Ok(());
            }
        }
        let mut transaction = self.0.database.begin().await?;
        let mut via = Via::Inside(transaction.as_mut());
        let written = async {
            self.lock(&mut via, at, record, how.limits).await?;
            let found = self.probe(&mut via, at, now).await?;
            if let Admitted::Done = admit(found.as_ref(), record, how.mode, again, "write")? {
                return Ok(());
            }
            if !self.put(&mut via, at, record, how.mode, now).await? {
                return Err(changed_meanwhile());
            }
            let owner = record.owner.as_ref().map(Owner::as_str);
            if found.is_none_or(|found| found.state != State::Live || found.owner.as_deref() != owner) {
                self.check_limits(&mut via, at, record, how.limits, now, "write").await?;
            }
            Ok(())
        }
        .await;
        finish(transaction, written).await
    }

    /// Excludes every other writer that counts what is counted here. Statements after it see what those committed.
    async fn lock(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        limits: Limits,
    ) -> Result<(), Trouble> {
        let Some(lock) = &self.0.statements.lock else { return Ok(()) };
        let by_scope = limits.per_scope.map(|_| slot(at.scope(), None));
        let by_owner = limits.per_owner.and(record.owner.as_ref());
        let by_owner = by_owner.map(|owner| slot(at.scope(), Some(owner.as_str())));
        let mut slots: Vec<i64> = by_scope.into_iter().chain(by_owner).collect();
        // In one order, so that two never wait for each other.
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            via.execute(lock, vec![slot.into()]).await?;
        }
        Ok(())
    }

    /// After the write, in its transaction: whether too many others are beside it.
    async fn check_limits(
        &self,
        via: &mut Via<'_>,
        at: &Place,
        record: &Record,
        limits: Limits,
        now: Timestamp,
        operation: &'static str,
    ) -> Result<(), Trouble> {
        let statements = &self.0.statements;
        let owned = limits.per_owner.zip(record.owner.as_ref());
        let checks = [
            owned.map(|(limit, owner)| (limit, &statements.others_of_owner, Some(owner.as_str()))),
            limits.per_scope.map(|limit| (limit, &statements.others_in_scope, None)),
        ];
        for (limit, statement, owner) in checks.into_iter().flatten() {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut values = at.values();
            values.push(now.as_millis().into());
            values.extend(owner.map(Value::from));
            values.push(limit.into());
            if number(&via.fetch(statement, values).await?)? >= limit {
                return Err(verdict(ErrorKind::QuotaExceeded, operation));
            }
        }
        Ok(())
    }

    /// Moves the row itself to the new id, so that whoever waits to delete it finds it there.
    async fn rotate_once(
        &self,
        from: &Place,
        to: &Place,
        record: &Record,
        how: &Rotate,
    ) -> Result<bool, Trouble> {
        let (now, statements) = (self.now(), &self.0.statements);
        let moving = [to.values(), fields(record), from.expecting(how.expected, now)].concat();
        let limited = !how.limits.is_none() && record.is_live();
        let trail = how.trail.as_ref().map(|trail| [from.values(), fields(trail)].concat());
        let (statement, values, trail) = match (&statements.rotate_with_trail, trail) {
            (Some(both), Some(trail)) => (both, [moving, trail].concat(), None),
            (_, trail) => (&statements.rotate, moving, trail),
        };
        if !limited && trail.is_none() {
            return Ok(self.once().execute(statement, values).await? > 0);
        }
        let mut transaction = self.0.database.begin().await?;
        let mut via = Via::Inside(transaction.as_mut());
        let moved = async {
            if limited {
                self.lock(&mut via, to, record, how.limits).await?;
            }
            if via.execute(statement, values).await? == 0 {
                return Ok(false);
            }
            if let Some(trail) = trail {
                via.execute(&statements.overwrite, trail).await?;
            }
            if limited {
                self.check_limits(&mut via, to, record, how.limits, now, "rotate").await?;
            }
            Ok(true)
        }
        .await;
        finish(transaction, moved).await
    }

    pub(crate) async fn rotate_settled(
        &self,
        from: &Place,
        to: &Place,
        record: &Record,
        how: &Rotate,
        again: bool,
    ) -> Result<(), Trouble> {
        if from == to {
            let found = self.probe(&mut self.once(), from, self.now()).await?;
            admit(found.as_ref(), record, Mode::Update(how.expected), false, "rotate")?;
            return Err(verdict(ErrorKind::AlreadyExists, "rotate"));
        }
        let moved = match self.rotate_once(from, to, record, how).await {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(trouble) if trouble.failure() == Some(Failure::Duplicate) => Some(()),
            Err(trouble) => return Err(trouble),
        };
        let now = self.now();
        let there = self.probe(&mut self.once(), to, now).await?;
        if again && there.as_ref().is_some_and(|there| there.version == record.version) {
            return Ok(());
        }
        match (moved, there) {
            (Some(()), Some(_)) => return Err(verdict(ErrorKind::AlreadyExists, "rotate")),
            (Some(()), None) => {
                // Something expired is in the way.
                let mut values = to.values();
                values.push(now.as_millis().into());
                self.once().execute(&self.0.statements.remove_expired, values).await?;
            }
            (None, _) => {
                let found = self.probe(&mut self.once(), from, now).await?;
                admit(found.as_ref(), record, Mode::Update(how.expected), again, "rotate")?;
            }
        }
        Err(changed_meanwhile())
    }
}

/// By itself, or inside a transaction.
pub(crate) enum Via<'a> {
    Once(&'a dyn SessionDatabase),
    Inside(&'a mut dyn DatabaseTransaction),
}

impl Via<'_> {
    pub(crate) async fn execute(
        &mut self,
        statement: &Statement,
        values: Vec<Value>,
    ) -> Result<u64, DatabaseError> {
        match self {
            Self::Once(database) => database.execute(statement, values).await,
            Self::Inside(transaction) => transaction.execute(statement, values).await,
        }
    }

    async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        match self {
            Self::Once(database) => database.fetch(statement, values).await,
            Self::Inside(transaction) => transaction.fetch(statement, values).await,
        }
    }
}

/// Commits what succeeded and undoes the rest. What broke with its connection is undone by the server.
async fn finish<T>(
    transaction: Box<dyn DatabaseTransaction>,
    result: Result<T, Trouble>,
) -> Result<T, Trouble> {
    match &result {
        Ok(_) => transaction.commit().await?,
        Err(trouble) if trouble.failure() == Some(Failure::Lost) => drop(transaction),
        Err(_) => {
            let _ = transaction.rollback().await;
        }
    }
    result
}

async fn guarded(
    via: &mut Via<'_>,
    statements: &Guarded,
    at: &Place,
    record: &Record,
    conditions: Vec<Value>,
) -> Result<bool, Trouble> {
    let inserted = [at.values(), fields(record)].concat();
    let Some(over) = &statements.over else {
        return Ok(via.execute(&statements.insert, [inserted, conditions].concat()).await? > 0);
    };
    match via.execute(&statements.insert, inserted).await {
        Err(error) if error.failure() == Failure::Duplicate => {
            let values = [fields(record), at.values(), conditions].concat();
            Ok(via.execute(over, values).await? > 0)
        }
        inserted => Ok(inserted? > 0),
    }
}

enum Admitted {
    Yes,
    /// It is there already.
    Done,
}

/// Whether the mode lets the record in. After an attempt whose outcome is unknown (`again`), finding our own version
/// means that it took effect; another version instead of the expected one does not tell who came first.
fn admit(
    found: Option<&Found>,
    record: &Record,
    mode: Mode,
    again: bool,
    operation: &'static str,
) -> Result<Admitted, Trouble> {
    let refused = |kind| Err(verdict(kind, operation));
    let ours = found.is_some_and(|found| found.version == record.version);
    match (mode, found) {
        (Mode::Create | Mode::Update(_), _) if again && ours => Ok(Admitted::Done),
        (Mode::Newer, _) if ours => Ok(Admitted::Done),
        (Mode::Create, Some(_)) => refused(ErrorKind::AlreadyExists),
        (Mode::Update(_), None) => refused(ErrorKind::Gone),
        (Mode::Update(_), Some(found)) if found.state != State::Live => refused(ErrorKind::Gone),
        (Mode::Update(expected), Some(found)) if found.version != expected => {
            if again {
                let message = "the connection broke; whether the write took effect is unknown";
                return Err(refuse(ErrorKind::Unavailable, operation, message).into());
            }
            refused(ErrorKind::Conflict)
        }
        (Mode::Newer, Some(found)) if found.state == State::Ended || found.version > record.version => {
            refused(ErrorKind::Conflict)
        }
        _ => Ok(Admitted::Yes),
    }
}

fn changed_meanwhile() -> Trouble {
    DatabaseError::new(Failure::Contention, "the row changed meanwhile").into()
}

//! A database by trait, without sqlx: PostgreSQL through tokio-postgres, in one connection.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom_backend_database::{
    DatabaseError, DatabaseSessionBackend, DatabaseTransaction, Dialect, Failure, Kind, Row, SessionDatabase,
    Statement, Value,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls};

#[derive(Debug)]
struct OneConnection(Arc<Mutex<Client>>);

struct Open(Option<OwnedMutexGuard<Client>>);

fn failed(error: &tokio_postgres::Error) -> DatabaseError {
    let code = error.code().map_or("", |code| code.code()).to_owned();
    let failure = match &*code {
        "40001" | "40P01" => Failure::Contention,
        "23505" => Failure::Duplicate,
        "42P01" => Failure::MissingTable,
        "42703" => Failure::ForeignTable,
        _ if error.is_closed() => Failure::Lost,
        _ => Failure::Other,
    };
    DatabaseError::new(failure, format!("postgres {code}"))
}

async fn run(
    client: &Client,
    statement: &Statement,
    values: &[Value],
) -> Result<(u64, Vec<Row>), DatabaseError> {
    if statement.is_ddl() {
        return client
            .batch_execute(statement.sql())
            .await
            .map(|()| (0, vec![]))
            .map_err(|error| failed(&error));
    }
    let bytes: Vec<Vec<u8>> = values
        .iter()
        .map(|value| if let Value::Bytes(bytes) = value { bytes.to_vec() } else { vec![] })
        .collect();
    let typed = values.iter().zip(&bytes).map(|(value, bytes)| match value {
        Value::Integer(number) => (number as &(dyn ToSql + Sync), Type::INT8),
        Value::Text(text) => (text as _, Type::TEXT),
        Value::Bytes(_) => (bytes as _, Type::BYTEA),
    });
    let (values, types): (Vec<_>, Vec<_>) = typed.unzip();
    let prepared = client.prepare_typed(statement.sql(), &types).await.map_err(|error| failed(&error))?;
    if statement.columns().is_empty() {
        return client
            .execute(&prepared, &values)
            .await
            .map(|rows| (rows, vec![]))
            .map_err(|error| failed(&error));
    }
    let rows = client.query(&prepared, &values).await.map_err(|error| failed(&error))?;
    let column = |row: &tokio_postgres::Row, index: usize, kind: &Kind| match kind {
        Kind::Integer => Value::Integer(row.get(index)),
        Kind::Text => Value::Text(row.get(index)),
        Kind::Bytes => Value::Bytes(Bytes::from(row.get::<_, Vec<u8>>(index))),
    };
    let kinds = || statement.columns().iter().enumerate();
    Ok((0, rows.iter().map(|row| kinds().map(|(index, kind)| column(row, index, kind)).collect()).collect()))
}

#[async_trait]
impl SessionDatabase for OneConnection {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute(&self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError> {
        Ok(run(&*self.0.lock().await, statement, &values).await?.0)
    }

    async fn fetch(&self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        Ok(run(&*self.0.lock().await, statement, &values).await?.1)
    }

    async fn begin(&self) -> Result<Box<dyn DatabaseTransaction>, DatabaseError> {
        let open = Open(Some(self.0.clone().lock_owned().await));
        open.control(self.dialect().begin()).await?;
        Ok(Box::new(open))
    }

    async fn close(&self) {}
}

impl Open {
    fn client(&self) -> &Client {
        self.0.as_deref().expect("an open transaction")
    }

    async fn control(&self, sql: &str) -> Result<(), DatabaseError> {
        self.client().batch_execute(sql).await.map_err(|error| failed(&error))
    }
}

#[async_trait]
impl DatabaseTransaction for Open {
    async fn execute(&mut self, statement: &Statement, values: Vec<Value>) -> Result<u64, DatabaseError> {
        Ok(run(self.client(), statement, &values).await?.0)
    }

    async fn fetch(&mut self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        Ok(run(self.client(), statement, &values).await?.1)
    }

    async fn commit(mut self: Box<Self>) -> Result<(), DatabaseError> {
        self.control("COMMIT").await?;
        self.0 = None;
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), DatabaseError> {
        self.control("ROLLBACK").await?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            tokio::spawn(async move { client.batch_execute("ROLLBACK").await });
        }
    }
}

async fn connect(clock: cloakroom_core::Clock) -> Option<DatabaseSessionBackend> {
    let url = cloakroom_testkit::service("postgres")?;
    crate::place::postgres_url().await?;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    let database = OneConnection(Arc::new(Mutex::new(client)));
    let builder = DatabaseSessionBackend::from_database(database)
        .with_clock(clock)
        .with_schema(crate::place::own_name())
        .with_table(crate::place::table());
    Some(crate::place::ready(builder).await)
}

cloakroom_testkit::conformance!(custom_database, optional connect);

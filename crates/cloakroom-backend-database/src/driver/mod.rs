//! The sqlx drivers: one body, and a file of differences for each.

#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::time::Duration;

use crate::database::{DatabaseError, Failure};

/// What a pool of our own is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSettings {
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Duration,
}

/// A URL may hold a password: nothing of it is repeated.
pub(crate) fn unreadable_url() -> DatabaseError {
    DatabaseError::new(Failure::Refused, "the URL cannot be parsed")
}

/// Implements [`SessionDatabase`](crate::SessionDatabase) on an sqlx pool, as `Pooled`.
///
/// `discard`: whether a connection whose statement was abandoned is closed. It may hang on a dead network for as
/// long as the kernel waits, and sqlx would hold its place in the pool while it tests it.
macro_rules! driver {
    ($database:ident, $dialect:expr, $pool:ty, discard: $discard:expr) => {
        use std::sync::Arc;

        use async_trait::async_trait;
        use sqlx::pool::PoolConnection;
        use sqlx::query::Query;
        use sqlx::{AssertSqlSafe, Database, Executor, Row as _};
        use tokio::sync::{Mutex, OwnedMutexGuard};

        use crate::database::{
            DatabaseError, DatabaseTransaction, Failure, Kind, Row, SessionDatabase, Statement, Value,
        };
        use crate::dialect::Dialect;
        use crate::error::from_sqlx;

        const DIALECT: Dialect = $dialect;

        type Arguments = <sqlx::$database as Database>::Arguments;

        fn failed(error: sqlx::Error) -> DatabaseError {
            from_sqlx(DIALECT, &error)
        }

        fn query(statement: &Statement, values: Vec<Value>) -> Query<'static, sqlx::$database, Arguments> {
            let query = sqlx::query(AssertSqlSafe(statement.sql().clone()));
            values.into_iter().fold(query, |query, value| match value {
                Value::Integer(value) => query.bind(value),
                Value::Text(value) => query.bind(text_to_sql(value)),
                Value::Bytes(value) => query.bind(Vec::from(value)),
            })
        }

        fn decode(
            statement: &Statement,
            row: &<sqlx::$database as Database>::Row,
        ) -> Result<Row, DatabaseError> {
            let column = |(index, kind): (usize, &Kind)| match kind {
                Kind::Integer => row.try_get(index).map(Value::Integer).map_err(failed),
                Kind::Text => text_from_sql(row.try_get(index).map_err(failed)?).map(Value::Text),
                Kind::Bytes => {
                    row.try_get::<Vec<u8>, _>(index).map(|bytes| Value::Bytes(bytes.into())).map_err(failed)
                }
            };
            statement.columns().iter().enumerate().map(column).collect()
        }

        #[derive(Debug)]
        pub(crate) struct Pooled {
            pool: $pool,
            /// Where there can be one writer only, the others wait here, in order.
            writers: Option<Arc<Mutex<()>>>,
        }

        impl Pooled {
            async fn lease(&self, writes: bool) -> Result<Lease, DatabaseError> {
                let turn = match &self.writers {
                    Some(writers) if writes => Some(writers.clone().lock_owned().await),
                    _ => None,
                };
                let connection = self.pool.acquire().await.map_err(failed)?;
                Ok(Lease {
                    connection: Some(connection),
                    settled: true,
                    in_transaction: false,
                    pool: self.pool.clone(),
                    turn,
                })
            }
        }

        #[async_trait]
        impl SessionDatabase for Pooled {
            fn dialect(&self) -> Dialect {
                DIALECT
            }

            async fn execute(
                &self,
                statement: &Statement,
                values: Vec<Value>,
            ) -> Result<u64, DatabaseError> {
                self.lease(true).await?.execute(statement, values).await
            }

            async fn fetch(
                &self,
                statement: &Statement,
                values: Vec<Value>,
            ) -> Result<Vec<Row>, DatabaseError> {
                self.lease(false).await?.fetch(statement, values).await
            }

            async fn begin(&self) -> Result<Box<dyn DatabaseTransaction>, DatabaseError> {
                let mut lease = self.lease(true).await?;
                // In doubt there is one to be undone.
                lease.in_transaction = true;
                lease.control(DIALECT.begin()).await?;
                Ok(Box::new(lease))
            }

            async fn close(&self) {
                self.pool.close().await;
            }
        }

        /// A connection in use. What is abandoned half-way does not go back as if nothing were.
        struct Lease {
            /// Always there until it is dropped.
            connection: Option<PoolConnection<sqlx::$database>>,
            settled: bool,
            in_transaction: bool,
            pool: $pool,
            turn: Option<OwnedMutexGuard<()>>,
        }

        impl Lease {
            fn connection(&mut self) -> Result<&mut PoolConnection<sqlx::$database>, DatabaseError> {
                self.settled = false;
                self.connection.as_mut().ok_or_else(|| DatabaseError::new(Failure::Other, "no connection"))
            }

            async fn control(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
                let done = self.connection()?.execute(sqlx::raw_sql(sql)).await;
                self.settle(done).map(drop)
            }

            fn settle<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, DatabaseError> {
                let result = result.map_err(failed);
                let lost = matches!(&result, Err(error) if error.failure() == Failure::Lost);
                self.settled = !lost;
                if lost && $discard {
                    // Where one connection broke, the idle ones are most likely broken too.
                    while let Some(idle) = self.pool.try_acquire() {
                        drop(idle.detach());
                    }
                }
                result
            }
        }

        #[async_trait]
        impl DatabaseTransaction for Lease {
            async fn execute(
                &mut self,
                statement: &Statement,
                values: Vec<Value>,
            ) -> Result<u64, DatabaseError> {
                let connection = self.connection()?;
                let done = if statement.is_ddl() {
                    let sql = AssertSqlSafe(statement.sql().clone());
                    connection.execute(sqlx::raw_sql(sql)).await
                } else {
                    connection.execute(query(statement, values)).await
                };
                self.settle(done).map(|done| done.rows_affected())
            }

            async fn fetch(
                &mut self,
                statement: &Statement,
                values: Vec<Value>,
            ) -> Result<Vec<Row>, DatabaseError> {
                let rows = self.connection()?.fetch_all(query(statement, values)).await;
                self.settle(rows)?.iter().map(|row| decode(statement, row)).collect()
            }

            async fn commit(mut self: Box<Self>) -> Result<(), DatabaseError> {
                self.control("COMMIT").await?;
                self.in_transaction = false;
                Ok(())
            }

            async fn rollback(mut self: Box<Self>) -> Result<(), DatabaseError> {
                self.control("ROLLBACK").await?;
                self.in_transaction = false;
                Ok(())
            }
        }

        impl Drop for Lease {
            fn drop(&mut self) {
                if self.settled && !self.in_transaction {
                    return;
                }
                let Some(mut connection) = self.connection.take() else { return };
                if $discard {
                    // At once: to take leave of a server that does not answer holds the place too.
                    drop(connection.detach());
                } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    let turn = self.turn.take();
                    runtime.spawn(async move {
                        // Fails where there is nothing to undo.
                        let _ = connection.execute(sqlx::raw_sql("ROLLBACK")).await;
                        drop(turn);
                    });
                }
            }
        }
    };
}

pub(crate) use driver;

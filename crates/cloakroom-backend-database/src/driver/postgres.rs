//! PostgreSQL.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::{PoolSettings, unreadable_url};

super::driver!(Postgres, Dialect::Postgres, PgPool, discard: true);

fn text_to_sql(text: Option<String>) -> Option<String> {
    text
}

fn text_from_sql(text: Option<String>) -> Result<Option<String>, DatabaseError> {
    Ok(text)
}

pub(crate) async fn open(url: &str, settings: PoolSettings) -> Result<Pooled, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| unreadable_url())?;
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(from_pool(pool))
}

pub(crate) fn from_pool(pool: PgPool) -> Pooled {
    Pooled { pool, writers: None }
}

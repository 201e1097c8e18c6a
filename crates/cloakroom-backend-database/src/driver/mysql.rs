//! MySQL and MariaDB.

use std::str::FromStr;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use super::{PoolSettings, unreadable_url};

super::driver!(MySql, Dialect::MySql, MySqlPool, discard: true);

/// Text is `VARBINARY` there: no collation folds case, and no comparison ignores spaces at the end.
fn text_to_sql(text: Option<String>) -> Option<Vec<u8>> {
    text.map(String::into_bytes)
}

fn text_from_sql(text: Option<Vec<u8>>) -> Result<Option<String>, DatabaseError> {
    text.map(String::from_utf8).transpose().map_err(|_| DatabaseError::new(Failure::Other, "decode"))
}

pub(crate) async fn open(url: &str, settings: PoolSettings) -> Result<Pooled, DatabaseError> {
    let url = match url.strip_prefix("mariadb:") {
        Some(rest) => format!("mysql:{rest}"),
        None => url.to_owned(),
    };
    let options = MySqlConnectOptions::from_str(&url).map_err(|_| unreadable_url())?;
    let pool = MySqlPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(failed)?;
    Ok(from_pool(pool))
}

pub(crate) fn from_pool(pool: MySqlPool) -> Pooled {
    Pooled { pool, writers: None }
}

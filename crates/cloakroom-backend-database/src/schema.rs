//! The tables, and how they come about.

use cloakroom_core::{ErrorKind, Result};

use crate::Dialect;
use crate::database::{DatabaseError, DatabaseTransaction, Failure, Kind, SessionDatabase, Statement, Value};
use crate::dialect::{Names, slot};
use crate::error::{Trouble, refuse};

/// The newest version this code knows.
const VERSION: i64 = 1;

/// What to run, in this order, for a table of that name: exactly what
/// [`migrate`](crate::DatabaseSessionBackend::migrate) runs on an empty database. For those who let nobody but
/// themselves create tables; `migrate` then finds nothing to do.
///
/// # Errors
/// `InvalidConfig` when a name is not usable, or a schema is named where there are none.
///
/// ```
/// use cloakroom_backend_database::{Dialect, schema_sql};
///
/// let sql = schema_sql(Dialect::Postgres, "cloakroom_session", Some("web"))?;
/// assert!(sql.contains(r#"CREATE TABLE IF NOT EXISTS "web"."cloakroom_session" ("#));
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
pub fn schema_sql(dialect: Dialect, table: &str, schema: Option<&str>) -> Result<String> {
    let names = Names::new(dialect, table, schema)?;
    let mut sql = create_migration_table(&names);
    for statement in migrations(&names).into_iter().flatten() {
        sql.push_str(";\n\n");
        sql.push_str(&statement);
    }
    sql.push_str(";\n");
    Ok(sql)
}

fn create_migration_table(names: &Names) -> String {
    let (migration, tail) = (&names.migration, tail(names.dialect));
    format!("CREATE TABLE IF NOT EXISTS {migration} (version BIGINT NOT NULL PRIMARY KEY){tail}")
}

fn tail(dialect: Dialect) -> &'static str {
    if dialect == Dialect::MySql { " ENGINE=InnoDB" } else { "" }
}

/// The statements of each version. MySQL commits after each, so each must bear being repeated.
fn migrations(names: &Names) -> Vec<Vec<String>> {
    let Names { dialect, plain, table, lock, migration } = names;
    let quote = dialect.syntax().quote;
    let (id, scope, owner, payload) = match dialect {
        Dialect::Sqlite => ("TEXT", "TEXT", "TEXT", "BLOB"),
        Dialect::Postgres => (r#"TEXT COLLATE "C""#, r#"TEXT COLLATE "C""#, r#"TEXT COLLATE "C""#, "BYTEA"),
        // Bytes: what has no collation compares byte for byte, spaces at the end included.
        Dialect::MySql => ("VARBINARY(43)", "VARBINARY(255)", "VARBINARY(255)", "LONGBLOB"),
    };
    let index = |name: &str, columns: &str| match dialect {
        Dialect::MySql => format!(",\n    INDEX {quote}{plain}_{name}{quote} ({columns})"),
        _ => format!("CREATE INDEX IF NOT EXISTS {quote}{plain}_{name}{quote} ON {table} ({columns})"),
    };
    let (expires, owners) = (index("expires", "expires_at"), index("owner", "owner, scope"));
    let (inside, after) = match dialect {
        Dialect::MySql => (format!("{expires}{owners}"), vec![]),
        _ => (String::new(), vec![expires, owners]),
    };
    let tail = tail(*dialect);
    let mut first = vec![format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    scope {scope} NOT NULL DEFAULT '',
    id {id} NOT NULL,
    state SMALLINT NOT NULL,
    version BIGINT NOT NULL,
    owner {owner} NULL,
    created_at BIGINT NOT NULL,
    accessed_at BIGINT NOT NULL,
    expires_at BIGINT NULL,
    payload {payload} NOT NULL,
    PRIMARY KEY (scope, id){inside}
){tail}"
    )];
    first.extend(after);
    first.push(format!("CREATE TABLE IF NOT EXISTS {lock} (slot BIGINT NOT NULL PRIMARY KEY){tail}"));
    first.push(format!("INSERT INTO {migration} (version) VALUES (1)"));
    vec![first]
}

const NUMBER: &[Kind] = &[Kind::Integer];

/// Brings the tables to the newest version. See `DatabaseSessionBackend::migrate`.
pub(crate) async fn migrate(database: &dyn SessionDatabase, names: &Names) -> Result<(), Trouble> {
    let version =
        Statement::new(format!("SELECT COALESCE(MAX(version), 0) FROM {}", names.migration), NUMBER);
    // The usual case takes one statement and no right to create anything.
    match database.fetch(&version, vec![]).await {
        Ok(rows) if check(&rows)? == VERSION => return Ok(()),
        Ok(_) => {}
        Err(error) if error.failure() == Failure::MissingTable => {}
        Err(error) => return Err(error.into()),
    }
    refuse_foreign_tables(database, names).await?;

    let mut transaction = database.begin().await?;
    match run(transaction.as_mut(), names, &version).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(trouble) => {
            let _ = transaction.rollback().await;
            Err(trouble)
        }
    }
}

fn check(rows: &[Vec<Value>]) -> Result<i64, Trouble> {
    let found = match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(Some(version))) => *version,
        _ => 0,
    };
    if found > VERSION {
        let message = "the tables are of a newer version than this program knows: update the program";
        return Err(refuse(ErrorKind::InvalidConfig, "migrate", message).into());
    }
    Ok(found)
}

/// Tables of these names that have other columns are somebody else's; they are left as they are.
async fn refuse_foreign_tables(database: &dyn SessionDatabase, names: &Names) -> Result<(), DatabaseError> {
    let columns = "scope, id, state, version, owner, created_at, accessed_at, expires_at, payload";
    for (table, columns) in [(&names.table, columns), (&names.lock, "slot")] {
        let probe = Statement::new(format!("SELECT {columns} FROM {table} WHERE 1 = 0"), &[]);
        match database.fetch(&probe, vec![]).await {
            Err(error) if error.failure() != Failure::MissingTable => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn run(
    transaction: &mut dyn DatabaseTransaction,
    names: &Names,
    version: &Statement,
) -> Result<(), Trouble> {
    // One at a time. SQLite's transactions exclude each other anyway.
    let name = Value::from(format!("cloakroom {}", names.plain).as_str());
    match names.dialect {
        Dialect::Sqlite => {}
        Dialect::Postgres => {
            let sql = "SELECT CAST(1 AS BIGINT) FROM pg_advisory_xact_lock($1)";
            let lock = i64::MIN + slot("migration", Some(&names.plain));
            transaction.fetch(&Statement::new(sql.to_owned(), NUMBER), vec![lock.into()]).await?;
        }
        Dialect::MySql => {
            let lock = Statement::new("SELECT GET_LOCK(?, 60)".to_owned(), NUMBER);
            if transaction.fetch(&lock, vec![name.clone()]).await?.concat() != [Value::from(1)] {
                return Err(DatabaseError::new(Failure::Contention, "migration lock").into());
            }
        }
    }
    let done = locked(transaction, names, version).await;
    if names.dialect == Dialect::MySql {
        // It belongs to the connection, not to the transaction.
        let unlock = Statement::new("SELECT RELEASE_LOCK(?)".to_owned(), NUMBER);
        transaction.fetch(&unlock, vec![name]).await?;
    }
    done
}

async fn locked(
    transaction: &mut dyn DatabaseTransaction,
    names: &Names,
    version: &Statement,
) -> Result<(), Trouble> {
    let statement = |sql: String| Statement::new(sql, &[]);
    transaction.execute(&statement(create_migration_table(names)), vec![]).await?;
    let found = check(&transaction.fetch(version, vec![]).await?)?;
    for (known, steps) in (1..).zip(migrations(names)) {
        if known <= found {
            continue;
        }
        for sql in steps {
            transaction.execute(&statement(sql), vec![]).await?;
        }
    }
    Ok(())
}

//! Tables: how they come about, and whose they are.

use cloakroom_backend_database::{DatabaseSessionBackend, Dialect, schema_sql};
use cloakroom_core::{ErrorKind, Filter, ManualClock, Record, SessionBackend, SessionKey, Write};
use futures_util::future::join_all;

use crate::place;

fn dialect(name: &str) -> Dialect {
    match name {
        "SQLite" => Dialect::Sqlite,
        "PostgreSQL" => Dialect::Postgres,
        _ => Dialect::MySql,
    }
}

/// Runs SQL as somebody else would.
async fn run(url: &str, sql: &str) {
    use sqlx::{AssertSqlSafe, Connection};
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match url.split_once(':').unwrap().0 {
        "sqlite" => {
            let url = format!("{url}?mode=rwc");
            sql.execute(&mut sqlx::SqliteConnection::connect(&url).await.unwrap()).await.map(drop)
        }
        "postgres" => sql.execute(&mut sqlx::PgConnection::connect(url).await.unwrap()).await.map(drop),
        _ => sql.execute(&mut sqlx::MySqlConnection::connect(url).await.unwrap()).await.map(drop),
    }
    .unwrap_or_else(|error| panic!("{error}"));
}

async fn count(url: &str, sql: &str) -> i64 {
    use sqlx::{AssertSqlSafe, Connection};
    let sql = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
    match url.split_once(':').unwrap().0 {
        "sqlite" => {
            let sql = sqlx::query_scalar(AssertSqlSafe(sqlx::Execute::sql(sql).as_str().to_owned()));
            sql.fetch_one(&mut sqlx::SqliteConnection::connect(url).await.unwrap()).await
        }
        "postgres" => {
            let sql = sqlx::query_scalar(AssertSqlSafe(sqlx::Execute::sql(sql).as_str().to_owned()));
            sql.fetch_one(&mut sqlx::PgConnection::connect(url).await.unwrap()).await
        }
        _ => sql.fetch_one(&mut sqlx::MySqlConnection::connect(url).await.unwrap()).await,
    }
    .unwrap_or_else(|error| panic!("{error}"))
}

async fn works(backend: &DatabaseSessionBackend) {
    let at = SessionKey::generate().unwrap();
    let record = Record::new("{}", backend.clock().now());
    backend.write(&at, record.clone(), Write::create()).await.unwrap();
    assert_eq!(backend.read(&at).await.unwrap(), Some(record));
}

#[tokio::test]
async fn table_missing_invalid_config_names_migrate() {
    for (name, url) in place::urls().await {
        let backend = place::builder(&url).connect().await.unwrap();
        let error = backend.read(&SessionKey::generate().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {error:?}");
        assert!(error.to_string().contains("migrate()"), "{name}: {error}");
    }
}

#[tokio::test]
async fn schema_run_by_hand_accepted_and_identical() {
    for (name, url) in place::urls().await {
        let table = place::table();
        let sql = schema_sql(dialect(name), &table, None).unwrap();
        run(&url, &sql).await;
        let backend = DatabaseSessionBackend::builder(&url).with_table(&table).connect().await.unwrap();
        backend.migrate().await.unwrap();
        works(&backend).await;
        assert_eq!(count(&url, &format!("SELECT COUNT(*) FROM {table}_migration")).await, 1, "{name}");
        backend.close().await;
        let closed = backend.count(&Filter::everywhere()).await.unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::Unavailable, "{name}");
    }
}

#[tokio::test]
async fn migrate_by_many_at_once_once_done() {
    for (name, url) in place::urls().await {
        let table = place::table();
        let one = |_| async {
            let builder = DatabaseSessionBackend::builder(&url).with_table(&table).with_max_connections(2);
            let backend = builder.connect().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            backend.create_table().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            works(&backend).await;
        };
        join_all((0..8).map(one)).await;
        assert_eq!(count(&url, &format!("SELECT COUNT(*) FROM {table}_migration")).await, 1, "{name}");
    }
}

#[tokio::test]
async fn tables_of_a_newer_version_refused() {
    for (name, url) in place::urls().await {
        let table = place::table();
        let builder = || DatabaseSessionBackend::builder(&url).with_table(&table);
        place::ready(builder()).await;
        run(&url, &format!("INSERT INTO {table}_migration (version) VALUES (2)")).await;
        let error = builder().connect().await.unwrap().migrate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
        assert!(error.to_string().contains("newer version"), "{name}: {error}");
    }
}

#[tokio::test]
async fn table_of_somebody_else_refused_and_untouched() {
    for (name, url) in place::urls().await {
        for suffix in ["", "_lock", "_migration"] {
            let table = place::table();
            run(&url, &format!("CREATE TABLE {table}{suffix} (id INTEGER, note VARCHAR(20))")).await;
            run(&url, &format!("INSERT INTO {table}{suffix} VALUES (7, 'not yours')")).await;
            let backend = DatabaseSessionBackend::builder(&url).with_table(&table).connect().await.unwrap();
            let error = backend.migrate().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {error:?}");
            assert!(error.to_string().contains("belongs to something else"), "{name}: {error}");
            let untouched =
                format!("SELECT COUNT(*) FROM {table}{suffix} WHERE id = 7 AND note = 'not yours'");
            assert_eq!(count(&url, &untouched).await, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn names_that_could_be_sql_refused() {
    for (name, url) in place::urls().await {
        let long = "a".repeat(49);
        for table in ["", "a b", "1a", "a;b", "a\"b", "a`b", "a.b", "a-b", "ä", "a'", "a\0", &long] {
            let error = DatabaseSessionBackend::builder(&url).with_table(table).connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {table:?}");
            assert!(schema_sql(dialect(name), table, None).is_err());
            assert!(schema_sql(Dialect::Postgres, "fine", Some(table)).is_err());
        }
        assert!(schema_sql(Dialect::Sqlite, "fine", Some("web")).is_err());
        // The longest, one that is a keyword, and one that differs by case only.
        let longest = format!("{}{}", "a".repeat(40), place::next());
        let cased = format!("Order{}", place::next());
        for table in [longest.as_str(), "select", &cased] {
            works(&place::ready(DatabaseSessionBackend::builder(&url).with_table(table)).await).await;
        }
    }
}

#[tokio::test]
async fn url_of_no_database_refused() {
    for url in ["", "redis://localhost", "cloakroom", "postgres", "http://x"] {
        let error = DatabaseSessionBackend::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    }
    let builder = DatabaseSessionBackend::builder("postgres://x").with_full_sync(true);
    assert_eq!(builder.connect().await.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[tokio::test]
async fn schema_named_used_and_never_created() {
    let Some(url) = place::postgres_url().await else { return };
    let plain = cloakroom_testkit::service("postgres").unwrap();
    let builder = || place::builder(&plain).with_schema(place::own_name());
    works(&place::ready(builder()).await).await;
    let error = place::builder(&url).with_schema("nobody_made_this").connect().await.unwrap().migrate().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidConfig);
    let schemas = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'nobody_made_this'";
    assert_eq!(count(&url, schemas).await, 0);
}

/// Pools of the application's, whose connections live in another time zone.
#[tokio::test]
async fn pool_of_the_application_in_another_time_zone_accepted() {
    use sqlx::Executor;
    let mut builders = Vec::new();
    {
        let pool = sqlx::SqlitePool::connect(&format!("{}?mode=rwc", place::file_url())).await.unwrap();
        builders.push(DatabaseSessionBackend::from_sqlite_pool(pool));
    }
    if let Some(url) = place::postgres_url().await {
        let pool = sqlx::postgres::PgPoolOptions::new().after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET TIME ZONE 'Pacific/Chatham'").await.map(drop) })
        });
        builders.push(DatabaseSessionBackend::from_postgres_pool(pool.connect(&url).await.unwrap()));
    }
    if let Some(url) = place::mariadb_url().await {
        let pool = sqlx::mysql::MySqlPoolOptions::new().after_connect(|connection, _| {
            Box::pin(async move { connection.execute("SET time_zone = '+12:45'").await.map(drop) })
        });
        builders.push(DatabaseSessionBackend::from_mysql_pool(pool.connect(&url).await.unwrap()));
    }
    for builder in builders {
        let manual = ManualClock::new();
        let table = place::table();
        let backend = place::ready(builder.with_table(table).with_clock(manual.clock())).await;
        works(&backend).await;
        let at = SessionKey::generate().unwrap();
        let ends = manual.now() + std::time::Duration::from_millis(1_001);
        let record = Record::new("{}", manual.now()).with_expires_at(Some(ends));
        backend.write(&at, record, Write::create()).await.unwrap();
        manual.advance(std::time::Duration::from_millis(1_000));
        assert_eq!(backend.read(&at).await.unwrap().unwrap().expires_at, Some(ends), "{backend:?}");
        manual.advance(std::time::Duration::from_millis(1));
        assert_eq!(backend.read(&at).await.unwrap(), None, "{backend:?}");
    }
    {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let builder = DatabaseSessionBackend::from_sqlite_pool(pool).with_max_connections(3);
        assert_eq!(builder.connect().await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

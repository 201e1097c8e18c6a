//! What is in the tables, and what is not.

use bytes::Bytes;
use cloakroom_core::{
    ErrorKind, Filter, ManualClock, Owner, Record, Rotate, Scope, SessionBackend, SessionKey, Write,
};

use crate::place;

/// Everything a table holds, as bytes.
async fn dump(url: &str, table: &str) -> Vec<u8> {
    use sqlx::{AssertSqlSafe, Connection, Row};
    match url.split_once(':').unwrap().0 {
        "sqlite" => {
            let file = url.strip_prefix("sqlite:").unwrap();
            let parts = [file.to_owned(), format!("{file}-wal")];
            parts.iter().flat_map(|part| std::fs::read(part).unwrap_or_default()).collect()
        }
        "postgres" => {
            let sql = format!(
                "SELECT convert_to(row_to_json(t)::text || encode(payload, 'escape'), 'UTF8') FROM {table} t"
            );
            let mut server = sqlx::PgConnection::connect(url).await.unwrap();
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut server).await.unwrap();
            rows.iter().flat_map(|row| row.get::<Vec<u8>, _>(0)).collect()
        }
        _ => {
            let sql = format!("SELECT CONCAT_WS('|', scope, id, owner, version, payload) FROM {table}");
            let mut server = sqlx::MySqlConnection::connect(url).await.unwrap();
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut server).await.unwrap();
            rows.iter().flat_map(|row| row.get::<Vec<u8>, _>(0)).collect()
        }
    }
}

fn contains(dump: &[u8], text: &str) -> bool {
    dump.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A leaked store is not a leaked session; and no error or `Debug` leaks either.
#[tokio::test]
async fn database_and_messages_hold_no_secret() {
    for (name, url) in place::urls().await {
        let table = place::table();
        let builder = place::builder(&url).with_table(&table);
        let mut shown = format!("{builder:?}");
        let backend = place::ready(builder).await;
        let (key, other) = (SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
        let scope = Scope::parse("tenant:acme").unwrap();
        let owner = Owner::parse("user:secret-name").unwrap();
        let record = Record::new("secret-payload", backend.clock().now()).with_owner(Some(owner));
        backend.write(&key, record.clone(), Write::create()).await.unwrap();
        backend.write(&other, record.clone(), Write::create()).await.unwrap();
        backend.write(&other.scoped(&scope), record.clone(), Write::create()).await.unwrap();

        let errors = [
            backend.write(&key, record.clone(), Write::create()).await.unwrap_err(),
            backend
                .write(&key, record.clone(), Write::update(record.version.next(record.created_at)))
                .await
                .unwrap_err(),
            backend.rotate(&key, &other, record.clone(), Rotate::new(record.version)).await.unwrap_err(),
            backend
                .scan(&Filter::everywhere(), Some(cloakroom_core::Cursor::new(*b"x")), 1)
                .await
                .unwrap_err(),
            place::builder(&url).connect().await.unwrap().read(&key).await.unwrap_err(),
        ];
        for error in errors {
            let source = std::error::Error::source(&error);
            shown += &format!("{error:?} {error} {:?} ", source.map(|source| format!("{source:?} {source}")));
        }
        shown += &format!("{backend:?} {:?}", backend.database());
        let password = url.split_once('@').and_then(|(login, _)| login.rsplit_once(':')).map(|login| login.1);
        let ids = [key.id().as_text(), other.id().as_text()];
        let secrets = [key.expose(), other.expose(), &ids[0], &ids[1], "secret-payload", "secret-name"];
        for secret in secrets.into_iter().chain(password) {
            assert!(!shown.contains(secret), "{name}: {shown}");
        }

        let dump = dump(&url, &table).await;
        for secret in [key.expose(), other.expose()] {
            assert!(!contains(&dump, secret), "{name}: the database holds a key");
        }
        for kept in ["secret-payload", "secret-name", "tenant:acme", &ids[0]] {
            assert!(contains(&dump, kept), "{name}: the dump is no dump: {kept}");
        }
    }
}

/// Peers stored JSON with backslashes broken on MySQL, and folded owners that differ by case.
#[tokio::test]
async fn text_with_quotes_and_backslashes_kept() {
    let payload = r#"{"a":"it's \"quoted\" \\ and \n ? $1 %s ` -- ; \u0000 ü 🧥"}"#;
    let owners =
        ["user:A", "user:a", "user:a ", "us'er\\", "ü", "u\u{308}", "\"; DROP TABLE x; --", "%", "_"];
    for (name, url) in place::urls().await {
        let manual = ManualClock::new();
        let backend = place::backend(&url, manual.clock()).await;
        for owner in owners {
            let owner = Owner::parse(owner).unwrap();
            let record = Record::new(payload, manual.now()).with_owner(Some(owner.clone()));
            let at = SessionKey::generate().unwrap();
            backend.write(&at, record.clone(), Write::create()).await.unwrap();
            assert_eq!(backend.read(&at).await.unwrap().unwrap(), record, "{name}");
            let filter = Filter::unscoped().with_owner(owner);
            assert_eq!(backend.count(&filter).await.unwrap(), 1, "{name}: {record:?}");
        }
    }
}

#[tokio::test]
async fn payload_of_the_stated_maximum_kept_and_one_more_refused() {
    for (name, url) in place::urls().await {
        let backend = place::backend(&url, cloakroom_core::Clock::system()).await;
        let most = backend.capability().max_payload;
        assert!((16_000_000..=16 << 20).contains(&most), "{name}: {most}");
        let bytes: Vec<u8> = (0..most).map(|index| (index * 31 % 251) as u8).collect();
        let record = Record::new(Bytes::from(bytes), backend.clock().now());
        let at = SessionKey::generate().unwrap();
        backend.write(&at, record.clone(), Write::create()).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(backend.read(&at).await.unwrap().unwrap() == record, "{name}");
        let larger = Record::new(vec![0; most + 1], backend.clock().now());
        let error = backend.write(&at, larger, Write::overwrite()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}");
    }
}

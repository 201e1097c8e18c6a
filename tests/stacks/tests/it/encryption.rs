//! Encryption over real stores.

use std::path::Path;
use std::time::Duration;

use cloakroom_backend_cookie::CookieSessionBackend;
use cloakroom_core::{
    Clock, ErrorKind, Filter, ManualClock, Record, Scope, Session, SessionBackend, SessionBackendExt,
    SessionKey, SharedBackend, Write,
};
use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer, KeyRing, SealKey};

use crate::place;

fn ring<const N: usize>(keys: [u8; N]) -> KeyRing {
    KeyRing::new(keys.map(|byte| SealKey::from_bytes([byte; 32]))).unwrap()
}

fn hashed() -> EncryptionLayer {
    EncryptionLayer::new(ring([1])).with_hashed_owner(&SealKey::from_bytes([9; 32]))
}

cloakroom_testkit::conformance!(sqlite, |clock| async move {
    place::sqlite(clock).await.layer(EncryptionLayer::new(ring([1])))
});

cloakroom_testkit::conformance!(sqlite_hashed_owner, |clock| async move {
    place::sqlite(clock).await.layer(hashed().with_former_plain_owner())
});

cloakroom_testkit::conformance!(
    postgres,
    optional
        | clock
        | async move { Some(place::postgres(clock).await?.layer(EncryptionLayer::new(ring([1])))) }
);

cloakroom_testkit::conformance!(
    postgres_hashed_owner,
    optional | clock | async move { Some(place::postgres(clock).await?.layer(hashed())) }
);

cloakroom_testkit::conformance!(file, |clock| async move {
    place::file(clock).await.layer(EncryptionLayer::new(ring([1])))
});

async fn stores() -> Vec<(&'static str, SharedBackend)> {
    let clock = || Clock::system();
    let mut stores = vec![
        ("SQLite", place::sqlite(clock()).await.shared()),
        ("files", place::file(clock()).await.shared()),
    ];
    stores.extend(place::postgres(clock()).await.map(|store| ("PostgreSQL", store.shared())));
    stores
}

#[tokio::test]
async fn record_moved_to_another_id_or_tenant_does_not_open() {
    for (name, store) in stores().await {
        let backend = EncryptedSessionBackend::new(store.clone(), ring([1])).unwrap();
        let [here, there] = ["tenant:a:", "tenant:b:"].map(|scope| Scope::parse(scope).unwrap());
        let key = SessionKey::generate().unwrap();
        let record = Record::new(r#"{"role":"admin"}"#, backend.clock().now());
        backend.write(&key.scoped(&here), record.clone(), Write::create()).await.unwrap();
        let stored = store.read(&key.scoped(&here)).await.unwrap().unwrap();
        let other = SessionKey::generate().unwrap();
        for place in [other.scoped(&here), key.scoped(&there), key.clone()] {
            store.write(&place, stored.clone(), Write::create()).await.unwrap();
            let error = backend.read(&place).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{name}");
        }
        assert_eq!(backend.read(&key.scoped(&here)).await.unwrap(), Some(record), "{name}");
    }
}

#[tokio::test]
async fn keys_rotate_on_a_live_site_and_the_old_one_is_dropped() {
    for (name, store) in stores().await {
        let mut keys = Vec::new();
        for index in 0..20 {
            let session = Session::new(store.clone().layer(EncryptionLayer::new(ring([1]))));
            session.set("index", index).unwrap();
            session.save().await.unwrap();
            keys.push(session.key().unwrap());
        }
        let rotated = EncryptedSessionBackend::new(store.clone(), ring([2, 1])).unwrap();
        let (mut after, mut resealed) = (None, 0);
        loop {
            let step = rotated.reencrypt(after, 6).await.unwrap();
            resealed += step.resealed;
            after = step.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(resealed, 20, "{name}");
        let new = store.layer(EncryptionLayer::new(ring([2])));
        for (index, key) in keys.iter().enumerate() {
            let session = Session::from_key(new.clone(), key.expose()).await.unwrap();
            assert_eq!(session.get::<usize>("index").unwrap(), Some(index), "{name}");
        }
    }
}

/// Whether any file below holds the text.
fn anywhere(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return anywhere(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        let named = path.to_string_lossy().contains(text);
        named || bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn files_and_database_hold_no_plain_text() {
    const CARD: &str = "4111-1111-plain";
    const OWNER: &str = "ada@plain.example";
    for encrypted in [false, true] {
        let folder = place::path();
        std::fs::create_dir(&folder).unwrap();
        let clock = ManualClock::new();
        let file = place::file_in(folder.join("files"), clock.clock()).await;
        let url = format!("sqlite:{}", folder.join("sessions.db").display());
        let database = place::database(&url, clock.clock()).await;
        for store in [file.shared(), database.shared()] {
            let backend = if encrypted { store.layer(hashed()).shared() } else { store };
            let session = Session::new(backend);
            session.set("card", CARD).unwrap();
            session.login(OWNER).await.unwrap();
            clock.advance(Duration::from_secs(1));
            session.set("again", CARD).unwrap();
            session.save().await.unwrap();
        }
        // Without the layer they are found, so that looking for them means something.
        assert_eq!(anywhere(&folder, CARD), !encrypted);
        assert_eq!(anywhere(&folder, OWNER), !encrypted);
    }
}

#[tokio::test]
async fn over_sealed_cookies_refused() {
    let cookies = CookieSessionBackend::from_key(&[1; 32]).unwrap();
    let error = EncryptedSessionBackend::new(cookies.clone(), ring([1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let backend = cookies.layer(EncryptionLayer::new(ring([1])));
    let session = Session::new(backend.clone());
    session.set("cart", "hat").unwrap();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
}

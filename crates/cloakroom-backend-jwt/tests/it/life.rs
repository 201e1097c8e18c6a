//! The whole life of a session in tokens, without HTTP.

use cloakroom_backend_jwt::JwtSessionBackend;
use cloakroom_core::{
    ErrorKind, Format, InMemorySessionBackend, KeyChange, ManualClock, Session, SessionBackend,
    SessionBackendExt, SessionConfig, SessionManager, SharedBackend,
};

use crate::{hs256, kind};

fn backends(clock: &ManualClock) -> [SharedBackend; 2] {
    let builder = || JwtSessionBackend::builder([hs256()]).with_clock(clock.clock());
    let ended = InMemorySessionBackend::with_clock(clock.clock());
    [builder().build().unwrap().shared(), builder().with_revocation(ended).build().unwrap().shared()]
}

fn sent(session: &Session) -> String {
    match session.key_change() {
        KeyChange::Send(key, _) => key.expose().to_owned(),
        other => panic!("{other:?} where a token was to be sent"),
    }
}

#[tokio::test]
async fn session_from_first_visit_to_logout() {
    let clock = ManualClock::new();
    for backend in backends(&clock) {
        let revocable = backend.capability().revocable;
        let session = Session::new(backend.clone());
        session.finish().await.unwrap();
        assert_eq!(session.key_change(), KeyChange::Keep, "nothing to keep, no token");
        session.set("cart", vec!["hat"]).unwrap();
        session.finish().await.unwrap();
        let visitor = sent(&session);

        let session = Session::from_key(backend.clone(), &visitor).await.unwrap();
        session.login("user:42").await.unwrap();
        let login = sent(&session);
        let elsewhere = Session::new(backend.clone());
        elsewhere.login("user:42").await.unwrap();
        let elsewhere = sent(&elsewhere);

        let session = Session::from_key(backend.clone(), &login).await.unwrap();
        assert_eq!(session.owner().as_deref(), Some("user:42"));
        session
            .update("cart", |cart: Option<Vec<String>>| {
                let mut cart = cart.unwrap_or_default();
                cart.push("coat".to_owned());
                cart
            })
            .unwrap();
        session.finish().await.unwrap();
        let bought = sent(&session);
        clock.advance(std::time::Duration::from_secs(1200));
        let session = Session::from_key(backend.clone(), &bought).await.unwrap();
        assert_eq!(session.get::<Vec<String>>("cart").unwrap().unwrap(), ["hat", "coat"]);
        session.finish().await.unwrap();
        let touched = sent(&session);
        assert_ne!(touched, bought);

        let others = session.revoke_others().await;
        assert_eq!(others.is_ok(), revocable);
        let session = Session::from_key(backend.clone(), &touched).await.unwrap();
        assert!(!session.is_empty());
        assert_eq!(
            Session::from_key(backend.clone(), &elsewhere).await.unwrap().owner().is_none(),
            revocable
        );
        let late = Session::from_key(backend.clone(), &touched).await.unwrap();
        session.flush().await.unwrap();
        assert_eq!(session.key_change(), KeyChange::Remove);
        late.set("cart", 1).unwrap();
        if revocable {
            assert_eq!(kind(late.save().await), ErrorKind::Gone);
        }
        for token in [&visitor, &login, &bought, &touched] {
            let found = Session::from_key(backend.clone(), token).await.unwrap();
            assert_eq!(found.is_empty(), revocable);
        }
    }
}

#[tokio::test]
async fn session_manager_works_with_tokens_in_every_format() {
    let clock = ManualClock::new();
    let [_, backend] = backends(&clock);
    for format in [Format::Json, Format::MessagePack, Format::Cbor] {
        let config = SessionConfig::default().with_format(format);
        let manager = SessionManager::with_config(backend.clone(), config);
        let session = manager.create(|session| session.set("a", 1)).await.unwrap();
        let key = manager.parse(session.key().unwrap().expose()).unwrap();
        let session = manager.update(&key, |session| session.set("a", 2)).await.unwrap();
        let key = manager.parse(session.key().unwrap().expose()).unwrap();
        let new = manager.regenerate(&key).await.unwrap();
        let loaded = manager.load(&new).await.unwrap().unwrap();
        assert_eq!(loaded.get::<u32>("a").unwrap(), Some(2));
        assert!(manager.delete(&new).await.unwrap());
    }
}

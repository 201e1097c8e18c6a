use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::*;

async fn signed_in(
    backend: &InMemorySessionBackend,
    owner: &str,
    config: &Arc<SessionConfig>,
) -> Result<Session<InMemorySessionBackend>> {
    let session = Session::with_config(backend.clone(), None, Arc::clone(config));
    session.set_device(&Device::new(Some("203.0.113.7"), Some("Browser/1.0")));
    session.login(owner).await?;
    Ok(session)
}

// ST-21, ST-72, CV-31, CV-51
#[tokio::test]
async fn owner_lists_and_revokes_without_seeing_ids() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let config = Arc::default();
    let phone = signed_in(&backend, "user:1", &config).await.unwrap();
    manual.advance(Duration::from_secs(1));
    let laptop = signed_in(&backend, "user:1", &config).await.unwrap();
    let other = signed_in(&backend, "user:2", &config).await.unwrap();

    let sessions = laptop.sessions().await.unwrap();
    assert_eq!(sessions.iter().map(|session| session.is_current).collect::<Vec<_>>(), [true, false]);
    assert_eq!(sessions[1].device.as_ref().unwrap().address.as_deref(), Some("203.0.113.7"));
    let shown = format!("{sessions:?}");
    for session in [&phone, &laptop] {
        assert!(!shown.contains(&*session.id().unwrap().as_text()));
        assert!(!shown.contains(session.key().unwrap().expose()));
    }
    let handle = &sessions[1].handle;
    assert!(!other.revoke(handle).await.unwrap(), "a handle means nothing to another owner");
    assert!(!backend.revoke("user:2", handle).await.unwrap());
    assert!(laptop.revoke(handle).await.unwrap());
    assert!(!laptop.revoke(handle).await.unwrap());
    assert!(!phone.exists().await.unwrap() && other.exists().await.unwrap());
    assert_eq!(backend.sessions_of("user:1").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_session_does_not_escape_by_rotating() {
    let backend = InMemorySessionBackend::new();
    let config = Arc::default();
    let laptop = signed_in(&backend, "user:1", &config).await.unwrap();
    for round in 0..100 {
        let phone = signed_in(&backend, "user:1", &config).await.unwrap();
        let sessions = laptop.sessions().await.unwrap();
        let handle = sessions.into_iter().find(|session| !session.is_current).unwrap().handle;
        // A page of devices lies open while the session moves.
        phone.cycle_key().await.unwrap();
        let moving = phone.clone();
        let cycles = tokio::spawn(async move {
            while moving.cycle_key().await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        assert!(laptop.revoke(&handle).await.unwrap(), "round {round}");
        cycles.await.unwrap();
        assert!(!phone.exists().await.unwrap());
        assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1, "round {round}");
    }
}

#[tokio::test]
async fn own_session_revoked_by_its_handle_is_over() {
    let backend = InMemorySessionBackend::new();
    let session = signed_in(&backend, "user:1", &Arc::default()).await.unwrap();
    let handle = session.sessions().await.unwrap().remove(0).handle;
    assert!(session.revoke(&handle).await.unwrap());
    assert_eq!((session.owner(), session.key_change()), (None, KeyChange::Remove));
    session.save().await.unwrap();
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 0);
}

// ST-18, ST-19, ST-20
#[tokio::test]
async fn others_or_all_sessions_of_an_owner_end_in_one_call() {
    let backend = InMemorySessionBackend::new();
    let config = Arc::default();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(signed_in(&backend, "user:1", &config).await.unwrap());
    }
    let other = signed_in(&backend, "user:10", &config).await.unwrap();
    assert_eq!(sessions[2].revoke_others().await.unwrap(), 3);
    assert!(sessions[2].exists().await.unwrap());
    assert_eq!(sessions[2].revoke_all().await.unwrap(), 1);
    assert_eq!(sessions[2].key_change(), KeyChange::Remove);
    assert_eq!(backend.revoke_all("user:1").await.unwrap(), 0);
    assert!(other.exists().await.unwrap());
}

// ST-23
#[tokio::test]
async fn limit_revokes_the_oldest_or_rejects_the_new() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let revoke = Arc::new(SessionConfig::default().with_owner_limit(2, AtLimit::RevokeOldest));
    let mut sessions = Vec::new();
    for _ in 0..4 {
        manual.advance(Duration::from_secs(1));
        sessions.push(signed_in(&backend, "user:1", &revoke).await.unwrap());
    }
    let mut alive = Vec::new();
    for session in &sessions {
        alive.push(session.exists().await.unwrap());
    }
    assert_eq!(alive, [false, false, true, true]);
    let reject = Arc::new(SessionConfig::default().with_owner_limit(2, AtLimit::RejectNew));
    let refused = signed_in(&backend, "user:1", &reject).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
    sessions[3].set("more", 1).unwrap();
    sessions[3].save().await.expect("a session that is there may still be saved");
}

#[tokio::test]
async fn queries_see_decoded_sessions() {
    let backend = InMemorySessionBackend::new();
    for n in 0..250_u64 {
        let session = Session::new(backend.clone());
        session.set("n", n).unwrap();
        session.save().await.unwrap();
    }
    let all = Filter::unscoped();
    let small = |stored: &StoredSession| stored.get::<u64>("n").unwrap().unwrap() < 10;
    assert_eq!(backend.count_by(&all, small).await.unwrap(), 10);
    assert_eq!(backend.find_by(&all, small).await.unwrap().len(), 10);
    let first = backend.find_first(&all, small).await.unwrap().unwrap();
    assert_eq!(first.items().unwrap().len(), 1);
    assert_eq!(backend.bulk_delete(&all, small).await.unwrap(), 10);
    let mut seen = 0;
    backend
        .each_session(&all, |_| {
            seen += 1;
            seen < 5
        })
        .await
        .unwrap();
    assert_eq!((seen, backend.count(&all).await.unwrap()), (5, 240));
}

#[tokio::test]
async fn queries_do_not_see_fields_that_ended() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.set_with_ttl("code", 7, Duration::from_secs(10)).unwrap();
    session.save().await.unwrap();
    let has_code = |stored: &StoredSession| stored.get::<u8>("code").unwrap().is_some();
    assert_eq!(backend.count_by(&Filter::unscoped(), has_code).await.unwrap(), 1);
    manual.advance(Duration::from_secs(10));
    assert_eq!(backend.count_by(&Filter::unscoped(), has_code).await.unwrap(), 0);
}

#[test]
fn device_texts_are_cut_between_characters() {
    let device = Device::new(Some(&"é".repeat(100)), Some(&"☃".repeat(1000)));
    assert_eq!(device.address.unwrap().len(), 64);
    assert_eq!(device.user_agent.unwrap().len(), 510);
}

/// An expired record of the same owner at the new key took the index entry of the session with it.
#[tokio::test]
async fn session_that_rotates_onto_what_expired_is_still_its_owners() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let owner = Owner::parse("user:1").unwrap();
    let [old, new] = ["old", "new"].map(|name| SessionKey::from_name(name).unwrap());
    let record = Record::new("{}", manual.now()).with_owner(Some(owner.clone()));
    let brief = record.clone().with_expires_at(Some(manual.now() + Duration::from_secs(1)));
    backend.write(&new, brief, Write::create()).await.unwrap();
    backend.write(&old, record.clone(), Write::create()).await.unwrap();
    manual.advance(Duration::from_secs(1));
    backend.rotate(&old, &new, record.clone(), Rotate::new(record.version)).await.unwrap();
    let mine = Filter::unscoped().with_owner(owner);
    assert_eq!(backend.count(&mine).await.unwrap(), 1);
    assert_eq!(backend.remove_all(&mine, Removal::Revoked).await.unwrap(), 1);
    assert!(backend.read(&new).await.unwrap().is_none());
}

use cloakroom_core::*;

use crate::fault::Fault;

// ST-01, ST-03, CV-09
#[test]
fn generated_keys_use_every_symbol_evenly() {
    let mut counts = std::collections::HashMap::new();
    for _ in 0..4000 {
        for byte in SessionKey::generate().unwrap().expose()[..42].bytes() {
            *counts.entry(byte).or_insert(0_u32) += 1;
        }
    }
    let expected = 4000.0 * 42.0 / 64.0;
    let chi: f64 = counts.values().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
    assert_eq!(counts.len(), 64);
    assert!(chi < 130.0, "chi-square with 63 degrees of freedom: {chi}");
}

// ST-07, CV-06
#[test]
fn hostile_texts_are_no_keys() {
    let good = SessionKey::generate().unwrap().expose().to_owned();
    let capability = Capability::store();
    assert!(SessionKey::parse(&good, &capability).is_ok());
    let mut hostile = vec![
        String::new(),
        "a".repeat(42),
        "a".repeat(44),
        "A".repeat(4096),
        "\0".repeat(43),
        "../".repeat(14) + "a",
        "' OR 1=1 --".repeat(4)[..43].to_owned(),
        "ü".repeat(21) + "a",
    ];
    for bad in ["\r", "\n", "\0", " ", "+", "/", "=", "*", "%"] {
        hostile.push(format!("{bad}{}", &good[1..]));
    }
    // A last character with bits that no encoder sets.
    hostile.push(format!("{}B", &good[..42]));
    for text in hostile {
        assert_eq!(
            SessionKey::parse(&text, &capability).unwrap_err().kind(),
            ErrorKind::InvalidKey,
            "{text:?}"
        );
    }
}

// CV-07
#[tokio::test]
async fn id_fed_back_as_a_key_finds_nothing() {
    let backend = InMemorySessionBackend::new();
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let id = session.id().unwrap();
    let thief = Session::from_key(backend, &*id.as_text()).await.unwrap();
    assert!(thief.is_empty());
}

// CV-12, ST-08, DJ-043, DJ-044
#[tokio::test]
async fn unknown_key_is_never_adopted() {
    let backend = InMemorySessionBackend::new();
    let chosen = SessionKey::generate().unwrap();
    let session = Session::from_key(backend.clone(), chosen.expose()).await.unwrap();
    assert_eq!(backend.statistics().stored, 0);
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    assert_ne!(session.key().unwrap(), chosen);
    assert!(backend.read(&chosen).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_shape_costs_no_backend_call() {
    let backend = Fault::new(&InMemorySessionBackend::new());
    let session = Session::from_key(backend.clone(), "x\r\ny").await.unwrap();
    assert!(session.is_empty());
    assert_eq!(backend.calls(), 0);
}

// DJ-067, DJ-068, CV-02
#[tokio::test]
async fn flush_ends_the_session_and_creates_nothing() {
    let backend = Fault::new(&InMemorySessionBackend::new());
    let none = Session::new(backend.clone());
    none.flush().await.unwrap();
    none.save().await.unwrap();
    assert_eq!(backend.calls(), 0);

    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let old = session.key().unwrap();
    session.flush().await.unwrap();
    assert!(session.key().is_none() && session.is_empty() && session.is_accessed());
    assert_eq!(session.key_change(), KeyChange::Remove);
    session.set("b", 2).unwrap();
    session.save().await.unwrap();
    assert_ne!(session.key().unwrap(), old, "flush then set gets another key");
    assert!(matches!(session.key_change(), KeyChange::Send(..)));
}

// DJ-069, DJ-070, ST-13
#[tokio::test]
async fn cycle_keeps_data_and_creation_and_ends_the_old_key() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let (old, created) = (session.key().unwrap(), session.created_at());
    manual.advance(std::time::Duration::from_secs(5));
    let again = Session::with_key(backend.clone(), old.clone());
    again.set("b", 2).unwrap();
    again.cycle_key().await.unwrap();
    let new = again.key().unwrap();
    assert_ne!(new, old);
    assert!(Session::from_key(backend.clone(), old.expose()).await.unwrap().is_empty());
    let moved = Session::from_key(backend, new.expose()).await.unwrap();
    assert_eq!((moved.get("a").unwrap(), moved.get("b").unwrap()), (Some(1), Some(2)));
    assert_eq!(moved.created_at(), created);
}

// DJ-071
#[tokio::test]
async fn cycle_of_a_session_without_a_record_creates_one() {
    let session = Session::new(InMemorySessionBackend::new());
    session.set("a", 1).unwrap();
    session.cycle_key().await.unwrap();
    assert!(session.exists().await.unwrap());
}

#[tokio::test]
async fn prepared_cycle_happens_with_the_next_save() {
    let session = Session::new(InMemorySessionBackend::new());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let old = session.key().unwrap();
    session.prepare_cycle();
    assert_eq!(session.key().unwrap(), old);
    session.save().await.unwrap();
    assert_ne!(session.key().unwrap(), old);
}

#[tokio::test]
async fn generated_key_of_a_stored_session_is_the_next_one() {
    let session = Session::new(InMemorySessionBackend::new());
    let first = session.get_or_create_key().unwrap();
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    assert_eq!(session.key().unwrap(), first);
    let next = session.generate_key().unwrap();
    session.save().await.unwrap();
    assert_eq!(session.key().unwrap(), next);
}

// ST-16: a logout with a key that was rotated away, twice, ends the session all the same.
#[tokio::test]
async fn logout_follows_two_rotations() {
    let backend = InMemorySessionBackend::new();
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let first = session.key().unwrap();
    session.cycle_key().await.unwrap();
    session.cycle_key().await.unwrap();
    let last = session.key().unwrap();

    let logout = Session::with_key(backend.clone(), first);
    logout.load().await.unwrap();
    assert!(logout.is_empty(), "the old key finds no session");
    logout.flush().await.unwrap();
    assert_eq!(logout.key_change(), KeyChange::Remove);
    assert!(Session::from_key(backend, last.expose()).await.unwrap().is_empty());
    session.set("late", 1).unwrap();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::Gone);
}

/// A slow request with the key from before a login must not replace the cookie of after it.
#[tokio::test]
async fn straggler_with_a_rotated_key_starts_no_session_of_its_own() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let old = session.key().unwrap();
    session.login("user:1").await.unwrap();
    let straggler = || Session::with_key(backend.clone(), old.clone());
    let slow = straggler();
    slow.load().await.unwrap();
    slow.set("late", 1).unwrap();
    assert_eq!(slow.save().await.unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(slow.key_change(), KeyChange::Keep);
    assert_eq!(backend.count(&Filter::everywhere()).await.unwrap(), 1);
    straggler().login("user:2").await.expect("a login starts a session of its own");
    let ends = straggler();
    ends.flush().await.unwrap();
    ends.set("next", 1).unwrap();
    ends.save().await.expect("and so does what follows a logout");
    manual.advance(std::time::Duration::from_secs(60));
    let later = straggler();
    later.set("later", 1).unwrap();
    later.save().await.expect("when the marker is gone, the key is merely unknown");
}

#[tokio::test]
async fn first_live_candidate_is_taken() {
    let backend = InMemorySessionBackend::new();
    let live = Session::new(backend.clone());
    live.set("a", 1).unwrap();
    live.save().await.unwrap();
    let stale = SessionKey::generate().unwrap();
    let others = Box::from([live.key().unwrap()]);
    let session = Session::of_request(backend, Some(stale), others, Default::default(), 0);
    session.load().await.unwrap();
    assert_eq!(session.get("a").unwrap(), Some(1));
    assert!(matches!(session.key_change(), KeyChange::Send(..)), "the stale cookie is to be replaced");
}

#[tokio::test]
async fn login_rotates_sets_the_owner_and_drops_data_of_another() {
    let backend = Fault::new(&InMemorySessionBackend::new());
    let session = Session::new(backend.clone());
    session.set("cart", ["tea"]).unwrap();
    session.save().await.unwrap();
    let anonymous = session.key().unwrap();

    let request = Session::with_key(backend.clone(), anonymous.clone());
    backend.calls();
    request.login("user:1").await.unwrap();
    assert_eq!(backend.calls(), 2, "login = read + rotate");
    assert!(request.contains_key("cart") && request.key().unwrap() != anonymous);
    assert_eq!(request.owner().as_deref(), Some("user:1"));
    // AU-002
    request.set_device(&Device::new(Some("203.0.113.1"), None));
    request.remember_for(std::time::Duration::from_secs(9));
    request.save().await.unwrap();
    let device = Device::new(Some("203.0.113.2"), None);
    request.set_device(&device);
    request.login("user:2").await.unwrap();
    assert!(!request.contains_key("cart"));
    assert_eq!(request.expiry(), Expiry::Default, "nobody inherits another's lifetime");
    assert_eq!(request.device(), Some(device));
    let before = request.key();
    request.change_privileges().await.unwrap();
    request.set("a", 1).unwrap();
    request.change_privileges().await.unwrap();
    assert_ne!(request.key(), before);
}

#[tokio::test]
async fn rotation_policies_rotate_when_due() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let policy = RotationPolicy::never().with_every(std::time::Duration::from_secs(600));
    let config = std::sync::Arc::new(SessionConfig::default().with_rotation(policy));
    let session = Session::with_config(backend.clone(), None, config.clone());
    session.set("a", 1).unwrap();
    session.finish().await.unwrap();
    let key = session.key().unwrap();
    let request = |key: SessionKey, config| {
        let backend = backend.clone();
        async move {
            let session = Session::with_config(backend, Some(key), config);
            session.load().await.unwrap();
            session.get::<u8>("a").unwrap().expect("still there");
            session.finish().await.unwrap();
            session.key().unwrap()
        }
    };
    manual.advance(std::time::Duration::from_secs(599));
    assert_eq!(request(key.clone(), config.clone()).await, key);
    manual.advance(std::time::Duration::from_secs(1));
    let renewed = request(key.clone(), config.clone()).await;
    assert_ne!(renewed, key);
    assert_eq!(request(renewed.clone(), config).await, renewed);

    let counting = RotationPolicy::never().with_after_requests(3);
    let config = std::sync::Arc::new(SessionConfig::default().with_rotation(counting));
    let one = request(renewed.clone(), config.clone()).await;
    let two = request(one.clone(), config.clone()).await;
    assert_eq!((&one, &two), (&renewed, &renewed));
    assert_ne!(request(two, config).await, renewed);
}

#[test]
fn sealed_key_opened_once_all_clones_know_its_id() {
    let capability = Capability::sealed(4000, 3000);
    let key = SessionKey::parse("a-sealed_text", &capability).unwrap();
    let clone = key.scoped(&Scope::parse("tenant:a").unwrap());
    let before = key.id();
    let id = SessionId::from_bytes([7; 32]);
    clone.opened(id);
    assert_ne!(before, id);
    assert_eq!((key.id(), clone.id()), (id, id));
    assert_eq!(key.expose(), "a-sealed_text");
    let sealed = SessionKey::sealed("another", id);
    sealed.opened(SessionId::from_bytes([8; 32]));
    assert_eq!(sealed.id(), id);
}

use cloakroom_core::*;
use serde_json::{Value, json};

use crate::fault::Fault;

fn session() -> Session<InMemorySessionBackend> {
    Session::new(InMemorySessionBackend::new())
}

async fn stored() -> (Fault, SessionKey) {
    let backend = Fault::new(&InMemorySessionBackend::new());
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.set("b", json!({"x": [1, 2]})).unwrap();
    session.save().await.unwrap();
    (backend, session.key().unwrap())
}

// DJ-001, DJ-003
#[test]
fn new_session_is_neither_accessed_nor_modified() {
    let session = session();
    assert!(!session.is_accessed() && !session.is_modified() && session.is_empty());
}

/// DJ-004 to DJ-031 and CV-21: what each method does to the flags of a session that was just loaded.
#[tokio::test]
async fn every_method_sets_the_flags_that_django_sets() {
    type Act = fn(&Session<Fault>);
    let table: &[(&str, Act, bool, bool)] = &[
        ("get", |s| drop(s.get::<u8>("a")), true, false),
        ("get absent", |s| drop(s.get::<u8>("absent")), true, false),
        ("contains_key", |s| assert!(s.contains_key("a")), true, false),
        ("keys", |s| drop(s.keys()), true, false),
        ("values", |s| drop(s.values()), true, false),
        ("items", |s| drop(s.items()), true, false),
        ("len", |s| assert_eq!(s.len(), 2), true, false),
        ("is_empty", |s| assert!(!s.is_empty()), false, false),
        ("set", |s| s.set("a", 2).unwrap(), true, true),
        ("set equal", |s| s.set("a", 1).unwrap(), true, false),
        ("set equal map", |s| s.set("b", json!({"x": [1, 2]})).unwrap(), true, false),
        ("delete", |s| assert!(s.delete("a")), true, true),
        ("delete absent", |s| assert!(!s.delete("absent")), true, false),
        ("pop", |s| assert_eq!(s.pop("a").unwrap(), Some(1)), true, true),
        ("pop absent", |s| assert_eq!(s.pop::<u8>("absent").unwrap(), None), true, false),
        ("set_default there", |s| assert_eq!(s.set_default("a", 9).unwrap(), 1), true, false),
        ("set_default absent", |s| assert_eq!(s.set_default("c", 9).unwrap(), 9), true, true),
        ("extend", |s| s.extend([("c", 1), ("d", 2)]).unwrap(), true, true),
        ("update", |s| assert_eq!(s.update("a", |n: Option<u8>| n.unwrap() + 1).unwrap(), 2), true, true),
        (
            "update to equal",
            |s| assert_eq!(s.update("a", |n: Option<u8>| n.unwrap()).unwrap(), 1),
            true,
            false,
        ),
        ("clear", |s| s.clear(), true, true),
        ("set_expiry", |s| s.set_expiry(60), true, true),
        ("set_expiry default", |s| s.set_expiry(None), true, false),
        ("owner", |s| drop(s.owner()), true, false),
        ("set_owner", |s| s.set_owner("user:1").unwrap(), true, true),
        ("mark_modified", |s| s.mark_modified(), false, true),
        ("prepare_cycle", |s| s.prepare_cycle(), true, true),
    ];
    let (backend, key) = stored().await;
    for (name, act, accessed, modified) in table {
        let session = Session::with_key(backend.clone(), key.clone());
        session.load().await.unwrap();
        backend.calls();
        act(&session);
        assert_eq!((session.is_accessed(), session.is_modified()), (*accessed, *modified), "{name}");
        assert_eq!(backend.calls(), 0, "{name} must not call the backend");
    }
}

// DJ-020: present with null is present.
#[test]
fn set_default_over_null_keeps_it_when_it_can_be_read() {
    let session = session();
    session.set("n", Value::Null).unwrap();
    assert_eq!(session.set_default("n", Value::from(1)).unwrap(), Value::Null);
}

#[test]
fn items_of_changed_session_show_the_changes() {
    let session = session();
    session.set("a", 1).unwrap();
    session.set("b", "two").unwrap();
    session.delete("a");
    session.set("c", vec![3]).unwrap();
    assert_eq!(session.items(), [("b".to_owned(), json!("two")), ("c".to_owned(), json!([3]))]);
    assert_eq!((session.keys().len(), session.values().len(), session.len()), (2, 2, 2));
}

#[test]
fn mark_unmodified_is_only_a_flag() {
    let session = session();
    session.set("a", 1).unwrap();
    session.mark_unmodified();
    assert!(!session.is_modified());
    assert_eq!(session.get("a").unwrap(), Some(1));
}

// DJ-029, DJ-030, MW-011
#[tokio::test]
async fn cleared_session_keeps_its_key_and_is_saved_empty() {
    let (backend, key) = stored().await;
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    session.clear();
    assert!(!session.is_empty());
    assert_eq!(session.len(), 0);
    session.save().await.unwrap();
    let again = Session::with_key(backend, key);
    again.load().await.unwrap();
    assert!(again.key().is_some() && again.keys().is_empty());
}

#[test]
fn reserved_name_is_refused() {
    let session = session();
    assert_eq!(session.set("_cloakroom", 1).unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(session.update("_cloakroom", |_: Option<u8>| 1).unwrap_err().kind(), ErrorKind::InvalidKey);
    session.set_expiry(60);
    assert!(session.keys().is_empty() && session.get::<Value>("_cloakroom").unwrap().is_none());
    assert!(!session.contains_key("_cloakroom"));
}

#[tokio::test]
async fn reading_before_load_is_an_error_and_writing_is_not() {
    let (backend, key) = stored().await;
    let session = Session::with_key(backend.clone(), key.clone());
    assert_eq!(session.get::<u8>("a").unwrap_err().kind(), ErrorKind::Unexpected);
    assert_eq!(session.update("a", |_: Option<u8>| 1).unwrap_err().kind(), ErrorKind::Unexpected);
    session.set("c", 3).unwrap();
    session.delete("a");
    session.save().await.unwrap();
    let again = Session::with_key(backend, key);
    again.load().await.unwrap();
    assert_eq!((again.get::<u8>("c").unwrap(), again.get::<u8>("a").unwrap()), (Some(3), None));
    assert!(again.contains_key("b"));
}

#[test]
fn update_closure_may_use_the_session() {
    let session = session();
    session.set("step", 5).unwrap();
    let inside = session.clone();
    session
        .update("n", move |n: Option<u64>| n.unwrap_or(0) + inside.get::<u64>("step").unwrap().unwrap())
        .unwrap();
    assert_eq!(session.get::<u64>("n").unwrap(), Some(5));
}

// DJ-032
#[test]
fn test_cookie_walks_through_its_states() {
    let session = session();
    assert!(!session.test_cookie_worked());
    session.set_test_cookie().unwrap();
    assert!(session.test_cookie_worked());
    assert!(session.delete_test_cookie());
    assert!(!session.test_cookie_worked());
}

#[test]
fn typed_struct_commits_only_what_changed() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Shopper {
        #[serde(default)]
        cart: Vec<String>,
        #[serde(default)]
        visits: u32,
    }
    let session = session();
    session.set("cart", ["tea"]).unwrap();
    session.set("unrelated", 1).unwrap();
    let mut shopper: TypedSession<Shopper, _> = TypedSession::open(&session).unwrap();
    shopper.visits = 3;
    shopper.commit().unwrap();
    assert_eq!(session.get::<u32>("visits").unwrap(), Some(3));
    assert_eq!(session.get::<Vec<String>>("cart").unwrap().unwrap(), ["tea"]);
    assert!(session.contains_key("unrelated"));
    const VISITS: Field<u32> = Field::new("visits");
    assert_eq!(VISITS.update(&session, |n| n.unwrap_or(0) + 1).unwrap(), 4);
}

#[test]
fn too_many_unsaved_changes_are_refused() {
    let session = session();
    for n in 0..4096 {
        session.set(&format!("k{n}"), n).unwrap();
    }
    assert_eq!(session.set("one more", 1).unwrap_err().kind(), ErrorKind::TooLarge);
    session.set("k7", "again").unwrap();
}

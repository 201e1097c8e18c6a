//! Whatever a store gives back as a session: loaded, read as several types, changed, saved, read again. The first byte
//! chooses what is done with it, the rest is the payload.
#![cfg_attr(fuzzing, no_main)]

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_core::{
    Capability, ErrorKind, Filter, Format, InMemorySessionBackend, KEY_LENGTH, ManualClock, Record, Result,
    SecurityEvent, Session, SessionBackend, SessionBackendExt, SessionConfig, SessionEvent, SessionKey,
    SessionObserver, State, Timestamp, TypedSession, Write,
};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

cloakroom_fuzz::target!(payload);

const RESERVED: &str = "_cloakroom";
/// How many fields are read one by one, so that an input of a thousand fields stays quick.
const LOOKED_AT: usize = 8;

type Items = BTreeMap<String, Value>;

fn payload(data: &[u8]) {
    thread_local!(static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() });
    let Some((&choice, payload)) = data.split_first() else { return };
    RUNTIME.with(|runtime| {
        let new = || Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.get_or_init(new).block_on(run(choice, payload));
    });
}

/// Counts the reports of damage.
#[derive(Clone, Debug, Default)]
struct Damage(Arc<AtomicU64>);

impl Damage {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SessionObserver for Damage {
    fn notify(&self, event: &SessionEvent) {
        if let SessionEvent::Security(SecurityEvent::Corrupted(_)) = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A store that holds one record, and how sessions over it behave.
struct Store {
    backend: InMemorySessionBackend,
    config: Arc<SessionConfig>,
    damage: Damage,
    key: SessionKey,
}

impl Store {
    async fn with(format: Format, state: State, payload: &[u8]) -> Self {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_millis(1_800_000_000_000));
        let backend = InMemorySessionBackend::with_clock(clock.clock());
        let damage = Damage::default();
        let config = SessionConfig::default().with_format(format).with_observer(damage.clone());
        let key = SessionKey::generate().expect("randomness");
        let record = Record::new(payload.to_vec(), clock.now()).with_state(state);
        let record = record.with_expires_at(Some(clock.now() + Duration::from_secs(3600)));
        backend.write(&key, record, Write::create()).await.expect("room for one");
        Self { backend, config: Arc::new(config), damage, key }
    }

    async fn open(&self, key: &SessionKey) -> Session<InMemorySessionBackend> {
        let session = Session::with_config(self.backend.clone(), Some(key.clone()), Arc::clone(&self.config));
        session.load().await.expect("a damaged payload is no error of load");
        session
    }

    async fn stored(&self, key: &SessionKey) -> Record {
        self.backend.read(key).await.expect("memory").expect("a record")
    }
}

async fn run(choice: u8, payload: &[u8]) {
    let format = [Format::Json, Format::MessagePack, Format::Cbor, Format::Bincode][usize::from(choice & 3)];
    if choice & 0xC0 == 0xC0 {
        return marker(choice, payload).await;
    }
    let store = Store::with(format, State::Live, payload).await;
    let named = store.backend.load::<Value>(store.key.expose()).await;
    assert_eq!(named.ok().flatten(), serde_json::from_slice(payload).ok(), "values by name are plain JSON");
    let session = store.open(&store.key).await;
    if session.key().is_none() {
        return refused(&store, &session, payload).await;
    }
    let items = session.items();
    let whole = store.damage.count() == 0;
    check_items(&session, &items);
    if payload.first().is_some_and(|first| *first > 0x08) {
        compare_with_serde(payload, &items, whole);
    }
    let mut model = model(&items);
    compare_queries(&store, &model, whole).await;
    compare_typed(&session, &items, whole);
    let changed = change(&session, choice, payload, &mut model, whole);
    let readable = self::model(&session.items());
    if whole {
        assert_eq!(readable, model, "what was changed is read back");
    }
    // Damage hides what is behind it, and nothing before it.
    for (name, value) in items.iter().filter_map(|(name, _)| model.get_key_value(name)) {
        assert_eq!(readable.get(name), Some(value));
    }
    for (name, value) in &model {
        assert_eq!(session.get::<Value>(name).ok().flatten().as_ref(), Some(value));
    }
    save(&store, &session, &model, whole, changed).await;
}

/// Markers hold no session, whatever their payload says.
async fn marker(choice: u8, payload: &[u8]) {
    let state = if choice & 4 == 0 { State::Moved } else { State::Ended };
    let store = Store::with(Format::Json, state, payload).await;
    let successor = store.stored(&store.key).await.successor();
    if let Some(id) = successor {
        assert!(state == State::Moved && id.as_text().as_bytes() == payload && payload.len() == KEY_LENGTH);
    }
    let session = store.open(&store.key).await;
    assert!(session.key().is_none() && session.items().is_empty());
    session.flush().await.expect("a logout with an old key");
}

/// A payload that is refused whole gives an empty session, which is saved under a key of its own.
async fn refused(store: &Store, session: &Session<InMemorySessionBackend>, payload: &[u8]) {
    let valid = serde_json::from_slice::<Members>(payload).is_ok();
    assert!(!valid || store.damage.count() == 0, "valid JSON is no damage");
    assert!(session.items().is_empty() && session.set("a", 1).is_ok());
    session.save().await.expect("a new session");
    assert!(session.key().is_some_and(|key| key != store.key));
}

/// Every way to read the fields says the same.
fn check_items(session: &Session<InMemorySessionBackend>, items: &[(String, Value)]) {
    let values: Vec<&Value> = items.iter().map(|(_, value)| value).collect();
    assert_eq!(session.values().iter().collect::<Vec<_>>(), values);
    assert!(items.iter().all(|(name, _)| name != RESERVED), "the framework's member is hidden");
    let names = session.keys();
    assert!(names.len() >= items.len() && session.len() == names.len());
    for (name, value) in model(items).iter().take(LOOKED_AT) {
        assert!(names.contains(name) && session.contains_key(name));
        let get = session.get::<Value>(name);
        assert_eq!(get.ok().flatten().as_ref(), Some(value), "items and get agree");
        same_as::<bool>(session, name, value);
        same_as::<u64>(session, name, value);
        same_as::<i8>(session, name, value);
        same_as::<f64>(session, name, value);
        same_as::<String>(session, name, value);
        same_as::<Option<char>>(session, name, value);
        same_as::<IpAddr>(session, name, value);
        same_as::<Vec<Value>>(session, name, value);
        same_as::<(u8, String)>(session, name, value);
        same_as::<BTreeMap<String, i64>>(session, name, value);
    }
    assert!(!session.contains_key(RESERVED) && !matches!(session.get::<Value>(RESERVED), Ok(Some(_))));
}

/// A type reads from a stored value what it reads from the same value of `serde_json`.
fn same_as<T: DeserializeOwned + PartialEq + fmt::Debug>(
    session: &Session<InMemorySessionBackend>,
    name: &str,
    value: &Value,
) {
    let read = session.get::<T>(name);
    let kind = read.as_ref().err().map(|error| error.kind());
    assert!(kind.is_none_or(|kind| kind == ErrorKind::Corrupted));
    assert_eq!(read.ok().flatten(), serde_json::from_value::<T>(value.clone()).ok());
}

/// The members of a JSON object in their order, with those that come twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

/// What is valid JSON to `serde_json` reads the same here.
fn compare_with_serde(payload: &[u8], items: &[(String, Value)], whole: bool) {
    let Ok(Members(members)) = serde_json::from_slice(payload) else { return };
    assert!(whole, "valid JSON is no damage");
    let (mut all, ours) = (model(&members), model(items));
    all.remove(RESERVED);
    if members.iter().any(|(name, _)| name == RESERVED) {
        // Fields whose time is over are missing.
        assert!(ours.iter().all(|(name, value)| all.get(name) == Some(value)));
    } else {
        assert_eq!(ours, all);
    }
}

/// By name; where a foreign writer gave a name twice, the first counts.
fn model(items: &[(String, Value)]) -> Items {
    let mut model = Items::new();
    for (name, value) in items {
        model.entry(name.clone()).or_insert_with(|| value.clone());
    }
    model
}

/// Queries over all sessions read what the session reads.
async fn compare_queries(store: &Store, expected: &Items, whole: bool) {
    let mut seen = 0;
    let visit = |stored: cloakroom_core::StoredSession| {
        seen += 1;
        match stored.items() {
            Ok(items) => assert_eq!(model(&items), *expected),
            Err(error) => assert!(!whole && error.kind() == ErrorKind::Corrupted),
        }
        for (name, value) in expected.iter().take(LOOKED_AT) {
            assert_eq!(stored.get::<Value>(name).ok().flatten().as_ref(), Some(value));
        }
        true
    };
    store.backend.each_session(&Filter::unscoped(), visit).await.expect("memory lists");
    assert_eq!(seen, 1);
}

/// A struct over the whole session, here one that takes any field.
fn compare_typed(session: &Session<InMemorySessionBackend>, items: &[(String, Value)], whole: bool) {
    let typed = TypedSession::<Items, _>::open(session);
    let last: Items = items.iter().cloned().collect();
    match typed {
        Ok(typed) => assert!(whole && *typed == last, "what is hidden by damage must not be set to defaults"),
        Err(error) => assert!(!whole && error.kind() == ErrorKind::Corrupted),
    }
}

/// Changes the session and the model alike. Says whether there was a change.
fn change(
    session: &Session<InMemorySessionBackend>,
    choice: u8,
    payload: &[u8],
    model: &mut Items,
    whole: bool,
) -> bool {
    let name = model.keys().next().cloned().unwrap_or_else(|| "added".to_owned());
    match (choice >> 2) & 0xF {
        0 => {}
        1 => {
            session.delete(&name);
            model.remove(&name);
        }
        2 => {
            if let Ok(popped) = session.pop::<Value>(&name) {
                assert_eq!(popped, model.remove(&name));
            }
        }
        3 => {
            let wrap = |old: Option<Value>| json!([old]);
            if session.update(&name, wrap).is_ok() {
                let old = model.get(&name).cloned();
                model.insert(name, wrap(old));
            }
        }
        4 => {
            let bits = payload.last_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let number = f64::from_bits(bits);
            let set = session.set("number", number).is_ok();
            assert_eq!(set, number.is_finite() && (whole || set), "finite numbers are values");
            if set {
                model.insert("number".to_owned(), json!(number));
            }
        }
        5 => {
            session.clear();
            model.clear();
        }
        6 => {
            if session.expire_field(&name, Some(Duration::from_secs(60))).is_ok_and(|there| there) {
                assert_eq!(session.field_ttl(&name).ok().flatten(), Some(Duration::from_secs(60)));
            }
        }
        7 => {
            if session.set_with_ttl(&name, "brief", Duration::from_secs(60)).is_ok() {
                model.insert(name, json!("brief"));
            }
        }
        8 => {
            session.set_expiry(Duration::from_secs(120));
        }
        9 => {
            let text = String::from_utf8_lossy(payload).into_owned();
            if !text.is_empty() && text != RESERVED && session.set(&text, &text).is_ok() {
                model.insert(text.clone(), json!(text));
            }
        }
        10 => {
            let text = String::from_utf8_lossy(payload).into_owned();
            if session.set(&name, &text).is_ok() {
                model.insert(name, json!(text));
            }
        }
        _ => {
            // Every value moves to another name.
            let moved: Vec<(String, Value)> = model
                .iter()
                .take(LOOKED_AT)
                .map(|(name, value)| (format!("{name}\"\n"), value.clone()))
                .collect();
            for (name, value) in moved {
                if session.set(&name, &value).is_ok() {
                    model.insert(name, value);
                }
            }
        }
    }
    session.is_modified()
}

/// What was saved reads the same in a session of its own.
async fn save(
    store: &Store,
    session: &Session<InMemorySessionBackend>,
    expected: &Items,
    whole: bool,
    changed: bool,
) {
    let before = store.stored(&store.key).await;
    match session.save().await {
        Ok(()) => {}
        Err(error) => {
            let deep = expected.values().any(|value| depth(value) > 100);
            let known = match error.kind() {
                ErrorKind::Corrupted => !whole,
                ErrorKind::InvalidKey => deep,
                _ => false,
            };
            assert!(known, "refused without need: {error}");
            assert!(store.stored(&store.key).await == before, "a refused save leaves what was there");
            return;
        }
    }
    let key = session.key().expect("the session was there");
    let saved = store.stored(&key).await;
    assert!(changed || saved == before, "nothing changed, nothing written");
    let again = store.open(&key).await;
    assert!(again.key().as_ref() == Some(&key), "what was saved is read again");
    for (name, value) in expected {
        assert_eq!(again.get::<Value>(name).ok().flatten().as_ref(), Some(value));
    }
    if whole {
        assert_eq!(model(&again.items()), *expected);
        // Written again without a change, it is the same, byte for byte.
        again.mark_modified();
        again.save().await.expect("a second save");
        let twice = store.stored(&key).await;
        assert!(!changed || twice.payload == saved.payload);
        assert_eq!(model(&store.open(&key).await.items()), *expected);
    }
    again.flush().await.expect("memory removes");
    assert!(store.open(&key).await.key().is_none(), "an ended session is over");
    assert!(SessionKey::parse(key.expose(), &Capability::store()).is_ok());
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

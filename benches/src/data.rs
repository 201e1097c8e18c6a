//! The sessions that everybody stores: ten fields, the same for all.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The field that is read and changed: the fifth of ten.
pub const WANTED: &str = "visits";

/// Where fields go.
pub trait Sink {
    fn put<T: Serialize + Send + Sync>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> impl Future<Output = ()> + Send;
}

/// A session of ten fields.
pub trait Payload: Clone + Send + Sync + 'static {
    /// The type of the wanted field.
    type Wanted: Serialize + DeserializeOwned + Send + Sync + 'static;
    const NAME: &'static str;

    fn make() -> Self;
    /// One for all, for handlers.
    fn make_once() -> &'static Self;
    fn fill<S: Sink + Send>(&self, sink: &mut S) -> impl Future<Output = ()> + Send;
    /// Makes another value of the wanted field.
    fn change(wanted: &mut Self::Wanted);
}

/// About 460 bytes of JSON: numbers, short strings, a flag, a list and a map.
#[derive(Clone)]
pub struct Small {
    roles: Vec<String>,
    settings: BTreeMap<String, String>,
}

impl Payload for Small {
    type Wanted = u64;
    const NAME: &'static str = "460 B";

    fn make() -> Self {
        let roles = ["reader", "editor", "reviewer", "billing", "support"];
        let settings = [
            ("density", "compact"),
            ("editor", "vim"),
            ("font", "serif"),
            ("landing", "inbox"),
            ("notify", "daily"),
            ("sort", "newest"),
            ("zone", "Europe/London"),
        ];
        Self {
            roles: roles.map(String::from).into(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        }
    }

    fn make_once() -> &'static Self {
        static ONE: std::sync::OnceLock<Small> = std::sync::OnceLock::new();
        ONE.get_or_init(Self::make)
    }

    async fn fill<S: Sink + Send>(&self, sink: &mut S) {
        sink.put("user_id", &4_211_093_u64).await;
        sink.put("name", &"Ada Lovelace").await;
        sink.put("email", &"ada.lovelace@analytical.example").await;
        sink.put("staff", &true).await;
        sink.put(WANTED, &1_000_017_u64).await;
        sink.put("theme", &"dark").await;
        sink.put("locale", &"en-GB").await;
        sink.put("roles", &self.roles).await;
        sink.put("settings", &self.settings).await;
        sink.put("last_seen", &1_790_000_123_456_i64).await;
    }

    fn change(wanted: &mut u64) {
        *wanted += 1;
    }
}

/// A map in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub id: u64,
    pub name: String,
    pub tags: Vec<String>,
    pub price: f64,
    pub stock: u32,
}

fn list(field: u64, length: u64) -> Vec<Item> {
    let item = |index: u64| Item {
        id: 1_000_000 + field * 100 + index,
        name: format!("Wooden chair number {index} of {field}"),
        tags: vec![String::from("oak"), String::from("indoor")],
        price: 19.5 + index as f64,
        stock: (field * 10 + index) as u32,
    };
    (0..length).map(item).collect()
}

const LISTS: [&str; 9] =
    ["basket", "compared", "delivered", "gifts", "ordered", "returned", "seen", "shared", "wished"];

/// About 8 KB of JSON: nine lists of maps, four before the wanted number and five behind it.
#[derive(Clone)]
pub struct Large {
    lists: Vec<(&'static str, Vec<Item>)>,
}

impl Payload for Large {
    type Wanted = u64;
    const NAME: &'static str = "8 KB";

    fn make() -> Self {
        let lists = LISTS.into_iter().zip(0..);
        Self { lists: lists.map(|(name, at)| (name, list(at, if at < 8 { 9 } else { 8 }))).collect() }
    }

    fn make_once() -> &'static Self {
        static ONE: std::sync::OnceLock<Large> = std::sync::OnceLock::new();
        ONE.get_or_init(Self::make)
    }

    async fn fill<S: Sink + Send>(&self, sink: &mut S) {
        for (name, list) in &self.lists[..4] {
            sink.put(name, list).await;
        }
        sink.put(WANTED, &1_000_017_u64).await;
        for (name, list) in &self.lists[4..] {
            sink.put(name, list).await;
        }
    }

    fn change(wanted: &mut u64) {
        *wanted += 1;
    }
}

/// The same, but the wanted field is itself a list of maps of 800 bytes: what is read and written is mostly the value.
#[derive(Clone)]
pub struct Nested {
    rest: Large,
    wanted: Vec<Item>,
}

impl Payload for Nested {
    type Wanted = Vec<Item>;
    const NAME: &'static str = "8 KB, nested field";

    fn make() -> Self {
        Self { rest: Large::make(), wanted: list(9, 8) }
    }

    fn make_once() -> &'static Self {
        static ONE: std::sync::OnceLock<Nested> = std::sync::OnceLock::new();
        ONE.get_or_init(Self::make)
    }

    async fn fill<S: Sink + Send>(&self, sink: &mut S) {
        for (name, list) in &self.rest.lists[..4] {
            sink.put(name, list).await;
        }
        sink.put(WANTED, &self.wanted).await;
        for (name, list) in &self.rest.lists[4..] {
            sink.put(name, list).await;
        }
    }

    fn change(wanted: &mut Vec<Item>) {
        wanted[3].stock += 1;
    }
}

/// The bytes of JSON of a payload.
pub async fn json_size<P: Payload>() -> usize {
    struct Json(serde_json::Map<String, serde_json::Value>);
    impl Sink for Json {
        async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
            self.0.insert(name.to_owned(), serde_json::to_value(value).expect("a value of JSON"));
        }
    }
    let mut json = Json(serde_json::Map::new());
    P::make().fill(&mut json).await;
    serde_json::to_string(&json.0).expect("a text").len()
}

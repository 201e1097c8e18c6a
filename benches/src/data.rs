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
    fn fill<S: Sink + Send>(&self, sink: &mut S) -> impl Future<Output = ()> + Send;
    /// Makes another value of the wanted field.
    fn change(wanted: &mut Self::Wanted);
}

/// About 460 bytes of JSON: numbers, short strings, a flag, a list and a map.
#[derive(Clone)]
pub struct Small {
    cart: Vec<u32>,
    stock: BTreeMap<String, u32>,
}

impl Payload for Small {
    type Wanted = u64;
    const NAME: &'static str = "460 B";

    fn make() -> Self {
        let stock = [("chair", 3), ("table", 1), ("lamp", 12)];
        Self {
            cart: vec![100_231, 100_877, 104_093, 110_002],
            stock: stock.map(|(name, count)| (name.to_owned(), count)).into(),
        }
    }

    async fn fill<S: Sink + Send>(&self, sink: &mut S) {
        sink.put("user_id", &4_211_093_u64).await;
        sink.put("name", &"Ada Lovelace, Countess of Lovelace").await;
        sink.put("email", &"ada.lovelace@analytical.example.org").await;
        sink.put("staff", &true).await;
        sink.put(WANTED, &1_000_017_u64).await;
        sink.put("theme", &"solarized dark, large type").await;
        sink.put("referrer", &"https://www.example.org/catalogue/furniture/living-room?page=3&sort=newest-first&in-stock=yes&colour=oak").await;
        sink.put("cart", &self.cart).await;
        sink.put("stock", &self.stock).await;
        sink.put("nonce", &"6c1f4c2e9b7d4a58a3de0b1277f9e6d45a0c93b2f60d1e8a7b5c4d3e2f1a0b9c").await;
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

/// About 8 KB of JSON: ten lists of maps.
#[derive(Clone)]
pub struct Large {
    lists: Vec<(&'static str, Vec<Item>)>,
}

impl Payload for Large {
    type Wanted = Vec<Item>;
    const NAME: &'static str = "8 KB";

    fn make() -> Self {
        let names = ["a1", "b2", "c3", "d4", WANTED, "f6", "g7", "h8", "i9", "j10"];
        let list = |field: u64| {
            let item = |index: u64| Item {
                id: 1_000_000 + field * 100 + index,
                name: format!("Wooden chair number {index} of {field}"),
                tags: vec![String::from("oak"), String::from("indoor")],
                price: 19.5 + index as f64,
                stock: (field * 10 + index) as u32,
            };
            (0..8).map(item).collect()
        };
        Self { lists: names.into_iter().enumerate().map(|(at, name)| (name, list(at as u64))).collect() }
    }

    async fn fill<S: Sink + Send>(&self, sink: &mut S) {
        for (name, list) in &self.lists {
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

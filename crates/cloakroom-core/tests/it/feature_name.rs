//! F01: typed values by name, with a lifetime in seconds.
use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::*;

#[tokio::test]
async fn value_saved_by_name_typed_and_gone_after_its_seconds() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let stock: BTreeMap<String, u32> = [("tea".to_owned(), 3), ("salt".to_owned(), 5)].into();

    backend.save("stock", &stock, Some(60)).await.unwrap();
    backend.save("motto", "gone is gone", None).await.unwrap();
    assert_eq!(backend.load::<BTreeMap<String, u32>>("stock").await.unwrap(), Some(stock));
    let unfit = backend.load::<Vec<u8>>("stock").await.unwrap_err();
    assert_eq!(unfit.kind(), ErrorKind::Corrupted);

    manual.advance(Duration::from_millis(59_999));
    assert!(backend.exists("stock").await.unwrap());
    manual.advance(Duration::from_millis(1));
    assert!(!backend.exists("stock").await.unwrap());
    assert_eq!(backend.load::<BTreeMap<String, u32>>("stock").await.unwrap(), None);
    assert!(!backend.delete("stock").await.unwrap());

    backend.save("motto", "nothing is lost", None).await.unwrap();
    assert_eq!(backend.load::<String>("motto").await.unwrap().as_deref(), Some("nothing is lost"));
    assert!(backend.delete("motto").await.unwrap());
    assert_eq!(backend.load::<String>("motto").await.unwrap(), None);
}

#[tokio::test]
async fn name_of_any_text_up_to_4096_bytes_reaches_its_own_value() {
    let backend = InMemorySessionBackend::new();
    let longest = "n".repeat(4096);
    for name in ["a", "A", "../../etc/passwd", "'; DROP TABLE x; --", "snow ☃", &longest] {
        backend.save(name, name, None).await.unwrap();
    }
    for name in ["a", "A", "../../etc/passwd", "'; DROP TABLE x; --", "snow ☃", &longest] {
        assert_eq!(backend.load::<String>(name).await.unwrap().as_deref(), Some(name));
    }
    for refused in [String::new(), "n".repeat(4097)] {
        assert_eq!(backend.save(&refused, &1, None).await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
}

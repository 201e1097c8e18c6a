//! F07: what every session tells about itself.
use std::time::Duration;

use cloakroom_core::*;

#[tokio::test]
async fn times_of_a_session_through_its_life_kept_with_it() {
    let manual = ManualClock::new();
    let backend = InMemorySessionBackend::with_clock(manual.clock());
    let (begin, minute) = (manual.now(), Duration::from_secs(60));
    let session = Session::new(backend.clone());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();

    manual.advance(10 * minute);
    let reader = Session::with_key(backend.clone(), session.key().unwrap());
    reader.load().await.unwrap();
    assert_eq!((reader.created_at(), reader.accessed_at()), (begin, begin));
    assert_eq!(reader.expiry_date(), Some(begin + 60 * minute));
    reader.get::<u8>("a").unwrap();
    reader.finish().await.unwrap();
    assert_eq!(reader.accessed_at(), manual.now(), "a use that was told to the store");
    assert_eq!(reader.expiry_date(), Some(manual.now() + 60 * minute));

    manual.advance(10 * minute);
    reader.cycle_key().await.unwrap();
    let moved = Session::with_key(backend, reader.key().unwrap());
    moved.load().await.unwrap();
    assert_eq!((moved.created_at(), moved.accessed_at()), (begin, begin + 20 * minute));
    assert_eq!(moved.time_until_expiry(), Some(60 * minute));
}

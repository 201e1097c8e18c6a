//! Keys that change while the site runs.

use cloakroom_core::{ErrorKind, SessionBackend, Write};

use crate::place::{Place, SECRET, kind};

#[tokio::test]
async fn servers_at_every_step_of_a_rotation_read_each_other() {
    let place = Place::new();
    let steps = [place.with([1]), place.with([1, 2]), place.with([2, 1]), place.with([2])];
    // Servers are at most one step apart.
    for pair in steps.windows(2).take(2) {
        for (writer, reader) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let session = place.create(writer, &place.record(SECRET)).await;
            assert!(reader.read(&session).await.unwrap().is_some());
        }
    }
    let session = place.create(&steps[2], &place.record(SECRET)).await;
    assert!(steps[3].read(&session).await.unwrap().is_some());
}

#[tokio::test]
async fn first_key_seals_and_a_dropped_key_opens_nothing() {
    let place = Place::new(); // CV-25
    let rotated = place.with([2, 1]);
    let session = place.create(&rotated, &place.record(SECRET)).await;
    assert!(place.with([2]).read(&session).await.unwrap().is_some());
    assert_eq!(kind(place.with([1]).read(&session).await), ErrorKind::Corrupted);
}

#[tokio::test]
async fn save_seals_with_the_new_key() {
    let place = Place::new();
    let record = place.record(SECRET);
    let session = place.create(&place.with([1]), &record).await;
    let rotated = place.with([2, 1]);
    let read = rotated.read(&session).await.unwrap().unwrap();
    let next = read.clone().with_version(read.version.next(place.clock.now()));
    rotated.write(&session, next, Write::update(read.version)).await.unwrap();
    assert!(place.with([2]).read(&session).await.unwrap().is_some());
}

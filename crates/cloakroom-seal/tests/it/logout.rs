//! A logout ends the session, whatever became of the text that it shows.

use std::time::Duration;

use cloakroom_core::{ErrorKind, Record, Session, SessionBackend, SessionKey, Touch, Write};

use crate::client::{kind, next, record};
use crate::revocation::{owner, stage};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Somebody who stole the cookie and kept it fresh is out, too, when its owner signs out with the stale one.
#[tokio::test]
async fn removed_by_a_text_that_is_over_newer_one_ends_too() {
    let stage = stage();
    for way in ["remove", "tombstone", "newer tombstone", "moved", "logout"] {
        for owner in [None, Some(owner("user:1"))] {
            let kept = record(&stage.clock, "{}").with_owner(owner);
            let old = stage.create(&kept).await;
            stage.clock.advance(MINUTE * 50);
            let touch = Touch::new(kept.version, stage.clock.now() + HOUR);
            let newer = stage.backend.touch(&old, touch).await.unwrap().unwrap();
            stage.clock.advance(MINUTE * 20);
            assert!(!stage.lives(&old).await && stage.lives(&newer).await);
            let old = SessionKey::parse(old.expose(), &stage.backend.capability()).unwrap();
            let (now, end) = (stage.clock.now(), stage.clock.now() + HOUR);
            let tombstone = Record::ended(now, end);
            match way {
                "remove" => assert!(!stage.remove(&old).await, "what was shown was over"),
                "tombstone" => {
                    stage.backend.write(&old, tombstone, Write::overwrite()).await.unwrap();
                }
                "newer tombstone" => {
                    stage.backend.write(&old, tombstone, Write::newer()).await.unwrap();
                }
                "moved" => {
                    let moved = Record::moved(SessionKey::generate().unwrap().id(), now, end);
                    stage.backend.write(&old, moved, Write::overwrite()).await.unwrap();
                }
                _ => {
                    let session = Session::from_key(stage.backend.clone(), old.expose()).await.unwrap();
                    assert!(session.is_empty());
                    session.flush().await.unwrap();
                }
            }
            assert!(!stage.lives(&newer).await, "{way}");
            stage.clock.advance(MINUTE * 35);
            stage.kept.sweep(1_000).await.unwrap();
            assert!(!stage.lives(&newer).await, "{way}, just before its end");
        }
    }
}

/// A session that changed hands ends with all its texts, also those of the owner whose sessions were not revoked.
#[tokio::test]
async fn removed_by_a_revoked_text_newer_one_of_another_owner_ends_too() {
    let stage = stage();
    let kept = stage.owned();
    let old = stage.create(&kept).await;
    let given = next(&stage.clock, &kept, "x").with_owner(Some(owner("user:2")));
    let newer = stage.update(&old, &kept, given).await;
    stage.revoke(None).await;
    assert!(!stage.lives(&old).await && stage.lives(&newer).await);
    assert!(!stage.remove(&old).await);
    assert!(!stage.lives(&newer).await);
}

#[tokio::test]
async fn burial_of_a_text_that_nobody_sealed_is_refused() {
    let stage = stage();
    let foreign = SessionKey::parse("no-text-of-ours", &stage.backend.capability()).unwrap();
    let tombstone = Record::ended(stage.clock.now(), stage.clock.now() + HOUR);
    let modes = [Write::create(), Write::overwrite(), Write::newer(), Write::update(tombstone.version)];
    for how in modes {
        assert_eq!(kind(stage.backend.write(&foreign, tombstone.clone(), how).await), ErrorKind::Gone);
    }
    assert_eq!(stage.kept().await, 0);
}

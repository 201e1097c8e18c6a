//! All sessions of an owner end at once, whatever the clocks say, and stay ended.

use std::time::Duration;

use cloakroom_core::{Filter, ManualClock, Removal, SessionBackend, SessionKey, Write};

use crate::client::{backend, next, record};
use crate::revocation::{owner, stage};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
/// No clock takes part in a revocation: neither one that is set back nor two that differ save a session from it.
#[tokio::test]
async fn revoked_owner_whatever_the_clocks_say_all_before_refused_and_all_after_live() {
    for apart in [MINUTE * 6, DAY] {
        let stage = stage();
        let owned = || stage.owned().with_expires_at(Some(stage.clock.now() + DAY * 7));
        let before = stage.create(&owned()).await;
        let spared = stage.create(&owned()).await;
        stage.clock.step_back(apart);
        stage.revoke(Some(&spared)).await;
        let after = stage.create(&owned()).await;
        for _ in 0..2 {
            assert!(!stage.lives(&before).await, "{apart:?}");
            assert!(stage.lives(&after).await && stage.lives(&spared).await, "{apart:?}");
            stage.clock.advance(apart);
        }

        let behind = ManualClock::new();
        behind.set(stage.clock.now() - apart);
        let revoker = backend(&behind).with_revocation(stage.kept.clone()).unwrap();
        let filter = Filter::unscoped().with_owner(owner("user:1"));
        let ahead = stage.create(&owned()).await;
        revoker.remove_all(&filter, Removal::Revoked).await.unwrap();
        for key in [&after, &spared, &ahead] {
            assert!(!stage.lives(key).await, "{apart:?}");
        }
        let kept = owned();
        let behind = revoker.write(&SessionKey::generate().unwrap(), kept, Write::create()).await.unwrap();
        assert!(stage.lives(&behind).await, "begun afterwards by the clock that is behind");
    }
}

/// Of revocations at once that each spare another session, the last spares one at most, and the others end it.
#[tokio::test]
async fn revocations_of_others_at_once_at_most_one_survives() {
    let stage = stage();
    for round in 0..30 {
        if round % 2 == 0 {
            stage.revoke(None).await;
        }
        let mut keys = Vec::new();
        for _ in 0..4 {
            keys.push(stage.create(&stage.owned()).await);
        }
        futures_util::future::join_all(keys.iter().map(|key| stage.revoke(Some(key)))).await;
        let mut lives = 0;
        for key in &keys {
            lives += u32::from(stage.lives(key).await);
        }
        assert!(lives <= 1, "{lives}");
    }
}

/// An operator who ends every session of the backend that keeps the revocations ends none of them.
#[tokio::test]
async fn kept_is_no_session_to_its_own_backend() {
    let stage = stage();
    let revoked = stage.create(&stage.owned()).await;
    stage.revoke(None).await;
    let long = record(&stage.clock, "{}").with_expires_at(Some(stage.clock.now() + DAY * 30));
    let old = stage.create(&long).await;
    let short = next(&stage.clock, &long, "x").with_expires_at(Some(stage.clock.now() + HOUR));
    let short = stage.update(&old, &long, short).await;
    let everything = Filter::everywhere();
    assert_eq!(stage.kept.count(&everything).await.unwrap(), 0);
    assert!(stage.kept.scan(&everything, None, 10).await.unwrap().entries.is_empty());
    assert_eq!(stage.kept.remove_all(&everything, Removal::Revoked).await.unwrap(), 0);
    assert!(!stage.lives(&revoked).await);
    // The note is still there: the marker lasts as long as the longest text.
    assert!(stage.remove(&short).await);
    assert_eq!(stage.kept.remove_all(&everything, Removal::Revoked).await.unwrap(), 0);
    stage.clock.advance(DAY * 29);
    stage.kept.sweep(100).await.unwrap();
    assert!(!stage.lives(&old).await && !stage.lives(&revoked).await);
}

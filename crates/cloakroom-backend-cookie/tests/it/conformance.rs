//! The clauses of the contract that client-side sessions declare.

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, SealKey};
use cloakroom_core::InMemorySessionBackend;

fn ring() -> KeyRing {
    KeyRing::new([SealKey::generate().unwrap()]).unwrap()
}

cloakroom_testkit::conformance!(sealed, |clock| async move {
    CookieSessionBackend::new(ring()).with_clock(clock)
});

cloakroom_testkit::conformance!(signed_only, |clock| async move {
    CookieSessionBackend::signed_only(ring()).with_clock(clock)
});

cloakroom_testkit::conformance!(revocable, |clock| async move {
    let ended = InMemorySessionBackend::with_clock(clock.clone());
    CookieSessionBackend::new(ring()).with_clock(clock).with_revocation(ended).unwrap()
});

cloakroom_testkit::conformance!(split, |clock| async move {
    CookieSessionBackend::new(ring()).with_clock(clock).with_split(4).unwrap()
});

//! The tests of the seal: the envelope, and client-side sessions over a codec for tests.

#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod codec;
#[cfg(feature = "envelope")]
mod envelope;
mod generation;
mod life;
mod logout;
mod revocation;

use cloakroom_core::{InMemorySessionBackend, SharedBackend};
use cloakroom_seal::ClientSideBackend;

use codec::Signed;

cloakroom_testkit::conformance!(plain, |clock| async move {
    ClientSideBackend::new(Signed::new(1)).with_clock(clock)
});

cloakroom_testkit::conformance!(revocable, |clock| async move {
    let ended = InMemorySessionBackend::with_clock(clock.clone());
    let backend = ClientSideBackend::new(Signed::new(1)).with_clock(clock).with_revocation(ended);
    backend.expect("a store keeps what ended")
});

cloakroom_testkit::conformance!(revocable_and_shared, |clock| async move {
    use cloakroom_core::SessionBackendExt;

    let ended = InMemorySessionBackend::with_clock(clock.clone());
    let backend = ClientSideBackend::new(Signed::new(1)).with_clock(clock).with_revocation(ended);
    let backend: SharedBackend = backend.expect("a store keeps what ended").shared();
    backend
});

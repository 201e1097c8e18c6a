//! The tests of the test kit.

use cloakroom_testkit::core::{InMemorySessionBackend, SessionBackendExt};

cloakroom_testkit::conformance!(memory, |clock| async move { InMemorySessionBackend::with_clock(clock) });

cloakroom_testkit::conformance!(
    shared,
    |clock| async move { InMemorySessionBackend::with_clock(clock).shared() }
);

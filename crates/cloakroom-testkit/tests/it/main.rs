//! The tests of the test kit.

use cloakroom_testkit::core::{InMemorySessionBackend, SessionBackendExt};
use cloakroom_testkit::{Faulty, Spy};

mod broken;
mod sealed;
mod self_test;
mod service;
mod spying;

cloakroom_testkit::conformance!(memory, |clock| async move { InMemorySessionBackend::with_clock(clock) });

cloakroom_testkit::conformance!(
    shared,
    |clock| async move { InMemorySessionBackend::with_clock(clock).shared() }
);

cloakroom_testkit::conformance!(
    spy,
    |clock| async move { Spy::new(InMemorySessionBackend::with_clock(clock)) }
);

cloakroom_testkit::conformance!(faulty, |clock| async move {
    Faulty::new(InMemorySessionBackend::with_clock(clock))
});

cloakroom_testkit::conformance!(skipped, optional | _clock | async move { None::<InMemorySessionBackend> });

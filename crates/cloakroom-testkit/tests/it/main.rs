//! The tests of the test kit.

use std::sync::Arc;

use cloakroom_testkit::core::{InMemorySessionBackend, SharedBackend};

cloakroom_testkit::conformance!(memory, |clock| async move { InMemorySessionBackend::with_clock(clock) });

cloakroom_testkit::conformance!(shared, |clock| async move {
    Arc::new(InMemorySessionBackend::with_clock(clock)) as SharedBackend
});

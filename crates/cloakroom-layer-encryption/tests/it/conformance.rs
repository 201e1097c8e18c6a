//! The whole contract, with owners in plain, hashed, and while their names change.

use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
use cloakroom_layer_encryption::EncryptionLayer;

use crate::place::{key, ring};

cloakroom_testkit::conformance!(in_memory, |clock| async move {
    InMemorySessionBackend::with_clock(clock).layer(EncryptionLayer::new(ring([1, 2])))
});

cloakroom_testkit::conformance!(in_memory_hashed_owner, |clock| async move {
    let layer = EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9));
    InMemorySessionBackend::with_clock(clock).layer(layer)
});

cloakroom_testkit::conformance!(in_memory_renamed_owner, |clock| async move {
    let layer = EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9));
    let layer = layer.with_former_owner_key(&key(8)).with_former_plain_owner();
    InMemorySessionBackend::with_clock(clock).layer(layer)
});

cloakroom_testkit::conformance!(in_memory_twice, |clock| async move {
    let inner = InMemorySessionBackend::with_clock(clock).layer(EncryptionLayer::new(ring([1])));
    inner.layer(EncryptionLayer::new(ring([1])))
});

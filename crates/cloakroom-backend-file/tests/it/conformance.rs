//! The whole contract, with each durability.

use cloakroom_backend_file::Durability;

cloakroom_testkit::conformance!(unsynced, |clock| crate::place::backend(clock, Durability::None));

cloakroom_testkit::conformance!(synced, |clock| crate::place::backend(clock, Durability::File));

//! Layers of cloakroom on the backends they are used with: see `tests/it`.

//! The chapters of the book, so that `cargo test -p book-check --doc` compiles and runs their code.
//!
//! A new chapter is one line here and one in `docs/src/SUMMARY.md`.

macro_rules! chapters {
    ($($name:ident = $file:literal,)*) => {$(
        #[cfg(doctest)]
        #[doc = include_str!($file)]
        mod $name {}
    )*};
}

chapters! {
    introduction = "../../src/introduction.md",
    quick_start = "../../src/quick-start.md",
    handlers = "../../src/handlers.md",
    lifetimes = "../../src/lifetimes.md",
    keys = "../../src/keys.md",
    owners = "../../src/owners.md",
    middleware = "../../src/middleware.md",
    backends = "../../src/backends.md",
    backend_file = "../../src/backend-file.md",
    backend_cookie = "../../src/backend-cookie.md",
    backend_jwt = "../../src/backend-jwt.md",
    layers = "../../src/layers.md",
    encryption = "../../src/encryption.md",
    compression = "../../src/compression.md",
    replication = "../../src/replication.md",
    tenancy = "../../src/tenancy.md",
    formats = "../../src/formats.md",
    queries = "../../src/queries.md",
    analytics = "../../src/analytics.md",
    observers = "../../src/observers.md",
    errors = "../../src/errors.md",
    security = "../../src/security.md",
    operations = "../../src/operations.md",
    own_backend = "../../src/own-backend.md",
    migrating = "../../src/migrating.md",
}

//! A site whose sessions are counted, with the `/metrics` that Prometheus reads.

mod site;

pub use site::Site;

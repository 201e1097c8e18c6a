//! The real program, on a free port, visited over a socket.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod browser;
mod forwarder;
mod program;
mod stack;
mod visit;

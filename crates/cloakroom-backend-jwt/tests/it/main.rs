//! The tests of sessions in tokens.

#![expect(clippy::unwrap_used, reason = "tests")]

mod attack;
mod claims;
mod connect;
mod key;
mod life;

use std::time::Duration;

use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_core::{
    Clock, ErrorKind, InMemorySessionBackend, ManualClock, Record, SessionBackend, SessionKey, Write,
};

const HOUR: Duration = Duration::from_secs(3600);

fn hs256() -> JwtKey {
    JwtKey::hs256(&[7; 32]).unwrap()
}

fn backend(clock: Clock) -> JwtSessionBackend {
    JwtSessionBackend::builder([hs256()]).with_clock(clock).build().unwrap()
}

fn kind<T>(result: cloakroom_core::Result<T>) -> ErrorKind {
    result.err().expect("it was accepted").kind()
}

fn record(clock: &ManualClock, payload: &str) -> Record {
    Record::new(payload.to_owned(), clock.now()).with_expires_at(Some(clock.now() + HOUR))
}

async fn create(backend: &JwtSessionBackend, record: &Record) -> SessionKey {
    backend.write(&SessionKey::generate().unwrap(), record.clone(), Write::create()).await.unwrap()
}

/// What the client shows.
fn shown(backend: &JwtSessionBackend, text: &str) -> SessionKey {
    SessionKey::parse(text, &backend.capability()).unwrap()
}

cloakroom_testkit::conformance!(hs256_alone, |clock| async move { backend(clock) });

cloakroom_testkit::conformance!(hs256_revocable, |clock| async move {
    let ended = InMemorySessionBackend::with_clock(clock.clone());
    let backend = JwtSessionBackend::builder([hs256()]).with_clock(clock).with_revocation(ended);
    backend.build().unwrap()
});

cloakroom_testkit::conformance!(eddsa_with_all_settings, |clock| async move {
    let ended = InMemorySessionBackend::with_clock(clock.clone());
    let keys = [JwtKey::eddsa_pem(key::ED25519).unwrap(), hs256(), JwtKey::es384_pem(key::P384).unwrap()];
    let backend = JwtSessionBackend::builder(keys).with_issuer("https://shop.example").with_audience("shop");
    let backend = backend.with_audience("till").with_required_claim("sid").with_max_length(8192);
    backend.with_clock(clock).with_revocation(ended).build().unwrap()
});

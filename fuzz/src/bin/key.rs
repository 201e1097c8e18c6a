//! What clients and operators send as key, id, scope or owner.
#![cfg_attr(fuzzing, no_main)]

use cloakroom_core::{Capability, KEY_LENGTH, Owner, Scope, SessionId, SessionKey};
use sha2::{Digest, Sha256};

cloakroom_fuzz::target!(key);

const SEALED: usize = 4096;
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    secret(text);
    sealed(text);
    named(text);
    id(text);
    scope(text);
    owner(text);
}

fn secret(text: &str) {
    let parsed = SessionKey::parse(text, &Capability::store());
    assert_eq!(parsed.is_ok(), decoded(text).is_some(), "keys are canonical base64url of 32 bytes");
    let Ok(key) = parsed else { return };
    assert_eq!(key.expose(), text);
    assert_eq!(key.id(), hashed(text));
    assert_eq!(Some(&key), SessionKey::from_name(text).ok().as_ref());
    keeps_secret(&key);
}

fn sealed(text: &str) {
    let parsed = SessionKey::parse(text, &Capability::sealed(SEALED, SEALED));
    let allowed = |c: char| ALPHABET.contains(c) || c == '.' || c == '~';
    assert_eq!(parsed.is_ok(), (1..=SEALED).contains(&text.len()) && text.chars().all(allowed));
    let Ok(key) = parsed else { return };
    assert_eq!(key.expose(), text);
    assert_eq!(key.id(), hashed(text));
    let (clone, stable) = (key.clone(), SessionId::from_bytes([7; 32]));
    key.opened(stable);
    assert_eq!((clone.id(), key.id()), (stable, stable));
    keeps_secret(&key);
}

fn named(text: &str) {
    let named = SessionKey::from_name(text);
    assert_eq!(named.is_ok(), (1..=4096).contains(&text.len()));
    let Ok(key) = named else { return };
    assert_eq!((key.expose(), key.id()), (text, hashed(text)));
    keeps_secret(&key);
}

fn keeps_secret(key: &SessionKey) {
    assert_eq!(format!("{key:?} {key}"), "SessionKey(redacted) (redacted)");
    let scope = Scope::parse("scope:").expect("a scope");
    let scoped = key.scoped(&scope);
    assert!(scoped != *key && scoped.id() == key.id() && scoped.unscoped() == *key);
    let address = SessionKey::from_id(key.id());
    assert!(address != *key && address.is_address() && address.expose().is_empty());
}

fn id(text: &str) {
    let parsed = text.parse::<SessionId>().ok();
    assert_eq!(parsed.map(|id| *id.as_bytes()), decoded(text), "ids are canonical base64url of 32 bytes");
    let Some(id) = parsed else { return };
    assert_eq!(&*id.as_text(), text);
    let key = SessionKey::parse(text, &Capability::store()).expect("shaped like a key");
    assert_ne!(key.id(), id, "an id fed back as a key must find nothing");
}

fn scope(text: &str) {
    let parsed = Scope::parse(text);
    let allowed = |c: char| matches!(c, '!'..='~') && !"\"'`\\*?[]".contains(c);
    assert_eq!(parsed.is_ok(), (1..=255).contains(&text.len()) && text.chars().all(allowed));
    assert!(parsed.is_err() || parsed.is_ok_and(|scope| scope.as_str() == text));
}

fn owner(text: &str) {
    let parsed = Owner::parse(text);
    assert_eq!(parsed.is_ok(), (1..=255).contains(&text.len()) && !text.contains(char::is_control));
    let Ok(owner) = parsed else { return };
    assert_eq!((owner.as_str(), format!("{owner:?}").as_str()), (text, "Owner(redacted)"));
}

fn hashed(text: &str) -> SessionId {
    SessionId::from_bytes(Sha256::digest(text).into())
}

/// Base64url bit by bit, to compare with.
fn decoded(text: &str) -> Option<[u8; 32]> {
    if text.len() != KEY_LENGTH {
        return None;
    }
    let (mut out, mut bits, mut held, mut at) = ([0; 32], 0_u32, 0, 0);
    for c in text.chars() {
        bits = (bits << 6) | u32::try_from(ALPHABET.find(c)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out[at] = (bits >> held) as u8;
            bits &= (1 << held) - 1;
            at += 1;
        }
    }
    (bits == 0).then_some(out)
}

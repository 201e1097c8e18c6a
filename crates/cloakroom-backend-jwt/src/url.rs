//! `jwt:?key=…&issuer=…`. What is wrong with a URL is said without showing any of it: it holds secrets.

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_core::{Result, SessionError};
use zeroize::Zeroizing;

use crate::builder::JwtBuilder;
use crate::error::config;
use crate::key::JwtKey;

fn wrong(message: &'static str) -> SessionError {
    config("connect", message)
}

pub(crate) fn parse(url: &str) -> Result<JwtBuilder> {
    let query =
        url.strip_prefix("jwt:?").ok_or_else(|| wrong("the URL is jwt:?key=… and more parameters"))?;
    let (mut keys, mut issuer, mut audiences) = (Vec::new(), None, Vec::new());
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("key", value)) => keys.push(key(value)?),
            Some(("issuer", value)) if issuer.is_none() => issuer = Some(unescaped(value)?),
            Some(("audience", value)) => audiences.push(unescaped(value)?),
            _ => return Err(wrong("the parameters are key, issuer (once) and audience")),
        }
    }
    let builder = JwtBuilder::new(keys);
    let builder = audiences.into_iter().fold(builder, JwtBuilder::with_audience);
    Ok(issuer.into_iter().fold(builder, JwtBuilder::with_issuer))
}

fn key(value: &str) -> Result<JwtKey> {
    let secret = Base64UrlUnpadded::decode_vec(value).map(Zeroizing::new);
    JwtKey::hs256(&secret.map_err(|_| wrong("a key is base64url without padding"))?)
}

/// Undoes percent-encoding.
fn unescaped(value: &str) -> Result<String> {
    let invalid = || wrong("a parameter is empty or its percent-encoding is wrong");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (code, after) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let [high, low] = code.map(digit);
        bytes.push(high.ok_or_else(invalid)? << 4 | low.ok_or_else(invalid)?);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).ok_or_else(invalid)
}

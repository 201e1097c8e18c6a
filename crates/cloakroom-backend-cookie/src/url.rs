//! `cookie:?key=…&name=…`.

use std::io::Read;

use cloakroom_core::{ErrorKind, Result, SessionError};
use cloakroom_seal::{KeyRing, Passphrase, SealKey};
use zeroize::Zeroizing;

use crate::codec::CookieCodec;
use crate::error::{NAME, invalid};

/// A file of keys is small; a larger one is another file.
const MAX_FILE: u64 = 64 * 1024;

pub(crate) async fn parse(url: &str) -> Result<CookieCodec> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let query = rest.strip_prefix('?').filter(|_| scheme.eq_ignore_ascii_case("cookie"));
    let query = query.ok_or_else(|| refused("it has the form cookie:?key=…"))?;
    let mut keys = Vec::new();
    let mut name = None;
    for parameter in query.split('&') {
        let (parameter, value) =
            parameter.split_once('=').ok_or_else(|| refused("a parameter has no value"))?;
        let value = decode(value)?;
        match parameter {
            "key" => keys.push(SealKey::parse(&value)?),
            "key_file" => keys.extend(blocking(move || read(&value)).await??),
            "passphrase" => keys.push(derive(Passphrase::new(&value)?).await?),
            "name" if name.is_none() => name = Some(value),
            "name" => return Err(refused("name is given twice")),
            _ => return Err(refused("known are key, key_file, passphrase and name")),
        }
    }
    let codec = CookieCodec::new(KeyRing::new(keys)?);
    name.map_or(Ok(codec.clone()), |name| codec.with_cookie_name(&name))
}

/// Takes some tenths of a second, which async threads do not have.
pub(crate) async fn derive(passphrase: Passphrase) -> Result<SealKey> {
    blocking(move || passphrase.derive()).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        SessionError::new(ErrorKind::Unexpected, "connect")
            .with_backend(NAME)
            .with_message("the runtime stopped while keys were made ready")
    })
}

fn read(path: &str) -> Result<Vec<SealKey>> {
    let unreadable = |error: std::io::Error| {
        // The kind alone: a path is part of the URL.
        refused("the key file cannot be read").with_source(error.kind().to_string())
    };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(refused("the key file is too large"));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<SealKey> = lines.map(SealKey::parse).collect::<Result<_>>()?;
    if keys.is_empty() {
        return Err(refused("the key file holds no key"));
    }
    Ok(keys)
}

/// Without percent signs.
fn decode(value: &str) -> Result<Zeroizing<String>> {
    let malformed = || refused("a percent sign is followed by two hexadecimal digits, and bytes are UTF-8");
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = digit().zip(digit()).ok_or_else(malformed)?;
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| malformed())
}

fn refused(message: &'static str) -> SessionError {
    invalid("connect", message)
}

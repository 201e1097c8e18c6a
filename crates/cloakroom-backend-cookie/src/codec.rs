use std::fmt;

use cloakroom_core::{Result, Scope};
use cloakroom_seal::{Codec, Contents, Context, KeyRing, SEALED_OVERHEAD, SIGNED_OVERHEAD};

use crate::error::{NAME, invalid, too_large};
use crate::frame;
use crate::text::{Base64, bytes_in, characters_for};

/// What browsers keep of a cookie's name and value together, in bytes (ST-50).
pub const MAX_COOKIE: usize = 4096;
/// Over how many cookies a session can be split at most.
pub const MAX_SPLIT: usize = 4;
/// What each of several cookies spends on saying which one it is: `.1` behind the name, or `4~` before the value.
const PART_OVERHEAD: usize = 2;

/// What values are sealed for. Another layout of what is inside would get another number.
const SEALED: &str = "cloakroom cookie 1";
const SIGNED: &str = "cloakroom readable cookie 1";

/// A session as the value of a cookie: the [sealed envelope](cloakroom_seal::KeyRing) around times, owner and payload, in
/// base64url.
///
/// Bound to the cookie's name and the session's scope: a value that is moved to another cookie, or shown in another
/// scope, is refused.
#[derive(Clone)]
pub struct CookieCodec {
    ring: KeyRing,
    readable: bool,
    name: Box<str>,
    split: usize,
    base64: Base64,
}

impl CookieCodec {
    /// Sealed with the keys of a ring, for the cookie `__Host-id`.
    #[must_use]
    pub fn new(ring: KeyRing) -> Self {
        Self { ring, readable: false, name: "__Host-id".into(), split: 1, base64: Base64::new() }
    }

    /// Signed only: nobody can change what is inside, but **the client can read all of it**.
    #[must_use]
    pub fn signed_only(ring: KeyRing) -> Self {
        Self { readable: true, ..Self::new(ring) }
    }

    /// The name of the cookie (default `__Host-id`), which must be that of the middleware.
    ///
    /// # Errors
    /// `InvalidConfig` for what cannot be a cookie's name, or is longer than 255 bytes.
    pub fn with_cookie_name(mut self, name: &str) -> Result<Self> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(token) {
            return Err(invalid("name cookie", "that is not the name of a cookie"));
        }
        self.name = name.into();
        Ok(self)
    }

    /// Over how many cookies a session that does not fit into one may be split (default 1). The middleware's cookie must
    /// be told the same.
    ///
    /// # Errors
    /// `InvalidConfig` unless it is 1 to 4.
    pub fn with_split(mut self, cookies: usize) -> Result<Self> {
        if !(1..=MAX_SPLIT).contains(&cookies) {
            return Err(invalid("split cookie", "a session is split over 1 to 4 cookies"));
        }
        self.split = cookies;
        Ok(self)
    }

    const fn envelope(&self) -> usize {
        if self.readable { SIGNED_OVERHEAD } else { SEALED_OVERHEAD }
    }

    /// Calls `with` with what values are bound to.
    fn bound<T>(&self, scope: Option<&Scope>, with: impl FnOnce(&Context<'_>) -> T) -> T {
        let purpose = if self.readable { SIGNED } else { SEALED };
        let name = self.name.as_bytes();
        // No scope and one of any text differ in the number of parts.
        match scope {
            None => with(&Context::new(purpose, &[name])),
            Some(scope) => with(&Context::new(purpose, &[name, scope.as_str().as_bytes()])),
        }
    }
}

impl fmt::Debug for CookieCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieCodec")
            .field("ring", &self.ring)
            .field("readable", &self.readable)
            .field("name", &self.name)
            .field("split", &self.split)
            .finish_non_exhaustive()
    }
}

impl Codec for CookieCodec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn max_length(&self) -> usize {
        match self.split {
            1 => MAX_COOKIE - self.name.len(),
            cookies => cookies * (MAX_COOKIE - self.name.len() - PART_OVERHEAD),
        }
    }

    fn max_payload(&self) -> usize {
        bytes_in(self.max_length()) - self.envelope() - frame::OVERHEAD
    }

    fn seal(&self, scope: Option<&Scope>, contents: &Contents) -> Result<Box<str>> {
        let length = frame::length(contents);
        let text = characters_for(length + self.envelope());
        if text > self.max_length() {
            return Err(too_large(self.name.len() + text, self.name.len() + self.max_length()));
        }
        let write = |out: &mut Vec<u8>| frame::encode(contents, out);
        let value = self.bound(scope, |context| {
            if self.readable {
                Ok(self.ring.sign_with(context, length, write))
            } else {
                self.ring.seal_with(context, length, write)
            }
        })?;
        Ok(self.base64.encode(&value))
    }

    fn open(&self, scope: Option<&Scope>, text: &str) -> Option<Contents> {
        if text.len() > self.max_length() {
            return None;
        }
        let mut value = self.base64.decode(text)?;
        let frame = self.bound(scope, |context| {
            if self.readable {
                self.ring.verify(context, &value)
            } else {
                self.ring.open_in_place(context, &mut value)
            }
        })?;
        frame::decode(value, frame)
    }
}

/// For fuzzing: takes the bytes for a cookie's value, for what is in its base64, and for what is inside a seal.
#[doc(hidden)]
pub fn fuzz_open(data: &[u8]) {
    let Ok(ring) = KeyRing::new([cloakroom_seal::SealKey::from_bytes([7; 32])]) else { return };
    let scope = Scope::parse("scope").ok();
    for codec in [CookieCodec::new(ring.clone()), CookieCodec::signed_only(ring)] {
        for scope in [None, scope.as_ref()] {
            let forged = std::str::from_utf8(data).ok().and_then(|text| codec.open(scope, text));
            let guessed = codec.open(scope, &codec.base64.encode(data));
            assert!(forged.is_none() && guessed.is_none(), "a forgery was accepted");
        }
        if let Some(contents) = frame::decode(data.to_vec(), 0..data.len())
            && let Ok(text) = codec.seal(None, &contents)
        {
            assert_eq!(codec.open(None, &text), Some(contents), "what was sealed does not open");
        }
    }
}

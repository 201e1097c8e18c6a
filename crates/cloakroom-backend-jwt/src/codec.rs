use std::fmt;

use cloakroom_core::{ErrorKind, Record, Result, Scope, SessionId, Timestamp, Version};
use cloakroom_seal::{Codec, Contents};

use crate::claims::Rules;
use crate::error::{NAME, config, refuse};
use crate::key::JwtKey;
use crate::text;

/// Sessions as JSON web tokens (RFC 7519, compact serialization of RFC 7515), signed and readable by anybody.
///
/// The header that each key writes is fixed, and a token is only looked at when it begins with one of them byte for
/// byte: its text chooses neither the algorithm nor where a key is to be found. Claims are parsed after the
/// signature is verified.
pub struct JwtCodec {
    /// The first signs, all verify.
    keys: Box<[Signing]>,
    rules: Rules,
    max_length: usize,
    max_payload: usize,
}

/// A key with the header of its tokens, as it stands in them, the dot included.
struct Signing {
    key: JwtKey,
    header: Box<str>,
}

impl Signing {
    fn new(key: JwtKey) -> Self {
        let kid = key.kid().map_or_else(String::new, |kid| format!(",\"kid\":\"{kid}\""));
        let header = format!("{{\"alg\":\"{}\"{kid},\"typ\":\"JWT\"}}", key.algorithm());
        let mut text = String::new();
        text::encode(header.as_bytes(), &mut text);
        text.push('.');
        Self { key, header: text.into() }
    }
}

impl JwtCodec {
    pub(crate) fn new(keys: Vec<JwtKey>, rules: Rules, max_length: usize) -> Result<Self> {
        check(&keys)?;
        let keys: Box<[Signing]> = keys.into_iter().map(Signing::new).collect();
        let mut codec = Self { keys, rules, max_length, max_payload: 0 };
        codec.max_payload = codec.largest_payload()?;
        Ok(codec)
    }

    /// For the longest header and signature, and the longest of all numbers.
    fn largest_payload(&self) -> Result<usize> {
        let longest = Timestamp::from_millis(i64::MIN);
        let record =
            Record::new("", longest).with_version(Version::from_u64(u64::MAX)).with_expires_at(Some(longest));
        let contents = Contents { id: SessionId::from_bytes([0; 32]), generation: 0, record };
        // What is copied from the session comes out of its payload, and required claims do not count here.
        let rules = Rules { required: Vec::new(), copied: Vec::new(), ..self.rules.clone() };
        let claims = rules.compose(None, &contents)?.len();
        let around = |signing: &Signing| {
            signing.header.len() + 1 + text::characters_for(signing.key.signature_length())
        };
        let around = self.keys.iter().map(around).max().unwrap_or_default();
        let payload = self.max_length.checked_sub(around).map(text::bytes_in);
        let payload = payload.and_then(|room| room.checked_sub(claims)).map(text::bytes_in);
        payload.ok_or_else(|| config("build", "not even an empty session fits into the length of a token"))
    }
}

/// Whether these keys can be told apart, and the first can sign.
fn check(keys: &[JwtKey]) -> Result<()> {
    let Some(first) = keys.first() else { return Err(config("build", "there is no key")) };
    if !first.signs() {
        return Err(config("build", "the first key signs, and this one is public"));
    }
    if keys.len() > 1 && keys.iter().any(|key| key.kid().is_none()) {
        return Err(config("build", "one of several keys has no kid"));
    }
    for (index, key) in keys.iter().enumerate() {
        for other in keys.iter().skip(index + 1) {
            if key.kid() == other.kid() {
                return Err(config("build", "two keys have the same kid"));
            }
            if key.fingerprint() == other.fingerprint() {
                return Err(config("build", "a key is there twice"));
            }
        }
    }
    Ok(())
}

impl Codec for JwtCodec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn max_length(&self) -> usize {
        self.max_length
    }

    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn seal(&self, scope: Option<&Scope>, contents: &Contents) -> Result<Box<str>> {
        let claims = self.rules.compose(scope, contents)?;
        let Some(Signing { key, header }) = self.keys.first() else {
            return Err(config("seal", "there is no key"));
        };
        let signature = text::characters_for(key.signature_length());
        let length = header.len() + text::characters_for(claims.len()) + 1 + signature;
        if length > self.max_length {
            let message = format!("a token of {length} bytes, at most {} fit", self.max_length);
            return Err(refuse(ErrorKind::TooLarge, "seal", message));
        }
        let mut token = String::with_capacity(length);
        token.push_str(header);
        text::encode(claims.as_bytes(), &mut token);
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        text::encode(&signature, &mut token);
        Ok(token.into())
    }

    fn open(&self, scope: Option<&Scope>, token: &str) -> Option<Contents> {
        if token.len() > self.max_length {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (key, claims) = self
            .keys
            .iter()
            .find_map(|signing| Some((&signing.key, message.strip_prefix(&*signing.header)?)))?;
        let signature = text::decode(signature)?;
        if signature.len() != key.signature_length() || !key.verify(message.as_bytes(), &signature) {
            return None;
        }
        self.rules.parse(scope, &text::decode(claims)?)
    }
}

impl fmt::Debug for JwtCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(|signing| &signing.key).collect();
        f.debug_struct("JwtCodec")
            .field("keys", &keys)
            .field("max_length", &self.max_length)
            .field("max_payload", &self.max_payload)
            .finish_non_exhaustive()
    }
}

/// For fuzzing: opens any bytes as a token, and as the claims of one that is signed as it should be.
#[doc(hidden)]
pub fn fuzz_open(input: &[u8]) {
    let Ok(key) = JwtKey::hs256(&[7; 32]) else { return };
    let rules =
        Rules { issuer: Some("fuzz".to_owned()), required: vec!["sid".to_owned()], ..Rules::default() };
    for rules in [Rules::default(), rules] {
        let Ok(codec) = JwtCodec::new(vec![key.clone()], rules, 1 << 16) else { return };
        if let Ok(token) = std::str::from_utf8(input) {
            // Nobody who does not have the key makes a token.
            assert!(codec.open(None, token).is_none(), "a forged token was opened");
        }
        let Some(signing) = codec.keys.first() else { return };
        let mut token = signing.header.to_string();
        text::encode(input, &mut token);
        let Ok(signature) = signing.key.sign(token.as_bytes()) else { return };
        token.push('.');
        text::encode(&signature, &mut token);
        if let Some(contents) = codec.open(None, &token) {
            let again = codec.seal(None, &contents).ok().and_then(|token| codec.open(None, &token));
            assert!(again.is_none_or(|again| again == contents), "what was opened is not what is sealed");
        }
    }
}

//! A codec for tests: readable by anybody, changeable by nobody.

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_core::{
    ErrorKind, Owner, Record, Result, Scope, SessionError, SessionId, State, Timestamp, Version,
};
use cloakroom_seal::{Codec, Contents};
use sha2::{Digest, Sha256};

const LENGTH: usize = 6_000;
const PAYLOAD: usize = 3_000;

#[derive(Debug)]
pub(crate) struct Signed {
    secret: [u8; 32],
}

impl Signed {
    pub(crate) fn new(secret: u8) -> Self {
        Self { secret: [secret; 32] }
    }

    /// As HMAC nests its hashes.
    fn tag(&self, scope: Option<&Scope>, body: &str) -> String {
        let scope = scope.map_or("", Scope::as_str);
        let inner = Sha256::new().chain_update(self.secret).chain_update([1]).chain_update(scope);
        let inner = inner.chain_update([0]).chain_update(body).finalize();
        let tag = Sha256::new().chain_update(self.secret).chain_update([2]).chain_update(inner).finalize();
        Base64UrlUnpadded::encode_string(&tag)
    }
}

impl Codec for Signed {
    fn name(&self) -> &'static str {
        "signed"
    }

    fn max_length(&self) -> usize {
        LENGTH
    }

    fn max_payload(&self) -> usize {
        PAYLOAD
    }

    fn seal(&self, scope: Option<&Scope>, contents: &Contents) -> Result<Box<str>> {
        let Contents { id, generation, record } = contents;
        let mut body = id.as_bytes().to_vec();
        body.push(record.state.code());
        body.extend(record.version.as_u64().to_be_bytes());
        let end = record.expires_at.map_or(i64::MIN, Timestamp::as_millis);
        body.extend(generation.to_be_bytes());
        for time in [record.created_at.as_millis(), record.accessed_at.as_millis(), end] {
            body.extend(time.to_be_bytes());
        }
        let owner = record.owner.as_ref().map_or("", Owner::as_str);
        body.push(owner.len().try_into().expect("owners are short"));
        body.extend(owner.as_bytes());
        body.extend(&record.payload);
        let body = Base64UrlUnpadded::encode_string(&body);
        let text = format!("{body}.{}", self.tag(scope, &body));
        if text.len() > LENGTH {
            let message = format!("a text of {} bytes, at most {LENGTH} fit", text.len());
            return Err(SessionError::new(ErrorKind::TooLarge, "seal").with_message(message));
        }
        Ok(text.into())
    }

    fn open(&self, scope: Option<&Scope>, text: &str) -> Option<Contents> {
        let (body, tag) = text.split_once('.')?;
        if self.tag(scope, body) != tag {
            return None;
        }
        let body = Base64UrlUnpadded::decode_vec(body).ok()?;
        let (id, rest) = body.split_first_chunk::<32>()?;
        let (&[state], rest) = rest.split_first_chunk::<1>()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (generation, mut rest) = rest.split_first_chunk::<8>()?;
        let mut times = [0; 3];
        for time in &mut times {
            let (bytes, left) = rest.split_first_chunk::<8>()?;
            *time = i64::from_be_bytes(*bytes);
            rest = left;
        }
        let [created, accessed, end] = times.map(Timestamp::from_millis);
        let (&[length], rest) = rest.split_first_chunk::<1>()?;
        let (owner, payload) = rest.split_at_checked(length.into())?;
        let record = Record::new(payload.to_vec(), created)
            .with_state(State::from_code(state)?)
            .with_version(Version::from_u64(u64::from_be_bytes(*version)))
            .with_owner(Owner::parse(std::str::from_utf8(owner).ok()?).ok())
            .with_accessed_at(accessed)
            .with_expires_at(Some(end).filter(|end| end.as_millis() != i64::MIN));
        let generation = u64::from_be_bytes(*generation);
        Some(Contents { id: SessionId::from_bytes(*id), generation, record })
    }
}

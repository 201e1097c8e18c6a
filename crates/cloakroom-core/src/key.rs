use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::capability::{Capability, KeyKind};
use crate::entropy;
use crate::error::{ErrorKind, Result, SessionError};

/// Length in bytes of a generated key and of a printed id: 32 bytes in unpadded base64url.
pub const KEY_LENGTH: usize = 43;
const MAX_NAME_LENGTH: usize = 4096;
const MAX_SCOPE_LENGTH: usize = 255;

/// What a backend files a session under: the SHA-256 of the key, or the stable id inside a sealed session.
///
/// An id is not a secret that opens a session: fed back as a key, it finds nothing. It is still kept out of logs;
/// `Debug` shows nothing of it, and [`as_text`](Self::as_text) is for backends and operators' tools only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 43 characters of base64url that stores keep.
    #[must_use]
    pub fn as_text(&self) -> IdText {
        IdText(encode(&self.0))
    }

    /// A short salted hash for logs: tells two sessions of one process apart and reveals nothing else.
    #[must_use]
    pub fn log_hash(&self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        static SALT: OnceLock<RandomState> = OnceLock::new();
        SALT.get_or_init(RandomState::new).hash_one(self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(redacted)")
    }
}

impl FromStr for SessionId {
    type Err = SessionError;

    /// # Errors
    /// `InvalidKey` unless it is the 43 characters that [`as_text`](SessionId::as_text) gives.
    fn from_str(text: &str) -> Result<Self> {
        decode(text).map(Self).ok_or_else(|| SessionError::new(ErrorKind::InvalidKey, "parse id"))
    }
}

/// The text of a [`SessionId`], without an allocation.
#[derive(Clone, Copy)]
pub struct IdText([u8; KEY_LENGTH]);

impl std::ops::Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        text(&self.0)
    }
}

fn text(bytes: &[u8; KEY_LENGTH]) -> &str {
    // The only bytes ever put there are those of an ASCII alphabet.
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn encode(bytes: &[u8; 32]) -> [u8; KEY_LENGTH] {
    let mut out = [0; KEY_LENGTH];
    let encoded = Base64UrlUnpadded::encode(bytes, &mut out).map_or(0, str::len);
    debug_assert_eq!(encoded, KEY_LENGTH);
    out
}

fn decode(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != KEY_LENGTH {
        return None;
    }
    // The canonical form only: the decoder refuses set bits behind the last whole byte.
    let decoded = Base64UrlUnpadded::decode(text, &mut out).ok()?.len();
    (decoded == 32).then_some(out)
}

/// A key space such as `tenant:acme:session:`. Scopes are compared whole and byte for byte, never by prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// Parses a scope.
    ///
    /// # Errors
    /// `InvalidKey` unless it is 1 to 255 printable ASCII characters without space, quotes, backslash, `*`, `?`,
    /// `[` or `]`: what every store can file under as it stands.
    pub fn parse(scope: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"'`\\*?[]".contains(&byte);
        if scope.is_empty() || scope.len() > MAX_SCOPE_LENGTH || !scope.bytes().all(allowed) {
            return Err(SessionError::new(ErrorKind::InvalidKey, "parse scope"));
        }
        Ok(Self(scope.into()))
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

/// The ticket: what only the client holds.
///
/// *Secret* keys are 256 bits from the operating system's generator, *sealed* keys carry a whole client-side
/// session, *addresses* are made from an id for administration and hold no secret. `Debug` and `Display` show
/// nothing, comparison takes constant time, and the text is overwritten when the key is dropped.
///
/// ```
/// use cloakroom_core::{Capability, SessionKey};
///
/// let key = SessionKey::generate()?;
/// assert_eq!(format!("{key:?} {key}"), "SessionKey(redacted) (redacted)");
/// let same = SessionKey::parse(key.expose(), &Capability::store())?;
/// assert_eq!(same.id(), key.id());
/// assert!(SessionKey::parse("guess", &Capability::store()).is_err());
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
pub struct SessionKey {
    /// Shared by clones: the secret is in one place, and what one learns of the id all know.
    ticket: Arc<Ticket>,
    scope: Option<Scope>,
}

struct Ticket {
    text: Text,
    id: OnceLock<SessionId>,
}

enum Text {
    Secret([u8; KEY_LENGTH]),
    Name(Box<str>),
    Sealed(Box<str>),
    /// None: an address.
    Nothing,
}

impl SessionKey {
    /// A new secret key.
    ///
    /// # Errors
    /// `Unexpected` when the operating system gives no randomness; there is no fallback.
    pub fn generate() -> Result<Self> {
        let mut bytes = entropy::take()?;
        let key = Self::of(Text::Secret(encode(&bytes)));
        bytes.zeroize();
        Ok(key)
    }

    /// Reads what a client sent, by the kind of key that the backend issues.
    ///
    /// # Errors
    /// `InvalidKey` when it cannot be a key that this backend issued; no backend is asked.
    pub fn parse(text: &str, capability: &Capability) -> Result<Self> {
        let invalid = || SessionError::new(ErrorKind::InvalidKey, "parse key");
        match capability.key_kind {
            KeyKind::Secret => {
                let bytes: [u8; KEY_LENGTH] = text.as_bytes().try_into().map_err(|_| invalid())?;
                if !shaped_like_a_key(&bytes) {
                    return Err(invalid());
                }
                Ok(Self::of(Text::Secret(bytes)))
            }
            KeyKind::Sealed { max_length } => {
                // Without a way out in the middle and without a branch, the compiler looks at many bytes at a time.
                let mark = |byte: u8| (byte == b'-') | (byte == b'_') | (byte == b'.') | (byte == b'~');
                let allowed = |all: bool, byte: u8| all & (byte.is_ascii_alphanumeric() | mark(byte));
                if text.is_empty() || text.len() > max_length || !text.bytes().fold(true, allowed) {
                    return Err(invalid());
                }
                Ok(Self::of(Text::Sealed(text.into())))
            }
        }
    }

    /// A key made from a name that the application chose, for records that belong to no client.
    ///
    /// # Errors
    /// `InvalidKey` unless it is 1 to 4,096 bytes.
    pub fn from_name(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > MAX_NAME_LENGTH {
            return Err(SessionError::new(ErrorKind::InvalidKey, "name a record"));
        }
        Ok(match name.as_bytes().try_into() {
            Ok(bytes) if shaped_like_a_key(&bytes) => Self::of(Text::Secret(bytes)),
            _ => Self::of(Text::Name(name.into())),
        })
    }

    /// An address: reaches the session of that id and reveals no secret.
    #[must_use]
    pub fn from_id(id: SessionId) -> Self {
        Self::with_id(Text::Nothing, id)
    }

    /// A sealed key, with the stable id that the seal holds. For client-side backends.
    #[must_use]
    pub fn sealed(value: impl Into<Box<str>>, id: SessionId) -> Self {
        Self::with_id(Text::Sealed(value.into()), id)
    }

    /// Tells a sealed key, and all its clones, the stable id that its seal holds. For client-side backends, when they
    /// have opened it. Other keys know their id.
    pub fn opened(&self, id: SessionId) {
        if matches!(self.ticket.text, Text::Sealed(_)) {
            self.ticket.id.get_or_init(|| id);
        }
    }

    fn of(text: Text) -> Self {
        Self { ticket: Arc::new(Ticket { text, id: OnceLock::new() }), scope: None }
    }

    fn with_id(text: Text, id: SessionId) -> Self {
        Self { ticket: Arc::new(Ticket { text, id: id.into() }), scope: None }
    }

    /// The same key inside a scope.
    #[must_use]
    pub fn scoped(&self, scope: &Scope) -> Self {
        Self { ticket: Arc::clone(&self.ticket), scope: Some(scope.clone()) }
    }

    /// The same key outside any scope.
    #[must_use]
    pub fn unscoped(&self) -> Self {
        Self { ticket: Arc::clone(&self.ticket), scope: None }
    }

    /// The scope, if it has one.
    #[must_use]
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// Whether it is an address, which holds no secret.
    #[must_use]
    pub fn is_address(&self) -> bool {
        matches!(self.ticket.text, Text::Nothing)
    }

    /// Whether it carries a whole client-side session.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.ticket.text, Text::Sealed(_))
    }

    /// Whether it was made from a name that does not look like a secret: no client holds it.
    #[must_use]
    pub fn is_name(&self) -> bool {
        matches!(self.ticket.text, Text::Name(_))
    }

    /// The id a backend files the session under: computed once, at the first call. For a sealed key that nobody has
    /// opened yet it is the hash of the text.
    #[must_use]
    pub fn id(&self) -> SessionId {
        let Ticket { text, id } = &*self.ticket;
        let hash = || SessionId(Sha256::digest(text.as_bytes()).into());
        match text {
            Text::Sealed(_) => id.get().copied().unwrap_or_else(hash),
            _ => *id.get_or_init(hash),
        }
    }

    /// The text for the client. The one place where the secret leaves; empty for an address.
    #[must_use]
    pub fn expose(&self) -> &str {
        match &self.ticket.text {
            Text::Secret(bytes) => text(bytes),
            Text::Name(name) | Text::Sealed(name) => name,
            Text::Nothing => "",
        }
    }
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Secret(bytes) => bytes,
            Self::Name(name) | Self::Sealed(name) => name.as_bytes(),
            Self::Nothing => &[],
        }
    }
}

fn shaped_like_a_key(bytes: &[u8; KEY_LENGTH]) -> bool {
    let alphabet = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // 43 characters hold 258 bits; the last two are zero in what was generated here.
    // Without a way out in the middle, the compiler looks at many at a time.
    let all = bytes.iter().fold(true, |all, byte| all & alphabet(byte));
    all && b"AEIMQUYcgkosw048".contains(&bytes[KEY_LENGTH - 1])
}

/// As `zeroize`, which goes byte by byte: for a whole session that takes longer than to open it.
fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(&*bytes);
}

impl Drop for Text {
    fn drop(&mut self) {
        match self {
            Self::Secret(bytes) => overwrite(bytes),
            Self::Name(text) | Self::Sealed(text) => {
                overwrite(&mut std::mem::take(text).into_boxed_bytes());
            }
            Self::Nothing => {}
        }
    }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        let same = || {
            let (one, other) = (self.ticket.text.as_bytes(), other.ticket.text.as_bytes());
            bool::from(one.ct_eq(other))
        };
        let alike = self.is_address() == other.is_address() && self.scope == other.scope;
        // Addresses have no text to compare.
        let named = |key: &Self| key.is_address().then(|| key.id());
        alike && (Arc::ptr_eq(&self.ticket, &other.ticket) || (same() && named(self) == named(other)))
    }
}

impl Eq for SessionKey {}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(redacted)")
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

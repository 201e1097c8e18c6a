use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use cloakroom_core::{Capability, ErrorKind, KeyChange, KeyKind, Result, SessionError, Timestamp};

use crate::candidate::Candidates;
use crate::cookie::CookieConfig;
use crate::outcome::KeyHeader;

/// How keys travel between client and server. One way for one layer: a key that comes another way is not looked at
/// (ST-09).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// In a cookie.
    Cookie(CookieConfig),
    /// In a header of its own, for clients that are not browsers.
    Header(HeaderConfig),
}

impl Default for Transport {
    fn default() -> Self {
        Self::Cookie(CookieConfig::default())
    }
}

impl Transport {
    /// The request header to hand to [`candidates`](Self::candidates), in lower case. The response says `Vary` by it.
    #[must_use]
    pub fn request_header(&self) -> &str {
        match self {
            Self::Cookie(_) => "cookie",
            Self::Header(header) => &header.request,
        }
    }

    /// What `Vary` must name when a response depends on the session.
    pub(crate) fn vary(&self) -> &str {
        match self {
            Self::Cookie(_) => "Cookie",
            Self::Header(header) => &header.vary,
        }
    }

    /// A number for the cookie or header: two layers with the same speak of the same session.
    #[must_use]
    pub fn place(&self) -> u64 {
        let (kind, name) = match self {
            Self::Cookie(cookie) => (1, cookie.name()),
            Self::Header(header) => (2, &*header.request),
        };
        let mut hasher = DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// Whether every key that the backend may issue can be sent. A key that cannot be sent is only known after its
    /// session was saved or rotated, and then the client is left with the old one.
    ///
    /// # Errors
    /// `InvalidConfig`, with both sizes, for a backend whose keys may be longer than the cookie.
    pub fn check(&self, capability: &Capability) -> Result<()> {
        let (KeyKind::Sealed { max_length }, Self::Cookie(cookie)) = (capability.key_kind, self) else {
            return Ok(());
        };
        let capacity = cookie.capacity();
        if max_length <= capacity {
            return Ok(());
        }
        Err(SessionError::new(ErrorKind::InvalidConfig, "check cookie").with_message(format!(
            "the backend's sessions take up to {max_length} bytes and the cookie {capacity}: \
             give both the same name and the same split"
        )))
    }

    /// The keys that a request carries.
    #[must_use]
    pub fn candidates<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a [u8]>,
        capability: &Capability,
    ) -> Candidates {
        match self {
            Self::Cookie(cookie) if cookie.split() > 1 => cookie.split_candidates(lines, capability),
            Self::Cookie(cookie) => Candidates::from_cookies(cookie.name(), lines, capability),
            Self::Header(header) => {
                Candidates::from_header(header.bearer.then_some("Bearer"), lines, capability)
            }
        }
    }

    /// The header that tells the client about its key; `None` when there is nothing to tell.
    ///
    /// # Errors
    /// As [`CookieConfig::set`].
    pub fn announce(&self, change: &KeyChange, now: Timestamp) -> Result<Option<KeyHeader>> {
        Ok(match (change, self) {
            (KeyChange::Send(key, lifetime), Self::Cookie(cookie)) => {
                Some(KeyHeader::new("set-cookie", cookie.set(key, *lifetime, now)?))
            }
            (KeyChange::Remove, Self::Cookie(cookie)) => Some(KeyHeader::new("set-cookie", cookie.removal())),
            (KeyChange::Send(key, _), Self::Header(header)) => {
                Some(KeyHeader::new(header.response.clone(), key.expose().to_owned()))
            }
            (KeyChange::Remove, Self::Header(header)) => {
                Some(KeyHeader::new(header.response.clone(), String::new()))
            }
            _ => None,
        })
    }

    /// What goes beside [`announce`](Self::announce) for a cookie that may be [split](CookieConfig::split): further
    /// parts, and the removal of those that are not needed. Else nothing, without an allocation.
    #[must_use]
    pub fn announce_further(&self, change: &KeyChange, now: Timestamp) -> Vec<KeyHeader> {
        let Self::Cookie(cookie) = self else { return Vec::new() };
        let lines = match change {
            KeyChange::Send(key, lifetime) => cookie.set_further(key, *lifetime, now),
            KeyChange::Remove => cookie.removal_further(),
            _ => return Vec::new(),
        };
        lines.into_iter().map(|line| KeyHeader::new("set-cookie", line)).collect()
    }
}

/// The headers that carry the key of an API client (F69).
///
/// The response names a new key in `X-Session` (or the header that was chosen), also where requests carry it as
/// `Authorization: Bearer`; an empty value says that the session ended.
///
/// ```
/// use cloakroom_http::HeaderConfig;
///
/// assert_eq!(HeaderConfig::bearer().request_header(), "authorization");
/// assert_eq!(HeaderConfig::default().response_header(), "x-session");
/// assert!(HeaderConfig::named("no header").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderConfig {
    request: Box<str>,
    response: Box<str>,
    vary: Box<str>,
    bearer: bool,
}

impl HeaderConfig {
    /// Requests say `Authorization: Bearer …`, responses `X-Session: …`.
    #[must_use]
    pub fn bearer() -> Self {
        Self {
            request: "authorization".into(),
            response: "x-session".into(),
            vary: "Authorization".into(),
            bearer: true,
        }
    }

    /// Requests and responses carry the key in a header of that name.
    ///
    /// # Errors
    /// `InvalidConfig` when the name cannot be a header's or belongs to another purpose.
    pub fn named(name: &str) -> Result<Self> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let taken = ["authorization", "cookie", "set-cookie", "vary", "cache-control"];
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 255 || !name.bytes().all(token) || taken.contains(&lower.as_str())
        {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "name header")
                .with_message("not a header that can carry a key"));
        }
        Ok(Self { request: lower.as_str().into(), response: lower.into(), vary: name.into(), bearer: false })
    }

    /// The header that requests carry the key in, in lower case.
    #[must_use]
    pub fn request_header(&self) -> &str {
        &self.request
    }

    /// The header that responses carry a new key in, in lower case.
    #[must_use]
    pub fn response_header(&self) -> &str {
        &self.response
    }
}

impl Default for HeaderConfig {
    /// `X-Session`, both ways.
    fn default() -> Self {
        Self {
            request: "x-session".into(),
            response: "x-session".into(),
            vary: "X-Session".into(),
            bearer: false,
        }
    }
}

/// What requests get that need their session while the store cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreDown {
    /// 503 with `Retry-After`.
    #[default]
    Refuse,
    /// An empty session that is not saved. Users look signed out, and their cookies stay.
    Degrade,
    /// What this process read last, if that is not too old; changes are refused. For sessions that clients keep it is
    /// as [`Refuse`](Self::Refuse). See [`StaleBackend`](crate::StaleBackend).
    StaleReads {
        /// How many sessions are remembered at most.
        capacity: usize,
        /// How old what is served may be.
        max_age: Duration,
    },
}

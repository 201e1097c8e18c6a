use cloakroom_core::{Capability, SessionKey};

/// How many different keys of one request are tried at most (CV-37).
pub const MAX_CANDIDATES: usize = 4;

/// How many bytes of a request's headers are looked at for a key at most (CV-37). Servers commonly refuse a head of
/// half that size.
pub const MAX_BYTES: usize = 32 * 1024;

/// The keys that a request carries: those of the right shape, in the order the client sent them. Browsers send the
/// cookie of the longest path first.
///
/// A request may well carry two cookies of one name, say an old one of another path. None is preferred blindly: they
/// are tried in order, and the first that has a session is taken (ST-58).
#[derive(Debug, Default)]
pub struct Candidates {
    /// The first one.
    pub first: Option<SessionKey>,
    /// Further ones, seldom any.
    pub others: Vec<SessionKey>,
    /// Whether there was a value of the right name that could not be a key.
    pub malformed: bool,
}

impl Candidates {
    /// From the values of all `Cookie` headers, which count as one (ST-59). Names are compared byte for byte and
    /// nothing is ever percent-decoded (ST-60). No allocation but for a second key.
    #[must_use]
    pub fn from_cookies<'a>(
        name: &str,
        lines: impl IntoIterator<Item = &'a [u8]>,
        capability: &Capability,
    ) -> Self {
        let mut found = Self::default();
        let mut budget = MAX_BYTES;
        for line in lines {
            let cut = line.len() > budget;
            let line = &line[..line.len().min(budget)];
            budget -= line.len();
            let mut pairs = line.split(|&byte| byte == b';').peekable();
            while let Some(pair) = pairs.next() {
                // What the bound cut in two is nobody's cookie.
                if cut && pairs.peek().is_none() {
                    break;
                }
                let pair = pair.trim_ascii();
                if let Some(value) =
                    pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
                {
                    found.consider(unquoted(value.trim_ascii()), capability);
                }
            }
            if budget == 0 || found.is_full() {
                break;
            }
        }
        found
    }

    /// From the values of a header that holds nothing but a key, behind an authentication scheme if there is one.
    #[must_use]
    pub fn from_header<'a>(
        scheme: Option<&str>,
        lines: impl IntoIterator<Item = &'a [u8]>,
        capability: &Capability,
    ) -> Self {
        let mut found = Self::default();
        for line in lines.into_iter().take(MAX_CANDIDATES) {
            let line = line.trim_ascii();
            let value = match scheme {
                None => Some(line),
                Some(scheme) => line
                    .split_at_checked(scheme.len())
                    .filter(|(start, rest)| {
                        start.eq_ignore_ascii_case(scheme.as_bytes()) && rest.starts_with(b" ")
                    })
                    .map(|(_, rest)| rest.trim_ascii()),
            };
            if let Some(value) = value.filter(|value| value.len() <= MAX_BYTES) {
                found.consider(value, capability);
            }
        }
        found
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn is_full(&self) -> bool {
        self.others.len() + 1 >= MAX_CANDIDATES
    }

    pub(crate) fn consider(&mut self, value: &[u8], capability: &Capability) {
        // An empty value is what some clients keep of a removed cookie.
        if value.is_empty() || self.is_full() {
            return;
        }
        let parsed =
            std::str::from_utf8(value).ok().and_then(|text| SessionKey::parse(text, capability).ok());
        match parsed {
            None => self.malformed = true,
            Some(key) if self.first.is_none() => self.first = Some(key),
            Some(key) if self.first.as_ref() != Some(&key) && !self.others.contains(&key) => {
                self.others.push(key);
            }
            Some(_) => {}
        }
    }
}

pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

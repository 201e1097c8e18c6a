use cloakroom_core::{ErrorKind, KEY_LENGTH, Result, SessionError};

use crate::set_cookie::MAX_PAIR;
use crate::split::MAX_SPLIT;

/// Longest attribute value that browsers keep, in octets (ST-51).
const MAX_ATTRIBUTE: usize = 1024;

/// The prefixes that browsers hold a cookie to, the most demanding first.
const PREFIXES: [(&str, Demands); 4] = [
    ("__Host-Http-", Demands { http_only: true, host_only: true }),
    ("__Host-", Demands { http_only: false, host_only: true }),
    ("__Http-", Demands { http_only: true, host_only: false }),
    ("__Secure-", Demands { http_only: false, host_only: false }),
];

/// What a prefix demands beside `Secure`.
struct Demands {
    http_only: bool,
    host_only: bool,
}

/// With which requests from other sites a browser sends the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SameSite {
    /// With none.
    Strict,
    /// When the user follows a link.
    #[default]
    Lax,
    /// With all; needs `Secure`.
    None,
}

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// The cookie that carries the key. Made by a [`CookieBuilder`], which refuses what browsers would drop or what gives
/// protection away by accident.
///
/// By default `__Host-id; Path=/; Secure; HttpOnly; SameSite=Lax`. Whether it outlives the browser is the session's
/// decision, not the cookie's.
///
/// ```
/// use cloakroom_http::{CookieConfig, SameSite};
///
/// let cookie = CookieConfig::builder().with_name("__Host-shop").with_same_site(SameSite::Strict).build()?;
/// assert_eq!(cookie.name(), "__Host-shop");
/// assert!(CookieConfig::builder().with_domain("example.org").build().is_err()); // `__Host-` forbids it
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    name: Box<str>,
    path: Box<str>,
    domain: Option<Box<str>>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    split: usize,
    /// All attributes but the lifetime, ready to append.
    attributes: Box<str>,
}

impl CookieConfig {
    /// The defaults, to change them.
    pub fn builder() -> CookieBuilder {
        CookieBuilder {
            name: "__Host-id".to_owned(),
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            split: 1,
        }
    }

    /// A cookie for plain HTTP on one's own machine: `id`, without `Secure`. Anybody on the network can read it, so
    /// it has no place anywhere else.
    #[must_use]
    pub fn insecure_for_development() -> Self {
        Self::builder().with_name("id").with_secure(false).assemble()
    }

    /// The name, compared byte for byte with what clients send (ST-60).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path it is sent to.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The domain it is sent to with all below it; `None` = to this host only.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Whether it travels over TLS only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether scripts cannot read it.
    #[must_use]
    pub fn is_http_only(&self) -> bool {
        self.http_only
    }

    /// With which requests from other sites it is sent.
    #[must_use]
    pub fn same_site(&self) -> SameSite {
        self.same_site
    }

    /// Whether each embedding site gets one of its own.
    #[must_use]
    pub fn is_partitioned(&self) -> bool {
        self.partitioned
    }

    /// Over how many cookies a key may be split that does not fit into one; 1 = never.
    #[must_use]
    pub fn split(&self) -> usize {
        self.split
    }

    pub(crate) fn attributes(&self) -> &str {
        &self.attributes
    }
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self::builder().assemble()
    }
}

/// Settings of a [`CookieConfig`], checked by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct CookieBuilder {
    name: String,
    path: String,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    split: usize,
}

impl CookieBuilder {
    /// The name (default `__Host-id`). A prefix that browsers know is written in its canonical case, because old
    /// browsers know no other.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The path (default `/`).
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sends the cookie to that domain and every host below it (default: only to the host that set it, ST-61).
    pub fn with_domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Over TLS only (default yes, ST-44).
    pub fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Out of reach of scripts (default yes, ST-45).
    pub fn with_http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// With which requests from other sites it is sent (default `Lax`, ST-46).
    pub fn with_same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// One cookie for each site that embeds this one (default no, ST-62).
    pub fn with_partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Over how many cookies a client-side session may be split that does not fit into one (default 1 = never, at most
    /// 4). The further ones are named like the first with `.1`, `.2` and `.3` behind. The backend must be told the same.
    ///
    /// Each response that sets such a cookie then removes those that are not needed any more, whether the client has
    /// them or not.
    pub fn with_split(mut self, cookies: usize) -> Self {
        self.split = cookies;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `InvalidConfig` when a browser would refuse the cookie, or when it could break out of its header: a name that
    /// is no token, a prefix whose demands are not met (ST-48, ST-49), `SameSite=None` or `Partitioned` without
    /// `Secure`, an unusable path or domain (ST-51, ST-54), a split over none or more than 4.
    pub fn build(mut self) -> Result<CookieConfig> {
        self.check_name()?;
        self.check_prefix()?;
        self.check_path()?;
        self.check_domain()?;
        if self.same_site == SameSite::None && !self.secure {
            return Err(invalid("SameSite=None needs Secure"));
        }
        if self.partitioned && !self.secure {
            return Err(invalid("Partitioned needs Secure"));
        }
        if !(1..=MAX_SPLIT).contains(&self.split) {
            return Err(invalid("a key is split over 1 to 4 cookies"));
        }
        Ok(self.assemble())
    }

    fn check_name(&self) -> Result<()> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            return Err(invalid("the name of a cookie is letters, digits and !#$%&'*+-.^_`|~"));
        }
        if self.name.len() + KEY_LENGTH > MAX_PAIR {
            return Err(invalid("name and key are longer than the 4096 octets that browsers keep"));
        }
        Ok(())
    }

    /// Browsers match prefixes in any case, so they are matched here in any case.
    fn check_prefix(&mut self) -> Result<()> {
        let begins = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let Some((prefix, demands)) = PREFIXES.iter().find(|(prefix, _)| begins(prefix)) else {
            return Ok(());
        };
        let met = self.secure
            && (self.http_only || !demands.http_only)
            && (!demands.host_only || (self.path == "/" && self.domain.is_none()));
        if !met {
            let also = if demands.http_only { " and HttpOnly" } else { "" };
            let place = if demands.host_only { ", Path=/ and no Domain" } else { "" };
            return Err(invalid(format!("a cookie named {prefix}… needs Secure{also}{place}")));
        }
        self.name.replace_range(..prefix.len(), prefix);
        Ok(())
    }

    fn check_path(&self) -> Result<()> {
        let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
        if !self.path.starts_with('/') || self.path.ends_with(' ') || !self.path.bytes().all(allowed) {
            return Err(invalid("the path of a cookie starts with / and has no ; or control characters"));
        }
        if self.path.len() > MAX_ATTRIBUTE {
            return Err(invalid("browsers ignore a path of more than 1024 octets"));
        }
        Ok(())
    }

    fn check_domain(&mut self) -> Result<()> {
        let Some(domain) = &self.domain else { return Ok(()) };
        // The dot in front is history; browsers drop it.
        let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
        if domain.len() > MAX_ATTRIBUTE {
            return Err(invalid("browsers ignore a domain of more than 1024 octets"));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if domain.is_empty() || !domain.split('.').all(label) {
            return Err(invalid("the domain of a cookie is a host name (international ones as xn--…)"));
        }
        self.domain = Some(domain);
        Ok(())
    }

    fn assemble(self) -> CookieConfig {
        let mut attributes = format!("; Path={}", self.path);
        if let Some(domain) = &self.domain {
            attributes.push_str("; Domain=");
            attributes.push_str(domain);
        }
        if self.secure {
            attributes.push_str("; Secure");
        }
        if self.http_only {
            attributes.push_str("; HttpOnly");
        }
        attributes.push_str("; SameSite=");
        attributes.push_str(self.same_site.as_str());
        if self.partitioned {
            attributes.push_str("; Partitioned");
        }
        CookieConfig {
            name: self.name.into(),
            path: self.path.into(),
            domain: self.domain.map(Into::into),
            secure: self.secure,
            http_only: self.http_only,
            same_site: self.same_site,
            partitioned: self.partitioned,
            split: self.split,
            attributes: attributes.into(),
        }
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, "build cookie").with_message(message)
}

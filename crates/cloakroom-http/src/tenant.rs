use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, SessionError};

use crate::transport::HeaderConfig;

/// What a [`TenantResolver`] looks at. Adapters implement it for the requests of their framework.
pub trait RequestHead {
    /// The path as it was sent, without the query.
    fn path(&self) -> &str;
    /// The authority of the request's target: `:authority` in HTTP/2, or what stands in an absolute target.
    fn authority(&self) -> Option<&str>;
    /// The value of the `nth` header of that lower-case name, counted from 0.
    fn header(&self, name: &str, nth: usize) -> Option<&[u8]>;
}

/// Why a request is for no tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoTenant {
    /// Nothing in it names one.
    Missing,
    /// What names one cannot be a name.
    Malformed,
    /// It names several, as two `Host` headers do.
    Conflicting,
}

impl NoTenant {
    /// The name used in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Conflicting => "conflicting",
        }
    }
}

/// What requests for no tenant get. The handler is not called either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownTenant {
    /// 404.
    #[default]
    NotFound,
    /// 400.
    BadRequest,
}

/// Finds out which tenant a request is for. It never falls back to one: what is missing, malformed or in conflict is
/// refused.
///
/// Hosts are compared in lower case, without port and trailing dot. They come from the request's target or its one `Host`
/// header; two of them, or two that differ, are refused. `X-Forwarded-Host` and `Forwarded` are not looked at.
///
/// ```
/// use cloakroom_http::{NoTenant, RequestHead, TenantResolver};
///
/// struct Get(&'static str);
///
/// impl RequestHead for Get {
///     fn path(&self) -> &str {
///         "/"
///     }
///     fn authority(&self) -> Option<&str> {
///         None
///     }
///     fn header(&self, name: &str, nth: usize) -> Option<&[u8]> {
///         (name == "host" && nth == 0).then_some(self.0.as_bytes())
///     }
/// }
///
/// let resolver = TenantResolver::subdomain("shop.example")?;
/// assert_eq!(resolver.resolve(&Get("Acme.Shop.Example:8443")).as_deref(), Ok("acme"));
/// assert_eq!(resolver.resolve(&Get("shop.example")), Err(NoTenant::Missing));
/// assert_eq!(resolver.resolve(&Get("acme.elsewhere.example")), Err(NoTenant::Missing));
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct TenantResolver {
    how: How,
    unknown: UnknownTenant,
}

type Custom = dyn Fn(&dyn RequestHead) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum How {
    /// With the dot in front.
    Subdomain(Box<str>),
    Host,
    /// In lower case.
    Header(Box<str>),
    Path(usize),
    Custom(Arc<Custom>),
}

impl TenantResolver {
    const fn new(how: How) -> Self {
        Self { how, unknown: UnknownTenant::NotFound }
    }

    /// The one label in front of a domain: `acme` in `acme.shop.example`. The domain itself and deeper names are no
    /// tenant's.
    ///
    /// # Errors
    /// `InvalidConfig` for what is no domain.
    pub fn subdomain(base: &str) -> Result<Self> {
        match host_name(base) {
            Ok(host) if !base.contains([':', '[']) => {
                Ok(Self::new(How::Subdomain(format!(".{host}").into())))
            }
            _ => Err(SessionError::new(ErrorKind::InvalidConfig, "resolve tenant").with_message("no domain")),
        }
    }

    /// The whole host, in lower case: for tenants with domains of their own. Map it to a tenant, or let only known ones
    /// pass: clients choose what they send as `Host`.
    pub const fn host() -> Self {
        Self::new(How::Host)
    }

    /// A header of that name. Every client can send it: let a proxy set it, and remove what clients sent.
    ///
    /// # Errors
    /// `InvalidConfig` when the name cannot be a header's or belongs to another purpose.
    pub fn header(name: &str) -> Result<Self> {
        let name: Box<str> = HeaderConfig::named(name)?.request_header().into();
        if matches!(&*name, "host" | "forwarded" | "x-forwarded-host") {
            let error = SessionError::new(ErrorKind::InvalidConfig, "resolve tenant");
            return Err(error.with_message("a host has ports and dots: use `host` or `subdomain`"));
        }
        Ok(Self::new(How::Header(name)))
    }

    /// A segment of the path, counted from 0: with 1, `acme` in `/t/acme/cart`. It is taken as it was sent, and one with
    /// an escape (`%`) is refused, so that two spellings are not two tenants. Put the layer around the whole router:
    /// inside a nested one the front of the path is gone.
    pub const fn path_segment(index: usize) -> Self {
        Self::new(How::Path(index))
    }

    /// Whatever that function finds; `None` for no tenant.
    pub fn custom(find: impl Fn(&dyn RequestHead) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::new(How::Custom(Arc::new(find)))
    }

    /// What requests for no tenant get (default 404).
    pub const fn with_unknown_tenant(mut self, unknown: UnknownTenant) -> Self {
        self.unknown = unknown;
        self
    }

    /// What requests for no tenant get.
    #[must_use]
    pub const fn unknown_tenant(&self) -> UnknownTenant {
        self.unknown
    }

    /// The request header that responses depend on, for `Vary`. Hosts and paths are part of the address already.
    #[must_use]
    pub fn vary(&self) -> Option<&str> {
        match &self.how {
            How::Header(name) => Some(name),
            _ => None,
        }
    }

    /// The name of the tenant that a request is for. No allocation where a host is in lower case already.
    ///
    /// # Errors
    /// Why it is for none.
    pub fn resolve<'a>(&self, head: &'a dyn RequestHead) -> std::result::Result<Cow<'a, str>, NoTenant> {
        match &self.how {
            How::Host => host(head),
            How::Subdomain(base) => {
                let host = host(head)?;
                let label = host.strip_suffix(&**base).ok_or(NoTenant::Missing)?;
                if label.contains('.') {
                    return Err(NoTenant::Malformed);
                }
                let length = label.len();
                Ok(match host {
                    Cow::Borrowed(host) => Cow::Borrowed(host.get(..length).unwrap_or_default()),
                    Cow::Owned(mut host) => {
                        host.truncate(length);
                        Cow::Owned(host)
                    }
                })
            }
            How::Header(name) => {
                let value = single(head, name)?.ok_or(NoTenant::Missing)?;
                named(value.trim_matches([' ', '\t'])).map(Cow::Borrowed)
            }
            How::Path(index) => segment(head.path(), *index).map(Cow::Borrowed),
            How::Custom(find) => find(head).map(Cow::Owned).ok_or(NoTenant::Missing),
        }
    }
}

impl fmt::Debug for TenantResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match &self.how {
            How::Subdomain(_) => "subdomain",
            How::Host => "host",
            How::Header(_) => "header",
            How::Path(_) => "path",
            How::Custom(_) => "custom",
        };
        f.debug_struct("TenantResolver").field("how", &how).field("unknown", &self.unknown).finish()
    }
}

fn named(name: &str) -> std::result::Result<&str, NoTenant> {
    if name.is_empty() { Err(NoTenant::Missing) } else { Ok(name) }
}

/// The value of a header that must not come twice.
fn single<'a>(head: &'a dyn RequestHead, name: &str) -> std::result::Result<Option<&'a str>, NoTenant> {
    if head.header(name, 1).is_some() {
        return Err(NoTenant::Conflicting);
    }
    let value = head.header(name, 0).map(std::str::from_utf8);
    value.transpose().map_err(|_| NoTenant::Malformed)
}

/// What servers in front read in more ways than one.
const AMBIGUOUS: [char; 3] = ['%', ';', '\\'];

fn segment(path: &str, index: usize) -> std::result::Result<&str, NoTenant> {
    let mut segments = path.strip_prefix('/').ok_or(NoTenant::Missing)?.split('/');
    for _ in 0..index {
        // What a server may fold away in front of it would move it.
        match segments.next() {
            None | Some("" | "." | "..") => return Err(NoTenant::Missing),
            Some(before) if before.contains(AMBIGUOUS) => return Err(NoTenant::Malformed),
            Some(_) => {}
        }
    }
    let found = named(segments.next().ok_or(NoTenant::Missing)?)?;
    if found.contains(AMBIGUOUS) || matches!(found, "." | "..") {
        return Err(NoTenant::Malformed);
    }
    Ok(found)
}

/// The host that a request is for.
fn host(head: &dyn RequestHead) -> std::result::Result<Cow<'_, str>, NoTenant> {
    let header = single(head, "host")?.filter(|value| !value.is_empty());
    match (head.authority(), header) {
        (None, None) => Err(NoTenant::Missing),
        (Some(one), None) | (None, Some(one)) => host_name(one),
        (Some(one), Some(other)) => {
            let (one, other) = (host_name(one)?, host_name(other)?);
            if one == other { Ok(one) } else { Err(NoTenant::Conflicting) }
        }
    }
}

/// A host in lower case, without port and trailing dot.
fn host_name(authority: &str) -> std::result::Result<Cow<'_, str>, NoTenant> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().map_err(|_| NoTenant::Malformed)?;
            (authority.get(..address.len() + 2).unwrap_or_default(), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let host = host.strip_suffix('.').unwrap_or(host);
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
            if host.len() > 253 || !host.split('.').all(label) {
                return Err(NoTenant::Malformed);
            }
            (host, port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if (digits.len() == port.len() && !port.is_empty())
        || digits.len() > 5
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(NoTenant::Malformed);
    }
    Ok(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

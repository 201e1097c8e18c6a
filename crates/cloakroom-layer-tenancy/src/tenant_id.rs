use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, SessionError};

/// The name of a tenant, in a form that no key space but its own can begin with.
///
/// Names compare byte for byte: `Acme` and `acme` are two tenants. They are not secret, and appear in logs.
///
/// ```
/// use cloakroom_layer_tenancy::TenantId;
///
/// assert_eq!(TenantId::parse("acme-2")?.as_str(), "acme-2");
/// assert!(TenantId::parse("1:session:2").is_err());
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 128;

    /// Parses a name.
    ///
    /// # Errors
    /// `InvalidKey` unless it is 1 to 128 ASCII letters, digits and `-`, `_`, `.`, `~`: what stands in a host or a path
    /// without escapes.
    pub fn parse(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > Self::MAX_LENGTH || !name.bytes().all(Self::allows) {
            let error = SessionError::new(ErrorKind::InvalidKey, "parse tenant");
            return Err(error.with_message("a tenant's name is 1 to 128 letters, digits, -, _, . and ~"));
        }
        Ok(Self(name.into()))
    }

    pub(crate) const fn allows(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = SessionError;

    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

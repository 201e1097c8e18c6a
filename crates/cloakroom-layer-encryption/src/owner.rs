use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_core::{ErrorKind, Owner, Result};
use cloakroom_seal::{Context, KeyRing};

use crate::error::refuse;

const PURPOSE: &str = "cloakroom encryption owner 1";

/// What the inner backend is told instead of an owner.
#[derive(Clone)]
pub(crate) enum Name {
    Plain,
    /// A ring of one key, which signs the owner; the signature is the name.
    Hashed(KeyRing),
}

impl Name {
    pub(crate) fn of(&self, owner: &Owner) -> Result<Owner> {
        let Self::Hashed(ring) = self else { return Ok(owner.clone()) };
        let signed = ring.sign_with(&Context::new(PURPOSE, &[owner.as_str().as_bytes()]), 0, |_| {});
        let mac = signed.last_chunk::<32>();
        let mac = mac.ok_or_else(|| refuse(ErrorKind::Unexpected, "hash owner", "no signature was made"))?;
        Owner::parse(&Base64UrlUnpadded::encode_string(mac))
    }
}

/// How owners are named to the inner backend, now and before.
#[derive(Clone)]
pub(crate) struct OwnerNames {
    pub(crate) current: Name,
    pub(crate) former: Vec<Name>,
}

impl OwnerNames {
    pub(crate) const fn plain() -> Self {
        Self { current: Name::Plain, former: Vec::new() }
    }

    pub(crate) const fn is_hashed(&self) -> bool {
        matches!(self.current, Name::Hashed(_))
    }

    /// Whether what is stored does not tell everybody's owner.
    pub(crate) fn any_hashed(&self) -> bool {
        self.is_hashed() || self.former.iter().any(|name| matches!(name, Name::Hashed(_)))
    }

    /// All names that an owner may be stored under. The current one is the last: a record that is renamed while
    /// somebody goes through them is met under one of both.
    pub(crate) fn all(&self, owner: &Owner) -> Result<Vec<Owner>> {
        let mut all = Vec::with_capacity(self.former.len() + 1);
        for name in self.former.iter().chain([&self.current]) {
            let name = name.of(owner)?;
            all.retain(|known| *known != name);
            all.push(name);
        }
        Ok(all)
    }
}

impl fmt::Debug for OwnerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerNames")
            .field("hashed", &self.is_hashed())
            .field("former", &self.former.len())
            .finish()
    }
}

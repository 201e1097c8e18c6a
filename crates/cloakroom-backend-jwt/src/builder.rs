use std::time::Duration;

use cloakroom_core::{Clock, Result};
use cloakroom_seal::{ClientSideBackend, Revocation};

use crate::backend::JwtSessionBackend;
use crate::claims::{RESERVED, Rules};
use crate::codec::JwtCodec;
use crate::error::config;
use crate::key::JwtKey;

/// What fits into one cookie named `__Host-id`: browsers keep 4096 bytes of name and value.
const DEFAULT_MAX_LENGTH: usize = 4096 - "__Host-id".len();
/// More is cut off by servers in a header.
const MAX_LENGTH: usize = 8192;

/// Settings of a [`JwtSessionBackend`], checked when it is built.
///
/// ```
/// use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
///
/// let keys = [JwtKey::hs256(&[2; 32])?, JwtKey::hs256(&[1; 32])?]; // the newest first
/// let backend = JwtSessionBackend::builder(keys)
///     .with_issuer("https://shop.example")
///     .with_audience("shop")
///     .with_claim("role", "role")
///     .build()?;
/// # let _ = backend;
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct JwtBuilder {
    keys: Vec<JwtKey>,
    rules: Rules,
    max_length: usize,
    leeway: Duration,
    clock: Clock,
    revocation: Option<Revocation>,
}

impl JwtBuilder {
    pub(crate) fn new(keys: Vec<JwtKey>) -> Self {
        Self {
            keys,
            rules: Rules::default(),
            max_length: DEFAULT_MAX_LENGTH,
            leeway: Duration::ZERO,
            clock: Clock::system(),
            revocation: None,
        }
    }

    /// Writes the issuer into `iss`, and refuses tokens of another or none.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuer = Some(issuer.into());
        self
    }

    /// Adds an audience to `aud`. Refuses tokens for none of those that were added.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.push(audience.into());
        self
    }

    /// Refuses tokens without that claim, or with `null` in it; and refuses to write a session that has nothing for it:
    /// with `sub`, one without an owner, with `exp` one without an end, else one without the field that is copied
    /// to it.
    pub fn with_required_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.required.push(claim.into());
        self
    }

    /// Copies a field of the session to a top-level claim, for other services to read. A session without the field
    /// has no such claim. Sessions must be in JSON, which is the default.
    ///
    /// What is copied makes the token longer: payloads close to the largest no longer fit.
    pub fn with_claim(mut self, claim: impl Into<String>, field: impl Into<String>) -> Self {
        self.rules.copied.push((claim.into(), field.into()));
        self
    }

    /// Makes and accepts tokens of at most so many bytes (default 4087: one cookie named `__Host-id`). For cookies,
    /// 4096 less the length of their name; for headers up to 8192.
    pub fn with_max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// Accepts tokens for that long after their end (default 0), for processes whose clocks differ.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Takes its time from there.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps in that backend which sessions ended, so that they are refused from then on. See [`Revocation`].
    pub fn with_revocation(mut self, revocation: impl Into<Revocation>) -> Self {
        self.revocation = Some(revocation.into());
        self
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` without a key, for a first key that cannot sign, for several of which one has no `kid` or two
    /// the same, for one key twice; for copied claims that are registered, the framework's own or there twice; for
    /// required claims that nothing gives; for a length that is over 8192 or too short for an empty session; for a revocation backend
    /// that does not keep records itself.
    pub fn build(self) -> Result<JwtSessionBackend> {
        let Self { keys, rules, max_length, leeway, clock, revocation } = self;
        check(&rules)?;
        if max_length > MAX_LENGTH {
            return Err(config("build", "tokens of more than 8192 bytes do not fit into headers"));
        }
        let codec = JwtCodec::new(keys, rules, max_length)?;
        let mut backend = ClientSideBackend::new(codec).with_clock(clock).with_leeway(leeway);
        if let Some(revocation) = revocation {
            backend = backend.with_revocation(revocation)?;
        }
        Ok(JwtSessionBackend::over(backend))
    }
}

fn check(rules: &Rules) -> Result<()> {
    let mut claims = Vec::new();
    for (claim, field) in &rules.copied {
        if claim.is_empty() || RESERVED.contains(&claim.as_str()) {
            return Err(config("build", format!("the claim {claim:?} has a meaning of its own")));
        }
        if claims.contains(&claim) {
            return Err(config("build", format!("the claim {claim:?} is copied twice")));
        }
        if field.starts_with("_cloakroom") {
            return Err(config("build", "a field of the framework is not copied"));
        }
        claims.push(claim);
    }
    let audience = !rules.audiences.is_empty();
    for claim in &rules.required {
        let given = match claim.as_str() {
            "iss" => rules.issuer.is_some(),
            "aud" => audience,
            "nbf" | "jti" => false,
            registered if RESERVED.contains(&registered) => true,
            _ => claims.contains(&claim),
        };
        if !given {
            return Err(config("build", format!("the claim {claim:?} is required, and nothing gives it")));
        }
    }
    Ok(())
}

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_core::{ErrorKind, Result};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER as PROVIDER;
use jsonwebtoken::jwk::EllipticCurve;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

use crate::error::{config, refuse};
use crate::pem::{self, Curve, ED25519, P256, P384};

const MAX_KID: usize = 64;
const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// A key to sign and verify tokens with, for one algorithm: each constructor takes what its algorithm needs and
/// nothing else, so that no key serves two.
///
/// Its `kid` is made from the key itself, unless it is [named](Self::with_kid). Keys with public halves come in two
/// forms: private ones sign and verify, public ones only verify.
///
/// ```
/// use cloakroom_backend_jwt::JwtKey;
///
/// let key = JwtKey::hs256(&[7; 32])?.with_kid("2026-01")?; // from a secret store
/// assert!(JwtKey::hs256(b"too short").is_err());
/// assert!(!format!("{key:?}").contains('7'));
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[derive(Clone)]
pub struct JwtKey {
    algorithm: Algorithm,
    name: &'static str,
    kid: Option<Box<str>>,
    signing: Option<EncodingKey>,
    verifying: DecodingKey,
    fingerprint: [u8; 32],
    signature_length: usize,
}

impl JwtKey {
    /// HMAC with SHA-256, with at least 32 random bytes.
    ///
    /// # Errors
    /// `InvalidConfig` for a shorter secret, and for the text of a key in PEM, JWK or OpenSSH form. Whether the bytes are
    /// random is not looked at.
    pub fn hs256(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::HS256, "HS256", secret, 32)
    }

    /// HMAC with SHA-384, with at least 48 random bytes.
    ///
    /// # Errors
    /// As [`hs256`](Self::hs256).
    pub fn hs384(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::HS384, "HS384", secret, 48)
    }

    /// HMAC with SHA-512, with at least 64 random bytes.
    ///
    /// # Errors
    /// As [`hs256`](Self::hs256).
    pub fn hs512(secret: &[u8]) -> Result<Self> {
        Self::hmac(Algorithm::HS512, "HS512", secret, 64)
    }

    /// RSA with SHA-256, from a private key of 2048 to 8192 bits: a PEM text of PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs256_pem(private: &str) -> Result<Self> {
        Self::rsa(Algorithm::RS256, "RS256", private)
    }

    /// RSA with SHA-384. As [`rs256_pem`](Self::rs256_pem).
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs384_pem(private: &str) -> Result<Self> {
        Self::rsa(Algorithm::RS384, "RS384", private)
    }

    /// RSA with SHA-512. As [`rs256_pem`](Self::rs256_pem).
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs512_pem(private: &str) -> Result<Self> {
        Self::rsa(Algorithm::RS512, "RS512", private)
    }

    /// RSA with SHA-256, to verify only: a PEM text of a public key of 2048 to 8192 bits.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs256_public_pem(public: &str) -> Result<Self> {
        Self::rsa_public(Algorithm::RS256, "RS256", public)
    }

    /// RSA with SHA-384, to verify only. As [`rs256_public_pem`](Self::rs256_public_pem).
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs384_public_pem(public: &str) -> Result<Self> {
        Self::rsa_public(Algorithm::RS384, "RS384", public)
    }

    /// RSA with SHA-512, to verify only. As [`rs256_public_pem`](Self::rs256_public_pem).
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn rs512_public_pem(public: &str) -> Result<Self> {
        Self::rsa_public(Algorithm::RS512, "RS512", public)
    }

    /// ECDSA on P-256 with SHA-256, from a private key: a PEM text of PKCS#8.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn es256_pem(private: &str) -> Result<Self> {
        Self::ecdsa(Algorithm::ES256, "ES256", private)
    }

    /// ECDSA on P-384 with SHA-384, from a private key: a PEM text of PKCS#8.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn es384_pem(private: &str) -> Result<Self> {
        Self::ecdsa(Algorithm::ES384, "ES384", private)
    }

    /// ECDSA on P-256 with SHA-256, to verify only: a PEM text of a public key.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn es256_public_pem(public: &str) -> Result<Self> {
        Self::curve_public(Algorithm::ES256, "ES256", public, &P256)
    }

    /// ECDSA on P-384 with SHA-384, to verify only: a PEM text of a public key.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn es384_public_pem(public: &str) -> Result<Self> {
        Self::curve_public(Algorithm::ES384, "ES384", public, &P384)
    }

    /// Ed25519, from a private key: a PEM text of PKCS#8.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn eddsa_pem(private: &str) -> Result<Self> {
        let der = pem::block(private, "PRIVATE KEY").ok_or_else(|| unreadable("a private key in PKCS#8"))?;
        let public = (PROVIDER.key_utils.ed_pub_components_from_private_key)(&der, &EllipticCurve::Ed25519);
        let public = public.map_err(|_| unreadable("an Ed25519 private key"))?;
        let verifying = DecodingKey::from_ed_der(&public);
        Self::pair("EdDSA", Algorithm::EdDSA, EncodingKey::from_ed_der(&der), verifying, &public, 64)
    }

    /// Ed25519, to verify only: a PEM text of a public key.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn eddsa_public_pem(public: &str) -> Result<Self> {
        Self::curve_public(Algorithm::EdDSA, "EdDSA", public, &ED25519)
    }

    /// Names the key, in each token that it signs: 1 to 64 printable ASCII characters without space, quotes and
    /// backslash.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else.
    pub fn with_kid(mut self, kid: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if kid.is_empty() || kid.len() > MAX_KID || !kid.bytes().all(allowed) {
            return Err(config("with_kid", "a kid is 1 to 64 printable ASCII characters"));
        }
        self.kid = Some(kid.into());
        Ok(self)
    }

    /// Leaves the `kid` out, for readers that want none. Such a key can only be used alone: tokens signed with it are
    /// refused as soon as there is another.
    #[must_use]
    pub fn without_kid(mut self) -> Self {
        self.kid = None;
        self
    }

    /// The name that its tokens carry.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn hmac(algorithm: Algorithm, name: &'static str, secret: &[u8], least: usize) -> Result<Self> {
        if secret.len() < least {
            let message =
                format!("a secret for {name} has at least {least} bytes, this one {}", secret.len());
            return Err(config("key", message));
        }
        if pem::is_text_of_a_key(secret) {
            return Err(config("key", "the text of a key in PEM, JWK or OpenSSH form is no secret for HMAC"));
        }
        let signing = EncodingKey::from_secret(secret);
        Self::pair(name, algorithm, signing, DecodingKey::from_secret(secret), secret, least)
    }

    fn rsa(algorithm: Algorithm, name: &'static str, private: &str) -> Result<Self> {
        let unreadable = || unreadable("an RSA private key of 2048 to 8192 bits in PKCS#8 or PKCS#1");
        let pkcs1 = match pem::block(private, "RSA PRIVATE KEY") {
            Some(pkcs1) => pkcs1,
            None => {
                let pkcs8 = pem::block(private, "PRIVATE KEY").ok_or_else(unreadable)?;
                pem::rsa_pkcs1(&pkcs8).ok_or_else(unreadable)?.to_vec().into()
            }
        };
        let public = (PROVIDER.key_utils.rsa_pub_components_from_private_key)(&pkcs1);
        let (modulus, exponent) = public.map_err(|_| unreadable())?;
        let length = check_rsa(&modulus)?;
        let verifying = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Self::pair(name, algorithm, EncodingKey::from_rsa_der(&pkcs1), verifying, &modulus, length)
    }

    fn rsa_public(algorithm: Algorithm, name: &'static str, public: &str) -> Result<Self> {
        let unreadable = || unreadable("an RSA public key");
        let der = pem::block(public, "PUBLIC KEY").or_else(|| pem::block(public, "RSA PUBLIC KEY"));
        let der = der.ok_or_else(unreadable)?;
        let components = (PROVIDER.key_utils.rsa_pub_components_from_public_key)(&der);
        let (modulus, exponent) = components.map_err(|_| unreadable())?;
        let length = check_rsa(&modulus)?;
        let verifying = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Ok(Self::made(name, algorithm, None, verifying, &modulus, length))
    }

    fn ecdsa(algorithm: Algorithm, name: &'static str, private: &str) -> Result<Self> {
        let der = pem::block(private, "PRIVATE KEY").ok_or_else(|| unreadable("a private key in PKCS#8"))?;
        let public = (PROVIDER.key_utils.ec_pub_components_from_private_key)(&der, algorithm);
        let (_, x, y) = public.map_err(|_| unreadable("a private key of the algorithm's curve"))?;
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        let verifying = DecodingKey::from_ec_der(&point);
        Self::pair(name, algorithm, EncodingKey::from_ec_der(&der), verifying, &point, point.len() - 1)
    }

    fn curve_public(algorithm: Algorithm, name: &'static str, public: &str, curve: &Curve) -> Result<Self> {
        let unreadable = || unreadable("a public key of the algorithm's curve");
        let der = pem::block(public, "PUBLIC KEY").ok_or_else(unreadable)?;
        let point = curve.point(&der).ok_or_else(unreadable)?;
        let (verifying, length) = match algorithm {
            Algorithm::EdDSA => (DecodingKey::from_ed_der(point), 64),
            _ => (DecodingKey::from_ec_der(point), point.len() - 1),
        };
        Ok(Self::made(name, algorithm, None, verifying, point, length))
    }

    /// A key that signs, after a try.
    fn pair(
        name: &'static str,
        algorithm: Algorithm,
        signing: EncodingKey,
        verifying: DecodingKey,
        material: &[u8],
        signature_length: usize,
    ) -> Result<Self> {
        let key = Self::made(name, algorithm, Some(signing), verifying, material, signature_length);
        let signature = key.sign(b"a try")?;
        if signature.len() != signature_length || !key.verify(b"a try", &signature) {
            return Err(config("key", "the key does not verify what it signs"));
        }
        Ok(key)
    }

    fn made(
        name: &'static str,
        algorithm: Algorithm,
        signing: Option<EncodingKey>,
        verifying: DecodingKey,
        material: &[u8],
        signature_length: usize,
    ) -> Self {
        // Independent of the algorithm, so that one key under two of them is found out.
        let hash = Sha256::new().chain_update(b"cloakroom jwt key\0").chain_update(material).finalize();
        let fingerprint: [u8; 32] = hash.into();
        let kid = Base64UrlUnpadded::encode_string(&fingerprint[..6]);
        Self { algorithm, name, kid: Some(kid.into()), signing, verifying, fingerprint, signature_length }
    }

    /// The name of the algorithm in headers of tokens.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.name
    }

    pub(crate) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// In bytes.
    pub(crate) fn signature_length(&self) -> usize {
        self.signature_length
    }

    pub(crate) fn signs(&self) -> bool {
        self.signing.is_some()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = || refuse(ErrorKind::Unexpected, "sign", "the key cannot sign");
        let signing = self.signing.as_ref().ok_or_else(failed)?;
        // Not by way of the process's default provider: that is the application's to choose, and may be missing.
        let signer = (PROVIDER.signer_factory)(&self.algorithm, signing).map_err(|_| failed())?;
        signer.try_sign(message).map_err(|_| failed())
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        let verifier = (PROVIDER.verifier_factory)(&self.algorithm, &self.verifying);
        verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

fn unreadable(expected: &str) -> cloakroom_core::SessionError {
    config("key", format!("the text is not one PEM block with {expected}"))
}

/// The modulus' length in bytes, which is that of a signature.
fn check_rsa(modulus: &[u8]) -> Result<usize> {
    let leading = modulus.iter().take_while(|&&byte| byte == 0).count();
    let significant = modulus.len() - leading;
    let unused = modulus.get(leading).map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = significant * 8 - unused;
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        let message = format!("an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one {bits}");
        return Err(config("key", message));
    }
    Ok(significant)
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("algorithm", &self.name)
            .field("kid", &self.kid)
            .field("signs", &self.signs())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

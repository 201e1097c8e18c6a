use std::fmt;

use cloakroom_core::Result;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::seal_key::{SEAL_KEY_LENGTH, SealKey, invalid};

/// What is mixed in where the application gives no salt of its own.
const SALT: &[u8] = b"cloakroom passphrase v1";
/// What OWASP asks of PBKDF2 with HMAC-SHA256.
const ITERATIONS: u32 = 600_000;
const MIN_ITERATIONS: u32 = 100_000;
const MIN_LENGTH: usize = 12;
const MIN_SALT: usize = 8;

/// Words that a person chose, from which a [`SealKey`] is derived through PBKDF2-HMAC-SHA256.
///
/// Whoever holds one sealed value can try passphrases without asking the server. The iterations make each try slow;
/// only a key of 32 random bytes makes it hopeless. All servers that share sessions must use the same passphrase, salt
/// and number of iterations.
///
/// ```no_run
/// use cloakroom_seal::{KeyRing, Passphrase};
///
/// let key = Passphrase::new("correct horse battery staple")?.with_salt("shop.example")?.derive();
/// let ring = KeyRing::new([key])?;
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
#[must_use]
pub struct Passphrase {
    words: Zeroizing<Box<[u8]>>,
    salt: Box<[u8]>,
    iterations: u32,
}

impl Passphrase {
    /// A passphrase. Its bytes count as they are: two ways to write the same accent are two passphrases.
    ///
    /// # Errors
    /// `InvalidConfig` under 12 bytes.
    pub fn new(words: &str) -> Result<Self> {
        if words.len() < MIN_LENGTH {
            return Err(invalid("a passphrase has at least 12 bytes"));
        }
        Ok(Self { words: Zeroizing::new(words.as_bytes().into()), salt: SALT.into(), iterations: ITERATIONS })
    }

    /// Makes the key differ from that of other sites with the same passphrase. Not a secret (default: a fixed text,
    /// `cloakroom passphrase v1`).
    ///
    /// # Errors
    /// `InvalidConfig` under 8 bytes.
    pub fn with_salt(mut self, salt: impl AsRef<[u8]>) -> Result<Self> {
        if salt.as_ref().len() < MIN_SALT {
            return Err(invalid("a salt has at least 8 bytes"));
        }
        self.salt = salt.as_ref().into();
        Ok(self)
    }

    /// How many iterations (default 600,000).
    ///
    /// # Errors
    /// `InvalidConfig` under 100,000.
    pub fn with_iterations(mut self, iterations: u32) -> Result<Self> {
        if iterations < MIN_ITERATIONS {
            return Err(invalid("a passphrase needs at least 100000 iterations"));
        }
        self.iterations = iterations;
        Ok(self)
    }

    /// The key. Takes about 0.1 s of one processor for 600,000 iterations where it has instructions for SHA-256, several
    /// times that elsewhere: do it once at start, and not on a thread that runs async tasks.
    #[must_use]
    pub fn derive(&self) -> SealKey {
        let mut key = Zeroizing::new([0; SEAL_KEY_LENGTH]);
        pbkdf2::pbkdf2_hmac::<Sha256>(&self.words, &self.salt, self.iterations, &mut *key);
        SealKey::from_bytes(*key)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

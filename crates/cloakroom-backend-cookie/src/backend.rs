use cloakroom_core::{
    Capability, Clock, Cursor, Filter, Page, Record, Removal, Result, Rotate, SessionBackend, SessionKey,
    Touch, Write,
};
use cloakroom_seal::{ClientSideBackend, KeyRing, Passphrase, Revocation, SealKey};

use crate::codec::CookieCodec;
use crate::url;

/// Sessions that the client keeps, sealed, in its cookie. Cheap to clone; clones share the keys.
///
/// No operation leaves the process, unless [revocation](Self::with_revocation) is on; see [`ClientSideBackend`] for what
/// it costs then.
///
/// ```
/// use cloakroom_backend_cookie::CookieSessionBackend;
/// use cloakroom_core::{Capability, Record, SessionBackend, SessionKey, Write};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = CookieSessionBackend::from_key(&[42; 32])?; // yours comes from a generator
/// let record = Record::new(r#"{"user":"ada"}"#, backend.clock().now());
/// let key = backend.write(&SessionKey::generate()?, record.clone(), Write::create()).await?;
///
/// // What the client sends back is all there is.
/// let value = key.expose();
/// let shown = SessionKey::parse(value, &backend.capability())?;
/// assert_eq!(backend.read(&shown).await?, Some(record));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CookieSessionBackend(ClientSideBackend<CookieCodec>);

impl CookieSessionBackend {
    /// Sealed with the first key of a ring; opened with any of them.
    pub fn new(ring: KeyRing) -> Self {
        Self::from_codec(CookieCodec::new(ring))
    }

    /// Sealed with one key of 32 bytes, which must come from a generator for secrets.
    ///
    /// # Errors
    /// `InvalidConfig` for any other length.
    pub fn from_key(key: &[u8]) -> Result<Self> {
        Self::from_keys([key])
    }

    /// Sealed with the first of several keys of 32 bytes; opened with any of them.
    ///
    /// # Errors
    /// `InvalidConfig` for any other length, without a key, and for the same key twice.
    pub fn from_keys<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Result<Self> {
        let keys: Result<Vec<SealKey>> =
            keys.into_iter().map(|key| SealKey::from_slice(key.as_ref())).collect();
        Ok(Self::new(KeyRing::new(keys?)?))
    }

    /// Sealed with a key that is derived from a passphrase, on a thread for blocking work. Done once, at start.
    ///
    /// ```no_run
    /// use cloakroom_backend_cookie::{CookieSessionBackend, Passphrase};
    ///
    /// # async fn start() -> cloakroom_core::Result<()> {
    /// let passphrase = Passphrase::new("correct horse battery staple")?.with_salt("shop.example")?;
    /// let backend = CookieSessionBackend::from_passphrase(passphrase).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unexpected` when the runtime shuts down meanwhile.
    pub async fn from_passphrase(passphrase: Passphrase) -> Result<Self> {
        Ok(Self::new(KeyRing::new([url::derive(passphrase).await?])?))
    }

    /// Signed only: nobody can change a session, but **the client can read all of it**, and so can whoever reads the
    /// cookie. For sessions without a secret whose size counts: it saves 53 bytes of text.
    pub fn signed_only(ring: KeyRing) -> Self {
        Self::from_codec(CookieCodec::signed_only(ring))
    }

    /// With a codec of one's own making.
    pub fn from_codec(codec: CookieCodec) -> Self {
        Self(ClientSideBackend::new(codec))
    }

    /// By a URL such as `cookie:?key=<43 characters of base64url>&name=id`. No slashes, no host.
    ///
    /// | parameter | |
    /// |---|---|
    /// | `key` | a key in base64 (see [`SealKey::parse`]); several, in order: the first seals, all open |
    /// | `key_file` | a file with keys, one a line, of which empty lines and those that begin with `#` are left out |
    /// | `passphrase` | derived as by [`Passphrase`] with its defaults |
    /// | `name` | the cookie's name (default `__Host-id`) |
    ///
    /// The first three can be mixed, in the order in which the keys are to count. `%` and two hexadecimal digits stand
    /// for a byte, in all values; `+` stands for itself.
    ///
    /// ```
    /// use cloakroom_backend_cookie::CookieSessionBackend;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let url = "cookie:?key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE&name=id";
    /// let backend = CookieSessionBackend::connect(url).await?;
    /// assert!(CookieSessionBackend::connect("cookie:?kye=AQEB").await.is_err());
    /// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidConfig` for a URL that is none of these, for an unknown parameter, and for what the ring or the name
    /// refuses. No error shows anything of the URL or the file.
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self::from_codec(url::parse(url).await?))
    }

    /// The name of the cookie (default `__Host-id`), which must be that of the middleware: sessions are bound to it. Nothing
    /// compares the two.
    ///
    /// # Errors
    /// `InvalidConfig` for what cannot be a cookie's name, or is longer than 255 bytes.
    pub fn with_cookie_name(self, name: &str) -> Result<Self> {
        let codec = self.0.codec().clone().with_cookie_name(name)?;
        Ok(Self(self.0.with_codec(codec)))
    }

    /// Over how many cookies a session may be split that does not fit into one (default 1, at most 4). The middleware's
    /// `CookieConfig` must be told the same. Each request then carries all of them: a store is the better choice for
    /// sessions that are often that large.
    ///
    /// # Errors
    /// `InvalidConfig` unless it is 1 to 4.
    pub fn with_split(self, cookies: usize) -> Result<Self> {
        let codec = self.0.codec().clone().with_split(cookies)?;
        Ok(Self(self.0.with_codec(codec)))
    }

    /// Takes its time from there.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self(self.0.with_clock(clock))
    }

    /// Keeps in that backend which sessions ended, until they would have expired, and which generation of an owner's
    /// sessions lives. Sessions are then `revocable`, and each read asks that backend.
    ///
    /// # Errors
    /// `InvalidConfig` for a backend that does not keep records itself or does not compare versions.
    pub fn with_revocation(self, revocation: impl Into<Revocation>) -> Result<Self> {
        Ok(Self(self.0.with_revocation(revocation)?))
    }
}

impl SessionBackend for CookieSessionBackend {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.0.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.0.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.0.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.0.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.0.scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.0.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.0.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.0.sweep(limit).await
    }
}

use std::fmt;
use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, SessionError};

/// From how many bytes on sessions are worth compressing.
#[cfg(any(feature = "zstd", feature = "gzip", feature = "brotli"))]
pub(crate) const DEFAULT_THRESHOLD: usize = 512;

/// A way to compress payloads.
///
/// Implementations keep what is costly to build, such as tables and buffers, from one call to the next, and nothing of
/// one payload may show in another. Calls are short and do not block on anything but the processor.
///
/// # Examples
/// One that knows how to write zeros:
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};
/// use cloakroom_layer_compression::{CompressedSessionBackend, Compressor, Tag, Unreadable};
///
/// #[derive(Debug)]
/// struct Zeros;
///
/// impl Compressor for Zeros {
///     fn name(&self) -> &'static str {
///         "zeros"
///     }
///     fn tag(&self) -> Tag {
///         Tag::THIRD_PARTY[0]
///     }
///     fn threshold(&self) -> usize {
///         16
///     }
///     fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
///         let length = u32::try_from(payload.len()).ok()?.to_be_bytes();
///         let fits = payload.iter().all(|&byte| byte == 0) && out.len() >= length.len();
///         fits.then(|| out[..length.len()].copy_from_slice(&length))?;
///         Some(length.len())
///     }
///     fn expand(&self, data: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
///         let length: [u8; 4] = data.try_into().map_err(|_| Unreadable::Damaged)?;
///         let length = u32::from_be_bytes(length) as usize;
///         if length > limit { Err(Unreadable::TooLarge) } else { Ok(vec![0; length]) }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = InMemorySessionBackend::new();
/// let backend = CompressedSessionBackend::new(store.clone(), Zeros);
/// let key = SessionKey::generate()?;
/// let record = Record::new(vec![0; 100], backend.clock().now());
/// backend.write(&key, record, Write::create()).await?;
/// assert_eq!(store.read(&key).await?.unwrap().payload, [0x18, 0, 0, 0, 100].as_slice());
/// assert_eq!(backend.read(&key).await?.unwrap().payload, [0; 100].as_slice());
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
pub trait Compressor: fmt::Debug + Send + Sync + 'static {
    /// The name used in logs.
    fn name(&self) -> &'static str;

    /// The first byte of what it compresses.
    fn tag(&self) -> Tag;

    /// From how many bytes on a payload is worth its time, unless the layer's user says otherwise.
    fn threshold(&self) -> usize;

    /// Compresses into the beginning of `out` and says how many bytes that took; `None` when they do not fit, and the
    /// payload is then stored as it is. `out` comes zeroed.
    fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize>;

    /// Expands what [`compress`](Self::compress) gave, whatever settings it had. The data may be anything: never
    /// more than a small multiple of what it really expands to is allocated, and never much more than `limit` bytes.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn expand(&self, data: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable>;
}

/// For a choice at run time.
impl<C: Compressor + ?Sized> Compressor for Arc<C> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn tag(&self) -> Tag {
        (**self).tag()
    }

    fn threshold(&self) -> usize {
        (**self).threshold()
    }

    fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        (**self).compress(payload, out)
    }

    fn expand(&self, data: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
        (**self).expand(data, limit)
    }
}

/// The first byte of a compressed payload: names the algorithm.
///
/// | byte | meaning |
/// |---|---|
/// | 0x10 | stored: the rest is a payload that itself begins with one of these bytes |
/// | 0x11 | zstd |
/// | 0x12 | gzip |
/// | 0x13 | brotli |
/// | 0x14–0x17, 0x1E | reserved |
/// | 0x18–0x1D | algorithms of others: [`THIRD_PARTY`](Self::THIRD_PARTY) |
/// | 0x1F | padded, inside a sealed session |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u8);

/// How much room to make at first for what compressed data says it expands to: few bytes rarely hold very many.
#[cfg(any(feature = "zstd", feature = "gzip"))]
pub(crate) fn believable(declared: usize, compressed: usize) -> usize {
    declared.min(compressed.saturating_mul(64).max(16 << 10))
}

impl Tag {
    pub(crate) const STORED: u8 = 0x10;
    pub(crate) const PADDED: u8 = 0x1F;

    /// A zstd frame.
    pub const ZSTD: Self = Self(0x11);
    /// A gzip member.
    pub const GZIP: Self = Self(0x12);
    /// A brotli stream.
    pub const BROTLI: Self = Self(0x13);
    /// For algorithms of your own. Which is whose is agreed upon by those who read one store.
    pub const THIRD_PARTY: [Self; 6] =
        [Self(0x18), Self(0x19), Self(0x1A), Self(0x1B), Self(0x1C), Self(0x1D)];

    /// The byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether a payload that begins so is not a plain one.
    pub(crate) const fn is_taken(byte: u8) -> bool {
        byte & 0xF0 == 0x10
    }
}

/// Why a stored payload cannot be expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// It is cut off, changed, or never was what its first byte says.
    Damaged,
    /// It would expand to more than the limit.
    TooLarge,
    /// No algorithm with that first byte is compiled in or was given to the layer.
    UnknownTag(u8),
    /// It was compressed with a dictionary that the layer was not given.
    UnknownDictionary(u32),
}

impl Unreadable {
    /// The session's error.
    pub(crate) fn into_error(self) -> SessionError {
        SessionError::new(ErrorKind::Corrupted, "read")
            .with_message(self.to_string())
            .with_backend(crate::backend::NAME)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("the compressed payload is damaged"),
            Self::TooLarge => f.write_str("the payload expands to more than the limit"),
            Self::UnknownTag(tag) => {
                write!(
                    f,
                    "the payload is compressed with an algorithm that is not compiled in (tag {tag:#04x})"
                )
            }
            Self::UnknownDictionary(id) => {
                write!(
                    f,
                    "the payload is compressed with zstd dictionary {id}, which this layer was not given"
                )
            }
        }
    }
}

impl std::error::Error for Unreadable {}

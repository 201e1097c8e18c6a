use std::sync::Arc;

use bytes::Bytes;
use cloakroom_core::{BackendLayer, SessionBackend};

use crate::backend::CompressedSessionBackend;
use crate::compressor::{Compressor, Tag, Unreadable};
use crate::envelope;

/// How many bytes a payload may expand to, unless told otherwise.
const DEFAULT_LIMIT: usize = 1 << 20;

/// Compresses payloads with one algorithm, and reads those of all that are compiled in.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_layer_compression::CompressionLayer;
/// # #[cfg(feature = "zstd")] {
/// use cloakroom_layer_compression::ZstdCompressor;
///
/// let compression = CompressionLayer::new(ZstdCompressor::new()).with_threshold(256);
/// let backend = InMemorySessionBackend::new().layer(compression);
/// assert_eq!(backend.threshold(), 256);
/// # }
/// ```
///
/// All backends that one layer made share it.
#[derive(Clone, Debug)]
pub struct CompressionLayer {
    writer: Arc<dyn Compressor>,
    /// By the last four bits of the tag.
    readers: [Option<Arc<dyn Compressor>>; 16],
    threshold: usize,
    limit: usize,
    inside_sealed: bool,
}

impl CompressionLayer {
    /// Writes with that algorithm. Payloads below its threshold (512 bytes; 64 with a zstd dictionary) are stored as
    /// they are, and so are those over the expansion limit (1 MiB).
    #[must_use]
    pub fn new(compressor: impl Compressor) -> Self {
        let writer: Arc<dyn Compressor> = Arc::new(compressor);
        let threshold = writer.threshold();
        let layer = Self {
            writer: writer.clone(),
            readers: Default::default(),
            threshold,
            limit: DEFAULT_LIMIT,
            inside_sealed: false,
        };
        #[cfg(feature = "zstd")]
        let layer = layer.with_reader(crate::ZstdCompressor::new());
        #[cfg(feature = "gzip")]
        let layer = layer.with_reader(crate::GzipCompressor::new());
        #[cfg(feature = "brotli")]
        let layer = layer.with_reader(crate::BrotliCompressor::new());
        layer.with_reader(writer)
    }

    /// Compresses payloads from that many bytes on.
    #[must_use]
    pub fn with_threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// The most bytes that a payload may expand to; what says it is more is `Corrupted`. Larger payloads are stored
    /// uncompressed, so whatever is written can be read.
    ///
    /// Lowering it on a live site makes sessions above it unreadable.
    #[must_use]
    pub fn with_expansion_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Reads what that one wrote, too: an algorithm of your own that is no longer the writer, or zstd with
    /// dictionaries while another algorithm writes. Takes the place of an earlier reader for the same tag.
    #[must_use]
    pub fn with_reader(mut self, compressor: impl Compressor) -> Self {
        if let Some(reader) = self.readers.get_mut(slot(compressor.tag().byte())) {
            *reader = Some(Arc::new(compressor));
        }
        self
    }

    /// Compresses sessions that clients hold sealed, in cookies and tokens, which is otherwise refused.
    ///
    /// The length of a value that a client sees then tells how well the session compresses. Where an attacker can put
    /// text into the session of somebody else, that gives away what else is in it, guess by guess (CRIME, BREACH;
    /// CV-42). Lengths are padded to multiples of 64 bytes, which makes it slow, not impossible: put nothing secret
    /// beside what others can write.
    #[must_use]
    pub fn allow_inside_sealed(mut self) -> Self {
        self.inside_sealed = true;
        self
    }

    pub(crate) const fn threshold(&self) -> usize {
        self.threshold
    }

    pub(crate) const fn is_allowed_inside_sealed(&self) -> bool {
        self.inside_sealed
    }

    pub(crate) fn close(&self, payload: Bytes, padded: bool) -> Bytes {
        let is_worth_it = (self.threshold..=self.limit).contains(&payload.len());
        envelope::close(payload, is_worth_it.then_some(&*self.writer), padded)
    }

    pub(crate) fn open(&self, stored: Bytes) -> Result<Bytes, Unreadable> {
        let find = |tag| self.readers.get(slot(tag)).and_then(Option::as_deref);
        envelope::open(stored, self.limit, find)
    }
}

impl<B: SessionBackend> BackendLayer<B> for CompressionLayer {
    type Backend = CompressedSessionBackend<B>;

    fn layer(&self, inner: B) -> Self::Backend {
        CompressedSessionBackend::with_layer(inner, Arc::new(self.clone()))
    }
}

/// Where the algorithm of a tag stands.
fn slot(tag: u8) -> usize {
    debug_assert!(Tag::is_taken(tag), "callers ask for tags only");
    usize::from(tag & 0x0F)
}

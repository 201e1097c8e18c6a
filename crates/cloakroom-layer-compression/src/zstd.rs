use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use cloakroom_core::{ErrorKind, Result, SessionError};
use zstd::zstd_safe::{self, CCtx, CDict, DCtx};

use crate::compressor::{Compressor, DEFAULT_THRESHOLD, Tag, Unreadable, believable};
use crate::dictionary::ZstdDictionary;

const DEFAULT_LEVEL: i32 = 3;
/// With a dictionary even small sessions shrink.
const DICTIONARY_THRESHOLD: usize = 64;
/// What zstd answers when the output does not fit: the number of an error, negated.
const TOO_SMALL: usize = 0_usize.wrapping_sub(70);

thread_local! {
    static COMPRESSION: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static EXPANSION: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// zstd: the best choice for most sites.
///
/// What is stored is one standard frame. With a [dictionary](ZstdDictionary) the frame names it, so that any number of
/// them can be in use at once:
///
/// ```
/// use cloakroom_layer_compression::{CompressionLayer, ZstdCompressor, ZstdDictionary};
///
/// # let samples = |salt: u32| (0..200).map(move |n| format!(r#"{{"user":{n},"theme":"dark","salt":{salt}}}"#));
/// # let (old, new) = (ZstdDictionary::train(samples(1), 1024)?, ZstdDictionary::train(samples(2), 1024)?);
/// let zstd = ZstdCompressor::new().with_dictionary(new)?.with_former_dictionary(old);
/// let compression = CompressionLayer::new(zstd);
/// # Ok::<(), cloakroom_core::SessionError>(())
/// ```
///
/// Contexts are kept for each thread: some hundred kilobytes on those that save sessions, more only for a while after a
/// session of a megabyte or at high levels.
#[derive(Clone)]
pub struct ZstdCompressor {
    level: i32,
    writing: Option<(ZstdDictionary, Arc<CDict<'static>>)>,
    dictionaries: Vec<ZstdDictionary>,
}

impl ZstdCompressor {
    /// Level 3, without dictionary.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: DEFAULT_LEVEL, writing: None, dictionaries: Vec::new() }
    }

    /// Another level, 1 to 22. Above 9 it takes ten times as long for a few percent.
    ///
    /// # Errors
    /// `InvalidConfig` for any other.
    pub fn with_level(mut self, level: i32) -> Result<Self> {
        if !(1..=22).contains(&level) {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "compress")
                .with_message("levels of zstd are 1 to 22"));
        }
        self.level = level;
        match self.writing.take() {
            Some((dictionary, _)) => self.with_dictionary(dictionary),
            None => Ok(self),
        }
    }

    /// Compresses with that dictionary, and reads what was compressed with it.
    ///
    /// # Errors
    /// `InvalidConfig` when zstd cannot prepare it.
    pub fn with_dictionary(mut self, dictionary: ZstdDictionary) -> Result<Self> {
        let prepared = CDict::try_create(dictionary.as_bytes(), self.level).ok_or_else(|| {
            SessionError::new(ErrorKind::InvalidConfig, "compress")
                .with_message("zstd cannot use the dictionary")
        })?;
        self.writing = Some((dictionary.clone(), Arc::new(prepared)));
        Ok(self.with_former_dictionary(dictionary))
    }

    /// Reads what was compressed with that dictionary. Keep each until the last session written with it is over.
    #[must_use]
    pub fn with_former_dictionary(mut self, dictionary: ZstdDictionary) -> Self {
        self.dictionaries.retain(|known| known.id() != dictionary.id());
        self.dictionaries.push(dictionary);
        self
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> i32 {
        self.level
    }

    fn expand_into(
        &self,
        out: &mut Vec<u8>,
        frame: &[u8],
        dictionary: Option<&ZstdDictionary>,
    ) -> zstd_safe::SafeResult {
        EXPANSION.with_borrow_mut(|context| {
            let context = match context {
                Some(context) => context,
                None => context.insert(DCtx::try_create().ok_or(0_usize)?),
            };
            match dictionary {
                Some(dictionary) => context.decompress_using_ddict(out, frame, dictionary.prepared()),
                None => context.decompress(out, frame),
            }
        })
    }
}

impl Default for ZstdCompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor for ZstdCompressor {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn tag(&self) -> Tag {
        Tag::ZSTD
    }

    fn threshold(&self) -> usize {
        if self.writing.is_some() { DICTIONARY_THRESHOLD } else { DEFAULT_THRESHOLD }
    }

    fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        COMPRESSION.with_borrow_mut(|context| {
            let context = match context {
                Some(context) => context,
                None => context.insert(CCtx::try_create()?),
            };
            let written = match &self.writing {
                Some((_, dictionary)) => context.compress_using_cdict(out, payload, dictionary),
                None => context.compress(out, payload, self.level),
            };
            written.ok()
        })
    }

    fn expand(&self, frame: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
        let declared = zstd_safe::get_frame_content_size(frame).map_err(|_| Unreadable::Damaged)?;
        let most = match declared.map(usize::try_from) {
            Some(Ok(declared)) if declared <= limit => declared,
            Some(_) => return Err(Unreadable::TooLarge),
            None => limit,
        };
        let dictionary = match zstd_safe::get_dict_id_from_frame(frame) {
            None => None,
            Some(id) => {
                let known = self.dictionaries.iter().find(|known| known.id() == id.get());
                Some(known.ok_or(Unreadable::UnknownDictionary(id.get()))?)
            }
        };
        let mut size = believable(most, frame.len());
        loop {
            let mut out = Vec::with_capacity(size);
            match self.expand_into(&mut out, frame, dictionary) {
                Ok(_) => return Ok(out),
                Err(TOO_SMALL) if size < most => size = most.min(size.saturating_mul(4)),
                Err(TOO_SMALL) if declared.is_none() => return Err(Unreadable::TooLarge),
                Err(_) => return Err(Unreadable::Damaged),
            }
        }
    }
}

impl fmt::Debug for ZstdCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdCompressor")
            .field("level", &self.level)
            .field("dictionary", &self.writing.as_ref().map(|(dictionary, _)| dictionary.id()))
            .field("dictionaries", &self.dictionaries)
            .finish()
    }
}

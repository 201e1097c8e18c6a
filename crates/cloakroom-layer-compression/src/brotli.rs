use brotli::enc::StandardAlloc;
use brotli::enc::encode::{
    BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct,
};

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use cloakroom_core::{ErrorKind, Result, SessionError};

use crate::compressor::{Compressor, DEFAULT_THRESHOLD, Tag, Unreadable};

const DEFAULT_LEVEL: u32 = 4;
/// The smallest window there is, and one for 256 KiB.
const WINDOWS: std::ops::RangeInclusive<u32> = 10..=18;

/// brotli: the smallest for text, and the slowest.
///
/// What is stored is one brotli stream. The library it is built on has no contexts to keep: each call makes its own, in a
/// window no larger than the payload.
#[derive(Clone, Copy, Debug)]
pub struct BrotliCompressor {
    level: u32,
}

impl BrotliCompressor {
    /// Level 4.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: DEFAULT_LEVEL }
    }

    /// Another level, 0 to 11. From 10 on it takes a hundred times as long.
    ///
    /// # Errors
    /// `InvalidConfig` for any other.
    pub fn with_level(mut self, level: u32) -> Result<Self> {
        if level > 11 {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "compress")
                .with_message("levels of brotli are 0 to 11"));
        }
        self.level = level;
        Ok(self)
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> u32 {
        self.level
    }
}

impl Default for BrotliCompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor for BrotliCompressor {
    fn name(&self) -> &'static str {
        "brotli"
    }

    fn tag(&self) -> Tag {
        Tag::BROTLI
    }

    fn threshold(&self) -> usize {
        DEFAULT_THRESHOLD
    }

    fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let length = u32::try_from(payload.len()).ok()?;
        let window = (length.saturating_add(16)).next_power_of_two().trailing_zeros();
        let mut state = BrotliEncoderStateStruct::new(StandardAlloc::default());
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, self.level);
        state.set_parameter(
            BrotliEncoderParameter::BROTLI_PARAM_LGWIN,
            window.clamp(*WINDOWS.start(), *WINDOWS.end()),
        );
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, length);
        let (mut unread, mut read) = (payload.len(), 0);
        let (mut room, mut written) = (out.len(), 0);
        let done = state.compress_stream(
            BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
            &mut unread,
            payload,
            &mut read,
            &mut room,
            out,
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        let finished = done && state.is_finished();
        BrotliEncoderDestroyInstance(&mut state);
        finished.then_some(written)
    }

    fn expand(&self, stream: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
        // Strict: windows of more than 16 MiB are an extension that is not written here. Windows grow as they fill.
        let mut state = BrotliState::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        let (mut unread, mut read) = (stream.len(), 0);
        let (mut written, mut total) = (0, 0);
        // A byte more than the limit shows what does not end there.
        let most = limit.saturating_add(1);
        let mut out = vec![0; most.min(stream.len().saturating_mul(8).max(1024))];
        loop {
            let mut room = out.len() - written;
            let result = BrotliDecompressStream(
                &mut unread,
                &mut read,
                stream,
                &mut room,
                &mut written,
                &mut out,
                &mut total,
                &mut state,
            );
            match result {
                _ if written > limit => return Err(Unreadable::TooLarge),
                BrotliResult::ResultSuccess if unread == 0 => {
                    out.truncate(written);
                    return Ok(out);
                }
                BrotliResult::NeedsMoreOutput => {
                    let size = most.min(out.len().saturating_mul(4));
                    out.resize(size, 0);
                }
                _ => return Err(Unreadable::Damaged),
            }
        }
    }
}

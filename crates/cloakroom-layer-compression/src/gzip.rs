use std::cell::RefCell;

use cloakroom_core::{ErrorKind, Result, SessionError};
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use crate::compressor::{Compressor, DEFAULT_THRESHOLD, Tag, Unreadable, believable};

const DEFAULT_LEVEL: u32 = 6;
/// No name, no time, no comment, from no system in particular.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
/// Sum and length.
const TRAILER: usize = 8;

thread_local! {
    static COMPRESSION: RefCell<Option<(u32, Compress)>> = const { RefCell::new(None) };
    static EXPANSION: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// gzip: for stores that other programs read, and where nothing may be compiled from C.
///
/// What is stored is one gzip member, with its checksum. Contexts are kept for each thread, about 300 KB on those that
/// save sessions.
#[derive(Clone, Copy, Debug)]
pub struct GzipCompressor {
    level: u32,
}

impl GzipCompressor {
    /// Level 6.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: DEFAULT_LEVEL }
    }

    /// Another level, 1 to 9.
    ///
    /// # Errors
    /// `InvalidConfig` for any other.
    pub fn with_level(mut self, level: u32) -> Result<Self> {
        if !(1..=9).contains(&level) {
            return Err(SessionError::new(ErrorKind::InvalidConfig, "compress")
                .with_message("levels of gzip are 1 to 9"));
        }
        self.level = level;
        Ok(self)
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> u32 {
        self.level
    }

    fn deflate(self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        COMPRESSION.with_borrow_mut(|kept| {
            let context = match kept {
                Some((level, context)) if *level == self.level => {
                    context.reset();
                    context
                }
                _ => &mut kept.insert((self.level, Compress::new(Compression::new(self.level), false))).1,
            };
            match context.compress(payload, out, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => usize::try_from(context.total_out()).ok(),
                _ => None,
            }
        })
    }
}

impl Default for GzipCompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor for GzipCompressor {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn tag(&self) -> Tag {
        Tag::GZIP
    }

    fn threshold(&self) -> usize {
        DEFAULT_THRESHOLD
    }

    fn compress(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let (header, rest) = out.split_at_mut_checked(HEADER.len())?;
        let length = self.deflate(payload, rest)?;
        let trailer = rest.get_mut(length..length + TRAILER)?;
        header.copy_from_slice(&HEADER);
        trailer.copy_from_slice(&sum(payload));
        Some(HEADER.len() + length + TRAILER)
    }

    fn expand(&self, member: &[u8], limit: usize) -> Result<Vec<u8>, Unreadable> {
        let body = member.strip_prefix(&HEADER).ok_or(Unreadable::Damaged)?;
        let (body, trailer) = body.split_last_chunk::<TRAILER>().ok_or(Unreadable::Damaged)?;
        let out = EXPANSION.with_borrow_mut(|kept| {
            let context = match kept {
                Some(context) => {
                    context.reset(false);
                    context
                }
                None => kept.insert(Decompress::new(false)),
            };
            inflate(context, body, declared(trailer), limit)
        })?;
        if sum(&out) == *trailer { Ok(out) } else { Err(Unreadable::Damaged) }
    }
}

/// What a member says its length is, modulo 2^32.
fn declared(trailer: &[u8; TRAILER]) -> usize {
    let [.., a, b, c, d] = *trailer;
    usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX)
}

fn sum(payload: &[u8]) -> [u8; TRAILER] {
    let mut crc = Crc::new();
    crc.update(payload);
    let mut trailer = [0; TRAILER];
    let (sum, length) = trailer.split_at_mut(4);
    sum.copy_from_slice(&crc.sum().to_le_bytes());
    length.copy_from_slice(&crc.amount().to_le_bytes());
    trailer
}

fn inflate(
    context: &mut Decompress,
    body: &[u8],
    declared: usize,
    limit: usize,
) -> Result<Vec<u8>, Unreadable> {
    if declared > limit {
        return Err(Unreadable::TooLarge);
    }
    // A byte more than it should need shows what does not end there.
    let most = limit.saturating_add(1);
    let mut out = Vec::with_capacity(believable(declared.saturating_add(1), body.len()));
    let mut read = 0;
    loop {
        let status =
            context.decompress_vec(body.get(read..).unwrap_or_default(), &mut out, FlushDecompress::Finish);
        read = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
        match status.map_err(|_| Unreadable::Damaged)? {
            Status::StreamEnd if read == body.len() => return Ok(out),
            Status::StreamEnd => return Err(Unreadable::Damaged),
            _ if out.len() > limit => return Err(Unreadable::TooLarge),
            // It stopped although there was room: the end is missing.
            _ if out.len() < out.capacity() => return Err(Unreadable::Damaged),
            _ => {
                let size = most.min(out.capacity().saturating_mul(4));
                out.reserve_exact(size - out.len());
            }
        }
    }
}

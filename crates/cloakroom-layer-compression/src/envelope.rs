//! What stands around a payload: nothing, a tag, or inside a sealed session a frame of whole blocks.

use bytes::Bytes;

use crate::compressor::{Compressor, Tag, Unreadable};

/// Lengths inside a sealed session are multiples of that (CV-42).
const BLOCK: usize = 64;
/// The tag of padding and the number of bytes at the end that mean nothing.
const FRAME: usize = 2;
/// The most that a payload grows by the tag `stored`.
const STORED: usize = 1;

/// The largest payload that always fits into `most` bytes.
pub(crate) fn largest_payload(most: usize, padded: bool) -> usize {
    match (most, padded) {
        (usize::MAX, _) => usize::MAX,
        (_, false) => most.saturating_sub(STORED),
        (_, true) => (most / BLOCK * BLOCK).saturating_sub(FRAME + STORED),
    }
}

/// As it is stored: compressed where that is smaller.
pub(crate) fn close(payload: Bytes, writer: Option<&dyn Compressor>, padded: bool) -> Bytes {
    let compressed = writer.and_then(|writer| compress(&payload, writer));
    let body = compressed.unwrap_or_else(|| match payload.first() {
        Some(&first) if Tag::is_taken(first) => store(&payload),
        _ => payload,
    });
    if padded { pad(&body) } else { body }
}

fn compress(payload: &[u8], writer: &dyn Compressor) -> Option<Bytes> {
    // One byte less than the payload, tag included: what does not fit is not worth keeping.
    let mut out = vec![0; payload.len().checked_sub(1)?];
    let (tag, rest) = out.split_first_mut()?;
    *tag = writer.tag().byte();
    let length = writer.compress(payload, rest).filter(|&length| length <= rest.len())?;
    out.truncate(1 + length);
    // Stores in memory keep it, with whatever it has to spare.
    out.shrink_to_fit();
    Some(out.into())
}

fn store(payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(STORED + payload.len());
    out.push(Tag::STORED);
    out.extend_from_slice(payload);
    out.into()
}

fn pad(body: &[u8]) -> Bytes {
    let length = (FRAME + body.len()).next_multiple_of(BLOCK);
    let mut out = Vec::with_capacity(length);
    // Below the size of a block.
    let padding = (length - FRAME - body.len()) as u8;
    out.extend_from_slice(&[Tag::PADDED, padding]);
    out.extend_from_slice(body);
    out.resize(length, 0);
    out.into()
}

/// The payload of what is stored, whichever way it was. `find` gives the algorithm of a tag.
pub(crate) fn open<'a>(
    stored: Bytes,
    limit: usize,
    find: impl Fn(u8) -> Option<&'a dyn Compressor>,
) -> Result<Bytes, Unreadable> {
    let body = if stored.first() == Some(&Tag::PADDED) { unpad(&stored)? } else { stored };
    match body.first() {
        Some(&Tag::STORED) => Ok(body.slice(STORED..)),
        Some(&tag) if Tag::is_taken(tag) => {
            let reader = find(tag).ok_or(Unreadable::UnknownTag(tag))?;
            let payload = reader.expand(&body[1..], limit)?;
            if payload.len() > limit { Err(Unreadable::TooLarge) } else { Ok(payload.into()) }
        }
        _ => Ok(body),
    }
}

fn unpad(stored: &Bytes) -> Result<Bytes, Unreadable> {
    let padding = usize::from(*stored.get(1).ok_or(Unreadable::Damaged)?);
    let end = stored.len().checked_sub(padding).filter(|&end| end >= FRAME).ok_or(Unreadable::Damaged)?;
    let sound =
        padding < BLOCK && stored.len().is_multiple_of(BLOCK) && stored[end..].iter().all(|&byte| byte == 0);
    // Frames do not nest.
    if !sound || stored.get(FRAME) == Some(&Tag::PADDED) && end > FRAME {
        return Err(Unreadable::Damaged);
    }
    Ok(stored.slice(FRAME..end))
}

//! What is inside the seal: flags, id, version, times, owner, generation, and the payload to the end.

use std::ops::Range;

use bytes::Bytes;
use cloakroom_core::{Owner, Record, SessionId, State, Timestamp, Version};
use cloakroom_seal::Contents;

const EXPIRES: u8 = 0b0100;
const OWNED: u8 = 0b1000;
const STATE: u8 = 0b0011;
const GENERATION: u8 = 0b1_0000;

/// Flags, id, version.
const FIXED: usize = 1 + 32 + 8;

/// Room that is always counted for the times, used or not, so that the largest payload does not depend on the day:
/// enough for a session that begins before the year 10000 and whose other times are within 69 years of that.
const TIMES: usize = 7 + 2 * 6;

/// What is counted for a record without an owner, beside its payload.
pub(crate) const OVERHEAD: usize = FIXED + TIMES;

/// How much to count for a frame, at least as long as it is.
pub(crate) fn length(contents: &Contents) -> usize {
    let record = &contents.record;
    let times = offsets(contents).into_iter().flatten().map(varint_length).sum::<usize>();
    let owner = record.owner.as_ref().map_or(0, |owner| 1 + owner.as_str().len());
    let generation = if contents.generation == 0 { 0 } else { 8 };
    FIXED + times.max(TIMES) + owner + generation + record.payload.len()
}

/// The times: when it began, and how far the others are from that.
fn offsets(contents: &Contents) -> [Option<u64>; 3] {
    let Record { created_at, accessed_at, expires_at, .. } = &contents.record;
    let start = created_at.as_millis();
    let offset = |time: Timestamp| zigzag(time.as_millis().wrapping_sub(start));
    [Some(zigzag(start)), Some(offset(*accessed_at)), expires_at.map(offset)]
}

pub(crate) fn encode(contents: &Contents, out: &mut Vec<u8>) {
    let record = &contents.record;
    let expires = if record.expires_at.is_some() { EXPIRES } else { 0 };
    let owned = if record.owner.is_some() { OWNED } else { 0 };
    let generation = if contents.generation == 0 { 0 } else { GENERATION };
    out.push(record.state.code() | expires | owned | generation);
    out.extend_from_slice(contents.id.as_bytes());
    out.extend_from_slice(&record.version.as_u64().to_be_bytes());
    for time in offsets(contents).into_iter().flatten() {
        put_varint(out, time);
    }
    if let Some(owner) = &record.owner {
        // An owner is at most 255 bytes long.
        out.push(owner.as_str().len() as u8);
        out.extend_from_slice(owner.as_str().as_bytes());
    }
    if contents.generation != 0 {
        out.extend_from_slice(&contents.generation.to_be_bytes());
    }
    out.extend_from_slice(&record.payload);
}

/// Back from the bytes of a value, of which the frame is a range. They were authenticated, so `None` is for what another
/// version of this crate sealed.
pub(crate) fn decode(value: Vec<u8>, frame: Range<usize>) -> Option<Contents> {
    let mut rest = value.get(frame.clone())?;
    let [flags] = take(&mut rest)?;
    if flags & !(STATE | EXPIRES | OWNED | GENERATION) != 0 {
        return None;
    }
    let state = State::from_code(flags & STATE)?;
    let id = SessionId::from_bytes(take(&mut rest)?);
    let version = Version::from_u64(u64::from_be_bytes(take(&mut rest)?));
    let start = unzigzag(take_varint(&mut rest)?);
    let mut time = || Some(Timestamp::from_millis(start.wrapping_add(unzigzag(take_varint(&mut rest)?))));
    let accessed_at = time()?;
    let expires_at = if flags & EXPIRES == 0 { None } else { Some(time()?) };
    let owner = if flags & OWNED == 0 { None } else { Some(take_owner(&mut rest)?) };
    let generation = if flags & GENERATION == 0 { 0 } else { u64::from_be_bytes(take(&mut rest)?) };
    let payload = frame.end - rest.len()..frame.end;
    let record = Record::new(Bytes::from(value).slice(payload), Timestamp::from_millis(start))
        .with_state(state)
        .with_version(version)
        .with_accessed_at(accessed_at)
        .with_expires_at(expires_at)
        .with_owner(owner);
    Some(Contents { id, generation, record })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

fn take_owner(rest: &mut &[u8]) -> Option<Owner> {
    let [length] = take(rest)?;
    let (owner, behind) = rest.split_at_checked(usize::from(length))?;
    *rest = behind;
    Owner::parse(std::str::from_utf8(owner).ok()?).ok()
}

/// Small numbers of either sign to small numbers.
const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn varint_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;

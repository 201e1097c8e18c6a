//! What stands before the payload. All numbers are little-endian.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `cloakrm` and a line feed |
//! | 8 | 1 | format, 1 |
//! | 9 | 1 | state |
//! | 10 | 1 | flags |
//! | 11 | 2 | lengths of scope and owner; 0 = none |
//! | 13 | 3 | zero |
//! | 16 | 8 | length of the payload |
//! | 24 | 8 | version |
//! | 32 | 8 | created |
//! | 40 | 32 | id |
//! | 72 | 64 | id and hashed scope of the other end of a rotation |
//! | 136 | 4 | CRC of the payload |
//! | 140 | 4 | CRC of what is above, scope and owner |
//! | 144 | 32 | slot: accessed, end, sequence, settled, CRC |
//! | 176 | 32 | slot |
//! | 208 | | scope, owner, payload |

use bytes::Bytes;
use cloakroom_core::{Owner, Record, Scope, SessionId, State, Timestamp, Version};

use crate::path::{Place, Space};

const MAGIC: &[u8; 8] = b"cloakrm\n";
const FORMAT: u8 = 1;
const FIXED: usize = 208;
const SUMMED: usize = 140;
const SLOTS: [usize; 2] = [144, 176];
const SLOT: usize = 32;
/// No header is longer.
pub(crate) const MAX_HEADER: usize = FIXED + 2 * 255;

const HAS_END: u8 = 1;
const HAS_PREDECESSOR: u8 = 2;
const HAS_SUCCESSOR: u8 = 4;
const HIDDEN: u8 = 8;
const LINK_SCOPED: u8 = 16;

/// Why a file is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Truncated,
    Foreign,
    Format,
    Checksum,
    Content,
    Misplaced,
    TooLarge,
    Unreadable,
}

impl Damage {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "it is too short",
            Self::Foreign => "it is not a session",
            Self::Format => "its format is not known",
            Self::Checksum => "a checksum does not match",
            Self::Content => "its header makes no sense",
            Self::Misplaced => "it belongs elsewhere",
            Self::TooLarge => "it is larger than any session",
            Self::Unreadable => "it cannot be read",
        }
    }
}

/// The other end of a rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    None,
    /// On the record that moved: until it is settled it counts only if the file there has it as its successor.
    Predecessor(Place),
    /// On what a rotation left.
    Successor(Place),
}

#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) state: State,
    pub(crate) version: Version,
    pub(crate) id: SessionId,
    pub(crate) scope: Option<Scope>,
    pub(crate) owner: Option<Owner>,
    pub(crate) created_at: Timestamp,
    pub(crate) accessed_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) link: Link,
    /// Stands for nothing; there only until the rotation that left it is settled.
    pub(crate) hidden: bool,
    pub(crate) settled: bool,
    pub(crate) payload_length: u64,
    /// How many bytes stand before the payload.
    pub(crate) length: usize,
    payload_crc: u32,
    crc: u32,
    sequence: u32,
    slot: usize,
}

/// The part of a header that changes in place.
struct Slot {
    accessed_at: i64,
    expires_at: i64,
    sequence: u32,
    settled: bool,
}

impl Slot {
    /// The checksum covers the header's, so that a slot of another file never fits.
    fn crc(header: u32, slot: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(header);
        hasher.update(slot);
        hasher.finalize()
    }

    fn encode(&self, header: u32) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&self.accessed_at.to_le_bytes());
        slot[8..16].copy_from_slice(&self.expires_at.to_le_bytes());
        slot[16..20].copy_from_slice(&self.sequence.to_le_bytes());
        slot[20] = u8::from(self.settled);
        let crc = Self::crc(header, &slot[..24]);
        slot[24..28].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    fn decode(header: u32, fields: Fields<'_>, at: usize) -> Option<Self> {
        let bytes = fields.0.get(at..at + 24)?;
        (fields.u32(at + 24)? == Self::crc(header, bytes)).then_some(())?;
        let settled = match bytes[20] {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            accessed_at: fields.i64(at)?,
            expires_at: fields.i64(at + 8)?,
            sequence: fields.u32(at + 16)?,
            settled,
        })
    }
}

#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn i64(self, at: usize) -> Option<i64> {
        self.array(at).map(i64::from_le_bytes)
    }
}

/// Reads a header from the beginning of a file. Bytes behind it are not looked at.
pub(crate) fn parse(bytes: &[u8]) -> Result<Header, Damage> {
    let fields = Fields(bytes);
    let magic = bytes.get(..MAGIC.len()).ok_or(Damage::Truncated)?;
    if magic != MAGIC {
        return Err(Damage::Foreign);
    }
    let [format, state, flags, scope, owner] = fields.array(8).ok_or(Damage::Truncated)?;
    if format != FORMAT {
        return Err(Damage::Format);
    }
    let names = FIXED + usize::from(scope);
    let length = names + usize::from(owner);
    let (Some(names), Some(behind)) = (bytes.get(FIXED..names), bytes.get(names..length)) else {
        return Err(Damage::Truncated);
    };
    let crc = fields.u32(SUMMED).ok_or(Damage::Truncated)?;
    if crc != sum(&bytes[..SUMMED], &bytes[FIXED..length]) {
        return Err(Damage::Checksum);
    }
    let slots = SLOTS.map(|at| Slot::decode(crc, fields, at));
    let (slot, times) = match &slots {
        // The sequence may have wrapped around.
        [Some(a), Some(b)] if b.sequence.wrapping_sub(a.sequence) as i32 > 0 => (1, b),
        [Some(a), _] => (0, a),
        [None, Some(b)] => (1, b),
        [None, None] => return Err(Damage::Checksum),
    };
    let content = || {
        Some(Header {
            state: State::from_code(state)?,
            version: Version::from_u64(fields.u64(24)?),
            id: SessionId::from_bytes(fields.array(40)?),
            scope: name(names, |name| Scope::parse(name).ok())?,
            owner: name(behind, |name| Owner::parse(name).ok())?,
            created_at: Timestamp::from_millis(fields.i64(32)?),
            accessed_at: Timestamp::from_millis(times.accessed_at),
            expires_at: (flags & HAS_END != 0).then(|| Timestamp::from_millis(times.expires_at)),
            link: link(flags, fields)?,
            hidden: flags & HIDDEN != 0,
            settled: times.settled,
            payload_length: fields.u64(16)?,
            length,
            payload_crc: fields.u32(136)?,
            crc,
            sequence: times.sequence,
            slot,
        })
    };
    content().ok_or(Damage::Content)
}

fn sum(fixed: &[u8], names: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fixed);
    hasher.update(names);
    hasher.finalize()
}

#[expect(clippy::option_option, reason = "none and bad are two things")]
fn name<T>(bytes: &[u8], parse: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    if bytes.is_empty() {
        return Some(None);
    }
    parse(std::str::from_utf8(bytes).ok()?).map(Some)
}

fn link(flags: u8, fields: Fields<'_>) -> Option<Link> {
    let place = || {
        let space = Space((flags & LINK_SCOPED != 0).then(|| fields.array(104)).flatten());
        Some(Place { space, id: SessionId::from_bytes(fields.array(72)?) })
    };
    Some(match flags & (HAS_PREDECESSOR | HAS_SUCCESSOR) {
        0 => Link::None,
        HAS_PREDECESSOR => Link::Predecessor(place()?),
        HAS_SUCCESSOR => Link::Successor(place()?),
        _ => return None,
    })
}

/// The header of a new file.
pub(crate) fn encode(
    id: SessionId,
    scope: Option<&Scope>,
    record: &Record,
    link: Link,
    hidden: bool,
) -> Vec<u8> {
    let payload = &record.payload;
    let header = Header {
        state: record.state,
        version: record.version,
        id,
        scope: scope.cloned(),
        owner: record.owner.clone(),
        created_at: record.created_at,
        accessed_at: record.accessed_at,
        expires_at: record.expires_at,
        link,
        hidden,
        settled: !matches!(link, Link::Predecessor(_)),
        payload_length: payload.len() as u64,
        length: 0,
        payload_crc: crc32fast::hash(payload),
        crc: 0,
        sequence: 1,
        slot: 0,
    };
    header.encode()
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let scope = self.scope.as_ref().map_or("", Scope::as_str).as_bytes();
        let owner = self.owner.as_ref().map_or("", Owner::as_str).as_bytes();
        let (flag, place) = match &self.link {
            Link::None => (0, None),
            Link::Predecessor(place) => (HAS_PREDECESSOR, Some(place)),
            Link::Successor(place) => (HAS_SUCCESSOR, Some(place)),
        };
        let mut flags = flag;
        flags |= if self.expires_at.is_some() { HAS_END } else { 0 };
        flags |= if self.hidden { HIDDEN } else { 0 };
        let mut bytes = vec![0; FIXED];
        if let Some(Place { space, id }) = place {
            bytes[72..104].copy_from_slice(id.as_bytes());
            if let Some(hash) = space.0 {
                flags |= LINK_SCOPED;
                bytes[104..136].copy_from_slice(&hash);
            }
        }
        // Neither is longer than 255 bytes.
        let [scope_length, owner_length] = [scope, owner].map(|name| u8::try_from(name.len()).unwrap_or(0));
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..13].copy_from_slice(&[FORMAT, self.state.code(), flags, scope_length, owner_length]);
        bytes[16..24].copy_from_slice(&self.payload_length.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.version.as_u64().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_at.as_millis().to_le_bytes());
        bytes[40..72].copy_from_slice(self.id.as_bytes());
        bytes[136..140].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes.extend_from_slice(scope);
        bytes.extend_from_slice(owner);
        let crc = sum(&bytes[..SUMMED], &bytes[FIXED..]);
        bytes[140..144].copy_from_slice(&crc.to_le_bytes());
        bytes[SLOTS[0]..SLOTS[0] + SLOT].copy_from_slice(&self.times(self.sequence).encode(crc));
        bytes
    }

    fn times(&self, sequence: u32) -> Slot {
        Slot {
            accessed_at: self.accessed_at.as_millis(),
            expires_at: self.expires_at.unwrap_or_default().as_millis(),
            sequence,
            settled: self.settled,
        }
    }

    /// The bytes to put over the older slot, and where: whatever becomes of them, the newer one stays whole.
    pub(crate) fn next_slot(
        &self,
        accessed_at: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> ([u8; SLOT], u64) {
        let mut next = self.times(self.sequence.wrapping_add(1));
        next.accessed_at = accessed_at.as_millis();
        next.expires_at = expires_at.unwrap_or_default().as_millis();
        next.settled = true;
        (next.encode(self.crc), SLOTS[1 - self.slot] as u64)
    }

    pub(crate) fn is_at(&self, at: &Place) -> bool {
        self.id == at.id && Space::of(self.scope.as_ref()) == at.space
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state == State::Live && !self.hidden
    }

    /// Where to look whether this record counts, unless that is settled.
    pub(crate) fn pending(&self) -> Option<Place> {
        match self.link {
            Link::Predecessor(place) if !self.settled => Some(place),
            _ => None,
        }
    }

    pub(crate) fn successor(&self) -> Option<Place> {
        match self.link {
            Link::Successor(place) => Some(place),
            _ => None,
        }
    }

    /// How long the file is.
    pub(crate) fn total(&self) -> Option<usize> {
        usize::try_from(self.payload_length).ok()?.checked_add(self.length)
    }

    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), Damage> {
        if crc32fast::hash(payload) == self.payload_crc { Ok(()) } else { Err(Damage::Checksum) }
    }

    pub(crate) fn into_record(self, payload: Bytes) -> Record {
        Record::new(payload, self.created_at)
            .with_version(self.version)
            .with_state(self.state)
            .with_owner(self.owner)
            .with_accessed_at(self.accessed_at)
            .with_expires_at(self.expires_at)
    }
}

/// Parses a header as it stands in a file; gives it encoded again. For fuzz tests.
#[must_use]
pub fn parse_header(bytes: &[u8]) -> Option<Vec<u8>> {
    parse(bytes).ok().map(|header| header.encode())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_core::{Owner, Record, Scope, SessionId, State, Timestamp};

    use super::{Damage, Header, Link, MAX_HEADER, SLOT, encode, parse, parse_header};
    use crate::path::{Place, Space};

    const ID: SessionId = SessionId::from_bytes([7; 32]);
    const START: Timestamp = Timestamp::from_millis(1_000);

    fn record() -> Record {
        let owner = Owner::parse(&"o".repeat(255)).expect("an owner");
        Record::new("payload", START).with_owner(Some(owner)).with_expires_at(Some(Timestamp::MAX))
    }

    fn scope() -> Scope {
        Scope::parse(&"s".repeat(255)).expect("a scope")
    }

    fn parsed(bytes: &[u8]) -> Header {
        parse(bytes).unwrap_or_else(|damage| panic!("{}", damage.as_str()))
    }

    #[test]
    fn header_of_any_record_round_trips() {
        let there = Place { space: Space(Some([5; 32])), id: SessionId::from_bytes([6; 32]) };
        for state in [State::Live, State::Moved, State::Ended] {
            for link in [Link::None, Link::Predecessor(there), Link::Successor(there)] {
                for scope in [None, Some(scope())] {
                    let record = record().with_state(state);
                    let bytes = encode(ID, scope.as_ref(), &record, link, false);
                    assert!(bytes.len() <= MAX_HEADER);
                    let header = parsed(&bytes);
                    assert!(header.link == link && header.scope == scope && header.length == bytes.len());
                    assert_eq!(header.settled, !matches!(link, Link::Predecessor(_)));
                    assert!(header.is_at(&Place { space: Space::of(scope.as_ref()), id: ID }));
                    assert_eq!(header.check(b"payload"), Ok(()));
                    assert_eq!(header.check(b"Payload"), Err(Damage::Checksum));
                    assert_eq!(parse_header(&bytes), Some(bytes));
                    assert_eq!(header.into_record(record.payload.clone()), record);
                }
            }
        }
    }

    #[test]
    fn header_with_any_bit_flipped_refused_or_the_same() {
        let bytes = encode(ID, Some(&scope()), &record(), Link::None, false);
        let whole = parsed(&bytes).into_record("".into());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(header) = parse(&bytes) {
                    // The unused slot and the padding of the used one carry nothing.
                    assert!((172..208).contains(&at), "byte {at}");
                    assert_eq!(header.into_record("".into()), whole);
                }
            }
        }
    }

    #[test]
    fn header_cut_anywhere_refused() {
        let bytes = encode(ID, Some(&scope()), &record(), Link::None, false);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]).err(), Some(Damage::Truncated), "{length}");
        }
    }

    #[test]
    fn slots_written_in_turn_a_torn_one_leaves_the_other() {
        let mut bytes = encode(ID, None, &record(), Link::None, false);
        let mut last = START;
        for turn in 1..=5 {
            let now = last + Duration::from_millis(turn);
            let (slot, at) = parsed(&bytes).next_slot(now, Some(now));
            let at = usize::try_from(at).expect("small");
            for cut in 0..28 {
                let mut torn = bytes.clone();
                torn[at..at + cut].copy_from_slice(&slot[..cut]);
                let accessed = parsed(&torn).accessed_at;
                assert!(accessed == last || accessed == now, "cut {cut}");
            }
            bytes[at..at + SLOT].copy_from_slice(&slot);
            let header = parsed(&bytes);
            assert_eq!((header.accessed_at, header.expires_at), (now, Some(now)));
            last = now;
        }
    }
}

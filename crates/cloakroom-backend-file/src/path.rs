//! Where things are. Ids and scopes become names of hexadecimal digits, so no path leads out of the folder, and file
//! systems that ignore case keep all apart.

use std::path::{Path, PathBuf};

use cloakroom_core::{Cursor, Owner, Scope, SessionId, SessionKey};
use sha2::{Digest, Sha256};

/// The key space of a record: the hash of its scope. A scope is longer than a file name may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Space(pub(crate) Option<[u8; 32]>);

impl Space {
    pub(crate) const NONE: Self = Self(None);
    const UNSCOPED: &str = "none";

    pub(crate) fn of(scope: Option<&Scope>) -> Self {
        Self(scope.map(|scope| Sha256::digest(scope.as_str()).into()))
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        if name == Self::UNSCOPED { Some(Self::NONE) } else { unhex(name).map(|hash| Self(Some(hash))) }
    }

    fn push_to(self, path: &mut String) {
        match self.0 {
            None => path.push_str(Self::UNSCOPED),
            Some(hash) => push_hex(path, &hash),
        }
    }
}

/// Where a record is filed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) space: Space,
    pub(crate) id: SessionId,
}

impl Place {
    pub(crate) fn of(key: &SessionKey) -> Self {
        Self { space: Space::of(key.scope()), id: key.id() }
    }

    /// The folder among 256, and the lock that its writers hold.
    pub(crate) fn shard(&self) -> u8 {
        self.id.as_bytes()[0]
    }

    pub(crate) fn to_cursor(self) -> Cursor {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend(self.space.0.iter().flatten());
        Cursor::new(bytes)
    }

    pub(crate) fn from_cursor(cursor: &Cursor) -> Option<Self> {
        let (id, space) = cursor.as_bytes().split_first_chunk::<32>()?;
        let space = if space.is_empty() { Space::NONE } else { Space(Some(space.try_into().ok()?)) };
        Some(Self { space, id: SessionId::from_bytes(*id) })
    }
}

/// An owner as the index knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerHash([u8; 32]);

impl OwnerHash {
    pub(crate) fn of(owner: &Owner) -> Self {
        Self(Sha256::digest(owner.as_str()).into())
    }

    /// The lock among 256 that is held while this owner's sessions are counted.
    pub(crate) fn slot(&self, space: Space) -> u8 {
        self.0[0] ^ space.0.map_or(0, |hash| hash[0])
    }
}

/// The folder of a backend and what is in it.
#[derive(Debug)]
pub(crate) struct Layout {
    /// With a slash at its end.
    prefix: String,
    root: PathBuf,
}

impl Layout {
    pub(crate) const SCOPES: &str = "scopes";
    pub(crate) const FOLDERS: [&str; 4] = [Self::SCOPES, "locks", "tmp", "damaged"];

    /// `None` when the path is no text.
    pub(crate) fn new(root: PathBuf) -> Option<Self> {
        let mut prefix = root.to_str()?.to_owned();
        prefix.push('/');
        Some(Self { prefix, root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `tail` = what will follow, in bytes.
    fn path(&self, tail: usize) -> String {
        let mut path = String::with_capacity(self.prefix.len() + tail);
        path.push_str(&self.prefix);
        path
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn scopes(&self) -> PathBuf {
        self.folder(Self::SCOPES)
    }

    pub(crate) fn session(&self, at: &Place) -> PathBuf {
        let mut path = self.sessions_path(at.space);
        let [first, rest @ ..] = at.id.as_bytes();
        path.push('/');
        push_hex(&mut path, &[*first]);
        path.push('/');
        push_hex(&mut path, rest);
        path.into()
    }

    fn sessions_path(&self, space: Space) -> String {
        let mut path = self.path(160);
        path.push_str("scopes/");
        space.push_to(&mut path);
        path.push_str("/sessions");
        path
    }

    pub(crate) fn sessions(&self, space: Space) -> PathBuf {
        self.sessions_path(space).into()
    }

    pub(crate) fn shard(&self, space: Space, shard: u8) -> PathBuf {
        let mut path = self.sessions_path(space);
        path.push('/');
        push_hex(&mut path, &[shard]);
        path.into()
    }

    pub(crate) fn owner(&self, space: Space, owner: OwnerHash) -> PathBuf {
        let mut path = self.path(220);
        path.push_str("scopes/");
        space.push_to(&mut path);
        path.push_str("/owners/");
        let [first, rest @ ..] = owner.0;
        push_hex(&mut path, &[first]);
        path.push('/');
        push_hex(&mut path, &rest);
        path.into()
    }

    /// The file that says that this owner has a session of that id.
    pub(crate) fn owned(&self, owner: OwnerHash, at: &Place) -> PathBuf {
        let mut name = String::with_capacity(64);
        push_hex(&mut name, at.id.as_bytes());
        self.owner(at.space, owner).join(name)
    }

    /// A file that only the holder of that shard's lock has to do with.
    pub(crate) fn temporary(&self, shard: u8, purpose: &str) -> PathBuf {
        let mut path = self.path(16);
        path.push_str("tmp/");
        push_hex(&mut path, &[shard]);
        path.push('-');
        path.push_str(purpose);
        path.into()
    }

    pub(crate) fn lock(&self, kind: &str, number: u8) -> PathBuf {
        let mut path = self.path(24);
        path.push_str("locks/");
        path.push_str(kind);
        path.push('-');
        push_hex(&mut path, &[number]);
        path.into()
    }
}

/// The shard that a temporary file belongs to.
pub(crate) fn shard_of_temporary(name: &str) -> Option<u8> {
    let (shard, purpose) = name.split_once('-')?;
    let known = purpose == "new" || purpose == "trail";
    unhex::<1>(shard).filter(|_| known).map(|[shard]| shard)
}

/// The id of a file in the folder of that shard.
pub(crate) fn id_in_shard(shard: u8, name: &str) -> Option<SessionId> {
    let rest: [u8; 31] = unhex(name)?;
    let mut id = [shard; 32];
    id[1..].copy_from_slice(&rest);
    Some(SessionId::from_bytes(id))
}

pub(crate) fn id_of_owned(name: &str) -> Option<SessionId> {
    unhex(name).map(SessionId::from_bytes)
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Lower case only: one id, one name.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use cloakroom_core::{Scope, SessionId};

    use super::{Layout, Place, Space, id_in_shard, shard_of_temporary, unhex};

    #[test]
    fn session_path_leads_back_to_the_place() {
        let layout = Layout::new("/x".into()).expect("text");
        let at = Place { space: Space::NONE, id: SessionId::from_bytes([0xa7; 32]) };
        let path = layout.session(&at);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(path.starts_with("/x/scopes/none/sessions/a7"), "{}", path.display());
        assert_eq!(id_in_shard(0xa7, name), Some(at.id));
    }

    #[test]
    fn scope_that_looks_like_a_path_stays_a_name() {
        let layout = Layout::new("/x".into()).expect("text");
        let [dots, upper, lower] = ["../../etc/", "A", "a"]
            .map(|scope| layout.sessions(Space::of(Some(&Scope::parse(scope).expect("a scope")))));
        assert_eq!(dots.components().count(), 5);
        assert!(!dots.to_string_lossy().contains(".."));
        assert!(!upper.to_string_lossy().eq_ignore_ascii_case(&lower.to_string_lossy()));
    }

    #[test]
    fn cursor_of_any_place_round_trips() {
        for space in [Space::NONE, Space(Some([9; 32]))] {
            let at = Place { space, id: SessionId::from_bytes([3; 32]) };
            assert!(Place::from_cursor(&at.to_cursor()) == Some(at));
        }
        for foreign in [&[][..], &[0; 31], &[0; 33], &[0; 65]] {
            assert!(Place::from_cursor(&cloakroom_core::Cursor::new(foreign)).is_none());
        }
    }

    #[test]
    fn unhex_other_text_refused() {
        assert_eq!(unhex::<2>("0aff"), Some([10, 255]));
        for text in ["", "0a", "0aF0", "0aff0", "0aff00", "0ag0", "..//", "é0"] {
            assert_eq!(unhex::<2>(text), None, "{text}");
        }
        assert_eq!(shard_of_temporary("a7-new"), Some(0xa7));
        assert_eq!(shard_of_temporary("a7-other"), None);
    }
}

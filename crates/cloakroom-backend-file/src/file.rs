//! Single files: read without a lock, replaced by a rename.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use bytes::Bytes;
use cloakroom_core::ErrorKind;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::Fault;
use crate::folder;
use crate::header::{self, Damage, Header, MAX_HEADER};
use crate::path::Place;
use crate::store::{Durability, Store};

/// What is read at first; few sessions need a second call.
const BUFFER: usize = 32 << 10;
const HEAD: usize = MAX_HEADER.next_multiple_of(256);
/// Up to here header and payload are written in one call.
const JOINED: usize = 64 << 10;
/// How often a file is read again that looks damaged or is in the middle of a rotation.
const LOOKS: u32 = 64;
const DAMAGED_LOOKS: u32 = 3;
const RENAMES: u32 = 8;

/// What is at a place, with the payload or without.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made; a box would cost more")]
pub(crate) enum Seen<T> {
    Nothing,
    Damaged(Damage),
    There(Header, T),
}

enum Opened {
    Nothing,
    Damaged,
    File(File),
}

thread_local! {
    static SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// Failures that are one file's own.
fn is_unreadable(error: &io::Error) -> bool {
    const OWN: [Errno; 6] =
        [Errno::ACCESS, Errno::PERM, Errno::ISDIR, Errno::LOOP, Errno::NXIO, Errno::NODEV];
    OWN.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl Store {
    fn open(&self, at: &Place, writable: bool) -> io::Result<Opened> {
        // What others put there must neither lead elsewhere nor block.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        self.count_opened();
        let path = self.layout.session(at);
        match OpenOptions::new().read(true).write(writable).custom_flags(flags).open(path) {
            Ok(file) => Ok(Opened::File(file)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Opened::Nothing)
            }
            Err(error) if is_unreadable(&error) => Ok(Opened::Damaged),
            Err(error) => Err(error),
        }
    }

    fn objection(&self, at: &Place, header: &Header) -> Option<Damage> {
        if !header.is_at(at) {
            return Some(Damage::Misplaced);
        }
        (header.payload_length > self.largest).then_some(Damage::TooLarge)
    }

    /// The header that is there now, counting or not.
    pub(crate) fn look(&self, at: &Place) -> io::Result<Seen<()>> {
        let mut file = match self.open(at, false)? {
            Opened::Nothing => return Ok(Seen::Nothing),
            Opened::Damaged => return Ok(Seen::Damaged(Damage::Unreadable)),
            Opened::File(file) => file,
        };
        let mut head = [0; HEAD];
        match read_head(&mut file, &mut head) {
            Ok(Ok((header, _))) => Ok(match self.objection(at, &header) {
                None => Seen::There(header, ()),
                Some(damage) => Seen::Damaged(damage),
            }),
            Ok(Err(damage)) => Ok(Seen::Damaged(damage)),
            Err(error) if is_unreadable(&error) => Ok(Seen::Damaged(Damage::Unreadable)),
            Err(error) => Err(error),
        }
    }

    /// Header and payload in one open, read and close.
    pub(crate) fn look_whole(&self, at: &Place) -> io::Result<Seen<Bytes>> {
        let mut file = match self.open(at, false)? {
            Opened::Nothing => return Ok(Seen::Nothing),
            Opened::Damaged => return Ok(Seen::Damaged(Damage::Unreadable)),
            Opened::File(file) => file,
        };
        let whole = SPACE.with_borrow_mut(|buffer| {
            let (header, read) = match read_head(&mut file, buffer)? {
                Ok(found) => found,
                Err(damage) => return Ok(Err(damage)),
            };
            if let Some(damage) = self.objection(at, &header) {
                return Ok(Err(damage));
            }
            let payload = match header.total() {
                Some(total) if total == read => Bytes::copy_from_slice(&buffer[header.length..total]),
                Some(total) if total < read => return Ok(Err(Damage::Content)),
                Some(total) if file.metadata()?.len() == total as u64 => {
                    let mut payload = Vec::with_capacity(total - header.length);
                    payload.extend_from_slice(&buffer[header.length..read]);
                    Read::by_ref(&mut file).take((total - read) as u64).read_to_end(&mut payload)?;
                    payload.into()
                }
                _ => return Ok(Err(Damage::Truncated)),
            };
            Ok(header.check(&payload).map(|()| (header, payload)))
        });
        match whole {
            Ok(Ok((header, payload))) => Ok(Seen::There(header, payload)),
            Ok(Err(damage)) => Ok(Seen::Damaged(damage)),
            Err(error) if is_unreadable(&error) => Ok(Seen::Damaged(Damage::Unreadable)),
            Err(error) => Err(error),
        }
    }

    /// What counts there: not what a rotation under way or a killed one put, not what only covers its tracks.
    fn view<T>(&self, at: &Place, load: impl Fn() -> io::Result<Seen<T>>) -> Result<Seen<T>, Fault> {
        let mut damaged = 0;
        for _ in 0..LOOKS {
            match load()? {
                Seen::Nothing => return Ok(Seen::Nothing),
                Seen::Damaged(damage) => {
                    damaged += 1;
                    // A touch in the same moment looks like damage; it does not do so for long.
                    if damaged == DAMAGED_LOOKS {
                        return Ok(Seen::Damaged(damage));
                    }
                }
                Seen::There(header, _) if header.hidden => return Ok(Seen::Nothing),
                Seen::There(header, rest) => match header.pending() {
                    None => return Ok(Seen::There(header, rest)),
                    Some(from) if self.leads_to(&from, at)? => return Ok(Seen::There(header, rest)),
                    // It did not count a moment ago, unless it was settled before that.
                    Some(from) => match self.look(at)? {
                        Seen::There(again, ()) if again.pending() == Some(from) => return Ok(Seen::Nothing),
                        _ => {}
                    },
                },
            }
        }
        Err(Fault::Verdict(ErrorKind::Unavailable, "it changes too fast to be read"))
    }

    pub(crate) fn glance(&self, at: &Place) -> Result<Seen<()>, Fault> {
        self.view(at, || self.look(at))
    }

    pub(crate) fn read(&self, at: &Place) -> Result<Seen<Bytes>, Fault> {
        self.view(at, || self.look_whole(at))
    }

    /// Whether a rotation away from there to `to` took effect.
    pub(crate) fn leads_to(&self, from: &Place, to: &Place) -> io::Result<bool> {
        Ok(matches!(self.look(from)?, Seen::There(header, ()) if header.successor() == Some(*to)))
    }

    /// Writes a temporary file. Nothing is left of it after an error.
    pub(crate) fn put(&self, temporary: &Path, header: Vec<u8>, payload: &[u8]) -> io::Result<()> {
        let written = (|| {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = folder::open_in(options, temporary)?;
            let mut first = header;
            if payload.len() <= JOINED {
                first.extend_from_slice(payload);
                file.write_all(&first)?;
            } else {
                file.write_all(&first)?;
                file.write_all(payload)?;
            }
            if self.durability == Durability::None { Ok(()) } else { file.sync_data() }
        })();
        written.inspect_err(|_| drop(fs::remove_file(temporary)))
    }

    /// Puts a temporary file where it belongs. Nothing is left of it after an error.
    pub(crate) fn install(&self, temporary: &Path, at: &Place) -> Result<(), Fault> {
        let path = self.layout.session(at);
        let renamed = self.in_folder(&path, || fs::rename(temporary, &path));
        renamed.inspect_err(|_| drop(fs::remove_file(temporary)))
    }

    /// Tries again with the folder made when it was missing.
    pub(crate) fn in_folder(&self, path: &Path, attempt: impl Fn() -> io::Result<()>) -> Result<(), Fault> {
        let Some(parent) = path.parent() else { return Ok(attempt()?) };
        for _ in 0..RENAMES {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match folder::make_within(&self.layout, parent) {
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.clear(parent)?,
                        made => made?,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => self.clear(parent)?,
                done => return Ok(done?),
            }
        }
        Ok(attempt()?)
    }

    /// Moves aside what stands where a folder belongs.
    pub(crate) fn clear(&self, folder: &Path) -> Result<(), Fault> {
        let scopes = self.layout.scopes();
        for part in folder.ancestors().take_while(|part| *part != scopes) {
            match fs::symlink_metadata(part) {
                Ok(there) if there.is_dir() => break,
                Ok(_) => self.quarantine.set_aside(part, Damage::Foreign, self.clock.now())?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// With [`Durability::Full`], makes names in a folder durable.
    pub(crate) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(folder) if self.durability == Durability::Full => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Writes times over the older of both slots; says that a rotation to there is settled.
    pub(crate) fn rewrite_times(
        &self,
        at: &Place,
        slot: &([u8; 32], u64),
        least: Durability,
    ) -> Result<(), Fault> {
        let Opened::File(file) = self.open(at, true)? else {
            return Err(Fault::Verdict(ErrorKind::Unexpected, "a file changed under its lock"));
        };
        file.write_all_at(&slot.0, slot.1)?;
        if self.durability >= least {
            file.sync_data()?;
        }
        Ok(())
    }
}

/// Reads at least the header. As a rule one call fills all there is.
fn read_head(file: &mut File, into: &mut [u8]) -> io::Result<Result<(Header, usize), Damage>> {
    let mut read = 0;
    loop {
        let more = loop {
            match file.read(&mut into[read..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                more => break more?,
            }
        };
        read += more;
        match header::parse(&into[..read]) {
            Err(Damage::Truncated) if more > 0 && read < into.len() => {}
            Err(damage) => return Ok(Err(damage)),
            Ok(header) => return Ok(Ok((header, read))),
        }
    }
}

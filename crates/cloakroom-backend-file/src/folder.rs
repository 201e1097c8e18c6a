//! The folder of a backend: made, or checked and taken over.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cloakroom_core::{ErrorKind, Result, SessionError};
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, futimens};

use crate::error::{Fault, NAME, map};
use crate::lock::share;
use crate::path::Layout;

const MARK: &str = "format";
const FORMAT: &str = "cloakroom sessions, one file each, format 1\n";
const OPERATION: &str = "open";

/// Where the sessions of this user go when nobody says otherwise.
pub(crate) fn default_folder() -> PathBuf {
    std::env::temp_dir().join(format!("cloakroom-{}", rustix::process::geteuid().as_raw()))
}

/// The folder as it was when it was opened. Holding it keeps the number of its inode from coming back.
#[derive(Debug)]
pub(crate) struct Anchor {
    folder: File,
    identity: (u64, u64),
}

impl Anchor {
    fn hold(root: &Path) -> Result<Self> {
        // Says more clearly what opening would only refuse.
        check(root)?;
        let failed = |error| map(error, OPERATION);
        let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(root).map_err(failed)?;
        let there = folder.metadata().map_err(failed)?;
        match objection(&there) {
            None => Ok(Self { folder, identity: identity(&there) }),
            Some(objection) => Err(invalid(root, objection)),
        }
    }

    /// Refuses when the path names something else by now: folders in `/tmp` may be deleted by the system, and then
    /// made by anybody.
    pub(crate) fn check(&self, layout: &Layout) -> Result<(), Fault> {
        match fs::symlink_metadata(layout.root()) {
            Ok(there) if identity(&there) == self.identity => Ok(()),
            Ok(_) => Err(Fault::Verdict(
                ErrorKind::Unavailable,
                "another folder has taken the place of the folder of sessions, and is left alone until a restart",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(io::Error::from(io::ErrorKind::NotFound).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Brings back what was taken by something that tidies up temporary folders, and keeps it from doing so again.
    pub(crate) fn renew(&self, layout: &Layout) -> io::Result<()> {
        share(&self.folder);
        for name in Layout::FOLDERS {
            make_one(&layout.folder(name))?;
        }
        let path = layout.folder(MARK);
        match OpenOptions::new().write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path) {
            Ok(file) => {
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                Ok(futimens(file, &Timestamps { last_access: now, last_modification: now })?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => write_mark(&path),
            Err(error) => Err(error),
        }
    }
}

fn identity(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}

/// Blocks.
pub(crate) fn prepare(path: &Path) -> Result<(Layout, Anchor)> {
    let failed = |error| map(error, OPERATION);
    let path = std::path::absolute(path).map_err(failed)?;
    // A slash at the end would follow a link.
    let path: PathBuf = path.components().collect();
    if let Some(above) = path.ancestors().skip(1).find(|above| above.exists()) {
        check_above(&fs::canonicalize(above).map_err(failed)?)?;
    }
    make(&path)?;
    // Whatever lies on the way is settled now; the folder itself must be no link.
    let root = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => fs::canonicalize(parent).map(|parent| parent.join(name)),
        _ => fs::canonicalize(&path),
    };
    let root = root.map_err(failed)?;
    if let Some(parent) = root.parent() {
        check_above(parent)?;
    }
    let anchor = Anchor::hold(&root)?;
    let layout =
        Layout::new(root.clone()).ok_or_else(|| invalid(&root, "is a path that is not Unicode text"))?;
    mark(&layout)?;
    for name in Layout::FOLDERS {
        let folder = layout.folder(name);
        make(&folder)?;
        check(&folder)?;
    }
    share(&anchor.folder);
    Ok((layout, anchor))
}

/// Makes a folder and those between it and the folder of the backend, which is never made again.
pub(crate) fn make_within(layout: &Layout, path: &Path) -> io::Result<()> {
    match make_one(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| *parent != layout.root()) else {
                return Err(error);
            };
            make_within(layout, parent)?;
            make_one(path)
        }
        made => made,
    }
}

/// Opens a file in one of the backend's own folders, which is made again if it was tidied away.
pub(crate) fn open_in(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match (options.open(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            make_one(folder)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}

pub(crate) fn make_one(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn make(path: &Path) -> Result<()> {
    // A link or a file in its place is found by the check, which says so more clearly.
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| map(error, OPERATION))
}

fn check(path: &Path) -> Result<()> {
    let there = fs::symlink_metadata(path).map_err(|error| map(error, OPERATION))?;
    match objection(&there) {
        None => Ok(()),
        Some(objection) => Err(invalid(path, objection)),
    }
}

fn objection(there: &Metadata) -> Option<&'static str> {
    if there.file_type().is_symlink() {
        return Some("is a symbolic link");
    }
    if !there.is_dir() {
        return Some("is not a folder");
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Some("belongs to another user");
    }
    let mode = there.permissions().mode();
    if mode & 0o002 != 0 {
        return Some("is writable by everybody");
    }
    (mode & 0o020 != 0).then_some("is writable by its group")
}

/// Who may write to a folder on the way could put another one in its place, unless it is sticky, as `/tmp` is. The path
/// has no links.
fn check_above(path: &Path) -> Result<()> {
    for above in path.ancestors() {
        let there = fs::symlink_metadata(above).map_err(|error| map(error, OPERATION))?;
        if there.uid() != 0 && there.uid() != rustix::process::geteuid().as_raw() {
            return Err(invalid(above, "belongs to another user, who could exchange what lies in it"));
        }
        match there.permissions().mode() & 0o1022 {
            mode if mode & 0o1000 != 0 => {}
            mode if mode & 0o002 != 0 => {
                return Err(invalid(above, "is writable by everybody and not sticky"));
            }
            // Many systems give each user a group of that number, with nobody else in it.
            mode if mode & 0o020 != 0 && there.gid() != there.uid() => {
                return Err(invalid(
                    above,
                    "is writable by its group, who could exchange what lies in it (chmod g-w, or choose another place)",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes an empty folder over, or finds the mark of an earlier one, or what is left of it without the mark.
fn mark(layout: &Layout) -> Result<()> {
    let failed = |error| map(error, OPERATION);
    let path = layout.folder(MARK);
    let read = || match fs::read(&path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    };
    let mut found = read()?;
    if found.is_none() {
        let entries = fs::read_dir(layout.root()).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
        });
        let entries = entries.map_err(failed)?;
        let is_ours = entries.iter().any(|name| name == Layout::SCOPES)
            && entries.iter().all(|name| Layout::FOLDERS.iter().any(|ours| name == ours));
        // Another process may have taken it over just now.
        found = read()?;
        if found.is_none() && !entries.is_empty() && !is_ours {
            return Err(invalid(layout.root(), "holds something else"));
        }
    }
    match found {
        Some(found) if found == FORMAT.as_bytes() => Ok(()),
        // Begun by another process, perhaps a killed one.
        found if found.as_deref().is_none_or(|found| FORMAT.as_bytes().starts_with(found)) => {
            write_mark(&path).map_err(failed)
        }
        _ => Err(invalid(layout.root(), "holds sessions in a format that this version does not know")),
    }
}

fn write_mark(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.write_all(FORMAT.as_bytes())
}

fn invalid(path: &Path, objection: &str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, OPERATION)
        .with_backend(NAME)
        .with_message(format!("{} {objection}", path.display()))
}

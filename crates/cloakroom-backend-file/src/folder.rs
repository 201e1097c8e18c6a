//! The folder of a backend: made, or checked and taken over.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cloakroom_core::{ErrorKind, Result, SessionError};

use crate::error::{NAME, map};
use crate::path::Layout;

const MARK: &str = "format";
const FORMAT: &str = "cloakroom sessions, one file each, format 1\n";
const OPERATION: &str = "open";

/// Where the sessions of this user go when nobody says otherwise.
pub(crate) fn default_folder() -> PathBuf {
    std::env::temp_dir().join(format!("cloakroom-{}", rustix::process::geteuid().as_raw()))
}

/// Blocks.
pub(crate) fn prepare(root: &Path) -> Result<Layout> {
    let root = std::path::absolute(root).map_err(|error| map(error, OPERATION))?;
    // A slash at the end would follow a link.
    let root: PathBuf = root.components().collect();
    make(&root)?;
    check(&root)?;
    check_parent(&root)?;
    // Whatever lies on the way is settled now; the folder itself is no link.
    let root = fs::canonicalize(&root).map_err(|error| map(error, OPERATION))?;
    let layout =
        Layout::new(root.clone()).ok_or_else(|| invalid(&root, "is a path that is not Unicode text"))?;
    mark(&layout)?;
    for name in Layout::FOLDERS {
        let folder = layout.folder(name);
        make(&folder)?;
        check(&folder)?;
    }
    Ok(layout)
}

/// Whether the folder is still what it was when it was opened.
pub(crate) fn is_there(layout: &Layout) -> io::Result<bool> {
    match fs::symlink_metadata(layout.folder(MARK)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a folder, and those above it, for this user only.
pub(crate) fn make_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn make(path: &Path) -> Result<()> {
    // A link or a file in its place is found by the check, which says so more clearly.
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    make_all(path).map_err(|error| map(error, OPERATION))
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

/// Who may write to the folder above could put another one in its place, unless it is sticky, as `/tmp` is.
fn check_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let mode = fs::metadata(parent).map_err(|error| map(error, OPERATION))?.permissions().mode();
    if mode & 0o1002 == 0o002 {
        return Err(invalid(parent, "is writable by everybody and not sticky"));
    }
    Ok(())
}

/// Takes an empty folder over, or finds the mark of an earlier one.
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
        let entries = fs::read_dir(layout.root()).map_err(failed)?.count();
        // Another process may have taken it over just now.
        found = read()?;
        if found.is_none() && entries > 0 {
            return Err(invalid(layout.root(), "holds something else"));
        }
    }
    match found {
        Some(found) if found == FORMAT.as_bytes() => Ok(()),
        // Begun by another process, perhaps a killed one.
        found if found.as_deref().is_none_or(|found| FORMAT.as_bytes().starts_with(found)) => {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(FORMAT.as_bytes())).map_err(failed)
        }
        _ => Err(invalid(layout.root(), "holds sessions in a format that this version does not know")),
    }
}

fn invalid(path: &Path, objection: &str) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, OPERATION)
        .with_backend(NAME)
        .with_message(format!("{} {objection}", path.display()))
}

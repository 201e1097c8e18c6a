//! From failures of the file system to [`SessionError`].

use std::io;

use cloakroom_core::{ErrorKind, SessionError};
use rustix::io::Errno;

pub(crate) const NAME: &str = "file";

/// What ends an operation on files.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file system failed.
    Io(io::Error),
    /// The answer of the operation is an error.
    Verdict(ErrorKind, &'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Self::Verdict(kind, "")
    }
}

impl Fault {
    pub(crate) fn into_session(self, operation: &'static str) -> SessionError {
        match self {
            Self::Verdict(kind, message) => refuse(kind, operation, message),
            Self::Io(error) => map(error, operation),
        }
    }
}

pub(crate) fn refuse(kind: ErrorKind, operation: &'static str, message: &'static str) -> SessionError {
    SessionError::new(kind, operation).with_backend(NAME).with_message(message)
}

/// What a disk or a cable may get over. It says nothing about the file.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// The one place where failures become kinds. A full disk is `Unexpected`: trying again soon does not help, and reads
/// go on. Errors of the standard library name no path.
pub(crate) fn map(error: io::Error, operation: &'static str) -> SessionError {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    let (kind, message) = match error.kind() {
        io::ErrorKind::StorageFull => (ErrorKind::Unexpected, "no space left on the disk"),
        io::ErrorKind::QuotaExceeded => (ErrorKind::Unexpected, "the user's quota of the disk is used up"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Unexpected, "the file system is read-only"),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::InvalidConfig, "the folder of sessions may not be used by this user")
        }
        io::ErrorKind::NotFound => (ErrorKind::Unavailable, "the folder of sessions has gone"),
        _ if is_passing(&error) => (ErrorKind::Unavailable, "the disk failed to read or write"),
        io::ErrorKind::TimedOut | io::ErrorKind::StaleNetworkFileHandle => (ErrorKind::Unavailable, ""),
        _ if is(Errno::MFILE) || is(Errno::NFILE) => (ErrorKind::Unavailable, "no file descriptors left"),
        _ if is(Errno::NOLCK) || is(Errno::OPNOTSUPP) => {
            (ErrorKind::InvalidConfig, "the file system has no locks")
        }
        _ => (ErrorKind::Unexpected, ""),
    };
    refuse(kind, operation, message).with_source(error)
}

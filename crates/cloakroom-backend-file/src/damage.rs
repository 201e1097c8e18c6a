//! Files that are no sessions: reported once and moved aside.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use cloakroom_core::Timestamp;

use crate::error::Fault;
use crate::folder::make_one;
use crate::header::Damage;

/// How many are kept; then the oldest goes for each new one.
const KEPT: usize = 1000;
/// What is older is deleted by a sweep: it may hold what visitors entered.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many paths that could not be moved are remembered, so that each is reported once.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    moved: AtomicU64,
    stuck: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Quarantine {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, moved: AtomicU64::new(0), stuck: Mutex::default(), hasher: RandomState::new() }
    }

    pub(crate) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Moves a file or folder aside. Names in the log tell nothing of ids.
    ///
    /// What only cannot be moved is left: it counts as not there all the same. But where even reading failed, the whole
    /// folder may be out of reach, and that must not pass for an empty store.
    pub(crate) fn set_aside(&self, path: &Path, damage: Damage, now: Timestamp) -> Result<(), Fault> {
        let number = self.moved.fetch_add(1, Ordering::Relaxed);
        // Sorted by age.
        let name = format!("{:014}-{}-{number}", now.as_millis().max(0), std::process::id());
        let moved = make_one(&self.folder).and_then(|()| self.make_room());
        let moved = moved.and_then(|()| fs::rename(path, self.folder.join(&name)));
        match moved {
            Ok(()) => {
                let reason = damage.as_str();
                tracing::warn!(kept_as = %name, reason, "a file that is no session was moved into `damaged`");
                Ok(())
            }
            Err(error) => {
                self.moved.fetch_sub(1, Ordering::Relaxed);
                if error.kind() == io::ErrorKind::NotFound {
                    return Ok(());
                }
                self.leave(path, damage, &error);
                if damage == Damage::Unreadable { Err(error.into()) } else { Ok(()) }
            }
        }
    }

    /// Reports, once, what has to stay where it is.
    pub(crate) fn leave(&self, path: &Path, damage: Damage, error: &io::Error) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if stuck.len() >= REMEMBERED {
            stuck.clear();
        }
        let is_news = stuck.insert(self.hasher.hash_one(path));
        drop(stuck);
        if is_news {
            let reason = damage.as_str();
            tracing::warn!(reason, %error, "a file that is no session, or cannot be read, stays where it is and is skipped");
        }
    }

    /// Deletes what was set aside long ago, by the backend's clock. What other names stand for is not known.
    pub(crate) fn expire(&self, now: Timestamp) -> io::Result<()> {
        let is_old = |name: &OsString| {
            let set_aside = name.to_str().and_then(|name| name.split_once('-')?.0.parse().ok());
            set_aside.is_some_and(|millis| Timestamp::from_millis(millis) + KEPT_FOR <= now)
        };
        self.names()?.iter().filter(|name| is_old(name)).try_for_each(|name| self.delete(name))
    }

    fn make_room(&self) -> io::Result<()> {
        let mut names = self.names()?;
        names.sort_unstable();
        let surplus = (names.len() + 1).saturating_sub(KEPT);
        names.iter().take(surplus).try_for_each(|name| self.delete(name))
    }

    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(&self.folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn delete(&self, name: &OsString) -> io::Result<()> {
        let path = self.folder.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

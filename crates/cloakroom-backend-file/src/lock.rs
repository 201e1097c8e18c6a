//! Who may write: locks among the tasks of this process, and locks of files among processes. The one module that knows
//! `fs2`.
//!
//! A lock of a file belongs to an open descriptor, so each holder opens the file anew; its counterpart in memory keeps
//! tasks of one process from waiting for each other in blocking threads. Data files are never locked: a rename would
//! leave the lock on what it replaced.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_core::ErrorKind;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::Fault;
use crate::folder::open_in;
use crate::path::{Layout, Space};

const GATES: u8 = 8;
const PAUSES: [Duration; 2] = [Duration::from_micros(30), Duration::from_micros(200)];
/// How often the short pause is tried first.
const SHORT_PAUSES: u32 = 20;

/// What rotations and removals of many agree on: a rotation shares the gate of its scope, `remove_all` and limits of
/// a scope have it for themselves, so that no session moves while they look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    // First: of both for one gate, the stricter is kept.
    Exclusive,
    Shared,
}

/// One thing to lock, in the order of locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The sessions of one owner, while they are counted.
    Owner(u8),
    /// All records whose id begins with that byte.
    Shard(u8),
}

#[derive(Debug)]
pub(crate) struct Locks {
    layout: Arc<Layout>,
    owners: Box<[Arc<Mutex<()>>]>,
    shards: Box<[Arc<Mutex<()>>]>,
    /// Whoever waits for a gate waits here first, so that a stream of rotations never keeps a removal out.
    turnstiles: Box<[Arc<Mutex<()>>]>,
}

/// Locked within this process; not yet among processes.
pub(crate) struct Reserved {
    gates: Vec<(u8, Gate, OwnedMutexGuard<()>)>,
    slots: Vec<(Slot, OwnedMutexGuard<()>)>,
}

/// Locked. Dropping it unlocks, files first.
pub(crate) struct Held {
    _files: Vec<File>,
    slots: Vec<(Slot, OwnedMutexGuard<()>)>,
}

/// A gate had for oneself. Dropping it opens it.
pub(crate) struct Closed {
    _file: File,
    _turn: OwnedMutexGuard<()>,
}

impl Held {
    pub(crate) fn covers(&self, slot: Slot) -> bool {
        self.slots.iter().any(|(held, _)| *held == slot)
    }
}

impl Locks {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        let mutexes = |count: u16| (0..count).map(|_| Arc::default()).collect();
        Self { layout, owners: mutexes(256), shards: mutexes(256), turnstiles: mutexes(GATES.into()) }
    }

    pub(crate) fn gate_of(space: Space) -> u8 {
        space.0.map_or(0, |hash| hash[0] % GATES)
    }

    pub(crate) fn gates() -> std::ops::Range<u8> {
        0..GATES
    }

    fn mutex(&self, slot: Slot) -> Arc<Mutex<()>> {
        let (of, number) = match slot {
            Slot::Owner(number) => (&self.owners, number),
            Slot::Shard(number) => (&self.shards, number),
        };
        Arc::clone(&of[usize::from(number)])
    }

    fn slot_file(&self, slot: Slot) -> std::path::PathBuf {
        match slot {
            Slot::Owner(number) => self.layout.lock("owner", number),
            Slot::Shard(number) => self.layout.lock("shard", number),
        }
    }

    /// Waits for the tasks of this process that are in the way. Always in the same order, so that none wait for each
    /// other.
    pub(crate) async fn reserve(&self, mut gates: Vec<(u8, Gate)>, mut wanted: Vec<Slot>) -> Reserved {
        gates.sort_unstable();
        gates.dedup_by_key(|(number, _)| *number);
        wanted.sort_unstable();
        wanted.dedup();
        let mut reserved = Reserved { gates: Vec::new(), slots: Vec::with_capacity(wanted.len()) };
        for (number, how) in gates {
            reserved.gates.push((number, how, self.turn(number).await));
        }
        for slot in wanted {
            reserved.slots.push((slot, self.mutex(slot).lock_owned().await));
        }
        reserved
    }

    /// Waits for other processes. Blocks.
    pub(crate) fn lock(&self, reserved: Reserved, deadline: Instant) -> Result<Held, Fault> {
        let mut files = Vec::with_capacity(reserved.slots.len() + reserved.gates.len());
        for (number, how, turn) in reserved.gates {
            files.push(self.pass(number, how, deadline)?);
            drop(turn);
        }
        for (slot, _) in &reserved.slots {
            files.push(lock_file(&self.slot_file(*slot), Gate::Exclusive, Some(deadline))?);
        }
        Ok(Held { _files: files, slots: reserved.slots })
    }

    /// Waits until no rotation is under way in any process. Blocks.
    pub(crate) fn close(
        &self,
        number: u8,
        turn: OwnedMutexGuard<()>,
        deadline: Instant,
    ) -> Result<Closed, Fault> {
        Ok(Closed { _file: self.pass(number, Gate::Exclusive, deadline)?, _turn: turn })
    }

    pub(crate) async fn turn(&self, gate: u8) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turnstiles[usize::from(gate % GATES)]).lock_owned().await
    }

    fn pass(&self, number: u8, how: Gate, deadline: Instant) -> Result<File, Fault> {
        let turn = lock_file(&self.layout.lock("turn", number), Gate::Exclusive, Some(deadline))?;
        let gate = lock_file(&self.layout.lock("gate", number), how, Some(deadline))?;
        drop(turn);
        Ok(gate)
    }

    /// Locks one more, out of order, if nobody has it.
    pub(crate) fn try_lock(&self, slot: Slot) -> Result<Held, Fault> {
        let busy =
            || Fault::Verdict(ErrorKind::Unavailable, "what a killed process left is being cleared up");
        let guard = self.mutex(slot).try_lock_owned().map_err(|_| busy())?;
        let file = lock_file(&self.slot_file(slot), Gate::Exclusive, None)?;
        Ok(Held { _files: vec![file], slots: vec![(slot, guard)] })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    open_in(options.read(true).write(true).create(true).truncate(false).mode(0o600), path)
}

/// Shares a lock of the whole folder for as long as it is open. Only what tidies up asks for it alone: `systemd-tmpfiles`
/// passes over folders that it cannot lock.
pub(crate) fn share(folder: &File) {
    let _ = fs2::FileExt::try_lock_shared(folder);
}

/// Locks a file, made when missing. Without a deadline it does not wait.
pub(crate) fn lock_file(path: &Path, how: Gate, deadline: Option<Instant>) -> Result<File, Fault> {
    let mut pauses = 0;
    let mut file = open(path)?;
    loop {
        let locked = match how {
            Gate::Shared => fs2::FileExt::try_lock_shared(&file),
            Gate::Exclusive => fs2::FileExt::try_lock_exclusive(&file),
        };
        match locked {
            Ok(()) if is_there(&file, path)? => return Ok(file),
            // Somebody tidied up between opening and locking.
            Ok(()) => file = open(path)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                    return Err(Fault::Verdict(ErrorKind::Unavailable, "another process holds a lock"));
                }
                std::thread::sleep(PAUSES[usize::from(pauses >= SHORT_PAUSES)]);
                pauses += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_there(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::queue::Slot;

/// Sessions that are noted one by one.
const MOST: usize = 4096;

/// Sessions of which a store may do something yet that was given up long before: looked at when it has been done, or
/// never will be.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    sessions: VecDeque<(Instant, Slot)>,
    /// When to look at all of them, as there were too many.
    all: Option<Instant>,
}

impl Doubts {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, slot: Slot, due: Instant) {
        let mut noted = self.noted();
        if noted.sessions.len() < MOST {
            noted.sessions.push_back((due, slot));
        } else {
            noted.all = Some(due);
        }
    }

    /// All sessions, then.
    pub(crate) fn note_all(&self, due: Instant) {
        self.noted().all = Some(due);
    }

    pub(crate) fn len(&self) -> usize {
        let noted = self.noted();
        noted.sessions.len() + usize::from(noted.all.is_some())
    }

    /// A session whose time has come.
    pub(crate) fn next(&self) -> Option<Slot> {
        let mut noted = self.noted();
        let (due, _) = noted.sessions.front()?;
        if *due > Instant::now() {
            return None;
        }
        noted.sessions.pop_front().map(|(_, slot)| slot)
    }

    /// Whether the time has come to look at all; says so once.
    pub(crate) fn take_all(&self) -> bool {
        self.noted().all.take_if(|due| *due <= Instant::now()).is_some()
    }
}

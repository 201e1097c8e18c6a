//! What a process knows of the roles, and from when.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::regime::Regime;

#[derive(Debug)]
pub(crate) struct Knowledge {
    known: Mutex<Option<Regime>>,
    /// [`UNKNOWN`], [`PRIMARY`] or [`OTHER`], for the path that must be short.
    brief: AtomicU8,
    /// What is known may be long out of date, and cannot be asked for.
    doubt: AtomicBool,
    /// The copy that decides knows nothing of it.
    emptied: AtomicBool,
    /// Of each copy.
    contacts: Mutex<Vec<Contact>>,
    /// When this process last heard that a copy is behind which was not.
    lost: Mutex<Option<Instant>>,
    /// When this process last heard that another copy decides.
    moved: Mutex<Option<Instant>>,
    /// When it last heard of other roles.
    changed: Mutex<Option<Instant>>,
    /// When it last read from a copy that does not decide.
    fell_over: Mutex<Option<Instant>>,
}

/// When a copy said what it knows of the roles.
#[derive(Debug, Clone, Copy, Default)]
struct Contact {
    /// When it was last asked and answered.
    asked: Option<Instant>,
    /// When it first did not answer since then.
    missed: Option<Instant>,
}

const UNKNOWN: u8 = 0;
const PRIMARY: u8 = 1;
const OTHER: u8 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Knowledge {
    pub(crate) fn none(copies: usize) -> Self {
        Self {
            known: Mutex::new(None),
            brief: AtomicU8::new(UNKNOWN),
            doubt: AtomicBool::new(false),
            emptied: AtomicBool::new(false),
            contacts: Mutex::new(vec![Contact::default(); copies]),
            lost: Mutex::new(None),
            moved: Mutex::new(None),
            changed: Mutex::new(None),
            fell_over: Mutex::new(None),
        }
    }

    /// Whether another copy decided at that time.
    pub(crate) fn has_moved_since(&self, at: Instant) -> bool {
        lock(&self.moved).is_some_and(|moved| moved >= at)
    }

    pub(crate) fn note_fell_over(&self) {
        *lock(&self.fell_over) = Some(Instant::now());
    }

    pub(crate) fn fell_over_within(&self, time: Duration) -> bool {
        lock(&self.fell_over).is_some_and(|at| at.elapsed() <= time)
    }

    pub(crate) fn has_changed_since(&self, at: Instant) -> bool {
        lock(&self.changed).is_some_and(|changed| changed >= at)
    }

    pub(crate) fn lost(&self) -> Option<Instant> {
        *lock(&self.lost)
    }

    fn contact(&self, copy: usize) -> Contact {
        lock(&self.contacts).get(copy).copied().unwrap_or_default()
    }

    /// It answered what it was asked then.
    pub(crate) fn note_asked(&self, copy: usize, at: Instant) {
        if let Some(contact) = lock(&self.contacts).get_mut(copy)
            && contact.asked < Some(at)
        {
            *contact = Contact { asked: Some(at), missed: None };
        }
    }

    pub(crate) fn note_missed(&self, copy: usize) {
        if let Some(contact) = lock(&self.contacts).get_mut(copy) {
            contact.missed.get_or_insert_with(Instant::now);
        }
    }

    pub(crate) fn is_older_than(&self, copy: usize, age: Duration) -> bool {
        self.contact(copy).asked.is_none_or(|at| at.elapsed() >= age)
    }

    pub(crate) fn was_asked_since(&self, copy: usize, at: Instant) -> bool {
        self.contact(copy).asked.is_some_and(|asked| asked >= at)
    }

    pub(crate) fn is_silent(&self, copy: usize) -> bool {
        self.contact(copy).missed.is_some()
    }

    /// Whether the first answer that did not come was given up no later than so long after the last one was asked for.
    pub(crate) fn was_heard_until(&self, copy: usize, gap: Duration) -> bool {
        let Contact { asked, missed } = self.contact(copy);
        asked.is_some_and(|asked| missed.unwrap_or_else(Instant::now) <= asked + gap)
    }

    pub(crate) fn current(&self) -> Option<Regime> {
        *lock(&self.known)
    }

    /// Whether the primary is known to decide.
    pub(crate) fn is_primary(&self) -> bool {
        self.brief.load(Ordering::Acquire) == PRIMARY
    }

    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Acquire)
    }

    pub(crate) fn is_emptied(&self) -> bool {
        self.emptied.load(Ordering::Acquire)
    }

    pub(crate) fn note_emptied(&self, emptied: bool) {
        self.emptied.store(emptied, Ordering::Release);
    }

    pub(crate) fn doubt(&self, doubt: bool) {
        let known = lock(&self.known);
        self.doubt.store(doubt, Ordering::Release);
        self.abridge(known.as_ref());
    }

    fn abridge(&self, known: Option<&Regime>) {
        let brief = match known {
            None => UNKNOWN,
            Some(regime) if regime.authority == 0 && !self.is_in_doubt() => PRIMARY,
            Some(_) => OTHER,
        };
        self.brief.store(brief, Ordering::Release);
    }

    /// Takes it over unless a later one is known; gives what is known then.
    pub(crate) fn adopt(&self, regime: Regime) -> Regime {
        let mut known = lock(&self.known);
        match *known {
            Some(current) if !regime.outranks(&current) => current,
            _ => {
                let before = known.unwrap_or_default();
                if regime.behind & !before.behind != 0 {
                    *lock(&self.lost) = Some(Instant::now());
                }
                if regime.authority != before.authority {
                    *lock(&self.moved) = Some(Instant::now());
                }
                *lock(&self.changed) = Some(Instant::now());
                *known = Some(regime);
                self.abridge(known.as_ref());
                regime
            }
        }
    }
}

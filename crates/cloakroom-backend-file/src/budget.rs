//! How many files may be open and threads be blocked at a time.

use std::sync::Arc;

use cloakroom_core::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Fault;

const LARGEST: u32 = 256;
const SMALLEST: u32 = 32;

/// What an operation does, as far as descriptors go. Reads never wait for writers, nor writers for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Read,
    /// A lock, a file, a folder.
    Write,
    /// Locks of a gate, of an owner and of two shards, and files.
    Move,
    List,
}

impl Work {
    const fn descriptors(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::List => 2,
            Self::Write => 4,
            Self::Move => 8,
        }
    }
}

/// Descriptors to hand out.
#[derive(Debug)]
pub(crate) struct Budget {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    listings: Arc<Semaphore>,
}

impl Budget {
    /// Half of what the process may have open, and never more than a fraction of tokio's 512 blocking threads.
    pub(crate) fn of_process() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = limit.map_or(LARGEST, |limit| u32::try_from(limit / 2).unwrap_or(LARGEST));
        let quarter = half.clamp(SMALLEST, LARGEST) / 4;
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { reads: semaphore(quarter), writes: semaphore(2 * quarter), listings: semaphore(quarter) }
    }

    pub(crate) async fn take(&self, work: Work) -> Result<OwnedSemaphorePermit, Fault> {
        let of = match work {
            Work::Read => &self.reads,
            Work::Write | Work::Move => &self.writes,
            Work::List => &self.listings,
        };
        let permit = Arc::clone(of).acquire_many_owned(work.descriptors()).await;
        permit.map_err(|_| Fault::Verdict(ErrorKind::Unavailable, "closed"))
    }
}

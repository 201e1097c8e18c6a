//! Randomness for keys: the operating system's own bytes, fetched for sixteen keys at a time, because the call costs
//! more than all the rest of making a session.

use std::cell::RefCell;

use zeroize::Zeroize;

use crate::error::{ErrorKind, Result, SessionError};

const KEY: usize = 32;
const BATCH: usize = 16;

struct Pool {
    bytes: [u8; KEY * BATCH],
    /// Keys that are left; those before are overwritten.
    left: usize,
    /// Whose bytes they are: a forked process must not hand out its parent's.
    process: u32,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Thirty-two bytes that nobody else gets.
pub(crate) fn take() -> Result<[u8; KEY]> {
    thread_local!(static POOL: RefCell<Pool> =
        const { RefCell::new(Pool { bytes: [0; KEY * BATCH], left: 0, process: 0 }) });
    POOL.with_borrow_mut(|pool| {
        let process = std::process::id();
        if pool.left == 0 || pool.process != process {
            pool.left = 0;
            getrandom::fill(&mut pool.bytes).map_err(|error| {
                SessionError::new(ErrorKind::Unexpected, "generate key").with_source(error.to_string())
            })?;
            (pool.left, pool.process) = (BATCH, process);
        }
        pool.left -= 1;
        let mut taken = [0; KEY];
        let from = &mut pool.bytes[pool.left * KEY..][..KEY];
        taken.copy_from_slice(from);
        from.zeroize();
        Ok(taken)
    })
}

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::suite::full;

/// Rounds that every race has, however slow the store.
const FEWEST: usize = 4;

/// The rounds of a race: so many, or ten times as many in a full run, but no more than fit into some seconds.
pub(crate) fn rounds(most: usize) -> impl Iterator<Item = usize> {
    let (rounds, budget): (Range<usize>, _) =
        if full() { (0..most * 10, Duration::from_secs(60)) } else { (0..most, Duration::from_secs(3)) };
    let start = Instant::now();
    rounds.take_while(move |round| *round < FEWEST || start.elapsed() < budget)
}

/// How many turns a task waits after the start: none in every other race, else up to three.
fn handicap(race: usize, task: usize) -> u64 {
    let mixed =
        (race as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (task as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    if race.is_multiple_of(2) { 0 } else { (mixed >> 40) % 4 }
}

/// Runs futures as tasks that start at nearly the same moment, in varying order, and gives their results in order.
pub(crate) async fn together<T, F>(futures: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let futures: Vec<F> = futures.into_iter().collect();
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    let start = STARTS.fetch_add(1, Ordering::Relaxed);
    let barrier = Arc::new(Barrier::new(futures.len()));
    let mut tasks = JoinSet::new();
    for (index, future) in futures.into_iter().enumerate() {
        let barrier = Arc::clone(&barrier);
        tasks.spawn(async move {
            barrier.wait().await;
            // Short operations would always win in the order in which the barrier wakes them.
            for _ in 0..handicap(start, index) {
                tokio::task::yield_now().await;
            }
            (index, future.await)
        });
    }
    let mut results = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(result) => results.push(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

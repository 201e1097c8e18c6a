use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::alloc::allocations;

/// Why a contender runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is judged.
    Ours,
    /// What it is compared with.
    Peer,
    /// What is subtracted, or a lower bound.
    Base,
    /// Shown, not judged.
    Shown,
}

/// One round.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    pub time: Duration,
    pub allocations: u64,
}

pub struct Contender<'a> {
    pub name: String,
    pub role: Role,
    /// Runs so many operations.
    pub round: Box<dyn FnMut(u64) -> Measure + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, role: Role, round: impl FnMut(u64) -> Measure + 'a) -> Self {
        Self { name: name.into(), role, round: Box::new(round) }
    }
}

/// What came out for one contender.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: String,
    pub role: Role,
    /// Nanoseconds for one operation, round by round.
    pub rounds: Vec<f64>,
    pub allocations: f64,
}

impl Outcome {
    pub fn best(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn median(&self) -> f64 {
        median(self.rounds.clone())
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// One comparison.
pub struct Cell<'a> {
    pub name: String,
    pub contenders: Vec<Contender<'a>>,
    pub round: Duration,
    pub rounds: usize,
}

impl<'a> Cell<'a> {
    pub fn new(name: impl Into<String>) -> Self {
        let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(21);
        Self { name: name.into(), contenders: Vec::new(), round: Duration::from_millis(25), rounds }
    }

    #[must_use]
    pub fn add(mut self, name: &str, role: Role, round: impl FnMut(u64) -> Measure + 'a) -> Self {
        self.contenders.push(Contender::new(name, role, round));
        self
    }

    /// Runs all rounds, interleaved.
    pub fn run(mut self) -> Vec<Outcome> {
        // For a profiler: one contender, all the time.
        if let Ok(only) = std::env::var("BENCH_PROFILE")
            && let Some(one) = self.contenders.iter_mut().find(|one| one.name == only)
        {
            let ops = calibrate(one, self.round) * 200;
            let measure = (one.round)(ops);
            println!("{ops} operations in {:?}", measure.time);
            std::process::exit(0);
        }
        let sizes: Vec<u64> = self.contenders.iter_mut().map(|one| calibrate(one, self.round)).collect();
        let mut outcomes: Vec<Outcome> = self
            .contenders
            .iter()
            .map(|one| Outcome {
                name: one.name.clone(),
                role: one.role,
                rounds: Vec::new(),
                allocations: f64::INFINITY,
            })
            .collect();
        let count = self.contenders.len();
        for round in 0..self.rounds {
            for step in 0..count {
                // Who follows whom changes, so that nobody always runs on a warm or a spoilt cache.
                let index = if round % 2 == 0 { step } else { count - 1 - step };
                let measure = (self.contenders[index].round)(sizes[index]);
                let ops = sizes[index] as f64;
                outcomes[index].rounds.push(measure.time.as_nanos() as f64 / ops);
                let allocations = measure.allocations as f64 / ops;
                outcomes[index].allocations = outcomes[index].allocations.min(allocations);
            }
        }
        outcomes
    }
}

/// How many operations take one round.
fn calibrate(contender: &mut Contender<'_>, round: Duration) -> u64 {
    let mut ops = 128;
    loop {
        let time = (contender.round)(ops).time;
        if time >= round / 4 {
            let scaled = ops as f64 * round.as_secs_f64() / time.as_secs_f64();
            return (scaled as u64).max(64).next_multiple_of(64);
        }
        ops *= 2;
    }
}

/// Runs operations one after the other on this thread.
pub fn sequential<F: Future<Output = ()>>(rt: &Runtime, ops: u64, op: impl Fn(usize) -> F) -> Measure {
    rt.block_on(async {
        let before = allocations();
        let start = Instant::now();
        for index in 0..ops as usize {
            op(index).await;
        }
        Measure { time: start.elapsed(), allocations: allocations() - before }
    })
}

/// Runs operations on so many tasks; `op` gets the task's number and the operation's.
pub fn concurrent<F, O>(rt: &Runtime, tasks: u64, ops: u64, op: O) -> Measure
where
    F: Future<Output = ()> + Send,
    O: Fn(usize, usize) -> F + Clone + Send + Sync + 'static,
{
    rt.block_on(async {
        let each = ops.div_ceil(tasks) as usize;
        let start = Instant::now();
        let running: Vec<_> = (0..tasks as usize)
            .map(|task| {
                let op = op.clone();
                tokio::spawn(async move {
                    for index in 0..each {
                        op(task, index).await;
                        if index % 8 == 7 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in running {
            task.await.expect("no operation panics");
        }
        Measure { time: start.elapsed(), allocations: 0 }
    })
}

/// A runtime with two workers.
pub fn two_workers() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// A runtime on the calling thread.
pub fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

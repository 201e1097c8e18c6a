use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Page, Record, Removal, Result, Rotate, SessionBackend,
    SessionError, SessionKey, Touch, Write,
};
use tokio::sync::Semaphore;

use crate::operation::Operation;

/// A failure to inject into a [`Faulty`] backend: once, at the next matching call, unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fault {
    operation: Option<Operation>,
    kind: ErrorKind,
    after: bool,
    skip: u64,
    times: u64,
}

impl Fault {
    /// Fails before the backend hears of the call. `None` means a call of any operation.
    pub fn before(operation: impl Into<Option<Operation>>, kind: ErrorKind) -> Self {
        Self { operation: operation.into(), kind, after: false, skip: 0, times: 1 }
    }

    /// Fails after the call took effect: the caller cannot know the outcome.
    pub fn after(operation: impl Into<Option<Operation>>, kind: ErrorKind) -> Self {
        Self { after: true, ..Self::before(operation, kind) }
    }

    /// Begins at the nth matching call from now on; the next one is the first.
    pub const fn on_nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// Fails so many matching calls in a row.
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Fails all matching calls, until the faults are [cleared](Faulty::clear).
    pub const fn always(self) -> Self {
        self.times(u64::MAX)
    }
}

/// A call that waits: it does so until the gate is opened or dropped. See [`Faulty::hold_before`].
#[derive(Debug)]
#[must_use = "a dropped gate is open"]
pub struct Gate(Arc<Latch>);

#[derive(Debug)]
struct Latch {
    arrivals: Semaphore,
    /// Never has permits: closing it lets everyone through.
    barrier: Semaphore,
}

impl Gate {
    /// Waits until a call stands at the gate.
    pub async fn arrived(&self) {
        if let Ok(permit) = self.0.arrivals.acquire().await {
            permit.forget();
        }
    }

    /// Lets the call go on.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.barrier.close();
    }
}

impl Latch {
    async fn pass(&self) {
        self.arrivals.add_permits(1);
        // Closed means open, in terms of gates.
        let _closed = self.barrier.acquire().await;
    }
}

/// A backend that fails, waits and disconnects on request, and otherwise forwards. Clones share their faults.
///
/// ```
/// use cloakroom_testkit::core::{ErrorKind, InMemorySessionBackend, SessionBackend, SessionKey};
/// use cloakroom_testkit::{Fault, Faulty, Operation};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = Faulty::new(InMemorySessionBackend::new());
/// let key = SessionKey::generate()?;
/// backend.inject(Fault::before(Operation::Read, ErrorKind::Unavailable).on_nth(2));
/// assert!(backend.read(&key).await.is_ok());
/// assert!(backend.read(&key).await.is_err());
/// assert!(backend.read(&key).await.is_ok());
///
/// backend.disconnect();
/// assert_eq!(backend.read(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
/// backend.reconnect();
///
/// let gate = backend.hold_before(Operation::Read);
/// let (_, read) = tokio::join!(async { gate.arrived().await; gate.open() }, backend.read(&key));
/// assert!(read?.is_none());
/// # Ok::<(), cloakroom_testkit::core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Faulty<B> {
    inner: B,
    state: Arc<Mutex<Disturbance>>,
}

#[derive(Default)]
struct Disturbance {
    disconnected: bool,
    faults: Vec<Fault>,
    gates: Vec<(Option<Operation>, bool, Arc<Latch>)>,
}

/// What happens to one call.
#[derive(Default)]
struct Plan {
    fault: Option<Fault>,
    gates_before: Vec<Arc<Latch>>,
    gates_after: Vec<Arc<Latch>>,
}

impl<B> Faulty<B> {
    /// A backend without faults so far.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// The backend behind it, undisturbed.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Adds a fault. Where several are due at one call, the first that was added happens; the others stay due.
    pub fn inject(&self, fault: Fault) {
        if fault.times > 0 {
            self.state().faults.push(fault);
        }
    }

    /// Takes all faults back.
    pub fn clear(&self) {
        self.state().faults.clear();
    }

    /// From now on every call is `Unavailable` and does not reach the backend.
    pub fn disconnect(&self) {
        self.state().disconnected = true;
    }

    /// Ends a [`disconnect`](Self::disconnect).
    pub fn reconnect(&self) {
        self.state().disconnected = false;
    }

    /// Makes the next call of an operation, or with `None` of any, wait before it reaches the backend.
    pub fn hold_before(&self, operation: impl Into<Option<Operation>>) -> Gate {
        self.hold(operation.into(), false)
    }

    /// Makes the next call of an operation, or with `None` of any, wait after it took effect, before it returns.
    pub fn hold_after(&self, operation: impl Into<Option<Operation>>) -> Gate {
        self.hold(operation.into(), true)
    }

    fn hold(&self, operation: Option<Operation>, after: bool) -> Gate {
        let latch = Arc::new(Latch { arrivals: Semaphore::new(0), barrier: Semaphore::new(0) });
        self.state().gates.push((operation, after, Arc::clone(&latch)));
        Gate(latch)
    }

    fn state(&self) -> MutexGuard<'_, Disturbance> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn disturb<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let fail = |kind| {
            let error = SessionError::new(kind, operation.as_str());
            Err(error.with_backend("faulty").with_message("a fault that the test injected"))
        };
        let plan = self.state().plan(operation);
        for gate in &plan.gates_before {
            gate.pass().await;
        }
        if self.state().disconnected {
            return fail(ErrorKind::Unavailable);
        }
        if let Some(fault) = plan.fault.filter(|fault| !fault.after) {
            return fail(fault.kind);
        }
        let result = call.await;
        for gate in &plan.gates_after {
            gate.pass().await;
        }
        plan.fault.map_or(result, |fault| fail(fault.kind))
    }
}

impl Disturbance {
    fn plan(&mut self, operation: Operation) -> Plan {
        let mut plan = Plan::default();
        let mut gates = [false; 2];
        self.gates.retain(|(wanted, after, latch)| {
            let met = wanted.is_none_or(|wanted| wanted == operation) && !gates[usize::from(*after)];
            if met {
                gates[usize::from(*after)] = true;
                let gates = if *after { &mut plan.gates_after } else { &mut plan.gates_before };
                gates.push(Arc::clone(latch));
            }
            !met
        });
        for fault in &mut self.faults {
            if fault.operation.is_some_and(|wanted| wanted != operation) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if plan.fault.is_none() {
                plan.fault = Some(*fault);
                fault.times = if fault.times == u64::MAX { u64::MAX } else { fault.times - 1 };
            }
        }
        self.faults.retain(|fault| fault.times > 0);
        plan
    }
}

impl<B: fmt::Debug> fmt::Debug for Faulty<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<B: SessionBackend> SessionBackend for Faulty<B> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.disturb(Operation::Read, self.inner.read(key)).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.disturb(Operation::Write, self.inner.write(key, record, how)).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.disturb(Operation::Rotate, self.inner.rotate(old, new, record, how)).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.disturb(Operation::Touch, self.inner.touch(key, how)).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.disturb(Operation::Remove, self.inner.remove(key, reason)).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.disturb(Operation::Scan, self.inner.scan(filter, after, limit)).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.disturb(Operation::Count, self.inner.count(filter)).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.disturb(Operation::RemoveAll, self.inner.remove_all(filter, reason)).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.disturb(Operation::Sweep, self.inner.sweep(limit)).await
    }
}

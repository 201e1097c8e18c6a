//! The network between a process and a server, which loses, delays and reorders.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, InMemorySessionBackend, Mode, Page, Record, Removal,
    Result, Rotate, SessionBackend, SessionError, SessionKey, State, Touch, Write,
};
use tokio::time::{Instant, timeout};

use crate::pair::pause;

use super::plan::{PATIENCE, POLL, Plan};
use super::process::Life;
use super::world::{Flaw, World};

/// What was given up arrives by then, or never: comparisons of whole copies wait for so long.
const LATEST: Duration = PATIENCE.saturating_add(POLL.saturating_mul(2));

/// A server as one process sees it.
#[derive(Clone)]
pub(crate) struct Link {
    world: Arc<World>,
    server: usize,
    /// The dead send nothing and hear nothing; what they sent arrives all the same.
    life: Arc<Life>,
    clock: Clock,
    timeout: Duration,
}

impl Link {
    pub(crate) fn new(world: &Arc<World>, server: usize, life: &Arc<Life>, plan: &Plan) -> Self {
        let (clock, timeout) = (world.clock.clock(), plan.timeout);
        Self { world: world.clone(), server, life: life.clone(), clock, timeout }
    }

    async fn call<T, F>(
        &self,
        what: impl Fn() -> String,
        about_roles: bool,
        call: impl FnOnce(InMemorySessionBackend) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + std::fmt::Debug + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        self.life.go_on().await;
        if !self.life.is_alive() {
            return pending().await;
        }
        let (process, server, patience) = (self.life.number, self.server, self.timeout);
        let fate = self.world.fate(process, server, about_roles);
        let (answer, hear) = tokio::sync::oneshot::channel();
        let far = self.world.clone();
        let (number, sent) = (far.number(), Instant::now());
        let said = far.story.then(|| format!("{process}>{server}: {}", what()));
        if let Some(said) = &said {
            far.tell(&format!("#{number} sent     {said}"));
        }
        drop(tokio::spawn(async move {
            pause(fate.there).await;
            if fate.request_lost || far.is_cut(process, server) {
                return pause(patience).await;
            }
            let (store, life) = match far.reach(server).await {
                Ok(reached) => reached,
                Err(true) => return pause(patience).await,
                Err(false) => return,
            };
            if sent.elapsed() > patience + LATEST {
                return;
            }
            far.now();
            let result = call(store).await;
            if let Some(said) = &said {
                far.tell(&format!("#{number} applied  {said} -> {result:?}"));
            }
            pause(fate.back).await;
            let answers = matches!(far.reach(server).await, Ok((_, now)) if now == life);
            if fate.answer_lost || far.is_cut(process, server) {
                return pause(patience).await;
            }
            if answers {
                drop(answer.send(result));
            }
        }));
        let heard = timeout(patience, hear).await;
        self.world.now();
        self.life.go_on().await;
        if !self.life.is_alive() {
            return pending().await;
        }
        match heard {
            Ok(Ok(result)) => result,
            _ => Err(SessionError::new(ErrorKind::Unavailable, "call")),
        }
    }

    fn flawed(&self, flaw: Flaw) -> bool {
        self.world.flaw == flaw && (self.server > 0 || flaw == Flaw::NoControl)
    }
}

/// A record, or the roles that it holds.
fn shown(record: &Record, is_control: bool) -> String {
    let word = |at: usize| u64::from_be_bytes(record.payload[at..at + 8].try_into().unwrap());
    if !is_control || record.payload.len() != 44 {
        return format!("{record:?}");
    }
    let (epoch, behind, catching) = (word(1), word(9), word(17));
    let (authority, moving) = (record.payload[41], record.payload[42] == 1);
    format!(
        "ROLES {epoch}: authority {authority}, behind {behind:b}, catching up {catching:b}, moving {moving}"
    )
}

/// The beginning of an id: enough to tell keys of a story apart.
pub(crate) fn name(key: &SessionKey) -> String {
    key.id().as_text()[..6].to_owned()
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.server)
    }
}

impl SessionBackend for Link {
    fn capability(&self) -> Capability {
        Capability::store().with_durable(true).with_shared(true)
    }

    fn clock(&self) -> &Clock {
        self.world.now();
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let is_control = key.scope().is_some();
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("read {}", name(&label)),
            is_control,
            move |store| async move { store.read(&key).await },
        )
        .await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let (mut how, is_control) = (how, key.scope().is_some());
        let skip = (self.flawed(Flaw::NoTombstones) && record.state == State::Ended)
            || (self.flawed(Flaw::Lies) && self.world.chance(5))
            || (self.flawed(Flaw::NoControl) && is_control && matches!(how.mode, Mode::Update(_)));
        if self.flawed(Flaw::NoCompare) && matches!(how.mode, Mode::Update(_)) {
            how = Write::overwrite();
        }
        let (key, label) = (key.clone(), key.clone());
        let (mode, sent) = (how.mode, record.clone());
        self.call(
            move || format!("write {} {mode:?} {}", name(&label), shown(&sent, is_control)),
            is_control,
            move |store| async move {
                if skip {
                    return Ok(key.unscoped());
                }
                store.write(&key, record, how).await
            },
        )
        .await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let (old, new) = (old.clone(), new.clone());
        let (a, b, shown) = (old.clone(), new.clone(), how.expected);
        self.call(
            move || format!("rotate {} to {} from {shown:?}", name(&a), name(&b)),
            false,
            move |store| async move { store.rotate(&old, &new, record, how).await },
        )
        .await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("touch {} {how:?}", name(&label)),
            false,
            move |store| async move { store.touch(&key, how).await },
        )
        .await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("remove {}", name(&label)),
            false,
            move |store| async move { store.remove(&key, reason).await },
        )
        .await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let filter = filter.clone();
        self.call(
            || "scan".to_owned(),
            false,
            move |store| async move { store.scan(&filter, after, limit).await },
        )
        .await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let filter = filter.clone();
        self.call(|| "count".to_owned(), false, move |store| async move { store.count(&filter).await }).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        let filter = filter.clone();
        self.call(
            || "remove_all".to_owned(),
            false,
            move |store| async move { store.remove_all(&filter, reason).await },
        )
        .await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.call(|| "sweep".to_owned(), false, move |store| async move { store.sweep(limit).await }).await
    }
}

//! What was promised, and the clients to whom.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, Owner, Record, Removal, Rotate, SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_layer_replication::ReplicatedSessionBackend;

use crate::pair::pause;

use super::link::{Link, name};
use super::process::{Life, Roles, must_know};
use super::world::World;

/// A session: each acknowledged write added a token to its payload, which all later ones keep.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) keys: Vec<SessionKey>,
    current: usize,
    pub(crate) created: bool,
    pub(crate) tokens: BTreeSet<u64>,
    pub(crate) ended: bool,
    /// By name, not only with all others of its owner.
    removed: bool,
    pub(crate) perhaps_ended: bool,
    /// Keys that creation and rotations were acknowledged for.
    known: BTreeSet<usize>,
    /// Keys that acknowledged rotations left.
    pub(crate) left: BTreeSet<usize>,
    owned: bool,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) stories: Vec<Story>,
    tokens: u64,
    revoking: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) violation: Option<String>,
}

pub(crate) type Book = Arc<Mutex<Ledger>>;

pub(crate) fn open(book: &Book) -> MutexGuard<'_, Ledger> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn tokens(record: &Record) -> BTreeSet<u64> {
    let text = std::str::from_utf8(&record.payload).unwrap();
    text.split(' ').map(|token| token.parse().unwrap()).collect()
}

fn payload(tokens: &BTreeSet<u64>) -> String {
    tokens.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

impl Ledger {
    pub(crate) fn violate(&mut self, what: String) {
        if std::env::var_os("CLOAKROOM_SEED").is_some() {
            println!("VIOLATION {what}");
        }
        self.violation.get_or_insert(what);
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }
}

fn owner() -> Owner {
    Owner::parse("user:1").unwrap()
}

pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) book: Book,
    pub(crate) backend: ReplicatedSessionBackend<Link>,
    pub(crate) life: Arc<Life>,
    pub(crate) roles: Arc<Mutex<Roles>>,
    /// Whether reads are promised to show all that was acknowledged, by a process that knows who decides.
    pub(crate) strict: bool,
    /// The same where the authority did not answer.
    pub(crate) fallen_over_too: bool,
}

impl Client {
    pub(crate) async fn live(self, steps: u64) {
        for _ in 0..steps {
            let most = if self.world.chance(18) { 2_000 } else { 120 };
            pause(Duration::from_millis(self.world.below(most))).await;
            self.life.busy.fetch_add(1, Ordering::SeqCst);
            if self.world.chance(6) {
                // The client goes away.
                let wait = Duration::from_millis(self.world.below(60));
                if tokio::time::timeout(wait, self.step()).await.is_err() {
                    self.life.note_left();
                }
            } else {
                self.step().await;
            }
            self.life.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }

    async fn step(&self) {
        match self.world.below(100) {
            0..=11 => self.create().await,
            12..=59 => self.update().await,
            60..=69 => self.rotate().await,
            70..=79 => self.remove().await,
            80..=82 => self.revoke().await,
            _ => self.touch().await,
        }
    }

    fn must_know(&self) -> bool {
        must_know(&self.roles, &self.backend, &self.life)
    }

    fn pick(&self) -> Option<usize> {
        let stories = open(&self.book).stories.len() as u64;
        (stories > 0).then(|| usize::try_from(self.world.below(stories)).unwrap())
    }

    fn record(&self, tokens: &BTreeSet<u64>, before: Option<&Record>, owned: bool) -> Record {
        let now = self.world.now();
        let record = Record::new(payload(tokens), now)
            .with_version(self.world.version(before.map(|before| before.version)))
            .with_expires_at(Some(now + Duration::from_secs(86_400)))
            .with_owner(owned.then(owner));
        before.map_or(record.clone(), |before| record.with_created_at(before.created_at))
    }

    async fn create(&self) {
        let (story, key, token, owned) = {
            let mut book = open(&self.book);
            let story = book.stories.len();
            let token = book.token();
            let key = SessionKey::from_name(&format!("session {story}")).unwrap();
            let owned = story.is_multiple_of(2);
            let perhaps_ended = owned && book.revoking > 0;
            let keys = vec![key.clone()];
            book.stories.push(Story { keys, owned, perhaps_ended, ..Story::default() });
            (story, key, token, owned)
        };
        let tokens = BTreeSet::from([token]);
        let written = self.backend.write(&key, self.record(&tokens, None, owned), Write::create()).await;
        let mut book = open(&self.book);
        if written.is_ok() {
            self.world.tell(&format!("OK create {story} {} {token}", name(&key)));
            book.acknowledged += 1;
            book.stories[story].created = true;
            book.stories[story].known.insert(0);
            book.stories[story].tokens.insert(token);
        } else {
            book.refused += 1;
        }
    }

    /// Reads a session and checks what it sees.
    async fn look(&self, story: usize) -> Option<(SessionKey, usize, Record)> {
        let (mut at, key, ended, promised, safe) = {
            let book = open(&self.book);
            let it = &book.stories[story];
            let key = it.keys[it.current].clone();
            // What somebody may have ended keeps no promise but to be gone.
            let promised = if it.perhaps_ended { BTreeSet::new() } else { it.tokens.clone() };
            (it.current, key, it.ended, promised, it.created && !it.perhaps_ended)
        };
        let knew = self.must_know();
        let fallen_over = self.backend.status().failover_reads;
        let mut found = (key.clone(), self.backend.read(&key).await.ok()?);
        for _ in 0..20 {
            let Some(successor) = found.1.as_ref().and_then(Record::successor) else { break };
            let key = {
                let book = open(&self.book);
                at = book.stories[story].keys.iter().position(|key| key.id() == successor)?;
                book.stories[story].keys[at].clone()
            };
            found = (key.clone(), self.backend.read(&key).await.ok()?);
        }
        let (key, there) = found;
        // Another process may have left that copy behind a moment ago.
        let strict = self.strict
            && knew
            && self.must_know()
            && (self.fallen_over_too || self.backend.status().failover_reads == fallen_over);
        let mut book = open(&self.book);
        match there {
            Some(record) if record.is_live() => {
                if strict && ended {
                    book.violate(format!("session {story} was ended and is read"));
                }
                let safe = !book.stories[story].perhaps_ended;
                if strict && safe && !promised.is_subset(&tokens(&record)) {
                    book.violate(format!(
                        "session {story} is read without {promised:?}: {:?}",
                        tokens(&record)
                    ));
                }
                Some((key, at, record))
            }
            there => {
                let it = &book.stories[story];
                // Somebody rotated or ended it meanwhile.
                let still = safe && !it.perhaps_ended && it.keys.len() == at + 1 && it.known.contains(&at);
                if strict && still {
                    book.violate(format!("session {story} is lost: {:?}", there.map(|record| record.state)));
                }
                None
            }
        }
    }

    async fn update(&self) {
        let Some(story) = self.pick() else { return };
        let Some((key, _, before)) = self.look(story).await else { return };
        // Some hold what they read for a while.
        if self.world.chance(20) {
            pause(Duration::from_millis(self.world.below(400))).await;
        }
        let token = open(&self.book).token();
        let mut all = tokens(&before);
        all.insert(token);
        let record = self.record(&all, Some(&before), before.owner.is_some());
        let written = self.backend.write(&key, record, Write::update(before.version)).await;
        let mut book = open(&self.book);
        if written.is_ok() {
            self.world.tell(&format!("OK update {story} {} {token}", name(&key)));
            book.acknowledged += 1;
            book.stories[story].tokens.insert(token);
        } else {
            book.refused += 1;
        }
    }

    async fn rotate(&self) {
        let Some(story) = self.pick() else { return };
        let Some((old, from, before)) = self.look(story).await else { return };
        let (new, to) = {
            let mut book = open(&self.book);
            let to = book.stories[story].keys.len();
            let new = SessionKey::from_name(&format!("session {story} key {to}")).unwrap();
            book.stories[story].keys.push(new.clone());
            (new, to)
        };
        let record = self.record(&tokens(&before), Some(&before), before.owner.is_some());
        let now = self.world.now();
        let trail = Record::moved(new.id(), now, now + Duration::from_secs(3_600))
            .with_version(self.world.version(None));
        let how = Rotate::new(before.version).with_trail(trail);
        if self.backend.rotate(&old, &new, record, how).await.is_ok() {
            self.world.tell(&format!("OK rotate {story} {} to {}", name(&old), name(&new)));
            let mut book = open(&self.book);
            book.acknowledged += 1;
            let it = &mut book.stories[story];
            it.left.insert(from);
            it.known.insert(to);
            it.current = it.current.max(to);
        }
    }

    async fn remove(&self) {
        let Some(story) = self.pick() else { return };
        let key = {
            let mut book = open(&self.book);
            let it = &mut book.stories[story];
            it.perhaps_ended = true;
            it.keys[it.current].clone()
        };
        if self.backend.remove(&key, Removal::Flushed).await.is_ok_and(|ended| ended) {
            self.world.tell(&format!("OK remove {story} {}", name(&key)));
            let mut book = open(&self.book);
            book.acknowledged += 1;
            book.stories[story].ended = true;
            book.stories[story].removed = true;
        }
    }

    async fn revoke(&self) {
        let concerned: Vec<usize> = {
            let mut book = open(&self.book);
            book.revoking += 1;
            let mut concerned = Vec::new();
            for (number, it) in book.stories.iter_mut().enumerate().filter(|(_, it)| it.owned) {
                it.perhaps_ended = true;
                if it.created {
                    concerned.push(number);
                }
            }
            concerned
        };
        let filter = Filter::unscoped().with_owner(owner());
        let revoked = self.backend.remove_all(&filter, Removal::Revoked).await;
        let mut book = open(&self.book);
        // What was not answered may be done much later.
        if revoked.is_ok() {
            book.revoking -= 1;
            self.world.tell(&format!("OK revoke {concerned:?}"));
            book.acknowledged += 1;
            for story in concerned {
                book.stories[story].ended = true;
            }
        }
    }

    async fn touch(&self) {
        let Some(story) = self.pick() else { return };
        let Some((key, _, before)) = self.look(story).await else { return };
        let how = Touch::new(before.version, self.world.now() + Duration::from_secs(90_000));
        drop(self.backend.touch(&key, how).await);
    }
}

/// What is promised for the end, when all is quiet.
pub(crate) async fn audit(
    world: &Arc<World>,
    book: &Book,
    backend: &ReplicatedSessionBackend<Link>,
    check: Check,
) {
    // What was lost with the queue of the primary cannot be followed along a rotation.
    let knows = |keys: usize| check.tokens || keys == 1;
    let servers: Vec<usize> = (0..world.servers()).filter(|server| world.is_up(*server)).collect();
    let count = open(book).stories.len();
    for story in 0..count {
        let (keys, created, promised, ended, perhaps, left) = {
            let book = open(book);
            let it = &book.stories[story];
            let left = it.left.clone();
            // Who ends all of an owner at another copy does not see what a queue holds back.
            let ended = if check.tokens { it.ended } else { it.removed };
            (it.keys.clone(), it.created, it.tokens.clone(), ended, it.perhaps_ended, left)
        };
        let (mut alive, mut unknown) = (Vec::new(), 0);
        for (number, key) in keys.iter().enumerate() {
            let read = match backend.read(key).await {
                Ok(read) => read.filter(Record::is_live),
                Err(error) if error.kind() == ErrorKind::Unavailable => return,
                Err(error) => return open(book).violate(format!("session {story}: {error}")),
            };
            let mut copies = Vec::new();
            for server in &servers {
                copies.push(world.store(*server).read(key).await.unwrap());
            }
            let mut book = open(book);
            let there = |copy: &Option<Record>| copy.as_ref().is_some_and(Record::is_live);
            if check.copies {
                let same = |copy: &Option<Record>| {
                    let live = copy.as_ref().filter(|record| record.is_live());
                    live.map(|record| (record.version, record.payload.clone(), record.expires_at))
                };
                if copies.windows(2).any(|pair| same(&pair[0]) != same(&pair[1])) {
                    book.violate(format!("session {story} key {number}: the copies differ: {copies:?}"));
                }
                if knows(keys.len()) && (ended || left.contains(&number)) && copies.iter().any(there) {
                    book.violate(format!("session {story} key {number} is over and lives on a copy"));
                }
            }
            // Nobody was given that key, and the copy that decided on it is gone for good.
            let is_fork = !check.copies && !book.stories[story].known.contains(&number);
            if knows(keys.len()) && (ended || left.contains(&number)) && read.is_some() && !is_fork {
                book.violate(format!("session {story} key {number} is over and is read at the end"));
            }
            unknown += usize::from(is_fork && !alive.is_empty() && read.is_some());
            alive.extend(read);
        }
        let mut book = open(book);
        if !check.tokens {
            continue;
        }
        if alive.len() > 1 + unknown {
            book.violate(format!("session {story} lives under {} keys", alive.len()));
        }
        match alive.first() {
            Some(record) if !perhaps && !promised.is_subset(&tokens(record)) => {
                book.violate(format!("session {story} lost of {promised:?}: has {:?}", tokens(record)));
            }
            None if created && !perhaps => book.violate(format!("session {story} is lost")),
            _ => {}
        }
    }
}

/// Which promises hold in a history.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) tokens: bool,
    pub(crate) copies: bool,
}

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::{
    ErrorKind, Filter, Limits, Owner, Record, Removal, Result, Rotate, Scope, ScopeFilter, SessionBackend,
    SessionKey, State, Touch, Version, Write,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::Handle;

use crate::model::{Model, Slot, Verdict};
use crate::subject::{Subject, fresh_key, owner, scope};
use crate::suite::full;

const KEYS: usize = 4;
/// None, and two.
const SCOPES: usize = 3;
/// None, and two that a careless comparison takes for one.
const OWNERS: [Option<&str>; 3] = [None, Some("user:a"), Some("user:A")];

/// Which version a step names, beside the one that is stored.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Right,
    Lower,
    Higher,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Create,
    Update(Guess),
    Overwrite,
    Newer(Guess),
}

#[derive(Clone, Copy, Debug)]
struct Content {
    state: State,
    owner: usize,
    /// Milliseconds from now; `None` = for ever.
    ttl: Option<i64>,
    per_owner: Option<u64>,
    per_scope: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    /// `SCOPES` = any.
    scope: usize,
    owner: usize,
    except: Option<usize>,
    payload: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read(Slot),
    Write(Slot, How, Content),
    Touch(Slot, Guess, i64),
    Rotate { from: Slot, to_key: usize, expected: Guess, content: Content, trail: Option<i64> },
    Remove(Slot),
    RemoveAll(Choice),
    Scan(Choice, usize),
    Count(Choice),
    Sweep(usize),
    Advance(u64),
}

fn slot() -> impl Strategy<Value = Slot> {
    (0..KEYS, 0..SCOPES).prop_map(|(key, scope)| Slot { key, scope })
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![4 => Just(Guess::Right), 1 => Just(Guess::Lower), 1 => Just(Guess::Higher)]
}

fn ttl() -> impl Strategy<Value = i64> {
    prop_oneof![Just(-1), Just(0), Just(1), Just(1_000), Just(60_000)]
}

fn content() -> impl Strategy<Value = Content> {
    let state = prop_oneof![6 => Just(State::Live), 1 => Just(State::Moved), 1 => Just(State::Ended)];
    let ttl = prop_oneof![1 => Just(None), 3 => ttl().prop_map(Some)];
    let limit = || prop_oneof![3 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    (state, 0..OWNERS.len(), ttl, limit(), limit()).prop_map(|(state, owner, ttl, per_owner, per_scope)| {
        Content { state, owner, ttl, per_owner, per_scope }
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    (0..=SCOPES, 0..OWNERS.len(), proptest::option::weighted(0.3, 0..KEYS), any::<bool>())
        .prop_map(|(scope, owner, except, payload)| Choice { scope, owner, except, payload })
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::Create),
        3 => guess().prop_map(How::Update),
        1 => Just(How::Overwrite),
        2 => guess().prop_map(How::Newer),
    ];
    let rotate = (slot(), 0..KEYS, guess(), content(), proptest::option::of(ttl()));
    prop_oneof![
        2 => slot().prop_map(Step::Read),
        8 => (slot(), how, content()).prop_map(|(slot, how, content)| Step::Write(slot, how, content)),
        2 => (slot(), guess(), ttl()).prop_map(|(slot, guess, ttl)| Step::Touch(slot, guess, ttl)),
        4 => rotate.prop_map(|(from, to_key, expected, content, trail)| {
            Step::Rotate { from, to_key, expected, content, trail }
        }),
        2 => slot().prop_map(Step::Remove),
        1 => choice().prop_map(Step::RemoveAll),
        2 => (choice(), 1..5_usize).prop_map(|(choice, limit)| Step::Scan(choice, limit)),
        2 => choice().prop_map(Step::Count),
        1 => (0..5_usize).prop_map(Step::Sweep),
        2 => prop_oneof![Just(1), Just(999), Just(60_000)].prop_map(Step::Advance),
    ]
}

/// A backend and the model beside it.
struct Pair<'a> {
    subject: &'a Subject,
    model: Model,
    keys: Vec<SessionKey>,
    scopes: [Option<Scope>; SCOPES],
    steps: u64,
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: the backend says {found:?}, the model {expected:?}"))
}

fn kind<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

fn agree<T>(what: &str, found: Result<T>, expected: &Verdict<()>) -> Result<(), String> {
    match (kind(found), expected) {
        (Ok(_), Ok(())) => Ok(()),
        (Err(kind), Err(kinds)) if kinds.contains(&kind) => Ok(()),
        (found, expected) => {
            Err(format!("{what}: the backend says {:?}, the model {expected:?}", found.map(drop)))
        }
    }
}

impl<'a> Pair<'a> {
    fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            model: Model::default(),
            keys: (0..KEYS).map(|_| fresh_key()).collect(),
            scopes: [None, Some(scope("tenant:a:")), Some(scope("tenant:A:"))],
            steps: 0,
        }
    }

    /// A step for a backend whose keys name no scope.
    fn without_scopes(step: Step) -> Step {
        let flat = |slot: Slot| Slot { scope: 0, ..slot };
        let within =
            |choice: Choice| Choice { scope: if choice.scope == SCOPES { SCOPES } else { 0 }, ..choice };
        match step {
            Step::Read(slot) => Step::Read(flat(slot)),
            Step::Write(slot, how, content) => Step::Write(flat(slot), how, content),
            Step::Touch(slot, guess, ttl) => Step::Touch(flat(slot), guess, ttl),
            Step::Rotate { from, to_key, expected, content, trail } => {
                Step::Rotate { from: flat(from), to_key, expected, content, trail }
            }
            Step::Remove(slot) => Step::Remove(flat(slot)),
            Step::RemoveAll(choice) => Step::RemoveAll(within(choice)),
            Step::Scan(choice, limit) => Step::Scan(within(choice), limit),
            Step::Count(choice) => Step::Count(within(choice)),
            other => other,
        }
    }

    fn key(&self, slot: Slot) -> SessionKey {
        let key = &self.keys[slot.key];
        self.scopes[slot.scope].as_ref().map_or_else(|| key.clone(), |scope| key.scoped(scope))
    }

    fn guess(&self, slot: Slot, guess: Guess) -> Version {
        let stored = self.model.stored(slot).map_or(1 << 40, |record| record.version.as_u64());
        Version::from_u64(match guess {
            Guess::Right => stored,
            Guess::Lower => stored - 1,
            Guess::Higher => stored + 1,
        })
    }

    fn record(&self, content: Content, version: Version) -> Record {
        let now = self.subject.now();
        let end = content.ttl.map(|ttl| cloakroom_core::Timestamp::from_millis(now.as_millis() + ttl));
        let by = OWNERS[content.owner].map(owner);
        let record = Record::new(format!("{{\"step\":{}}}", self.steps), now).with_state(content.state);
        record.with_owner(by).with_expires_at(end).with_version(version)
    }

    fn limits(&self, content: Content) -> Limits {
        let mut limits = Limits::none();
        if self.subject.capability().limits {
            limits.per_owner = content.per_owner;
            limits.per_scope = content.per_scope;
        }
        limits
    }

    fn filter(&self, choice: Choice) -> Filter {
        let mut filter = Filter::everywhere();
        if let Some(scope) = self.scopes.get(choice.scope) {
            filter.scope = ScopeFilter::from(scope.as_ref());
        }
        filter.owner = OWNERS[choice.owner].map(|by| -> Owner { owner(by) });
        filter.except = choice.except.map(|key| self.keys[key].id());
        filter.payload = choice.payload;
        filter
    }

    fn matching(&self, filter: &Filter) -> BTreeMap<Slot, Record> {
        self.model.matching(self.subject.now(), |slot, record| {
            filter.matches(self.scopes[slot.scope].as_ref(), self.keys[slot.key].id(), record)
        })
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        self.steps += 1;
        let step = if self.subject.capability().scopes { step } else { Self::without_scopes(step) };
        let (subject, now) = (self.subject, self.subject.now());
        let backend = subject.backend();
        let enumerable = subject.capability().enumerable;
        match step {
            Step::Read(slot) => self.read(slot).await,
            Step::Write(slot, how, content) => {
                let mut content = content;
                // The contract names no limits for these modes, nor for what is dead when it is born.
                let limits = match how {
                    How::Create | How::Update(_) => self.limits(content),
                    How::Overwrite | How::Newer(_) => Limits::none(),
                };
                if !limits.is_none() {
                    content.ttl = content.ttl.map(|ttl| ttl.max(1));
                }
                let fresh = Version::from_u64((1 << 40) + self.steps * 16);
                let (how, version) = match how {
                    How::Create => (Write::create(), fresh),
                    How::Update(guess) => (Write::update(self.guess(slot, guess)), fresh),
                    How::Overwrite => (Write::overwrite(), fresh),
                    How::Newer(guess) => (Write::newer(), self.guess(slot, guess)),
                };
                let (how, record) = (how.with_limits(limits), self.record(content, version));
                let found = backend.write(&self.key(slot), record.clone(), how).await;
                agree("write", found, &self.model.write(slot, &record, how, now))
            }
            Step::Touch(slot, guess, ttl) => {
                let end = cloakroom_core::Timestamp::from_millis(now.as_millis() + ttl);
                let how = Touch::new(self.guess(slot, guess), end);
                let found = backend.touch(&self.key(slot), how).await.map(|key| key.is_some());
                same("touch", &kind(found), &Ok(self.model.touch(slot, how, now)))
            }
            Step::Rotate { from, to_key, expected, content, trail } => {
                let to = Slot { key: to_key, scope: from.scope };
                let content =
                    Content { state: State::Live, ttl: content.ttl.map(|ttl| ttl.max(1)), ..content };
                let record = self.record(content, Version::from_u64((1 << 40) + self.steps * 16));
                let mut how = Rotate::new(self.guess(from, expected)).with_limits(self.limits(content));
                how.trail = trail.map(|ttl| {
                    let end = cloakroom_core::Timestamp::from_millis(now.as_millis() + ttl);
                    Record::moved(self.keys[to_key].id(), now, end)
                });
                let found = backend.rotate(&self.key(from), &self.key(to), record.clone(), how.clone()).await;
                agree("rotate", found, &self.model.rotate(from, to, &record, &how, now))
            }
            Step::Remove(slot) => {
                let found = backend.remove(&self.key(slot), Removal::Explicit).await;
                let lived = self.model.live(slot, now).is_some();
                same("remove", &kind(found), &Ok(lived))?;
                if lived { self.removed(slot).await } else { Ok(()) }
            }
            Step::RemoveAll(choice) if enumerable => {
                let filter = self.filter(choice);
                let expected = self.matching(&filter);
                let found = backend.remove_all(&filter, Removal::Revoked).await;
                same("remove_all", &kind(found), &Ok(expected.len() as u64))?;
                for slot in expected.into_keys() {
                    self.removed(slot).await?;
                }
                Ok(())
            }
            Step::Scan(choice, limit) if enumerable => self.scan(&self.filter(choice), limit).await,
            Step::Count(choice) if enumerable => {
                let filter = self.filter(choice);
                let found = kind(backend.count(&filter).await);
                same("count", &found, &Ok(self.matching(&filter).len() as u64))
            }
            Step::RemoveAll(_) | Step::Scan(..) | Step::Count(_) => Ok(()),
            Step::Sweep(limit) => {
                let found = backend.sweep(limit).await.map_err(|error| format!("sweep: {error}"))?;
                // Expired records may be deleted at any time, so that a sweep may find fewer than there were.
                if found > self.model.expired(now).min(limit as u64) {
                    return Err(format!("sweep({limit}) deleted {found}"));
                }
                Ok(())
            }
            Step::Advance(millis) => {
                subject.advance(Duration::from_millis(millis));
                Ok(())
            }
        }
    }

    /// What a removal leaves is nothing, or a tombstone, which the model takes over.
    async fn removed(&mut self, slot: Slot) -> Result<(), String> {
        let left = self.subject.backend().read(&self.key(slot)).await.map_err(|error| error.to_string())?;
        if left.as_ref().is_some_and(|record| record.state != State::Ended) {
            return Err(format!("{left:?} is left of what was removed"));
        }
        self.model.remove_to(slot, left);
        Ok(())
    }

    async fn read(&self, slot: Slot) -> Result<(), String> {
        let found = kind(self.subject.backend().read(&self.key(slot)).await);
        let expected = self.model.read(slot, self.subject.now()).cloned();
        same(&format!("read of {slot:?}"), &found, &Ok(expected))
    }

    async fn scan(&self, filter: &Filter, limit: usize) -> Result<(), String> {
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..1_000 {
            let page = self.subject.backend().scan(filter, after, limit).await;
            let page = page.map_err(|error| format!("scan: {error}"))?;
            if page.entries.len() > limit {
                return Err(format!("scan: {} entries, {limit} asked for", page.entries.len()));
            }
            found.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let slot_of = |entry: &cloakroom_core::Entry| {
            let key = self.keys.iter().position(|key| key.id() == entry.id)?;
            let scope = self.scopes.iter().position(|scope| *scope == entry.scope)?;
            Some(Slot { key, scope })
        };
        let mut found: Vec<_> = found.iter().map(|entry| (slot_of(entry), entry.record.clone())).collect();
        found.sort_by_key(|(slot, _)| *slot);
        let expected = self.matching(filter).into_iter();
        let expected: Vec<_> =
            expected.map(|(slot, record)| (Some(slot), Model::strip(&record, filter))).collect();
        same("scan", &found, &expected)
    }

    fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let scopes = if self.subject.capability().scopes { SCOPES } else { 1 };
        (0..KEYS).flat_map(move |key| (0..scopes).map(move |scope| Slot { key, scope }))
    }

    async fn compare_contents(&self) -> Result<(), String> {
        for slot in self.slots() {
            self.read(slot).await?;
        }
        if self.subject.capability().enumerable {
            self.scan(&Filter::everywhere().with_payload(), 7).await?;
        }
        Ok(())
    }

    /// Leaves the store empty for the next sequence, whatever this one found.
    async fn clear(&self) {
        let dead = self.subject.record("").with_expires_at(Some(self.subject.now()));
        for slot in self.slots() {
            self.subject.write(&self.key(slot), &dead, Write::overwrite()).await;
        }
        for _ in 0..100 {
            if self.subject.sweep(1_000).await == 0 {
                break;
            }
        }
    }
}

async fn follow(subject: &Subject, steps: &[Step]) -> Result<(), String> {
    let mut pair = Pair::new(subject);
    let mut result = Ok(());
    for (index, step) in steps.iter().enumerate() {
        result = pair.step(*step).await.map_err(|reason| format!("step {index}, {step:?}: {reason}"));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = pair.compare_contents().await.map_err(|reason| format!("at the end: {reason}"));
    }
    pair.clear().await;
    result
}

/// Random sequences of operations give the results, the refusals and the contents that a simple model gives. A
/// failing sequence is shrunk and printed.
pub async fn model_random_sequences_agree(subject: &Subject) {
    let config = Config {
        cases: if full() { 1_024 } else { 64 },
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 1..40);
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&steps, |steps| {
            Handle::current().block_on(follow(subject, &steps)).map_err(TestCaseError::fail)
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => panic!("{reason}\nthe shortest such sequence: {steps:#?}"),
        Err(TestError::Abort(reason)) => panic!("the model test gave up: {reason}"),
    }
}

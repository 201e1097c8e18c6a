use std::fmt;
use std::future::Future;
use std::time::Duration;

use cloakroom_core::{
    Clock, ErrorKind, Filter, Limits, ManualClock, Removal, Rotate, SessionBackend, Touch, Write,
};
use futures_util::future::BoxFuture;
use tokio::runtime::Builder;

use crate::subject::{HOUR, Subject, fresh_key, kind_of, scope};
use crate::table::CASES;

/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a case needs of a backend's [`Capability`](cloakroom_core::Capability). Where it is not declared, the
/// operation must refuse instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// Sessions stay in a store; with client-side sessions there is nothing to check.
    Stored,
    /// Sessions stay with the client; with a store there is nothing to check.
    Sealed,
    /// Removed sessions are refused from then on; else `remove` is `Unsupported`.
    Revocable,
    /// `scan`, `count` and `remove_all` work; else they are `Unsupported`.
    Enumerable,
    /// `Update` compares versions; else it either takes effect or is `Unsupported`.
    Versioned,
    /// Limits are checked with the write; else a write or rotation with limits is `Unsupported`.
    Limits,
    /// Keys and filters may name scopes; else one that does is `InvalidKey`.
    Scopes,
}

impl Need {
    /// Whether the subject's capability declares it.
    #[must_use]
    pub fn is_met(self, subject: &Subject) -> bool {
        let capability = subject.capability();
        match self {
            Self::Stored => subject.is_store(),
            Self::Sealed => !subject.is_store(),
            Self::Revocable => capability.revocable,
            Self::Enumerable => capability.enumerable,
            Self::Versioned => capability.versioned,
            Self::Limits => capability.limits,
            Self::Scopes => capability.scopes,
        }
    }

    /// Checks that what is not declared refuses aloud.
    async fn check_refusal(self, subject: &Subject) {
        let backend = subject.backend();
        let everywhere = Filter::everywhere();
        match self {
            Self::Stored | Self::Sealed => {}
            Self::Revocable => {
                let key = subject.create(&subject.record("{}")).await;
                let refusal = kind_of(backend.remove(&key, Removal::Explicit).await, "remove");
                assert_eq!(refusal, ErrorKind::Unsupported);
            }
            Self::Enumerable => {
                let refusal = kind_of(backend.scan(&everywhere, None, 10).await, "scan");
                assert_eq!(refusal, ErrorKind::Unsupported);
                assert_eq!(kind_of(backend.count(&everywhere).await, "count"), ErrorKind::Unsupported);
                let refusal = kind_of(backend.remove_all(&everywhere, Removal::Revoked).await, "remove_all");
                assert_eq!(refusal, ErrorKind::Unsupported);
            }
            Self::Scopes => scopes_are_refused(subject).await,
            Self::Versioned => {
                let record = subject.record("old");
                let key = subject.create(&record).await;
                let next = subject.revise(&record, "new");
                match backend.write(&key, next.clone(), Write::update(record.version)).await {
                    Ok(key) => assert_eq!(subject.read(&key).await, Some(next), "the update took no effect"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
                }
            }
            Self::Limits => {
                let limits = Limits::none().with_per_scope(1_000).with_per_owner(1_000);
                let record = subject.owned("user:1");
                let how = Write::create().with_limits(limits);
                assert_eq!(subject.write_err(&fresh_key(), &record, how).await, ErrorKind::Unsupported);
                let key = subject.create(&record).await;
                let how = Rotate::new(record.version).with_limits(limits);
                let next = subject.revise(&record, "{}");
                let refusal = kind_of(backend.rotate(&key, &fresh_key(), next, how).await, "rotate");
                assert_eq!(refusal, ErrorKind::Unsupported);
                assert_eq!(subject.read(&key).await, Some(record), "a refused rotation changed something");
            }
        }
    }
}

/// Every operation refuses a key or a filter that names a scope, and changes nothing.
async fn scopes_are_refused(subject: &Subject) {
    let backend = subject.backend();
    let (record, tenant) = (subject.record("{}"), scope("tenant:a:"));
    let (plain, new) = (subject.create(&record).await, fresh_key());
    let key = plain.scoped(&tenant);
    let touch = Touch::new(record.version, subject.now() + HOUR * 2);
    let rotate = || Rotate::new(record.version);
    let filter = Filter::in_scope(Some(&tenant));
    let next = || subject.revise(&record, "next");
    let mut refusals = vec![
        kind_of(backend.read(&key).await, "read"),
        kind_of(backend.write(&key, record.clone(), Write::create()).await, "create"),
        kind_of(backend.write(&key, next(), Write::update(record.version)).await, "update"),
        kind_of(backend.rotate(&key, &new, next(), rotate()).await, "rotate"),
        kind_of(backend.rotate(&plain, &new.scoped(&tenant), next(), rotate()).await, "rotate"),
        kind_of(backend.touch(&key, touch).await, "touch"),
        kind_of(backend.remove(&key, Removal::Explicit).await, "remove"),
    ];
    if subject.capability().enumerable {
        refusals.push(kind_of(backend.scan(&filter, None, 10).await, "scan"));
        refusals.push(kind_of(backend.count(&filter).await, "count"));
        refusals.push(kind_of(backend.remove_all(&filter, Removal::Revoked).await, "remove_all"));
    }
    assert!(refusals.iter().all(|kind| *kind == ErrorKind::InvalidKey), "{refusals:?}");
    assert_eq!(subject.read(&plain).await, Some(record), "a refused operation changed something");
}

/// One case of the suite. See [`CASES`].
#[non_exhaustive]
pub struct Case {
    /// The name of the function in [`cases`](crate::cases) and of the test.
    pub name: &'static str,
    /// The clause of the contract of [`SessionBackend`] that it checks.
    pub clause: u8,
    /// What it needs of the backend.
    pub needs: &'static [Need],
    pub(crate) body: for<'a> fn(&'a Subject) -> BoxFuture<'a, ()>,
}

impl Case {
    /// Checks a subject: the case itself, or, where the backend does not declare what it needs, that the operation
    /// refuses.
    ///
    /// # Panics
    /// When the subject fails, or hangs.
    pub async fn check(&self, subject: &Subject) {
        let checked = async {
            let unmet: Vec<Need> = self.needs.iter().copied().filter(|need| !need.is_met(subject)).collect();
            if unmet.is_empty() {
                return (self.body)(subject).await;
            }
            for need in unmet {
                need.check_refusal(subject).await;
            }
        };
        let patience = if full() { PATIENCE * 10 } else { PATIENCE };
        let Ok(()) = tokio::time::timeout(patience, checked).await else {
            panic!("{} did not end within {patience:?}", self.name);
        };
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("clause", &self.clause)
            .field("needs", &self.needs)
            .finish_non_exhaustive()
    }
}

/// The case of that name.
#[must_use]
pub fn case(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

/// Whether `CLOAKROOM_TEST=full` asks for the long run.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("CLOAKROOM_TEST").is_some_and(|mode| mode == "full")
}

/// Runs one case on a new backend in a runtime of its own. [`conformance!`](crate::conformance) generates calls of it.
///
/// # Panics
/// When there is no such case, or the backend fails it.
pub fn run<F, M, B>(name: &str, factory: F)
where
    F: FnOnce(Clock) -> M,
    M: Future<Output = B>,
    B: SessionBackend + Clone,
{
    run_optional(name, |clock| async { Some(factory(clock).await) });
}

/// The same for a factory that gives `None` where the backend is not available; then the case is skipped.
///
/// # Panics
/// When there is no such case, or the backend fails it.
pub fn run_optional<F, M, B>(name: &str, factory: F)
where
    F: FnOnce(Clock) -> M,
    M: Future<Output = Option<B>>,
    B: SessionBackend + Clone,
{
    let case = case(name).unwrap_or_else(|| panic!("there is no case {name}"));
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let clock = ManualClock::new();
        clock.advance(HOUR);
        if let Some(backend) = factory(clock.clock()).await {
            case.check(&Subject::new(backend, clock)).await;
        }
    });
}

/// Generates a module with one test per case of the suite, each on a new backend from the factory: an async function
/// or closure from the [`Clock`] to use to a [`SessionBackend`] that is `Clone`. With `optional` before it, the
/// factory returns an `Option`, and `None` skips the test.
///
/// See the [crate's page](crate) for examples.
#[macro_export]
macro_rules! conformance {
    ($(#[$attribute:meta])* $name:ident, optional $factory:expr $(,)?) => {
        $crate::__cloakroom_suite! { [$(#[$attribute])*] $name, run_optional, $factory }
    };
    ($(#[$attribute:meta])* $name:ident, $factory:expr $(,)?) => {
        $crate::__cloakroom_suite! { [$(#[$attribute])*] $name, run, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cloakroom_suite {
    ([$($attribute:tt)*] $name:ident, $run:ident, $factory:expr) => {
        $($attribute)*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn conforms(case: &str) {
                $crate::$run(case, $factory);
            }

            $crate::__cloakroom_cases! { [$crate::__cloakroom_tests] }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __cloakroom_tests {
    ($($name:ident $clause:literal [$($need:ident)*])*) => {
        $(#[test]
        fn $name() {
            conforms(stringify!($name));
        })*
    };
}

//! Which of two records of one session comes after the other, and what follows for a copy.

use std::time::Duration;

use cloakroom_core::{Record, State, Timestamp, Touch, Version, Write};

/// The version of a tombstone: after the one it buries, without chance in it.
fn after(version: Version, now: Timestamp) -> Version {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Version::from_u64((version.as_u64() + 1).max(millis << 20))
}

/// When a version was chosen, if the clocks of writers agree.
fn chosen_at(version: Version) -> Timestamp {
    Timestamp::from_millis(i64::try_from(version.as_u64() >> 20).unwrap_or(i64::MAX))
}

/// Whether nobody reports success for a parallel write of that record any more.
pub(crate) fn is_settled(record: &Record, now: Timestamp, patience: Duration) -> bool {
    now >= chosen_at(record.version) + patience.saturating_mul(2)
}

/// Whether there is time enough for others to see that a parallel write of it is under way.
pub(crate) fn is_fresh(record: &Record, now: Timestamp, patience: Duration) -> bool {
    now < chosen_at(record.version) + patience
}

/// The tombstone of a record. It stays until the session would have ended, and the lifetime on top, so that no old
/// copy outlives it; born after the record, so that nothing of the same life does.
pub(crate) fn tombstone(of: &Record, now: Timestamp, lifetime: Duration) -> Record {
    let born = now.max(of.created_at + Duration::from_millis(1));
    let end = of.expires_at.map_or(now, |at| at.max(now)) + lifetime;
    Record::ended(born, end).with_accessed_at(now).with_version(after(of.version, now))
}

/// Whether the live record began after the marker: the name was used again.
pub(crate) fn outlives(live: &Record, marker: &Record) -> bool {
    let tie = marker.state == State::Ended && live.version > marker.version;
    live.created_at > marker.created_at || (live.created_at == marker.created_at && tie)
}

/// Whether `new` takes the place of `old` where both are known to come from the authority.
pub(crate) fn supersedes(new: &Record, old: &Record) -> bool {
    match (new.is_live(), old.is_live()) {
        (true, false) => outlives(new, old),
        (false, true) => !outlives(old, new),
        _ => new.version >= old.version,
    }
}

/// What makes a copy agree with the authority.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Agreed,
    Extend(Touch),
    /// The copy was extended, and the authority was not: a former one decided it.
    Return(Touch),
    Place(Record, Write),
    /// A write may be under way.
    Wait,
}

/// What to do with a copy that holds `there`, which was read before the authority's `truth`.
pub(crate) fn step(
    truth: Option<&Record>,
    there: Option<&Record>,
    is_settled: impl Fn(&Record) -> bool,
    bury: impl Fn(&Record) -> Record,
) -> Step {
    match (truth, there) {
        (None, Some(there)) if there.is_live() => {
            if is_settled(there) {
                Step::Place(bury(there), Write::update(there.version))
            } else {
                Step::Wait
            }
        }
        (None, _) => Step::Agreed,
        (Some(truth), None) => Step::Place(truth.clone(), Write::newer()),
        (Some(truth), Some(there)) if truth.version == there.version && truth.state == there.state => {
            match truth.expires_at {
                Some(end) if truth.is_live() && there.expires_at.is_some_and(|at| at < end) => {
                    Step::Extend(Touch::new(truth.version, end))
                }
                Some(end) if truth.is_live() => match there.expires_at.filter(|at| *at > end) {
                    Some(later) => Step::Return(Touch::new(truth.version, later)),
                    None => Step::Agreed,
                },
                _ => Step::Agreed,
            }
        }
        (Some(truth), Some(there)) if there.is_live() => {
            if !truth.is_live() || truth.version > there.version || is_settled(there) {
                Step::Place(truth.clone(), Write::update(there.version))
            } else {
                Step::Wait
            }
        }
        (Some(truth), Some(_)) => {
            // A name that is used again, or what a former authority did and nobody heard of. Of two markers any will do.
            if truth.is_live() { Step::Place(truth.clone(), Write::overwrite()) } else { Step::Agreed }
        }
    }
}

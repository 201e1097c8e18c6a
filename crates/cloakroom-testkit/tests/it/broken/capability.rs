use cloakroom_testkit::core::{
    Capability, Cursor, ErrorKind, Filter, Limits, Mode, Page, Record, Result, Rotate, SessionBackend,
    SessionKey, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, refuse};

defect! {
    /// No defect: it can do little, says so, and refuses the rest.
    RefusesAloud {}
    capability |_this, inner| {
        inner.capability().with_enumerable(false).with_limits(false).with_revocable(false).with_versioned(false)
    }
    write |_this, inner, key, record, how| {
        if how.limits.is_none() && !matches!(how.mode, Mode::Update(_)) {
            return inner.write(key, record, how).await;
        }
        refuse(ErrorKind::Unsupported)
    }
    rotate |_this, inner, old, new, record, how| {
        if how.limits.is_none() { inner.rotate(old, new, record, how).await } else { refuse(ErrorKind::Unsupported) }
    }
    remove |_this, _inner, _key| { refuse(ErrorKind::Unsupported) }
    scan |_this, _inner, _filter, _after, _limit| { refuse(ErrorKind::Unsupported) }
    count |_this, _inner, _filter| { refuse(ErrorKind::Unsupported) }
    remove_all |_this, _inner, _filter| { refuse(ErrorKind::Unsupported) }
}

defect! { NotEnumerableInSilence {}
    capability |_this, inner| { inner.capability().with_enumerable(false) }
    scan |_this, _inner, _filter, _after, _limit| { Ok(Page::default()) }
    count |_this, _inner, _filter| { Ok(0) }
    remove_all |_this, _inner, _filter| { Ok(0) }
}

defect! { NoLimitsInSilence {}
    capability |_this, inner| { inner.capability().with_limits(false) }
    write |_this, inner, key, record, how| { inner.write(key, record, how.with_limits(Limits::none())).await }
}

defect! { NoScopesInSilence {}
    capability |_this, inner| { inner.capability().with_scopes(false) }
}

defect! { NotRevocableInSilence {}
    capability |_this, inner| { inner.capability().with_revocable(false) }
    remove |_this, _inner, _key| { Ok(false) }
}

defect! { NotVersionedInSilence {}
    capability |_this, inner| { inner.capability().with_versioned(false) }
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Update(_)) { Ok(key.unscoped()) } else { inner.write(key, record, how).await }
    }
}

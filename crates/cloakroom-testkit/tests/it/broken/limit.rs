use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_testkit::core::{
    ErrorKind, Filter, Limits, Mode, Owner, Record, Result, Rotate, Scope, SessionBackend, SessionKey, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, everything, refuse};

/// Whether the limits are reached, as seen by a query of its own.
async fn reached(
    inner: &Memory,
    scope: Option<&Scope>,
    owner: Option<&Owner>,
    limits: Limits,
) -> Result<bool> {
    let all = Filter::in_scope(scope);
    let over_scope = match limits.per_scope {
        Some(limit) => inner.count(&all).await? >= limit,
        None => false,
    };
    let over_owner = match (limits.per_owner, owner) {
        (Some(limit), Some(owner)) => inner.count(&all.with_owner(owner.clone())).await? >= limit,
        _ => false,
    };
    Ok(over_scope || over_owner)
}

defect! { LimitsAllowOneMore {}
    write |_this, inner, key, record, how| {
        how.limits.per_owner = how.limits.per_owner.map(|limit| limit + 1);
        how.limits.per_scope = how.limits.per_scope.map(|limit| limit + 1);
        inner.write(key, record, how).await
    }
    rotate |_this, inner, old, new, record, how| {
        how.limits.per_owner = how.limits.per_owner.map(|limit| limit + 1);
        how.limits.per_scope = how.limits.per_scope.map(|limit| limit + 1);
        inner.rotate(old, new, record, how).await
    }
}

defect! { LimitsCountAllScopes {}
    write |_this, inner, key, record, how| {
        if let (Mode::Create, Some(limit)) = (how.mode, how.limits.per_scope.or(how.limits.per_owner))
            && inner.count(&Filter::everywhere()).await? >= limit
        {
            return refuse(ErrorKind::QuotaExceeded);
        }
        inner.write(key, record, how).await
    }
}

defect! { LimitsCountTheDead { ever: AtomicU64 }
    write |this, inner, key, record, how| {
        if how.mode == Mode::Create
            && how.limits.per_owner.is_some_and(|limit| this.ever.load(Ordering::SeqCst) >= limit)
        {
            return refuse(ErrorKind::QuotaExceeded);
        }
        let key = inner.write(key, record, how).await?;
        this.ever.fetch_add(1, Ordering::SeqCst);
        Ok(key)
    }
    remove |this, inner, key| {
        let removed = inner.remove(key, cloakroom_testkit::core::Removal::Explicit).await?;
        this.ever.fetch_sub(u64::from(removed), Ordering::SeqCst);
        Ok(removed)
    }
}

defect! { LimitsOnCreateOnly {}
    write |_this, inner, key, record, how| {
        if how.mode != Mode::Create {
            how.limits = Limits::none();
        }
        inner.write(key, record, how).await
    }
}

defect! { LimitsOnEveryUpdate {}
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Update(_))
            && reached(inner, key.scope(), record.owner.as_ref(), how.limits).await?
        {
            return refuse(ErrorKind::QuotaExceeded);
        }
        inner.write(key, record, how).await
    }
}

defect! { LimitsCountTheRotated {}
    rotate |_this, inner, old, new, record, how| {
        if reached(inner, new.scope(), record.owner.as_ref(), how.limits).await? {
            return refuse(ErrorKind::QuotaExceeded);
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! { LimitsNotOnRotate {}
    rotate |_this, inner, old, new, record, how| {
        how.limits = Limits::none();
        inner.rotate(old, new, record, how).await
    }
}

defect! { LimitsIgnoreCase {}
    write |_this, inner, key, record, how| {
        let lower = |owner: &Option<Owner>| owner.as_ref().map(|owner| owner.as_str().to_lowercase());
        let same = everything(inner).await?.iter().filter(|entry| lower(&entry.record.owner) == lower(&record.owner)).count();
        if how.limits.per_owner.is_some_and(|limit| same as u64 >= limit) {
            return refuse(ErrorKind::QuotaExceeded);
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// Counts, then writes.
    LimitsCheckThenAct {}
    write |_this, inner, key, record, how| {
        if reached(inner, key.scope(), record.owner.as_ref(), how.limits).await? {
            return refuse(ErrorKind::QuotaExceeded);
        }
        tokio::task::yield_now().await;
        how.limits = Limits::none();
        inner.write(key, record, how).await
    }
    rotate |_this, inner, old, new, record, how| {
        if reached(inner, new.scope(), record.owner.as_ref(), how.limits).await? {
            return refuse(ErrorKind::QuotaExceeded);
        }
        tokio::task::yield_now().await;
        how.limits = Limits::none();
        inner.rotate(old, new, record, how).await
    }
}

defect! {
    /// Takes a place first, and keeps it when the future is dropped.
    LimitsLeakPlaces { places: Mutex<HashMap<Option<Owner>, u64>> }
    write |this, inner, key, record, how| {
        let limit = how.limits.per_owner.unwrap_or(u64::MAX);
        {
            let mut places = this.places.lock().expect("no panic under the lock");
            let taken = places.entry(record.owner.clone()).or_default();
            if *taken >= limit {
                return refuse(ErrorKind::QuotaExceeded);
            }
            *taken += 1;
        }
        tokio::task::yield_now().await;
        inner.write(key, record, how).await
    }
    remove |this, inner, key| {
        let owner = inner.read(key).await?.and_then(|there| there.owner);
        let removed = inner.remove(key, cloakroom_testkit::core::Removal::Explicit).await?;
        if removed && let Some(taken) = this.places.lock().expect("no panic under the lock").get_mut(&owner) {
            *taken -= 1;
        }
        Ok(removed)
    }
}

use std::collections::HashMap;
use std::sync::Mutex;

use cloakroom_testkit::core::{
    Filter, Record, Removal, Result, ScopeFilter, SessionBackend, SessionId, SessionKey, Timestamp, Touch,
    Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, erase, everything};

defect! { RemoveAlwaysSaysYes {}
    remove |_this, inner, key| { inner.remove(key, Removal::Explicit).await.map(|_| true) }
}

defect! { RemoveAlwaysSaysNo {}
    remove |_this, inner, key| { inner.remove(key, Removal::Explicit).await.map(|_| false) }
}

defect! { RemoveOnlySaysSo {}
    remove |_this, inner, key| { Ok(inner.read(key).await?.is_some_and(|there| there.is_live())) }
}

defect! { RemoveTakesMarkers {}
    remove |_this, inner, key| {
        if inner.read(key).await?.is_some_and(|there| !there.is_live()) {
            erase(inner, key).await?;
        }
        inner.remove(key, Removal::Explicit).await
    }
}

defect! { RemoveIgnoresScopes {}
    remove |_this, inner, key| {
        let mut removed = false;
        for entry in everything(inner).await?.iter().filter(|entry| entry.id == key.id()) {
            removed |= inner.remove(&entry.address(), Removal::Explicit).await?;
        }
        Ok(removed)
    }
}

defect! {
    /// The next record under the key inherits the owner.
    RemoveForgetsTheIndex { owners: Mutex<HashMap<SessionId, Record>> }
    remove |this, inner, key| {
        if let Some(there) = inner.read(key).await? {
            this.owners.lock().expect("no panic under the lock").insert(key.id(), there);
        }
        inner.remove(key, Removal::Explicit).await
    }
    count |this, inner, filter| {
        let left = this.owners.lock().expect("no panic under the lock").values().filter(|there| filter.owner.is_some() && there.owner == filter.owner).count();
        Ok(inner.count(filter).await? + left as u64)
    }
}

defect! { RemoveAllIgnoresTheException {}
    remove_all |_this, inner, filter| {
        let mut filter = filter.clone();
        filter.except = None;
        inner.remove_all(&filter, Removal::Revoked).await
    }
}

defect! { RemoveAllIgnoresScopes {}
    remove_all |_this, inner, filter| {
        let mut filter = filter.clone();
        filter.scope = ScopeFilter::Any;
        inner.remove_all(&filter, Removal::Revoked).await
    }
}

defect! { RemoveAllIgnoresOwners {}
    remove_all |_this, inner, filter| {
        let mut filter = filter.clone();
        filter.owner = None;
        inner.remove_all(&filter, Removal::Revoked).await
    }
}

defect! { RemoveAllEndsAfterOneBatch {}
    remove_all |_this, inner, filter| {
        let page = inner.scan(filter, None, 1_000).await?;
        for entry in &page.entries {
            inner.remove(&entry.address(), Removal::Revoked).await?;
        }
        Ok(page.entries.len() as u64)
    }
}

defect! {
    /// Counts and takes markers.
    RemoveAllTakesMarkers { markers: Mutex<Vec<SessionKey>> }
    write |this, inner, key, record, how| {
        if !record.is_live() {
            this.markers.lock().expect("no panic under the lock").push(key.clone());
        }
        inner.write(key, record, how).await
    }
    remove_all |this, inner, filter| {
        let markers: Vec<_> = this.markers.lock().expect("no panic under the lock").drain(..).collect();
        for marker in &markers {
            erase(inner, marker).await?;
        }
        Ok(inner.remove_all(filter, Removal::Revoked).await? + markers.len() as u64)
    }
}

defect! { SweepMiscounts {}
    sweep |_this, inner, limit| { inner.sweep(limit).await.map(|swept| swept.saturating_sub(1)) }
}

defect! { SweepIgnoresTheLimit {}
    sweep |_this, inner, _limit| { inner.sweep(usize::MAX).await }
}

defect! { SweepStopsAfterOneBatch { swept: Mutex<bool> }
    sweep |this, inner, limit| {
        let stop = std::mem::replace(&mut *this.swept.lock().expect("no panic under the lock"), true);
        if stop { Ok(0) } else { inner.sweep(limit).await }
    }
}

defect! { SweepTakesWhatEndsSoon {}
    sweep |_this, inner, limit| {
        let soon = inner.clock().now() + std::time::Duration::from_secs(2);
        for entry in everything(inner).await?.iter().filter(|entry| entry.record.is_expired(soon)) {
            inner.remove(&entry.address(), Removal::Expired).await?;
        }
        inner.sweep(limit).await
    }
}

defect! {
    /// The index of ends learns nothing of touches and updates.
    SweepTrustsTheFirstEnd { ends: Mutex<Vec<(SessionKey, Timestamp)>> }
    write |this, inner, key, record, how| {
        if let (Some(end), None) = (record.expires_at, inner.read(key).await?) {
            this.ends.lock().expect("no panic under the lock").push((key.clone(), end));
        }
        inner.write(key, record, how).await
    }
    sweep |this, inner, limit| {
        let now = inner.clock().now();
        let ended: Vec<_> = this.ends.lock().expect("no panic under the lock").extract_if(.., |(_, end)| *end <= now).collect();
        for (key, _) in &ended {
            erase(inner, key).await?;
        }
        inner.sweep(limit).await
    }
}

defect! { TouchDoesNotReachTheSweep { touched: Mutex<Vec<SessionKey>> }
    touch |this, inner, key, how| {
        this.touched.lock().expect("no panic under the lock").push(key.clone());
        inner.touch(key, how).await
    }
    sweep |this, inner, limit| {
        let touched: Vec<_> = this.touched.lock().expect("no panic under the lock").drain(..).collect();
        for key in &touched {
            inner.remove(key, Removal::Expired).await?;
        }
        inner.sweep(limit).await
    }
}

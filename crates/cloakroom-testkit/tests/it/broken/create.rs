use std::collections::HashSet;
use std::sync::Mutex;

use cloakroom_testkit::core::{
    ErrorKind, Mode, Record, Result, Rotate, SessionBackend, SessionId, SessionKey, State, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, refuse};

defect! { CreateUpserts {}
    write |_this, inner, key, record, how| {
        if how.mode == Mode::Create {
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! { CreateReplacesMarkers {}
    write |_this, inner, key, record, how| {
        if how.mode == Mode::Create && inner.read(key).await?.is_some_and(|there| !there.is_live()) {
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// A unique index knows no expiry.
    ExpiredIsInTheWay { ids: Mutex<HashSet<SessionId>> }
    write |this, inner, key, record, how| {
        let known = !this.ids.lock().expect("no panic under the lock").insert(key.id());
        if known && how.mode == Mode::Create {
            return refuse(ErrorKind::AlreadyExists);
        }
        inner.write(key, record, how).await
    }
    rotate |this, inner, old, new, record, how| {
        if !this.ids.lock().expect("no panic under the lock").insert(new.id()) {
            return refuse(ErrorKind::AlreadyExists);
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! { OverwriteYieldsToNewer {}
    write |_this, inner, key, record, how| {
        if how.mode == Mode::Overwrite {
            how.mode = Mode::Newer;
        }
        inner.write(key, record, how).await
    }
}

defect! { NewerNeedsSomethingOlder {}
    write |_this, inner, key, record, how| {
        if how.mode == Mode::Newer && inner.read(key).await?.is_none() {
            return refuse(ErrorKind::Gone);
        }
        inner.write(key, record, how).await
    }
}

defect! { NewerComparesTexts {}
    write |_this, inner, key, record, how| {
        if let (Mode::Newer, Some(there)) = (how.mode, inner.read(key).await?)
            && there.version != record.version
            && there.state != State::Ended
        {
            if there.version.as_u64().to_string() > record.version.as_u64().to_string() {
                return refuse(ErrorKind::Conflict);
            }
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! { NewerRefusesTheSame {}
    write |_this, inner, key, record, how| {
        if let (Mode::Newer, Some(there)) = (how.mode, inner.read(key).await?)
            && there.version == record.version
        {
            return refuse(ErrorKind::Conflict);
        }
        inner.write(key, record, how).await
    }
}

defect! { NewerComparesNothing {}
    write |_this, inner, key, record, how| {
        if how.mode == Mode::Newer && inner.read(key).await?.is_some_and(|there| there.state != State::Ended) {
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! { NewerRevivesTheBuried {}
    write |_this, inner, key, record, how| {
        if let (Mode::Newer, Some(there)) = (how.mode, inner.read(key).await?)
            && there.state == State::Ended
            && there.version < record.version
        {
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! { HintForCachesEndsTheRecord {}
    write |_this, inner, key, record, how| {
        if let Some(ttl) = how.hot_ttl {
            record.expires_at = Some(inner.clock().now() + ttl);
        }
        inner.write(key, record, how).await
    }
}

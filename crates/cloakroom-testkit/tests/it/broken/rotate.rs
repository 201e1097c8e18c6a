use cloakroom_testkit::core::{
    Capability, Clock, ErrorKind, InMemorySessionBackend, Record, Result, Rotate, SessionBackend, SessionKey,
    Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, erase, refuse};

defect! {
    /// Both keys open the session: fixation stays possible.
    RotateLeavesTheOldKey {}
    rotate |_this, inner, old, new, record, how| {
        let before = inner.read(old).await?;
        how.trail = None;
        let key = inner.rotate(old, new, record, how).await?;
        if let Some(before) = before {
            inner.write(old, before, Write::overwrite()).await?;
        }
        Ok(key)
    }
}

defect! { RotateForgetsTheTrail {}
    rotate |_this, inner, old, new, record, how| {
        how.trail = None;
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateAlwaysLeavesATrail {}
    rotate |_this, inner, old, new, record, how| {
        let now = inner.clock().now();
        let trail = Record::moved(new.id(), now, now + std::time::Duration::from_secs(60));
        how.trail.get_or_insert(trail);
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateLeavesAnEndlessTrail {}
    rotate |_this, inner, old, new, record, how| {
        how.trail = how.trail.map(|trail| trail.with_expires_at(None));
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateStartsANewLife {}
    rotate |_this, inner, old, new, record, how| {
        record.created_at = inner.clock().now();
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateUpserts {}
    rotate |_this, inner, old, new, record, how| {
        if inner.read(old).await?.is_none() {
            return inner.write(new, record, Write::create()).await;
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateMovesMarkers {}
    rotate |_this, inner, old, new, record, how| {
        if inner.read(old).await?.is_some_and(|there| !there.is_live()) {
            return inner.write(new, record, Write::create()).await;
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateComparesNothing {}
    rotate |_this, inner, old, new, record, how| {
        if let Some(there) = inner.read(old).await? {
            how.expected = there.version;
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! { RotateReplacesTheNewKey {}
    rotate |_this, inner, old, new, record, how| {
        if old != new {
            erase(inner, new).await?;
        }
        inner.rotate(old, new, record, how).await
    }
}

defect! {
    /// Only `write` knows of the largest payload.
    RotateTakesAnySize {}
    make |_this, clock| {
        InMemorySessionBackend::builder().with_clock(clock.clone()).with_max_payload(1 << 30).build()
    }
    capability |_this, inner| { inner.capability().with_max_payload(1 << 20) }
    write |_this, inner, key, record, how| {
        if record.payload.len() > 1 << 20 {
            return refuse(ErrorKind::TooLarge);
        }
        inner.write(key, record, how).await
    }
}

defect! { RotateLosesTheOwner {}
    rotate |_this, inner, old, new, record, how| {
        record.owner = inner.read(old).await?.and_then(|there| there.owner);
        inner.rotate(old, new, record, how).await
    }
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom_testkit::core::{
    Cursor, ErrorKind, Filter, Limits, Mode, Page, Record, Removal, Result, Rotate, SessionBackend,
    SessionKey, Timestamp, Touch, Write,
};
use futures_util::future::BoxFuture;
use tokio::task::yield_now;

use super::defect::{Memory, erase, refuse};

defect! {
    /// Reads, compares, then writes.
    WriteChecksThenActs {}
    write |_this, inner, key, record, how| {
        let there = inner.read(key).await?;
        match (how.mode, there) {
            (Mode::Create, Some(_)) => return refuse(ErrorKind::AlreadyExists),
            (Mode::Update(expected), Some(there)) if there.is_live() && there.version == expected => {}
            (Mode::Update(_), Some(there)) if there.is_live() => return refuse(ErrorKind::Conflict),
            (Mode::Update(_), _) => return refuse(ErrorKind::Gone),
            _ => {}
        }
        yield_now().await;
        inner.write(key, record, Write::overwrite().with_limits(how.limits)).await
    }
}

defect! { TouchReadsThenWrites {}
    touch |_this, inner, key, how| {
        let Some(mut there) = inner.read(key).await?.filter(Record::is_live) else { return Ok(None) };
        if there.version == how.version {
            there.accessed_at = inner.clock().now();
            there.expires_at = there.expires_at.map(|end| end.max(how.expires_at));
            yield_now().await;
            inner.write(key, there, Write::overwrite()).await?;
        }
        Ok(Some(key.unscoped()))
    }
}

defect! { TouchInTwoSteps {}
    touch |_this, inner, key, how| {
        inner.touch(key, Touch::new(how.version, Timestamp::from_millis(0))).await?;
        yield_now().await;
        inner.touch(key, how).await
    }
}

defect! { WriteInTwoSteps {}
    write |_this, inner, key, record, how| {
        let mut half = record.clone();
        half.payload.truncate(record.payload.len() / 2);
        let key = inner.write(key, half, how).await?;
        yield_now().await;
        inner.write(&key, record, Write::overwrite()).await
    }
}

defect! { WriteDeletesFirst {}
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Overwrite | Mode::Newer) {
            erase(inner, key).await?;
            yield_now().await;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// The new key first, then the old one.
    RotateInTwoSteps {}
    rotate |_this, inner, old, new, record, how| {
        let Some(there) = inner.read(old).await?.filter(Record::is_live) else {
            return refuse(ErrorKind::Gone);
        };
        if there.version != how.expected {
            return refuse(ErrorKind::Conflict);
        }
        let key = inner.write(new, record, Write::create().with_limits(Limits::none())).await?;
        yield_now().await;
        match how.trail {
            Some(trail) => drop(inner.write(old, trail, Write::overwrite()).await?),
            None => drop(inner.remove(old, Removal::Rotated).await.map(drop)?),
        }
        Ok(key)
    }
}

defect! { RemoveInTwoSteps {}
    remove |_this, inner, key| {
        let Some(mut there) = inner.read(key).await?.filter(Record::is_live) else { return Ok(false) };
        there.payload.clear();
        inner.write(key, there, Write::overwrite()).await?;
        yield_now().await;
        inner.remove(key, Removal::Explicit).await
    }
    remove_all |_this, inner, filter| {
        let entries = inner.scan(filter, None, 1_000_000).await?.entries;
        let mut removed = 0;
        for entry in &entries {
            inner.write(&entry.address(), entry.record.clone(), Write::overwrite()).await?;
            yield_now().await;
            removed += u64::from(inner.remove(&entry.address(), Removal::Revoked).await?);
        }
        Ok(removed)
    }
}

defect! {
    /// What is rotated between the list and its end escapes.
    RemoveAllListsThenRemoves {}
    remove_all |_this, inner, filter| {
        let entries = inner.scan(filter, None, 1_000_000).await?.entries;
        for entry in &entries {
            yield_now().await;
            inner.remove(&entry.address(), Removal::Revoked).await?;
        }
        Ok(entries.len() as u64)
    }
}

defect! {
    /// Deletes by key what had expired when it looked, also when it was interrupted.
    SweepListsThenDeletes { ends: Mutex<Vec<(SessionKey, Timestamp)>>, doomed: Mutex<Vec<SessionKey>> }
    write |this, inner, key, record, how| {
        let end = record.expires_at;
        let written = inner.write(key, record, how).await?;
        let mut ends = this.ends.lock().expect("no panic under the lock");
        ends.retain(|(known, _)| known != key);
        ends.extend(end.map(|end| (key.clone(), end)));
        Ok(written)
    }
    sweep |this, inner, _limit| {
        let now = inner.clock().now();
        let ended = this.ends.lock().expect("no panic under the lock").extract_if(.., |(_, end)| *end <= now).collect::<Vec<_>>();
        this.doomed.lock().expect("no panic under the lock").extend(ended.into_iter().map(|(key, _)| key));
        yield_now().await;
        let doomed: Vec<_> = this.doomed.lock().expect("no panic under the lock").drain(..).collect();
        for key in &doomed {
            erase(inner, key).await?;
        }
        Ok(doomed.len() as u64)
    }
}

defect! {
    /// A dropped read leaves its answer on the connection, for the next one.
    ReadLeavesItsAnswer { waiting: Mutex<Option<Option<Record>>> }
    read |this, inner, key| {
        let waiting = this.waiting.lock().expect("no panic under the lock").take();
        if let Some(answer) = waiting {
            return Ok(answer);
        }
        let answer = inner.read(key).await?;
        *this.waiting.lock().expect("no panic under the lock") = Some(answer.clone());
        yield_now().await;
        this.waiting.lock().expect("no panic under the lock").take();
        Ok(answer)
    }
}

defect! {
    /// A dropped scan never gives its connection back.
    ScanKeepsItsConnection { busy: AtomicBool }
    scan |this, inner, filter, after, limit| {
        if this.busy.swap(true, Ordering::SeqCst) {
            return refuse(ErrorKind::Unavailable);
        }
        yield_now().await;
        this.busy.store(false, Ordering::SeqCst);
        inner.scan(filter, after, limit).await
    }
}

use std::sync::Mutex;
use std::time::Duration;

use cloakroom_testkit::core::{
    Clock, ErrorKind, ManualClock, Record, Result, SessionBackend, SessionId, SessionKey, State, Timestamp,
    Version, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, refuse};

defect! { ReadCreates {}
    read |_this, inner, key| {
        if inner.read(key).await?.is_none() {
            inner.write(key, Record::new("{}", inner.clock().now()), Write::create()).await?;
            return Ok(None);
        }
        inner.read(key).await
    }
}

defect! { LosesCreation {}
    write |_this, inner, key, record, how| {
        record.created_at = inner.clock().now();
        inner.write(key, record, how).await
    }
}

defect! { RoundsTimesToSeconds {}
    write |_this, inner, key, record, how| {
        let round = |time: Timestamp| Timestamp::from_millis(time.as_millis().div_euclid(1_000) * 1_000);
        record.created_at = round(record.created_at);
        record.accessed_at = round(record.accessed_at);
        record.expires_at = record.expires_at.map(round);
        inner.write(key, record, how).await
    }
}

defect! {
    /// A record lives up to and including its end.
    EndsOneMillisecondLate { lag: ManualClock }
    make |this, _clock| { Memory::with_clock(this.lag.clock()) }
    before |this, clock| { this.lag.set(clock.now() - Duration::from_millis(1)) }
}

defect! {
    /// "0 = for ever."
    EndedMeansEndless {}
    write |_this, inner, key, record, how| {
        if record.is_expired(inner.clock().now()) {
            record.expires_at = None;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// Time passes with the sweeper only.
    EndsWhenSwept { stopped: ManualClock, real: Mutex<Option<Clock>> }
    make |this, clock| {
        *this.real.lock().expect("no panic under the lock") = Some(clock.clone());
        Memory::with_clock(this.stopped.clock())
    }
    sweep |this, inner, limit| {
        let now = this.real.lock().expect("no panic under the lock").as_ref().map(Clock::now).unwrap_or_default();
        this.stopped.set(now);
        inner.sweep(limit).await
    }
}

defect! { GivesEveryRecordAnEnd {}
    write |_this, inner, key, record, how| {
        record.expires_at.get_or_insert(inner.clock().now() + Duration::from_secs(14 * 86_400));
        inner.write(key, record, how).await
    }
}

defect! { HidesMarkers {}
    read |_this, inner, key| { Ok(inner.read(key).await?.filter(Record::is_live)) }
}

defect! { TakesTombstonesForTrails {}
    write |_this, inner, key, record, how| {
        if record.state == State::Ended {
            record.state = State::Moved;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// Files sessions under what the client sends.
    TakesIdsForKeys {}
    read |_this, inner, key| {
        match key.expose().parse::<SessionId>() {
            Ok(id) if inner.read(key).await?.is_none() => inner.read(&SessionKey::from_id(id)).await,
            _ => inner.read(key).await,
        }
    }
}

defect! { IgnoresAddresses {}
    read |_this, inner, key| { if key.is_address() { Ok(None) } else { inner.read(key).await } }
}

defect! { RefusesLongNames {}
    write |_this, inner, key, record, how| {
        if key.expose().len() > 255 {
            return refuse(ErrorKind::InvalidKey);
        }
        inner.write(key, record, how).await
    }
}

defect! { ReturnsScopedKeys {}
    write |_this, inner, key, record, how| { inner.write(key, record, how).await.map(|_| key.clone()) }
}

defect! { KeepsLowHalfOfVersions {}
    write |_this, inner, key, record, how| {
        record.version = Version::from_u64(record.version.as_u64() & 0xFFFF_FFFF);
        inner.write(key, record, how).await
    }
}

defect! { KeepsVersionsAsFloats {}
    write |_this, inner, key, record, how| {
        record.version = Version::from_u64(record.version.as_u64() as f64 as u64);
        inner.write(key, record, how).await
    }
}

defect! {
    /// Asks the clock of the machine, or of the database.
    AsksAnotherClock {}
    make |_this, _clock| { Memory::with_clock(Clock::system()) }
}

defect! {
    /// Takes a moment before 1970 for one far ahead.
    TakesTimesAsUnsigned {}
    write |_this, inner, key, record, how| {
        record.expires_at = record.expires_at.map(|end| if end.as_millis() < 0 { Timestamp::MAX } else { end });
        inner.write(key, record, how).await
    }
}

defect! {
    /// Takes the latest moment it ever saw for now.
    ClockNeverStepsBack { latest: ManualClock }
    make |this, clock| {
        this.latest.set(clock.now());
        Memory::with_clock(this.latest.clock())
    }
    before |this, clock| { this.latest.set(this.latest.now().max(clock.now())) }
}

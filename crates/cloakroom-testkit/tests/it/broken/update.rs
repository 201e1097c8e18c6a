use cloakroom_testkit::core::{
    ErrorKind, Mode, Record, Result, SessionBackend, SessionKey, State, Version, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, refuse};

defect! { UpdateKeepsTheOwner {}
    write |_this, inner, key, record, how| {
        if let (Mode::Update(_), Some(there)) = (how.mode, inner.read(key).await?) {
            record.owner = there.owner;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// Takes "no row changed" for "no row there".
    UpdateCountsChangedRows {}
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Update(_)) && inner.read(key).await?.as_ref() == Some(&record) {
            return refuse(ErrorKind::Gone);
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// `save` as an upsert: the bug of the field.
    UpdateUpserts {}
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Update(_)) && inner.read(key).await?.is_none() {
            how.mode = Mode::Create;
        }
        inner.write(key, record, how).await
    }
}

defect! { UpdateRevivesMarkers {}
    write |_this, inner, key, record, how| {
        let marker = inner.read(key).await?.is_some_and(|there| !there.is_live());
        if marker && matches!(how.mode, Mode::Update(_)) {
            how.mode = Mode::Overwrite;
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// The last writer wins.
    UpdateComparesNothing {}
    write |_this, inner, key, record, how| {
        if let (Mode::Update(_), Some(there)) = (how.mode, inner.read(key).await?) {
            how.mode = Mode::Update(there.version);
        }
        inner.write(key, record, how).await
    }
}

defect! { UpdateComparesLowHalf {}
    write |_this, inner, key, record, how| {
        if let (Mode::Update(expected), Some(there)) = (how.mode, inner.read(key).await?)
            && expected.as_u64() as u32 == there.version.as_u64() as u32
        {
            how.mode = Mode::Update(there.version);
        }
        inner.write(key, record, how).await
    }
}

defect! { UpdateWantsRisingVersions {}
    write |_this, inner, key, record, how| {
        if let (Mode::Update(expected), true) = (how.mode, record.version > Version::from_u64(0))
            && record.version < expected
        {
            return refuse(ErrorKind::Conflict);
        }
        inner.write(key, record, how).await
    }
}

defect! { UpdateStoresMarkersAsLive {}
    write |_this, inner, key, record, how| {
        if matches!(how.mode, Mode::Update(_)) {
            record.state = State::Live;
        }
        inner.write(key, record, how).await
    }
}

use cloakroom_testkit::core::{Record, Result, SessionBackend, SessionKey, Touch, Version, Write};
use futures_util::future::BoxFuture;

use super::defect::Memory;

defect! { TouchChangesTheVersion {}
    touch |_this, inner, key, how| {
        let touched = inner.touch(key, how).await?;
        if let Some(there) = inner.read(key).await?.filter(|there| touched.is_some() && there.version == how.version) {
            let version = Version::from_u64(there.version.as_u64() + 1);
            inner.write(key, there.with_version(version), Write::overwrite()).await?;
        }
        Ok(touched)
    }
}

defect! { TouchShortens {}
    touch |_this, inner, key, how| {
        let touched = inner.touch(key, how).await?;
        if let Some(there) = inner.read(key).await?.filter(|there| touched.is_some() && there.version == how.version) {
            inner.write(key, there.with_expires_at(Some(how.expires_at)), Write::overwrite()).await?;
        }
        Ok(touched)
    }
}

defect! { TouchComparesNothing {}
    touch |_this, inner, key, how| {
        if let Some(there) = inner.read(key).await? {
            how.version = there.version;
        }
        inner.touch(key, how).await
    }
}

defect! { TouchComparesLowHalf {}
    touch |_this, inner, key, how| {
        if let Some(there) = inner.read(key).await?
            && there.version.as_u64() as u32 == how.version.as_u64() as u32
        {
            how.version = there.version;
        }
        inner.touch(key, how).await
    }
}

defect! { TouchCreates {}
    touch |_this, inner, key, how| {
        if inner.read(key).await?.is_none() {
            let record = Record::new("", inner.clock().now()).with_expires_at(Some(how.expires_at));
            return inner.write(key, record, Write::create()).await.map(Some);
        }
        inner.touch(key, how).await
    }
}

defect! { TouchExtendsMarkers {}
    touch |_this, inner, key, how| {
        if let Some(marker) = inner.read(key).await?.filter(|there| !there.is_live()) {
            let extended = marker.with_expires_at(Some(how.expires_at));
            return inner.write(key, extended, Write::overwrite()).await.map(Some);
        }
        inner.touch(key, how).await
    }
}

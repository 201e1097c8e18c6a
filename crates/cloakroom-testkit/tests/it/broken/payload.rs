use cloakroom_testkit::core::{
    Capability, Clock, ErrorKind, InMemorySessionBackend, Record, Result, SessionBackend, SessionKey, Write,
};
use futures_util::future::BoxFuture;

use super::defect::{Memory, refuse};

defect! { EmptyPayloadBecomesAnObject {}
    write |_this, inner, key, record, how| {
        if record.payload.is_empty() {
            record.payload = "{}".into();
        }
        inner.write(key, record, how).await
    }
}

defect! { PayloadIsText {}
    write |_this, inner, key, record, how| {
        record.payload = String::from_utf8_lossy(&record.payload).into_owned().into();
        inner.write(key, record, how).await
    }
}

defect! { PayloadIsUnescaped {}
    write |_this, inner, key, record, how| {
        if let Ok(text) = std::str::from_utf8(&record.payload) {
            record.payload = text.replace("\\\\", "\\").into();
        }
        inner.write(key, record, how).await
    }
}

defect! { PayloadIsTruncated {}
    write |_this, inner, key, record, how| {
        record.payload.truncate(65_535);
        inner.write(key, record, how).await
    }
}

defect! { MaximumIsTooLarge {}
    write |_this, inner, key, record, how| {
        if record.payload.len() >= inner.capability().max_payload {
            return refuse(ErrorKind::TooLarge);
        }
        inner.write(key, record, how).await
    }
}

defect! {
    /// The error comes after the deed.
    TooLargeIsStored {}
    make |_this, clock| {
        InMemorySessionBackend::builder().with_clock(clock.clone()).with_max_payload(1 << 30).build()
    }
    capability |_this, inner| { inner.capability().with_max_payload(1 << 20) }
    write |_this, inner, key, record, how| {
        let large = record.payload.len() > 1 << 20;
        let key = inner.write(key, record, how).await?;
        if large { refuse(ErrorKind::TooLarge) } else { Ok(key) }
    }
}

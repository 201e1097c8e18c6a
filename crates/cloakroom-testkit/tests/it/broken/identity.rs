use cloakroom_testkit::core::{Clock, Record, Removal, Result, SessionBackend, SessionKey, Write};
use futures_util::future::BoxFuture;

use super::defect::Memory;

defect! { IgnoresScopes {}
    read |_this, inner, key| { inner.read(&key.unscoped()).await }
    write |_this, inner, key, record, how| { inner.write(&key.unscoped(), record, how).await }
    remove |_this, inner, key| { inner.remove(&key.unscoped(), Removal::Explicit).await }
}

/// What a collation without case takes an id for.
fn lowered(key: &SessionKey) -> SessionKey {
    SessionKey::from_name(&key.id().as_text().to_lowercase()).expect("a name")
}

defect! { IdsIgnoreCase {}
    read |_this, inner, key| { inner.read(&lowered(key)).await }
    write |_this, inner, key, record, how| { inner.write(&lowered(key), record, how).await }
    remove |_this, inner, key| { inner.remove(&lowered(key), Removal::Explicit).await }
}

defect! { CloneStartsEmpty { clock: std::sync::Mutex<Clock> }
    make |this, clock| {
        *this.clock.lock().expect("no panic under the lock") = clock.clone();
        Memory::with_clock(clock.clone())
    }
    twin |this, _inner| { Memory::with_clock(this.clock.lock().expect("no panic under the lock").clone()) }
}

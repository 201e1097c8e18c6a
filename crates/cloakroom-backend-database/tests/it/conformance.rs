//! The whole contract, on every database.

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use std::sync::atomic::{AtomicU32, Ordering};

    use cloakroom_backend_database::DatabaseSessionBackend;

    cloakroom_testkit::conformance!(sqlite_memory, |clock| async move {
        let builder = DatabaseSessionBackend::builder("sqlite::memory:").with_clock(clock);
        let backend = builder.connect().await.expect("a database in memory");
        backend.migrate().await.expect("tables");
        backend
    });

    cloakroom_testkit::conformance!(sqlite_file, |clock| async move {
        // The folder goes with the process: what is in it is open until then.
        static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let file = folder.path().join(format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed)));
        let url = format!("sqlite:{}", file.display());
        let backend =
            DatabaseSessionBackend::builder(&url).with_clock(clock).connect().await.expect("a file");
        backend.migrate().await.expect("tables");
        backend
    });
}

//! The whole contract, on every database.

cloakroom_testkit::conformance!(sqlite_memory, |clock| crate::place::backend("sqlite::memory:", clock));

cloakroom_testkit::conformance!(sqlite_file, |clock| async move {
    crate::place::backend(&crate::place::file_url(), clock).await
});

cloakroom_testkit::conformance!(
    postgres,
    optional
        | clock
        | async move { Some(crate::place::backend(&crate::place::postgres_url().await?, clock).await) }
);

cloakroom_testkit::conformance!(
    mariadb,
    optional
        | clock
        | async move { Some(crate::place::backend(&crate::place::mariadb_url().await?, clock).await) }
);

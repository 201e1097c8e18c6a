use cloakroom::prelude::*;

async fn message(url: &str) -> String {
    let error = cloakroom::connect(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    shown
}

#[tokio::test]
async fn connect_to_memory_gives_a_store_of_its_own_each_time() {
    for url in ["memory:", "MEMORY:", "memory://"] {
        let backend = cloakroom::connect(url).await.unwrap();
        backend.save("a", &1, None).await.unwrap();
        assert_eq!(backend.clone().load::<i32>("a").await.unwrap(), Some(1));
        let other = cloakroom::connect(url).await.unwrap();
        assert_eq!(other.load::<i32>("a").await.unwrap(), None);
    }
    assert!(message("memory:somewhere").await.contains("nothing behind"));
}

#[tokio::test]
async fn connect_to_an_unknown_scheme_lists_the_known_ones_and_shows_no_secret() {
    for url in
        ["", "hunter2", "hunter2:x", "mongodb://u:hunter2@h/d", ":hunter2", "postgresql//u:hunter2@h/d"]
    {
        let message = message(url).await;
        let known = "memory:, sqlite:, postgres:, postgresql:, mysql:, mariadb:, file:, cookie:, jwt:";
        assert!(message.contains(known), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[cfg(not(any(
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "file",
    feature = "cookie",
    feature = "jwt"
)))]
#[tokio::test]
async fn connect_without_the_feature_names_the_feature_and_shows_no_secret() {
    for (url, feature) in [
        ("sqlite:hunter2", "\"sqlite\""),
        ("postgres://u:hunter2@h/d", "\"postgres\""),
        ("postgresql://u:hunter2@h/d", "\"postgres\""),
        ("mysql://u:hunter2@h/d", "\"mysql\""),
        ("mariadb://u:hunter2@h/d", "\"mysql\""),
        ("file:hunter2", "\"file\""),
        ("cookie:?passphrase=hunter2", "\"cookie\""),
        ("jwt:?key=hunter2", "\"jwt\""),
    ] {
        let message = message(url).await;
        assert!(message.contains(feature) && !message.contains("hunter2"), "{message}");
    }
}

// F81
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn connect_to_sqlite_creates_its_tables_and_finds_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let backend = cloakroom::connect(&url).await.unwrap();
    backend.save("a", &1, None).await.unwrap();
    drop(backend);
    let backend = cloakroom::connect(&url).await.unwrap();
    assert_eq!(backend.load::<i32>("a").await.unwrap(), Some(1));
    assert!(cloakroom::connect("sqlite::memory:").await.unwrap().is_healthy().await);
}

// F81: every spelling of a scheme that a server's URL may have.
#[cfg(all(feature = "postgres", feature = "mysql"))]
#[tokio::test]
async fn connect_to_a_server_creates_its_tables() {
    for (service, schemes) in [("postgres", ["postgres", "postgresql"]), ("mariadb", ["mysql", "mariadb"])] {
        let Some(url) = cloakroom_testkit::service(service) else { continue };
        let rest = url.split_once(':').unwrap().1;
        for scheme in schemes {
            let backend = cloakroom::connect(&format!("{scheme}:{rest}")).await.unwrap();
            backend.save(&format!("facade {scheme}"), &1, Some(60)).await.unwrap();
            assert!(backend.exists(&format!("facade {scheme}")).await.unwrap());
        }
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
#[tokio::test]
async fn connect_to_a_server_that_is_not_there_shows_no_secret() {
    for url in ["postgres://u:hunter2@127.0.0.1:1/d", "mysql://u:hunter2@127.0.0.1:1/d"] {
        if let Err(error) = cloakroom::connect(url).await {
            assert!(!format!("{error} {error:?} {error:#?}").contains("hunter2"));
        }
    }
}

// F81
#[cfg(feature = "file")]
#[tokio::test]
async fn connect_to_a_folder_creates_it_and_finds_its_sessions_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}?durability=none", folder.path().join("sessions").display());
    let backend = cloakroom::connect(&url).await.unwrap();
    backend.save("a", &1, None).await.unwrap();
    drop(backend);
    let backend = cloakroom::connect(&url).await.unwrap();
    assert_eq!(backend.load::<i32>("a").await.unwrap(), Some(1));
    assert!(message("file:hunter2?durability=some").await.contains("durability"));
}

// F81: the session goes to the client and comes back; another process needs the key only.
#[cfg(any(feature = "cookie", feature = "jwt"))]
#[tokio::test]
async fn connect_to_client_side_sessions_opens_what_the_same_key_sealed() {
    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    const OTHER: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
    for scheme in ["cookie", "jwt"] {
        if (scheme == "cookie" && !cfg!(feature = "cookie")) || (scheme == "jwt" && !cfg!(feature = "jwt")) {
            continue;
        }
        let connect = async |key: &str| cloakroom::connect(&format!("{scheme}:?key={key}")).await.unwrap();
        let session = Session::new(connect(KEY).await);
        session.set("user", "ada").unwrap();
        session.save().await.unwrap();
        let value = session.key().unwrap().expose().to_owned();
        let again = Session::from_key(connect(KEY).await, &value).await.unwrap();
        assert_eq!(again.get::<String>("user").unwrap().as_deref(), Some("ada"));
        let foreign = Session::from_key(connect(OTHER).await, &value).await.unwrap();
        assert!(foreign.is_empty());
        let revocable = format!("{scheme}:?key={KEY}&revocation=memory%3A");
        let session = Session::new(cloakroom::connect(&revocable).await.unwrap());
        session.set("user", "ada").unwrap();
        session.save().await.unwrap();
        let copy = session.key().unwrap().expose().to_owned();
        session.flush().await.unwrap();
        let again = Session::from_key(session.backend().clone(), &copy).await.unwrap();
        assert!(again.is_empty(), "{scheme}: the copy is refused after the logout");
        for parameters in ["hunter2", &format!("{KEY}&revocation=hunter2:"), &format!("{KEY}&revocation=%hu")]
        {
            let message = message(&format!("{scheme}:?key={parameters}")).await;
            assert!(!message.contains("hunter2") && !message.contains(KEY), "{message}");
        }
    }
}

use cloakroom_core::{
    ErrorKind, InMemorySessionBackend, Result, SessionBackendExt, SessionError, SharedBackend,
};

/// What the features of this crate can connect to: schemes, the feature they need, and whether it is compiled in.
const KNOWN: [(&[&str], &str, bool); 7] = [
    (&["memory"], "", true),
    (&["sqlite"], "sqlite", cfg!(feature = "sqlite")),
    (&["postgres", "postgresql"], "postgres", cfg!(feature = "postgres")),
    (&["mysql", "mariadb"], "mysql", cfg!(feature = "mysql")),
    (&["file"], "file", cfg!(feature = "file")),
    (&["cookie"], "cookie", cfg!(feature = "cookie")),
    (&["jwt"], "jwt", cfg!(feature = "jwt")),
];

/// The backend that a URL names, ready to use: tables of databases and folders are created, or brought up to date.
///
/// | URL | feature | backend |
/// |---|---|---|
/// | `memory:` | | [`InMemorySessionBackend`] |
/// | `sqlite:sessions.db`, `sqlite::memory:` | `sqlite` | `DatabaseSessionBackend` |
/// | `postgres://user:password@host/database`, `postgresql:…` | `postgres` | `DatabaseSessionBackend` |
/// | `mysql://user:password@host/database`, `mariadb:…` | `mysql` | `DatabaseSessionBackend` |
/// | `file:`, `file:sessions`, `file:/var/lib/shop/sessions?durability=full` | `file` | `FileSessionBackend` |
/// | `cookie:?key=…&name=…`, `cookie:?key_file=…`, `cookie:?passphrase=…` | `cookie` | `CookieSessionBackend` |
/// | `jwt:?key=…&issuer=…&audience=…` | `jwt` | `JwtSessionBackend`, HS256 |
///
/// With the last two, `revocation=` and another of these URLs, percent-encoded, names the store that keeps which sessions
/// ended: `cookie:?key_file=keys&revocation=sqlite:ended.db`.
///
/// ```
/// use cloakroom::SessionBackendExt;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let backend = cloakroom::connect("memory:").await?;
/// backend.ping().await?;
/// # Ok::<(), cloakroom::SessionError>(()) }).unwrap();
/// ```
///
/// # Errors
/// `InvalidConfig` for a scheme that is not known, whose feature is not compiled in, or for what the backend cannot
/// make sense of; `Unavailable` when it cannot be reached. No error shows anything of the URL, which may hold a
/// password.
pub async fn connect(url: &str) -> Result<SharedBackend> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let scheme = scheme.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(schemes, ..)| schemes.contains(&scheme.as_str()));
    match known {
        None => Err(invalid(format!("no backend has such a URL; known are {}", schemes()))),
        Some((_, feature, false)) => {
            Err(invalid(format!("cloakroom was built without its feature \"{feature}\"")))
        }
        Some((_, feature, true)) => match *feature {
            "" if matches!(rest, "" | "//") => Ok(InMemorySessionBackend::new().shared()),
            "" => Err(invalid("memory: takes nothing behind the colon".to_owned())),
            #[cfg(feature = "file")]
            "file" => Ok(cloakroom_backend_file::FileSessionBackend::connect(url).await?.shared()),
            #[cfg(feature = "cookie")]
            "cookie" => {
                let (url, revocation) = client_side(&scheme, rest).await?;
                let backend = cloakroom_backend_cookie::CookieSessionBackend::connect(&url).await?;
                Ok(match revocation {
                    Some(store) => backend.with_revocation(store)?.shared(),
                    None => backend.shared(),
                })
            }
            #[cfg(feature = "jwt")]
            "jwt" => {
                let (url, revocation) = client_side(&scheme, rest).await?;
                let backend = cloakroom_backend_jwt::JwtSessionBackend::connect(&url).await?;
                Ok(match revocation {
                    Some(store) => backend.with_revocation(store)?.shared(),
                    None => backend.shared(),
                })
            }
            #[cfg(feature = "database")]
            _ => {
                let backend = cloakroom_backend_database::DatabaseSessionBackend::connect(url).await?;
                backend.migrate().await?;
                Ok(backend.shared())
            }
            #[cfg(not(feature = "database"))]
            other => Err(invalid(format!("cloakroom was built without its feature \"{other}\""))),
        },
    }
}

/// The URL without its parameter `revocation`, and the store which that names.
#[cfg(any(feature = "cookie", feature = "jwt"))]
async fn client_side(scheme: &str, rest: &str) -> Result<(String, Option<SharedBackend>)> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut kept, mut store) = (Vec::new(), None);
    for parameter in query.split('&') {
        match parameter.strip_prefix("revocation=") {
            Some(_) if store.is_some() => return Err(invalid("revocation is given twice".to_owned())),
            Some(url) => store = Some(Box::pin(connect(&decoded(url)?)).await?),
            None => kept.push(parameter),
        }
    }
    Ok((format!("{scheme}:{path}?{}", kept.join("&")), store))
}

/// Without percent signs.
#[cfg(any(feature = "cookie", feature = "jwt"))]
fn decoded(value: &str) -> Result<String> {
    let malformed =
        || invalid("the URL behind revocation= is not percent-encoded as it should be".to_owned());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || u8::try_from(char::from(rest.next()?).to_digit(16)?).ok();
        bytes.push(match byte {
            b'%' => digit().zip(digit()).map(|(high, low)| high << 4 | low).ok_or_else(malformed)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

fn schemes() -> String {
    let all = KNOWN.iter().flat_map(|(schemes, ..)| schemes.iter());
    all.map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", ")
}

fn invalid(message: String) -> SessionError {
    SessionError::new(ErrorKind::InvalidConfig, "connect").with_message(message)
}

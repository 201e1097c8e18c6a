use std::io::Write as _;

use cloakroom_backend_cookie::{CookieSessionBackend, KeyRing, Passphrase, SealKey};
use cloakroom_core::{ErrorKind, Record, Result, SessionBackend, SessionKey, Write};

fn key(seed: u8) -> SealKey {
    SealKey::from_bytes([seed; 32])
}

fn text(seed: u8) -> String {
    key(seed).expose().to_string()
}

fn ring(seeds: &[u8]) -> KeyRing {
    KeyRing::new(seeds.iter().map(|&seed| key(seed))).unwrap()
}

async fn sealed(backend: &CookieSessionBackend) -> SessionKey {
    let record = Record::new("{}", backend.clock().now());
    backend.write(&SessionKey::generate().unwrap(), record, Write::create()).await.unwrap()
}

async fn opens(backend: &CookieSessionBackend, key: &SessionKey) -> bool {
    let shown = SessionKey::parse(key.expose(), &backend.capability()).unwrap();
    backend.read(&shown).await.unwrap().is_some()
}

async fn refusal(url: &str) -> String {
    let error = CookieSessionBackend::connect(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    format!("{error} {error:?}")
}

#[tokio::test]
async fn connect_first_key_seals_and_all_open() -> Result<()> {
    let url = format!("cookie:?key={}&key={}&name=id", text(1), text(2));
    let backend = CookieSessionBackend::connect(&url).await?;
    let named = |seeds: &[u8]| CookieSessionBackend::new(ring(seeds)).with_cookie_name("id").unwrap();
    let (first, second, third) = (named(&[1]), named(&[2]), named(&[3]));
    assert!(opens(&first, &sealed(&backend).await).await);
    assert!(!opens(&second, &sealed(&backend).await).await);
    assert!(opens(&backend, &sealed(&second).await).await);
    assert!(!opens(&backend, &sealed(&third).await).await);
    // Bound to its name.
    assert!(!opens(&CookieSessionBackend::new(ring(&[1])), &sealed(&backend).await).await);
    Ok(())
}

#[tokio::test]
async fn connect_key_file_and_passphrase_mix_in_order() -> Result<()> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "# the newest\n{}\n\n  {}  \r\n", text(1), text(2)).unwrap();
    let path = file.path().to_str().unwrap().replace('/', "%2F");
    let words = "correct%20horse%20battery%20staple";
    let backend =
        CookieSessionBackend::connect(&format!("cookie:?key_file={path}&passphrase={words}")).await?;
    assert!(opens(&CookieSessionBackend::new(ring(&[1])), &sealed(&backend).await).await);
    assert!(opens(&backend, &sealed(&CookieSessionBackend::new(ring(&[2]))).await).await);
    let passphrase = Passphrase::new("correct horse battery staple")?;
    let by_words = CookieSessionBackend::from_passphrase(passphrase).await?;
    assert!(opens(&backend, &sealed(&by_words).await).await);
    Ok(())
}

#[tokio::test]
async fn connect_what_is_no_cookie_url_refused_without_showing_it() {
    let secret = text(9);
    let urls = [
        "cookie:",
        "cookie:?",
        "cookie:?name=id",
        "cookie:?key",
        "cookie:?key=",
        "cookie:?key=short",
        "memory:?key=@",
        "?key=@",
        "cookie:key=@",
        "cookie:host?key=@",
        "cookie://host/?key=@",
        "cookie:?key=@@",
        "cookie:?key=@&key=@",
        "cookie:?key=@&",
        "cookie:?key=@&name=",
        "cookie:?key=@&name=a%20b",
        "cookie:?key=@&name=id&name=id",
        "cookie:?key=@&namee=id",
        "cookie:?Key=@",
        "cookie:?key=@%",
        "cookie:?key=@%4",
        "cookie:?key=@%+4",
        "cookie:?key=@&passphrase=too short",
        "cookie:?key=@&passphrase=%FF%FF%FF%FF%FF%FF%FF%FF%FF%FF%FF%FF",
        "cookie:?key_file=/no/such/file/@",
        "cookie:?key_file=/",
    ];
    for url in urls {
        let shown = refusal(&url.replace('@', &secret)).await;
        assert!(!shown.contains(&secret) && !shown.contains("/no/such"), "{shown}");
    }
}

#[tokio::test]
async fn connect_key_file_of_anything_else_refused() {
    let large = format!("{}\n", text(1)).repeat(2000);
    for content in ["", "# nothing\n", "not a key", &large, &format!("{}\n{}", text(1), text(1))] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let shown = refusal(&format!("cookie:?key_file={}", file.path().display())).await;
        assert!(!shown.contains("not a key") && !shown.contains(&text(1)), "{shown}");
        assert!(!shown.contains(file.path().to_str().unwrap()), "{shown}");
    }
}

#[test]
fn from_keys_short_empty_and_duplicate_refused() {
    let kind = |keys: &[&[u8]]| CookieSessionBackend::from_keys(keys).unwrap_err().kind();
    assert_eq!(kind(&[]), ErrorKind::InvalidConfig);
    assert_eq!(kind(&[&[1; 31]]), ErrorKind::InvalidConfig);
    assert_eq!(kind(&[&[1; 32], &[2; 33]]), ErrorKind::InvalidConfig);
    assert_eq!(kind(&[&[1; 32], &[2; 32], &[1; 32]]), ErrorKind::InvalidConfig);
    assert!(CookieSessionBackend::from_keys([[1; 32], [2; 32]]).is_ok());
}

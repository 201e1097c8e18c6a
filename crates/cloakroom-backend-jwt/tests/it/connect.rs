//! URLs, and what is shown of secrets.

use base64ct::{Base64UrlUnpadded, Encoding};
use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_core::{ErrorKind, ManualClock, Record, SessionBackend, SessionBackendExt, SessionKey, Write};

use crate::key::{ED25519, P256, RSA};
use crate::{backend, create, hs256, record, shown};

fn key(secret: u8, length: usize) -> String {
    Base64UrlUnpadded::encode_string(&vec![secret; length])
}

#[tokio::test]
async fn connect_reads_keys_issuer_and_audiences() {
    let url = format!(
        "jwt:?key={}&issuer=https%3A%2F%2Fshop.example%2F%C3%A9&audience=a&audience=b%26c",
        key(7, 32)
    );
    let connected = JwtSessionBackend::connect(&url).await.unwrap();
    let built = JwtSessionBackend::builder([hs256()])
        .with_issuer("https://shop.example/\u{e9}")
        .with_audience("a")
        .with_audience("b&c")
        .build()
        .unwrap();
    let kept = Record::new("{}", built.clock().now());
    let token = create(&built, &kept).await;
    assert_eq!(connected.read(&shown(&connected, token.expose())).await.unwrap(), Some(kept.clone()));

    let changed = format!("jwt:?key={}&key={}", key(8, 64), key(7, 32));
    let changed = JwtSessionBackend::connect(&changed).await.unwrap();
    let old = create(&JwtSessionBackend::new(hs256()).unwrap(), &kept).await;
    assert_eq!(changed.read(&shown(&changed, old.expose())).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn connect_refuses_the_rest_and_shows_nothing_of_it() {
    let good = key(7, 32);
    let urls = [
        String::new(),
        "jwt:".to_owned(),
        "jwt:?".to_owned(),
        format!("jwt:{good}"),
        format!("jwt:?{good}"),
        format!("jwt:?{good}=1"),
        format!("jwt://?key={good}"),
        format!("JWT:?key={good}"),
        "jwt:?key=".to_owned(),
        format!("jwt:?key={}", key(7, 31)),
        format!("jwt:?key={good}="),
        format!("jwt:?key={good}+"),
        format!("jwt:?key={good}&key={good}"),
        format!("jwt:?key={good}&"),
        format!("jwt:?key={good}&issuer="),
        format!("jwt:?key={good}&issuer=a&issuer=b"),
        format!("jwt:?key={good}&audience=%"),
        format!("jwt:?key={good}&audience=%4"),
        format!("jwt:?key={good}&audience=%zz"),
        format!("jwt:?key={good}&audience=%+1"),
        format!("jwt:?key={good}&audience=%ff"),
        format!("jwt:?key={good}&alg=none"),
        format!("jwt:?issuer={good}"),
    ];
    for url in urls {
        let error = JwtSessionBackend::connect(&url).await.err().unwrap_or_else(|| panic!("{url} was taken"));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("BwcHBw") && !shown.contains("none") && !shown.contains("%zz"), "{shown}");
    }
}

/// CV-32: no key, token or payload in any Debug, Display or error.
#[tokio::test]
async fn debug_and_errors_show_no_key_token_or_payload() {
    let clock = ManualClock::new();
    let secret = "correct horse battery staple 1234567";
    let keys = [
        JwtKey::hs256(secret.as_bytes()).unwrap(),
        JwtKey::rs256_pem(RSA).unwrap(),
        JwtKey::es256_pem(P256).unwrap(),
        JwtKey::eddsa_pem(ED25519).unwrap(),
    ];
    let ended = cloakroom_core::InMemorySessionBackend::new();
    let builder = JwtSessionBackend::builder(keys.clone()).with_clock(clock.clock()).with_revocation(ended);
    let mut all = format!("{keys:?} {builder:?}");
    let signed = builder.build().unwrap();
    let kept = record(&clock, "{\"secret\":\"payload\"}");
    let token = create(&signed, &kept).await;
    all += &format!("{signed:?} {:?} {token:?} {token} {kept:?}", signed.clone().shared());
    let mut errors = Vec::new();
    errors.extend(signed.write(&token, kept.clone(), Write::create()).await.err());
    let mut large = kept.clone();
    large.payload = vec![b'p'; 9_000].into();
    errors.extend(signed.write(&token, large, Write::update(kept.version)).await.err());
    errors.extend(SessionKey::parse("not a token!", &signed.capability()).err());
    errors.extend(JwtKey::rs256_pem(&RSA[..RSA.len() / 2]).err());
    errors.extend(JwtKey::hs512(secret.as_bytes()).err());
    errors.extend(JwtKey::es384_pem(P256).err());
    assert_eq!(errors.len(), 6);
    all += &format!("{errors:?}");
    for error in &errors {
        all += &error.to_string();
    }
    let body = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
    let signature = token.expose().rsplit('.').next().unwrap().to_owned();
    let secrets = [
        secret.to_owned(),
        format!("{:?}", secret.as_bytes()),
        body(RSA),
        body(P256),
        body(ED25519),
        "payload\"".to_owned(),
        token.expose()[60..100].to_owned(),
        signature,
    ];
    for secret in secrets {
        assert!(!all.contains(&secret), "{secret} is in {all}");
    }
    assert!(backend(clock.clock()).ping().await.is_ok());
}

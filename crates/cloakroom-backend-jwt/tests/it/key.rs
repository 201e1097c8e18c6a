//! Keys: which are taken, and sets of them.

use cloakroom_backend_jwt::{JwtKey, JwtSessionBackend};
use cloakroom_core::{ErrorKind, ManualClock, Result, SessionBackend};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use crate::{create, hs256, kind, record, shown};

pub(crate) const RSA: &str = include_str!("../keys/rsa-2048.pem");
pub(crate) const RSA_PUBLIC: &str = include_str!("../keys/rsa-2048-public.pem");
const RSA_PKCS1: &str = include_str!("../keys/rsa-2048-pkcs1.pem");
const RSA_PUBLIC_PKCS1: &str = include_str!("../keys/rsa-2048-public-pkcs1.pem");
const RSA_4096: &str = include_str!("../keys/rsa-4096.pem");
const RSA_1024: &str = include_str!("../keys/rsa-1024.pem");
const RSA_1024_PUBLIC: &str = include_str!("../keys/rsa-1024-public.pem");
pub(crate) const P256: &str = include_str!("../keys/p256.pem");
const P256_PUBLIC: &str = include_str!("../keys/p256-public.pem");
pub(crate) const P384: &str = include_str!("../keys/p384.pem");
const P384_PUBLIC: &str = include_str!("../keys/p384-public.pem");
pub(crate) const ED25519: &str = include_str!("../keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("../keys/ed25519-public.pem");

type Make = fn(&str) -> Result<JwtKey>;
type Secret = fn(&[u8]) -> Result<JwtKey>;

fn with(key: JwtKey, others: impl IntoIterator<Item = JwtKey>, clock: &ManualClock) -> JwtSessionBackend {
    let keys = [key].into_iter().chain(others);
    JwtSessionBackend::builder(keys).with_clock(clock.clock()).build().unwrap()
}

#[tokio::test]
async fn every_algorithm_signs_and_its_public_key_verifies() {
    let clock = ManualClock::new();
    let pairs: [(Make, &str, Make, &str, &str); 10] = [
        (JwtKey::rs256_pem, RSA, JwtKey::rs256_public_pem, RSA_PUBLIC, "RS256"),
        (JwtKey::rs256_pem, RSA_PKCS1, JwtKey::rs256_public_pem, RSA_PUBLIC_PKCS1, "RS256"),
        (JwtKey::rs384_pem, RSA, JwtKey::rs384_public_pem, RSA_PUBLIC, "RS384"),
        (JwtKey::rs512_pem, RSA, JwtKey::rs512_public_pem, RSA_PUBLIC, "RS512"),
        (JwtKey::es256_pem, P256, JwtKey::es256_public_pem, P256_PUBLIC, "ES256"),
        (JwtKey::es384_pem, P384, JwtKey::es384_public_pem, P384_PUBLIC, "ES384"),
        (JwtKey::eddsa_pem, ED25519, JwtKey::eddsa_public_pem, ED25519_PUBLIC, "EdDSA"),
        (|_| JwtKey::hs256(&[1; 32]), "", |_| JwtKey::hs256(&[1; 32]), "", "HS256"),
        (|_| JwtKey::hs384(&[1; 48]), "", |_| JwtKey::hs384(&[1; 48]), "", "HS384"),
        (|_| JwtKey::hs512(&[1; 64]), "", |_| JwtKey::hs512(&[1; 64]), "", "HS512"),
    ];
    for (private, private_pem, public, public_pem, name) in pairs {
        let signer = with(private(private_pem).unwrap(), [], &clock);
        let kept = record(&clock, "{\"a\":1}");
        let key = create(&signer, &kept).await;
        assert_eq!(signer.read(&key).await.unwrap(), Some(kept.clone()), "{name}");
        // Another process only verifies with it.
        let reader = with(hs256(), [public(public_pem).unwrap()], &clock);
        assert_eq!(reader.read(&shown(&reader, key.expose())).await.unwrap(), Some(kept), "{name}");
        let header = jsonwebtoken::decode_header(key.expose()).unwrap();
        assert_eq!(format!("{:?}", header.alg), name);
        assert_eq!(header.kid.as_deref(), private(private_pem).unwrap().kid());
    }
    assert!(JwtKey::rs256_pem(RSA_4096).is_ok());
}

/// The same token in the hands of another implementation, which looks at the clock of the system.
#[tokio::test]
async fn other_services_verify_tokens_with_the_public_key() {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
    }

    let clock = ManualClock::new();
    let owner = cloakroom_core::Owner::parse("user:42").unwrap();
    let kept = record(&clock, "{}").with_owner(Some(owner));
    let ec = DecodingKey::from_ec_der(&point(P256_PUBLIC, 65));
    let ed = DecodingKey::from_ed_der(&point(ED25519_PUBLIC, 32));
    let secret = DecodingKey::from_secret(&[7; 32]);
    let keys = [
        (JwtKey::es256_pem(P256).unwrap(), ec, Algorithm::ES256),
        (JwtKey::eddsa_pem(ED25519).unwrap(), ed, Algorithm::EdDSA),
        (hs256(), secret, Algorithm::HS256),
    ];
    for (key, decoding, algorithm) in keys {
        let key = create(&with(key, [], &clock), &kept).await;
        let claims = jsonwebtoken::decode::<Claims>(key.expose(), &decoding, &Validation::new(algorithm));
        assert_eq!(claims.unwrap().claims.sub, "user:42");
    }
}

/// The last bytes of a public key are its point.
fn point(pem: &str, length: usize) -> Vec<u8> {
    use base64ct::{Base64, Encoding};

    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = Base64::decode_vec(&body).unwrap();
    der[der.len() - length..].to_vec()
}

#[test]
fn key_of_another_type_refused() {
    let pems = [
        RSA,
        RSA_PUBLIC,
        RSA_PKCS1,
        RSA_PUBLIC_PKCS1,
        P256,
        P256_PUBLIC,
        P384,
        P384_PUBLIC,
        ED25519,
        ED25519_PUBLIC,
        "",
        "text",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
    ];
    let takes: [(Make, &[&str]); 13] = [
        (JwtKey::rs256_pem, &[RSA, RSA_PKCS1]),
        (JwtKey::rs384_pem, &[RSA, RSA_PKCS1]),
        (JwtKey::rs512_pem, &[RSA, RSA_PKCS1]),
        (JwtKey::rs256_public_pem, &[RSA_PUBLIC, RSA_PUBLIC_PKCS1]),
        (JwtKey::rs384_public_pem, &[RSA_PUBLIC, RSA_PUBLIC_PKCS1]),
        (JwtKey::rs512_public_pem, &[RSA_PUBLIC, RSA_PUBLIC_PKCS1]),
        (JwtKey::es256_pem, &[P256]),
        (JwtKey::es384_pem, &[P384]),
        (JwtKey::es256_public_pem, &[P256_PUBLIC]),
        (JwtKey::es384_public_pem, &[P384_PUBLIC]),
        (JwtKey::eddsa_pem, &[ED25519]),
        (JwtKey::eddsa_public_pem, &[ED25519_PUBLIC]),
        // The text of a public key as a secret for HMAC is how algorithms are confused (CVE-2015-9235).
        (|pem| JwtKey::hs256(pem.as_bytes()), &[]),
    ];
    for (index, (make, taken)) in takes.into_iter().enumerate() {
        for pem in pems {
            let made = make(pem);
            assert_eq!(made.is_ok(), taken.contains(&pem), "{index} of {pem:.40}");
            if let Err(error) = made {
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            }
            if !pem.is_empty() {
                let cut: String = pem.chars().take(pem.len() / 2).collect();
                assert!(make(&cut).is_err(), "half of a key");
            }
        }
    }
}

#[test]
fn key_too_short_refused_with_both_lengths() {
    let short: [(Secret, usize); 3] = [(JwtKey::hs256, 32), (JwtKey::hs384, 48), (JwtKey::hs512, 64)];
    for (make, least) in short {
        for length in [0, 1, least - 1] {
            let error = make(&vec![7; length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(&least.to_string()), "{error}");
        }
        assert!(make(&vec![7; least]).is_ok() && make(&[7; 200]).is_ok());
    }
    let error = JwtKey::rs256_pem(RSA_1024).unwrap_err();
    assert!(error.to_string().contains("2048"), "{error}");
    let error = JwtKey::rs256_public_pem(RSA_1024_PUBLIC).unwrap_err();
    assert!(error.to_string().contains("2048") && error.to_string().contains("1024"), "{error}");
}

#[test]
fn key_sets_that_cannot_work_refused() {
    let other = || JwtKey::hs256(&[8; 32]).unwrap();
    let named = |key: JwtKey| key.with_kid("a").unwrap();
    let sets = [
        vec![],
        vec![JwtKey::rs256_public_pem(RSA_PUBLIC).unwrap()],
        vec![JwtKey::rs256_public_pem(RSA_PUBLIC).unwrap(), hs256()],
        vec![hs256(), hs256()],
        vec![hs256(), named(hs256())],
        vec![named(hs256()), named(other())],
        vec![hs256(), other().without_kid()],
        vec![hs256().without_kid(), other()],
        // One key for two algorithms, and both halves of one.
        vec![JwtKey::rs256_pem(RSA).unwrap(), JwtKey::rs512_pem(RSA).unwrap().with_kid("b").unwrap()],
        vec![JwtKey::hs256(&[7; 64]).unwrap(), JwtKey::hs512(&[7; 64]).unwrap().with_kid("b").unwrap()],
        vec![JwtKey::es256_pem(P256).unwrap(), JwtKey::es256_public_pem(P256_PUBLIC).unwrap()],
    ];
    for (index, keys) in sets.into_iter().enumerate() {
        assert_eq!(kind(JwtSessionBackend::builder(keys).build()), ErrorKind::InvalidConfig, "set {index}");
    }
    assert!(JwtSessionBackend::builder([hs256().without_kid()]).build().is_ok());
    for kid in ["", "a b", "a\"b", "a\\b", "\u{e9}", &"k".repeat(65)] {
        assert_eq!(kind(hs256().with_kid(kid)), ErrorKind::InvalidConfig, "{kid:?}");
    }
}

/// A new key is put first; the old one still verifies until it is dropped.
#[tokio::test]
async fn keys_are_changed_without_losing_a_session() {
    let clock = ManualClock::new();
    let [old, new] = [[1; 32], [2; 32]].map(|secret| JwtKey::hs256(&secret).unwrap());
    let kept = record(&clock, "{}");
    let before = with(old.clone(), [], &clock);
    let first = create(&before, &kept).await;
    let during = with(new.clone(), [old.clone()], &clock);
    let first = shown(&during, first.expose());
    assert_eq!(during.read(&first).await.unwrap(), Some(kept.clone()));
    let how = cloakroom_core::Touch::new(kept.version, clock.now() + crate::HOUR * 2);
    let second = during.touch(&first, how).await.unwrap().unwrap();
    let header = jsonwebtoken::decode_header(second.expose()).unwrap();
    assert_eq!(header.kid.as_deref(), new.kid(), "what is written is signed with the new one");
    assert_eq!(
        before.read(&shown(&before, second.expose())).await.unwrap(),
        None,
        "a process that is behind"
    );
    let after = with(new, [], &clock);
    assert_eq!(after.read(&shown(&after, first.expose())).await.unwrap(), None);
    assert!(after.read(&shown(&after, second.expose())).await.unwrap().is_some());
    // A process that got its new key before the one that signs with it.
    let ahead = with(old, [JwtKey::hs256(&[2; 32]).unwrap()], &clock);
    assert!(ahead.read(&shown(&ahead, second.expose())).await.unwrap().is_some());
}

/// RFC 8725 §2.1: what everybody knows is no secret, in whatever form it comes.
#[test]
fn hmac_secret_that_is_the_text_of_a_key_refused() {
    let texts: [&[u8]; 8] = [
        b"-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        b"\xEF\xBB\xBF-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        b"# our key\n-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        br#"{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        br#" {"keys":[{"kty":"RSA","n":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","e":"AQAB"}]}"#,
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x@y",
        b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAAAAAAAAA",
    ];
    for text in texts {
        for make in [JwtKey::hs256, JwtKey::hs384, JwtKey::hs512] {
            let error = make(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("JWK"), "{error}");
        }
    }
}

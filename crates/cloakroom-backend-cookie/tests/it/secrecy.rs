//! CV-32: no key, value or payload in anything that is printed.

use cloakroom_backend_cookie::{CookieCodec, CookieSessionBackend, KeyRing, Passphrase, SealKey};
use cloakroom_core::{InMemorySessionBackend, Record, SessionBackend, SessionKey, Write};

#[tokio::test]
async fn debug_and_display_show_no_secret() {
    let secret = b"0123456789abcdefghijklmnopqrstuv";
    let key = SealKey::from_slice(secret).unwrap();
    let ring = KeyRing::new([key.clone()]).unwrap();
    let words = Passphrase::new("correct horse battery staple").unwrap();
    let backend = CookieSessionBackend::new(ring.clone());
    let revocable = backend.clone().with_revocation(InMemorySessionBackend::new()).unwrap();
    let record = Record::new(r#"{"secret":"payload"}"#, backend.clock().now());
    let sealed =
        backend.write(&SessionKey::generate().unwrap(), record.clone(), Write::create()).await.unwrap();
    let large = Record::new("secretpayload".repeat(1000), backend.clock().now());
    let error = backend.write(&sealed, large, Write::overwrite()).await.unwrap_err();
    let short = CookieSessionBackend::from_key(&secret[..31]).unwrap_err();
    let shown = format!(
        "{key:?} {ring:?} {words:?} {backend:?} {revocable:?} {:?} {sealed:?} {sealed} {record:?} \
         {error} {error:?} {short} {short:?}",
        CookieCodec::signed_only(ring.clone())
    );
    let secrets = [
        "0123456789",
        "48, 49, 50",
        &key.expose()[..10],
        "horse",
        "payload\"",
        "secretpayload",
        &sealed.expose()[..20],
        &sealed.id().as_text()[..20],
    ];
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

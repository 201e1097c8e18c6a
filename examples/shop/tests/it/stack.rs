use std::path::Path;

use crate::browser::Browser;
use crate::program::{Program, run};

const FIREFOX: &str = "Firefox on a desk";
const KEY: &str = "mNdbqaTMPLQZ6vrDyg-Kvi43OUxUZQWzVpIpSctVCX0";

/// The shop on compression, encryption, tenants and analytics over that backend.
struct Shops(Program);

impl Shops {
    fn open(folder: &Path, backend: &str) -> Self {
        std::fs::write(folder.join("keys"), KEY).unwrap();
        let arguments = ["--backend", backend, "--compress", "--encrypt", "keys"];
        let arguments = [&arguments[..], &["--tenants", "localhost", "--metrics", "127.0.0.1:0"]].concat();
        Self(Program::start(folder, &arguments))
    }

    fn browser(&self, tenant: &str) -> Browser {
        Browser::of_host(&self.0.address, &format!("{tenant}.localhost"), FIREFOX)
    }

    fn metrics(&self) -> String {
        let address = self.0.said.split("Metrics are at http://").nth(1).unwrap().split('/').next().unwrap();
        Browser::new(address, "Prometheus").get("/metrics").body
    }
}

fn count(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

fn two_tenants_with_their_own_carts(backend: &str, folder: &Path) -> Shops {
    let shops = Shops::open(folder, backend);
    assert!(shops.0.said.contains(", compressed, encrypted"), "{}", shops.0.said);
    let (mut acme, mut globex) = (shops.browser("acme"), shops.browser("globex"));
    assert!(acme.post("/cart/add", "item=umbrella").has("Umbrella"));
    assert!(globex.post("/cart/add", "item=bell").has("Counter bell"));
    assert!(acme.post("/sign-in", "name=ada&password=demo").status < 400);

    // CV-28: the ticket of one shop is a guess at the other, and is not taken over.
    let mut stray = Browser { cookie: acme.cookie.clone(), ..shops.browser("globex") };
    let page = stray.post("/cart/add", "item=brush");
    assert!(page.has("Clothes brush") && !page.has("Umbrella") && stray.cookie != acme.cookie);
    assert!(acme.get("/cart").has("Umbrella") && !acme.get("/cart").has("Clothes brush"));

    // No tenant, no shop; but a load balancer asks by address.
    assert_eq!(Browser::new(&shops.0.address, FIREFOX).get("/").status, 404);
    assert_eq!(Browser::new(&shops.0.address, FIREFOX).get("/health").status, 204);

    let metrics = shops.metrics();
    assert_eq!(count(&metrics, r#"session_created_total{tenant="acme"}"#), Some(1.0), "{metrics}");
    assert_eq!(count(&metrics, r#"session_created_total{tenant="globex"}"#), Some(2.0), "{metrics}");

    let (acme, globex) = (acme.clone(), globex.clone());
    shops.0.kill();
    let shops = Shops::open(folder, backend);
    let (mut acme, mut globex) = (
        Browser { cookie: acme.cookie, ..shops.browser("acme") },
        Browser { cookie: globex.cookie, ..shops.browser("globex") },
    );
    assert!(acme.get("/cart").has("Umbrella") && globex.get("/cart").has("Counter bell"));
    shops
}

#[test]
fn shop_on_all_layers_over_sqlite_keeps_tenants_apart_and_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let shops = two_tenants_with_their_own_carts("sqlite:shop.db", folder.path());
    assert!(shops.0.terminate().0);
    let stored =
        ["shop.db", "shop.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap_or_default());
    let stored = stored.concat();
    let holds = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("tenant:acme:session:") && !holds("umbrella"), "key spaces in the clear, carts not");
}

#[test]
fn shop_on_all_layers_over_postgres_keeps_tenants_apart_and_survives_a_crash() {
    let Some(url) = cloakroom_testkit::service("postgres") else { return };
    let folder = tempfile::tempdir().unwrap();
    two_tenants_with_their_own_carts(&url, folder.path());
}

#[test]
fn layers_that_cannot_be_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), KEY).unwrap();
    std::fs::write(folder.path().join("short"), "AAAA").unwrap();
    for arguments in [
        &["--backend", "cookie:?passphrase=long%20enough%20for%20anybody", "--encrypt", "keys"][..],
        &["--backend", "jwt:?key=mNdbqaTMPLQZ6vrDyg-Kvi43OUxUZQWzVpIpSctVCX0", "--compress"],
        &["--backend", "memory:", "--encrypt", "short"],
        &["--backend", "memory:", "--encrypt", "nowhere"],
        &["--backend", "memory:", "--tenants", "not a domain"],
    ] {
        let output = run(folder.path(), &[&["--listen", "127.0.0.1:0"][..], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.starts_with("shop: "), "{arguments:?}: {said}");
        assert!(!said.contains("AAAA"), "{said}");
    }
}

use crate::browser::Browser;
use crate::forwarder::Forwarder;
use crate::program::{Program, run};

const FIREFOX: &str = "Firefox on a desk";
const PHONE: &str = "A phone";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn visit_with_cart_and_sign_in_survives_a_crash_and_a_restart() {
    let folder = folder();
    let shop = Program::start(folder.path(), &[]);
    assert!(shop.said.contains("shop.db") && shop.said.contains("no Secure"), "{}", shop.said);

    let mut browser = Browser::new(&shop.address, FIREFOX);
    assert!(browser.get("/").has("for the first time"));
    let page = browser.get("/");
    assert!(page.has("2 times") && page.has("<a href=\"/sign-in\">"));
    assert_eq!(page.header("vary"), Some("Cookie"));
    let page = browser.post("/cart/add", "item=bell");
    assert!(page.has("Counter bell is in your cart.") && page.has("Cart (1"));
    assert!(!browser.get("/cart").has("role=\"status\""), "said once");
    assert!(browser.post("/cart/add", "item=bell").has("€35.80"));

    // A guest's cart comes along; the key does not (ST-13).
    let mut guest = browser.clone();
    let page = browser.post("/sign-in", "name=Ada&password=demo");
    assert!(page.has("Hello, Ada! You are signed in.") && page.has("This device") && page.has(FIREFOX));
    assert_ne!(browser.cookie, guest.cookie);
    assert!(guest.get("/cart").has("It is empty."));

    shop.kill();
    let shop = Program::start(folder.path(), &[]);
    let mut browser = browser.at(&shop.address);
    let page = browser.get("/cart");
    assert!(page.has("€35.80") && page.has("Signed in as <strong>Ada</strong>"));
    assert_eq!(page.header("set-cookie"), None);

    let (success, said) = shop.terminate();
    assert!(success && said.contains("Bye."), "{said}");
    let shop = Program::start(folder.path(), &[]);
    let mut browser = browser.at(&shop.address);
    assert!(browser.post("/cart/set", "item=bell&quantity=1").has("€17.90"));
    assert!(browser.post("/cart/set", "item=bell&quantity=0").has("It is empty."));

    let mut before = browser.clone();
    assert!(browser.post("/sign-out", "").has("for the first time"));
    assert!(!before.get("/devices").has("Ada"), "the key from before the sign-out is dead");
}

/// Sessions in files, and those that the browser keeps: the shop crashes, and they go on.
#[test]
fn visit_on_backends_without_a_server_survives_a_crash() {
    let folder = folder();
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let (cookie, jwt) = (format!("cookie:?key={key}"), format!("jwt:?key={key}"));
    let revocable = format!("{cookie}&revocation=file%3Aended");
    for backend in ["file:sessions", &cookie, &jwt, &revocable] {
        let arguments = ["--backend", backend];
        let shop = Program::start(folder.path(), &arguments);
        assert!(!shop.said.contains(key), "{}", shop.said);
        let mut browser = Browser::new(&shop.address, FIREFOX);
        assert!(browser.get("/").has("for the first time"));
        assert!(browser.post("/cart/add", "item=bell").has("Cart (1"), "{backend}");
        let guest = browser.clone();
        assert!(browser.post("/sign-in", "name=Ada&password=demo").has("Hello, Ada!"));
        assert_ne!(browser.cookie, guest.cookie);

        shop.kill();
        let shop = Program::start(folder.path(), &arguments);
        let mut browser = browser.at(&shop.address);
        let page = browser.get("/cart");
        assert!(page.has("€17.90") && page.has("Signed in as <strong>Ada</strong>"), "{backend}");
        let page = browser.get("/devices");
        let listed = page.has("This device");
        assert!(listed == (backend == "file:sessions") && page.status == 200, "{backend}");
        assert!(listed || page.has("kept by your browser alone"));
        let mut copy = browser.clone();
        assert!(browser.post("/sign-out", "").has("for the first time"));
        assert!(!browser.get("/").has("Ada"));
        let refused = listed || backend == revocable;
        assert_eq!(copy.get("/").has("Ada"), !refused, "a copy of the cookie from before, {backend}");
    }
}

#[test]
fn devices_are_signed_out_one_by_one_or_all_at_once() {
    let folder = folder();
    let shop = Program::start(folder.path(), &["--backend", "memory:"]);
    let sign_in = |agent, name: &str| {
        let mut browser = Browser::new(&shop.address, agent);
        browser.post("/sign-in", &format!("name={name}&password=demo&remember=yes"));
        browser
    };
    let (mut desk, mut phone, mut third) =
        (sign_in(FIREFOX, "Ada"), sign_in(PHONE, "ada"), sign_in(PHONE, "ADA"));
    let mut grace = sign_in(PHONE, "Grace");
    let is_in = |browser: &mut Browser| browser.get("/").has("Signed in as");

    let page = desk.get("/devices");
    assert_eq!(page.body.matches("name=\"handle\"").count(), 2);
    // CV-31, CV-51: a handle is for its owner's use only.
    let handle = page.value("handle");
    assert!(grace.post("/devices/revoke", &format!("handle={handle}")).has("signed out already"));
    assert!(is_in(&mut phone) && is_in(&mut third));
    assert!(desk.post("/devices/revoke", &format!("handle={handle}")).has("That device is signed out."));
    assert_eq!([is_in(&mut phone), is_in(&mut third)].iter().filter(|still| **still).count(), 1);
    assert!(desk.post("/devices/revoke-others", "").has("One other device is signed out."));
    assert!(!is_in(&mut phone) && !is_in(&mut third) && is_in(&mut desk) && is_in(&mut grace));
}

#[test]
fn hostile_names_and_user_agents_are_shown_as_text() {
    let folder = folder();
    let shop = Program::start(folder.path(), &["--backend", "memory:"]);
    let mut browser = Browser::new(&shop.address, "\"><script>alert(1)</script>");
    let name = "name=%3Cimg+src%3Dx+onerror%3D%22alert(1)%22%3E&password=";
    let page = browser.post("/sign-in", &format!("{name}wrong"));
    assert_eq!(page.status, 422);
    assert!(page.has("do not go together") && page.has("value=\"&lt;img"));
    let page = browser.post("/sign-in", &format!("{name}demo"));
    assert!(page.has("Signed in as <strong>&lt;img src=x onerror=&quot;alert(1)&quot;&gt;</strong>"));
    assert!(page.has("&lt;script&gt;") && !page.has("<script") && !page.has("<img"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
}

#[test]
fn forms_that_another_site_sends_are_refused() {
    let folder = folder();
    let shop = Program::start(folder.path(), &["--backend", "memory:"]);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let mut browser = Browser::new(&shop.address, FIREFOX);
        browser.origin = origin.to_owned();
        let page = browser.post("/cart/add", "item=bell");
        assert_eq!((page.status, browser.cookie), (403, None), "{origin}");
        assert!(page.has("another site"));
    }
}

#[test]
fn errors_are_pages_in_the_shops_own_style() {
    let folder = folder();
    let shop = Program::start(folder.path(), &["--backend", "memory:"]);
    let mut browser = Browser::new(&shop.address, FIREFOX);
    assert_eq!(browser.get("/nowhere").status, 404);
    assert_eq!(browser.get("/cart/add").status, 405);
    assert_eq!(browser.post("/cart/set", "item=bell&quantity=many").status, 422);
    let page = browser.post("/cart/add", "item=crown+jewels");
    assert_eq!(page.status, 404);
    assert!(page.has("The shop does not have that.") && page.has("Back to the shop"));
    let style = browser.get("/style.css");
    assert_eq!((style.status, style.header("vary"), style.header("set-cookie")), (200, None, None));
    assert_eq!(style.header("cache-control"), Some("public, max-age=600"));
    assert_eq!(browser.get("/health").status, 204);
}

// ST-44, ST-47, ST-64
#[test]
fn shop_beyond_this_machine_or_behind_tls_has_the_secure_cookie_only() {
    let folder = folder();
    let refused = run(folder.path(), &["--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--secure"));

    let shop = Program::start(folder.path(), &["--backend", "memory:", "--secure"]);
    let page = Browser::new(&shop.address, FIREFOX).get("/");
    let cookie = page.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-id=") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
}

#[test]
fn backend_that_cannot_be_used_is_explained_without_its_password() {
    let folder = folder();
    for url in ["redis://me:hunter2@host", "postgres://me:hunter2@127.0.0.1:1/db"] {
        let output = run(folder.path(), &["--listen", "127.0.0.1:0", "--backend", url]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains("cannot use that backend"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn store_that_goes_down_and_comes_back_costs_a_page_not_a_session() {
    let Some(url) = cloakroom_testkit::service("postgres") else { return };
    let (head, rest) = url.split_once('@').unwrap();
    let (place, database) = rest.split_once('/').unwrap();
    let network = Forwarder::to(place);
    let url = format!("{head}@{}/{database}", network.address);
    let folder = folder();
    let shop = Program::start(folder.path(), &["--backend", &url]);

    let mut browser = Browser::new(&shop.address, FIREFOX);
    browser.post("/cart/add", "item=bell");
    let cookie = browser.cookie.clone();
    network.cut();
    let page = browser.get("/cart");
    assert_eq!((page.status, page.header("retry-after")), (503, Some("5")));
    assert!(page.has("Sessions cannot be reached at the moment.") && page.has("<h1>Just a moment</h1>"));
    assert_eq!(browser.get("/health").status, 503);
    assert_eq!(browser.get("/style.css").status, 200);
    network.mend();
    assert!(browser.get("/cart").has("Counter bell"));
    assert_eq!(browser.cookie, cookie);
}

//! Which tenant a request is for.

use std::borrow::Cow;

use cloakroom_http::{NoTenant, RequestHead, TenantResolver, UnknownTenant};
use proptest::prelude::*;

#[derive(Default)]
struct Head<'a> {
    path: &'a str,
    authority: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl RequestHead for Head<'_> {
    fn path(&self) -> &str {
        self.path
    }

    fn authority(&self) -> Option<&str> {
        self.authority
    }

    fn header(&self, name: &str, nth: usize) -> Option<&[u8]> {
        self.headers.iter().filter(|header| header.0 == name).nth(nth).map(|header| header.1)
    }
}

fn host(value: &str) -> Head<'_> {
    Head { headers: vec![("host", value.as_bytes())], ..Head::default() }
}

fn found(resolver: &TenantResolver, head: &Head<'_>) -> Result<String, NoTenant> {
    resolver.resolve(head).map(Cow::into_owned)
}

#[test]
fn host_is_one_spelling_whatever_was_sent() {
    let resolver = TenantResolver::host();
    for text in [
        "shop.example",
        "SHOP.example",
        "shop.example.",
        "shop.example:80",
        "Shop.Example.:65535",
        "shop.example:",
    ] {
        assert_eq!(found(&resolver, &host(text)).as_deref(), Ok("shop.example"), "{text:?}");
    }
    for (text, literal) in
        [("[::1]", "[::1]"), ("[2001:DB8::1]:8080", "[2001:db8::1]"), ("127.0.0.1:1", "127.0.0.1")]
    {
        assert_eq!(found(&resolver, &host(text)).as_deref(), Ok(literal));
    }
    let bad = [
        "a b",
        " a",
        "a ",
        "a..b",
        ".a",
        ".",
        "..",
        "a:b",
        "a:1:2",
        "a:123456",
        "a:-1",
        "[::1",
        "[x]",
        "[::1]x",
        "[::1]:x",
        "::1",
        "user@a",
        "a/b",
        "a,b",
        "a%00",
        "ä.example",
        "a\\b",
    ];
    for text in bad {
        assert_eq!(found(&resolver, &host(text)), Err(NoTenant::Malformed), "{text:?}");
    }
    let long = format!("{}.example", "a".repeat(64));
    assert_eq!(found(&resolver, &host(&long)), Err(NoTenant::Malformed));
    assert_eq!(found(&resolver, &host("")), Err(NoTenant::Missing));
    assert_eq!(found(&resolver, &Head::default()), Err(NoTenant::Missing));
    let binary = Head { headers: vec![("host", b"a\xFF")], ..Head::default() };
    assert_eq!(found(&resolver, &binary), Err(NoTenant::Malformed));
}

#[test]
fn host_twice_or_in_conflict_refused() {
    let resolver = TenantResolver::host();
    let twice = Head { headers: vec![("host", b"a.example"), ("host", b"a.example")], ..Head::default() };
    assert_eq!(found(&resolver, &twice), Err(NoTenant::Conflicting));
    let target = |header: &'static str| Head { authority: Some("A.example:443"), ..host(header) };
    assert_eq!(found(&resolver, &target("a.example")).as_deref(), Ok("a.example"));
    assert_eq!(found(&resolver, &target("b.example")), Err(NoTenant::Conflicting));
    assert_eq!(found(&resolver, &target("b b")), Err(NoTenant::Malformed));
    let alone = Head { authority: Some("A.example:443"), ..Head::default() };
    assert_eq!(found(&resolver, &alone).as_deref(), Ok("a.example"));
    let forwarded = Head {
        headers: vec![("x-forwarded-host", b"a.example"), ("forwarded", b"host=a.example")],
        ..Head::default()
    };
    assert_eq!(found(&resolver, &forwarded), Err(NoTenant::Missing));
}

#[test]
fn subdomain_is_one_label_in_front_of_the_base() {
    let resolver = TenantResolver::subdomain("Shop.Example.").unwrap();
    assert_eq!(found(&resolver, &host("acme.shop.example:8080")).as_deref(), Ok("acme"));
    assert_eq!(found(&resolver, &host("ACME.shop.example")).as_deref(), Ok("acme"));
    for text in
        ["shop.example", "acmeshop.example", "acme.shop.example.evil.org", "[::1]", "10.0.0.1", "acme"]
    {
        assert_eq!(found(&resolver, &host(text)), Err(NoTenant::Missing), "{text:?}");
    }
    for text in ["a.b.shop.example", ".shop.example"] {
        assert_eq!(found(&resolver, &host(text)), Err(NoTenant::Malformed), "{text:?}");
    }
    for base in ["", ".", "a b", "a:80", "[::1]", "http://a"] {
        assert!(TenantResolver::subdomain(base).is_err(), "{base:?}");
    }
}

#[test]
fn header_counts_once_and_is_never_one_with_a_purpose() {
    let resolver = TenantResolver::header("X-Tenant").unwrap();
    assert_eq!(resolver.vary(), Some("x-tenant"));
    let head = |value: &'static [u8]| Head { headers: vec![("x-tenant", value)], ..Head::default() };
    assert_eq!(found(&resolver, &head(b" acme\t")).as_deref(), Ok("acme"));
    assert_eq!(found(&resolver, &head(b"  ")), Err(NoTenant::Missing));
    assert_eq!(found(&resolver, &head(b"\xFF")), Err(NoTenant::Malformed));
    for name in ["cookie", "Authorization", "", "a b"] {
        assert!(TenantResolver::header(name).is_err());
    }
}

#[test]
fn path_segment_is_taken_as_it_was_sent() {
    let path = |path: &'static str| Head { path, ..Head::default() };
    let resolver = TenantResolver::path_segment(1);
    assert_eq!(found(&resolver, &path("/t/acme")).as_deref(), Ok("acme"));
    assert_eq!(found(&resolver, &path("/t/acme/x")).as_deref(), Ok("acme"));
    for text in ["", "*", "/", "/t", "/t/", "//acme", "/../acme", "/./acme", "t/acme"] {
        assert_eq!(found(&resolver, &path(text)), Err(NoTenant::Missing), "{text:?}");
    }
    for text in
        ["/t/%61cme", "/t/..", "/t/.", "/t/a;v=1", "/t/a\\b", "/%2e%2e/acme", "/t\\x/acme", "/t;v/acme"]
    {
        assert_eq!(found(&resolver, &path(text)), Err(NoTenant::Malformed), "{text:?}");
    }
}

#[test]
fn custom_resolver_and_answer() {
    let resolver = TenantResolver::custom(|head| head.path().strip_prefix("/of-").map(str::to_owned))
        .with_unknown_tenant(UnknownTenant::BadRequest);
    assert_eq!(found(&resolver, &Head { path: "/of-acme", ..Head::default() }).as_deref(), Ok("acme"));
    assert_eq!(found(&resolver, &Head { path: "/", ..Head::default() }), Err(NoTenant::Missing));
    assert_eq!(resolver.unknown_tenant(), UnknownTenant::BadRequest);
}

proptest! {
    /// Whatever comes, a name is lower case and one label, or there is none.
    #[test]
    fn any_host_gives_one_clean_label_or_none(text in "[ -~äß\u{0}]{0,40}|[a-zA-Z.]{1,9}\\.shop\\.example(:[0-9]{0,6})?") {
        let resolver = TenantResolver::subdomain("shop.example").unwrap();
        if let Ok(tenant) = found(&resolver, &host(&text)) {
            prop_assert!(!tenant.is_empty());
            prop_assert!(tenant.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'));
        }
    }
}

use cloakroom_http::{CacheControl, cache_control, merge_vary};

fn decision(lines: &[&str]) -> CacheControl {
    cache_control(lines.iter().map(|line| line.as_bytes()))
}

// ST-66, CV-22, CV-23
#[test]
fn cache_control_of_a_response_with_a_key_is_no_store_unless_it_is_private() {
    for private in
        ["private", "no-store", "no-cache", "Private, max-age=60", "max-age=0,no-cache", "NO-STORE"]
    {
        assert_eq!(decision(&[private]), CacheControl::Keep, "{private}");
    }
    for weak in [
        "",
        "max-age=60",
        "must-revalidate",
        "no-cache=\"Set-Cookie\"",
        "private=\"X\"",
        "immutable",
        "xprivate",
    ] {
        assert_eq!(decision(&[weak]), CacheControl::NoStore, "{weak}");
    }
    for public in ["public", "PUBLIC, max-age=60", "s-maxage=10", "private, s-maxage=10", "no-cache, public"]
    {
        assert_eq!(decision(&[public]), CacheControl::NoStoreInsteadOfPublic, "{public}");
    }
    assert_eq!(decision(&[]), CacheControl::NoStore);
    assert_eq!(decision(&["private", "public"]), CacheControl::NoStoreInsteadOfPublic);
}

// ST-67
#[test]
fn vary_is_merged_not_repeated_and_a_star_says_all() {
    let merged = |lines: &[&str]| merge_vary(lines.iter().map(|line| line.as_bytes()), "Cookie");
    assert_eq!(merged(&[]).as_deref(), Some("Cookie"));
    assert_eq!(merged(&[""]).as_deref(), Some("Cookie"));
    assert_eq!(merged(&["Accept, Origin"]).as_deref(), Some("Accept, Origin, Cookie"));
    assert_eq!(merged(&["Accept", "Origin"]).as_deref(), Some("Accept, Origin, Cookie"));
    assert_eq!(merged(&["accept, COOKIE"]), None);
    assert_eq!(merged(&["Accept", "*"]), None);
    assert_eq!(merged(&["X-Cookie"]).as_deref(), Some("X-Cookie, Cookie"));
}

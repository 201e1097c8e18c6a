/// Headers that speak to shared caches over the head of `Cache-Control` (RFC 9213 and its forerunner). A response with
/// a key must not carry them.
pub const TARGETED_CACHE_CONTROL: [&str; 2] = ["cdn-cache-control", "surrogate-control"];

/// What to do with the `Cache-Control` of a response that carries a key (CV-22, CV-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheControl {
    /// The handler chose a private one: leave it.
    Keep,
    /// Put `no-store` in its place (ST-66).
    NoStore,
    /// Put `no-store` in its place, and warn: the handler wanted to share what must not be shared.
    NoStoreInsteadOfPublic,
}

/// Looks at the `Cache-Control` headers of a response that carries a key.
///
/// ```
/// use cloakroom_http::{CacheControl, cache_control};
///
/// assert_eq!(cache_control([b"private, max-age=60".as_slice()]), CacheControl::Keep);
/// assert_eq!(cache_control([b"max-age=60".as_slice()]), CacheControl::NoStore);
/// assert_eq!(cache_control([b"public".as_slice()]), CacheControl::NoStoreInsteadOfPublic);
/// ```
#[must_use]
pub fn cache_control<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> CacheControl {
    let mut private = false;
    for (directive, outside) in lines.into_iter().flat_map(directives) {
        let directive = directive.trim_ascii();
        let (name, argument) = match directive.iter().position(|&byte| byte == b'=') {
            Some(at) => (directive[..at].trim_ascii_end(), true),
            None => (directive, false),
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("public") || is("s-maxage") {
            return CacheControl::NoStoreInsteadOfPublic;
        }
        // With an argument they speak of single fields only, and caches may keep the rest.
        private |= outside && !argument && (is("private") || is("no-store") || is("no-cache"));
    }
    if private { CacheControl::Keep } else { CacheControl::NoStore }
}

/// The parts between commas, and whether each begins outside a quoted string (RFC 9110, 5.6.4).
fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(|&byte| byte == b',').map(move |part| {
        let outside = !quoted;
        for &byte in part {
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && quoted && !escaped;
        }
        escaped = false; // the comma took it
        (part, outside)
    })
}

/// The `Vary` that takes the place of those that are there, so that `name` is among them; `None` when they say enough
/// already (ST-67).
///
/// ```
/// use cloakroom_http::merge_vary;
///
/// assert_eq!(merge_vary([b"Accept".as_slice()], "Cookie").as_deref(), Some("Accept, Cookie"));
/// assert_eq!(merge_vary([b"accept, cookie".as_slice()], "Cookie"), None);
/// assert_eq!(merge_vary([b"*".as_slice()], "Cookie"), None);
/// ```
#[must_use]
pub fn merge_vary<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> Option<String> {
    let mut merged = String::new();
    for field in lines.into_iter().flat_map(|line| line.split(|&byte| byte == b',')) {
        // Field names are ASCII; anything else cannot be matched by any cache.
        let Ok(field) = std::str::from_utf8(field.trim_ascii()) else { continue };
        if field == "*" || field.eq_ignore_ascii_case(name) {
            return None;
        }
        if !field.is_empty() {
            merged.push_str(field);
            merged.push_str(", ");
        }
    }
    merged.push_str(name);
    Some(merged)
}

//! `Vary` and `Cache-Control` of a response: lines of arbitrary bytes.
#![cfg_attr(fuzzing, no_main)]

use cloakroom_http::{CacheControl, cache_control, merge_vary};

cloakroom_fuzz::target!(cache_headers);

fn cache_headers(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    vary(&lines, "Cookie");
    vary(&lines, "X-Session");
    control(&lines);
}

fn vary(lines: &[&[u8]], name: &str) {
    let fields: Vec<String> = lines
        .iter()
        .flat_map(|line| line.split(|&byte| byte == b','))
        .filter_map(|field| String::from_utf8(field.trim_ascii().to_vec()).ok())
        .filter(|field| !field.is_empty())
        .collect();
    let merged = merge_vary(lines.iter().copied(), name);
    let enough = fields.iter().any(|field| field == "*" || field.eq_ignore_ascii_case(name));
    assert_eq!(merged.is_none(), enough);
    let Some(merged) = merged else { return };
    let mut expected = fields;
    expected.push(name.to_owned());
    assert_eq!(merged.split(", ").collect::<Vec<_>>(), expected);
    assert_eq!(merge_vary([merged.as_bytes()], name), None, "what was merged says enough");
}

fn control(lines: &[&[u8]]) {
    let verdict = cache_control(lines.iter().copied());
    assert_eq!(cache_control(lines.iter().rev().copied()), verdict, "the order of lines says nothing");
    let mut shared = lines.to_vec();
    shared.push(b"PUBLIC");
    assert_eq!(cache_control(shared), CacheControl::NoStoreInsteadOfPublic);
    // What a cache reads that follows quotes; a line whose quotes do not close says whatever it likes to each.
    let parsed: Option<Vec<Vec<Directive>>> = lines.iter().map(|line| directives(line)).collect();
    let Some(parsed) = parsed else { return };
    let all: Vec<Directive> = parsed.into_iter().flatten().collect();
    let named = |word: &str| all.iter().find(|directive| directive.name.eq_ignore_ascii_case(word));
    let bare =
        |word| all.iter().any(|directive| !directive.argument && directive.name.eq_ignore_ascii_case(word));
    match verdict {
        CacheControl::Keep => {
            assert!(bare("private") || bare("no-store") || bare("no-cache"), "shared caches may keep it");
            assert!(named("public").is_none() && named("s-maxage").is_none());
        }
        CacheControl::NoStore => assert!(named("public").is_none() && named("s-maxage").is_none()),
        _ => {}
    }
}

struct Directive {
    name: String,
    argument: bool,
}

/// The directives of a line, quoted strings taken for what they are (RFC 9110, 5.6.4); `None` when one does not close.
fn directives(line: &[u8]) -> Option<Vec<Directive>> {
    let (mut found, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                found.push(directive(&line[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(directive(&line[start..]));
    (!quoted).then_some(found)
}

fn directive(text: &[u8]) -> Directive {
    let mut parts = text.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default().trim_ascii();
    Directive { name: String::from_utf8_lossy(name).into_owned(), argument: parts.next().is_some() }
}

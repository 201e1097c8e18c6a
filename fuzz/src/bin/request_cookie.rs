//! What a request says about its key: `Cookie` lines, and headers that hold a key alone. The first byte chooses the
//! kind of key and the name, the rest is the lines.
#![cfg_attr(fuzzing, no_main)]

use cloakroom_core::{Capability, SessionKey, Timestamp};
use cloakroom_http::{Candidates, CookieConfig, MAX_BYTES, MAX_CANDIDATES};

cloakroom_fuzz::target!(request_cookie);

fn request_cookie(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let lines: Vec<&[u8]> = rest.split(|&byte| byte == b'\n').collect();
    let capability = match choice & 3 {
        0 | 1 => Capability::store(),
        2 => Capability::sealed(8, 8),
        _ => Capability::sealed(4096, 4096),
    };
    let name = if choice & 4 == 0 { "id" } else { "__Host-id" };
    from_cookies(name, &lines, &capability);
    from_header(None, &lines, &capability);
    from_header(Some("Bearer"), &lines, &capability);
}

fn from_cookies(name: &str, lines: &[&[u8]], capability: &Capability) {
    let found = Candidates::from_cookies(name, lines.iter().copied(), capability);
    check(&found, values(name, lines), capability);
    if lines.iter().map(|line| line.len() + 1).sum::<usize>() <= MAX_BYTES {
        let joined = Candidates::from_cookies(name, [lines.join(&b';').as_slice()], capability);
        assert_eq!(summary(&joined), summary(&found), "several lines count as one (ST-59)");
    }
    let cookie = CookieConfig::builder().with_name(name).build();
    let cookie = cookie.unwrap_or_else(|_| CookieConfig::insecure_for_development());
    for key in found.first.iter().chain(&found.others) {
        comes_back(&cookie, key, capability);
    }
}

/// What is sent is read again, and is nothing but one header line.
fn comes_back(cookie: &CookieConfig, key: &SessionKey, capability: &Capability) {
    let Ok(line) = cookie.set(key, None, Timestamp::from_millis(0)) else {
        assert!(cookie.name().len() + key.expose().len() > 4096, "refused without need");
        return;
    };
    assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let pair = line.split(';').next().unwrap_or_default();
    let again = Candidates::from_cookies(cookie.name(), [pair.as_bytes()], capability);
    assert!(again.first.as_ref() == Some(key) && again.others.is_empty() && !again.malformed);
}

fn from_header(scheme: Option<&str>, lines: &[&[u8]], capability: &Capability) {
    let found = Candidates::from_header(scheme, lines.iter().copied(), capability);
    let mut values = Vec::new();
    for line in lines.iter().take(MAX_CANDIDATES) {
        let line = line.trim_ascii();
        let value = match scheme {
            None => Some(line.to_vec()),
            Some(scheme) => {
                let space = line.iter().position(|&byte| byte == b' ');
                let space = space.filter(|&at| line[..at].eq_ignore_ascii_case(scheme.as_bytes()));
                space.map(|at| line[at..].trim_ascii().to_vec())
            }
        };
        values.extend(value.filter(|value| value.len() <= MAX_BYTES));
    }
    check(&found, values, capability);
}

/// The values of the cookies of that name, worked out the slow way.
fn values(name: &str, lines: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut left = MAX_BYTES;
    for line in lines {
        let kept = match line.get(..left) {
            Some(start) if line.len() > left => {
                // The cookie that the bound cuts in two is dropped.
                &start[..start.iter().rposition(|&byte| byte == b';').unwrap_or(0)]
            }
            _ => line,
        };
        left = left.saturating_sub(line.len());
        for pair in kept.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
            if &pair[..equals] != name.as_bytes() {
                continue;
            }
            let mut value = pair[equals + 1..].trim_ascii();
            if value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"") {
                value = &value[1..value.len() - 1];
            }
            found.push(value.to_vec());
        }
        if left == 0 {
            break;
        }
    }
    found
}

/// Compares with what the values should have given.
fn check(found: &Candidates, values: Vec<Vec<u8>>, capability: &Capability) {
    let (mut keys, mut malformed) = (Vec::new(), false);
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        if keys.len() == MAX_CANDIDATES {
            break;
        }
        let key = String::from_utf8(value).ok().filter(|text| SessionKey::parse(text, capability).is_ok());
        match key {
            None => malformed = true,
            Some(key) if !keys.contains(&key) => keys.push(key),
            Some(_) => {}
        }
    }
    assert_eq!(summary(found), (keys, malformed));
    assert!(found.is_empty() == found.first.is_none() && (found.first.is_some() || found.others.is_empty()));
}

fn summary(found: &Candidates) -> (Vec<String>, bool) {
    let keys = found.first.iter().chain(&found.others);
    (keys.map(|key| key.expose().to_owned()).collect(), found.malformed)
}

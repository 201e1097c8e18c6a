//! Keys that are longer than one cookie: `name=3~…`, `name.1=…`, `name.2=…`.
//!
//! The first part says how many there are, so that what is left over of a longer key is not taken for a part. Parts of
//! two different keys make nothing: the seal over all of them refuses it.

use std::time::Duration;

use cloakroom_core::{Capability, SessionKey, Timestamp};

use crate::candidate::{Candidates, MAX_BYTES, MAX_CANDIDATES, unquoted};
use crate::cookie::CookieConfig;
use crate::set_cookie::MAX_PAIR;

/// Over how many cookies a key can be split at most.
pub const MAX_SPLIT: usize = 4;
/// Behind the number of parts. No backend makes a key that begins with a digit and this.
pub(crate) const PART_MARK: char = '~';
/// Names of further cookies, by what is behind the first one's name. A prefix such as `__Host-` holds for all.
const SUFFIXES: [&str; MAX_SPLIT] = ["", ".1", ".2", ".3"];
/// What a part spends on its suffix, or the first one on its mark.
const PART_OVERHEAD: usize = 2;

/// A key's text, cut.
pub(crate) struct Parts<'a> {
    text: &'a str,
    length: usize,
}

impl<'a> Parts<'a> {
    pub(crate) fn count(&self) -> usize {
        self.text.len().div_ceil(self.length).max(1)
    }

    /// Empty behind the last.
    pub(crate) fn get(&self, index: usize) -> &'a str {
        let start = (index * self.length).min(self.text.len());
        let end = (start + self.length).min(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }
}

impl CookieConfig {
    /// How long a key can be.
    pub(crate) fn capacity(&self) -> usize {
        match self.split() {
            1 => MAX_PAIR.saturating_sub(self.name().len()),
            cookies => cookies * self.part_length(),
        }
    }

    fn part_length(&self) -> usize {
        MAX_PAIR.saturating_sub(self.name().len() + PART_OVERHEAD).max(1)
    }

    /// One part where it fits; `None` where it does not fit at all.
    pub(crate) fn parts<'a>(&self, text: &'a str) -> Option<Parts<'a>> {
        let whole = MAX_PAIR.saturating_sub(self.name().len());
        match text.len() {
            length if length <= whole => Some(Parts { text, length: whole }),
            length if length <= self.capacity() => Some(Parts { text, length: self.part_length() }),
            _ => None,
        }
    }

    /// The further cookies of a key, and the removal of those that it does not need.
    pub(crate) fn set_further(
        &self,
        key: &SessionKey,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Vec<String> {
        let Some(parts) = self.parts(key.expose()) else { return Vec::new() };
        let count = parts.count();
        let cookie = |(index, suffix): (usize, &&str)| match index < count {
            true => self.line(suffix, "", parts.get(index), lifetime, now),
            false => self.removal_of(suffix),
        };
        self.further().map(cookie).collect()
    }

    pub(crate) fn removal_further(&self) -> Vec<String> {
        self.further().map(|(_, suffix)| self.removal_of(suffix)).collect()
    }

    fn further(&self) -> impl Iterator<Item = (usize, &'static &'static str)> {
        SUFFIXES.iter().enumerate().take(self.split()).skip(1)
    }

    /// As [`Candidates::from_cookies`], for keys that may be split.
    ///
    /// Of several cookies of one name, those belong together that come in the same order: browsers send all of one path
    /// before those of another. Where that gives no key, the last of each name do.
    pub(crate) fn split_candidates<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a [u8]>,
        capability: &Capability,
    ) -> Candidates {
        let mut cookies: [Vec<&'a [u8]>; MAX_SPLIT] = Default::default();
        for pair in pairs(lines) {
            let Some(rest) = pair.strip_prefix(self.name().as_bytes()) else { continue };
            for (suffix, values) in SUFFIXES.iter().zip(&mut cookies).take(self.split()) {
                let value = rest.strip_prefix(suffix.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
                if let Some(value) = value.filter(|_| values.len() < MAX_CANDIDATES) {
                    values.push(unquoted(value.trim_ascii()));
                }
            }
        }
        let [firsts, further @ ..] = cookies;
        let mut found = Candidates::default();
        let mut taken = [0; MAX_SPLIT - 1];
        let mut split = Vec::new();
        for first in firsts {
            let Some((count, start)) = marked(first, self.split()) else {
                found.consider(first, capability);
                continue;
            };
            let mut key = start.to_vec();
            let mut complete = true;
            for (values, taken) in further.iter().zip(&mut taken).take(count - 1) {
                let value = values.get(*taken).or(values.last());
                complete &= value.is_some();
                key.extend_from_slice(value.copied().unwrap_or_default());
                *taken += 1;
            }
            if complete {
                found.consider(&key, capability);
                split.push((count, start));
            } else {
                found.malformed = true;
            }
        }
        // Whoever can set one further part for a longer path must not make a key unreadable: the last of each name are
        // tried together as well.
        let ambiguous = further.iter().any(|values| values.len() > 1);
        for (count, start) in split.into_iter().filter(|_| ambiguous) {
            let mut key = start.to_vec();
            for values in further.iter().take(count - 1) {
                key.extend_from_slice(values.last().copied().unwrap_or_default());
            }
            found.consider(&key, capability);
        }
        found
    }
}

/// How many parts there are, and the first of them.
fn marked(value: &[u8], most: usize) -> Option<(usize, &[u8])> {
    let (&[count, mark], start) = value.split_first_chunk::<2>()?;
    let count = usize::from(count.checked_sub(b'0')?);
    ((2..=most).contains(&count) && mark == PART_MARK as u8).then_some((count, start))
}

/// The pairs of all `Cookie` headers, within the bound.
fn pairs<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut budget = MAX_BYTES;
    lines.into_iter().flat_map(move |line| {
        let cut = line.len() > budget;
        let line = &line[..line.len().min(budget)];
        budget -= line.len();
        // What the bound cut in two is nobody's cookie.
        let end = if cut { line.iter().rposition(|&byte| byte == b';').unwrap_or(0) } else { line.len() };
        line[..end].split(|&byte| byte == b';').map(<[u8]>::trim_ascii)
    })
}

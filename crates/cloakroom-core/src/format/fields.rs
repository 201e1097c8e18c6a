use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::{Format, RESERVED, json};
use crate::error::{ErrorKind, Result, SessionError};

/// White space behind the object, which no JSON tool keeps: this JSON was written here, with the reserved member first
/// or not at all. So nobody has to search all of it.
const MARK: u8 = b'\t';

/// The members of a payload, found one after the other and no further than asked.
pub(crate) struct Fields {
    payload: Bytes,
    format: Format,
    found: Vec<Member>,
    /// Where the scan goes on; behind the last member at the end.
    at: usize,
    complete: bool,
    index: Option<Box<Index>>,
}

/// So many members are compared one by one.
const FEW: usize = 64;

#[derive(Default)]
struct Index {
    by_name: HashMap<Box<[u8]>, usize>,
    /// How many members are in it.
    members: usize,
}

struct Member {
    name: Name,
    value: Range<usize>,
}

enum Name {
    Plain(Range<usize>),
    Unescaped(Box<str>),
}

fn damaged() -> SessionError {
    SessionError::new(ErrorKind::Corrupted, "load").with_message("the payload is damaged")
}

impl Fields {
    pub(crate) fn empty(format: Format) -> Self {
        Self { payload: Bytes::new(), format, found: Vec::new(), at: 0, complete: true, index: None }
    }

    /// Checks the tag and the outer shape, and nothing else.
    pub(crate) fn new(payload: Bytes) -> Result<Self> {
        let format = Format::of(&payload).ok_or_else(damaged)?;
        let mut at = 1;
        if format == Format::Json {
            let start = json::skip_space(&payload, 0);
            let end = payload.trim_ascii_end();
            if end.len() < start + 2 || end[start] != b'{' || end[end.len() - 1] != b'}' {
                return Err(damaged());
            }
            at = start + 1;
        }
        Ok(Self { payload, format, found: Vec::new(), at, complete: false, index: None })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Where the members of a JSON object begin.
    pub(crate) fn start(&self) -> usize {
        json::skip_space(&self.payload, 0) + 1
    }

    /// Where the members of a JSON object end.
    pub(crate) fn end(&self) -> usize {
        self.payload.trim_ascii_end().len() - 1
    }

    /// Whether the scan came to the end and found nothing. To add a name, the whole payload is searched for it.
    pub(crate) fn is_known_empty(&self) -> bool {
        self.complete && self.found.is_empty()
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.payload[range]
    }

    /// Where the value of that field is.
    pub(crate) fn find(&mut self, name: &str) -> Result<Option<Range<usize>>> {
        if let Some(known) = self.known(name.as_bytes()) {
            return Ok(Some(self.found[known].value.clone()));
        }
        while !self.complete {
            let before = self.found.len();
            self.advance()?;
            if let Some(member) = self.found.get(before)
                && self.name(&member.name) == name.as_bytes()
            {
                return Ok(Some(member.value.clone()));
            }
        }
        Ok(None)
    }

    /// The member of that name among those found so far. Few are compared one by one, many have an index.
    fn known(&mut self, name: &[u8]) -> Option<usize> {
        if self.found.len() <= FEW {
            return self.found.iter().position(|member| self.name(&member.name) == name);
        }
        let mut index = self.index.take().unwrap_or_default();
        for (at, member) in self.found.iter().enumerate().skip(index.members) {
            index.by_name.entry(self.name(&member.name).into()).or_insert(at);
        }
        index.members = self.found.len();
        let known = index.by_name.get(name).copied();
        self.index = Some(index);
        known
    }

    /// Finds every member.
    pub(crate) fn scan(&mut self) -> Result<()> {
        while !self.complete {
            self.advance()?;
        }
        let text = |member: &Member| std::str::from_utf8(self.name(&member.name)).is_ok();
        if self.found.iter().all(text) { Ok(()) } else { Err(damaged()) }
    }

    /// The members found so far, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.found.iter().filter_map(|member| {
            Some((std::str::from_utf8(self.name(&member.name)).ok()?, member.value.clone()))
        })
    }

    /// Whether the reserved member can be there: a quick look before a scan.
    pub(crate) fn may_hold_reserved(&self) -> bool {
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(RESERVED));
        if self.is_marked() {
            let first =
                self.payload.strip_prefix(b"{\"").and_then(|rest| rest.strip_prefix(RESERVED.as_bytes()));
            return first.is_some_and(|rest| rest.starts_with(b"\""));
        }
        FINDER.find(&self.payload).is_some()
    }

    /// Whether the reserved member is the first, if it is there at all.
    pub(crate) fn is_marked(&self) -> bool {
        self.format == Format::Json && self.payload.last() == Some(&MARK)
    }

    fn name<'a>(&'a self, name: &'a Name) -> &'a [u8] {
        match name {
            Name::Plain(range) => &self.payload[range.clone()],
            Name::Unescaped(name) => name.as_bytes(),
        }
    }

    fn advance(&mut self) -> Result<()> {
        if self.found.capacity() == 0 {
            self.found.reserve(12);
        }
        match self.format {
            Format::Json => self.advance_json().ok_or_else(damaged),
            #[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
            _ => self.advance_frame().ok_or_else(damaged),
        }
    }

    fn advance_json(&mut self) -> Option<()> {
        let text: &[u8] = &self.payload;
        let mut at = json::skip_space(text, self.at);
        match (text.get(at)?, self.found.is_empty()) {
            (b'}', _) => {
                // What follows the object is damage, at every look.
                if json::skip_space(text, at + 1) != text.len() {
                    return None;
                }
                self.at = text.len();
                self.complete = true;
                return Some(());
            }
            (b',', false) => at = json::skip_space(text, at + 1),
            (_, true) => {}
            _ => return None,
        }
        if *text.get(at)? != b'"' {
            return None;
        }
        let end = json::skip_string(text, at)?;
        let raw = &text[at + 1..end - 1];
        let name = if raw.contains(&b'\\') {
            Name::Unescaped(serde_json::from_slice(&text[at..end]).ok()?)
        } else {
            Name::Plain(at + 1..end - 1)
        };
        at = json::skip_space(text, end);
        if *text.get(at)? != b':' {
            return None;
        }
        at = json::skip_space(text, at + 1);
        let end = json::skip_value(text, at)?;
        self.found.push(Member { name, value: at..end });
        self.at = end;
        Some(())
    }

    #[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
    fn advance_frame(&mut self) -> Option<()> {
        if self.at == self.payload.len() {
            self.complete = true;
            return Some(());
        }
        let name = self.framed(self.at)?;
        let value = self.framed(name.end)?;
        self.at = value.end;
        self.found.push(Member { name: Name::Plain(name), value });
        Some(())
    }

    /// A length as LEB128, and that many bytes.
    #[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
    fn framed(&self, mut at: usize) -> Option<Range<usize>> {
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.payload.get(at)?;
            at += 1;
            length |= usize::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                let end = at.checked_add(length)?;
                return (end <= self.payload.len()).then_some(at..end);
            }
        }
        None
    }
}

/// Writes a payload member by member.
pub(crate) struct Writer {
    out: Vec<u8>,
    format: Format,
    empty: bool,
}

impl Writer {
    pub(crate) fn new(format: Format, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity + 3);
        out.push(format.tag().unwrap_or(b'{'));
        Self { out, format, empty: true }
    }

    /// Before members that are copied as they are; `empty` = there are none.
    pub(crate) fn begin_rest(&mut self, empty: bool) {
        if !(self.empty || empty) {
            self.out.push(b',');
        }
        self.empty &= empty;
    }

    /// Part of such members.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn member(&mut self, name: &str, value: &[u8]) {
        match self.format {
            Format::Json => {
                if !self.empty {
                    self.out.push(b',');
                }
                write_json_name(&mut self.out, name);
                self.out.push(b':');
                self.out.extend_from_slice(value);
            }
            #[cfg(any(feature = "messagepack", feature = "cbor", feature = "bincode"))]
            _ => {
                for part in [name.as_bytes(), value] {
                    let mut length = part.len();
                    while length >= 0x80 {
                        self.out.push(length.to_le_bytes()[0] | 0x80);
                        length >>= 7;
                    }
                    self.out.push(length.to_le_bytes()[0]);
                    self.out.extend_from_slice(part);
                }
            }
        }
        self.empty = false;
    }

    /// `mark` = the reserved member is the first or not there.
    pub(crate) fn finish(mut self, mark: bool) -> Vec<u8> {
        if self.format == Format::Json {
            self.out.push(b'}');
            self.out.extend(mark.then_some(MARK));
        }
        self.out
    }
}

fn write_json_name(out: &mut Vec<u8>, name: &str) {
    if name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    } else {
        // A vector takes whatever is written, and a string has always a JSON form.
        let written = serde_json::to_writer(out, name);
        debug_assert!(written.is_ok());
    }
}

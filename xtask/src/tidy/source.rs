//! Rust source with comments and the insides of literals blanked out, and test code told from library code.
//!
//! This is no parser. It knows enough of the language to never take a word in a comment or a string for code.

/// A Rust file; every list has one entry a line.
pub(super) struct Source<'a> {
    pub(super) raw: Vec<&'a str>,
    /// Code that is compiled into a user's program.
    pub(super) shipped: Vec<String>,
    /// Code that only tests and benchmarks run.
    pub(super) test: Vec<String>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &str, text: &'a str) -> Self {
        let code = blank(text);
        let (library, test) = if is_test_file(path) { (blanks(&code), code) } else { split_tests(&code) };
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        Self { raw: text.lines().collect(), shipped: lines(library), test: lines(test) }
    }

    /// True when the line, or a comment right above it, says why it may break a rule.
    pub(super) fn is_excused(&self, line: usize) -> bool {
        let above = line.checked_sub(1).map(|above| self.raw[above].trim_start());
        has_reason(self.raw[line]) || above.is_some_and(|above| above.starts_with("//") && has_reason(above))
    }

    /// The number of lines that are not test code; the blank ones and the documentation count.
    pub(super) fn shipped_length(&self) -> usize {
        let tests = self.test.iter().filter(|line| !line.trim().is_empty()).count();
        self.raw.len() - tests
    }
}

fn has_reason(line: &str) -> bool {
    line.split_once("// tidy-allow:").is_some_and(|(_, reason)| reason.trim().len() > 3)
}

/// True for files that hold nothing but tests.
pub(super) fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    parts.next() == Some("tests.rs") || parts.any(|part| part == "tests" || part == "benches")
}

/// The code with every comment and the inside of every literal turned to spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_length(&chars, at, out.chars().next_back());
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `at` itself when none begins.
fn skip_length(chars: &[char], at: usize, before: Option<char>) -> usize {
    let next = chars.get(at + 1).copied();
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |rest| rest[0] == '\n'),
        '/' if next == Some('*') => end_of_block(chars, at),
        '"' => end_of_string(chars, at),
        'r' if !in_word || before == Some('b') || before == Some('c') => end_of_raw(chars, at),
        '\'' => end_of_char(chars, at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&at| stop(&chars[at..])).unwrap_or(chars.len())
}

/// Block comments nest.
fn end_of_block(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `r"…"` and `r#"…"#`; an identifier like `r#type` is neither.
fn end_of_raw(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let closes =
        |rest: &[char]| rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|&c| c == '#');
    (find(chars, from + 2 + hashes, closes) + 1 + hashes).min(chars.len())
}

/// `'x'` and `'\n'`; a lifetime has no closing quote.
fn end_of_char(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (find(chars, from + 3, |rest| rest[0] == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// The blanked code without and with only the items under `#[cfg(test)]`.
fn split_tests(code: &str) -> (String, String) {
    let (mut library, mut test) = (String::new(), String::new());
    let mut rest = code;
    while let Some(start) = find_test_attribute(rest) {
        let length = item_length(&rest[start..]);
        let (before, item) = (&rest[..start], &rest[start..start + length]);
        library.extend([before, &blanks(item)]);
        test.extend([&blanks(before), item]);
        rest = &rest[start + length..];
    }
    library.push_str(rest);
    test.push_str(&blanks(rest));
    (library, test)
}

fn find_test_attribute(code: &str) -> Option<usize> {
    code.match_indices("#[cfg(").map(|(at, _)| at).find(|&at| {
        let inside = code[at..].split(']').next().unwrap_or_default();
        let mut words = inside.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "test") && !inside.contains("not(") && !inside.contains("any(")
    })
}

/// From the attribute to the end of the item: its closing brace, or the semicolon before any brace.
fn item_length(item: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

fn blanks(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// True when the code has this word or macro, not as the end of a longer one.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::{Source, blank, has_word, is_test_file};

    #[test]
    fn blank_hides_comments_and_literals_and_keeps_the_code() {
        let text = r##"a("todo!() \" x"); // todo!()
/* b /* todo!() */ still */ c('"'); d::<'a>(r#"todo!() " "#); e(b"todo!()", '\'', r"\"); f();"##;
        let code = blank(text);
        assert!(!code.contains("todo"), "{code}");
        for kept in ["a(", "c(", "d::<'a>(", "e(b", "f();"] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn source_tells_tests_from_library_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c() }\n}\nfn d() {}\n#[cfg(test)]\nuse x;\nfn e() {}\n";
        let source = Source::new("crates/x/src/lib.rs", text);
        let (library, test) = (source.shipped.concat(), source.test.concat());
        for word in ["a()", "d()", "e()"] {
            assert!(library.contains(word) && !test.contains(word), "{word}");
        }
        for word in ["b()", "c()", "use x"] {
            assert!(test.contains(word) && !library.contains(word), "{word}");
        }
        assert_eq!(source.shipped_length(), 3);
    }

    #[test]
    fn source_under_cfg_not_test_is_library_code() {
        let source = Source::new("src/lib.rs", "#[cfg(not(test))]\nfn a() {}\n");
        assert!(source.shipped.concat().contains("a()"));
    }

    #[test]
    fn is_test_file_knows_the_three_places() {
        assert!(is_test_file("crates/x/tests/it/main.rs"));
        assert!(is_test_file("crates/x/src/tests.rs"));
        assert!(is_test_file("crates/x/benches/a.rs"));
        assert!(!is_test_file("crates/x/src/latest.rs"));
    }

    #[test]
    fn is_excused_needs_a_reason() {
        let text =
            "a // tidy-allow: the lock is never poisoned\nb // tidy-allow:\n// tidy-allow: as above\nc\nd\n";
        let source = Source::new("a.rs", text);
        let excused: Vec<bool> = [0, 1, 3, 4].map(|line| source.is_excused(line)).to_vec();
        assert_eq!(excused, [true, false, true, false]);
    }

    #[test]
    fn has_word_ignores_the_ends_of_longer_words() {
        assert!(has_word("core::panic!()", "panic!"));
        assert!(!has_word("dont_panic!()", "panic!"));
    }
}

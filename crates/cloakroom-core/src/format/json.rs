//! A scanner that finds the members of a JSON object without parsing their values.

/// After white space.
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Eight equal bytes.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of each byte of the word that is zero; above the lowest such byte there may be false ones.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(eight(1)) & !word & eight(0x80)
}

/// Behind the string whose opening quote is at `at`.
pub(super) fn skip_string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += string_part(text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// How far the next quote or backslash is. Most strings are short, so eight bytes at a time cost less than setting up
/// a longer search.
fn string_part(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().take(8).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ eight(b'"')) | zeros(word ^ eight(b'\\'));
        if found != 0 {
            return Some(index * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    if words.len() >= 8 {
        return memchr::memchr2(b'"', b'\\', &text[64..]).map(|offset| 64 + offset);
    }
    let offset = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + offset)
}

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const QUOTE: u8 = 3;

const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b'{' as usize] = OPEN;
    class[b'[' as usize] = OPEN;
    class[b'}' as usize] = CLOSE;
    class[b']' as usize] = CLOSE;
    class[b'"' as usize] = QUOTE;
    class
};

/// Behind the value that starts at `at`. Brackets and quotes are followed; what lies between is not judged.
pub(super) fn skip_value(text: &[u8], at: usize) -> Option<usize> {
    match CLASS[usize::from(*text.get(at)?)] {
        QUOTE => skip_string(text, at),
        OPEN => skip_container(text, at),
        CLOSE => None,
        _ => {
            let rest = &text[at..];
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            (length > 0).then_some(at + length)
        }
    }
}

fn skip_container(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match CLASS[usize::from(*text.get(at)?)] {
            OPEN => depth += 1,
            CLOSE => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            QUOTE => {
                at = skip_string(text, at)?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

//! A scanner that finds the members of a JSON object without parsing their values.

/// After white space.
pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Behind the string whose opening quote is at `at`.
pub(super) fn skip_string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        // Most strings are short: a few bytes by hand cost less than setting up a search.
        let near = text.get(at..)?;
        let offset = match near.iter().take(16).position(|byte| matches!(byte, b'"' | b'\\')) {
            Some(offset) => offset,
            None => 16 + memchr::memchr2(b'"', b'\\', near.get(16..)?)?,
        };
        at += offset;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
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

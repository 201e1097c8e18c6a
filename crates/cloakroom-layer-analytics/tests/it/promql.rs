//! The names in a PromQL expression: a tokenizer, and what the place of an identifier says it is.

use std::collections::BTreeSet;

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) metrics: BTreeSet<String>,
    pub(crate) labels: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text,
    Number,
    Mark(char),
}

/// Words that stand where a metric could.
const WORDS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start"];
/// Words that a list of labels follows.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    let starts_a_word = |c: char| c.is_ascii_alphabetic() || "_:$".contains(c);
    while let Some(c) = rest.next() {
        let mut take = |more: fn(char) -> bool| {
            let mut word = String::from(c);
            while let Some(next) = rest.next_if(|next| more(*next)) {
                word.push(next);
            }
            word
        };
        tokens.push(match c {
            _ if c.is_whitespace() => continue,
            // A duration such as `5m` is one token, unit and all.
            _ if c.is_ascii_digit() => {
                take(|c| c.is_ascii_alphanumeric() || c == '.');
                Token::Number
            }
            _ if starts_a_word(c) => Token::Word(take(|c| c.is_ascii_alphanumeric() || "_:".contains(c))),
            '"' | '\'' => {
                loop {
                    match rest.next() {
                        None => return Err(format!("a string without an end in {text}")),
                        Some('\\') => drop(rest.next()),
                        Some(end) if end == c => break,
                        Some(_) => {}
                    }
                }
                Token::Text
            }
            _ if "(){}[],=!~<>+-*/%^@.".contains(c) => Token::Mark(c),
            _ => return Err(format!("{c} in {text}")),
        });
    }
    Ok(tokens)
}

/// The metrics and labels that an expression names.
pub(crate) fn names(text: &str) -> Result<Names, String> {
    let tokens = tokens(text)?;
    let mut names = Names::default();
    // What is open, innermost last: a bracket, or `L` for a list of labels.
    let mut open: Vec<char> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        match token {
            Token::Mark('(') => {
                let is_list = matches!(before, Some(Token::Word(word)) if LISTS.contains(&word.as_str()));
                open.push(if is_list { 'L' } else { '(' });
            }
            Token::Mark(mark @ ('{' | '[')) => open.push(*mark),
            Token::Mark(mark @ (')' | '}' | ']')) => {
                let fits = matches!(
                    (open.pop(), mark),
                    (Some('(' | 'L'), ')') | (Some('{'), '}') | (Some('['), ']')
                );
                if !fits {
                    return Err(format!("{mark} closes nothing in {text}"));
                }
            }
            Token::Word(word) => match open.last() {
                Some('{' | 'L') => drop(names.labels.insert(word.clone())),
                Some('[') => {} // a variable of Grafana's for a duration
                _ => {
                    let is_call = tokens.get(at + 1) == Some(&Token::Mark('('));
                    // `sum by (le) (…)`: the list stands between a function and what it is called with.
                    let is_aggregation = matches!(tokens.get(at + 1), Some(Token::Word(next)) if LISTS.contains(&next.as_str()));
                    let is_word = WORDS.contains(&word.as_str()) || LISTS.contains(&word.as_str());
                    if !(is_call || is_aggregation || is_word) {
                        names.metrics.insert(word.clone());
                    }
                }
            },
            _ => {}
        }
    }
    if open.is_empty() { Ok(names) } else { Err(format!("something stays open in {text}")) }
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn names_of_an_expression_are_told_by_their_place() {
    let text = r#"histogram_quantile(0.99, sum by (le, backend) (rate(a_bucket{backend=~"$backend", job!="x_total"}[5m])))
        / on (instance) group_left (zone) clamp_min(sum(increase(b_total[$__rate_interval] offset 1h)) without (pod), 1e3)
        > bool 2 and c:rate5m unless -d"#;
    let expected = Names {
        metrics: set(&["a_bucket", "b_total", "c:rate5m", "d"]),
        labels: set(&["le", "backend", "job", "instance", "zone", "pod"]),
    };
    assert_eq!(names(text).unwrap(), expected);
}

#[test]
fn names_of_what_is_no_expression_refused() {
    for text in ["sum(a", "a)", r#"a{b="c}"#, "a{b=1]", "a ; b", "a[5m"] {
        assert!(names(text).is_err(), "{text}");
    }
}

//! Code that is never allowed, and code that needs a `// tidy-allow: reason`.
use super::source::{Source, has_word};
use super::tree::Tree;

/// Never, nowhere, for no reason.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Crates whose library code may panic.
const MAY_PANIC: [(&str, &str); 1] =
    [("crates/cloakroom-testkit/", "its assertions are its product; it is only ever linked into tests")];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    tree.rust().flat_map(|(path, source)| check_file(path, &source)).collect()
}

fn check_file(path: &str, source: &Source<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, (library, test)) in source.shipped.iter().zip(&source.test).enumerate() {
        let mut report = |what: &str| problems.push(format!("{path}:{}: {what}", index + 1));
        for word in UNFINISHED.iter().filter(|word| has_word(library, word) || has_word(test, word)) {
            report(&format!("`{word}` is never allowed"));
        }
        if source.is_excused(index) {
            continue;
        }
        if sleeps(test) || (is_test_kit(path) && sleeps(library)) {
            report("a test that sleeps; use ManualClock, or say why in a tidy-allow");
        }
        if must_not_panic(path) && (library.contains(".unwrap()") || has_word(library, "panic!")) {
            report("library code that can panic");
        }
    }
    problems
}

/// A call of a free function `sleep`, however it was imported; a method of that name belongs to some clock.
fn sleeps(code: &str) -> bool {
    ["sleep(", "sleep_until("].iter().any(|call| {
        code.match_indices(call).any(|(at, _)| {
            let before = &code[..at];
            let own = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
            !own && !before.trim_end().ends_with("fn")
        })
    })
}

fn is_test_kit(path: &str) -> bool {
    path.starts_with("crates/cloakroom-testkit/src/")
}

fn must_not_panic(path: &str) -> bool {
    let mut parts = path.split('/');
    let in_library = parts.next() == Some("crates") && parts.nth(1) == Some("src");
    in_library && !MAY_PANIC.iter().any(|(folder, _)| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    const LIBRARY: &str = "crates/x/src/lib.rs";
    const TEST: &str = "crates/x/tests/it/main.rs";

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn forbidden_fires_on_unfinished_code_even_with_a_reason() {
        for word in ["todo!()", "unimplemented!()", "dbg!(x)"] {
            assert_eq!(count(LIBRARY, &format!("fn a() {{ {word} }} // tidy-allow: later\n")), 1, "{word}");
            assert_eq!(count(TEST, &format!("fn a() {{ {word} }}\n")), 1, "{word}");
        }
    }

    #[test]
    fn forbidden_stays_quiet_on_words_in_text_and_comments() {
        assert_eq!(count(LIBRARY, "// todo!() and x.unwrap()\nfn a() { b(\"panic!\") }\n"), 0);
        assert_eq!(count(LIBRARY, "/// ```\n/// x.unwrap();\n/// ```\nfn a() {}\n"), 0);
    }

    #[test]
    fn forbidden_fires_on_a_test_that_sleeps() {
        for call in
            ["std::thread::sleep(d)", "tokio::time::sleep(d).await", "sleep(d).await", "sleep_until(d)"]
        {
            assert_eq!(count(TEST, &format!("fn a() {{ {call} }}\n")), 1, "{call}");
            let inline = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{call}\n}}\n");
            assert_eq!(count(LIBRARY, &inline), 1, "{call}");
        }
        assert_eq!(count("crates/cloakroom-testkit/src/spy.rs", "fn a() { sleep(d) }\n"), 1);
    }

    #[test]
    fn forbidden_stays_quiet_on_sleeping_with_a_reason_in_libraries_and_on_clocks() {
        assert_eq!(count(TEST, "sleep(d); // tidy-allow: the server's own timer is under test\n"), 0);
        assert_eq!(count(LIBRARY, "async fn a() { tokio::time::sleep(d).await }\n"), 0);
        assert_eq!(count(TEST, "fn sleep(d: Duration) {}\nclock.sleep(d); nosleep(d);\n"), 0);
    }

    #[test]
    fn forbidden_fires_on_library_code_that_can_panic() {
        assert_eq!(count(LIBRARY, "fn a() { b.unwrap() }\n"), 1);
        assert_eq!(count("crates/x/src/a/b.rs", "fn a() { panic!(\"no\") }\n"), 1);
    }

    #[test]
    fn forbidden_stays_quiet_on_panics_with_a_reason_and_outside_libraries() {
        assert_eq!(count(LIBRARY, "fn a() {\n// tidy-allow: checked above\nb.unwrap()\n}\n"), 0);
        assert_eq!(
            count(LIBRARY, "fn a() { b.unwrap_or(1) }\n#[cfg(test)]\nmod tests { fn c() { d.unwrap() } }\n"),
            0
        );
        assert_eq!(count(TEST, "fn a() { b.unwrap() }\n"), 0);
        assert_eq!(count("crates/cloakroom-testkit/src/lib.rs", "fn a() { panic!(\"ST-01\") }\n"), 0);
        assert_eq!(count("examples/x/src/main.rs", "fn a() { b.unwrap() }\n"), 0);
    }
}

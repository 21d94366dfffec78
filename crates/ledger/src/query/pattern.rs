//! The regular expressions of `$regex`.
//!
//! CouchDB matches bytes with PCRE and without its options: a dot is one byte, classes are those of ASCII. The crate
//! `regex` does the same in time that grows with the text only, for patterns that need no backtracking. What it cannot
//! do (look-around, back references, atomic groups, recursion) is refused, and so is the little that it would read in
//! another way.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::QueryError;

/// The most bytes of one compiled pattern, and of what matching it remembers.
const COMPILED_BYTES: usize = 1 << 20;

pub(super) fn compile(pattern: &str) -> Result<Regex, QueryError> {
    if let Some(reason) = read_otherwise(pattern) {
        return Err(refused(pattern, reason));
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).size_limit(COMPILED_BYTES).dfa_size_limit(COMPILED_BYTES);
    builder.build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        refused(pattern, reason)
    })
}

fn refused(pattern: &str, reason: &str) -> QueryError {
    match QueryError::bad_argument("$regex", &Value::from(pattern)) {
        QueryError::Refused { error, reason: text } => {
            QueryError::refused(error, format!("{text} ({reason})"))
        }
        other => other,
    }
}

/// What PCRE and the crate `regex` understand differently without an error of the latter: in a class, PCRE knows
/// neither classes within it (but for `[:alpha:]`) nor `&&`, `--` and `~~`.
fn read_otherwise(pattern: &str) -> Option<&'static str> {
    let mut characters = pattern.chars().peekable();
    // The characters since the bracket that opened a class.
    let mut class: Option<usize> = None;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match (class, character) {
            (_, '\\') => {
                characters.next();
                class = class.map(|length| length + 1);
            }
            (None, '[') => {
                characters.next_if_eq(&'^');
                class = Some(0);
            }
            (Some(length), ']') if length > 0 => class = None,
            (Some(length), '[') if next == Some(':') => {
                class = Some(length + 1);
                while characters.next().is_some_and(|character| character != ']') {}
            }
            (Some(_), '[') => return Some("a bracket within a class has to be escaped"),
            (Some(length), '&' | '-' | '~') if length > 0 && next == Some(character) => {
                return Some("two of &, - or ~ within a class have to be escaped");
            }
            (Some(length), _) => class = Some(length + 1),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn patterns_match_bytes_anywhere_in_the_text() {
        assert!(matches("b", "abc"));
        assert!(matches("^a.c$", "abc"));
        assert!(!matches("^.$", "é"), "two bytes");
        assert!(matches("^..$", "é"));
        assert!(!matches(r"\w", "é"), "no letter of ASCII");
        assert!(matches("é", "né"));
        assert!(matches("(?i)ABC", "abc"));
        assert!(matches("^[[:alpha:]_-]+$", "ab_c-"));
        assert!(matches("^[]a]+$", "]a"));
    }

    #[test]
    fn what_is_not_understood_alike_is_refused() {
        for (pattern, reason) in [
            ("a(?=b)", "look-around"),
            (r"(a)\1", "backreferences"),
            ("(", "unclosed group"),
            ("a{0,1000000}", "size limit"),
            ("[a&&b]", "have to be escaped"),
            ("[a[b]", "has to be escaped"),
        ] {
            let error = compile(pattern).unwrap_err().to_string();
            assert!(error.contains("Error:bad_arg,"), "{error}");
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}

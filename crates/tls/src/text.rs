//! Text that came from the other end, made safe for terminals and logs.

/// Longer remote text is cut here: nothing useful in a name is longer, and logs stay readable.
const LONGEST: usize = 256;

/// Escapes control, formatting and other invisible characters and cuts overlong text, so that what a stranger
/// wrote into a certificate cannot steer a terminal or forge a line in a log.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(LONGEST));
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            safe.push('…');
            break;
        }
        match character {
            '"' | '\'' => safe.push(character),
            other => safe.extend(other.escape_debug()),
        }
    }
    safe
}

/// Joins names for an error message; says so when there are none.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(escape("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\n\\u{202e}c");
        assert_eq!(escape("it's \"O=Org\""), "it's \"O=Org\"");
    }

    #[test]
    fn overlong_text_is_cut() {
        assert_eq!(escape(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}

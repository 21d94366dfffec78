//! Everything that the command writes: results to standard output, everything said to a person to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use serde_json::Value;

use crate::failure::Failure;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done.
    Done,
    /// A negative answer: the command did its work, and what it found is not well.
    Negative,
    /// The command could not do its work.
    Failed,
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::SUCCESS,
            Answer::Negative => Self::from(1),
            Answer::Failed => Self::from(2),
        }
    }
}

pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The widest line that is comfortable to read.
const WIDEST: usize = 120;

/// The columns of the terminal, or 80 where there is none.
pub(crate) fn width() -> usize {
    textwrap::termwidth().clamp(40, WIDEST)
}

/// Text from elsewhere in one line, with everything escaped that a terminal would obey.
pub(crate) fn inline(text: &str) -> String {
    safe(text).replace('\n', "\\n")
}

/// Writes a part of the result and a line feed to standard output. Styles are left out where it is no terminal.
pub(crate) fn result(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Says something to a person.
pub(crate) fn tell(text: &str) {
    // Nobody listens when standard error is closed, and there is nowhere else to say so.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Whether `--json` stands on the command line. Known before the rest of it is understood, so that a program is told
/// in its own form what is wrong with it.
pub(crate) fn as_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Says why the command failed: to a person, or with `--json` as a line of its own to whoever reads the results.
pub(crate) fn failure(failure: &Failure) {
    if as_json() {
        // When this cannot be written either, the exit code is all that is left.
        let _ = result(&printable(&failure.document().to_string()));
    } else {
        tell(&failure.render(width()));
    }
}

/// A JSON document for people and programs.
pub(crate) fn document(value: &Value) -> String {
    printable(&format!("{value:#}"))
}

/// A JSON document in one line.
pub(crate) fn document_line(value: &Value) -> String {
    printable(&value.to_string())
}

/// JSON whose texts hold nothing that a terminal would obey. What is replaced can only stand within texts.
fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' || character.escape_debug().len() == 1 {
            text.push(character);
        } else {
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// A document as an outline for a person: a name and its value on each line, and what belongs to it below. What is null
/// or empty is left out.
pub(crate) fn outline(value: &Value) -> String {
    let mut lines = Vec::new();
    outline_into(value, 0, &mut lines);
    lines.join("\n")
}

fn outline_into(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Object(inner) if !inner.is_empty() => lines.push(format!("{indent}{name}:")),
                    Value::Array(inner) if !inner.is_empty() => lines.push(format!("{indent}{name}:")),
                    Value::Object(_) | Value::Array(_) | Value::Null => continue,
                    scalar => {
                        lines.push(format!("{indent}{name}: {}", scalar_text(scalar)));
                        continue;
                    }
                }
                outline_into(value, depth + 1, lines);
            }
        }
        Value::Array(values) => {
            for value in values {
                let from = lines.len();
                outline_into(value, depth + 1, lines);
                if let Some(first) = lines.get_mut(from) {
                    first.replace_range(indent.len()..indent.len() + 2, "- ");
                }
            }
        }
        scalar => lines.push(format!("{indent}{}", scalar_text(scalar))),
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => safe(text),
        other => other.to_string(),
    }
}

/// Text from elsewhere, with everything escaped that a terminal would obey. Line feeds stay.
pub(crate) fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '"' | '\'' | '\\' => safe.push(character),
            other => safe.extend(other.escape_debug()),
        }
    }
    safe
}

/// Text of several words in lines of at most `width` columns, each beginning with `indent`.
pub(crate) fn wrapped(text: &str, first: &str, indent: &str, width: usize) -> String {
    // A path or an id that is cut in two can no longer be copied.
    textwrap::fill(text, options(first, indent, width).break_words(false))
}

/// As [`wrapped`], but words that are longer than a line are cut.
pub(crate) fn folded(text: &str, first: &str, indent: &str, width: usize) -> String {
    textwrap::fill(text, options(first, indent, width))
}

fn options<'a>(first: &'a str, indent: &'a str, width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(indent)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{document_line, outline, safe};

    #[test]
    fn documents_hold_nothing_that_a_terminal_obeys() {
        let value = json!({ "a": "é\u{9b}2J\u{7f}\u{1b}\u{202e}😀\u{e0001}" });
        let line = document_line(&value);
        assert!(line.contains(r"é\u009b2J\u007f\u001b\u202e😀\udb40\udc01"), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }

    #[test]
    fn an_outline_names_everything_that_is_there() {
        let value = json!({ "b": { "c": [1, { "d": "e", "f": [2] }] }, "none": null, "empty": [], "x": "y" });
        assert_eq!(outline(&value), "b:\n  c:\n    - 1\n    - d: e\n      f:\n        - 2\nx: y");
    }

    #[test]
    fn texts_keep_their_lines_and_nothing_else() {
        assert_eq!(safe("it's \"a\\b\"\nc\r\u{1b}[0m"), "it's \"a\\b\"\nc\\r\\u{1b}[0m");
    }
}

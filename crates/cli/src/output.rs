//! Everything that the command writes: results to standard output, everything said to a person to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

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

/// Says why the command failed.
pub(crate) fn failure(failure: &Failure) {
    tell(&failure.render(width()));
}

/// Text of several words in lines of at most `width` columns, each beginning with `indent`.
pub(crate) fn wrapped(text: &str, first: &str, indent: &str, width: usize) -> String {
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(indent)
        // A path or an id that is cut in two can no longer be copied.
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

//! What a person is told about a command line that cannot be understood.

use clap::error::ErrorKind;

use crate::catalogue;
use crate::failure::Failure;

/// The failure of an error of clap's, whose text has an error, tips and the usage in paragraphs; `None` for what is no
/// error: help and versions, or a command without its words, which is answered with help.
pub(crate) fn usage(error: &clap::Error) -> Option<Failure> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return None;
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(in_a_line);
    let first = paragraphs.next().unwrap_or_default();
    let what = first.strip_prefix("error: ").unwrap_or(&first);
    let failure = Failure::new(catalogue::USAGE, what);
    Some(paragraphs.fold(failure, |failure, paragraph| {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            failure.fix(tip)
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            failure.evidence(format!("usage: {usage}"))
        } else {
            failure
        }
    }))
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::usage;
    use crate::arguments::Arguments;

    fn of(words: &[&str]) -> Option<serde_json::Value> {
        usage(&Arguments::try_parse_from(words).unwrap_err()).map(|failure| failure.document())
    }

    #[test]
    fn a_typo_is_told_with_what_comes_closest() {
        let document = of(&["selvedge", "up", "--orgz", "2"]).unwrap();
        let error = &document["error"];
        assert_eq!(error["code"], "SV-SET-12");
        assert_eq!(error["what"], "unexpected argument '--orgz' found");
        assert_eq!(error["fix"], "a similar argument exists: '--orgs'");
        assert!(error["evidence"][0].as_str().unwrap().starts_with("usage: selvedge up"), "{document}");
    }

    #[test]
    fn help_is_no_failure() {
        assert_eq!(of(&["selvedge", "--help"]), None);
        assert_eq!(of(&["selvedge"]), None);
    }
}

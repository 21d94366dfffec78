//! What a person is told when the command cannot do its work.

use std::error::Error;

use serde_json::{Value, json};

use crate::catalogue::Code;
use crate::output::{BAD, STRONG, safe, wrapped};

/// A failure of the command: what, evidence, cause, fix, and the code under which `selvedge explain` tells more.
///
/// Its texts may quote what came from elsewhere; whoever shows them escapes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    evidence: Vec<String>,
    cause: Option<String>,
    fix: Option<String>,
    unheard: bool,
}

impl Failure {
    /// A failure that the entry `code` of the catalogue explains.
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), evidence: Vec::new(), cause: None, fix: None, unheard: false }
    }

    /// Whoever read the output has gone, with what it wanted: nobody is told anything more.
    pub(crate) fn unheard(mut self) -> Self {
        self.unheard = true;
        self
    }

    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard
    }

    /// Adds something that was found.
    pub(crate) fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// Adds an error and its causes, down to the first.
    pub(crate) fn chain(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some errors quote their cause in their own text, and some are what is said first.
            if !self.what.contains(&text) && !self.evidence.iter().any(|told| told.contains(&text)) {
                self.evidence.push(text);
            }
            next = error.source();
        }
        self
    }

    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says what to do about it, unless that has been said.
    pub(crate) fn or_fix(mut self, fix: &str) -> Self {
        self.fix.get_or_insert_with(|| fix.to_owned());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// For a person, in lines of at most `width` columns.
    pub(crate) fn render(&self, width: usize) -> String {
        let Self { code, what, evidence, cause, fix, .. } = self;
        let first = format!("{BAD}error[{}]{BAD:#}: ", code.code);
        let mut text = wrapped(&safe(what), &first, "  ", width);
        let evidence = evidence.iter().map(|evidence| ("evidence", evidence.as_str()));
        let cause = cause.iter().map(|cause| ("cause", cause.as_str()));
        let fix = fix.iter().map(|fix| ("fix", fix.as_str()));
        let more = format!("selvedge explain {}", code.code);
        for (label, said) in evidence.chain(cause).chain(fix).chain([("more", more.as_str())]) {
            text.push('\n');
            let label = format!("  {STRONG}{:<10}{STRONG:#}", format!("{label}:"));
            text.push_str(&wrapped(&safe(said), &label, "            ", width));
        }
        text
    }

    /// For a program: the object `error` with `code`, `title`, `what`, `evidence` (a list), `cause` and `fix`, the last
    /// two of which may be null.
    pub(crate) fn document(&self) -> Value {
        let Self { code, what, evidence, cause, fix, .. } = self;
        json!({ "error": {
            "code": code.code, "title": code.title, "what": what, "evidence": evidence, "cause": cause, "fix": fix,
        } })
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::catalogue;

    fn plain(failure: &Failure) -> String {
        anstream::adapter::strip_str(&failure.render(50)).to_string()
    }

    #[test]
    fn a_failure_tells_what_evidence_cause_fix_and_where_to_read_on() {
        let failure = Failure::new(catalogue::TLS_REFUSED, "the port cannot be opened")
            .evidence("another process listens on 127.0.0.1:9999")
            .cause("the sample runs twice")
            .fix("stop one of them");
        assert_eq!(
            plain(&failure),
            "error[SV-TLS-02]: the port cannot be opened\n  \
             evidence: another process listens on\n            \
             127.0.0.1:9999\n  \
             cause:    the sample runs twice\n  \
             fix:      stop one of them\n  \
             more:     selvedge explain SV-TLS-02"
        );
        assert_eq!(failure.document()["error"]["code"], "SV-TLS-02");
        assert_eq!(failure.document()["error"]["evidence"][0], "another process listens on 127.0.0.1:9999");
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        let failure = Failure::new(catalogue::SERVICE_OTHER, "no").evidence("\u{1b}[2Jgone\u{9b}31m\u{202e}");
        assert!(plain(&failure).contains("\\u{1b}[2Jgone\\u{9b}31m\\u{202e}"), "{}", plain(&failure));
    }
}

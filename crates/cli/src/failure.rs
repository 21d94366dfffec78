//! What a person is told when the command cannot do its work.

use std::error::Error;

use crate::catalogue::Code;
use crate::output::{BAD, STRONG, wrapped};

/// A failure of the command: what, evidence, cause, fix, and the code under which `selvedge explain` tells more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: Option<Code>,
    what: String,
    evidence: Vec<String>,
    cause: Option<String>,
    fix: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { code: None, what: what.into(), evidence: Vec::new(), cause: None, fix: None }
    }

    /// Names the entry of the catalogue that explains it.
    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
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
            // Some errors quote their cause in their own text.
            if !self.evidence.iter().any(|told| told.contains(&text)) {
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

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn render(&self, width: usize) -> String {
        let code = self.code.map(|code| format!("[{}]", code.code)).unwrap_or_default();
        let mut text = wrapped(&self.what, &format!("{BAD}error{code}{BAD:#}: "), "  ", width);
        let evidence = self.evidence.iter().map(|evidence| ("evidence", evidence));
        let cause = self.cause.iter().map(|cause| ("cause", cause));
        let fix = self.fix.iter().map(|fix| ("fix", fix));
        let more = self.code.map(|code| format!("selvedge explain {}", code.code));
        let more = more.iter().map(|more| ("more", more));
        for (label, said) in evidence.chain(cause).chain(fix).chain(more) {
            text.push('\n');
            let label = format!("  {STRONG}{:<10}{STRONG:#}", format!("{label}:"));
            text.push_str(&wrapped(said, &label, "            ", width));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::catalogue;

    #[test]
    fn a_failure_tells_what_evidence_cause_and_fix() {
        let failure = Failure::new("the port cannot be opened")
            .evidence("another process listens on 127.0.0.1:9999")
            .cause("the sample runs twice")
            .fix("stop one of them");
        let plain = anstream::adapter::strip_str(&failure.render(50)).to_string();
        assert_eq!(
            plain,
            "error: the port cannot be opened\n  \
             evidence: another process listens on\n            \
             127.0.0.1:9999\n  \
             cause:    the sample runs twice\n  \
             fix:      stop one of them"
        );
    }

    #[test]
    fn a_code_says_where_to_read_on() {
        let failure = Failure::new("no").code(catalogue::TLS_REFUSED).fix("try");
        let plain = anstream::adapter::strip_str(&failure.render(50)).to_string();
        assert_eq!(plain, "error[SV-TLS-02]: no\n  fix:      try\n  more:     selvedge explain SV-TLS-02");
    }
}

//! The stable codes of errors, and what `selvedge explain` says of each.

mod entries;

pub(crate) use entries::*;

/// A code with its explanation. Codes are never given a new meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `SV-<AREA>-<number>`.
    pub(crate) code: &'static str,
    /// What happened, in a few words.
    pub(crate) title: &'static str,
    /// What stands behind it and what to do, in sentences.
    pub(crate) text: &'static str,
}

/// What an error points to.
pub(crate) type Code = &'static Entry;

/// The entry of a code, however its letters are written.
pub(crate) fn find(code: &str) -> Option<Code> {
    ALL.iter().copied().find(|entry| entry.code.eq_ignore_ascii_case(code.trim()))
}

/// The code of a connection's verdict, by the verdict's stable name.
pub(crate) fn of_verdict(name: &str) -> Code {
    match name {
        "unresolved" => TLS_UNRESOLVED,
        "refused" => TLS_REFUSED,
        "unreachable" => TLS_UNREACHABLE,
        "connect-timeout" => TLS_CONNECT_TIMEOUT,
        "no-answer" => TLS_NO_ANSWER,
        "closed" => TLS_CLOSED,
        "server-is-plaintext" => TLS_SERVER_IS_PLAINTEXT,
        "server-is-tls" => TLS_SERVER_IS_TLS,
        "not-http2" | "no-http2-alpn" => TLS_NO_HTTP2,
        "unknown-issuer" => TLS_UNKNOWN_ISSUER,
        "name-mismatch" | "invalid-server-name" => TLS_NAME_MISMATCH,
        "no-alternative-name" => TLS_NO_ALTERNATIVE_NAME,
        "expired" | "not-yet-valid" | "authority-outside-validity" => TLS_OUTSIDE_VALIDITY,
        "wrong-usage" | "authority-as-leaf" => TLS_WRONG_USAGE,
        "client-certificate-required" => TLS_CLIENT_CERTIFICATE_REQUIRED,
        "client-certificate-refused" => TLS_CLIENT_CERTIFICATE_REFUSED,
        "nothing-in-common" => TLS_NOTHING_IN_COMMON,
        _ => TLS_OTHER,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::path::Path;

    use super::{ALL, TLS_OTHER, find, of_verdict};

    /// The command's own sources, but the catalogue's entries, without what is for tests only.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if !path.ends_with("catalogue/entries.rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                text.push_str(source.split("#[cfg(test)]").next().unwrap());
            }
        }
    }

    /// Every failure has its code by type, so no code can be missing from the catalogue, unless somebody writes one out
    /// in a text; and what the catalogue has must be of use.
    #[test]
    fn the_catalogue_has_the_codes_that_are_used_and_no_others() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let entries = include_str!("entries.rs");
        for entry in ALL {
            let line = entries.lines().find(|line| line.contains(&format!("{:?}", entry.code))).unwrap();
            let name = line.split_whitespace().next().unwrap();
            assert!(words.contains(name), "nothing leads to {} ({name})", entry.code);
        }
        let written = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        for code in
            written.filter(|word| word.starts_with("SV-") && word.ends_with(|c: char| c.is_ascii_digit()))
        {
            assert!(find(code).is_some(), "{code} is in a text, but not in the catalogue");
        }
    }

    #[test]
    fn every_code_is_unique_and_explained() {
        let codes: BTreeSet<&str> = ALL.iter().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), ALL.len(), "a code stands for two things");
        for entry in ALL {
            let parts: Vec<&str> = entry.code.split('-').collect();
            assert!(
                matches!(parts[..], ["SV", area, number]
                    if area.chars().all(|letter| letter.is_ascii_uppercase())
                        && number.len() == 2
                        && number.chars().all(|digit| digit.is_ascii_digit())),
                "{}",
                entry.code
            );
            assert!(!entry.title.is_empty() && !entry.title.ends_with('.'), "{}", entry.code);
            assert!(entry.text.len() > 60 && entry.text.ends_with('.'), "{}", entry.code);
            assert_eq!(find(&entry.code.to_lowercase()), Some(*entry));
        }
        assert_eq!(find("SV-TLS-99"), None);
    }

    #[test]
    fn verdicts_have_codes_of_their_own() {
        let refused = selvedge_tls::Verdict::Refused;
        assert_eq!(of_verdict(refused.name()).code, "SV-TLS-02");
        let plaintext = selvedge_tls::Verdict::ServerIsPlaintext { first_bytes: String::new() };
        assert_eq!(of_verdict(plaintext.name()).code, "SV-TLS-07");
        assert_eq!(of_verdict("something new"), TLS_OTHER);
    }
}

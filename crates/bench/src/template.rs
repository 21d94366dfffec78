//! Arguments that differ from transaction to transaction.

use std::str::FromStr;

/// Text with places for numbers: `{i}`, `{i%N}` and `{run}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The number of the transaction, from 0.
    Number,
    /// What remains of it.
    Remainder(u32),
    /// A word of the run.
    Run,
}

impl Template {
    pub(crate) fn fill(&self, number: u32, run: &str) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Number => number.to_string(),
            Part::Remainder(divisor) => (number % divisor).to_string(),
            Part::Run => run.to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

impl FromStr for Template {
    type Err = String;

    /// Braces around anything else are text, so that JSON needs no escaping.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            plain.push_str(before);
            match placeholder(after)? {
                Some((part, length)) => {
                    parts.extend((!plain.is_empty()).then(|| Part::Text(std::mem::take(&mut plain))));
                    parts.push(part);
                    rest = &after[length..];
                }
                None => {
                    plain.push('{');
                    rest = &after[1..];
                }
            }
        }
        plain.push_str(rest);
        parts.extend((!plain.is_empty()).then_some(Part::Text(plain)));
        Ok(Self(parts))
    }
}

/// The place that the text begins with, and how long it is.
fn placeholder(text: &str) -> Result<Option<(Part, usize)>, String> {
    let Some(end) = text.find('}') else { return Ok(None) };
    let part = match &text[1..end] {
        "i" => Part::Number,
        "run" => Part::Run,
        inner => {
            let Some(divisor) = inner.strip_prefix("i%") else { return Ok(None) };
            match divisor.parse() {
                Ok(divisor) if divisor > 0 => Part::Remainder(divisor),
                _ => return Err(format!("{{{inner}}}: there is no remainder of a division by {divisor:?}")),
            }
        }
    };
    Ok(Some((part, end + 1)))
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[track_caller]
    fn check(text: &str, filled: &str) {
        assert_eq!(text.parse::<Template>().unwrap().fill(1234, "r"), filled);
    }

    #[test]
    fn places_are_filled_and_everything_else_stays() {
        check("", "");
        check("asset1", "asset1");
        check("{i}", "1234");
        check("a{i%1000}-{run}{i}b", "a234-r1234b");
        check("{i%10}{i%10}", "44");
        check(r#"{"selector":{"ID":"{i}"}}"#, r#"{"selector":{"ID":"1234"}}"#);
        check("{}{x}{", "{}{x}{");
    }

    #[test]
    fn a_remainder_needs_a_divisor() {
        for wrong in ["{i%0}", "{i%}", "{i%x}", "{i%-1}"] {
            assert!(wrong.parse::<Template>().is_err(), "{wrong}");
        }
    }
}

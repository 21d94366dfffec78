//! The part of Go's text templates that connection.json can use.
//!
//! The stock ccaas builder evaluates the texts of connection.json as Go templates over the JSON object in
//! `CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG`. Supported here: plain text, and actions that name a member, `{{.name}}`
//! or `{{.outer.inner}}`, with the trim markers `{{- ` and ` -}}`. Pipelines, functions, conditions, variables,
//! comments and everything else are refused, never guessed.
//!
//! A missing member is an error, as in the stock builder. A member's value must be a text, a boolean or a number
//! that Go writes without an exponent; Go would write others in a form no address or certificate has.

use serde_json::{Map, Value};
use thiserror::Error;

/// Why a template cannot be evaluated. Where Go has a text for the case, it is Go's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error(
        "template: :{line}: unclosed action (supported: {{{{.name}}}}, {{{{.outer.inner}}}}, {{{{- .name -}}}})"
    )]
    Unclosed {
        /// The line, from 1.
        line: usize,
    },
    /// An action other than the name of a member.
    #[error(
        "template: :{line}: the action {action:?} is not supported \
         (supported: {{{{.name}}}}, {{{{.outer.inner}}}}, {{{{- .name -}}}})"
    )]
    Unsupported {
        /// The line, from 1.
        line: usize,
        /// What stands between the braces.
        action: String,
    },
    /// A member that the configuration does not have.
    #[error("template: :{line}:{column}: executing \"\" at <{path}>: map has no entry for key {key:?}")]
    MissingKey {
        /// The line, from 1.
        line: usize,
        /// The byte within the line, from 0.
        column: usize,
        /// The whole name.
        path: String,
        /// The part of the name that is missing.
        key: String,
    },
    /// A member of something that has no members.
    #[error(
        "template: :{line}:{column}: executing \"\" at <{path}>: can't evaluate field {key} in a {found}"
    )]
    NoMembers {
        /// The line, from 1.
        line: usize,
        /// The byte within the line, from 0.
        column: usize,
        /// The whole name.
        path: String,
        /// The part of the name that was looked for.
        key: String,
        /// The JSON type that was found.
        found: &'static str,
    },
    /// A value that has no plain text form.
    #[error(
        "template: :{line}:{column}: executing \"\" at <{path}>: the value is a {found}; make it a string"
    )]
    NoText {
        /// The line, from 1.
        line: usize,
        /// The byte within the line, from 0.
        column: usize,
        /// The whole name.
        path: String,
        /// What was found.
        found: &'static str,
    },
}

/// Evaluates a template over the members of a configuration object.
///
/// # Errors
/// [`TemplateError`] when an action is not supported, or its value is missing or has no plain text form.
pub fn evaluate(template: &str, configuration: &Map<String, Value>) -> Result<String, TemplateError> {
    // Go parses the whole template before it looks at any value, so syntax errors come first.
    parse(template)?.iter().try_fold(String::new(), |mut text, piece| {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Member(member) => text.push_str(&member.value(configuration)?),
        }
        Ok(text)
    })
}

enum Piece<'a> {
    Text(&'a str),
    Member(Member<'a>),
}

struct Member<'a> {
    path: &'a str,
    line: usize,
    column: usize,
}

impl Member<'_> {
    fn value(&self, configuration: &Map<String, Value>) -> Result<String, TemplateError> {
        let (line, column, path) = (self.line, self.column, self.path.to_owned());
        let mut members = configuration;
        let mut keys = self.path.split('.').skip(1).peekable();
        while let Some(key) = keys.next() {
            let Some(value) = members.get(key) else {
                return Err(TemplateError::MissingKey { line, column, path, key: key.to_owned() });
            };
            let Some(next) = keys.peek() else {
                return plain_text(value).map_err(|found| TemplateError::NoText {
                    line,
                    column,
                    path,
                    found,
                });
            };
            members = value.as_object().ok_or_else(|| TemplateError::NoMembers {
                line,
                column,
                path: path.clone(),
                key: (*next).to_owned(),
                found: crate::json::type_name(value),
            })?;
        }
        Ok(String::new())
    }
}

fn parse(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim_start = false;
    while let Some((text, after)) = rest.split_once("{{") {
        let line = line_of(template, template.len() - after.len());
        let (action, next) = after.split_once("}}").ok_or(TemplateError::Unclosed { line })?;
        // A trim marker is a dash with white space on its inner side; `{{-3}}` is a number.
        let trim_end = action.strip_prefix('-').filter(|inner| inner.starts_with(is_space));
        let trim_next = action.strip_suffix('-').filter(|inner| inner.ends_with(is_space));
        pieces.push(Piece::Text(trimmed(text, trim_start, trim_end.is_some())));
        let inner = trim_end.unwrap_or(action);
        let inner = if trim_next.is_some() { inner.strip_suffix('-').unwrap_or(inner) } else { inner };
        let path = inner.trim_matches(is_space);
        if !is_member(path) {
            return Err(TemplateError::Unsupported { line, action: action.to_owned() });
        }
        let start = template.len() - after.len() + action.find('.').unwrap_or(0);
        pieces.push(Piece::Member(located(template, start, path)));
        trim_start = trim_next.is_some();
        rest = next;
    }
    pieces.push(Piece::Text(trimmed(rest, trim_start, false)));
    Ok(pieces)
}

/// Go gives the place of a name's second part, if it has one.
fn located<'a>(template: &str, start: usize, path: &'a str) -> Member<'a> {
    let at = start + path.char_indices().skip(1).find(|(_, c)| *c == '.').map_or(0, |(index, _)| index);
    let line_start = template[..at].rfind('\n').map_or(0, |index| index + 1);
    Member { path, line: line_of(template, at), column: at - line_start }
}

fn line_of(template: &str, at: usize) -> usize {
    1 + template[..at].matches('\n').count()
}

fn trimmed(text: &str, start: bool, end: bool) -> &str {
    let text = if start { text.trim_start_matches(is_space) } else { text };
    if end { text.trim_end_matches(is_space) } else { text }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// A row of names, each after a dot and none beginning with a digit.
fn is_member(path: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c == '_' || c.is_alphanumeric())
    };
    path.strip_prefix('.').is_some_and(|names| names.split('.').all(is_name))
}

fn plain_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(boolean) => Ok(boolean.to_string()),
        Value::Number(number) => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            // Go reads every number as a 64-bit float and writes it with an exponent from a million on and below 0.0001.
            if float == 0.0 && float.is_sign_positive() || (1e-4..1e6).contains(&float.abs()) {
                Ok(float.to_string())
            } else {
                Err("number that Go writes with an exponent")
            }
        }
        other => Err(crate::json::type_name(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::evaluate;

    fn configuration() -> Map<String, Value> {
        let Value::Object(members) = json!({"peername": "p0", "a": {"b": {"c": "deep"}, "n": 7052, "f": 0.5, "t": true, "x": null}, "big": 1_000_000, "é_1": "e"})
        else {
            panic!("not an object");
        };
        members
    }

    #[test]
    fn members_are_replaced() {
        for (template, text) in [
            ("", ""),
            ("cc:9999", "cc:9999"),
            ("{{.peername}}_cc:{{.a.n}}", "p0_cc:7052"),
            ("{{ .a.b.c }} }} {", "deep }} {"),
            ("a \n {{- .peername -}} \t b", "ap0b"),
            ("a {{- .peername}} b", "ap0 b"),
            ("a {{.peername -}} b", "a p0b"),
            ("{{\n.é_1\n}}", "e"),
            ("{{.a.f}} {{.a.t}}", "0.5 true"),
        ] {
            assert_eq!(evaluate(template, &configuration()).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (template, text) in [
            (
                "{{.nokey}}_cc",
                "template: :1:2: executing \"\" at <.nokey>: map has no entry for key \"nokey\"",
            ),
            ("x\ny{{ .a.z.q}}", "template: :2:6: executing \"\" at <.a.z.q>: map has no entry for key \"z\""),
            (
                "{{.peername.x}}",
                "template: :1:11: executing \"\" at <.peername.x>: can't evaluate field x in a string",
            ),
            ("{{.a.b}}", "template: :1:4: executing \"\" at <.a.b>: the value is a object; make it a string"),
        ] {
            assert_eq!(evaluate(template, &configuration()).unwrap_err().to_string(), text);
        }
        assert!(evaluate("{{.big}}", &configuration()).is_err());
        assert!(evaluate("{{.a.x}}", &configuration()).is_err());
    }

    #[test]
    fn everything_else_is_refused_with_what_is_supported() {
        let templates = [
            "{{",
            "a{{.peer_cc:9999",
            "{{}}",
            "{{.}}",
            "{{.a.}}",
            "{{.0}}",
            "{{.peer-name}}",
            "{{-.peername}}",
            "{{.peername-}}",
            "{{- -}}",
            "{{-}}",
            "{{/* x */}}",
            "{{if .a}}{{end}}",
            "{{.peername | printf}}",
            "{{.peername .a}}",
            "{{\"}}\"}}",
            "{{$x := .a}}",
            "{{.nokey}}{{end}}",
        ];
        for template in templates {
            let error = evaluate(template, &configuration()).unwrap_err().to_string();
            assert!(
                error.contains("supported: {{.name}}, {{.outer.inner}}, {{- .name -}}"),
                "{template}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_templates_never_panic(template in "([{}. \\-\na-cé0]|\\{\\{|\\}\\}){0,30}") {
            let evaluated = evaluate(&template, &configuration());
            if !template.contains("{{") {
                prop_assert_eq!(evaluated, Ok(template));
            }
        }
    }
}

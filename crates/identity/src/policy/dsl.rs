//! The policy language of Fabric's tools: `AND('Org1MSP.peer', OR('Org2MSP.admin', 'Org3MSP.member'))`.
//!
//! It accepts what the tools of Fabric 3.1 accept. `AND`, `And`, `OR`, `Or`, `OutOf`, `outof` and `OUTOF` are the
//! gates; `and`, `or`, `Outof` and other spellings are errors, since the tools take those for operators or unknown
//! names. Principals are quoted, `'<MSP id>.<role>'`, where an MSP id consists of ASCII letters, digits, dots and
//! hyphens and a role is one of member, admin, client, peer and orderer. Each mention of a principal adds an entry
//! to the envelope.

use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::{MspPrincipal, SignaturePolicy, SignaturePolicyEnvelope};
use thiserror::Error;

use super::signature::{envelope_of, n_out_of, role_principal, signed_by};

/// The longest policy text accepted, in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// How deep gates may nest.
const MAX_DEPTH: usize = 32;

/// Why a policy text is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DslError {
    /// Longer than any policy.
    #[error("the policy has {0} bytes, more than the {MAX_TEXT_BYTES} allowed")]
    TooLong(usize),
    /// Gates nest too deeply.
    #[error("the policy nests more than {MAX_DEPTH} gates")]
    TooDeep,
    /// Something else was expected; `at` counts bytes from one.
    #[error("unexpected {found} at {at}: expected {expected}")]
    Unexpected {
        /// What is there.
        found: String,
        /// Where.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A name that is not a gate.
    #[error("unknown name {0}: gates are AND, OR and OutOf")]
    UnknownGate(String),
    /// A text that is not a principal.
    #[error(
        "'{0}' is not a principal: expected '<MSP id>.<role>' with the role member, admin, client, peer or orderer"
    )]
    NotAPrincipal(String),
    /// A gate without rules.
    #[error("expected at least two arguments to NOutOf. Given {0}")]
    TooFewArguments(usize),
    /// A threshold that is negative or exceeds the rules by more than one.
    #[error("invalid t-out-of-n predicate, t {t}, n {n}")]
    Threshold {
        /// The threshold.
        t: i64,
        /// The number of rules.
        n: usize,
    },
}

/// Reads a policy text.
pub fn parse(text: &str) -> Result<SignaturePolicyEnvelope, DslError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(DslError::TooLong(text.len()));
    }
    let mut parser = Parser { text, position: 0, principals: Vec::new() };
    let rule = match parser.token()? {
        Token::Name(name) => parser.gate(name, MAX_DEPTH)?,
        other => return Err(parser.unexpected(&other, "a gate")),
    };
    match parser.token()? {
        Token::End => Ok(envelope_of(rule, parser.principals)),
        other => Err(parser.unexpected(&other, "the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    principals: Vec<MspPrincipal>,
}

#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    Name(&'a str),
    Text(&'a str),
    Number(&'a str),
    Symbol(char),
    End,
}

enum Argument<'a> {
    Text(&'a str),
    Number(i64),
    Rule(SignaturePolicy),
}

impl<'a> Parser<'a> {
    fn gate(&mut self, name: &str, depth: usize) -> Result<SignaturePolicy, DslError> {
        let depth = depth.checked_sub(1).ok_or(DslError::TooDeep)?;
        let is_gate = |spellings: &[&str]| spellings.contains(&name);
        let (all, any) = (is_gate(&["AND", "And"]), is_gate(&["OR", "Or"]));
        if !all && !any && !is_gate(&["OutOf", "outof", "OUTOF"]) {
            return Err(DslError::UnknownGate(name.to_owned()));
        }
        // The tools evaluate gates from the inside out, so the principals of the gates inside this one are numbered
        // before its own, whatever their order in the text.
        let mut arguments = self.arguments(depth)?.into_iter();
        let implied = usize::from(all || any);
        if arguments.len() + implied < 2 {
            return Err(DslError::TooFewArguments(arguments.len() + implied));
        }
        let t = match (all, any) {
            (true, _) => i64::try_from(arguments.len()).unwrap_or(i64::MAX),
            (_, true) => 1,
            _ => match arguments.next() {
                Some(Argument::Number(t)) => t,
                Some(Argument::Text(text)) => {
                    whole(text.trim()).ok_or_else(|| DslError::NotAPrincipal(text.to_owned()))?
                }
                _ => return Err(self.unexpected(&Token::Symbol('('), "a number")),
            },
        };
        let n = arguments.len();
        let threshold =
            i32::try_from(t).ok().filter(|_| t >= 0 && usize::try_from(t).is_ok_and(|t| t <= n + 1));
        let threshold = threshold.ok_or(DslError::Threshold { t, n })?;
        let rules = arguments.map(|argument| match argument {
            Argument::Rule(rule) => Ok(rule),
            Argument::Text(text) => self.leaf(text),
            Argument::Number(number) => Err(DslError::NotAPrincipal(number.to_string())),
        });
        Ok(n_out_of(threshold, rules.collect::<Result<_, _>>()?))
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Argument<'a>>, DslError> {
        match self.token()? {
            Token::Symbol('(') => {}
            other => return Err(self.unexpected(&other, "(")),
        }
        let mut arguments = Vec::new();
        loop {
            let argument = match self.token()? {
                Token::Symbol(')') if arguments.is_empty() => return Ok(arguments),
                Token::Text(text) => Argument::Text(text),
                Token::Number(digits) => self.number(digits, 1)?,
                Token::Symbol(sign @ ('-' | '+')) => match self.token()? {
                    Token::Number(digits) => self.number(digits, if sign == '-' { -1 } else { 1 })?,
                    other => return Err(self.unexpected(&other, "a number")),
                },
                Token::Name(name) => Argument::Rule(self.gate(name, depth)?),
                other => return Err(self.unexpected(&other, "a principal or a gate")),
            };
            arguments.push(argument);
            match self.token()? {
                Token::Symbol(',') => {}
                Token::Symbol(')') => return Ok(arguments),
                other => return Err(self.unexpected(&other, ", or )")),
            }
        }
    }

    fn leaf(&mut self, text: &str) -> Result<SignaturePolicy, DslError> {
        let principal = principal(text).ok_or_else(|| DslError::NotAPrincipal(text.to_owned()))?;
        // The text is bounded, and every principal takes several bytes of it.
        let index = i32::try_from(self.principals.len()).unwrap_or(i32::MAX);
        self.principals.push(principal);
        Ok(signed_by(index))
    }

    fn number(&self, digits: &str, sign: i64) -> Result<Argument<'a>, DslError> {
        whole(digits)
            .map(|number| Argument::Number(sign * number))
            .ok_or_else(|| self.unexpected(&Token::Number(digits), "a number"))
    }

    fn token(&mut self) -> Result<Token<'a>, DslError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.position += rest.len() - trimmed.len();
        let mut characters = trimmed.chars();
        let Some(first) = characters.next() else { return Ok(Token::End) };
        let span = |belongs: fn(char) -> bool| {
            let end = trimmed.find(|character| !belongs(character)).unwrap_or(trimmed.len());
            trimmed.split_at(end).0
        };
        if matches!(first, '\'' | '"' | '`') {
            let inside = characters.as_str();
            let Some((text, _)) = inside.split_once(first) else {
                return Err(self.unexpected(&Token::End, "the closing quote"));
            };
            self.position += text.len() + 2;
            return Ok(Token::Text(text));
        }
        let (token, length) = if first.is_ascii_digit() {
            let digits = span(|character| character.is_ascii_digit() || character == '.');
            (Token::Number(digits), digits.len())
        } else if first.is_alphabetic() || first == '_' {
            let name = span(|character| character.is_alphanumeric() || character == '_');
            (Token::Name(name), name.len())
        } else {
            (Token::Symbol(first), first.len_utf8())
        };
        self.position += length;
        Ok(token)
    }

    fn unexpected(&self, found: &Token<'_>, expected: &'static str) -> DslError {
        let found = match found {
            Token::Name(text) | Token::Number(text) => format!("`{text}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::End => "end".to_owned(),
        };
        DslError::Unexpected { found, at: self.position, expected }
    }
}

/// A number without its fraction, which the tools drop.
fn whole(digits: &str) -> Option<i64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_fraction = fraction.bytes().all(|digit| digit.is_ascii_digit());
    if is_fraction { whole.parse().ok() } else { None }
}

fn principal(text: &str) -> Option<MspPrincipal> {
    let (msp_id, role) = text.rsplit_once('.')?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if msp_id.is_empty() || !msp_id.bytes().all(is_part) {
        return None;
    }
    let role = match role {
        "member" => MspRoleType::Member,
        "admin" => MspRoleType::Admin,
        "client" => MspRoleType::Client,
        "peer" => MspRoleType::Peer,
        "orderer" => MspRoleType::Orderer,
        _ => return None,
    };
    Some(role_principal(msp_id, role))
}

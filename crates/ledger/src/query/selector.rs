//! Selectors in the normal form that CouchDB gives them before it matches.
//!
//! An object of several members is an implicit `$and`, a bare value an implicit `$eq`; the names of nested fields
//! become one path, through `$and`, `$or`, `$not` and `$nor` as well. Negations are then pushed down to the conditions.
//! The last step is not mere form: `{"$not": {"a": 1}}` becomes `{"a": {"$ne": 1}}`, which a document without `a` does
//! not match either.

use serde_json::Value;

use super::condition::{Comparison, Condition};
use super::path::Path;
use super::{QueryError, pattern};

/// How many conditions and combinations one selector may have.
const MOST_PARTS: usize = 1000;

/// How many `$regex` one selector may have.
const MOST_PATTERNS: usize = 32;

#[derive(Debug)]
pub(super) enum Selector {
    /// The empty selector, which every document matches.
    All,
    /// A whole selector of `$and` or `$or` without members. CouchDB takes it for a range without keys.
    None,
    And(Vec<Selector>),
    Or(Vec<Selector>),
    /// Left only below `$elemMatch`, `$allMatch` and `$keyMapMatch`, where negations are not pushed down.
    Not(Box<Selector>),
    /// As [`Selector::Not`].
    Nor(Vec<Selector>),
    Field(Path, Condition),
}

impl Selector {
    /// Reads the member `selector` of a query.
    pub(super) fn parse(selector: &Value) -> Result<Self, QueryError> {
        let Value::Object(members) = selector else {
            let shown = super::error::shown(selector);
            let reason = format!("Selector must be a JSON object, not: {shown}");
            return Err(QueryError::refused("invalid_selector_json", reason));
        };
        if members.is_empty() {
            return Ok(Self::All);
        }
        match Parser::default().selector(selector, &Path::default())?.push_negations() {
            Self::Field(path, _) if path.is_empty() => {
                let reason = "One or more conditions is missing a field name.";
                Err(QueryError::refused("invalid_selector", reason))
            }
            Self::And(members) | Self::Or(members) if members.is_empty() => Ok(Self::None),
            selector => Ok(selector),
        }
    }

    fn push_negations(self) -> Self {
        match self {
            Self::Not(negated) => negated.negate(),
            Self::Nor(members) => Self::And(members.into_iter().map(Self::negate).collect()),
            Self::And(members) => Self::And(members.into_iter().map(Self::push_negations).collect()),
            Self::Or(members) => Self::Or(members.into_iter().map(Self::push_negations).collect()),
            other => other,
        }
    }

    fn negate(self) -> Self {
        match self {
            Self::Not(twice) => twice.push_negations(),
            Self::Nor(members) => Self::Or(members.into_iter().map(Self::push_negations).collect()),
            Self::And(members) => Self::Or(members.into_iter().map(Self::negate).collect()),
            Self::Or(members) => Self::And(members.into_iter().map(Self::negate).collect()),
            Self::Field(path, condition) => Self::Field(path, condition.negate()),
            Self::All => Self::None,
            Self::None => Self::All,
        }
    }
}

/// Reads a selector and counts its parts.
#[derive(Default)]
struct Parser {
    parts: usize,
    patterns: usize,
}

impl Parser {
    fn selector(&mut self, value: &Value, path: &Path) -> Result<Selector, QueryError> {
        match value {
            Value::Object(members) if !members.is_empty() => {
                let mut parsed = members
                    .iter()
                    .map(|(name, argument)| self.member(name, argument, path))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(if parsed.len() == 1 { parsed.swap_remove(0) } else { Selector::And(parsed) })
            }
            equal => {
                self.count()?;
                Ok(Selector::Field(path.clone(), Condition::Compare(Comparison::Eq, equal.clone())))
            }
        }
    }

    fn member(&mut self, name: &str, argument: &Value, path: &Path) -> Result<Selector, QueryError> {
        self.count()?;
        match name {
            "$and" => Ok(Selector::And(self.members(name, argument, path)?)),
            "$or" => Ok(Selector::Or(self.members(name, argument, path)?)),
            "$nor" => Ok(Selector::Nor(self.members(name, argument, path)?)),
            "$not" if argument.is_object() => Ok(Selector::Not(Box::new(self.selector(argument, path)?))),
            operator if operator.starts_with('$') => {
                Ok(Selector::Field(path.clone(), self.condition(operator, argument)?))
            }
            field => self.selector(argument, &path.join(field)?),
        }
    }

    fn members(
        &mut self,
        operator: &str,
        argument: &Value,
        path: &Path,
    ) -> Result<Vec<Selector>, QueryError> {
        list(operator, argument)?.iter().map(|member| self.selector(member, path)).collect()
    }

    fn condition(&mut self, operator: &str, argument: &Value) -> Result<Condition, QueryError> {
        if let Some(comparison) = Comparison::named(operator) {
            return Ok(Condition::Compare(comparison, argument.clone()));
        }
        let bad = || QueryError::bad_argument(operator, argument);
        let unknown = || QueryError::refused("invalid_operator", format!("Invalid operator: {operator}"));
        Ok(match operator {
            "$in" => Condition::is_in(list(operator, argument)?),
            "$nin" => Condition::is_in(list(operator, argument)?).negate(),
            "$all" => Condition::all(list(operator, argument)?),
            "$exists" => Condition::Exists(argument.as_bool().ok_or_else(bad)?),
            "$type" => Condition::Type(argument.as_str().ok_or_else(bad)?.to_owned()),
            "$size" => Condition::Size(argument.as_u64().ok_or_else(bad)?),
            // Of these two, CouchDB knows the operator only with a string.
            "$beginsWith" => Condition::BeginsWith(argument.as_str().ok_or_else(unknown)?.to_owned()),
            "$mod" => modulo(argument).ok_or_else(bad)?,
            "$regex" => {
                self.patterns += 1;
                if self.patterns > MOST_PATTERNS {
                    return Err(QueryError::TooLarge { what: "regular expressions", limit: MOST_PATTERNS });
                }
                Condition::Regex(Box::new(pattern::compile(argument.as_str().ok_or_else(unknown)?)?))
            }
            "$elemMatch" => Condition::ElemMatch(self.inner(operator, argument)?),
            "$allMatch" => Condition::AllMatch(self.inner(operator, argument)?),
            "$keyMapMatch" => Condition::KeyMapMatch(self.inner(operator, argument)?),
            "$not" => return Err(bad()),
            // CouchDB takes $text for a query of a text index, of which there are none here.
            "$where" | "$geoWithin" | "$geoIntersects" | "$near" | "$nearSphere" | "$text" | "$default" => {
                return Err(QueryError::unsupported(operator));
            }
            _ => return Err(unknown()),
        })
    }

    /// The selector that elements or names have to match. Its paths begin anew.
    fn inner(&mut self, operator: &str, argument: &Value) -> Result<Box<Selector>, QueryError> {
        if !argument.is_object() {
            return Err(QueryError::bad_argument(operator, argument));
        }
        self.selector(argument, &Path::default()).map(Box::new)
    }

    fn count(&mut self) -> Result<(), QueryError> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(QueryError::TooLarge { what: "conditions", limit: MOST_PARTS });
        }
        Ok(())
    }
}

fn list<'a>(operator: &str, argument: &'a Value) -> Result<&'a Vec<Value>, QueryError> {
    argument.as_array().ok_or_else(|| QueryError::bad_argument(operator, argument))
}

/// Divisor and remainder. A divisor of zero is refused here; in CouchDB the query fails when it meets a number.
fn modulo(argument: &Value) -> Option<Condition> {
    let [divisor, remainder] = argument.as_array()?.as_slice() else { return None };
    let whole = |value: &Value| value.as_number().and_then(serde_json::Number::as_i128);
    let divisor = whole(divisor).filter(|divisor| *divisor != 0)?;
    Some(Condition::Mod { divisor, remainder: whole(remainder)? })
}

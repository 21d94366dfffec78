//! CouchDB's order of JSON values: null, false, true, numbers, strings, arrays, objects.
//!
//! Strings are in the order of the Unicode Collation Algorithm with CLDR's root, which is what ICU gives CouchDB:
//! `a` < `A` < `b`, and strings that differ in nothing but ignorable characters are equal.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences};
use serde_json::{Map, Number, Value};

static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    Collator::try_new(CollatorPreferences::default(), CollatorOptions::default())
        .expect("the root collation is compiled in")
});

/// Compares as CouchDB's views and selectors do.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => compare_strings(a, b),
        (Value::Array(a), Value::Array(b)) => {
            let differs = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            differs.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Compares a document's key, whose order is that of its bytes, with a value.
pub(super) fn compare_id(id: &Value, value: &Value) -> Ordering {
    match (id, value) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => compare(id, value),
    }
}

/// Whether two values are equal to Erlang: numbers by value, all else to the byte.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// A number's value if it is a whole one. A document's number such as `4.0` counts, since a Fabric peer writes it to
/// CouchDB as `4`; from 10^21 on it is written with an exponent and does not.
pub(super) fn whole(number: &Number) -> Option<i128> {
    const EXPONENT_FROM: f64 = 1e21;
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let value = number.as_f64()?;
    #[allow(clippy::cast_possible_truncation, reason = "whole and well below 2^127")]
    (value.fract() == 0.0 && value.abs() < EXPONENT_FROM).then_some(value as i128)
}

/// A document's value as text that is equal exactly if Erlang's terms are identical.
pub(super) fn document_text(value: &Value) -> String {
    let mut text = String::new();
    write_text(value, &mut text, |number| match whole(number) {
        Some(whole) => whole.to_string(),
        None => number.to_string(),
    });
    text
}

/// As [`document_text`], for a value of a selector: there `4.0` and `4` are two numbers.
pub(super) fn selector_text(value: &Value) -> String {
    let mut text = String::new();
    write_text(value, &mut text, Number::to_string);
    text
}

fn write_text(value: &Value, text: &mut String, number: fn(&Number) -> String) {
    match value {
        Value::Number(value) => text.push_str(&number(value)),
        Value::Array(elements) => {
            text.push('[');
            for element in elements {
                write_text(element, text, number);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (name, field) in sorted(fields) {
                // Writing to a string cannot fail.
                let _ = write!(text, "{name:?}:");
                write_text(field, text, number);
                text.push(',');
            }
            text.push('}');
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

fn compare_strings(a: &str, b: &str) -> Ordering {
    if a == b { Ordering::Equal } else { COLLATOR.compare(a, b) }
}

/// Objects are compared field by field in the order of their names' bytes, in which a Fabric peer writes them.
fn compare_objects(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let (left, right) = (sorted(a), sorted(b));
    let compare_fields = |((a_name, a), (b_name, b)): (&(&String, &Value), &(&String, &Value))| {
        compare_strings(a_name, b_name).then_with(|| compare(a, b))
    };
    let differs = left.iter().zip(&right).map(compare_fields).find(|order| order.is_ne());
    differs.unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// The order of a map's iterator is not relied upon: a feature of `serde_json` changes it.
fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

/// Whole numbers are compared exactly, however large; with a fraction they are floating point numbers.
fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    fn mixed(whole: i128, other: f64) -> Ordering {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "whole numbers have 64 bits: a saturated bound will do"
        )]
        let floor = other.floor() as i128;
        whole.cmp(&floor).then_with(|| if other.fract() == 0.0 { Ordering::Equal } else { Ordering::Less })
    }
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => mixed(a, b.as_f64().unwrap_or_default()),
        (None, Some(b)) => mixed(b, a.as_f64().unwrap_or_default()).reverse(),
        (None, None) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_in_the_order_of_couchdb_s_documentation() {
        // The table of "Collation specification", strings in the order of ICU.
        let values = [
            json!(null),
            json!(false),
            json!(true),
            json!(1),
            json!(2),
            json!(3.0),
            json!(4),
            json!("a"),
            json!("A"),
            json!("aa"),
            json!("b"),
            json!("B"),
            json!("ba"),
            json!("bb"),
            json!(["a"]),
            json!(["b"]),
            json!(["b", "c"]),
            json!(["b", "c", "a"]),
            json!(["b", "d"]),
            json!(["b", "d", "e"]),
            json!({"a": 1}),
            json!({"a": 2}),
            json!({"b": 1}),
            json!({"b": 2}),
            json!({"b": 2, "c": 2}),
        ];
        for (at, a) in values.iter().enumerate() {
            for (other, b) in values.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} and {b}");
            }
        }
    }

    #[test]
    fn strings_that_differ_in_ignorable_characters_are_equal_but_not_the_same() {
        let (plain, ignorable) = (json!("a"), json!("a\u{1}"));
        assert!(compare(&plain, &ignorable).is_eq());
        assert!(!same(&plain, &ignorable));
        assert!(compare(&json!("e\u{301}"), &json!("é")).is_eq(), "a combined letter is the letter");
        assert!(compare_id(&plain, &ignorable).is_lt(), "keys are compared by bytes");
        assert!(compare_id(&json!("B"), &json!("a")).is_lt());
    }

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(compare(&json!(1), &json!(1.0)).is_eq());
        assert!(same(&json!([1, {"a": 2.0}]), &json!([1.0, {"a": 2}])));
        assert!(compare(&json!(1), &json!(1.5)).is_lt());
        assert!(compare(&json!(-1), &json!(-1.5)).is_gt());
        assert!(compare(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992.0)).is_gt());
        assert!(compare(&json!(u64::MAX), &json!(i64::MIN)).is_gt());
        assert!(compare(&json!(u64::MAX), &json!(1e300)).is_lt());
        assert!(compare(&json!(0), &json!(-0.0)).is_eq());
    }

    #[test]
    fn texts_tell_what_is_identical() {
        assert_eq!(document_text(&json!({"b": 4.0, "a": [1e2, null]})), "{\"a\":[100,null,],\"b\":4,}");
        assert_eq!(document_text(&json!(1e21)), "1e+21");
        assert_ne!(selector_text(&json!(4.0)), selector_text(&json!(4)));
        assert_ne!(document_text(&json!("1")), document_text(&json!(1)));
    }
}

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Few names and values, so that conditions meet something.
pub(crate) const NAMES: [&str; 6] = ["a", "b", "c", "n", "list", "x.y"];

/// Cases, accents, digits, signs, other scripts, combined and ignorable characters.
const STRINGS: [&str; 32] = [
    "",
    "a",
    "A",
    "aa",
    "aB",
    "Ab",
    "ab",
    "b",
    "B",
    "z",
    "Z",
    "ä",
    "é",
    "e\u{301}",
    "e",
    "ß",
    "ss",
    "1",
    "10",
    "2",
    "-",
    "_",
    "~",
    "a b",
    "a-b",
    "a\u{1}",
    "日本",
    "я",
    "😀",
    "ﬁ",
    "fi",
    "\u{feff}a",
];

/// A value of a key: mostly a document, at times something else.
pub(crate) fn value(random: &mut Random) -> String {
    match random.below(20) {
        0 => "no JSON".to_owned(),
        1 => json!([1, {"a": 1}]).to_string(),
        _ => {
            let mut fields = Map::new();
            for name in NAMES {
                if random.percent(60) {
                    fields.insert(name.to_owned(), json(random, 2));
                }
            }
            Value::Object(fields).to_string()
        }
    }
}

/// A JSON value with at most so many levels below it.
pub(crate) fn json(random: &mut Random, levels: usize) -> Value {
    let kinds = if levels == 0 { 8 } else { 12 };
    match random.below(kinds) {
        0 => Value::Null,
        1 => json!(random.percent(50)),
        2 | 3 => json!(i64::try_from(random.below(12)).unwrap_or_default() - 3),
        4 => json!([0.5, 1.5, 2.0, -1.25, 1e3, 1e21][random.below(6)]),
        5..=7 => json!(random.pick(&STRINGS)),
        8..=9 => (0..random.below(4)).map(|_| json(random, levels - 1)).collect(),
        _ => {
            let mut fields = Map::new();
            for _ in 0..random.below(3) {
                fields.insert(random.pick(&NAMES).to_owned(), json(random, levels - 1));
            }
            Value::Object(fields)
        }
    }
}

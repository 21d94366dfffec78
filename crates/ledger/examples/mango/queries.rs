use serde_json::{Map, Value, json};

use crate::documents::{NAMES, json};
use crate::random::Random;

const PATTERNS: [&str; 10] = ["a", "^a", "b$", "^.$", "[a-z]+", "(?i)B", "^(a|é)", r"\d", "^$", "a.?b"];

const COMPARISONS: [&str; 6] = ["$lt", "$lte", "$eq", "$ne", "$gte", "$gt"];

/// None of them ends where an accent follows in one of the strings, which CouchDB does not part from its letter.
const PREFIXES: [&str; 8] = ["", "a", "A", "b", "é", "1", "日", "😀"];

const PATHS: [&str; 12] =
    ["a", "b", "c", "n", "list", r"x\.y", "a.b", "a.0", "list.1", "list.0.a", "b.a.c", "a.list.0"];

/// None of them lies within another: CouchDB fails, or puts values into wrong places, when it has to put one into an
/// array that is there already.
const FIELDS: [&str; 7] = ["a.0", "a.b", "b", "c.a", "n", "list.1", r"x\.y"];

/// A query: always a selector, at times `sort` and `fields`.
pub(crate) fn query(random: &mut Random) -> Value {
    let mut query = Map::new();
    query.insert("selector".to_owned(), selector(random));
    if random.percent(25) {
        query.insert("sort".to_owned(), sort(random));
    }
    if random.percent(20) {
        let fields: Vec<_> = (0..=random.below(3)).map(|_| random.pick(&FIELDS)).collect();
        query.insert("fields".to_owned(), json!(fields));
    }
    Value::Object(query)
}

fn selector(random: &mut Random) -> Value {
    if random.percent(1) { json!({}) } else { object(random, 3) }
}

fn sort(random: &mut Random) -> Value {
    let descending = random.percent(40);
    let spec = |random: &mut Random| {
        let name = random.pick(&PATHS[..6]);
        if descending { json!({name: "desc"}) } else { json!(name) }
    };
    (0..=random.below(2)).map(|_| spec(random)).collect()
}

/// An object of one or two members.
fn object(random: &mut Random, levels: usize) -> Value {
    let mut members = Map::new();
    for _ in 0..if random.percent(75) { 1 } else { 2 } {
        let (name, member) = member(random, levels);
        members.insert(name, member);
    }
    Value::Object(members)
}

fn member(random: &mut Random, levels: usize) -> (String, Value) {
    if levels > 0 && random.percent(35) {
        let name = random.pick(&["$and", "$or", "$nor", "$not"]);
        let argument = match name {
            "$not" => object(random, levels - 1),
            _ => (0..random.below(4)).map(|_| object(random, levels - 1)).collect(),
        };
        return (name.to_owned(), if random.percent(2) { json!(1) } else { argument });
    }
    if random.percent(3) {
        // Among such keys the orders of bytes and of ICU agree; `docs/rich-queries.md` has the rest.
        let key = format!("k{:02}", random.below(60));
        return ("_id".to_owned(), json!({random.pick(&COMPARISONS): key}));
    }
    (random.pick(&PATHS).to_owned(), condition(random, levels))
}

/// What stands behind a field's name.
fn condition(random: &mut Random, levels: usize) -> Value {
    match random.below(20) {
        0 => json(random, 1),
        1 if levels > 0 => object(random, levels - 1),
        2 => json!({"$not": operator(random, levels)}),
        3 => json!({"$or": [operator(random, levels), operator(random, levels)]}),
        4 => {
            let (mut both, other) = (operator(random, levels), operator(random, levels));
            if let (Value::Object(both), Value::Object(other)) = (&mut both, other) {
                both.extend(other);
            }
            both
        }
        _ => operator(random, levels),
    }
}

/// An object of one operator, with an argument of a wrong kind at times.
fn operator(random: &mut Random, levels: usize) -> Value {
    let below = levels.saturating_sub(1);
    let (name, argument) = match random.below(22) {
        0..=5 => (random.pick(&COMPARISONS), json(random, 1)),
        6 | 7 => ("$in", list(random)),
        8 => ("$nin", list(random)),
        9 => ("$exists", json!(random.percent(50))),
        10 => {
            let names = ["null", "boolean", "number", "string", "array", "object", "text"];
            ("$type", json!(random.pick(&names)))
        }
        11 => ("$size", json!(random.below(4))),
        12 => ("$mod", json!([random.below(4) + 1, random.below(3)])),
        13 => ("$regex", json!(random.pick(&PATTERNS))),
        14 => ("$beginsWith", json!(random.pick(&PREFIXES))),
        15 | 16 => ("$all", list(random)),
        17 | 18 => ("$elemMatch", element(random, below)),
        19 => ("$allMatch", element(random, below)),
        20 => ("$keyMapMatch", json!({random.pick(&["$eq", "$gt", "$in"]): random.pick(&NAMES)})),
        _ => (random.pick(&["$where", "$unknown", "$near"]), json!(1)),
    };
    let argument = if random.percent(2) { json(random, 1) } else { argument };
    json!({name: argument})
}

/// What an element has to match: operators alone, or fields.
fn element(random: &mut Random, levels: usize) -> Value {
    match random.below(4) {
        0 => object(random, levels),
        1 => json!({"$or": [operator(random, levels), operator(random, levels)]}),
        _ => operator(random, levels),
    }
}

fn list(random: &mut Random) -> Value {
    (0..random.below(4)).map(|_| json(random, 1)).collect()
}

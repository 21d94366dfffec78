use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::collation::compare;
use super::{Matches, Query, QueryError, Search};

/// The keys and values that a query is asked of, in ascending order of the keys.
type State = Vec<(String, Value)>;

fn people() -> State {
    let people = json!({
        "anna": {"name": "Anna", "age": 31, "tags": ["a", "b"], "home": {"city": "Oslo", "zip": 150}},
        "ben": {"name": "ben", "age": 25, "tags": [], "home": {"city": "Bergen"}},
        "cleo": {"name": "Cleo", "age": 31.5, "tags": ["b", {"deep": [1, 2]}], "home": null},
        "dan": {"name": null, "tags": "b"},
        "list": [1, 2],
    });
    people.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn search(state: &State, query: &Value, bookmark: &str, limit: usize) -> Matches {
    let query = Query::parse(&query.to_string(), bookmark).unwrap();
    let start = query.start();
    let mut search = Search::new(Arc::new(query), limit);
    for (key, value) in state.iter().filter(|(key, _)| *key >= start) {
        if !search.offer(key, value.to_string().as_bytes()).unwrap() {
            break;
        }
    }
    search.finish()
}

fn keys(state: &State, query: &Value) -> Vec<String> {
    search(state, query, "", usize::MAX).keys
}

fn found(selector: &Value) -> Vec<String> {
    keys(&people(), &json!({"selector": selector}))
}

fn error(query: &Value) -> String {
    Query::parse(&query.to_string(), "").unwrap_err().to_string()
}

#[test]
fn selectors_match_as_couchdb_s_documentation_says() {
    for (selector, expected) in [
        (json!({}), &["anna", "ben", "cleo", "dan"][..]),
        (json!({"age": 31}), &["anna"]),
        (json!({"age": {"$gt": 25}}), &["anna", "cleo"]),
        (json!({"age": {"$gte": 25, "$lt": 31.5}}), &["anna", "ben"]),
        (json!({"age": {"$ne": 25}}), &["anna", "cleo"]),
        (json!({"home.city": "Oslo"}), &["anna"]),
        (json!({"home": {"city": {"$eq": "Oslo"}}}), &["anna"]),
        (json!({"home": {"$eq": {"city": "Bergen"}}}), &["ben"]),
        (json!({"age": {"$exists": false}}), &["dan"]),
        (json!({"name": {"$type": "null"}}), &["dan"]),
        (json!({"$and": [{"age": 31}, {"name": "Anna"}]}), &["anna"]),
        (json!({"$or": [{"age": 25}, {"name": "Anna"}]}), &["anna", "ben"]),
        (json!({"$nor": [{"age": 25}, {"name": "Anna"}]}), &["cleo"]),
        (json!({"$not": {"age": 25}}), &["anna", "cleo"]),
        (json!({"age": {"$in": [31, 25]}}), &["anna", "ben"]),
        (json!({"age": {"$nin": [31, 25]}}), &["cleo"]),
        (json!({"tags": {"$in": ["a"]}}), &["anna"]),
        (json!({"tags": {"$all": ["b", "a"]}}), &["anna"]),
        (json!({"tags": {"$all": [[]]}}), &["ben"]),
        (json!({"tags": {"$size": 0}}), &["ben"]),
        (json!({"tags": {"$elemMatch": {"$eq": "b"}}}), &["anna", "cleo"]),
        (json!({"tags": {"$elemMatch": {"deep.1": 2}}}), &["cleo"]),
        (json!({"tags": {"$allMatch": {"$lt": "c"}}}), &["anna"]),
        (json!({"home": {"$keyMapMatch": {"$eq": "zip"}}}), &["anna"]),
        (json!({"age": {"$mod": [5, 1]}}), &["anna"]),
        (json!({"name": {"$regex": "^[A-C]"}}), &["anna", "cleo"]),
        (json!({"name": {"$beginsWith": "C"}}), &["cleo"]),
        (json!({"name": {"$lt": "C"}}), &["anna", "ben", "dan"]),
        (json!({"_id": {"$gt": "b"}}), &["ben", "cleo", "dan"]),
        (json!({"tags.1.deep.0": 1}), &["cleo"]),
        (json!({"$and": []}), &[]),
        (json!({"age": {"$in": []}}), &[]),
        (json!({"$nor": []}), &[]),
    ] {
        assert_eq!(found(&selector), expected, "{selector}");
    }
}

/// Where CouchDB is not what one would think; its own code was asked.
#[test]
fn selectors_have_couchdb_s_corners() {
    // A missing field matches neither a condition nor its negation.
    assert!(!found(&json!({"age": 25})).contains(&"dan".to_owned()));
    assert!(!found(&json!({"$not": {"age": 25}})).contains(&"dan".to_owned()));
    // Without a path there is nothing that does not exist.
    assert_eq!(found(&json!({"name.first": {"$exists": false}})), [""; 0]);
    // An empty list of alternatives matches anything, unless it is the whole selector.
    assert_eq!(found(&json!({"$or": []})), [""; 0]);
    assert_eq!(found(&json!({"$and": [{"$or": []}]})).len(), 4);
    // Negations are not pushed down below $elemMatch, where $nor has no meaning at all.
    assert_eq!(found(&json!({"tags": {"$elemMatch": {"$not": {"deep": 1}}}})), ["anna", "cleo"]);
    assert_eq!(found(&json!({"tags": {"$elemMatch": {"$nor": [{"$eq": "zzz"}]}}})), [""; 0]);
    // $all compares exactly.
    assert_eq!(
        keys(&vec![("k".into(), json!({"a": [1]}))], &json!({"selector": {"a": {"$all": [1.0]}}})),
        [""; 0]
    );
    assert_eq!(
        keys(&vec![("k".into(), json!({"a": [1.0]}))], &json!({"selector": {"a": {"$all": [1]}}})),
        ["k"]
    );
}

#[test]
fn refusals_have_couchdb_s_words() {
    let refused = |error: &str, reason: &str| {
        format!("error handling CouchDB request. Error:{error},  Status Code:400,  Reason:{reason}")
    };
    for (query, name, reason) in [
        (json!({}), "missing_required_key", "Missing required key: selector"),
        (json!({"selector": 1}), "invalid_selector_json", "Selector must be a JSON object, not: 1"),
        (
            json!({"selector": {"$eq": 1}}),
            "invalid_selector",
            "One or more conditions is missing a field name.",
        ),
        (json!({"selector": {"a": {"$like": 1}}}), "invalid_operator", "Invalid operator: $like"),
        (json!({"selector": {"a": {"$regex": 1}}}), "invalid_operator", "Invalid operator: $regex"),
        (json!({"selector": {"a": {"$where": 1}}}), "not_supported", "Unsupported operator: $where"),
        (json!({"selector": {"a": {"$in": 1}}}), "bad_arg", "Bad argument for operator $in: 1"),
        (json!({"selector": {"a": {"$mod": [0, 1]}}}), "bad_arg", "Bad argument for operator $mod: [0,1]"),
        (json!({"selector": {"a": {"$not": 1}}}), "bad_arg", "Bad argument for operator $not: 1"),
        (json!({"selector": {"a..b": 1}}), "invalid_field_name", "Invalid field name: a..b"),
        (
            json!({"selector": {}, "sort": "a"}),
            "invalid_sort_json",
            "Sort must be an array of sort specs, not: \"a\"",
        ),
        (
            json!({"selector": {}, "sort": [{"a": "up"}]}),
            "invalid_sort_field",
            "Invalid sort field: {\"a\":\"up\"}",
        ),
        (
            json!({"selector": {}, "sort": ["a", {"b": "desc"}]}),
            "unsupported_mixed_sort",
            "Sorts currently only support a single direction for all fields.",
        ),
        (json!({"selector": {}, "fields": [1]}), "invalid_field", "Invalid JSON for field spec: 1"),
        (
            json!({"selector": {}, "skip": -1}),
            "invalid_non_neg_integer",
            "-1 is not an integer greater than or equal to zero",
        ),
        (json!({"selector": {}, "bookmark": "nil"}), "invalid_bookmark", "Invalid bookmark value: \"nil\""),
        (json!({"selector": {}, "update": 1}), "invalid_boolean", "Invalid boolean value: 1"),
        (json!({"selector": {}, "use_index": 1}), "invalid_index_name", "Invalid index name: 1"),
        (
            json!({"selector": {}, "use_index": "_design/d/i", "allow_fallback": false}),
            "invalid_index",
            "_design/d, i specified by `use_index` could not be found or it is not suitable.",
        ),
        (json!({"selector": {}, "stuff": 1}), "invalid_key", "Invalid key stuff for this request."),
    ] {
        assert_eq!(error(&query), refused(name, reason), "{query}");
    }
    assert_eq!(error(&json!({"selector": {}, "fields": "a"})), "fields definition must be an array");
    assert!(Query::parse("[1]", "").unwrap_err().to_string().starts_with("the query is not a JSON object: "));
}

#[test]
fn options_without_effect_are_taken() {
    let query = json!({
        "selector": {"age": 31}, "limit": 1, "use_index": ["_design/d", "i"], "r": 2, "conflicts": true,
        "stale": "ok", "update": false, "stable": true, "execution_stats": true, "allow_fallback": true,
        "bookmark": null, "partition": "",
    });
    assert_eq!(keys(&people(), &query), ["anna"]);
    let all = json!({"selector": {}, "limit": 1});
    assert_eq!(keys(&people(), &all).len(), 4, "a limit in the query is overridden by the peer's");
}

#[test]
fn bounds_are_kept() {
    let many: Vec<_> = (0..1001).map(|at| json!({"a": at})).collect();
    assert!(error(&json!({"selector": {"$or": many}})).contains("conditions beyond the limit of 1000"));
    let patterns: Vec<_> = (0..33).map(|_| json!({"a": {"$regex": "x"}})).collect();
    assert!(error(&json!({"selector": {"$or": patterns}})).contains("regular expressions beyond"));
    let deep = format!("{{\"selector\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    assert!(matches!(Query::parse(&deep, ""), Err(QueryError::NotJson { .. })));
    let large = json!({"selector": {"a": "x".repeat(2 << 20)}});
    assert!(matches!(Query::parse(&large.to_string(), ""), Err(QueryError::TooLarge { .. })));

    let query = Arc::new(Query::parse(r#"{"selector":{},"sort":["a"]}"#, "").unwrap());
    let mut search = Search::new(query, usize::MAX);
    let value = json!({"a": "x".repeat(1 << 20)}).to_string();
    let offered = (0..100).find_map(|at| search.offer(&format!("k{at:03}"), value.as_bytes()).err());
    assert!(matches!(offered, Some(QueryError::TooManyResults { .. })), "{offered:?}");
}

#[test]
fn a_sorted_search_holds_no_more_than_its_page() {
    let query = Arc::new(Query::parse(r#"{"selector":{},"sort":["a"],"skip":1}"#, "").unwrap());
    let mut search = Search::new(query, 2);
    let filler = "x".repeat(1 << 20);
    for at in (0..70).rev() {
        let value = json!({"a": [at, filler]}).to_string();
        assert!(search.offer(&format!("k{:02}", 69 - at), value.as_bytes()).unwrap());
    }
    assert_eq!(search.finish().keys, ["k68", "k67"]);
}

#[test]
fn results_are_sorted_as_by_an_index() {
    let sorted = |sort: Value| keys(&people(), &json!({"selector": {}, "sort": sort}));
    assert_eq!(sorted(json!(["name"])), ["dan", "anna", "ben", "cleo"]);
    assert_eq!(sorted(json!([{"name": "desc"}])), ["cleo", "ben", "anna", "dan"]);
    assert_eq!(sorted(json!(["age"])), ["ben", "anna", "cleo"], "who has no age is not in the index");
    assert_eq!(sorted(json!(["tags", "name"])), ["dan", "ben", "anna", "cleo"]);
    assert_eq!(sorted(json!([])), ["anna", "ben", "cleo", "dan"]);
    let skipped = json!({"selector": {}, "sort": ["name"], "skip": 2});
    assert_eq!(keys(&people(), &skipped), ["ben", "cleo"]);
}

#[test]
fn fields_are_cut_out() {
    let result = |fields: Value| {
        let query = json!({"selector": {}, "fields": fields}).to_string();
        let value = people()[0].1.to_string();
        let result = Query::parse(&query, "").unwrap().result("anna", Bytes::from(value));
        String::from_utf8(result.to_vec()).unwrap()
    };
    assert_eq!(result(json!(["name", "age"])), r#"{"age":31,"name":"Anna"}"#);
    assert_eq!(result(json!(["home.city", "none", "_id"])), r#"{"home":{"city":"Oslo"}}"#);
    assert_eq!(result(json!(["tags.1"])), r#"{"tags":{"1":"b"}}"#);
    assert_eq!(result(json!([])), "{}");
}

#[test]
fn pages_go_on_where_the_last_one_ended_whatever_is_written_in_between() {
    let mut state = people();
    let query = json!({"selector": {"tags": {"$exists": true}}, "sort": [{"name": "desc"}]});
    let first = search(&state, &query, "", 2);
    assert_eq!(first.keys, ["cleo", "ben"]);
    // The last result is gone, one comes before it and one behind it.
    state[1].1["tags"] = Value::Null;
    state[1].1["name"] = json!("zoe");
    state.push(("eva".into(), json!({"name": "Eva", "tags": []})));
    state.push(("fay".into(), json!({"name": "Ada", "tags": []})));
    let second = search(&state, &query, &first.bookmark, 2);
    assert_eq!(second.keys, ["anna", "fay"]);
    let third = search(&state, &query, &second.bookmark, 2);
    assert_eq!(third.keys, ["dan"]);
    let last = search(&state, &query, &third.bookmark, 2);
    assert_eq!(last, Matches { keys: Vec::new(), bookmark: third.bookmark });
    assert_eq!(search(&state, &json!({"selector": {"x": 1}}), "", 2).bookmark, "nil");
}

#[test]
fn a_foreign_bookmark_is_refused() {
    let bookmark = search(&people(), &json!({"selector": {}, "sort": ["age"]}), "", 1).bookmark;
    for (query, bookmark) in [
        (json!({"selector": {}}), bookmark.as_str()),
        (json!({"selector": {}}), "!"),
        (json!({"selector": {}}), "W10"),
    ] {
        let error = Query::parse(&query.to_string(), bookmark).unwrap_err().to_string();
        assert!(error.contains("Error:invalid_bookmark,"), "{error}");
    }
}

#[test]
fn what_is_no_json_object_is_no_document() {
    let query = Arc::new(Query::parse(r#"{"selector":{}}"#, "").unwrap());
    let mut search = Search::new(query, 100);
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(8_000_000));
    for value in
        ["", "1", "null", "\"{}\"", "[{}]", "{", "{} x", "\u{feff}{}", &deep, &large, "{\"a\":1e999}"]
    {
        assert!(search.offer("k", value.as_bytes()).unwrap());
    }
    assert!(search.offer("binary", b"{\"a\":\"\xff\"}").unwrap());
    assert!(search.offer("ok", b" \n{\"_id\": \"other\"}").unwrap());
    assert_eq!(search.finish().keys, ["ok"]);
    let id = json!({"selector": {"_id": "k"}});
    assert_eq!(keys(&vec![("k".into(), json!({"_id": "other"}))], &id), ["k"]);
}

/// Any JSON, of few names so that selectors and documents meet.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..4_i64).prop_map(Value::from),
        prop::sample::select(vec![0.5, 2.0, -1.5, 1e21]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "A", "b", "é", "\u{1}a", "1"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = prop::sample::select(vec!["a", "b", "c", "0"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..3).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

/// JSON with operators in place of some names: much of it no selector.
fn anything() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 26] = [
        "$and",
        "$or",
        "$not",
        "$nor",
        "$in",
        "$nin",
        "$all",
        "$elemMatch",
        "$allMatch",
        "$keyMapMatch",
        "$lt",
        "$eq",
        "$exists",
        "$type",
        "$size",
        "$mod",
        "$regex",
        "$beginsWith",
        "$text",
        "$x",
        "a",
        "a.b",
        "",
        "selector",
        "sort",
        "_id",
    ];
    json_value().prop_recursive(5, 40, 4, |inner| {
        let field = (prop::sample::select(&NAMES[..]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(field, 0..4).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

/// Sound selectors without the empty `$and` and `$or`, which match as their negations do.
fn selector() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec!["a", "b", "a.b", "c.0", "_id"]);
    let condition = prop_oneof![
        (prop::sample::select(vec!["$lt", "$lte", "$eq", "$ne", "$gte", "$gt"]), json_value())
            .prop_map(|(operator, argument)| json!({operator: argument})),
        prop::collection::vec(json_value(), 0..3).prop_map(|list| json!({"$in": list})),
        prop::collection::vec(json_value(), 0..3).prop_map(|list| json!({"$all": list})),
        any::<bool>().prop_map(|exists| json!({"$exists": exists})),
        json_value().prop_map(|value| json!({"$elemMatch": {"$gte": value}})),
        json_value().prop_map(|value| json!({"$allMatch": {"a": {"$ne": value}}})),
        Just(json!({"$mod": [2, 1]})),
        Just(json!({"$regex": "^a"})),
        Just(json!({"$type": "array"})),
        Just(json!({"$size": 1})),
    ];
    let leaf = (path, condition).prop_map(|(path, condition)| json!({path: condition}));
    leaf.prop_recursive(3, 10, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (prop::sample::select(vec!["$and", "$or", "$nor"]), list)
                .prop_map(|(operator, list)| json!({operator: list})),
            inner.prop_map(|inner| json!({"$not": inner})),
        ]
    })
}

fn documents() -> impl Strategy<Value = State> {
    prop::collection::vec(json_value(), 1..12).prop_map(|values| {
        let keyed = |(at, value): (usize, Value)| (format!("k{at:02}"), json!({"a": value, "b": at % 3}));
        values.into_iter().enumerate().map(keyed).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_query_is_too_odd(query in anything(), selector in anything(), document in json_value()) {
        drop(Query::parse(&query.to_string(), ""));
        let query = json!({"selector": selector, "sort": ["a"]});
        if let Ok(query) = Query::parse(&query.to_string(), "") {
            let mut search = Search::new(Arc::new(query), 10);
            search.offer("k", json!({"a": document}).to_string().as_bytes()).unwrap();
            drop(search.finish());
        }
    }

    #[test]
    fn a_negation_never_matches_too_and_always_does_where_the_fields_are(
        selector in selector(), state in documents(),
    ) {
        let matching = keys(&state, &json!({"selector": selector}));
        let others = keys(&state, &json!({"selector": {"$not": selector}}));
        prop_assert!(matching.iter().all(|key| !others.contains(key)), "{:?} and {:?}", matching, others);
        if !["a.b", "c.0"].iter().any(|path| selector.to_string().contains(path)) {
            prop_assert_eq!(matching.len() + others.len(), state.len());
        }
    }

    #[test]
    fn the_order_is_total(a in json_value(), b in json_value(), c in json_value()) {
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert!(compare(&a, &a).is_eq());
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
    }

    #[test]
    fn results_are_in_order(state in documents(), descending: bool) {
        let direction = if descending { "desc" } else { "asc" };
        let sort = json!([{"b": direction}, {"a": direction}]);
        let keys = keys(&state, &json!({"selector": {}, "sort": sort}));
        prop_assert_eq!(keys.len(), state.len());
        let value = |key: &String| &state.iter().find(|(other, _)| other == key).unwrap().1;
        for pair in keys.windows(2) {
            let (a, b) = (value(&pair[0]), value(&pair[1]));
            let order = compare(&json!([a["b"], a["a"], pair[0]]), &json!([b["b"], b["a"], pair[1]]));
            prop_assert_eq!(if descending { order.reverse() } else { order }, std::cmp::Ordering::Less);
        }
    }

    #[test]
    fn page_by_page_is_the_whole(
        state in documents(), selector in selector(), size in 1..5_usize, sorted in 0..3_usize,
    ) {
        let sort = [json!([]), json!(["a"]), json!([{"b": "desc"}])][sorted].clone();
        let query = json!({"selector": selector, "sort": sort});
        let whole = keys(&state, &query);
        let (mut pages, mut bookmark) = (Vec::new(), String::new());
        loop {
            let page = search(&state, &query, &bookmark, size);
            prop_assert!(page.keys.len() <= size);
            if page.keys.is_empty() {
                break;
            }
            pages.extend(page.keys);
            bookmark = page.bookmark;
        }
        prop_assert_eq!(pages, whole);
    }

    #[test]
    fn a_projection_has_the_document_s_values(document in json_value(), other in json_value()) {
        let value = json!({"a": document, "b": {"c": other}});
        let query = json!({"selector": {}, "fields": ["a", "b.c", "d"]}).to_string();
        let result = Query::parse(&query, "").unwrap().result("k", Bytes::from(value.to_string()));
        prop_assert_eq!(serde_json::from_slice::<Value>(&result).unwrap(), value);
    }
}

//! From what a function returned to what the client receives.

use std::any::Any;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::Response;

/// The response of a function that has succeeded.
pub fn succeed<T: Serialize + 'static>(value: T) -> Response {
    match payload(value) {
        Ok(payload) => Response::success(payload),
        Err(error) => Response::error(format!("error handling success response. {error}")),
    }
}

fn payload<T: Serialize + 'static>(value: T) -> Result<Bytes, serde_json::Error> {
    let mut place = Some(value);
    if let Some(payload) = plain(&mut place) {
        return Ok(payload);
    }
    match serde_json::to_value(place)? {
        Value::Null => Ok(Bytes::new()),
        json => sorted(json),
    }
}

/// A parameter as a client sends it: in the form of a result, but for `null`, which is written out.
pub(super) fn argument<T: Serialize + 'static>(value: T) -> Result<Bytes, serde_json::Error> {
    let mut place = Some(value);
    match plain(&mut place) {
        Some(plain) => Ok(plain),
        None => canonical_json(&place),
    }
}

/// JSON in one line with sorted keys, the same at every endorser.
pub(crate) fn canonical_json(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    sorted(serde_json::to_value(value)?)
}

fn sorted(mut json: Value) -> Result<Bytes, serde_json::Error> {
    // It does nothing unless some crate of the build has told serde_json to keep insertion order.
    json.sort_all_objects();
    Ok(serde_json::to_vec(&json)?.into())
}

/// What does not travel as JSON.
fn plain(place: &mut dyn Any) -> Option<Bytes> {
    if let Some(text) = place.downcast_mut::<Option<String>>() {
        return Some(text.take().unwrap_or_default().into());
    }
    if let Some(bytes) = place.downcast_mut::<Option<Vec<u8>>>() {
        return Some(bytes.take().unwrap_or_default().into());
    }
    if let Some(bytes) = place.downcast_mut::<Option<Bytes>>() {
        return Some(bytes.take().unwrap_or_default());
    }
    if let Some(text) = place.downcast_ref::<Option<&'static str>>() {
        return Some(Bytes::from_static(text.unwrap_or_default().as_bytes()));
    }
    if let Some(value) = place.downcast_ref::<Option<f64>>() {
        return value.map(|value| float(&value.to_string(), &format!("{value:e}")).into());
    }
    // As it is: widened it would have more digits.
    if let Some(value) = place.downcast_ref::<Option<f32>>() {
        return value.map(|value| float(&value.to_string(), &format!("{value:e}")).into());
    }
    // Larger than JSON's numbers here.
    if let Some(value) = place.downcast_ref::<Option<u128>>() {
        return value.map(|value| value.to_string().into());
    }
    if let Some(value) = place.downcast_ref::<Option<i128>>() {
        return value.map(|value| value.to_string().into());
    }
    None
}

/// A number in Go's default form, which has an exponent if that is below -4 or above 5. Of Rust's two forms the one
/// never has an exponent, the other always.
fn float(plain: &str, scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return match plain {
            "inf" => "+Inf".to_owned(),
            "-inf" => "-Inf".to_owned(),
            other => other.to_owned(),
        };
    };
    match exponent.parse::<i32>() {
        Ok(-4..=5) | Err(_) => plain.to_owned(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[track_caller]
    fn gives<T: Serialize + 'static>(value: T, expected: &str) {
        assert_eq!(payload(value).expect("a payload"), expected);
    }

    #[test]
    fn text_bytes_and_nothing_are_plain() {
        gives("\"quoted\" <b>".to_owned(), "\"quoted\" <b>");
        gives("static", "static");
        gives(b"raw".to_vec(), "raw");
        gives(Bytes::from_static(b"raw"), "raw");
        gives((), "");
        gives(None::<u8>, "");
    }

    #[test]
    fn numbers_look_like_go() {
        gives(true, "true");
        gives(-7_i8, "-7");
        gives(u64::MAX, "18446744073709551615");
        gives(u128::MAX, "340282366920938463463374607431768211455");
        gives(i128::MIN, "-170141183460469231731687303715884105728");
        // What Go's fmt.Println prints of these.
        for (value, text) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (0.1, "0.1"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            gives(value, text);
        }
        gives(0.1_f32, "0.1");
        gives(16_777_216_f32, "1.6777216e+07");
    }

    #[test]
    fn json_has_sorted_keys() {
        #[derive(Serialize)]
        struct Unsorted {
            z: u8,
            a: HashMap<&'static str, u8>,
        }
        let a = HashMap::from([("y", 1), ("x", 2), ("<", 3)]);
        gives(Unsorted { z: 1, a }, r#"{"a":{"<":3,"x":2,"y":1},"z":1}"#);
        gives(vec!["b", "a"], r#"["b","a"]"#);
        gives(Some("a".to_owned()), r#""a""#);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let response = succeed(HashMap::from([(vec![1_u8], 1)]));
        assert_eq!(response.message, "error handling success response. key must be a string");
    }
}

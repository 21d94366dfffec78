//! From what a client sent to what a function takes.

use std::any::{Any, type_name};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{ArgumentError, Collection, CollectionContext, Context, Query};

/// How much of a client's text an error repeats.
const QUOTED_CHARS: usize = 256;

/// Why a function was not called. The texts are those of Go's contracts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// The client sent too few; further ones are ignored.
    #[error("incorrect number of params. Expected {expected}, received {received}")]
    Count {
        /// How many the function takes.
        expected: usize,
        /// How many came.
        received: usize,
    },
    /// The client's transient map lacks what the function takes from it.
    #[error("{name} not found in the transient map")]
    Transient {
        /// The entry's name.
        name: &'static str,
    },
    /// One of them is not of the type that the function takes.
    #[error("error managing parameter {parameter}. conversion error. {reason}")]
    Conversion {
        /// The parameter's name in the metadata.
        parameter: &'static str,
        /// What is wrong, with the value shortened if it is long.
        reason: String,
    },
}

/// The parameters of one call, at least as many as the function takes.
#[derive(Debug)]
pub struct Arguments<'a> {
    parameters: &'a [Bytes],
}

impl<'a> Arguments<'a> {
    /// Counts them.
    ///
    /// # Errors
    /// [`ParameterError::Count`] if there are less than expected.
    pub fn new(parameters: &'a [Bytes], expected: usize) -> Result<Self, ParameterError> {
        let received = parameters.len();
        let parameters = parameters.get(..expected).ok_or(ParameterError::Count { expected, received })?;
        Ok(Self { parameters })
    }

    /// Reads the parameter at this place as a value of the function's type.
    ///
    /// # Errors
    /// [`ParameterError`] if it is no such value.
    pub fn take<T: DeserializeOwned + 'static>(
        &self,
        index: usize,
        parameter: &'static str,
    ) -> Result<T, ParameterError> {
        let received = self.parameters.len();
        let bytes =
            self.parameters.get(index).ok_or(ParameterError::Count { expected: index + 1, received })?;
        read(bytes).map_err(|reason| ParameterError::Conversion { parameter, reason })
    }
}

/// Reads an entry of the proposal's transient map as a value of the function's type.
///
/// # Errors
/// [`ParameterError`] if it is missing or no such value.
pub fn transient<T: DeserializeOwned + 'static>(
    ctx: &Query,
    name: &'static str,
) -> Result<T, ParameterError> {
    let bytes = ctx.transient().get(name).ok_or(ParameterError::Transient { name })?;
    // The value may be secret, so that an error must not repeat it.
    let reason = |_| format!("the value in the transient map is no {}", type_name::<T>());
    read(bytes).map_err(|error| ParameterError::Conversion { parameter: name, reason: reason(error) })
}

/// What a parameter with `#[private]` can be.
pub trait PrivateParameter: Sized {
    /// The collection of this name.
    ///
    /// # Errors
    /// When the name is empty.
    fn open(ctx: &Context, name: &str) -> Result<Self, ArgumentError>;
}

impl PrivateParameter for Collection {
    fn open(ctx: &Context, name: &str) -> Result<Self, ArgumentError> {
        Query::collection(ctx, name)
    }
}

impl PrivateParameter for CollectionContext {
    fn open(ctx: &Context, name: &str) -> Result<Self, ArgumentError> {
        ctx.collection(name)
    }
}

/// The private data collection of this name, to be read or written.
///
/// # Errors
/// [`ParameterError`] if the name is empty.
pub fn collection<T: PrivateParameter>(ctx: &Context, name: &'static str) -> Result<T, ParameterError> {
    T::open(ctx, name)
        .map_err(|error| ParameterError::Conversion { parameter: name, reason: error.to_string() })
}

/// The type alone says which form is read, so that no value can be taken for another.
pub(super) fn read<T: DeserializeOwned + 'static>(bytes: &Bytes) -> Result<T, String> {
    let mut place: Option<T> = None;
    if !raw(&mut place, bytes)? && !number(&mut place, bytes)? {
        place = Some(json(bytes)?);
    }
    place.ok_or_else(|| "there is no value".to_owned())
}

/// Text and bytes are taken as they are.
fn raw(place: &mut dyn Any, bytes: &Bytes) -> Result<bool, String> {
    if let Some(place) = place.downcast_mut::<Option<String>>() {
        *place = Some(text(bytes)?.to_owned());
    } else if let Some(place) = place.downcast_mut::<Option<Bytes>>() {
        *place = Some(bytes.clone());
    } else if let Some(place) = place.downcast_mut::<Option<Vec<u8>>>() {
        *place = Some(bytes.to_vec());
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Go's `strconv` decides what a number or a boolean is; nothing at all counts as zero or false.
fn number(place: &mut dyn Any, bytes: &Bytes) -> Result<bool, String> {
    macro_rules! numbers {
        ($($of:ty: $name:literal, $parse:path;)*) => {
            $(if let Some(place) = place.downcast_mut::<Option<$of>>() {
                let text = text(bytes)?;
                *place = Some(match text {
                    "" => <$of>::default(),
                    _ => $parse(text)
                        .ok_or_else(|| format!("cannot convert passed value {} to {}", quoted(text), $name))?,
                });
                return Ok(true);
            })*
        };
    }
    numbers! {
        bool: "bool", boolean;
        i8: "int8", signed;
        i16: "int16", signed;
        i32: "int32", signed;
        i64: "int64", signed;
        i128: "int128", signed;
        isize: "int", signed;
        u8: "uint8", unsigned;
        u16: "uint16", unsigned;
        u32: "uint32", unsigned;
        u64: "uint64", unsigned;
        u128: "uint128", unsigned;
        usize: "uint", unsigned;
        f32: "float32", float;
        f64: "float64", float;
    }
    Ok(false)
}

fn json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let name = type_name::<T>();
        let value = String::from_utf8_lossy(bytes);
        format!("value {} was not passed in expected format {name}: {error}", quoted(&value))
    })
}

fn text(bytes: &Bytes) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("value is not UTF-8: {error}"))
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn signed<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Unlike Rust, Go takes no sign here.
fn unsigned<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// Unlike Rust, Go refuses a number that is too large rather than making it infinite.
fn float<T: std::str::FromStr + Copy + Into<f64>>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let overflow = value.into().is_infinite() && text.contains(|letter: char| letter.is_ascii_digit());
    (!overflow).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Size {
        width: u32,
    }

    #[track_caller]
    fn takes<T: DeserializeOwned + PartialEq + Debug + 'static>(sent: &[u8], value: T) {
        assert_eq!(read::<T>(&Bytes::copy_from_slice(sent)), Ok(value));
    }

    #[track_caller]
    fn refuses<T: DeserializeOwned + Debug + 'static>(sent: &[u8], reason: &str) {
        let text = read::<T>(&Bytes::copy_from_slice(sent)).expect_err("an error");
        assert_eq!(text, reason);
    }

    #[test]
    fn text_and_bytes_come_as_they_are() {
        takes(b"\"quoted\"", "\"quoted\"".to_owned());
        takes(b"null", "null".to_owned());
        takes(b"", String::new());
        takes(b"[1,2]", b"[1,2]".to_vec());
        takes(b"\xff\0", Bytes::from_static(b"\xff\0"));
        refuses::<String>(b"ok\xff", "value is not UTF-8: invalid utf-8 sequence of 1 bytes from index 2");
    }

    #[test]
    fn numbers_follow_go() {
        takes(b"-128", i8::MIN);
        takes(b"+7", 7_i64);
        takes(b"007", 7_u8);
        takes(b"1e3", 1000_f64);
        takes(b"-Inf", f64::NEG_INFINITY);
        takes(b"", 0_u64);
        takes(b"", 0_f32);
        refuses::<u8>(b"256", "cannot convert passed value 256 to uint8");
        refuses::<u64>(b"+7", "cannot convert passed value +7 to uint64");
        refuses::<i64>(b" 7", "cannot convert passed value  7 to int64");
        refuses::<i64>(b"1_000", "cannot convert passed value 1_000 to int64");
        refuses::<i64>(b"7.0", "cannot convert passed value 7.0 to int64");
        refuses::<f64>(b"1e999", "cannot convert passed value 1e999 to float64");
        refuses::<f32>(b"1e39", "cannot convert passed value 1e39 to float32");
    }

    #[test]
    fn booleans_follow_go() {
        for sent in ["1", "t", "T", "TRUE", "true", "True"] {
            takes(sent.as_bytes(), true);
        }
        for sent in ["", "0", "f", "F", "FALSE", "false", "False"] {
            takes(sent.as_bytes(), false);
        }
        refuses::<bool>(b"yes", "cannot convert passed value yes to bool");
        refuses::<bool>(b"tRUE", "cannot convert passed value tRUE to bool");
    }

    #[test]
    fn everything_else_is_json() {
        takes(br#"{"width":3,"more":null}"#, Size { width: 3 });
        takes(br#"["a","b"]"#, vec!["a".to_owned(), "b".to_owned()]);
        takes(b"null", None::<String>);
        takes(br#""a""#, Some("a".to_owned()));
        refuses::<Vec<u32>>(
            b"1,2",
            "value 1,2 was not passed in expected format alloc::vec::Vec<u32>: invalid type: integer `1`, expected a \
             sequence at line 1 column 1",
        );
        // Too deep to be read, and not a reason to fall over.
        let deep = "[".repeat(100_000);
        assert!(read::<serde_json::Value>(&deep.into()).is_err());
    }

    #[test]
    fn long_values_are_not_repeated_whole() {
        let sent = "é".repeat(QUOTED_CHARS + 1);
        let expected = format!("cannot convert passed value {}… to int64", "é".repeat(QUOTED_CHARS));
        refuses::<i64>(sent.as_bytes(), &expected);
    }

    #[test]
    fn fewer_are_refused_and_more_ignored() {
        let sent = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        assert!(Arguments::new(&sent, 1).is_ok());
        let error = Arguments::new(&sent, 3).expect_err("one is missing");
        assert_eq!(error.to_string(), "incorrect number of params. Expected 3, received 2");
        let error = Arguments::new(&sent, 2).expect("both").take::<u8>(1, "size").expect_err("no number");
        let text = "error managing parameter size. conversion error. cannot convert passed value b to uint8";
        assert_eq!(error.to_string(), text);
    }
}

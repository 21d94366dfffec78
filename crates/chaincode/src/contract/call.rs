//! A call of a contract as its client makes it: the other side of parameters and results.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::arguments::read;
use super::results;

/// What a client sends to have one function run, and how it reads the result. It knows no network:
/// `selvedge_network::testing` runs it, and [`Call::input`] with [`Call::transient_map`] is what any client library takes.
///
/// The attribute [`contract`](macro@crate::contract) gives each function `f` one of the name `f_call`, which takes what `f`
/// takes from its client:
///
/// ```
/// # use selvedge::{Call, Context, LedgerError, contract};
/// # struct Counter;
/// #[contract(rename_all = "PascalCase")]
/// impl Counter {
///     #[transaction]
///     async fn count(&self, ctx: &Context, key: String, step: u64) -> Result<u64, LedgerError> {
///         // …
/// #       let _ = (ctx, key);
/// #       Ok(step)
///     }
/// }
///
/// let call: Call<u64> = Counter::count_call("visitors", 2);
/// assert_eq!(call.input().unwrap(), ["Counter:Count", "visitors", "2"]);
/// assert_eq!(call.result(&"7".into()).unwrap(), 7);
/// ```
pub struct Call<T> {
    function: String,
    arguments: Vec<Bytes>,
    transient: BTreeMap<String, Bytes>,
    coded: bool,
    /// Why an argument could not be written, which whoever runs the call is told.
    unwritten: Option<CallError>,
    result: PhantomData<fn() -> T>,
}

/// Why a call cannot be made, or its result not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// A value has no JSON, such as a map whose keys are no text.
    #[error("parameter {parameter} cannot be sent: {reason}")]
    Argument {
        /// Its name.
        parameter: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// The result is not of the type that the function returns.
    #[error("the result cannot be read: {0}")]
    Result(String),
}

/// What can be given for a parameter of type `T`: a value, a reference to one, and what is commonly borrowed for it.
pub trait IntoArgument<T> {
    /// The parameter's bytes, in the form that its type has.
    ///
    /// # Errors
    /// When the value has no JSON.
    fn into_argument(self) -> Result<Bytes, serde_json::Error>;
}

impl<T: Serialize + 'static> IntoArgument<T> for T {
    fn into_argument(self) -> Result<Bytes, serde_json::Error> {
        results::argument(self)
    }
}

impl<T: Serialize + Clone + 'static> IntoArgument<T> for &T {
    fn into_argument(self) -> Result<Bytes, serde_json::Error> {
        results::argument(self.clone())
    }
}

impl IntoArgument<String> for &str {
    fn into_argument(self) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::copy_from_slice(self.as_bytes()))
    }
}

impl IntoArgument<Bytes> for &[u8] {
    fn into_argument(self) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::copy_from_slice(self))
    }
}

impl IntoArgument<Vec<u8>> for &[u8] {
    fn into_argument(self) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::copy_from_slice(self))
    }
}

impl Call<Bytes> {
    /// A call of a function that is known by its name only, `function` or `contract:function`, whose result is bytes.
    pub fn raw<A: Into<Bytes>>(function: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { arguments, ..Self::new(function.into(), false) }
    }
}

impl<T> Call<T> {
    /// A call without arguments yet. `coded` tells whether its errors begin with a code.
    #[doc(hidden)]
    pub fn new(function: String, coded: bool) -> Self {
        Self {
            function,
            arguments: Vec::new(),
            transient: BTreeMap::new(),
            coded,
            unwritten: None,
            result: PhantomData,
        }
    }

    /// Adds the next argument.
    #[doc(hidden)]
    #[must_use]
    pub fn argument<A>(mut self, parameter: &str, value: impl IntoArgument<A>) -> Self {
        if let Some(bytes) = self.written(parameter, value.into_argument()) {
            self.arguments.push(bytes);
        }
        self
    }

    /// Adds an argument that travels in the transient map.
    #[doc(hidden)]
    #[must_use]
    pub fn transient_argument<A>(mut self, entry: &str, value: impl IntoArgument<A>) -> Self {
        if let Some(bytes) = self.written(entry, value.into_argument()) {
            self.transient.insert(entry.to_owned(), bytes);
        }
        self
    }

    /// Adds an entry to the transient map, which the contract sees and the ledger does not record.
    #[must_use]
    pub fn transient(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.transient.insert(name.into(), value.into());
        self
    }

    /// The same call, whose result is read as another type.
    #[must_use]
    pub fn returning<R>(self) -> Call<R> {
        let Self { function, arguments, transient, coded, unwritten, result: _ } = self;
        Call { function, arguments, transient, coded, unwritten, result: PhantomData }
    }

    /// The function, with its contract's name before a colon.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// The chaincode's arguments: the function and its own.
    ///
    /// # Errors
    /// [`CallError::Argument`] for the first argument that could not be written.
    pub fn input(&self) -> Result<Vec<Bytes>, CallError> {
        if let Some(unwritten) = &self.unwritten {
            return Err(unwritten.clone());
        }
        let function = Bytes::copy_from_slice(self.function.as_bytes());
        Ok(std::iter::once(function).chain(self.arguments.iter().cloned()).collect())
    }

    /// What goes into the proposal's transient map.
    pub fn transient_map(&self) -> &BTreeMap<String, Bytes> {
        &self.transient
    }

    /// The code of an error's message, if the function's errors have codes ([`ErrorCode`](crate::ErrorCode)).
    pub fn error_code<'m>(&self, message: &'m str) -> Option<&'m str> {
        let (code, _) = message.split_once(": ").filter(|_| self.coded)?;
        // What fails before the function runs has no code.
        (!code.contains(char::is_whitespace)).then_some(code)
    }

    fn written(&mut self, parameter: &str, bytes: Result<Bytes, serde_json::Error>) -> Option<Bytes> {
        match bytes {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let (parameter, reason) = (parameter.to_owned(), error.to_string());
                self.unwritten.get_or_insert(CallError::Argument { parameter, reason });
                None
            }
        }
    }
}

impl<T: DeserializeOwned + 'static> Call<T> {
    /// Reads the payload of a success.
    ///
    /// # Errors
    /// [`CallError::Result`] if it is no such value.
    pub fn result(&self, payload: &Bytes) -> Result<T, CallError> {
        // What is `null` travels as nothing, and only JSON can be.
        let read = match read(payload) {
            Err(_) if payload.is_empty() => read(&Bytes::from_static(b"null")),
            other => other,
        };
        read.map_err(CallError::Result)
    }
}

impl<T> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self {
            function: self.function.clone(),
            arguments: self.arguments.clone(),
            transient: self.transient.clone(),
            coded: self.coded,
            unwritten: self.unwritten.clone(),
            result: PhantomData,
        }
    }
}

/// The transient map may hold secrets, so only its names are shown.
impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("function", &self.function)
            .field("arguments", &self.arguments)
            .field("transient", &self.transient.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Size {
        width: u32,
    }

    /// What is written for a parameter is what the contract reads, and what it returns is what the client reads.
    #[track_caller]
    fn travels<T>(value: T, sent: &str)
    where
        T: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug + 'static,
    {
        let call = Call::<T>::new("f".to_owned(), false).argument::<T>("value", &value);
        let input = call.input().unwrap();
        assert_eq!(input, ["f", sent]);
        assert_eq!(read::<T>(&input[1]), Ok(value.clone()));
        let response = results::succeed(value.clone());
        assert_eq!(call.result(&response.payload), Ok(value));
    }

    #[test]
    fn arguments_and_results_go_there_and_back() {
        travels("\"quoted\"".to_owned(), "\"quoted\"");
        travels(String::new(), "");
        travels(b"[1]".to_vec(), "[1]");
        travels(Bytes::from_static(b"raw"), "raw");
        travels(true, "true");
        travels(-7_i64, "-7");
        travels(u128::MAX, "340282366920938463463374607431768211455");
        travels(1e6, "1e+06");
        travels(f64::INFINITY, "+Inf");
        travels(Size { width: 3 }, r#"{"width":3}"#);
        travels(vec![Some(1), None], "[1,null]");
        travels(None::<u8>, "null");
        travels(Some("a".to_owned()), r#""a""#);
        travels((), "null");
    }

    #[test]
    fn what_has_no_json_is_told_when_the_call_is_made() {
        let keys = BTreeMap::from([(vec![1_u8], 1_u8)]);
        let call = Call::<()>::new("f".to_owned(), false).argument::<BTreeMap<Vec<u8>, u8>>("sizes", keys);
        assert_eq!(
            call.input().unwrap_err().to_string(),
            "parameter sizes cannot be sent: key must be a string"
        );
    }

    #[test]
    fn codes_are_read_where_errors_have_them() {
        let coded = Call::<()>::new("f".to_owned(), true);
        assert_eq!(coded.error_code("GONE: it is gone: really"), Some("GONE"));
        assert_eq!(coded.error_code("error managing parameter a: b"), None);
        assert_eq!(coded.error_code("no code"), None);
        assert_eq!(Call::raw("f", [""; 0]).error_code("GONE: it is gone"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let call = Call::raw("f", ["a"]).transient("price", "secret");
        let shown = format!("{call:?}");
        assert!(shown.contains("price") && !shown.contains("secret"), "{shown}");
    }
}

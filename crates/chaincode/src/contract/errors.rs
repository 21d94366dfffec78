//! From what a function failed with to what the client receives.

use std::fmt::Display;
use std::marker::PhantomData;

use crate::Response;

/// An error with a stable code, which clients can look for while its text may change.
///
/// The response's message is the code, a colon and the text; official gateways hand it to their clients. The derive
/// [`ErrorCode`](macro@crate::ErrorCode) implements it.
///
/// ```
/// use selvedge::ErrorCode;
///
/// #[derive(Debug, ErrorCode)]
/// enum AssetError {
///     #[code("ASSET_MISSING", status = 404)]
///     Missing(String),
///     #[code("LEDGER")]
///     Ledger,
/// }
///
/// assert_eq!(AssetError::Missing("a1".into()).code(), "ASSET_MISSING");
/// assert_eq!(AssetError::Ledger.status(), 500);
/// ```
pub trait ErrorCode {
    /// One word.
    fn code(&self) -> &str;

    /// The response's status, at least 400. Peers do not endorse an error; official gateways report its status in the
    /// text.
    fn status(&self) -> i32 {
        Response::ERROR
    }
}

/// What a function has failed with.
#[derive(Debug)]
pub struct Failure<E>(pub E);

/// Stands for what a function returns, a `Result`, of which it is asked whether its errors have codes.
#[derive(Debug)]
pub struct ResultOf<R>(PhantomData<fn() -> R>);

impl<R> ResultOf<R> {
    /// For use in what the attribute generates.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Results whose errors have a code. A call on a reference finds this trait before [`PlainResult`].
pub trait CodedResult {
    /// Whether its errors have codes.
    fn is_coded(&self) -> bool {
        true
    }
}

/// All results.
pub trait PlainResult {
    /// Whether its errors have codes.
    fn is_coded(&self) -> bool {
        false
    }
}

impl<T, E: ErrorCode> CodedResult for ResultOf<Result<T, E>> {}

impl<R> PlainResult for &ResultOf<R> {}

/// Errors that have a code. A call on a reference finds this trait before [`PlainFailure`].
pub trait CodedFailure {
    /// The response.
    fn response(&self) -> Response;
}

/// All errors.
pub trait PlainFailure {
    /// The response.
    fn response(&self) -> Response;
}

impl<E: ErrorCode + Display> CodedFailure for Failure<E> {
    fn response(&self) -> Response {
        let status = self.0.status().max(Response::ERROR_THRESHOLD);
        Response { status, ..Response::error(format!("{}: {}", self.0.code(), self.0)) }
    }
}

impl<E: Display> PlainFailure for &Failure<E> {
    fn response(&self) -> Response {
        Response::error(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Coded;

    impl ErrorCode for Coded {
        fn code(&self) -> &str {
            "GONE"
        }

        fn status(&self) -> i32 {
            200
        }
    }

    impl Display for Coded {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it is gone")
        }
    }

    #[test]
    fn a_code_is_found_by_the_type_and_is_never_a_success() {
        let (plain, coded) = (&Failure("plain"), &Failure(Coded));
        assert_eq!(plain.response(), Response::error("plain"));
        let response = coded.response();
        assert_eq!((response.status, response.message.as_str()), (400, "GONE: it is gone"));
    }
}

use bytes::Bytes;
use selvedge_proto::protos;

/// How a transaction ended, as the client sees it.
///
/// A status from 400 on is an error: the transaction is not endorsed and its event is dropped. Success is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// An HTTP-like status: 200 for success, 500 for an error; the range between is the contract's own.
    pub status: i32,
    /// For an error its text; usually empty otherwise.
    pub message: String,
    /// The result; its form is the contract's own.
    pub payload: Bytes,
}

impl Response {
    /// The status of a success.
    pub const OK: i32 = 200;
    /// From here on a status is an error.
    pub const ERROR_THRESHOLD: i32 = 400;
    /// The status of an error that has no better one.
    pub const ERROR: i32 = 500;

    /// Status 200 with a result.
    pub fn success(payload: impl Into<Bytes>) -> Self {
        Self { status: Self::OK, message: String::new(), payload: payload.into() }
    }

    /// Status 500 with a text that says what went wrong.
    pub fn error(message: impl Into<String>) -> Self {
        Self { status: Self::ERROR, message: message.into(), payload: Bytes::new() }
    }

    /// Whether the status is one of an error.
    pub fn is_error(&self) -> bool {
        self.status >= Self::ERROR_THRESHOLD
    }
}

impl From<Response> for protos::Response {
    fn from(response: Response) -> Self {
        Self { status: response.status, message: response.message, payload: response.payload }
    }
}

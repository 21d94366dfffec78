use async_trait::async_trait;

use crate::{Context, Response};

/// Chaincode in its rawest form: arguments in, response out.
///
/// Calls of different transactions run at the same time, on threads of their own, so a call may compute or block
/// without delaying others. A panic fails its own transaction only; the client hears that there was one, and standard
/// error says which.
///
/// ```
/// use selvedge::{Chaincode, Context, Response, async_trait};
///
/// /// Gives back what it is given, behind the function `echo`.
/// struct Echo;
///
/// #[async_trait]
/// impl Chaincode for Echo {
///     async fn invoke(&self, ctx: &Context) -> Response {
///         match ctx.args() {
///             [function, value] if function == "echo" => Response::success(value.clone()),
///             _ => Response::error("echo takes one argument"),
///         }
///     }
/// }
/// ```
///
/// When the stream to the peer ends, for whatever reason, its calls are cancelled: their futures are dropped at their
/// next `await`. One that never awaits holds its thread until it returns.
#[async_trait]
pub trait Chaincode: Send + Sync + 'static {
    /// Called instead of [`Chaincode::invoke`] when the proposal asks for initialisation, which only a chaincode
    /// whose definition requires it allows. Private data cannot be used here.
    async fn init(&self, _ctx: &Context) -> Response {
        Response::success("")
    }

    /// Carries out one transaction.
    async fn invoke(&self, ctx: &Context) -> Response;
}

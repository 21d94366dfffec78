use std::fmt;
use std::path::Path;

use async_trait::async_trait;

use super::metadata::{self, GET_METADATA, SYSTEM_CONTRACT};
use super::{Contract, Pending};
use crate::{Chaincode, Context, Response};

/// Several contracts in one chaincode.
///
/// The contract that is marked as default answers to functions without a contract's name; if none is marked, the first
/// one does.
#[derive(Default)]
pub struct Contracts {
    contracts: Vec<Box<dyn Contract>>,
}

impl Contracts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a contract.
    ///
    /// # Panics
    /// When there is a contract of that name already, or a second one is marked as default.
    #[must_use]
    pub fn with(mut self, contract: impl Contract) -> Self {
        let name = contract.name();
        let taken = name == SYSTEM_CONTRACT || self.contracts.iter().any(|other| other.name() == name);
        assert!(!taken, "there is a contract of the name {name:?} already");
        let marked = self.contracts.iter().find(|other| contract.is_default() && other.is_default());
        if let Some(marked) = marked {
            panic!("{:?} is marked as the default contract already, {name:?} too", marked.name());
        }
        self.contracts.push(Box::new(contract));
        self
    }
}

impl fmt::Debug for Contracts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.contracts.iter().map(|contract| contract.name())).finish()
    }
}

#[async_trait]
impl Chaincode for Contracts {
    async fn init(&self, ctx: &Context) -> Response {
        init(&self.contracts, ctx).await
    }

    async fn invoke(&self, ctx: &Context) -> Response {
        invoke(&self.contracts, ctx).await
    }
}

#[async_trait]
impl<C: Contract> Chaincode for C {
    async fn init(&self, ctx: &Context) -> Response {
        init(&[self], ctx).await
    }

    async fn invoke(&self, ctx: &Context) -> Response {
        invoke(&[self], ctx).await
    }
}

/// What `Contracts` holds and what a contract alone is.
pub(super) trait AsContract: Send + Sync {
    fn contract(&self) -> &dyn Contract;
}

impl AsContract for Box<dyn Contract> {
    fn contract(&self) -> &dyn Contract {
        &**self
    }
}

impl<C: Contract> AsContract for &C {
    fn contract(&self) -> &dyn Contract {
        *self
    }
}

/// A chaincode that needs no initialisation may be asked for it without a function.
async fn init(contracts: &[impl AsContract], ctx: &Context) -> Response {
    if ctx.args().first().is_none_or(|function| function.is_empty()) {
        return Response::success("Default initiator successful.");
    }
    invoke(contracts, ctx).await
}

/// The rules and the texts are those of Go's contracts.
async fn invoke(contracts: &[impl AsContract], ctx: &Context) -> Response {
    let (target, parameters) = match ctx.args().split_first() {
        Some((target, parameters)) => (&target[..], parameters),
        None => (&[][..], &[][..]),
    };
    let Ok(target) = std::str::from_utf8(target) else {
        return Response::error("the function's name is not UTF-8");
    };
    let (contract, function) = match target.rsplit_once(':') {
        Some((SYSTEM_CONTRACT, function)) => return system(contracts, function),
        Some((name, function)) => (find(contracts, name).ok_or(name), function),
        None => (default(contracts).ok_or(""), target),
    };
    let contract = match contract {
        Ok(contract) => contract,
        Err(name) => return Response::error(format!("Contract not found with name {name}")),
    };
    if function.is_empty() {
        return Response::error("Blank function name passed");
    }
    if let Some(before) = contract.before(ctx) {
        let response = finish(before).await;
        if response.is_error() {
            return response;
        }
    }
    let call = contract
        .call(function, ctx, parameters)
        .or_else(|| contract.call(&upper_first(function), ctx, parameters))
        .or_else(|| contract.unknown(ctx, function));
    let response = match call {
        Some(call) => finish(call).await,
        None => Response::error(not_found(function, contract.name())),
    };
    if !response.is_error()
        && let Some(after) = contract.after(ctx, &response)
    {
        let judged = finish(after).await;
        if judged.is_error() {
            return judged;
        }
    }
    response
}

async fn finish(call: Pending<'_>) -> Response {
    call.await.unwrap_or_else(|error| Response::error(error.to_string()))
}

fn find<'a>(contracts: &'a [impl AsContract], name: &str) -> Option<&'a dyn Contract> {
    contracts.iter().map(AsContract::contract).find(|contract| contract.name() == name)
}

pub(super) fn default(contracts: &[impl AsContract]) -> Option<&dyn Contract> {
    let mut all = contracts.iter().map(AsContract::contract);
    let marked = all.clone().find(|contract| contract.is_default());
    marked.or_else(|| all.next())
}

fn system(contracts: &[impl AsContract], function: &str) -> Response {
    match &*upper_first(function) {
        "" => Response::error("Blank function name passed"),
        GET_METADATA => metadata::document(contracts, Path::new("."))
            .map_or_else(|error| Response::error(error.to_string()), Response::success),
        _ => Response::error(not_found(function, SYSTEM_CONTRACT)),
    }
}

fn not_found(function: &str, contract: &str) -> String {
    format!("Function {function} not found in contract {contract}")
}

fn upper_first(function: &str) -> String {
    let mut letters = function.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

//! Runs the chaincodes of a transaction: the one a client calls, and those it calls in turn.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use selvedge_identity::{ChannelConfig, Identity, Msp};
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage, Response};
use selvedge_session::query::Limits;
use selvedge_session::request::{InvokeChaincode, RequestError};

use super::access::check_any_access;
use super::context::{Context, Transaction};
use super::state::SharedState;
use super::system::SystemCall;
use super::{AccessError, Channels, LIFECYCLE, check_access, is_system_chaincode};
use crate::channel::Channel;
use crate::host::{ExecuteError, Finished, Host};
use crate::invocation::Invocation;
use crate::lifecycle::{self, CallChannel, Definitions, LifecycleCall, ResolveError, Runnable};

/// The resource that guards calls from one chaincode to another.
const CALL: &str = "peer/ChaincodeToChaincode";

/// The key under which a chaincode's namespace holds the version that was initialised last.
const INITIALIZED: &str = "\u{0}\u{10ffff}initialized";

/// What it takes to run chaincodes.
pub(super) struct Executor {
    pub(super) host: Host,
    pub(super) local_msp: Arc<Msp>,
    pub(super) channels: Channels,
    /// How much queries may take.
    pub(super) queries: Limits,
    /// Whether there are rich queries.
    pub(super) rich_queries: bool,
    definitions: Mutex<HashMap<String, Known>>,
}

/// A channel with what its chaincode names run on this peer.
struct Known {
    channel: Arc<Channel>,
    definitions: Arc<Definitions>,
}

/// Why a chaincode has no response. The texts are those that a calling chaincode sees behind `execute failed: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// This peer does not run it.
    #[error(
        "invalid invocation: [channel {channel}] failed to get chaincode container info for {name}: {source}"
    )]
    Resolve { channel: String, name: String, source: ResolveError },
    /// It is initialised, or is not, or need not be.
    #[error("invalid invocation: {0}")]
    Initialization(String),
    /// This peer has no such system chaincode.
    #[error("could not launch chaincode {0}.syscc: this peer does not have that system chaincode")]
    NoSystemChaincode(String),
    /// It failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

impl CallError {
    /// The text that a client sees.
    pub(super) fn for_client(&self, tx_id: &str) -> String {
        match self {
            Self::Execute(error) => error.for_client(tx_id),
            other => format!("failed to execute transaction {tx_id}: {other}"),
        }
    }
}

impl Executor {
    pub(super) fn new(
        host: Host,
        local_msp: Arc<Msp>,
        channels: Channels,
        queries: Limits,
        rich_queries: bool,
    ) -> Self {
        Self { host, local_msp, channels, queries, rich_queries, definitions: Mutex::default() }
    }

    pub(super) fn own_msp_id(&self) -> &str {
        self.local_msp.id()
    }

    /// What the channel's chaincode names run on this peer.
    pub(super) fn definitions(&self, channel: &Arc<Channel>) -> Arc<Definitions> {
        let mut all = self.definitions.lock();
        if let Some(known) = all.get(channel.id()).filter(|known| Arc::ptr_eq(&known.channel, channel)) {
            return Arc::clone(&known.definitions);
        }
        let definitions = Arc::new(Definitions::new(self.own_msp_id()));
        let known = Known { channel: Arc::clone(channel), definitions: Arc::clone(&definitions) };
        all.insert(channel.id().to_owned(), known);
        definitions
    }

    /// What a user's chaincode runs, which the transaction reads.
    pub(super) fn resolve(&self, transaction: &Transaction, name: &str) -> Result<Runnable, ResolveError> {
        let definitions = self.definitions(&transaction.channel);
        let resolved = transaction.state.with(|simulator| {
            Ok::<_, String>(definitions.resolve(simulator, transaction.channel.id(), name, &self.host))
        });
        // The simulator is there: nothing of the transaction runs before its chaincode is known, or beside a call.
        resolved.unwrap_or_else(|_| Err(ResolveError::NotFound(name.to_owned())))
    }

    /// Runs a user's chaincode.
    pub(super) async fn execute(
        &self,
        transaction: &Transaction,
        name: &str,
        runnable: &Runnable,
        input: ChaincodeInput,
    ) -> Result<Finished, CallError> {
        let is_init = input.is_init;
        transaction
            .state
            .with(|simulator| initialize(simulator, name, runnable, is_init))
            .map_err(CallError::Initialization)?;
        let invocation = Invocation {
            channel_id: transaction.channel.id().to_owned(),
            tx_id: transaction.tx_id.clone(),
            input,
            proposal: transaction.proposal.clone(),
            is_init,
        };
        let mut context = Context::new(transaction, self, name, is_init);
        Ok(self.host.execute(&runnable.package_id, invocation, &mut context).await?)
    }

    /// Runs a chaincode for another one. The answer is the message with which it ended, whatever its status.
    pub(super) async fn call(
        &self,
        caller: &Transaction,
        request: InvokeChaincode,
    ) -> Result<ChaincodeMessage, String> {
        let (name, channel_id) = parse_name(&request.name);
        let channel_id = channel_id.unwrap_or_else(|| caller.channel.id());
        let input = request.input;
        let input =
            input.map(|input| ChaincodeInput { is_init: false, decorations: Default::default(), ..input });
        if channel_id == caller.channel.id() {
            if !is_system_chaincode(name) {
                check_access(&caller.config, CALL, std::slice::from_ref(&caller.creator))
                    .map_err(|error| error.to_string())?;
            }
            return self.call_in(caller, name, input).await;
        }
        let other = self.enter(caller, name, channel_id)?;
        self.call_in(&other, name, input).await
    }

    async fn call_in(
        &self,
        transaction: &Transaction,
        name: &str,
        input: Option<ChaincodeInput>,
    ) -> Result<ChaincodeMessage, String> {
        let failed = |error: CallError| format!("execute failed: {error}");
        if is_system_chaincode(name) {
            let response = self.call_system(transaction, name, input.unwrap_or_default()).await?;
            return Ok(completed(transaction, &response));
        }
        let runnable = self.resolve(transaction, name).map_err(|source| {
            let channel = transaction.channel.id().to_owned();
            failed(CallError::Resolve { channel, name: name.to_owned(), source })
        })?;
        let Some(input) = input else {
            // Whether it is initialised was read by then.
            drop(transaction.state.with(|simulator| initialize(simulator, name, &runnable, false)));
            return Err(no_input());
        };
        match self.execute(transaction, name, &runnable, input).await {
            Ok(finished) => Ok(finished.message),
            Err(CallError::Execute(error)) => error.into_message().map_err(|error| failed(error.into())),
            Err(error) => Err(failed(error)),
        }
    }

    /// The same transaction on another channel, where it can read only: nobody will see what it writes there.
    pub(super) fn enter(
        &self,
        caller: &Transaction,
        name: &str,
        channel_id: &str,
    ) -> Result<Transaction, String> {
        let missing = || {
            if is_system_chaincode(name) {
                format!("failed to find ledger for channel: {channel_id}")
            } else {
                AccessError::UnknownChannel(channel_id.to_owned()).to_string()
            }
        };
        let channel = self.channels.get(channel_id).ok_or_else(missing)?;
        let config = channel.config();
        // The other channel has MSPs of its own, which may not know the creator.
        let creator = config.deserialize(caller.creator.serialized()).ok();
        if !is_system_chaincode(name) {
            check_access(&config, CALL, creator.as_slice()).map_err(|error| error.to_string())?;
        }
        Ok(Transaction {
            state: SharedState::new(channel.ledger().simulator(caller.tx_id.as_str())),
            creator: creator.unwrap_or_else(|| Arc::clone(&caller.creator)),
            config,
            channel,
            ..caller.clone()
        })
    }

    async fn call_system(
        &self,
        transaction: &Transaction,
        name: &str,
        input: ChaincodeInput,
    ) -> Result<Response, String> {
        if name == LIFECYCLE {
            return self.lifecycle(Some(transaction), &transaction.creator, &input.args).await;
        }
        let answered =
            self.system(name, Some(&transaction.chaincode), &transaction.creator, &input.args).await;
        answered.map_err(|missing| format!("execute failed: {missing}"))?
    }

    /// Runs qscc or cscc. `original` is the chaincode that the client called, and the inner error a failure without a
    /// response.
    pub(super) async fn system(
        &self,
        name: &str,
        original: Option<&str>,
        creator: &Arc<Identity>,
        args: &[Bytes],
    ) -> Result<Result<Response, String>, CallError> {
        let (channels, local_msp) = (&self.channels, &*self.local_msp);
        let call = SystemCall { channels, local_msp, creator, original, args };
        call.invoke(name).await.ok_or_else(|| CallError::NoSystemChaincode(name.to_owned()))
    }

    /// Runs `_lifecycle`, in a transaction or outside any channel.
    pub(super) async fn lifecycle(
        &self,
        transaction: Option<&Transaction>,
        creator: &Arc<Identity>,
        args: &[Bytes],
    ) -> Result<Response, String> {
        let config: Option<&ChannelConfig> = transaction.map(|transaction| transaction.config.as_ref());
        let authorize = |resource: &str| {
            check_any_access(&self.local_msp, config, resource, creator).map_err(|error| error.to_string())
        };
        let channels = || {
            let all = self.channels.all().into_iter();
            all.map(|channel| (channel.id().to_owned(), channel.ledger().snapshot() as Arc<dyn Snapshot>))
                .collect()
        };
        let mut call = LifecycleCall {
            own_msp_id: self.own_msp_id(),
            host: &self.host,
            channel: None,
            authorize: &authorize,
            channels: &channels,
        };
        let Some(transaction) = transaction else {
            return Ok(lifecycle::invoke(&mut call, args).await);
        };
        let mut simulator = transaction.state.take()?;
        call.channel = Some(CallChannel { config: &transaction.config, simulator: &mut simulator });
        let response = lifecycle::invoke(&mut call, args).await;
        transaction.state.give_back(simulator);
        Ok(response)
    }
}

/// Sees to it that a chaincode whose definition asks for it is initialised exactly once per version. The key is read
/// in every transaction of such a chaincode.
pub(super) fn initialize(
    simulator: &mut Simulator,
    name: &str,
    runnable: &Runnable,
    is_init: bool,
) -> Result<(), String> {
    let definition = &runnable.definition;
    if !definition.init_required {
        if is_init {
            return Err(format!("chaincode '{name}' does not require initialization but called as init"));
        }
        return Ok(());
    }
    let version = Bytes::copy_from_slice(definition.version.as_bytes());
    let initialized = simulator
        .get(name, INITIALIZED)
        .map_err(|error| format!("could not get 'initialized' key: {error}"))?
        .is_some_and(|last| last == version);
    match (is_init, initialized) {
        (true, false) => simulator
            .put(name, INITIALIZED, version)
            .map_err(|error| format!("could not set 'initialized' key: {error}")),
        (true, true) => Err(format!("chaincode '{name}' is already initialized but called as init")),
        (false, false) => Err(format!(
            "chaincode '{name}' has not been initialized for this version, must call as init first"
        )),
        (false, true) => Ok(()),
    }
}

/// The parts of `name[:version][/channel]` that matter.
pub(super) fn parse_name(text: &str) -> (&str, Option<&str>) {
    let (name, channel) = match text.split_once('/') {
        Some((name, channel)) => (name, Some(channel).filter(|channel| !channel.is_empty())),
        None => (text, None),
    };
    (name.split_once(':').map_or(name, |(name, _)| name), channel)
}

/// Fabric's answer to a call without arguments, at which it panics once it has found the chaincode.
pub(super) fn no_input() -> String {
    let missing = RequestError::Missing { message_type: Type::InvokeChaincode.into(), field: "input" };
    missing.fabric_cause().to_owned()
}

fn completed(transaction: &Transaction, response: &Response) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: Type::Completed as i32,
        payload: response.encode_to_vec().into(),
        txid: transaction.tx_id.clone(),
        channel_id: transaction.channel.id().to_owned(),
        ..ChaincodeMessage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn called_names_have_version_and_channel() {
        assert_eq!(parse_name("other"), ("other", None));
        assert_eq!(parse_name("other:1.0"), ("other", None));
        assert_eq!(parse_name("other:9.9/chstream"), ("other", Some("chstream")));
        assert_eq!(parse_name("other/"), ("other", None));
        assert_eq!(parse_name("/a/b"), ("", Some("a/b")));
    }
}

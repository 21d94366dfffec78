//! What contracts see of their transaction and of the ledger.

mod collection;
mod invocation;
mod state;

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use selvedge_identity::creator::{Creator, CreatorError};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeInput, SignedProposal};
use selvedge_session::TxKey;

pub use self::collection::{Collection, CollectionContext};
use crate::calls::Calls;
use crate::checks::Checks;
use crate::proposal::ProposalView;
use crate::{ArgumentError, ClientIdentity, ClientIdentityError};

/// What a transaction may read: its arguments, who sent it, and the ledger.
///
/// Reads give the state as of the beginning of the transaction; a transaction does not see its own writes.
///
/// ```
/// # use selvedge::{LedgerError, Query};
/// /// What somebody has, as of now on this peer.
/// async fn balance(ctx: &Query, owner: &str) -> Result<u64, LedgerError> {
///     let stored = ctx.get(owner).await?;
///     let text = stored.as_deref().map(String::from_utf8_lossy);
///     Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Query {
    transaction: Arc<Transaction>,
}

/// What a transaction may read and write. It derefs to [`Query`].
///
/// ```
/// # use selvedge::{Context, LedgerError};
/// /// Renames a key, and tells whoever listens.
/// async fn rename(ctx: &Context, from: &str, to: &str) -> Result<(), LedgerError> {
///     let value = ctx.get(from).await?.unwrap_or_default();
///     ctx.put(to, value).await?;
///     ctx.delete(from).await?;
///     ctx.set_event("Renamed", to.to_owned())?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    query: Query,
}

struct Transaction {
    input: ChaincodeInput,
    proposal: ProposalView,
    peer_msp_id: Option<Arc<str>>,
    calls: Calls,
    checks: Mutex<Checks>,
    event: Mutex<Option<ChaincodeEvent>>,
    data: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for Transaction {
    /// Only its name: arguments and transient data may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.calls.transaction(), f)
    }
}

impl Query {
    /// The channel on which the transaction runs.
    pub fn channel_id(&self) -> &str {
        &self.key().channel_id
    }

    /// The transaction's id: 64 hexadecimal digits, the same on every peer.
    pub fn tx_id(&self) -> &str {
        &self.key().tx_id
    }

    /// The arguments as they came; the first one is the function's name by convention.
    pub fn args(&self) -> &[Bytes] {
        &self.transaction.input.args
    }

    /// The function's name and its parameters, as text. Without any argument the name is empty.
    ///
    /// # Errors
    /// [`ArgumentError::NotUtf8`] with the index of the first argument that is not text.
    pub fn function_and_parameters(&self) -> Result<(&str, Vec<&str>), ArgumentError> {
        let mut texts = Vec::with_capacity(self.args().len());
        for (index, argument) in self.args().iter().enumerate() {
            let text =
                std::str::from_utf8(argument).map_err(|source| ArgumentError::NotUtf8 { index, source })?;
            texts.push(text);
        }
        match texts.split_first() {
            Some((function, parameters)) => Ok((*function, parameters.to_vec())),
            None => Ok(("", Vec::new())),
        }
    }

    /// Who sent the transaction: the MSP's name, the certificate and its attributes. The peer has verified it.
    ///
    /// # Errors
    /// When the identity is not an X.509 one.
    pub fn creator(&self) -> Result<Creator, CreatorError> {
        Creator::parse(&self.transaction.proposal.creator)
    }

    /// Who sent the transaction, with checks of their attributes.
    ///
    /// # Errors
    /// When the identity is not an X.509 one.
    pub fn client_identity(&self) -> Result<ClientIdentity, ClientIdentityError> {
        Ok(ClientIdentity::new(self.creator()?))
    }

    /// The sender's identity as it travels, a marshalled `msp.SerializedIdentity`.
    pub fn creator_bytes(&self) -> &Bytes {
        &self.transaction.proposal.creator
    }

    /// The MSP's name of the organisation whose peer carries out the transaction. Private data of an organisation is
    /// only on its own peers, so a contract compares it with the sender's before it reads or writes any.
    ///
    /// # Errors
    /// When the server was not told: neither by [`Server::peer_msp_id`](crate::Server::peer_msp_id) nor by the
    /// environment's `CORE_PEER_LOCALMSPID`.
    pub fn peer_msp_id(&self) -> Result<&str, ArgumentError> {
        self.transaction.peer_msp_id.as_deref().ok_or(ArgumentError::NoPeerMspId)
    }

    /// Data that the client passed beside the arguments and that is not recorded on the ledger.
    pub fn transient(&self) -> &BTreeMap<String, Bytes> {
        &self.transaction.proposal.transient
    }

    /// When the client made the proposal, by the client's own clock; the same on every peer.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.transaction.proposal.timestamp
    }

    /// The client's signed proposal.
    pub fn signed_proposal(&self) -> Option<&SignedProposal> {
        self.transaction.proposal.signed.as_ref()
    }

    /// What decorators of the peer have added to the input.
    pub fn decorations(&self) -> &BTreeMap<String, Bytes> {
        &self.transaction.input.decorations
    }

    /// What ties the proposal to its sender and to this one use: SHA-256 of nonce, creator and epoch. `None` for a call of
    /// the peer's own, which has no proposal.
    pub fn binding(&self) -> Option<[u8; 32]> {
        self.transaction.proposal.binding
    }

    /// Keeps something for the rest of the transaction, for example from a function that runs before all others. There is
    /// one of each type; a second one replaces the first.
    ///
    /// ```
    /// # use selvedge::{ClientIdentityError, Query};
    /// struct Sender(String);
    ///
    /// /// What a hook with `#[before_transaction]` may do.
    /// fn remember(ctx: &Query) -> Result<(), ClientIdentityError> {
    ///     ctx.set_data(Sender(ctx.client_identity()?.id()));
    ///     Ok(())
    /// }
    ///
    /// fn is_sender(ctx: &Query, id: &str) -> bool {
    ///     ctx.data::<Sender>().is_some_and(|sender| sender.0 == id)
    /// }
    /// ```
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        let mut all = self.transaction.data.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(TypeId::of::<T>(), Arc::new(data));
    }

    /// What was kept of this type.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let all = self.transaction.data.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }

    pub(crate) fn key(&self) -> &TxKey {
        self.transaction.calls.transaction()
    }

    fn calls(&self) -> &Calls {
        &self.transaction.calls
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.transaction.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    pub(crate) fn new(
        input: ChaincodeInput,
        proposal: ProposalView,
        calls: Calls,
        checks: Checks,
        peer_msp_id: Option<Arc<str>>,
    ) -> Self {
        let checks = Mutex::new(checks);
        let (event, data) = (Mutex::default(), Mutex::default());
        let transaction = Transaction { input, proposal, peer_msp_id, calls, checks, event, data };
        Self { query: Query { transaction: Arc::new(transaction) } }
    }

    /// Sets the transaction's event, which listeners receive once it is committed. A transaction has one event; a
    /// second one replaces the first, and that is an error in [strict](crate::Server::strict) mode.
    ///
    /// # Errors
    /// When the name is empty.
    pub fn set_event(&self, name: &str, payload: impl Into<Bytes>) -> Result<(), ArgumentError> {
        if name.is_empty() {
            return Err(ArgumentError::EmptyEventName);
        }
        let event =
            ChaincodeEvent { event_name: name.to_owned(), payload: payload.into(), ..Default::default() };
        let mut last = self.transaction.event.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = last.as_ref() {
            self.checks().event(&first.event_name, name)?;
        }
        *last = Some(event);
        Ok(())
    }

    pub(crate) fn take_event(&self) -> Option<ChaincodeEvent> {
        self.transaction.event.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Deref for Context {
    type Target = Query;

    fn deref(&self) -> &Query {
        &self.query
    }
}

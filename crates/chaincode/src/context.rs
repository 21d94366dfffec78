use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use selvedge_identity::creator::{Creator, CreatorError};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeInput, SignedProposal};
use selvedge_session::TxKey;
use selvedge_session::request::{DelState, GetState, GetStateByRange, PutState};

use crate::calls::Calls;
use crate::iterator::StateIterator;
use crate::proposal::ProposalView;
use crate::{ArgumentError, ClientIdentity, ClientIdentityError, LedgerError};

/// What a transaction may read: its arguments, who sent it, and the ledger.
///
/// Reads give the state as of the beginning of the transaction; a transaction does not see its own writes.
#[derive(Clone, Debug)]
pub struct Query {
    transaction: Arc<Transaction>,
}

/// What a transaction may read and write. It derefs to [`Query`].
#[derive(Clone, Debug)]
pub struct Context {
    query: Query,
}

struct Transaction {
    input: ChaincodeInput,
    proposal: ProposalView,
    calls: Calls,
    event: Mutex<Option<ChaincodeEvent>>,
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

    /// The committed value of a key; `None` if there is none. The ledger keeps no empty values.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, LedgerError> {
        let request = GetState { key: key.to_owned(), collection: String::new() };
        let value = self.transaction.calls.call(&request).await?;
        Ok((!value.is_empty()).then_some(value))
    }

    /// The committed keys from `start` (inclusive) to `end` (exclusive) in byte order, with their values. An empty
    /// `start` begins at the first simple key, an empty `end` has no end. Composite keys are left out.
    ///
    /// What is taken from the iterator becomes part of the transaction's read set: a key that another transaction
    /// puts into that range before this one is committed makes this one invalid.
    ///
    /// # Errors
    /// When a bound begins with U+0000, the peer refuses, or the stream ends.
    pub async fn range(&self, start: &str, end: &str) -> Result<StateIterator, LedgerError> {
        check_simple(start)?;
        check_simple(end)?;
        // Simple keys begin behind U+0000, under which the composite keys lie.
        let start = if start.is_empty() { "\u{1}" } else { start };
        let request = GetStateByRange {
            start_key: start.to_owned(),
            end_key: end.to_owned(),
            collection: String::new(),
            paging: None,
        };
        let page = self.transaction.calls.call(&request).await?;
        StateIterator::new(self.transaction.calls.clone(), page)
    }

    pub(crate) fn key(&self) -> &TxKey {
        self.transaction.calls.transaction()
    }
}

impl Context {
    pub(crate) fn new(input: ChaincodeInput, proposal: ProposalView, calls: Calls) -> Self {
        let transaction = Transaction { input, proposal, calls, event: Mutex::new(None) };
        Self { query: Query { transaction: Arc::new(transaction) } }
    }

    /// Writes a key. The write takes effect when the transaction is committed; until then reads give the old value.
    /// An empty value deletes the key, as on Fabric.
    ///
    /// # Errors
    /// When the key is empty, the peer refuses, or the stream ends.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<(), LedgerError> {
        check_not_empty(key)?;
        let request = PutState { key: key.to_owned(), value: value.into(), collection: String::new() };
        self.transaction.calls.call(&request).await
    }

    /// Deletes a key when the transaction is committed. A missing key is no error.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn delete(&self, key: &str) -> Result<(), LedgerError> {
        let request = DelState { key: key.to_owned(), collection: String::new() };
        self.transaction.calls.call(&request).await
    }

    /// Sets the transaction's event, which listeners receive once it is committed. A transaction has one event; a
    /// second one replaces the first.
    ///
    /// # Errors
    /// When the name is empty.
    pub fn set_event(&self, name: &str, payload: impl Into<Bytes>) -> Result<(), ArgumentError> {
        if name.is_empty() {
            return Err(ArgumentError::EmptyEventName);
        }
        let event =
            ChaincodeEvent { event_name: name.to_owned(), payload: payload.into(), ..Default::default() };
        *self.transaction.event.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
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

fn check_not_empty(key: &str) -> Result<(), ArgumentError> {
    if key.is_empty() { Err(ArgumentError::EmptyKey) } else { Ok(()) }
}

fn check_simple(key: &str) -> Result<(), ArgumentError> {
    if key.starts_with('\0') { Err(ArgumentError::NullPrefix { key: key.to_owned() }) } else { Ok(()) }
}

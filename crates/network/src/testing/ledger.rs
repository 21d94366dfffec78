use bytes::Bytes;
use selvedge::Call;
use selvedge_ledger::block::{EndorsedAction, TransactionView, validation_codes};
use selvedge_ledger::{Snapshot, Space};
use selvedge_proto::protos::{ChaincodeEvent, TxValidationCode};
use serde::de::DeserializeOwned;

use super::rwset::sha256;
use super::{Identity, TestError, TestNetwork, Transaction};

/// A chaincode on a channel of a network under test. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Ledger {
    network: TestNetwork,
    channel: String,
    chaincode: String,
}

impl Ledger {
    pub(super) fn new(network: TestNetwork, channel: String, chaincode: String) -> Self {
        Self { network, channel, chaincode }
    }

    /// The network.
    pub fn network(&self) -> &TestNetwork {
        &self.network
    }

    /// The channel's id.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The chaincode's name, which is its namespace in read/write sets.
    pub fn chaincode(&self) -> &str {
        &self.chaincode
    }

    /// Begins a transaction in somebody's name.
    pub fn transaction<T>(&self, identity: &Identity, call: Call<T>) -> Transaction<T> {
        Transaction::new(self.clone(), identity.clone(), call)
    }

    /// Has a call endorsed, ordered and committed by all peers, and gives its result.
    ///
    /// # Errors
    /// When the contract or a peer refuses, or the transaction is not valid in its block.
    pub async fn submit<T>(&self, identity: &Identity, call: Call<T>) -> Result<T, TestError>
    where
        T: DeserializeOwned + 'static,
    {
        Ok(self.transaction(identity, call).submit().await?.result)
    }

    /// Runs a call on one peer and gives its result; nothing is recorded.
    ///
    /// # Errors
    /// When the contract or the peer refuses.
    pub async fn evaluate<T>(&self, identity: &Identity, call: Call<T>) -> Result<T, TestError>
    where
        T: DeserializeOwned + 'static,
    {
        self.transaction(identity, call).evaluate().await
    }

    /// The committed value of a public key.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn state(&self, key: &str) -> Result<Option<Bytes>, TestError> {
        self.read(None, &Space::public(self.chaincode.as_str()), key.as_bytes())
    }

    /// The value of a private key as an organisation's peer holds it: nothing at those that are not of the collection.
    ///
    /// # Errors
    /// When there is no such channel or organisation.
    pub fn private_state(
        &self,
        msp_id: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, TestError> {
        let space = Space::private(self.chaincode.as_str(), collection);
        self.read(Some(msp_id), &space, key.as_bytes())
    }

    /// The SHA-256 sum of a private key's value, which all peers hold.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn private_hash(&self, collection: &str, key: &str) -> Result<Option<Bytes>, TestError> {
        let space = Space::hashed(self.chaincode.as_str(), collection);
        self.read(None, &space, &sha256(key.as_bytes()))
    }

    /// The events of the chaincode's valid transactions so far, in their order.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn events(&self) -> Result<Vec<ChaincodeEvent>, TestError> {
        let channel = self.network.channel(&self.channel, None)?;
        let mut events = Vec::new();
        for number in 1..channel.ledger().height() {
            let block = channel.ledger().block(number).map_err(TestError::setup)?.ok_or(TestError::Ended)?;
            let codes = validation_codes(&block);
            let entries = block.data.unwrap_or_default().data;
            let valid = entries.iter().zip(codes).filter(|(_, code)| *code == TxValidationCode::Valid);
            for (entry, _) in valid {
                let action = TransactionView::parse(entry)
                    .and_then(|view| view.endorsed_action())
                    .and_then(|action| action.chaincode_action())
                    .map_err(TestError::setup)?;
                events.extend(EndorsedAction::event(&action).map_err(TestError::setup)?);
            }
        }
        events.retain(|event| event.chaincode_id == self.chaincode);
        Ok(events)
    }

    /// How many blocks the channel has.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn height(&self) -> Result<u64, TestError> {
        Ok(self.network.channel(&self.channel, None)?.ledger().height())
    }

    fn read(&self, msp_id: Option<&str>, space: &Space, key: &[u8]) -> Result<Option<Bytes>, TestError> {
        let channel = self.network.channel(&self.channel, msp_id)?;
        let stored = channel.ledger().snapshot().get(space, key).map_err(TestError::setup)?;
        Ok(stored.map(|stored| stored.value))
    }
}

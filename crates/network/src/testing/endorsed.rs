use prost::Message;
use selvedge_client::sign_envelope;
use selvedge_identity::creator::Creator;
use selvedge_ledger::block::EndorsedAction;
use selvedge_proto::common::{Envelope, Payload};
use selvedge_proto::gateway::SubmitRequest;
use selvedge_proto::protos::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeEvent, Endorsement, TxValidationCode,
};

use super::{Identity, Ledger, ReadWriteSet, TestError};

/// A transaction that peers have endorsed and nobody has ordered: what the contract did, and what can be done with it.
#[must_use = "nothing of it is on the ledger until it is submitted"]
#[derive(Clone, Debug)]
pub struct Endorsed<T> {
    ledger: Ledger,
    signer: Identity,
    result: T,
    tx_id: String,
    /// Not signed yet.
    envelope: Envelope,
    rwset: ReadWriteSet,
    event: Option<ChaincodeEvent>,
}

/// A transaction that is on the ledger, and valid.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// What the contract returned.
    pub result: T,
    /// The transaction's id.
    pub tx_id: String,
    /// The number of its block.
    pub block: u64,
    /// What it read and wrote.
    pub rwset: ReadWriteSet,
    /// Its event, if it set one.
    pub event: Option<ChaincodeEvent>,
}

impl<T> Endorsed<T> {
    pub(super) fn new(
        ledger: Ledger,
        signer: Identity,
        result: T,
        tx_id: String,
        envelope: Envelope,
        action: &ChaincodeAction,
    ) -> Result<Self, TestError> {
        let rwset = ReadWriteSet::parse(&action.results)?;
        let event = EndorsedAction::event(action).map_err(TestError::setup)?;
        Ok(Self { ledger, signer, result, tx_id, envelope, rwset, event })
    }

    /// What the contract returned.
    pub fn result(&self) -> &T {
        &self.result
    }

    /// The transaction's id.
    pub fn tx_id(&self) -> &str {
        &self.tx_id
    }

    /// What it read and wrote, as the endorsers have signed it.
    pub fn rwset(&self) -> &ReadWriteSet {
        &self.rwset
    }

    /// Its event, if it set one.
    pub fn event(&self) -> Option<&ChaincodeEvent> {
        self.event.as_ref()
    }

    /// The MSP ids of its endorsers, in their order.
    ///
    /// # Errors
    /// When an endorser's identity cannot be read, since a test has changed it.
    pub fn endorsers(&self) -> Result<Vec<String>, TestError> {
        let (_, _, action) = self.parts()?;
        let endorsements = action.action.unwrap_or_default().endorsements;
        let endorsers = endorsements.iter().map(|endorsement| Creator::parse(&endorsement.endorser));
        endorsers.map(|endorser| Ok(endorser.map_err(TestError::setup)?.msp_id().to_owned())).collect()
    }

    /// Changes the endorsements: takes some away, or spoils a signature.
    ///
    /// # Errors
    /// When the transaction cannot be read, since a test has changed it.
    pub fn change_endorsements(
        mut self,
        change: impl FnOnce(&mut Vec<Endorsement>),
    ) -> Result<Self, TestError> {
        let (mut payload, mut transaction, mut action) = self.parts()?;
        change(&mut action.action.get_or_insert_default().endorsements);
        for of in &mut transaction.actions {
            of.payload = action.encode_to_vec().into();
        }
        payload.data = transaction.encode_to_vec().into();
        self.envelope.payload = payload.encode_to_vec().into();
        Ok(self)
    }

    /// Has somebody else than its creator sign the transaction.
    pub fn signed_by(mut self, signer: &Identity) -> Self {
        self.signer = signer.clone();
        self
    }

    /// Signs it, has it ordered, and waits until all peers have its block.
    ///
    /// # Errors
    /// When the orderer refuses it, or it is not valid in its block.
    pub async fn submit(self) -> Result<Committed<T>, TestError> {
        let network = self.ledger.network().clone();
        let request = SubmitRequest {
            transaction_id: self.tx_id.clone(),
            channel_id: self.ledger.channel().to_owned(),
            prepared_transaction: Some(self.signed()?),
        };
        let node = network.node_of(&self.signer)?;
        node.gateway.submit(request).await.map_err(|error| TestError::from_gateway(error, |_| None))?;
        let waiting = network.channel(self.ledger.channel(), None)?;
        let status = waiting.notifier().wait(&self.tx_id).await.map_err(TestError::setup)?;
        network.committed(self.ledger.channel(), status.block).await?;
        self.judged(status.block, status.code)
    }

    /// Puts it into a block without asking the orderer, as a faulty ordering service might, so that peers are all that
    /// stands between it and the ledger.
    ///
    /// # Errors
    /// When it is not valid in its block.
    pub async fn submit_past_the_orderer(self) -> Result<Committed<T>, TestError> {
        let mut committed = Self::submit_together([self]).await?;
        committed.pop().unwrap_or(Err(TestError::Ended))
    }

    /// Puts transactions of one channel into one block, in this order, and gives what became of each. The orderer is
    /// not asked.
    ///
    /// # Errors
    /// When there is none of them, or one cannot be signed.
    pub async fn submit_together(
        transactions: impl IntoIterator<Item = Self>,
    ) -> Result<Vec<Result<Committed<T>, TestError>>, TestError> {
        let transactions: Vec<_> = transactions.into_iter().collect();
        let first = transactions.first().ok_or_else(|| TestError::Unknown("transaction".to_owned()))?;
        let (network, channel) = (first.ledger.network().clone(), first.ledger.channel().to_owned());
        let envelopes = transactions.iter().map(Self::signed).collect::<Result<Vec<_>, _>>()?;
        let block = network.ordering(&channel)?.order(&envelopes)?;
        network.committed(&channel, block).await?;
        let codes = network.verdicts(&channel, block)?;
        let judged =
            transactions.into_iter().zip(codes).map(|(transaction, code)| transaction.judged(block, code));
        Ok(judged.collect())
    }

    fn judged(self, block: u64, code: TxValidationCode) -> Result<Committed<T>, TestError> {
        let Self { result, tx_id, rwset, event, .. } = self;
        match code {
            TxValidationCode::Valid => Ok(Committed { result, tx_id, block, rwset, event }),
            code => Err(TestError::Invalid { tx_id, block, code }),
        }
    }

    fn signed(&self) -> Result<Envelope, TestError> {
        sign_envelope(self.envelope.clone(), &*self.signer.signing()?).map_err(TestError::setup)
    }

    fn parts(&self) -> Result<(Payload, protos::Transaction, ChaincodeActionPayload), TestError> {
        let payload = Payload::decode(self.envelope.payload.clone()).map_err(TestError::setup)?;
        let transaction = protos::Transaction::decode(payload.data.clone()).map_err(TestError::setup)?;
        let action = transaction.actions.first().map(|action| action.payload.clone()).unwrap_or_default();
        let action = ChaincodeActionPayload::decode(action).map_err(TestError::setup)?;
        Ok((payload, transaction, action))
    }
}

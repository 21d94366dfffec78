use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, SignatureHeader};
use selvedge_proto::protos::{
    self, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ChaincodeSpec, SignedProposal, chaincode_spec,
};

use crate::ClientError;

/// Bytes of a nonce, as Fabric's own clients have it.
const NONCE_BYTES: usize = 24;

/// A signed proposal with the id of its transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// SHA-256 of nonce and creator, in hexadecimal digits.
    pub tx_id: String,
    /// The channel; empty for calls that belong to none.
    pub channel_id: String,
    /// What endorsers take.
    pub signed: SignedProposal,
}

/// Describes a call of a chaincode.
#[derive(Clone, Debug)]
pub struct ProposalBuilder {
    channel_id: String,
    chaincode: String,
    args: Vec<Bytes>,
    transient: BTreeMap<String, Bytes>,
    is_init: bool,
    made_at: Option<SystemTime>,
}

impl ProposalBuilder {
    /// A call of `chaincode` on a channel; the channel is empty for calls that belong to none.
    pub fn new(channel_id: impl Into<String>, chaincode: impl Into<String>) -> Self {
        Self {
            channel_id: channel_id.into(),
            chaincode: chaincode.into(),
            args: Vec::new(),
            transient: BTreeMap::new(),
            is_init: false,
            made_at: None,
        }
    }

    /// Adds an argument; the first one is the function's name by convention.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<Bytes>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<Bytes>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds data that the chaincode sees and the ledger does not record.
    #[must_use]
    pub fn transient(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.transient.insert(name.into(), value.into());
        self
    }

    /// Asks for the chaincode's initialisation.
    #[must_use]
    pub fn init(mut self) -> Self {
        self.is_init = true;
        self
    }

    /// Says when the proposal is made, instead of the system's time. Peers refuse one that is too far from their own.
    #[must_use]
    pub fn at(mut self, made_at: SystemTime) -> Self {
        self.made_at = Some(made_at);
        self
    }

    /// Signs the proposal, with a new nonce.
    ///
    /// # Errors
    /// When the system gives no random bytes or the signature fails.
    pub fn sign(self, identity: &SigningIdentity) -> Result<Proposal, ClientError> {
        let creator = identity.serialized().clone();
        let nonce = nonce()?;
        let tx_id = transaction_id(&nonce, &creator);

        let chaincode_id = ChaincodeId { name: self.chaincode, ..Default::default() };
        let extension = ChaincodeHeaderExtension { chaincode_id: Some(chaincode_id.clone()) };
        let channel_header = ChannelHeader {
            r#type: HeaderType::EndorserTransaction.into(),
            timestamp: Some(self.made_at.unwrap_or_else(SystemTime::now).into()),
            channel_id: self.channel_id.clone(),
            tx_id: tx_id.clone(),
            extension: encode(&extension),
            ..Default::default()
        };
        let header = Header {
            channel_header: encode(&channel_header),
            signature_header: encode(&SignatureHeader { creator, nonce }),
        };
        let input = ChaincodeInput { args: self.args, decorations: BTreeMap::new(), is_init: self.is_init };
        let invocation = ChaincodeInvocationSpec {
            chaincode_spec: Some(ChaincodeSpec {
                // Fabric's clients write a language here and nobody reads it.
                r#type: chaincode_spec::Type::Golang.into(),
                chaincode_id: Some(chaincode_id),
                input: Some(input),
                ..Default::default()
            }),
        };
        let payload = ChaincodeProposalPayload { input: encode(&invocation), transient_map: self.transient };
        let proposal =
            protos::Proposal { header: encode(&header), payload: encode(&payload), extension: Bytes::new() };
        let proposal_bytes = encode(&proposal);
        let signature = identity.sign(&proposal_bytes)?;
        Ok(Proposal {
            tx_id,
            channel_id: self.channel_id,
            signed: SignedProposal { proposal_bytes, signature },
        })
    }
}

/// Signs an envelope that a gateway has prepared.
///
/// # Errors
/// When the signature fails.
pub fn sign_envelope(mut envelope: Envelope, identity: &SigningIdentity) -> Result<Envelope, ClientError> {
    envelope.signature = identity.sign(&envelope.payload)?;
    Ok(envelope)
}

/// Random bytes that no other message of the same creator has.
pub(crate) fn nonce() -> Result<Bytes, ClientError> {
    let mut nonce = vec![0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| ClientError::Randomness)?;
    Ok(nonce.into())
}

fn transaction_id(nonce: &[u8], creator: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(nonce);
    context.update(creator);
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use selvedge_golden::Corpus;

    use super::transaction_id;

    #[test]
    fn golden_transaction_ids_are_fabrics() {
        let vectors = Corpus::get().json_lines("vectors/txids.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let bytes = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
            assert_eq!(transaction_id(&bytes("nonce"), &bytes("creator")), vector["txid"].as_str().unwrap());
        }
    }
}

//! What is in a block and its transactions, for whoever looks at them.
//!
//! Nothing is judged here: what cannot be read is said to be unreadable, and the rest is told all the same. Everything
//! is what the block says; only a peer that has validated it knows whether it is true.

mod transaction;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::Creator;
use selvedge_identity::block::header_bytes;
use selvedge_proto::common::{
    Block, BlockHeader, BlockMetadataIndex, LastConfig, Metadata, OrdererBlockMetadata, SignatureHeader,
};
use selvedge_proto::msp::SerializedIdentity;
use selvedge_proto::protos::TxValidationCode;

pub use self::transaction::{Action, Collection, Content, Namespace, Transaction};

/// A block, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockContent {
    /// The header; all zero if the block has none.
    pub header: BlockHeader,
    /// SHA-256 of the header, which the next block names.
    pub hash: Bytes,
    /// The orderers that have signed it.
    pub signers: Vec<Party>,
    /// The block with the channel's configuration at this point, if the orderer says so.
    pub last_config: Option<u64>,
    /// What the peer has made of its state with this block and those before; empty if it does not say.
    pub commit_hash: Bytes,
    /// The transactions in their order.
    pub transactions: Vec<Transaction>,
}

/// Somebody who has signed, as the signature says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The MSP.
    pub msp_id: String,
    /// The common name of the certificate, or its subject if that has none; none if there is no certificate.
    pub name: Option<String>,
}

impl Party {
    /// The party of a marshalled `SerializedIdentity`.
    pub fn of(serialized: &[u8]) -> Self {
        if let Ok(creator) = Creator::parse(serialized) {
            let certificate = creator.certificate();
            let name = certificate.common_name().map_or_else(|| certificate.subject(), str::to_owned);
            return Self { msp_id: creator.msp_id().to_owned(), name: Some(name) };
        }
        let identity = SerializedIdentity::decode(serialized).unwrap_or_default();
        Self { msp_id: identity.mspid, name: None }
    }
}

/// What the committing peer has made of a transaction, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(pub u8);

impl Verdict {
    /// Whether it has taken effect.
    pub fn is_valid(self) -> bool {
        self.0 == 0
    }

    /// Fabric's name of the code, such as `MVCC_READ_CONFLICT`.
    pub fn name(self) -> &'static str {
        TxValidationCode::try_from(i32::from(self.0)).map_or("UNKNOWN", |code| code.as_str_name())
    }
}

impl BlockContent {
    /// Takes a block apart.
    pub fn of(block: &Block) -> Self {
        let header = block.header.clone().unwrap_or_default();
        let signatures = metadata(block, BlockMetadataIndex::Signatures);
        let verdicts = entry(block, BlockMetadataIndex::TransactionsFilter).unwrap_or_default();
        let envelopes = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
        let transactions = envelopes.iter().enumerate().map(|(number, envelope)| {
            Transaction::of(envelope.clone(), verdicts.get(number).map(|code| Verdict(*code)))
        });
        Self {
            hash: sha256(&header_bytes(&header)),
            header,
            signers: signatures.signatures.iter().filter_map(|one| signer(&one.signature_header)).collect(),
            last_config: last_config(block, &signatures),
            commit_hash: metadata(block, BlockMetadataIndex::CommitHash).value,
            transactions: transactions.collect(),
        }
    }
}

fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn entry(block: &Block, index: BlockMetadataIndex) -> Option<Bytes> {
    block.metadata.as_ref()?.metadata.get(index as usize).cloned()
}

fn metadata(block: &Block, index: BlockMetadataIndex) -> Metadata {
    entry(block, index).and_then(|entry| Metadata::decode(entry).ok()).unwrap_or_default()
}

/// None for BFT orderers, which name themselves by a number.
fn signer(header: &Bytes) -> Option<Party> {
    let header = SignatureHeader::decode(header.clone()).ok()?;
    (!header.creator.is_empty()).then(|| Party::of(&header.creator))
}

/// Today it stands beside the signatures; the first block and old ones have it in an entry of its own.
fn last_config(block: &Block, signatures: &Metadata) -> Option<u64> {
    let ordered = OrdererBlockMetadata::decode(signatures.value.clone()).ok();
    if let Some(last) = ordered.and_then(|ordered| ordered.last_config) {
        return Some(last.index);
    }
    let old = metadata(block, BlockMetadataIndex::LastConfig).value;
    LastConfig::decode(old).ok().map(|last| last.index)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use selvedge_golden::Corpus;
    use selvedge_proto::common::Block;

    use super::{BlockContent, Content, Verdict};

    /// Every block that a real network made can be read, and names its successor.
    #[test]
    fn golden_blocks_are_read_whole() {
        let corpus = Corpus::get();
        let (mut blocks, mut calls, mut lifecycle, mut events, mut verdicts) = (0, 0, 0, 0, Vec::new());
        for channel in corpus.channels() {
            let mut previous = None;
            for (number, bytes) in corpus.blocks(channel) {
                let content = BlockContent::of(&Block::decode(bytes).unwrap());
                assert_eq!(content.header.number, number);
                if let Some(hash) = previous.replace(content.hash.clone()) {
                    assert_eq!(content.header.previous_hash, hash, "{channel} {number}");
                    assert!(content.signers.iter().all(|signer| signer.name.is_some()), "{channel} {number}");
                    assert!(!content.signers.is_empty(), "{channel} {number}");
                }
                assert!(content.last_config.is_some_and(|config| config <= number), "{channel} {number}");
                blocks += 1;
                for transaction in &content.transactions {
                    let verdict = transaction.verdict.unwrap_or(Verdict(0));
                    verdicts.push(verdict.name());
                    match &transaction.content {
                        Content::Call(action) => {
                            lifecycle +=
                                usize::from(action.namespaces.iter().any(|it| it.name == "_lifecycle"));
                            events += usize::from(action.event.is_some());
                            calls += 1;
                        }
                        Content::Config => assert_eq!(transaction.channel_id, channel),
                        // Only what was made to be refused is like this.
                        Content::Unreadable(_) => assert!(!verdict.is_valid(), "{channel} {number}"),
                    }
                }
            }
        }
        assert!(blocks > 50 && calls > 50 && events > 0, "{blocks} blocks, {calls} calls, {events} events");
        assert!(lifecycle > 50, "{lifecycle} of {calls} calls read a definition");
        for wanted in ["VALID", "MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT", "ENDORSEMENT_POLICY_FAILURE"] {
            assert!(verdicts.contains(&wanted), "no transaction is {wanted}");
        }
        assert!(!verdicts.contains(&"UNKNOWN"));
    }

    #[test]
    fn a_set_with_too_many_elements_is_not_built() {
        let many = [0x12, 0x00].repeat(selvedge_proto::bounds::MAX_ELEMENTS + 1);
        let told = super::transaction::namespaces(many.into()).unwrap_err();
        assert!(told.contains("more than 1000000 elements"), "{told}");
    }

    #[test]
    fn whatever_a_peer_sends_is_told() {
        let empty = BlockContent::of(&Block::default());
        assert_eq!((empty.header.number, empty.transactions.len()), (0, 0));
        let mut block = Block::default();
        block.data.get_or_insert_default().data = vec![vec![0xff, 0xff].into(), Vec::new().into()];
        let garbage = BlockContent::of(&block);
        assert!(matches!(garbage.transactions[0].content, Content::Unreadable(_)));
        assert!(matches!(garbage.transactions[1].content, Content::Unreadable(_)));
        assert_eq!(Verdict(200).name(), "UNKNOWN");
    }
}

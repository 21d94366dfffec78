use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_identity::policy::dsl;
use selvedge_ledger::rwset::{CollectionSet, NamespaceSet, ReadWriteSet};
use selvedge_proto::common::{
    ApplicationPolicy, ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader,
    application_policy,
};
use selvedge_proto::kvrwset::{
    HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvRead, KvWrite, KvWriteHash, KvrwSet, Version,
};
use selvedge_proto::lifecycle::{
    ChaincodeEndorsementInfo, ChaincodeValidationInfo, StateData, StateMetadata, state_data,
};
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeHeaderExtension, ChaincodeId,
    CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig, Endorsement, ProposalResponsePayload,
    StaticCollectionConfig, Transaction, TransactionAction, collection_config, collection_policy_config,
};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use super::{CHANNEL, Network};

/// A marshalled `ChaincodeProposalPayload` of a call without arguments.
const PROPOSAL: &[u8] = b"\x0a\x00";

static NONCES: AtomicU64 = AtomicU64::new(1);

/// A transaction to be.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) channel: String,
    pub(crate) chaincode: String,
    pub(crate) namespaces: Vec<NamespaceSet>,
    pub(crate) creator: &'a SigningIdentity,
    pub(crate) endorsers: Vec<&'a SigningIdentity>,
    pub(crate) nonce: Bytes,
    private: Option<TxPvtReadWriteSet>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(network: &'a Network, chaincode: &str) -> Self {
        let [one, two] = &network.orgs;
        let number = NONCES.fetch_add(1, Ordering::Relaxed);
        Self {
            channel: CHANNEL.to_owned(),
            chaincode: chaincode.to_owned(),
            namespaces: vec![NamespaceSet { namespace: chaincode.to_owned(), ..NamespaceSet::default() }],
            creator: &one.client,
            endorsers: vec![&one.peer, &two.peer],
            nonce: Bytes::copy_from_slice(&[&[5; 16][..], &number.to_be_bytes()].concat()),
            private: None,
        }
    }

    pub(crate) fn endorsed_by(mut self, endorsers: &[&'a Arc<SigningIdentity>]) -> Self {
        self.endorsers = endorsers.iter().map(|endorser| &***endorser).collect();
        self
    }

    pub(crate) fn read(mut self, key: &str, version: Option<(u64, u64)>) -> Self {
        let version = version.map(|(block_num, tx_num)| Version { block_num, tx_num });
        self.set().reads.push(KvRead { key: key.to_owned(), version });
        self
    }

    pub(crate) fn put(mut self, key: &str, value: impl Into<Bytes>) -> Self {
        self.set().writes.push(KvWrite { key: key.to_owned(), is_delete: false, value: value.into() });
        self
    }

    /// Sets the endorsement policy of a key, or whatever bytes are given.
    pub(crate) fn put_parameter(mut self, key: &str, parameter: impl Into<Bytes>) -> Self {
        let entry = KvMetadataEntry { name: "VALIDATION_PARAMETER".to_owned(), value: parameter.into() };
        self.set().metadata_writes.push(KvMetadataWrite { key: key.to_owned(), entries: vec![entry] });
        self
    }

    /// Writes to a collection.
    pub(crate) fn put_private(mut self, collection: &str, key: &str, value: &'static str) -> Self {
        let write = KvWrite { key: key.to_owned(), is_delete: false, value: value.into() };
        let rwset: Bytes = KvrwSet { writes: vec![write], ..KvrwSet::default() }.encode_to_vec().into();
        let (key_hash, value_hash) = (sha256(key.as_bytes()), sha256(value.as_bytes()));
        let write = KvWriteHash { key_hash, value_hash, ..KvWriteHash::default() };
        self.namespaces[0].collections.push(CollectionSet {
            collection: collection.to_owned(),
            hashed: HashedRwSet { hashed_writes: vec![write], ..HashedRwSet::default() },
            private_set_hash: sha256(&rwset),
        });
        let collection_pvt_rwset =
            vec![CollectionPvtReadWriteSet { collection_name: collection.to_owned(), rwset }];
        let ns_pvt_rwset =
            vec![NsPvtReadWriteSet { namespace: self.chaincode.clone(), collection_pvt_rwset }];
        self.private = Some(TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset });
        self
    }

    /// The private writes, which its endorser keeps.
    pub(crate) fn private(&self) -> TxPvtReadWriteSet {
        self.private.clone().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> String {
        hex::encode(sha256(&[&self.nonce[..], self.creator.serialized()].concat()))
    }

    pub(crate) fn results(&self) -> Bytes {
        ReadWriteSet { namespaces: self.namespaces.clone() }.encode()
    }

    /// The marshalled envelope.
    pub(crate) fn entry(&self) -> Bytes {
        self.entry_with(self.action())
    }

    /// The marshalled action of the chaincode.
    pub(crate) fn action(&self) -> Bytes {
        encode(&ChaincodeAction {
            results: self.results(),
            chaincode_id: Some(ChaincodeId {
                name: self.chaincode.clone(),
                version: "1".to_owned(),
                ..ChaincodeId::default()
            }),
            ..ChaincodeAction::default()
        })
    }

    /// The marshalled envelope with these bytes for a chaincode's action.
    pub(crate) fn entry_with(&self, action: Bytes) -> Bytes {
        self.entry_with_response(self.response(action))
    }

    /// What endorsers sign for an action, before the identity of each.
    pub(crate) fn response(&self, action: Bytes) -> Bytes {
        let header = self.header();
        let hash = sha256(&[&header.channel_header[..], &header.signature_header, PROPOSAL].concat());
        encode(&ProposalResponsePayload { proposal_hash: hash, extension: action })
    }

    /// The marshalled envelope with these bytes for what endorsers sign.
    pub(crate) fn entry_with_response(&self, response: Bytes) -> Bytes {
        let proposal = Bytes::from_static(PROPOSAL);
        let endorse = |endorser: &&SigningIdentity| Endorsement {
            endorser: endorser.serialized().clone(),
            signature: endorser.sign(&[&response[..], endorser.serialized()].concat()).unwrap(),
        };
        let action = ChaincodeEndorsedAction {
            proposal_response_payload: response.clone(),
            endorsements: self.endorsers.iter().map(endorse).collect(),
        };
        let payload = ChaincodeActionPayload { chaincode_proposal_payload: proposal, action: Some(action) };
        self.entry_with_payload(encode(&payload))
    }

    /// The marshalled envelope with these bytes for an action's payload.
    pub(crate) fn entry_with_payload(&self, payload: Bytes) -> Bytes {
        let header = self.header();
        let action = TransactionAction { header: header.signature_header.clone(), payload };
        let data = encode(&Transaction { actions: vec![action] });
        self.sign(encode(&Payload { header: Some(header), data }))
    }

    /// A marshalled envelope with any payload.
    pub(crate) fn sign(&self, payload: Bytes) -> Bytes {
        let signature = self.creator.sign(&payload).unwrap();
        encode(&Envelope { payload, signature })
    }

    fn header(&self) -> Header {
        let extension = ChaincodeHeaderExtension {
            chaincode_id: Some(ChaincodeId { name: self.chaincode.clone(), ..ChaincodeId::default() }),
        };
        let channel_header = ChannelHeader {
            r#type: HeaderType::EndorserTransaction as i32,
            channel_id: self.channel.clone(),
            tx_id: self.id(),
            extension: encode(&extension),
            ..ChannelHeader::default()
        };
        let signature_header =
            SignatureHeader { creator: self.creator.serialized().clone(), nonce: self.nonce.clone() };
        Header { channel_header: encode(&channel_header), signature_header: encode(&signature_header) }
    }

    fn set(&mut self) -> &mut KvrwSet {
        &mut self.namespaces[0].public
    }
}

/// What `_lifecycle` holds for a chaincode: with the channel's own endorsement policy unless a text says another, and
/// with the collection `secrets` whose member is Org1.
pub(crate) fn definition(name: &str, policy: Option<&str>) -> Vec<(String, Bytes)> {
    let policy = match policy {
        Some(text) => application_policy::Type::SignaturePolicy(dsl::parse(text).unwrap()),
        None => {
            let path = "/Channel/Application/Endorsement".to_owned();
            application_policy::Type::ChannelConfigPolicyReference(path)
        }
    };
    let members = CollectionPolicyConfig {
        payload: Some(collection_policy_config::Payload::SignaturePolicy(
            dsl::parse("OR('Org1MSP.member')").unwrap(),
        )),
    };
    let secrets = StaticCollectionConfig {
        name: "secrets".to_owned(),
        member_orgs_policy: Some(members),
        member_only_read: true,
        ..StaticCollectionConfig::default()
    };
    let secrets = collection_config::Payload::StaticCollectionConfig(secrets);
    let collections = CollectionConfigPackage { config: vec![CollectionConfig { payload: Some(secrets) }] };
    let endorsement = ChaincodeEndorsementInfo {
        version: "1".to_owned(),
        init_required: false,
        endorsement_plugin: "escc".to_owned(),
    };
    let validation = ChaincodeValidationInfo {
        validation_plugin: "vscc".to_owned(),
        validation_parameter: encode(&ApplicationPolicy { r#type: Some(policy) }),
    };
    let fields = [
        ("Sequence", state_data::Type::Int64(1)),
        ("EndorsementInfo", state_data::Type::Bytes(encode(&endorsement))),
        ("ValidationInfo", state_data::Type::Bytes(encode(&validation))),
        ("Collections", state_data::Type::Bytes(encode(&collections))),
    ];
    let metadata = StateMetadata {
        datatype: "ChaincodeDefinition".to_owned(),
        fields: fields.iter().map(|(field, _)| (*field).to_owned()).collect(),
    };
    let mut entries = vec![(format!("namespaces/metadata/{name}"), encode(&metadata))];
    for (field, value) in fields {
        let value = encode(&StateData { r#type: Some(value) });
        entries.push((format!("namespaces/fields/{name}/{field}"), value));
    }
    entries
}

pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest(&SHA256, bytes).as_ref())
}

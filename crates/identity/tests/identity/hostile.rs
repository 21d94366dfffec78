//! Whatever arrives, nothing panics.

use std::sync::OnceLock;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::msp::{Msp, MspManager, MspVersion, Principal};
use selvedge_identity::policy::{SignaturePolicy, dsl};
use selvedge_identity::signature::PublicKey;
use selvedge_identity::{Certificate, ChannelConfig, Creator, SignedData};
use selvedge_proto::common::{Block, ConfigEnvelope, Envelope, MspPrincipal};
use selvedge_proto::msp::MspConfig;

/// Overwrites some bytes of `original`, and cuts it off.
fn mutated(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = original.len();
    (vec((0..length, any::<u8>()), 0..8), 0..=length, any::<bool>()).prop_map(move |(changes, end, cut)| {
        let mut bytes = original.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(end);
        }
        bytes
    })
}

fn file(path: &str) -> Vec<u8> {
    Corpus::get().file(path).to_vec()
}

fn first_file(prefix: &str, suffix: &str) -> Vec<u8> {
    let corpus = Corpus::get();
    let path = corpus.paths(prefix).find(|path| path.ends_with(suffix)).expect("such a file");
    corpus.file(path).to_vec()
}

fn manager() -> &'static MspManager {
    static MANAGER: OnceLock<MspManager> = OnceLock::new();
    MANAGER.get_or_init(|| {
        let config =
            MspConfig::decode(file("vectors/msp/config-plain.bin").as_slice()).expect("a configuration");
        MspManager::from_configs([&config], MspVersion::V3_0, None).expect("a usable MSP")
    })
}

fn serialized(pem: &[u8]) -> Bytes {
    let msp = manager().iter().next().expect("an MSP");
    selvedge_identity::creator::serialize(msp.id(), pem)
}

fn certificate() -> Vec<u8> {
    pem::parse(file("vectors/msp/client.pem")).expect("PEM").into_contents()
}

fn identity() -> Vec<u8> {
    serialized(&file("vectors/msp/client.pem")).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn golden_certificates(bytes in mutated(certificate())) {
        if let Ok(certificate) = Certificate::from_der(bytes.into()) {
            let _ = (certificate.subject(), certificate.issuer(), certificate.is_ca());
            let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.der().to_vec()));
            let serialized = serialized(pem.as_bytes());
            let _ = Creator::parse(&serialized).map(|creator| creator.id());
            let _ = manager().deserialize_valid(&serialized);
        }
    }

    #[test]
    fn golden_identities(bytes in mutated(identity())) {
        let _ = Creator::parse(&bytes);
        let _ = manager().deserialize_valid(&bytes);
    }

    #[test]
    fn golden_signatures(bytes in vec(any::<u8>(), 0..200), mutation in mutated(hex::decode(
        "30440220276fd4603042323174060b6f0028773132f701bbe3830cd5f253f50b1b21679602202605f7223a58ba77fe536d4446d38a6fc489f433bc46a2b0904bce5268e909e3",
    ).unwrap_or_default())) {
        let certificate = Certificate::from_der(certificate().into()).expect("a certificate");
        let key = PublicKey::from_certificate(&certificate).expect("P-256");
        let _ = key.verify(b"another message", &bytes);
        prop_assert!(key.verify(b"another message", &mutation).is_err());
    }

    #[test]
    fn golden_msp_configurations(bytes in mutated(file("vectors/msp/config-with-intermediate.bin"))) {
        if let Ok(config) = MspConfig::decode(bytes.as_slice()) {
            let _ = Msp::from_config(&config);
        }
    }

    #[test]
    fn golden_principals(kind in -1..7_i32, principal in vec(any::<u8>(), 0..64)) {
        let principal = MspPrincipal { principal_classification: kind, principal: principal.into() };
        let identity = manager().deserialize(&identity()).expect("a member");
        let _ = identity.satisfies(&Principal::read(&principal));
    }

    #[test]
    fn golden_policies(bytes in vec(any::<u8>(), 0..128), mutation in mutated(hex::decode(
        "122412220802120c120a08021202080012020801120c120a08011202080212020803120208041a0d120b0a074f7267314d535010031a0d120b0a074f7267324d53501003",
    ).unwrap_or_default())) {
        for bytes in [bytes, mutation] {
            if let Ok(policy) = SignaturePolicy::decode(bytes.into()) {
                let identity = manager().deserialize(&identity()).expect("a member");
                let _ = policy.evaluate_identities(&[identity]);
            }
        }
    }

    #[test]
    fn policy_texts(text in "(AND|OR|OutOf|outof|and|[(),.'\"0-9 -]|Org1MSP|member|peer|\\PC){0,24}") {
        if let Ok(envelope) = dsl::parse(&text) {
            prop_assert!(SignaturePolicy::compile(&envelope).is_ok(), "{text}");
        }
    }

    #[test]
    fn any_text_is_no_panic(text in any::<String>()) {
        let _ = dsl::parse(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn golden_blocks(bytes in mutated(first_file("chains/", ".block"))) {
        if let Ok(block) = Block::decode(bytes.as_slice()) {
            if let Ok(config) = ChannelConfig::from_block(&block) {
                let _ = config.verify_block(&block);
            }
            let data = block.data.map(|data| data.data).unwrap_or_default();
            for envelope in data.into_iter().filter_map(|bytes| Envelope::decode(bytes).ok()) {
                let _ = SignedData::from_envelope(&envelope);
            }
        }
    }

    #[test]
    fn golden_configurations(bytes in mutated(genesis_config())) {
        if let Some(config) = ConfigEnvelope::decode(bytes.as_slice()).ok().and_then(|envelope| envelope.config) {
            let _ = ChannelConfig::from_config("mychannel", config);
        }
    }
}

/// The configuration inside a recorded genesis block, where mutations reach deeper than through the block's hashes.
fn genesis_config() -> Vec<u8> {
    let block = Block::decode(first_file("chains/", "00000.block").as_slice()).expect("a block");
    selvedge_identity::channel::config_envelope(&block).expect("a configuration").1.encode_to_vec()
}

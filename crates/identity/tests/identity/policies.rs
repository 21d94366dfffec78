use std::sync::Arc;

use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::msp::{MspManager, MspVersion};
use selvedge_identity::policy::{SignaturePolicy, dsl, envelope_of, n_out_of, role_principal, signed_by};
use selvedge_identity::{Identity, PolicyError, SignedData, SigningIdentity};
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::{SignaturePolicy as Rule, SignaturePolicyEnvelope};

use crate::authority::Authority;

#[test]
fn golden_policy_texts_compile_to_fabrics_envelopes() {
    let cases = Corpus::get().json_lines("vectors/policies.jsonl");
    assert!(!cases.is_empty());
    for case in cases {
        let text = case["policy"].as_str().expect("a policy");
        match (case["error"].as_str(), dsl::parse(text)) {
            (None, Ok(envelope)) => {
                assert_eq!(
                    hex::encode(envelope.encode_to_vec()),
                    case["envelope"].as_str().unwrap_or_default(),
                    "{text}"
                );
                let compiled = SignaturePolicy::compile(&envelope);
                assert!(compiled.is_ok(), "{text}: {compiled:?}");
            }
            (Some(_), Err(_)) => {}
            (None, Err(error)) => panic!("{text}: refused with '{error}', but Fabric accepts"),
            (Some(error), Ok(_)) => panic!("{text}: accepted, but Fabric says '{error}'"),
        }
    }
}

struct Members {
    manager: MspManager,
    peers: Vec<SigningIdentity>,
}

/// Two peers of each of two organizations.
fn members() -> Members {
    let authorities = ["Org1MSP", "Org2MSP"].map(Authority::new);
    let configs: Vec<_> = authorities.iter().map(Authority::msp).collect();
    let manager = MspManager::from_configs(&configs, MspVersion::V3_0, None).expect("usable MSPs");
    let peers = authorities
        .iter()
        .flat_map(|authority| [authority.signer("peer0", "peer"), authority.signer("peer1", "peer")])
        .collect();
    Members { manager, peers }
}

impl Members {
    fn identities(&self, indices: &[usize]) -> Vec<Arc<Identity>> {
        indices
            .iter()
            .map(|index| self.manager.deserialize(self.peers[*index].serialized()).expect("a member"))
            .collect()
    }

    fn signed(&self, index: usize, data: &'static [u8]) -> SignedData {
        let signature = self.peers[index].sign(data).expect("signed");
        SignedData { data: data.into(), identity: self.peers[index].serialized().clone(), signature }
    }

    fn satisfied(&self, policy: &str, indices: &[usize]) -> bool {
        let envelope = dsl::parse(policy).expect("a policy");
        let policy = SignaturePolicy::compile(&envelope).expect("a policy");
        policy.evaluate_identities(&self.identities(indices)).is_ok()
    }
}

#[test]
fn each_identity_satisfies_one_leaf() {
    let members = members();
    assert!(members.satisfied("AND('Org1MSP.peer','Org2MSP.peer')", &[0, 2]));
    assert!(members.satisfied("AND('Org1MSP.peer','Org2MSP.peer')", &[2, 0]));
    assert!(!members.satisfied("AND('Org1MSP.peer','Org2MSP.peer')", &[0, 1]));
    assert!(!members.satisfied("AND('Org1MSP.peer','Org1MSP.peer')", &[0, 2]));
    assert!(members.satisfied("AND('Org1MSP.peer','Org1MSP.peer')", &[0, 1]));
    assert!(members.satisfied("OutOf(0,'Org1MSP.peer')", &[]));
    assert!(!members.satisfied("OutOf(2,'Org1MSP.peer')", &[0, 1]));
}

#[test]
fn evaluation_is_greedy_and_undoes_what_fails() {
    let members = members();
    // The first leaf takes the peer that the second one needs.
    assert!(!members.satisfied("AND('Org1MSP.member', OR('Org1MSP.peer'))", &[0]));
    // A failing branch gives back the identities it took.
    assert!(members.satisfied("OR(AND('Org1MSP.peer','Org2MSP.peer'),'Org1MSP.peer')", &[0]));
    // A branch beyond the threshold still takes its identity, so what follows cannot have it.
    assert!(!members.satisfied("AND(OutOf(1,'Org1MSP.peer','Org2MSP.peer'),'Org2MSP.peer')", &[0, 2]));
    assert!(members.satisfied("AND(OutOf(1,'Org1MSP.peer','Org2MSP.peer'),'Org2MSP.peer')", &[0, 2, 3]));
}

#[test]
fn only_distinct_good_signatures_count() {
    let members = members();
    let policy =
        |text: &str| SignaturePolicy::compile(&dsl::parse(text).expect("a policy")).expect("a policy");
    let two = policy("AND('Org1MSP.peer','Org1MSP.peer')");
    let one = policy("OR('Org1MSP.peer')");
    let good = members.signed(0, b"message");
    let twice = [good.clone(), good.clone()];
    assert_eq!(two.evaluate(&members.manager, &twice), Err(PolicyError::NotSatisfied));
    let mut bad = good.clone();
    bad.data = b"another".as_slice().into();
    assert_eq!(one.evaluate(&members.manager, &[bad.clone()]), Err(PolicyError::NotSatisfied));
    // A bad signature does not spoil a good one by the same identity.
    assert_eq!(one.evaluate(&members.manager, &[bad, good.clone()]), Ok(()));
    assert_eq!(two.evaluate(&members.manager, &[good, members.signed(1, b"message")]), Ok(()));
}

#[test]
fn malformed_policies_are_refused() {
    let member = || role_principal("Org1MSP", MspRoleType::Member);
    let refused =
        |envelope: SignaturePolicyEnvelope| SignaturePolicy::compile(&envelope).expect_err("refused");
    let mut version = envelope_of(signed_by(0), vec![member()]);
    version.version = 1;
    assert_eq!(refused(version), PolicyError::Version(1));
    assert_eq!(refused(SignaturePolicyEnvelope::default()), PolicyError::Empty);
    assert_eq!(refused(envelope_of(Rule { r#type: None }, vec![])), PolicyError::Empty);
    for index in [-1, 1, i32::MAX] {
        let error = refused(envelope_of(signed_by(index), vec![member()]));
        assert_eq!(error, PolicyError::IdentityIndex { requested: index, length: 1 });
    }
    let deep = (0..64).fold(signed_by(0), |rule, _| n_out_of(1, vec![rule]));
    assert!(matches!(refused(envelope_of(deep, vec![member()])), PolicyError::TooLarge { .. }));
    let wide = n_out_of(1, vec![signed_by(0); 100_000]);
    assert!(matches!(refused(envelope_of(wide, vec![member()])), PolicyError::TooLarge { .. }));
    let many = envelope_of(signed_by(0), vec![member(); 100_000]);
    assert!(matches!(refused(many), PolicyError::TooLarge { .. }));
}

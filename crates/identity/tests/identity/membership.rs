use std::collections::BTreeMap;

use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::msp::{Msp, MspError, MspManager, MspVersion, Principal};
use selvedge_identity::policy::role_principal;
use selvedge_identity::{Identity, IdentityError, creator};
use selvedge_proto::common::msp_identity_anonymity::MspIdentityAnonymityType;
use selvedge_proto::common::msp_principal::Classification;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::{CombinedPrincipal, MspIdentityAnonymity, MspPrincipal, OrganizationUnit};
use selvedge_proto::msp::{FabricMspConfig, MspConfig};

use crate::authority::Authority;

/// Fabric's text without the dumps of numbers it contains, which are Go's way to print a certificate.
fn stem(text: &str) -> &str {
    let end = ["certificate has expired", "malformed certificate", "[[", "OUs: ", "does not match: "]
        .iter()
        .filter_map(|marker| text.find(marker).map(|at| at + marker.len().min(22)))
        .min();
    text.get(..end.unwrap_or(text.len())).unwrap_or(text).trim_end_matches([' ', '['])
}

fn check(recorded: &serde_json::Value, ours: Result<(), IdentityError>, what: &str) {
    match (recorded.as_str(), ours) {
        (None, Ok(())) => {}
        (None, Err(error)) => panic!("{what}: refused with '{error}', but Fabric accepts"),
        (Some(error), Ok(())) => panic!("{what}: accepted, but Fabric says '{error}'"),
        (Some(theirs), Err(ours)) => {
            let ours = ours.to_string();
            assert!(ours.starts_with(stem(theirs)), "{what}: '{ours}' instead of '{}'", stem(theirs));
        }
    }
}

#[test]
fn golden_identities_have_fabrics_verdict() {
    let corpus = Corpus::get();
    let mut msps = BTreeMap::new();
    let cases = corpus.json_lines("vectors/msp-identities.jsonl");
    assert!(!cases.is_empty());
    for case in cases {
        let config = case["config"].as_str().expect("a name").to_owned();
        let v3 = case["msp_version"].as_str().is_some_and(|version| version.contains("V3"));
        let what = format!("{} under {config}, v3 {v3}", case["case"]);
        let msp = msps.entry((config.clone(), v3)).or_insert_with(|| {
            let bytes = corpus.file(&format!("vectors/msp/config-{config}.bin"));
            let config = MspConfig::decode(bytes).expect("a configuration");
            let version = if v3 { MspVersion::V3_0 } else { MspVersion::V1_4_3 };
            Msp::with_version(&config, version, None).expect("a usable MSP")
        });
        let identity = hex::decode(case["identity"].as_str().expect("hex")).expect("hex");
        let read = msp.deserialize(&identity);
        check(&case["deserialize_error"], read.as_ref().map(|_| ()).map_err(Clone::clone), &what);
        let Ok(identity) = read else { continue };
        check(&case["validate_error"], msp.validate(&identity), &what);
        check_details(&case, &identity, &what);
        for (role, verdict) in case["satisfies"].as_object().expect("verdicts by role") {
            let number = MspRoleType::from_str_name(role).expect("a role");
            let principal = role_principal(msp.id(), number);
            check(verdict, msp.satisfies(&identity, &principal), &format!("{what}, {role}"));
        }
    }
}

fn check_details(case: &serde_json::Value, identity: &Identity, what: &str) {
    let units: Vec<_> = identity.certificate().organizational_units().collect();
    let recorded: Vec<_> = case["organizational_units"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|unit| unit.as_str())
        .collect();
    // Fabric cannot name the units of an identity without a chain of issuers.
    if !recorded.is_empty() {
        assert_eq!(units, recorded, "{what}");
    }
}

fn member(authority: &Authority, manager: &MspManager, unit: Option<&str>) -> std::sync::Arc<Identity> {
    let (certificate, _) = authority.issue("somebody", unit, None);
    manager.deserialize(&creator::serialize("Org1MSP", certificate.as_bytes())).expect("an identity")
}

fn manager(authority: &Authority) -> MspManager {
    MspManager::from_configs([&authority.msp()], MspVersion::V3_0, None).expect("a usable MSP")
}

#[test]
fn principals_other_than_roles_follow_fabric() {
    let authority = Authority::new("Org1MSP");
    let manager = manager(&authority);
    let identity = member(&authority, &manager, Some("client"));
    let other = member(&authority, &manager, Some("client"));
    let satisfied = |kind: Classification, principal: Vec<u8>| {
        let principal = MspPrincipal { principal_classification: kind as i32, principal: principal.into() };
        identity.satisfies(&Principal::read(&principal)).is_ok()
    };

    let certifier = identity.organizational_units()[0].certifier.to_vec();
    let unit = |msp: &str, name: &str, certifier: &[u8]| {
        OrganizationUnit {
            msp_identifier: msp.to_owned(),
            organizational_unit_identifier: name.to_owned(),
            certifiers_identifier: certifier.to_vec().into(),
        }
        .encode_to_vec()
    };
    assert!(satisfied(Classification::OrganizationUnit, unit("Org1MSP", "client", &certifier)));
    assert!(!satisfied(Classification::OrganizationUnit, unit("Org2MSP", "client", &certifier)));
    assert!(!satisfied(Classification::OrganizationUnit, unit("Org1MSP", "peer", &certifier)));
    assert!(!satisfied(Classification::OrganizationUnit, unit("Org1MSP", "client", &[1; 32])));

    assert!(satisfied(Classification::Identity, identity.serialized().to_vec()));
    assert!(!satisfied(Classification::Identity, other.serialized().to_vec()));
    assert!(!satisfied(Classification::Identity, b"junk".to_vec()));

    let anonymity =
        |kind: MspIdentityAnonymityType| MspIdentityAnonymity { anonymity_type: kind as i32 }.encode_to_vec();
    assert!(satisfied(Classification::Anonymity, anonymity(MspIdentityAnonymityType::Nominal)));
    assert!(!satisfied(Classification::Anonymity, anonymity(MspIdentityAnonymityType::Anonymous)));

    let combined = |roles: &[MspRoleType]| {
        let principals = roles.iter().map(|role| role_principal("Org1MSP", *role)).collect();
        CombinedPrincipal { principals }.encode_to_vec()
    };
    assert!(satisfied(Classification::Combined, combined(&[MspRoleType::Member, MspRoleType::Client])));
    assert!(!satisfied(Classification::Combined, combined(&[MspRoleType::Client, MspRoleType::Peer])));
    assert!(!satisfied(Classification::Combined, combined(&[])));
}

#[test]
fn deeply_combined_principals_satisfy_nobody() {
    let authority = Authority::new("Org1MSP");
    let manager = manager(&authority);
    let identity = member(&authority, &manager, Some("client"));
    let mut principal = role_principal("Org1MSP", MspRoleType::Member);
    for depth in 0..64 {
        let verdict = identity.satisfies(&Principal::read(&principal));
        assert_eq!(verdict.is_ok(), depth <= 16, "{depth} levels");
        let combined = CombinedPrincipal { principals: vec![principal] };
        principal = MspPrincipal {
            principal_classification: Classification::Combined as i32,
            principal: combined.encode_to_vec().into(),
        };
    }
}

#[test]
fn the_manager_tells_unplaceable_creators_from_refused_ones() {
    let (authority, foreign) = (Authority::new("Org1MSP"), Authority::new("Org1MSP"));
    let manager = manager(&authority);
    assert!(matches!(manager.deserialize(&[0xff]), Err(IdentityError::Malformed(_))));
    let (certificate, _) = authority.issue("client", Some("client"), None);
    let unknown = manager.deserialize(&creator::serialize("Org9MSP", certificate.as_bytes()));
    assert!(matches!(unknown, Err(IdentityError::UnknownMsp(id)) if id == "Org9MSP"));
    let (certificate, _) = foreign.issue("client", Some("client"), None);
    let refused = manager.deserialize(&creator::serialize("Org1MSP", certificate.as_bytes()));
    assert!(matches!(refused, Err(IdentityError::Chain(_))));
    let (certificate, _) = authority.issue("nobody", None, None);
    let invalid = manager.deserialize_valid(&creator::serialize("Org1MSP", certificate.as_bytes()));
    assert!(matches!(invalid, Err(IdentityError::Invalid(_))));
    assert!(matches!(manager.deserialize(&vec![0; 1 << 20]), Err(IdentityError::TooLarge(_))));
}

#[test]
fn unusable_msp_configurations_are_refused() {
    let authority = Authority::new("Org1MSP");
    let usable = FabricMspConfig::decode(authority.msp().config).expect("a configuration");
    let verdict = |change: &dyn Fn(&mut FabricMspConfig)| {
        let mut config = usable.clone();
        change(&mut config);
        Msp::from_config(&MspConfig { r#type: 0, config: config.encode_to_vec().into() }).map(|_| ())
    };
    assert_eq!(verdict(&|_| {}), Ok(()));
    assert_eq!(verdict(&|config| config.root_certs.clear()), Err(MspError::NoRoots));
    assert_eq!(verdict(&|config| config.name.clear()), Err(MspError::NoName));
    assert_eq!(verdict(&|config| config.fabric_node_ous = None), Err(MspError::NoAdministrators));
    let (leaf, _) = authority.issue("client", Some("client"), None);
    let leaf = bytes::Bytes::from(leaf);
    let entry = |verdict| matches!(verdict, Err(MspError::Entry { .. }));
    assert!(entry(verdict(&|config| config.root_certs.push(leaf.clone()))));
    assert!(entry(verdict(&|config| config.tls_root_certs.push(leaf.clone()))));
    assert!(entry(verdict(&|config| config.root_certs.push(b"junk"[..].into()))));
    assert!(entry(verdict(&|config| config.revocation_list.push(b"junk"[..].into()))));
    assert!(matches!(
        verdict(&|config| config.root_certs = vec![config.root_certs[0].clone(); 1000]),
        Err(MspError::TooMany { .. })
    ));
    let (peer, _) = authority.issue("peer", Some("peer"), None);
    assert_eq!(verdict(&|config| config.admins.push(leaf.clone())), Ok(()));
    assert!(entry(verdict(&|config| config.admins.push(peer.clone().into()))));
    let foreign = Authority::new("Org2MSP").pem();
    let set_unit = |config: &mut FabricMspConfig| {
        if let Some(unit) =
            config.fabric_node_ous.as_mut().and_then(|units| units.client_ou_identifier.as_mut())
        {
            unit.certificate = foreign.clone().into();
        }
    };
    assert!(entry(verdict(&set_unit)));
    let idemix = MspConfig { r#type: 1, config: usable.encode_to_vec().into() };
    assert_eq!(Msp::from_config(&idemix).map(|_| ()), Err(MspError::UnsupportedType(1)));
    let conflict = MspManager::from_configs(
        [&authority.msp(), &Authority::new("Org1MSP").msp()],
        MspVersion::V3_0,
        None,
    );
    assert_eq!(conflict.map(|_| ()), Err(MspError::Conflict("Org1MSP".to_owned())));
}

#[test]
fn both_forms_of_a_certificate_are_one_identity() {
    let authority = Authority::new("Org1MSP");
    let manager = manager(&authority);
    let mut rewritten = 0;
    // About half of all certificates come with the high form of their signature.
    for _ in 0..32 {
        let (certificate, _) = authority.issue("client", Some("client"), None);
        let read = |pem: &str| manager.deserialize_valid(&creator::serialize("Org1MSP", pem.as_bytes()));
        let identity = read(&certificate).expect("a member");
        let given = pem::parse(&certificate).expect("PEM").into_contents();
        rewritten += usize::from(identity.certificate_der().as_ref() != given);
        let low = pem::encode(&pem::Pem::new("CERTIFICATE", identity.certificate_der().to_vec()));
        let same = read(&low).expect("a member");
        assert_eq!(same.identifier(), identity.identifier());
        assert_eq!(same.certificate_der(), identity.certificate_der());
    }
    assert!((1..32).contains(&rewritten), "{rewritten} of 32 were rewritten");
}

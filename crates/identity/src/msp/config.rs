//! Builds MSP configurations, as `cryptogen` lays them out and `configtxgen` reads them.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::msp::{
    FabricCryptoConfig, FabricMspConfig, FabricNodeOUs, FabricOuIdentifier, MspConfig,
};

use super::setup::X509;

/// What an organization's MSP consists of: certificates in PEM.
#[derive(Clone, Debug, Default)]
pub struct MspDescription {
    /// The MSP's id, such as `Org1MSP`.
    pub id: String,
    /// The root CA of the organization's identities; it vouches for the role units.
    pub root: Bytes,
    /// Further CAs between the root and the identities.
    pub intermediates: Vec<Bytes>,
    /// The root CAs of the organization's TLS certificates.
    pub tls_roots: Vec<Bytes>,
    /// Revocation lists.
    pub revocation_lists: Vec<Bytes>,
}

/// The configuration of an MSP that tells clients, peers, administrators and orderers apart by their organizational
/// unit, which the CA that issues identities must vouch for.
pub fn msp_config(description: &MspDescription) -> MspConfig {
    let issuer = description.intermediates.last().unwrap_or(&description.root);
    let unit = |name: &str| {
        Some(FabricOuIdentifier {
            certificate: issuer.clone(),
            organizational_unit_identifier: name.to_owned(),
        })
    };
    let config = FabricMspConfig {
        name: description.id.clone(),
        root_certs: vec![description.root.clone()],
        intermediate_certs: description.intermediates.clone(),
        admins: Vec::new(),
        revocation_list: description.revocation_lists.clone(),
        signing_identity: None,
        organizational_unit_identifiers: Vec::new(),
        crypto_config: Some(FabricCryptoConfig {
            signature_hash_family: "SHA2".to_owned(),
            identity_identifier_hash_function: "SHA256".to_owned(),
        }),
        tls_root_certs: description.tls_roots.clone(),
        tls_intermediate_certs: Vec::new(),
        fabric_node_ous: Some(FabricNodeOUs {
            enable: true,
            client_ou_identifier: unit("client"),
            peer_ou_identifier: unit("peer"),
            admin_ou_identifier: unit("admin"),
            orderer_ou_identifier: unit("orderer"),
        }),
    };
    MspConfig { r#type: X509, config: config.encode_to_vec().into() }
}

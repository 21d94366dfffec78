//! Who talks to the network: a user and the administrator of each organisation, at the organisation's own peer.

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use selvedge_client::{BlockPosition, BlockRange, Deliver, Gateway, Lifecycle};
use selvedge_identity::SigningIdentity;
use selvedge_network::{Description, Node};
use selvedge_proto::common::Block;
use selvedge_tls::{ClientTls, DialOptions};

pub(crate) const CHANNEL: &str = "mychannel";

/// One organisation's way to its peer.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) msp_id: String,
    pub(crate) peer: String,
    pub(crate) user: Gateway,
    pub(crate) admin: Lifecycle,
    pub(crate) blocks: Deliver,
}

impl Party {
    /// The first block of the channel.
    pub(crate) async fn genesis(&self) -> Block {
        let range = BlockRange::new(BlockPosition::Oldest, BlockPosition::Oldest);
        self.blocks.blocks(CHANNEL, range).await.unwrap().try_next().await.unwrap().unwrap()
    }
}

/// Connects to all peers over TLS; their ports are new with each start of the network.
pub(crate) async fn connect(network: &Description) -> Vec<Party> {
    let mut parties = Vec::new();
    for organization in &network.organizations {
        let Node { name, address, tls_root, .. } = organization.peers.first().unwrap();
        let identity = |role: &str| {
            let user = organization.users.iter().find(|user| user.role == role).unwrap();
            let (certificate, key) = (read(&user.certificate), read(&user.key));
            Arc::new(SigningIdentity::from_pem(&organization.msp_id, &certificate, &key).unwrap())
        };
        let connection = async || {
            let tls = ClientTls::builder(read(tls_root)).server_name(name).build().unwrap().into();
            let target = address.to_string().parse().unwrap();
            selvedge_tls::channel(&target, &tls, &DialOptions::default()).await.unwrap()
        };
        let (user, admin) = (connection().await, connection().await);
        parties.push(Party {
            msp_id: organization.msp_id.clone(),
            peer: name.clone(),
            user: Gateway::new(user.clone(), identity("client")),
            admin: Lifecycle::new(admin.clone(), Gateway::new(admin, identity("admin"))),
            blocks: Deliver::new(user, identity("client")),
        });
    }
    parties
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

//! Who talks to the network: a user and the administrator of each organisation, at the organisation's own peer.

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use selvedge_client::connect::{ConnectionOptions, Role};
use selvedge_client::{BlockPosition, BlockRange, Deliver, Gateway, Lifecycle};
use selvedge_network::Description;
use selvedge_proto::common::Block;

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

/// Connects to all peers over TLS, as the file says that the network has written; ports are new with each start.
pub(crate) async fn connect(file: &Path) -> Vec<Party> {
    let network = Description::read_file(file).unwrap();
    let mut parties = Vec::new();
    for organization in network.organizations {
        let peer = organization.peers.into_iter().next().unwrap().name;
        let options = ConnectionOptions {
            config: Some(file.to_owned()),
            peer: Some(peer.clone()),
            ..ConnectionOptions::default()
        };
        let settings = options.settings(Role::Client).unwrap();
        let (channel, user) = (settings.connect().await.unwrap(), Arc::clone(settings.identity()));
        parties.push(Party {
            msp_id: organization.msp_id,
            peer,
            user: Gateway::new(channel.clone(), Arc::clone(&user)),
            admin: options.settings(Role::Admin).unwrap().lifecycle().await.unwrap(),
            blocks: Deliver::new(channel, user),
        });
    }
    parties
}

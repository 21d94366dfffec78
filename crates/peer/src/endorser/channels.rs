use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::channel::Channel;

/// The channels that a peer has joined, by id. Cheap to clone; clones are the same list.
#[derive(Clone, Default)]
pub struct Channels(Arc<ArcSwap<BTreeMap<String, Arc<Channel>>>>);

impl Channels {
    /// The channel of an id.
    pub fn get(&self, id: &str) -> Option<Arc<Channel>> {
        self.0.load().get(id).cloned()
    }

    /// Adds a channel, in place of one with the same id.
    pub fn insert(&self, channel: Arc<Channel>) {
        self.0.rcu(|channels| {
            let mut channels = BTreeMap::clone(channels);
            channels.insert(channel.id().to_owned(), Arc::clone(&channel));
            channels
        });
    }

    /// All channels in the order of their ids.
    pub fn all(&self) -> Vec<Arc<Channel>> {
        self.0.load().values().cloned().collect()
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.load().keys()).finish()
    }
}

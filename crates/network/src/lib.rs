//! Peers, an ordering service, certificate authorities and channels in one process.

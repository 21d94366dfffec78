//! Bounds of a listener.

use std::time::Duration;

/// What a listener allows. Everything a stranger can make it hold is bounded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that exist at once, those in their handshake and those being refused included.
    /// Default 1024. One more is closed at once and recorded.
    pub connections: usize,
    /// Handshakes worked on at once, from the client's first byte on; others wait, and their waiting counts against
    /// their time. Default 64.
    pub handshakes: usize,
    /// From the TCP accept to the end of the handshake. Default 5 s, as Fabric's Go server has it.
    pub handshake_timeout: Duration,
    /// How long a refused connection is kept half open so that the alert reaches its other end. Default 1 s.
    pub linger: Duration,
    /// Accepted connections that wait for the server to take them. Default 64.
    pub backlog: usize,
    /// Refusals kept for each slow reader of [`Listener::refusals`](crate::Listener::refusals). Default 256.
    pub refusals: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshakes: 64,
            handshake_timeout: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            backlog: 64,
            refusals: 256,
        }
    }
}

//! Whether peers can be served.

use selvedge_tls::{SecuritySwitch, ServerSecurity, Timestamp};
use tokio_util::sync::CancellationToken;

use super::expiry;

/// Why peers cannot be served. Whether one is connected plays no part: under Kubernetes a service gets no connections
/// before it is ready, so that a service which waits for a connection would never be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// The server was told to stop.
    #[error("the server is stopping")]
    Stopping,
    /// No peer accepts the server's certificate.
    #[error("the server's certificate {subject} is valid from {not_before} to {not_after} only")]
    Certificate {
        /// Its subject.
        subject: String,
        /// Its first moment.
        not_before: Timestamp,
        /// Its last moment.
        not_after: Timestamp,
    },
}

#[derive(Clone)]
pub(crate) struct Readiness {
    stopping: CancellationToken,
    security: SecuritySwitch,
}

impl Readiness {
    pub(super) fn new(stopping: CancellationToken, security: SecuritySwitch) -> Self {
        Self { stopping, security }
    }

    pub(crate) fn check(&self) -> Result<(), NotReady> {
        if self.stopping.is_cancelled() {
            return Err(NotReady::Stopping);
        }
        let security = self.security.current();
        let ServerSecurity::Tls(tls) = security.as_ref() else { return Ok(()) };
        let certificate = tls.identity().certificate();
        if (certificate.not_before..=certificate.not_after).contains(&expiry::now()) {
            return Ok(());
        }
        Err(NotReady::Certificate {
            subject: certificate.subject.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        })
    }

    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}

//! When what the connections rest on expires: told by the log in time, and by the metrics.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use selvedge_tls::{SecuritySwitch, ServerSecurity, Timestamp};

/// How long before the end the log begins to warn: time enough to renew by hand.
const AHEAD: i64 = 14 * 24 * 60 * 60;

/// How often it warns.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Something that expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// `server`, `client-authority` or `revocation-list`.
    pub(crate) kind: &'static str,
    /// The subject, or the issuer of a list.
    pub(crate) name: String,
    /// The last moment.
    pub(crate) moment: Timestamp,
}

impl Expiry {
    /// All that a server's security rests on.
    pub(crate) fn all(security: &ServerSecurity) -> Vec<Self> {
        let ServerSecurity::Tls(tls) = security else { return Vec::new() };
        let server = ("server", tls.identity().certificate());
        let authorities = tls.client_authorities().map(|facts| ("client-authority", facts));
        let certificates = std::iter::once(server).chain(authorities).map(|(kind, facts)| Self {
            kind,
            name: facts.subject.clone(),
            moment: facts.not_after,
        });
        let mut all: Vec<Self> = certificates.collect();
        let mut issuers = BTreeSet::new();
        // The newest come first, and of an issuer's lists only that one counts.
        for list in tls.revocation_lists().filter(|list| issuers.insert(list.issuer.clone())) {
            let name = list.issuer.clone();
            all.extend(list.next_update.map(|moment| Self { kind: "revocation-list", name, moment }));
        }
        all
    }

    fn is_near(&self, now: Timestamp) -> bool {
        self.moment.0.saturating_sub(now.0) < AHEAD
    }
}

pub(super) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp(i64::try_from(now).unwrap_or(i64::MAX))
}

/// Warns at the start and once a day.
pub(super) async fn warn(security: SecuritySwitch) -> Infallible {
    loop {
        let now = now();
        for Expiry { kind, name, moment } in
            Expiry::all(&security.current()).into_iter().filter(|expiry| expiry.is_near(now))
        {
            match moment < now {
                true => tracing::error!(kind, name, expired = %moment, "it has expired: renew it"),
                false => tracing::warn!(kind, name, expires = %moment, "it expires soon: renew it"),
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use selvedge_pki::time::{Duration, OffsetDateTime};
    use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Validity};
    use selvedge_tls::{Identity, ServerTls};

    use super::*;

    #[test]
    fn what_ends_within_two_weeks_is_warned_of() {
        let ca = Authority::new(&AuthoritySpec::default()).unwrap();
        let server = |validity| {
            let leaf =
                ca.issue(&LeafSpec { common_name: "cc".into(), validity, ..LeafSpec::default() }).unwrap();
            let list = ca.revocation_list(&[], OffsetDateTime::now_utc() + Duration::days(13)).unwrap();
            ServerTls::builder(Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap())
                .require_client_certificates(ca.certificate_pem())
                .revocation_list(list)
                .build()
                .unwrap()
                .into()
        };
        let near = |security: &ServerSecurity| {
            let all = Expiry::all(security).into_iter();
            all.filter(|expiry| expiry.is_near(now())).map(|expiry| expiry.kind).collect::<Vec<_>>()
        };
        assert_eq!(Expiry::all(&server(Validity::default())).len(), 3);
        assert_eq!(near(&server(Validity::days(15))), ["revocation-list"]);
        assert_eq!(near(&server(Validity::days(13))), ["server", "revocation-list"]);
        assert_eq!(near(&server(Validity::expired())), ["server", "revocation-list"]);
        assert!(Expiry::all(&ServerSecurity::Plaintext).is_empty());
    }
}

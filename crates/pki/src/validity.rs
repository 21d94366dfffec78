//! From when to when a certificate is valid.

use time::{Duration, OffsetDateTime};

/// How far before the present a certificate starts, so that hosts with a slow clock accept it at once.
const BACKDATED: Duration = Duration::minutes(5);

/// The span in which a certificate is valid, both ends included, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: OffsetDateTime,
    /// The last moment.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From five minutes ago to `days` days from now.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now - BACKDATED, not_after: now + Duration::days(days.into()) }
    }

    /// Over since yesterday.
    #[must_use]
    pub fn expired() -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now - Duration::days(30), not_after: now - Duration::days(1) }
    }

    /// Starting tomorrow.
    #[must_use]
    pub fn not_yet() -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now + Duration::days(1), not_after: now + Duration::days(30) }
    }
}

impl Default for Validity {
    /// One year.
    fn default() -> Self {
        Self::days(365)
    }
}

use selvedge_tls::Refusal;
use serde::{Deserialize, Serialize};

/// What a chaincode server that runs as a process of its own tells about itself: one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ServerEvent {
    /// The port is open.
    Listening {
        /// Where, with the port that the system chose when 0 was asked for.
        address: String,
        /// The package id that peers are told.
        package_id: String,
        /// `mutual-tls`, `tls` or `plaintext`.
        security: String,
    },
    /// A connection was not let in.
    Refused(Refused),
    /// So many refusals came at once that some could not be told.
    RefusalsMissed {
        /// How many.
        count: u64,
    },
    /// The server has ended as it was asked to.
    Stopped,
}

/// A connection that a server did not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Whose connection it was, `address:port`.
    pub remote: String,
    /// The stable short name of the reason, such as `no-client-certificate`.
    pub reason: String,
    /// The reason for a person, with everything remote escaped.
    pub message: String,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self {
            remote: refusal.remote.to_string(),
            reason: refusal.reason.name().to_owned(),
            message: refusal.reason.to_string(),
        }
    }
}

impl ServerEvent {
    /// The event as one line, without its line feed.
    pub fn to_line(&self) -> String {
        // A map of strings and numbers always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, ServerEvent};

    #[test]
    fn events_are_one_object_a_line() {
        let refused = ServerEvent::Refused(Refused {
            remote: "127.0.0.1:4711".to_owned(),
            reason: "plaintext-client".to_owned(),
            message: "line\nfeed".to_owned(),
        });
        let line = refused.to_line();
        assert_eq!(
            line,
            r#"{"event":"refused","remote":"127.0.0.1:4711","reason":"plaintext-client","message":"line\nfeed"}"#
        );
        for event in [refused, ServerEvent::Stopped, ServerEvent::RefusalsMissed { count: 3 }] {
            assert_eq!(serde_json::from_str::<ServerEvent>(&event.to_line()).unwrap(), event);
        }
    }
}

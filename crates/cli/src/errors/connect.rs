//! What a person is told when there is no connection to a peer.

use selvedge_client::connect::ConnectError;
use selvedge_tls::DialError;

use crate::catalogue;
use crate::failure::Failure;

/// A server cannot be reached.
fn dial(error: &DialError) -> Failure {
    let verdict = &*error.verdict;
    Failure::new(catalogue::of_verdict(verdict.name()), format!("{} cannot be reached", error.target))
        .evidence(verdict.to_string())
        .cause(verdict.cause())
        .fix(verdict.fix())
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        use ConnectError as E;
        if let E::Dial(error) = &error {
            return dial(error);
        }
        let code = match &error {
            E::NotTold { .. } | E::Channel { .. } => catalogue::NOT_TOLD,
            E::Unknown { .. } => catalogue::UNKNOWN_NAME,
            E::Description { .. } => catalogue::CONFIG_FILE,
            E::NoDescription { .. } | E::File { .. } | E::Folder { .. } => catalogue::FILE,
            E::MspFolder { .. } | E::Identity { .. } => catalogue::IDENTITY,
            E::Address(_) => catalogue::ADDRESS,
            E::ClientCertificate(_) | E::Authority { .. } => catalogue::TLS_FILES,
            _ => catalogue::MACHINE,
        };
        let what = match &error {
            // The rest of its text is the evidence.
            E::MspFolder { .. } => "the MSP folder is not that of one identity".to_owned(),
            error => error.to_string(),
        };
        let failure = Self::new(code, what);
        let failure = match &error {
            E::NotTold { flag, variable, .. } => {
                failure.evidence(format!("neither {flag} nor {variable} is set"))
            }
            E::Channel { described } => {
                failure.evidence(format!("the network's description names {described} channels"))
            }
            E::Unknown { kind, known, .. } => failure.evidence(match &known[..] {
                [] => format!("it has no {kind} at all"),
                known => format!("it has {}", known.join(", ")),
            }),
            E::Description { source, .. } => failure.chain(source),
            E::NoDescription { source, .. } | E::File { source, .. } | E::Folder { source, .. } => {
                failure.chain(source)
            }
            E::MspFolder { folder, files } => {
                failure.evidence(format!("{} has {files} files where one is wanted", folder.display()))
            }
            E::Identity { source, .. } => failure.chain(source),
            E::Address(source) | E::ClientCertificate(source) | E::Authority { source, .. } => {
                failure.chain(source)
            }
            error => failure.chain(error),
        };
        match error.fix() {
            Some(fix) => failure.fix(fix),
            None => failure,
        }
    }
}

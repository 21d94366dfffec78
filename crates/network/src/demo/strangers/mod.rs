//! Who is refused at the edge, and how both ends see it.

mod deployed;
mod misnamed;
mod stack;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage};
use selvedge_tls::Target;
use tokio::time::timeout;

use self::misnamed::Misnamed;
pub(super) use self::stack::Stack;
use self::stack::{Attempt, Security};
use super::DemoError;
use super::step::{Recorder, Refusal, Seen, Told};
use crate::sample::{Process, Refused, ServerEvent};
use crate::{EdgeServer, Network};

/// How long a server may take to tell of a refusal.
const PATIENCE: Duration = Duration::from_secs(10);
/// The host that the wrong server's certificate names.
const OTHER_HOST: &str = "elsewhere.example.com";
/// Where the wrong server listens.
const ANY_PORT: &str = "127.0.0.1:0";

/// What has to happen when one of them dials.
struct Scenario {
    name: &'static str,
    title: &'static str,
    attempt: Attempt,
    /// The verdict of our own stack. Others have their own words.
    verdict: &'static str,
    /// What the server must call it. Our own stack says why it goes, which is the first one; a stack that judges
    /// the server's name only after it just goes.
    server: &'static [&'static str],
}

/// The files with which strangers dial.
struct Files {
    authority: PathBuf,
    strange: (PathBuf, PathBuf),
    genuine: (PathBuf, PathBuf),
}

/// Lets every stranger dial with every stack. `false` says that one of them was not refused as it should.
pub(super) async fn run(
    recorder: &mut Recorder<'_>,
    network: &Network,
    place: &EdgeServer,
    chaincode: &mut Process,
    stacks: &[Stack],
) -> bool {
    let title = "Make a strange authority's certificate and a server with the wrong name";
    let Some((scenarios, wrong, mut misnamed)) =
        recorder.step("strangers", title, prepare(network, place)).await
    else {
        return false;
    };
    let mut refused = true;
    for scenario in &scenarios {
        refused &= scenario.play(recorder, stacks, &mut Server::Chaincode(chaincode)).await;
    }
    refused &= wrong.play(recorder, stacks, &mut Server::Misnamed(&mut misnamed)).await;
    let title = "A chaincode deployed with that server: the peer refuses it and tells its client why";
    let deployed = deployed::run(network, &mut misnamed, OTHER_HOST);
    refused & recorder.step("wrong-server-deployed", title, deployed).await.is_some()
}

impl Scenario {
    async fn play(&self, recorder: &mut Recorder<'_>, stacks: &[Stack], server: &mut Server<'_>) -> bool {
        let dialled = async {
            let mut told = Told::default();
            for stack in stacks {
                if stack.can(&self.attempt.security) {
                    told = told.refused(self.dial(stack, server).await?);
                }
            }
            Ok::<_, DemoError>(((), told))
        };
        recorder.step(self.name, self.title, dialled).await.is_some()
    }

    async fn dial(&self, stack: &Stack, server: &mut Server<'_>) -> Result<Refusal, DemoError> {
        let outcome = stack.dial(&self.attempt).await?;
        if outcome.accepted {
            return Err(DemoError::unexpected("a refusal", format!("{} was let in", stack.title())));
        }
        let mut reasons = self.server;
        if matches!(stack, Stack::Selvedge) {
            let Seen { verdict, message, .. } = &outcome.seen;
            if verdict != self.verdict {
                let expected = format!("the verdict {}", self.verdict);
                return Err(DemoError::unexpected(expected, format!("it was {verdict}: {message}")));
            }
            reasons = reasons.get(..1).unwrap_or_default();
        }
        let refused = server.refusal(reasons, &stack.title()).await?;
        let server = Seen { by: server.name(), verdict: refused.reason, message: refused.message };
        Ok(Refusal { client: outcome.seen, server })
    }
}

/// Where a stranger has dialled.
enum Server<'a> {
    Chaincode(&'a mut Process),
    Misnamed(&'a mut Misnamed),
}

impl Server<'_> {
    fn name(&self) -> String {
        match self {
            Self::Chaincode(chaincode) => format!("chaincode, process {}", chaincode.pid),
            Self::Misnamed(_) => misnamed::NAME.to_owned(),
        }
    }

    /// Waits until the server tells of a refusal for one of these reasons. Our own stack takes a second look when a
    /// server is silent, so there may be others.
    async fn refusal(&mut self, reasons: &[&str], dialler: &str) -> Result<Refused, DemoError> {
        let mut others = Vec::new();
        let search = async {
            while let Some(refused) = self.next().await {
                if reasons.contains(&refused.reason.as_str()) {
                    return Some(refused);
                }
                others.push(refused.reason);
            }
            None
        };
        match timeout(PATIENCE, search).await {
            Ok(Some(refused)) => Ok(refused),
            Ok(None) | Err(_) => {
                let seen = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
                let expected =
                    format!("the server to tell why {dialler} was refused ({})", reasons.join(" or "));
                Err(DemoError::unexpected(expected, format!("it told of {seen}")))
            }
        }
    }

    async fn next(&mut self) -> Option<Refused> {
        match self {
            Self::Misnamed(misnamed) => misnamed.next().await,
            Self::Chaincode(chaincode) => loop {
                match chaincode.event().await? {
                    ServerEvent::Refused(refused) => return Some(refused),
                    ServerEvent::Listening { .. }
                    | ServerEvent::RefusalsMissed { .. }
                    | ServerEvent::Stopped => {}
                }
            },
        }
    }
}

type Prepared = (Vec<Scenario>, Scenario, Misnamed);

async fn prepare(network: &Network, place: &EdgeServer) -> Result<(Prepared, Told), DemoError> {
    let files = write_files(network)?;
    let misnamed = Misnamed::start(network.edge().server_named("misnamed", ANY_PORT, &[OTHER_HOST])?).await?;
    let wrong: Target = misnamed.place().address.parse()?;
    let told = Told::default()
        .fact("stranger", "peer0.stranger.example.com, certified by the CA of another consortium")
        .fact("wrong server", format!("{wrong}, with a certificate for {OTHER_HOST}"));
    let (at_chaincode, at_misnamed) = scenarios(&files, place.address.parse()?, wrong);
    Ok(((at_chaincode, at_misnamed, misnamed), told))
}

fn scenarios(files: &Files, target: Target, wrong: Target) -> (Vec<Scenario>, Scenario) {
    let tls = |identity| Security::Tls { authority: files.authority.clone(), identity };
    let at = |security| Attempt { target: target.clone(), security };
    let at_chaincode = vec![
        Scenario {
            name: "no-certificate",
            title: "A peer without a client certificate is refused",
            attempt: at(tls(None)),
            verdict: "client-certificate-required",
            server: &["no-client-certificate"],
        },
        Scenario {
            name: "strange-authority",
            title: "A peer with a certificate of a strange authority is refused",
            attempt: at(tls(Some(files.strange.clone()))),
            verdict: "client-certificate-refused",
            server: &["unknown-issuer"],
        },
        Scenario {
            name: "plaintext",
            title: "A peer that speaks plaintext is refused",
            attempt: at(Security::Plaintext),
            verdict: "server-is-tls",
            server: &["plaintext-client"],
        },
    ];
    let at_misnamed = Scenario {
        name: "wrong-server-name",
        title: "A server whose certificate does not name its host is refused",
        attempt: Attempt { target: wrong, security: tls(Some(files.genuine.clone())) },
        verdict: "name-mismatch",
        server: &["refused-by-client", "closed", "left-after-handshake"],
    };
    (at_chaincode, at_misnamed)
}

fn write_files(network: &Network) -> Result<Files, DemoError> {
    let authority = Authority::new(&AuthoritySpec {
        common_name: "ca.stranger.example.com".to_owned(),
        organization: Some("another consortium".to_owned()),
        ..AuthoritySpec::default()
    })?;
    let stranger = authority.issue(&LeafSpec {
        common_name: "peer0.stranger.example.com".to_owned(),
        usage: Usage::Client,
        ..LeafSpec::default()
    })?;
    let genuine = network.peers().first().ok_or(crate::NetworkError::NoPeers)?.tls_identity();
    let folder = network.folder().join("strangers");
    fs::create_dir_all(&folder).map_err(DemoError::io("create", &folder))?;
    let files = Files {
        authority: folder.join("chaincode-ca.crt"),
        strange: (folder.join("stranger.crt"), folder.join("stranger.key")),
        genuine: (folder.join("peer.crt"), folder.join("peer.key")),
    };
    write(&files.authority, network.edge().authority_pem())?;
    write(&files.strange.0, &stranger.certificate_pem)?;
    write(&files.strange.1, stranger.key_pem.as_str())?;
    write(&files.genuine.0, &genuine.certificate_pem)?;
    write(&files.genuine.1, genuine.key_pem.as_str())?;
    Ok(files)
}

/// Only the owner may read what is written: some of it is keys.
fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(DemoError::io("write", path))
}

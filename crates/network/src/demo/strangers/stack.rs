//! The TLS stacks that dial as strangers: our own, Node's and OpenSSL's command.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use selvedge_tls::{ClientSecurity, ClientTls, Identity, Target, escape, probe};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::DemoError;
use super::super::step::Seen;

/// How long one attempt to connect may take, a foreign stack's start included.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of a foreign stack's output is read.
const OUTPUT_BYTES: u64 = 64 << 10;

const NODE_SCRIPT: &str = include_str!("dial.js");

/// A TLS stack that can dial.
#[derive(Clone, Debug)]
pub(in crate::demo) enum Stack {
    /// The one that Selvedge's peer dials with.
    Selvedge,
    /// Node, with its version.
    Node(String),
    /// `openssl s_client`, with its version.
    Openssl(String),
}

/// How a stranger dials.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) security: Security,
}

#[derive(Clone, Debug)]
pub(super) enum Security {
    Plaintext,
    Tls {
        /// The file with the authorities that are trusted.
        authority: PathBuf,
        /// The files of the certificate and the key that are shown.
        identity: Option<(PathBuf, PathBuf)>,
    },
}

/// How an attempt ended at the dialling side.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Whether the server was good enough for the client, and the client for the server.
    pub(super) accepted: bool,
    pub(super) seen: Seen,
}

impl Stack {
    /// The foreign stacks on this machine, and the commands that were looked for in vain.
    pub(in crate::demo) async fn foreign() -> (Vec<Self>, Vec<&'static str>) {
        let mut found = Vec::new();
        let mut absent = Vec::new();
        match version("node", "--version").await {
            Some(version) => found.push(Self::Node(version)),
            None => absent.push("node"),
        }
        match version("openssl", "version").await {
            Some(version) => found.push(Self::Openssl(version)),
            None => absent.push("openssl"),
        }
        (found, absent)
    }

    /// The name for a person.
    pub(in crate::demo) fn title(&self) -> String {
        match self {
            Self::Selvedge => "Selvedge".to_owned(),
            Self::Node(version) => format!("Node {version}"),
            Self::Openssl(version) => version.clone(),
        }
    }

    /// Whether the stack can dial in this way. OpenSSL's command cannot leave TLS out.
    pub(super) fn can(&self, security: &Security) -> bool {
        !matches!((self, security), (Self::Openssl(_), Security::Plaintext))
    }

    pub(super) async fn dial(&self, attempt: &Attempt) -> Result<Outcome, DemoError> {
        let (accepted, verdict, message) = match self {
            Self::Selvedge => dial_ourselves(attempt).await?,
            Self::Node(_) => dial_with_node(attempt).await?,
            Self::Openssl(_) => dial_with_openssl(attempt).await?,
        };
        Ok(Outcome { accepted, seen: Seen { by: self.title(), verdict, message } })
    }
}

type Ended = (bool, String, String);

async fn dial_ourselves(attempt: &Attempt) -> Result<Ended, DemoError> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(DemoError::io("read", path));
    let security = match &attempt.security {
        Security::Plaintext => ClientSecurity::Plaintext,
        Security::Tls { authority, identity } => {
            let mut builder = ClientTls::builder(read(authority)?);
            if let Some((certificate, key)) = identity {
                builder = builder.identity(Identity::from_files(certificate, key)?);
            }
            builder.build()?.into()
        }
    };
    Ok(match probe(&attempt.target, &security, PATIENCE).await {
        Ok(_) => (true, "accepted".to_owned(), "the server let this client in".to_owned()),
        Err(error) => (false, error.verdict.name().to_owned(), error.verdict.to_string()),
    })
}

/// What the script prints.
#[derive(Deserialize)]
struct NodeAnswer {
    accepted: bool,
    code: String,
    message: String,
}

async fn dial_with_node(attempt: &Attempt) -> Result<Ended, DemoError> {
    let Target { host, port } = &attempt.target;
    let (ca, identity) = match &attempt.security {
        Security::Plaintext => (None, None),
        Security::Tls { authority, identity } => (Some(authority), identity.as_ref()),
    };
    let (cert, key) = identity.map(|(certificate, key)| (certificate, key)).unzip();
    let argument =
        serde_json::json!({ "host": host, "port": port, "ca": ca, "cert": cert, "key": key }).to_string();
    let mut command = Command::new("node");
    // What the caller has set to make Node trust more must not count here.
    for variable in ["NODE_OPTIONS", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_EXTRA_CA_CERTS"] {
        command.env_remove(variable);
    }
    command.args(["-e", NODE_SCRIPT, "--", &argument]);
    let output = run(command, "node").await?;
    match serde_json::from_str::<NodeAnswer>(&output.stdout) {
        Ok(NodeAnswer { accepted, code, message }) => Ok((accepted, code, escape(&message))),
        Err(_) => Err(DemoError::unexpected("an answer from node", format!("it said {:?}", output.said()))),
    }
}

async fn dial_with_openssl(attempt: &Attempt) -> Result<Ended, DemoError> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-brief", "-alpn", "h2", "-verify_return_error"]);
    command.arg("-connect").arg(attempt.target.to_string());
    let host = &attempt.target.host;
    let name = if host.parse::<std::net::IpAddr>().is_ok() { "-verify_ip" } else { "-verify_hostname" };
    command.args([name, host]);
    if let Security::Tls { authority, identity } = &attempt.security {
        command.arg("-CAfile").arg(authority);
        if let Some((certificate, key)) = identity {
            command.arg("-cert").arg(certificate).arg("-key").arg(key);
        }
    }
    let output = run(command, "openssl").await?;
    // The server's first frame has zero bytes, and nothing else that is printed has.
    if output.stdout.contains('\0') {
        return Ok((true, "accepted".to_owned(), "the server let this client in".to_owned()));
    }
    let line = output.stderr.lines().find(|line| line.contains("verify error"));
    let line = line.or_else(|| output.stderr.lines().find(|line| line.contains(":error:")));
    match line {
        Some(line) => {
            let (verdict, message) = openssl_reason(line);
            Ok((false, verdict, escape(&message)))
        }
        None => Err(DemoError::unexpected("an answer from openssl", format!("it said {:?}", output.said()))),
    }
}

/// `verify error:num=64:IP address mismatch`, or
/// `8043…:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:…/rec_layer_s3.c:1600:SSL alert number 48`.
fn openssl_reason(line: &str) -> (String, String) {
    if let Some((_, reason)) = line.split_once("verify error:") {
        let (number, text) = reason.split_once(':').unwrap_or((reason, reason));
        return (format!("verify error {}", number.trim_start_matches("num=")), text.trim().to_owned());
    }
    let mut parts = line.split(":error:").nth(1).unwrap_or(line).split(':');
    let code = parts.next().unwrap_or_default();
    let text = parts.nth(2).unwrap_or_default();
    let alert = line.rsplit(':').next().filter(|last| last.starts_with("SSL alert")).map(str::trim);
    let text = alert.map_or_else(|| text.to_owned(), |alert| format!("{text} ({alert})"));
    (format!("error {code}"), text)
}

async fn version(program: &'static str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg(argument);
    let output = run(command, program).await.ok()?;
    // `OpenSSL 3.0.1 14 Dec 2021 (Library: …)`: name and number are enough.
    let words: Vec<&str> = output.stdout.split_whitespace().take(2).collect();
    (!words.is_empty()).then(|| escape(&words.join(" ")))
}

struct Output {
    stdout: String,
    stderr: String,
}

impl Output {
    fn said(&self) -> String {
        escape(&format!("{}{}", self.stdout, self.stderr))
    }
}

/// Runs a program until it ends or the first zero byte of its output. Its standard input stays open and empty.
async fn run(mut command: Command, name: &'static str) -> Result<Output, DemoError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(DemoError::io("start", name))?;
    match timeout(PATIENCE, collect(&mut child)).await {
        Ok(output) => output.map_err(DemoError::io("read from", name)),
        Err(_) => {
            let seen = format!("{name} did not end within {} s", PATIENCE.as_secs());
            Err(DemoError::unexpected("an answer", seen))
        }
    }
}

async fn collect(child: &mut Child) -> std::io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = tokio::spawn(async move { read(stderr, None).await });
    let stdout = read(stdout, Some(0)).await?;
    if stdout.contains(&0) {
        // It goes on only because nobody has told it to end.
        child.start_kill()?;
    }
    let stderr = errors.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))?;
    child.wait().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { stdout: text(stdout), stderr: text(stderr) })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, until: Option<u8>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let mut pipe = pipe.take(OUTPUT_BYTES);
        while pipe.read_buf(&mut bytes).await? > 0 {
            if until.is_some_and(|end| bytes.contains(&end)) {
                break;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::openssl_reason;

    #[test]
    fn reasons_are_found_in_what_openssl_prints() {
        let alert = "4007A6:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:\
                     ../ssl/record/rec_layer_s3.c:1601:SSL alert number 48";
        assert_eq!(
            openssl_reason(alert),
            ("error 0A000418".to_owned(), "tlsv1 alert unknown ca (SSL alert number 48)".to_owned())
        );
        assert_eq!(
            openssl_reason("verify error:num=64:IP address mismatch"),
            ("verify error 64".to_owned(), "IP address mismatch".to_owned())
        );
    }
}

//! From a kept build to a stream on which the chaincode has registered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use selvedge_package::connection::{Security, Server};
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_client::ChaincodeClient;
use selvedge_session::host::{Created, Handshake, Limits, Ready};
use selvedge_tls::{ClientSecurity, ClientTls, ConfigError, DialOptions, Identity, Target};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::attached::AttachedStream;
use super::config::HostConfig;
use super::error::LaunchError;
use super::registrar::Expectation;
use super::running::Running;
use super::stream::{MAX_MESSAGE, Stream, describe};

/// What comes from a chaincode, over a connection or within the process.
pub(super) type Incoming = BoxStream<'static, Result<ChaincodeMessage, Status>>;

/// A stream that is ready, and what its reader needs.
pub(super) struct Launched {
    pub(super) stream: Arc<Stream>,
    pub(super) incoming: Incoming,
    pub(super) held: Held,
}

/// What lives as long as a stream.
pub(super) enum Held {
    /// The connection, which closes when it is dropped.
    Connection { _channel: Channel },
    /// The chaincode's process, which is asked to end when it is dropped.
    Process { _running: Running },
    /// A stream within the process has nothing of the kind.
    Nothing,
}

/// One launch and its time.
pub(super) struct Launch<'a> {
    config: &'a HostConfig,
    package_id: &'a str,
    deadline: Instant,
}

impl<'a> Launch<'a> {
    /// The startup time-out begins to run.
    pub(super) fn new(config: &'a HostConfig, package_id: &'a str) -> Self {
        Self { config, package_id, deadline: Instant::now() + config.startup_timeout }
    }

    /// Dials the server, opens the stream and answers the registration.
    pub(super) async fn connect(
        &self,
        server: &Server,
        ended: CancellationToken,
    ) -> Result<Launched, LaunchError> {
        let channel = self.dial(server).await?;
        let (outgoing, messages) = mpsc::channel(self.config.limits.queued_messages.max(2));
        let mut client = ChaincodeClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let opened = client.connect(ReceiverStream::new(messages));
        let incoming = self
            .within("opening the stream", opened)
            .await?
            .map_err(|status| LaunchError::Stream { package_id: self.id(), reason: describe(&status) })?
            .into_inner();
        self.begin(incoming.boxed(), outgoing, Held::Connection { _channel: channel }, ended).await
    }

    /// Answers the registration on a stream of this process.
    pub(super) async fn begin_attached(
        &self,
        opened: AttachedStream,
        ended: CancellationToken,
    ) -> Result<Launched, LaunchError> {
        self.begin(opened.incoming, opened.outgoing, Held::Nothing, ended).await
    }

    /// Waits until a chaincode that a builder runs has dialled, and answers the registration.
    pub(super) async fn begin_run(
        &self,
        mut expected: Expectation,
        mut running: Running,
        ended: CancellationToken,
    ) -> Result<Launched, LaunchError> {
        let opened = async {
            tokio::select! {
                opened = expected.opened() => Ok(opened),
                end = running.ended() => {
                    let reason = end.map_or_else(|error| error.to_string(), |()| "0".to_owned());
                    Err(LaunchError::Exited { reason })
                }
            }
        };
        let opened = self.within("the chaincode's registration", opened).await??;
        self.begin(opened.incoming, opened.outgoing, Held::Process { _running: running }, ended).await
    }

    async fn begin(
        &self,
        mut incoming: Incoming,
        outgoing: mpsc::Sender<ChaincodeMessage>,
        held: Held,
        ended: CancellationToken,
    ) -> Result<Launched, LaunchError> {
        let registering =
            self.within("the chaincode's registration", self.register(&mut incoming, &outgoing));
        let ready = registering.await??;
        let transactions = self.config.limits.transactions;
        let stream = Stream::new(self.id(), ready, outgoing, transactions, ended);
        Ok(Launched { stream, incoming, held })
    }

    /// Waits for `work` no longer than the startup time-out leaves.
    pub(super) async fn within<F: Future>(
        &self,
        during: &'static str,
        work: F,
    ) -> Result<F::Output, LaunchError> {
        tokio::time::timeout_at(self.deadline, work).await.map_err(|_| LaunchError::Timeout {
            package_id: self.id(),
            during,
            limit: self.config.startup_timeout,
        })
    }

    async fn dial(&self, server: &Server) -> Result<Channel, LaunchError> {
        let security = |source| LaunchError::Security {
            package_id: self.id(),
            address: server.address.clone(),
            source: Box::new(source),
        };
        let target: Target = server.address.parse().map_err(security)?;
        let client = client_security(&server.security).map_err(security)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = server.dial_timeout.min(left.max(Duration::from_millis(1)));
        let options = DialOptions { timeout, ..DialOptions::default() };
        selvedge_tls::channel(&target, &client, &options).await.map_err(|source| LaunchError::Dial {
            package_id: self.id(),
            address: server.address.clone(),
            source: Box::new(source),
        })
    }

    async fn register(
        &self,
        incoming: &mut Incoming,
        outgoing: &mpsc::Sender<ChaincodeMessage>,
    ) -> Result<Ready, LaunchError> {
        let ended = |reason| LaunchError::Ended { package_id: self.id(), reason };
        let mut created = Created::new(Limits { transactions: self.config.limits.transactions });
        let registering = loop {
            let message = match incoming.next().await {
                Some(Ok(message)) => message,
                None => return Err(ended("the chaincode closed the stream without registering".into())),
                Some(Err(status)) => return Err(ended(describe(&status))),
            };
            match created.receive(message).map_err(LaunchError::Protocol)? {
                Handshake::Waiting(same) => created = same,
                Handshake::Register(registering) => break registering,
            }
        };
        registering.check(self.package_id).map_err(LaunchError::Registration)?;
        let (ready, messages) = registering.accept(self.config.offer.as_ref());
        for message in messages {
            let sent = outgoing.send(message).await;
            sent.map_err(|_| ended("the stream broke while the registration was answered".into()))?;
        }
        Ok(ready)
    }

    fn id(&self) -> String {
        self.package_id.to_owned()
    }
}

fn client_security(security: &Security) -> Result<ClientSecurity, ConfigError> {
    let (root_cert, client) = match security {
        Security::Plaintext => return Ok(ClientSecurity::Plaintext),
        Security::Tls { root_cert, client } => (root_cert, client),
    };
    let mut builder = ClientTls::builder(root_cert);
    if let Some(client) = client {
        builder = builder.identity(Identity::from_pem(&client.certificate, &client.key)?);
        if let Some(domain) = &client.domain {
            builder = builder.server_name(domain);
        }
    }
    Ok(builder.build()?.into())
}

//! Chaincode that dials its peer instead of being dialled: how a chaincode runs that a peer's builder has launched.

use std::fs::File;
use std::future::{Future, ready};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use selvedge_proto::protos::chaincode_support_client::ChaincodeSupportClient;
use selvedge_tls::{ClientSecurity, ClientTls, ConfigError, DialError, DialOptions, Identity, Target};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::Server;
use crate::message::MESSAGE_BYTES;
use crate::server::{OUTGOING, ServerError};
use crate::stream::{self as peer_stream, Settings};

/// How long the peer may take to read the last answers.
const LINGER: Duration = Duration::from_secs(1);

/// A builder tells a page of text; more is a mistake.
const LARGEST_FILE: u64 = 1 << 20;

/// The peer that has launched this chaincode, and waits for it to register.
#[derive(Clone, Debug)]
pub struct LaunchingPeer {
    address: String,
    target: Target,
    security: ClientSecurity,
    package_id: String,
    msp_id: Option<String>,
}

/// What a peer's builder is told in `RUNMETA/chaincode.json`.
#[derive(Deserialize)]
struct RunMetadata {
    chaincode_id: String,
    peer_address: String,
    #[serde(default)]
    client_cert: String,
    #[serde(default)]
    client_key: String,
    #[serde(default)]
    root_cert: String,
    #[serde(default)]
    mspid: String,
}

impl LaunchingPeer {
    /// A peer whose listener for chaincode is at `address` (`host:port`). `package_id` is the id under which it has
    /// launched the chaincode.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        address: &str,
        package_id: impl Into<String>,
        security: impl Into<ClientSecurity>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            address: address.to_owned(),
            target: address.parse()?,
            security: security.into(),
            package_id: package_id.into(),
            msp_id: None,
        })
    }

    /// The peer that a builder's `bin/run` was told of, by the file `chaincode.json` of its folder RUNMETA. Without
    /// certificates in it the peer is dialled in plaintext, as its TLS is off then.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn from_run_metadata(file: impl AsRef<Path>) -> Result<Self, RegisterError> {
        let path = file.as_ref();
        let unreadable = |source| RegisterError::File { path: path.to_owned(), source };
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut text))
            .map_err(unreadable)?;
        let told: RunMetadata = serde_json::from_slice(&text)
            .map_err(|source| RegisterError::Metadata { path: path.to_owned(), source })?;
        let without_tls =
            [&told.root_cert, &told.client_cert, &told.client_key].iter().all(|it| it.is_empty());
        let security = match without_tls {
            true => ClientSecurity::Plaintext,
            false => {
                let identity = Identity::from_pem(&told.client_cert, &told.client_key)?;
                ClientTls::builder(&told.root_cert).identity(identity).build()?.into()
            }
        };
        let peer = Self::new(&told.peer_address, told.chaincode_id, security)?;
        Ok(Self { msp_id: Some(told.mspid).filter(|id| !id.is_empty()), ..peer })
    }

    /// The MSP of the peer, for [`Query::peer_msp_id`](crate::Query::peer_msp_id).
    #[must_use]
    pub fn msp_id(mut self, msp_id: impl Into<String>) -> Self {
        self.msp_id = Some(msp_id.into());
        self
    }

    /// The id under which the chaincode registers.
    #[must_use]
    pub fn package_id(&self) -> &str {
        &self.package_id
    }

    /// Where the peer is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Server {
    /// Dials the peer that has launched this chaincode, registers, and carries out its transactions until `stop`
    /// completes, which lets running ones end as [`BoundServer::serve`](crate::BoundServer::serve) does. Nothing
    /// listens: the server's address and security do not matter, and its package id is the one that the peer knows.
    ///
    /// # Errors
    /// When the peer cannot be reached or does not accept the registration, and when the stream ends: whoever was
    /// launched has nothing left to do then.
    pub async fn register(
        self,
        peer: &LaunchingPeer,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RegisterError> {
        let (edge, settings) = self.into_parts()?;
        let msp_id = peer.msp_id.as_deref().map(Into::into);
        let settings = Settings {
            package_id: peer.package_id.clone(),
            peer_msp_id: msp_id.or(settings.peer_msp_id.clone()),
            ..settings
        };
        let stopping = settings.stopping.clone();
        if let ClientSecurity::Plaintext = peer.security {
            tracing::warn!(peer = peer.address, "the peer is dialled in PLAINTEXT, as its TLS is off");
        }
        let serving = serve(peer, edge.dial_options(), Arc::new(settings));
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.and(Err(RegisterError::Ended)),
            () = stop => stopping.cancel(),
        }
        serving.await
    }
}

async fn serve(
    peer: &LaunchingPeer,
    options: DialOptions,
    settings: Arc<Settings>,
) -> Result<(), RegisterError> {
    let channel = selvedge_tls::channel(&peer.target, &peer.security, &options).await?;
    let mut client = ChaincodeSupportClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let (outgoing, messages) = mpsc::channel::<Result<_, Status>>(OUTGOING);
    // A peer has no use for the status with which a server ends a stream: to it the stream just ends.
    let messages =
        ReceiverStream::new(messages).map(Result::ok).take_while(|message| ready(message.is_some()));
    let messages = messages.filter_map(ready);
    // The peer answers the call only when it has the registration, so that has to go out first.
    let opened = async move { client.register(messages).await };
    let mut incoming = pin!(stream::once(opened.map_ok(tonic::Response::into_inner)).try_flatten());
    let served = peer_stream::serve(incoming.as_mut(), outgoing, settings).boxed().await;
    // The last answers are on their way. The peer ends its side when it has read ours to the end.
    let rest = incoming.for_each(|_| ready(()));
    let _ = tokio::time::timeout(LINGER, rest).await;
    served.map_err(|error| RegisterError::Stream(error.to_string()))
}

/// Why a launched chaincode has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The builder's file cannot be read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The builder's file is not what a peer writes.
    #[error("{} is not the chaincode.json that a peer writes for a builder's run", .path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The address or the certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] ConfigError),
    /// The peer cannot be reached.
    #[error("the peer that launched this chaincode cannot be reached")]
    Dial(#[from] DialError),
    /// No package id, or no threads.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The peer did not accept the registration, or the stream broke.
    #[error("the stream to the peer that launched this chaincode has ended: {0}")]
    Stream(String),
    /// The peer has closed the stream.
    #[error("the peer that launched this chaincode has closed the stream")]
    Ended,
}

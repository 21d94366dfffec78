use std::time::SystemTime;

use futures_util::StreamExt;
use selvedge_proto::common::Envelope;
use selvedge_proto::protos::DeliverResponse;
use selvedge_proto::protos::deliver_server::{Deliver as Service, DeliverServer};
use selvedge_tls::{Fingerprint, PeerInfo};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::reader::{Form, Reader};
use crate::endorser::{Channels, MAX_MESSAGE};
use crate::lasting::{AnswerStream, Lasting};

/// How many streams are served at a time (Fabric's `peer.limits.concurrency.deliverService`).
pub const MAX_CONCURRENT_DELIVERIES: usize = 2500;

/// The gRPC service `protos.Deliver`.
///
/// On a listener with mutual TLS readers must name the certificate they use, which Fabric calls TLS binding; the
/// service learns of it through the [`PeerInfo`] in a request's extensions.
#[derive(Clone, Debug)]
pub struct DeliverService {
    channels: Channels,
    own_msp_id: String,
    streams: Lasting,
}

impl DeliverService {
    /// A service of a peer of the organization with this MSP id. Streams end when `stop` is cancelled.
    pub fn new(channels: Channels, own_msp_id: impl Into<String>, stop: CancellationToken) -> Self {
        Self::with_limit(channels, own_msp_id, stop, MAX_CONCURRENT_DELIVERIES)
    }

    /// A service with another limit of streams at a time.
    pub fn with_limit(
        channels: Channels,
        own_msp_id: impl Into<String>,
        stop: CancellationToken,
        limit: usize,
    ) -> Self {
        let streams = Lasting::new("/protos.Deliver", limit, stop);
        Self { channels, own_msp_id: own_msp_id.into(), streams }
    }

    /// The service for a gRPC server.
    pub fn server(self) -> DeliverServer<Self> {
        DeliverServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    fn serve(
        &self,
        request: Request<Streaming<Envelope>>,
        form: Form,
    ) -> Result<Response<AnswerStream<DeliverResponse>>, Status> {
        let place = self.streams.place()?;
        let peer = request.extensions().get::<PeerInfo>();
        let certificate = peer.and_then(|peer| peer.certificates.first());
        let certificate_hash = certificate.map(|certificate| Fingerprint::of(certificate).0);
        let (channels, own_msp_id) = (self.channels.clone(), self.own_msp_id.clone());
        let stream = self.streams.start(place, |answers| async move {
            let reader = Reader { channels, own_msp_id, form, certificate_hash, answers };
            let mut envelopes = request.into_inner();
            while let Some(envelope) = envelopes.next().await {
                let goes_on = match envelope {
                    Ok(envelope) => reader.serve(envelope, SystemTime::now()).await,
                    Err(status) => reader.refuse(status).await,
                };
                if !goes_on {
                    return;
                }
            }
        });
        Ok(Response::new(stream))
    }
}

#[tonic::async_trait]
impl Service for DeliverService {
    type DeliverStream = AnswerStream<DeliverResponse>;
    type DeliverFilteredStream = AnswerStream<DeliverResponse>;
    type DeliverWithPrivateDataStream = AnswerStream<DeliverResponse>;

    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        self.serve(request, Form::Whole)
    }

    async fn deliver_filtered(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::DeliverFilteredStream>, Status> {
        self.serve(request, Form::Filtered)
    }

    async fn deliver_with_private_data(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::DeliverWithPrivateDataStream>, Status> {
        self.serve(request, Form::WithPrivateData)
    }
}

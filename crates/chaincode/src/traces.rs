//! Traces for OpenTelemetry: a span for each transaction, and within it one for each request that it makes of the peer.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::transaction::TRACE_TARGET;

/// What a service is called that has no name.
const SERVICE: &str = "selvedge-chaincode";

/// Where a collector is, for all signals and for traces alone; the second counts more.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Sends spans to a collector over OTLP (gRPC), until it is shut down.
///
/// [`serve`](crate::serve) does this by itself when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. A program with logging of its own
/// adds the layer to it:
///
/// ```no_run
/// use tracing_subscriber::layer::SubscriberExt;
/// use tracing_subscriber::util::SubscriberInitExt;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let traces = selvedge::Traces::from_environment()?;
/// let layer = traces.as_ref().map(selvedge::Traces::layer);
/// tracing_subscriber::registry().with(layer).with(tracing_subscriber::fmt::layer()).init();
/// // … serve …
/// if let Some(traces) = traces {
///     traces.shutdown()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TracesError {
    /// The collector's address or a variable of OpenTelemetry cannot be used.
    #[error("traces cannot be sent")]
    Exporter(#[from] ExporterBuildError),
    /// The last spans could not be sent.
    #[error("the last traces could not be sent")]
    Shutdown(#[from] OTelSdkError),
}

impl Traces {
    /// Sends to the collector that OpenTelemetry's variables name (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`); none if they name none, or if `OTEL_SDK_DISABLED` is true. `OTEL_SERVICE_NAME`,
    /// `OTEL_RESOURCE_ATTRIBUTES`, the sampler's and the batches' variables count as the specification says. It must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// When a variable cannot be used.
    pub fn from_environment() -> Result<Option<Self>, TracesError> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if disabled || ENDPOINTS.into_iter().find_map(variable).is_none() {
            return Ok(None);
        }
        Ok(Some(Self::export(SpanExporter::builder().with_tonic().build()?)))
    }

    /// Sends to the collector at this address, such as `http://localhost:4317`. It must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be used. TLS is for the collector beside the chaincode to add: `https` is refused.
    pub fn to(endpoint: &str) -> Result<Self, TracesError> {
        Ok(Self::export(SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?))
    }

    fn export(exporter: SpanExporter) -> Self {
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
        let resource = Resource::builder();
        let resource = if named { resource } else { resource.with_service_name(SERVICE) };
        let provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter);
        Self { provider: provider.build() }
    }

    /// What makes a subscriber's spans of [`TRACE_TARGET`] into traces, and takes no others.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer = self.provider.tracer("selvedge");
        let only = Targets::new().with_target(TRACE_TARGET, LevelFilter::DEBUG);
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(only)
    }

    /// Sends what is left. It blocks until that is done or the exporter's time is over.
    ///
    /// # Errors
    /// When the collector does not take it.
    pub fn shutdown(self) -> Result<(), TracesError> {
        Ok(self.provider.shutdown()?)
    }
}

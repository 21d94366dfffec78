//! The whole `main` of a chaincode.

use std::fmt;
use std::io::Write;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Settings, SettingsError};
use crate::{Chaincode, LaunchingPeer, RegisterError, Server, ServerError};

/// What a chaincode's `main` returns.
pub type Result<T, E = ServeError> = std::result::Result<T, E>;

/// Serves a chaincode as it is told from outside, or registers it with the peer that has launched it, until the process is told to stop: by SIGTERM, SIGINT or SIGHUP on
/// Unix, by Ctrl-C elsewhere. Then running transactions may end, and every stream is closed.
///
/// ```no_run
/// # use selvedge::{Chaincode, Context, Response, async_trait};
/// # struct Counter;
/// # #[async_trait]
/// # impl Chaincode for Counter {
/// #     async fn invoke(&self, _ctx: &Context) -> Response { Response::success("") }
/// # }
/// #[tokio::main]
/// async fn main() -> selvedge::Result<()> {
///     selvedge::serve(Counter).await
/// }
/// ```
///
/// [`settings`](crate::settings) says what it can be told. `--help` prints that and returns. The log goes to standard
/// error, unless the program has set up logging before; `RUST_LOG` chooses what is in it (default: `info`).
///
/// # Errors
/// When a setting is missing, wrong, or given twice and differently, and when the port cannot be served. As the result of
/// `main` the error prints what, cause and fix.
pub async fn serve(chaincode: impl Chaincode) -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        // Whoever closes the pipe early has read enough.
        let _ = std::io::stdout().write_all(Settings::help().as_bytes());
        return Ok(());
    }
    let logging = Logging::start();
    let settings = Settings::sources().arguments(arguments)?.environment()?.read()?;
    let served = serve_with(chaincode, settings).await;
    logging.end().await;
    served
}

/// The same with settings that the program has read itself.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(chaincode: impl Chaincode, settings: Settings) -> Result<()> {
    // Caught from here on, so that a signal that comes early ends the server in good order too.
    let stop = stop().map_err(ServeError::Signals)?;
    settings.log();
    let server = Server::from_settings(chaincode, &settings)?;
    if let Some(peer) = &settings.peer {
        return register(server, peer, stop).await;
    }
    #[cfg(feature = "operations")]
    let operations = open_operations(&settings).await?;
    #[cfg(feature = "operations")]
    let server = operations.iter().fold(server, Server::operations);
    let server = server.bind(&settings.address).await?;
    tracing::info!(address = %server.local_addr(), package_id = settings.package_id,
        security = settings.security(), "listening");
    let stopped = async {
        let signal = stop.await;
        tracing::info!(signal, "stopping: running transactions may end, new ones are refused");
    };
    server.serve(stopped).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn register(
    server: Server,
    peer: &LaunchingPeer,
    stop: impl Future<Output = &'static str>,
) -> Result<()> {
    tracing::info!(address = peer.address(), package_id = peer.package_id(), "registering with the peer");
    let stopped = async {
        let signal = stop.await;
        tracing::info!(signal, "stopping: running transactions may end, new ones are refused");
    };
    server.register(peer, stopped).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the operations port, if there is to be one.
#[cfg(feature = "operations")]
async fn open_operations(settings: &Settings) -> Result<Option<crate::Operations>> {
    let Some(address) = &settings.operations_address else { return Ok(None) };
    let fail = |source| ServeError::Operations { address: address.clone(), source };
    let operations = crate::Operations::bind(address).await.map_err(fail)?;
    tracing::info!(address = %operations.local_addr(), "operations port");
    Ok(Some(operations))
}

/// The log of a program that has none yet, and its traces.
struct Logging {
    #[cfg(feature = "otel")]
    traces: Option<crate::Traces>,
}

impl Logging {
    fn start() -> Self {
        let chosen = std::env::var("RUST_LOG").ok().filter(|chosen| !chosen.is_empty());
        let filter = chosen.as_deref().unwrap_or("info").parse::<Targets>();
        let wrong = filter.is_err();
        let filter = filter.unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        let registry = tracing_subscriber::registry().with(layer.with_filter(filter));
        #[cfg(feature = "otel")]
        let (traces, failed) = match crate::Traces::from_environment() {
            Ok(traces) => (traces, None),
            Err(error) => (None, Some(error)),
        };
        #[cfg(feature = "otel")]
        let registry = registry.with(traces.as_ref().map(crate::Traces::layer));
        let started = registry.try_init();
        if wrong && started.is_ok() {
            tracing::warn!(RUST_LOG = chosen, "it cannot be understood; the level is info");
        }
        #[cfg(feature = "otel")]
        if let Some(error) = failed {
            // A chaincode without traces is better than none.
            tracing::warn!(error = &error as &dyn std::error::Error, "there will be no traces");
        }
        Self {
            #[cfg(feature = "otel")]
            traces,
        }
    }

    /// Sends what is left of the traces.
    async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            // It blocks, and needs the runtime meanwhile.
            let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await;
            if let Ok(Err(error)) = sent {
                tracing::warn!(error = &error as &dyn std::error::Error, "traces were lost");
            }
        }
    }
}

/// Completes with the signal's name when the process is told to stop.
#[cfg(unix)]
fn stop() -> std::io::Result<impl Future<Output = &'static str> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => "SIGHUP",
        }
    })
}

/// Completes with the signal's name when the process is told to stop.
#[cfg(not(unix))]
fn stop() -> std::io::Result<impl Future<Output = &'static str> + Send> {
    Ok(async {
        // Without the signal the server goes on until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    })
}

/// Why a chaincode could not be served. `Debug` is what `main` prints: what, cause and fix.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// What it was told cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The port cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The operations port cannot be opened.
    #[cfg(feature = "operations")]
    #[error("cannot listen on {address} for operations")]
    Operations {
        /// Where.
        address: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The peer that has launched the chaincode cannot be served.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The process cannot listen for signals.
    #[error("the process cannot listen for signals that stop it")]
    Signals(#[source] std::io::Error),
}

impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        if let Self::Settings(error) = self {
            write!(f, "\n  cause: {}\n  fix: {}", error.cause(), error.fix())?;
        }
        Ok(())
    }
}

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use selvedge_proto::protos::ChaincodeAdditionalParams;

use super::running::PeerLaunch;

/// The shortest start-up time-out; shorter ones are raised to it, as in Fabric.
pub const MINIMUM_STARTUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The execute time-out, which also replaces one below a second, as in Fabric.
pub const DEFAULT_EXECUTE_TIMEOUT: Duration = Duration::from_secs(30);
/// The name under which core.yaml knows the stock ccaas builder.
pub const CCAAS_BUILDER: &str = "ccaas_builder";

/// How a [`Host`](super::Host) is set up. The defaults are those of Fabric's sample core.yaml.
#[derive(Clone)]
pub struct HostConfig {
    /// The peer's folder (`peer.fileSystemPath`): packages go to `lifecycle/chaincodes` in it, builds to
    /// `externalbuilder/builds`.
    pub root: PathBuf,
    /// Where builders get their scratch folders; the system's temporary folder unless told otherwise.
    pub temp_dir: PathBuf,
    /// External builders (`chaincode.externalBuilders`), tried in this order.
    pub builders: Vec<ExternalBuilder>,
    /// The built-in ccaas builder, tried last under the name `ccaas_builder`: the value of its
    /// `CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG`, empty for none. `None` leaves the builder out.
    pub ccaas_builder: Option<String>,
    /// The environment from which builders get the few variables they may see; the process's own unless told
    /// otherwise.
    pub environment: BTreeMap<OsString, OsString>,
    /// How long a transaction may run (`chaincode.executetimeout`, 30 s). Below a second it counts as 30 s.
    pub execute_timeout: Duration,
    /// How long building, dialling and registering may take together (`chaincode.startuptimeout`, 300 s). At least
    /// 5 s.
    pub startup_timeout: Duration,
    /// How long the builders of an installation may take together (`chaincode.installTimeout`, 300 s).
    pub install_timeout: Duration,
    /// Where chaincode that builders run (`bin/run`) finds the peer; none if the peer lets no chaincode dial it.
    pub launching: Option<PeerLaunch>,
    /// What READY offers (`chaincode.runtimeParams`); `None` sends it empty, as peers up to 3.0 do.
    pub offer: Option<ChaincodeAdditionalParams>,
    /// Bounds.
    pub limits: HostLimits,
}

/// A program that turns packages into something that runs: a folder with `bin/detect`, `bin/build` and, if it wants,
/// `bin/release` and `bin/run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalBuilder {
    /// Its name, which is kept with every build.
    pub name: String,
    /// Its folder, an absolute path.
    pub path: PathBuf,
    /// Environment variables it may see beside `LD_LIBRARY_PATH`, `LIBPATH`, `PATH` and `TMPDIR`.
    pub propagate_environment: Vec<String>,
}

/// How much a [`Host`](super::Host) holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// The size of a package and of what is in it.
    pub package: selvedge_package::Limits,
    /// Installed packages (10 000).
    pub packages: usize,
    /// Builds that run at the same time (2); others wait.
    pub builds: usize,
    /// Processes of chaincode that builders run (100), those that are being ended included; a further start waits.
    pub processes: usize,
    /// Transactions that run at the same time on one stream (4096); one more is refused.
    pub transactions: usize,
    /// Messages that wait for one stream to take them (256); senders wait then, each for itself.
    pub queued_messages: usize,
    /// Files and folders in what a builder leaves, and in what it writes meanwhile (20 000).
    pub build_entries: u64,
    /// Bytes of what a builder leaves, and of what it writes meanwhile (1 GiB).
    pub build_bytes: u64,
}

/// What Fabric's sample core.yaml offers chaincode (`chaincode.runtimeParams`).
pub fn sample_runtime_params() -> ChaincodeAdditionalParams {
    ChaincodeAdditionalParams {
        use_write_batch: true,
        max_size_write_batch: 1000,
        use_get_multiple_keys: true,
        max_size_get_multiple_keys: 1000,
    }
}

impl HostConfig {
    /// The defaults over a root folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            temp_dir: std::env::temp_dir(),
            builders: Vec::new(),
            ccaas_builder: Some(String::new()),
            environment: std::env::vars_os().collect(),
            execute_timeout: DEFAULT_EXECUTE_TIMEOUT,
            startup_timeout: Duration::from_secs(300),
            install_timeout: Duration::from_secs(300),
            launching: None,
            offer: Some(sample_runtime_params()),
            limits: HostLimits::default(),
        }
    }

    /// Raises time-outs to what Fabric takes at least.
    pub(super) fn normalised(mut self) -> Self {
        self.startup_timeout = self.startup_timeout.max(MINIMUM_STARTUP_TIMEOUT);
        if self.execute_timeout < Duration::from_secs(1) {
            self.execute_timeout = DEFAULT_EXECUTE_TIMEOUT;
        }
        self
    }
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            package: selvedge_package::Limits::default(),
            packages: 10_000,
            builds: 2,
            processes: 100,
            transactions: 4096,
            queued_messages: 256,
            build_entries: 20_000,
            build_bytes: 1 << 30,
        }
    }
}

/// The environment and the builder's configuration may hold secrets, so only the environment's names are shown.
impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostConfig")
            .field("root", &self.root)
            .field("temp_dir", &self.temp_dir)
            .field("builders", &self.builders)
            .field("environment", &self.environment.keys())
            .field("execute_timeout", &self.execute_timeout)
            .field("startup_timeout", &self.startup_timeout)
            .field("install_timeout", &self.install_timeout)
            .field("launching", &self.launching)
            .field("offer", &self.offer)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

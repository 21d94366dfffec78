//! What organisations agree on for a chaincode, from the command line.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use selvedge_client::{Definition, definition};

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

#[derive(Clone, Debug, Args)]
pub(crate) struct DefinitionArguments {
    /// The channel (default: the one of --config, if it has but one)
    #[arg(long, short = 'C', value_name = "CHANNEL")]
    pub(super) channel: Option<String>,
    /// The chaincode's name, under which clients call it
    #[arg(long, short, value_name = "NAME")]
    pub(super) name: String,
    /// The chaincode's version, a label of its own choice
    #[arg(long = "cc-version", short = 'v', value_name = "VERSION", default_value = "1.0")]
    version: String,
    /// 1 for the first definition, one more for each change
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    sequence: i64,
    /// The endorsement policy, such as OR('Org1MSP.peer','Org2MSP.peer') (default: the channel's)
    #[arg(long, value_name = "POLICY", conflicts_with = "channel_config_policy")]
    signature_policy: Option<String>,
    /// The endorsement policy by its path in the channel's configuration
    #[arg(long, value_name = "PATH")]
    channel_config_policy: Option<String>,
    /// The collections of private data, a JSON file as Fabric's peer command takes it
    #[arg(long, value_name = "FILE")]
    collections_config: Option<PathBuf>,
    /// Clients must initialise the chaincode before anything else
    #[arg(long)]
    init_required: bool,
}

impl DefinitionArguments {
    pub(super) fn definition(&self) -> Result<Definition, Failure> {
        let validation_parameter = match (&self.signature_policy, &self.channel_config_policy) {
            (Some(text), _) => definition::signature_policy(text).map_err(|error| {
                let what = "the endorsement policy cannot be understood";
                errors::text(catalogue::POLICY_TEXT, what, &error)
                    .fix("write for example OR('Org1MSP.peer','Org2MSP.peer')")
            })?,
            (None, Some(path)) => definition::channel_config_policy(path),
            (None, None) => Default::default(),
        };
        let collections = match &self.collections_config {
            None => None,
            Some(path) => {
                let text = fs::read(path).map_err(|error| errors::file("read", path, &error))?;
                let collections = definition::collections(&text).map_err(|error| {
                    let what = format!("{} describes no collections", path.display());
                    errors::text(catalogue::COLLECTIONS_FILE, what, &error)
                })?;
                Some(collections)
            }
        };
        Ok(Definition {
            name: self.name.clone(),
            version: self.version.clone(),
            sequence: self.sequence,
            validation_parameter,
            collections,
            init_required: self.init_required,
        })
    }
}

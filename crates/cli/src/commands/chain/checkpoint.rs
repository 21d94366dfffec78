//! How far `selvedge events` has come, in a file.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use selvedge_client::{ChaincodeEvent, Checkpoint};
use serde::{Deserialize, Serialize};

use super::folder_of;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

/// The file's content: whose events they are, and the last one that was told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    channel: String,
    chaincode: String,
    block: u64,
    transaction: String,
}

/// Where to go on; none if the file is not there yet.
pub(super) fn read(path: &Path, channel: &str, chaincode: &str) -> Result<Option<Checkpoint>, Failure> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| errors::file("read", path, &error))?,
    };
    let what = format!("{} cannot be gone on from", path.display());
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| {
        errors::text(catalogue::CHECKPOINT, what.clone(), &error)
            .fix("give the file of an earlier --checkpoint, or one that does not exist yet")
    })?;
    if kept.channel != channel || kept.chaincode != chaincode {
        return Err(Failure::new(catalogue::CHECKPOINT, what)
            .evidence(format!(
                "it is for {} on {}, not for {chaincode} on {channel}",
                kept.chaincode, kept.channel
            ))
            .fix("give each chaincode and channel a file of its own"));
    }
    Ok(Some(Checkpoint { block: Some(kept.block), transaction: Some(kept.transaction) }))
}

/// Keeps that an event has been told. Whatever ends the process, the file says this or what it said before.
pub(super) fn write(path: &Path, channel: &str, event: &ChaincodeEvent) -> Result<(), Failure> {
    let kept = Kept {
        channel: channel.to_owned(),
        chaincode: event.chaincode.clone(),
        block: event.block,
        transaction: event.tx_id.clone(),
    };
    let text = serde_json::to_vec(&kept)
        .map_err(|error| errors::text(catalogue::CHECKPOINT, "the checkpoint cannot be written", &error))?;
    let failed = |error| errors::file("write", path, &error);
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_for_its_own_chaincode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, "ch", "cc").unwrap(), None);
        let event = ChaincodeEvent {
            block: 7,
            tx_id: "t".to_owned(),
            chaincode: "cc".to_owned(),
            name: "n".to_owned(),
            payload: Vec::new().into(),
        };
        write(&path, "ch", &event).unwrap();
        assert_eq!(read(&path, "ch", "cc").unwrap(), Some(event.checkpoint()));
        let refused = read(&path, "ch", "other").unwrap_err();
        assert!(refused.render(200).contains("it is for cc on ch, not for other on ch"));
        fs::write(&path, "{").unwrap();
        assert!(read(&path, "ch", "cc").is_err());
    }
}

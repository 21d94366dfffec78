//! What tests compare with and what they send: the recorded corpus of a real Hyperledger Fabric network, and messages
//! that are [spoilt](spoilt()) field by field or [signed as Fabric refuses it](high_s).
//!
//! The corpus is a folder of blocks, chaincode streams, exchanges and vectors; `README.md` inside it says what
//! each file proves. The repository carries it as `golden/corpus.tar.gz`; the environment variable
//! `SELVEDGE_GOLDEN_DIR` points the same tests at another corpus of the same form.

mod signature;
mod spoil;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, io};

pub use signature::high_s;
pub use spoil::{Spoil, Spoilt, spoilt};

/// All files of a corpus, by their path inside it with `/` between the parts.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: BTreeMap<String, Vec<u8>>,
}

impl Corpus {
    /// The corpus that tests use: the folder `SELVEDGE_GOLDEN_DIR` names, else the repository's own copy.
    ///
    /// # Panics
    /// When the corpus cannot be read, since no golden test can say anything then.
    pub fn get() -> &'static Self {
        static CORPUS: OnceLock<Corpus> = OnceLock::new();
        CORPUS.get_or_init(|| {
            let loaded = match env::var_os("SELVEDGE_GOLDEN_DIR") {
                Some(folder) => Self::from_folder(Path::new(&folder)),
                None => Self::from_archive(&own_copy()),
            };
            loaded.unwrap_or_else(|error| panic!("the golden corpus cannot be read: {error}"))
        })
    }

    /// The repository's own copy, for tests that need one certain recording.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn own() -> &'static Self {
        static CORPUS: OnceLock<Corpus> = OnceLock::new();
        CORPUS.get_or_init(|| {
            Self::from_archive(&own_copy())
                .unwrap_or_else(|error| panic!("the repository's golden corpus cannot be read: {error}"))
        })
    }

    /// Reads the archive of the repository.
    pub fn from_archive(path: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() {
                let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                files.insert(name, bytes);
            }
        }
        Ok(Self { files })
    }

    /// Reads an unpacked corpus.
    pub fn from_folder(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        read_folder(root, "", &mut files)?;
        Ok(Self { files })
    }

    /// A copy with other bytes in one file, for tests that must notice the change.
    ///
    /// # Panics
    /// When the corpus has no such file.
    pub fn with(&self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.file(path);
        let mut copy = self.clone();
        copy.files.insert(path.to_owned(), bytes.into());
        copy
    }

    /// The bytes of one file.
    ///
    /// # Panics
    /// When the corpus has no such file.
    pub fn file(&self, path: &str) -> &[u8] {
        self.find(path).unwrap_or_else(|| panic!("the golden corpus has no file {path}"))
    }

    /// The bytes of one file, if the corpus has it.
    pub fn find(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The paths that begin with `prefix`, in order.
    pub fn paths<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.files
            .range(prefix.to_owned()..)
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.starts_with(prefix))
    }

    /// One JSON file.
    ///
    /// # Panics
    /// When the file is absent or not JSON.
    pub fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_slice(self.file(path)).unwrap_or_else(|error| panic!("{path} is not JSON: {error}"))
    }

    /// The lines of one JSON-lines file.
    ///
    /// # Panics
    /// When the file is absent or a line is not JSON.
    pub fn json_lines(&self, path: &str) -> Vec<serde_json::Value> {
        self.file(path)
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line)
                    .unwrap_or_else(|error| panic!("a line of {path} is not JSON: {error}"))
            })
            .collect()
    }

    /// The names of the recorded channels.
    pub fn channels(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .paths("chains/")
            .filter_map(|path| path.strip_prefix("chains/")?.split('/').next())
            .collect();
        names.dedup();
        names
    }

    /// The blocks of a channel as recorded, by number.
    pub fn blocks(&self, channel: &str) -> BTreeMap<u64, &[u8]> {
        self.numbered(&format!("chains/{channel}/"), ".block")
    }

    /// A channel's blocks that carried private data for one organisation (`folder` is `pvt-org1`, say), as
    /// marshalled `BlockAndPrivateData`, by number.
    pub fn private_blocks(&self, channel: &str, folder: &str) -> BTreeMap<u64, &[u8]> {
        self.numbered(&format!("chains/{channel}/{folder}/"), ".bpd")
    }

    fn numbered(&self, prefix: &str, suffix: &str) -> BTreeMap<u64, &[u8]> {
        let number = |path: &str| path.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        self.paths(prefix).filter_map(|path| Some((number(path)?, self.find(path)?))).collect()
    }
}

fn own_copy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/corpus.tar.gz")
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Corpus;

    #[test]
    fn golden_corpus_holds_chains_and_streams() {
        let corpus = Corpus::get();
        let channels = corpus.channels();
        assert!(!channels.is_empty(), "no channel recorded");
        assert!(channels.iter().any(|channel| corpus.blocks(channel).len() > 1));
        assert!(corpus.paths("streams/").count() > 0);
    }
}

//! What can be wrong with a package.

use std::io;

use thiserror::Error;

/// Why a package cannot be made, read or unpacked.
///
/// The texts are Fabric's wherever Fabric has one for the case; [`PackageError::fix`] adds what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackageError {
    // The package file is at fault.
    /// The file is not gzip'd.
    #[error("error reading as gzip stream: {0}")]
    NotGzip(&'static str),
    /// The archive is damaged, cut short, or not a tar archive.
    #[error("error inspecting next tar header: {0}")]
    Tar(&'static str),
    /// An entry's content is damaged or cut short.
    #[error("could not read {name} from tar: {reason}")]
    Entry {
        /// The entry, with control characters escaped.
        name: String,
        /// What reading it met.
        reason: &'static str,
    },
    /// A package holds something else than regular files.
    #[error("tar entry {name} is not a regular file, type {type_flag}")]
    NotRegular {
        /// The entry, with control characters escaped.
        name: String,
        /// The archive's type byte, as a number (53 is a directory, 50 a symbolic link).
        type_flag: u8,
    },
    /// The package lacks `code.tar.gz`.
    #[error("did not find a code package inside the package")]
    NoCode,
    /// The package lacks `metadata.json`.
    #[error("did not find any package metadata (missing metadata.json)")]
    NoMetadata,
    /// `metadata.json` or `code.tar.gz` occurs twice.
    #[error("found {0} twice inside the package")]
    Duplicate(&'static str),
    /// `metadata.json` does not decode.
    #[error("could not unmarshal metadata.json as json: {0}")]
    Metadata(JsonError),
    /// The label breaks the rule for labels.
    #[error(
        "invalid label '{0}'. Label must be non-empty, can only consist of alphanumerics, symbols from '.+-_', \
         and can only begin with alphanumerics"
    )]
    Label(String),
    /// A package id is not a label, a colon and 64 lower-case hexadecimal digits.
    #[error("invalid package ID '{0}'")]
    Id(String),

    // The code archive is at fault.
    /// A path leads out of the folder it is unpacked into.
    #[error("tar contains the absolute or escaping path '{0}'")]
    EscapingPath(String),
    /// The code archive holds something else than folders and regular files.
    #[error("invalid file type '{type_flag}' contained in archive for file '{name}'")]
    CodeType {
        /// The entry, with control characters escaped.
        name: String,
        /// The archive's type byte, as a number.
        type_flag: u8,
    },
    /// A path of the code archive cannot be laid out without doubt about what it means.
    #[error("the path '{path}' {reason}")]
    Path {
        /// The entry, with control characters escaped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    // A limit is reached.
    /// The package is larger than the limits allow.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes or entries as `what` says.
        limit: u64,
    },

    // The machine is at fault.
    /// A file or folder cannot be read or written.
    #[error("could not {action} '{path}'")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl PackageError {
    /// What a person can do about it, in one sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotGzip(_) => "give the .tgz file itself: a chaincode package is a gzip'd tar archive",
            Self::Tar(_) | Self::Entry { .. } => {
                "fetch or build the package again: it is damaged, cut short, or not a tar archive inside"
            }
            Self::NotRegular { .. } => {
                "pack the two files by name (tar cfz p.tgz metadata.json code.tar.gz), not the folder that holds them"
            }
            Self::NoCode | Self::NoMetadata => {
                "put metadata.json and code.tar.gz at the top of the archive, without a leading ./"
            }
            Self::Duplicate(_) => "build the package again in an empty archive",
            Self::Metadata(_) => "write metadata.json as {\"type\":\"ccaas\",\"label\":\"name_1.0\"}",
            Self::Label(_) => "choose a label such as basic_1.0",
            Self::Id(_) => {
                "copy the id that the install command printed: label, colon, 64 hexadecimal digits"
            }
            Self::EscapingPath(_) | Self::Path { .. } => {
                "pack code.tar.gz from inside its folder, so that every path is relative and occurs once"
            }
            Self::CodeType { .. } => {
                "replace links and devices in code.tar.gz by the files they stand for (tar --dereference)"
            }
            Self::Limit { .. } => "leave out what the chaincode does not need, or raise the limit",
            Self::Io { .. } => {
                "check that the path exists, that its permissions allow this, and that the disk has room"
            }
        }
    }

    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a JSON document does not decode, as Go's decoder sees it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not JSON. Line and column are part of the text.
    #[error("{0}")]
    Syntax(String),
    /// A field has another type than Fabric reads.
    #[error("json: cannot unmarshal {found} into Go struct field {structure}.{field} of type {expected}")]
    Type {
        /// The JSON type that was found.
        found: &'static str,
        /// Go's name of the structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
        /// Go's type of the field.
        expected: &'static str,
    },
    /// The document is not an object.
    #[error("json: cannot unmarshal {found} into Go value of type {structure}")]
    NotObject {
        /// The JSON type that was found.
        found: &'static str,
        /// Go's name of the structure.
        structure: &'static str,
    },
}

/// Shows text from outside without control characters, which could deceive a reader of a terminal or log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

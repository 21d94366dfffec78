//! The document that `org.hyperledger.fabric:GetMetadata` returns: Fabric's contract schema.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::routing::{AsContract, default};
use super::{Contract, Schemas};

/// The contract of every chaincode.
pub(super) const SYSTEM_CONTRACT: &str = "org.hyperledger.fabric";
/// Its only function.
pub(super) const GET_METADATA: &str = "GetMetadata";

/// What Go's contracts say that have no version of their own.
const VERSION: &str = "latest";

/// A function of a contract as clients see it.
#[derive(Clone, Debug)]
pub struct TransactionDescription {
    /// As clients call it.
    pub name: &'static str,
    /// What it does, if its author says so.
    pub description: &'static str,
    /// Whether it takes a `Context`, which can write, and not only a `Query`.
    pub writes: bool,
    /// Names and schemas.
    pub parameters: Vec<(&'static str, Option<Value>)>,
    /// The result's schema, if there is a result.
    pub returns: Option<Value>,
}

/// Where a file may lie that takes the place of sections, below the working folder; the first one counts.
const FILES: [&str; 2] = ["META-INF/metadata.json", "contract-metadata/metadata.json"];

/// The most bytes of such a file.
const FILE_BYTES: u64 = 1 << 20;

/// The sections that a file replaces as a whole.
const SECTIONS: [&str; 3] = ["info", "contracts", "components"];

/// Why the metadata cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("failed to read metadata from file {file}: {reason}")]
pub(super) struct FileError {
    file: &'static str,
    reason: String,
}

/// The whole document, one line with sorted keys, with the sections of a file below `folder` in their places.
pub(super) fn document(contracts: &[impl AsContract], folder: &Path) -> Result<String, FileError> {
    let mut schemas = Schemas::new();
    let default = default(contracts).map(Contract::name);
    let mut described = Map::new();
    for contract in contracts.iter().map(AsContract::contract) {
        let mut transactions = contract.describe(&mut schemas);
        transactions.sort_by_key(|transaction| transaction.name);
        let transactions = transactions.into_iter().map(transaction).collect();
        let name = contract.name();
        described.insert(name.to_owned(), entry(name, default == Some(name), transactions));
    }
    let get_metadata = TransactionDescription {
        name: GET_METADATA,
        description: "Describes the contracts of this chaincode.",
        writes: false,
        parameters: Vec::new(),
        returns: Some(json!({"type": "string"})),
    };
    let system = entry(SYSTEM_CONTRACT, false, vec![transaction(get_metadata)]);
    described.insert(SYSTEM_CONTRACT.to_owned(), system);
    let mut document = json!({
        "info": {"title": default.unwrap_or("undefined"), "version": VERSION},
        "contracts": described,
        "components": {"schemas": schemas.into_components()},
    });
    for file in FILES {
        if let Some(written) = read(folder, file)? {
            for section in SECTIONS {
                if let Some(section_of) = written.get(section) {
                    document[section] = section_of.clone();
                }
            }
            break;
        }
    }
    document.sort_all_objects();
    Ok(document.to_string())
}

/// A file's contents, if there is one.
fn read(folder: &Path, file: &'static str) -> Result<Option<Value>, FileError> {
    let wrong = |reason: String| FileError { file, reason };
    let opened = match File::open(folder.join(file)) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut bytes = Vec::new();
    opened.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(wrong(format!("it is larger than {FILE_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(error.to_string()))
}

fn entry(name: &str, default: bool, transactions: Vec<Value>) -> Value {
    json!({
        "name": name,
        "default": default,
        "info": {"title": name, "version": VERSION},
        "transactions": transactions,
    })
}

fn transaction(described: TransactionDescription) -> Value {
    // Go's, Node's and Java's readers look for different words, and Java's under the other key.
    let tags = if described.writes {
        json!(["SUBMIT", "submit", "submitTx"])
    } else {
        json!(["EVALUATE", "evaluate", "evaluateTx"])
    };
    let parameters: Vec<Value> = described
        .parameters
        .into_iter()
        .map(|(name, schema)| json!({"name": name, "schema": schema.unwrap_or_else(|| json!({}))}))
        .collect();
    let mut transaction = json!({
        "name": described.name,
        "tag": tags,
        "tags": tags,
        "parameters": parameters,
    });
    if let Some(returns) = described.returns {
        transaction["returns"] = returns;
    }
    if !described.description.is_empty() {
        transaction["description"] = json!(described.description);
    }
    transaction
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Contract for Nothing {
        fn name(&self) -> &str {
            "Nothing"
        }

        fn is_default(&self) -> bool {
            false
        }

        fn describe(&self, _: &mut Schemas) -> Vec<TransactionDescription> {
            Vec::new()
        }

        fn call<'a>(
            &'a self,
            _: &str,
            _: &'a crate::Context,
            _: &'a [bytes::Bytes],
        ) -> Option<super::super::Pending<'a>> {
            None
        }
    }

    #[test]
    fn a_file_takes_the_place_of_whole_sections() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = || document(&[&Nothing], folder.path());
        let own: Value = serde_json::from_str(&told().expect("a document")).expect("JSON");
        assert_eq!(own["info"]["title"], "Nothing");

        for (file, title) in [(FILES[1], "second"), (FILES[0], "first")] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(&path, format!(r#"{{"info":{{"title":"{title}"}},"more":1}}"#)).expect("a file");
            let written: Value = serde_json::from_str(&told().expect("a document")).expect("JSON");
            assert_eq!(written["info"], json!({"title": title}));
            assert_eq!((&written["contracts"], written.get("more")), (&own["contracts"], None));
        }

        std::fs::write(folder.path().join(FILES[0]), "{").expect("a file");
        let error = told().expect_err("a broken file").to_string();
        assert!(
            error.starts_with("failed to read metadata from file META-INF/metadata.json: EOF"),
            "{error}"
        );
        std::fs::write(folder.path().join(FILES[0]), vec![b' '; FILE_BYTES as usize + 1]).expect("a file");
        assert!(told().expect_err("a large file").to_string().contains("larger than"));
    }
}

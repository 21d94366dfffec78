//! The document that `org.hyperledger.fabric:GetMetadata` returns: Fabric's contract schema.

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
    /// Whether it takes a `Context`, which can write, and not only a `Query`.
    pub writes: bool,
    /// Names and schemas.
    pub parameters: Vec<(&'static str, Option<Value>)>,
    /// The result's schema, if there is a result.
    pub returns: Option<Value>,
}

/// The whole document, one line with sorted keys.
pub(super) fn document(contracts: &[impl AsContract]) -> String {
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
    document.sort_all_objects();
    document.to_string()
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
    if let (Some(returns), Some(fields)) = (described.returns, transaction.as_object_mut()) {
        fields.insert("returns".to_owned(), returns);
    }
    transaction
}

use std::fmt;

use crate::query::QueryError;
use crate::{Error, Version};

/// Why a simulator refused a request. The texts are Fabric's own, misspelling included, since chaincode and
/// clients get to see them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The chaincode asked for a page after it had written.
    #[error(
        "txid [{transaction}]: unsuppored transaction. Paginated queries are supported only in a read-only \
         transaction"
    )]
    PagedAfterWrite {
        /// The transaction's id.
        transaction: String,
    },
    /// The chaincode asked for a private range after it had written.
    #[error(
        "txid [{transaction}]: unsuppored transaction. Queries on pvt data is supported only in a read-only \
         transaction"
    )]
    PrivateQueryAfterWrite {
        /// The transaction's id.
        transaction: String,
    },
    /// The chaincode wrote after it had asked for a page.
    #[error(
        "txid [{transaction}]: unsuppored transaction. Transaction has already performed a paginated query. \
         Writes are not allowed"
    )]
    WriteAfterPaged {
        /// The transaction's id.
        transaction: String,
    },
    /// The chaincode wrote after it had asked for a private range.
    #[error(
        "txid [{transaction}]: unsuppored transaction. Transaction has already performed queries on pvt data. \
         Writes are not allowed"
    )]
    WriteAfterPrivateQuery {
        /// The transaction's id.
        transaction: String,
    },
    /// The chaincode has no collections at all.
    #[error(
        "collection config not defined for chaincode [{namespace}], pass the collection configuration upon \
         chaincode definition/instantiation"
    )]
    NoCollections {
        /// The chaincode's name.
        namespace: String,
    },
    /// The chaincode has no such collection.
    #[error("collection [{collection}] not defined in the collection config for chaincode [{namespace}]")]
    UndefinedCollection {
        /// The chaincode's name.
        namespace: String,
        /// The collection's name.
        collection: String,
    },
    /// This peer does not hold the private value that the channel's hashes stand for.
    #[error(
        "private data matching public hash version is not available. Public hash version = {}, \
         Private data version = {}", Height(*.hashed), Height(*.private)
    )]
    StalePrivateValue {
        /// The version of the key's hash; `None` if there is no such key.
        hashed: Option<Version>,
        /// The version of this peer's value.
        private: Option<Version>,
    },
    /// A rich query was refused, or came to more than its bounds.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The query was closed or never begun.
    #[error("query iterator not found")]
    UnknownRange,
    /// The ledger below failed.
    #[error(transparent)]
    Ledger(#[from] Error),
}

/// A version as Fabric prints it.
struct Height(Option<Version>);

impl fmt::Display for Height {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("<nil>"),
            Some(version) => {
                write!(formatter, "{{BlockNum: {}, TxNum: {}}}", version.block, version.transaction)
            }
        }
    }
}

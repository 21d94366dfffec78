//! Chaincode packages: package ids, metadata.json, connection.json, archives, and the chaincode-as-a-service builder.

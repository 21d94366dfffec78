//! The chaincode-as-a-service builder.

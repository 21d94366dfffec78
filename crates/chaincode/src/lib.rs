//! Write Hyperledger Fabric chaincode in Rust and serve it as an external service under mutual TLS.

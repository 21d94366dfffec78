//! Fabric identities: creators, certificates, MSPs, signatures, policies and channel configuration.

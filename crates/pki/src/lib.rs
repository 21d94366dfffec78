//! Makes certificate authorities, certificates and keys for networks, servers and tests.

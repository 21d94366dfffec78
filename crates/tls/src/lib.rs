//! The TLS edge: configurations, trust, verdicts, the accept loop and the connector.

//! Checks and interoperability runs of the Selvedge workspace.

fn main() {}

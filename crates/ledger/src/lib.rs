//! Simulation, read/write sets, validation rules, blocks, the block log and the state store.

//! Tests of identities against the recorded corpus, against made-up keys, and against mutated input.

mod authority;
mod channels;
mod creators;
mod genesis;
mod hostile;
mod membership;
mod policies;
mod signatures;
mod signing;
mod updates;

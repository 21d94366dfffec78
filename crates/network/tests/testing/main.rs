//! What contracts' authors test with, tested.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod api;
mod calls;
mod chaincodes;
mod contracts;
mod guide;
mod hostile;
mod private;
mod starting;
mod verdicts;

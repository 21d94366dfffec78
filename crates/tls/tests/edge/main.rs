//! Real sockets, real certificates and, where it is installed, openssl at the other end.

mod bounds;
mod configuration;
mod mutual;
mod openssl;
mod received;
mod refusals;
mod support;
mod verdicts;

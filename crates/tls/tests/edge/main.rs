//! Real sockets, real certificates and, where it is installed, openssl at the other end.

mod bounds;
mod configuration;
mod files;
mod live;
mod mutual;
mod openssl;
mod received;
mod refusals;
mod revocation;
mod support;
mod verdicts;

//! The ordering service over real sockets with real certificates, and its chain over real and failing storage.

mod blocks;
mod crash;
mod deliver;
mod golden;
mod hostile;
mod support;
mod updates;

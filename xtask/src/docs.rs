//! The documentation of every crate, with warnings as errors.

use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    command::run(
        Command::new("cargo")
            .args(["doc", "--no-deps", "--workspace", "--locked"])
            .current_dir(workspace.path(""))
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

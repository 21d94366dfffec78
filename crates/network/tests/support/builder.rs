//! Programs of external builders, and their processes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// Writes a program, and its folder, in another process: a file that this one has open for writing could be inherited by a
/// builder that is started at this moment, and could not be run then.
pub(crate) fn write_script(path: &Path, script: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", r#"mkdir -p "$(dirname "$0")" && cat > "$0" && chmod 755 "$0""#])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

/// Waits until a process is gone or only waits for its parent to take notice.
pub(crate) async fn gone(pid: i32) {
    let state = format!("/proc/{pid}/stat");
    let running = || {
        let stat = std::fs::read_to_string(&state).unwrap_or_default();
        let zombie = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
        kill(Pid::from_raw(pid), None).is_ok() && !zombie
    };
    while running() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

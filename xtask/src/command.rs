//! Running other programs, shown as they are called.

use std::fmt::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

const POLL: Duration = Duration::from_millis(50);

/// Runs to the end with our own output, and fails unless the program succeeds.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    announce(command);
    let status = spawn(command)?.wait().map_err(|source| start_error(command, source))?;
    succeeded(command, status)
}

/// As [`run`], but ends the program when it is not done in time.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), Error> {
    announce(command);
    let mut child = spawn(command)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().map_err(|source| start_error(command, source))? {
            return succeeded(command, status);
        }
        if Instant::now() >= deadline {
            // The program may have ended in this very moment; either way it is gone after the wait.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Slow { command: line(command), limit });
        }
        thread::sleep(POLL);
    }
}

/// The program's standard output as text; what it says on standard error passes through.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|source| start_error(command, source))?;
    succeeded(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts a program without waiting for it.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, Error> {
    command.spawn().map_err(|source| start_error(command, source))
}

/// Prints the command line, so that a person can repeat it.
pub(crate) fn announce(command: &Command) {
    println!("$ {}", line(command));
}

/// The command line as a person would type it, without the environment.
pub(crate) fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        // Writing to a string cannot fail.
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

fn start_error(command: &Command, source: std::io::Error) -> Error {
    Error::Start { command: line(command), source }
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<(), Error> {
    if status.success() { Ok(()) } else { Err(Error::Failed { command: line(command), status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(Command::new("cargo").arg("no-such-subcommand")).unwrap_err();
        assert!(error.to_string().starts_with("`cargo no-such-subcommand` ended with"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_names_it() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err();
        assert!(matches!(error, Error::Start { command, .. } if command == "no-such-program"));
    }

    #[test]
    fn a_slow_program_is_ended() {
        let error = run_within(Command::new("sleep").arg("600"), Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::Slow { .. }), "{error}");
    }
}

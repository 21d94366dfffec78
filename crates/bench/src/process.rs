//! What processes use, as the kernel counts it in `/proc`.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::error::BenchError;

/// A process that is watched, by a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl Process {
    /// This program.
    pub(crate) fn own() -> Self {
        Self { name: "load program".to_owned(), pid: std::process::id() }
    }
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.rsplit_once('=').ok_or("write NAME=PID")?;
        let pid = pid.parse().map_err(|_| format!("{pid:?} is no process id"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// What a process has used since it began, without its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time, user and system; the kernel counts it in steps of a hundredth of a second.
    pub(crate) cpu: Duration,
    /// Memory that it holds now, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    pub(crate) fn of(process: &Process) -> Result<Self, BenchError> {
        let failed =
            |reason: String| BenchError::Process { name: process.name.clone(), pid: process.pid, reason };
        let path = format!("/proc/{}/stat", process.pid);
        let stat = fs::read_to_string(&path).map_err(|error| failed(format!("{path}: {error}")))?;
        let setting = |setting| sysconf(setting).ok().flatten().and_then(|value| u64::try_from(value).ok());
        let (ticks, page) = setting(SysconfVar::CLK_TCK)
            .filter(|ticks| *ticks > 0)
            .zip(setting(SysconfVar::PAGE_SIZE))
            .ok_or_else(|| failed("the system does not tell its units".to_owned()))?;
        let (used, pages) =
            parse(&stat).ok_or_else(|| failed(format!("{path} is not as proc(5) describes it")))?;
        Ok(Self {
            cpu: Duration::from_secs_f64(used as f64 / ticks as f64),
            resident_bytes: pages.saturating_mul(page),
        })
    }
}

/// Clock ticks of user and system together, and resident pages: the fields 14, 15 and 24 of proc(5).
fn parse(stat: &str) -> Option<(u64, u64)> {
    // The second field is the program's name in parentheses, and the name may have both spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some((field(14)?.checked_add(field(15)?)?, field(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let stat = "42 (a) b) (c) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 10 11 12 13 14";
        assert_eq!(parse(stat), Some((200, 12)));
        assert_eq!(parse("42 (a) S 1"), None);
    }

    #[test]
    fn the_own_usage_grows_with_work() {
        let before = Usage::of(&Process::own()).unwrap();
        assert!(before.resident_bytes > 100_000);
        while Usage::of(&Process::own()).unwrap().cpu == before.cpu {}
    }

    #[test]
    fn processes_are_named() {
        assert_eq!("my=peer=7".parse(), Ok(Process { name: "my=peer".to_owned(), pid: 7 }));
        assert!("7".parse::<Process>().is_err());
        assert!("peer=x".parse::<Process>().is_err());
        let nobody = Process { name: "nobody".to_owned(), pid: u32::MAX };
        assert!(Usage::of(&nobody).unwrap_err().to_string().contains("nobody"));
    }
}

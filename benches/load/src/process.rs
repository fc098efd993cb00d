//! What the kernel says about a process: CPU time and resident memory, from /proc.

use std::fs;
use std::process::{Child, Command};
use std::thread;

use anyhow::{Context, Result, anyhow};

/// A reading of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all threads since the start, in seconds, to a clock tick (10 ms).
    pub(crate) cpu_seconds: f64,
    /// Resident memory in bytes.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Reads the process `pid`. Fails if there is none.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}: does process {pid} run?"))
        };
        let ticks = cpu_ticks(&read("stat")?).with_context(|| format!("/proc/{pid}/stat is not as expected"))?;
        let rss_kib = rss_kib(&read("status")?).with_context(|| format!("/proc/{pid}/status has no VmRSS"))?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        Ok(Self { cpu_seconds: ticks as f64 / ticks_per_second as f64, rss_bytes: rss_kib * 1_024 })
    }

    /// Reads this process.
    pub(crate) fn of_self() -> Result<Self> {
        Self::of(std::process::id())
    }
}

/// Raises the limit of open files as far as the system allows; processes started later inherit it.
pub(crate) fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("cannot raise the limit of open files")
}

/// Binds the calling thread, and what it starts, to these cores.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    for core in cores {
        anyhow::ensure!(*core < rustix::thread::CpuSet::MAX_CPU, "there is no core {core}");
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot use the cores {cores:?}"))
}

/// Starts `command` bound to `cores`: a process inherits them from the thread that starts it.
pub(crate) fn spawn_on(mut command: Command, cores: &[usize]) -> Result<Child> {
    thread::scope(|scope| {
        let spawner = scope.spawn(|| {
            pin(cores)?;
            command.spawn().context("the program does not start")
        });
        spawner.join().map_err(|_| anyhow!("the thread that starts brokers panicked"))?
    })
}

/// utime + stime: fields 14 and 15 of stat. The name before them stands in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a (odd) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 75 9 9 20 0 3 0 100 1000 50";
        assert_eq!(cpu_ticks(stat), Some(325));
    }

    #[test]
    fn resident_memory_is_read_in_kibibytes() {
        assert_eq!(rss_kib("Name:\tx\nVmPeak:\t  99 kB\nVmRSS:\t    5120 kB\n"), Some(5_120));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Usage::of_self().unwrap().rss_bytes > 100_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Usage::of(u32::MAX).is_err());
    }
}

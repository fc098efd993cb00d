//! A process that lives no longer than the one that started it.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::exit::Failure;

/// Has the kernel kill this process as soon as its parent has ended, however that comes about. `parent` is the parent that
/// is meant: if it has ended by now, this process belongs to nobody and must not begin.
///
/// To the kernel, a parent has ended when the thread that started the process has: it must be one that stays.
pub(crate) fn to_parent(parent: u32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    match getppid().map(Pid::as_raw_nonzero) {
        Some(actual) if i64::from(actual.get()) == i64::from(parent) => Ok(()),
        _ => Err(Failure::failed(format!("the process {parent}, to which this one is tied, has ended"))),
    }
}

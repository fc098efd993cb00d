//! Threads that the node cannot live without.

use std::{io, process, thread};

/// Starts a thread. Its panic or failure ends the process: a node without one of its threads would look alive and
/// serve nobody.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn spawn(
    name: &str,
    run: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let named = name.to_owned();
    thread::Builder::new().name(named.clone()).spawn(move || {
        let _guard = AbortOnPanic;
        if let Err(error) = run() {
            tracing::error!(thread = named, error = format!("{error:#}"), "a thread of the node failed, ending");
            process::abort();
        }
    })
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            process::abort();
        }
    }
}

/// Waits until threads have ended.
pub(super) fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        // A panic in one of them has ended the process.
        let _ = thread.join();
    }
}

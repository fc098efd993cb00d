//! How a process starts, is told to stop, and talks to what supervises it.

use std::{io, time::Duration};

use sd_notify::NotifyState;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{Handle, Signals as Iter},
};

/// What a signal asks of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// End in good order (SIGTERM, SIGINT).
    Stop,
    /// Read changed files again (SIGHUP).
    Reload,
}

/// The signals of this process from the moment it is made; they no longer end the process by themselves.
pub struct Signals(Iter);

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Iter::new([SIGTERM, SIGINT, SIGHUP]).map(Self)
    }

    /// Waits for the next request; `None` once the handle was closed.
    pub fn wait(&mut self) -> Option<Request> {
        self.0.forever().next().map(|signal| if signal == SIGHUP { Request::Reload } else { Request::Stop })
    }

    /// Ends [`Self::wait`] from another thread with `close`.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.0.handle()
    }
}

/// Tells systemd that the process serves. Without systemd, like every notice here, it does nothing.
pub fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The line that `systemctl status` shows.
pub fn notify_status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Tells systemd that the process is going down in good order.
pub fn notify_stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells systemd that the process is alive. Call it only when it truly is: when its workers turn.
pub fn notify_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often [`notify_alive`] is due: half of what systemd allows. `None` when nobody watches.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the supervisor was not reached");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_become_requests_and_waiting_can_be_ended() {
        let mut signals = Signals::take().unwrap();
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(signals.wait(), Some(Request::Reload));
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(signals.wait(), Some(Request::Stop));
        signals.handle().close();
        assert_eq!(signals.wait(), None);
    }
}

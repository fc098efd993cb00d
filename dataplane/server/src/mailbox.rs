//! What other threads put before a worker.
//!
//! Many write, one reads. The reader takes all letters at once by swapping vectors, and is woken only when it sleeps:
//! under load a letter costs a lock that is hardly ever contended and no system call. Frames between workers are
//! bounded in bytes; at the bound the sender keeps them, stops reading from its clients, and is woken when there is
//! room. Everything else is bounded where it comes from (one answer for each question asked).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use mio::Waker;
use sluice_cluster::WorkerId;
use sluice_dataplane_core::{Input, Opened, Stats, prefixes::Busy};
use tokio::sync::Notify;

use crate::{gate_driver::ForGate, stats::DriverStats, transport::Transport};

/// One thing for a worker to take note of.
pub(crate) enum Letter {
    /// Something for the core, from the store, the checker of credentials or the node.
    Input(Input),
    /// A connection that was opened elsewhere: its greeting is over, or another worker hands it over.
    Arrival(Box<Arrival>),
    /// For the gate: something from the node.
    ForGate(ForGate),
    /// Somebody wants the counters.
    Report(mpsc::Sender<Report>),
    /// Accept nothing more.
    StopAccepting,
    /// End the thread.
    Stop,
}

/// A connection on its way to a worker.
pub(crate) struct Arrival {
    /// Its socket, registered nowhere.
    pub(crate) transport: Transport,
    /// What the core is told about it.
    pub(crate) opened: Opened,
    /// MQTT bytes that were read already.
    pub(crate) bytes: Vec<u8>,
}

/// A worker's counters.
pub(crate) struct Report {
    /// Those of the core.
    pub(crate) stats: Stats,
    /// Those of the driver.
    pub(crate) driver: DriverStats,
    /// Of which parts of the topic space most messages were delivered lately.
    pub(crate) busy: Vec<Busy>,
}

/// The mailbox of one worker; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    shared: Arc<Shared>,
}

struct Shared {
    bell: Bell,
    state: Mutex<State>,
}

/// What ends the reader's sleep.
enum Bell {
    /// Of a thread that waits for readiness events.
    Poll(Waker),
    /// Of a task.
    Task(Arc<Notify>),
}

#[derive(Default)]
struct State {
    letters: Vec<Letter>,
    /// Bytes of frames among the letters.
    frame_bytes: usize,
    /// The reader waits for readiness events, or is about to.
    sleeping: bool,
    /// There is room at a worker that refused the reader's frames: it is not to sleep before it tried again.
    nudged: bool,
    /// Workers whose frames were refused.
    refused: Vec<Mailbox>,
}

impl Mailbox {
    /// An empty mailbox; `waker` ends the reader's sleep.
    pub(crate) fn new(waker: Waker) -> Self {
        Self { shared: Arc::new(Shared { bell: Bell::Poll(waker), state: Mutex::default() }) }
    }

    /// An empty mailbox of a task, which sleeps until `notify` is notified.
    pub(crate) fn of_task(notify: Arc<Notify>) -> Self {
        Self { shared: Arc::new(Shared { bell: Bell::Task(notify), state: Mutex::default() }) }
    }

    /// Puts a letter in.
    pub(crate) fn post(&self, letter: Letter) {
        let mut state = self.lock();
        state.letters.push(letter);
        self.wake(state);
    }

    /// Puts frames in, unless so many wait that the sender has to keep them: then `sender` is woken once there is room.
    ///
    /// # Errors
    /// The frames, when there is no room.
    pub(crate) fn post_frames(&self, from: WorkerId, frames: Vec<u8>, sender: &Self) -> Result<(), Vec<u8>> {
        let mut state = self.lock();
        if state.frame_bytes > 0 && state.frame_bytes + frames.len() > FRAME_BYTES_MAX {
            if !state.refused.iter().any(|refused| Arc::ptr_eq(&refused.shared, &sender.shared)) {
                state.refused.push(sender.clone());
            }
            return Err(frames);
        }
        state.frame_bytes += frames.len();
        state.letters.push(Letter::Input(Input::FromWorker { from, frames }));
        self.wake(state);
        Ok(())
    }

    /// Says that the reader is about to sleep. `false` when there is something to do: do not.
    pub(crate) fn fall_asleep(&self) -> bool {
        let mut state = self.lock();
        let nudged = std::mem::replace(&mut state.nudged, false);
        state.sleeping = state.letters.is_empty() && !nudged;
        state.sleeping
    }

    /// Keeps the reader, who calls this itself, from sleeping once.
    pub(crate) fn nudge(&self) {
        self.lock().nudged = true;
    }

    /// Swaps all letters into `letters`, which is empty. The reader is awake.
    pub(crate) fn take(&self, letters: &mut Vec<Letter>) {
        debug_assert!(letters.is_empty());
        let mut state = self.lock();
        state.sleeping = false;
        std::mem::swap(&mut state.letters, letters);
        state.frame_bytes = 0;
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        for sender in refused {
            let mut state = sender.lock();
            state.nudged = true;
            sender.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::replace(&mut state.sleeping, false);
        drop(state);
        if !sleeping {
            return;
        }
        match &self.shared.bell {
            Bell::Poll(waker) => {
                if let Err(error) = waker.wake() {
                    // The worker would sleep on with letters before it.
                    tracing::error!(%error, "a worker cannot be woken");
                }
            }
            Bell::Task(notify) => notify.notify_one(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can panic half-way.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames that may wait for one worker. A turn of a loaded worker sends some 100 KiB.
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    fn mailbox() -> (Poll, Mailbox) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(7)).unwrap();
        (poll, Mailbox::new(waker))
    }

    fn woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    fn frames(mailbox: &Mailbox) -> Vec<Vec<u8>> {
        let mut letters = Vec::new();
        mailbox.take(&mut letters);
        letters
            .into_iter()
            .filter_map(|letter| {
                let Letter::Input(Input::FromWorker { frames, .. }) = letter else { return None };
                Some(frames)
            })
            .collect()
    }

    #[test]
    fn letters_arrive_in_order_and_all_at_once() {
        let (_poll, mailbox) = mailbox();
        for n in 0..10 {
            mailbox.post_frames(WorkerId(1), vec![n], &mailbox).unwrap();
        }
        assert_eq!(frames(&mailbox), (0..10).map(|n| vec![n]).collect::<Vec<_>>());
        assert!(frames(&mailbox).is_empty());
    }

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let (mut poll, mailbox) = mailbox();
        mailbox.post(Letter::StopAccepting);
        assert!(!woken(&mut poll), "awake");
        assert!(!mailbox.fall_asleep(), "a letter waits");
        mailbox.take(&mut Vec::new());
        assert!(mailbox.fall_asleep());
        mailbox.post(Letter::StopAccepting);
        assert!(woken(&mut poll));
        mailbox.post(Letter::StopAccepting);
        assert!(!woken(&mut poll), "woken already");
    }

    #[test]
    fn frames_beyond_the_bound_stay_with_their_sender_which_is_woken_when_there_is_room() {
        let (_poll, receiver) = mailbox();
        let (mut poll, sender) = mailbox();
        receiver.post_frames(WorkerId(1), vec![0; FRAME_BYTES_MAX + 1], &sender).unwrap();
        let kept = receiver.post_frames(WorkerId(1), vec![1], &sender).unwrap_err();
        assert!(sender.fall_asleep());
        assert_eq!(frames(&receiver).len(), 1);
        assert!(woken(&mut poll));
        receiver.post_frames(WorkerId(1), kept, &sender).unwrap();
        assert_eq!(frames(&receiver), [[1]]);
    }

    #[test]
    fn a_sender_that_is_told_of_room_while_awake_does_not_fall_asleep() {
        let (_poll, receiver) = mailbox();
        let (_poll, sender) = mailbox();
        receiver.post_frames(WorkerId(1), vec![0; FRAME_BYTES_MAX + 1], &sender).unwrap();
        receiver.post_frames(WorkerId(1), vec![1], &sender).unwrap_err();
        frames(&receiver);
        assert!(!sender.fall_asleep());
        assert!(sender.fall_asleep(), "told once");
    }
}

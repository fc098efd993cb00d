//! What waits for a thread of the store: many add, one takes everything at once.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An unbounded queue that is emptied in one go; its users account for what they put in.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { waiting: Vec::new(), closed: false }), filled: Condvar::new() }
    }

    /// Adds one item and wakes a thread that waits.
    pub(crate) fn push(&self, item: T) {
        self.extend([item]);
    }

    /// Adds items and wakes a thread that waits, once.
    pub(crate) fn extend(&self, items: impl IntoIterator<Item = T>) {
        let mut state = lock(&self.state);
        let was_empty = state.waiting.is_empty();
        state.waiting.extend(items);
        // Whoever filled an empty queue has woken its thread; until that has taken all there is, nobody waits.
        let wake = was_empty && !state.waiting.is_empty();
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Waits for items and moves all of them into `into`, which is empty. `false`: the queue is closed and empty.
    pub(crate) fn take_all(&self, into: &mut Vec<T>) -> bool {
        let mut state = lock(&self.state);
        while state.waiting.is_empty() && !state.closed {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(&mut state.waiting, into);
        !into.is_empty()
    }

    /// Waits until the queue is closed, at most so long; whether it is.
    pub(crate) fn wait_closed(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut state = lock(&self.state);
        while !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Lets threads that wait go on; items that are still there are taken first.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.filled.notify_all();
    }
}

/// Takes a lock. A thread of the store that panics ends the process, so that nobody meets what it left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

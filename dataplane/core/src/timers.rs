//! When a worker has to look at something again.
//!
//! One heap. An entry is never moved or removed: when it comes up, its owner looks at what is true then and sets
//! another if it must. A connection that sends all the time therefore costs nothing here.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::ConnId;

/// What to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// A connection's deadline: CONNECT, keep alive, unfinished packet, pause of reading.
    Conn(ConnId),
    /// An offline session: its expiry or its will.
    Session {
        /// Place in the session table.
        session: u32,
        /// Which user of that place.
        serial: u64,
    },
    /// Housekeeping at a steady pace.
    Sweep,
    /// The wills of sessions that ended with the process before this one.
    Orphans,
    /// Connections that are held against changed credentials.
    Review,
}

/// The heap.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    serial: u64,
}

struct Entry {
    at_ms: u64,
    /// Keeps equal times in the order they were set, so that runs repeat exactly.
    serial: u64,
    timer: Timer,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.serial) == (other.at_ms, other.serial)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.serial).cmp(&(other.at_ms, other.serial))
    }
}

impl Timers {
    /// Looks at `timer` at `at_ms` or soon after.
    pub(crate) fn set(&mut self, at_ms: u64, timer: Timer) {
        self.serial += 1;
        self.heap.push(Reverse(Entry { at_ms, serial: self.serial, timer }));
    }

    /// When the next is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_ms)
    }

    /// Takes one that is due.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_up_in_order_of_time_and_then_of_setting() {
        let mut timers = Timers::default();
        let session = |session| Timer::Session { session, serial: 0 };
        timers.set(20, session(1));
        timers.set(10, session(2));
        timers.set(20, session(3));
        assert_eq!(timers.next_ms(), Some(10));
        assert_eq!(timers.pop_due(5), None);
        assert_eq!(timers.pop_due(20), Some(session(2)));
        assert_eq!(timers.pop_due(20), Some(session(1)));
        assert_eq!(timers.pop_due(20), Some(session(3)));
        assert_eq!(timers.pop_due(20), None);
    }
}

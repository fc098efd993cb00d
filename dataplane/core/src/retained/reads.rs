//! The readings of registers that take more than one turn: pages that wait for the store, and searches that have had
//! their share of a turn.
//!
//! ```text
//!  Waiting ──room──► Underway ──answer──► whole
//!                        ▲         │
//!                        └─────────┘ some of it was replaced meanwhile
//! ```

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sluice_cluster::{NodeId, WorkerId};

use super::{Held, Page, Retained};
use crate::{ConnId, message::MessageRef};

/// Bytes that are being read from the store for a worker at a time, but for one page that is larger by itself.
const UNDERWAY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Times that messages which were replaced while they were read are read again. The last answer is taken as it is: it
/// is one of the messages the topic had since it was asked for.
const AGAIN_MAX: u8 = 3;
/// Topics that are looked at in one turn, roughly: some 1 ms.
const VISITS_PER_TURN: usize = 8 * 1024;

/// Who wants a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Of which worker.
    pub(crate) worker: WorkerId,
    /// What that worker calls the page.
    pub(crate) query: u64,
}

/// A search that goes on in a later turn.
#[derive(Debug)]
pub(crate) enum Scan {
    /// For a connection of this worker, which knows where it stands.
    Conn(ConnId),
    /// For another worker.
    Query {
        /// Who asks.
        reader: Reader,
        /// Its filter.
        filter: Box<str>,
        /// The topic to begin behind; empty = from the start.
        after: Box<str>,
    },
    /// For the gate: copies of another node's registers.
    Copies {
        /// Names the answer.
        query: u64,
        /// The other node.
        node: NodeId,
        /// The filter.
        filter: Box<str>,
        /// The topic to begin behind; empty = from the start.
        after: Box<str>,
    },
    /// For a worker of another node that keeps copies.
    Ask {
        /// The other node.
        node: NodeId,
        /// Its question, encoded.
        frame: Box<[u8]>,
    },
}

/// What follows an answer of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The page is whole.
    Whole {
        /// Who wants it.
        reader: Reader,
        /// Its messages.
        messages: Vec<u8>,
        /// Where the next begins.
        after: Option<Box<str>>,
    },
    /// Some of it is to be read again.
    Again,
}

/// All of a worker's.
#[derive(Default)]
pub(crate) struct Reads {
    waiting: VecDeque<u64>,
    pages: BTreeMap<u64, Pending>,
    underway_bytes: usize,
    last_read: u64,
    scans: VecDeque<Scan>,
    visits: usize,
}

/// A page with gaps.
struct Pending {
    reader: Reader,
    page: Page,
    bodies: Vec<Option<Bytes>>,
    /// The gaps that the store is asked for.
    asked: Vec<usize>,
    again_left: u8,
}

impl Reads {
    /// Takes a page with gaps. It is read when [`Self::next_read`] gives its number.
    pub(crate) fn push(&mut self, reader: Reader, page: Page) {
        self.last_read += 1;
        self.waiting.push_back(self.last_read);
        let gaps = page.gaps.len();
        let (bodies, asked) = (vec![None; gaps], (0..gaps).collect());
        self.pages.insert(self.last_read, Pending { reader, page, bodies, asked, again_left: AGAIN_MAX });
    }

    /// The next page to read from the store, if there is room for it.
    pub(crate) fn next_read(&mut self) -> Option<u64> {
        let &read = self.waiting.front()?;
        let bytes = self.pages.get(&read).map_or(0, |pending| pending.page.len());
        if self.underway_bytes > 0 && self.underway_bytes + bytes > UNDERWAY_BYTES_MAX {
            return None;
        }
        self.waiting.pop_front();
        self.underway_bytes += bytes;
        Some(read)
    }

    /// The topics that a page still needs, in the order in which [`Self::answered`] expects them.
    pub(crate) fn topics(&self, read: u64) -> impl Iterator<Item = &str> {
        let pending = self.pages.get(&read);
        pending.into_iter().flat_map(|pending| pending.asked.iter().map(|&gap| &*pending.page.gaps[gap].topic))
    }

    /// The store has answered. A message that was replaced by a small one or removed meanwhile is not taken from the
    /// answer, and one that was replaced by another large one is read again, so that an old message hardly ever follows
    /// its successor to the subscriber.
    ///
    /// # Panics
    /// When the store lacks a message that a register names.
    pub(crate) fn answered(&mut self, read: u64, answers: Vec<Option<Bytes>>, registers: &Retained) -> Step {
        let Some(mut pending) = self.pages.remove(&read) else { panic!("read {read} was not asked for") };
        assert_eq!(answers.len(), pending.asked.len(), "the store answers for each topic");
        let mut again = Vec::new();
        for (gap, answer) in std::mem::take(&mut pending.asked).into_iter().zip(answers) {
            let wanted = &mut pending.page.gaps[gap];
            pending.bodies[gap] = match registers.find(&wanted.topic) {
                None => None,
                Some(Held::Here(message)) => Some(encoded(&message)),
                Some(Held::OnDisk(now)) => {
                    assert!(
                        now.version != wanted.version || answer.is_some(),
                        "I20: the store lacks a retained message"
                    );
                    if now.version != wanted.version {
                        wanted.version = now.version;
                        again.push(gap);
                    }
                    answer
                }
            };
        }
        if !again.is_empty() && pending.again_left > 0 {
            pending.again_left -= 1;
            pending.asked = again;
            self.pages.insert(read, pending);
            return Step::Again;
        }
        self.underway_bytes -= pending.page.len();
        let messages = pending.page.filled(&pending.bodies);
        Step::Whole { reader: pending.reader, messages, after: pending.page.after }
    }

    /// Puts a search off to a later turn.
    pub(crate) fn put_off(&mut self, scan: Scan) {
        self.scans.push_back(scan);
    }

    /// The search that was put off first, if this turn has time for one.
    pub(crate) fn next_scan(&mut self) -> Option<Scan> {
        if self.may_scan() { self.scans.pop_front() } else { None }
    }

    /// Whether searches wait for a turn.
    pub(crate) fn has_scans(&self) -> bool {
        !self.scans.is_empty()
    }

    /// Whether this turn has time for a search.
    pub(crate) fn may_scan(&self) -> bool {
        self.visits < VISITS_PER_TURN
    }

    /// A search has looked at so many topics.
    pub(crate) fn count(&mut self, visits: usize) {
        self.visits += visits;
    }

    /// A new turn begins.
    pub(crate) fn begin_turn(&mut self) {
        self.visits = 0;
    }
}

fn encoded(message: &MessageRef<'_>) -> Bytes {
    let mut out = Vec::new();
    message.encode(&mut out);
    out.into()
}

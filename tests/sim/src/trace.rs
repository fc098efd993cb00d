//! What happened: as a number, to compare two runs by (I30), and in words where somebody reads them.

use std::collections::VecDeque;

/// How many of the last events are kept in words.
const LINES_MAX: usize = 100_000;

/// A run's events.
pub(crate) struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(crate) fn new(verbose: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: verbose.then(VecDeque::new) }
    }

    /// Something happened.
    pub(crate) fn note(&mut self, now_ms: u64, kind: u8, who: [usize; 2], words: impl FnOnce() -> String) {
        for number in [now_ms, u64::from(kind), who[0] as u64, who[1] as u64] {
            self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{now_ms:>7} ms  {}", words()));
        }
    }

    /// What tells two runs apart.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last events.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}

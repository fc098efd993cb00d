//! Frames that wait to be sent once.

use std::collections::VecDeque;

use super::wire;

/// Encoded frames in order, in runs of whole frames.
#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    runs: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl ByteQueue {
    /// Appends a frame.
    pub(super) fn push(&mut self, kind: u8, frame: &[u8]) {
        let framed = wire::framed_len(frame.len());
        if self.runs.back().is_none_or(|run| run.len() + framed > RUN_BYTES) {
            self.runs.push_back(Vec::with_capacity(framed));
        }
        if let Some(run) = self.runs.back_mut() {
            wire::put(run, kind, frame);
        }
        self.bytes += framed;
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Moves runs to `out` until it has `end` bytes or more.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>, end: usize) {
        while out.len() < end
            && let Some(run) = self.runs.pop_front()
        {
            self.bytes -= run.len();
            out.extend_from_slice(&run);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Small frames are moved so many bytes at a time.
const RUN_BYTES: usize = 32 * 1024;

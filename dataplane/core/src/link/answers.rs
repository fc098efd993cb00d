//! Outcomes on their way to the peer, until it has them.

use std::collections::VecDeque;

use super::{LinkError, Outcome, WINDOW_MAX, wire};

/// Frames with numbers that follow one another, and the same outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) outcome: Outcome,
}

/// Runs in the order in which they became known. The peer counts those it has taken; the others are said again on the
/// next connection.
#[derive(Debug, Default)]
pub(super) struct Answers {
    runs: VecDeque<Run>,
    /// Runs that the peer has taken and that are forgotten.
    confirmed: u64,
    /// Runs at the front that were said on this connection.
    said: usize,
    /// Runs at the front that were ever said: they do not grow.
    fixed: usize,
}

impl Answers {
    /// An outcome is known.
    #[inline]
    pub(super) fn add(&mut self, sequence: u64, outcome: Outcome) {
        let grows = self.runs.len() > self.fixed;
        if let Some(last) = self.runs.back_mut()
            && grows
            && last.first + u64::from(last.count) == sequence
            && last.outcome == outcome
            && last.count < u32::MAX
        {
            last.count += 1;
            return;
        }
        self.runs.push_back(Run { first: sequence, count: 1, outcome });
    }

    /// Whether something is to be said.
    pub(super) fn is_due(&self) -> bool {
        self.said < self.runs.len()
    }

    /// Appends a frame with runs that were not said yet.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
        let last = self.runs.len().min(self.said + RUNS_PER_FRAME_MAX);
        let runs = self.runs.range(self.said..last);
        wire::put_with(out, scratch, wire::control::OUTCOMES, |body| {
            let mut expected = 0;
            for run in runs {
                wire::put_run(body, expected, run);
                expected = run.first + u64::from(run.count);
            }
        });
        self.said = last;
        self.fixed = self.fixed.max(last);
    }

    /// The peer has taken so many runs in all.
    pub(super) fn confirm(&mut self, taken: u64) -> Result<(), LinkError> {
        let more = taken.checked_sub(self.confirmed).and_then(|more| usize::try_from(more).ok());
        let more = more.filter(|more| *more <= self.fixed).ok_or(LinkError::Number { what: "outcomes taken" })?;
        self.runs.drain(..more);
        self.confirmed = taken;
        self.fixed -= more;
        self.said = self.said.saturating_sub(more);
        Ok(())
    }

    /// A connection is there on which nothing was said yet, and the peer has taken so many runs in all.
    pub(super) fn resume(&mut self, taken: u64) -> Result<(), LinkError> {
        self.said = 0;
        self.confirm(taken)
    }

    /// Whether the peer leaves more unconfirmed than it could have been asked about.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        let within = self.runs.len() <= RUNS_MAX;
        if within { Ok(()) } else { Err(LinkError::Window { what: "unconfirmed outcomes", max: RUNS_MAX }) }
    }

    /// Runs that are kept.
    #[cfg(test)]
    pub(super) fn unconfirmed(&self) -> usize {
        self.runs.len()
    }

    /// The peer's life is over, and with it all that it asked.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A frame with so many runs has less than 100 KiB.
const RUNS_PER_FRAME_MAX: usize = 4_096;
/// Runs that wait for their confirmation, 16 MiB of them. A peer has at most [`WINDOW_MAX`] frames without an outcome and
/// confirms before [`super::CONFIRM_RUNS`] more; the rest is room for confirmations that are late.
const RUNS_MAX: usize = 16 * WINDOW_MAX;

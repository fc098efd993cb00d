//! One publisher: when it may send, what it sends, and what its acknowledgements say.

use crate::codec::{self, Frame, Template};
use crate::latency::{Latencies, Schedule};
use crate::stamp::Stamp;
use crate::window::Window;

/// What lets a flow send.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Closed loop: a message makes room when its subscribers have it.
    Delivered(Window),
    /// Closed loop: a message makes room when the broker has acknowledged it (QoS 1 and 2 only).
    Acknowledged(Window),
    /// Open loop: messages go out when they are due, whatever came of the earlier ones.
    Scheduled(Schedule),
}

/// A publisher's state.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The engine's link that this flow publishes on.
    pub(crate) link: usize,
    /// Whether the flow stands in the engine's list of flows that may send.
    pub(crate) hungry: bool,
    index: u32,
    template: Template,
    pace: Pace,
    first_sequence: u32,
    messages_left: u64,
    packet_id: u16,
    unacknowledged: u32,
    sent_at: Vec<u64>,
}

/// Packet ids in use at a time at most, so that an id is never used again before it is free. Also the length of
/// the ring of send times.
const UNACKNOWLEDGED_MAX: u32 = 16_384;

impl Flow {
    /// The flow that stamps its messages with `index` and publishes on `link`, without an end.
    pub(crate) fn new(index: u32, link: usize, template: Template, pace: Pace) -> Self {
        let sent_at = if template.wants_ack() { vec![0; UNACKNOWLEDGED_MAX as usize] } else { Vec::new() };
        Self {
            link,
            hungry: false,
            index,
            template,
            pace,
            first_sequence: 0,
            messages_left: u64::MAX,
            packet_id: 0,
            unacknowledged: 0,
            sent_at,
        }
    }

    /// Ends the flow after `messages`, numbered from `first_sequence`.
    pub(crate) fn limited(mut self, first_sequence: u32, messages: u64) -> Self {
        self.first_sequence = first_sequence;
        self.messages_left = messages;
        self
    }

    /// Whether the flow follows a schedule.
    pub(crate) fn is_scheduled(&self) -> bool {
        matches!(self.pace, Pace::Scheduled(_))
    }

    /// Appends to `out` what may be sent at `now` and returns the number of messages.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, now: u64) -> u64 {
        let mut sent = 0;
        while self.messages_left > 0 && self.unacknowledged < UNACKNOWLEDGED_MAX {
            let Some((due, sequence)) = self.take_turn(now) else { break };
            self.messages_left -= 1;
            if self.template.wants_ack() {
                self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
                self.unacknowledged += 1;
                self.sent_at[usize::from(self.packet_id) % UNACKNOWLEDGED_MAX as usize] = due;
            }
            let stamp = Stamp { due, flow: self.index, sequence: self.first_sequence.wrapping_add(sequence) };
            self.template.write(out, self.packet_id, stamp);
            sent += 1;
        }
        sent
    }

    /// One copy of `sequence` reached a subscriber. Returns whether the flow may send more than before.
    pub(crate) fn on_delivery(&mut self, sequence: u32) -> bool {
        match &mut self.pace {
            Pace::Delivered(window) => window.deliver(sequence.wrapping_sub(self.first_sequence)),
            Pace::Acknowledged(_) | Pace::Scheduled(_) => false,
        }
    }

    /// A packet for the publisher: an acknowledgement. Answers PUBREC, and returns whether a message is through.
    pub(crate) fn on_frame(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        now: u64,
        latencies: &mut Latencies,
    ) -> anyhow::Result<bool> {
        let done = match frame.head {
            codec::PUBREC => {
                codec::acknowledge(out, codec::PUBREL, frame.packet_id()?);
                false
            }
            codec::PUBACK | codec::PUBCOMP => {
                let sent_at = self.sent_at.get(usize::from(frame.packet_id()?) % UNACKNOWLEDGED_MAX as usize);
                latencies.record(sent_at.map_or(0, |at| now.saturating_sub(*at)));
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                if let Pace::Acknowledged(window) = &mut self.pace {
                    window.deliver(0);
                }
                true
            }
            _ => false,
        };
        Ok(done)
    }

    /// Stops sending for good.
    pub(crate) fn stop(&mut self) {
        self.messages_left = 0;
    }

    /// Gives up deliveries that are outstanding, so that a broker that drops does not stop the flow; returns copies
    /// lost. Acknowledgements are never given up: a broker owes them.
    pub(crate) fn give_up(&mut self) -> u64 {
        match &mut self.pace {
            Pace::Delivered(window) => window.give_up(),
            Pace::Acknowledged(_) | Pace::Scheduled(_) => 0,
        }
    }

    fn take_turn(&mut self, now: u64) -> Option<(u64, u32)> {
        match &mut self.pace {
            Pace::Delivered(window) | Pace::Acknowledged(window) => (window.room() > 0).then(|| (now, window.send())),
            Pace::Scheduled(schedule) => schedule.take_due(now).map(|due| (due, 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bytes: &[u8], template: &Template) -> usize {
        bytes.len() / template.len()
    }

    #[test]
    fn a_closed_loop_sends_its_window_and_then_one_for_each_delivery() {
        let template = Template::new("t", 0, false, 16);
        let mut flow = Flow::new(0, 0, template.clone(), Pace::Delivered(Window::new(3, 1)));
        let mut out = Vec::new();
        assert_eq!(flow.fill(&mut out, 5), 3);
        assert_eq!(flow.fill(&mut out, 6), 0);
        assert!(flow.on_delivery(0));
        assert_eq!(flow.fill(&mut out, 7), 1);
        assert_eq!(count(&out, &template), 4);
    }

    #[test]
    fn a_limited_flow_ends() {
        let template = Template::new("t", 1, false, 16);
        let mut flow = Flow::new(0, 0, template, Pace::Acknowledged(Window::new(10, 1))).limited(40, 4);
        let mut out = Vec::new();
        assert_eq!(flow.fill(&mut out, 0), 4);
        let mut latencies = Latencies::new().unwrap();
        let ack = Frame::split(&[codec::PUBACK, 2, 0, 1]).unwrap().unwrap();
        assert!(flow.on_frame(&ack, &mut out, 9_000, &mut latencies).unwrap());
        assert!((latencies.quantile_us(1.0) - 9.0).abs() < 0.1);
        assert_eq!(flow.fill(&mut out, 0), 0);
    }

    #[test]
    fn qos_2_answers_received_with_release_and_counts_complete() {
        let template = Template::new("t", 2, false, 16);
        let mut flow = Flow::new(0, 0, template, Pace::Delivered(Window::new(1, 1)));
        let mut out = Vec::new();
        flow.fill(&mut out, 0);
        out.clear();
        let mut latencies = Latencies::new().unwrap();
        let received = Frame::split(&[codec::PUBREC, 2, 0, 1]).unwrap().unwrap();
        assert!(!flow.on_frame(&received, &mut out, 1, &mut latencies).unwrap());
        assert_eq!(out, [codec::PUBREL, 2, 0, 1]);
        let complete = Frame::split(&[codec::PUBCOMP, 2, 0, 1]).unwrap().unwrap();
        assert!(flow.on_frame(&complete, &mut out, 1, &mut latencies).unwrap());
    }
}

//! Replies in the order their requests came, each held until what it says is true.
//!
//! A PUBACK follows the fsync and the other workers; those behind it wait, because acknowledgements are sent in the
//! order of the PUBLISH packets [MQTT-4.6.0-2] [MQTT-4.6.0-3].

use std::collections::VecDeque;

use sluice_mqtt::{QoS, ReasonCode};

/// A packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// CONNACK; what it says stands in [`super::Connecting`].
    ConnAck,
    /// PUBACK.
    PubAck(u16, ReasonCode),
    /// PUBREC.
    PubRec(u16, ReasonCode),
    /// PUBACK or PUBREC of a message that is known to be refused when the reply is made.
    Refused {
        /// Of the message.
        packet_id: u16,
        /// Of the message, 1 or 2.
        qos: QoS,
        /// An error.
        reason: ReasonCode,
        /// Of the message, for the reason string.
        topic: Box<str>,
    },
    /// PUBREL.
    PubRel(u16, ReasonCode),
    /// PUBCOMP.
    PubComp(u16, ReasonCode),
    /// SUBACK with one code per filter; then the retained messages.
    SubAck(u16, Box<Verdicts>),
    /// UNSUBACK with one code per filter.
    UnsubAck(u16, Box<Verdicts>),
}

/// What becomes of each filter of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Verdicts {
    /// One code per filter.
    pub(crate) codes: Vec<ReasonCode>,
    /// The first filter that was refused, and why, for the reason string.
    pub(crate) refused: Option<(Box<str>, ReasonCode)>,
}

impl Verdicts {
    /// With room for so many.
    pub(crate) fn of(filters: usize) -> Self {
        Self { codes: Vec::with_capacity(filters), refused: None }
    }

    /// Adds what becomes of the next filter.
    pub(crate) fn push(&mut self, filter: &str, code: ReasonCode) {
        if code.is_error() && self.refused.is_none() {
            self.refused = Some((filter.into(), code));
        }
        self.codes.push(code);
    }
}

impl Reply {
    fn is_puback(&self) -> bool {
        matches!(self, Self::PubAck(..) | Self::Refused { qos: QoS::AtLeastOnce, .. })
    }
}

/// What a reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Wait {
    /// This batch must be stored; 0 = none.
    pub(crate) batch: u64,
    /// So many answers of other workers.
    pub(crate) answers: u16,
    /// Since when the reply is timed, as [`crate::sampling::moment_us`]; 0 = it is not.
    pub(crate) since_us: u32,
}

impl Wait {
    /// For nothing.
    pub(crate) const NOTHING: Self = Self { batch: 0, answers: 0, since_us: 0 };

    /// For a batch.
    pub(crate) fn batch(batch: u64) -> Self {
        Self { batch, ..Self::NOTHING }
    }
}

/// The replies of one connection that wait.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: VecDeque<(Reply, Wait)>,
    /// The number of the first; each reply gets the next number.
    first: u64,
    /// PUBACKs among them.
    pub_acks: usize,
}

impl Replies {
    /// Adds a reply at the end and tells its number.
    pub(crate) fn push(&mut self, reply: Reply, wait: Wait) -> u64 {
        self.pub_acks += usize::from(reply.is_puback());
        self.waiting.push_back((reply, wait));
        self.first + self.waiting.len() as u64 - 1
    }

    /// One of the answers that reply number `number` waits for has come, with what it changes about the reply.
    pub(crate) fn answered(&mut self, number: u64, matched: bool, refused: Option<ReasonCode>) {
        let Some(at) = number.checked_sub(self.first) else { return };
        let Some((reply, wait)) = self.waiting.get_mut(at as usize) else { return };
        wait.answers = wait.answers.saturating_sub(1);
        if let Reply::PubAck(_, reason) | Reply::PubRec(_, reason) = reply {
            if let Some(refused) = refused {
                *reason = refused;
            } else if matched && *reason == ReasonCode::NoMatchingSubscribers {
                *reason = ReasonCode::Success;
            }
        }
    }

    /// Takes the first reply if what it waits for has come, and since when it is timed.
    pub(crate) fn pop_ready(&mut self, stored: u64) -> Option<(Reply, u32)> {
        let (_, wait) = self.waiting.front()?;
        if wait.batch > stored || wait.answers > 0 {
            return None;
        }
        self.first += 1;
        let (reply, wait) = self.waiting.pop_front()?;
        self.pub_acks -= usize::from(reply.is_puback());
        Some((reply, wait.since_us))
    }

    /// How many of the client's messages wait for their acknowledgement here.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.pub_acks
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: ReasonCode = ReasonCode::Success;

    #[test]
    fn a_reply_that_is_ready_waits_for_those_before_it() {
        let mut replies = Replies::default();
        let first = replies
            .push(Reply::PubAck(1, ReasonCode::NoMatchingSubscribers), Wait { batch: 5, answers: 1, since_us: 9 });
        replies.push(Reply::PubAck(2, OK), Wait::NOTHING);
        assert_eq!(replies.pop_ready(5), None);
        replies.answered(first, true, None);
        assert_eq!(replies.pop_ready(4), None);
        assert_eq!(replies.pop_ready(5), Some((Reply::PubAck(1, OK), 9)));
        assert_eq!(replies.pop_ready(5), Some((Reply::PubAck(2, OK), 0)));
        assert!(replies.is_empty());
        replies.answered(first, true, None);
    }
}

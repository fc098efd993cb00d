//! Every message that was sent, and what is promised about it.

use std::collections::BTreeSet;

use sluice_mqtt::QoS;

/// A session: which client's, and which of its sessions, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SessionKey {
    pub(super) client: usize,
    pub(super) generation: u32,
}

/// A message by its place in the order of sending; its payload says it.
pub(super) type MessageNumber = usize;

#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Who published it; a will has no place in its client's order.
    pub(super) publisher: SessionKey,
    pub(super) is_will: bool,
    pub(super) topic: usize,
    pub(super) qos: QoS,
    /// Whether it sets the retained message of its topic, and whether it clears it.
    pub(super) retain: bool,
    pub(super) clears: bool,
    /// Of a will: its client said goodbye, and the broker has heard it.
    pub(super) withdrawn: bool,
    /// Whether a positive acknowledgement came (or the will is due), and at which time of the ledger.
    pub(super) acked_at: Option<u64>,
    pub(super) sent_at: u64,
    /// Sessions that had subscribed to its topic when it was sent first.
    pub(super) wanted: Vec<SessionKey>,
    /// Those of them that had subscribed at QoS 1 or 2.
    pub(super) stored: Vec<SessionKey>,
    /// Sessions that must get it once it is acknowledged.
    pub(super) needed: Vec<SessionKey>,
}

/// The messages, and a clock that counts what happens.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) messages: Vec<Message>,
    /// Sessions that a CONNECT under way resumes to end with its connection: they may end before their client hears
    /// that it was accepted.
    pub(super) ending: BTreeSet<SessionKey>,
    time: u64,
}

impl Ledger {
    pub(super) fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    pub(super) fn send(&mut self, mut message: Message) -> MessageNumber {
        message.sent_at = self.tick();
        self.messages.push(message);
        self.messages.len() - 1
    }

    pub(super) fn ack(&mut self, number: MessageNumber) {
        let time = self.tick();
        self.messages[number].acked_at.get_or_insert(time);
    }

    /// A session has ended or may have: nothing is promised to it.
    pub(super) fn release(&mut self, session: SessionKey) {
        self.messages.iter_mut().for_each(|message| message.needed.retain(|needed| *needed != session));
    }

    /// A session has asked for fewer messages of some topics.
    pub(super) fn release_topics(&mut self, session: SessionKey, concerned: impl Fn(usize) -> bool) {
        let concerned = self.messages.iter_mut().filter(|message| concerned(message.topic));
        concerned.for_each(|message| message.needed.retain(|needed| *needed != session));
    }

    pub(super) fn received(&mut self, session: SessionKey, number: MessageNumber) {
        self.messages[number].needed.retain(|needed| *needed != session);
    }

    /// Whether a message had somebody to go to for certain when it was routed.
    pub(super) fn had_a_taker(&self, number: MessageNumber) -> bool {
        self.messages[number].needed.iter().any(|session| !self.ending.contains(session))
    }

    /// All that was acknowledged has arrived.
    pub(super) fn check_nothing_is_lost(&self) {
        for (number, message) in self.messages.iter().enumerate() {
            let lost = message.acked_at.is_some() && !message.needed.is_empty();
            assert!(!lost, "I13: message {number} was acknowledged and never came: {message:?}");
        }
    }

    /// What a topic's retained message may be: every message that none replaced for certain. `None`: that there is none.
    pub(super) fn retained_candidates(&self, topic: usize) -> Vec<Option<MessageNumber>> {
        let of_topic = || self.messages.iter().enumerate().filter(|(_, m)| m.topic == topic && m.retain);
        let replaced =
            |acked_at: u64| of_topic().any(|(_, other)| other.acked_at.is_some() && other.sent_at > acked_at);
        let mut candidates: Vec<_> = of_topic()
            .filter(|(_, message)| message.acked_at.is_none_or(|acked_at| !replaced(acked_at)))
            .map(|(number, message)| (!message.clears).then_some(number))
            .collect();
        if !replaced(0) {
            candidates.push(None);
        }
        candidates
    }
}

//! What every client was promised, and what it got: the reference model. It knows nothing of nodes but their numbers.

use std::collections::{BTreeMap, BTreeSet};

use sluice_topic::matches;

/// Messages that were on their way when a node was killed have arrived after so long.
pub(crate) const KILL_FELT_MS: u64 = 12_000;

/// A message, by the order in which clients made them.
pub(crate) type MessageId = usize;
/// A session, by the order in which they began.
pub(crate) type SessionId = usize;

/// What a publisher knows of its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Not answered yet.
    Open,
    /// Acknowledged: not refused.
    Taken { at_ms: u64 },
    /// Acknowledged: refused.
    Refused,
    /// Nobody will ever say.
    Unknown,
}

/// A message that was published.
pub(crate) struct Message {
    pub(crate) topic: &'static str,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Deletes the register of its topic.
    pub(crate) tombstone: bool,
    pub(crate) will: bool,
    pub(crate) publisher: SessionId,
    pub(crate) sent_ms: u64,
    /// Whether the client has sent it more than once.
    pub(crate) resent: bool,
    /// Whether it was sent to a node that did not know that there are others: one that was killed before the first tables
    /// it ever had were on its disk.
    pub(crate) alone: bool,
    /// The node that has it from the client, as far as is known; the one that keeps it, if it is a will.
    pub(crate) accepted_by: Option<usize>,
    pub(crate) status: Status,
}

/// A subscription of a session.
pub(crate) struct Sub {
    /// As the client says it, with `$share/` and all.
    pub(crate) full: &'static str,
    pub(crate) group: Option<&'static str>,
    pub(crate) filter: &'static str,
    /// Granted.
    pub(crate) qos: u8,
    pub(crate) sent_ms: u64,
    pub(crate) acked_ms: Option<u64>,
    /// The nodes that route to it from SUBACK on.
    pub(crate) known_to: BTreeSet<usize>,
    /// When its end was asked for.
    pub(crate) ended_ms: Option<u64>,
}

/// How a session got a message.
#[derive(Clone, Copy, Default)]
pub(crate) struct Receipt {
    pub(crate) times: u32,
    /// Of them, at QoS 2.
    times_exactly: u32,
}

/// A session, as its client sees it.
pub(crate) struct Session {
    pub(crate) persistent: bool,
    /// The node that serves it.
    pub(crate) node: usize,
    pub(crate) over: bool,
    pub(crate) subs: Vec<Sub>,
    pub(crate) received: BTreeMap<MessageId, Receipt>,
    /// The last first delivery of each publisher, topic and QoS (of the message and of the delivery).
    last: BTreeMap<(SessionId, &'static str, u8, u8), MessageId>,
}

/// A message of a group that a member has received, on which connection.
#[derive(Clone, Copy)]
pub(crate) struct Taking {
    pub(crate) session: SessionId,
    pub(crate) socket: usize,
    pub(crate) at_ms: u64,
}

/// What a client was sent.
pub(crate) struct Delivery<'a> {
    pub(crate) session: SessionId,
    pub(crate) socket: usize,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// Since when the node that serves the session can ask the home of the topic; `None` = it cannot.
    pub(crate) home_since_ms: Option<u64>,
    /// Since when that node runs.
    pub(crate) node_since_ms: u64,
}

/// A retained message that a node has shown.
struct Shown {
    node: usize,
    id: MessageId,
    /// When the subscription was asked for that it was shown to, and when it came there.
    asked_ms: u64,
    came_ms: u64,
}

/// The first thing that was found wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The invariant, by its number in SEMANTICS.md, such as `I15`.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) messages: Vec<Message>,
    pub(crate) sessions: Vec<Session>,
    /// By group and message.
    pub(crate) takings: BTreeMap<(&'static str, MessageId), Vec<Taking>>,
    /// Retained messages that a session was shown.
    pub(crate) retained: Vec<(SessionId, MessageId)>,
    shown: Vec<Shown>,
    /// Messages of which a node said that nobody wants them.
    pub(crate) unmatched: BTreeSet<MessageId>,
    pub(crate) violation: Option<Violation>,
    /// When a node was killed last.
    pub(crate) killed_ms: u64,
}

impl Ledger {
    /// Notes what is wrong; the first counts.
    pub(crate) fn fail(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, what: what() });
        }
    }

    /// A session begins.
    pub(crate) fn begin(&mut self, persistent: bool, node: usize) -> SessionId {
        self.sessions.push(Session {
            persistent,
            node,
            over: false,
            subs: Vec::new(),
            received: BTreeMap::new(),
            last: BTreeMap::new(),
        });
        self.sessions.len() - 1
    }

    /// A publisher makes a message.
    pub(crate) fn publish(&mut self, message: Message) -> MessageId {
        self.messages.push(message);
        self.messages.len() - 1
    }

    /// A publisher hears what became of a message.
    pub(crate) fn answered(&mut self, id: MessageId, status: Status) {
        let message = &mut self.messages[id];
        if message.status == Status::Open {
            message.status = status;
        }
    }

    /// SUBSCRIBE leaves.
    pub(crate) fn subscribe(&mut self, session: SessionId, full: &'static str, now_ms: u64) {
        let (group, filter) = split_group(full);
        let subs = &mut self.sessions[session].subs;
        // The first may have been taken though its SUBACK was lost: what it was shown then waits in the session's queue.
        if subs.iter().any(|sub| sub.full == full && sub.ended_ms.is_none()) {
            return;
        }
        let known_to = BTreeSet::new();
        subs.push(Sub { full, group, filter, qos: 0, sent_ms: now_ms, acked_ms: None, known_to, ended_ms: None });
    }

    /// SUBACK is there.
    pub(crate) fn granted(&mut self, session: SessionId, full: &str, qos: u8, now_ms: u64, known_to: BTreeSet<usize>) {
        let subs = &mut self.sessions[session].subs;
        if let Some(sub) = subs.iter_mut().find(|sub| sub.full == full && sub.ended_ms.is_none()) {
            let first = sub.acked_ms.is_none();
            if first {
                sub.acked_ms = Some(now_ms);
                sub.known_to = known_to;
                sub.qos = qos;
            }
        }
    }

    /// UNSUBSCRIBE leaves.
    pub(crate) fn unsubscribe(&mut self, session: SessionId, full: &str, now_ms: u64) {
        for sub in self.sessions[session].subs.iter_mut().filter(|sub| sub.full == full) {
            sub.ended_ms.get_or_insert(now_ms);
        }
    }

    /// The payload of a message.
    pub(crate) fn payload(&self, id: MessageId, padding: usize) -> Vec<u8> {
        if self.messages[id].tombstone {
            return Vec::new();
        }
        let mut payload = format!("m{id}.").into_bytes();
        payload.resize(payload.len() + padding, b'x');
        payload
    }

    /// A client has got a message that is not a repetition on its connection. Which one it is.
    pub(crate) fn deliver(&mut self, delivery: &Delivery<'_>, now_ms: u64) -> Option<MessageId> {
        let Some(id) = self.identify(delivery) else {
            let topic = delivery.topic.to_owned();
            let payload = String::from_utf8_lossy(delivery.payload).into_owned();
            self.fail("I14", || format!("{payload:?} on {topic} was never published there"));
            return None;
        };
        if self.messages[id].tombstone {
            return Some(id);
        }
        if delivery.retain {
            self.retained.push((delivery.session, id));
            if !delivery.dup {
                self.check_register(delivery, id, now_ms);
            }
            return Some(id);
        }
        let session = &self.sessions[delivery.session];
        let topic = self.messages[id].topic;
        let mut wanting = session.subs.iter().filter(|sub| matches(sub.filter, topic)).peekable();
        if wanting.peek().is_none() {
            let at = delivery.session;
            self.fail("I14", || {
                format!("message {id} on {topic} came to session {at}, which has not subscribed to it")
            });
            return Some(id);
        }
        let groups: BTreeSet<&'static str> = wanting.clone().filter_map(|sub| sub.group.map(|_| sub.full)).collect();
        let plain = wanting.any(|sub| sub.group.is_none());
        self.count(delivery, id, groups.len() as u32 + u32::from(plain));
        if groups.is_empty() {
            self.check_order(delivery, id);
        }
        if !plain && groups.len() == 1 {
            let taking = Taking { session: delivery.session, socket: delivery.socket, at_ms: now_ms };
            groups.into_iter().for_each(|group| self.takings.entry((group, id)).or_default().push(taking));
        }
        Some(id)
    }

    fn identify(&self, delivery: &Delivery<'_>) -> Option<MessageId> {
        if delivery.payload.is_empty() {
            return self.messages.iter().position(|message| message.tombstone && message.topic == delivery.topic);
        }
        let text = std::str::from_utf8(delivery.payload).ok()?;
        let id: MessageId = text.strip_prefix('m')?.split('.').next()?.parse().ok()?;
        self.messages.get(id).filter(|message| message.topic == delivery.topic && !message.tombstone).map(|_| id)
    }

    /// I15: at QoS 2, once for each way to it. What was published at QoS 0 comes at most once, too.
    fn count(&mut self, delivery: &Delivery<'_>, id: MessageId, ways: u32) {
        let receipt = self.sessions[delivery.session].received.entry(id).or_default();
        receipt.times += 1;
        receipt.times_exactly += u32::from(delivery.qos == 2);
        let (all, times) = (receipt.times, receipt.times_exactly);
        // Who of a group had what is sent again, by its publisher or for a node that was killed, is not remembered.
        let again = self.messages[id].resent || self.killed_ms + KILL_FELT_MS > self.messages[id].sent_ms;
        let again = again && self.has_group(delivery.session, id);
        if self.messages[id].qos == 0 && all > ways {
            let session = delivery.session;
            self.fail("QoS 0", || format!("message {id} of QoS 0 came to session {session} {all} times"));
        }
        if delivery.qos == 2 && times > ways && !again {
            let session = delivery.session;
            self.fail("I15", || format!("message {id} came to session {session} {times} times at QoS 2"));
        }
    }

    fn has_group(&self, session: SessionId, id: MessageId) -> bool {
        let topic = self.messages[id].topic;
        self.sessions[session].subs.iter().any(|sub| sub.group.is_some() && matches(sub.filter, topic))
    }

    /// I16: first deliveries in order.
    fn check_order(&mut self, delivery: &Delivery<'_>, id: MessageId) {
        let message = &self.messages[id];
        // What is delivered at most once may have been missed, and come when it is sent again.
        if message.will
            || (delivery.qos == 0 && message.resent)
            || self.sessions[delivery.session].received.get(&id).is_none_or(|receipt| receipt.times > 1)
        {
            return;
        }
        // What was sent before the subscription may come when it is sent again. A subscription at another QoS has not asked
        // for this delivery.
        let subs = &self.sessions[delivery.session].subs;
        let is_promised = |sub: &Sub| {
            matches(sub.filter, message.topic)
                && message.qos.min(sub.qos) == delivery.qos
                && sub.known_to.contains(&self.sessions[message.publisher].node)
                && sub.acked_ms.is_some_and(|acked_ms| acked_ms < message.sent_ms)
        };
        if !subs.iter().any(is_promised) {
            return;
        }
        let key = (message.publisher, message.topic, message.qos, delivery.qos);
        let last = self.sessions[delivery.session].last.insert(key, id);
        if let Some(last) = last.filter(|last| *last > id) {
            let session = delivery.session;
            self.fail("I16", || format!("message {id} came to session {session} for the first time behind {last}"));
        }
    }

    /// I20: what a new subscription sees of a register is not older than what was acknowledged before it, unless the home of
    /// the register was out of reach meanwhile; and never older than what the same node has shown since it runs.
    fn check_register(&mut self, delivery: &Delivery<'_>, id: MessageId, now_ms: u64) {
        let session = delivery.session;
        let topic = self.messages[id].topic;
        let subs = self.sessions[session].subs.iter().filter(|sub| sub.group.is_none() && matches(sub.filter, topic));
        let Some(since) = subs.map(|sub| sub.sent_ms).min() else {
            self.fail("I14", || format!("retained message {id} came to session {session}, which has not asked for it"));
            return;
        };
        let was_in_reach = delivery.home_since_ms.is_some_and(|home_since_ms| home_since_ms <= since);
        if let Some(newer) = self.newer_register(id, since).filter(|_| was_in_reach) {
            self.fail("I20", || format!("session {session} is shown {id} on {topic}, after {newer} was acknowledged"));
        }
        let node = self.sessions[session].node;
        let before = self.shown.iter().filter(|shown| {
            let is_before = shown.came_ms < since && shown.asked_ms >= delivery.node_since_ms;
            is_before && shown.node == node && self.is_newer(shown.id, id)
        });
        if let Some(newer) = before.map(|shown| shown.id).next() {
            self.fail("I20", || format!("node {node} shows {id} on {topic}, after it has shown {newer}"));
        }
        self.shown.push(Shown { node, id, asked_ms: since, came_ms: now_ms });
    }

    /// Whether a message was acknowledged and has certainly taken the place of another one.
    fn is_newer(&self, id: MessageId, than: MessageId) -> bool {
        let (newer, older) = (&self.messages[id], &self.messages[than]);
        let Status::Taken { at_ms: old_ms } = older.status else { return false };
        newer.topic == older.topic && matches!(newer.status, Status::Taken { .. }) && newer.sent_ms > old_ms
    }

    /// A message that was acknowledged before `until_ms` and has certainly taken the place of `id`.
    pub(crate) fn newer_register(&self, id: MessageId, until_ms: u64) -> Option<MessageId> {
        let Status::Taken { at_ms: old_ms } = self.messages[id].status else { return None };
        let topic = self.messages[id].topic;
        let mut newer = self.messages.iter().enumerate().filter(|(_, message)| {
            let taken = matches!(message.status, Status::Taken { at_ms } if at_ms < until_ms);
            message.retain && message.topic == topic && taken && message.sent_ms > old_ms
        });
        newer.next().map(|(id, _)| id)
    }
}

/// Whether the payload of a message is over the threshold up to which nodes keep copies.
pub(crate) fn is_large(id: MessageId) -> bool {
    id.is_multiple_of(7)
}

/// A subscription's group and filter.
pub(crate) fn split_group(full: &str) -> (Option<&str>, &str) {
    match full.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, full),
    }
}

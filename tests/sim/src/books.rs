//! The end of a run: everything heals, and the books must balance.

use std::collections::{BTreeMap, BTreeSet};

use sluice_mqtt::{QoS, Version};
use sluice_topic::matches;

use crate::{
    client::{Client, Phase},
    director::TOPICS,
    ledger::{KILL_FELT_MS, Message, MessageId, Session, SessionId, Status, Sub, is_large},
    world::{LOST_AFTER_MS, World, pair},
};

/// A link that has been up for so long has told everything.
const CONVERGED_MS: u64 = 3_000;
/// In this time everything is back where it belongs (I28).
const HEALED_MS: u64 = 40_000;
/// No node counts another as lost for longer.
const LOST_FOR_MS: u64 = 15_000;
/// A client learns that its connection is gone so much later than the nodes.
const NOTICED_MS: u64 = 4_000;

impl World {
    /// Heals everything, and checks.
    pub(crate) fn balance(&mut self) {
        self.heal_all();
        let steps: [fn(&mut Self); 7] = [
            Self::check_quiet,
            Self::check_control,
            Self::check_messages,
            Self::check_groups,
            Self::check_registers,
            Self::check_nothing_is_left,
            Self::check_copies,
        ];
        for step in steps {
            if self.ledger.violation.is_some() {
                return;
            }
            step(self);
        }
    }

    fn heal_all(&mut self) {
        self.slow_until_ms.fill(0);
        (self.refuses_pushes, self.unrest) = (false, false);
        self.heal_control();
        for a in 0..self.nodes.len() {
            self.restart(a);
            (a + 1..self.nodes.len()).for_each(|b| self.heal(a, b));
        }
        self.clients.iter_mut().for_each(|client| client.slow_ms = client.slow_ms.min(50));
        let end = self.now_ms + HEALED_MS;
        while self.now_ms < end && self.ledger.violation.is_none() {
            self.come_back();
            self.pass_ms(400);
        }
    }

    /// Clients that are offline connect.
    fn come_back(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].phase == Phase::Offline {
                let node = self.rng.usize(..self.nodes.len());
                self.connect(at, node, false);
            }
        }
    }

    /// I28: everybody is connected and answered, once, and nothing is awaited any more.
    fn check_quiet(&mut self) {
        for at in 0..self.clients.len() {
            let Client { name, phase, .. } = &self.clients[at];
            let (name, phase, unanswered) = (name.clone(), *phase, self.clients[at].unanswered());
            if phase != Phase::Online {
                self.ledger.fail("I28", || format!("{name} is {phase:?} long after everything is well"));
            }
            if let Some(unanswered) = unanswered {
                self.ledger.fail("I28", || format!("{name} waits for answers: {unanswered}"));
            }
            let of_client = |socket: &usize| self.sockets[*socket].client == at && self.serves(*socket).is_some();
            let open: Vec<usize> = (0..self.sockets.len()).filter(of_client).collect();
            if open.len() > 1 {
                self.ledger.fail("I10", || format!("{name} is connected more than once: sockets {open:?}"));
            }
        }
        for node in 0..self.nodes.len() {
            let awaited = self.nodes[node].gate.awaited();
            if awaited > 0 {
                self.ledger.fail("I28", || format!("the gate of node {node} awaits {awaited} answers"));
            }
        }
    }

    /// Whether a node knew of a subscription at a time.
    fn knows(&self, node: usize, session: &Session, sub: &Sub, at_ms: u64) -> bool {
        let Some(acked_ms) = sub.acked_ms.filter(|acked_ms| *acked_ms < at_ms) else { return false };
        if sub.known_to.contains(&node) {
            return true;
        }
        let line = self.lines.get(&pair(node, session.node));
        let told = |(from, to): &(u64, Option<u64>)| {
            let from = (*from).max(acked_ms) + CONVERGED_MS;
            from <= at_ms && to.is_none_or(|to| from <= to)
        };
        line.is_some_and(|line| line.up.iter().any(told))
    }

    fn wants(&self, node: usize, session: &Session, message: &Message, group: bool) -> bool {
        session.subs.iter().any(|sub| {
            sub.group.is_some() == group
                && sub.ended_ms.is_none()
                && sub.qos > 0
                && matches(sub.filter, message.topic)
                && self.knows(node, session, sub, message.sent_ms)
        })
    }

    /// Messages that were acknowledged as taken, and the node that took each.
    fn taken(&self) -> impl Iterator<Item = (MessageId, &Message, usize)> {
        let all = self.ledger.messages.iter().enumerate();
        all.filter_map(|(id, message)| {
            let taken = matches!(message.status, Status::Taken { .. }) && !message.tombstone && message.qos > 0;
            let taken = taken && !message.alone;
            Some((id, message, message.accepted_by.filter(|_| taken)?))
        })
    }

    /// I13 and I24: what was acknowledged is with everybody who had subscribed to it.
    fn check_messages(&mut self) {
        let mut missing: Option<(&'static str, MessageId, SessionId)> = None;
        let living = |session: &Session| !session.over;
        for (id, message, node) in self.taken() {
            for (at, session) in self.ledger.sessions.iter().enumerate().filter(|(_, session)| living(session)) {
                let got = session.received.contains_key(&id);
                if !got && self.wants(node, session, message, false) && !self.may_be_lost(node, session, message) {
                    missing.get_or_insert((if session.persistent { "I13" } else { "I24" }, id, at));
                }
            }
        }
        if let Some((invariant, id, session)) = missing {
            let node = self.ledger.messages[id].accepted_by.unwrap_or(0);
            let home = self.ledger.sessions[session].node;
            self.ledger.fail(invariant, || {
                format!("message {id}, taken by node {node}, never came to session {session} of node {home}")
            });
        }
    }

    /// A transient session misses what a node took over that died, or was given up, before it could pass it on.
    fn may_be_lost(&self, node: usize, session: &Session, message: &Message) -> bool {
        let since = message.sent_ms;
        let given_up =
            |a: usize, b: usize| self.losses.iter().any(|(at, x, y)| at + LOST_FOR_MS >= since && (*x, *y) == (a, b));
        let passed_on = self.nodes[node].region != self.nodes[session.node].region;
        let of_region = |other: usize| self.nodes[other].region == self.nodes[session.node].region;
        let gateway_failed = self.kills.iter().any(|(at, dead)| *at + LOST_AFTER_MS >= since && of_region(*dead))
            || self.losses.iter().any(|(at, ..)| *at >= since);
        !session.persistent && (given_up(node, session.node) || (passed_on && gateway_failed))
    }

    /// I22 and I23: each message of a group to one member, and never to nobody.
    fn check_groups(&mut self) {
        let twice = self.ledger.takings.iter().find_map(|((group, id), takings)| {
            let message = &self.ledger.messages[*id];
            let gateway_failed = self.shape.regions > 1 && self.kills.iter().any(|(at, _)| *at >= message.sent_ms);
            let (first, second) = (takings.first()?, takings.iter().find(|t| t.session != takings[0].session)?);
            let closed_ms = self.sockets[first.socket].closed_ms;
            let died = closed_ms.is_some_and(|closed_ms| closed_ms <= second.at_ms + NOTICED_MS);
            // At QoS 1 a node that is killed before it can say that it has a message gets it again, and its group may pass on
            // either copy.
            let told_twice = message.qos < 2 && self.kills.iter().any(|(at, _)| *at >= message.sent_ms);
            // A will is published again by the node that was killed before it could note that it was.
            let node_of_will = |dead: usize| message.accepted_by.is_none_or(|node| node == dead);
            let felt = |at: u64| at + KILL_FELT_MS >= first.at_ms && at <= second.at_ms;
            let again = message.will && self.kills.iter().any(|(at, dead)| node_of_will(*dead) && felt(*at));
            let excused = died || message.resent || gateway_failed || told_twice || again;
            (!excused).then_some((*group, *id, first.session, second.session))
        });
        if let Some((group, id, first, second)) = twice {
            self.ledger.fail("I22", || format!("message {id} came to sessions {first} and {second} of {group}"));
        }
        let mut unserved = None;
        // At QoS 2 a message may have been with a member that is gone, and goes to nobody else then.
        for (id, message, node) in self.taken().filter(|(_, message, _)| message.qos == 1) {
            for (full, members) in self.members_of(node, message) {
                let got = |session: &Session| session.received.contains_key(&id);
                let by_any = self.ledger.sessions.iter().any(got);
                let lossy = self.ledger.sessions.iter().flat_map(|session| &session.subs);
                let lossy = lossy.into_iter().any(|sub| sub.full == full && sub.qos == 0);
                let died = lossy || self.kills.iter().any(|(at, _)| *at >= message.sent_ms);
                if !by_any && !members.is_empty() && !died {
                    unserved.get_or_insert((full, id, members));
                }
            }
        }
        if let Some((group, id, members)) = unserved {
            self.ledger
                .fail("I23", || format!("message {id} came to nobody of {group}, which has sessions {members:?}"));
        }
    }

    /// The members of each group that wanted a message and are there to this day.
    fn members_of(&self, node: usize, message: &Message) -> BTreeMap<&'static str, Vec<SessionId>> {
        let mut groups: BTreeMap<&'static str, Vec<SessionId>> = BTreeMap::new();
        let living = self.ledger.sessions.iter().enumerate().filter(|(_, session)| !session.over);
        for (at, session) in living {
            for sub in session.subs.iter().filter(|sub| sub.group.is_some()) {
                let wanted = matches(sub.filter, message.topic) && sub.ended_ms.is_none() && sub.qos > 0;
                if wanted && self.knows(node, session, sub, message.sent_ms) {
                    groups.entry(sub.full).or_default().push(at);
                }
            }
        }
        groups
    }

    /// I20: every node shows the same registers, and none that is older than what was acknowledged.
    fn check_registers(&mut self) {
        let first = self.clients.len();
        let nodes = self.nodes.len();
        for node in 0..nodes {
            let mut reader = Client::new(format!("reader{node}"), Version::V5, false);
            reader.wishes.push(("#", QoS::AtLeastOnce));
            self.clients.push(reader);
            self.connect(first + node, node, false);
        }
        self.pass_ms(CONVERGED_MS);
        let shown: Vec<BTreeMap<&'static str, MessageId>> =
            (0..nodes).map(|node| self.registers_of(first + node)).collect();
        for node in 1..nodes {
            if shown[node] != shown[0] {
                let (one, other) = (shown[0].clone(), shown[node].clone());
                self.ledger.fail("I20", || format!("node 0 shows {one:?} and node {node} {other:?}"));
            }
        }
        for topic in TOPICS {
            self.check_register_of(topic, shown[0].get(topic).copied());
        }
        self.registers = shown.into_iter().next().unwrap_or_default();
    }

    /// The node that has a topic's register, as a node knows.
    fn home_of(&self, node: usize, topic: &str) -> Option<usize> {
        let (_, replicas) = self.nodes[node].gate.placement()?.of_topic(topic);
        Some(replicas?.voters().first()?.0 as usize - 1)
    }

    /// Since when a node has been able to ask the home of a topic; `None`: it cannot.
    pub(crate) fn home_in_reach_since(&self, node: usize, topic: &str) -> Option<u64> {
        let home = self.home_of(node, topic)?;
        if home == node {
            return Some(0);
        }
        let (from, to) = *self.lines.get(&pair(node, home))?.up.last()?;
        to.is_none().then_some(from)
    }

    /// I20 and I28: copies are what their homes have, and so it is shown when one of them is cut off: small messages, and
    /// nothing that was removed.
    fn check_copies(&mut self) {
        let nodes = self.nodes.len();
        if let Some(node) = (0..nodes).find(|&node| self.nodes[node].copies_behind() > 0) {
            self.ledger.fail("I28", || format!("node {node} has not caught up with registers long after all is well"));
        }
        let alone = self.rng.usize(..nodes);
        (0..nodes).filter(|&node| node != alone).for_each(|node| self.partition(alone, node, 10 * HEALED_MS));
        self.pass_ms(CONVERGED_MS);
        let first = self.clients.len();
        for node in 0..nodes {
            let mut reader = Client::new(format!("late reader{node}"), Version::V5, false);
            reader.wishes.push(("#", QoS::AtMostOnce));
            self.clients.push(reader);
            self.connect(first + node, node, false);
        }
        // SUBACK waits for those that are cut off as long as it may.
        self.pass_ms(3 * CONVERGED_MS);
        for node in 0..nodes {
            let is_shown = |(topic, id): (&&'static str, &MessageId)| {
                let home = self.home_of(node, topic);
                let in_reach = home == Some(node) || (home != Some(alone) && node != alone);
                (in_reach || !is_large(*id)).then_some((*topic, *id))
            };
            let expected: BTreeMap<&'static str, MessageId> = self.registers.iter().filter_map(is_shown).collect();
            let shown = self.registers_of(first + node);
            if shown != expected {
                self.ledger
                    .fail("I20", || format!("without node {alone}, node {node} shows {shown:?} and not {expected:?}"));
            }
        }
    }

    fn registers_of(&self, client: usize) -> BTreeMap<&'static str, MessageId> {
        let session = self.clients[client].session;
        self.ledger
            .retained
            .iter()
            .filter(|(at, _)| Some(*at) == session)
            .map(|(_, id)| (*id, self.ledger.messages[*id].topic))
            .map(|(id, topic)| (topic, id))
            .collect()
    }

    fn check_register_of(&mut self, topic: &'static str, shown: Option<MessageId>) {
        let of_topic = |message: &&Message| message.retain && message.topic == topic;
        if let Some(id) = shown {
            if let Some(newer) = self.ledger.newer_register(id, u64::MAX) {
                self.ledger
                    .fail("I20", || format!("{topic} shows {id} at last, though {newer} was acknowledged behind it"));
            }
            return;
        }
        // Nothing is shown: because of a deletion that nothing acknowledged came behind.
        let messages: Vec<&Message> = self.ledger.messages.iter().filter(of_topic).collect();
        let last = messages
            .iter()
            .filter(|m| !m.tombstone && matches!(m.status, Status::Taken { .. }))
            .map(|m| m.sent_ms)
            .max();
        let Some(last_ms) = last else { return };
        let ended = messages.iter().any(|m| {
            m.tombstone
                && match m.status {
                    Status::Taken { at_ms } => at_ms >= last_ms,
                    Status::Open | Status::Refused | Status::Unknown => true,
                }
        });
        if !ended {
            self.ledger.fail("I20", || format!("{topic} shows nothing, though a message was acknowledged"));
        }
    }

    /// I28: when every session is over, nobody wants anything.
    fn check_nothing_is_left(&mut self) {
        for at in 0..self.clients.len() {
            self.clients[at].with_will = false;
            self.clients[at].wishes.clear();
            self.clients[at].clean_next = true;
            let node = self.rng.usize(..self.nodes.len());
            self.connect(at, node, true);
        }
        self.pass_ms(CONVERGED_MS);
        for at in 0..self.clients.len() {
            self.disconnect(at);
        }
        self.pass_ms(CONVERGED_MS);
        let first = self.clients.len();
        let before = self.ledger.messages.len();
        for node in 0..self.nodes.len() {
            self.clients.push(Client::new(format!("probe{node}"), Version::V5, false));
            self.connect(first + node, node, false);
        }
        self.pass_ms(CONVERGED_MS);
        for node in 0..self.nodes.len() {
            TOPICS.into_iter().for_each(|topic| self.publish(first + node, topic, QoS::AtLeastOnce, false, false));
        }
        self.pass_ms(CONVERGED_MS);
        // What a group keeps for members to come keeps the last of them.
        let of_groups = |id: &MessageId| {
            let mut subs = self.ledger.sessions.iter().flat_map(|session| &session.subs);
            subs.any(|sub| sub.group.is_some() && matches(sub.filter, self.ledger.messages[*id].topic))
        };
        let unmatched = &self.ledger.unmatched;
        let wanted: BTreeSet<MessageId> =
            (before..self.ledger.messages.len()).filter(|id| !unmatched.contains(id) && !of_groups(id)).collect();
        if let Some(id) = wanted.first() {
            let (topic, node) = (self.ledger.messages[*id].topic, self.ledger.messages[*id].accepted_by);
            let status = self.ledger.messages[*id].status;
            self.ledger.fail("I28", || format!("somebody seems to want {topic}, says node {node:?}: {status:?}"));
        }
        for node in 0..self.nodes.len() {
            let awaited = self.nodes[node].gate.awaited();
            if awaited > 0 {
                self.ledger.fail("I28", || format!("in the end the gate of node {node} awaits {awaited} answers"));
            }
            let gate = &self.nodes[node].gate;
            let queued: usize = self.nodes.iter().map(|other| gate.queued_bytes(other.id)).sum();
            if queued > 0 {
                self.ledger.fail("I29", || format!("in the end {queued} bytes of node {node} wait for others"));
            }
        }
    }
}

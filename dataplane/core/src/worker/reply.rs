//! Writing to a connection: packets at once, replies when what they say is true.

use std::{net::SocketAddr, sync::Arc};

use sluice_mqtt::{Ack, QoS, ReasonCode, Version, encode};

use super::{Worker, deliver::session_of};
use crate::{
    ConnId, Now,
    connection::{
        Conn, Phase,
        replies::{Reply, Wait},
    },
    journal::Waiter,
    sampling::moment_us,
};

impl Worker {
    /// Lets a packet that is no PUBLISH be written to a connection.
    pub(super) fn write(&mut self, id: ConnId, encode: impl FnOnce(&mut Vec<u8>, Version)) {
        let Some(conn) = self.conns.at(id) else { return };
        let before = conn.outbox.len();
        encode(conn.outbox.buffer(), conn.version);
        let written = conn.outbox.len() - before;
        self.stats.bytes_sent += written as u64;
        self.stats.replies_sent += 1;
        mark_dirty(&mut self.dirty, &mut self.unflushed_bytes, conn, id, written);
    }

    /// Sends a reply once what it waits for has come, in its turn. Returns its number when it waits.
    pub(super) fn reply(&mut self, now: Now, id: ConnId, reply: Reply, wait: Wait) -> Option<u64> {
        let conn = self.conns.at(id)?;
        let ready = wait.batch <= self.journal.stored() && wait.answers == 0;
        if ready && conn.replies.is_none() {
            self.send_reply(now, id, &reply);
            self.note_acknowledged();
            return None;
        }
        let wait = Wait { since_us: moment_us(self.sampling.since_ns()), ..wait };
        let number = conn.replies.get_or_insert_default().push(reply, wait);
        if wait.batch > self.journal.stored() {
            self.journal.wait(wait.batch, Waiter::Replies(id));
        }
        Some(number)
    }

    /// Sends the replies of a connection that wait for nothing any more.
    pub(super) fn drain_replies(&mut self, now: Now, id: ConnId) {
        loop {
            let stored = self.journal.stored();
            let Some(conn) = self.conns.at(id) else { return };
            let Some(replies) = conn.replies.as_mut() else { break };
            let Some((reply, since_us)) = replies.pop_ready(stored) else { break };
            if replies.is_empty() {
                conn.replies = None;
            }
            self.send_reply(now, id, &reply);
            self.note_replied(since_us);
        }
        self.resume_if_acknowledged(id);
    }

    fn send_reply(&mut self, now: Now, id: ConnId, reply: &Reply) {
        let ack = |packet_id: &u16, reason: &ReasonCode| Ack::new(*packet_id, *reason);
        match reply {
            Reply::PubAck(packet_id, reason) | Reply::PubRec(packet_id, reason)
                if *reason == ReasonCode::QuotaExceeded
                    && self.conns.peek(id).is_some_and(|conn| conn.version != Version::V5) =>
            {
                // Another worker had no room. What may not be published is acknowledged and dropped.
                self.note_refused(id, *packet_id);
                self.refuse_silently(now, id);
            }
            Reply::ConnAck => self.finish_attaching(now, id),
            Reply::PubAck(packet_id, reason) => {
                self.write_ack(id, ack(packet_id, reason), None, encode::puback);
            }
            Reply::PubRec(packet_id, reason) => {
                self.note_routed(id, *packet_id, *reason);
                self.write_ack(id, ack(packet_id, reason), None, encode::pubrec);
            }
            Reply::Refused { packet_id, qos, reason, topic } if *qos == QoS::ExactlyOnce => {
                self.note_routed(id, *packet_id, *reason);
                self.write_ack(id, ack(packet_id, reason), Some(topic), encode::pubrec);
            }
            Reply::Refused { packet_id, reason, topic, .. } => {
                self.write_ack(id, ack(packet_id, reason), Some(topic), encode::puback);
            }
            Reply::PubRel(packet_id, reason) => {
                self.write(id, |out, version| encode::pubrel(out, version, &ack(packet_id, reason)));
            }
            Reply::PubComp(packet_id, reason) => {
                self.write(id, |out, version| encode::pubcomp(out, version, &ack(packet_id, reason)));
            }
            Reply::SubAck(packet_id, verdicts) => {
                self.write_suback(id, *packet_id, verdicts);
                self.pump_fetches(now, id);
                let place = session_of(self.conns.peek(id));
                let groups = place.map(|place| self.groups_waiting_for(place)).unwrap_or_default();
                self.hand_over_waiting(now, &groups);
            }
            Reply::UnsubAck(packet_id, verdicts) => {
                self.write_unsuback(id, *packet_id, verdicts);
            }
        }
    }

    /// A version 3 client that was stopped at its window may go on once acknowledgements have left.
    fn resume_if_acknowledged(&mut self, id: ConnId) {
        let Some(conn) = self.conns.peek(id) else { return };
        if conn.phase == Phase::Attached && conn.paused && self.unacknowledged(conn) < self.window_of(conn) {
            self.resume(id);
        }
    }

    /// How many QoS 1 and 2 messages a client may have unacknowledged.
    pub(super) fn window_of(&self, conn: &Conn) -> usize {
        usize::from(match conn.version {
            Version::V5 => self.settings.receive_maximum,
            Version::V31 | Version::V311 => self.settings.receive_maximum_v3,
        })
    }

    /// QoS 1 and 2 messages of a client that it has not seen acknowledged.
    pub(super) fn unacknowledged(&self, conn: &Conn) -> usize {
        let exchanges = conn.session.and_then(|s| self.sessions.peek(s)).map_or(0, |s| s.received.len());
        conn.replies.as_ref().map_or(0, |replies| replies.unacknowledged()) + exchanges
    }

    /// Who a connection is, for the log.
    pub(super) fn name_of(&self, id: ConnId) -> (Arc<str>, Option<SocketAddr>) {
        let Some(conn) = self.conns.peek(id) else { return (Arc::from(""), None) };
        let of_session = conn.session.and_then(|s| self.sessions.peek(s)).map(|s| Arc::clone(s.client_id()));
        let client_id = of_session.or_else(|| conn.connecting.as_ref().map(|c| Arc::clone(&c.client_id)));
        (client_id.unwrap_or_else(|| Arc::from("")), conn.opened.peer)
    }
}

/// Notes that bytes were appended to a connection's outbox. A blocked socket is not offered again: the driver writes on
/// by itself when it takes more.
#[inline]
pub(super) fn mark_dirty(
    dirty: &mut Vec<ConnId>,
    unflushed_bytes: &mut usize,
    conn: &mut Conn,
    id: ConnId,
    written: usize,
) {
    if conn.blocked {
        return;
    }
    if conn.dirty {
        *unflushed_bytes += written;
        return;
    }
    conn.dirty = true;
    *unflushed_bytes += conn.outbox.len();
    dirty.push(id);
}

//! Clients that are told to connect to another node: when they come, by policy; and all that a drained node has.

use std::sync::Arc;

use sluice_cluster::{Carrier, NodeId};
use sluice_mqtt::{ConnAck, Disconnect, ReasonCode, Version};

use super::{Worker, dispatch::Flow};
use crate::{
    ConnId, Event, Now, Output, Transport,
    connection::{Conn, Phase},
    stats::{Closed, Steered},
    steering::{Comer, Decision},
};

impl Worker {
    /// Tells a client that may connect here to connect elsewhere, if it is to. `None`: it is served.
    ///
    /// It comes after all checks, so that who is refused learns nothing, and before anything is done to a session.
    pub(super) fn steer(&mut self, now: Now, id: ConnId) -> Option<Flow> {
        let (decision, client_id) = self.decide(id)?;
        match decision {
            Decision::Serve => {
                // It is where it should be, also because it has followed.
                self.pointed.arrived(&client_id);
                None
            }
            Decision::Stay(why) => {
                self.stats.unsteered[why as usize] += 1;
                None
            }
            Decision::Go { reference, cause } => {
                // Who comes to a node that is drained is sent on however often it comes.
                if cause != Steered::DrainConnect
                    && let Err(why) = self.pointed.point(now.mono_ms, &client_id)
                {
                    self.stats.unsteered[why as usize] += 1;
                    return None;
                }
                self.stats.steered[cause as usize] += 1;
                Some(self.refuse_with(now, id, &reference))
            }
        }
    }

    fn decide(&self, id: ConnId) -> Option<(Decision, Arc<str>)> {
        let conn = self.conns.peek(id)?;
        let connecting = conn.connecting.as_ref()?;
        let is_transient = connecting.clean_start && connecting.expiry_s == 0;
        let comer = self.comer(conn, &connecting.client_id, is_transient);
        Some((self.homes.decide(&comer), Arc::clone(&connecting.client_id)))
    }

    fn comer<'a>(&self, conn: &Conn, client_id: &'a str, is_transient: bool) -> Comer<'a> {
        Comer {
            client_id,
            version: conn.version,
            is_transient,
            carrier: carrier_of(conn.opened.transport),
            via: conn.opened.via,
            home: self.homes.of_client(client_id),
        }
    }

    /// Answers CONNECT with 0x9C and where to go; `reference` may be empty.
    fn refuse_with(&mut self, now: Now, id: ConnId, reference: &str) -> Flow {
        let reason = ReasonCode::UseAnotherServer;
        let (client_id, peer) = self.name_of(id);
        self.outputs.push_back(Output::Log(Event::Refused { client_id, peer, reason: reason.name() }));
        let mut connack = ConnAck::new(false, reason);
        connack.properties.server_reference = Some(reference).filter(|reference| !reference.is_empty());
        self.write_connack_refusal(id, &connack);
        self.abort(now, id, Closed::Steered);
        Flow::Closed
    }

    /// Whether a client that comes to this node is sent to another one, whatever it is.
    pub(super) fn is_left(&self) -> bool {
        self.homes.is_left(None)
    }

    /// Sees to it that clients leave a node that operators drain, at a steady rate: those that are connected here, and of
    /// those that are served here the ones that are connected to such a node. They are looked for again when all that were
    /// found have been told, and nobody else is told when the drain is called off.
    pub(super) fn pace_drain(&mut self, now: Now) {
        if self.draining.is_some() {
            return;
        }
        if !self.homes.has_draining() {
            self.housekeeping.stay();
            return;
        }
        if self.housekeeping.has_leaving() {
            return;
        }
        let leaving = |id: &ConnId| {
            let conn = self.conns.peek(*id)?;
            (conn.phase == Phase::Attached && self.homes.is_left(conn.opened.via)).then_some(*id)
        };
        let leaving: Vec<ConnId> = self.conns.ids().iter().filter_map(leaving).collect();
        self.leave(now, &leaving, self.settings.drain_per_second);
    }

    /// Has clients leave, so many a second of all workers together; 0 = at once. The workers take turns.
    pub(super) fn leave(&mut self, now: Now, ids: &[ConnId], per_second: u32) {
        let (workers, mine) = (u64::from(self.sharding.workers()), u64::from(self.id.0));
        for (nth, &id) in (0u64..).zip(ids) {
            let turn = nth * workers + mine;
            let after_ms = (turn * 1000).checked_div(u64::from(per_second)).unwrap_or(0);
            self.housekeeping.leave_at(now.mono_ms + after_ms, id);
        }
    }

    /// Other nodes than this one for a client that is connected, separated by spaces.
    pub(super) fn other_nodes(&self, conn: &Conn) -> String {
        self.references(conn, None)
    }

    /// Other nodes for a client that comes through one.
    fn references(&self, conn: &Conn, via: Option<NodeId>) -> String {
        let session = conn.session.and_then(|place| self.sessions.peek(place));
        let client_id = session.map_or("", |session| session.client_id());
        self.homes.references(&Comer { via, ..self.comer(conn, client_id, false) })
    }

    /// Disconnects one client because its node is drained, if that still holds.
    pub(super) fn send_elsewhere(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.peek(id).filter(|conn| conn.phase == Phase::Attached) else { return };
        if !self.homes.is_left(conn.opened.via) {
            return;
        }
        let reference = self.references(conn, conn.opened.via);
        if conn.version == Version::V5 {
            let mut disconnect = Disconnect::new(ReasonCode::UseAnotherServer);
            disconnect.properties.server_reference = Some(&*reference).filter(|reference| !reference.is_empty());
            self.write_disconnect(id, &disconnect, None);
        }
        self.stats.steered[Steered::DrainConnected as usize] += 1;
        self.abort(now, id, Closed::Steered);
    }
}

/// By which kind of address a client has come. A Unix socket has none that another machine has as well.
fn carrier_of(transport: Transport) -> Option<Carrier> {
    match transport {
        Transport::Tcp => Some(Carrier::Tcp),
        Transport::Tls => Some(Carrier::Tls),
        Transport::Ws => Some(Carrier::Ws),
        Transport::Wss => Some(Carrier::Wss),
        Transport::Unix => None,
    }
}

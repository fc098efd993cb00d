//! One client id, one connection, in the whole cluster.
//!
//! A client's session has its home at one node. A persistent session is served there, wherever its client has connected.
//! A transient one is served where its client is, and *claimed* at its home, which tells whoever had the client id before
//! to let go of it. Claims are soft: a home that has forgotten them is told again, and a claim that is told again gives way
//! to whoever came since.

use std::sync::Arc;

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use sluice_cluster::{NodeId, WorkerId};
use sluice_dataplane_access::Principal;
use sluice_mqtt::ReasonCode;

use super::{Worker, dispatch::Flow, route::Routed};
use crate::{
    ConnId, Now,
    connection::Phase,
    homes::{Home, Homes},
    peers::{Asker, Frame},
    stats::Closed,
};

/// A client id in use at another node than its home.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    /// Where it is in use.
    pub(super) node: NodeId,
    /// Whether it was claimed before.
    pub(super) renew: bool,
    /// Tells two attachments of the client at that node apart.
    pub(super) serial: u64,
    /// The client.
    pub(super) client: &'a str,
    /// Its user; empty = none.
    pub(super) user: &'a str,
}

/// Client ids that are in use away from their homes.
#[derive(Default)]
pub(super) struct Claims {
    /// Those that this worker is the home of: where they are in use.
    held: IndexMap<Box<str>, Held, FixedState>,
    /// Those in use here: where they were claimed.
    mine: IndexMap<Arc<str>, Mine, FixedState>,
    last_serial: u64,
}

struct Held {
    node: NodeId,
    serial: u64,
    user: Box<str>,
}

#[derive(Clone, Copy)]
struct Mine {
    /// The default until it was told.
    home: NodeId,
    serial: u64,
}

/// What waits for the answer to a claim.
#[derive(Debug)]
pub(crate) struct Claiming {
    /// The claim.
    serial: u64,
    /// Who the client is.
    pub(crate) principal: Arc<Principal>,
    /// When its credentials end, in ms since the Unix epoch.
    pub(crate) expires_wall_ms: Option<u64>,
}

impl Claims {
    /// A node is gone, or has forgotten everything.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.held.retain(|_, held| held.node != node);
    }

    /// Whose the client id is at the node that uses it, if one does.
    pub(super) fn user_of(&self, client: &str) -> Option<&str> {
        self.held.get(client).map(|held| &*held.user)
    }
}

impl Worker {
    /// The gate's number among the workers.
    pub(super) fn gate(&self) -> WorkerId {
        WorkerId(self.sharding.workers())
    }

    /// Gives a client its session, after its home was asked if that is another node.
    pub(super) fn claim_and_attach(
        &mut self,
        now: Now,
        id: ConnId,
        principal: Arc<Principal>,
        expires_wall_ms: Option<u64>,
    ) -> Flow {
        let client = Arc::clone(principal.client_id());
        let home = match self.homes.of_client(&client) {
            Home::Here => {
                self.evict_holder(&client);
                return self.attach(now, id, principal, expires_wall_ms);
            }
            Home::Away(node) => node,
            Home::Unreachable => {
                // It is told when it can be. Until then the id is unique at this node only.
                self.note_claim(&client, NodeId::default());
                return self.attach(now, id, principal, expires_wall_ms);
            }
        };
        let serial = self.note_claim(&client, home);
        let ticket = self.peers.next_ticket();
        self.peers.expect(ticket, Asker::Claim(id), 1);
        let user = principal.username().map_or("", |name| &**name);
        let claim = Frame::Claim { ticket, node: home, renew: false, serial, client: &client, user };
        self.peers.send(self.gate(), &claim);
        if let Some(connecting) = self.conns.at(id).and_then(|conn| conn.connecting.as_mut()) {
            connecting.asked = true;
            connecting.claiming = Some(Claiming { serial, principal, expires_wall_ms });
        }
        Flow::Pause
    }

    /// The home has answered a claim.
    pub(super) fn on_claimed(&mut self, now: Now, id: ConnId, refused: Option<ReasonCode>) {
        let Some(conn) = self.conns.at(id).filter(|conn| conn.phase == Phase::Authenticating) else { return };
        let Some(claiming) = conn.connecting.as_mut().and_then(|connecting| connecting.claiming.take()) else { return };
        match refused {
            None if self.claim_of(claiming.principal.client_id()) != claiming.serial => {
                // Its client has connected once more since, here or elsewhere.
                self.refuse_connect(now, id, ReasonCode::ServerUnavailable);
            }
            None => {
                self.attach(now, id, claiming.principal, claiming.expires_wall_ms);
            }
            Some(_) => {
                self.abandon_claim(&claiming);
                self.stats.denied[0] += 1;
                self.refuse_connect(now, id, ReasonCode::NotAuthorized);
            }
        }
    }

    fn note_claim(&mut self, client: &Arc<str>, home: NodeId) -> u64 {
        self.claims.last_serial += 1;
        let serial = self.claims.last_serial;
        self.claims.mine.insert(Arc::clone(client), Mine { home, serial });
        serial
    }

    /// Which claim a session that is being attached stands on; 0 = none.
    pub(super) fn claim_of(&self, client: &str) -> u64 {
        self.claims.mine.get(client).map_or(0, |mine| mine.serial)
    }

    /// A session is over: its home need not know of it, unless its client has begun another one here.
    pub(super) fn unclaim(&mut self, client: &str, serial: u64) {
        let Some(&Mine { home, .. }) = self.claims.mine.get(client).filter(|mine| mine.serial == serial) else {
            return;
        };
        self.claims.mine.swap_remove(client);
        self.peers.send(self.gate(), &Frame::Unclaim { node: home, serial, client });
    }

    /// A connection that had claimed its client id is gone, or may not have it. The claim falls to the session that it
    /// would have replaced, if there is one.
    pub(super) fn abandon_claim(&mut self, claiming: &Claiming) {
        let client = claiming.principal.client_id();
        if self.claim_of(client) != claiming.serial {
            return;
        }
        let place = self.by_client.get(client).copied();
        match place.and_then(|place| self.sessions.at(place)).filter(|session| session.conn.is_some()) {
            Some(session) => session.claim = claiming.serial,
            None => self.unclaim(client, claiming.serial),
        }
    }

    /// It is known anew where things have their home. What was in use here before this node knew that it is its home is in
    /// use nowhere else from here on.
    pub(super) fn on_homes(&mut self, homes: Arc<Homes>) {
        self.homes = homes;
        let is_here = |client: &&Arc<str>| self.homes.of_client(client) == Home::Here;
        let come_home: Vec<Arc<str>> = self.claims.mine.keys().filter(is_here).cloned().collect();
        for client in come_home {
            self.claims.mine.swap_remove(&client);
            self.evict_holder(&client);
        }
    }

    /// A node can be asked that could not, or has other homes than before.
    pub(super) fn renew_claims(&mut self, node: NodeId) {
        let gate = self.gate();
        for (client, mine) in &mut self.claims.mine {
            if self.homes.of_client(client) != Home::Away(node) {
                continue;
            }
            mine.home = node;
            let session = self.by_client.get(client).and_then(|&place| self.sessions.peek(place));
            let user = session.and_then(|session| session.principal.username()).map_or("", |name| &**name);
            let serial = mine.serial;
            self.peers.send(gate, &Frame::Claim { ticket: 0, node, renew: true, serial, client, user });
        }
    }

    /// A client whose home is here has connected to another node.
    pub(super) fn on_claim(&mut self, now: Now, from: WorkerId, ticket: u64, claim: &Claim<'_>) {
        let Claim { node, renew, serial, client, user } = *claim;
        let mut routed = Routed { matched: true, ..Routed::default() };
        let session = self.by_client.get(client).copied();
        let of_session = session.and_then(|place| self.sessions.peek(place));
        let other_user = match of_session {
            Some(session) => session.principal.username().map_or("", |name| &**name) != user,
            None => self.claims.user_of(client).is_some_and(|held| held != user),
        };
        // Which of them is newer is not known of a claim that could not be made in its time. A session that stays is not
        // given up for that: its messages were acknowledged.
        let is_newer_here = of_session.is_some() || self.claims.held.get(client).is_some_and(|held| held.node != node);
        if other_user || (renew && is_newer_here) {
            if renew {
                self.peers.send(from, &Frame::Evict { node, serial, client });
            }
            routed.refused = other_user.then_some(ReasonCode::NotAuthorized);
            self.answer(now, from, ticket, &routed);
            return;
        }
        if let Some(place) = session {
            routed.stored = self.give_way(now, place);
        }
        let held = Held { node, serial, user: user.into() };
        if let Some(old) = self.claims.held.insert(client.into(), held)
            && old.node != node
        {
            self.peers.send(from, &Frame::Evict { node: old.node, serial: old.serial, client });
        }
        self.answer(now, from, ticket, &routed);
    }

    /// Ends a session because its client has begun a new one elsewhere. Whether the store has to hear of it.
    fn give_way(&mut self, now: Now, place: u32) -> bool {
        let Some(session) = self.sessions.peek(place) else { return false };
        let persistent = session.is_persistent();
        if let Some(conn) = session.conn {
            self.stats.takeovers += 1;
            self.disconnect(now, conn, ReasonCode::SessionTakenOver, Closed::TakenOver);
        }
        if persistent {
            self.end_session(now, place);
        }
        persistent
    }

    /// A client whose home is here is in use at another node no more.
    pub(super) fn on_unclaim(&mut self, node: NodeId, serial: u64, client: &str) {
        if self.claims.held.get(client).is_some_and(|held| held.node == node && held.serial == serial) {
            self.claims.held.swap_remove(client);
        }
    }

    /// The client id of a session here belongs to somebody else from now on; also of one that is about to begin.
    pub(super) fn on_evict(&mut self, now: Now, serial: u64, client: &str) {
        if self.claims.mine.get(client).is_none_or(|mine| mine.serial != serial) {
            return;
        }
        self.claims.mine.swap_remove(client);
        let conn = self.by_client.get(client).and_then(|&place| self.sessions.peek(place)).and_then(|s| s.conn);
        if let Some(conn) = conn {
            self.stats.takeovers += 1;
            self.disconnect(now, conn, ReasonCode::SessionTakenOver, Closed::TakenOver);
        }
    }

    /// A client has come home: whoever has its id elsewhere lets go of it.
    fn evict_holder(&mut self, client: &str) {
        if let Some(held) = self.claims.held.swap_remove(client) {
            self.stats.takeovers += 1;
            let gate = self.gate();
            self.peers.send(gate, &Frame::Evict { node: held.node, serial: held.serial, client });
        }
    }
}

//! A connection: what the broker knows of one socket's client while it lasts.
//!
//! ```text
//!  Fresh ──CONNECT──► Authenticating ──accepted──► Attaching ──stored──► Attached ──► Closing
//!    │                   │   ▲ AUTH                    │                    │            ▲
//!    └───────────────────┴───┴───────refused───────────┴────────────────────┴────────────┘
//! ```

pub(crate) mod alias;
pub(crate) mod rate;
pub(crate) mod replies;

use std::{num::NonZeroU64, sync::Arc};

use sluice_mqtt::Version;

use crate::{ConnId, Opened, Outbox, retained::Fetches, session::Will, stats::Closed, table::Table, worker::Claiming};
use alias::{AliasesIn, AliasesOut};
use rate::Rates;
use replies::Replies;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing but the start of a CONNECT was received.
    Fresh,
    /// The checker is asked, or the client is asked by AUTH.
    Authenticating,
    /// The session waits for the store before CONNACK.
    Attaching,
    /// Connected.
    Attached,
    /// Over: what the outbox holds is written, then the socket is closed.
    Closing,
}

/// What the broker knows of one socket's client.
pub(crate) struct Conn {
    /// Tells the users of one place in the table apart.
    generation: u32,
    /// The driver's account of it.
    pub(crate) opened: Opened,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// Its protocol.
    pub(crate) version: Version,
    /// Whether it is a bridge (bit 7 of the protocol level).
    pub(crate) bridge: bool,
    /// The driver was given it by `next_dirty` or is in the list for it.
    pub(crate) dirty: bool,
    /// The socket takes no more for now.
    pub(crate) blocked: bool,
    /// The driver was told not to read.
    pub(crate) paused: bool,
    /// Whether reason strings and user properties may be sent on other than CONNACK, DISCONNECT and PUBLISH.
    pub(crate) problem_information: bool,
    /// What it was accepted on, for reviews.
    pub(crate) grounds: Option<NonZeroU64>,
    /// Its session, from `Attaching` on.
    pub(crate) session: Option<u32>,
    /// Bytes to write.
    pub(crate) outbox: Outbox,
    /// When a packet was last received, in monotonic ms.
    pub(crate) heard_ms: u64,
    /// Since when a packet is unfinished, in monotonic ms; 0 = none is.
    pub(crate) partial_since_ms: u64,
    /// When its timer comes up, in monotonic ms; 0 = none is set. Earlier timers of the heap are stale.
    pub(crate) armed_ms: u64,
    /// When reading goes on after a rate limit, in monotonic ms; 0 = no rate limit holds it.
    pub(crate) resume_at_ms: u64,
    /// 1.5 times the keep alive; 0 = none.
    pub(crate) silence_max_ms: u32,
    /// The client's Maximum Packet Size.
    pub(crate) packet_bytes_max: u32,
    /// Replies that wait for the store or other workers.
    pub(crate) replies: Option<Box<Replies>>,
    /// Topic aliases the client set.
    pub(crate) aliases_in: Option<Box<AliasesIn>>,
    /// Topic aliases the broker set.
    pub(crate) aliases_out: Option<Box<AliasesOut>>,
    /// Rate limits, once they matter.
    pub(crate) rates: Rates,
    /// A CONNECT under way.
    pub(crate) connecting: Option<Box<Connecting>>,
    /// What an established connection rarely has.
    pub(crate) rare: Option<Box<Rare>>,
    /// Retained messages still to be sent.
    pub(crate) fetches: Option<Box<Fetches>>,
    /// Why it ended, once it has.
    pub(crate) closed: Closed,
}

/// What an established connection rarely has.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The method of enhanced authentication.
    pub(crate) auth_method: Option<Box<str>>,
    /// Whether a re-authentication is under way.
    pub(crate) reauthenticating: bool,
    /// When its credentials end, in ms since the Unix epoch; 0 = never.
    pub(crate) expires_wall_ms: u64,
}

/// A CONNECT, kept while its answer is found.
#[derive(Debug)]
pub(crate) struct Connecting {
    /// The client id, given or assigned.
    pub(crate) client_id: Arc<str>,
    /// Whether the broker assigned it.
    pub(crate) assigned: bool,
    /// Clean Start or Clean Session.
    pub(crate) clean_start: bool,
    /// Session Expiry Interval, capped.
    pub(crate) expiry_s: u32,
    /// Whether the cap changed it.
    pub(crate) expiry_capped: bool,
    /// Keep Alive to be enforced.
    pub(crate) keep_alive_s: u16,
    /// Whether that differs from what the client asked for.
    pub(crate) keep_alive_changed: bool,
    /// The client's Receive Maximum.
    pub(crate) receive_maximum: u16,
    /// The client's Topic Alias Maximum.
    pub(crate) topic_alias_maximum: u16,
    /// Whether the client wants Response Information.
    pub(crate) response_information: bool,
    /// The method of enhanced authentication.
    pub(crate) auth_method: Option<Box<str>>,
    /// Its will.
    pub(crate) will: Option<Box<Will>>,
    /// Last data of an enhanced exchange.
    pub(crate) auth_data: Option<Box<[u8]>>,
    /// Whether the checker has the question (otherwise the client has it).
    pub(crate) asked: bool,
    /// Session Present, once known.
    pub(crate) session_present: bool,
    /// What goes on when the home of the client id has answered.
    pub(crate) claiming: Option<Claiming>,
}

/// All connections of a worker.
#[derive(Default)]
pub(crate) struct Conns {
    table: Table<Conn>,
    generation: u32,
}

impl Conn {
    /// A connection without bytes.
    pub(crate) fn new(opened: Opened, now_ms: u64, rates: Rates) -> Self {
        Self {
            generation: 0,
            opened,
            phase: Phase::Fresh,
            version: Version::V311,
            bridge: false,
            dirty: false,
            blocked: false,
            paused: false,
            problem_information: true,
            grounds: None,
            session: None,
            outbox: Outbox::default(),
            heard_ms: now_ms,
            partial_since_ms: 0,
            armed_ms: 0,
            resume_at_ms: 0,
            silence_max_ms: 0,
            packet_bytes_max: u32::MAX,
            replies: None,
            aliases_in: None,
            aliases_out: None,
            rates,
            connecting: None,
            rare: None,
            fetches: None,
            closed: Closed::ClientGone,
        }
    }

    /// Whether the client does not read what it is sent: then it is not heard either, so that answers to what it sends
    /// do not pile up.
    pub(crate) fn is_stuffed(&self, outbox_bytes_max: usize) -> bool {
        self.blocked && self.outbox.len() > outbox_bytes_max
    }
}

impl Conns {
    /// Adds a connection.
    pub(crate) fn insert(&mut self, mut conn: Conn) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        conn.generation = self.generation;
        ConnId { index: self.table.insert(conn), generation: self.generation }
    }

    /// A connection, if it is still that one.
    #[inline]
    pub(crate) fn at(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.table.get_mut(id.index).filter(|conn| conn.generation == id.generation)
    }

    /// A connection, to read.
    #[inline]
    pub(crate) fn peek(&self, id: ConnId) -> Option<&Conn> {
        self.table.get(id.index).filter(|conn| conn.generation == id.generation)
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        self.peek(id)?;
        self.table.remove(id.index)
    }

    /// Every connection's id, in order of place.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.table.iter().map(|(index, conn)| ConnId { index, generation: conn.generation }).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

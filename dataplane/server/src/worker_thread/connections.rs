//! The connections of one worker, in a table indexed by the place the core gave them.

use sluice_dataplane_core::{ConnId, Opened};

use crate::transport::Transport;

/// A connection that speaks MQTT. Idle, it owns this entry, its socket and nothing else.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) transport: Transport,
    /// Bytes the core did not take: the front of a packet, or all there is while paused.
    pub(super) kept: Vec<u8>,
    /// What the core was told, for the worker it may be handed over to. Gone after the first packet.
    pub(super) opened: Option<Box<Opened>>,
    /// No packet of it was taken yet.
    pub(super) fresh: bool,
    /// There may be something to read that no event will announce.
    pub(super) readable: bool,
    /// An event said that the other side is closed: read on to the end even after a short read.
    pub(super) hung_up: bool,
    /// The core wants no bytes for now.
    pub(super) paused: bool,
    /// The core wants bytes again, those that were kept first.
    pub(super) resumed: bool,
    /// It stands in the list of those to be served without an event.
    pub(super) queued: bool,
    /// The socket takes nothing more for now; an event will say when.
    pub(super) blocked: bool,
    /// Over, except for what is left to write.
    pub(super) closing: bool,
    /// Closing, and something was or is being written that the client should be able to read.
    pub(super) has_last_words: bool,
    /// Closing, and the layers' goodbye is queued.
    pub(super) said_goodbye: bool,
    /// Its outbox may hold a buffer; see [`super::warm`].
    pub(super) warm: bool,
    /// Written to since the last look at the warm ones.
    pub(super) used: bool,
}

impl Connection {
    pub(super) fn new(id: ConnId, transport: Transport, kept: Vec<u8>, opened: Option<Box<Opened>>) -> Self {
        Self {
            id,
            transport,
            kept,
            opened,
            fresh: true,
            readable: false,
            hung_up: false,
            paused: false,
            resumed: false,
            queued: false,
            blocked: false,
            closing: false,
            has_last_words: false,
            said_goodbye: false,
            warm: false,
            used: false,
        }
    }
}

/// The table. It grows by pages, as the core's does: a vector that has just grown would hold twice the memory.
#[derive(Default)]
pub(super) struct Connections {
    pages: Vec<Vec<Option<Connection>>>,
    count: usize,
}

/// Connections of a page.
const PAGE: usize = 256;

impl Connections {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Puts a connection in its place.
    ///
    /// # Panics
    /// When the place is taken: the core gives a place again only after it was told that the connection is over.
    pub(super) fn insert(&mut self, connection: Connection) {
        let index = connection.id.index as usize;
        while self.pages.len() <= index / PAGE {
            let mut page = Vec::new();
            page.resize_with(PAGE, || None);
            self.pages.push(page);
        }
        let before = self.pages[index / PAGE][index % PAGE].replace(connection);
        assert!(before.is_none(), "two connections in place {index}");
        self.count += 1;
    }

    /// The connection, if it is still there.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.place(id)?.as_mut().filter(|connection| connection.id == id)
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        let removed = self.place(id)?.take_if(|connection| connection.id == id)?;
        self.count -= 1;
        Some(removed)
    }

    fn place(&mut self, id: ConnId) -> Option<&mut Option<Connection>> {
        let index = id.index as usize;
        self.pages.get_mut(index / PAGE)?.get_mut(index % PAGE)
    }
}

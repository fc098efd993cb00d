//! Sockets that are closed for writing and wait for the client to read its last words and close too.
//!
//! What such a client still sends is thrown away.

use std::collections::VecDeque;

use mio::Registry;
use slab::Slab;

use super::Place;
use crate::transport::{Next, Scratch, Transport};

/// The lingering sockets of one worker.
#[derive(Default)]
pub(super) struct Lingering {
    sockets: Slab<Socket>,
    /// When to give up, by key; of those that are gone already too.
    deadlines: VecDeque<(u64, usize, u64)>,
    /// Tells two users of one key apart.
    serial: u64,
}

struct Socket {
    transport: Transport,
    serial: u64,
    bytes_left: usize,
}

impl Lingering {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// When the next one is given up.
    pub(super) fn due(&self) -> Option<u64> {
        self.deadlines.front().map(|(at, ..)| *at)
    }

    /// Takes a socket whose sending side is closed.
    pub(super) fn add(&mut self, mut transport: Transport, registry: &Registry, now_ms: u64) {
        if self.sockets.len() >= SOCKETS_MAX {
            self.give_up_first();
        }
        let place = self.sockets.vacant_entry();
        if transport.wire_mut().reregister(registry, Place::Lingering(place.key()).token()).is_ok() {
            self.serial += 1;
            self.deadlines.push_back((now_ms + LINGER_MS, place.key(), self.serial));
            place.insert(Socket { transport, serial: self.serial, bytes_left: BYTES_MAX });
        }
    }

    /// Throws away what came; ends with the client.
    pub(super) fn read_on(&mut self, key: usize, scratch: &mut Scratch) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        loop {
            let read = socket.transport.wire_mut().read(&mut scratch.plain);
            socket.bytes_left = socket.bytes_left.saturating_sub(read.bytes);
            match read.next {
                Next::More if socket.bytes_left > 0 => {}
                Next::Drained if socket.bytes_left > 0 && read.bytes > 0 => {}
                Next::Drained if socket.bytes_left > 0 => return,
                Next::More | Next::Drained | Next::Closed(_) => {
                    self.sockets.remove(key);
                    return;
                }
            }
        }
    }

    /// Closes those that took too long.
    pub(super) fn give_up(&mut self, now_ms: u64) {
        while self.due().is_some_and(|due| due <= now_ms) {
            self.give_up_first();
        }
    }

    fn give_up_first(&mut self) {
        if let Some((_, key, serial)) = self.deadlines.pop_front()
            && self.sockets.get(key).is_some_and(|socket| socket.serial == serial)
        {
            self.sockets.remove(key);
        }
    }
}

/// Long enough for a round trip round the world and a client that is slow to look.
const LINGER_MS: u64 = 2_000;
/// What a client may send after it was told to go: eight packets of the default maximum.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The oldest go first.
const SOCKETS_MAX: usize = 1024;

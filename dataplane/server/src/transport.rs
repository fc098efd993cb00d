//! A connection's socket with what lies on it: TLS, WebSocket, both or nothing.
//!
//! The layers own no buffers while nothing is under way. Reading decrypts and unwraps into the [`Scratch`] of the
//! worker; writing wraps and encrypts there. What a socket did not take stays in the outbox, except for bytes that
//! are encrypted already, which wait with their layer.

mod tls;
mod wire;
mod ws;

use std::{
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
};

use sluice_dataplane_core as core;
use sluice_dataplane_core::{ClosedBy, Flush, Outbox};

use crate::listener::Seat;

pub(crate) use self::{tls::TlsSession, wire::Wire, ws::WsSession};

/// The buffers all connections of a thread share.
pub(crate) struct Scratch {
    /// MQTT bytes that were read. Also where bytes are gathered for encryption.
    pub(crate) plain: Box<[u8]>,
    /// TLS records, before decryption or after encryption. Empty until the first TLS connection.
    cipher: Vec<u8>,
}

impl Scratch {
    /// New buffers.
    pub(crate) fn new() -> Self {
        Self { plain: vec![0; READ_BYTES].into_boxed_slice(), cipher: Vec::new() }
    }
}

/// One connection's way in and out.
pub(crate) struct Transport {
    wire: Wire,
    tls: Option<Box<TlsSession>>,
    ws: Option<Box<WsSession>>,
    /// Its place among the node's connections.
    _seat: Seat,
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Read {
    /// MQTT bytes in [`Scratch::plain`], behind those that were there.
    pub(crate) bytes: usize,
    /// What can be said about the next read.
    pub(crate) next: Next,
}

/// Whether reading on makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// There may be more.
    More,
    /// The socket is empty: wait for the next readiness event.
    Drained,
    /// The connection is over.
    Closed(ClosedBy),
}

impl Transport {
    /// A transport over `wire`.
    pub(crate) fn new(wire: Wire, tls: Option<Box<TlsSession>>, ws: Option<Box<WsSession>>, seat: Seat) -> Self {
        Self { wire, tls, ws, _seat: seat }
    }

    /// What the core calls it.
    pub(crate) fn kind(&self) -> core::Transport {
        match (&self.wire, &self.tls, &self.ws) {
            (_, Some(_), Some(_)) => core::Transport::Wss,
            (_, None, Some(_)) => core::Transport::Ws,
            (_, Some(_), None) => core::Transport::Tls,
            (Wire::Unix(_), None, None) => core::Transport::Unix,
            (Wire::Tcp(_), None, None) => core::Transport::Tcp,
        }
    }

    /// The other side of the socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.wire.peer()
    }

    /// The socket.
    pub(crate) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Whether a layer made bytes of its own that wait to be written (a pong, a TLS key update).
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write()) || self.ws.as_ref().is_some_and(|ws| ws.wants_write())
    }

    /// Reads once into `scratch.plain[from..]`, which must have at least [`READ_BYTES_MIN`] bytes.
    pub(crate) fn read(&mut self, scratch: &mut Scratch, from: usize, now_ms: u64) -> Read {
        let Scratch { plain, cipher } = scratch;
        let room = &mut plain[from..];
        assert!(room.len() >= READ_BYTES_MIN, "room for {} bytes", room.len());
        let mut read = match &mut self.tls {
            None => self.wire.read(room),
            Some(tls) => tls.read(&self.wire, cipher, room),
        };
        if let Some(ws) = &mut self.ws {
            let (payload, ended) = ws.unwrap(now_ms, &mut room[..read.bytes]);
            read.bytes = payload;
            if let Some(by) = ended {
                read.next = Next::Closed(by);
            }
        }
        read
    }

    /// Unwraps bytes that came while the connection was being opened; they stand at the front of `bytes`. Says how
    /// many MQTT bytes they held, or `None` when the connection ended with them.
    pub(crate) fn unwrap_early(&mut self, now_ms: u64, bytes: &mut [u8]) -> Option<usize> {
        match &mut self.ws {
            None => Some(bytes.len()),
            Some(ws) => match ws.unwrap(now_ms, bytes) {
                (payload, None) => Some(payload),
                (_, Some(_)) => None,
            },
        }
    }

    /// Writes an outbox and what the layers want to say, as much as the socket takes.
    ///
    /// # Errors
    /// The transport failed; the connection is over.
    pub(crate) fn write(&mut self, outbox: &mut Outbox, scratch: &mut Scratch) -> io::Result<Flush> {
        match (&mut self.tls, &mut self.ws) {
            (None, None) => write_plain(&self.wire, outbox),
            (None, Some(ws)) => ws.write(&self.wire, outbox),
            (Some(tls), ws) => {
                let Scratch { plain, cipher } = scratch;
                tls.write(&self.wire, cipher, |gathered| gather(ws.as_deref_mut(), outbox, plain, gathered))
            }
        }
    }

    /// Says goodbye in the words of the layers: a WebSocket close, a TLS close_notify. [`Self::write`] sends it.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(ws) = &mut self.ws {
            ws.say_goodbye();
        }
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye();
        }
    }
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        self.wire.as_raw_fd()
    }
}

/// Takes the next bytes for TLS from `ws` and `outbox`: hands them to `seal` in one run, and says whether there were any.
fn gather(
    ws: Option<&mut WsSession>,
    outbox: &mut Outbox,
    plain: &mut [u8],
    seal: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<bool> {
    let room = &mut plain[..SEAL_BYTES];
    if let (None, Some(run)) = (&ws, outbox.single()) {
        let run = &run[..run.len().min(SEAL_BYTES)];
        let taken = run.len();
        if taken > 0 {
            seal(run)?;
            outbox.advance(taken);
        }
        return Ok(taken > 0);
    }
    let taken = match ws {
        Some(ws) => ws.gather(outbox, room),
        None => copy_out(outbox, room),
    };
    if taken > 0 {
        seal(&room[..taken])?;
    }
    Ok(taken > 0)
}

/// Moves bytes from an outbox to `room`.
fn copy_out(outbox: &mut Outbox, room: &mut [u8]) -> usize {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let filled = outbox.fill(&mut slices);
    let mut copied = 0;
    for slice in &slices[..filled] {
        let run = slice.len().min(room.len() - copied);
        room[copied..copied + run].copy_from_slice(&slice[..run]);
        copied += run;
    }
    outbox.advance(copied);
    copied
}

/// Writes an outbox to a socket that carries MQTT bytes as they are.
fn write_plain(wire: &Wire, outbox: &mut Outbox) -> io::Result<Flush> {
    while !outbox.is_empty() {
        let waiting = outbox.len();
        let written = match outbox.single() {
            Some(run) => wire.write(run),
            None => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let filled = outbox.fill(&mut slices);
                let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
                let written = wire.write_vectored(&slices[..filled]);
                if offered < waiting && matches!(written, Ok(n) if n == offered) {
                    outbox.advance(offered);
                    continue;
                }
                written
            }
        };
        match written {
            Ok(written) => {
                outbox.advance(written);
                if written < waiting {
                    return Ok(Flush::Blocked);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flush::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Flush::Done)
}

/// Bytes one read takes at most. Larger than what a busy client has in flight, small enough to stay in the L2 cache.
pub(crate) const READ_BYTES: usize = 128 * 1024;
/// Room a read must have: a TLS record at its largest, twice.
pub(crate) const READ_BYTES_MIN: usize = 36 * 1024;
/// Plain bytes that are encrypted at once: four full records.
const SEAL_BYTES: usize = 64 * 1024;
/// I/O slices of one write; the kernel takes 1,024, a fan-out batch rarely has more than these.
const SLICES_MAX: usize = 64;

#[cfg(test)]
mod tests;

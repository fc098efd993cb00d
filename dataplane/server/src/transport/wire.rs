//! The socket under a connection.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    os::fd::{AsRawFd, RawFd},
};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpStream, UnixStream},
};
use sluice_dataplane_core::ClosedBy;

use super::{Next, Read};

/// A stream socket.
#[derive(Debug)]
pub(crate) enum Wire {
    /// TCP, with TCP_NODELAY.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
}

impl Wire {
    /// The other side.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Reads once. A read that does not fill `room` has emptied the socket: a readiness event follows when more comes.
    pub(crate) fn read(&self, room: &mut [u8]) -> Read {
        loop {
            let result = match self {
                Self::Tcp(socket) => (&mut &*socket).read(room),
                Self::Unix(socket) => (&mut &*socket).read(room),
            };
            return match result {
                Ok(0) => Read { bytes: 0, next: Next::Closed(ClosedBy::Client) },
                Ok(bytes) if bytes < room.len() => Read { bytes, next: Next::Drained },
                Ok(bytes) => Read { bytes, next: Next::More },
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Read { bytes: 0, next: Next::Drained },
                Err(_) => Read { bytes: 0, next: Next::Closed(ClosedBy::Transport) },
            };
        }
    }

    /// Writes once.
    ///
    /// # Errors
    /// Also `WouldBlock` and `Interrupted`.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).write(bytes),
            Self::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }

    /// Writes once.
    ///
    /// # Errors
    /// Also `WouldBlock` and `Interrupted`.
    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).write_vectored(slices),
            Self::Unix(socket) => (&mut &*socket).write_vectored(slices),
        }
    }

    /// Writes from `bytes` and removes what the socket took; says whether that was all.
    ///
    /// # Errors
    /// The socket failed.
    pub(crate) fn drain(&self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write(&bytes[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    bytes.drain(..written);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        *bytes = Vec::new();
        Ok(true)
    }

    /// Ends the sending side; the client reads the end after the last byte.
    pub(crate) fn shutdown_write(&self) {
        // It fails when the client is gone already, which is what it is for.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    /// Asks for readiness events, edge-triggered, in both directions: one system call in a connection's life.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Changes the token of the events.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Ends the events, before the socket moves to another thread.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(self.source())
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Unix(socket) => socket,
        }
    }
}

impl AsRawFd for Wire {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

//! One non-blocking connection with what could not be parsed and what could not be written yet.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Link {
    stream: mio::net::TcpStream,
    partial: Vec<u8>,
    /// Bytes to send; append here, then `flush`.
    pub(crate) out: Vec<u8>,
    written: usize,
    /// Whether the link stands in its owner's list of links to flush.
    pub(crate) dirty: bool,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Bytes at the start of the buffer that are to be parsed, kept ones included.
    pub(crate) len: usize,
    /// Whether the socket may hold more.
    pub(crate) more: bool,
}

impl Link {
    /// Takes over a connected socket and makes it non-blocking.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true).context("cannot make a socket non-blocking")?;
        Ok(Self::from_stream(mio::net::TcpStream::from_std(stream)))
    }

    /// Takes over a socket that is non-blocking already.
    pub(crate) fn from_stream(stream: mio::net::TcpStream) -> Self {
        Self { stream, partial: Vec::new(), out: Vec::new(), written: 0, dirty: false }
    }

    /// The socket, to register it.
    pub(crate) fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.stream
    }

    /// Reads once into `buffer`, after the start of a packet that an earlier read left behind. `None` means that
    /// nothing was there. Fails when the peer has closed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<Filled>> {
        let kept = self.partial.len();
        assert!(kept < buffer.len(), "a packet is larger than the read buffer");
        buffer[..kept].copy_from_slice(&self.partial);
        loop {
            match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => bail!("the peer closed the connection"),
                Ok(read) => {
                    self.partial.clear();
                    return Ok(Some(Filled { len: kept + read, more: kept + read == buffer.len() }));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read"),
            }
        }
    }

    /// Keeps the bytes of an incomplete packet until the next read.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Writes what the socket takes of `out`. What is left goes out when the socket is writable again.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(wrote) => self.written += wrote,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Writes `bytes` straight from the caller's buffer when nothing waits before them, and keeps only the rest.
    pub(crate) fn write_through(&mut self, bytes: &[u8]) -> Result<()> {
        let mut wrote = 0;
        while self.out.is_empty() && wrote < bytes.len() {
            match self.stream.write(&bytes[wrote..]) {
                Ok(more) => wrote += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        self.out.extend_from_slice(&bytes[wrote..]);
        Ok(())
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
    }
}

//! TLS on a connection, on rustls' unbuffered interface: the session owns no buffers, records are decrypted from and
//! encrypted into those of the worker.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

use rustls::{
    Error, ServerConfig,
    pki_types::CertificateDer,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic},
};
use sluice_dataplane_core::{ClosedBy, Flush};

use super::{Next, Read, Scratch, Wire};

/// The TLS state of one connection.
pub(crate) struct TlsSession {
    session: UnbufferedServerConnection,
    /// The front of a record whose rest has not come. Empty and without memory most of the time.
    incoming: Vec<u8>,
    /// Records that the socket did not take yet.
    outgoing: Vec<u8>,
    /// Bytes in `incoming` were never offered to the session.
    fed: bool,
    /// Anything at all came.
    heard: bool,
    failure: Option<Error>,
}

/// What some records held.
struct Opened {
    /// Bytes of whole records; the rest is to be offered again.
    consumed: usize,
    /// Bytes of application data.
    plain: usize,
    /// The client said close_notify, or the session failed.
    closed: Option<ClosedBy>,
}

impl TlsSession {
    /// A session before its handshake, of which `early` came already.
    ///
    /// # Errors
    /// The configuration cannot serve.
    pub(crate) fn new(config: Arc<ServerConfig>, early: Vec<u8>) -> Result<Self, Error> {
        let session = UnbufferedServerConnection::new(config)?;
        let fed = !early.is_empty();
        Ok(Self { session, incoming: early, outgoing: Vec::new(), fed, heard: fed, failure: None })
    }

    /// Whether the handshake goes on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The certificates that the client showed, if any, its own first.
    pub(crate) fn client_certificates(&self) -> &[CertificateDer<'static>] {
        self.session.peer_certificates().unwrap_or_default()
    }

    /// Why the session failed.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Whether the client sent anything.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether records wait.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads once and decrypts into the front of `scratch.plain`.
    pub(crate) fn read_into(&mut self, wire: &Wire, scratch: &mut Scratch) -> Read {
        self.read(wire, &mut scratch.cipher, &mut scratch.plain)
    }

    /// Reads once and decrypts into `room`. Goes through the handshake where it is under way.
    pub(crate) fn read(&mut self, wire: &Wire, cipher: &mut Vec<u8>, room: &mut [u8]) -> Read {
        // A record's plain text is shorter than the record, so that what fits in both buffers fits decrypted too.
        let size = room.len();
        if cipher.len() < size {
            cipher.resize(size, 0);
        }
        let kept = self.incoming.len();
        assert!(kept < size, "a record is at most {size} bytes");
        cipher[..kept].copy_from_slice(&self.incoming);
        let mut read = wire.read(&mut cipher[kept..size]);
        self.heard |= read.bytes > 0;
        if self.failure.is_some() {
            // A session that has failed must not see another record.
            return Read { bytes: 0, ..read };
        }
        if read.bytes == 0 && !std::mem::take(&mut self.fed) {
            return read;
        }
        let records = &mut cipher[..kept + read.bytes];
        let opened = self.open(records, room);
        let rest = &records[opened.consumed..];
        self.incoming = rest.to_vec();
        read.bytes = opened.plain;
        if let Some(by) = opened.closed {
            read.next = Next::Closed(by);
        } else if self.incoming.len() >= HANDSHAKE_BYTES_MAX {
            read.next = Next::Closed(ClosedBy::Transport);
        }
        read
    }

    /// Decrypts all whole records.
    fn open(&mut self, records: &mut [u8], room: &mut [u8]) -> Opened {
        let mut opened = Opened { consumed: 0, plain: 0, closed: None };
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut records[opened.consumed..]);
            let mut waits = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let end = opened.plain + record.payload.len();
                        room[opened.plain..end].copy_from_slice(record.payload);
                        opened.plain = end;
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(transmitted)) => transmitted.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    opened.closed = Some(ClosedBy::Client);
                    waits = true;
                }
                // Early data is never offered to clients. Every other state waits for bytes.
                Ok(_) => waits = true,
                Err(error) => {
                    self.failure = Some(error);
                    opened.closed = Some(ClosedBy::Transport);
                    self.fetch_alert(&mut records[opened.consumed + discard..]);
                    opened.consumed = records.len();
                    return opened;
                }
            }
            opened.consumed += discard;
            if waits {
                return opened;
            }
        }
    }

    /// Takes from a failed session what it wants to say, and shows it no record again.
    fn fetch_alert(&mut self, rest: &mut [u8]) {
        while self.session.wants_write() {
            match self.session.process_tls_records(rest).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Encrypts and writes what `next` hands over, piece by piece, until there is no more or the socket takes no more.
    ///
    /// # Errors
    /// The socket or the session failed.
    pub(crate) fn write(
        &mut self,
        wire: &Wire,
        cipher: &mut Vec<u8>,
        mut next: impl FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool>,
    ) -> io::Result<Flush> {
        loop {
            if !self.outgoing.is_empty() && !wire.drain(&mut self.outgoing)? {
                return Ok(Flush::Blocked);
            }
            let more = next(&mut |plain| {
                let sealed = self.seal(plain, cipher)?;
                self.send(wire, &cipher[..sealed])
            })?;
            if !more && self.outgoing.is_empty() {
                return Ok(Flush::Done);
            }
        }
    }

    /// Encrypts into `cipher`; says how many bytes the records have.
    fn seal(&mut self, plain: &[u8], cipher: &mut Vec<u8>) -> io::Result<usize> {
        let size = plain.len() + (plain.len() / RECORD_PLAIN_BYTES + 2) * RECORD_EXTRA_BYTES;
        if cipher.len() < size {
            cipher.resize(size, 0);
        }
        let sealed = self.when_writable(|traffic| match traffic.encrypt(plain, cipher) {
            Err(EncryptError::InsufficientSize(needed)) => {
                cipher.resize(needed.required_size, 0);
                traffic.encrypt(plain, cipher)
            }
            sealed => sealed,
        })?;
        sealed.map_err(io::Error::other)
    }

    /// Brings the session to where application data may be sent.
    fn when_writable<T>(
        &mut self,
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> io::Result<T> {
        if self.failure.is_some() {
            return Err(ErrorKind::NotConnected.into());
        }
        loop {
            // The session remembers places in these bytes, so that it must be shown them even to write.
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(&mut self.incoming);
            match state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let written = write(&mut traffic);
                    self.incoming.drain(..discard);
                    return Ok(written);
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.outgoing),
                ConnectionState::TransmitTlsData(transmitted) => transmitted.done(),
                ConnectionState::PeerClosed => {}
                ConnectionState::ReadTraffic(_)
                | ConnectionState::ReadEarlyData(_)
                | ConnectionState::BlockedHandshake
                | ConnectionState::Closed
                | _ => return Err(ErrorKind::NotConnected.into()),
            }
            self.incoming.drain(..discard);
        }
    }

    /// Writes records, behind those that wait; keeps what the socket does not take.
    fn send(&mut self, wire: &Wire, records: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while self.outgoing.is_empty() && written < records.len() {
            match wire.write(&records[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.outgoing.extend_from_slice(&records[written..]);
        Ok(())
    }

    /// Queues a close_notify, when the session is far enough for one.
    pub(crate) fn say_goodbye(&mut self) {
        let mut notify = Vec::new();
        let queued = self.when_writable(|traffic| {
            append(&mut notify, RECORD_EXTRA_BYTES, |room| match traffic.queue_close_notify(room) {
                Ok(written) => Ok(written),
                Err(EncryptError::InsufficientSize(needed)) => Err(needed.required_size),
                Err(EncryptError::EncryptExhausted) => Ok(0),
            });
        });
        if queued.is_ok() {
            self.outgoing.extend_from_slice(&notify);
        }
    }
}

/// Appends a record of the handshake.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    append(out, HANDSHAKE_RECORD_BYTES, |room| match data.encode(room) {
        Ok(written) => Ok(written),
        Err(EncodeError::InsufficientSize(needed)) => Err(needed.required_size),
        Err(EncodeError::AlreadyEncoded) => Ok(0),
    });
}

/// Appends what `encode` writes into the room it is given: `guess` bytes at first, then as many as it asks for.
fn append(out: &mut Vec<u8>, guess: usize, mut encode: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    let start = out.len();
    let mut size = guess;
    loop {
        out.resize(start + size, 0);
        match encode(&mut out[start..]) {
            Ok(written) => return out.truncate(start + written),
            Err(needed) => size = needed,
        }
    }
}

/// RFC 8446 §5.1.
const RECORD_PLAIN_BYTES: usize = 1 << 14;
/// Header, content type, tag, and with TLS 1.2 an explicit nonce: 37 at most.
const RECORD_EXTRA_BYTES: usize = 64;
/// Most handshake flights; larger ones say how much they need.
const HANDSHAKE_RECORD_BYTES: usize = 4096;
/// A record is at most 16 KiB and 256 bytes; a handshake message of several records at most 64 KiB, which rustls
/// keeps in this buffer until it is whole.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;

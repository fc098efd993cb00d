//! WebSocket frames on a connection.

use std::io::{self, ErrorKind, IoSlice};

use sluice_dataplane_core::{ClosedBy, Flush, Outbox};

use super::{SLICES_MAX, Wire, copy_out};
use crate::ws::{
    CloseCode, FrameDecoder,
    frame::{push_binary_header, push_close},
};

/// The WebSocket state of one connection.
///
/// What is sent: each flush is one binary frame with all that the outbox held when the frame was begun. Control frames
/// stand between frames.
#[derive(Debug)]
pub(crate) struct WsSession {
    decoder: FrameDecoder,
    /// Control frames that wait for the current frame to end.
    control: Vec<u8>,
    /// Control frames and a header that are to be written before the outbox.
    prefix: Vec<u8>,
    /// Bytes of the outbox that still belong to the frame whose header was written.
    frame_left: usize,
}

impl WsSession {
    /// A session after its handshake.
    pub(crate) fn new() -> Self {
        Self { decoder: FrameDecoder::new(FRAME_BYTES_MAX), control: Vec::new(), prefix: Vec::new(), frame_left: 0 }
    }

    /// Whether control frames wait.
    pub(crate) fn wants_write(&self) -> bool {
        !self.control.is_empty() || !self.prefix.is_empty()
    }

    /// Bytes of control frames that wait.
    #[cfg(test)]
    pub(crate) fn pending_bytes(&self) -> usize {
        self.control.len() + self.prefix.len()
    }

    /// Leaves the payload of some frames at the front of `bytes`; says how long it is, and whether the connection is
    /// over.
    pub(crate) fn unwrap(&mut self, now_ms: u64, bytes: &mut [u8]) -> (usize, Option<ClosedBy>) {
        let waiting = self.control.len();
        let decoded = self.decoder.decode(now_ms, bytes, &mut self.control);
        if decoded.end.is_none() && waiting > CONTROL_BYTES_MAX {
            // A client that pings and does not read: one answer for many pings is what RFC 6455 §5.5.3 allows.
            self.control.truncate(waiting);
        }
        let ended = decoded.end.map(|code| match code {
            CloseCode::Normal => ClosedBy::Client,
            CloseCode::GoingAway
            | CloseCode::Protocol
            | CloseCode::Unsupported
            | CloseCode::InvalidPayload
            | CloseCode::Policy
            | CloseCode::TooLarge => ClosedBy::Transport,
        });
        (decoded.payload, ended)
    }

    /// Queues a close frame.
    pub(crate) fn say_goodbye(&mut self) {
        push_close(CloseCode::GoingAway, &mut self.control);
    }

    /// Writes frames until the outbox is empty or the socket takes no more.
    ///
    /// # Errors
    /// The socket failed.
    pub(crate) fn write(&mut self, wire: &Wire, outbox: &mut Outbox) -> io::Result<Flush> {
        loop {
            self.begin_frame(outbox);
            let waiting = self.prefix.len() + self.frame_left;
            if waiting == 0 {
                self.release();
                return Ok(Flush::Done);
            }
            match self.write_once(wire, outbox) {
                Ok((written, offered)) => {
                    let of_prefix = written.min(self.prefix.len());
                    self.prefix.drain(..of_prefix);
                    outbox.advance(written - of_prefix);
                    self.frame_left -= written - of_prefix;
                    if written < offered {
                        return Ok(Flush::Blocked);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flush::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One system call: prefix and frame together. Says how much was written of how much.
    fn write_once(&self, wire: &Wire, outbox: &Outbox) -> io::Result<(usize, usize)> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        slices[0] = IoSlice::new(&self.prefix);
        let filled = outbox.fill(&mut slices[1..]);
        let (mut whole, mut left) = (0, self.frame_left);
        while whole < filled && slices[1 + whole].len() <= left {
            left -= slices[1 + whole].len();
            whole += 1;
        }
        if whole == 0 && left > 0 && self.prefix.is_empty() {
            // The frame ends inside the first run, because the outbox grew behind it.
            return Ok((wire.write(&slices[1][..left])?, left));
        }
        let offered = slices[..=whole].iter().map(|slice| slice.len()).sum();
        Ok((wire.write_vectored(&slices[..=whole])?, offered))
    }

    /// Moves the next bytes to be sent to `room`, which is larger than any control frame.
    pub(crate) fn gather(&mut self, outbox: &mut Outbox, room: &mut [u8]) -> usize {
        self.begin_frame(outbox);
        let of_prefix = self.prefix.len().min(room.len());
        room[..of_prefix].copy_from_slice(&self.prefix[..of_prefix]);
        self.prefix.drain(..of_prefix);
        let end = room.len().min(of_prefix + self.frame_left);
        let of_frame = copy_out(outbox, &mut room[of_prefix..end]);
        self.frame_left -= of_frame;
        if of_prefix + of_frame == 0 {
            self.release();
        }
        of_prefix + of_frame
    }

    fn begin_frame(&mut self, outbox: &Outbox) {
        if self.frame_left > 0 || !self.prefix.is_empty() {
            return;
        }
        self.prefix.append(&mut self.control);
        if !outbox.is_empty() {
            self.frame_left = outbox.len();
            push_binary_header(self.frame_left, &mut self.prefix);
        }
    }

    /// An idle connection owns no buffers but the few bytes of a header.
    fn release(&mut self) {
        if self.prefix.capacity() > 64 {
            self.prefix = Vec::new();
        }
        self.control = Vec::new();
    }
}

/// The largest MQTT packet. Frames are read as a stream, so that this bounds no memory.
const FRAME_BYTES_MAX: u64 = 268_435_455 + 5;
/// Pongs that may wait for a client that does not read, in bytes.
const CONTROL_BYTES_MAX: usize = 1024;

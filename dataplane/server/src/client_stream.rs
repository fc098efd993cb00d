//! The connection of a client whose session lives at another node, as a stream of MQTT bytes.
//!
//! The layers of a [`Transport`] move bytes when they are told to; a link carries them as a stream. This is the one in the
//! shape of the other. It knows nothing of MQTT.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use sluice_dataplane_core::{ClosedBy, Flush, Outbox};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

use crate::{
    clock::Clock,
    transport::{Next, Scratch, Transport},
};

/// A client's connection; reading gives what it sends, writing reaches it.
pub(crate) struct ClientStream {
    transport: AsyncFd<Transport>,
    /// Read and not given yet.
    early: Vec<u8>,
    /// How much of it was given.
    given: usize,
    /// The client has ended its side.
    ended: Option<ClosedBy>,
    outbox: Outbox,
    scratch: Scratch,
    clock: Clock,
    said_goodbye: bool,
}

impl ClientStream {
    /// A connection that no thread watches any more; `early` was read from it already.
    ///
    /// # Errors
    /// The kernel gives no readiness events for it. Outside of a runtime it panics.
    pub(crate) fn new(transport: Transport, early: Vec<u8>, clock: Clock) -> io::Result<Self> {
        let (transport, scratch) = (AsyncFd::new(transport)?, Scratch::new());
        let (outbox, given, ended, said_goodbye) = (Outbox::default(), 0, None, false);
        Ok(Self { transport, early, given, ended, outbox, scratch, clock, said_goodbye })
    }

    fn give(&mut self, room: &mut ReadBuf<'_>) {
        let rest = &self.early[self.given..];
        let run = rest.len().min(room.remaining());
        room.put_slice(&rest[..run]);
        self.given += run;
        if self.given == self.early.len() {
            self.early.clear();
            self.given = 0;
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.given < this.early.len() {
                this.give(room);
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                Some(ClosedBy::Transport) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Some(ClosedBy::Client | ClosedBy::Broker) => return Poll::Ready(Ok(())),
                None => {}
            }
            let mut guard = ready!(this.transport.poll_read_ready_mut(cx))?;
            let now_ms = this.clock.mono_ms();
            let read = guard.get_inner_mut().read(&mut this.scratch, 0, now_ms);
            match read.next {
                Next::More => {}
                Next::Drained => guard.clear_ready(),
                Next::Closed(by) => this.ended = Some(by),
            }
            // Layers may have to answer, a ping for instance.
            let transport = this.transport.get_mut();
            if transport.wants_write() {
                transport.write(&mut Outbox::default(), &mut this.scratch)?;
            }
            this.early.extend_from_slice(&this.scratch.plain[..read.bytes]);
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbox.len() >= OUTBOX_BYTES_MAX {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let this = &mut *self;
        this.outbox.buffer().extend_from_slice(bytes);
        // What the socket does not take is written by the flush that follows.
        this.transport.get_mut().write(&mut this.outbox, &mut this.scratch)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.outbox.is_empty() || this.transport.get_ref().wants_write() {
            let mut guard = ready!(this.transport.poll_write_ready_mut(cx))?;
            match guard.get_inner_mut().write(&mut this.outbox, &mut this.scratch)? {
                Flush::Done => break,
                Flush::Blocked => guard.clear_ready(),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            self.said_goodbye = true;
            self.transport.get_mut().say_goodbye();
        }
        ready!(self.as_mut().poll_flush(cx))?;
        self.transport.get_mut().wire_mut().shutdown_write();
        Poll::Ready(Ok(()))
    }
}

/// What waits for a client before the link is not read, in bytes.
const OUTBOX_BYTES_MAX: usize = 256 * 1024;

//! A client's bytes between its socket and a stream, both ways.
//!
//! | on one side | becomes on the other |
//! |---|---|
//! | nothing more is read, nothing more is written | the same: the socket does not take, the stream's window is not renewed |
//! | end of what is sent | end of what is sent; the other direction goes on |
//! | a socket that failed | the stream is reset and stopped |
//! | a stream that was reset or stopped, a connection that is gone | the socket is closed |
//!
//! An idle client owns no buffer: bytes are read into one that all share, and written from those of QUIC.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use quinn::{RecvStream, SendStream, VarInt, WriteError};
use sluice_dataplane_core::{ClosedBy, Flush, Outbox};
use tokio::{io::unix::AsyncFd, time::timeout};

use super::{Exchange, driver::Driver};
use crate::transport::{Next, Transport};

/// Moves bytes until both directions have ended, or one has failed.
pub(super) async fn run<E: Exchange + 'static>(
    driver: &Rc<Driver<E>>,
    transport: Transport,
    mut send: SendStream,
    mut receive: RecvStream,
) -> io::Result<()> {
    let socket = Socket { transport: RefCell::new(transport), outbox: RefCell::new(Outbox::default()) };
    #[expect(deprecated, reason = "the other constructor is unsafe; this socket keeps its descriptor for all its life")]
    let socket = AsyncFd::new(socket)?;
    let ended = {
        let up = from_socket(driver, &socket, &mut send);
        let down = to_socket(driver, &socket, &mut receive);
        tokio::pin!(up, down);
        tokio::select! {
            up_ended = &mut up => match up_ended {
                Ok(()) => down.await,
                Err(error) => Err(error),
            },
            down_ended = &mut down => match down_ended {
                // The client has been told everything: it has a while to read it and to close as well.
                Ok(()) => timeout(LINGER, up).await.unwrap_or(Ok(())),
                Err(error) => Err(error),
            },
        }
    };
    if ended.is_err() {
        // They fail when the stream is over already.
        let _ = send.reset(FAILED);
        let _ = receive.stop(FAILED);
    }
    ended
}

struct Socket {
    transport: RefCell<Transport>,
    outbox: RefCell<Outbox>,
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.transport.borrow().as_raw_fd()
    }
}

async fn from_socket<E: Exchange + 'static>(
    driver: &Driver<E>,
    socket: &AsyncFd<Socket>,
    send: &mut SendStream,
) -> io::Result<()> {
    loop {
        let mut ready = socket.readable().await?;
        let (bytes, next) = {
            let mut scratch = driver.scratch.borrow_mut();
            let read = socket.get_ref().transport.borrow_mut().read(&mut scratch, 0, driver.now_ms());
            (Bytes::copy_from_slice(&scratch.plain[..read.bytes]), read.next)
        };
        if next == Next::Drained {
            ready.clear_ready();
        }
        if socket.get_ref().transport.borrow().wants_write() {
            // What a layer says by itself is short; what does not fit now goes with the next bytes.
            flush_now(driver, socket)?;
        }
        if !bytes.is_empty() {
            match send.write_chunk(bytes).await {
                Ok(()) => {}
                // Nobody reads there any more: the other direction says why.
                Err(WriteError::Stopped(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        match next {
            Next::More | Next::Drained => {}
            Next::Closed(ClosedBy::Client) => {
                // It fails when the other side has stopped the stream.
                let _ = send.finish();
                return Ok(());
            }
            Next::Closed(_) => return Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

async fn to_socket<E: Exchange + 'static>(
    driver: &Driver<E>,
    socket: &AsyncFd<Socket>,
    receive: &mut RecvStream,
) -> io::Result<()> {
    loop {
        match receive.read_chunk(CHUNK_BYTES, true).await {
            Ok(Some(chunk)) => socket.get_ref().outbox.borrow_mut().share(chunk.bytes),
            Ok(None) => break,
            Err(error) => return Err(error.into()),
        }
        flush(driver, socket).await?;
    }
    socket.get_ref().transport.borrow_mut().say_goodbye();
    flush(driver, socket).await?;
    socket.get_ref().transport.borrow_mut().wire_mut().shutdown_write();
    Ok(())
}

/// Writes until the socket has taken everything.
async fn flush<E: Exchange + 'static>(driver: &Driver<E>, socket: &AsyncFd<Socket>) -> io::Result<()> {
    while flush_now(driver, socket)? == Flush::Blocked {
        let mut ready = socket.writable().await?;
        if flush_now(driver, socket)? == Flush::Blocked {
            ready.clear_ready();
        } else {
            return Ok(());
        }
    }
    Ok(())
}

fn flush_now<E: Exchange + 'static>(driver: &Driver<E>, socket: &AsyncFd<Socket>) -> io::Result<Flush> {
    let Socket { transport, outbox } = socket.get_ref();
    let mut scratch = driver.scratch.borrow_mut();
    transport.borrow_mut().write(&mut outbox.borrow_mut(), &mut scratch)
}

/// For a client to read its last words; as long as it has when its session lives here.
const LINGER: Duration = Duration::from_secs(2);
/// What is taken from a stream at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Why a stream is reset or stopped.
const FAILED: VarInt = VarInt::from_u32(1);

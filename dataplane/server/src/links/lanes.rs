//! Bytes of the lanes of one connection.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, WriteError};
use sluice_cluster::NodeId;
use sluice_dataplane_core::link::{Lane, LinkError};
use tokio::{
    sync::Notify,
    task::{JoinError, yield_now},
};

use super::{Exchange, driver::Driver};

/// Why a connection's bytes move no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Protocol(#[from] LinkError),
    #[error("a lane was ended, opened twice, or is none")]
    Lanes,
    #[error(transparent)]
    Task(#[from] JoinError),
}

/// Writes a lane: everything that is ready, at once, and then waits to be told that there is more.
pub(super) async fn write<E: Exchange + 'static>(
    driver: Rc<Driver<E>>,
    node: NodeId,
    connection: u64,
    quic: Connection,
    lane: Lane,
    ready: Rc<Notify>,
) -> Ended {
    let written = async {
        let mut stream = quic.open_uni().await?;
        // It fails only on a stream that is closed.
        let _ = stream.set_priority(match lane {
            Lane::Control => 1,
            Lane::Messages => 0,
            Lane::Bulk => -1,
        });
        stream.write_all(&[lane.index() as u8]).await?;
        let mut burst = 0;
        loop {
            let mut bytes = Vec::new();
            if driver.transmit(node, connection, lane, &mut bytes, WRITE_BYTES) {
                burst += bytes.len();
                stream.write_chunk(Bytes::from(bytes)).await?;
            } else {
                burst = 0;
                ready.notified().await;
            }
            if burst >= BURST_BYTES {
                burst = 0;
                yield_now().await;
            }
        }
    };
    let result: Result<(), Ended> = written.await;
    result.err().unwrap_or(Ended::Lanes)
}

/// The lane of a stream that the other side has opened.
pub(super) async fn which(mut stream: RecvStream) -> Option<(Lane, RecvStream)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).await.ok()?;
    Lane::from_byte(byte[0]).map(|lane| (lane, stream))
}

/// Reads a lane. `greeted` says whether bytes of the lane Control were taken, and tells the others when they were.
pub(super) async fn read<E: Exchange + 'static>(
    driver: Rc<Driver<E>>,
    node: NodeId,
    connection: u64,
    lane: Lane,
    mut stream: RecvStream,
    greeted: Rc<(Cell<bool>, Notify)>,
) -> Ended {
    let read = async {
        let mut held = Held::new(driver.config.held_bytes_max);
        let mut burst = 0;
        loop {
            if lane != Lane::Control {
                driver.until_accepted(node).await;
            }
            let was_greeted = greeted.0.get();
            let more = tokio::select! {
                read = stream.read(held.room()), if !held.is_full() => Some(read?.ok_or(Ended::Lanes)?),
                () = greeted.1.notified(), if !was_greeted && lane != Lane::Control => None,
                else => return Err(Ended::Lanes),
            };
            held.came(more.unwrap_or(0));
            burst += more.unwrap_or(0);
            let taken = driver.with(|exchange, now| exchange.receive(now, node, connection, lane, held.bytes()))?;
            held.took(taken);
            if lane == Lane::Control && taken > 0 && !greeted.0.replace(true) {
                greeted.1.notify_waiters();
            }
            if burst >= BURST_BYTES {
                burst = 0;
                yield_now().await;
            }
        }
    };
    let result: Result<(), Ended> = read.await;
    result.err().unwrap_or(Ended::Lanes)
}

/// Bytes that came and were not taken: less than a frame, or waiting for their time.
struct Held {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    max: usize,
}

impl Held {
    fn new(frame_max: usize) -> Self {
        // Room behind the longest frame, so that reads stay large.
        Self { buffer: vec![0; READ_BYTES], start: 0, end: 0, max: frame_max.max(READ_BYTES) + READ_BYTES / 2 }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn is_full(&self) -> bool {
        self.end - self.start >= self.max
    }

    /// Where the next bytes go.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() - self.end < READ_BYTES / 2 {
                self.buffer.resize((self.buffer.len() * 2).min(self.max), 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    fn came(&mut self, bytes: usize) {
        self.end += bytes;
    }

    fn took(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.end && self.buffer.len() > READ_BYTES {
            self.buffer = vec![0; READ_BYTES];
            (self.start, self.end) = (0, 0);
        }
    }
}

/// What is written at once. More waits where frames can still be dropped or answered.
const WRITE_BYTES: usize = 256 * 1024;
/// What is read at once, when there is so much.
const READ_BYTES: usize = 128 * 1024;
/// After so many bytes others have their turn.
const BURST_BYTES: usize = 1 << 20;

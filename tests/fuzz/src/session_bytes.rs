//! Arbitrary bytes from several clients to a node.

use sluice_dataplane_core::Settings;
use sluice_mqtt::{Version, decode_from_server, split};

use crate::{
    cursor::Cursor,
    node::{Node, SocketId},
};

const CONNECTIONS: usize = 4;

/// Pieces of streams, each with whom it comes from and what happens around it. Nothing panics, and all that the broker
/// says is well formed in the version that the connection speaks.
pub fn fuzz_worker_bytes(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let workers = 1 + cursor.below(3) as u16;
    let settings = Settings { shards: 4, sys_interval_s: 0, block_cache_bytes_max: 64, ..Settings::default() };
    let mut node = Node::new(workers, settings);
    let mut open: Vec<Option<Stream>> = (0..CONNECTIONS).map(|_| None).collect();
    while !cursor.is_empty() {
        let what = cursor.byte();
        let at = usize::from(what) % CONNECTIONS;
        match what >> 2 & 0x0F {
            0..=9 => {
                let stream = open[at].get_or_insert_with(|| Stream::open(&mut node, at));
                let bytes = cursor.run(255);
                stream.note_version(bytes);
                node.send(stream.socket, bytes);
            }
            10 => drop(open[at].take().map(|stream| node.hang_up(stream.socket))),
            11 => node.serve_store(1 + at, 1 + at),
            12 => node.pass_ms(1 << (at * 4)),
            13 => {
                node.crash(at);
                open.iter_mut().for_each(|stream| *stream = None);
            }
            14 => node.settle(true),
            _ => _ = node.step(at),
        }
        if what & 0x40 != 0 {
            node.settle(what & 0x80 != 0);
        }
        for stream in open.iter_mut().flatten() {
            stream.check(&mut node);
        }
    }
    node.settle(true);
    open.iter_mut().flatten().for_each(|stream| stream.check(&mut node));
}

struct Stream {
    socket: SocketId,
    /// As the first bytes of the client say.
    version: Option<Version>,
    begun: Vec<u8>,
    outbound: Vec<u8>,
}

impl Stream {
    fn open(node: &mut Node, worker: usize) -> Self {
        Self { socket: node.open(worker), version: None, begun: Vec::new(), outbound: Vec::new() }
    }

    /// Looks for the protocol level behind the protocol's name.
    fn note_version(&mut self, bytes: &[u8]) {
        if self.version.is_some() || self.begun.len() > 16 {
            return;
        }
        self.begun.extend_from_slice(bytes);
        let Ok(Some(frame)) = split(&self.begun, u32::MAX) else { return };
        let body = &self.begun[frame.header_len..];
        self.version = match body {
            [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => Some(Version::V5),
            [0, 4, b'M', b'Q', b'T', b'T', 4 | 0x84, ..] => Some(Version::V311),
            [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3 | 0x83, ..] => Some(Version::V31),
            _ => None,
        };
    }

    /// Reads what came from the broker, as far as it is whole.
    fn check(&mut self, node: &mut Node) {
        self.outbound.extend_from_slice(&node.read(self.socket));
        let Some(version) = self.version else { return };
        while let Some(frame) = split(&self.outbound, u32::MAX).expect("the broker's packets have a header") {
            if frame.total() > self.outbound.len() {
                break;
            }
            let body = &self.outbound[frame.header_len..frame.total()];
            let packet = decode_from_server(version, frame.first, body);
            assert!(packet.is_ok(), "the broker said {body:?} to a client of {version:?}: {packet:?}");
            self.outbound.drain(..frame.total());
        }
    }
}

//! What the codec costs: nanoseconds to split, decode and encode one PUBLISH and one PUBACK. Prints a Markdown table.
//!
//! `cargo run --release -p sluice-benches-micro --bin codec_cost`. Each figure is the median and the least of many rounds;
//! packets lie one after another in a buffer larger than the first-level cache, at every alignment, as they do in a read.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::Instant;

use sluice_mqtt::{
    Ack, PublishHead, QoS, ReasonCode, Version, decode, decode_ack, decode_publish, encode, patch_packet_id, split,
};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "| packet | operation | median ns | least ns |")?;
    writeln!(out, "|---|---|---|---|")?;
    for payload_len in [64, 200] {
        for (version, qos) in [
            (Version::V311, QoS::AtMostOnce),
            (Version::V311, QoS::AtLeastOnce),
            (Version::V5, QoS::AtMostOnce),
            (Version::V5, QoS::AtLeastOnce),
        ] {
            let case = Case { version, qos, payload: vec![b'p'; payload_len], forward: Vec::new() };
            case.report(&mut out)?;
        }
    }
    let forward = b"\x03\0\x10application/json\x09\0\x08correlat\x26\0\x04unit\0\x07celsius".to_vec();
    Case { version: Version::V5, qos: QoS::AtLeastOnce, payload: vec![b'p'; 64], forward }.report(&mut out)?;
    report_puback(&mut out)
}

/// One kind of PUBLISH.
struct Case {
    version: Version,
    qos: QoS,
    payload: Vec<u8>,
    forward: Vec<u8>,
}

impl Case {
    fn head(&self) -> PublishHead<'_> {
        PublishHead {
            version: self.version,
            dup: false,
            qos: self.qos,
            retain: false,
            topic: TOPIC,
            packet_id: 4711,
            message_expiry: None,
            topic_alias: None,
            subscription_ids: &[],
            forward: &self.forward,
            payload_len: self.payload.len(),
        }
    }

    fn report(&self, out: &mut impl Write) -> io::Result<()> {
        let mut stream = Vec::new();
        for _ in 0..PACKETS {
            encode::publish(&mut stream, &self.head(), &self.payload);
        }
        let name = format!(
            "PUBLISH {}, QoS {}, {} B topic, {} B payload{}",
            self.version.name(),
            self.qos.bits(),
            TOPIC.len(),
            self.payload.len(),
            if self.forward.is_empty() { "" } else { ", 3 properties" },
        );
        row(out, &name, "split", || walk(&stream, |_, _| true))?;
        row(out, &name, "split + decode", || {
            walk(&stream, |first, body| black_box(decode_publish(self.version, first, body)).is_ok())
        })?;
        row(out, &name, "split + decode, any packet", || {
            walk(&stream, |first, body| black_box(decode(self.version, first, body)).is_ok())
        })?;
        let mut buffer = Vec::with_capacity(stream.len() + 64);
        row(out, &name, "encode", || {
            buffer.clear();
            for _ in 0..PACKETS {
                black_box(encode::publish(&mut buffer, black_box(&self.head()), black_box(&self.payload)));
            }
            buffer.len()
        })?;
        let mut template = Vec::new();
        let offset = encode::publish(&mut template, &self.head(), &self.payload);
        row(out, &name, "copy + patch packet id", || {
            buffer.clear();
            for id in 0..PACKETS as u16 {
                let start = buffer.len();
                buffer.extend_from_slice(black_box(&template));
                patch_packet_id(&mut buffer[start..], offset, id);
            }
            buffer.len()
        })
    }
}

fn report_puback(out: &mut impl Write) -> io::Result<()> {
    let mut stream = Vec::new();
    for id in 1..=PACKETS as u16 {
        encode::puback(&mut stream, Version::V5, &Ack::new(id, ReasonCode::Success));
    }
    row(out, "PUBACK 5", "split + decode", || {
        walk(&stream, |first, body| black_box(decode_ack(Version::V5, first, body)).is_ok())
    })?;
    let mut buffer = Vec::with_capacity(stream.len());
    row(out, "PUBACK 5", "encode", || {
        buffer.clear();
        for id in 1..=PACKETS as u16 {
            encode::puback(&mut buffer, black_box(Version::V5), black_box(&Ack::new(id, ReasonCode::Success)));
        }
        buffer.len()
    })
}

/// Takes a stream apart as a connection does; `on_packet` sees first byte and body, and says whether all is well.
fn walk(mut stream: &[u8], on_packet: impl Fn(u8, &[u8]) -> bool) -> usize {
    let mut packets = 0;
    while let Ok(Some(frame)) = split(black_box(stream), u32::MAX) {
        let (packet, rest) = stream.split_at(frame.total());
        packets += usize::from(on_packet(frame.first, &packet[frame.header_len..]));
        stream = rest;
    }
    assert!(packets == PACKETS as usize, "a packet was refused");
    packets
}

/// Measures `work`, which does [`PACKETS`] operations, and writes one row.
fn row(out: &mut impl Write, name: &str, operation: &str, mut work: impl FnMut() -> usize) -> io::Result<()> {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    writeln!(out, "| {name} | {operation} | {:.1} | {:.1} |", rounds[ROUNDS / 2], rounds[0])
}

/// 34 bytes.
const TOPIC: &str = "site/berlin/device/00042/telemetry";

/// Operations in a round: about 100 KB of packets.
const PACKETS: u32 = 1_000;

/// Rounds a figure is taken from.
const ROUNDS: usize = 2_001;

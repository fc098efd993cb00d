//! What a link costs: nanoseconds for a frame to be sent, transmitted, received and answered, and its outcome taken.
//!
//! `cargo run --release -p sluice-dataplane-core --example link_cost`. Each figure is the median and the least of many
//! rounds over 1,000 frames. Prints a Markdown table.

use std::{
    hint::black_box,
    io::{self, Write},
    time::{Duration, Instant},
};

use sluice_cluster::{ClusterId, NodeId, interest::Incarnation};
use sluice_dataplane_core::link::{Event, Identity, Lane, Link, LinkError, LinkLimits, Outcome, Receipt, Versions};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "| frame | operation | median ns | least ns |")?;
    writeln!(out, "|---|---|---|---|")?;
    for len in [64, 200] {
        for reliable in [true, false] {
            let mut pair = Pair::new().map_err(io::Error::other)?;
            let frame = vec![b'p'; len];
            let mut rounds: Vec<[u64; 3]> = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(pair.round(&frame, reliable).map_err(io::Error::other)?);
            }
            let kind = if reliable { "reliable" } else { "unreliable" };
            for (at, operation) in ["send + transmit", "receive", "answer + take the outcome"].into_iter().enumerate() {
                if !reliable && at == 2 {
                    continue;
                }
                let mut costs: Vec<u64> = rounds.iter().map(|round| round[at]).collect();
                costs.sort_unstable();
                let [median, least] = [costs[ROUNDS / 2], costs[0]].map(|it| it as f64 / FRAMES as f64);
                writeln!(out, "| {len} B, {kind} | {operation} | {median:.1} | {least:.1} |")?;
            }
        }
    }
    Ok(())
}

/// Two links that are connected.
struct Pair {
    a: Link,
    b: Link,
    wire: Vec<u8>,
    receipts: Vec<Receipt>,
}

impl Pair {
    fn new() -> Result<Self, LinkError> {
        let link = |node, peer| {
            let versions = Versions::THIS;
            let (cluster, incarnation) = (ClusterId(1), Incarnation(1));
            let me = Identity { cluster, node: NodeId(node), incarnation, generation: 1, versions, region: None };
            let mut link = Link::new(me, NodeId(peer), LinkLimits::default());
            link.connected(Duration::ZERO, 1);
            link
        };
        let mut pair = Self { a: link(1, 2), b: link(2, 1), wire: Vec::new(), receipts: Vec::new() };
        let Self { a, b, wire, .. } = &mut pair;
        greet(a, b, wire)?;
        greet(b, a, wire)?;
        Ok(pair)
    }

    /// Nanoseconds to send and transmit, to receive, and to answer and take the outcomes.
    fn round(&mut self, frame: &[u8], reliable: bool) -> Result<[u64; 3], LinkError> {
        let Self { a, b, wire, receipts } = self;
        wire.clear();
        receipts.clear();
        let start = Instant::now();
        for _ in 0..FRAMES {
            black_box(a.send(black_box(frame), reliable));
        }
        while a.transmit(Lane::Messages, wire, BATCH_BYTES) {}
        let sent = start.elapsed();
        let start = Instant::now();
        b.receive(1, Lane::Messages, wire, &mut |event| {
            if let Event::Received { receipt, frame, .. } = event {
                black_box(frame);
                receipts.extend(receipt);
            }
        })?;
        let received = start.elapsed();
        let start = Instant::now();
        for receipt in receipts.iter() {
            b.answer(*receipt, Outcome { matched: true, refused: None });
        }
        wire.clear();
        b.transmit(Lane::Control, wire, BATCH_BYTES);
        a.receive(1, Lane::Control, wire, &mut |event| {
            black_box(event);
        })?;
        let answered = start.elapsed();
        wire.clear();
        a.transmit(Lane::Control, wire, BATCH_BYTES);
        b.receive(1, Lane::Control, wire, &mut |_| {})?;
        Ok([sent, received, answered].map(|it| it.as_nanos() as u64))
    }
}

fn greet(from: &mut Link, to: &mut Link, wire: &mut Vec<u8>) -> Result<(), LinkError> {
    wire.clear();
    from.transmit(Lane::Control, wire, BATCH_BYTES);
    to.receive(1, Lane::Control, wire, &mut |_| {})?;
    Ok(())
}

const ROUNDS: usize = 2_001;
const FRAMES: usize = 1_000;
const BATCH_BYTES: usize = 256 * 1024;

//! What is stored of a persistent session besides its messages: who it is, and how far it has got.
//!
//! Progress is written once per batch for each session that moved, so it is short: everything up to `high` is settled
//! except what is listed; everything above waits.

use std::sync::Arc;

use bytes::Bytes;
use sluice_dataplane_access::Principal;
use sluice_mqtt::Version;

use super::{
    Durable, Received, Session, Will,
    outbound::{Awaits, Body},
};
use crate::message::{Reader, put_blob, put_text};

/// A stored session's identity.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Who it is.
    pub(crate) principal: Principal,
    /// Protocol of its last connection.
    pub(crate) version: Version,
    /// How long it outlives its connection.
    pub(crate) expiry_s: u32,
    /// When its connection was lost, in ms since the Unix epoch; 0 = it was attached.
    pub(crate) detached_wall_ms: u64,
    /// Whether it was over.
    pub(crate) ended: bool,
}

const SUPERUSER: u8 = 1;
const HAS_USERNAME: u8 = 2;
const ENDED: u8 = 4;

/// Encodes who a session is.
pub(crate) fn encode_identity(session: &Session, durable: &Durable) -> Bytes {
    let principal = &session.principal;
    let mut out = Vec::with_capacity(64);
    out.push(session.version.level());
    let superuser = if principal.is_superuser() { SUPERUSER } else { 0 };
    let ended = if durable.ended { ENDED } else { 0 };
    out.push(superuser | ended | principal.username().map_or(0, |_| HAS_USERNAME));
    out.extend_from_slice(&durable.expiry_s.to_le_bytes());
    out.extend_from_slice(&durable.detached_wall_ms.to_le_bytes());
    put_text(&mut out, principal.client_id());
    put_text(&mut out, principal.username().map_or("", |name| name));
    for group in principal.groups() {
        put_text(&mut out, group);
    }
    out.into()
}

/// Decodes who a session is.
pub(crate) fn decode_identity(value: &[u8]) -> Option<Identity> {
    let mut reader = Reader::new(value);
    let version = version_of_level(reader.u8()?)?;
    let flags = reader.u8()?;
    let expiry_s = reader.u32()?;
    let detached_wall_ms = reader.u64()?;
    let client_id = reader.text()?;
    let username = reader.text()?;
    let mut groups: Vec<Arc<str>> = Vec::new();
    while !reader.bytes.is_empty() {
        groups.push(reader.text()?.into());
    }
    let principal = Principal::new(client_id)
        .with_username((flags & HAS_USERNAME != 0).then(|| username.into()))
        .with_groups(groups)
        .with_superuser(flags & SUPERUSER != 0);
    Some(Identity { principal, version, expiry_s, detached_wall_ms, ended: flags & ENDED != 0 })
}

fn version_of_level(level: u8) -> Option<Version> {
    [Version::V31, Version::V311, Version::V5].into_iter().find(|v| v.level() == level)
}

/// How far a session had got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everything up to here is settled except `open`.
    pub(crate) high: u64,
    /// The packet id given out last.
    pub(crate) last_packet_id: u16,
    /// Counts exchanges.
    pub(crate) next_exchange: u64,
    /// Sequence numbers that were sent and not settled, ascending.
    pub(crate) open: Vec<u64>,
    /// Packet ids that wait for PUBCOMP, oldest first.
    pub(crate) released: Vec<u16>,
    /// Exchanges of the client that are not over.
    pub(crate) received: Vec<Received>,
}

impl Progress {
    /// What to store of a session. `last_seq`: the shard's last sequence number.
    pub(crate) fn of(session: &Session, durable: &Durable, last_seq: u64) -> Self {
        let outbound = &session.outbound;
        let stored = |body: &Body| match body {
            Body::Stored(seq) => Some(*seq),
            Body::Memory(_) | Body::Sent => None,
        };
        // What was sent and is to be sent again stands in front of what was never sent.
        let fresh = outbound.queue.iter().filter(|q| q.flags & super::outbound::DUP == 0).find_map(|q| stored(&q.body));
        let again = outbound.queue.iter().take_while(|q| q.flags & super::outbound::DUP != 0);
        let mut open: Vec<u64> = outbound.window.iter().filter_map(|i| stored(&i.body)).collect();
        open.extend(again.filter_map(|q| stored(&q.body)));
        open.sort_unstable();
        Self {
            high: fresh.map_or(last_seq, |seq| seq - 1),
            last_packet_id: outbound.last_packet_id(),
            next_exchange: durable.next_exchange,
            open,
            released: outbound.window.iter().filter(|i| i.awaits == Awaits::Comp).map(|i| i.packet_id).collect(),
            received: session.received.clone(),
        }
    }

    /// For the store.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + self.open.len() * 4 + self.released.len() * 2 + self.received.len() * 19);
        out.extend_from_slice(&self.high.to_le_bytes());
        out.extend_from_slice(&self.last_packet_id.to_le_bytes());
        out.extend_from_slice(&self.next_exchange.to_le_bytes());
        out.extend_from_slice(&(self.open.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.released.len() as u16).to_le_bytes());
        // As distances below `high`, four bytes each: an inbox is bounded far below 2^32 messages.
        for seq in &self.open {
            out.extend_from_slice(&((self.high - seq.min(&self.high)) as u32).to_le_bytes());
        }
        for packet_id in &self.released {
            out.extend_from_slice(&packet_id.to_le_bytes());
        }
        for received in &self.received {
            out.extend_from_slice(&received.packet_id.to_le_bytes());
            out.extend_from_slice(&received.number.to_le_bytes());
            out.extend_from_slice(&received.digest.to_le_bytes());
            out.push(u8::from(received.routed) | u8::from(received.crosses) << 1);
        }
        out.into()
    }

    /// From the store.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let high = reader.u64()?;
        let last_packet_id = reader.u16()?;
        let next_exchange = reader.u64()?;
        let open_len = reader.u16()?;
        let released_len = reader.u16()?;
        let open = (0..open_len)
            .map(|_| reader.u32().and_then(|below| high.checked_sub(u64::from(below))))
            .collect::<Option<_>>()?;
        let released = (0..released_len).map(|_| reader.u16()).collect::<Option<_>>()?;
        let mut received = Vec::new();
        while !reader.bytes.is_empty() {
            let packet_id = reader.u16()?;
            let number = reader.u64()?;
            let digest = reader.u64()?;
            let flags = reader.u8()?;
            received.push(Received { packet_id, number, routed: flags & 1 != 0, crosses: flags & 2 != 0, digest });
        }
        Some(Self { high, last_packet_id, next_exchange, open, released, received })
    }
}

/// Encodes a will with the principal it is published as. `fired`: it was published, but perhaps not to everybody yet.
pub(crate) fn encode_will(principal: &Principal, will: &Will, fired: bool) -> Bytes {
    let mut out = Vec::with_capacity(will.message.len() + 64);
    out.extend_from_slice(&will.number.to_le_bytes());
    out.extend_from_slice(&will.delay_s.to_le_bytes());
    out.extend_from_slice(&will.expiry_s.to_le_bytes());
    put_text(&mut out, principal.client_id());
    put_blob(&mut out, &will.message);
    out.push(u8::from(fired));
    out.push(u8::from(principal.is_superuser()) | principal.username().map_or(0, |_| HAS_USERNAME));
    put_text(&mut out, principal.username().map_or("", |name| name));
    for group in principal.groups() {
        put_text(&mut out, group);
    }
    out.into()
}

/// Decodes a will, the principal it is published as, and whether it was published already.
pub(crate) fn decode_will(value: &[u8]) -> Option<(Will, Principal, bool)> {
    let mut reader = Reader::new(value);
    let number = reader.u64()?;
    let delay_s = reader.u32()?;
    let expiry_s = reader.u32()?;
    let client_id = reader.text()?;
    let message = reader.blob()?.into();
    let fired = reader.u8()? != 0;
    let flags = reader.u8()?;
    let username = reader.text()?;
    let mut groups: Vec<Arc<str>> = Vec::new();
    while !reader.bytes.is_empty() {
        groups.push(reader.text()?.into());
    }
    let principal = Principal::new(client_id)
        .with_username((flags & HAS_USERNAME != 0).then(|| username.into()))
        .with_groups(groups)
        .with_superuser(flags & SUPERUSER != 0);
    Some((Will { message, number, delay_s, expiry_s, due_ms: 0 }, principal, fired))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_back_as_written() {
        let progress = Progress {
            high: 1_000_000,
            last_packet_id: 77,
            next_exchange: 12,
            open: vec![999_000, 999_990, 1_000_000],
            released: vec![5, 6],
            received: vec![Received { packet_id: 9, number: 11, routed: true, crosses: true, digest: 3 }],
        };
        assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        assert_eq!(Progress::decode(&Progress::default().encode()), Some(Progress::default()));
    }

    #[test]
    fn damaged_progress_is_refused() {
        let progress = Progress { open: vec![0], released: vec![1], ..Progress::default() };
        let bytes = progress.encode();
        assert!((1..bytes.len()).all(|n| Progress::decode(&bytes[..n]).is_none()));
    }
}

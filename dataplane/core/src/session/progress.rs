//! What is stored of a persistent session besides its messages: who it is, and how far it has got.
//!
//! Progress is written once per batch for each session that moved, so it is short: everything up to `high` is settled
//! except what is listed; everything above waits.

use std::sync::Arc;

use bytes::Bytes;
use sluice_dataplane_access::{Principal, Scope};
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
const HAS_SCOPE: u8 = 8;

/// Encodes who a session is.
pub(crate) fn encode_identity(session: &Session, durable: &Durable) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.push(session.version.level());
    out.extend_from_slice(&durable.expiry_s.to_le_bytes());
    out.extend_from_slice(&durable.detached_wall_ms.to_le_bytes());
    put_principal(&mut out, &session.principal, if durable.ended { ENDED } else { 0 });
    out.into()
}

/// Decodes who a session is.
pub(crate) fn decode_identity(value: &[u8]) -> Option<Identity> {
    let mut reader = Reader::new(value);
    let version = version_of_level(reader.u8()?)?;
    let expiry_s = reader.u32()?;
    let detached_wall_ms = reader.u64()?;
    let (principal, flags) = read_principal(&mut reader)?;
    Some(Identity { principal, version, expiry_s, detached_wall_ms, ended: flags & ENDED != 0 })
}

/// Appends who somebody is, to the end of a value. `more`: flags of the value's own.
fn put_principal(out: &mut Vec<u8>, principal: &Principal, more: u8) {
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(principal.is_superuser(), SUPERUSER)
        | flag(principal.username().is_some(), HAS_USERNAME)
        | flag(principal.scope().is_some(), HAS_SCOPE);
    out.push(flags | more);
    put_text(out, principal.client_id());
    put_text(out, principal.username().map_or("", |name| name));
    if let Some(scope) = principal.scope() {
        let (publish, subscribe) = scope.texts();
        put_filters(out, publish);
        put_filters(out, subscribe);
    }
    for group in principal.groups() {
        put_text(out, group);
    }
}

/// Reads who somebody is, and the flags, to the end of a value.
fn read_principal(reader: &mut Reader<'_>) -> Option<(Principal, u8)> {
    let flags = reader.u8()?;
    let client_id = reader.text()?;
    let username = reader.text()?;
    let scope = if flags & HAS_SCOPE == 0 {
        None
    } else {
        let (publish, subscribe) = (read_filters(reader)?, read_filters(reader)?);
        Some(Arc::new(Scope::parse(publish.as_deref(), subscribe.as_deref()).ok()?))
    };
    let mut groups: Vec<Arc<str>> = Vec::new();
    while !reader.bytes.is_empty() {
        groups.push(reader.text()?.into());
    }
    let principal = Principal::new(client_id)
        .with_username((flags & HAS_USERNAME != 0).then(|| username.into()))
        .with_groups(groups)
        .with_superuser(flags & SUPERUSER != 0)
        .with_scope(scope);
    Some((principal, flags))
}

/// Appends one more than the number of filters, so that none is told from no list, and the filters.
fn put_filters(out: &mut Vec<u8>, filters: Option<&[String]>) {
    out.push(filters.map_or(0, |filters| filters.len() as u8 + 1));
    filters.into_iter().flatten().for_each(|filter| put_text(out, filter));
}

fn read_filters(reader: &mut Reader<'_>) -> Option<Option<Vec<String>>> {
    match reader.u8()? {
        0 => Some(None),
        more => (1..more).map(|_| reader.text().map(str::to_owned)).collect::<Option<_>>().map(Some),
    }
}

fn version_of_level(level: u8) -> Option<Version> {
    [Version::V31, Version::V311, Version::V5].into_iter().find(|v| v.level() == level)
}

/// How far a session had got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everything up to here is settled except `open` and `waiting`.
    pub(crate) high: u64,
    /// The packet id given out last.
    pub(crate) last_packet_id: u16,
    /// Counts exchanges.
    pub(crate) next_exchange: u64,
    /// Sequence numbers that were sent and not settled, ascending.
    pub(crate) open: Vec<u64>,
    /// Sequence numbers that were not sent, ascending: those behind which others were settled.
    pub(crate) waiting: Vec<u64>,
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
        let mut fresh = outbound.queue.iter().filter(|q| q.flags & super::outbound::DUP == 0);
        let mut fresh = fresh.by_ref().filter_map(|q| stored(&q.body)).peekable();
        let again = outbound.queue.iter().take_while(|q| q.flags & super::outbound::DUP != 0);
        let mut open: Vec<u64> = outbound.window.iter().filter_map(|i| stored(&i.body)).collect();
        open.extend(again.filter_map(|q| stored(&q.body)));
        open.sort_unstable();
        let high = fresh.peek().map_or(last_seq, |&seq| (seq - 1).max(durable.gap_seq));
        Self {
            high,
            waiting: fresh.take_while(|&seq| seq <= high).collect(),
            last_packet_id: outbound.last_packet_id(),
            next_exchange: durable.next_exchange,
            open,
            released: outbound.window.iter().filter(|i| i.awaits == Awaits::Comp).map(|i| i.packet_id).collect(),
            received: session.received.clone(),
        }
    }

    /// For the store.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + self.open.len() * 4 + self.waiting.len() * 4 + self.received.len() * 20);
        out.extend_from_slice(&self.high.to_le_bytes());
        out.extend_from_slice(&self.last_packet_id.to_le_bytes());
        out.extend_from_slice(&self.next_exchange.to_le_bytes());
        out.extend_from_slice(&(self.open.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.released.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.waiting.len() as u32).to_le_bytes());
        // As distances below `high`, four bytes each: an inbox is bounded far below 2^32 messages.
        for seq in self.open.iter().chain(&self.waiting) {
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
        let waiting_len = reader.u32()?;
        let mut seq = || reader.u32().and_then(|below| high.checked_sub(u64::from(below)));
        let open = (0..open_len).map(|_| seq()).collect::<Option<_>>()?;
        let waiting = (0..waiting_len).map(|_| seq()).collect::<Option<_>>()?;
        let released = (0..released_len).map(|_| reader.u16()).collect::<Option<_>>()?;
        let mut received = Vec::new();
        while !reader.bytes.is_empty() {
            let packet_id = reader.u16()?;
            let number = reader.u64()?;
            let digest = reader.u64()?;
            let flags = reader.u8()?;
            received.push(Received { packet_id, number, routed: flags & 1 != 0, crosses: flags & 2 != 0, digest });
        }
        Some(Self { high, last_packet_id, next_exchange, open, waiting, released, received })
    }
}

/// Encodes a will with the principal it is published as.
pub(crate) fn encode_will(principal: &Principal, will: &Will) -> Bytes {
    let mut out = Vec::with_capacity(will.message.len() + 64);
    out.extend_from_slice(&will.number.to_le_bytes());
    out.extend_from_slice(&will.delay_s.to_le_bytes());
    out.extend_from_slice(&will.expiry_s.to_le_bytes());
    put_blob(&mut out, &will.message);
    out.push(u8::from(will.fired));
    put_principal(&mut out, principal, 0);
    out.into()
}

/// Decodes a will and the principal it is published as.
pub(crate) fn decode_will(value: &[u8]) -> Option<(Will, Principal)> {
    let mut reader = Reader::new(value);
    let number = reader.u64()?;
    let delay_s = reader.u32()?;
    let expiry_s = reader.u32()?;
    let message = reader.blob()?.into();
    let fired = reader.u8()? != 0;
    let (principal, _) = read_principal(&mut reader)?;
    Some((Will { message, number, delay_s, expiry_s, due_ms: 0, fired }, principal))
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
            waiting: vec![999_991, 999_999],
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

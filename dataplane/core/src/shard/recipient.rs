//! Who a stored message is for.

use crate::{message::Reader, record::SessionUid};

/// One session a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipient<'a> {
    /// The session.
    pub(crate) session: SessionUid,
    /// The packet id of the delivery: fixed when the message is stored, so that it is the same after a crash.
    pub(crate) packet_id: u16,
    /// QoS of the delivery.
    pub(crate) qos: u8,
    /// Whether the delivery carries RETAIN.
    pub(crate) retain: bool,
    /// Whether it came through a shared group.
    pub(crate) shared: bool,
    /// Subscription identifiers.
    pub(crate) ids: Ids<'a>,
}

/// Subscription identifiers, in memory or as stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ids<'a> {
    /// As numbers.
    Numbers(&'a [u32]),
    /// As bytes of a record, four each.
    Bytes(&'a [u8]),
}

impl Ids<'_> {
    /// The numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let (numbers, bytes) = match self {
            Self::Numbers(numbers) => (*numbers, &[][..]),
            Self::Bytes(bytes) => (&[][..], *bytes),
        };
        let stored = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        numbers.iter().copied().chain(stored)
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Bytes(bytes) => bytes.len() / 4,
        }
    }
}

impl PartialEq for Ids<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Ids<'_> {}

const RETAIN: u8 = 1 << 2;
const SHARED: u8 = 1 << 3;

impl Recipient<'_> {
    /// Appends the encoding. Of more than 255 subscription ids the first 255 are kept.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let count = self.ids.len().min(usize::from(u8::MAX));
        out.extend_from_slice(&self.session.0.to_le_bytes());
        out.extend_from_slice(&self.packet_id.to_le_bytes());
        let shared = if self.shared { SHARED } else { 0 };
        out.push(self.qos | shared | if self.retain { RETAIN } else { 0 });
        out.push(count as u8);
        for id in self.ids.iter().take(count) {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
}

/// Reads recipients one after the other; ends early at bytes that are none.
#[derive(Clone)]
pub(crate) struct Recipients<'a> {
    reader: Reader<'a>,
}

impl<'a> Recipients<'a> {
    /// Reads from the end of a record.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }
}

impl<'a> Iterator for Recipients<'a> {
    type Item = Recipient<'a>;

    fn next(&mut self) -> Option<Recipient<'a>> {
        let session = SessionUid(self.reader.u64()?);
        let packet_id = self.reader.u16()?;
        let flags = self.reader.u8()?;
        let count = usize::from(self.reader.u8()?);
        let ids = Ids::Bytes(self.reader.take(count * 4)?);
        let (retain, shared) = (flags & RETAIN != 0, flags & SHARED != 0);
        Some(Recipient { session, packet_id, qos: flags & 3, retain, shared, ids })
    }
}

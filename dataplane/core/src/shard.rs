//! One session shard: the log of messages for its persistent sessions.
//!
//! Messages are appended to an open block; at the end of a turn the block is sealed and becomes one stored value. A
//! message stands in the shard once, however many of its sessions wait for it; a block is forgotten when everybody has
//! settled everything in it. What a session holds of a message is its sequence number.
//!
//! A block is a run of records. Record, little endian: length of what follows (4) · message length (4) · message
//! ([`MessageRef`]) · recipients to the end, each: session uid (8) · packet id (2) · flags (1) · number of subscription
//! ids (1) · those (4 each). Flags: QoS (2 bits), RETAIN (bit 2), shared (bit 3).

mod dedupe;
mod recipient;

use std::collections::BTreeMap;

use bytes::Bytes;
use hashbrown::HashMap;
use sluice_cluster::ShardId;

use crate::{
    message::{MessageId, MessageRef, Reader},
    record::{Key, Op, SessionUid},
};

pub(crate) use dedupe::Dedupe;
pub(crate) use recipient::{Ids, Recipient, Recipients};

/// One shard's log and counters.
pub(crate) struct Shard {
    id: ShardId,
    /// The sequence number of the next record; the first is 1.
    next_seq: u64,
    open: Option<OpenBlock>,
    blocks: BTreeMap<u64, Block>,
    /// Everything up to here is on stable storage.
    stored_seq: u64,
    /// Everything up to here is in a block that was sealed; 0 = the batches that hold them are known.
    sealed_seq: u64,
    /// Bytes of block bodies held in memory.
    cached_bytes: usize,
    /// No block before this one has a body in memory.
    evict_from: u64,
    next_uid: u64,
    /// Uids below this were reserved in the store: after a crash none is given out twice.
    uids_reserved: u64,
    /// QoS 2 messages this shard holds, by publisher.
    dedupe: HashMap<SessionUid, Dedupe, foldhash::fast::FixedState>,
    /// The message asked about last, and whether it was new.
    admitted: (u64, bool),
    /// The batch in which a session of this shard ended last; 0 = none has.
    pub(crate) session_ended_in: u64,
}

/// Whether a QoS 2 message is new to a shard.
pub(crate) enum Admission {
    /// It is, and this must be stored under its publisher.
    Fresh(Bytes),
    /// It was stored before a crash.
    Duplicate,
    /// The same message was asked about just before: the answer was this.
    Known(bool),
}

struct OpenBlock {
    first: u64,
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    /// Recipients that have not settled.
    pending: u32,
    /// Which message of the worker the last record is, so that its next recipient joins it.
    last_message: u64,
}

struct Block {
    offsets: Box<[u32]>,
    pending: u32,
    body: Option<Bytes>,
    loading: bool,
}

/// A record as it is read.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The message.
    pub(crate) message: MessageRef<'a>,
    recipients: &'a [u8],
}

/// Whether a record can be read now.
pub(crate) enum Look {
    /// Here it is: the block's bytes and where the record lies in them.
    Here(Bytes),
    /// Its block is not in memory and must be asked for with this number.
    Load(u64),
    /// The block with this number was asked for.
    Loading(u64),
    /// There is no such record.
    Gone,
}

/// A block is sealed when it has grown to this.
const BLOCK_BYTES: usize = 128 * 1024;
const UIDS_AT_ONCE: u64 = 1024;

impl Shard {
    /// An empty shard.
    pub(crate) fn new(id: ShardId) -> Self {
        Self {
            id,
            next_seq: 1,
            open: None,
            blocks: BTreeMap::new(),
            stored_seq: 0,
            sealed_seq: 0,
            cached_bytes: 0,
            evict_from: 0,
            next_uid: 1,
            uids_reserved: 1,
            dedupe: HashMap::default(),
            admitted: (0, false),
            session_ended_in: 0,
        }
    }

    /// A uid for a new session: the shard's number above a count that never repeats. May add an op that reserves more.
    pub(crate) fn next_uid(&mut self, ops: &mut Vec<Op>) -> SessionUid {
        if self.next_uid >= self.uids_reserved {
            self.uids_reserved = self.next_uid + UIDS_AT_ONCE;
            let value = Bytes::copy_from_slice(&self.uids_reserved.to_le_bytes());
            ops.push(Op::Put(Key::Shard(self.id), value));
        }
        let uid = u64::from(self.id.0) << 48 | self.next_uid;
        self.next_uid += 1;
        SessionUid(uid)
    }

    /// Takes the stored counters.
    pub(crate) fn restore_counters(&mut self, value: &[u8]) -> Option<()> {
        let reserved = Reader::new(value).u64()?;
        self.next_uid = reserved;
        self.uids_reserved = reserved;
        Some(())
    }

    /// Whether a message with an id is new here; `message` is its number in this worker.
    pub(crate) fn admit(&mut self, message: u64, id: &MessageId, wall_ms: u64) -> Admission {
        if self.admitted.0 == message {
            return Admission::Known(self.admitted.1);
        }
        let dedupe = self.dedupe.entry(id.publisher).or_default();
        let fresh = dedupe.admit(id, wall_ms);
        self.admitted = (message, fresh);
        if fresh { Admission::Fresh(dedupe.encode()) } else { Admission::Duplicate }
    }

    /// Whether a message with an id was admitted before.
    pub(crate) fn knows(&self, id: &MessageId) -> bool {
        self.dedupe.get(&id.publisher).is_some_and(|dedupe| dedupe.knows(id))
    }

    /// Forgets publishers that were not heard of since the time that is said for each: their sessions have ended.
    pub(crate) fn forget_publishers(&mut self, since_wall_ms: impl Fn(SessionUid) -> u64, ops: &mut Vec<Op>) {
        let id = self.id;
        self.dedupe.retain(|&publisher, dedupe| {
            let known = dedupe.last_wall_ms() >= since_wall_ms(publisher);
            if !known {
                ops.push(Op::Drop(Key::Dedupe(id, publisher)));
            }
            known
        });
    }

    /// Takes what was stored about a publisher's messages.
    pub(crate) fn restore_dedupe(&mut self, publisher: SessionUid, value: &[u8]) -> Option<()> {
        self.dedupe.insert(publisher, Dedupe::decode(value)?);
        Some(())
    }

    /// Adds a recipient of message number `message` of this worker, with the message itself if it is new here. Returns
    /// the record's sequence number, and whether the open block is full.
    pub(crate) fn append(&mut self, message: u64, body: &MessageRef<'_>, to: &Recipient<'_>) -> u64 {
        let next = self.next_seq;
        let open = self.open.get_or_insert_with(|| OpenBlock {
            first: next,
            bytes: Vec::with_capacity(1024),
            offsets: Vec::new(),
            pending: 0,
            last_message: 0,
        });
        if open.last_message != message {
            open.last_message = message;
            open.offsets.push(open.bytes.len() as u32);
            open.bytes.extend_from_slice(&[0; 4]);
            open.bytes.extend_from_slice(&(body.encoded_len() as u32).to_le_bytes());
            body.encode(&mut open.bytes);
            self.next_seq += 1;
        }
        to.encode(&mut open.bytes);
        open.pending += 1;
        let at = open.offsets.last().map_or(0, |&o| o as usize);
        let length = (open.bytes.len() - at - 4) as u32;
        open.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.next_seq - 1
    }

    /// Whether the open block should be sealed before it takes more.
    pub(crate) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.bytes.len() >= BLOCK_BYTES)
    }

    /// Seals the open block, if there is one: the added op stores it.
    pub(crate) fn seal(&mut self, ops: &mut Vec<Op>) {
        let Some(open) = self.open.take() else { return };
        self.sealed_seq = self.next_seq - 1;
        if open.pending == 0 {
            return;
        }
        let body = Bytes::from(open.bytes);
        ops.push(Op::Put(Key::Block(self.id, open.first), body.clone()));
        self.cached_bytes += body.len();
        self.blocks.insert(
            open.first,
            Block { offsets: open.offsets.into(), pending: open.pending, body: Some(body), loading: false },
        );
    }

    /// The last sequence number of all blocks that were sealed since this was asked: those of the batch being closed.
    pub(crate) fn take_sealed(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.sealed_seq)).filter(|&seq| seq > 0)
    }

    /// Everything up to this sequence number is on stable storage.
    pub(crate) fn stored(&mut self, seq: u64) {
        self.stored_seq = self.stored_seq.max(seq);
    }

    /// Whether a record is on stable storage.
    pub(crate) fn is_stored(&self, seq: u64) -> bool {
        seq <= self.stored_seq
    }

    /// One recipient has settled a record. Drops the block when that was the last.
    pub(crate) fn settle(&mut self, seq: u64, ops: &mut Vec<Op>) {
        if let Some(open) = self.open.as_mut().filter(|open| seq >= open.first) {
            open.pending -= 1;
            return;
        }
        let Some((&first, block)) = self.blocks.range_mut(..=seq).next_back() else { return };
        if seq - first >= block.offsets.len() as u64 {
            return;
        }
        assert!(block.pending > 0, "I18: a block is settled once by each recipient");
        block.pending -= 1;
        if block.pending == 0 {
            self.forget(first, ops);
        }
    }

    fn forget(&mut self, first: u64, ops: &mut Vec<Op>) {
        if let Some(block) = self.blocks.remove(&first) {
            self.cached_bytes -= block.body.map_or(0, |body| body.len());
            ops.push(Op::Drop(Key::Block(self.id, first)));
        }
    }

    /// Looks a record up.
    pub(crate) fn look(&mut self, seq: u64) -> Look {
        let Some((&first, block)) = self.blocks.range_mut(..=seq).next_back() else { return Look::Gone };
        let Some(&at) = block.offsets.get((seq - first) as usize) else { return Look::Gone };
        match &block.body {
            Some(body) => {
                let at = at as usize;
                let length = Reader::new(&body[at..]).u32().unwrap_or(0) as usize;
                Look::Here(body.slice(at + 4..at + 4 + length))
            }
            None if block.loading => Look::Loading(first),
            None => {
                block.loading = true;
                Look::Load(first)
            }
        }
    }

    /// A block that was asked for. `false` when it is not the block it should be.
    pub(crate) fn loaded(&mut self, first: u64, body: Option<Bytes>) -> bool {
        let Some(block) = self.blocks.get_mut(&first) else { return true };
        block.loading = false;
        let Some(body) = body.filter(|body| offsets(body).is_some_and(|o| o.len() == block.offsets.len())) else {
            return false;
        };
        if block.body.is_none() {
            self.cached_bytes += body.len();
            self.evict_from = self.evict_from.min(first);
            block.body = Some(body);
        }
        true
    }

    /// Bytes of bodies in memory.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// Lets go of bodies in memory, oldest first, that are on stable storage, until `spare` bytes are freed.
    pub(crate) fn evict(&mut self, spare: usize) {
        let mut freed = 0;
        for (&first, block) in self.blocks.range_mut(self.evict_from..) {
            let last = first + block.offsets.len() as u64 - 1;
            if freed >= spare || last > self.stored_seq {
                break;
            }
            freed += block.body.take().map_or(0, |body| body.len());
            self.evict_from = last + 1;
        }
        self.cached_bytes -= freed;
    }

    /// Takes a stored block. Calls `each` with every record's sequence number and recipients, which says how many of
    /// them have yet to settle it. Blocks come in ascending order.
    pub(crate) fn restore_block(
        &mut self,
        first: u64,
        body: &Bytes,
        ops: &mut Vec<Op>,
        mut each: impl FnMut(u64, Record<'_>) -> u32,
    ) -> Option<()> {
        let offsets = offsets(body)?;
        let mut pending = 0;
        for (n, &at) in offsets.iter().enumerate() {
            let at = at as usize;
            let length = Reader::new(&body[at..]).u32()? as usize;
            pending += each(first + n as u64, Record::parse(&body[at + 4..at + 4 + length])?);
        }
        self.next_seq = self.next_seq.max(first + offsets.len() as u64);
        self.stored_seq = self.next_seq - 1;
        self.blocks.insert(first, Block { offsets, pending, body: None, loading: false });
        if pending == 0 {
            self.forget(first, ops);
        }
        Some(())
    }

    /// No sequence number up to this is given out again.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq + 1);
        self.stored_seq = self.next_seq - 1;
    }

    /// The sequence number given out last.
    pub(crate) fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }
}

impl<'a> Record<'a> {
    /// Reads the bytes of one record.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let message = MessageRef::decode(reader.blob()?)?;
        Some(Self { message, recipients: reader.bytes })
    }

    /// Who it is for.
    pub(crate) fn recipients(&self) -> Recipients<'a> {
        Recipients::new(self.recipients)
    }
}

/// Where the records of a block begin; `None` when the bytes are no block.
fn offsets(body: &[u8]) -> Option<Box<[u32]>> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < body.len() {
        offsets.push(at as u32);
        let length = Reader::new(&body[at..]).u32()? as usize;
        at = at + 4 + length;
        if at > body.len() {
            return None;
        }
    }
    Some(offsets.into())
}

#[cfg(test)]
mod tests;

//! Frames of a link as bytes: a length, a kind, a body. docs/protocol/peer.md has the format and vectors.

use sluice_mqtt::ReasonCode;

use super::{LinkError, Outcome, answers::Run};
use crate::message::Reader;

/// Kinds of the lane Control.
pub(super) mod control {
    /// Who the sender is. The first frame, once.
    pub(in super::super) const HELLO: u8 = 1;
    /// What became of reliable frames.
    pub(in super::super) const OUTCOMES: u8 = 2;
    /// How many runs of outcomes were taken.
    pub(in super::super) const TAKEN: u8 = 3;
    /// A frame of whoever uses the link.
    pub(in super::super) const APPLICATION: u8 = 4;
}

/// Kinds of the lane Messages.
pub(super) mod messages {
    /// The number of the next reliable frame.
    pub(in super::super) const START: u8 = 1;
    /// A frame that has the next number.
    pub(in super::super) const RELIABLE: u8 = 2;
    /// A frame without a number.
    pub(in super::super) const UNRELIABLE: u8 = 3;
}

/// Kinds of the lane Bulk.
pub(super) mod bulk {
    /// A frame of whoever uses the link.
    pub(in super::super) const APPLICATION: u8 = 1;
}

/// A frame, and what it takes with its length in front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Framed<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
    pub(super) bytes: usize,
}

/// Reads the frame at the front; `None` when it is not whole. A length that is too long shows before the frame is there.
#[inline]
pub(super) fn split(bytes: &[u8], body_bytes_max: usize) -> Result<Option<Framed<'_>>, LinkError> {
    let Some((length, head)) = read_length(bytes)? else { return Ok(None) };
    if length == 0 {
        return Err(LinkError::Malformed { what: "a frame without a kind" });
    }
    if length - 1 > body_bytes_max {
        return Err(LinkError::TooLong { bytes: length - 1, bytes_max: body_bytes_max });
    }
    let Some(frame) = bytes.get(head..head + length) else { return Ok(None) };
    Ok(Some(Framed { kind: frame[0], body: &frame[1..], bytes: head + length }))
}

/// The length at the front and its own bytes.
#[inline]
fn read_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, LinkError> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let shortest = *byte != 0 || at == 0;
            return if shortest { Ok(Some((length, at + 1))) } else { Err(LENGTH) };
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(LENGTH) }
}

const LENGTH: LinkError = LinkError::Malformed { what: "a length" };
const LENGTH_BYTES_MAX: usize = 4;

/// What a frame takes with its head, in bytes.
#[inline]
pub(super) fn framed_len(body: usize) -> usize {
    let length = body + 1;
    let head = match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    head + length
}

/// Appends a frame.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    put_varint(out, body.len() as u64 + 1);
    out.push(kind);
    out.extend_from_slice(body);
}

/// Appends a frame whose body `write` appends.
pub(super) fn put_with(out: &mut Vec<u8>, scratch: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    scratch.clear();
    write(scratch);
    put(out, kind, scratch);
}

/// Appends the body of Start.
pub(super) fn put_start(out: &mut Vec<u8>, sequence: u64, again: bool) {
    let mut body = [0; 9];
    body[..8].copy_from_slice(&sequence.to_le_bytes());
    body[8] = u8::from(again);
    put(out, messages::START, &body);
}

/// Reads the body of Start.
pub(super) fn read_start(body: &[u8]) -> Result<(u64, bool), LinkError> {
    let mut reader = Reader::new(body);
    let start = reader.u64().zip(reader.u8().filter(|again| *again <= 1));
    let start = start.filter(|_| reader.bytes.is_empty()).map(|(sequence, again)| (sequence, again == 1));
    start.ok_or(LinkError::Malformed { what: "Start" })
}

/// Reads the body of Taken.
pub(super) fn read_taken(body: &[u8]) -> Result<u64, LinkError> {
    let body = body.try_into().map_err(|_| LinkError::Malformed { what: "Taken" })?;
    Ok(u64::from_le_bytes(body))
}

/// Appends a run of outcomes; `expected` is the number behind the run before it, 0 in front of the first.
pub(super) fn put_run(out: &mut Vec<u8>, expected: u64, run: &Run) {
    let distance = run.first.wrapping_sub(expected) as i64;
    put_varint(out, ((distance << 1) ^ (distance >> 63)) as u64);
    put_varint(out, u64::from(run.count));
    let Outcome { matched, refused } = run.outcome;
    out.push(u8::from(matched) | u8::from(refused.is_some()) << 1);
    out.extend(refused.map(ReasonCode::code));
}

/// Takes a run off the front of the body of Outcomes.
pub(super) fn take_run(reader: &mut Reader<'_>, expected: u64) -> Result<Run, LinkError> {
    read_run(reader, expected).ok_or(LinkError::Malformed { what: "Outcomes" })
}

fn read_run(reader: &mut Reader<'_>, expected: u64) -> Option<Run> {
    let distance = read_varint(reader)?;
    let distance = (distance >> 1) as i64 ^ -((distance & 1) as i64);
    let first = expected.checked_add_signed(distance)?;
    let count = u32::try_from(read_varint(reader)?).ok()?;
    let flags = reader.u8().filter(|flags| *flags <= 3)?;
    let refused =
        if flags & 2 == 0 { None } else { Some(ReasonCode::from_u8(reader.u8()?).filter(|reason| reason.is_error())?) };
    Some(Run { first, count, outcome: Outcome { matched: flags & 1 == 1, refused } })
}

/// Appends a number, 7 bits a byte, lowest first; the highest bit says that more follow.
#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put_varint`] wrote, in its shortest form only.
fn read_varint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut value = 0u64;
    for at in 0..10 {
        let byte = reader.u8()?;
        let bits = u64::from(byte & 0x7F);
        if at == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return (byte != 0 || at == 0).then_some(value);
        }
    }
    None
}

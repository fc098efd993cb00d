//! The bytes of [`InterestFrame`] on a link's lane for control.

use std::sync::Arc;

use sluice_cluster::interest::{Change, Incarnation, Interest, InterestFrame, Position, Sequence, Stream};
use sluice_topic::{Limits, ParsedFilter};

use crate::message::{Reader, put_text};

/// Appends a frame.
pub(super) fn encode(frame: &InterestFrame, out: &mut Vec<u8>) {
    match frame {
        InterestFrame::Ask { stream, have } => {
            put_head(out, 1, *stream);
            out.push(u8::from(have.is_some()));
            put_position(out, have.unwrap_or_default());
        }
        InterestFrame::Ack { stream, have } => {
            put_head(out, 2, *stream);
            put_position(out, *have);
        }
        InterestFrame::Announce { stream, incarnation, after, upto, last, changes } => {
            put_head(out, 3, *stream);
            for number in [incarnation.0, after.0, upto.0, last.0] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            put_changes(out, changes);
        }
        InterestFrame::Snapshot { stream, at, part, end, last, changes } => {
            put_head(out, 4, *stream);
            put_position(out, *at);
            out.extend_from_slice(&part.to_le_bytes());
            out.push(u8::from(*end));
            out.extend_from_slice(&last.0.to_le_bytes());
            put_changes(out, changes);
        }
    }
}

/// Reads a frame; `None` when the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<InterestFrame> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    let stream = Stream { receiver: Incarnation(reader.u64()?), number: reader.u64()? };
    Some(match kind {
        1 => {
            let known = reader.u8()? != 0;
            let have = position(&mut reader)?;
            InterestFrame::Ask { stream, have: known.then_some(have) }
        }
        2 => InterestFrame::Ack { stream, have: position(&mut reader)? },
        3 => InterestFrame::Announce {
            stream,
            incarnation: Incarnation(reader.u64()?),
            after: Sequence(reader.u64()?),
            upto: Sequence(reader.u64()?),
            last: Sequence(reader.u64()?),
            changes: changes(&mut reader)?,
        },
        4 => InterestFrame::Snapshot {
            stream,
            at: position(&mut reader)?,
            part: reader.u32()?,
            end: reader.u8()? != 0,
            last: Sequence(reader.u64()?),
            changes: changes(&mut reader)?,
        },
        _ => return None,
    })
}

fn put_head(out: &mut Vec<u8>, kind: u8, stream: Stream) {
    out.push(kind);
    out.extend_from_slice(&stream.receiver.0.to_le_bytes());
    out.extend_from_slice(&stream.number.to_le_bytes());
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    out.extend_from_slice(&position.incarnation.0.to_le_bytes());
    out.extend_from_slice(&position.sequence.0.to_le_bytes());
}

fn position(reader: &mut Reader<'_>) -> Option<Position> {
    Some(Position { incarnation: Incarnation(reader.u64()?), sequence: Sequence(reader.u64()?) })
}

fn put_changes(out: &mut Vec<u8>, changes: &[Change]) {
    for change in changes {
        let interest = change.interest;
        let flags = u8::from(interest.is_some())
            | u8::from(interest.is_some_and(|i| i.durable)) << 1
            | u8::from(change.filter.group.is_some()) << 2;
        out.push(flags);
        out.extend_from_slice(&interest.map_or(0, |i| i.members).to_le_bytes());
        if let Some(group) = &change.filter.group {
            put_text(out, group);
        }
        put_text(out, change.filter.filter.as_str());
    }
}

fn changes(reader: &mut Reader<'_>) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !reader.bytes.is_empty() {
        let flags = reader.u8()?;
        let members = reader.u32()?;
        let group = if flags & 4 != 0 { Some(reader.text()?) } else { None };
        let filter = reader.text()?;
        let filter = match group {
            None => ParsedFilter::parse(filter, &LIMITS).ok().filter(|parsed| parsed.group.is_none())?,
            Some(group) => ParsedFilter::parse(&format!("$share/{group}/{filter}"), &LIMITS).ok()?,
        };
        let interest = (flags & 1 != 0).then_some(Interest { durable: flags & 2 != 0, members });
        changes.push(Change { filter: Arc::new(filter), interest });
    }
    Some(changes)
}

/// What a filter may be at all: the owner has held it against its own limits, which may be wider than those here.
const LIMITS: Limits = Limits { topic_bytes_max: u16::MAX as usize, levels_max: u16::MAX as usize };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back() {
        let filter = |text| Arc::new(ParsedFilter::parse(text, &Limits::default()).unwrap());
        let changes = vec![
            Change { filter: filter("a/+"), interest: Some(Interest { durable: true, members: 0 }) },
            Change { filter: filter("$share/g/#"), interest: Some(Interest { durable: false, members: 7 }) },
            Change { filter: filter("b"), interest: None },
        ];
        let stream = Stream { receiver: Incarnation(3), number: 4 };
        let at = Position { incarnation: Incarnation(9), sequence: Sequence(8) };
        let (after, upto, last) = (Sequence(1), Sequence(2), Sequence(3));
        let frames = [
            InterestFrame::Ask { stream, have: None },
            InterestFrame::Ask { stream, have: Some(at) },
            InterestFrame::Ack { stream, have: at },
            InterestFrame::Announce {
                stream,
                incarnation: at.incarnation,
                after,
                upto,
                last,
                changes: changes.clone(),
            },
            InterestFrame::Snapshot { stream, at, part: 2, end: true, last, changes },
        ];
        for frame in frames {
            let mut bytes = Vec::new();
            encode(&frame, &mut bytes);
            assert_eq!(decode(&bytes), Some(frame));
            assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        }
    }
}

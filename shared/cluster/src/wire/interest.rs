//! Interest between its owner and a receiver.

use std::sync::Arc;

use sluice_proto::cluster::v1 as pb;
use sluice_topic::ParsedFilter;

use super::{InField, TOPIC_LIMITS, WireError, each, required};
use crate::interest::{Change, Incarnation, Interest, InterestFrame, Position, Sequence, Stream};

/// Most changes of one frame; an owner sends some hundreds.
pub const FRAME_CHANGES_MAX: usize = 1 << 16;

impl From<Position> for pb::Position {
    fn from(position: Position) -> Self {
        Self { incarnation: position.incarnation.0, sequence: position.sequence.0 }
    }
}

impl TryFrom<pb::Position> for Position {
    type Error = WireError;

    fn try_from(message: pb::Position) -> Result<Self, WireError> {
        let sequence = sequence("sequence", message.sequence)?;
        Ok(Self { incarnation: Incarnation(message.incarnation), sequence })
    }
}

/// A count that can still be counted on.
fn sequence(field: &str, number: u64) -> Result<Sequence, WireError> {
    if number == u64::MAX { Err(WireError::new(field, "has run out")) } else { Ok(Sequence(number)) }
}

impl From<Stream> for pb::InterestStream {
    fn from(stream: Stream) -> Self {
        Self { receiver: stream.receiver.0, number: stream.number }
    }
}

impl TryFrom<pb::InterestStream> for Stream {
    type Error = WireError;

    fn try_from(message: pb::InterestStream) -> Result<Self, WireError> {
        Ok(Self { receiver: Incarnation(message.receiver), number: message.number })
    }
}

impl From<Interest> for pb::Interest {
    fn from(interest: Interest) -> Self {
        Self { durable: interest.durable, members: interest.members }
    }
}

impl From<pb::Interest> for Interest {
    fn from(message: pb::Interest) -> Self {
        Self { durable: message.durable, members: message.members }
    }
}

impl From<&Change> for pb::InterestChange {
    fn from(change: &Change) -> Self {
        Self { filter: change.filter.to_string(), interest: change.interest.map(Into::into) }
    }
}

impl TryFrom<pb::InterestChange> for Change {
    type Error = WireError;

    fn try_from(message: pb::InterestChange) -> Result<Self, WireError> {
        let filter = ParsedFilter::parse(&message.filter, &TOPIC_LIMITS).field("filter")?;
        Ok(Self { filter: Arc::new(filter), interest: message.interest.map(Into::into) })
    }
}

impl From<&InterestFrame> for pb::InterestFrame {
    fn from(frame: &InterestFrame) -> Self {
        use pb::interest_frame::Frame;

        let write = |changes: &[Change]| changes.iter().map(Into::into).collect();
        let frame = match frame {
            InterestFrame::Ask { stream, have } => {
                Frame::Ask(pb::InterestAsk { stream: Some((*stream).into()), have: have.map(Into::into) })
            }
            InterestFrame::Ack { stream, have } => {
                Frame::Ack(pb::InterestAck { stream: Some((*stream).into()), have: Some((*have).into()) })
            }
            InterestFrame::Announce { stream, incarnation, after, upto, last, changes } => {
                Frame::Announce(pb::InterestAnnounce {
                    stream: Some((*stream).into()),
                    incarnation: incarnation.0,
                    after: after.0,
                    upto: upto.0,
                    last: last.0,
                    changes: write(changes),
                })
            }
            InterestFrame::Snapshot { stream, at, part, end, last, changes } => Frame::Snapshot(pb::InterestSnapshot {
                stream: Some((*stream).into()),
                at: Some((*at).into()),
                part: *part,
                end: *end,
                last: last.0,
                changes: write(changes),
            }),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<pb::InterestFrame> for InterestFrame {
    type Error = WireError;

    fn try_from(message: pb::InterestFrame) -> Result<Self, WireError> {
        use pb::interest_frame::Frame;

        match message.frame.ok_or_else(|| WireError::new("frame", "is none that is known here"))? {
            Frame::Ask(ask) => Ok(Self::Ask {
                stream: required("ask.stream", ask.stream)?,
                have: super::optional("ask.have", ask.have)?,
            }),
            Frame::Ack(ack) => {
                Ok(Self::Ack { stream: required("ack.stream", ack.stream)?, have: required("ack.have", ack.have)? })
            }
            Frame::Announce(announce) => read_announce(announce).map_err(|error| error.within("announce")),
            Frame::Snapshot(snapshot) => read_snapshot(snapshot).map_err(|error| error.within("snapshot")),
        }
    }
}

fn read_announce(message: pb::InterestAnnounce) -> Result<InterestFrame, WireError> {
    let (after, upto) = (sequence("after", message.after)?, sequence("upto", message.upto)?);
    let last = sequence("last", message.last)?;
    if !(after <= upto && upto <= last) {
        return Err(WireError::new("upto", format_args!("{} is not between {} and {}", upto.0, after.0, last.0)));
    }
    Ok(InterestFrame::Announce {
        stream: required("stream", message.stream)?,
        incarnation: Incarnation(message.incarnation),
        after,
        upto,
        last,
        changes: each("changes", message.changes, FRAME_CHANGES_MAX, Change::try_from)?,
    })
}

fn read_snapshot(message: pb::InterestSnapshot) -> Result<InterestFrame, WireError> {
    let at: Position = required("at", message.at)?;
    let last = sequence("last", message.last)?;
    if at.sequence > last {
        return Err(WireError::new("at", format_args!("{at} is behind the last change, {}", last.0)));
    }
    if message.part == u32::MAX {
        return Err(WireError::new("part", "has run out"));
    }
    Ok(InterestFrame::Snapshot {
        stream: required("stream", message.stream)?,
        at,
        part: message.part,
        end: message.end,
        last,
        changes: each("changes", message.changes, FRAME_CHANGES_MAX, Change::try_from)?,
    })
}

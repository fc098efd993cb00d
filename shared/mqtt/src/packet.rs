//! Any packet.

use crate::{
    Ack, Auth, ConnAck, Connect, ConnectLimits, DecodeError, DecodeErrorKind, Disconnect, PacketType, Publish, SubAck,
    Subscribe, UnsubAck, Unsubscribe, Version, connect, decode_ack, frame, publish, reader::Reader,
};

/// A decoded packet; borrows from its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// What kind of packet it is.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// Decodes what a client sent to a server. `version` is the connection's; a CONNECT carries its own.
///
/// # Errors
/// What the specification does not allow; also the packets that only a server sends
/// ([`DecodeErrorKind::WrongDirection`]).
#[inline]
pub fn decode(version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, DecodeError> {
    decode_sent_by(Sender::Client, version, first, body)
}

/// Decodes what a server sent to a client.
///
/// # Errors
/// What the specification does not allow; also the packets that only a client sends
/// ([`DecodeErrorKind::WrongDirection`]).
pub fn decode_from_server(version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, DecodeError> {
    decode_sent_by(Sender::Server, version, first, body)
}

/// Which side a packet comes from: it decides on packets, properties and reason codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    Client,
    Server,
}

fn decode_sent_by(sender: Sender, version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let kind = PacketType::from_first(first).ok_or(DecodeErrorKind::UnknownPacketType)?;
    check_flags(version, first)?;
    check_direction(sender, kind)?;
    Ok(match kind {
        PacketType::Publish => Packet::Publish(publish::decode_sent_by(sender, version, first, body)?),
        PacketType::PubAck => Packet::PubAck(decode_ack(version, first, body)?),
        PacketType::PubRec => Packet::PubRec(decode_ack(version, first, body)?),
        PacketType::PubRel => Packet::PubRel(decode_ack(version, first, body)?),
        PacketType::PubComp => Packet::PubComp(decode_ack(version, first, body)?),
        PacketType::Connect => Packet::Connect(connect::decode_connect(body, &ConnectLimits::NONE)?),
        PacketType::ConnAck => Packet::ConnAck(ConnAck::decode(version, body)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(version, body)?),
        PacketType::SubAck => Packet::SubAck(SubAck::decode(version, body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, body)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::decode(version, body)?),
        PacketType::PingReq => Reader::new(body).finish().map(|()| Packet::PingReq)?,
        PacketType::PingResp => Reader::new(body).finish().map(|()| Packet::PingResp)?,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(sender, version, body)?),
        PacketType::Auth => Packet::Auth(Auth::decode(sender, body)?),
    })
}

/// Refuses flags that a packet of this kind and version does not have. PUBLISH, whose flags mean something, checks its own.
///
/// Version 3.1 sends PUBREL, SUBSCRIBE and UNSUBSCRIBE again with DUP set.
#[inline]
pub(crate) fn check_flags(version: Version, first: u8) -> Result<(), DecodeError> {
    let Some(kind) = PacketType::from_first(first) else {
        return Err(DecodeErrorKind::UnknownPacketType.into());
    };
    if kind == PacketType::Auth && !version.has_properties() {
        return Err(DecodeErrorKind::UnknownPacketType.into());
    }
    let as_it_should = first == kind.first() || kind == PacketType::Publish;
    let sent_again = version == Version::V31 && kind.has_reserved_qos() && first & !frame::DUP == kind.first();
    if as_it_should || sent_again { Ok(()) } else { Err(DecodeErrorKind::BadFlags.into()) }
}

fn check_direction(sender: Sender, kind: PacketType) -> Result<(), DecodeError> {
    let only_from = match kind {
        PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => Sender::Client,
        PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => Sender::Server,
        PacketType::Publish
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::Disconnect
        | PacketType::Auth => return Ok(()),
    };
    if only_from == sender { Ok(()) } else { Err(DecodeErrorKind::WrongDirection.into()) }
}

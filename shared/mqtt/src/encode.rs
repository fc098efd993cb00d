//! Packets to bytes. Every function appends one whole packet to `out`.
//!
//! Each panics when a text or binary field exceeds 65,535 bytes or the packet [`crate::PACKET_BYTES_MAX`]: whoever makes
//! such a value has a bug, since none can be decoded. What a version does not have is left out.

use crate::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Publish, PublishHead, SubAck, Subscribe, UnsubAck,
    Unsubscribe, Version, ack, sink::write_packet,
};

/// Appends a PUBLISH from its head and payload. Returns the offset of the packet id, for [`crate::patch_packet_id`].
///
/// # Panics
/// Also when `payload` is not [`PublishHead::payload_len`] long.
#[inline]
pub fn publish(out: &mut Vec<u8>, head: &PublishHead<'_>, payload: &[u8]) -> usize {
    head.encode_with(out, payload)
}

/// Appends a PUBLISH as decoded or built by hand, its properties from their fields. For traffic there is [`publish`].
pub fn publish_packet(out: &mut Vec<u8>, version: Version, packet: &Publish<'_>) {
    write_packet(out, packet.first(), version, packet);
}

/// Appends a CONNECT in the version it carries.
pub fn connect(out: &mut Vec<u8>, packet: &Connect<'_>) {
    write_packet(out, PacketType::Connect.first(), packet.version, packet);
}

/// Appends a CONNACK.
pub fn connack(out: &mut Vec<u8>, version: Version, packet: &ConnAck<'_>) {
    write_packet(out, PacketType::ConnAck.first(), version, packet);
}

/// Appends a PUBACK. Before version 5 a refusal cannot be told: do not acknowledge then.
#[inline]
pub fn puback(out: &mut Vec<u8>, version: Version, packet: &Ack<'_>) {
    ack::write(out, PacketType::PubAck, version, packet);
}

/// Appends a PUBREC. Before version 5 a refusal cannot be told: do not acknowledge then.
#[inline]
pub fn pubrec(out: &mut Vec<u8>, version: Version, packet: &Ack<'_>) {
    ack::write(out, PacketType::PubRec, version, packet);
}

/// Appends a PUBREL.
#[inline]
pub fn pubrel(out: &mut Vec<u8>, version: Version, packet: &Ack<'_>) {
    ack::write(out, PacketType::PubRel, version, packet);
}

/// Appends a PUBCOMP.
#[inline]
pub fn pubcomp(out: &mut Vec<u8>, version: Version, packet: &Ack<'_>) {
    ack::write(out, PacketType::PubComp, version, packet);
}

/// Appends a SUBSCRIBE.
pub fn subscribe(out: &mut Vec<u8>, version: Version, packet: &Subscribe<'_>) {
    write_packet(out, PacketType::Subscribe.first(), version, packet);
}

/// Appends a SUBACK.
pub fn suback(out: &mut Vec<u8>, version: Version, packet: &SubAck<'_>) {
    write_packet(out, PacketType::SubAck.first(), version, packet);
}

/// Appends an UNSUBSCRIBE.
pub fn unsubscribe(out: &mut Vec<u8>, version: Version, packet: &Unsubscribe<'_>) {
    write_packet(out, PacketType::Unsubscribe.first(), version, packet);
}

/// Appends an UNSUBACK.
pub fn unsuback(out: &mut Vec<u8>, version: Version, packet: &UnsubAck<'_>) {
    write_packet(out, PacketType::UnsubAck.first(), version, packet);
}

/// Appends a PINGREQ.
#[inline]
pub fn pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingReq.first(), 0]);
}

/// Appends a PINGRESP.
#[inline]
pub fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingResp.first(), 0]);
}

/// Appends a DISCONNECT. Before version 5 only clients send one, without content.
pub fn disconnect(out: &mut Vec<u8>, version: Version, packet: &Disconnect<'_>) {
    write_packet(out, PacketType::Disconnect.first(), version, packet);
}

/// Appends an AUTH, of version 5.
pub fn auth(out: &mut Vec<u8>, packet: &Auth<'_>) {
    write_packet(out, PacketType::Auth.first(), Version::V5, packet);
}

/// Appends any packet. `version` is the connection's; a CONNECT carries its own.
pub fn packet(out: &mut Vec<u8>, version: Version, packet: &Packet<'_>) {
    match packet {
        Packet::Connect(packet) => connect(out, packet),
        Packet::ConnAck(packet) => connack(out, version, packet),
        Packet::Publish(packet) => publish_packet(out, version, packet),
        Packet::PubAck(packet) => puback(out, version, packet),
        Packet::PubRec(packet) => pubrec(out, version, packet),
        Packet::PubRel(packet) => pubrel(out, version, packet),
        Packet::PubComp(packet) => pubcomp(out, version, packet),
        Packet::Subscribe(packet) => subscribe(out, version, packet),
        Packet::SubAck(packet) => suback(out, version, packet),
        Packet::Unsubscribe(packet) => unsubscribe(out, version, packet),
        Packet::UnsubAck(packet) => unsuback(out, version, packet),
        Packet::PingReq => pingreq(out),
        Packet::PingResp => pingresp(out),
        Packet::Disconnect(packet) => disconnect(out, version, packet),
        Packet::Auth(packet) => auth(out, packet),
    }
}

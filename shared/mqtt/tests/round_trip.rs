//! Whatever can be said can be written down and read back, in every version; whatever is cut short is noticed; no bytes
//! make a decoder panic.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "most packets are alike")]

mod strategy;

use proptest::prelude::*;
use sluice_mqtt::{
    ConnectLimits, DecodeError, Packet, PacketType, Version, decode, decode_connect, decode_from_server,
    decode_publish_from_server, encode, split,
};
use strategy::{OwnedPacket, any_packet, any_version};

/// Decodes as the side that receives this kind of packet.
fn decode_as_receiver(version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, DecodeError> {
    match decode_from_server(version, first, body) {
        Ok(packet) => Ok(packet),
        Err(_) => decode(version, first, body),
    }
}

fn encoded(version: Version, packet: &OwnedPacket) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.with_borrowed(|packet| encode::packet(&mut bytes, version, packet));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_packet_survives_the_wire((version, packet) in any_packet()) {
        let bytes = encoded(version, &packet);
        let frame = split(&bytes, u32::MAX).unwrap().unwrap();
        prop_assert_eq!(frame.total(), bytes.len());
        let decoded = decode_as_receiver(version, frame.first, &bytes[frame.header_len..]);
        prop_assert!(packet.with_borrowed(|sent| decoded == Ok(*sent)), "{decoded:?}");
        let mut again = Vec::new();
        encode::packet(&mut again, version, &decoded.unwrap());
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn a_packet_cut_short_is_incomplete_or_an_error((version, packet) in any_packet()) {
        let bytes = encoded(version, &packet);
        let frame = split(&bytes, u32::MAX).unwrap().unwrap();
        for cut in 0..bytes.len() {
            match split(&bytes[..cut], u32::MAX) {
                Ok(None) => prop_assert!(cut < frame.header_len),
                Ok(Some(early)) => prop_assert!(early == frame && cut < early.total()),
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        // A body that lost its tail, in a packet that says so, is another packet or none; never the same one.
        for cut in 0..frame.body_len {
            let body = &bytes[frame.header_len..frame.header_len + cut];
            if let Ok(other) = decode_as_receiver(version, frame.first, body) {
                prop_assert!(packet.with_borrowed(|sent| other != *sent), "{other:?}");
                prop_assert!(may_end_early(version, frame.first), "{:?} cut to {cut} bytes is {other:?}", frame);
            }
        }
    }

    #[test]
    fn a_byte_after_the_last_field_is_never_ignored((version, packet) in any_packet(), byte: u8) {
        let bytes = encoded(version, &packet);
        let frame = split(&bytes, u32::MAX).unwrap().unwrap();
        let mut body = bytes[frame.header_len..].to_vec();
        body.push(byte);
        // Success and no properties may be said or left out.
        prop_assume!(byte != 0 || !may_leave_out(version, frame.first));
        if let Ok(longer) = decode_as_receiver(version, frame.first, &body) {
            prop_assert!(packet.with_borrowed(|sent| longer != *sent), "{longer:?}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_is_accepted_can_be_written_again(
        version in any_version(),
        first: u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = split(&body, 1_000);
        let _ = decode_connect(&body, &ConnectLimits::default());
        for decoder in [decode, decode_from_server] {
            check_accepted(decoder, version, first, &body)?;
        }
    }

    #[test]
    fn a_packet_with_some_bytes_changed_never_panics(
        (version, packet) in any_packet(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(version, &packet);
        let frame = split(&bytes, u32::MAX).unwrap().unwrap();
        let body = &mut bytes[frame.header_len..];
        for (at, byte) in changes {
            if !body.is_empty() {
                body[at.index(body.len())] = byte;
            }
        }
        for decoder in [decode, decode_from_server] {
            check_accepted(decoder, version, frame.first, body)?;
        }
    }
}

type Decoder = for<'a> fn(Version, u8, &'a [u8]) -> Result<Packet<'a>, DecodeError>;

/// What a decoder accepts means the same after it was written again, though perhaps in other words.
fn check_accepted(decoder: Decoder, version: Version, first: u8, body: &[u8]) -> Result<(), TestCaseError> {
    let Ok(packet) = decoder(version, first, body) else {
        return Ok(());
    };
    let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
    let mut bytes = Vec::new();
    encode::packet(&mut bytes, version, &packet);
    let frame = split(&bytes, u32::MAX).unwrap().unwrap();
    prop_assert_eq!(decoder(version, frame.first, &bytes[frame.header_len..]), Ok(packet));
    if let Packet::Publish(publish) = packet {
        check_forwarding(version, &publish)?;
    }
    Ok(())
}

/// What a server passes on says the same as the fields.
fn check_forwarding(version: Version, publish: &sluice_mqtt::Publish<'_>) -> Result<(), TestCaseError> {
    let mut forward = Vec::new();
    publish.properties.forward_into(&mut forward);
    if let Some(slice) = publish.properties.forward_slice() {
        prop_assert_eq!(slice, &forward[..]);
    }
    let head = sluice_mqtt::PublishHead {
        version,
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: "t",
        packet_id: publish.packet_id,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: &[],
        forward: &forward,
        payload_len: publish.payload.len(),
    };
    let mut bytes = Vec::new();
    encode::publish(&mut bytes, &head, publish.payload);
    let frame = split(&bytes, u32::MAX).unwrap().unwrap();
    let received = decode_publish_from_server(version, frame.first, &bytes[frame.header_len..]).unwrap();
    let mut expected = *publish;
    expected.topic = "t";
    expected.properties.message_expiry = None;
    expected.properties.topic_alias = None;
    expected.properties.subscription_ids = [].as_slice().into();
    prop_assert_eq!(received, expected);
    Ok(())
}

/// Packets that are whole at more than one place: a payload, a list of filters or codes, or content that may be left out.
fn may_end_early(version: Version, first: u8) -> bool {
    match PacketType::from_first(first).unwrap() {
        PacketType::Publish | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::SubAck => true,
        // The Remaining Length goes before the flags for user name and password.
        PacketType::Connect => version == Version::V31,
        PacketType::UnsubAck => version == Version::V5,
        _ => may_leave_out(version, first),
    }
}

/// Packets whose reason code and properties may be left out when there is nothing to say.
fn may_leave_out(version: Version, first: u8) -> bool {
    use PacketType::{Auth, Disconnect, PubAck, PubComp, PubRec, PubRel};
    let kinds = [PubAck, PubRec, PubRel, PubComp, Disconnect, Auth];
    version == Version::V5 && kinds.contains(&PacketType::from_first(first).unwrap())
}

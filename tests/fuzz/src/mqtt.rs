//! Packets and the stream they come in.

use sluice_mqtt::{
    ConnectLimits, DecodeError, FrameError, Packet, Publish, PublishHead, Version, decode, decode_connect,
    decode_from_server, decode_publish_from_server, encode, split,
};

use crate::cursor::Cursor;

type Decoder = for<'a> fn(Version, u8, &'a [u8]) -> Result<Packet<'a>, DecodeError>;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// First byte of a packet, then its body, in every version and from both sides. What a decoder accepts can be written
/// again and then means the same; what is written from what was read comes out byte for byte the second time; a PUBLISH
/// says the same after it was forwarded.
pub fn fuzz_mqtt_packets(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else { return };
    for decoder in [decode as Decoder, decode_from_server] {
        for version in VERSIONS {
            if let Ok(packet) = decoder(version, first, body) {
                check_accepted(decoder, version, packet);
            }
        }
    }
}

fn check_accepted(decoder: Decoder, version: Version, packet: Packet<'_>) {
    let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
    let mut bytes = Vec::new();
    encode::packet(&mut bytes, version, &packet);
    let frame = split(&bytes, u32::MAX).unwrap().unwrap();
    assert_eq!(frame.total(), bytes.len(), "an encoded packet is as long as it says");
    let again = decoder(version, frame.first, &bytes[frame.header_len..]);
    assert_eq!(again, Ok(packet), "what was accepted means the same after it was written");
    let mut twice = Vec::new();
    encode::packet(&mut twice, version, &again.unwrap());
    assert_eq!(twice, bytes, "there is one way to write a packet");
    if let Packet::Publish(publish) = packet {
        check_forwarding(version, &publish);
    }
}

fn check_forwarding(version: Version, publish: &Publish<'_>) {
    let mut forward = Vec::new();
    publish.properties.forward_into(&mut forward);
    if let Some(slice) = publish.properties.forward_slice() {
        assert_eq!(slice, &forward[..], "the properties to forward lie in one piece");
    }
    let head = PublishHead {
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
    assert_eq!(head.encoded_len(), bytes.len());
    let frame = split(&bytes, u32::MAX).unwrap().unwrap();
    let received = decode_publish_from_server(version, frame.first, &bytes[frame.header_len..]).unwrap();
    let mut expected = *publish;
    expected.topic = "t";
    expected.properties.message_expiry = None;
    expected.properties.topic_alias = None;
    expected.properties.subscription_ids = [].as_slice().into();
    assert_eq!(received, expected, "a forwarded PUBLISH says the same");
}

/// How to cut, then a stream of packets. However the stream is cut, the same packets come out, and the same error at
/// the same place; a header never says one thing with few bytes and another with more.
pub fn fuzz_mqtt_stream(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let max_packet = 1 << (4 + cursor.below(15));
    let cuts = cursor.run(16);
    let stream = cursor.rest();
    let whole = packets_of(&[stream], max_packet);
    let mut pieces = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().cycle() {
        let (piece, tail) = rest.split_at(usize::from(*cut).clamp(1, rest.len().max(1)).min(rest.len()));
        pieces.push(piece);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    if cuts.is_empty() {
        pieces = stream.chunks(1).collect();
    }
    assert_eq!(packets_of(&pieces, max_packet), whole, "where a stream is cut means nothing");
}

/// First bytes and sizes of all packets, in order, and how the stream ended.
fn packets_of(pieces: &[&[u8]], max_packet: u32) -> (Vec<(u8, usize)>, Option<FrameError>) {
    let (mut packets, mut buffer) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match split(&buffer, max_packet) {
                Err(error) => return (packets, Some(error)),
                Ok(Some(frame)) if frame.total() <= buffer.len() => {
                    assert!(frame.total() <= max_packet as usize, "a packet over the bound is refused");
                    packets.push((frame.first, frame.total()));
                    buffer.drain(..frame.total());
                }
                Ok(_) => break,
            }
        }
    }
    (packets, None)
}

/// The body of a CONNECT. The limits of a server only take away: what they accept is what is accepted without them.
pub fn fuzz_connect(data: &[u8]) {
    let free = decode_connect(data, &ConnectLimits::NONE);
    if let Ok(connect) = free {
        assert!(!connect.bridge || connect.version != Version::V5, "version 5 has no bridge bit");
        assert!(connect.properties.auth_data.is_none() || connect.properties.auth_method.is_some());
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &connect);
        let frame = split(&bytes, u32::MAX).unwrap().unwrap();
        assert_eq!(decode_connect(&bytes[frame.header_len..], &ConnectLimits::NONE), Ok(connect));
    }
    if let Ok(connect) = decode_connect(data, &ConnectLimits::default()) {
        assert_eq!(free, Ok(connect), "a limit changes nothing in what it accepts");
    }
}

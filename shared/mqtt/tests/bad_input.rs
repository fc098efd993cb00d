//! Packets that are wrong, by their ids in the list of bad input. Each is a right packet with one thing changed, and the
//! right one is shown to pass, so that no refusal happens for another reason.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use Version::{V5, V31, V311};
use sluice_mqtt::{
    ConnectError, ConnectLimits, DecodeErrorKind as Kind, FrameError, Packet, ReasonCode, Version, decode,
    decode_connect, split,
};

const V3: [Version; 2] = [V31, V311];
const ALL: [Version; 3] = [V31, V311, V5];

/// Takes one whole packet apart and decodes it as a server does.
fn receive(version: Version, bytes: &[u8]) -> Result<Packet<'_>, Kind> {
    let frame = split(bytes, u32::MAX).expect("a header").expect("a whole header");
    assert_eq!(frame.total(), bytes.len(), "the test's own packet has a wrong length");
    decode(version, frame.first, &bytes[frame.header_len..]).map_err(|error| error.kind)
}

fn accepts(version: Version, bytes: &[u8]) {
    if let Err(kind) = receive(version, bytes) {
        panic!("{version:?} {bytes:02x?}: {kind}");
    }
}

fn refuses(version: Version, bytes: &[u8], kind: Kind) {
    assert_eq!(receive(version, bytes), Err(kind), "{version:?} {bytes:02x?}");
}

/// A packet with this first byte and body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 0x4000);
    let mut bytes = vec![first];
    if body.len() < 0x80 {
        bytes.push(body.len() as u8);
    } else {
        bytes.extend([body.len() as u8 | 0x80, (body.len() >> 7) as u8]);
    }
    bytes.extend_from_slice(body);
    bytes
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// A version 5 CONNECT with these properties.
fn connect_v5(flags: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let properties = block(properties);
    packet(0x10, &[b"\0\x04MQTT\x05", &[flags, 0, 60][..], &properties, payload].concat())
}

fn connect_v3(version: Version, flags: u8, payload: &[u8]) -> Vec<u8> {
    let name: &[u8] = if version == V31 { b"\0\x06MQIsdp\x03" } else { b"\0\x04MQTT\x04" };
    packet(0x10, &[name, &[flags, 0, 60], payload].concat())
}

/// Properties behind their length.
fn block(properties: &[u8]) -> Vec<u8> {
    assert!(properties.len() < 0x4000);
    let len = properties.len();
    let mut bytes = if len < 0x80 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] };
    bytes.extend_from_slice(properties);
    bytes
}

/// A version 5 PUBLISH to `t` at QoS 0 with these properties.
fn publish_v5(properties: &[u8]) -> Vec<u8> {
    packet(0x30, &[b"\0\x01t", &block(properties)[..], b"payload"].concat())
}

fn decode_connect_body(bytes: &[u8]) -> Result<sluice_mqtt::Connect<'_>, ConnectError> {
    let frame = split(bytes, u32::MAX).unwrap().unwrap();
    decode_connect(&bytes[frame.header_len..], &ConnectLimits::default())
}

#[test]
fn p2_a_property_length_of_five_bytes_is_malformed() {
    refuses(V5, &packet(0x30, b"\0\x01t\xFF\xFF\xFF\xFF\x7F"), Kind::BadVarint);
    refuses(V5, &packet(0x30, b"\0\x01t\x80\x00"), Kind::BadVarint);
    assert_eq!(split(b"\x10\xFF\xFF\xFF\xFF\x7F", u32::MAX), Err(FrameError::MalformedLength));
}

#[test]
fn p3_the_longest_connect_is_refused_at_its_header() {
    let error = split(b"\x10\xFF\xFF\xFF\x7F\x00", 65_536).unwrap_err();
    assert_eq!((error, error.reason()), (FrameError::TooLarge { len: 268_435_460 }, ReasonCode::PacketTooLarge));
}

#[test]
fn p5_a_field_past_the_end_is_malformed() {
    for version in ALL {
        refuses(version, &packet(0x30, b"\0\x05t"), Kind::Truncated);
        refuses(version, &packet(0x82, b"\0\x01"), if version == V5 { Kind::Truncated } else { Kind::NoFilters });
    }
    refuses(V5, &packet(0x30, b"\0\x01t\x05\x01"), Kind::Truncated);
    refuses(V5, &packet(0x10, b"\0\x04MQTT\x05\x02\0\x3C\0\0\x05id"), Kind::Truncated);
}

#[test]
fn p6_a_publish_cut_at_its_topic_or_packet_id_is_malformed() {
    for version in ALL {
        refuses(version, &packet(0x32, b""), Kind::Truncated);
        refuses(version, &packet(0x32, b"\0"), Kind::Truncated);
        refuses(version, &packet(0x32, b"\0\x02t"), Kind::Truncated);
        refuses(version, &packet(0x32, b"\0\x01t"), Kind::Truncated);
        refuses(version, &packet(0x32, b"\0\x01t\0"), Kind::Truncated);
    }
    refuses(V5, &packet(0x32, b"\0\x01t\0\x01"), Kind::Truncated);
}

#[test]
fn p8_packet_type_0_exists_in_no_version_and_15_only_in_version_5() {
    assert_eq!(split(b"\x00\x00", 100), Err(FrameError::BadFirstByte { first: 0 }));
    let auth = packet(0xF0, b"\x18\x05\x15\0\x02ab");
    accepts(V5, &auth);
    for version in V3 {
        refuses(version, &auth, Kind::UnknownPacketType);
        assert_eq!(decode(version, 0x00, b"").unwrap_err().kind, Kind::UnknownPacketType);
    }
}

#[test]
fn p9_wrong_flags_are_malformed() {
    for version in ALL {
        for (first, body) in
            [(0x80, &b"\0\x01\0\x01t\0"[..]), (0x60, b"\0\x01"), (0xC1, b""), (0xE8, b""), (0x42, b"\0\x01")]
        {
            assert_eq!(decode(version, first, body).unwrap_err().kind, Kind::BadFlags, "{version:?} {first:#x}");
            assert_eq!(split(&[first, 0], 9), Err(FrameError::BadFirstByte { first }));
        }
    }
}

#[test]
fn p9_dup_on_a_pubrel_subscribe_or_unsubscribe_is_version_3_1_only() {
    for (first, body) in [(0x6A, &b"\0\x01"[..]), (0x8A, b"\0\x01\0\x01t\0"), (0xAA, b"\0\x01\0\x01t")] {
        accepts(V31, &packet(first, body));
        refuses(V311, &packet(first, body), Kind::BadFlags);
        refuses(V5, &packet(first, body), Kind::BadFlags);
    }
}

#[test]
fn p10_qos_3_is_malformed() {
    for version in ALL {
        let error = decode(version, 0x36, b"\0\x01t\0\x01\0").unwrap_err();
        assert_eq!((error.kind, error.reason), (Kind::BadQoS, ReasonCode::MalformedPacket));
    }
}

#[test]
fn p11_qos0_with_dup_is_malformed() {
    for version in ALL {
        let error = decode(version, 0x38, b"\0\x01t\0").unwrap_err();
        assert_eq!((error.kind, error.reason), (Kind::DupAtQoS0, ReasonCode::MalformedPacket));
        accepts(version, &packet(0x3A, b"\0\x01t\0\x01\0"));
    }
}

#[test]
fn p12_bytes_after_the_last_field_are_malformed() {
    for version in ALL {
        refuses(version, &packet(0xC0, b"\0"), Kind::TrailingBytes);
    }
    for version in V3 {
        accepts(version, &packet(0x40, b"\0\x01"));
        refuses(version, &packet(0x40, b"\0\x01\0\0\0"), Kind::TrailingBytes);
        refuses(version, &packet(0xE0, b"\0"), Kind::TrailingBytes);
        accepts(version, &connect_v3(version, 2, b"\0\x01c"));
        refuses(version, &connect_v3(version, 2, b"\0\x01cx"), Kind::TrailingBytes);
    }
    accepts(V5, &packet(0x40, b"\0\x01\0\0"));
    refuses(V5, &packet(0x40, b"\0\x01\0\0\0"), Kind::TrailingBytes);
    accepts(V5, &packet(0xE0, b"\0\0"));
    refuses(V5, &packet(0xE0, b"\0\0\0"), Kind::TrailingBytes);
    refuses(V5, &connect_v5(2, b"", b"\0\x01cx"), Kind::TrailingBytes);
    refuses(V5, &packet(0xF0, b"\x18\x05\x15\0\x02ab\0"), Kind::TrailingBytes);
}

#[test]
fn p13_packet_over_maximum_is_refused_at_its_header() {
    let bytes = publish_v5(b"");
    assert!(split(&bytes[..2], bytes.len() as u32).is_ok());
    let error = split(&bytes[..2], bytes.len() as u32 - 1).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { len: bytes.len() as u32 });
}

#[test]
fn p15_a_stream_cut_anywhere_gives_the_same_packets() {
    let packets = [publish_v5(b""), packet(0xC0, b""), packet(0x40, b"\0\x01"), publish_v5(&[0x01, 1])];
    let stream = packets.concat();
    for step in 1..stream.len() {
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = split(&buffer, u32::MAX).unwrap().filter(|f| f.total() <= buffer.len()) {
                found.push(buffer.drain(..frame.total()).collect::<Vec<u8>>());
            }
        }
        assert_eq!(found, packets);
    }
}

#[test]
fn p16_other_protocols_are_refused_at_their_first_bytes() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-OpenSSH"] {
        assert!(matches!(split(bytes, 65_536), Err(FrameError::BadFirstByte { .. })), "{bytes:?}");
    }
}

#[test]
fn c1_an_unknown_protocol_name_is_closed_without_a_word() {
    for body in [&b"\0\x04MQTX\x04\x02\0\0\0\0"[..], b"\0\0\x04\x02\0\0\0\0", b"\0\x04\xFF\xFF\xFF\xFF\x04"] {
        let error = decode_connect(body, &ConnectLimits::default()).unwrap_err();
        assert_eq!((error, error.reply()), (ConnectError::UnknownProtocol, None));
    }
}

#[test]
fn c1_an_unsupported_level_is_told_in_the_words_of_its_reader() {
    let unsupported = ReasonCode::UnsupportedProtocolVersion;
    for (body, level, version) in [
        (&b"\0\x04MQTT\x06\x02\0\0\0\0\0"[..], 6, V5),
        (b"\0\x06MQIsdp\x05\x02\0\0\0\0\0", 5, V5),
        (b"\0\x06MQIsdp\x04\x02\0\0\0\0", 4, V311),
        (b"\0\x04MQTT\x03\x02\0\0\0\0", 3, V311),
        (b"\0\x04MQTT\x85\x02\0\0\0\0\0", 0x85, V5),
        (b"\0\x04MQTT\x00\x02\0\0\0\0", 0, V311),
    ] {
        let error = decode_connect(body, &ConnectLimits::default()).unwrap_err();
        assert_eq!((error, error.reply()), (ConnectError::UnsupportedLevel { level }, Some((version, unsupported))));
    }
}

#[test]
fn c1_the_bridge_bit_is_known_on_levels_3_and_4() {
    for (body, version, bridge) in [
        (&b"\0\x04MQTT\x84\x02\0\0\0\x01b"[..], V311, true),
        (b"\0\x06MQIsdp\x83\x02\0\0\0\x01b", V31, true),
        (b"\0\x04MQTT\x04\x02\0\0\0\x01b", V311, false),
    ] {
        let connect = decode_connect(body, &ConnectLimits::default()).unwrap();
        assert_eq!((connect.version, connect.bridge, connect.client_id), (version, bridge, "b"));
    }
}

#[test]
fn c2_the_reserved_connect_flag_is_malformed() {
    refuses(V311, &connect_v3(V311, 3, b"\0\x01c"), Kind::ReservedConnectFlag);
    refuses(V5, &connect_v5(3, b"", b"\0\x01c"), Kind::ReservedConnectFlag);
    accepts(V31, &connect_v3(V31, 3, b"\0\x01c"));
    let bytes = connect_v5(3, b"", b"\0\x01c");
    assert_eq!(decode_connect_body(&bytes).unwrap_err().reply(), Some((V5, ReasonCode::MalformedPacket)));
    let bytes = connect_v3(V311, 3, b"\0\x01c");
    assert_eq!(decode_connect_body(&bytes).unwrap_err().reply(), None);
}

#[test]
fn c3_will_flags_without_a_will_or_will_qos_3_are_malformed() {
    for flags in [0x0A, 0x12, 0x22] {
        refuses(V311, &connect_v3(V311, flags, b"\0\x01c"), Kind::BadWillFlags);
        refuses(V5, &connect_v5(flags, b"", b"\0\x01c"), Kind::BadWillFlags);
        accepts(V31, &connect_v3(V31, flags, b"\0\x01c"));
    }
    for version in V3 {
        accepts(version, &connect_v3(version, 0x16, b"\0\x01c\0\x01t\0\x01p"));
        refuses(version, &connect_v3(version, 0x1E, b"\0\x01c\0\x01t\0\x01p"), Kind::BadWillFlags);
    }
    refuses(V5, &connect_v5(0x1E, b"", b"\0\x01c\0\0\x01t\0\x01p"), Kind::BadWillFlags);
}

#[test]
fn c4_a_password_without_a_user_name_is_version_5_only() {
    accepts(V5, &connect_v5(0x42, b"", b"\0\x01c\0\x01p"));
    refuses(V311, &connect_v3(V311, 0x42, b"\0\x01c\0\x01p"), Kind::PasswordWithoutUsername);
    refuses(V31, &connect_v3(V31, 0x42, b"\0\x01c\0\x01p"), Kind::PasswordWithoutUsername);
}

#[test]
fn c4_version_3_1_may_announce_credentials_and_leave_them_out() {
    let bytes = connect_v3(V31, 0xC2, b"\0\x01c");
    let connect = decode_connect_body(&bytes).unwrap();
    assert_eq!((connect.username, connect.password), (None, None));
    let bytes = connect_v3(V31, 0xC2, b"\0\x01c\0\x01u");
    assert_eq!(decode_connect_body(&bytes).unwrap().username, Some("u"));
    refuses(V311, &connect_v3(V311, 0xC2, b"\0\x01c\0\x01u"), Kind::Truncated);
}

#[test]
fn c6_c7_client_ids_of_any_length_are_the_servers_to_judge() {
    accepts(V5, &connect_v5(0, b"", b"\0\0"));
    accepts(V311, &connect_v3(V311, 0, b"\0\0"));
    accepts(V5, &connect_v5(2, b"", &field(&[b'c'; 9_000])));
}

#[test]
fn c8_a_nul_in_a_client_id_is_malformed() {
    refuses(V5, &connect_v5(2, b"", b"\0\x03a\0b"), Kind::NulInText);
    refuses(V311, &connect_v3(V311, 2, b"\0\x03a\0b"), Kind::NulInText);
    accepts(V5, &connect_v5(2, b"", &field("+#/\u{1}\u{202E}".as_bytes())));
}

#[test]
fn c9_a_user_name_that_is_not_text_is_malformed() {
    accepts(V5, &connect_v5(0xC2, b"", b"\0\x01c\0\x01u\0\x01\xFF"));
    refuses(V5, &connect_v5(0xC2, b"", b"\0\x01c\0\x01\xFF\0\x01p"), Kind::BadUtf8);
    refuses(V311, &connect_v3(V311, 0xC2, b"\0\x01c\0\x01\xFF\0\x01p"), Kind::BadUtf8);
}

#[test]
fn c12_zeros_and_twos_where_they_are_not_allowed_are_protocol_errors() {
    for property in [&[0x21, 0, 0][..], &[0x27, 0, 0, 0, 0], &[0x17, 2], &[0x19, 2]] {
        let bytes = connect_v5(2, property, b"\0\x01c");
        refuses(V5, &bytes, Kind::BadPropertyValue);
        assert_eq!(decode_connect_body(&bytes).unwrap_err().reply(), Some((V5, ReasonCode::ProtocolError)));
    }
    for property in
        [&[0x21, 0, 1][..], &[0x27, 0, 0, 0, 1], &[0x17, 1], &[0x19, 0], &[0x22, 0, 0], &[0x11, 255, 255, 255, 255]]
    {
        accepts(V5, &connect_v5(2, property, b"\0\x01c"));
    }
}

#[test]
fn c13_properties_twice_unknown_or_out_of_place_are_refused() {
    refuses(V5, &connect_v5(2, &[0x21, 0, 1, 0x21, 0, 1], b"\0\x01c"), Kind::DuplicateProperty);
    refuses(V5, &connect_v5(2, &[0x7F, 0], b"\0\x01c"), Kind::UnknownProperty);
    refuses(V5, &connect_v5(2, &[0x80, 0x01], b"\0\x01c"), Kind::UnknownProperty);
    refuses(V5, &connect_v5(2, &[0x00], b"\0\x01c"), Kind::UnknownProperty);
    refuses(V5, &connect_v5(2, &[0x23, 0, 1], b"\0\x01c"), Kind::PropertyNotAllowed);
    refuses(V5, &publish_v5(&[0x02, 0, 0, 0, 1, 0x02, 0, 0, 0, 1]), Kind::DuplicateProperty);
    refuses(V5, &publish_v5(&[0x11, 0, 0, 0, 1]), Kind::PropertyNotAllowed);
    refuses(V5, &packet(0x82, b"\0\x01\x04\x0B\x01\x0B\x01\0\x01t\0"), Kind::DuplicateProperty);
    refuses(V5, &packet(0xA2, b"\0\x01\x02\x0B\x01\0\x01t"), Kind::PropertyNotAllowed);
    refuses(V5, &packet(0xE0, b"\0\x04\x1C\0\x01s"), Kind::PropertyNotAllowed);
    refuses(V5, &packet(0x40, b"\0\x01\0\x03\x21\0\x01"), Kind::PropertyNotAllowed);
    accepts(V5, &connect_v5(2, b"\x26\0\x01a\0\x01b\x26\0\x01a\0\x01b", b"\0\x01c"));
}

#[test]
fn c14_more_than_64_user_properties_or_8_kib_of_them_are_refused() {
    let pair = b"\x26\0\x01a\0\x01b";
    for (count, reply) in [(64, None), (65, Some((V5, ReasonCode::QuotaExceeded)))] {
        let bytes = connect_v5(2, &pair.repeat(count), b"\0\x01c");
        assert_eq!(decode_connect_body(&bytes).err().and_then(|error| error.reply()), reply);
    }
    for (len, reply) in [(8 * 1024 - 5 - 1, None), (8 * 1024 - 5, Some((V5, ReasonCode::QuotaExceeded)))] {
        let pair = [b"\x26\0\x01a", &field(&vec![b'v'; len])[..]].concat();
        let bytes = connect_v5(2, &pair, b"\0\x01c");
        assert_eq!(decode_connect_body(&bytes).err().and_then(|error| error.reply()), reply);
    }
    let will = [b"\0\x01c", &block(&pair.repeat(65))[..], b"\0\x01t\0\x01p"].concat();
    assert_eq!(decode_connect_body(&connect_v5(6, b"", &will)).unwrap_err().kind(), Kind::TooManyUserProperties);
}

#[test]
fn c14_user_properties_are_counted_for_the_servers_own_limits() {
    let bytes = publish_v5(&[b"\x01\x01", &b"\x26\0\x01a\0\x01b".repeat(1_000)[..]].concat());
    let Ok(Packet::Publish(publish)) = receive(V5, &bytes) else { panic!("no PUBLISH") };
    let user_properties = publish.properties.user_properties;
    assert_eq!((user_properties.len(), user_properties.encoded_len()), (1_000, 7_000));
    assert_eq!(user_properties.iter().filter(|&pair| pair == ("a", "b")).count(), 1_000);
}

#[test]
fn c15_authentication_data_needs_a_method() {
    refuses(V5, &connect_v5(2, b"\x16\0\x01d", b"\0\x01c"), Kind::MissingAuthMethod);
    accepts(V5, &connect_v5(2, b"\x16\0\x01d\x15\0\x01m", b"\0\x01c"));
    refuses(V5, &packet(0xF0, b"\x18\x04\x16\0\x01d"), Kind::MissingAuthMethod);
    refuses(V5, &packet(0xF0, b"\x19\x00"), Kind::MissingAuthMethod);
}

#[test]
fn c16_an_auth_that_only_a_server_sends_is_refused() {
    refuses(V5, &packet(0xF0, b""), Kind::BadReasonCode);
    refuses(V5, &packet(0xF0, b"\x00\x04\x15\0\x01m"), Kind::BadReasonCode);
    accepts(V5, &packet(0xF0, b"\x19\x04\x15\0\x01m"));
}

#[test]
fn t1_an_empty_topic_needs_an_alias() {
    for version in ALL {
        let error = decode(version, 0x30, b"\0\0\0").unwrap_err();
        assert_eq!((error.kind, error.reason), (Kind::EmptyTopic, ReasonCode::ProtocolError));
    }
    accepts(V5, &packet(0x30, b"\0\0\x03\x23\0\x01"));
    refuses(V5, &connect_v5(6, b"", b"\0\x01c\0\0\0\0\x01p"), Kind::EmptyTopic);
}

#[test]
fn t2_t4_what_topics_contain_is_left_to_the_topic_rules() {
    accepts(V5, &packet(0x30, b"\0\x03a/+\0"));
    accepts(V311, &packet(0x30, &field(&[b'/'; 9_000])));
    accepts(V5, &packet(0x82, b"\0\x01\0\0\0\0"));
}

#[test]
fn t9_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let subscribe =
        |filter: &str, options: u8| packet(0x82, &[b"\0\x01\0", &field(filter.as_bytes())[..], &[options]].concat());
    refuses(V5, &subscribe("$share/g/t", 0b0101), Kind::NoLocalOnShared);
    accepts(V5, &subscribe("$share/g/t", 0b0001));
    accepts(V5, &subscribe("$shared/g/t", 0b0101));
}

#[test]
fn t10_topic_alias_0_is_invalid() {
    let bytes = publish_v5(&[0x23, 0, 0]);
    refuses(V5, &bytes, Kind::ZeroTopicAlias);
    assert_eq!(Kind::ZeroTopicAlias.reason(), ReasonCode::TopicAliasInvalid);
    accepts(V5, &publish_v5(&[0x23, 0xFF, 0xFF]));
}

#[test]
fn t11_what_a_client_may_not_put_into_a_publish() {
    for topic in [&b"a/#"[..], b"+", b"a+b"] {
        refuses(V5, &publish_v5(&[&[0x08], &field(topic)[..]].concat()), Kind::WildcardInResponseTopic);
    }
    accepts(V5, &publish_v5(b"\x08\0\x03a/b"));
    refuses(V5, &publish_v5(&[0x0B, 1]), Kind::PropertyNotAllowed);
    refuses(V5, &publish_v5(&[0x01, 2]), Kind::BadPropertyValue);
    accepts(V5, &publish_v5(&[0x01, 1]));
    for kind in [Kind::WildcardInResponseTopic, Kind::PropertyNotAllowed, Kind::BadPropertyValue] {
        assert_eq!(kind.reason(), ReasonCode::ProtocolError);
    }
}

#[test]
fn u1_ill_formed_text_is_refused_wherever_text_stands() {
    for (bad, kind) in [
        (&b"\xC0\x80"[..], Kind::BadUtf8),
        (b"\xED\xA0\x80", Kind::BadUtf8),
        (b"\xF4\x90\x80\x80", Kind::BadUtf8),
        (b"\x80", Kind::BadUtf8),
        (b"ab\xE2\x82", Kind::BadUtf8),
        (b"a\0b", Kind::NulInText),
    ] {
        let text = field(bad);
        for version in V3 {
            refuses(version, &packet(0x30, &text), kind);
            refuses(version, &packet(0x82, &[b"\0\x01", &text[..], b"\0"].concat()), kind);
            refuses(version, &packet(0xA2, &[b"\0\x01", &text[..]].concat()), kind);
            refuses(version, &connect_v3(version, 2, &text), kind);
            refuses(version, &connect_v3(version, 0x82, &[b"\0\x01c", &text[..]].concat()), kind);
            refuses(version, &connect_v3(version, 6, &[b"\0\x01c", &text[..], b"\0\0"].concat()), kind);
        }
        refuses(V5, &packet(0x30, &[&text[..], b"\0"].concat()), kind);
        refuses(V5, &packet(0x82, &[b"\0\x01\0", &text[..], b"\0"].concat()), kind);
        refuses(V5, &packet(0xA2, &[b"\0\x01\0", &text[..]].concat()), kind);
        refuses(V5, &connect_v5(2, b"", &text), kind);
        for id in [0x03, 0x08] {
            refuses(V5, &publish_v5(&[&[id], &text[..]].concat()), kind);
        }
        refuses(V5, &publish_v5(&[b"\x26", &text[..], b"\0\0"].concat()), kind);
        refuses(V5, &publish_v5(&[b"\x26\0\0", &text[..]].concat()), kind);
        accepts(V5, &publish_v5(&[b"\x09", &text[..]].concat()));
    }
}

#[test]
fn u2_u3_text_is_kept_byte_for_byte() {
    for text in ["\u{FEFF}t", "\u{FFFF}", "\u{1}", "é", "e\u{301}"] {
        let bytes = packet(0x30, &[&field(text.as_bytes())[..], b"\0"].concat());
        let Ok(Packet::Publish(publish)) = receive(V5, &bytes) else { panic!("{text:?} is refused") };
        assert_eq!(publish.topic.as_bytes(), text.as_bytes());
    }
}

#[test]
fn s1_subscribe_without_filters_or_with_bits_it_does_not_have() {
    for (version, properties) in [(V31, &b""[..]), (V311, b""), (V5, b"\0")] {
        let with = |id: &[u8], rest: &[u8]| [id, properties, rest].concat();
        accepts(version, &packet(0x82, &with(b"\0\x01", b"\0\x01t\x02")));
        refuses(version, &packet(0x82, &with(b"\0\x01", b"")), Kind::NoFilters);
        refuses(version, &packet(0xA2, &with(b"\0\x01", b"")), Kind::NoFilters);
        refuses(version, &packet(0x82, &with(b"\0\0", b"\0\x01t\0")), Kind::ZeroPacketId);
        refuses(version, &packet(0xA2, &with(b"\0\0", b"\0\x01t")), Kind::ZeroPacketId);
        refuses(version, &packet(0x82, &with(b"\0\x01", b"\0\x01t\x03")), Kind::BadSubscriptionQoS);
        refuses(version, &packet(0x82, &with(b"\0\x01", b"\0\x01t\x40")), Kind::ReservedSubscriptionOption);
        refuses(version, &packet(0x82, &with(b"\0\x01", b"\0\x01t\x80")), Kind::ReservedSubscriptionOption);
    }
    refuses(V5, &packet(0x82, b"\0\x01\0\0\x01t\x30"), Kind::BadRetainHandling);
    refuses(V311, &packet(0x82, b"\0\x01\0\x01t\x04"), Kind::ReservedSubscriptionOption);
    assert_eq!(Kind::ReservedSubscriptionOption.reason(), ReasonCode::MalformedPacket);
    for kind in [Kind::NoFilters, Kind::ZeroPacketId, Kind::BadRetainHandling, Kind::BadSubscriptionQoS] {
        assert_eq!(kind.reason(), ReasonCode::ProtocolError);
    }
}

#[test]
fn s2_filters_are_counted_before_they_are_looked_at() {
    let bytes = packet(0x82, &[b"\0\x01\0", &b"\0\x01t\0".repeat(2_000)[..]].concat());
    let Ok(Packet::Subscribe(subscribe)) = receive(V5, &bytes) else { panic!("no SUBSCRIBE") };
    assert_eq!((subscribe.filters.len(), subscribe.filters.iter().count()), (2_000, 2_000));
}

#[test]
fn s3_a_client_may_not_send_what_servers_send() {
    for (first, body) in [(0x20, &b"\0\0\0"[..]), (0x90, b"\0\x01\0\0"), (0xB0, b"\0\x01\0\0"), (0xD0, b"")] {
        for version in ALL {
            refuses(version, &packet(first, body), Kind::WrongDirection);
        }
    }
    assert_eq!(Kind::WrongDirection.reason(), ReasonCode::ProtocolError);
}

#[test]
fn s4_acknowledgements_without_a_packet_id_are_refused() {
    for version in ALL {
        for first in [0x40, 0x50, 0x62, 0x70] {
            accepts(version, &packet(first, b"\0\x01"));
            refuses(version, &packet(first, b"\0\0"), Kind::ZeroPacketId);
            refuses(version, &packet(first, b"\0"), Kind::Truncated);
        }
        refuses(version, &packet(0x32, b"\0\x01t\0\0\0"), Kind::ZeroPacketId);
    }
}

#[test]
fn s5_acknowledgements_say_only_what_belongs_to_them() {
    accepts(V5, &packet(0x50, b"\0\x01\x97"));
    accepts(V5, &packet(0x62, b"\0\x01\x92\0"));
    refuses(V5, &packet(0x62, b"\0\x01\x97"), Kind::BadReasonCode);
    refuses(V5, &packet(0x40, b"\0\x01\x92"), Kind::BadReasonCode);
    refuses(V5, &packet(0x40, b"\0\x01\x7F"), Kind::BadReasonCode);
    refuses(V5, &packet(0xE0, b"\x8E"), Kind::BadReasonCode);
}

#[test]
fn s6_a_subscribe_that_ends_after_a_filter_is_malformed() {
    for (version, properties) in [(V31, &b""[..]), (V311, b""), (V5, b"\0")] {
        let filter_len = 1024 - 2 - properties.len() - 2;
        let body = [b"\0\x01", properties, &field(&vec![b'f'; filter_len])[..]].concat();
        assert_eq!(body.len(), 1024);
        refuses(version, &packet(0x82, &body), Kind::Truncated);
        accepts(version, &packet(0xA2, &body));
    }
}

#[test]
fn s10_subscription_identifier_0_is_a_protocol_error() {
    refuses(V5, &packet(0x82, b"\0\x01\x02\x0B\0\0\x01t\0"), Kind::BadPropertyValue);
    accepts(V5, &packet(0x82, b"\0\x01\x05\x0B\xFF\xFF\xFF\x7F\0\x01t\0"));
}

#[test]
fn w6_will_properties_are_checked_like_any_others() {
    let connect =
        |properties: &[u8]| connect_v5(6, b"", &[b"\0\x01c", &block(properties)[..], b"\0\x01t\0\x01p"].concat());
    accepts(V5, &connect(&[0x18, 0, 0, 0, 5, 0x01, 1]));
    refuses(V5, &connect(&[0x18, 0, 0, 0, 5, 0x18, 0, 0, 0, 5]), Kind::DuplicateProperty);
    refuses(V5, &connect(&[0x23, 0, 1]), Kind::PropertyNotAllowed);
    refuses(V5, &connect(b"\x08\0\x01#"), Kind::WildcardInResponseTopic);
    refuses(V5, &connect(&[0x01, 2]), Kind::BadPropertyValue);
}

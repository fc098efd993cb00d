//! Packets written out byte by byte from the specifications, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use Version::{V5, V31, V311};
use sluice_mqtt::{
    Ack, Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, DecodeError, DecodeErrorKind, Disconnect,
    Packet, PublishHead, PublishProperties, QoS, ReasonCode, RetainHandling, SubAck, SubscribeFilter,
    SubscriptionOptions, UnsubAck, Version, Will, WillProperties, decode, decode_from_server,
    decode_publish_from_server, encode, patch_packet_id, split,
};

fn body(bytes: &[u8]) -> (u8, &[u8]) {
    let frame = split(bytes, u32::MAX).unwrap().unwrap();
    assert_eq!(frame.total(), bytes.len());
    (frame.first, &bytes[frame.header_len..])
}

fn from_client(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (first, body) = body(bytes);
    decode(version, first, body)
}

fn from_server(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (first, body) = body(bytes);
    decode_from_server(version, first, body)
}

fn written(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::packet(&mut bytes, version, packet);
    bytes
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id: "id",
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

#[test]
fn connect_of_each_version() {
    let cases: [(Version, &[u8]); 3] = [
        (V31, b"\x10\x10\0\x06MQIsdp\x03\x02\0\x3C\0\x02id"),
        (V311, b"\x10\x0E\0\x04MQTT\x04\x02\0\x3C\0\x02id"),
        (V5, b"\x10\x0F\0\x04MQTT\x05\x02\0\x3C\0\0\x02id"),
    ];
    for (version, bytes) in cases {
        let packet = Packet::Connect(connect(version));
        assert_eq!(from_client(version, bytes), Ok(packet));
        assert_eq!(written(version, &packet), bytes);
    }
}

#[test]
fn connect_with_all_that_version_3_1_1_has() {
    let bytes = b"\x10\x22\0\x04MQTT\x84\xF6\0\x3C\0\x02id\0\x03w/t\0\x03bye\0\x04user\0\x02pw";
    let mut expected = connect(V311);
    expected.bridge = true;
    expected.will = Some(Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "w/t",
        payload: b"bye",
        properties: Default::default(),
    });
    expected.username = Some("user");
    expected.password = Some(b"pw");
    assert_eq!(from_client(V311, bytes), Ok(Packet::Connect(expected)));
    assert_eq!(written(V311, &Packet::Connect(expected)), bytes);
}

#[test]
fn connect_of_version_5_with_properties_and_a_will() {
    let bytes = b"\x10\x37\0\x04MQTT\x05\x0E\0\x0A\
        \x14\x11\0\0\0\x0A\x21\0\x14\x27\0\0\x10\0\x22\0\x05\x19\x01\x17\0\
        \0\x02id\
        \x0A\x18\0\0\0\x05\x02\0\0\0\x07\0\x01w\0\x04gone";
    let Ok(Packet::Connect(found)) = from_client(V5, bytes) else { panic!("no CONNECT") };
    let properties = ConnectProperties {
        session_expiry: Some(10),
        receive_maximum: Some(20),
        maximum_packet_size: Some(4096),
        topic_alias_maximum: Some(5),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        ..ConnectProperties::default()
    };
    assert_eq!(found.properties, properties);
    let will = found.will.unwrap();
    assert_eq!((will.qos, will.topic, will.payload), (QoS::AtLeastOnce, "w", &b"gone"[..]));
    assert_eq!((will.properties.delay, will.properties.message_expiry), (Some(5), Some(7)));
    assert_eq!(written(V5, &Packet::Connect(found)), bytes);
}

#[test]
fn connack_of_each_version() {
    let accepted = ConnAck::new(true, ReasonCode::Success);
    let refused = ConnAck::new(false, ReasonCode::NotAuthorized);
    let cases: [(Version, ConnAck<'_>, &[u8]); 4] = [
        (V311, accepted, b"\x20\x02\x01\0"),
        (V311, refused, b"\x20\x02\0\x05"),
        (V5, accepted, b"\x20\x03\x01\0\0"),
        (V5, refused, b"\x20\x03\0\x87\0"),
    ];
    for (version, packet, bytes) in cases {
        assert_eq!(from_server(version, bytes), Ok(Packet::ConnAck(packet)));
        assert_eq!(written(version, &Packet::ConnAck(packet)), bytes);
    }
    assert_eq!(written(V31, &Packet::ConnAck(accepted)), b"\x20\x02\0\0");
}

#[test]
fn connack_with_properties() {
    let bytes = b"\x20\x1C\0\0\x19\x21\0\x40\x24\x01\x25\0\x12\0\x03a-1\x22\0\x10\x28\x01\x29\x01\x2A\x01\x13\0\x1E";
    let properties = ConnAckProperties {
        receive_maximum: Some(64),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        assigned_client_id: Some("a-1"),
        topic_alias_maximum: Some(16),
        wildcard_subscriptions_available: Some(true),
        subscription_ids_available: Some(true),
        shared_subscriptions_available: Some(true),
        server_keep_alive: Some(30),
        ..ConnAckProperties::default()
    };
    let packet = Packet::ConnAck(ConnAck { session_present: false, reason: ReasonCode::Success, properties });
    assert_eq!(from_server(V5, bytes), Ok(packet));
    assert_eq!(written(V5, &packet), bytes);
}

#[test]
fn mqtt_3_2_2_6_session_present_never_comes_with_a_refusal() {
    let refused = Packet::ConnAck(ConnAck::new(true, ReasonCode::Banned));
    assert_eq!(written(V5, &refused), b"\x20\x03\0\x8A\0");
    assert!(from_server(V5, b"\x20\x03\x01\x8A\0").is_err());
    assert!(from_server(V5, b"\x20\x03\x02\0\0").is_err());
}

#[test]
fn publish_as_the_specification_prints_it() {
    let bytes = b"\x3D\x08\0\x03a/b\0\x0A!";
    let Ok(Packet::Publish(found)) = from_client(V311, bytes) else { panic!("no PUBLISH") };
    assert_eq!((found.dup, found.qos, found.retain), (true, QoS::ExactlyOnce, true));
    assert_eq!((found.topic, found.packet_id, found.payload), ("a/b", 10, &b"!"[..]));
    assert_eq!(written(V311, &Packet::Publish(found)), bytes);
}

#[test]
fn publish_of_version_5_with_every_property() {
    let bytes = b"\x30\x34\0\x01t\x2D\
        \x02\0\0\0\x3C\x23\0\x07\x0B\x05\x0B\x80\x01\x01\x01\x03\0\x04text\x08\0\x01r\x09\0\x02\0\xFF\
        \x26\0\x01k\0\x01v\x26\0\x01k\0\x01w!!!";
    let (first, packet_body) = body(bytes);
    let found = decode_publish_from_server(V5, first, packet_body).unwrap();
    let properties = found.properties;
    assert_eq!((properties.message_expiry, properties.topic_alias), (Some(60), Some(7)));
    assert_eq!(properties.subscription_ids.iter().collect::<Vec<_>>(), [5, 128]);
    assert_eq!((properties.payload_format, properties.content_type), (Some(1), Some("text")));
    assert_eq!((properties.response_topic, properties.correlation_data), (Some("r"), Some(&[0, 0xFF][..])));
    assert_eq!(properties.user_properties.iter().collect::<Vec<_>>(), [("k", "v"), ("k", "w")]);
    assert_eq!(found.payload, b"!!!");
    assert_eq!(written(V5, &Packet::Publish(found)), bytes);

    let mut forward = Vec::new();
    properties.forward_into(&mut forward);
    assert_eq!(properties.forward_slice(), None);
    assert_eq!(forward, b"\x01\x01\x03\0\x04text\x08\0\x01r\x09\0\x02\0\xFF\x26\0\x01k\0\x01v\x26\0\x01k\0\x01w");
}

#[test]
fn mqtt_3_3_2_18_user_properties_are_forwarded_in_their_order_among_others() {
    let bytes = b"\x30\x1D\0\x01t\x18\x26\0\x01b\0\x011\x02\0\0\0\x01\x26\0\x01a\0\x012\x01\x01\x23\0\x01!";
    let Ok(Packet::Publish(found)) = from_client(V5, bytes) else { panic!("no PUBLISH") };
    let mut forward = Vec::new();
    found.properties.forward_into(&mut forward);
    assert_eq!(forward, b"\x26\0\x01b\0\x011\x26\0\x01a\0\x012\x01\x01");
}

#[test]
fn properties_that_all_go_on_are_one_slice_of_the_packet() {
    let Ok(Packet::Publish(found)) = from_client(V5, b"\x30\x06\0\x01t\x02\x01\x01") else { panic!("no PUBLISH") };
    assert_eq!(found.properties.forward_slice(), Some(&b"\x01\x01"[..]));
    let Ok(Packet::Publish(found)) = from_client(V5, b"\x30\x04\0\x01t\0") else { panic!("no PUBLISH") };
    assert_eq!(found.properties.forward_slice(), Some(&b""[..]));
}

#[test]
fn properties_built_by_hand_are_forwarded_from_their_fields() {
    let nothing = PublishProperties { topic_alias: Some(1), ..PublishProperties::EMPTY };
    assert_eq!((nothing.forward_slice(), PublishProperties::EMPTY.forward_slice()), (None, Some(&b""[..])));
    let built = PublishProperties { message_expiry: Some(1), content_type: Some("c"), ..PublishProperties::EMPTY };
    let whole = PublishProperties { message_expiry: None, ..built };
    for properties in [built, whole] {
        let mut forward = Vec::new();
        properties.forward_into(&mut forward);
        assert_eq!((properties.forward_slice(), &forward[..]), (None, &b"\x03\0\x01c"[..]));
    }
    let mut forward = Vec::new();
    WillProperties { delay: Some(1), payload_format: Some(1), ..WillProperties::default() }.forward_into(&mut forward);
    assert_eq!(forward, b"\x01\x01");
}

#[test]
fn a_will_is_forwarded_without_its_delay_and_expiry() {
    let bytes = b"\x10\x24\0\x04MQTT\x05\x06\0\x3C\0\0\x02id\
        \x0F\x01\x01\x18\0\0\0\x05\x02\0\0\0\x07\x08\0\0\0\x01w\0\0";
    let Ok(Packet::Connect(found)) = from_client(V5, bytes) else { panic!("no CONNECT") };
    let mut forward = Vec::new();
    found.will.unwrap().properties.forward_into(&mut forward);
    assert_eq!(forward, b"\x01\x01\x08\0\0");
}

fn head(version: Version, qos: QoS, payload_len: usize) -> PublishHead<'static> {
    PublishHead {
        version,
        dup: false,
        qos,
        retain: false,
        topic: "t",
        packet_id: 0x0102,
        message_expiry: None,
        topic_alias: None,
        subscription_ids: &[],
        forward: &[],
        payload_len,
    }
}

#[test]
fn a_head_is_what_stands_before_the_payload() {
    let cases: [(Version, QoS, &[u8], usize); 6] = [
        (V311, QoS::AtMostOnce, b"\x30\x05\0\x01thi", 5),
        (V31, QoS::AtLeastOnce, b"\x32\x07\0\x01t\x01\x02hi", 5),
        (V311, QoS::ExactlyOnce, b"\x34\x07\0\x01t\x01\x02hi", 5),
        (V5, QoS::AtMostOnce, b"\x30\x06\0\x01t\0hi", 5),
        (V5, QoS::AtLeastOnce, b"\x32\x08\0\x01t\x01\x02\0hi", 5),
        (V5, QoS::ExactlyOnce, b"\x34\x08\0\x01t\x01\x02\0hi", 5),
    ];
    for (version, qos, bytes, offset) in cases {
        let head = head(version, qos, 2);
        let mut whole = b"before".to_vec();
        assert_eq!(encode::publish(&mut whole, &head, b"hi"), offset);
        assert_eq!(&whole[6..], bytes);
        assert_eq!(head.encoded_len(), bytes.len());
        let mut alone = Vec::new();
        assert_eq!(head.encode(&mut alone), offset);
        assert_eq!(alone, bytes[..bytes.len() - 2]);
    }
}

#[test]
fn a_head_carries_what_the_server_adds_before_what_it_forwards() {
    let mut head = head(V5, QoS::AtLeastOnce, 0);
    head.dup = true;
    head.retain = true;
    head.topic = "";
    head.message_expiry = Some(9);
    head.topic_alias = Some(3);
    head.subscription_ids = &[1, 300];
    head.forward = &[0x01, 0x01];
    let mut bytes = Vec::new();
    let offset = head.encode(&mut bytes);
    assert_eq!(bytes, b"\x3B\x14\0\0\x01\x02\x0F\x02\0\0\0\x09\x23\0\x03\x0B\x01\x0B\xAC\x02\x01\x01");
    assert_eq!(head.encoded_len(), bytes.len());
    patch_packet_id(&mut bytes, offset, 0xBEEF);
    let (first, rest) = body(&bytes);
    let found = decode_publish_from_server(V5, first, rest).unwrap();
    assert_eq!((found.packet_id, found.topic, found.properties.topic_alias), (0xBEEF, "", Some(3)));
    assert!(found.dup && found.retain);
}

#[test]
fn the_packet_id_is_found_behind_every_length_of_header() {
    for payload_len in [0, 100, 127, 128, 16_000, 16_384, 2_097_152] {
        for version in [V311, V5] {
            let head = head(version, QoS::AtLeastOnce, payload_len);
            let payload = vec![7; payload_len];
            let mut bytes = Vec::new();
            let offset = encode::publish(&mut bytes, &head, &payload);
            assert_eq!(bytes.len(), head.encoded_len());
            assert_eq!(bytes[offset..offset + 2], [1, 2]);
            patch_packet_id(&mut bytes, offset, 77);
            let (first, rest) = body(&bytes);
            let found = decode_publish_from_server(version, first, rest).unwrap();
            assert_eq!((found.packet_id, found.payload), (77, &payload[..]));
        }
    }
}

#[test]
fn acknowledgements_are_four_bytes_when_there_is_nothing_to_say() {
    type Encoder = fn(&mut Vec<u8>, Version, &Ack<'_>);
    let encoders: [(u8, Encoder); 4] =
        [(0x40, encode::puback), (0x50, encode::pubrec), (0x62, encode::pubrel), (0x70, encode::pubcomp)];
    for (first, encoder) in encoders {
        for version in [V31, V311, V5] {
            let mut bytes = Vec::new();
            encoder(&mut bytes, version, &Ack::new(0x1234, ReasonCode::Success));
            assert_eq!(bytes, [first, 2, 0x12, 0x34]);
        }
    }
    let mut bytes = Vec::new();
    encode::puback(&mut bytes, V311, &Ack::new(1, ReasonCode::NoMatchingSubscribers));
    encode::puback(&mut bytes, V5, &Ack::new(1, ReasonCode::NoMatchingSubscribers));
    let mut ack = Ack::new(1, ReasonCode::QuotaExceeded);
    ack.reason_string = Some("full");
    encode::pubrec(&mut bytes, V5, &ack);
    assert_eq!(bytes, b"\x40\x02\0\x01\x40\x03\0\x01\x10\x50\x0B\0\x01\x97\x07\x1F\0\x04full");
    assert_eq!(from_client(V5, &bytes[9..]), Ok(Packet::PubRec(ack)));
}

#[test]
fn subscribe_with_every_option() {
    let bytes = b"\x82\x11\0\x0A\x02\x0B\x07\0\x03a/#\x2E\0\x03b/+\x11";
    let Ok(Packet::Subscribe(found)) = from_client(V5, bytes) else { panic!("no SUBSCRIBE") };
    assert_eq!((found.packet_id, found.subscription_id), (10, Some(7)));
    let first = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let second = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendIfNew,
    };
    let expected =
        [SubscribeFilter { filter: "a/#", options: first }, SubscribeFilter { filter: "b/+", options: second }];
    assert_eq!(found.filters.iter().collect::<Vec<_>>(), expected);
    assert_eq!(written(V5, &Packet::Subscribe(found)), bytes);
}

#[test]
fn suback_and_unsuback_of_each_version() {
    let granted = [ReasonCode::Success, ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized];
    let suback = SubAck::new(10, &granted);
    assert_eq!(written(V311, &Packet::SubAck(suback)), b"\x90\x05\0\x0A\0\x02\x80");
    assert_eq!(written(V5, &Packet::SubAck(suback)), b"\x90\x06\0\x0A\0\0\x02\x87");
    assert_eq!(from_server(V5, b"\x90\x06\0\x0A\0\0\x02\x87"), Ok(Packet::SubAck(suback)));
    assert!(from_server(V311, b"\x90\x05\0\x0A\0\x02\x87").is_err());
    let removed = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    let unsuback = UnsubAck::new(10, &removed);
    assert_eq!(written(V311, &Packet::UnsubAck(unsuback)), b"\xB0\x02\0\x0A");
    assert_eq!(written(V5, &Packet::UnsubAck(unsuback)), b"\xB0\x05\0\x0A\0\0\x11");
    assert_eq!(from_server(V5, b"\xB0\x05\0\x0A\0\0\x11"), Ok(Packet::UnsubAck(unsuback)));
}

#[test]
fn unsubscribe_of_each_version() {
    for (version, bytes) in [(V311, &b"\xA2\x0A\0\x0A\0\x01a\0\x03b/c"[..]), (V5, b"\xA2\x0B\0\x0A\0\0\x01a\0\x03b/c")]
    {
        let Ok(Packet::Unsubscribe(found)) = from_client(version, bytes) else { panic!("no UNSUBSCRIBE") };
        assert_eq!(found.filters.iter().collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(written(version, &Packet::Unsubscribe(found)), bytes);
    }
}

#[test]
fn pings_and_disconnects() {
    assert_eq!(from_client(V5, b"\xC0\0"), Ok(Packet::PingReq));
    assert_eq!(from_server(V5, b"\xD0\0"), Ok(Packet::PingResp));
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
    for version in [V31, V311, V5] {
        assert_eq!(from_client(version, b"\xE0\0"), Ok(normal));
        assert_eq!(written(version, &normal), b"\xE0\0");
    }
    let with_will = Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill));
    assert_eq!(from_client(V5, b"\xE0\x01\x04"), Ok(with_will));
    assert_eq!(from_client(V5, b"\xE0\x02\x04\0"), Ok(with_will));
    assert_eq!(written(V5, &with_will), b"\xE0\x01\x04");
    let mut moved = Disconnect::new(ReasonCode::UseAnotherServer);
    moved.properties.server_reference = Some("b");
    assert_eq!(written(V5, &Packet::Disconnect(moved)), b"\xE0\x06\x9C\x04\x1C\0\x01b");
    assert_eq!(from_server(V5, b"\xE0\x06\x9C\x04\x1C\0\x01b"), Ok(Packet::Disconnect(moved)));
    assert!(from_server(V311, b"\xE0\0").is_err());
    let expiry = b"\xE0\x07\0\x05\x11\0\0\0\x09";
    let Ok(Packet::Disconnect(found)) = from_client(V5, expiry) else { panic!("no DISCONNECT") };
    assert_eq!(found.properties.session_expiry, Some(9));
    assert_eq!(from_server(V5, expiry).unwrap_err().kind, DecodeErrorKind::PropertyNotAllowed);
}

#[test]
fn auth_in_both_directions() {
    let auth = |reason| Auth {
        reason,
        method: Some("m"),
        data: Some(b"d"),
        reason_string: None,
        user_properties: Default::default(),
    };
    let bytes = b"\xF0\x0A\x18\x08\x15\0\x01m\x16\0\x01d";
    let step = Packet::Auth(auth(ReasonCode::ContinueAuthentication));
    assert_eq!(from_client(V5, bytes), Ok(step));
    assert_eq!(from_server(V5, bytes), Ok(step));
    assert_eq!(written(V5, &step), bytes);
    assert!(from_server(V5, b"\xF0\x0A\x19\x08\x15\0\x01m\x16\0\x01d").is_err());
    assert!(from_server(V5, b"\xF0\0").is_ok());
}

#[test]
fn secrets_are_not_shown() {
    let mut packet = connect(V5);
    packet.password = Some(b"hunter2");
    packet.properties.auth_method = Some("m");
    packet.properties.auth_data = Some(b"hunter2");
    let shown = format!("{packet:?}");
    assert!(!shown.contains("104, 117") && !shown.contains("hunter2"), "{shown}");
}

#[test]
#[should_panic(expected = "does not fit its prefix")]
fn a_topic_that_does_not_fit_its_prefix_is_never_written() {
    let topic = "t".repeat(65_536);
    let mut head = head(V311, QoS::AtMostOnce, 0);
    head.topic = &topic;
    head.encode(&mut Vec::new());
}

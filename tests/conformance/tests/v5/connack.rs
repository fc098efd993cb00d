//! Section 3.2: CONNACK. Servers with fewer features are in `configured.rs`.

use sluice_tests_conformance::{Incoming, Server, Version, bytes, connect, fresh, id, pingreq, publish, user, will};

/// [MQTT-3.2.0-1], [MQTT-3.2.0-2]: CONNACK is the first packet and comes once.
#[test]
fn mqtt_3_2_0_1_connack_comes_first_and_once() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).persistent());
    client.subscribe(&topic, 1);
    client.leave();
    Server::shared().connected(Version::V5).publish(&topic, "waiting", 1);
    let mut client = Server::shared().open();
    client.send_together(&[&connect(&name).persistent(), &pingreq()]);
    client.expect_connack();
    let packets = client.drain();
    assert!(!packets.iter().any(|packet| matches!(packet, Incoming::Connack(_))), "{packets:?}");
}

/// [MQTT-3.2.2-1]: the acknowledge flags are 0 or 1 (checked on every CONNACK that a test reads).
#[test]
fn mqtt_3_2_2_1_the_reserved_acknowledge_flags_are_zero() {
    let name = fresh("c");
    assert!(!Server::shared().client(connect(&name).persistent()).connack().session_present);
    assert!(Server::shared().client(connect(&name).persistent()).connack().session_present);
}

/// [MQTT-3.2.2-2]: Clean Start gives Session Present 0 also where there was a session.
#[test]
fn mqtt_3_2_2_2_clean_start_says_session_present_0() {
    let name = fresh("c");
    Server::shared().client(connect(&name).expiry(300)).leave();
    assert!(!Server::shared().client(connect(&name).expiry(300)).connack().session_present);
}

/// [MQTT-3.2.2-3]: otherwise Session Present says whether there is one.
#[test]
fn mqtt_3_2_2_3_session_present_says_whether_there_is_a_session() {
    let name = fresh("c");
    let client = Server::shared().client(connect(&name).persistent());
    assert!(!client.connack().session_present);
    client.vanish();
    assert!(Server::shared().client(connect(&name).persistent()).connack().session_present);
}

/// [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.2.2-8], [MQTT-4.13.2-1]: a refusal says Session Present 0 and closes; the
/// code is one that CONNACK may carry (checked on every CONNACK that a test reads).
#[test]
fn mqtt_3_2_2_6_a_refusal_says_session_present_0_and_closes() {
    let mut client = Server::shared().open();
    let connack = client.send(connect("x".repeat(5000)).persistent()).expect_refused(&[0x85]);
    assert!(!connack.session_present);
}

/// [MQTT-3.2.2-16]: an assigned client id is nobody else's.
#[test]
fn mqtt_3_2_2_16_assigned_client_ids_are_unique() {
    let clients: Vec<_> = (0..20).map(|_| Server::shared().client(connect(""))).collect();
    let names = clients.iter().map(|c| c.connack().properties.text(id::ASSIGNED_CLIENT_ID).expect("a client id"));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 20);
}

/// [MQTT-3.2.2-19], [MQTT-3.2.2-20]: Reason String and User Properties do not push CONNACK over the Maximum Packet
/// Size (checked on every packet that a test reads).
#[test]
fn mqtt_3_2_2_19_connack_stays_within_the_maximum_packet_size() {
    for bytes in [20, 40, 60] {
        let mut client = Server::shared().open();
        client.send(connect("x".repeat(5000)).maximum_packet_size(bytes));
        client.expect_refused_or_closed(&[0x85, 0x95]);
    }
}

/// [MQTT-3.2.2-22]: without a Server Keep Alive the client's counts.
#[test]
fn mqtt_3_2_2_22_the_clients_keep_alive_counts_unless_the_server_says_another() {
    let mut client = Server::shared().client(connect(fresh("c")).keep_alive(1));
    assert!(!client.connack().properties.has(id::SERVER_KEEP_ALIVE));
    client.expect_disconnect_or_closed(&[0x8D]);
}

/// [MQTT-3.2.2-12], [MQTT-3.2.2-13]: a will at any QoS, retained or not, is accepted where the server has these.
#[test]
fn mqtt_3_2_2_12_a_will_within_the_capabilities_is_accepted() {
    for qos in 0..3 {
        let connack = Server::shared().client(connect(fresh("c")).will(will(fresh("t/"), "w").qos(qos).retain()));
        let properties = &connack.connack().properties;
        assert_ne!(properties.number(id::MAXIMUM_QOS), Some(2), "2 is said by leaving it out");
        assert_ne!(properties.number(id::RETAIN_AVAILABLE), Some(0));
    }
}

/// [MQTT-3.2.2-8]: what CONNACK announces is in the range that the specification gives.
#[test]
fn mqtt_3_2_2_8_announced_limits_are_in_range() {
    let client = Server::shared().client(connect(fresh("c")).expiry(10));
    let properties = &client.connack().properties;
    assert_ne!(properties.number(id::RECEIVE_MAXIMUM), Some(0));
    assert!(properties.number(id::MAXIMUM_PACKET_SIZE).is_none_or(|bytes| (1..=268_435_455).contains(&bytes)));
    for flag in [id::MAXIMUM_QOS, id::WILDCARD_AVAILABLE, id::SUBSCRIPTION_ID_AVAILABLE, id::SHARED_AVAILABLE] {
        assert!(properties.number(flag).is_none_or(|value| value < 2));
    }
    assert!(properties.number(id::SESSION_EXPIRY).is_none_or(|seconds| seconds <= 10));
}

/// [MQTT-4.12.0-1]: a method that the server does not know.
#[test]
fn mqtt_4_12_0_1_an_unknown_authentication_method_is_refused() {
    let mut client = Server::shared().open();
    let unknown = connect(fresh("c")).with(bytes(id::AUTH_METHOD, "NO-SUCH-METHOD"));
    client.send(unknown).expect_refused_or_closed(&[0x8C, 0x87]);
}

/// [MQTT-4.12.0-6]: no Authentication Method in CONNACK for a client that named none.
#[test]
fn mqtt_4_12_0_6_no_authentication_method_unless_the_client_named_one() {
    let client = Server::shared().client(connect(fresh("c")).username("u").password("p"));
    assert!(!client.connack().properties.has(id::AUTH_METHOD));
    assert!(!client.connack().properties.has(id::AUTH_DATA));
}

/// [MQTT-4.12.0-7]: AUTH from such a client.
#[test]
fn mqtt_4_12_0_7_auth_without_a_method_in_connect_is_a_protocol_error() {
    for reason in [0x18, 0x19] {
        let mut client = Server::shared().connected(Version::V5);
        client.send(sluice_tests_conformance::auth(reason, "SCRAM-SHA-256"));
        client.expect_disconnect(&[0x82]);
    }
}

/// [MQTT-3.2.2-8]: User Properties in CONNECT do no harm, and a PUBLISH right after CONNACK works.
#[test]
fn mqtt_3_2_2_8_user_properties_in_connect_are_accepted() {
    let topic = fresh("t/");
    let mut client = Server::shared().client(connect(fresh("c")).with(user("a", "1")).with(user("a", "2")));
    client.subscribe(&topic, 0).send(publish(&topic, "x")).expect_message(&topic, "x");
}

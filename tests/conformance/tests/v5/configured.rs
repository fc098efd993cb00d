//! What a server with fewer features, or other limits, must say and do.

use sluice_tests_conformance::{Version, connect, fresh, id, node, number, publish, server::Server, subscribe, will};

fn with(section: &str) -> Server {
    node().section(section).start_plain()
}

/// [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-11], [MQTT-3.2.2-12]: a server with a Maximum QoS says so, takes
/// SUBSCRIBE at any QoS, refuses a will above it, and disconnects who publishes above it.
#[test]
fn mqtt_3_2_2_9_a_server_with_a_maximum_qos() {
    for most in [0, 1] {
        let server = with(&format!("mqtt: {{max_qos: {most}}}"));
        let mut client = server.connected(Version::V5);
        assert_eq!(client.connack().properties.number(id::MAXIMUM_QOS), Some(most.into()));
        let topic = fresh("t/");
        client.send(subscribe(1).filter(&topic, 2).filter(fresh("t/"), 1).filter(fresh("t/"), 0));
        client.expect_suback(1, &[most, most, 0]);
        client.publish(&topic, "x", most);
        assert_eq!(client.expect_publish().qos, most);
        client.send(publish(&topic, "x").qos(most + 1, 9));
        client.expect_disconnect(&[0x9B]);
        let mut client = server.open();
        client.send(connect(fresh("c")).will(will(&topic, "x").qos(most + 1))).expect_refused(&[0x9B]);
        let _ = server.client(connect(fresh("c")).will(will(&topic, "x").qos(most)));
    }
}

/// [MQTT-3.2.2-13], [MQTT-3.2.2-14]: a server without retained messages says so, and refuses what asks for them.
#[test]
fn mqtt_3_2_2_13_a_server_without_retained_messages() {
    let server = with("mqtt: {retain_available: false}");
    let mut client = server.connected(Version::V5);
    assert_eq!(client.connack().properties.number(id::RETAIN_AVAILABLE), Some(0));
    client.send(publish(fresh("t/"), "x").retain());
    client.expect_disconnect(&[0x9A]);
    let mut client = server.open();
    client.send(connect(fresh("c")).will(will(fresh("t/"), "x").retain())).expect_refused(&[0x9A]);
}

/// [MQTT-3.8.4-7]: a server without wildcards or shared subscriptions says so and refuses them.
#[test]
fn mqtt_3_8_4_7_a_server_without_wildcards_or_shared_subscriptions() {
    let server = with("mqtt: {wildcard_available: false, shared_available: false}");
    let mut client = server.connected(Version::V5);
    assert_eq!(client.connack().properties.number(id::WILDCARD_AVAILABLE), Some(0));
    assert_eq!(client.connack().properties.number(id::SHARED_AVAILABLE), Some(0));
    client.send(subscribe(1).filter("a/#", 0).filter("plain", 0).filter("$share/g/t", 0));
    client.expect_suback(1, &[0xA2, 0, 0x9E]);
}

/// [MQTT-3.1.2-21], [MQTT-3.2.2-21]: the Server Keep Alive is in force instead of the client's.
#[test]
fn mqtt_3_2_2_21_the_server_keep_alive_is_in_force() {
    let server = with("mqtt: {max_keepalive: 1s}");
    for seconds in [0, 600] {
        let mut client = server.client(connect(fresh("c")).keep_alive(seconds));
        assert_eq!(client.connack().properties.number(id::SERVER_KEEP_ALIVE), Some(1));
        client.expect_disconnect_or_closed(&[0x8D]);
    }
}

/// [MQTT-3.1.2-28]: Response Information for who asks, where the server has it.
#[test]
fn mqtt_3_1_2_28_response_information_for_who_asks() {
    let server = node().listener("bind: '127.0.0.1:0', response_information: answers/").start_plain();
    let asking = server.client(connect(fresh("c")).with(number(id::REQUEST_RESPONSE, 1)));
    let information = asking.connack().properties.text(id::RESPONSE_INFORMATION);
    assert!(information.is_some_and(|text| text.starts_with("answers/")));
    for silent in [connect(fresh("c")), connect(fresh("c")).with(number(id::REQUEST_RESPONSE, 0))] {
        assert!(!server.client(silent).connack().properties.has(id::RESPONSE_INFORMATION));
    }
}

/// [MQTT-3.1.2-23], [MQTT-4.1.0-2]: a capped Session Expiry Interval is said, and is in force.
#[test]
fn mqtt_3_1_2_23_a_capped_session_expiry_is_said() {
    let server = with("mqtt: {session_expiry_max: 1s}");
    let name = fresh("c");
    let client = server.client(connect(&name).expiry(0xFFFF_FFFF));
    assert_eq!(client.connack().properties.number(id::SESSION_EXPIRY), Some(1));
    client.vanish();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert!(!server.client(connect(&name).resume()).connack().session_present);
}

/// [MQTT-3.2.2-18], [MQTT-3.3.2-9]: a server that takes no aliases says none, and refuses them.
#[test]
fn mqtt_3_2_2_18_a_server_that_takes_no_topic_aliases() {
    let server = with("mqtt: {topic_alias_in: 0}");
    let mut client = server.connected(Version::V5);
    assert_eq!(client.connack().properties.number(id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0), 0);
    client.send(publish(fresh("t/"), "x").alias(1));
    client.expect_disconnect(&[0x94]);
}

/// [MQTT-4.1.0-1], [MQTT-4.5.0-1], [MQTT-3.3.1-5]: what is acknowledged survives the death of the process: sessions,
/// subscriptions, messages that wait, exchanges under way, retained messages.
#[test]
fn mqtt_4_1_0_1_session_state_survives_a_crash() {
    let server = node().start_plain();
    let (name, topic, other) = (fresh("c"), fresh("t/"), fresh("c"));
    let mut receiver = server.client(connect(&name).persistent());
    receiver.subscribe(&topic, 2);
    let mut sender = server.client(connect(&other).persistent());
    sender.retain(&topic, "kept", 1);
    let live = receiver.expect_publish();
    sender.publish(&topic, "queued", 2);
    sender.send(publish(&topic, "half").qos(2, 500)).expect_pubrec(500);
    let server = server.kill_and_restart();
    let mut sender = server.client(connect(&other).persistent());
    assert!(sender.connack().session_present);
    sender.send(publish(&topic, "half").qos(2, 500).dup()).expect_pubrec(500);
    sender.send(sluice_tests_conformance::pubrel(500)).expect_pubcomp(500);
    let mut receiver = server.client(connect(&name).persistent());
    assert!(receiver.connack().session_present);
    let again = receiver.expect_message(&topic, "kept");
    assert_eq!((again.packet_id, again.dup), (live.packet_id, true));
    receiver.expect_message(&topic, "queued");
    receiver.expect_message(&topic, "half");
    receiver.expect_nothing();
    let mut late = server.connected(Version::V5);
    late.subscribe(&topic, 1).expect_message(&topic, "kept");
}

//! Clients of different versions on one server, and what is special about MQTT 3.1 and bridges.

use sluice_tests_conformance::{Server, Version, connect, fresh, id, number, publish, user};

/// [MQTT-7.0.0-2]: all versions meet on one port; what a version has no words for is left out.
#[test]
fn clients_of_all_versions_exchange_messages() {
    for receiving in Version::ALL {
        for sending in Version::ALL {
            let topic = fresh("t/");
            let mut receiver = Server::shared().connected(receiving);
            receiver.subscribe(&topic, 2);
            for qos in 0..3 {
                let message = publish(&topic, "x").with(user("a", "b")).with(number(id::PAYLOAD_FORMAT, 1));
                Server::shared().connected(sending).deliver(message, qos);
                let received = receiver.expect_message(&topic, "x");
                assert_eq!(received.qos, qos);
                let both_5 = (sending, receiving) == (Version::V5, Version::V5);
                assert_eq!(!received.properties.users().is_empty(), both_5);
            }
        }
    }
}

/// [MQTT-3.1.2-4]: a session outlives a change of version.
#[test]
fn a_session_is_resumed_in_another_version() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let mut client = Server::shared().client(connect(&name).v311().persistent());
    client.subscribe(&topic, 1);
    client.leave();
    Server::shared().connected(Version::V5).deliver(publish(&topic, "x").with(user("a", "b")), 1);
    let mut client = Server::shared().client(connect(&name).persistent());
    assert!(client.connack().session_present);
    assert_eq!(client.expect_message(&topic, "x").properties.users().len(), 1);
}

/// A bridge sets the top bit of the protocol level; it does not get its own messages back.
#[test]
fn a_bridge_does_not_get_its_own_messages() {
    let topic = fresh("t/");
    let mut bridge = Server::shared().client(connect(fresh("c")).v311().level(0x84));
    bridge.subscribe(&topic, 1).publish(&topic, "own", 1);
    Server::shared().connected(Version::V311).retain(&topic, "other", 1);
    let message = bridge.expect_message(&topic, "other");
    assert!(message.retain, "a bridge sees RETAIN as it was published");
    bridge.expect_nothing();
    bridge.retain(&topic, "", 1);
}

/// MQTT 3.1 client ids have 1 to 23 characters; longer ones are common and taken.
#[test]
fn version_3_1_takes_long_client_ids() {
    let _ = Server::shared().client(connect(format!("{}{}", fresh("c"), "x".repeat(60))).v31());
}

/// MQTT 3.1 has no zero-length client ids.
#[test]
fn version_3_1_refuses_an_empty_client_id() {
    let mut client = Server::shared().open();
    client.send(connect("").v31().resume()).expect_refused(&[2]);
}

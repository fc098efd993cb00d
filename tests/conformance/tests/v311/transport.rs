//! Chapters 6 and 7: WebSocket, and transports.

use sluice_tests_conformance::{
    Client, Server, connect, fresh,
    stream::Stream,
    websocket::{self, TEXT, WebSocket, upgrade_request, whole_frame},
};

use crate::VERSIONS;

/// [MQTT-6.0.0-1], [MQTT-6.0.0-2], [MQTT-7.1.1-1]: MQTT in binary frames, cut anyhow.
#[test]
fn mqtt_6_0_0_2_packets_and_frames_are_independent() {
    for version in VERSIONS {
        let topic = fresh("t/");
        let mut client = Server::shared().open_websocket();
        client.send(connect(fresh("c")).version(version)).expect_connack();
        for byte in [0x82, 6, 0, 1, 0, 1, b't', 0] {
            client.send_bytes(&[byte]);
        }
        client.expect_suback(1, &[0]);
        client.subscribe(&topic, 1).publish(&topic, "x", 0).expect_message(&topic, "x");
    }
}

/// [MQTT-6.0.0-1]: any other frame closes the connection.
#[test]
fn mqtt_6_0_0_1_text_frames_close_the_connection() {
    let mut socket = WebSocket::upgrade(Stream::tcp(Server::shared().address("ws")));
    socket.send_raw(&whole_frame(TEXT, b"hello"));
    socket.expect_close(&[1003]);
}

/// [MQTT-6.0.0-4]: the subprotocol is `mqtt`.
#[test]
fn mqtt_6_0_0_4_the_selected_subprotocol_is_mqtt() {
    let mut stream = Stream::tcp(Server::shared().address("ws"));
    let request = upgrade_request("/mqtt", &[("Sec-WebSocket-Protocol", "mqttv3.1, mqtt")]);
    let response = websocket::exchange(&mut stream, request.as_bytes());
    assert_eq!(response.as_ref().and_then(|r| r.header("Sec-WebSocket-Protocol")), Some("mqtt"), "{response:?}");
}

/// [MQTT-7.0.0-2]: nothing but what the standard has is needed.
#[test]
fn mqtt_7_0_0_2_no_extension_is_needed() {
    let topic = fresh("t/");
    let mut client = Client::new(Stream::tcp(Server::shared().address("mqtt")));
    client.send(connect(fresh("c")).v311()).expect_connack();
    client.subscribe(&topic, 2).publish(&topic, "x", 2).expect_message(&topic, "x");
    client.leave();
}

//! Chapter 6 and section 4.2: transports.

use sluice_tests_conformance::{
    Outgoing as _, Server, Version, connect, fresh, pingreq, publish,
    stream::Stream,
    subscribe,
    websocket::{self, BINARY, CONTINUATION, TEXT, WebSocket, frame, upgrade_request, whole_frame},
};

/// [MQTT-4.2-1]: TCP and WebSocket carry the same protocol, and the same topics.
#[test]
fn mqtt_4_2_1_tcp_and_websocket_clients_meet() {
    let topic = fresh("t/");
    let mut web = Server::shared().open_websocket();
    web.send(connect(fresh("c"))).expect_connack();
    web.subscribe(&topic, 2);
    let mut tcp = Server::shared().connected(Version::V5);
    tcp.publish(&topic, "x", 2);
    web.expect_message(&topic, "x");
    web.publish(&topic, "y", 1).expect_message(&topic, "y");
    web.leave();
}

/// [MQTT-6.0.0-1]: a text frame closes the connection.
#[test]
fn mqtt_6_0_0_1_text_frames_close_the_connection() {
    let mut socket = WebSocket::upgrade(Stream::tcp(Server::shared().address("ws")));
    socket.send_raw(&whole_frame(TEXT, &connect(fresh("c")).encode(Version::V5)));
    socket.expect_close(&[1003]);
}

/// [MQTT-6.0.0-2]: packets need not end where frames do.
#[test]
fn mqtt_6_0_0_2_packets_and_frames_are_independent() {
    let topic = fresh("t/");
    let mut bytes = connect(fresh("c")).encode(Version::V5);
    bytes.extend(subscribe(1).filter(&topic, 0).encode(Version::V5));
    bytes.extend(publish(&topic, "x").encode(Version::V5));
    let all_in_one: Vec<Vec<u8>> = vec![bytes.clone()];
    let one_by_one: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
    let by_seven: Vec<Vec<u8>> = bytes.chunks(7).map(<[u8]>::to_vec).collect();
    for cut in [all_in_one, one_by_one, by_seven] {
        let mut client = Server::shared().open_websocket();
        for piece in cut {
            client.send_bytes(&piece);
        }
        client.expect_connack();
        client.expect_suback(1, &[0]);
        client.expect_message(&topic, "x");
    }
}

/// [MQTT-6.0.0-2]: nor where messages of several frames do.
#[test]
fn mqtt_6_0_0_2_a_fragmented_message_is_put_together() {
    let bytes = connect(fresh("c")).encode(Version::V5);
    let (head, tail) = bytes.split_at(5);
    let mut socket = WebSocket::upgrade(Stream::tcp(Server::shared().address("ws")));
    let key = Some([1, 2, 3, 4]);
    socket.send_raw(&frame(BINARY, key, head));
    socket.send_raw(&whole_frame(websocket::PING, b"between"));
    socket.send_raw(&frame(CONTINUATION, key, b""));
    socket.send_raw(&frame(0x80 | CONTINUATION, key, tail));
    let pong = socket.read_frame().ok().flatten();
    assert_eq!(pong.map(|pong| (pong.opcode, pong.payload)), Some((websocket::PONG, b"between".to_vec())));
    let mut client = sluice_tests_conformance::Client::new(Stream::WebSocket(Box::new(socket)));
    client.expect_connack();
    client.send_bytes(&pingreq());
}

/// [MQTT-6.0.0-4]: the subprotocol that is selected is `mqtt`, wherever it stands in the offer.
#[test]
fn mqtt_6_0_0_4_the_selected_subprotocol_is_mqtt() {
    for offer in ["mqtt", "foo, mqtt", "mqtt,bar"] {
        let mut stream = Stream::tcp(Server::shared().address("ws"));
        let request = upgrade_request("/mqtt", &[("Sec-WebSocket-Protocol", offer)]);
        let response = websocket::exchange(&mut stream, request.as_bytes());
        let selected = response.as_ref().and_then(|response| response.header("Sec-WebSocket-Protocol"));
        assert_eq!(selected, Some("mqtt"), "{response:?}");
    }
}

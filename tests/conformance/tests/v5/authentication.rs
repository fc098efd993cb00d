//! Sections 3.15 and 4.12: AUTH and enhanced authentication, with SCRAM-SHA-256.

use std::sync::OnceLock;

use sluice_tests_conformance::{
    Client, Server, Version, auth, bytes, connect, disconnect, fresh, id, node, outgoing::Connect, packet, publish,
    scram::ScramClient,
};

const METHOD: &str = "SCRAM-SHA-256";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let node = node().listener("bind: '127.0.0.1:0', auth: required");
        // Failures of a user slow that user down: each test that fails on purpose has a user of its own.
        let node = node.user("carol", "third").user("dave", "fourth").user("erin", "fifth");
        node.user("alice", "secret").user("bob", "hidden").start_plain()
    })
}

/// A CONNECT that begins an exchange.
fn connect_with(scram: &ScramClient) -> Connect {
    connect(fresh("c")).with(bytes(id::AUTH_METHOD, METHOD)).with(bytes(id::AUTH_DATA, scram.first()))
}

/// Goes on with an exchange after the first message: checks the server's AUTH and sends the proof.
fn prove(client: &mut Client, scram: &mut ScramClient) {
    let challenge = client.expect_auth();
    assert_eq!(challenge.reason, 0x18, "[MQTT-4.12.0-2]");
    assert_eq!(challenge.properties.text(id::AUTH_METHOD).as_deref(), Some(METHOD), "[MQTT-4.12.0-5]");
    let answer = scram.answer(challenge.properties.bytes(id::AUTH_DATA).unwrap_or_default());
    client.send(auth(0x18, METHOD).with(bytes(id::AUTH_DATA, answer)));
}

fn authenticated() -> Client {
    authenticated_as("alice", "secret")
}

fn authenticated_as(user: &str, password: &str) -> Client {
    let mut scram = ScramClient::new(user, password, &fresh("nonce"));
    let mut client = server().open();
    client.send(connect_with(&scram));
    prove(&mut client, &mut scram);
    let connack = client.expect_connack();
    assert_eq!(connack.properties.text(id::AUTH_METHOD).as_deref(), Some(METHOD), "[MQTT-4.12.0-5]");
    scram.check(connack.properties.bytes(id::AUTH_DATA).unwrap_or_default());
    client
}

/// [MQTT-4.12.0-2], [MQTT-4.12.0-5], [MQTT-3.15.2-1], [MQTT-3.2.0-1]: AUTH 0x18 with the method, then CONNACK with it.
#[test]
fn mqtt_4_12_0_2_an_exchange_goes_through_auth_to_connack() {
    let topic = fresh("t/");
    let mut client = authenticated();
    client.subscribe(&topic, 0).publish(&topic, "x", 0).expect_message(&topic, "x");
}

/// [MQTT-4.12.0-4], [MQTT-3.1.4-2]: a wrong proof is refused and the connection closed.
#[test]
fn mqtt_4_12_0_4_a_wrong_proof_is_refused() {
    let mut scram = ScramClient::new("carol", "wrong", &fresh("nonce"));
    let mut client = server().open();
    client.send(connect_with(&scram));
    prove(&mut client, &mut scram);
    client.expect_refused_or_closed(&[0x86, 0x87]);
}

/// [MQTT-4.12.0-4]: a user who does not exist is refused like a wrong password.
#[test]
fn mqtt_4_12_0_4_an_unknown_user_looks_like_a_wrong_password() {
    let mut scram = ScramClient::new("nobody", "secret", &fresh("nonce"));
    let mut client = server().open();
    client.send(connect_with(&scram));
    prove(&mut client, &mut scram);
    client.expect_refused_or_closed(&[0x86, 0x87]);
}

/// [MQTT-3.1.2-30], [MQTT-3.1.4-6]: anything but AUTH or DISCONNECT before CONNACK.
#[test]
fn mqtt_3_1_2_30_only_auth_and_disconnect_before_connack() {
    let scram = ScramClient::new("alice", "secret", &fresh("nonce"));
    let mut client = server().open();
    client.send(connect_with(&scram)).expect_auth();
    client.send(publish(fresh("t/"), "x"));
    client.expect_refused_or_closed(&[0x82]);
    let mut client = server().open();
    client.send(connect_with(&scram)).expect_auth();
    client.send(disconnect(0)).expect_closed();
}

/// [MQTT-4.12.0-3]: an AUTH with another reason or method during the exchange.
#[test]
fn mqtt_4_12_0_3_the_client_goes_on_with_0x18_and_the_same_method() {
    for wrong in [auth(0x19, METHOD), auth(0x00, METHOD), auth(0x18, "OTHER"), auth(0x55, METHOD)] {
        let scram = ScramClient::new("dave", "fourth", &fresh("nonce"));
        let mut client = server().open();
        client.send(connect_with(&scram)).expect_auth();
        client.send(wrong.with(bytes(id::AUTH_DATA, "x")));
        client.expect_refused_or_closed(&[0x81, 0x82, 0x86, 0x87, 0x8C]);
    }
}

/// [MQTT-4.12.1-1], [MQTT-3.15.2-1]: authenticating again, on a connection that goes on.
#[test]
fn mqtt_4_12_1_1_a_client_may_authenticate_again() {
    let topic = fresh("t/");
    let mut client = authenticated();
    client.subscribe(&topic, 0);
    let mut scram = ScramClient::new("alice", "secret", &fresh("nonce"));
    client.send(auth(0x19, METHOD).with(bytes(id::AUTH_DATA, scram.first())));
    prove(&mut client, &mut scram);
    let done = client.expect_auth();
    assert_eq!(done.reason, 0x00);
    assert_eq!(done.properties.text(id::AUTH_METHOD).as_deref(), Some(METHOD));
    scram.check(done.properties.bytes(id::AUTH_DATA).unwrap_or_default());
    client.publish(&topic, "x", 0).expect_message(&topic, "x");
}

/// [MQTT-4.12.1-2]: failing to authenticate again ends the connection; so does becoming somebody else.
#[test]
fn mqtt_4_12_1_2_failing_to_authenticate_again_closes() {
    for (user, password) in [("erin", "wrong"), ("bob", "hidden")] {
        let mut client = authenticated_as("erin", "fifth");
        let mut scram = ScramClient::new(user, password, &fresh("nonce"));
        client.send(auth(0x19, METHOD).with(bytes(id::AUTH_DATA, scram.first())));
        prove(&mut client, &mut scram);
        client.expect_disconnect_or_closed(&[0x87, 0x82, 0x8C]);
    }
}

/// [MQTT-4.12.1-1]: with another method.
#[test]
fn mqtt_4_12_1_1_the_method_stays_the_same() {
    let mut client = authenticated();
    client.send(auth(0x19, "OTHER").with(bytes(id::AUTH_DATA, "x")));
    client.expect_disconnect_or_closed(&[0x82, 0x8C]);
}

/// [MQTT-3.15.1-1]: the flags of AUTH.
#[test]
fn mqtt_3_15_1_1_auth_has_flags_0() {
    for first in [0xF1, 0xF2, 0xF8] {
        let mut client = authenticated();
        client.send(packet(first, b""));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.15.2-2], [MQTT-3.15.2-3]: AUTH stays within the Maximum Packet Size (checked on every packet).
#[test]
fn mqtt_3_15_2_2_auth_stays_within_the_maximum_packet_size() {
    let mut scram = ScramClient::new("alice", "secret", &fresh("n"));
    let mut client = server().open();
    client.send(connect_with(&scram).maximum_packet_size(300));
    prove(&mut client, &mut scram);
    client.expect_connack();
}

/// [MQTT-3.1.4-2]: user name and password work beside it; wrong ones, and none, are refused.
#[test]
fn mqtt_3_1_4_2_a_client_that_fails_authentication_is_refused() {
    let _ = server().client(connect(fresh("c")).username("carol").password("third"));
    let wrong = [
        connect(fresh("c")).username("carol").password("wrong"),
        connect(fresh("c")).username("nobody").password("secret"),
        connect(fresh("c")).username("carol"),
        connect(fresh("c")).password("secret"),
        connect(fresh("c")),
    ];
    for wrong in wrong {
        let mut client = server().open();
        client.send(wrong).expect_refused(&[0x86, 0x87]);
    }
    let mut old = server().open();
    old.send(connect(fresh("c")).v311().username("carol").password("wrong")).expect_refused(&[4, 5]);
    let _ = server().client(connect(fresh("c")).version(Version::V311).username("bob").password("hidden"));
}

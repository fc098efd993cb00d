//! rumqttc, a client in Rust.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "whatever is not expected fails the test")]

use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_tests_conformance::{Server, fresh};
use sluice_tests_e2e::program::wanted;

/// Messages published at each QoS.
const MESSAGES: usize = 200;

#[test]
fn version_311_receives_what_it_publishes_in_order_at_every_qos() {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    if !wanted("rumqttc") {
        return;
    }
    let address = Server::shared().address("mqtt");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = fresh("rumqttc/");
        let mut options = MqttOptions::new(fresh("r"), address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(5)).set_clean_session(true);
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe(&topic, qos).unwrap();
        let publisher = thread::spawn(move || {
            for n in 0..MESSAGES {
                client.publish(&topic, qos, false, n.to_string()).unwrap();
            }
            client
        });
        let mut received = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while received.len() < MESSAGES {
            assert!(Instant::now() < deadline, "{} of {MESSAGES} came", received.len());
            if let Ok(Ok(Event::Incoming(Packet::Publish(publish)))) =
                connection.recv_timeout(Duration::from_secs(5)).map(|event| event.map_err(|e| panic!("{e}")))
            {
                assert_eq!(publish.qos, qos);
                received.push(String::from_utf8(publish.payload.to_vec()).unwrap());
            }
        }
        assert_eq!(received, (0..MESSAGES).map(|n| n.to_string()).collect::<Vec<_>>());
        publisher.join().unwrap().disconnect().unwrap();
    }
}

#[test]
fn version_5_receives_properties_and_reason_codes() {
    use rumqttc::v5::{
        Client, Event, MqttOptions,
        mqttbytes::{QoS, v5::Packet, v5::PublishProperties},
    };
    if !wanted("rumqttc") {
        return;
    }
    let address = Server::shared().address("mqtt");
    let topic = fresh("rumqttc/");
    let mut options = MqttOptions::new(fresh("r"), address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(5)).set_clean_start(true);
    let (client, mut connection) = Client::new(options, 10);
    client.subscribe(&topic, QoS::ExactlyOnce).unwrap();
    let properties = PublishProperties {
        content_type: Some("text/plain".into()),
        response_topic: Some("answers".into()),
        correlation_data: Some("id-7".into()),
        user_properties: vec![("b".into(), "2".into()), ("a".into(), "1".into()), ("b".into(), "3".into())],
        ..PublishProperties::default()
    };
    client.publish_with_properties(&topic, QoS::ExactlyOnce, false, "hello", properties.clone()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "the message did not come");
        if let Ok(Ok(Event::Incoming(Packet::Publish(publish)))) = connection.recv_timeout(Duration::from_secs(5)) {
            let got = publish.properties.expect("properties");
            assert_eq!(&publish.payload[..], b"hello");
            assert_eq!(got.user_properties, properties.user_properties, "in order");
            assert_eq!(got.content_type, properties.content_type);
            assert_eq!(got.response_topic, properties.response_topic);
            assert_eq!(got.correlation_data, properties.correlation_data);
            break;
        }
    }
    client.disconnect().unwrap();
}

//! Section 4.8: shared subscriptions.

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, connect, fresh, id, puback, pubcomp, pubrec, subscribe,
};

fn members(count: usize, filter: &str, qos: u8) -> Vec<Client> {
    let joined = (0..count).map(|_| {
        let mut member = Server::shared().connected(Version::V5);
        member.subscribe(filter, qos);
        member
    });
    joined.collect()
}

/// Takes and acknowledges all that came to a client.
fn take(client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let packets = client.drain();
        if packets.is_empty() {
            return texts;
        }
        for packet in packets {
            match packet {
                Incoming::Publish(publish) => {
                    texts.push(publish.text().to_owned());
                    match publish.qos {
                        0 => {}
                        1 => drop(client.send(puback(publish.packet_id))),
                        _ => drop(client.send(pubrec(publish.packet_id))),
                    }
                }
                Incoming::Pubrel(ack) => drop(client.send(pubcomp(ack.packet_id))),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// [MQTT-4.8.2-1], [MQTT-4.8.2-2]: filters that are no shared subscription.
#[test]
fn mqtt_4_8_2_1_a_share_name_has_a_character_and_a_filter_behind_it() {
    for filter in
        ["$share//t", "$share/g", "$share/g/", "$share/a+b/t", "$share/a#b/t", "$share/+/t", "$share/#", "$share/"]
    {
        let mut client = Server::shared().connected(Version::V5);
        client.send(subscribe(1).filter(filter, 0));
        client.expect_filter_refused(1);
    }
}

/// [MQTT-4.8.2-2]: wildcards behind the share name work.
#[test]
fn mqtt_4_8_2_2_a_shared_subscription_may_have_wildcards() {
    let topic = fresh("t/");
    let mut member = members(1, &format!("$share/{}/{topic}/+/#", fresh("g")), 0).remove(0);
    member.publish(&format!("{topic}/a/b"), "x", 0).expect_message(&format!("{topic}/a/b"), "x");
}

/// [MQTT-4.8.2-3]: each message goes to one member, at the QoS granted to it.
#[test]
fn mqtt_4_8_2_3_a_message_goes_to_one_member_at_its_granted_qos() {
    for qos in 0..3 {
        let topic = fresh("t/");
        let filter = format!("$share/{}/{topic}", fresh("g"));
        let mut members = members(3, &filter, qos);
        let mut sender = Server::shared().connected(Version::V5);
        for n in 0..30 {
            sender.publish(&topic, n.to_string(), 2);
        }
        let mut texts: Vec<u32> = members.iter_mut().flat_map(take).map(|text| text.parse().unwrap_or(99)).collect();
        texts.sort_unstable();
        assert_eq!(texts, (0..30).collect::<Vec<_>>());
    }
    let topic = fresh("t/");
    let filter = format!("$share/{}/{topic}", fresh("g"));
    let mut low = members(1, &filter, 0).remove(0);
    Server::shared().connected(Version::V5).publish(&topic, "x", 2);
    assert_eq!(low.expect_message(&topic, "x").qos, 0);
}

/// [MQTT-4.8.2-4]: a QoS 2 exchange stays with its member across the member's absence.
#[test]
fn mqtt_4_8_2_4_qos_2_is_completed_with_the_same_member() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let filter = format!("$share/{}/{topic}", fresh("g"));
    let mut first = Server::shared().client(connect(&name).persistent());
    first.subscribe(&filter, 2);
    Server::shared().connected(Version::V5).publish(&topic, "x", 2);
    let packet_id = first.expect_publish().packet_id;
    first.send(pubrec(packet_id)).expect_pubrel(packet_id);
    let mut second = Server::shared().connected(Version::V5);
    second.subscribe(&filter, 2);
    first.vanish();
    second.expect_nothing();
    let mut first = Server::shared().client(connect(&name).persistent());
    first.expect_pubrel(packet_id);
    first.send(pubcomp(packet_id)).expect_nothing();
    second.expect_nothing();
}

/// [MQTT-4.8.2-5]: once the exchange has begun with a member, no other gets the message when its session ends.
#[test]
fn mqtt_4_8_2_5_a_received_qos_2_message_is_not_given_to_another_member() {
    let (name, topic) = (fresh("c"), fresh("t/"));
    let filter = format!("$share/{}/{topic}", fresh("g"));
    let mut first = Server::shared().client(connect(&name));
    first.subscribe(&filter, 2);
    Server::shared().connected(Version::V5).publish(&topic, "x", 2);
    let packet_id = first.expect_publish().packet_id;
    first.send(pubrec(packet_id)).expect_pubrel(packet_id);
    let mut second = Server::shared().connected(Version::V5);
    second.subscribe(&filter, 2);
    first.vanish();
    second.expect_nothing();
}

/// [MQTT-4.8.2-6]: what a member refuses is discarded.
#[test]
fn mqtt_4_8_2_6_a_refused_message_goes_to_nobody() {
    for qos in [1, 2] {
        let topic = fresh("t/");
        let filter = format!("$share/{}/{topic}", fresh("g"));
        let mut first = members(1, &filter, qos).remove(0);
        Server::shared().connected(Version::V5).publish(&topic, "x", qos);
        let packet_id = first.expect_publish().packet_id;
        let mut second = members(1, &filter, qos).remove(0);
        let refusal = if qos == 1 { puback(packet_id) } else { pubrec(packet_id) };
        first.send(refusal.reason(0x97)).expect_nothing();
        first.vanish();
        second.expect_nothing();
    }
}

/// [MQTT-4.8.2-3]: groups and plain subscriptions are independent; the identifier is that of the shared one.
#[test]
fn mqtt_4_8_2_3_every_group_and_every_plain_subscription_gets_its_copy() {
    let topic = fresh("t/");
    let (one, two) = (format!("$share/{}/{topic}", fresh("g")), format!("$share/{}/{topic}", fresh("g")));
    let mut first = members(1, &one, 0).remove(0);
    let mut second = Server::shared().connected(Version::V5);
    second.send(subscribe(1).filter(&two, 0).identifier(5)).expect_suback(1, &[0]);
    let mut plain = members(1, &topic, 0).remove(0);
    Server::shared().connected(Version::V5).publish(&topic, "x", 0);
    first.expect_message(&topic, "x");
    assert_eq!(second.expect_message(&topic, "x").properties.numbers(id::SUBSCRIPTION_ID), [5]);
    plain.expect_message(&topic, "x");
}

/// [MQTT-3.3.1-9]: a shared subscription gets no retained messages when it is made (section 4.8.2).
#[test]
fn mqtt_3_3_1_9_a_shared_subscription_gets_no_retained_messages() {
    let topic = fresh("t/");
    let mut sender = Server::shared().connected(Version::V5);
    sender.retain(&topic, "kept", 1);
    members(1, &format!("$share/{}/{topic}", fresh("g")), 1)[0].expect_nothing();
    sender.retain(&topic, "", 1);
}

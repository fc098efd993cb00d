//! H1 to H4: shared subscriptions.

use sluice_tests_conformance::{
    Client, Incoming, Server, Version, connect, eventually, fresh, node, puback, publish, subscribe,
};

fn member(filter: &str) -> Client {
    let mut client = Server::shared().client(connect(fresh("c")).receive_maximum(10));
    client.subscribe(filter, 1);
    client
}

/// Takes and acknowledges everything until nothing more comes.
fn take_all(client: &mut Client) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let packets = client.drain();
        if packets.is_empty() {
            return texts;
        }
        for packet in packets {
            let Incoming::Publish(publish) = packet else { panic!("{packet:?}") };
            client.send(puback(publish.packet_id));
            texts.push(publish.text().to_owned());
        }
    }
}

#[test]
fn h1_a_member_that_never_acknowledges_stalls_only_its_window() {
    let server = node().section("mqtt: {shared: {stall_timeout: 1s}}").start_plain();
    let mut stuck = server.client(connect(fresh("c")).receive_maximum(10));
    let mut working = server.client(connect(fresh("c")).receive_maximum(10));
    stuck.subscribe("$share/g/t", 1);
    working.subscribe("$share/g/t", 1);
    let mut sender = server.connected(Version::V5);
    for n in 0..100 {
        sender.publish("t", n.to_string(), 1);
    }
    let held = stuck.drain().len();
    assert!(held <= 10, "{held}");
    let mut received = 0;
    eventually("the other member gets the rest", || {
        received += take_all(&mut working).len();
        received + held == 100
    });
    for n in 100..120 {
        sender.publish("t", n.to_string(), 1);
    }
    assert_eq!(take_all(&mut working).len(), 20, "a stalled member is passed over");
}

#[test]
fn h2_joining_and_leaving_all_the_time_loses_nothing() {
    let _others = Server::shared().bystander();
    let topic = fresh("t/");
    let filter = format!("$share/{}/{topic}", fresh("g"));
    let mut steady = member(&filter);
    let mut jumping = Server::shared().connected(Version::V5);
    let mut sender = Server::shared().connected(Version::V5);
    let mut texts = Vec::new();
    for n in 0..100 {
        jumping.subscribe(&filter, 0);
        sender.publish(&topic, n.to_string(), 1);
        let packets = jumping.drain();
        texts.extend(packets.iter().filter_map(|packet| match packet {
            Incoming::Publish(publish) => Some(publish.text().to_owned()),
            _ => None,
        }));
        jumping.unsubscribe(&filter);
        texts.extend(take_all(&mut steady));
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 100);
}

#[test]
fn h2_a_group_has_as_many_members_as_it_may() {
    let server = node().section("mqtt: {shared: {members_max: 3}}").start_plain();
    let mut clients: Vec<Client> = (0..4).map(|_| server.connected(Version::V5)).collect();
    let mut last = clients.pop().expect("a client");
    for client in &mut clients {
        client.subscribe("$share/g/t", 1);
    }
    last.send(subscribe(7).filter("$share/g/t", 1)).expect_suback(7, &[0x97]);
    // Another group has room, and so has this one once somebody left it; who is in it may subscribe again.
    last.subscribe("$share/h/t", 1);
    clients[0].subscribe("$share/g/t", 0);
    clients[0].unsubscribe("$share/g/t");
    let mut packet_id = 100;
    eventually("the others hear that there is room", || {
        packet_id += 1;
        last.send(subscribe(packet_id).filter("$share/g/t", 1));
        matches!(last.receive(), Incoming::Suback(suback) if suback.reasons == [1])
    });
}

#[test]
fn h3_what_a_member_that_died_had_not_acknowledged_goes_to_another() {
    let topic = fresh("t/");
    let filter = format!("$share/{}/{topic}", fresh("g"));
    let mut dying = Server::shared().connected(Version::V5);
    dying.subscribe(&filter, 1);
    let mut sender = Server::shared().connected(Version::V5);
    for n in 0..100 {
        sender.publish(&topic, n.to_string(), 1);
    }
    assert_eq!(dying.drain().len(), 100);
    let mut heir = member(&filter);
    drop(dying);
    let mut texts: Vec<u32> = (0..100)
        .map(|_| {
            let message = heir.expect_publish();
            heir.send(puback(message.packet_id));
            message.text().parse().expect("a number")
        })
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..100).collect::<Vec<_>>());
    heir.expect_nothing();
}

#[test]
fn h3_what_a_persistent_member_leaves_goes_to_another_when_its_session_ends() {
    let topic = fresh("t/");
    let filter = format!("$share/{}/{topic}", fresh("g"));
    for version in [Version::V311, Version::V5] {
        let mut heir = member(&filter);
        let name = fresh("c");
        let mut dying = Server::shared().client(connect(&name).version(version).persistent());
        dying.subscribe(&filter, 1);
        heir.unsubscribe(&filter);
        let mut sender = Server::shared().connected(Version::V5);
        for n in 0..100 {
            sender.publish(&topic, n.to_string(), 1);
        }
        assert_eq!(dying.drain().len(), 100);
        dying.vanish();
        heir.subscribe(&filter, 1).expect_nothing();
        // A fresh start under its name ends the session.
        let fresh_start = Server::shared().client(connect(&name).version(version));
        let mut numbers: Vec<u32> = (0..100)
            .map(|_| {
                let message = heir.expect_publish();
                heir.send(puback(message.packet_id));
                message.text().parse().expect("a number")
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "{version:?}");
        heir.expect_nothing();
        heir.leave();
        fresh_start.leave();
    }
}

#[test]
fn h4_plain_and_shared_subscriptions_are_independent() {
    let topic = fresh("t/");
    let filter = format!("$share/{}/{topic}", fresh("g"));
    for version in Version::ALL {
        let mut client = Server::shared().connected(version);
        client.subscribe(&topic, 0).subscribe(&filter, 0);
        let copies = |client: &mut Client| {
            client.send(publish(&topic, "x"));
            client.drain().len()
        };
        assert_eq!(copies(&mut client), 2);
        client.unsubscribe(&topic);
        assert_eq!(copies(&mut client), 1);
        client.subscribe(&topic, 0).unsubscribe(&filter);
        assert_eq!(copies(&mut client), 1);
        client.unsubscribe(&topic);
        assert_eq!(copies(&mut client), 0);
    }
}

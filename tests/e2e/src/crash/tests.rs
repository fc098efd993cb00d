//! The checker itself: it must find what is wrong, and nothing else.

use super::{
    account::{Account, Entry, Group, Verdict, Violation},
    message::{Message, Stream},
};

fn message(number: u64) -> Message {
    Message { stream: Stream { publisher: 3, topic: 1, qos: 2 }, number, copy: 0 }
}

fn delivery(number: u64, packet_id: u16) -> Entry {
    Entry { message: message(number), qos: 2, dup: false, packet_id }
}

fn again(number: u64, packet_id: u16) -> Entry {
    Entry { dup: true, ..delivery(number, packet_id) }
}

fn at_qos1(entry: Entry) -> Entry {
    Entry { qos: 1, ..entry }
}

#[test]
fn a_message_says_which_one_it_is() {
    for number in [0, 1, 96, 97, 123_456] {
        let message = message(number);
        assert_eq!(Message::parse(&message.stream.topic_name(), &message.payload()), Some(message));
    }
    assert_eq!(Message::parse("crash/3/1/q2", b"5 0 ."), None, "the padding is wrong");
    assert_eq!(Message::parse("other/3/1/q2", &message(5).payload()), None);
}

#[test]
fn streams_are_numbered_without_gaps() {
    let indices: Vec<_> = Stream::all(3).map(Stream::index).collect();
    assert_eq!(indices, (0..12).collect::<Vec<_>>());
}

#[test]
fn messages_in_order_are_in_order() {
    let mut account = Account::default();
    for number in 0..10 {
        let packet_id = 1 + number as u16 % 3;
        assert_eq!(account.on_publish(delivery(number, packet_id)), Ok(Verdict::First));
        account.on_taken(packet_id);
        account.on_released(packet_id);
    }
    assert_eq!(account.received(message(0).stream), 10);
}

#[test]
fn a_gap_is_a_loss() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(delivery(0, 1)), Ok(Verdict::First));
    let lost = Violation::Lost { missing: message(1), instead: Some(message(2)) };
    assert_eq!(account.on_publish(delivery(2, 2)), Err(lost));
}

#[test]
fn a_released_message_that_comes_again_is_doubled() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(delivery(0, 1)), Ok(Verdict::First));
    account.on_taken(1);
    account.on_released(1);
    account.on_connect();
    assert_eq!(account.on_publish(again(0, 1)), Err(Violation::Doubled(message(0))));
}

#[test]
fn a_message_taken_and_not_released_may_come_again() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(delivery(0, 1)), Ok(Verdict::First));
    account.on_taken(1);
    account.on_connect();
    assert_eq!(account.on_publish(again(0, 1)), Ok(Verdict::Again));
}

#[test]
fn a_message_under_a_new_packet_id_is_doubled() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(delivery(0, 1)), Ok(Verdict::First));
    account.on_taken(1);
    account.on_connect();
    assert_eq!(account.on_publish(again(0, 2)), Err(Violation::Doubled(message(0))));
}

#[test]
fn a_packet_id_in_use_is_not_given_to_another_message() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(delivery(0, 1)), Ok(Verdict::First));
    account.on_taken(1);
    let in_use = Violation::PacketIdInUse { packet_id: 1, message: message(1), before: message(0) };
    assert_eq!(account.on_publish(delivery(1, 1)), Err(in_use));
}

#[test]
fn what_is_unacknowledged_comes_again_first_in_order_and_unchanged() {
    let before_crash = || {
        let mut account = Account::default();
        for number in 0..3 {
            assert_eq!(account.on_publish(at_qos1(delivery(number, 7 + number as u16))), Ok(Verdict::First));
        }
        account.on_acknowledged(7);
        account.on_connect();
        account
    };
    let mut account = before_crash();
    // The acknowledgement of the first may be lost with the node.
    assert_eq!(account.on_publish(at_qos1(again(0, 7))), Ok(Verdict::Again));
    assert_eq!(account.on_publish(at_qos1(again(1, 8))), Ok(Verdict::Again));
    assert_eq!(account.on_publish(at_qos1(again(2, 9))), Ok(Verdict::Again));
    assert_eq!(account.on_publish(at_qos1(delivery(3, 10))), Ok(Verdict::First));

    let skipped = Violation::NotAgain { missing: message(1), instead: message(3) };
    assert_eq!(before_crash().on_publish(at_qos1(delivery(3, 10))), Err(skipped));
    let out_of_order = Violation::NotAgain { missing: message(1), instead: message(2) };
    assert_eq!(before_crash().on_publish(at_qos1(again(2, 9))), Err(out_of_order));
    let renamed = Violation::OtherPacketId { message: message(1), before: 8, after: 11 };
    assert_eq!(before_crash().on_publish(at_qos1(again(1, 11))), Err(renamed));
    assert_eq!(before_crash().on_publish(at_qos1(delivery(1, 8))), Err(Violation::WithoutDup(message(1))));
}

#[test]
fn what_comes_again_though_it_was_acknowledged_keeps_its_place() {
    let mut account = Account::default();
    for number in 0..3 {
        assert_eq!(account.on_publish(at_qos1(delivery(number, 7 + number as u16))), Ok(Verdict::First));
    }
    account.on_acknowledged(7);
    // The acknowledgement is lost, twice; the second time the connection ends in the middle.
    for came in [3, 1, 3] {
        account.on_connect();
        for number in 0..came {
            assert_eq!(account.on_publish(at_qos1(again(number, 7 + number as u16))), Ok(Verdict::Again));
        }
    }
}

#[test]
fn nothing_comes_twice_on_one_connection() {
    let mut account = Account::default();
    assert_eq!(account.on_publish(at_qos1(delivery(0, 1))), Ok(Verdict::First));
    account.on_acknowledged(1);
    let twice = Err(Violation::TwiceOnOneConnection(message(0)));
    assert_eq!(account.on_publish(at_qos1(again(0, 1))), twice);
}

#[test]
fn what_a_publisher_sends_again_at_qos_1_may_come_as_a_second_message_in_the_order_of_sending() {
    let stream = Stream { publisher: 0, topic: 0, qos: 1 };
    let sent = |number, connection, packet_id| {
        let message = Message { stream, number, copy: 0 }.sent_on(connection);
        Entry { message, qos: 1, dup: false, packet_id }
    };
    let mut account = Account::default();
    assert_eq!(account.on_publish(sent(0, 1, 1)), Ok(Verdict::First));
    assert_eq!(account.on_publish(sent(1, 1, 2)), Ok(Verdict::First));
    assert_eq!(account.on_publish(sent(0, 2, 3)), Ok(Verdict::Again));
    let old = sent(1, 1, 4);
    assert!(account.clone().on_publish(Entry { packet_id: 2, dup: true, ..old }).is_err(), "again on one connection");
    assert_eq!(account.on_publish(sent(2, 2, 4)), Ok(Verdict::First));
}

#[test]
fn the_members_of_a_group_get_a_message_once_between_them() {
    let group = Group::default();
    let (mut one, mut two) = (Account::of_group(group.clone()), Account::of_group(group));
    assert_eq!(one.on_publish(delivery(1, 1)), Ok(Verdict::First));
    assert_eq!(two.on_publish(delivery(0, 1)), Ok(Verdict::First));
    assert_eq!(two.on_publish(delivery(1, 2)), Err(Violation::Doubled(message(1))));
    assert_eq!(one.missing(message(0).stream), message(2));
}

mod vectors;
mod world;

use sluice_cluster::ClusterId;

use self::world::{Seen, World, identity_of, link_of};
use super::*;

/// What a link said, in words that own what they say.
#[derive(PartialEq, Eq, Debug)]
enum Said {
    Up(bool),
    Received(Option<Receipt>, bool, Vec<u8>),
    Control(Vec<u8>),
    Bulk(Vec<u8>),
    Answered(u64, u32, Outcome),
}

impl Said {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Up { new_life, .. } => Self::Up(new_life),
            Event::Received { receipt, again, frame } => Self::Received(receipt, again, frame.into()),
            Event::Control(frame) => Self::Control(frame.into()),
            Event::Bulk(frame) => Self::Bulk(frame.into()),
            Event::Answered { first, count, outcome } => Self::Answered(first.0, count, outcome),
        }
    }

    fn receipt(&self) -> Option<Receipt> {
        if let Self::Received(receipt, ..) = self { *receipt } else { None }
    }

    fn frame(&self) -> Option<(bool, &[u8])> {
        if let Self::Received(_, again, frame) = self { Some((*again, frame)) } else { None }
    }
}

const MATCHED: Outcome = Outcome { matched: true, refused: None };

fn pair() -> (Link, Link) {
    (link_of(1, 2, 1, LinkLimits::default()), link_of(2, 1, 1, LinkLimits::default()))
}

/// Connects two links; says what `a` heard at once, behind the greeting.
fn connect(a: &mut Link, b: &mut Link, connection: u64) -> Vec<Said> {
    a.connected(Duration::ZERO, connection);
    b.connected(Duration::ZERO, connection);
    let greeting = transfer(a, b, connection);
    assert!(matches!(greeting[..], [Said::Up(_)]), "{greeting:?}");
    let mut said = transfer(b, a, connection);
    assert!(matches!(said.remove(0), Said::Up(_)));
    said
}

/// Brings everything that waits from one link to the other.
fn transfer(from: &mut Link, to: &mut Link, connection: u64) -> Vec<Said> {
    try_transfer(from, to, connection).unwrap()
}

fn try_transfer(from: &mut Link, to: &mut Link, connection: u64) -> Result<Vec<Said>, LinkError> {
    let mut said = Vec::new();
    for lane in Lane::ALL {
        let mut bytes = Vec::new();
        while from.transmit(lane, &mut bytes, 1 << 20) {}
        let taken = to.receive(connection, lane, &bytes, &mut |event| said.push(Said::of(event)))?;
        assert_eq!(taken, bytes.len());
    }
    Ok(said)
}

fn frames(said: &[Said]) -> Vec<(bool, &[u8])> {
    said.iter().filter_map(Said::frame).collect()
}

fn answer_all(link: &mut Link, said: &[Said]) {
    said.iter().filter_map(Said::receipt).for_each(|receipt| link.answer(receipt, MATCHED));
}

#[test]
fn whatever_tears_every_reliable_frame_arrives_once_in_order_and_is_answered_once() {
    let mut seen = Seen::default();
    for seed in 0..2_500 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.connect();
            (0..400).for_each(|_| world.step());
            world.settle();
            world.seen
        });
        let Ok(of) = run else { panic!("seed {seed}") };
        seen.received += of.received;
        seen.again += of.again;
        seen.answered += of.answered;
        seen.lives += of.lives;
        seen.connections += of.connections;
        seen.refused += of.refused;
    }
    let Seen { received, again, answered, lives, connections, refused, .. } = seen;
    let enough = [received > 200_000, again > 1_000, answered > 100_000, refused > 1_000];
    assert_eq!(enough, [true; 4], "{seen:?}");
    assert!(lives > 5_000 && connections > 10_000, "{seen:?}");
}

#[test]
fn outcomes_that_follow_one_another_travel_as_one() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    for n in 0..100u8 {
        assert_eq!(a.send(&[n], true), Sent::Queued(Some(Sequence(u64::from(n) + 1))));
    }
    let said = transfer(&mut a, &mut b, 1);
    assert_eq!(
        frames(&said),
        (0..100u8)
            .map(|n| (false, vec![n]))
            .collect::<Vec<_>>()
            .iter()
            .map(|(again, frame)| (*again, &frame[..]))
            .collect::<Vec<_>>()
    );
    for (n, receipt) in said.iter().filter_map(Said::receipt).enumerate() {
        b.answer(receipt, if n == 40 { Outcome::default() } else { MATCHED });
    }
    let mut bytes = Vec::new();
    b.transmit(Lane::Control, &mut bytes, 1 << 20);
    assert!(bytes.len() < 16, "{bytes:?}");
    let mut said = Vec::new();
    a.receive(1, Lane::Control, &bytes, &mut |event| said.push(Said::of(event))).unwrap();
    let expected =
        [Said::Answered(1, 40, MATCHED), Said::Answered(41, 1, Outcome::default()), Said::Answered(42, 59, MATCHED)];
    assert_eq!(said, expected);
    assert_eq!(a.load(), LinkLoad::default());
}

#[test]
fn a_new_connection_begins_where_the_peer_left_off() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    for n in 0..10u8 {
        a.send(&[n], true);
    }
    let said = transfer(&mut a, &mut b, 1);
    a.send(b"under way", true);
    a.transmit(Lane::Messages, &mut Vec::new(), 1 << 20);
    answer_all(&mut b, &said[..5]);
    b.transmit(Lane::Control, &mut Vec::new(), 1 << 20);
    assert_eq!(connect(&mut a, &mut b, 2), [Said::Answered(1, 5, MATCHED)], "outcomes that were lost");
    assert_eq!(frames(&transfer(&mut a, &mut b, 2)), [(false, &b"under way"[..])]);
    answer_all(&mut b, &said[5..]);
    assert_eq!(transfer(&mut b, &mut a, 2), [Said::Answered(6, 5, MATCHED)]);
    assert_eq!(b.load().duplicates, 0);
}

#[test]
fn a_restarted_peer_gets_again_what_its_earlier_life_may_have_taken() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    for n in 0..3u8 {
        a.send(&[n], true);
    }
    let said = transfer(&mut a, &mut b, 1);
    b.answer(said[1].receipt().unwrap(), MATCHED);
    transfer(&mut b, &mut a, 1);
    assert!(a.disconnected(1));
    a.send(&[3], true);
    let mut b = link_of(2, 1, 2, LinkLimits::default());
    connect(&mut a, &mut b, 2);
    a.send(&[4], true);
    let said = transfer(&mut a, &mut b, 2);
    let expected: [(bool, &[u8]); 4] = [(true, &[0]), (true, &[2]), (false, &[3]), (false, &[4])];
    assert_eq!(frames(&said), expected);
    answer_all(&mut b, &said);
    assert_eq!(transfer(&mut b, &mut a, 2), [Said::Answered(1, 1, MATCHED), Said::Answered(3, 3, MATCHED)]);
}

#[test]
fn an_answer_to_a_life_that_is_over_goes_nowhere() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    a.send(b"old", true);
    let old = transfer(&mut a, &mut b, 1);
    let mut a = link_of(1, 2, 2, LinkLimits::default());
    connect(&mut a, &mut b, 2);
    a.send(b"new", true);
    let new = transfer(&mut a, &mut b, 2);
    answer_all(&mut b, &old);
    assert_eq!(transfer(&mut b, &mut a, 2), []);
    answer_all(&mut b, &new);
    assert_eq!(transfer(&mut b, &mut a, 2), [Said::Answered(1, 1, MATCHED)]);
}

#[test]
fn a_peer_that_was_given_up_is_met_anew() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    for n in 0..3u8 {
        a.send(&[n], true);
    }
    let said = transfer(&mut a, &mut b, 1);
    b.answer(said[1].receipt().unwrap(), MATCHED);
    transfer(&mut b, &mut a, 1);
    assert_eq!(a.into_unanswered().map(|it| it.0).collect::<Vec<_>>(), [1, 3]);
    b.send(b"kept", true);
    let again = Identity { generation: 2, ..identity_of(1, 1) };
    let mut a = Link::new(again, NodeId(2), LinkLimits::default());
    assert_eq!(frames(&connect(&mut a, &mut b, 2)), [(false, &b"kept"[..])]);
    a.send(b"first", true);
    assert_eq!(frames(&transfer(&mut a, &mut b, 2)), [(false, &b"first"[..])], "not taken for a duplicate");
}

#[test]
fn unreliable_frames_keep_their_place_and_are_dropped_with_the_connection() {
    let (mut a, mut b) = pair();
    assert_eq!(a.send(b"down", false), Sent::Refused);
    assert_eq!(a.send(b"1", true), Sent::Queued(Some(Sequence(1))));
    connect(&mut a, &mut b, 1);
    a.send(b"2", false);
    a.send(b"3", true);
    a.send(b"4", false);
    let said = transfer(&mut a, &mut b, 1);
    assert_eq!(frames(&said), [&b"1"[..], b"2", b"3", b"4"].map(|frame| (false, frame)));
    for n in 0..5u8 {
        a.send(&[n], n % 2 == 0);
    }
    let mut torn = Vec::new();
    a.transmit(Lane::Messages, &mut torn, 4);
    assert_eq!(torn.len(), 4, "one frame and a byte of the next");
    connect(&mut a, &mut b, 2);
    assert_eq!(a.load().dropped, 2);
    assert_eq!(frames(&transfer(&mut a, &mut b, 2)), [(false, &[0][..]), (false, &[2]), (false, &[4])]);
}

#[test]
fn a_few_frames_without_an_answer_hold_no_memory_and_nobody_up() {
    let limits = LinkLimits { window_bytes_max: 4 << 20, frame_bytes_max: 1 << 20, ..LinkLimits::default() };
    let (mut a, mut b) = (link_of(1, 2, 1, limits), link_of(2, 1, 1, limits));
    connect(&mut a, &mut b, 1);
    let mut slow = Vec::new();
    for n in 0..400_000u64 {
        assert_ne!(a.send(&[n as u8; 90], true), Sent::Refused, "frame {n}");
        if n % 1_000 != 999 {
            continue;
        }
        let said = transfer(&mut a, &mut b, 1);
        let mut receipts = said.iter().filter_map(Said::receipt);
        slow.extend(receipts.next());
        receipts.for_each(|receipt| b.answer(receipt, MATCHED));
        transfer(&mut b, &mut a, 1);
        assert!(a.kept.memory() < 8 << 20, "{}", a.kept.memory());
        assert!(b.answers.unconfirmed() < 2_000);
    }
    assert_eq!(a.load().unanswered, 400);
    // A new connection, then a new life of the peer: what is late is found in its order.
    connect(&mut a, &mut b, 2);
    assert_eq!(transfer(&mut a, &mut b, 2), []);
    let mut b = link_of(2, 1, 2, limits);
    connect(&mut a, &mut b, 3);
    a.send(&[77; 90], true);
    let said = transfer(&mut a, &mut b, 3);
    assert_eq!(said.len(), 401);
    answer_all(&mut b, &said);
    assert_eq!(transfer(&mut b, &mut a, 3).len(), 401);
    assert_eq!(a.load().unanswered, 0);
}

#[test]
fn unreliable_frames_behind_one_that_waits_for_its_answer_do_not_pile_up() {
    let limits = LinkLimits { window_bytes_max: 1 << 20, frame_bytes_max: 1 << 16, ..LinkLimits::default() };
    let (mut a, mut b) = (link_of(1, 2, 1, limits), link_of(2, 1, 1, limits));
    connect(&mut a, &mut b, 1);
    a.send(b"slow", true);
    for _ in 0..300 {
        (0..50).for_each(|_| assert_ne!(a.send(&[1; 1_000], false), Sent::Refused));
        transfer(&mut a, &mut b, 1);
    }
    assert!(a.kept.memory() < 2 << 20 && a.kept.places() < 300, "{} {}", a.kept.memory(), a.kept.places());
}

#[test]
fn at_the_bounds_frames_are_refused_and_senders_are_held_back_before() {
    let limits = LinkLimits { window_bytes_max: 10_000, frame_bytes_max: 1_000, ..LinkLimits::default() };
    let (mut a, mut b) = (link_of(1, 2, 1, limits), link_of(2, 1, 1, limits));
    assert_eq!(a.send(&[0; 1_001], true), Sent::Refused);
    for n in 0..9 {
        assert_ne!(a.send(&[n; 1_000], true), Sent::Refused);
    }
    assert_eq!(a.send(&[0; 1_000], true), Sent::Refused);
    assert!(!a.wants_pause(), "who knows when the peer comes back");
    connect(&mut a, &mut b, 1);
    assert!(a.wants_pause());
    let said = transfer(&mut a, &mut b, 1);
    assert!(a.wants_pause() && a.send(&[0; 1_000], false) == Sent::Refused, "sent, but without an answer");
    answer_all(&mut b, &said);
    transfer(&mut b, &mut a, 1);
    assert!(!a.wants_pause());

    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    for _ in 0..WINDOW_MAX {
        assert_ne!(a.send(b"", true), Sent::Refused);
    }
    assert_eq!((a.send(b"", true), a.send(b"", false)), (Sent::Refused, Sent::Queued(None)));
    assert!(a.wants_pause());
    let said = transfer(&mut a, &mut b, 1);
    b.answer(said[7].receipt().unwrap(), MATCHED);
    transfer(&mut b, &mut a, 1);
    assert_eq!(a.send(b"", true), Sent::Queued(Some(Sequence(WINDOW_MAX as u64 + 1))));
}

#[test]
fn what_is_not_numbered_is_bounded_and_lost_with_the_connection() {
    let limits =
        LinkLimits { bulk_bytes_max: 3_000, control_bytes_max: 2_000, frame_bytes_max: 1_000, ..LinkLimits::default() };
    let (mut a, mut b) = (link_of(1, 2, 1, limits), link_of(2, 1, 1, limits));
    assert_eq!((a.send_control(b"x"), a.send_bulk(b"x")), (Sent::Refused, Sent::Refused));
    connect(&mut a, &mut b, 1);
    let page = [5; 990];
    assert_eq!([0; 4].map(|_| a.send_bulk(&page) == Sent::Refused), [false, false, false, true]);
    assert_eq!([0; 3].map(|_| a.send_control(&page) == Sent::Refused), [false, false, true]);
    let said = transfer(&mut a, &mut b, 1);
    assert!(said[..2].iter().all(|said| *said == Said::Control(page.into())) && said.len() == 5);
    assert!(said[2..].iter().all(|said| *said == Said::Bulk(page.into())));
    a.send_bulk(&page);
    a.send_control(&page);
    connect(&mut a, &mut b, 2);
    assert_eq!(transfer(&mut a, &mut b, 2), []);
}

#[test]
fn a_frame_that_the_peer_does_not_take_is_refused_instead_of_breaking_the_link() {
    let small = LinkLimits { frame_bytes_max: 100, ..LinkLimits::default() };
    let (mut a, mut b) = (link_of(1, 2, 1, LinkLimits::default()), link_of(2, 1, 1, small));
    a.send(&[0; 100], true);
    a.send(&[1; 101], true);
    a.send(&[2; 50], true);
    a.connected(Duration::ZERO, 1);
    b.connected(Duration::ZERO, 1);
    let too_large = Outcome { matched: false, refused: Some(ReasonCode::PacketTooLarge) };
    assert_eq!(transfer(&mut b, &mut a, 1), [Said::Up(true), Said::Answered(2, 1, too_large)]);
    assert_eq!(frames(&transfer(&mut a, &mut b, 1)), [(false, &[0; 100][..]), (false, &[2; 50])]);
    assert_eq!(a.send(&[0; 101], true), Sent::Refused);
}

#[test]
fn neighbouring_versions_speak_the_older_and_strangers_do_not_speak() {
    let greet = |ours: Versions, theirs: Versions| {
        let link = |node, peer, versions| {
            let me = Identity { versions, ..identity_of(node, 1) };
            let mut link = Link::new(me, NodeId(peer), LinkLimits::default());
            link.connected(Duration::ZERO, 1);
            link
        };
        let (mut a, mut b) = (link(1, 2, ours), link(2, 1, theirs));
        try_transfer(&mut a, &mut b, 1).map(|_| b.protocol())
    };
    let of = |min, max| Versions { min, max };
    assert_eq!(greet(of(1, 1), of(1, 2)), Ok(Some(1)));
    assert_eq!(greet(of(2, 3), of(1, 2)), Ok(Some(2)));
    assert_eq!(greet(of(1, 3), of(1, 5)), Ok(Some(3)));
    assert_eq!(greet(of(3, 4), of(1, 2)), Err(LinkError::Version { theirs: of(3, 4), ours: of(1, 2) }));
}

#[test]
fn a_peer_that_is_not_who_it_should_be_is_refused() {
    let hear = |me: Identity, known: Option<u64>| {
        let mut a = Link::new(me, NodeId(2), LinkLimits::default());
        let mut b = link_of(2, 1, 1, LinkLimits::default());
        if let Some(incarnation) = known {
            let mut before = link_of(1, 2, incarnation, LinkLimits::default());
            connect(&mut before, &mut b, 1);
        }
        a.connected(Duration::ZERO, 2);
        b.connected(Duration::ZERO, 2);
        try_transfer(&mut a, &mut b, 2)
    };
    let me = identity_of(1, 5);
    assert_eq!(hear(me.clone(), Some(4)), Ok(vec![Said::Up(true)]));
    assert_eq!(hear(me.clone(), Some(6)), Err(LinkError::EarlierLife));
    let cluster = ClusterId(10);
    assert_eq!(hear(Identity { cluster, ..me.clone() }, None), Err(LinkError::Cluster { cluster }));
    let node = NodeId(3);
    assert_eq!(hear(Identity { node, ..me }, None), Err(LinkError::Node { node }));
}

#[test]
fn a_peer_that_says_nothing_is_left() {
    let (mut a, mut b) = pair();
    assert_eq!(a.poll_timeout(), None);
    a.connected(Duration::from_secs(1), 1);
    let due = a.poll_timeout().unwrap();
    assert_eq!(due, Duration::from_secs(6));
    assert_eq!((a.tick(due - Duration::from_millis(1)), a.tick(due)), (Ok(()), Err(LinkError::Silent)));
    connect(&mut a, &mut b, 2);
    assert_eq!((a.poll_timeout(), a.tick(due)), (None, Ok(())));
}

#[test]
fn the_older_of_two_connections_is_void() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    assert!(a.connected(Duration::ZERO, 2), "it was up");
    assert_eq!(a.receive(1, Lane::Messages, &[], &mut |_| {}), Err(LinkError::Replaced));
    assert!(!a.disconnected(1));
    assert!(!a.disconnected(2), "it was not up yet");
}

/// Feeds bytes to a link that knows its peer and has sent two frames.
fn feed(lane: Lane, bytes: &[u8]) -> Result<usize, LinkError> {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    a.send(b"1", true);
    a.send(b"2", true);
    transfer(&mut a, &mut b, 1);
    a.receive(1, lane, bytes, &mut |_| {})
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::put(&mut bytes, kind, body);
    bytes
}

#[test]
fn bytes_that_cannot_be_close_the_connection_with_a_plain_reason() {
    let start = |sequence: u64| framed(1, &[&sequence.to_le_bytes()[..], &[0]].concat());
    let malformed = |what| LinkError::Malformed { what };
    let number = |what| LinkError::Number { what };
    let cases: [(Lane, Vec<u8>, LinkError); 20] = [
        (Lane::Messages, vec![0], malformed("a frame without a kind")),
        (Lane::Messages, vec![0x82, 0], malformed("a length")),
        (Lane::Bulk, vec![0x80; 4], malformed("a length")),
        (Lane::Messages, framed(9, b""), LinkError::Kind { kind: 9 }),
        (Lane::Bulk, framed(2, b""), LinkError::Kind { kind: 2 }),
        (Lane::Control, framed(77, b""), LinkError::Kind { kind: 77 }),
        (Lane::Control, framed(1, &hello_body()), LinkError::OutOfPlace { what: "a second Hello" }),
        (Lane::Messages, framed(2, b"x"), LinkError::OutOfPlace { what: "a frame before Start" }),
        (Lane::Messages, start(0), number("frames")),
        (Lane::Messages, start(1 << 48), number("frames")),
        (Lane::Messages, [start(5), framed(2, b""), start(5)].concat(), number("frames")),
        (Lane::Messages, framed(1, &[1]), malformed("Start")),
        (Lane::Messages, framed(1, &[1, 0, 0, 0, 0, 0, 0, 0, 2]), malformed("Start")),
        (Lane::Control, framed(3, &[0; 7]), malformed("Taken")),
        (Lane::Control, framed(3, &1u64.to_le_bytes()), number("outcomes taken")),
        (Lane::Control, framed(2, &[2, 0, 1]), number("outcomes")),
        (Lane::Control, framed(2, &[2, 3, 1]), number("outcomes")),
        (Lane::Control, framed(2, &[0, 1, 1]), number("outcomes")),
        (Lane::Control, framed(2, &[2, 1, 3, 0x10]), malformed("Outcomes")),
        (Lane::Control, framed(2, &[2, 1, 4]), malformed("Outcomes")),
    ];
    for (lane, bytes, error) in cases {
        assert_eq!(feed(lane, &bytes), Err(error), "{lane:?} {bytes:02x?}");
    }
    let long = LinkLimits::default().frame_bytes_max + 1;
    let error = LinkError::TooLong { bytes: long, bytes_max: long - 1 };
    assert_eq!(feed(Lane::Messages, &framed(3, &vec![0; long])[..5]), Err(error), "before it is there");
    assert_eq!(feed(Lane::Control, &framed(2, &[2, 2, 1])), Ok(5), "the two that were sent");
}

fn hello_body() -> Vec<u8> {
    let mut body = Vec::new();
    Hello { identity: identity_of(2, 1), frame_bytes_max: 1, known: None }.encode(&mut body);
    body
}

#[test]
fn hello_may_grow_at_its_end_and_has_to_come_first_and_whole() {
    let greet = |bytes: &[u8]| {
        let mut a = link_of(1, 2, 1, LinkLimits::default());
        a.connected(Duration::ZERO, 1);
        a.receive(1, Lane::Control, bytes, &mut |_| {})
    };
    let body = hello_body();
    assert_eq!(greet(&framed(1, &body)), Ok(body.len() + 2));
    assert_eq!(greet(&framed(1, &[&body[..], b"more"].concat())), Ok(body.len() + 6));
    assert_eq!(greet(&framed(1, &body[..body.len() - 1])), Err(LinkError::Malformed { what: "Hello" }));
    assert_eq!(greet(&framed(4, b"")), Err(LinkError::OutOfPlace { what: "a frame before Hello" }));
    let mut a = link_of(1, 2, 1, LinkLimits::default());
    a.connected(Duration::ZERO, 1);
    assert_eq!(a.receive(1, Lane::Messages, &framed(3, b"early"), &mut |_| {}), Ok(0), "it waits for Hello");
}

#[test]
fn a_peer_that_leaves_its_frames_unanswered_or_answers_unconfirmed_is_cut_off() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    let mut bytes = framed(1, &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
    (0..WINDOW_MAX).for_each(|_| bytes.extend(framed(2, b"")));
    let mut receipts = Vec::new();
    let mut on = |event: Event<'_>| receipts.extend(Said::of(event).receipt());
    assert_eq!(b.receive(1, Lane::Messages, &bytes, &mut on), Ok(bytes.len()));
    let window = LinkError::Window { what: "frames without an answer", max: WINDOW_MAX };
    assert_eq!(b.receive(1, Lane::Messages, &framed(2, b""), &mut |_| {}), Err(window));
}

#[test]
fn a_peer_that_confirms_no_outcome_is_cut_off_and_heard_again_on_a_new_connection() {
    let (mut a, mut b) = pair();
    connect(&mut a, &mut b, 1);
    let mut error = None;
    for n in 0..40u64 {
        // Outcomes that alternate make a run each.
        for it in 0..WINDOW_MAX as u64 {
            assert_ne!(a.send(b"", true), Sent::Refused, "{n} {it}");
        }
        let said = transfer(&mut a, &mut b, 1);
        for (at, receipt) in said.iter().filter_map(Said::receipt).enumerate() {
            b.answer(receipt, Outcome { matched: at % 2 == 0, refused: None });
        }
        transfer(&mut b, &mut a, 1);
        // What it confirms is lost on the way.
        a.transmit(Lane::Control, &mut Vec::new(), 1 << 20);
        if let Err(found) = b.receive(1, Lane::Control, &framed(2, &[]), &mut |_| {}) {
            error = Some(found);
            break;
        }
    }
    assert_eq!(error, Some(LinkError::Window { what: "unconfirmed outcomes", max: 16 * WINDOW_MAX }));
    connect(&mut a, &mut b, 2);
    assert_eq!(b.answers.unconfirmed(), 0);
}

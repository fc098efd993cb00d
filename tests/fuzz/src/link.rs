//! What another node may say on a link.

use std::{collections::BTreeSet, time::Duration};

use sluice_cluster::{ClusterId, NodeId, interest::Incarnation};
use sluice_dataplane_core::link::{
    Event, Identity, Lane, Link, LinkError, LinkLimits, Outcome, Receipt, Sequence, Versions, WINDOW_MAX,
};

use crate::cursor::Cursor;

/// First byte odd: the peer has said Hello and was sent three reliable frames. Second byte: how pieces are cut. Then pieces:
/// a lane and bytes for it, or: answer what was received, or: send what waits. Cutting changes neither what is heard nor
/// the error; no outcome is told that nobody waits for, and none twice; what the peer can make the link hold is bounded.
pub fn fuzz_link(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let is_greeted = cursor.byte() % 2 == 1;
    let cut = usize::from(cursor.byte()).max(1);
    let whole = Heard::of(cursor, is_greeted, usize::MAX);
    let cut = Heard::of(cursor, is_greeted, cut);
    assert_eq!(whole.said, cut.said, "where bytes are cut means nothing");
    assert_eq!(whole.error, cut.error, "where bytes are cut means nothing");
}

/// A link that listens, and what it heard.
struct Heard {
    link: Link,
    held: [Vec<u8>; 3],
    said: Vec<String>,
    error: Option<LinkError>,
    to_answer: Vec<Receipt>,
    unknown: BTreeSet<Sequence>,
}

impl Heard {
    fn of(mut cursor: Cursor<'_>, is_greeted: bool, cut: usize) -> Self {
        let mut heard = Self::new(is_greeted);
        while !cursor.is_empty() && heard.error.is_none() {
            match cursor.below(5) {
                3 => heard.answer(),
                4 => heard.transmit(),
                lane => {
                    let lane = Lane::ALL[lane];
                    for piece in cursor.run(255).chunks(cut) {
                        heard.hear(lane, piece);
                    }
                }
            }
            let load = heard.link.load();
            assert!(load.to_answer <= WINDOW_MAX && load.window_bytes <= LIMITS.window_bytes_max);
            assert_eq!(load.unanswered, heard.unknown.len());
        }
        heard
    }

    fn new(is_greeted: bool) -> Self {
        let mut link = link_of(1, 2);
        if is_greeted {
            let mut hello = Vec::new();
            link_of(2, 1).transmit(Lane::Control, &mut hello, 1_000);
            link.receive(1, Lane::Control, &hello, &mut |_| {}).unwrap();
            for _ in 0..3 {
                link.send(b"frame", true);
            }
            link.transmit(Lane::Messages, &mut Vec::new(), 1_000);
        }
        let unknown = (1..=link.load().unanswered as u64).map(Sequence).collect();
        Self { link, held: Default::default(), said: Vec::new(), error: None, to_answer: Vec::new(), unknown }
    }

    fn hear(&mut self, lane: Lane, piece: &[u8]) {
        self.held[lane.index()].extend_from_slice(piece);
        let was_up = self.link.is_up();
        self.offer(lane);
        if self.link.is_up() && !was_up {
            self.offer(Lane::Messages);
            self.offer(Lane::Bulk);
        }
    }

    fn offer(&mut self, lane: Lane) {
        if self.error.is_some() {
            return;
        }
        let Self { link, held, said, error, to_answer, unknown } = self;
        let held = &mut held[lane.index()];
        let taken = link.receive(1, lane, held, &mut |event| {
            said.push(format!("{event:?}"));
            match event {
                Event::Received { receipt, .. } => to_answer.extend(receipt),
                Event::Answered { first, count, .. } => {
                    let mut numbers = first.0..first.0 + u64::from(count);
                    assert!(numbers.all(|number| unknown.remove(&Sequence(number))), "nobody waits for it");
                }
                Event::Up { protocol, .. } => assert!((Versions::THIS.min..=Versions::THIS.max).contains(&protocol)),
                Event::Control(_) | Event::Bulk(_) => {}
            }
        });
        match taken {
            Ok(taken) => drop(held.drain(..taken)),
            Err(found) => *error = Some(found),
        }
    }

    fn answer(&mut self) {
        for receipt in self.to_answer.drain(..) {
            self.link.answer(receipt, Outcome { matched: true, refused: None });
        }
    }

    fn transmit(&mut self) {
        for lane in Lane::ALL {
            let mut bytes = Vec::new();
            while self.link.transmit(lane, &mut bytes, 100) {
                assert!(bytes.len() < 1 << 20, "it never ends");
            }
        }
    }
}

fn link_of(me: u64, peer: u64) -> Link {
    let (cluster, incarnation) = (ClusterId(7), Incarnation(1));
    let me = Identity { cluster, node: NodeId(me), incarnation, generation: 1, versions: Versions::THIS, region: None };
    let mut link = Link::new(me, NodeId(peer), LIMITS);
    link.connected(Duration::ZERO, 1);
    link
}

const LIMITS: LinkLimits = LinkLimits {
    window_bytes_max: 1 << 16,
    bulk_bytes_max: 1 << 16,
    control_bytes_max: 1 << 16,
    frame_bytes_max: 4_000,
    greeting_max: Duration::from_secs(5),
};

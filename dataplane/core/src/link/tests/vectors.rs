//! The vectors of docs/protocol/peer.md.
use sluice_cluster::Label;

use std::fmt::Write as _;

use super::*;
use crate::link::answers::Run;

const PAGE: &str = include_str!("../../../../../docs/protocol/peer.md");

/// The frames that the page shows, by name.
fn frames() -> Vec<(&'static str, Lane, Vec<u8>)> {
    let hello = |known| {
        let identity = Identity { region: Label::parse("eu").ok(), ..identity_of(1, 5) };
        let mut body = Vec::new();
        Hello { identity, frame_bytes_max: 4 << 20, known }.encode(&mut body);
        framed(wire::control::HELLO, &body)
    };
    let life = Life { incarnation: Incarnation(3), generation: 2 };
    let start = |sequence, again| {
        let mut bytes = Vec::new();
        wire::put_start(&mut bytes, sequence, again);
        bytes
    };
    let long = framed(wire::messages::UNRELIABLE, &[b'x'; 200]);
    vec![
        ("hello", Lane::Control, hello(None)),
        ("hello-again", Lane::Control, hello(Some(Known { life, frames: 7, runs: 2 }))),
        ("start", Lane::Messages, start(1, false)),
        ("start-again", Lane::Messages, start(70_000, true)),
        ("reliable", Lane::Messages, framed(wire::messages::RELIABLE, b"abc")),
        ("unreliable", Lane::Messages, framed(wire::messages::UNRELIABLE, b"abc")),
        ("long", Lane::Messages, long[..4].to_vec()),
        ("outcomes", Lane::Control, framed(wire::control::OUTCOMES, &outcomes())),
        ("taken", Lane::Control, framed(wire::control::TAKEN, &3u64.to_le_bytes())),
        ("control", Lane::Control, framed(wire::control::APPLICATION, b"abc")),
        ("bulk", Lane::Bulk, framed(wire::bulk::APPLICATION, b"abc")),
    ]
}

fn runs() -> [Run; 4] {
    let refused = Outcome { matched: false, refused: Some(ReasonCode::QuotaExceeded) };
    [
        Run { first: 1, count: 40, outcome: MATCHED },
        Run { first: 41, count: 1, outcome: Outcome::default() },
        Run { first: 42, count: 59, outcome: MATCHED },
        Run { first: 7, count: 1, outcome: refused },
    ]
}

fn outcomes() -> Vec<u8> {
    let (mut body, mut expected) = (Vec::new(), 0);
    for run in runs() {
        wire::put_run(&mut body, expected, &run);
        expected = run.first + u64::from(run.count);
    }
    body
}

fn shown() -> String {
    let mut text = String::new();
    for (name, _, bytes) in frames() {
        write!(text, "{name}").unwrap();
        bytes.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

#[test]
fn the_page_shows_the_bytes_that_are_sent() {
    let (_, block) = PAGE.split_once("```vectors\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    // A line that ends with a backslash goes on in the next.
    assert_eq!(block.replace("\\\n   ", ""), shown());
}

#[test]
fn the_bytes_of_the_page_are_read_as_what_it_says() {
    for (name, _, bytes) in frames() {
        let split = wire::split(&bytes, 1 << 20).unwrap();
        assert_eq!(split.map(|frame| frame.bytes), (name != "long").then_some(bytes.len()), "{name}");
    }
    let hello = frames().swap_remove(1).2;
    let hello = Hello::decode(&hello[2..]).unwrap();
    assert_eq!(hello.known.map(|known| (known.life.incarnation.0, known.frames, known.runs)), Some((3, 7, 2)));
    let (body, mut expected) = (outcomes(), 0);
    let mut reader = Reader::new(&body);
    for run in runs() {
        assert_eq!(wire::take_run(&mut reader, expected), Ok(run));
        expected = run.first + u64::from(run.count);
    }
    assert!(reader.bytes.is_empty());
}

#[test]
fn distances_between_runs_may_be_as_large_as_numbers_are() {
    for (expected, first) in [(0, 0), (0, 1 << 47), (1 << 47, 1), (5, 4), (u64::from(u32::MAX), 1 << 33)] {
        let run = Run { first, count: u32::MAX, outcome: MATCHED };
        let mut body = Vec::new();
        wire::put_run(&mut body, expected, &run);
        assert_eq!(wire::take_run(&mut Reader::new(&body), expected), Ok(run));
    }
}

use std::fmt::Write as _;

use sluice_mqtt::QoS;

use super::*;
use crate::{copies::Entry, message::MessageRef, peers::put_page_bytes, retained::OnDisk};

const PAGE: &str = include_str!("../../../../../docs/protocol/peer.md");

fn ask(after: Option<&str>) -> Ask<'_> {
    Ask { to: 2, from: 1, sharding: Sharding::new(64, 4), query: 5, life: 1 << 60, version: 6, after }
}

fn answer(page: Option<RegisterPage<'_>>) -> Answer<'_> {
    Answer {
        to: 1,
        from: 2,
        sharding: Sharding::new(64, 4),
        query: 5,
        life: 1 << 60,
        version: 7,
        is_caught_up: page.is_some(),
        changes: b"changes",
        page,
    }
}

#[test]
fn frames_are_read_back_and_cut_ones_are_none() {
    let page = RegisterPage { begin: "a", end: "", entries: b"entries" };
    let frames = [
        CopyFrame::Ask(ask(None)),
        CopyFrame::Ask(ask(Some(""))),
        CopyFrame::Answer(answer(None)),
        CopyFrame::Answer(answer(Some(page))),
        CopyFrame::Change { from: 2, life: 3, version: 4, entry: b"entry" },
        CopyFrame::Lost { from: 2 },
    ];
    for frame in frames {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        assert_eq!(CopyFrame::decode(&bytes), Some(frame));
        assert_eq!(CopyFrame::decode(&bytes[..2]), None);
    }
}

#[test]
fn numbers_that_nothing_can_be_divided_by_are_refused() {
    let mut bytes = Vec::new();
    CopyFrame::Ask(ask(None)).encode(&mut bytes);
    for place in [5, 7] {
        let mut broken = bytes.clone();
        broken[place..place + 2].fill(0);
        assert_eq!(CopyFrame::decode(&broken), None);
    }
    bytes[7..9].fill(0xff);
    assert_eq!(CopyFrame::decode(&bytes), None, "more shards than there can be");
}

/// The frames that the page of the protocol shows, by name.
fn shown_frames() -> Vec<(&'static str, Vec<u8>)> {
    let small = Entry::Small(MessageRef {
        topic: "a/b",
        forward: b"",
        payload: b"21",
        qos: QoS::AtLeastOnce,
        retain: true,
        expires_wall_ms: 5_000,
        id: None,
    });
    let large = Entry::Large { topic: "a/c", known: OnDisk { version: 7, len: 70_000, expires_wall_ms: 0 } };
    let bytes_of = |entry: &Entry<'_>| {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        bytes
    };
    let run = |entries: &[Entry<'_>]| {
        let mut run = Vec::new();
        entries.iter().for_each(|entry| put_page_bytes(&mut run, &bytes_of(entry)));
        run
    };
    let (changes, entries, gone) = (run(&[small]), run(&[large]), bytes_of(&Entry::Gone { topic: "a/b" }));
    let page = RegisterPage { begin: "a/b", end: "", entries: &entries };
    let frames = [
        ("ask", CopyFrame::Ask(Ask { version: 0, life: 0, ..ask(Some("")) })),
        ("ask-for-changes", CopyFrame::Ask(ask(None))),
        ("answer", CopyFrame::Answer(Answer { changes: &changes, ..answer(Some(page)) })),
        ("change", CopyFrame::Change { from: 2, life: 1 << 60, version: 8, entry: &gone }),
        ("lost", CopyFrame::Lost { from: 2 }),
    ];
    let encoded = |frame: CopyFrame<'_>| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes
    };
    frames.into_iter().map(|(name, frame)| (name, encoded(frame))).collect()
}

#[test]
fn the_page_shows_the_bytes_that_are_sent() {
    let mut text = String::new();
    for (name, bytes) in shown_frames() {
        write!(text, "{name}").unwrap();
        bytes.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
        text.push('\n');
    }
    let (_, block) = PAGE.split_once("```copies\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    // A line that ends with a backslash goes on in the next.
    assert_eq!(block.replace("\\\n   ", ""), text);
}

//! What those who keep copies of this worker's registers are told: each change when it happens, and on demand what they
//! have missed.

use std::{collections::BTreeSet, ops::ControlFlow};

use sluice_cluster::NodeId;
use sluice_topic::ScanEnd;

use super::Worker;
use crate::{
    Now,
    copies::{ANSWER_BYTES, Answer, Ask, Class, CopyFrame, Entry, RegisterPage},
    peers::{Frame, put_page_bytes},
    retained::Scan,
};

/// Registers and changes that are looked at for one answer, theirs or not.
const VISITS_MAX: usize = 4 * 1024;

/// What was missed, as far as it goes into one answer.
struct Missed {
    changes: Vec<u8>,
    /// The last change that is among them.
    version: u64,
    is_all: bool,
}

impl Worker {
    /// A register of this worker has changed: the other nodes hear of it, behind everything that was said of it before.
    pub(super) fn tell_change(&mut self, topic: &str) {
        if !self.settings.has_gate {
            return;
        }
        let version = self.changes.note(topic);
        let (mut entry, mut frame) = (Vec::new(), Vec::new());
        Entry::of(topic, self.retained.find(topic)).encode(&mut entry);
        CopyFrame::Change { from: self.id.0, life: self.process, version, entry: &entry }.encode(&mut frame);
        self.peers.send(self.gate(), &Frame::Copying { node: NodeId::default(), frame: &frame });
    }

    /// A worker of another node asks for what it has missed.
    pub(super) fn on_ask(&mut self, now: Now, node: NodeId, frame: &[u8]) {
        if self.retained_reads.may_scan() {
            self.answer_ask(now, node, frame);
        } else {
            self.retained_reads.put_off(Scan::Ask { node, frame: frame.into() });
        }
    }

    /// Answers such a question.
    pub(super) fn answer_ask(&mut self, now: Now, node: NodeId, frame: &[u8]) {
        let Some(CopyFrame::Ask(ask)) = CopyFrame::decode(frame) else { return };
        let class = Class { sharding: ask.sharding, worker: ask.from };
        let missed = if ask.life == self.process { self.missed(now, class, ask.version) } else { None };
        let after = if missed.is_some() { ask.after } else { Some("") };
        let missed =
            missed.unwrap_or_else(|| Missed { changes: Vec::new(), version: self.changes.version(), is_all: true });
        let page = after.filter(|_| missed.is_all).map(|after| (after, self.page_for(now, class, after)));
        self.send_copies(
            node,
            &ask,
            &missed,
            page.as_ref().map(|(begin, (end, entries))| RegisterPage { begin, end, entries }),
        );
    }

    fn send_copies(&mut self, node: NodeId, ask: &Ask<'_>, missed: &Missed, page: Option<RegisterPage<'_>>) {
        let answer = Answer {
            to: ask.from,
            from: self.id.0,
            sharding: self.sharding,
            query: ask.query,
            life: self.process,
            version: missed.version,
            is_caught_up: missed.is_all,
            changes: &missed.changes,
            page,
        };
        let mut frame = Vec::new();
        CopyFrame::Answer(answer).encode(&mut frame);
        self.peers.send(self.gate(), &Frame::Copying { node, frame: &frame });
    }

    /// What the registers hold that have changed since a change; `None` when it is not known which those are.
    fn missed(&mut self, now: Now, class: Class, version: u64) -> Option<Missed> {
        let mut missed = Missed { changes: Vec::new(), version, is_all: true };
        let (mut told, mut visits, mut bytes) = (BTreeSet::new(), 0, Vec::new());
        for (version, topic) in self.changes.since(version)? {
            if visits == VISITS_MAX || missed.changes.len() >= ANSWER_BYTES {
                missed.is_all = false;
                break;
            }
            visits += 1;
            missed.version = version;
            if class.has(topic) && told.insert(topic) {
                let held = self.retained.find(topic).filter(|held| !held.is_expired(now.wall_ms));
                bytes.clear();
                Entry::of(topic, held).encode(&mut bytes);
                put_page_bytes(&mut missed.changes, &bytes);
            }
        }
        self.retained_reads.count(visits);
        Some(missed)
    }

    /// What the registers behind a topic hold: up to which topic (empty = to the end), and the entries.
    fn page_for(&mut self, now: Now, class: Class, after: &str) -> (String, Vec<u8>) {
        let (mut entries, mut bytes, mut last, mut visits) = (Vec::new(), Vec::new(), String::new(), 0);
        let begin = Some(after).filter(|after| !after.is_empty());
        let end = self.retained.walk(begin, VISITS_MAX, |topic, held| {
            if entries.len() >= ANSWER_BYTES {
                return ControlFlow::Break(());
            }
            visits += 1;
            if class.has(topic) && !topic.starts_with("$SYS/") && !held.is_expired(now.wall_ms) {
                bytes.clear();
                Entry::of(topic, Some(held)).encode(&mut bytes);
                put_page_bytes(&mut entries, &bytes);
            }
            last.clear();
            last.push_str(topic);
            ControlFlow::Continue(())
        });
        self.retained_reads.count(visits);
        let end = match end {
            ScanEnd::Complete => String::new(),
            ScanEnd::Stopped => last,
            ScanEnd::Paused { after } => after,
        };
        (end, entries)
    }
}

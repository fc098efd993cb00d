//! The copies of one home, and how they come to be what the home has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use bytes::Bytes;
use sluice_cluster::NodeId;
use sluice_topic::{ScanEnd, topic_order};

use super::{Class, Entry, Keeping, RegisterPage, source::Source};
use crate::{
    Key, Op,
    message::Reader,
    peers::take_page_message,
    retained::{Held, Retained},
};

/// Copies that are compared with a page in one go, some 1 ms. The rest of the page is asked for again.
const COMPARED_MAX: usize = 4 * 1024;
/// What a register takes besides its bytes, about.
const REGISTER_BYTES: usize = 64;

/// What a worker keeps of one home.
pub(super) struct OfHome {
    pub(super) registers: Retained,
    /// By the number of the home's worker.
    pub(super) sources: BTreeMap<u16, Source>,
    /// Whether there is a link.
    pub(super) is_linked: bool,
    /// The home itself was read while the copies were not current: they may be older than what was shown.
    pub(super) is_hidden: bool,
    /// Whether the copies know more than the store has of it.
    pub(super) is_dirty: bool,
}

/// Puts what a home says into its copies.
pub(super) struct Filling {
    /// The home.
    pub(super) node: NodeId,
    /// Bytes of memory that are left for copies.
    pub(super) room: usize,
    /// What found no room.
    pub(super) left_out: u64,
}

impl OfHome {
    /// Nothing is known.
    pub(super) fn with_seed(seed: u64) -> Self {
        Self {
            registers: Retained::with_seed(seed),
            sources: BTreeMap::new(),
            is_linked: false,
            is_hidden: false,
            is_dirty: false,
        }
    }

    /// Whether all copies are what the home has.
    pub(super) fn is_current(&self) -> bool {
        self.is_linked && self.sources.values().all(Source::is_current)
    }

    /// Questions that have no answer yet.
    pub(super) fn open_questions(&self) -> usize {
        self.sources.values().filter(|source| source.query != 0).count()
    }

    /// Takes a stored copy; `None` if it is none.
    pub(super) fn restore(&mut self, topic: &str, value: &[u8]) -> Option<()> {
        let entry = Entry::decode(value).filter(|entry| entry.topic() == topic)?;
        put(&mut self.registers, &entry);
        Some(())
    }

    /// Takes what was stored of how far the copies go. With another number of workers that means nothing: other topics
    /// fall to this one.
    pub(super) fn restore_position(&mut self, value: &[u8], workers: u16) -> Option<()> {
        let mut reader = Reader::new(value);
        if reader.u16()? != workers {
            return Some(());
        }
        while !reader.bytes.is_empty() {
            let (from, life, version) = (reader.u16()?, reader.u64()?, reader.u64()?);
            self.sources.insert(from, Source { life, version, after: None, ..Source::default() });
        }
        Some(())
    }

    /// Stores how far the copies go. It must not be stored before what it says.
    pub(super) fn store_position(&mut self, node: NodeId, keeping: &mut Keeping<'_>) {
        self.is_dirty = false;
        let mut value = keeping.sharding.workers().to_le_bytes().to_vec();
        for (from, source) in self.sources.iter().filter(|(_, source)| source.after.is_none()) {
            value.extend_from_slice(&from.to_le_bytes());
            value.extend_from_slice(&source.life.to_le_bytes());
            value.extend_from_slice(&source.version.to_le_bytes());
        }
        keeping.ops.push(Op::Put(Key::Copy(keeping.first, node, Box::default()), value.into()));
    }

    /// Nothing is kept of the node any more.
    pub(super) fn forget_position(&self, node: NodeId, keeping: &mut Keeping<'_>) {
        keeping.ops.push(Op::Drop(Key::Copy(keeping.first, node, Box::default())));
    }

    /// Empties a register.
    pub(super) fn remove(&mut self, node: NodeId, topic: &str, keeping: &mut Keeping<'_>) {
        if self.registers.clear(topic) {
            keeping.ops.push(Op::Drop(Key::Copy(keeping.sharding.of_topic(topic), node, topic.into())));
        }
    }

    /// Whether a register holds this.
    fn holds(&self, entry: &Entry<'_>) -> bool {
        match (entry, self.registers.find(entry.topic())) {
            (Entry::Small(message), Some(Held::Here(held))) => *message == held,
            (Entry::Large { known, .. }, Some(Held::OnDisk(held))) => *known == held,
            (Entry::Gone { .. }, None) => true,
            (Entry::Small(_) | Entry::Large { .. } | Entry::Gone { .. }, _) => false,
        }
    }
}

impl Filling {
    /// Puts a run of entries into their registers.
    pub(super) fn apply_run(&mut self, home: &mut OfHome, mut entries: &[u8], keeping: &mut Keeping<'_>) {
        while let Some(bytes) = take_page_message(&mut entries) {
            if let Some(entry) = Entry::decode(bytes) {
                self.apply(home, &entry, keeping);
            }
        }
    }

    /// Puts an entry into its register. What finds no room leaves it empty, so that nothing older is shown.
    pub(super) fn apply(&mut self, home: &mut OfHome, entry: &Entry<'_>, keeping: &mut Keeping<'_>) {
        if home.holds(entry) {
            return;
        }
        if matches!(entry, Entry::Gone { .. }) || entry.is_expired(keeping.wall_ms) {
            home.remove(self.node, entry.topic(), keeping);
            return;
        }
        let (mut value, topic) = (Vec::new(), entry.topic());
        entry.encode(&mut value);
        let before = home.registers.memory_bytes();
        let was_held = home.registers.clear(topic);
        self.room += before - home.registers.memory_bytes();
        let key = Key::Copy(keeping.sharding.of_topic(topic), self.node, topic.into());
        if value.len() + REGISTER_BYTES > self.room || !keeping.may_store {
            self.left_out += 1;
            if was_held {
                keeping.ops.push(Op::Drop(key));
            }
            return;
        }
        let before = home.registers.memory_bytes();
        put(&mut home.registers, entry);
        self.room = self.room.saturating_sub(home.registers.memory_bytes() - before);
        keeping.ops.push(Op::Put(key, Bytes::from(value)));
    }

    /// Makes the copies of a part of the order what the home has there. Says up to which topic that is done; `None` = to
    /// the end.
    pub(super) fn apply_page(
        &mut self,
        home: &mut OfHome,
        page: &RegisterPage<'_>,
        class: Class,
        keeping: &mut Keeping<'_>,
    ) -> Option<Box<str>> {
        let ends_behind = |end: &str, topic: &str| end.is_empty() || topic_order(topic, end).is_le();
        let begin = Some(page.begin).filter(|begin| !begin.is_empty());
        let mut kept: Vec<Box<str>> = Vec::new();
        let walked = home.registers.walk(begin, COMPARED_MAX, |topic, _| {
            if !ends_behind(page.end, topic) {
                return ControlFlow::Break(());
            }
            if class.has(topic) {
                kept.push(topic.into());
            }
            ControlFlow::Continue(())
        });
        let end: Box<str> = match walked {
            ScanEnd::Paused { after } => after.into(),
            ScanEnd::Stopped | ScanEnd::Complete => page.end.into(),
        };
        let (mut entries, mut there) = (page.entries, BTreeSet::new());
        while let Some(bytes) = take_page_message(&mut entries) {
            if let Some(entry) = Entry::decode(bytes).filter(|entry| ends_behind(&end, entry.topic())) {
                there.insert(entry.topic());
                self.apply(home, &entry, keeping);
            }
        }
        for topic in kept.iter().filter(|topic| !there.contains(&***topic)) {
            home.remove(self.node, topic, keeping);
        }
        Some(end).filter(|end| !end.is_empty())
    }
}

/// Puts an entry that is not empty into its register.
fn put(registers: &mut Retained, entry: &Entry<'_>) {
    match entry {
        Entry::Gone { .. } => {}
        Entry::Small(message) => registers.set(message),
        Entry::Large { topic, known } => registers.set_known(topic, *known),
    }
}

//! Retained messages whose home is this worker, and the reading of them for new subscriptions.
//!
//! A topic is a register: the last message stored wins, an empty payload empties it (I20). A register holds a small
//! message itself; of a large one it holds what must be known without reading it, and the store has the message.

mod fetch;
mod page;
mod reads;
mod register;

use std::ops::ControlFlow;

use sluice_topic::{ScanEnd, TopicFilter, TopicTree};

pub(crate) use self::{
    fetch::{Arrived, Fetch, Fetches},
    page::Page,
    reads::{Reader, Reads, Scan, Step},
    register::{Held, OnDisk},
};
use crate::message::MessageRef;

/// Topics looked at for one page, matching or not: what a scan such as `+/+/x` may take of a turn, some 0.1 ms.
const VISITS_MAX: usize = 1024;
/// What a search by wildcard counts for at least.
const VISITS_MIN: usize = 32;
/// What a register takes besides its topic and its bytes: its entry, its places in the index and the order.
const REGISTER_BYTES: usize = 64;

/// The registers of a worker.
pub(crate) struct Retained {
    tree: TopicTree<Box<[u8]>>,
    /// Bytes of all messages, in memory or not.
    bytes: usize,
    /// Bytes of the registers themselves, without their topics.
    held_bytes: usize,
    topic_bytes: usize,
    last_version: u32,
}

impl Retained {
    /// No messages; `seed` keys the hashes of topics, which clients choose.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self { tree: TopicTree::with_seed(seed), bytes: 0, held_bytes: 0, topic_bytes: 0, last_version: 0 }
    }

    /// Puts a message into its register, replacing the one before it.
    pub(crate) fn set(&mut self, message: &MessageRef<'_>) {
        self.put(message.topic, &Held::Here(MessageRef { id: None, ..*message }));
    }

    /// As [`Self::set`], for a message that stays in the store.
    pub(crate) fn set_on_disk(&mut self, message: &MessageRef<'_>) {
        self.last_version = self.last_version.wrapping_add(1);
        let len = MessageRef { id: None, ..*message }.encoded_len() as u32;
        let version = self.last_version;
        self.put(message.topic, &Held::OnDisk(OnDisk { version, len, expires_wall_ms: message.expires_wall_ms }));
    }

    /// Puts what is known of a message that another node has into its register.
    pub(crate) fn set_known(&mut self, topic: &str, known: OnDisk) {
        self.put(topic, &Held::OnDisk(known));
    }

    fn put(&mut self, topic: &str, held: &Held<'_>) {
        let register = held.write();
        self.bytes += held.stored_len();
        self.held_bytes += register.len();
        self.topic_bytes += topic.len();
        if let Some(old) = self.tree.insert(topic, register) {
            self.uncount(topic, &old);
        }
    }

    /// Empties a register. Says whether there was anything.
    pub(crate) fn clear(&mut self, topic: &str) -> bool {
        let old = self.tree.remove(topic);
        if let Some(old) = &old {
            self.uncount(topic, old);
        }
        old.is_some()
    }

    fn uncount(&mut self, topic: &str, register: &[u8]) {
        self.bytes -= Held::read(topic, register).map_or(0, |held| held.stored_len());
        self.held_bytes -= register.len();
        self.topic_bytes -= topic.len();
    }

    /// What a register holds.
    pub(crate) fn find<'a>(&'a self, topic: &'a str) -> Option<Held<'a>> {
        self.tree.get(topic).and_then(|register| Held::read(topic, register))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Bytes of all messages as they are stored, in memory or not.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory they take, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.held_bytes + self.topic_bytes + self.len() * REGISTER_BYTES
    }

    /// The next messages that match and have not expired, in a stable order, from behind a topic on. Looks at a bounded
    /// number of topics: a page may be empty though more follow.
    pub(crate) fn page(&self, filter: &TopicFilter, after: Option<&str>, wall_ms: u64) -> Page {
        self.page_of(filter, after, wall_ms, |_| true)
    }

    /// As [`Self::page`], of those only that are in memory; with how many others were passed over.
    pub(crate) fn small_page(&self, filter: &TopicFilter, after: Option<&str>, wall_ms: u64) -> (Page, u64) {
        let mut passed_over = 0;
        let page = self.page_of(filter, after, wall_ms, |held| {
            let is_here = matches!(held, Held::Here(_));
            passed_over += u64::from(!is_here);
            is_here
        });
        (page, passed_over)
    }

    /// Looks at up to `visits_max` registers behind a topic, whatever their topics are, until `f` breaks.
    pub(crate) fn walk(
        &self,
        after: Option<&str>,
        visits_max: usize,
        mut f: impl FnMut(&str, Held<'_>) -> ControlFlow<()>,
    ) -> ScanEnd {
        self.tree.walk(after, visits_max, |topic, register| match Held::read(topic, register) {
            Some(held) => f(topic, held),
            None => ControlFlow::Continue(()),
        })
    }

    fn page_of(
        &self,
        filter: &TopicFilter,
        after: Option<&str>,
        wall_ms: u64,
        mut is_wanted: impl FnMut(&Held<'_>) -> bool,
    ) -> Page {
        let mut page = Page::default();
        let mut last = String::new();
        let mut matches = 0;
        let end = self.tree.scan_some(filter, after, VISITS_MAX, |topic, register| {
            let held = Held::read(topic, register).filter(|held| !held.is_expired(wall_ms) && is_wanted(held));
            if let Some(held) = held {
                if !page.has_room(held.stored_len()) {
                    return ControlFlow::Break(());
                }
                page.push(topic, &held);
            }
            matches += 1;
            last.clear();
            last.push_str(topic);
            ControlFlow::Continue(())
        });
        page.visits = if filter.is_exact() { 1 } else { matches.max(VISITS_MIN) };
        page.after = match end {
            ScanEnd::Complete => None,
            ScanEnd::Stopped => Some(last.into()),
            ScanEnd::Paused { after } => {
                page.visits = VISITS_MAX;
                Some(after.into())
            }
        };
        page
    }

    /// Looks at up to `visits_max` registers behind a topic and gives the topics of messages that have expired. Returns
    /// where to go on; `None` at the end.
    pub(crate) fn expired(
        &self,
        filter: &TopicFilter,
        after: Option<&str>,
        visits_max: usize,
        wall_ms: u64,
    ) -> (Vec<Box<str>>, Option<Box<str>>) {
        let mut expired = Vec::new();
        let end = self.tree.scan_some(filter, after, visits_max, |topic, register| {
            if Held::read(topic, register).is_some_and(|held| held.is_expired(wall_ms)) {
                expired.push(topic.into());
            }
            ControlFlow::Continue(())
        });
        let next = if let ScanEnd::Paused { after } = end { Some(after.into()) } else { None };
        (expired, next)
    }
}

#[cfg(test)]
mod tests;

//! Large retained messages: out of the store, off the turn, for the pages that have them.

use bytes::Bytes;

use super::Worker;
use crate::{
    Now, Output,
    journal::Waiter,
    retained::{Page, Reader, Step},
};

impl Worker {
    /// Has the store fill a page's gaps, when it is its turn.
    pub(super) fn read_gaps(&mut self, reader: Reader, page: Page) {
        self.retained_reads.push(reader, page);
        self.start_reads();
    }

    /// Reads as many pages as there is room for.
    fn start_reads(&mut self) {
        while let Some(read) = self.retained_reads.next_read() {
            self.read_from_store(read);
        }
    }

    fn read_from_store(&mut self, read: u64) {
        let open = self.journal.open_batch();
        if self.retained_on_disk_batch == open {
            // The store has not been given yet what it might be asked for.
            self.journal.wait(open, Waiter::RetainedRead(read));
        } else {
            self.load_retained(read);
        }
    }

    /// Asks the store for what a page still needs.
    pub(super) fn load_retained(&mut self, read: u64) {
        let topics = self.retained_reads.topics(read);
        let topics = topics.map(|topic| (self.sharding.of_topic(topic), topic.into())).collect();
        self.outputs.push_back(Output::LoadRetained { read, topics });
    }

    /// What was asked for is here.
    pub(super) fn on_loaded_retained(&mut self, now: Now, read: u64, messages: Vec<Option<Bytes>>) {
        match self.retained_reads.answered(read, messages, &self.retained) {
            Step::Again => self.read_from_store(read),
            Step::Whole { reader, messages, after } => self.send_page(now, reader, after.as_deref(), &messages),
        }
        self.start_reads();
    }
}

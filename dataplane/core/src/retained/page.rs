//! A page: some of the messages that match a filter, in the order of their topics.

use bytes::Bytes;

use super::register::{Held, OnDisk};
use crate::peers::{put_page_bytes, put_page_message};

/// Messages of a page.
const MESSAGES_MAX: usize = 512;
/// Bytes of a page. Only a message that is larger by itself, then alone in its page, exceeds it.
const BYTES_MAX: usize = 64 * 1024;

/// Some messages, with a gap for each that has to be read from the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// A run of length-prefixed encodings.
    pub(crate) messages: Vec<u8>,
    /// What is missing among `messages`, in order.
    pub(crate) gaps: Vec<Gap>,
    /// The next page begins behind this topic; `None` = there is none.
    pub(crate) after: Option<Box<str>>,
    /// Topics that were looked at for it, roughly.
    pub(crate) visits: usize,
    count: usize,
    gap_bytes: usize,
}

/// A message that only the store has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Where in the page it belongs.
    at: usize,
    /// Its topic.
    pub(crate) topic: Box<str>,
    /// Which of the topic's messages it is.
    pub(crate) version: u32,
}

impl Page {
    /// Whether a message of this many bytes still fits. The first always does.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.count == 0 || (self.count < MESSAGES_MAX && self.len() + bytes <= BYTES_MAX)
    }

    /// Adds the message of a register.
    pub(super) fn push(&mut self, topic: &str, held: &Held<'_>) {
        self.count += 1;
        match held {
            Held::Here(message) => put_page_message(&mut self.messages, message),
            Held::OnDisk(OnDisk { version, len, .. }) => {
                self.gap_bytes += *len as usize;
                self.gaps.push(Gap { at: self.messages.len(), topic: topic.into(), version: *version });
            }
        }
    }

    /// Messages of the page.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the page once it is whole.
    pub(crate) fn len(&self) -> usize {
        self.messages.len() + self.gap_bytes
    }

    /// The page's messages with all gaps closed: `bodies` has the encoding for each gap, `None` where the message is
    /// gone.
    pub(crate) fn filled(&self, bodies: &[Option<Bytes>]) -> Vec<u8> {
        assert_eq!(bodies.len(), self.gaps.len(), "there is an answer for every gap");
        let mut whole = Vec::with_capacity(self.len() + 4 * self.gaps.len());
        let mut from = 0;
        for (gap, body) in self.gaps.iter().zip(bodies) {
            whole.extend_from_slice(&self.messages[from..gap.at]);
            from = gap.at;
            if let Some(body) = body {
                put_page_bytes(&mut whole, body);
            }
        }
        whole.extend_from_slice(&self.messages[from..]);
        whole
    }
}

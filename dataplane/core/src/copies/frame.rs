//! What the worker that has registers and the worker of another node that keeps copies of them say to each other
//! (`docs/protocol/peer.md`): questions, answers, and changes as they happen. The gates between pass it on.
//!
//! The registers of a worker, as far as they fall to one worker of the other node, are a *stream*. Frames of a stream come
//! in the order in which they were sent, or the end of the stream is said.

use sluice_cluster::{SHARDS_MAX, Sharding};

use crate::message::{Reader, put_blob, put_text};

/// One frame. Numbers of workers count from 0 at their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyFrame<'a> {
    /// Asks for what was missed.
    Ask(Ask<'a>),
    /// Some of it, and changes follow.
    Answer(Answer<'a>),
    /// A register has changed.
    Change {
        /// The worker that has it.
        from: u16,
        /// The life of that worker.
        life: u64,
        /// Counts that worker's changes.
        version: u64,
        /// What the register holds: an [`super::Entry`].
        entry: &'a [u8],
    },
    /// Changes were left out: ask again.
    Lost {
        /// Of which worker.
        from: u16,
    },
}

/// A question of one who keeps copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask<'a> {
    /// The worker that has the registers.
    pub(crate) to: u16,
    /// The worker that keeps copies of those topics that fall to it,
    pub(crate) from: u16,
    /// of so many workers, by so many shards.
    pub(crate) sharding: Sharding,
    /// Names the answer.
    pub(crate) query: u64,
    /// The life that the copies are of; 0 = none.
    pub(crate) life: u64,
    /// The last change of that life that the copies know.
    pub(crate) version: u64,
    /// The copies are whole up to this topic: the registers behind it are wanted. `None` = they are whole.
    pub(crate) after: Option<&'a str>,
}

/// What a question is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// Who has asked.
    pub(crate) to: u16,
    /// Whose registers they are,
    pub(crate) from: u16,
    /// of so many workers, by so many shards.
    pub(crate) sharding: Sharding,
    /// The question.
    pub(crate) query: u64,
    /// The life. If it is not the one that was asked for, what was kept may be of any age.
    pub(crate) life: u64,
    /// With this answer the copies know all changes up to this one.
    pub(crate) version: u64,
    /// Whether that was the last change: those that come follow.
    pub(crate) is_caught_up: bool,
    /// What has changed since the version that was asked for: a run of entries.
    pub(crate) changes: &'a [u8],
    /// All that there is behind one topic and up to another one.
    pub(crate) page: Option<RegisterPage<'a>>,
}

/// All registers behind one topic and up to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegisterPage<'a> {
    /// Behind this topic; empty = from the first on.
    pub(crate) begin: &'a str,
    /// Up to this topic, it included; empty = to the last.
    pub(crate) end: &'a str,
    /// A run of entries, none of them empty.
    pub(crate) entries: &'a [u8],
}

const ASK: u8 = 3;
const ANSWER: u8 = 4;
const CHANGE: u8 = 5;
const LOST: u8 = 6;

const WANTS_PAGE: u8 = 1;
const CAUGHT_UP: u8 = 1;
const HAS_PAGE: u8 = 1 << 1;

impl<'a> CopyFrame<'a> {
    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ask(ask) => {
                out.push(ASK);
                put_workers(out, ask.to, ask.from, ask.sharding);
                put_numbers(out, [ask.query, ask.life, ask.version]);
                out.push(if ask.after.is_some() { WANTS_PAGE } else { 0 });
                put_text(out, ask.after.unwrap_or_default());
            }
            Self::Answer(answer) => {
                out.push(ANSWER);
                put_workers(out, answer.to, answer.from, answer.sharding);
                put_numbers(out, [answer.query, answer.life, answer.version]);
                let has_page = if answer.page.is_some() { HAS_PAGE } else { 0 };
                out.push(has_page | if answer.is_caught_up { CAUGHT_UP } else { 0 });
                put_blob(out, answer.changes);
                if let Some(page) = &answer.page {
                    put_text(out, page.begin);
                    put_text(out, page.end);
                    out.extend_from_slice(page.entries);
                }
            }
            Self::Change { from, life, version, entry } => {
                out.push(CHANGE);
                out.extend_from_slice(&from.to_le_bytes());
                put_numbers(out, [*life, *version]);
                out.extend_from_slice(entry);
            }
            Self::Lost { from } => {
                out.push(LOST);
                out.extend_from_slice(&from.to_le_bytes());
            }
        }
    }

    /// Reads a frame; `None` when the bytes are none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(match reader.u8()? {
            ASK => {
                let (to, from, sharding) = workers(&mut reader)?;
                let [query, life, version] = numbers(&mut reader)?;
                let flags = reader.u8().filter(|flags| flags & !WANTS_PAGE == 0)?;
                let after = reader.text()?;
                let after = (flags & WANTS_PAGE != 0).then_some(after);
                Self::Ask(Ask { to, from, sharding, query, life, version, after })
            }
            ANSWER => {
                let (to, from, sharding) = workers(&mut reader)?;
                let [query, life, version] = numbers(&mut reader)?;
                let flags = reader.u8().filter(|flags| flags & !(CAUGHT_UP | HAS_PAGE) == 0)?;
                let changes = reader.blob()?;
                let page = if flags & HAS_PAGE == 0 {
                    None
                } else {
                    Some(RegisterPage { begin: reader.text()?, end: reader.text()?, entries: reader.bytes })
                };
                let is_caught_up = flags & CAUGHT_UP != 0;
                Self::Answer(Answer { to, from, sharding, query, life, version, is_caught_up, changes, page })
            }
            CHANGE => {
                let from = reader.u16()?;
                let [life, version] = numbers(&mut reader)?;
                Self::Change { from, life, version, entry: reader.bytes }
            }
            LOST => Self::Lost { from: reader.u16()? },
            _ => return None,
        })
    }
}

fn put_workers(out: &mut Vec<u8>, to: u16, from: u16, sharding: Sharding) {
    let numbers = [to, from, sharding.workers(), sharding.shards()];
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn put_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn workers(reader: &mut Reader<'_>) -> Option<(u16, u16, Sharding)> {
    let (to, from, workers, shards) = (reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?);
    let is_sound = workers > 0 && (1..=SHARDS_MAX).contains(&shards);
    is_sound.then(|| (to, from, Sharding::new(shards, workers)))
}

fn numbers<const N: usize>(reader: &mut Reader<'_>) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = reader.u64()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests;

//! Tells a log that a crash cut short from a log that was damaged afterwards.
//!
//! RocksDB replays its log up to the first record that it cannot read and drops the rest without a word. After a loss
//! of power that is right: the rest was never synced. After a flipped bit it would lose what was acknowledged. So every
//! group carries, as data that only the log keeps, the sequence number up to which the log was synced when the group
//! was written. Before the database is opened, the log is read through: a record that is missing although a later one
//! says that it was synced is damage, and the store is not opened.
//!
//! What was synced last has no witness yet; the watching thread writes one within a moment, also when nothing else is
//! written.
//!
//! The format, of which RocksDB promises that newer versions read it: blocks of 32 KiB with fragments of records,
//! `crc32c u32 · length u16 · type u8 · payload`, little-endian; a record is a write batch, `sequence u64 · count u32 ·
//! entries`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rocksdb::WriteBatch as Group;

/// Where the log lacks what was synced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    /// The file that holds the last record that can be read before the gap.
    pub(crate) file: PathBuf,
    /// The first sequence number that is missing.
    pub(crate) missing: u64,
}

/// Puts the witness into a group, before anything else.
pub(crate) fn witness(group: &mut Group, synced: u64) {
    group.put_log_data(synced.to_le_bytes());
}

/// Reads the log of the database in `folder` through.
pub(crate) fn check(folder: &Path) -> io::Result<Option<Damage>> {
    let mut check = Check::default();
    for file in log_files(folder)? {
        check.file(&file)?;
    }
    Ok(check.damage)
}

/// The log files, oldest first.
fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|extension| extension.to_str())) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// How far a check has got.
#[derive(Default)]
struct Check {
    /// The record whose fragments are being read.
    partial: Option<Head>,
    /// The sequence number after the last whole record, and its file.
    next: Option<(u64, PathBuf)>,
    /// A record did not follow the one before it: what is missing, and the file it should be in.
    gap: Option<(u64, PathBuf)>,
    damage: Option<Damage>,
}

impl Check {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        while self.damage.is_none() {
            block.clear();
            if (&mut file).take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
                break;
            }
            let mut rest = &block[..];
            while let Some((fragment, after)) = Fragment::split(rest) {
                self.fragment(fragment, path);
                rest = after;
            }
        }
        // A record never goes on in the next file.
        self.partial = None;
        Ok(())
    }

    fn fragment(&mut self, fragment: Option<Fragment<'_>>, path: &Path) {
        let Some(fragment) = fragment else {
            self.partial = None;
            return;
        };
        match fragment.kind {
            FULL => self.record(&Head::of(fragment.payload), path),
            FIRST => self.partial = Some(Head::of(fragment.payload)),
            MIDDLE | LAST => {
                // Without its beginning it is the rest of something damaged, or torn.
                let Some(mut head) = self.partial.take() else { return };
                head.add(fragment.payload);
                if fragment.kind == LAST {
                    self.record(&head, path);
                } else {
                    self.partial = Some(head);
                }
            }
            _ => {}
        }
    }

    fn record(&mut self, head: &Head, path: &Path) {
        let Some((sequence, count)) = head.sequence_and_count() else { return };
        if let Some((next, file)) = &self.next
            && sequence > *next
            && self.gap.is_none()
        {
            self.gap = Some((*next, file.clone()));
        }
        if let (Some((missing, file)), Some(synced)) = (&self.gap, head.witness())
            && synced >= *missing
        {
            self.damage = Some(Damage { file: file.clone(), missing: *missing });
        }
        self.next = Some((sequence + u64::from(count), path.into()));
    }
}

/// A piece of a record that is as it was written.
struct Fragment<'a> {
    kind: u8,
    payload: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The first fragment of what is left of a block, `None` in its place when it cannot be read, and what follows it;
    /// `None` at the end of the block.
    fn split(block: &'a [u8]) -> Option<(Option<Self>, &'a [u8])> {
        let (header, rest) = block.split_first_chunk::<HEADER_BYTES>()?;
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        // Zeros are what was allocated and not written.
        let Some((payload, after)) = rest.split_at_checked(length).filter(|_| kind != 0) else {
            return Some((None, &[]));
        };
        let crc = crc32c::crc32c(&block[6..HEADER_BYTES + length]);
        // Where the length was spared, what follows is as good as ever.
        let whole = masked(crc) == u32::from_le_bytes([c0, c1, c2, c3]);
        Some((whole.then_some(Self { kind, payload }), after))
    }
}

/// The beginning of a record, as much as tells what it is.
#[derive(Default)]
struct Head {
    bytes: [u8; HEAD_BYTES],
    length: usize,
}

impl Head {
    fn of(payload: &[u8]) -> Self {
        let mut head = Self::default();
        head.add(payload);
        head
    }

    fn add(&mut self, payload: &[u8]) {
        let taken = payload.len().min(HEAD_BYTES - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&payload[..taken]);
        self.length += taken;
    }

    fn sequence_and_count(&self) -> Option<(u64, u32)> {
        let (sequence, rest) = self.bytes[..self.length].split_first_chunk()?;
        let (count, _) = rest.split_first_chunk()?;
        Some((u64::from_le_bytes(*sequence), u32::from_le_bytes(*count)))
    }

    /// Up to where the log was synced when the record was written.
    fn witness(&self) -> Option<u64> {
        let entry = self.bytes[..self.length].get(12..)?;
        let synced = entry.strip_prefix(&[LOG_DATA, 8])?;
        synced.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// RocksDB stores checksums so, because checksums of checksums are weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

const BLOCK_BYTES: usize = 32 << 10;

/// Checksum, length and type of a fragment.
const HEADER_BYTES: usize = 7;

/// Sequence number, count, and an entry of data for the log alone: tag, length, eight bytes.
const HEAD_BYTES: usize = 8 + 4 + 1 + 1 + 8;

/// The tag of data that only the log keeps.
const LOG_DATA: u8 = 3;

// The types of fragments.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

#[cfg(test)]
mod tests;

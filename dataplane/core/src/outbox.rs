//! What waits to be written to one connection.
//!
//! Small packets are copied into one buffer; a large payload that goes to many connections is spliced in by reference.
//! An outbox that was written out gives its buffer back, so that an idle connection owns none.

use std::io::IoSlice;

use bytes::Bytes;

/// Bytes for one connection, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    copied: Vec<u8>,
    /// How much of `copied` is written.
    written: usize,
    /// Payloads to be written before `copied[at..]`, by ascending `at`.
    spliced: Vec<Splice>,
    /// Bytes in `spliced` not written yet.
    spliced_bytes: usize,
}

#[derive(Debug)]
struct Splice {
    at: usize,
    bytes: Bytes,
}

impl Outbox {
    /// Payloads at least this long are shared when they go to several connections; below it a copy is cheaper than the
    /// reference count and the extra I/O slice.
    pub const SHARE_BYTES_MIN: usize = 2048;

    /// Bytes not written yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.copied.len() - self.written + self.spliced_bytes
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer to append encoded packets to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    /// Appends a payload by reference.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.spliced_bytes += bytes.len();
        self.spliced.push(Splice { at: self.copied.len(), bytes });
    }

    /// The bytes to write next, at most `slices.len()` runs of them; says how many runs were filled in.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut from = self.written;
        let mut put = |bytes: &'a [u8]| {
            if !bytes.is_empty() && filled < slices.len() {
                slices[filled] = IoSlice::new(bytes);
                filled += 1;
            }
        };
        for splice in &self.spliced {
            put(&self.copied[from..splice.at]);
            put(&splice.bytes);
            from = splice.at;
        }
        put(&self.copied[from..]);
        filled
    }

    /// The bytes to write next when they are one run, which is the common case.
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        self.spliced.is_empty().then(|| &self.copied[self.written..])
    }

    /// Marks bytes as written.
    ///
    /// # Panics
    /// When told of more bytes than there were.
    pub fn advance(&mut self, mut written: usize) {
        assert!(written <= self.len(), "wrote {written} of {} bytes", self.len());
        let mut done = 0;
        for first in &mut self.spliced {
            let before = (first.at - self.written).min(written);
            let of_splice = first.bytes.len().min(written - before);
            self.written += before;
            written -= before + of_splice;
            self.spliced_bytes -= of_splice;
            if of_splice < first.bytes.len() {
                if of_splice > 0 {
                    first.bytes = first.bytes.slice(of_splice..);
                }
                break;
            }
            done += 1;
        }
        if done == self.spliced.len() {
            self.spliced = Vec::new();
        } else {
            self.spliced.drain(..done);
        }
        self.written += written;
        if self.written == self.copied.len() && self.spliced.is_empty() {
            self.copied.clear();
            self.written = 0;
        }
    }

    /// Takes the emptied buffer away for another connection to use.
    ///
    /// # Panics
    /// When something waits to be written.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        assert!(self.is_empty(), "an outbox that waits keeps its buffer");
        self.written = 0;
        std::mem::take(&mut self.copied)
    }

    /// Gives an outbox without a buffer one to use.
    pub fn lend_buffer(&mut self, buffer: Vec<u8>) {
        debug_assert!(self.copied.capacity() == 0 && buffer.is_empty());
        self.copied = buffer;
    }

    /// Whether the outbox holds a buffer.
    #[must_use]
    pub fn has_buffer(&self) -> bool {
        self.copied.capacity() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let n = outbox.fill(&mut slices);
            let run: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
            let take = run.len().min(step);
            out.extend_from_slice(&run[..take]);
            outbox.advance(take);
        }
        out
    }

    #[test]
    fn copied_and_shared_bytes_come_out_in_order_whatever_the_write_sizes() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            outbox.buffer().extend_from_slice(b"ab");
            outbox.share(Bytes::from_static(b"CDE"));
            outbox.share(Bytes::from_static(b"FG"));
            outbox.buffer().extend_from_slice(b"hij");
            outbox.share(Bytes::from_static(b"K"));
            assert_eq!(outbox.len(), 11);
            assert_eq!(drain(&mut outbox, step), b"abCDEFGhijK");
            assert!(outbox.single().is_some_and(<[u8]>::is_empty));
        }
    }
}

//! Frames of the lane Messages: those that wait to be sent, and the reliable ones until their outcome is known.
//!
//! Encoded frames stand one behind the other in chunks, as they go out, so that sending is copying. A reliable frame is
//! found by its number; its chunk lives until it has been sent and all its reliable frames have an outcome. Frames whose
//! outcome is long in coming move out of the way (`late`), so that a few of them keep no chunks from being freed.

use std::collections::{BTreeMap, VecDeque};

use sluice_mqtt::ReasonCode;

use super::{Event, LinkError, Outcome, Sent, Sequence, WINDOW_MAX, answers::Run, wire};

/// What one side has sent and has to send.
#[derive(Debug)]
pub(super) struct Kept {
    window_bytes_max: usize,
    /// Of a chunk, unless it is for one frame that is longer: small against the window.
    chunk_bytes: usize,
    chunks: VecDeque<Chunk>,
    /// The number of the chunk in front.
    first_chunk: u64,
    spare: Vec<Vec<u8>>,
    /// Bytes of all chunks.
    allocated: usize,
    /// Everything in front of this place was sent, or stands in `entries` or `late` to be sent again.
    cursor: Place,
    /// One for each number from `base`; the first of them has no outcome.
    entries: VecDeque<Entry>,
    base: u64,
    /// Frames without an outcome and with a number below `base`.
    late: BTreeMap<u64, Box<[u8]>>,
    late_bytes: usize,
    unanswered: usize,
    /// Bytes of frames without an outcome.
    reliable_bytes: usize,
    /// Bytes of unreliable frames in chunks that were not sent whole.
    unreliable_bytes: usize,
    /// The highest number of which a byte was given to this life of the peer.
    sent: u64,
    /// The highest number that this life of the peer has taken, as it said itself.
    taken: u64,
    /// Numbers up to this one may have been taken by an earlier life of the peer.
    again: u64,
    /// The next number to be sent again, and the one that is the first to be sent from the chunks.
    resend: u64,
    resend_until: u64,
    /// What the peer takes the next reliable frame for.
    announced: Option<(u64, bool)>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Chunk {
    /// Whole frames; no memory when the chunk is freed.
    bytes: Vec<u8>,
    /// Reliable frames without an outcome.
    live: u32,
    /// Bytes of unreliable frames.
    unreliable: u32,
}

/// A place among all chunks there ever were.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Place {
    chunk: u64,
    offset: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    place: Place,
    /// With its head; 0 = the outcome is known.
    len: u32,
}

impl Kept {
    pub(super) fn new(window_bytes_max: usize) -> Self {
        Self {
            window_bytes_max,
            chunk_bytes: (window_bytes_max / 64).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
            chunks: VecDeque::new(),
            first_chunk: 0,
            spare: Vec::new(),
            allocated: 0,
            cursor: Place::default(),
            entries: VecDeque::new(),
            base: 1,
            late: BTreeMap::new(),
            late_bytes: 0,
            unanswered: 0,
            reliable_bytes: 0,
            unreliable_bytes: 0,
            sent: 0,
            taken: 0,
            again: 0,
            resend: 1,
            resend_until: 1,
            announced: None,
            dropped: 0,
        }
    }

    /// Bytes that wait, or are kept.
    pub(super) fn bytes(&self) -> usize {
        self.reliable_bytes + self.unreliable_bytes
    }

    /// Reliable frames without an outcome.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Unreliable frames that waited in vain.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The numbers of all reliable frames without an outcome, ascending.
    pub(super) fn into_unanswered(self) -> impl Iterator<Item = Sequence> {
        let Self { late, entries, base, .. } = self;
        let recent = (base..).zip(entries).filter(|(_, entry)| entry.len > 0).map(|(sequence, _)| sequence);
        late.into_keys().chain(recent).map(Sequence)
    }

    /// Appends a frame, if there is room.
    #[inline]
    pub(super) fn push(&mut self, frame: &[u8], reliable: bool) -> Sent {
        let framed = wire::framed_len(frame.len());
        if self.bytes() + framed > self.window_bytes_max || reliable && self.unanswered == WINDOW_MAX {
            return Sent::Refused;
        }
        let place = self.room(framed);
        let Some(chunk) = self.chunks.back_mut() else { return Sent::Refused };
        if !reliable {
            wire::put(&mut chunk.bytes, wire::messages::UNRELIABLE, frame);
            chunk.unreliable += framed as u32;
            self.unreliable_bytes += framed;
            return Sent::Queued(None);
        }
        wire::put(&mut chunk.bytes, wire::messages::RELIABLE, frame);
        chunk.live += 1;
        self.reliable_bytes += framed;
        self.unanswered += 1;
        self.entries.push_back(Entry { place, len: framed as u32 });
        let sequence = self.next() - 1;
        if self.entries.len() > WINDOW_MAX {
            self.move_entry();
        }
        Sent::Queued(Some(Sequence(sequence)))
    }

    /// The number of the next reliable frame.
    fn next(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Where a frame of so many bytes will stand.
    #[inline]
    fn room(&mut self, framed: usize) -> Place {
        if self.chunks.back().is_none_or(|chunk| chunk.bytes.capacity() - chunk.bytes.len() < framed) {
            self.add_chunk(framed);
        }
        self.end()
    }

    #[cold]
    fn add_chunk(&mut self, framed: usize) {
        let bytes = if framed <= self.chunk_bytes { self.spare.pop() } else { None };
        let bytes = bytes.unwrap_or_else(|| Vec::with_capacity(self.chunk_bytes.max(framed)));
        self.allocated += bytes.capacity();
        self.chunks.push_back(Chunk { bytes, live: 0, unreliable: 0 });
        let few = 2 * self.window_bytes_max / self.chunk_bytes + 16;
        while (self.allocated + self.late_bytes > self.window_bytes_max / 2 * 3 || self.chunks.len() > few)
            && self.first_chunk < self.cursor.chunk
        {
            self.move_chunk();
        }
    }

    /// The end of the last chunk.
    fn end(&self) -> Place {
        match self.chunks.back() {
            None => Place { chunk: self.first_chunk, offset: 0 },
            Some(last) => {
                let chunk = self.first_chunk + self.chunks.len() as u64 - 1;
                Place { chunk, offset: last.bytes.len() as u32 }
            }
        }
    }

    /// Moves the frames of the chunk in front, which was sent, out of the way.
    fn move_chunk(&mut self) {
        let first = self.first_chunk;
        while self.first_chunk == first && self.entries.front().is_some_and(|entry| entry.place.chunk == first) {
            self.move_entry();
        }
        assert!(self.first_chunk > first, "the chunk in front lives by its frames");
    }

    /// Moves the first frame, which was sent, out of the way.
    fn move_entry(&mut self) {
        let Some(&entry) = self.entries.front() else { return };
        assert!(
            self.base <= self.sent || self.base < self.resend_until,
            "a frame that was not sent is in no one's way"
        );
        let frame: Box<[u8]> = self.encoded(entry).into();
        self.late_bytes += frame.len();
        self.late.insert(self.base, frame);
        self.release(entry.place.chunk);
        self.entries.pop_front();
        self.base += 1;
        self.pop_answered();
    }

    fn encoded(&self, entry: Entry) -> &[u8] {
        let start = entry.place.offset as usize;
        &self.chunks[(entry.place.chunk - self.first_chunk) as usize].bytes[start..start + entry.len as usize]
    }

    /// A reliable frame of a chunk is needed there no more.
    #[inline]
    fn release(&mut self, chunk: u64) {
        let at = (chunk - self.first_chunk) as usize;
        self.chunks[at].live -= 1;
        if self.chunks[at].live == 0 && chunk < self.cursor.chunk {
            self.free(at);
        }
    }

    /// Gives up a chunk that was sent and has no live frame.
    #[cold]
    fn free(&mut self, at: usize) {
        let mut bytes = std::mem::take(&mut self.chunks[at].bytes);
        self.allocated -= bytes.capacity();
        if bytes.capacity() == self.chunk_bytes && self.spare.len() < SPARE_CHUNKS_MAX {
            bytes.clear();
            self.spare.push(bytes);
        }
        while self.first_chunk < self.cursor.chunk && self.chunks.front().is_some_and(|front| front.bytes.is_empty()) {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
    }

    fn pop_answered(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.len == 0) {
            self.entries.pop_front();
            self.base += 1;
        }
    }

    /// The peer says what became of a run of frames: each one that was not known is told once.
    pub(super) fn resolve<'b>(&mut self, run: Run, on: &mut impl FnMut(Event<'b>)) -> Result<(), LinkError> {
        let last = run.first.checked_add(u64::from(run.count)).filter(|_| run.first > 0 && run.count > 0);
        let last = last.map(|behind| behind - 1).filter(|last| *last <= self.sent);
        let last = last.ok_or(LinkError::Number { what: "outcomes" })?;
        self.settle(run.first, last, run.outcome, on);
        Ok(())
    }

    fn settle<'b>(&mut self, first: u64, last: u64, outcome: Outcome, on: &mut impl FnMut(Event<'b>)) {
        let mut told = Told { first: 0, count: 0, outcome };
        while first < self.base
            && let Some((&sequence, _)) = self.late.range(first..=last).next()
        {
            let len = self.late.remove(&sequence).map_or(0, |frame| frame.len());
            self.late_bytes -= len;
            self.reliable_bytes -= len;
            self.unanswered -= 1;
            told.add(sequence, on);
        }
        for sequence in first.max(self.base)..=last {
            let entry = &mut self.entries[(sequence - self.base) as usize];
            let Entry { place, len } = *entry;
            if len > 0 {
                entry.len = 0;
                self.reliable_bytes -= len as usize;
                self.unanswered -= 1;
                self.release(place.chunk);
                told.add(sequence, on);
            }
        }
        told.flush(on);
        self.pop_answered();
    }

    /// The connection is gone: unreliable frames go with it, the others will be sent again by their numbers.
    pub(super) fn disconnected(&mut self) {
        self.dropped += self.waiting_unreliable();
        self.skip_to_end();
        self.announced = None;
    }

    /// Unreliable frames that were not sent whole.
    fn waiting_unreliable(&self) -> u64 {
        let from = (self.cursor.chunk - self.first_chunk) as usize;
        let mut waiting = 0;
        for (at, chunk) in self.chunks.iter().enumerate().skip(from) {
            let sent = if at == from { self.cursor.offset as usize } else { 0 };
            let mut end = 0;
            while let Ok(Some(frame)) = wire::split(&chunk.bytes[end..], usize::MAX - 1) {
                end += frame.bytes;
                waiting += u64::from(frame.kind == wire::messages::UNRELIABLE && end > sent);
            }
        }
        waiting
    }

    /// Leaves all chunks behind: their frames count as sent, or are sent again by their numbers.
    fn skip_to_end(&mut self) {
        self.resend_until = self.next();
        self.unreliable_bytes = 0;
        self.chunks.iter_mut().for_each(|chunk| chunk.unreliable = 0);
        self.cursor = self.end();
        for chunk in self.first_chunk..self.cursor.chunk {
            // Freeing pops chunks in front.
            if let Some(at) = chunk.checked_sub(self.first_chunk).map(|at| at as usize)
                && self.chunks[at].live == 0
                && self.chunks[at].bytes.capacity() > 0
            {
                self.free(at);
            }
        }
    }

    /// The peer begins a new life: what an earlier one was given it may have taken.
    pub(super) fn renew(&mut self) {
        self.again = self.again.max(self.sent);
        self.sent = 0;
        self.taken = 0;
    }

    /// A connection is there, and this life of the peer has taken frames up to a number.
    pub(super) fn resume(&mut self, taken: u64) -> Result<(), LinkError> {
        if taken < self.taken || taken > self.sent {
            return Err(LinkError::Number { what: "frames taken" });
        }
        self.taken = taken;
        self.skip_to_end();
        self.announced = None;
        self.resend = taken + 1;
        Ok(())
    }

    /// Settles frames that wait to be sent again and are longer than the peer takes.
    pub(super) fn refuse_longer<'b>(&mut self, frame_bytes_max: usize, on: &mut impl FnMut(Event<'b>)) {
        let outcome = Outcome { matched: false, refused: Some(ReasonCode::PacketTooLarge) };
        let framed_max = wire::framed_len(frame_bytes_max);
        let mut from = self.resend;
        while let Some((sequence, frame)) = self.unanswered_from(from) {
            let too_long = frame.len() > framed_max;
            if too_long {
                self.settle(sequence, sequence, outcome, on);
            }
            from = sequence + 1;
        }
    }

    /// The first frame without an outcome that has this number or a higher one.
    fn unanswered_from(&self, from: u64) -> Option<(u64, &[u8])> {
        if from < self.base
            && let Some((&sequence, frame)) = self.late.range(from..).next()
        {
            return Some((sequence, frame));
        }
        let from = from.max(self.base);
        let skipped = usize::try_from(from - self.base).ok()?.min(self.entries.len());
        let mut recent = (from..).zip(self.entries.range(skipped..));
        let (sequence, entry) = recent.find(|(_, entry)| entry.len > 0)?;
        Some((sequence, self.encoded(*entry)))
    }

    /// Appends what is ready until `out` has `end` bytes; a frame that is sent again is not cut.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>, end: usize) {
        while self.resend < self.resend_until && out.len() < end {
            self.transmit_again(out);
        }
        if self.resend >= self.resend_until && out.len() < end && self.cursor < self.end() {
            self.transmit_run(out, end);
        }
    }

    fn transmit_again(&mut self, out: &mut Vec<u8>) {
        let until = self.resend_until;
        let found = self.unanswered_from(self.resend).filter(|(sequence, _)| *sequence < until);
        let Some((sequence, frame)) = found else {
            self.resend = until;
            return;
        };
        let start = (sequence, sequence <= self.again);
        if self.announced != Some(start) {
            wire::put_start(out, start.0, start.1);
        }
        out.extend_from_slice(frame);
        self.announced = Some((sequence + 1, start.1));
        self.sent = self.sent.max(sequence);
        self.resend = sequence + 1;
    }

    /// Copies from the chunks. Their reliable frames have the numbers from `resend_until`, one after the other.
    fn transmit_run(&mut self, out: &mut Vec<u8>, end: usize) {
        if self.sent < self.resend_until {
            let start = (self.resend_until, false);
            if self.announced != Some(start) {
                wire::put_start(out, start.0, start.1);
            }
            self.announced = Some(start);
            self.sent = self.sent.max(self.resend_until - 1);
        }
        while out.len() < end {
            let chunk = &self.chunks[(self.cursor.chunk - self.first_chunk) as usize];
            let waiting = &chunk.bytes[self.cursor.offset as usize..];
            let run = &waiting[..waiting.len().min(end - out.len())];
            out.extend_from_slice(run);
            self.cursor.offset += run.len() as u32;
            let whole = run.len() == waiting.len();
            if whole && !self.leave_chunk() {
                break;
            }
        }
        self.count_sent();
    }

    /// The chunk at the cursor was sent whole; goes to the next one, if there is one.
    fn leave_chunk(&mut self) -> bool {
        let at = (self.cursor.chunk - self.first_chunk) as usize;
        let chunk = &mut self.chunks[at];
        self.unreliable_bytes -= chunk.unreliable as usize;
        chunk.unreliable = 0;
        let is_dead = chunk.live == 0;
        if at + 1 == self.chunks.len() {
            return false;
        }
        self.cursor = Place { chunk: self.cursor.chunk + 1, offset: 0 };
        if is_dead {
            self.free(at);
        }
        true
    }

    /// Advances `sent` to the last number in front of the cursor.
    fn count_sent(&mut self) {
        let from = (self.sent + 1).max(self.base);
        let skipped = ((from - self.base) as usize).min(self.entries.len());
        let passed = self.entries.range(skipped..).take_while(|entry| entry.place < self.cursor).count();
        self.sent = self.sent.max(from - 1 + passed as u64);
    }

    /// Chunks, freed ones that stand between others included.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of memory: chunks in use and spare, and frames out of the way.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.allocated + self.late_bytes + self.spare.len() * self.chunk_bytes
    }
}

/// Frames that follow one another, to be told as one run.
struct Told {
    first: u64,
    count: u32,
    outcome: Outcome,
}

impl Told {
    #[inline]
    fn add<'b>(&mut self, sequence: u64, on: &mut impl FnMut(Event<'b>)) {
        if self.first + u64::from(self.count) != sequence {
            self.flush(on);
            self.first = sequence;
        }
        self.count += 1;
    }

    fn flush<'b>(&mut self, on: &mut impl FnMut(Event<'b>)) {
        if self.count > 0 {
            on(Event::Answered { first: Sequence(self.first), count: self.count, outcome: self.outcome });
        }
        self.count = 0;
    }
}

/// What is sent at once when much waits fits a few times.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// A few small frames.
const CHUNK_BYTES_MIN: usize = 1024;
/// Freed chunks that are kept for use.
const SPARE_CHUNKS_MAX: usize = 8;

//! Reads choices off the front of a fuzz input. Where the input has ended every choice is 0, so that any prefix of an
//! input is an input.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        first
    }

    /// One of `n` choices.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// A run of bytes with its length in front, at most `max`.
    pub(crate) fn run(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.bytes.len());
        let (run, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        run
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

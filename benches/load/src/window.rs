//! The closed loop's limit: how many messages of one flow may be on their way at a time.
//!
//! A message counts until *every* subscriber it goes to has received it. With one subscriber a counter is enough;
//! with more, a ring holds for each outstanding message how many copies are still missing.
//!
//! Invariant: `oldest <= next <= oldest + limit` in wrapping order, and only messages in `oldest..next` are
//! outstanding.

/// The window of one flow.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    copies: u32,
    oldest: u32,
    next: u32,
    missing: Vec<u32>,
}

impl Window {
    /// A window of `limit` messages (at least one), each of which arrives `copies` times (at least once).
    pub(crate) fn new(limit: u32, copies: u32) -> Self {
        assert!(limit > 0 && copies > 0, "a window of nothing never opens");
        let missing = if copies > 1 { vec![0; limit as usize] } else { Vec::new() };
        Self { limit, copies, oldest: 0, next: 0, missing }
    }

    /// How many messages may be sent at once.
    pub(crate) fn room(&self) -> u32 {
        self.limit - self.outstanding()
    }

    /// Messages sent and not yet received by all of their subscribers.
    pub(crate) fn outstanding(&self) -> u32 {
        self.next.wrapping_sub(self.oldest)
    }

    /// Takes a place in the window and returns the message's sequence number. Call only with room.
    pub(crate) fn send(&mut self) -> u32 {
        assert!(self.room() > 0, "a message was sent into a full window");
        let sequence = self.next;
        if self.copies > 1 {
            let place = self.place(sequence);
            self.missing[place] = self.copies;
        }
        self.next = self.next.wrapping_add(1);
        sequence
    }

    /// One copy of `sequence` has arrived. Returns whether the window has more room than before. A copy of a
    /// message that is not outstanding (a duplicate, or one that was given up) changes nothing.
    pub(crate) fn deliver(&mut self, sequence: u32) -> bool {
        if self.copies == 1 {
            let open = self.oldest != self.next;
            self.oldest = self.oldest.wrapping_add(u32::from(open));
            return open;
        }
        if sequence.wrapping_sub(self.oldest) >= self.outstanding() {
            return false;
        }
        let place = self.place(sequence);
        self.missing[place] = self.missing[place].saturating_sub(1);
        let before = self.oldest;
        while self.oldest != self.next && self.missing[self.place(self.oldest)] == 0 {
            self.oldest = self.oldest.wrapping_add(1);
        }
        self.oldest != before
    }

    /// Gives up what is outstanding, and returns how many copies never arrived.
    pub(crate) fn give_up(&mut self) -> u64 {
        let lost = if self.copies == 1 {
            u64::from(self.outstanding())
        } else {
            let waiting = (0..self.outstanding()).map(|ahead| self.place(self.oldest.wrapping_add(ahead)));
            waiting.map(|place| u64::from(self.missing[place])).sum()
        };
        self.oldest = self.next;
        lost
    }

    fn place(&self, sequence: u32) -> usize {
        (sequence % self.limit) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_frees_its_place_only_when_every_copy_has_arrived() {
        let mut window = Window::new(2, 3);
        let first = window.send();
        let second = window.send();
        assert_eq!(window.room(), 0);
        assert!(!window.deliver(first));
        assert!(!window.deliver(first));
        for _ in 0..3 {
            assert!(!window.deliver(second), "the window slides in order");
        }
        assert!(window.deliver(first));
        assert_eq!(window.room(), 2);
    }

    #[test]
    fn copies_of_messages_given_up_are_counted_once_and_then_ignored() {
        let mut window = Window::new(4, 2);
        let late = window.send();
        window.send();
        window.deliver(late);
        assert_eq!(window.give_up(), 3);
        assert_eq!(window.room(), 4);
        assert!(!window.deliver(late));
        assert_eq!(window.room(), 4);
    }

    proptest! {
        #[test]
        fn room_is_the_limit_less_what_a_model_holds_outstanding(
            limit in 1u32..8,
            copies in 1u32..4,
            steps in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut window = Window::new(limit, copies);
            let mut model: Vec<(u32, u32)> = Vec::new();
            for step in steps {
                if step % 2 == 0 && window.room() > 0 {
                    model.push((window.send(), copies));
                } else if !model.is_empty() {
                    // A single copy is counted without its number, so the model delivers those in order.
                    let at = if copies == 1 { 0 } else { usize::from(step) % model.len() };
                    model[at].1 = model[at].1.saturating_sub(1);
                    window.deliver(model[at].0);
                    while model.first().is_some_and(|(_, missing)| *missing == 0) {
                        model.remove(0);
                    }
                }
                prop_assert_eq!(window.room(), limit - u32::try_from(model.len()).unwrap());
            }
        }
    }
}

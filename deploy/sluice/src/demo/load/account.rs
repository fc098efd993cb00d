//! The account of every message of the load: what was sent, what was acknowledged, and who has it. It is told what
//! happened and when; it does nothing by itself.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// All messages of all sensors, and all subscribers.
#[derive(Debug)]
pub(crate) struct Account {
    sensors: Vec<Flow>,
    subscribers: u32,
    sent: u64,
    acknowledged: u64,
    refused: u64,
    received: u64,
    doubled: u64,
    written_off: u64,
}

/// The messages of one sensor that are not settled, in order.
#[derive(Debug, Default)]
struct Flow {
    /// The number of the first of them; all before are settled.
    first: u64,
    open: VecDeque<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    state: State,
    /// A bit for each subscriber that has it.
    seen: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Sent,
    Acknowledged(Instant),
    /// The node would not have it, and said so: nobody is owed anything.
    Refused,
}

/// The sums at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Messages that were sent at least once.
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// Messages that a node answered with an error.
    pub(crate) refused: u64,
    /// Deliveries, each counted once for each subscriber.
    pub(crate) received: u64,
    /// Deliveries of what was acknowledged that are still missing after a while.
    pub(crate) lost: u64,
    /// The same, but not for long enough to call them lost.
    pub(crate) under_way: u64,
    /// Deliveries beyond the first to a subscriber.
    pub(crate) doubled: u64,
}

impl Account {
    /// `subscribers` of them, at most [`SUBSCRIBERS_MAX`], are owed each message of each sensor.
    ///
    /// # Panics
    /// When there are more.
    pub(crate) fn new(sensors: usize, subscribers: usize) -> Self {
        assert!(subscribers <= SUBSCRIBERS_MAX, "{subscribers} subscribers do not fit");
        Self {
            sensors: (0..sensors).map(|_| Flow::default()).collect(),
            subscribers: u32::try_from(subscribers).unwrap_or(0),
            sent: 0,
            acknowledged: 0,
            refused: 0,
            received: 0,
            doubled: 0,
            written_off: 0,
        }
    }

    /// The number of the next message of a sensor, which is about to be sent.
    pub(crate) fn send(&mut self, sensor: usize) -> u64 {
        self.sent += 1;
        let flow = &mut self.sensors[sensor];
        if flow.open.len() == OPEN_MAX
            && let Some(oldest) = flow.open.pop_front()
        {
            flow.first += 1;
            self.written_off += u64::from(oldest.owed(self.subscribers));
        }
        flow.open.push_back(Message { state: State::Sent, seen: 0 });
        flow.first + flow.open.len() as u64 - 1
    }

    /// A node answered for a message.
    pub(crate) fn answered(&mut self, sensor: usize, number: u64, accepted: bool, now: Instant) {
        let Some(message) = self.sensors[sensor].message(number) else { return };
        match (message.state, accepted) {
            (State::Sent, true) => {
                message.state = State::Acknowledged(now);
                self.acknowledged += 1;
            }
            (State::Sent, false) => {
                message.state = State::Refused;
                self.refused += 1;
            }
            (State::Acknowledged(_) | State::Refused, _) => {}
        }
        self.settle(sensor);
    }

    /// A subscriber has a message.
    pub(crate) fn received(&mut self, subscriber: usize, sensor: usize, number: u64) {
        let bit = 1 << subscriber;
        match self.sensors.get_mut(sensor).and_then(|flow| flow.message(number)) {
            Some(message) if message.seen & bit == 0 => {
                message.seen |= bit;
                self.received += 1;
                self.settle(sensor);
            }
            // What is settled was received by everybody.
            Some(_) | None => self.doubled += 1,
        }
    }

    /// The sums. What was acknowledged longer than `patience` ago and is missing counts as lost; it may still come.
    pub(crate) fn tally(&self, patience: Duration, now: Instant) -> Tally {
        let mut tally = Tally {
            sent: self.sent,
            acknowledged: self.acknowledged,
            refused: self.refused,
            received: self.received,
            lost: self.written_off,
            under_way: 0,
            doubled: self.doubled,
        };
        for message in self.sensors.iter().flat_map(|flow| &flow.open) {
            let owed = u64::from(message.owed(self.subscribers));
            match message.state {
                State::Acknowledged(at) if now.saturating_duration_since(at) >= patience => tally.lost += owed,
                State::Acknowledged(_) => tally.under_way += owed,
                State::Sent | State::Refused => {}
            }
        }
        tally
    }

    /// Whether everything that was sent was answered, and what was acknowledged received.
    pub(crate) fn is_settled(&self) -> bool {
        self.sensors.iter().all(|flow| flow.open.is_empty())
    }

    fn settle(&mut self, sensor: usize) {
        let flow = &mut self.sensors[sensor];
        while flow.open.front().is_some_and(|message| message.is_settled(self.subscribers)) {
            flow.open.pop_front();
            flow.first += 1;
        }
    }
}

impl Flow {
    fn message(&mut self, number: u64) -> Option<&mut Message> {
        self.open.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

impl Message {
    fn is_settled(&self, subscribers: u32) -> bool {
        match self.state {
            State::Sent => false,
            State::Acknowledged(_) => self.owed(subscribers) == 0,
            State::Refused => true,
        }
    }

    /// How many subscribers do not have it and should.
    fn owed(&self, subscribers: u32) -> u32 {
        match self.state {
            State::Acknowledged(_) => subscribers - self.seen.count_ones(),
            State::Sent | State::Refused => 0,
        }
    }
}

/// A bit of a message for each.
pub(crate) const SUBSCRIBERS_MAX: usize = 64;
/// Messages of one sensor that are not settled; the oldest beyond it are written off as lost. About 30 MB for a sensor.
const OPEN_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_message_is_settled_when_it_was_acknowledged_and_everybody_has_it() {
        let now = Instant::now();
        let mut account = Account::new(2, 2);
        assert_eq!((account.send(1), account.send(1), account.send(0)), (0, 1, 0));
        account.answered(1, 0, true, now);
        account.answered(1, 1, true, now);
        account.answered(0, 0, true, now);
        for subscriber in 0..2 {
            account.received(subscriber, 1, 1);
            account.received(subscriber, 0, 0);
        }
        assert!(!account.is_settled(), "the first message of sensor 1 is missing");
        account.received(0, 1, 0);
        let tally = account.tally(PATIENCE, now);
        assert_eq!((tally.received, tally.under_way, tally.lost), (5, 1, 0));
        assert_eq!(account.tally(PATIENCE, now + PATIENCE).lost, 1);
        account.received(1, 1, 0);
        assert!(account.is_settled());
        let all = Tally { sent: 3, acknowledged: 3, received: 6, ..Tally::default() };
        assert_eq!(account.tally(PATIENCE, now + PATIENCE), all, "what comes late is not lost");
    }

    #[test]
    fn a_second_delivery_is_doubled_before_and_after_a_message_is_settled() {
        let mut account = Account::new(1, 1);
        account.send(0);
        account.received(0, 0, 0);
        account.received(0, 0, 0);
        account.answered(0, 0, true, Instant::now());
        assert!(account.is_settled());
        account.received(0, 0, 0);
        let tally = account.tally(PATIENCE, Instant::now());
        assert_eq!((tally.received, tally.doubled), (1, 2));
    }

    #[test]
    fn nobody_is_owed_what_was_refused_or_never_answered() {
        let now = Instant::now();
        let mut account = Account::new(1, 1);
        account.send(0);
        account.send(0);
        account.answered(0, 0, false, now);
        let tally = account.tally(PATIENCE, now + PATIENCE);
        assert_eq!((tally.refused, tally.lost, tally.under_way), (1, 0, 0));
        assert!(!account.is_settled(), "the second may still be acknowledged");
        account.answered(0, 1, true, now);
        account.answered(0, 1, true, now);
        assert_eq!(account.tally(PATIENCE, now + PATIENCE).lost, 1);
        assert_eq!(account.tally(PATIENCE, now + PATIENCE).acknowledged, 1, "an answer counts once");
    }

    #[test]
    fn what_is_open_for_too_long_is_written_off() {
        let now = Instant::now();
        let mut account = Account::new(1, 1);
        account.send(0);
        account.answered(0, 0, true, now);
        for _ in 0..OPEN_MAX {
            account.send(0);
        }
        assert_eq!(account.tally(PATIENCE, now).lost, 1);
    }
}

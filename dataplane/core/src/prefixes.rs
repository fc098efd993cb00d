//! Which parts of the topic space most messages are delivered of, to the sessions of this worker.
//!
//! A message in `EVERY` on average is counted, for all its deliveries and as that many; which ones is left to chance, so
//! that no rhythm of the publishers decides what is seen. It is counted under the first one, two and three levels of its
//! topic, in a sketch each. A message that is not counted costs a subtraction and a comparison.

mod sketch;

use self::sketch::Sketch;
use crate::rng::Rng;

/// A part of the topic space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Busy {
    /// The first levels of its topics, at most [`LEVELS_MAX`], without the separator behind them.
    pub prefix: Box<str>,
    /// Deliveries lately, as far as they are certainly its own: those of the last minute count whole, those of the minute
    /// before half, and so on.
    pub deliveries: u64,
}

/// Most levels of a prefix.
pub const LEVELS_MAX: usize = 3;

/// The sketches of a worker.
pub(crate) struct Prefixes {
    /// The message this far ahead is counted.
    left: u32,
    rng: Rng,
    /// By number of levels, from one.
    levels: [Sketch; LEVELS_MAX],
    halved_ms: u64,
}

impl Prefixes {
    /// Nothing was counted yet.
    pub(crate) fn new(seed: u64) -> Self {
        let levels = NAMES_MAX.map(|names| Sketch::new(names, seed));
        Self { left: EVERY, rng: Rng::new(seed), levels, halved_ms: 0 }
    }

    /// Looks at a message. Whether it is to be counted.
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Counts the message that is due, with its deliveries, and chooses the next one.
    #[cold]
    pub(crate) fn count(&mut self, topic: &str, deliveries: usize) {
        self.left = 1 + (self.rng.next() % u64::from(2 * EVERY - 1)) as u32;
        // What a broker says of itself stays with it.
        if deliveries == 0 || topic.starts_with('$') {
            return;
        }
        let weight = deliveries as u64 * u64::from(EVERY);
        for (prefix, sketch) in prefixes(topic).zip(&mut self.levels) {
            sketch.add(prefix, weight);
        }
    }

    /// Lets the past weigh less. Call often.
    pub(crate) fn age(&mut self, now_ms: u64) {
        if now_ms >= self.halved_ms + HALF_LIFE_MS {
            self.halved_ms = now_ms;
            self.levels.iter_mut().for_each(Sketch::halve);
        }
    }

    /// What is known of each prefix that is held.
    pub(crate) fn busy(&self) -> Vec<Busy> {
        let all = self.levels.iter().flat_map(Sketch::iter);
        let known = all.filter(|(_, count)| count.least() > 0);
        known.map(|(prefix, count)| Busy { prefix: prefix.into(), deliveries: count.least() }).collect()
    }
}

/// The first level of a topic, the first two, and so on; none that is longer than [`PREFIX_BYTES_MAX`].
fn prefixes(topic: &str) -> impl Iterator<Item = &str> {
    let ends = topic.match_indices('/').map(|(at, _)| at).chain([topic.len()]);
    ends.map(|end| &topic[..end]).take_while(|prefix| prefix.len() <= PREFIX_BYTES_MAX).take(LEVELS_MAX)
}

/// One message of so many is counted.
const EVERY: u32 = 64;

/// Names held of one, two and three levels: some ten times what is worth telling. With their texts at most 100 KiB.
const NAMES_MAX: [usize; LEVELS_MAX] = [64, 256, 256];

/// Longer prefixes are not told apart from what they begin with.
const PREFIX_BYTES_MAX: usize = 128;

/// After so long a delivery counts half.
const HALF_LIFE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(busy: &'a [Busy], prefix: &str) -> Option<&'a Busy> {
        busy.iter().find(|busy| &*busy.prefix == prefix)
    }

    #[test]
    fn a_topic_counts_under_its_first_three_levels() {
        assert_eq!(prefixes("a/b/c/d").collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(prefixes("a").collect::<Vec<_>>(), ["a"]);
        assert_eq!(prefixes("/a").collect::<Vec<_>>(), ["", "/a"]);
        let long = format!("a/{}/c", "x".repeat(PREFIX_BYTES_MAX));
        assert_eq!(prefixes(&long).collect::<Vec<_>>(), ["a"]);
    }

    /// Counts messages that come in a rhythm which a fixed stride would follow.
    fn counted(seed: u64, messages: usize) -> (u64, u64) {
        let mut prefixes = Prefixes::new(seed);
        for nth in 0..messages {
            if prefixes.is_due() {
                let (topic, deliveries) = if nth % 64 == 0 { ("rare/x", 8) } else { ("often/x", 2) };
                prefixes.count(topic, deliveries);
            }
        }
        let busy = prefixes.busy();
        let of = |prefix| of(&busy, prefix).map_or(0, |busy| busy.deliveries);
        (of("rare"), of("often"))
    }

    #[test]
    fn what_is_counted_is_near_what_was_delivered_whatever_the_rhythm() {
        let messages = 1 << 20;
        let (rare, often) = counted(7, messages);
        let (rare_truth, often_truth) = (messages as u64 / 64 * 8, messages as u64 * 2 / 64 * 63);
        assert!(rare.abs_diff(rare_truth) < rare_truth / 5, "{rare} of {rare_truth}");
        assert!(often.abs_diff(often_truth) < often_truth / 20, "{often} of {often_truth}");
        assert_eq!(counted(7, messages), (rare, often), "the same seed counts the same");
    }

    #[test]
    fn what_nobody_gets_and_what_a_broker_says_of_itself_is_not_counted() {
        let mut prefixes = Prefixes::new(7);
        prefixes.count("a/b", 0);
        prefixes.count("$SYS/broker/uptime", 3);
        assert_eq!(prefixes.busy(), []);
        prefixes.count("a/b", 3);
        assert_eq!(of(&prefixes.busy(), "a/b").map(|busy| busy.deliveries), Some(192));
        prefixes.age(HALF_LIFE_MS - 1);
        assert_eq!(of(&prefixes.busy(), "a").map(|busy| busy.deliveries), Some(192));
        prefixes.age(HALF_LIFE_MS);
        assert_eq!(of(&prefixes.busy(), "a").map(|busy| busy.deliveries), Some(96));
    }

    #[test]
    fn topics_without_end_take_no_more_than_their_place() {
        let mut prefixes = Prefixes::new(7);
        for nth in 0..10_000 {
            prefixes.count(&format!("hot/{}/{nth}", nth % 100_000), 1);
            prefixes.count("hot/1/steady", 1);
        }
        let busy = prefixes.busy();
        assert!(busy.len() <= NAMES_MAX.iter().sum());
        assert_eq!(of(&busy, "hot").map(|busy| busy.deliveries), Some(2 * 10_000 * 64));
        let steady = of(&busy, "hot/1/steady").map(|busy| busy.deliveries);
        assert!(steady >= Some(10_000 * 64 - 64), "{steady:?}");
    }
}

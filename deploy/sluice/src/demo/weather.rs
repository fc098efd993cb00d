//! What lies between the nodes: how long packets take, how many are lost, and where nothing passes. It decides and moves
//! nothing; the relays ask it about each packet.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The whole network of a demo.
#[derive(Debug)]
pub(super) struct Weather {
    /// By the places of two regions, the smaller first.
    between: BTreeMap<(usize, usize), Sky>,
    cuts: Vec<Cut>,
    chance: fastrand::Rng,
}

/// What lies between two regions.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Sky {
    one_way: Duration,
    /// From 0 to 1.
    loss: f64,
}

/// Who sends or receives, and in which region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) party: Party,
    pub(super) region: usize,
}

/// A process of the demo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Party {
    /// By its row in the table.
    Node(usize),
    Control,
}

/// One side of a cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Region(usize),
    Party(Party),
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    sides: (Side, Side),
    /// `None` = until it is healed.
    until: Option<Instant>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It arrives after this time. The time is the same for all packets of a direction, so that order is kept.
    Arrives(Duration),
    /// It is lost.
    Lost,
    /// Nothing passes there.
    Cut,
}

impl Weather {
    /// Calm: nothing takes time and nothing is lost. `seed` decides which packets are lost when some are.
    pub(super) fn calm(seed: u64) -> Self {
        Self { between: BTreeMap::new(), cuts: Vec::new(), chance: fastrand::Rng::with_seed(seed) }
    }

    /// A round trip between two regions (or within one) takes this long, half of it each way.
    pub(super) fn set_rtt(&mut self, regions: (usize, usize), rtt: Duration) {
        self.between.entry(sorted(regions)).or_default().one_way = rtt / 2;
    }

    /// This share of packets is lost in each direction, from 0 to 1.
    pub(super) fn set_loss(&mut self, regions: (usize, usize), loss: f64) {
        self.between.entry(sorted(regions)).or_default().loss = loss;
    }

    /// Nothing passes between the two sides until then, or until [`Self::heal`].
    pub(super) fn cut(&mut self, sides: (Side, Side), until: Option<Instant>) {
        self.cuts.push(Cut { sides, until });
    }

    /// Mends all cuts; says how many there were at `now`.
    pub(super) fn heal(&mut self, now: Instant) -> usize {
        let mended = self.cuts(now).count();
        self.cuts.clear();
        mended
    }

    /// The cuts that hold at `now`, and until when.
    pub(super) fn cuts(&self, now: Instant) -> impl Iterator<Item = ((Side, Side), Option<Instant>)> {
        self.cuts.iter().filter(move |cut| cut.holds(now)).map(|cut| (cut.sides, cut.until))
    }

    /// Whether nothing passes between the two.
    pub(super) fn is_cut(&self, from: Place, to: Place, now: Instant) -> bool {
        let separates = |(a, b): (Side, Side)| a.holds(from) && b.holds(to) || a.holds(to) && b.holds(from);
        self.cuts(now).any(|(sides, _)| separates(sides))
    }

    /// How long a packet takes from one to the other.
    pub(super) fn one_way(&self, from: Place, to: Place) -> Duration {
        self.sky(from, to).one_way
    }

    /// What becomes of one packet that is sent at `now`.
    pub(super) fn fate(&mut self, from: Place, to: Place, now: Instant) -> Fate {
        // Cuts that are over are not looked at for every packet of the rest of the day.
        self.cuts.retain(|cut| cut.holds(now));
        if self.is_cut(from, to, now) {
            return Fate::Cut;
        }
        let sky = self.sky(from, to);
        if sky.loss > 0.0 && self.chance.f64() < sky.loss { Fate::Lost } else { Fate::Arrives(sky.one_way) }
    }

    fn sky(&self, from: Place, to: Place) -> Sky {
        self.between.get(&sorted((from.region, to.region))).copied().unwrap_or_default()
    }
}

impl Cut {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Side {
    fn holds(self, place: Place) -> bool {
        match self {
            Self::Region(region) => place.region == region,
            Self::Party(party) => place.party == party,
        }
    }
}

fn sorted((a, b): (usize, usize)) -> (usize, usize) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn node(nth: usize, region: usize) -> Place {
        Place { party: Party::Node(nth), region }
    }

    #[test]
    fn half_of_a_round_trip_is_spent_each_way_and_none_within_a_region() {
        let mut weather = Weather::calm(0);
        weather.set_rtt((1, 0), Duration::from_millis(80));
        let now = Instant::now();
        let way = Fate::Arrives(Duration::from_millis(40));
        assert_eq!(weather.fate(node(0, 0), node(1, 1), now), way);
        assert_eq!(weather.fate(node(1, 1), node(0, 0), now), way);
        assert_eq!(weather.fate(node(1, 1), node(2, 1), now), Fate::Arrives(Duration::ZERO));
    }

    #[test]
    fn loss_takes_its_share_and_a_seed_repeats_it() {
        let lost = |seed| {
            let mut weather = Weather::calm(seed);
            weather.set_loss((0, 1), 0.1);
            let now = Instant::now();
            (0..10_000).map(|_| weather.fate(node(0, 0), node(1, 1), now) == Fate::Lost).collect::<Vec<_>>()
        };
        let count = lost(7).iter().filter(|lost| **lost).count();
        assert!((800..1200).contains(&count), "{count} of 10,000 at 10 %");
        assert_eq!(lost(7), lost(7));
        assert_ne!(lost(7), lost(8));
    }

    #[test]
    fn a_cut_parts_its_sides_both_ways_and_nobody_else_until_its_time_is_over() {
        let mut weather = Weather::calm(0);
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        weather.cut((Side::Region(0), Side::Party(Party::Node(2))), Some(now + minute));
        assert!(weather.is_cut(node(0, 0), node(2, 1), now));
        assert!(weather.is_cut(node(2, 1), node(1, 0), now));
        assert!(!weather.is_cut(node(0, 0), node(3, 1), now), "another node of the region");
        assert!(!weather.is_cut(node(0, 0), node(1, 0), now), "within the region");
        assert_eq!(weather.fate(node(0, 0), node(2, 1), now), Fate::Cut);
        assert_eq!(weather.fate(node(0, 0), node(2, 1), now + minute), Fate::Arrives(Duration::ZERO));
        assert_eq!(weather.heal(now), 0, "it was over");
    }

    #[test]
    fn healing_mends_every_cut_and_counts_them() {
        let mut weather = Weather::calm(0);
        let now = Instant::now();
        weather.cut((Side::Region(0), Side::Region(1)), None);
        weather.cut((Side::Party(Party::Control), Side::Region(1)), None);
        let control = Place { party: Party::Control, region: 0 };
        assert!(weather.is_cut(node(1, 1), control, now));
        assert_eq!(weather.heal(now), 2);
        assert!(!weather.is_cut(node(1, 1), control, now));
    }
}

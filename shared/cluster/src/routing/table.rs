//! A node's view of who wants what: base ∪ overlay.
//!
//! Invariants: every word that this node has acknowledged to a live owner, and that the owner has not taken back, is in
//! the newest base, in the one carried beside it, or in the overlay; or else its owner is taken to want everything. A base
//! goes only when others have all that it has. `docs/adr/0013-base-and-overlay.md` says why that is enough.

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc, time::Duration};

use sluice_topic::ParsedFilter;

use super::overlay::Overlay;
use super::{BaseTable, Matched, Region, Target};
use crate::interest::{Incarnation, Interest, InterestFrame, InterestLimits, InterestReceiver, InterestSink, Position};
use crate::{NodeId, Version};

/// The routing table of one node.
pub struct RoutingTable {
    me: NodeId,
    home: Region,
    peers: BTreeMap<NodeId, Peer>,
    newest: Option<Arc<BaseTable>>,
    /// An older base that has what the newest lacks, as while a control leader does not know everybody yet.
    carried: Option<Arc<BaseTable>>,
    receiver: InterestReceiver,
    overlay: Overlay,
}

struct Peer {
    region: Region,
    reach: Reach,
}

/// How this node hears of a peer's interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// The peer announces it over a link. Until it has, also while the link is not up yet, it may want everything: it
    /// relies on what an earlier life of this node has acknowledged.
    Direct,
    /// Only bases say it.
    ThroughControl,
}

impl RoutingTable {
    /// Of a node in this life.
    #[must_use]
    pub fn new(me: NodeId, home: Region, incarnation: Incarnation, limits: &InterestLimits) -> Self {
        Self {
            me,
            home,
            peers: BTreeMap::new(),
            newest: None,
            carried: None,
            receiver: InterestReceiver::new(incarnation, limits),
            overlay: Overlay::new(limits.overlay_bytes_max),
        }
    }

    /// A node belongs to the cluster and counts as alive. Until something is known of it, it may want everything.
    pub fn join(&mut self, owner: NodeId, region: &Region, reach: Reach) {
        if owner != self.me {
            self.peers.insert(owner, Peer { region: region.clone(), reach });
        }
    }

    /// The link to a direct peer is up: it is asked for what the bases do not have.
    pub fn linked(&mut self, owner: NodeId, now: Duration) {
        if self.peers.get(&owner).is_some_and(|peer| peer.reach == Reach::Direct) {
            self.receiver.linked(owner, self.covered(owner), now);
        }
    }

    /// A node is gone: what it said is forgotten. Bases may name it until control has noticed too.
    pub fn leave(&mut self, owner: NodeId) {
        self.peers.remove(&owner);
        self.receiver.forget(owner);
        self.overlay.forget(owner);
    }

    /// Takes an owner's frame.
    pub fn handle(&mut self, owner: NodeId, frame: &InterestFrame, now: Duration) {
        self.receiver.handle(owner, frame, &mut self.overlay, now);
    }

    /// The next frame for an owner, to be called when the link has room for one.
    pub fn poll_transmit(&mut self, owner: NodeId, now: Duration) -> Option<InterestFrame> {
        self.receiver.poll_transmit(owner, now)
    }

    /// When to call [`Self::poll_transmit`] for all owners next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.receiver.poll_timeout()
    }

    /// Takes a newer base. What it has leaves the overlay.
    ///
    /// # Errors
    /// It is not newer, or it lacks what more than one earlier base has. Nothing has changed then.
    pub fn install(&mut self, base: Arc<BaseTable>, now: Duration) -> Result<(), InstallError> {
        if let Some(newest) = self.newest.as_ref().filter(|newest| newest.version() >= base.version()) {
            return Err(InstallError::Regressed { held: newest.version() });
        }
        self.carried = self.to_carry(&base)?;
        for (owner, upto) in base.positions() {
            self.overlay.covered(*owner, *upto);
            self.receiver.covered(*owner, *upto, &mut self.overlay);
        }
        self.newest = Some(base);
        self.ask_overflowed(now);
        Ok(())
    }

    /// Finds who wants a topic. `matched` is overwritten.
    pub fn find(&self, topic: &str, matched: &mut Matched) {
        matched.clear();
        self.bases().for_each(|base| base.collect(topic, matched));
        self.overlay.collect(topic, |owner| self.target(owner), matched);
        for owner in self.unknown() {
            self.target(owner).into_iter().for_each(|target| matched.add(&target, true));
        }
        matched.finish(self.me);
    }

    /// Peers that are taken to want everything: not heard yet, or too much to keep.
    pub fn unknown(&self) -> impl Iterator<Item = NodeId> {
        let unheard = self.peers.iter().filter(|(owner, peer)| {
            let heard = match peer.reach {
                Reach::Direct => self.receiver.is_caught_up(**owner),
                Reach::ThroughControl => self.covered(**owner).is_some(),
            };
            !heard
        });
        unheard.map(|(owner, _)| *owner).chain(self.overlay.overflowed().map(|(owner, _)| owner))
    }

    /// The version of the newest base.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.newest.as_ref().map(|base| base.version())
    }

    /// Whether an older base is still needed beside the newest.
    #[must_use]
    pub fn carries_older_base(&self) -> bool {
        self.carried.is_some()
    }

    /// The filters of which peers' words came into the overlay or left it since the last call. Call after every change;
    /// some may stand more than once.
    pub fn take_touched(&mut self) -> Vec<Arc<ParsedFilter>> {
        self.overlay.take_touched()
    }

    /// What each peer has said of a filter, as far as no base has it.
    pub fn words_on(&self, filter: &ParsedFilter) -> impl Iterator<Item = (NodeId, Interest)> {
        self.overlay.words_on(filter)
    }

    /// Where a shared group has members, by bases and overlay. `matched` is overwritten.
    pub fn find_group(&self, filter: &ParsedFilter, matched: &mut Matched) {
        matched.clear();
        self.bases().for_each(|base| base.collect_group(filter, matched));
        self.overlay.collect_group(filter, |owner| self.target(owner), matched);
        matched.finish(self.me);
    }

    /// The shared groups that the bases in use name; some may stand more than once.
    pub fn base_groups(&self) -> impl Iterator<Item = &Arc<ParsedFilter>> {
        self.bases().flat_map(|base| base.group_filters())
    }

    /// How many words of peers no base has yet.
    #[must_use]
    pub fn overlay_len(&self) -> usize {
        self.overlay.len()
    }

    /// The base tables in use: the newest, and one that has what the newest lacks.
    pub fn bases(&self) -> impl Iterator<Item = &Arc<BaseTable>> {
        self.newest.iter().chain(&self.carried)
    }

    fn covered(&self, owner: NodeId) -> Option<Position> {
        self.bases().filter_map(|base| base.positions().get(&owner)).max().copied()
    }

    fn target(&self, owner: NodeId) -> Option<Target> {
        let region = &self.peers.get(&owner)?.region;
        Some(if *region == self.home { Target::Node(owner) } else { Target::Region(region.clone()) })
    }

    /// Which earlier base has to stay beside a new one.
    fn to_carry(&self, base: &Arc<BaseTable>) -> Result<Option<Arc<BaseTable>>, InstallError> {
        let lacking: Vec<&Arc<BaseTable>> = self.bases().filter(|old| self.lost(old, &[base]).is_some()).collect();
        match lacking[..] {
            [] => Ok(None),
            [old] => Ok(Some(old.clone())),
            [newest, oldest, ..] => {
                let Some(node) = self.lost(oldest, &[base, newest]) else { return Ok(Some(newest.clone())) };
                let stays = self.lost(newest, &[base, oldest]).is_none();
                if stays { Ok(Some(oldest.clone())) } else { Err(InstallError::Lacks { node }) }
            }
        }
    }

    /// A live owner of whom `old` has more than all of `others`.
    fn lost(&self, old: &BaseTable, others: &[&Arc<BaseTable>]) -> Option<NodeId> {
        let has = |owner: &NodeId, upto: &Position| {
            others.iter().any(|other| other.positions().get(owner).is_some_and(|other| other >= upto))
        };
        let live = old.positions().iter().filter(|(owner, _)| self.peers.contains_key(owner));
        live.into_iter().find(|(owner, upto)| !has(owner, upto)).map(|(owner, _)| *owner)
    }

    /// A new base may leave so few words that an overflowed owner's fit: it is asked for them.
    fn ask_overflowed(&mut self, now: Duration) {
        let overflowed: Vec<NodeId> = self.overlay.overflowed().map(|(owner, _)| owner).collect();
        for owner in overflowed {
            if let Some(upto) = self.covered(owner) {
                self.overlay.begins(owner);
                self.receiver.rewind(owner, upto, now);
            }
        }
    }
}

impl fmt::Debug for RoutingTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutingTable")
            .field("me", &self.me)
            .field("newest", &self.newest)
            .field("carried", &self.carried)
            .field("overlay", &self.overlay.len())
            .finish_non_exhaustive()
    }
}

/// Why a base is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstallError {
    /// It is not newer than the one held.
    Regressed {
        /// What is held.
        held: Version,
    },
    /// It does not have the interest of a live node that two earlier ones have between them.
    Lacks {
        /// The node.
        node: NodeId,
    },
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regressed { held } => write!(f, "not newer than version {held}"),
            Self::Lacks { node } => write!(f, "lacks interest of live node {node} that earlier tables have"),
        }
    }
}

impl Error for InstallError {}

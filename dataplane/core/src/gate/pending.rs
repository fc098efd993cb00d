//! Answers that are awaited: of peers and of workers, on behalf of a worker or of a peer.

use slab::Slab;
use sluice_cluster::{NodeId, WorkerId};
use sluice_mqtt::ReasonCode;
use sluice_topic::ParsedFilter;

use crate::link::{Outcome, Receipt};

/// Who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A worker, by its ticket.
    Worker(WorkerId, u64),
    /// A peer, by the receipt of its frame.
    Peer(NodeId, Receipt),
}

/// A message for a group, kept until somebody has taken it.
#[derive(Debug)]
pub(super) struct GroupSend {
    /// The group.
    pub(super) filter: ParsedFilter,
    /// The message.
    pub(super) message: Box<[u8]>,
    /// Nodes where nobody took it.
    pub(super) nodes_tried: Vec<NodeId>,
    /// Workers where nobody took it, a bit each.
    pub(super) workers_tried: u64,
    /// Whether it is of this node: it may go to other regions, and its publisher has the name that it has here.
    pub(super) is_of_here: bool,
    /// What had been said of filters when nodes began to be tried.
    pub(super) since: u64,
}

/// What is awaited.
#[derive(Debug)]
pub(super) struct Pending {
    asker: Asker,
    left: u32,
    outcome: Outcome,
    group: Option<Box<GroupSend>>,
}

/// Everything that is awaited, by a number that is free again afterwards.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    all: Slab<Pending>,
}

/// Names something that is awaited: its place and one more, so that 0 is nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PendingId(u32);

impl PendingId {
    /// As the ticket of a frame to a worker.
    pub(super) fn ticket(self) -> u64 {
        u64::from(self.0)
    }

    /// From the ticket of a worker's answer.
    pub(super) fn of_ticket(ticket: u64) -> Option<Self> {
        u32::try_from(ticket).ok().filter(|&number| number > 0).map(Self)
    }

    fn place(self) -> usize {
        self.0 as usize - 1
    }
}

impl Pendings {
    /// Awaits answers for somebody. None is expected yet.
    pub(super) fn open(&mut self, asker: Asker, group: Option<Box<GroupSend>>) -> PendingId {
        let outcome = Outcome { matched: false, refused: None };
        let place = self.all.insert(Pending { asker, left: 0, outcome, group });
        PendingId(place as u32 + 1)
    }

    /// One more answer is expected.
    pub(super) fn expect(&mut self, id: PendingId) {
        if let Some(pending) = self.all.get_mut(id.place()) {
            pending.left += 1;
        }
    }

    /// An answer has come. Whether all have.
    pub(super) fn answered(&mut self, id: PendingId, outcome: Outcome) -> bool {
        let Some(pending) = self.all.get_mut(id.place()) else { return false };
        pending.left = pending.left.saturating_sub(1);
        pending.outcome = merge(pending.outcome, outcome);
        pending.left == 0
    }

    /// Something is known of the outcome that no answer says.
    pub(super) fn note(&mut self, id: PendingId, outcome: Outcome) {
        if let Some(pending) = self.all.get_mut(id.place()) {
            pending.outcome = merge(pending.outcome, outcome);
        }
    }

    /// Whether answers are expected.
    pub(super) fn is_open(&self, id: PendingId) -> bool {
        self.all.get(id.place()).is_some_and(|pending| pending.left > 0)
    }

    /// Whether somebody refused it.
    pub(super) fn is_refused(&self, id: PendingId) -> bool {
        self.all.get(id.place()).is_some_and(|pending| pending.outcome.refused.is_some())
    }

    /// The message of a group that is awaited.
    pub(super) fn group(&self, id: PendingId) -> Option<&GroupSend> {
        self.all.get(id.place())?.group.as_deref()
    }

    /// Who waits.
    pub(super) fn asker(&self, id: PendingId) -> Option<Asker> {
        self.all.get(id.place()).map(|pending| pending.asker)
    }

    /// The message of a group send, taken out to choose again; it is put back by [`Self::keep_group`].
    pub(super) fn take_group(&mut self, id: PendingId) -> Option<(Asker, Box<GroupSend>)> {
        let pending = self.all.get_mut(id.place())?;
        Some((pending.asker, pending.group.take()?))
    }

    /// Keeps the message of a group send for as long as it may have to be sent elsewhere.
    pub(super) fn keep_group(&mut self, id: PendingId, group: Box<GroupSend>) {
        if let Some(pending) = self.all.get_mut(id.place()) {
            pending.group = Some(group);
        }
    }

    /// Forgets it: who waits, and what for an answer it comes to.
    pub(super) fn close(&mut self, id: PendingId) -> Option<(Asker, Outcome)> {
        let pending = self.all.try_remove(id.place())?;
        Some((pending.asker, pending.outcome))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Somebody got it if one did; it was refused if one refused it.
fn merge(a: Outcome, b: Outcome) -> Outcome {
    Outcome { matched: a.matched || b.matched, refused: a.refused.or(b.refused) }
}

/// What a sender hears of a message that could not be delivered for certain.
pub(super) const REFUSED: Outcome = Outcome { matched: true, refused: Some(ReasonCode::QuotaExceeded) };

/// What a sender hears of a message that was taken over.
pub(super) const TAKEN: Outcome = Outcome { matched: true, refused: None };

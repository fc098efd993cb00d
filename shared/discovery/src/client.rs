//! The node's end of the stream: it takes what control pushes, or says why not, and never loses the last good state.
//!
//! ```text
//!              connected               Response, last part
//! Disconnected ─────────► Connected ──────────────────────────► checked ──► applied, ACK
//!      ▲                      │                                    └──────► unchanged, NACK
//!      └── disconnected, Close┘
//! ```
//!
//! What a new state no longer names, or names with another body, stays in effect beside it ([`HeldSet::retired`]) until
//! control says that all types have arrived: make before break.

mod apply;
mod held;
mod saved;

use std::{collections::VecDeque, time::Duration};

use sluice_cluster::{NodeId, Version};

pub use self::apply::{Proposal, Validate};
use self::apply::{Staged, check};
pub use self::held::HeldSet;
pub use self::saved::{Saved, SavedError, SavedType};
use crate::limits::ANSWERS_MAX;
use crate::resource::Name;
use crate::{Answer, CloseReason, Down, Held, Limits, PerType, Refusal, ResourceType, Response, Timing, Up};

/// Names a connection to control; the driver counts them up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(pub u64);

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientOutput {
    /// The tables have changed; they should be saved when convenient.
    Applied(Applied),
    /// What had been retired is gone; the tables should be saved when convenient.
    Settled,
    /// A response was refused: somebody should know.
    Refused {
        /// Its type.
        kind: ResourceType,
        /// Its version.
        version: Version,
        /// Why.
        refusal: Refusal,
    },
    /// The connection is to be closed; another may be opened.
    Close(Session, CloseReason),
}

/// What an accepted response has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The type.
    pub kind: ResourceType,
    /// The version held from here on.
    pub version: Version,
    /// Names with a new body.
    pub upserted: Vec<Name>,
    /// Names that the state no longer has. Their resources are retired until [`ClientOutput::Settled`].
    pub removed: Vec<Name>,
}

/// The state of the node's end. After every call drain [`Self::poll_output`]; [`Self::poll_transmit`] may have frames.
#[derive(Debug)]
pub struct ClientStream {
    node: NodeId,
    limits: Limits,
    timing: Timing,
    types: PerType<HeldSet>,
    link: Option<Link>,
    outputs: VecDeque<ClientOutput>,
}

/// What lives as long as one connection.
#[derive(Debug)]
struct Link {
    session: Session,
    hello: bool,
    answers: VecDeque<Answer>,
    staged: Option<Staged>,
    heartbeats: u64,
    heartbeat_at: Duration,
    heard_at: Duration,
}

impl ClientStream {
    /// A node that holds nothing.
    #[must_use]
    pub fn new(node: NodeId, limits: Limits, timing: Timing) -> Self {
        Self { node, limits, timing, types: PerType::default(), link: None, outputs: VecDeque::new() }
    }

    /// A node that holds what it saved (I27).
    ///
    /// # Errors
    /// What was saved is not what its digests say. An older copy, or [`Self::new`], has to do.
    pub fn restore(node: NodeId, saved: &Saved, limits: Limits, timing: Timing) -> Result<Self, SavedError> {
        let types = saved.load()?;
        Ok(Self { types, ..Self::new(node, limits, timing) })
    }

    /// Everything held, for the disk.
    #[must_use]
    pub fn export(&self) -> Saved {
        Saved::of(&self.types)
    }

    /// What is held of a type.
    #[must_use]
    pub fn held(&self, kind: ResourceType) -> &HeldSet {
        self.types.of(kind)
    }

    /// A connection to control is open. An earlier one is closed.
    pub fn connected(&mut self, session: Session, now: Duration) {
        self.close(CloseReason::Replaced);
        self.link = Some(Link {
            session,
            hello: true,
            answers: VecDeque::new(),
            staged: None,
            heartbeats: 0,
            heartbeat_at: now + self.timing.heartbeat_every,
            heard_at: now,
        });
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, session: Session) {
        self.link.take_if(|link| link.session == session);
    }

    /// Takes a frame of control. One that comes from another connection than the open one is dropped.
    pub fn handle(&mut self, session: Session, frame: Down, validate: &dyn Validate, now: Duration) {
        let Some(link) = self.link.as_mut().filter(|link| link.session == session) else { return };
        link.heard_at = now;
        match frame {
            Down::Response(part) => self.on_part(part, validate),
            Down::Settle { versions } => self.on_settle(&versions),
            Down::Heartbeat { .. } => {}
        }
    }

    /// The next frame for the open connection, to be called when the transport has room for one.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<(Session, Up)> {
        let held = PerType::from_fn(|kind| self.types.of(kind).summary());
        let link = self.link.as_mut()?;
        let frame = if std::mem::take(&mut link.hello) {
            Up::Hello { node: self.node, held }
        } else if let Some(answer) = link.answers.pop_front() {
            Up::Answer(answer)
        } else if now >= link.heartbeat_at {
            link.heartbeat_at = now + self.timing.heartbeat_every;
            link.heartbeats += 1;
            Up::Heartbeat { number: link.heartbeats, held }
        } else {
            return None;
        };
        Some((link.session, frame))
    }

    /// The next thing to do. Poll until `None` after every call.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] and then [`Self::poll_transmit`] next; may change after any call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let link = self.link.as_ref()?;
        Some(link.heartbeat_at.min(link.heard_at + self.timing.silence_max))
    }

    /// Gives the connection up if control has been silent for too long.
    pub fn handle_timeout(&mut self, now: Duration) {
        let silent = |link: &Link| now >= link.heard_at + self.timing.silence_max;
        if self.link.as_ref().is_some_and(silent) {
            self.close(CloseReason::Silence);
        }
    }

    fn on_part(&mut self, part: Response, validate: &dyn Validate) {
        let Some(link) = &mut self.link else { return };
        if link.answers.len() >= ANSWERS_MAX {
            return self.close(CloseReason::Protocol("responses before the answers"));
        }
        let staged = match link.staged.take() {
            None if part.part == 0 => Staged::new(part, &self.limits),
            Some(mut staged) if staged.is_followed_by(&part) => {
                staged.push(part, &self.limits);
                staged
            }
            None | Some(_) => return self.close(CloseReason::Protocol("not the next part")),
        };
        if staged.is_whole() {
            self.on_response(staged, validate);
        } else {
            link.staged = Some(staged);
        }
    }

    fn on_response(&mut self, staged: Staged, validate: &dyn Validate) {
        let (kind, version, nonce) = (staged.kind(), staged.version(), staged.nonce());
        let outcome = check(&self.types, staged, &self.limits, validate).map(|change| {
            let applied = self.types.of_mut(kind).apply(change);
            let news = Applied { kind, version, upserted: applied.0, removed: applied.1 };
            self.outputs.push_back(ClientOutput::Applied(news));
        });
        if let Err(refusal) = &outcome {
            self.types.of_mut(kind).refuse(version, refusal);
            self.outputs.push_back(ClientOutput::Refused { kind, version, refusal: refusal.clone() });
        }
        let held: Held = self.types.of(kind).summary();
        if let Some(link) = &mut self.link {
            link.answers.push_back(Answer { nonce, kind, outcome, held });
        }
    }

    fn on_settle(&mut self, versions: &PerType<Version>) {
        let here = versions.iter().all(|(kind, version)| self.types.of(kind).version() == *version);
        // Control settles what it has seen acknowledged. If something else is held, it is not settled.
        if !here {
            return;
        }
        let had = ResourceType::ALL.into_iter().rev().filter(|kind| self.types.of_mut(*kind).settle()).count();
        if had > 0 {
            self.outputs.push_back(ClientOutput::Settled);
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if let Some(link) = self.link.take() {
            self.outputs.push_back(ClientOutput::Close(link.session, reason));
        }
    }
}

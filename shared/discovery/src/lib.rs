//! The push protocol: how control brings tables to the nodes, and how both know what the node holds.
//!
//! * [`Publisher`]: what a control leader wants every node to hold, versioned; it keeps what deltas are made from.
//! * [`ServerStream`]: control's end of one node's stream.
//! * [`ClientStream`]: the node's end: checks, applies, answers, and keeps the last good state.
//!
//! What is pushed is opaque here: resources of a [`ResourceType`], each a name and bytes. Who understands them is the node's
//! [`Validate`]. Both ends are state machines: frames and time come in, frames and changes go out, and nothing is queued
//! without a bound. `wire` (feature `proto`) has the frames as messages. `docs/protocol/push.md` says what either end must do.

mod client;
mod frame;
mod kind;
mod limits;
mod publisher;
mod resource;
mod server;
mod set;
mod warming;
#[cfg(feature = "proto")]
pub mod wire;

pub use client::{
    Applied, ClientOutput, ClientStream, HeldSet, Proposal, Saved, SavedError, SavedType, Session, Validate,
};
pub use frame::{Answer, CloseReason, Down, Held, Nonce, Refusal, Response, Up};
pub use kind::{PerType, ResourceType};
pub use limits::{Limits, Timing};
pub use publisher::{PublishError, Publisher, Snapshot};
pub use resource::{Body, NAME_BYTES_MAX, Name, NameError, Resource};
pub use server::{ServerStream, TypeStatus};
pub use set::ResourceSet;
pub use warming::Warming;

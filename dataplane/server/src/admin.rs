//! The HTTP port for operators: whether the process lives, whether it serves, what it does.
//!
//! It runs on a thread of its own and asks the node for a [`NodeSnapshot`] at most a few times a second, however many ask;
//! so that nothing that happens here slows a client. It answers from what this node knows, also when everything around it
//! is gone.

mod face;
mod http;
mod serve;
mod snapshot;
mod status;

pub use self::{
    face::NodeFace,
    serve::AdminServer,
    snapshot::{
        Build, ClusterStatus, ListenerStatus, NodeSnapshot, PeerStatus, Phase, Readiness, StatusSource, StoreStatus,
    },
};

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

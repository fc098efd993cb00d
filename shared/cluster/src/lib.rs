//! The nouns of a Sluice cluster: who the nodes and workers are, how clients and topics fall into shards, what operators
//! want of them, on which nodes each shard is, and what is wanted where.
//!
//! Plain values and state machines only. Nothing here does I/O or reads a clock, and only `wire` knows an encoding. What could hold a wrong
//! value is parsed and cannot.
//!
//! * [`Node`], [`Labels`]: a machine, where it stands and what may be expected of it. [`Member`]: with how to reach it.
//! * [`Identity`]: who a certificate says its holder is.
//! * [`Keyspaces`]: which part of the topic space a topic belongs to, and so to which shard.
//! * [`Policy`]: where the shards of a keyspace shall be.
//! * [`Placement`]: where they are; [`Replicas`] of one shard change by one step at a time.
//! * [`interest`], [`routing`]: what nodes want of topics, and which nodes a message goes to.
//! * [`Report`]: what a node tells control.
//! * `wire` (feature `proto`): all of these as the messages of `proto`, with every bound checked on the way in.

mod address;
mod client_address;
mod digest;
mod id;
mod identity;
pub mod interest;
mod keyspace;
mod label;
mod member;
mod node;
mod placement;
mod policy;
mod replicas;
mod report;
pub mod routing;
mod shard;
mod specificity;
mod steer;
mod version;
#[cfg(feature = "proto")]
pub mod wire;

pub use address::{ADDRESS_BYTES_MAX, Address, AddressError};
pub use client_address::{Carrier, ClientAddress, ClientAddressError};
pub use digest::SetDigest;
pub use id::{ClusterId, Epoch, NodeId, WorkerId};
pub use identity::{Identity, IdentityError};
pub use keyspace::{FILTERS_MAX, KEYSPACES_MAX, Keyspace, KeyspaceError, KeyspaceId, Keyspaces};
pub use label::{LABEL_BYTES_MAX, LABELS_MAX, Label, LabelError, Labels, Selector};
pub use member::{
    ADDRESSES_MAX, BUILD_BYTES_MAX, Build, BuildError, Member, NODES_MAX, Process, ProtocolError, ProtocolRange,
    Registration, WORKERS_MAX,
};
pub use node::{Liveness, Node, NodePhase, WEIGHT_MAX, Weight, WeightError};
pub use placement::{Placement, PlacementError};
pub use policy::{
    FALLBACKS_MAX, HOME_NODES_MAX, HYBRID_THRESHOLD_BYTES_DEFAULT, HYBRID_THRESHOLD_BYTES_MAX, Home, Policies, Policy,
    PolicyError, RemoteSubscribers, ReplicaCount, Spread,
};
pub use replicas::{REPLICAS_MAX, Replicas, ReplicasError};
pub use report::{
    Deliveries, Flow, Holdings, Load, NodeReport, PeerStatus, REPORTED_DELIVERIES_MAX, REPORTED_SHARDS_MAX, Report,
    ShardLoad, ShardStatus, Traffic,
};
pub use shard::{SHARDS_DEFAULT, SHARDS_MAX, ShardId, ShardKey, Sharding, stable_hash};
pub use steer::{Steer, SteerTo};
pub use version::Version;

//! The messages of Sluice's protocols, generated from the files of this folder; nothing is written by hand.
//!
//! What they mean and which values are allowed is said where they are turned into domain types, in `shared/cluster` and
//! `shared/discovery`. The services, which need a runtime, are in `proto/service`.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

pub mod cluster {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sluice.cluster.v1.rs"));
    }
}

pub mod push {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sluice.push.v1.rs"));
    }
}

pub mod join {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/sluice.join.v1.rs"));
    }
}

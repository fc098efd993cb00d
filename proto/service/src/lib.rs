//! Clients and servers of Sluice's gRPC services, generated from the files of `proto`; nothing is written by hand.
//!
//! They are apart from the messages, because crates that decide use those and must not reach a runtime.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

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

//! Generates the services over the messages of `sluice-proto`.

use std::io::Result;

fn main() -> Result<()> {
    let files = ["../sluice/push/v1/push.proto", "../sluice/join/v1/join.proto"];
    println!("cargo:rerun-if-changed=../sluice");
    tonic_prost_build::configure()
        .extern_path(".sluice.push.v1", "::sluice_proto::push::v1")
        .extern_path(".sluice.join.v1", "::sluice_proto::join::v1")
        .extern_path(".sluice.cluster.v1", "::sluice_proto::cluster::v1")
        .compile_protos(&files, &[".."])
}

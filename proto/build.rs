//! Generates the messages.

use std::io::Result;

fn main() -> Result<()> {
    let files = ["sluice/cluster/v1/cluster.proto", "sluice/push/v1/push.proto", "sluice/join/v1/join.proto"];
    println!("cargo:rerun-if-changed=sluice");
    prost_build::Config::new().bytes(["."]).compile_protos(&files, &["."])
}

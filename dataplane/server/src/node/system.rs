//! What a node wants of the operating system.

use std::{
    fs::{DirBuilder, File},
    io::Read as _,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection is a descriptor: takes as many as the process may have. The usual soft limit of 1,024 is for programs
/// that use select().
pub(super) fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of file descriptors cannot be raised");
    }
}

/// Makes a directory, with those above it, that only its owner can look into (BAD_INPUT F5). One that exists stays as
/// it is: its mode is the operator's.
pub(super) fn private_directory(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
}

/// A number that nobody outside can guess.
pub(super) fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    random_bytes(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Bytes that nobody outside can guess.
pub(super) fn random_bytes(bytes: &mut [u8]) -> anyhow::Result<()> {
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes)).context("the system gives no random numbers")
}
